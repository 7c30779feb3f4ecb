"""Connections are run through a move: without it first, then with it, then with longer blackouts.

The run without shows what is the capture's own trouble; the run with the move gives
the verdicts, read off the endpoints; the runs with longer blackouts, from the moment
when it began, give the margins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

import numpy as np
import numpy.typing as npt

from migration.announce import announce_frame, announce_times, announcement
from migration.connections import Connections
from migration.hosts import MovingHost, hosts_of, selfmade
from migration.margin import longest_blackouts
from migration.move import Move
from migration.path import PathSettings
from migration.path_kernel import K_DECISIONS, K_HELD_MOST, K_LATE
from migration.scenes import (
    Scene,
    Schedule,
    opening,
    scenes_of_move,
    scenes_of_outage,
    sharing,
)
from migration.simulation import Headers, Simulation
from migration.uploads import ChimneySettings, Uploads, upload_all, why_not
from migration.verdict import Outcome, Verdict, outcomes
from nic.adapter import Adapter
from pcaps.jit import work_time
from vswitch.ports import Network, Port


@dataclass(frozen=True)
class Announced:
    """What tells the network where the VM is.

    Parameters
    ----------
    name : str
        See :data:`migration.announce.ANNOUNCEMENTS`.
    lost : int
        How many of the first frames get lost.
    """

    name: str = "none"
    lost: int = 0


SECOND = 1_000_000_000
AFTER_NS = 2 * SECOND
"""How long traffic without end goes on behind the blackout, at least."""
LONGEST_RUN_NS = 3600 * SECOND
"""How long a run goes on behind the blackout for connections that still wait."""
MARGINS_UP_TO = 2000
"""Connections up to which margins are searched unless asked otherwise."""


@dataclass(frozen=True)
class Stage:
    """Where the connections meet the move: hosts, adapters, links.

    Parameters
    ----------
    network : Network
        The source host's switch.
    vm : Port
        The port of the VM that moves.
    source_adapter, target_adapter : callable
        Make the adapters; a run changes them.
    path : PathSettings
        Links and physical switch.
    """

    network: Network
    vm: Port
    source_adapter: Callable[[], Adapter | None]
    target_adapter: Callable[[], Adapter | None]
    path: PathSettings = field(default_factory=PathSettings)

    def hosts(self) -> tuple[MovingHost, MovingHost]:
        """Return the hosts as they are before the move."""
        return hosts_of(self.network, self.vm, self.source_adapter(), self.target_adapter())


def stage_of(
    connections: Connections,
    *,
    path: PathSettings | None = None,
    queues: int | None = None,
    target_queues: int | None = None,
    mtu: int | None = None,
) -> Stage:
    """Return the stage that connections need where no scenario gives one.

    Parameters
    ----------
    connections : Connections
        Their VM gets a port that takes all of their VLANs.
    path : PathSettings, optional
        Links and physical switch.
    queues, target_queues : int, optional
        VM queues of the source's and of the target's adapter; 16 by default.
    mtu : int, optional
        MTU of the VM's port and the hosts; the physical switch's by default.

    Returns
    -------
    Stage
        Two hosts with an uplink and an adapter each.
    """
    rows = np.arange(len(connections)) * 2 + connections.vm_side
    outer = connections.tags[:, 0]
    vids = {int(tag) & 0xFFF for tag in outer}
    tpids = {int(tag) >> 16 for tag in outer if tag}
    path = path or PathSettings()
    mtu = path.mtu if mtu is None else mtu
    network, vm = selfmade(int(connections.mac[rows[0]]), vids, tpids, mtu)

    def adapter(n: int | None) -> Callable[[], Adapter | None]:
        jumbo = min(max(1514, mtu + 14), 65535)
        count = 16 if n is None else n
        return lambda: Adapter(num_queues=count, jumbo_packet=jumbo)

    return Stage(network, vm, adapter(queues), adapter(target_queues), path)


@dataclass(frozen=True, eq=False)
class Replay:
    """What a replay through a move found.

    Parameters
    ----------
    move : Move
        The move, planned.
    kind : str
        ``live``, ``quick``, ``postcopy`` or ``outage``.
    begin_ns : int
        World time at which the move began; the first connection begins at 0.
    blackout_ns, light_ns : int
        World time from and to which no frame reached the VM: from its suspension
        until the physical switch sent to the target and it ran.
    outcomes : list of Outcome
        The verdict on each connection.
    simulation : Simulation
        After the run.
    hosts : tuple of MovingHost
        Source and target after the move.
    scenes : list of Scene
        What changed, and when.
    cpu_s : float
        CPU time of the runs, planning included.
    events, segments, decisions : int
        Of the run with the move.
    uploads : Uploads, optional
        Connections that came back from the source's adapter; None where chimney is off.
    """

    move: Move
    kind: str
    begin_ns: int
    blackout_ns: int
    light_ns: int
    outcomes: list[Outcome]
    simulation: Simulation
    hosts: tuple[MovingHost, MovingHost]
    scenes: list[Scene]
    cpu_s: float
    run_cpu_s: float
    events: int
    segments: int
    uploads: Uploads | None = None

    @property
    def decisions(self) -> int:
        """Frames decided by the hosts' switches and adapters."""
        return int(self.simulation.path.clock[K_DECISIONS])

    @property
    def held(self) -> int:
        """The most frames that were held at a time."""
        return int(self.simulation.path.clock[K_HELD_MOST])

    @property
    def late(self) -> int:
        """Frames that came to the source behind the VM's departure."""
        return int(self.simulation.path.clock[K_LATE])

    def summary(self) -> dict[str, Any]:
        """Return counts of verdicts, the longest stall and the smallest margin."""
        verdicts = [outcome.verdict for outcome in self.outcomes]
        margins = [one.margin_ns for one in self.outcomes if one.margin_ns is not None]
        stalls = [one.stall_ns for one in self.outcomes]
        return {
            "connections": len(verdicts),
            **{verdict.value: verdicts.count(verdict) for verdict in Verdict},
            "max_stall_s": max(stalls, default=0) / 1e9,
            "min_margin_s": min(margins) / 1e9 if margins else None,
        }


