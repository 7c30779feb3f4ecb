"""A host with TCP chimney on a replayed capture: which connections are offloaded, and what that saves.

The frames of a capture are the segments that the host's own ends receive and send.
Each end of a connection that is on the host (chosen by MAC address; all of them by
default) is a connection here. It is offloaded when policy and state allow, and uploaded
when the adapter asks, the host wants it back, or it is over.

Guarantees
----------
* Segments that arrive while an offload or an upload is under way wait in a queue of the
  host, in order, and are processed by whoever has the connection then.
* A connection's stream is the same, whoever processed which part of it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable

from nic.chimney import Chimney, Indication
from nic.chimney_connection import Connection, LogEntry
from nic.chimney_rules import (
    SEGMENT_GOES_TO,
    Event,
    NotOffloaded,
    Phase,
    Place,
    Status,
    UploadReason,
    next_phase,
)
from nic.chimney_segments import Ends, SegmentReader
from nic.chimney_settings import Policy
from nic.chimney_state import (
    Neighbor,
    NeighborCached,
    NeighborConst,
    Path,
    PathCached,
    PathConst,
    TcpCached,
    TcpConst,
    Tree,
)
from nic.rss import Rss
from nic.tcp_control import Outcome, TcpControl
from nic.tcp_segment import FIN, PSH, Segment
from nic.tcp_states import OFFLOADABLE, OVER
from pcaps.frames import Frames

Deliver = Callable[[Connection, bytes], None]
Observe = Callable[[int, Place], None]

_LASTING = frozenset(UploadReason) - {UploadReason.UPLOAD_REQUESTED}
"""Reasons after which a connection stays with the host (ours; a pause ends, these do not)."""


class ChimneyHost:
    """A host, its adapter's offload target, and its TCP connections.

    Parameters
    ----------
    chimney : Chimney
        The adapter's side.
    policy : Policy
        When the host offloads.
    local : frozenset of int, optional
        MAC addresses of the ends that are on the host; all by default.
    deliver : callable, optional
        Gets each connection's bytes in order.
    by_vlan : bool
        Whether the VLAN is part of a connection's key.
    observe : callable, optional
        Gets the frame of each segment that an end on the host receives, from 1, and
        where it went.

    Attributes
    ----------
    connections : list of Connection
        In order of their first frames.
    frames, other_frames, fragments : int
        Frames in; those that are no segment of an end on the host; joined fragments.
    most_at_once : int
        Most connections that the adapter had at a time.
    """

    def __init__(
        self,
        chimney: Chimney,
        policy: Policy,
        *,
        local: frozenset[int] | None = None,
        deliver: Deliver | None = None,
        by_vlan: bool = True,
        observe: Observe | None = None,
    ) -> None:
        self.chimney, self.policy = chimney, policy
        self.connections: list[Connection] = []
        self.frames = self.other_frames = self.fragments = 0
        self.paused = False
        self.now_ns = self.most_at_once = 0
        self._reader = SegmentReader(local, by_vlan)
        self._deliver = deliver or (lambda connection, data: None)
        self._observe = observe
        self._by_ends: dict[tuple[object, ...], Connection] = {}
        self._due: list[tuple[int, int, Event, Connection]] = []
        self._steps = 0
        self._times: list[tuple[int, bool]] = []
        self._rss = Rss.over(1)

    # From outside

    def schedule(self, pause_ns: int, resume_ns: int | None = None) -> None:
        """Pause the offload at a time, as OFFLOAD_PAUSE does before a live move.

        Parameters
        ----------
        pause_ns : int
            Time in the captures at which all connections are uploaded.
        resume_ns : int, optional
            Time from which connections are offloaded again; never by default.
        """
        self._times.append((pause_ns, True))
        if resume_ns is not None:
            self._times.append((resume_ns, False))
        self._times.sort()

    def add(self, batches: Iterable[Frames]) -> None:
        """Process the frames of a capture.

        Parameters
        ----------
        batches : iterable of Frames
            In order.
        """
        for frames in batches:
            before = self.frames
            self.frames += len(frames)
            for place, ends, received, segment, size in self._reader.read(frames):
                self._tick(segment.ts_ns)
                self._take(before + place + 1, ends, received, segment, size)
        self.other_frames = self.frames - self._reader.segments
        self.fragments = self._reader.fragments

    def finish(self) -> None:
        """Complete what is under way when the captures end, and say why others stayed."""
        if self.policy.heed_optional:
            idle = self.chimney.idle_entries(self.now_ns)
            for connection in self.connections:
                if connection.phase is Phase.OFFLOADED and connection.entry in idle:
                    self._terminate(connection, UploadReason.LOW_ACTIVITY)
        while self._due:
            self._tick(self._due[0][0])
        for connection in self.connections:
            if not connection.offloaded and connection.why_not is None:
                connection.why_not = NotOffloaded.STATE

    def request_upload(self, connection: Connection) -> None:
        """Take a connection back, as the host may at any time."""
        if connection.phase is Phase.OFFLOADED:
            self._terminate(connection, UploadReason.UPLOAD_REQUESTED)

    # Time

    def _tick(self, ts_ns: int) -> None:
        """Go on to a time: pauses, and offloads and uploads that are complete by then."""
        self.now_ns = max(self.now_ns, ts_ns)
        while True:
            pause = self._times[0][0] if self._times else None
            due = self._due[0][0] if self._due else None
            if due is not None and due <= self.now_ns and (pause is None or due <= pause):
                _, _, event, connection = heapq.heappop(self._due)
                self._complete(event, connection, due)
            elif pause is not None and pause <= self.now_ns:
                self._pause(self._times.pop(0))
            else:
                return

    def _pause(self, time: tuple[int, bool]) -> None:
        at_ns, self.paused = time
        for connection in self.connections:
            # Rule: OFFLOAD_PAUSE, the host uploads all connections; RESUME, it asks anew
            if self.paused and connection.phase is Phase.OFFLOADED:
                self._terminate(connection, UploadReason.UPLOAD_REQUESTED, at_ns)
            elif not self.paused and connection.phase is Phase.HOST:
                connection.status = None

    def _later(self, connection: Connection, event: Event, at_ns: int) -> None:
        self._steps += 1
        heapq.heappush(self._due, (at_ns, self._steps, event, connection))

    def _move(self, connection: Connection, event: Event, at_ns: int, why: str = "") -> None:
        connection.phase = next_phase(connection.phase, event)
        connection.log.append(LogEntry(at_ns, event, connection.phase, why))

    # Segments

    def _take(
        self, frame: int, ends: Ends, received: bool, segment: Segment, captured: int
    ) -> None:
        key = ends.key
        connection = self._by_ends.get(key)
        if connection is None or connection.gives_way(received, segment):
            if connection is not None:
                self._let_go(connection)
            connection = Connection(len(self.connections) + 1, ends, frame)
            self.connections.append(connection)
            self._by_ends[key] = connection
        connection.note(received, segment, captured)
        place = SEGMENT_GOES_TO[connection.phase]
        if received and self._observe is not None:
            self._observe(frame, place)
        if place is Place.QUEUE:
            connection.waiting.append((received, segment))
            connection.work.queued += 1
        else:
            self._process(connection, received, segment)

    def _process(self, connection: Connection, received: bool, segment: Segment) -> None:
        if connection.phase is Phase.OFFLOADED:
            self._by_adapter(connection, received, segment)
        else:
            self._by_host(connection, received, segment)

    def _by_host(self, connection: Connection, received: bool, segment: Segment) -> None:
        control = connection.control
        outcome = control.receive(segment) if received else control.send(segment)
        connection.work.host_segments += 1
        connection.work.host_bytes += len(outcome.data)
        self._pass_on(connection, outcome)
        self._consider(connection)

    def _by_adapter(self, connection: Connection, received: bool, segment: Segment) -> None:
        entry, work = connection.entry, connection.work
        assert entry is not None
        target = self.chimney.receive if received else self.chimney.send
        told: Indication = target(entry, segment)
        if told.refused:
            connection.waiting.append((received, segment))
            work.queued += 1
        else:
            work.adapter_segments += 1
            work.adapter_bytes += len(told.outcome.data)
            work.buffers += told.buffers
            work.forwarded += segment.detour and received
            if segment.pure_ack:
                work.acks_consumed += received
                work.acks_made += not received
            elif not received and segment.payload and segment.flags & (PSH | FIN):
                work.writes += 1
            self._pass_on(connection, told.outcome)
        if told.ask is not None and (told.ask.mandatory or self.policy.heed_optional):
            self._terminate(connection, told.ask)
        elif told.outcome.aborted or entry.control.state in OVER:
            # Rule: the adapter keeps the entry until the host terminates
            self._terminate(connection, None)

    def _pass_on(self, connection: Connection, outcome: Outcome) -> None:
        connection.count(outcome)
        if outcome.data:
            self._deliver(connection, outcome.data)

    # Offload and upload

    def _let_go(self, connection: Connection) -> None:
        """End the offload of a connection whose ends began another one."""
        connection.given_way = True
        if connection.phase is Phase.OFFLOADED:
            self._terminate(connection, None)

    def _consider(self, connection: Connection) -> None:
        """Offload a connection when nothing keeps it here."""
        if connection.control.state not in OFFLOADABLE or connection.given_way:
            return
        connection.why_not = self._why_not(connection)
        if connection.why_not is None and connection.phase is Phase.HOST:
            self._move(connection, Event.INITIATE, self.now_ns)
            self._later(connection, Event.INITIATE_SUCCEEDED, self.now_ns + self.policy.offload_ns)

    def _why_not(self, connection: Connection) -> NotOffloaded | None:
        policy, ends = self.policy, connection.ends
        if policy.mode == "disabled":
            return NotOffloaded.OFF
        reason = policy.conditions.why_not(ends.mac, ends.address, ends.peer_address)
        if reason is not None:
            return reason
        if connection.upload in _LASTING:
            return NotOffloaded.UPLOADED
        if connection.status is not None and connection.status.status is not Status.SUCCESS:
            return NotOffloaded.FULL
        if self.paused:
            return NotOffloaded.PAUSED
        if policy.mode == "automatic":
            if policy.link_bps < policy.min_link_bps:
                return NotOffloaded.LINK_RATE
            if connection.control.tcp.srtt * 1_000_000 >= policy.max_rtt_ns:
                return NotOffloaded.ROUND_TRIP
            if connection.exchanged < policy.min_bytes:
                return NotOffloaded.TOO_LITTLE
        return None

    def _terminate(
        self, connection: Connection, why: UploadReason | None, at_ns: int | None = None
    ) -> None:
        at_ns = self.now_ns if at_ns is None else at_ns
        if why is not None:
            connection.upload = why
        self._move(connection, Event.TERMINATE, at_ns, "over" if why is None else why.value)
        self._later(connection, Event.TERMINATE_COMPLETED, at_ns + self.policy.upload_ns)

    def _complete(self, event: Event, connection: Connection, at_ns: int) -> None:
        if event is Event.TERMINATE_COMPLETED:
            entry = connection.entry
            assert entry is not None
            delegated, early_fin = self.chimney.terminate(entry, at_ns)
            control, connection.entry = connection.control, None
            connection.control = TcpControl(
                delegated, own_scale=control.own_scale, peer_scale=control.peer_scale,
                mss=control.mss, early_fin=early_fin,
            )  # fmt: skip
            self._move(connection, event, at_ns)
        else:
            done = self.chimney.initiate(
                self._tree(connection), buffer_bytes=self.policy.buffer_bytes,
                early_fin=connection.control.early_fin,
            )  # fmt: skip
            connection.status, connection.entry = done, done.entry
            self.most_at_once = max(self.most_at_once, len(self.chimney.entries))
            taken = done.entry is not None
            self._move(
                connection, event if taken else Event.INITIATE_FAILED, at_ns, done.status.value
            )
            if taken:
                connection.work.forwarded += len(connection.waiting)
            else:
                connection.why_not = NotOffloaded.FULL
        self._work_off(connection)
        if connection.phase is Phase.OFFLOADED and connection.given_way:
            self._terminate(connection, None, at_ns)
        elif connection.phase is Phase.OFFLOADED and self.paused:
            self._terminate(connection, UploadReason.UPLOAD_REQUESTED, at_ns)

    def _work_off(self, connection: Connection) -> None:
        """Process what waited, as long as nothing is under way again."""
        waiting, connection.waiting = connection.waiting, deque()
        while waiting:
            if SEGMENT_GOES_TO[connection.phase] is Place.QUEUE:
                connection.waiting.extend(waiting)
                return
            self._process(connection, *waiting.popleft())

    def _tree(self, connection: Connection) -> Tree:
        """Return what an initiate hands over."""
        control, ends = connection.control, connection.ends
        timestamps, sack, scaling = control.options_agreed()
        return Tree(
            Neighbor(NeighborConst(ends.mac, ends.vlan), NeighborCached(ends.peer_mac)),
            Path(PathConst(ends.address, ends.peer_address), PathCached(self._mtu(connection))),
            TcpConst(
                local_port=ends.port, remote_port=ends.peer_port, timestamp_enabled=timestamps,
                sack_enabled=sack, window_scaling_enabled=scaling,
                snd_wind_scale=control.peer_scale, rcv_wind_scale=control.own_scale,
                remote_mss=control.mss, hash_value=self._rss.hash_of(*ends.hashed),
            ),
            TcpCached(initial_rcv_wnd=control.tcp.rcv_wnd),
            control.delegate(),
        )  # fmt: skip

    def _mtu(self, connection: Connection) -> int:
        """Return the IP packet that the peer's MSS makes."""
        headers = 40 if len(connection.ends.address) == 4 else 60
        return min(connection.control.mss + headers, self.chimney.capacity.mtu)
