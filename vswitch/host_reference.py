"""Plain twin of the modelled host's event loop: what :mod:`vswitch.host_kernel` computes, slowly.

Objects and lists instead of records and chains. Tests hold the two equal, to the
picosecond, on random hosts and traffic.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from vswitch.host_profiles import HostProfile
from vswitch.transport_kernel import PAYLOAD_SHIFT, T_DATA, TRANSPORTS
from vswitch.ways import prices
from vswitch.ways_kernel import (
    ENDS_IN_VM,
    ENDS_NOWHERE,
    ON_BOARD,
    P_ENDS,
    P_GUEST,
    P_GUEST_PAYLOAD_FS,
    P_PARENT,
    P_PARENT_PAYLOAD_FS,
    P_PARENT_WIRE_FS,
    P_SIGNALS,
    PUSHED,
    SIGNAL_BATCH,
    SIGNAL_EACH,
    W_CHIMNEY,
    W_SHARED,
    WAY_BITS,
)

HOT_SHARE = 0.9
CHIMNEY_DATA = W_CHIMNEY * TRANSPORTS + T_DATA


@dataclass(eq=False)
class Frame:
    """A frame, or a copy of a flooded one, in the host."""

    arrived: int
    seat: int
    way: int
    wire: int
    payload: int
    queue: Queue | None
    copies: list[Frame] = field(default_factory=list)
    holds: str = ""


@dataclass(eq=False)
class Queue:
    """A ring."""

    ring: int
    processor: Processor
    urgent: bool = False
    used: int = 0
    waiting: deque[Frame] = field(default_factory=deque)
    in_hand: int = 0
    recent: int = 0
    frames: int = 0
    lost: int = 0
    peak: int = 0
    moves: int = 0


@dataclass(eq=False)
class Seat:
    """A VM with its guest, or another receiver."""

    processor: Processor
    buffers: int
    waiting: deque[Frame] = field(default_factory=deque)
    backlog: int = 0
    copied: int = 0
    filled: int = 0
    frames: int = 0
    payload: int = 0
    busy: int = 0
    lost: int = 0
    peak: int = 0


@dataclass(eq=False)
class Processor:
    """A logical processor with the vector of its queues."""

    vector: str = "quiet"
    interrupt: int | None = None
    interrupted: int = -(1 << 60)
    dpc_end: int | None = None
    dpc_ps: int = 0
    resume: int = 0
    resume_due: int | None = None
    guest_end: int | None = None
    guest_from: int = 0
    ready: deque[Queue] = field(default_factory=deque)
    hand: list[Frame] | None = None
    runs: deque[Seat] = field(default_factory=deque)
    vm: Seat | None = None
    guest_hand: list[Frame] = field(default_factory=list)
    parent_busy: int = 0
    guest_busy: int = 0
    recent: int = 0

    @property
    def soonest(self) -> int | None:
        """The earliest of what is due here."""
        times = (self.dpc_end, self.interrupt, self.guest_end, self.resume_due)
        return min((time for time in times if time is not None), default=None)


class PlainHost:
    """The modelled host, as plain as it can be.

    Parameters
    ----------
    profile : HostProfile
        Capacities and costs.
    queue_processors, guest_processors : sequence of int
        As for :class:`vswitch.timed.Clockwork`.
    unmoderated : int
        Ring whose interrupts are not moderated, -1 = none.
    acks : bool
        Whether acknowledgments are charged to the data that they answer.
    """

    def __init__(
        self,
        profile: HostProfile,
        queue_processors: Sequence[int],
        guest_processors: Sequence[int],
        *,
        unmoderated: int = -1,
        acks: bool = True,
    ) -> None:
        self.profile = profile
        self.prices = prices(profile.costs, profile.ps_per_cycle, acks=acks).tolist()
        self.processors = [Processor() for _ in range(profile.processors)]
        self.queues = [
            Queue(profile.ring_buffers, self.processors[p], n == unmoderated)
            for n, p in enumerate(queue_processors)
        ]
        if profile.team is not None:
            alike = self.queues[:1] if profile.team.sums else self.queues[:-1]
            for queue in alike:
                queue.ring *= profile.team.members
        buffers = max(profile.vm_buffers, profile.guest_batch)
        self.seats = [Seat(self.processors[p], buffers) for p in guest_processors]
        self.moderation = profile.moderation_ns * 1000
        self.signal_ps = round(profile.costs["vmbus_signal"] * profile.ps_per_cycle)
        self.interrupt_ps = round(profile.costs["interrupt"] * profile.ps_per_cycle)
        self.buffer_bytes = round(profile.costs["chimney_buffer_bytes"])
        self.rebalance_ps = profile.rebalance_ns * 1000
        self.rebalance_due = self.rebalance_ps if profile.dynamic else None
        self.now = self.last = self.longest = 0
        self.signals = self.interrupts = self.dpcs = self.held_back = self.absorbed = 0
        self.counts: Counter[tuple[int, str]] = Counter()
        self.latencies_ns: Counter[int] = Counter()

    # what arrives

    def arrive(
        self, when: int, way: int, queue: int, seat: int, wire: int, load: int,
        copies: Sequence[tuple[int, int]] = (),
    ) -> bool:  # fmt: skip
        """Let a frame arrive; tell whether it found a receive buffer.

        Parameters
        ----------
        when : int
            Time in ps.
        way, queue, seat, wire, load : int
            As in the columns of the event loop.
        copies : sequence of (int, int)
            Way and seat of each copy of a flooded frame.

        Returns
        -------
        bool
            False when it is lost.
        """
        if way == ON_BOARD:
            return True
        self._run_until(when)
        ring = self.queues[queue]
        ring.frames += 1
        payload, kind = load >> PAYLOAD_SHIFT, way & WAY_BITS
        if kind // TRANSPORTS == W_CHIMNEY:
            kept = kind != CHIMNEY_DATA or self._fill(
                ring, self.seats[seat], bool(way & PUSHED), payload, when
            )
            self.absorbed += kept
        else:
            kept = ring.used < ring.ring
            if kept:
                frame = Frame(when, seat, kind, wire, payload, ring)
                frame.copies = [Frame(when, s, w, wire, payload, None) for w, s in copies]
                self._put(ring, frame, when)
        if not kept:
            ring.lost += 1
            if seat >= 0:
                self.seats[seat].lost += 1
        return kept

    def _fill(self, ring: Queue, seat: Seat, pushed: bool, payload: int, when: int) -> bool:
        if seat.filled + payload > max(65535, self.buffer_bytes):
            return False
        seat.filled += payload
        if seat.filled >= self.buffer_bytes or (pushed and seat.filled > 0):
            if ring.used < ring.ring:
                self._send_up(ring, seat, when)
        return True

    def _send_up(self, ring: Queue, seat: Seat, when: int) -> None:
        frame = Frame(when, self.seats.index(seat), CHIMNEY_DATA, 0, seat.filled, ring)
        seat.filled = 0
        self._put(ring, frame, when)

    def _put(self, ring: Queue, frame: Frame, when: int) -> None:
        ring.used += 1
        ring.peak = max(ring.peak, ring.used)
        ring.waiting.append(frame)
        if ring.in_hand == 0 and not any(ring in one.ready for one in self.processors):
            processor = ring.processor
            processor.ready.append(ring)
            if processor.vector == "quiet" or (processor.vector == "armed" and ring.urgent):
                self._arm(processor, when)

    # the parent

    def _arm(self, processor: Processor, now: int) -> None:
        when = now
        if not processor.ready[-1].urgent:
            when = max(now, processor.interrupted + self.moderation)
        processor.vector = "armed"
        if processor.interrupt is None or when < processor.interrupt:
            processor.interrupt = when

    def _start_dpc(self, processor: Processor, now: int) -> None:
        if processor.vector != "at work" or processor.hand is not None or not processor.ready:
            return
        if now < processor.resume and (processor.vm is not None or processor.runs):
            processor.resume_due = processor.resume
            return
        processor.resume_due = None
        self.dpcs += 1
        spent = self.interrupt_ps
        hand: list[Frame] = []
        while processor.ready and len(hand) < self.profile.dpc_budget:
            queue = processor.ready.popleft()
            cost = 0
            signalled: int | None = None
            while queue.waiting and len(hand) < self.profile.dpc_budget:
                frame = queue.waiting.popleft()
                hand.append(frame)
                queue.in_hand += 1
                for piece in (frame, *frame.copies):
                    price = self.prices[piece.way]
                    cost += (
                        price[P_PARENT]
                        + (
                            piece.wire * price[P_PARENT_WIRE_FS]
                            + piece.payload * price[P_PARENT_PAYLOAD_FS]
                        )
                        // 1000
                    )
                    batch = price[P_SIGNALS] == SIGNAL_BATCH
                    if price[P_SIGNALS] == SIGNAL_EACH or (batch and piece.seat != signalled):
                        self.signals += 1
                        cost += self.signal_ps
                        if batch:
                            signalled = piece.seat
            queue.recent += cost
            spent += cost
        processor.hand = hand
        processor.dpc_ps = spent
        processor.dpc_end = now + spent
        processor.parent_busy += spent
        processor.recent += spent
        if processor.vm is not None:
            self._note_guest(processor, now)
            assert processor.guest_end is not None
            processor.guest_end += spent
            processor.guest_from = now + spent

    def _end_of_dpc(self, processor: Processor, now: int) -> None:
        hand, processor.dpc_end = processor.hand or [], None
        for frame in hand:
            queue = frame.queue
            assert queue is not None
            for piece in (frame, *frame.copies):
                for name in ("frames", "wire", "payload"):
                    self.counts[piece.way, name] += 1 if name == "frames" else getattr(piece, name)
                ends = self.prices[piece.way][P_ENDS]
                if ends == ENDS_IN_VM:
                    self._hand_over(piece, now)
                    continue
                if ends != ENDS_NOWHERE:
                    self._deliver(piece, now)
                if piece.queue is not None:
                    queue.used -= 1
            queue.in_hand -= 1
            if queue.in_hand == 0 and queue.waiting:
                queue.processor.ready.append(queue)
                if queue.processor is not processor and queue.processor.vector != "at work":
                    self._arm(queue.processor, now)
        processor.hand = None
        processor.resume = now + processor.dpc_ps
        if not processor.ready:
            processor.vector = "quiet"
        elif len(hand) >= self.profile.dpc_budget:
            self._start_dpc(processor, now)
        else:
            self._arm(processor, now)

    # the guests

    def _hand_over(self, frame: Frame, now: int) -> None:
        seat = self.seats[frame.seat]
        way = frame.way // TRANSPORTS
        if way == W_SHARED:
            frame.holds = "shared"
        elif way == W_CHIMNEY:
            assert frame.queue is not None
            frame.queue.used -= 1
        elif frame.queue is None or seat.copied < seat.buffers:
            self._copy(seat, frame)
        else:
            frame.holds = "ring"
            self.held_back += 1
        seat.waiting.append(frame)
        seat.backlog += 1
        seat.peak = max(seat.peak, seat.backlog)
        processor = seat.processor
        if seat not in processor.runs and processor.vm is not seat:
            processor.runs.append(seat)
            self._start_guest(processor, now)

    @staticmethod
    def _copy(seat: Seat, frame: Frame) -> None:
        seat.copied += 1
        frame.holds = "vm"
        if frame.queue is not None:
            frame.queue.used -= 1

    def _start_guest(self, processor: Processor, now: int) -> None:
        if processor.vm is not None or not processor.runs:
            return
        seat = processor.runs.popleft()
        spent = 0
        processor.guest_hand = []
        while seat.waiting and len(processor.guest_hand) < self.profile.guest_batch:
            frame = seat.waiting.popleft()
            price = self.prices[frame.way]
            spent += price[P_GUEST] + frame.payload * price[P_GUEST_PAYLOAD_FS] // 1000
            if frame.holds == "ring":
                self._copy(seat, frame)
            processor.guest_hand.append(frame)
        begin = now
        if processor.hand is not None and processor.dpc_end is not None:
            begin = max(now, processor.dpc_end)
        processor.vm = seat
        processor.guest_from = begin
        processor.guest_end = begin + spent

    def _note_guest(self, processor: Processor, now: int) -> None:
        if now > processor.guest_from:
            assert processor.vm is not None
            processor.guest_busy += now - processor.guest_from
            processor.vm.busy += now - processor.guest_from

    def _end_of_guest(self, processor: Processor, now: int) -> None:
        self._note_guest(processor, now)
        seat = processor.vm
        assert seat is not None
        processor.vm, processor.guest_end = None, None
        for frame in processor.guest_hand:
            self._deliver(frame, now)
            seat.backlog -= 1
            if frame.holds == "vm":
                seat.copied -= 1
            elif frame.holds == "shared":
                assert frame.queue is not None
                frame.queue.used -= 1
        for frame in seat.waiting:
            if seat.copied >= seat.buffers:
                break
            if frame.holds == "ring":
                self._copy(seat, frame)
        if seat.backlog:
            processor.runs.append(seat)
        self._start_guest(processor, now)

    def _deliver(self, frame: Frame, now: int) -> None:
        wait = now - frame.arrived
        self.latencies_ns[wait // 1000] += 1
        self.longest = max(self.longest, wait)
        self.last = now
        seat = self.seats[frame.seat]
        seat.frames += 1
        seat.payload += frame.payload

    # time

    def _next(self) -> int | None:
        times = [one.soonest for one in self.processors] + [self.rebalance_due]
        return min((time for time in times if time is not None), default=None)

    def _run_until(self, when: int) -> None:
        while (following := self._next()) is not None and following <= when:
            self._happen(following)

    def _happen(self, now: int) -> None:
        self.now = now
        for processor in self.processors:
            if processor.soonest != now:
                continue
            if processor.dpc_end == now:
                self._end_of_dpc(processor, now)
            elif processor.interrupt == now:
                processor.vector, processor.interrupt = "at work", None
                processor.interrupted = now
                self.interrupts += 1
                self._start_dpc(processor, now)
            elif processor.guest_end == now:
                self._end_of_guest(processor, now)
                self._start_dpc(processor, now)
            else:
                processor.resume_due = None
                self._start_dpc(processor, now)
            return
        self._rebalance(now)

    def _rebalance(self, now: int) -> None:
        hottest = max(self.processors, key=lambda one: one.recent)
        coolest = min(self.processors, key=lambda one: one.recent)
        if hottest.recent >= HOT_SHARE * self.rebalance_ps:
            there = [q for q in self.queues[1:-1] if q.processor is hottest and q.recent > 0]
            if len(there) > 1:
                least = min(there, key=lambda queue: queue.recent)
                if coolest.recent + least.recent < hottest.recent:
                    least.processor = coolest
                    least.moves += 1
        for processor in self.processors:
            processor.recent = 0
        for queue in self.queues:
            queue.recent = 0
        self.rebalance_due = now + self.rebalance_ps

    def finish(self) -> None:
        """Let everything happen that the frames so far cause."""
        rest = deque(seat for seat in self.seats if seat.filled)
        ring = self.queues[0]
        while True:
            while rest and ring.used < ring.ring:
                self._send_up(ring, rest.popleft(), self.now)
            if all(one.soonest is None for one in self.processors):
                return
            following = self._next()
            assert following is not None
            self._happen(following)
