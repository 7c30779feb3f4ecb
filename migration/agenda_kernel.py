"""What happens next: a binary heap of due times, and first-in-first-out pipes of segments.

A heap entry is a time and a word with, from bit 28 on, a running number, then a
kind of 4 bits and 24 bits of what it is about (an endpoint or a segment). The
running number makes the order total: entries of one time leave in the order in
which they were put in, so equal input gives equal output.

Segments that follow each other on a link cannot overtake, so a link needs no
heap: it is a chain of rows with the same running numbers, and only its head can
be next. That keeps the heap to the timers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pcaps.jit import kernel

TIMER, WAKE, THAW, START, HOP = 0, 1, 2, 3, 4
"""Kinds of heap entries: an endpoint's TCP timer; its application; its machine's clock
goes on; its connection begins; a segment that is under way alone, because its delay
is its own."""

ID_BITS = 24
KIND_SHIFT = 24
ORDER_SHIFT = 28
ID_MASK = (1 << ID_BITS) - 1
NEVER = 1 << 62

FLIGHT = np.dtype(
    (
        np.record,
        [
            ("at", "i8"),  # when it gets to the end of its link
            ("order", "i8"),  # running number
            ("number", "i8"),  # of the segment, from 1
            ("next", "i4"),  # behind it on the same link
            ("size", "i4"),  # bytes on the wire, without FCS
            ("hop", "u1"),  # which link it is on
            ("host", "u1"),  # host that it goes to or comes from
            ("pad", "u1", (6,)),
        ],
    )
)
"""Where a segment under way is; a row for each row of the pool of segments."""

PIPE = np.dtype(
    (
        np.record,
        [
            ("head", "i8"),
            ("tail", "i8"),
            ("count", "i8"),
            ("delay", "i8"),  # ns; -1: each segment has its own
            ("rate", "f8"),  # ns for a byte, 0 = no limit
            ("limit", "i8"),  # bytes that may wait, -1 = no limit
            ("free_at", "f8"),  # when the last byte accepted so far is on the wire
            ("frames", "i8"),
            ("bytes", "i8"),
            ("full", "i8"),  # frames dropped because `limit` bytes waited
            ("lost", "i8"),  # frames lost at random
        ],
    )
)
"""A link in one direction."""


@kernel(_nrt=False)
def heap_push(times: Any, words: Any, n: Any, time: Any, word: Any) -> None:
    """Put an entry into a heap of `n`."""
    i = n
    while i > 0:
        parent = (i - 1) >> 1
        above = times[parent]
        if above < time or (above == time and words[parent] < word):
            break
        times[i] = above
        words[i] = words[parent]
        i = parent
    times[i] = time
    words[i] = word


@kernel(_nrt=False)
def heap_pop(times: Any, words: Any, n: Any) -> None:
    """Take the first entry, row 0, out of a heap of `n`."""
    last = n - 1
    time = times[last]
    word = words[last]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= last:
            break
        other = child + 1
        if other < last and (
            times[other] < times[child]
            or (times[other] == times[child] and words[other] < words[child])
        ):
            child = other
        if time < times[child] or (time == times[child] and word < words[child]):
            break
        times[i] = times[child]
        words[i] = words[child]
        i = child
    times[i] = time
    words[i] = word


@kernel(_nrt=False)
def pipe_put(flights: Any, pipe: Any, row: Any) -> None:
    """Put a segment behind the others of a link."""
    flights[row].next = 0
    if pipe.tail == 0:
        pipe.head = row
    else:
        flights[pipe.tail].next = row
    pipe.tail = row
    pipe.count += 1


@kernel(_nrt=False)
def pipe_take(flights: Any, pipe: Any) -> Any:
    """Take the first segment of a link."""
    row = pipe.head
    pipe.head = np.int64(flights[row].next)
    if pipe.head == 0:
        pipe.tail = 0
    pipe.count -= 1
    return row


@kernel(_nrt=False)
def cross(pipe: Any, now: Any, size: Any) -> Any:
    """Send `size` bytes into a link at `now`; return when the last of them is on the wire, -1 = no room.

    The bytes that wait are those between now and the time when the link is free.
    """
    begin = max(np.float64(now), pipe.free_at)
    if pipe.limit >= 0 and pipe.rate > 0.0:
        if (begin - now) / pipe.rate + size > pipe.limit:
            pipe.full += 1
            return np.int64(-1)
    pipe.free_at = begin + size * pipe.rate
    pipe.frames += 1
    pipe.bytes += size
    return np.int64(pipe.free_at)
