"""A cluster for a day: loads go up and down, hosts get short, VMs are moved, hosts are emptied, things break.

Two clocks in one: the mover looks at fixed times, everything else is an event between two looks (a
move ends, a host is empty, something breaks or comes back). The same cluster, hours and seed give the
same run.

One live move a node at a time in 2008 R2 (more in 2012): what is asked for beyond waits its turn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from migration.cluster.curves import Loads
from migration.cluster.day_faults import Breakage
from migration.cluster.day_invariants import Watch
from migration.cluster.day_records import HOUR_NS, MINUTE_NS, Day, Event, MoveRecord, clock
from migration.cluster.model import RESOURCES, Cluster, Maintenance
from migration.cluster.monitor import Monitor
from migration.cluster.placement import Choice, Placement
from migration.cluster.transfer import transfer
from migration.cluster.usage import MEMORY, PROCESSORS, Usage, move_cycles
from migration.move import Move
from pcaps.errors import BadInput

SAMPLE_NS = 300_000_000_000
MOST_HOURS = 24 * 31
CANDIDATES = 4
"""VMs of a short host for which targets are looked for at a look."""
GAIN = 0.05
"""What a target must be less used than the source is, so that a move is worth it."""

Tell = Callable[[int, int], None]


def run(
    cluster: Cluster, *, hours: float = 24.0, seed: int = 0, mover: bool | None = None,
    tell: Tell | None = None,
) -> Day:  # fmt: skip
    """Run a cluster.

    Parameters
    ----------
    cluster : Cluster
    hours : float
        From midnight on.
    seed : int
        Of what is drawn around the loads.
    mover : bool, optional
        Whether VMs are moved when hosts are short; as the scenario says by default. Maintenance
        and faults happen either way.
    tell : callable, optional
        Told the time and the number of moves at every full hour.

    Returns
    -------
    Day

    Raises
    ------
    BadInput
        When the hours cannot be.
    """
    if not 0 < hours <= MOST_HOURS:
        raise BadInput(f"{hours:g} hours cannot be run; give 1 to {MOST_HOURS}")
    return _Run(cluster, hours, seed, cluster.mover.enabled if mover is None else mover).go(tell)


class _Run:
    """A run under way."""

    def __init__(self, cluster: Cluster, hours: float, seed: int, mover: bool) -> None:
        self.cluster = cluster
        self.day = Day(cluster, hours, seed, mover)
        self.usage = Usage(cluster, Loads(tuple(one.curve for one in cluster.vms), hours, seed))
        settings = cluster.mover
        hosts, vms = len(cluster.hosts), len(cluster.vms)
        self.names = [one.name for one in cluster.hosts]
        self.place = {name: n for n, name in enumerate(self.names)}
        self.monitor = Monitor(settings, hosts)
        high = [one.high for one in settings.thresholds]
        self._high = np.array(high)[:, None]
        self.placement = Placement(self.usage, settings.weights, high)
        self.moving: dict[int, MoveRecord] = {}
        self.busy = np.zeros(hosts, np.int64)
        self.draining = np.zeros(hosts, bool)
        self._host_until = np.zeros(hosts, np.int64)
        self._vm_until = np.zeros(vms, np.int64)
        self._declined: set[tuple[int, int]] = set()
        self._known_short = np.zeros_like(self.monitor.short)
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self._waiting: deque[tuple[int, int, str]] = deque()
        self._stuck: set[int] = set()
        self._again: dict[int, int] = {}
        self._incoming = np.zeros((len(RESOURCES), hosts))
        self._held: dict[int, tuple[float, npt.NDArray[np.float64]]] = {}
        self._work: dict[int, tuple[Maintenance, int]] = {}
        self.breakage = Breakage(self)
        for one in cluster.maintenance:
            self._schedule_work(one, 0, one.at_ns)
        for fault in cluster.faults:
            self.at(fault.at_ns, partial(self.breakage.begin, fault))

    # Time

    def at(self, when_ns: int, what: Callable[[int], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (when_ns, self._sequence, what))
        self._sequence += 1

    def note(self, now: int, kind: str, host: int, text: str) -> None:
        """Remember an event."""
        self.day.events.append(Event(now, kind, host, text))

    def go(self, tell: Tell | None) -> Day:
        """Run to the end."""
        end = round(self.day.hours * 3_600_000_000_000)
        step = self.cluster.mover.interval_ns
        now = 0
        self.breakage.start()
        watch = Watch(self)
        while True:
            self._until(now)
            watch.look()
            self.usage.read(now)
            use = self.usage.of_hosts()
            if now % SAMPLE_NS == 0:
                self._sample(now, use)
            if tell is not None and now % HOUR_NS == 0:
                tell(now, len(self.day.moves))
            if now >= end:
                break
            following = min((now // step + 1) * step, (now // MINUTE_NS + 1) * MINUTE_NS, end)
            self._account(use, following - now)
            self.breakage.retry(now)
            if self.day.mover and now % step == 0:
                self._look(use, now)
            self._begin_waiting(now)
            now = following
        self.breakage.close(end)
        self.day.checks, self.day.broken = watch.checks, dict(watch.broken)
        return self.day

    def _until(self, now: int) -> None:
        """Let everything happen that is due."""
        while self._events and self._events[0][0] <= now:
            when, _, what = heapq.heappop(self._events)
            what(when)
            self._begin_waiting(when)

    def _account(self, use: npt.NDArray[np.float64], dt_ns: int) -> None:
        minutes = dt_ns / 60e9
        totals = self.day.totals
        over, high = use > 1.0, use > self._high
        for n in range(len(RESOURCES)):
            totals.overload_min[n] += minutes * int(np.count_nonzero(over[n]))
            totals.above_high_min[n] += minutes * int(np.count_nonzero(high[n]))
        usage = self.usage
        hit = over[PROCESSORS][usage.host_of] & usage.up
        totals.vm_overload_min += minutes * int(np.count_nonzero(hit))

    def _sample(self, now: int, use: npt.NDArray[np.float64]) -> None:
        self.day.sample_ns.append(now)
        self.day.samples.append(use.astype(np.float32))
        counts = np.bincount(self.usage.host_of, self.usage.up, len(self.names))
        self.day.counts.append(counts.astype(np.int32))

    # What the mover does

    def _look(self, use: npt.NDArray[np.float64], now: int) -> None:
        short = self.monitor.look(use, now)
        for resource, host in zip(*np.nonzero(short & ~self._known_short), strict=True):
            self.note(
                now, "short", int(host),
                f"{self.names[host]} is short of {RESOURCES[resource]}: {use[resource, host]:.0%}, above "
                f"{self._high[resource, 0]:.0%} for {self.cluster.mover.duration_ns / 60e9:g} min",
            )  # fmt: skip
        self._known_short = short.copy()
        self._declined = {(host, one) for host, one in self._declined if short[one, host]}
        for host in np.flatnonzero(short.any(axis=0)).tolist():
            if self.busy[host] >= self.cluster.most_moves or now < self._host_until[host]:
                continue
            if self.draining[host] or not self.usage.online[host]:
                continue
            resource = int(np.argmax(np.where(short[:, host], use[:, host] / self._high[:, 0], 0)))
            if self._relieve(host, resource, use, now):
                use = self.usage.of_hosts()

    def _relieve(self, host: int, resource: int, use: npt.NDArray[np.float64], now: int) -> bool:
        """Move a VM away from a host that is short; True when one moves."""
        usage = self.usage
        threshold = self.cluster.mover.thresholds[resource]
        free = (usage.host_of == host) & usage.up & (self._vm_until <= now)
        here = np.array([vm for vm in np.flatnonzero(free).tolist() if vm not in self.moving])
        relief = usage.relief(here, host, resource)
        wanted = float(use[resource, host]) - threshold.low
        # most relief for the least memory; what relieves nothing is no candidate
        worth = np.minimum(relief, wanted) / usage.memory[here] if here.size else relief
        best = np.argsort(-worth, kind="stable")[:CANDIDATES]
        why = "no VM on it uses it"
        for place in best.tolist():
            vm, taken = int(here[place]), float(relief[place])
            if taken <= 0:
                break
            choice = self._choose(vm, use, now, pressing=False)
            if choice.host < 0:
                if "busy" in (choice.refused or {}):
                    return False  # a host is free again soon
                why = choice.sentence(self.names)
                continue
            after = float(use[resource, choice.host] + usage.of_vm(vm, choice.host)[resource])
            if after > float(use[resource, host]) - GAIN:
                why = "no target would be less used than it is"
                continue
            name = self.cluster.vms[vm].name
            plan = self._plan(vm, choice.host)
            if not plan.completed:
                why = f"{name} writes its memory faster than it could be sent"
                continue
            if plan.blackout_ns > self.cluster.mover.most_blackout_ns:
                why = f"{name} would stand still for {plan.blackout_ns / 1e9:.1f} s"
                continue
            reason = self._reason(vm, taken, host, resource, float(use[resource, host]))
            self._begin(vm, choice, RESOURCES[resource], reason, now, now)
            return True
        self._host_until[host] = now + self.cluster.mover.duration_ns  # looked for again then
        if (host, resource) not in self._declined:
            self._declined.add((host, resource))
            cause = RESOURCES[resource]
            self.day.declined[cause] = self.day.declined.get(cause, 0) + 1
            self.note(now, "declined", host, f"{self.names[host]} stays short of {cause}: {why}")
        return False

    def _reason(self, vm: int, taken: float, host: int, resource: int, used: float) -> str:
        """Return why a VM has to leave a host."""
        threshold = self.cluster.mover.thresholds[resource]
        name, what = self.names[host], RESOURCES[resource]
        crossed = (
            f"above {threshold.high:.0%} since {clock(self.monitor.since(resource, host))}"
            if used > threshold.high
            else f"not yet below {threshold.low:.0%}"
        )
        return (
            f"{name} has {used:.0%} of its {what} in use, {crossed}; {self.cluster.vms[vm].name} takes "
            f"{taken:.0%} and {self.usage.memory[vm] / 2**30:.1f} GiB"
        )

    def _choose(self, vm: int, use: npt.NDArray[np.float64], now: int, *, pressing: bool) -> Choice:
        closed = ~self.usage.online | self.draining | self.breakage.closed_for(vm)
        busy = self.busy >= self.cluster.most_moves
        if not pressing:
            busy = busy | (self._host_until > now)
        return self.placement.choose(
            vm, use + self._incoming, closed=closed, busy=busy, pressing=pressing
        )

    # Moves

    def _plan(self, vm: int, target: int) -> Move:
        """Plan a move at the share of the network that it would get now."""
        beside = max(self.busy[int(self.usage.host_of[vm])], self.busy[target])
        one, load = self.cluster.vms[vm], float(self.usage.load[vm])
        return transfer(self.cluster, one, load, 1.0 / (int(beside) + 1))

    def _begin(
        self, vm: int, choice: Choice, cause: str, reason: str, asked: int, now: int
    ) -> None:
        usage = self.usage
        source, target = int(usage.host_of[vm]), choice.host
        load, plan = float(usage.load[vm]), self._plan(vm, target)
        self.busy[source] += 1
        self.busy[target] += 1
        record = MoveRecord(
            len(self.day.moves) + 1, vm, source, target, cause, reason, choice, now, now - asked,
            load, plan,
        )  # fmt: skip
        self.day.moves.append(record)
        self.moving[vm] = record
        held, adds = usage.taken(vm, target), usage.of_vm(vm, target)
        adds[MEMORY] = 0.0  # reserved
        usage.reserved[target] += held
        self._incoming[:, target] += adds
        self._held[record.number] = held, adds
        for host, cost in self.costs(record):
            usage.moving[host] += cost
        self.at(record.end_ns, partial(self._end, record))

    def costs(self, record: MoveRecord) -> list[tuple[int, float]]:
        """Return what a move costs its two hosts, in logical processors while it runs."""
        plan = record.plan
        seconds = max(plan.end_ns / 1e9, 1e-9)
        found = []
        for host in (record.source, record.target):
            one = self.cluster.hosts[host]
            spent = plan.bytes_sent * move_cycles() / one.processor.clock_hz
            if host == record.source:
                spent += one.translation.tracking(plan)
            found.append((host, spent / seconds))
        return found

    def held(self, record: MoveRecord) -> float:
        """Return the memory that a move under way has reserved, in bytes."""
        return self._held[record.number][0]

    def _release(self, record: MoveRecord) -> None:
        """Give back what a move held of its hosts."""
        held, adds = self._held.pop(record.number)
        self.usage.reserved[record.target] -= held
        self._incoming[:, record.target] -= adds
        for host, cost in self.costs(record):
            self.usage.moving[host] = max(0.0, self.usage.moving[host] - cost)
        self.busy[record.source] -= 1
        self.busy[record.target] -= 1
        self.moving.pop(record.vm, None)

    def end_early(self, record: MoveRecord, outcome: str, now: int) -> None:
        """End a move before its time; its VM stays where it is."""
        record.outcome = outcome
        self._release(record)
        self.at(now, partial(self._left, record))

    def _left(self, record: MoveRecord, now: int) -> None:
        """Go on with what waited for a move that ended early."""
        self.leave(record.vm, now)
        self._emptied(record.source, now)
        self._emptied(record.target, now)

    def _end(self, record: MoveRecord, now: int) -> None:
        if record.outcome != "running":
            return  # it ended early
        if not record.plan.completed:
            until = now + self.cluster.mover.cool_down_ns
            self._vm_until[record.vm] = self._again[record.vm] = until
            self.end_early(record, "rolled back: it did not converge", now)
            return
        self._release(record)
        record.outcome = "completed"
        self.usage.place(record.vm, record.target)
        self.leave(record.vm, now)
        until = now + self.cluster.mover.cool_down_ns
        self._vm_until[record.vm] = until
        if record.cause in RESOURCES:
            self._host_until[record.source] = now + self.cluster.mover.duration_ns
            self._host_until[record.target] = until
        self._emptied(record.source, now)

    # Maintenance

    def _schedule_work(self, work: Maintenance, number: int, when: int) -> None:
        if number < len(work.hosts):
            self.at(when, lambda now: self._empty(work, number, now))

    def _empty(self, work: Maintenance, number: int, now: int) -> None:
        """Begin to empty a host."""
        host = self.place[work.hosts[number]]
        if not self.usage.online[host] or host in self._work:
            why = "is emptied already" if host in self._work else "is not there"
            self.note(now, "maintenance", host, f"{self.names[host]} {why}; {work.what} skips it")
            self._schedule_work(work, number + 1, now)
            return
        if self._needed(host, work, number, now):
            return
        self.draining[host] = True
        here = np.flatnonzero((self.usage.host_of == host) & self.usage.up)
        self.note(
            now,
            "maintenance",
            host,
            f"{work.what}: {self.names[host]} is emptied of {len(here)} VMs",
        )
        self._work[host] = work, number
        for vm in here.tolist():
            self.leave(vm, now)
        self._emptied(host, now)

    def _needed(self, host: int, work: Maintenance, number: int, now: int) -> bool:
        """Tell whether the others are no majority without a host; then the next one's turn comes."""
        if self.breakage.endures_loss():
            return False
        text = f"{work.what}: {self.names[host]} stays, since without it the others are no majority"
        self.note(now, "quorum", host, text)
        self._schedule_work(work, number + 1, now)
        return True

    def leave(self, vm: int, now: int) -> None:
        """Ask for a move of a VM that is on a host which is being emptied, once."""
        host = int(self.usage.host_of[vm])
        if host not in self._work or not self.usage.up[vm] or vm in self.moving:
            return
        if all(vm != asked for asked, _, _ in self._waiting):
            self._waiting.append((vm, now, self._work[host][0].what))

    def _emptied(self, host: int, now: int) -> None:
        """Begin the work at a host when nothing is left on it."""
        usage = self.usage
        if host not in self._work or self.busy[host]:
            return
        if np.any((usage.host_of == host) & usage.up):
            return
        work, number = self._work.pop(host)
        if self._needed(host, work, number, now):  # since something broke meanwhile
            self.draining[host] = False
            return
        usage.online[host] = False
        self.note(
            now, "maintenance", host,
            f"{work.what}: {self.names[host]} is empty, worked on for {work.length_ns / 60e9:g} min",
        )  # fmt: skip
        self.breakage.hand_over_volumes(host, now)
        self.at(now + work.length_ns, partial(self._worked_on, host, work, number))

    def _worked_on(self, host: int, work: Maintenance, number: int, now: int) -> None:
        """Take a host back, and go on with the next one."""
        self.usage.online[host] = True
        self.draining[host] = False
        self.note(now, "maintenance", host, f"{work.what}: {self.names[host]} is back")
        self.breakage.check_quorum(now)
        self._schedule_work(work, number + 1, now)

    def give_up_work(self, host: int, now: int) -> None:
        """Leave out a host that crashed while it was emptied."""
        if host in self._work:
            work, number = self._work.pop(host)
            self.draining[host] = False
            text = f"{work.what}: {self.names[host]} crashed while it was emptied, and is left out"
            self.note(now, "maintenance", host, text)
            self._schedule_work(work, number + 1, now)

    def _begin_waiting(self, now: int) -> None:
        """Begin moves that had to wait, as far as hosts are free for them."""
        if not self._waiting:
            return
        use = None
        for _ in range(len(self._waiting)):
            vm, asked, what = self._waiting.popleft()
            source = int(self.usage.host_of[vm])
            if not self.draining[source] or not self.usage.up[vm]:
                continue
            if vm in self.moving:
                self._waiting.append((vm, asked, what))
                continue
            if self.busy[source] >= self.cluster.most_moves:
                self._waiting.append((vm, asked, what))
                continue
            use = self.usage.of_hosts() if use is None else use
            name = self.cluster.vms[vm].name
            choice = self._choose(vm, use, now, pressing=True)
            if choice.host < 0 or now < self._again.get(vm, 0):
                if choice.host < 0 and "busy" not in (choice.refused or {}):
                    self._say_stuck(vm, source, choice, now)
                self._waiting.append((vm, asked, what))
                continue
            self._stuck.discard(vm)
            reason = f"{what}: {self.names[source]} has to be empty, {name} is on it"
            self._begin(vm, choice, what, reason, asked, now)
            use = None

    def _say_stuck(self, vm: int, source: int, choice: Choice, now: int) -> None:
        """Say once that a VM cannot leave a host that is emptied."""
        if vm not in self._stuck:
            self._stuck.add(vm)
            name, why = self.cluster.vms[vm].name, choice.sentence(self.names)
            self.note(now, "declined", source, f"{name} cannot leave {self.names[source]}: {why}")
