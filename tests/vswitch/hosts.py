"""Random hosts and random traffic for them: where the event loop and its plain twin must agree."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from vswitch.host_profiles import HOSTS, HostProfile
from vswitch.timed import Columns
from vswitch.transport_kernel import PAYLOAD_SHIFT, PUSH, T_DATA, T_OTHER, TRANSPORTS
from vswitch.ways_kernel import (
    ON_BOARD,
    PUSHED,
    W_CHIMNEY,
    W_COPY,
    W_COPY_AWAY,
    W_COPY_PARENT,
    W_FLOOD,
    W_NATIVE,
    W_REFUSED,
    W_VM_FLOOD,
    W_VM_REFUSED,
)

SEATLESS = (W_REFUSED, W_FLOOD, W_VM_REFUSED, W_VM_FLOOD)
FLOODS = (W_FLOOD, W_VM_FLOOD)


@dataclass
class Arrival:
    """One frame on its way into the host."""

    when: int
    way: int
    queue: int
    seat: int
    wire: int
    load: int
    copies: list[tuple[int, int]]


@dataclass
class Bench:
    """A host, and frames that come to it."""

    profile: HostProfile
    queue_processors: list[int]
    guest_processors: list[int]
    unmoderated: int
    acks: bool
    arrivals: list[Arrival]

    @property
    def times(self):
        return np.array([one.when for one in self.arrivals], np.int64)

    @property
    def columns(self) -> Columns:
        """The arrivals as the event loop reads them."""
        copies = [
            (number, way, seat)
            for number, one in enumerate(self.arrivals)
            for way, seat in one.copies
        ]

        def column(name, kind):
            return np.array([getattr(one, name) for one in self.arrivals], kind)

        return Columns(
            column("way", np.uint8), column("queue", np.uint16), column("seat", np.int32),
            column("load", np.uint32), column("wire", np.uint32),
            np.array([number for number, _, _ in copies], np.int64),
            np.array([way for _, way, _ in copies], np.uint8),
            np.array([seat for _, _, seat in copies], np.int32),
        )  # fmt: skip


def random_bench(seed: int, most_frames: int = 300) -> Bench:
    """Return a host with small rings and buffers, so that everything gets full, and its traffic."""
    draw = random.Random(seed)
    base = HOSTS[draw.choice(list(HOSTS))]
    processors, queues, seats = draw.randint(1, 6), draw.randint(0, 5), draw.randint(2, 7)
    profile = replace(
        base,
        processors=processors,
        ring_buffers=draw.choice([1, 3, 16, 64]),
        vm_buffers=draw.choice([1, 4, 32]),
        moderation_ns=draw.choice([0, 1000, 50_000]),
        dpc_budget=draw.choice([1, 4, 64]),
        guest_batch=draw.choice([1, 4, 16]),
        rebalance_ns=draw.choice([100_000, 1_000_000]),
        costs=base.costs.with_values(chimney_buffer_bytes=draw.choice([1, 1000, 8192])),
    )
    gap = draw.choice([1000, 300_000, 3_000_000, 30_000_000])
    when, arrivals = 0, []
    for _ in range(draw.randint(1, most_frames)):
        when += draw.choice([0, gap, draw.randrange(gap)])
        arrivals.append(_arrival(draw, when, queues, seats))
    return Bench(
        profile,
        [draw.randrange(processors) for _ in range(queues + 2)],
        [draw.randrange(processors) for _ in range(seats)],
        draw.choice([-1, queues + 1]),
        draw.random() < 0.5,
        arrivals,
    )


def _arrival(draw: random.Random, when: int, queues: int, seats: int) -> Arrival:
    ways = [way for way in range(W_NATIVE + 1) if way not in (W_COPY, W_COPY_AWAY, W_COPY_PARENT)]
    way = draw.choice([*ways, W_CHIMNEY, ON_BOARD])
    load = draw.choice([0, 1, 2])
    if load == T_DATA:
        load |= draw.randrange(1, 1461) << PAYLOAD_SHIFT
    if draw.random() < 0.3:
        load |= PUSH
    word = way
    if way != ON_BOARD:
        word = way * TRANSPORTS + (load & 3) + (PUSHED if load & PUSH else 0)
    copies = []
    if way in FLOODS:
        kinds = (W_COPY, W_COPY, W_COPY_AWAY, W_COPY_PARENT)
        copies = [
            (draw.choice(kinds) * TRANSPORTS + T_OTHER, draw.randrange(seats))
            for _ in range(draw.randint(1, 4))
        ]
    seat = -1 if way in SEATLESS or way == ON_BOARD else draw.randrange(seats)
    queue = 0 if way == W_CHIMNEY else draw.randrange(queues + 2)
    return Arrival(when, word, queue, seat, draw.randint(60, 1514), load, copies)
