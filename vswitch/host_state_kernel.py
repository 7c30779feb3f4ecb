"""What the event loop of the modelled host works on: records, and small operations on them.

All times are integer picoseconds since the first frame. A frame in the host is a
*node* of a pool. Free nodes, rings, the frames that wait for a guest, and what a
processor has in hand are chains of nodes; NONE ends a chain. A flooded frame is a
node with a chain of copies (`copies`). Numbers of rows are unsigned, because numba
tests signed ones for wrap-around (measured: a quarter of the time).

A processor has four things that can be due, each with its time, NEVER where it is
not. `soonest` has the earliest of each processor, and the host's next event is the
least of these; with at most 64 processors that is faster than a heap (measured), and
nothing becomes stale when a time is put off. Events of one time happen in the order of
processors, and on one processor in the order of :func:`set_soonest`: DPC, interrupt,
guest, resume.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pcaps.jit import kernel
from pcaps.memory import bit_length, u64

NONE = 0xFFFFFFFF
NO_QUEUE = 0xFFFF
NEVER = 1 << 62

QUIET, ARMED, AT_WORK = 0, 1, 2
"""A processor's vector: nothing waits; its interrupt is due; DPCs run, interrupts are off."""

QUEUE = np.dtype(
    (
        np.record,
        [
            ("ring", "i8"),  # receive buffers
            ("used", "i8"),  # of them in use: waiting, in hand, or held for a guest
            ("waiting", "i8"),  # frames that no DPC has taken yet
            ("in_hand", "i8"),  # frames that a DPC has taken and not handed over
            ("head", "u4"),  # of those waiting
            ("tail", "u4"),
            ("next", "u4"),  # behind it on its processor's list
            ("processor", "u4"),
            ("listed", "u1"),  # whether it is on its processor's list
            ("urgent", "u1"),  # whether its interrupts are not moderated
            ("pad", "u1", (6,)),
            ("recent", "i8"),  # ps of DPCs since VM queues were last moved
            ("frames", "i8"),
            ("lost", "i8"),
            ("peak", "i8"),  # most buffers in use
            ("moves", "i8"),
            ("spare", "i8", (4,)),
        ],
    )
)
"""A ring: the default queue, a VM queue, or what the VMs send. 128 bytes."""

PROCESSOR = np.dtype(
    (
        np.record,
        [
            ("interrupt", "i8"),  # when its vector's interrupt is due
            ("dpc_end", "i8"),
            ("guest_end", "i8"),
            ("resume_due", "i8"),  # when the parent asks for it again
            ("interrupted", "i8"),  # time of the last interrupt
            ("dpc_ps", "i8"),
            ("resume", "i8"),  # the guests' turn lasts until then
            ("guest_from", "i8"),  # since when its guest works without a break
            ("taken", "i8"),  # frames that its DPC has in hand
            ("parent_busy", "i8"),
            ("guest_busy", "i8"),
            ("recent", "i8"),
            ("vector", "u4"),  # QUIET, ARMED or AT_WORK
            ("ready", "u4"),  # first queue with frames
            ("ready_last", "u4"),
            ("hand", "u4"),  # frames of its DPC, NONE = no DPC
            ("runs", "u4"),  # first VM that waits
            ("runs_last", "u4"),
            ("vm", "u4"),  # whose guest is running
            ("guest_hand", "u4"),
        ],
    )
)
"""A logical processor, with the interrupt vector of its queues. 128 bytes."""

SEAT = np.dtype(
    (
        np.record,
        [
            ("backlog", "i8"),
            ("buffers", "i8"),  # frames that the parent can copy ahead
            ("copied", "i8"),
            ("frames", "i8"),
            ("payload", "i8"),
            ("busy", "i8"),
            ("head", "u4"),
            ("tail", "u4"),
            ("held", "u4"),  # first frame that still holds a receive buffer of the adapter
            ("next", "u4"),
            ("processor", "u4"),  # where its guest runs
            ("listed", "u4"),
            ("filled", "i8"),  # bytes in the receive buffer of its offloaded connections
            ("lost", "i8"),
            ("peak", "i8"),
            ("spare", "i8", (4,)),
        ],
    )
)
"""What is behind a port: a VM with its guest, or the parent. 128 bytes."""

NODE = np.dtype(
    (
        np.record,
        [
            ("arrived", "i8"),
            ("next", "u4"),
            ("copies", "u4"),
            ("seat", "u4"),
            ("wire", "i4"),
            ("payload", "i4"),
            ("queue", "u2"),
            ("way", "u1"),
            ("holds", "u1"),
        ],
    )
)
"""A frame in the host. holds: NOTHING, its VM's buffer, or still the adapter's. 32 bytes."""

