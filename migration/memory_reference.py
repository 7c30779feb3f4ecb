"""Plain twin of the memory, the sender and post-copy: their specification.

Sets of page numbers instead of bitmaps, one page and one write at a time, nothing compiled. Floats
are added in the kernels' order, so that both give the same nanoseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from migration.policies import Policy
from migration.working_set import Pattern, WorkingSet
from pcaps.draws import Draws

PAGE, NS = 4096, 1e9
BATCH, LOOK_EVERY = 1024, 64


class PlainSender:
    """What the wire and the socket do with bytes."""

    def __init__(
        self, policy: Policy, steps: list[tuple[int, float]], quota: float, limit_ns: int
    ) -> None:
        self.policy, self.steps, self.quota, self.limit_ns = policy, steps, quota, limit_ns
        self.now = self.window_start = float(policy.setup_ns)
        self.wire_free = self.window_bytes = self.threshold = self.sent_bytes = 0.0
        self.pages = self.zeros = self.skipped = 0
        self.deadline = math.inf

    def put(self, n_bytes: float) -> None:
        """Put bytes into the socket, and wait until it has taken them."""
        starts = [float(start) for start, _ in self.steps]
        rates = [rate / NS for _, rate in self.steps]
        here = step = sum(start <= self.now for start in starts) - 1
        at, left = max(self.wire_free, self.now), n_bytes
        while step + 1 < len(starts) and (starts[step + 1] - at) * rates[step] <= left:
            left -= max(starts[step + 1] - at, 0.0) * rates[step]
            step += 1
            at = max(at, starts[step])
        self.wire_free = at = at + left / rates[step]
        behind = float(self.policy.socket_bytes)
        while step > here and (at - starts[step]) * rates[step] < behind:
            behind -= (at - starts[step]) * rates[step]
            at = starts[step]
            step -= 1
        self.now = max(self.now, at - behind / rates[step])
        self.window_bytes += n_bytes
        self.sent_bytes += n_bytes

    def end_of_burst(self) -> None:
        """Measure the bandwidth when the window is over; sleep to its end if the quota is used."""
        self._close()
        if self.window_bytes > self.quota:
            self.now = max(self.now, self.window_start + self.policy.window_ns)
            self._close()

    def _close(self) -> None:
        taken = self.now - self.window_start
        if taken >= self.policy.window_ns:
            self.threshold = self.window_bytes / taken * self.limit_ns
            self.window_start, self.window_bytes = self.now, 0.0


@dataclass
class PlainWriter:
    """A write set and how far it is."""

    pattern: Pattern
    first: int
    pages: int
    rate: float
    exponent: float
    draws: Draws
    number: int
    stride: int
    done: int = 0
    owed: float = 0.0

    def next_page(self) -> int:
        """Return the page that is written next."""
        if self.pattern is Pattern.SEQUENTIAL:
            return self.first + self.done * self.stride % self.pages
        if self.pattern is Pattern.UNIFORM:
            return self.first + ((self._word() >> 32) * self.pages >> 32)
        return self.first + self._rank() * self.stride % self.pages

    def _word(self, attempt: int = 0) -> int:
        origin = int(self.draws.words(self.number, 0, 1)[0])
        state = (origin + attempt * 0xD1342543DE82EF95) % 2**64
        state = (state + (self.done + 1) * 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        return state ^ state >> 31

    def _rank(self) -> int:
        """Draw a rank by rejection-inversion (Hoermann, Derflinger 1996)."""
        e = self.exponent

        def area(x: float) -> float:
            return math.log(x) if e == 1 else (x ** (1 - e) - 1) / (1 - e)

        def inverse(y: float) -> float:
            return math.exp(y) if e == 1 else (1 + y * (1 - e)) ** (1 / (1 - e))

        low, high = area(1.5) - 1, area(self.pages + 0.5)
        squeeze = 2 - inverse(area(2.5) - 2.0**-e)
        attempt = 0
        while True:
            y = high + (self._word(attempt) >> 11) * 2.0**-53 * (low - high)
            x = inverse(y)
            rank = int(min(max(x + 0.5, 1), self.pages))
            if rank - x <= squeeze or y >= area(rank + 0.5) - float(rank) ** -e:
                return rank - 1
            attempt += 1


class PlainMemory:
    """A guest's memory, page by page."""

    def __init__(self, pages: int, working_set: WorkingSet, zeros: set[int], seed: int) -> None:
        self.pages = pages
        self.source = [0] * pages
        self.target: list[int | None] = [None] * pages
        self.to_send: set[int] = set()
        self.log: set[int] = set()
        self.zero = set(zeros)
        self.pace = working_set.pace
        self.cursor = 0
        self.written_ns, self.share, self.running = 0.0, 1.0, False
        self.writers: list[PlainWriter] = []
        draws, first = Draws(seed), 0
        for number, one in enumerate(working_set.sets):
            stride = max(1, int(one.pages * 0.618033988749895))
            while math.gcd(stride, one.pages) != 1:
                stride += 1
            writer = PlainWriter(
                one.pattern, first, one.pages, one.writes_per_s / NS, one.exponent, draws, number,
                stride,
            )  # fmt: skip
            if one.pattern is Pattern.SEQUENTIAL:
                writer.done = int(draws.integers(number, 1, 1, one.pages)[0])
            self.writers.append(writer)
            first += one.pages

    def begin(self, now_ns: float) -> None:
        """Begin to note writes; all pages are to send."""
        self.to_send = set(range(self.pages))
        self.written_ns, self.running = now_ns, True

    def _pace_at(self, t_ns: float) -> tuple[float, float]:
        """Return the pace at a time, and until when it holds."""
        pace = [factor for start, factor in self.pace if start <= t_ns][-1]
        return pace, min((start for start, _ in self.pace if start > t_ns), default=math.inf)

    def write_until(self, now_ns: float) -> None:
        """Do the writes that were due."""
        while self.written_ns < now_ns:
            pace, until = self._pace_at(self.written_ns)
            end = min(now_ns, until)
            if self.running:
                run = (end - self.written_ns) * self.share * pace
                for writer in self.writers:
                    writer.owed += run * writer.rate
                    for _ in range(int(writer.owed)):
                        page = writer.next_page()
                        self.source[page] += 1
                        self.log.add(page)
                        self.zero.discard(page)
                        writer.done += 1
                    writer.owed -= int(writer.owed)
            self.written_ns = end

    def sync(self, now_ns: float) -> int:
        """Move the log to what is to be sent; return the pages that are new there."""
        self.write_until(now_ns)
        fresh = len(self.log - self.to_send)
        self.to_send |= self.log
        self.log = set()
        return fresh

    def _take(self) -> int:
        behind = [page for page in self.to_send if page >= self.cursor]
        page = min(behind or self.to_send)
        self.to_send.remove(page)
        self.cursor = page + 1
        return page

    def _send(self, sender: PlainSender, page: int) -> None:
        self.write_until(sender.now)
        zero = page in self.zero
        self.target[page] = self.source[page]
        sender.put(sender.policy.zero_bytes if zero else sender.policy.page_bytes)
        sender.pages += 1
        sender.zeros += zero

    def push(self, sender: PlainSender, tested: bool) -> bool:
        """Send in bursts; True when the rest may be small enough."""
        while True:
            if not tested:
                if not self.to_send or len(self.to_send) * PAGE < sender.threshold:
                    return True
                if sender.now >= sender.deadline:
                    return False
            tested, began, n = False, sender.now, 0
            while self.to_send and sender.window_bytes <= sender.quota:
                if n and n % LOOK_EVERY == 0 and sender.now - began > sender.policy.burst_ns:
                    break
                self._send(sender, self._take())
                n += 1
            sender.end_of_burst()

    def send_all(self, sender: PlainSender, skip: bool) -> None:
        """Send everything once, from the first page on; or leave out what is dirty again."""
        self.cursor = 0
        while self.to_send:
            if skip:
                self.write_until(sender.now)
            batch = [self._take() for _ in range(min(len(self.to_send), BATCH))]
            kept = [page for page in batch if not (skip and page in self.log)]
            sender.skipped += len(batch) - len(kept)
            for page in kept:
                self._send(sender, page)


