"""The constants that a TCP stack is described by: names, kinds, meanings.

Each key is an attribute of :class:`migration.tcp.stacks.Stack` and a word of an
override such as ``linux:min_rto=300ms``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pcaps.errors import BadInput
from pcaps.quantities import parse_bytes, parse_duration_ns

Value = int | bool | str | None


class Key(NamedTuple):
    """One constant of a stack.

    Parameters
    ----------
    kind : str
        ``time`` (ns), ``count``, ``bytes``, ``switch``, or the words to choose from,
        parted by ``|``. A ``?`` behind it: may be ``off``.
    meaning : str
    least, most : int
        Bounds of a number.
    """

    kind: str
    meaning: str
    least: int = 0
    most: int = 1 << 62

    @property
    def optional(self) -> bool:
        """Whether it may be ``off``."""
        return self.kind.endswith("?")

    @property
    def words(self) -> tuple[str, ...]:
        """What may be chosen, for a choice."""
        kind = self.kind.rstrip("?")
        return () if kind in {"time", "count", "bytes", "switch"} else tuple(kind.split("|"))


_SECOND = 1_000_000_000
_LONGEST = 1000 * _SECOND  # microseconds of it still fit into 32 bits

KEYS = {
    "initial_rto": Key("time", "RTO before the first sample", 1000, _LONGEST),
    "min_rto": Key("time", "least RTO; with rules=linux, least of its deviation", 1000, _LONGEST),
    "max_rto": Key("time", "largest RTO", 1000, _LONGEST),
    "syn_lost_rto": Key("time", "RTO after a handshake whose SYN timed out", 0, _LONGEST),
    "granularity": Key("time", "clock granularity G of the RTO", 0, _SECOND),
    "timer_tick": Key("time", "timers and timeouts are whole ticks; 0: exact", 0, _SECOND),
    "timer_wheel": Key("switch", "timers fire late as those of a timer wheel do"),
    "tcp_retries2": Key("count?", "abort: time of so many doubled 200 ms timeouts since the first retransmission", 0, 255),
    "max_retransmissions": Key("count?", "abort: at the timeout after so many retransmissions", 1, 65535),
    "r1": Key("count", "abort by r2: not before so many retransmissions", 0, 65535),
    "r2": Key("time?", "abort: at the first timeout so long after the first transmission", 1),
    "user_timeout": Key("time?", "abort: so long without acknowledgement", 1_000_000),
    "orphan_retries": Key("count?", "tcp_retries2 of a connection whose application is gone", 0, 255),
    "probe_retries": Key("count?", "abort: so many window probes unanswered", 1, 65535),
    "syn_retries": Key("count", "SYNs sent again, with doubled timeouts", 0, 127),
    "syn_linear": Key("count", "SYNs sent again before that, each after the initial RTO", 0, 127),
    "synack_retries": Key("count", "SYN-ACKs sent again", 0, 127),
    "syn_again": Key("switch", "a repeated SYN is answered by the SYN-ACK at once"),
    "syn_lost_window": Key("count", "SYN timeouts from which on the initial window is one segment", 0, 255),
    "keepalive": Key("switch", "keep-alive on every connection"),
    "keepalive_time": Key("time", "silence before the first keep-alive probe", 1_000_000),
    "keepalive_interval": Key("time", "time between keep-alive probes", 1_000_000),
    "keepalive_probes": Key("count", "keep-alive probes before the connection is given up", 1, 65535),
    "delayed_ack": Key("time", "longest delay of an acknowledgement; 0: none", 0, _SECOND),
    "delayed_ack_min": Key("time", "least delay that adaptation goes down to", 0, _SECOND),
    "quick_acks": Key("count", "segments acknowledged at once at the beginning", 0, 255),
    "initial_cwnd": Key("count?", "initial window, segments; off: formula of RFC 5681", 1, 1000),
    "cc": Key("reno|cubic", "congestion control"),
    "slow_start_limit": Key("count?", "slow start: segments that one acknowledgement adds at most", 1, 1000),
    "hystart": Key("switch", "leave slow start when the RTT rises"),
    "idle_restart": Key("switch", "shrink the window after an idle RTO"),
    "tlp": Key("switch", "tail loss probes"),
    "tlp_ack_delay": Key("time?", "what a tail loss probe waits longer with one segment in flight; off: min_rto", 0, _SECOND),
    "rack": Key("switch", "loss detection by time"),
    "frto": Key("switch", "detection of spurious timeouts"),
    "undo": Key("switch", "timestamps and DSACK take a reduction back"),
    "dupthresh": Key("count", "duplicate acknowledgements that mean a loss", 1, 255),
    "sack": Key("switch", "selective acknowledgements"),
    "dsack": Key("switch", "duplicates are reported"),
    "timestamps": Key("switch", "timestamps"),
    "timestamps_required": Key("switch", "once negotiated, segments without them are dropped"),
    "scale": Key("count?", "window scale offered", 0, 14),
    "buffer": Key("bytes", "receive buffer", 1, 1 << 30),
    "mss": Key("bytes", "segment size offered", 88, 65495),
    "nagle": Key("off|on|minshall", "short segments wait for an acknowledgement; minshall: of a short one"),
    "probe_byte": Key("switch", "a window probe carries a byte of data"),
    "ack_interval": Key("time", "time between answers to unacceptable segments without data", 0),
    "reset_ack": Key("switch", "the RST of an abort carries ACK"),
    "time_wait": Key("time", "duration of TIME-WAIT", 0),
    "fin_timeout": Key("time?", "duration of FIN-WAIT-2", 1_000_000),
    "ttl": Key("count", "initial TTL of its packets", 1, 255),
    "rules": Key("rfc|linux", "whose rules hold where Linux differs from the RFCs"),
}  # fmt: skip
"""All keys, in the order of listings."""


def parse_value(name: str, text: str) -> Value:
    """Read the value of a key.

    Parameters
    ----------
    name : str
        One of :data:`KEYS`.
    text : str
        ``300ms``, ``5``, ``64KiB``, ``on``, ``off``, or one of the key's words.

    Returns
    -------
    int, bool, str or None
        Times in ns; None: off.

    Raises
    ------
    BadInput
        When the key cannot have this value.
    """
    key = KEYS[name]
    if key.words:
        if text not in key.words:
            raise BadInput(f"{name}={text}: use one of {', '.join(key.words)}")
        return text
    if key.kind == "switch":
        if text not in {"on", "off"}:
            raise BadInput(f"{name}={text}: use on or off")
        return text == "on"
    if key.optional and text == "off":
        return None
    readers: dict[str, Callable[[str], int]] = {
        "time": parse_duration_ns, "bytes": parse_bytes, "count": _count,
    }  # fmt: skip
    try:
        number = readers[key.kind.rstrip("?")](text)
    except BadInput as problem:
        raise BadInput(f"{name}={text}: {problem.what}") from None
    if not key.least <= number <= key.most:
        low, high = value_text(name, key.least), value_text(name, key.most)
        span = f"at least {low}" if key.most == 1 << 62 else f"{low} to {high}"
        raise BadInput(f"{name}={text} is out of range; use {span}")
    return number


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadInput(f"'{text}' is not a whole number")
    return int(text)


_TIMES = ((_SECOND, "s"), (1_000_000, "ms"), (1000, "us"))


def value_text(name: str, value: Any) -> str:
    """Write a value as an override has it.

    Parameters
    ----------
    name : str
        The key.
    value : int, bool, str or None

    Returns
    -------
    str
    """
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "on" if value else "off"
    if KEYS[name].kind.startswith("time") and value:
        for unit, suffix in _TIMES:
            if value >= unit:
                return f"{value / unit:.9g}{suffix}"
        return f"{value / 1000:.9g}us"
    return str(value)