NOTHING, HOLDS_VM, HOLDS_RING, HOLDS_SHARED = 0, 1, 2, 3

(
    NOW, NEXT, FREE, SIGNALS, INTERRUPTS, DPCS, LAST, BUCKET, LONGEST, HELD_BACK, ABSORBED,
    ON_BOARD_FRAMES, REBALANCE, BUDGET, GUEST_BATCH, BUFFER_BYTES, WINDOW, SIGNAL_PS,
    INTERRUPT_PS, REBALANCE_PS, MODERATION, EVENTS,
) = range(22)  # fmt: skip
TOTALS = 32
"""Places in the array of totals and settings."""

SUB_BITS = 6
"""Each power of two of a latency has 64 steps: 1.6 %."""
LATENCY_ROWS = 3072


class Host(NamedTuple):
    """All arrays of a modelled host.

    queues QUEUE[n]; processors PROCESSOR[n]; seats SEAT[n_ports]; nodes NODE[n];
    soonest int64[n_processors]; totals int64[TOTALS]; counts int64[ways, 3]: frames,
    bytes, payload; prices int64[ways, PRICE_WORDS]; latency int64[LATENCY_ROWS]; busy
    int64[2, n_processors, n_buckets]: ps of parent and guests.
    """

    queues: Any
    processors: Any
    seats: Any
    nodes: Any
    soonest: Any
    totals: Any
    counts: Any
    prices: Any
    latency: Any
    busy: Any


@kernel(forceinline=True, _nrt=False)
def set_soonest(host: Any, p: Any) -> None:
    """Note the earliest of what is due on a processor, after one of its times changed."""
    processor = host.processors[p]
    time = min(processor.dpc_end, processor.interrupt, processor.guest_end, processor.resume_due)
    host.soonest[p] = time
    host.totals[NEXT] = min(host.totals[NEXT], time)


@kernel(forceinline=True, _nrt=False)
def new_node(host: Any, when: Any, q: Any, seat: Any, way: Any, wire: Any, payload: Any) -> Any:
    """Take a free node and fill it; the caller knows that there is one."""
    totals = host.totals
    node = u64(totals[FREE])
    frame = host.nodes[node]
    totals[FREE] = frame.next
    frame.arrived = when
    frame.next = NONE
    frame.copies = NONE
    frame.seat = seat
    frame.wire = wire
    frame.payload = payload
    frame.queue = q
    frame.way = way
    frame.holds = NOTHING
    return node


@kernel(forceinline=True, _nrt=False)
def give_node(host: Any, node: Any) -> None:
    """Give a node back."""
    totals = host.totals
    host.nodes[node].next = totals[FREE]
    totals[FREE] = node


@kernel(forceinline=True, _nrt=False)
def has_nodes(host: Any, n: Any) -> Any:
    """Tell whether `n` nodes are free."""
    node = u64(host.totals[FREE])
    while n > 0 and node != NONE:
        node = u64(host.nodes[node].next)
        n -= 1
    return n == 0


@kernel(forceinline=True, _nrt=False)
def latency_row(ns: Any) -> Any:
    """Row of the histogram for a latency: exact below 128 ns, then 64 rows a power of two."""
    bits = bit_length(u64(ns) | u64(1 << SUB_BITS))
    shift = bits - u64(SUB_BITS + 1)
    return min((shift << u64(SUB_BITS)) + (u64(ns) >> shift), u64(LATENCY_ROWS - 1))


@kernel(_nrt=False)
def widen(host: Any) -> None:
    """Make the buckets of the utilisation twice as wide."""
    busy = host.busy
    half = busy.shape[2] // 2
    for kind in range(busy.shape[0]):
        for processor in range(busy.shape[1]):
            for i in range(half):
                busy[kind, processor, i] = (
                    busy[kind, processor, 2 * i] + busy[kind, processor, 2 * i + 1]
                )
            for i in range(half, busy.shape[2]):
                busy[kind, processor, i] = 0
    host.totals[BUCKET] *= 2


@kernel(_nrt=False)
def note_busy(host: Any, kind: Any, processor: Any, begin: Any, end: Any) -> None:
    """Count a processor busy from `begin` to `end`, over time."""
    totals = host.totals
    while end > totals[BUCKET] * host.busy.shape[2]:
        widen(host)
    width = totals[BUCKET]
    place = begin // width
    while begin < end:
        edge = min(end, (place + 1) * width)
        host.busy[kind, processor, place] += edge - begin
        begin = edge
        place += 1