class PlainTarget:
    """A guest that runs on the target while pages arrive, one event after the other."""

    def __init__(self, memory: PlainMemory, latency_ns: float) -> None:
        self.memory, self.latency = memory, latency_ns
        self.absent = set(memory.to_send)
        self.written: dict[int, int] = {}
        self.stalls: list[tuple[float, float]] = []
        self.requests = 0
        self.waiting: tuple[int, PlainWriter, float] | None = None
        self.asked = math.inf

    def run(self, until_ns: float) -> None:
        """Let the guest write, until a time or a page that is absent."""
        m = self.memory
        while self.waiting is None and m.written_ns < until_ns:
            pace, until = m._pace_at(m.written_ns)
            speed, chosen, first = m.share * pace, None, min(until_ns, until)
            for writer in m.writers:
                if writer.rate * speed > 0:
                    due = m.written_ns + max(1 - writer.owed, 0.0) / (writer.rate * speed)
                    if due < first:
                        chosen, first = writer, due
            for writer in m.writers:
                writer.owed += (first - m.written_ns) * writer.rate * speed
            m.written_ns = first
            if chosen is None:
                continue
            chosen.owed = 0.0
            page = chosen.next_page()
            if page in self.absent:
                self.waiting = (page, chosen, first)
                self.requests += 1
                self.asked = first + self.latency
            else:
                self._write(chosen, page)

    def _write(self, writer: PlainWriter, page: int) -> None:
        self.written[page] = self.written.get(page, 0) + 1
        writer.done += 1

    def arrive(self, page: int, at_ns: float) -> None:
        """Place a page, and wake the guest if it waits for it."""
        self.run(at_ns)
        self.absent.remove(page)
        self.memory.target[page] = self.memory.source[page]
        if self.waiting is not None and self.waiting[0] == page:
            _, writer, since = self.waiting
            self.stalls.append((since, at_ns))
            self.waiting, self.asked = None, math.inf
            self.memory.written_ns = at_ns
            self._write(writer, page)

    def push(self, sender: PlainSender) -> float:
        """Send every missing page, those that are asked for first; return when all are there."""
        m, last = self.memory, sender.now
        under_way: list[tuple[int, float]] = []
        while m.to_send or under_way:
            if m.to_send:
                if self.waiting is not None and self.asked <= sender.now:
                    m.cursor, self.asked = self.waiting[0], math.inf
                page = m._take()
                sender.put(sender.policy.zero_bytes if page in m.zero else sender.policy.page_bytes)
                sender.pages += 1
                under_way.append((page, sender.wire_free + self.latency))
            while under_way and (under_way[0][1] <= sender.now or not m.to_send):
                page, last = under_way.pop(0)
                self.arrive(page, last)
            self.run(sender.now)
        return last
