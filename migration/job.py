"""A replay through a move as people ask for it: captures or a number, and settings.

Connections, hosts, links and the move are made of the settings here; what happens
to them then is in :mod:`migration.replay`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from migration.connections import VM_MAC, Connections, Pattern, from_sessions, synthetic
from migration.links import Link
from migration.move import Move
from migration.path import LinkSettings, PathSettings
from migration.run import (
    Announced,
    Replay,
    Stage,
    blackout_move,
    busiest_moment,
    run_through,
    stage_of,
)
from migration.sessions import Session, Sessions, find_sessions
from migration.settings import Settings, read_settings
from migration.tcp.stacks import Stack, stack
from migration.uploads import ChimneySettings
from nic.chimney_settings import Capacity
from nic.offloads import Offload
from pcaps.addresses import key_to_mac
from pcaps.errors import BadInput
from vswitch.ports import Port, PortKind
from vswitch.problems import unknown

if TYPE_CHECKING:
    from migration.copied import Progress
    from vswitch.scenario import Scenario

SYNTHETIC_AT_NS = 5_000_000_000
SYNTHETIC_RTT_NS = 200_000
_CHIMNEY = Capacity().tcp_entries
_GUESSES = ("linux", "windows-2008r2", "rfc")

Tell = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a replay needs, and what it was made from.

    Parameters
    ----------
    settings : Settings
        As asked.
    connections : Connections
        Who, when, what.
    stage : Stage
        Hosts and links.
    vm : str
        How reports call the VM.
    left_out : dict of str to int
        Sessions of the VM that are not run, by cause.
    """

    settings: Settings
    connections: Connections
    stage: Stage
    vm: str
    left_out: dict[str, int]

    @property
    def is_synthetic(self) -> bool:
        """Whether no capture was given."""
        return not self.connections.sessions


def prepare(
    source: Sessions | int, settings: Settings, *, vm_mac: int | None = None,
    partial: bool = True, seed: int = 0, scenario: Scenario | None = None,
) -> Prepared:  # fmt: skip
    """Make connections and the stage.

    Parameters
    ----------
    source : Sessions or int
        Captured sessions, or how many synthetic ones.
    settings : Settings
        As asked.
    vm_mac : int, optional
        Address of the VM; the station with the most sessions by default.
    partial : bool
        Whether sessions of which parts were not captured are run.
    seed : int
        Of all that is drawn.
    scenario : Scenario, optional
        Whose network, VMs and adapter the hosts have; without VMs in it, they are made
        from the connections.

    Returns
    -------
    Prepared

    Raises
    ------
    BadInput
        When there is nothing to run.
    """
    asked_client = None if settings.stack_client is None else stack(settings.stack_client)
    asked_vm = None if settings.stack_vm is None else stack(settings.stack_vm)
    left_out: dict[str, int] = {}
    port = None if scenario is None else vm_of(scenario, settings.vm, vm_mac)
    if isinstance(source, int):
        pattern = Pattern(
            traffic=settings.traffic, request_bytes=settings.request,
            response_bytes=settings.response, interval_ns=settings.interval,
            rtt_ns=SYNTHETIC_RTT_NS if settings.rtt is None else settings.rtt,
            vlan=settings.vlan if port is None or "vlan" in settings.given else port.vlan.vid,
            clients=settings.clients,
        )  # fmt: skip
        connections = synthetic(
            source, pattern, client_stack=asked_client or stack("linux"),
            vm_stack=asked_vm or stack("windows-2008r2"), seed=seed,
            vm_mac=VM_MAC if port is None else port.mac,
        )  # fmt: skip
        vm = "the VM" if port is None else port.name
    else:
        mac = vm_mac
        if mac is None:
            mac = busiest_station(source) if port is None else port.mac
        usable, left_out = choose(source.of_vm(mac), partial)
        if not usable:
            raise BadInput(
                f"{key_to_mac(mac)} has no TCP session that can be run "
                f"({_causes(left_out)}); choose another VM with --vm"
            )
        connections = from_sessions(
            usable, mac, peer_stack=asked_client, vm_stack=asked_vm, rtt_ns=settings.rtt,
            guess={name: stack(name) for name in _GUESSES},
        )  # fmt: skip
        vm = key_to_mac(mac)
    path = path_of(settings, connections)
    if scenario is not None and port is not None:
        return Prepared(
            settings, connections, stage_from(scenario, port, path, settings), vm, left_out
        )
    stage = stage_of(
        connections, path=path, queues=settings.queues,
        target_queues=settings.queues if settings.target_queues is None else settings.target_queues,
        mtu=port_mtu(settings, connections),
    )  # fmt: skip
    return Prepared(settings, connections, stage, vm, left_out)


