"""Two endpoints and a path in plain Python: a heap of events, a delay, losses, a dark time.

Each side's application writes what it is told and closes; every byte that a segment
carries is checked against the stream position that it claims, so that a stream that
is delivered is delivered right.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from migration.tcp import endpoint_kernel as tcp
from migration.tcp.pools_kernel import give_segment, take_segment
from migration.tcp.stacks import Stack, stack, stack_rows
from migration.tcp.state_kernel import C_OUT, CLOSED, NEVER, OUT_ROWS
from migration.tcp.timing_kernel import next_timer
from migration.tcp.world import grow, new_world

S, MS, US = 1_000_000_000, 1_000_000, 1_000


@dataclass
class Sent:
    """A segment as it left, for tests to look at."""

    at: int
    sender: int
    seq: int
    ack: int
    size: int
    flags: int
    again: int
    probe: int
    lost: bool = False


@dataclass
class Path:
    """What happens to segments.

    Parameters
    ----------
    delay : int
        One way, ns.
    loss, duplicate, reorder : float
        Shares.
    dark : list of (int, int)
        From when to when everything is lost, ns.
    hold : bool
        In the dark segments wait instead.
    """

    delay: int = 10 * MS
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    dark: list[tuple[int, int]] = field(default_factory=list)
    hold: bool = False
    rate: int = 0  # bytes per second, 0 = endless
    queue: int = 1 << 62  # bytes


class Pair:
    """Two endpoints, 0 the client."""

    def __init__(
        self, client: str | Stack = "linux", server: str | Stack = "linux",
        path: Path | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        stacks = [stack(one) if isinstance(one, str) else one for one in (client, server)]
        self.w = new_world(2, stack_rows(stacks), [0, 1])
        self.path = path or Path()
        self.now = 0
        self.log: list[Sent] = []
        self.events: list[tuple[int, int, str, Any]] = []
        self.order = 0
        self.draw = np.random.default_rng(seed)
        self.timer = [NEVER, NEVER]
        self.on_receive: list[Any] = [None, None]
        self.free_at = [0, 0]
        self.in_queue: list[list[tuple[int, int]]] = [[], []]

    def __getitem__(self, e: int) -> Any:
        return self.w.endpoints[e]

    def at(self, time: int, what: Any) -> None:
        self.order += 1
        heapq.heappush(self.events, (time, self.order, "call", what))

    def call(self, function: Any, e: int, *arguments: Any) -> Any:
        """Call a kernel of an endpoint and send what it has made."""
        w = self.w = grow(self.w, OUT_ROWS)
        w.count[C_OUT] = 0
        done = function(w, e, *arguments)
        self.send(e)
        return done

    def connect(self) -> None:
        self.call(tcp.listen, 1)
        self.call(tcp.connect, 0, self.now)

    def send(self, e: int) -> None:
        w = self.w
        for row in w.out[: w.count[C_OUT]].copy().tolist():
            self.travel(e, row)
        w.count[C_OUT] = 0
        due = int(next_timer(w.endpoints[e]))
        if due < self.timer[e]:
            self.timer[e] = max(due, self.now)
            self.order += 1
            heapq.heappush(self.events, (self.timer[e], self.order, "timer", e))

    def travel(self, e: int, row: int) -> None:
        p, path, draw = self.w.segments[row], self.path, self.draw
        note = Sent(
            self.now, e, int(p["seq"]), int(p["ack"]), int(p["size"]), int(p["flags"]),
            int(p["again"]), int(p["probe"]),
        )  # fmt: skip
        self.log.append(note)
        arrival = self.now + path.delay
        if path.rate:
            size = int(p["size"]) + 54
            waiting = [one for one in self.in_queue[e] if one[0] > self.now]
            self.in_queue[e] = waiting
            if sum(one[1] for one in waiting) + size > path.queue:
                note.lost = True
                give_segment(self.w, row)
                return
            start = max(self.now, self.free_at[e])
            self.free_at[e] = start + size * S // path.rate
            waiting.append((self.free_at[e], size))
            arrival = self.free_at[e] + path.delay
        leaves = arrival - path.delay
        for start, stop in path.dark:
            if start <= leaves < stop:  # what waits in the queue is lost too
                if not path.hold:
                    note.lost = True
                    give_segment(self.w, row)
                    return
                arrival = stop + path.delay
        if path.loss and draw.random() < path.loss:
            note.lost = True
            give_segment(self.w, row)
            return
        if path.reorder and draw.random() < path.reorder:
            arrival += int(draw.integers(1, 4 * max(path.delay, MS)))
        copies = [row]
        if path.duplicate and draw.random() < path.duplicate:
            self.w = grow(self.w, OUT_ROWS)
            again = int(take_segment(self.w))
            self.w.segments[again] = self.w.segments[row]
            copies.append(again)
        for copy in copies:
            self.order += 1
            heapq.heappush(self.events, (arrival, self.order, "segment", (1 - e, copy)))

    def run(self, until: int = 1 << 61, events: int = 1_000_000) -> None:
        """Let things happen until a time, or until nothing is left to happen."""
        while self.events and self.events[0][0] <= until:
            time, _, kind, what = heapq.heappop(self.events)
            self.now = max(self.now, time)
            events -= 1
            assert events > 0, "it does not end"
            if kind == "call":
                what()
            elif kind == "timer":
                if self.timer[what] != time:
                    continue
                self.timer[what] = NEVER
                if next_timer(self[what]) <= time:
                    self.call(tcp.expire, what, time)
                else:
                    self.send(what)
            else:
                e, row = what
                self.call(tcp.arrive, e, row, self.now)
                give_segment(self.w, row)
                if self.on_receive[e] is not None:
                    self.on_receive[e](self)
        self.now = max(self.now, until) if until < 1 << 61 else self.now

    def write(self, e: int, size: int) -> None:
        assert self.call(tcp.write, e, size, self.now) == size

    def close(self, e: int) -> None:
        self.call(tcp.close, e, self.now)

    def pools_are_full(self) -> bool:
        """Every row of every pool is free, and the free lists are whole."""
        w = self.w
        for rows, free, left in ((w.sent, 0, 1), (w.gaps, 2, 3), (w.segments, 4, 5)):
            seen = set()
            row = int(w.count[free])
            while row:
                if row in seen:
                    return False
                seen.add(row)
                row = int(rows[row]["next"])
            if len(seen) != len(rows) - 1 or w.count[left] != len(seen):
                return False
        return True

    def is_over(self) -> bool:
        return bool((self.w.endpoints["state"] == CLOSED).all())

    def resent(self, e: int) -> list[float]:
        """Times of retransmissions of an endpoint, s."""
        return [one.at / S for one in self.log if one.sender == e and one.again]
