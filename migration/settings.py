"""The settings of a replay through a move, besides the move itself: one table for command line, scenario file and library.

Each setting has a key, a section of the scenario file, a reader of its text, a
default, and the sentence that ``--help`` and the scenario's reference show. How the
VM is moved is asked with the options of :mod:`migration.cli_move_options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from migration.cli_move_options import default_words, settings_of
from migration.move_settings import MoveSettings
from pcaps.errors import BadInput
from pcaps.quantities import Rate, parse_bytes, parse_duration_ns, parse_rate

TRAFFIC = ("rr", "pace", "bulk")


def _choice(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in known:
            return text
        close = get_close_matches(text, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"use {', '.join(known)}"
        raise BadInput(f"'{text}' is not one of {', '.join(known)}; {hint}")

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise BadInput(f"'{text}' is not a whole number") from None
        if not least <= value <= most:
            raise BadInput(f"{value} is out of range; use {least} to {most}")
        return value

    return read


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise BadInput(f"'{text}' is not a share; write 0.01 or 1%") from None
    if not 0.0 <= value < 1.0:
        raise BadInput(f"a share of {text} is out of range; use 0 to below 1")
    return value


def _text(text: str) -> str:
    return text


def _switch(text: str) -> bool:
    if text.lower() in ("true", "on", "yes", "1"):
        return True
    if text.lower() in ("false", "off", "no", "0"):
        return False
    raise BadInput(f"'{text}' is neither true nor false")


def _link(text: str) -> Rate:
    rate = parse_rate(text)
    if rate.bytes_per_s <= 0:
        raise BadInput("a link of 0 carries nothing; give its rate, such as 1Gbps")
    return rate


@dataclass(frozen=True)
class Setting:
    """One setting.

    Parameters
    ----------
    key : str
        Name in a scenario and in the library; the option is ``--`` with dashes.
    section : str
        Section of the scenario file: ``move``, ``path`` or ``traffic``.
    read : callable
        Reads its text; raises :class:`pcaps.errors.BadInput`.
    default : str or None
        Text of the default; None: it is worked out, as `meaning` says.
    metavar : str
        What ``--help`` shows for the value; empty for a switch.
    meaning : str
        One sentence.
    """

    key: str
    section: str
    read: Callable[[str], Any]
    default: str | None
    metavar: str
    meaning: str

    @property
    def option(self) -> str:
        """Name on the command line."""
        return "--" + self.key.replace("_", "-")


_TIME, _SIZE, _RATE, _N = "TIME", "SIZE", "RATE", "N"

SETTINGS: dict[str, Setting] = {
    one.key: one
    for one in (
        # the move
        Setting("vm", "move", _text, None, "NAME|MAC",
                "The VM that moves: a name, or its MAC address; by default the one with the most sessions."),
        Setting("outage", "move", _switch, "false", "",
                "Nothing moves: the network goes dark for the blackout, and both ends run on."),
        Setting("at", "move", parse_duration_ns, None, _TIME,
                "When the move begins, after the first session; by default so that its blackout meets the most open sessions, and 5s for synthetic ones."),
        Setting("blackout", "move", parse_duration_ns, None, _TIME,
                "Length of the blackout in place of the computed one."),
        Setting("hold", "move", _switch, "false", "",
                "Hold frames for the VM while it is away, and send them on; they are dropped by default."),
        Setting("hold_frames", "move", _whole(0, 1 << 20), "512", _N,
                "Most frames that are held."),
        Setting("lost_announcements", "move", _whole(0, 1000), "0", _N,
                "How many of the first announcements get lost."),
        Setting("target_memory", "move", parse_bytes, None, _SIZE,
                "Memory that is free on the target; as much as needed by default."),
        Setting("share_link", "move", _switch, "false", "",
                "Whether the move and the VM's traffic use the same link; by default the move has one of its own."),
        Setting("queues", "move", _whole(0, 4096), None, _N,
                "VM queues of the source's adapter; 16, or the scenario's, by default."),
        Setting("target_queues", "move", _whole(0, 4096), None, _N,
                "VM queues that are free on the target's adapter; as many as the source has, by default."),
        Setting("chimney", "move", _whole(0, 1 << 16), None, _N,
                "Connections that each host's adapter can run by TCP chimney; 0, or 1024 where the scenario's adapter has the offload, by default. A VM with a queue has none: give --queues 0 too."),
        Setting("upload_time", "move", parse_duration_ns, "50us", _TIME,
                "Time to bring an offloaded connection back before the VM is suspended."),
        Setting("upload_window", "move", parse_duration_ns, "20ms", _TIME,
                "Time before the suspension in which connections are brought back; the others are late, and the blackout is longer."),
        # the path
        Setting("client_link", "path", _link, None, _RATE,
                "Rate of the link between clients and physical switch; as the hosts' by default."),
        Setting("queue", "path", parse_bytes, "256KiB", _SIZE,
                "Bytes that may wait for each link."),
        Setting("rtt", "path", parse_duration_ns, None, _TIME,
                "Round trip; by default as captured, 200us for synthetic sessions."),
        Setting("loss", "path", _share, "0", "SHARE",
                "Share of frames lost at random between clients and physical switch, each way."),
        Setting("mtu", "path", _whole(576, 65535), None, _N,
                "MTU of VM, hosts and physical switch; 1500, or 9000 where segments need it, by default."),
        Setting("switch_mtu", "path", _whole(576, 65535), None, _N,
                "MTU of the physical switch where it differs."),
        Setting("cam_ageing", "path", parse_duration_ns, "300s", _TIME,
                "Time until the physical switch forgets an address."),
        # the traffic
        Setting("traffic", "traffic", _choice(*TRAFFIC), "rr", "KIND",
                "Synthetic sessions: rr, requests and responses; pace, a write at each interval; bulk, the client writes without end."),
        Setting("request", "traffic", parse_bytes, "64", _SIZE, "Bytes of a request."),
        Setting("response", "traffic", parse_bytes, "64", _SIZE, "Bytes of a response."),
        Setting("interval", "traffic", parse_duration_ns, "20ms", _TIME,
                "Time from a response to the next request, or from one write to the next."),
        Setting("vlan", "traffic", _whole(0, 4094), "0", "VID",
                "VLAN of synthetic sessions; 0 = untagged."),
        Setting("clients", "traffic", _whole(1, 1 << 20), "64", _N,
                "Machines that synthetic clients are spread over."),
        Setting("after", "traffic", parse_duration_ns, "2s", _TIME,
                "How long synthetic sessions go on behind the blackout, at least."),
        Setting("stack_client", "traffic", _text, None, "STACK",
                "TCP stack of the ends outside the VM, such as linux:tcp_retries2=5; by default as their SYNs look, linux for synthetic sessions."),
        Setting("stack_vm", "traffic", _text, None, "STACK",
                "TCP stack of the VM; by default as its SYNs look, windows-2008r2 for synthetic sessions."),
    )
}  # fmt: skip
"""Key -> setting, in the order of ``--help``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, read: the keys of :data:`SETTINGS`; times in ns, sizes in bytes.

    Parameters
    ----------
    move : MoveSettings
        How the VM is moved.
    link : Rate
        Of the hosts' links.
    given : frozenset of str
        Keys that were asked for.
    """

    move: MoveSettings
    link: Rate
    vm: str | None
    outage: bool
    at: int | None
    blackout: int | None
    hold: bool
    hold_frames: int
    lost_announcements: int
    target_memory: int | None
    share_link: bool
    queues: int | None
    target_queues: int | None
    chimney: int | None
    upload_time: int
    upload_window: int
    client_link: Rate | None
    queue: int
    rtt: int | None
    loss: float
    mtu: int | None
    switch_mtu: int | None
    cam_ageing: int
    traffic: str
    request: int
    response: int
    interval: int
    vlan: int
    clients: int
    after: int
    stack_client: str | None
    stack_vm: str | None
    given: frozenset[str]


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Read settings.

    Parameters
    ----------
    given : mapping of str to Any
        By key, those of :data:`SETTINGS` and of the options of a move: text as people
        write it; keys that are left out, or None, get their defaults.

    Returns
    -------
    Settings
        Checked one by one.

    Raises
    ------
    BadInput
        For an unknown key, or a value that cannot be; the sentence names the key.
    """
    words = default_words()
    for key in given:
        if key not in SETTINGS and key not in words:
            close = get_close_matches(key, [*SETTINGS, *words], 1)
            hint = f"did you mean '{close[0]}'?" if close else "see 'vswitch migrate --help'"
            raise BadInput(f"there is no setting '{key}'; {hint}")
    asked = {key: value for key, value in given.items() if value is not None}
    words.update({key: value for key, value in asked.items() if key in words})
    values: dict[str, Any] = {
        key: _read(setting, asked.get(key, setting.default)) for key, setting in SETTINGS.items()
    }
    return Settings(
        move=settings_of(words), link=_line(str(words["link"])), given=frozenset(asked), **values
    )


def _line(text: str) -> Rate:
    """Return the rate of the hosts' links: that of the move's link at its beginning."""
    return parse_rate(text.partition(",")[0].rpartition(":")[2])


def read_one(key: str, value: Any) -> Any:
    """Read one setting of :data:`SETTINGS`; raises BadInput naming it."""
    return _read(SETTINGS[key], value)


def _read(setting: Setting, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) and setting.read is not _switch:
        raise BadInput(f"{setting.option}: true and false mean nothing here")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) or (whole and setting.metavar in (_N, "VID", _SIZE)):
        try:
            return setting.read(str(value))
        except BadInput as problem:
            raise BadInput(f"{setting.option}: {problem.what}") from None
    return value