def vm_of(scenario: Scenario, name: str | None, mac: int | None) -> Port | None:
    """Return the port of a scenario's VM that moves, None where the scenario has no VMs.

    Parameters
    ----------
    scenario : Scenario
        As loaded.
    name : str, optional
        As asked.
    mac : int, optional
        Address as a key, where it is known already.

    Returns
    -------
    Port or None
        The first VM where nothing was asked.

    Raises
    ------
    BadInput
        When the scenario has VMs, and this is none of them.
    """
    ports = [port for port in scenario.network().ports if port.kind is PortKind.VM]
    if not ports:
        return None
    if name is None and mac is None:
        return ports[0]
    for port in ports:
        if port.name == name or (mac is not None and port.mac == mac):
            return port
    asked = name or key_to_mac(mac or 0)
    raise BadInput(unknown("VM", asked, [port.name for port in ports]))


def stage_from(scenario: Scenario, vm: Port, path: PathSettings, settings: Settings) -> Stage:
    """Return the stage that a scenario describes: both hosts have its adapter.

    Parameters
    ----------
    scenario : Scenario
        With the VM on its network.
    vm : Port
        The VM that moves.
    path : PathSettings
        Links and physical switch.
    settings : Settings
        For the number of VM queues on each host.

    Returns
    -------
    Stage
    """
    target = settings.queues if settings.target_queues is None else settings.target_queues
    return Stage(
        scenario.network(), vm, lambda: scenario.adapter(settings.queues),
        lambda: scenario.adapter(target), path,
    )  # fmt: skip


def _causes(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in left_out.items()) or "it has none"


def busiest_station(sessions: Sessions) -> int:
    """Return the address of the station with the most established sessions."""
    stations = sessions.stations()
    if not stations:
        raise BadInput(
            "no TCP session of the captures was established, so there is nothing to run; "
            "'vswitch sessions' lists what there is"
        )
    return stations[0][0]


def choose(sessions: Iterable[Session], partial: bool) -> tuple[list[Session], dict[str, int]]:
    """Return the sessions that can be run, and how many cannot, by cause.

    Parameters
    ----------
    sessions : iterable of Session
        Of one VM.
    partial : bool
        Whether those of which parts are missing may be used.

    Returns
    -------
    usable : list of Session
    left_out : dict of str to int
    """
    usable: list[Session] = []
    left_out: dict[str, int] = {}
    for session in sessions:
        cause = ""
        if not session.established:
            cause = "never established"
        elif session.client.mac == session.server.mac:
            cause = "with both ends in the VM"
        elif session.partial and not partial:
            cause = "captured in part"
        if cause:
            left_out[cause] = left_out.get(cause, 0) + 1
        else:
            usable.append(session)
    return usable, left_out


def port_mtu(settings: Settings, connections: Connections) -> int:
    """Return the MTU of the VM's port: as asked, else 1500, or 9000 where segments need it."""
    if settings.mtu is not None:
        return settings.mtu
    largest = int(connections.mss.max(initial=0))
    largest = max([largest, *(one.mss for one in connections.stacks if "mss" in one.given)])
    headers = 40 if (connections.version == 4).all() else 60
    if largest + headers <= 1500:
        return 1500
    return 9000 if largest + headers <= 9000 else 65535


