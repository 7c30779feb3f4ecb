"""One live move in which things break: a transaction whose commit is the disk's reservation.

Everything happens as events on a stage, after each of which the invariants are held.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import partial

from migration.announce import announcement
from migration.cluster import invariants
from migration.cluster.case import (
    CAM_AGEING_NS,
    LINK_GIVE_UP_NS,
    MS,
    STALLED_BYTES_PER_S,
    Case,
    Ending,
    S,
    Told,
    phases_of,
    planned,
    start_ns,
)
from migration.cluster.faults import MEANINGS, PHASES, Fault, Kind, Phase
from migration.cluster.stage import SOURCE, TARGET, Copy, Node, Stage
from migration.cluster.storage import PDO_REMOVE_NS
from migration.cluster.strikes import STRIKES, give_up_disk
from migration.move import Move


def tell(case: Case) -> Told:
    """Run a case.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Told
    """
    return FaultedMove(case).run()


class FaultedMove:
    """A move under way, and what breaks in it.

    Parameters
    ----------
    case : Case
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        source = Node("source", case.queues[0], case.others[0])
        target = Node("target", case.queues[1], case.others[1])
        other = Node("third node", case.queues[1], case.others[1])
        self.stage = Stage(source, target, other)
        if case.nodes < 3:
            other.crash()
        source.copy, source.reserved, source.complete = Copy.RUNNING, True, True
        source.connect()
        if source.adapter.queue_of("vm") is None:
            source.chimney = case.chimney
        self.events: list[tuple[int, str]] = []
        self._queue: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self.epoch = 0
        self.reservation = SOURCE
        self.committed = False
        self.moving = True
        self.excused = False
        self.ending: Ending | None = None
        self.reason = ""
        self.struck: list[tuple[Kind, Phase]] = []
        self.broken: list[tuple[int, str]] = []
        self.checks = 0
        self.stopped_at = -1
        self.pause_ns = 0
        self.lost_at = -1
        self.restart_ns = 0
        self.restarting = -1
        self.lost_announcements = 0
        self.no_memory = False
        self.slower = False
        self.last_ns = 0
        self.planned: dict[int, tuple[int, str]] = {}
        self.plan = self._planned()
        self.phases = phases_of(self.plan)

    # The plan, with what slows it

    def _planned(self) -> Move:
        case = self.case
        base = planned(case)
        phases = phases_of(base)
        paces: list[tuple[int, float]] = []
        slower: list[tuple[int, float]] = []
        downs: list[tuple[int, int]] = []
        for n, fault in enumerate(case.faults):
            begin, end = phases[fault.phase]
            at = max(1, begin + round(fault.share * (end - begin)))
            place = PHASES.index(fault.phase)
            if fault.kind is Kind.LINK_SLOWDOWN and place < 4:
                slower.append((at, fault.strength))
                text = f"the link slows down to {fault.strength:.0%} of its rate"
            elif fault.kind is Kind.DIRTIES and place < 2:
                paces.append((at, fault.strength))
                text = f"the guest writes {fault.strength:.0f} times as fast"
            elif (
                fault.kind is Kind.LINK_LOSS and 0 < fault.back_ns <= LINK_GIVE_UP_NS and place < 4
            ):
                downs.append((at, at + fault.back_ns))
                text = f"the link is down for {fault.back_ns / S:.1f} s; the move waits for it"
            else:
                continue
            self.planned[n] = at, text
        if not self.planned:
            return base

        def rate(at: int) -> float:
            if any(begin <= at < end for begin, end in downs):
                return STALLED_BYTES_PER_S
            left = math.prod(share for begin, share in slower if begin <= at)
            return case.link_bytes_per_s * left

        times = {0, *(at for at, _ in slower), *(at for down in downs for at in down)}
        link = tuple((at, rate(at)) for at in sorted(times))
        pace = tuple(
            (at, math.prod(factor for begin, factor in paces if begin <= at))
            for at in sorted({0, *(at for at, _ in paces)})
        )
        return planned(case, link, pace)

    def _slow(self, fault: Fault, text: str, now: int) -> None:
        """Tell of what the plan knows already, where the move is still under way."""
        if self.moving and not self.committed:
            self.struck.append((fault.kind, fault.phase))
            self.say(now, text)
            self.slower = True

    # Time

    def say(self, at_ns: int, text: str) -> None:
        """Add to the story."""
        self.events.append((at_ns, text))

    def at(self, when_ns: int, what: Callable[[int], None], *, of_move: bool = False) -> None:
        """Do something at a time; what is of the move only while nothing has ended it."""
        epoch = self.epoch if of_move else -1
        heapq.heappush(self._queue, (when_ns, self._sequence, epoch, what))
        self._sequence += 1

    def run(self) -> Told:
        """Run to the end."""
        phases = self.phases
        self.say(0, f"{self.case.policy}: the move begins, {self.case.memory_pages} pages")
        self.at(round(phases[Phase.SETUP][1] * 0.6), self._reserve, of_move=True)
        if self.plan.completed:
            self.at(phases[Phase.STOP][0], self._suspend, of_move=True)
            self.at(phases[Phase.STATE][1], self._complete, of_move=True)
            begin, end = phases[Phase.HANDOVER]
            self.at((begin + end) // 2, self._hand_over, of_move=True)
            self.at(phases[Phase.START][1], self._start, of_move=True)
            self.at(phases[Phase.CLEANUP][1], self._clean_up, of_move=True)
        else:
            self.at(
                self.plan.end_ns,
                lambda now: self.roll_back(now, "it does not converge"),
                of_move=True,
            )
        for n, fault in enumerate(self.case.faults):
            if n in self.planned:
                when, text = self.planned[n]
                self.at(when, partial(self._slow, fault, text))
                continue
            begin, end = phases[fault.phase]
            self.at(
                begin + round(fault.share * (end - begin)),
                partial(self._strike, fault),
            )
        while self._queue:
            now, _, epoch, what = heapq.heappop(self._queue)
            if epoch >= 0 and epoch != self.epoch:
                continue
            what(now)
            self.last_ns = now
            self._hold(now)
        return self._told()

    def _hold(self, now: int) -> None:
        """Let running copies write, and hold the invariants."""
        stage = self.stage
        for n, node in enumerate(stage.nodes):
            if node.copy is not Copy.RUNNING or not stage.disk.there:
                continue
            if not node.disk and n == self.reservation:
                continue  # its writes wait for a path
            taken = node.disk and stage.disk.write(n)
            if taken != (n == self.reservation):
                self.broken.append((now, "one-writer"))
            if not taken and node.evicted:
                # Rule: a write without the reservation is refused; the guest sees its disk fail
                node.copy = Copy.STALE
                node.disconnect()
                self.say(now, f"the write of the copy that still ran on the {node.name} is refused")
        self.checks += 1
        for name in invariants.after_event(
            stage, self.excused, not self.committed and self.lost_at < 0
        ):
            self.broken.append((now, name))

    def _told(self) -> Told:
        stage = self.stage
        holders = stage.holders()
        holder = holders[0] if holders else -1
        ended = {Ending.ROLLED_BACK: SOURCE, Ending.REFUSED: SOURCE, Ending.COMPLETED: TARGET}
        expected = None if self.ending is Ending.LOST else self.reservation
        if self.ending is not None:
            expected = ended.get(self.ending, expected)
        for name in invariants.at_the_end(stage, expected):
            self.broken.append((self.last_ns, name))
        if self.ending is None:
            self.broken.append((self.last_ns, "accounted"))
        ending = self.ending or Ending.COMPLETED
        self.events.sort(key=lambda one: one[0])
        return Told(
            case=self.case, ending=ending, reason=self.reason, holder=holder,
            struck=tuple(self.struck), pause_ns=self.pause_ns, restart_ns=self.restart_ns,
            total_ns=self.last_ns, slower=self.slower and ending is Ending.COMPLETED,
            refused_writes=stage.disk.refused, checks=self.checks, broken=tuple(self.broken),
            events=self.events, plan=self.plan,
        )  # fmt: skip

    # Steps of the move

    def _reserve(self, now: int) -> None:
        target = self.stage.nodes[TARGET]
        if self.no_memory:
            self.moving = False
            self.epoch += 1
            self.ending, self.reason = Ending.REFUSED, "the target has not the memory"
            self.say(now, "the target cannot reserve the memory: refused before anything was sent")
            return
        target.copy, target.reserved = Copy.SKELETON, True
        self.say(now, "the target makes a skeleton of the VM and reserves its memory")

    def _suspend(self, now: int) -> None:
        source = self.stage.nodes[SOURCE]
        if source.chimney:
            self.say(now, f"{source.chimney} offloaded connections are uploaded to the guest")
            source.chimney = 0
        source.clear_filters()
        source.copy = Copy.SUSPENDED
        self.stop(now)
        self.say(
            now,
            f"suspended after {len(self.plan.passes) - 1} passes; its frames take the default queue",
        )

    def _complete(self, now: int) -> None:
        self.stage.nodes[TARGET].complete = True
        self.stage.equal = bool(self.plan.memory_equal)
        self.say(now, "memory and device state are complete on the target, page by page")

    def _hand_over(self, now: int) -> None:
        stage = self.stage
        source, target = stage.nodes[SOURCE], stage.nodes[TARGET]
        if not (target.able and target.disk and stage.disk.hand_over(SOURCE, TARGET)):
            self.roll_back(now, "the target cannot take the disk")
            return
        self.committed, self.reservation = True, TARGET
        source.copy = Copy.STALE
        source.disconnect()
        target.copy = Copy.SUSPENDED
        target.connect()
        queue = target.adapter.queue_of("vm")
        self.say(
            now,
            "the reservation goes to the target: from here on it is the VM; its port gets "
            + (f"VM queue {queue}" if queue else "no VM queue, and takes the software path"),
        )

    def _start(self, now: int) -> None:
        stage = self.stage
        target = stage.nodes[TARGET]
        if target.disk and stage.disk.there:
            target.copy = Copy.RUNNING
            self.go_on(now)
            self.say(now, f"the VM runs on the target, after {self.pause_ns / MS:.1f} ms")
        else:
            target.copy = Copy.CRITICAL
            self.say(now, "the VM is on the target, paused: it has no disk")
        self._announce(now)

    def _announce(self, now: int) -> None:
        frames = announcement(self.case.announce).frames
        if not self.lost_announcements:
            return
        left = frames[self.lost_announcements :]
        reached = min(left[0][0] if left else CAM_AGEING_NS, self.case.talks_ns, CAM_AGEING_NS)
        lost = min(self.lost_announcements, len(frames))
        self.pause_ns += reached
        self.say(
            now + reached,
            f"{lost} announcements were lost: frames go to the old port for {reached / MS:.0f} ms",
        )

    def _clean_up(self, now: int) -> None:
        source = self.stage.nodes[SOURCE]
        if source.alive:
            source.forget()
        self.moving = False
        if self.ending is None:
            self.ending = Ending.COMPLETED
        self.say(now, "the source forgets the VM, its queue and its memory")

    # Stopping and going on

    def stop(self, now: int) -> None:
        """Note that the VM stands still."""
        if self.stopped_at < 0:
            self.stopped_at = now

    def go_on(self, now: int) -> None:
        """Note that it runs again."""
        if self.stopped_at >= 0:
            self.pause_ns += now - self.stopped_at
            self.stopped_at = -1

    def roll_back(self, now: int, why: str) -> None:
        """Take the move back: the source holds the reservation, so that it is the VM."""
        stage = self.stage
        source, target = stage.nodes[SOURCE], stage.nodes[TARGET]
        self.epoch += 1
        self.moving = False
        if target.alive:
            target.forget()
        self.ending, self.reason = Ending.ROLLED_BACK, why
        if source.copy is Copy.SUSPENDED:
            self.say(now, f"rolled back: {why}; the source holds the reservation and goes on")
            self.at(now + start_ns(self.case), self._resume_source, of_move=True)
        elif source.copy is Copy.RUNNING and not source.disk:
            source.copy = Copy.CRITICAL
            self.stop(now)
            self.say(now, f"rolled back: {why}; the VM is paused, since the source has no disk")
        else:
            self.say(now, f"rolled back: {why}; the VM never stopped")

    def _resume_source(self, now: int) -> None:
        stage = self.stage
        source = stage.nodes[SOURCE]
        if source.copy is not Copy.SUSPENDED or stage.disk.owner != SOURCE:
            return
        source.set_filters()
        if source.disk and stage.disk.there:
            source.copy = Copy.RUNNING
            self.go_on(now)
            self.say(
                now,
                f"the VM runs on the source again, after a pause of {self.pause_ns / MS:.1f} ms",
            )
        else:
            source.copy = Copy.CRITICAL
            self.say(now, "the VM is on the source, paused: it has no disk")
            if not source.disk:
                self.at(now + PDO_REMOVE_NS, partial(give_up_disk, self, SOURCE))

    # What breaks

    def _phase(self, now: int) -> Phase:
        for phase in PHASES:
            if now < self.phases[phase][1]:
                return phase
        return Phase.CLEANUP

    def _strike(self, fault: Fault, now: int) -> None:
        self.struck.append((fault.kind, self._phase(now)))
        self.say(now, f"{MEANINGS[fault.kind]} ({self._phase(now)})")
        STRIKES[fault.kind](self, fault, now)

    def delay(self, now: int, by_ns: int) -> None:
        """Let the steps that are left come later."""
        left = [one for one in self._queue if one[2] == self.epoch]
        self._queue = [one for one in self._queue if one[2] != self.epoch]
        heapq.heapify(self._queue)
        for when, _, _, what in sorted(left):
            self.at(when + by_ns, what, of_move=True)
        self.phases = {
            phase: (begin if begin <= now else begin + by_ns, end if end <= now else end + by_ns)
            for phase, (begin, end) in self.phases.items()
        }

    def freeze(self, now: int, wait_ns: int, why: str) -> None:
        """Nothing of the move goes on; after a while it is rolled back."""
        self.epoch += 1
        self.at(now + wait_ns, lambda when: self.roll_back(when, why), of_move=True)