def run_through(
    connections: Connections,
    stage: Stage,
    move: Move,
    *,
    begin_ns: int,
    outage: bool = False,
    hold: bool = False,
    announced: Announced = Announced(),
    share_bps: float | None = None,
    chimney: ChimneySettings | None = None,
    seed: int = 0,
    margins: bool | None = None,
    after_ns: int = AFTER_NS,
    on_log: Callable[[npt.NDArray[np.void]], None] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Replay:
    """Run connections through a move.

    Parameters
    ----------
    connections : Connections
        Who, when, what.
    stage : Stage
        Hosts and links.
    move : Move
        Times count from `begin_ns`.
    begin_ns : int
        World time at which the move begins.
    outage : bool
        Nothing moves: the network goes dark for the time of the move's blackout, and
        the VM's clock goes on.
    hold : bool
        Whether frames for the VM are held while it is away.
    announced : Announced
        What tells the network where the VM is.
    share_bps : float, optional
        What the move leaves the VM's traffic of the hosts' links while it copies;
        None: it has a link of its own.
    chimney : ChimneySettings, optional
        TCP chimney on both hosts; late uploads make the blackout longer.
    seed : int
        Of random losses.
    margins : bool, optional
        Whether to search how much longer each blackout could have been; by default
        for up to :data:`MARGINS_UP_TO` connections.
    after_ns : int
        How long traffic without end goes on behind the blackout, at least.
    on_log : callable, optional
        Gets the frames at every interface, see :class:`migration.simulation.Simulation`.
    progress : callable, optional
        Called with what is being done, and its share so far.

    Returns
    -------
    Replay
        Verdicts and all that was counted.
    """
    began = work_time()[0]
    tell = progress or (lambda _what, _share: None)
    source, target = stage.hosts()
    headers = Headers(connections, source)

    def make(scenes: list[Scene], on_log: Any) -> Simulation:
        return Simulation(connections, scenes, stage.path, headers, seed=seed, on_log=on_log)

    uploads = None
    if chimney is not None and move.completed and not outage:
        scout = make([opening(source, target)], None)
        scout.run(begin_ns + move.suspend_ns)
        uploads = upload_all(scout, source, chimney)
        move = uploads.prolong(move)
    suspend_ns = begin_ns + move.suspend_ns
    resume_ns = begin_ns + move.resume_ns
    if outage:
        scenes = list(scenes_of_outage(suspend_ns, resume_ns, hold, source, target))
    else:
        schedule = Schedule(
            suspend_ns=suspend_ns,
            disconnect_ns=begin_ns + move.disconnect_ns,
            connect_ns=begin_ns + move.connect_ns,
            resume_ns=resume_ns,
            announcements=_announcements(connections, announced, resume_ns),
            silent_ns=announcement(announced.name).silent_ns,
            stalls=tuple((begin_ns + a, begin_ns + b) for a, b in move.brownout),
            hold=hold,
        )
        scenes = scenes_of_move(schedule, source, target)
    if not move.completed:
        scenes = scenes[:1]
    if share_bps is not None:
        scenes = sharing(scenes, begin_ns, suspend_ns, share_bps)

    horizon = _horizon(connections, resume_ns)
    endless = bool((connections.size < 0).any())

    faithful = None
    if not endless:
        tell("without the move", 0.0)
        still, away = stage.hosts()
        faithful = make([opening(still, away)], None)
        faithful.run(horizon)

    run_began = work_time()[0]
    run = make(scenes, on_log)
    first = min(suspend_ns, horizon)
    run.run(suspend_ns, progress=lambda now: tell("until the blackout", now / max(first, 1)))
    base = run.fork()
    span = max(horizon - suspend_ns, 1)
    watch = _share(tell, "through the blackout", suspend_ns, span)
    if endless:
        run.run(resume_ns + after_ns, progress=watch)
        run.run(horizon, until_settled=True, progress=watch)
    else:
        run.run(horizon, progress=watch)
    run_cpu = work_time()[0] - run_began

    light_ns = _light(run, resume_ns, outage)
    found: list[int | None] = [None] * len(connections)
    wanted = len(connections) <= MARGINS_UP_TO if margins is None else margins
    if wanted and move.completed:
        lag = max(light_ns - resume_ns, 0)
        blackout = resume_ns - suspend_ns

        def endings() -> list[Scene]:
            one, other = stage.hosts()
            if outage:
                return list(scenes_of_outage(suspend_ns, suspend_ns, hold, one, other))[1:]
            at = Schedule(
                suspend_ns, suspend_ns, suspend_ns, suspend_ns, hold=hold, found_ns=suspend_ns + lag
            )
            return scenes_of_move(at, one, other)[1:]

        kept = endings()
        longest = longest_blackouts(
            base, lambda: kept, suspend_ns, lag,
            lambda runs: tell("how long it could have been", min(runs / 30, 1.0)),
        )  # fmt: skip
        found = [None if one is None else one - blackout for one in longest]

    return Replay(
        move=move,
        kind="outage" if outage else move.kind,
        begin_ns=begin_ns,
        blackout_ns=suspend_ns,
        light_ns=light_ns,
        outcomes=outcomes(run, (suspend_ns, light_ns), found, faithful),
        simulation=run,
        hosts=(source, target),
        scenes=scenes,
        cpu_s=work_time()[0] - began,
        run_cpu_s=run_cpu,
        events=run.events,
        segments=run.balance()["sent"],
        uploads=None if uploads is None else replace(uploads, again=why_not(target)),
    )


def _announcements(
    connections: Connections, announced: Announced, resume_ns: int
) -> tuple[tuple[int, int, bytes], ...]:
    """Return the announcements that are not lost: when each is sent, its VLAN, its frame as the VM sends it."""
    rows = np.arange(len(connections)) * 2 + connections.vm_side
    vids = sorted({int(tag) & 0xFFF for tag in connections.tags[:, 0]})
    mac = int(connections.mac[rows[0]])
    four = rows[connections.version == 4]
    ip = None if not len(four) else str(IPv4Address(connections.ip[four[0], :4].tobytes()))
    made = []
    for offset_ns, kind in announce_times(announced.name)[announced.lost :]:
        for vid in vids:
            # one VLAN: an access port, the VM knows nothing of it
            tci = vid if len(vids) > 1 and vid else None
            frame = announce_frame("rarp" if ip is None else kind, mac, ip, tci)
            made.append((resume_ns + offset_ns, vid, frame))
    return tuple(made)


def _share(
    tell: Callable[[str, float], None], what: str, begin_ns: int, span_ns: int
) -> Callable[[int], None]:
    return lambda now: tell(what, min(max((now - begin_ns) / span_ns, 0.0), 1.0))


def _horizon(connections: Connections, resume_ns: int) -> int:
    """Return the world time at which a run ends whatever still waits."""
    last = int(connections.start_ns.max())
    pauses = 0
    if len(connections.turns):
        pauses = int(connections.turns["think_ns"].sum())
    return max(last + pauses, resume_ns) + LONGEST_RUN_NS


def _light(run: Simulation, resume_ns: int, outage: bool) -> int:
    """Return when frames found the VM again: it ran, and the physical switch knew where."""
    if outage:
        return resume_ns
    moved = run.path.cam["moved"]
    found = moved[moved >= 0]
    return max(resume_ns, int(found.min())) if len(found) else resume_ns


def blackout_move(move: Move, blackout_ns: int) -> Move:
    """Return a move with another blackout: every part of it is replaced by the given time.

    Parameters
    ----------
    move : Move
        As planned.
    blackout_ns : int
        From suspension to resumption.

    Returns
    -------
    Move
        Its suspension is where it was.
    """
    resume = move.suspend_ns + blackout_ns
    return replace(
        move, disconnect_ns=move.suspend_ns, connect_ns=resume, resume_ns=resume,
        end_ns=max(resume, move.suspend_ns), parts={"given": blackout_ns},
        downtime_ns=blackout_ns, brownout=(),
    )  # fmt: skip


def busiest_moment(connections: Connections, spans: npt.NDArray[np.int64]) -> int:
    """Return the world time at which the most connections are open.

    Parameters
    ----------
    connections : Connections
        For the times at which they begin.
    spans : numpy.ndarray
        ``int64[n]``: how long each is open.

    Returns
    -------
    int
        The middle of the first such interval.
    """
    begins = np.sort(connections.start_ns)
    ends = np.sort(connections.start_ns + spans)
    times = np.concatenate([begins, ends])
    change = np.concatenate([np.ones(len(begins), np.int64), -np.ones(len(ends), np.int64)])
    order = np.lexsort((change, times))
    times, height = times[order], np.cumsum(change[order])
    top = int(height.argmax())
    return int((times[top] + times[min(top + 1, len(times) - 1)]) // 2)