def path_of(settings: Settings, connections: Connections) -> PathSettings:
    """Return links and physical switch as asked."""
    hosts = LinkSettings(rate_bps=round(settings.link.bytes_per_s * 8), queue_bytes=settings.queue)
    client = settings.client_link or settings.link
    clients = LinkSettings(
        rate_bps=round(client.bytes_per_s * 8), queue_bytes=settings.queue, loss=settings.loss
    )
    mtu = settings.switch_mtu or port_mtu(settings, connections)
    return PathSettings(
        clients=clients, hosts=hosts, mtu=mtu, cam_ageing_ns=settings.cam_ageing,
        hold_frames=settings.hold_frames,
    )  # fmt: skip


def plan_move(
    settings: Settings, *, taken_bytes_per_s: float = 0.0,
    tell: Callable[[Progress], None] | None = None,
) -> Move:  # fmt: skip
    """Plan the move.

    Parameters
    ----------
    settings : Settings
        As asked.
    taken_bytes_per_s : float
        What VM traffic takes of the link.
    tell : callable, optional
        Told of the progress.

    Returns
    -------
    Move
        Times count from its beginning.
    """
    if settings.outage:
        return _outage(settings)
    asked = settings.move
    free = settings.target_memory
    if free is not None and free < asked.memory_bytes:
        raise BadInput(
            f"the VM has {asked.memory_bytes / 2**20:,.0f} MiB of memory, the target only "
            f"{free / 2**20:,.0f} MiB free; free more there, or choose another target"
        )
    if taken_bytes_per_s:
        steps = [(at_ns, rate - taken_bytes_per_s) for at_ns, rate in asked.link.steps]
        asked = replace(asked, link=Link(tuple(steps)))
    return asked.plan(tell=tell)


def _outage(settings: Settings) -> Move:
    if settings.blackout is None:
        raise BadInput("an outage needs its length: give --blackout, such as 2.5s")
    return Move(
        kind="live", policy="outage", memory_bytes=0, passes=(), suspend_ns=0,
        resume_ns=settings.blackout, disconnect_ns=0, connect_ns=settings.blackout,
        end_ns=settings.blackout, parts={"given": settings.blackout},
        downtime_ns=settings.blackout, total_ns=settings.blackout, bytes_sent=0, converged=True,
    )  # fmt: skip


def announce_of(settings: Settings, move: Move, vm_stacks: Iterable[Stack]) -> str:
    """Return the name of the announcement: as asked, else the guest's own or the policy's."""
    if settings.move.announce is not None:
        return settings.move.announce
    if any(one.profile.startswith("windows") for one in vm_stacks):
        return "windows-guest"
    if move.announce == "netvsc" and any(one.profile != "linux" for one in vm_stacks):
        return "guest-garp"
    return move.announce


def carry_out(
    prepared: Prepared,
    *,
    seed: int = 0,
    margins: bool | None = None,
    on_log: Callable[[npt.NDArray[np.void]], None] | None = None,
    progress: Tell | None = None,
) -> Replay:
    """Plan the move and run the connections through it.

    Parameters
    ----------
    prepared : Prepared
        As from :func:`prepare`.
    seed : int
        Of all that is drawn.
    margins : bool, optional
        See :func:`migration.run.run_through`.
    on_log : callable, optional
        Gets the frames at every interface.
    progress : callable, optional
        Called with what is being done, and its share so far.

    Returns
    -------
    Replay
    """
    settings, connections = prepared.settings, prepared.connections
    tell = progress or (lambda _what, _share: None)
    tell("planning the move", 0.0)
    taken = _traffic_bytes_per_s(connections) if settings.share_link else 0.0
    move = plan_move(
        settings, taken_bytes_per_s=taken,
        tell=lambda now: tell(f"planning the move, pass {now.passes}", 0.0),
    )  # fmt: skip
    if settings.blackout is not None and move.completed and not settings.outage:
        move = blackout_move(move, settings.blackout)
    rows = np.arange(len(connections)) * 2 + connections.vm_side
    stacks = [connections.stacks[number] for number in np.unique(connections.stack[rows])]
    move = replace(move, announce=announce_of(settings, move, stacks))
    return run_through(
        connections,
        prepared.stage,
        move,
        outage=settings.outage,
        begin_ns=_begin(settings, connections, move),
        hold=settings.hold,
        announced=Announced(move.announce, settings.lost_announcements),
        share_bps=_share_of_link(settings) if settings.share_link else None,
        chimney=_chimney(settings, prepared.stage),
        seed=seed,
        margins=margins,
        after_ns=settings.after,
        on_log=on_log,
        progress=progress,
    )


def _chimney(settings: Settings, stage: Stage) -> ChimneySettings | None:
    """Return the chimney of the hosts' adapters, None where it is off."""
    entries = settings.chimney
    if entries is None:
        adapter = stage.source_adapter()
        entries = _CHIMNEY if adapter is not None and Offload.CHIMNEY in adapter.offloads else 0
    return (
        ChimneySettings(entries, settings.upload_time, settings.upload_window) if entries else None
    )


def _begin(settings: Settings, connections: Connections, move: Move) -> int:
    """Return the world time at which the move begins."""
    if settings.at is not None:
        return settings.at
    if not connections.sessions:
        return SYNTHETIC_AT_NS
    spans = np.array([one.end_ns - one.start_ns for one in connections.sessions], np.int64)
    return busiest_moment(connections, spans) - move.suspend_ns


def _traffic_bytes_per_s(connections: Connections) -> float:
    """Return what the VM sends on average, as captured; nothing for patterns."""
    if not connections.sessions:
        return 0.0
    first = min(one.start_ns for one in connections.sessions)
    span = max(one.end_ns for one in connections.sessions) - first
    rows = np.arange(len(connections)) * 2 + connections.vm_side
    return float(connections.size[rows].sum()) / max(span / 1e9, 1.0)


def _share_of_link(settings: Settings) -> float:
    """Return the bit/s that a move on the same link leaves for the VM's traffic: its fair half at least."""
    line = settings.link.bytes_per_s * 8
    cap = settings.move.cap_bytes_per_s
    return max(line - (math.inf if cap is None else cap * 8), line / 2)


def replay_move(
    source: Any = None,
    *,
    connections: int | None = None,
    vm: str | None = None,
    by_vlan: bool = True,
    partial: bool = True,
    seed: int = 0,
    margins: bool | None = None,
    progress: Tell | None = None,
    **settings: Any,
) -> Replay:
    """Replay TCP sessions through a move of a VM.

    Parameters
    ----------
    source : Capture, Frames, path, or a sequence of these, optional
        Captures whose sessions are run again.
    connections : int, optional
        In place of captures: so many synthetic sessions.
    vm : str, optional
        MAC address of the VM that moves; the station with the most sessions by default.
    by_vlan : bool
        Whether equal 5-tuples in different VLANs are different sessions.
    partial : bool
        Whether sessions of which parts were not captured are run.
    seed : int
        Of all that is drawn.
    margins : bool, optional
        Whether to search how much longer each blackout could have been; by default
        for up to :data:`migration.run.MARGINS_UP_TO` connections.
    progress : callable, optional
        Called with what is being done, and its share so far.
    **settings
        Keys of :data:`migration.settings.SETTINGS`, as text or as values: ``kind="quick"``,
        ``memory="4GiB"``, ``blackout="2.5s"``.

    Returns
    -------
    Replay
        Verdicts, the move, and what was counted.

    Raises
    ------
    BadInput
        When captures or settings cannot be used.

    Examples
    --------
    >>> from migration import replay
    >>> done = replay(connections=10, kind="quick", memory="1GiB")
    >>> done.summary()["connections"]
    10
    """
    from migration.vm_choice import choose_vm

    asked = read_settings(settings)
    if (source is None) == (connections is None):
        raise BadInput("give either captures or a number of connections")
    if connections is not None:
        prepared = prepare(connections, asked, seed=seed)
    else:
        several: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
        found = find_sessions(several, by_vlan=by_vlan)
        mac = None if vm is None else choose_vm(vm, found, {})
        prepared = prepare(found, asked, vm_mac=mac, partial=partial, seed=seed)
    return carry_out(prepared, seed=seed, margins=margins, progress=progress)
