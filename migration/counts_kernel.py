"""Guest memory as counts, compiled: how many pages are dirty, not which.

The working set's sets each have a number of pages to send and a number of writes since the last
sync; what is dirty follows from the pattern's expectation. Pages outside the sets are sent once.
A sync finds a written page among those still to send with the share that these have of the set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from migration.memory_kernel import BATCH, DEADLINE, LOOK_EVERY, PAGE, SEQUENTIAL, TEST, UNIFORM
from migration.sender_kernel import close_window, put, wait_for_quota
from pcaps.jit import kernel

BUCKETS = 64

COUNT = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("pattern", "i8"),
                ("pages", "f8"),
                ("rate", "f8"),  # writes a nanosecond, at pace 1
                ("exponent", "f8"),
                ("total", "f8"),  # sum of r**-exponent
                ("unsent", "f8"),  # pages to send
                ("writes", "f8"),  # since the last sync
                ("ahead", "f8"),  # pages that the writer has still to come to on its round
                ("ahead_unsent", "f8"),  # of them to send
            ]
        ),
    )
)

REST = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("written_ns", "f8"),
                ("share", "f8"),  # of the time that the vCPUs run
                ("running", "i8"),
                ("step", "i8"),
                ("ordinary", "f8"),  # pages outside the sets, to send
                ("zeros", "f8"),
                ("order", "i8"),  # where zero pages lie: ZERO_END, ...
                ("synced", "i8"),  # the log was read since the beginning
                ("turn", "f8"),  # carries fractions from chunk to chunk
            ]
        ),
    )
)
ZERO_END, ZERO_SPREAD, ZERO_START = 0, 1, 2


class Counts(NamedTuple):
    """Columns of a guest in counts."""

    sets: Any
    rest: Any
    pace_start: Any
    pace: Any


@kernel
def zipf_total(pages: Any, exponent: Any) -> Any:
    """Sum r**-exponent for r = 1 .. pages; the tail by its integral."""
    exact = min(pages, 1000)
    total = 0.0
    for r in range(1, exact + 1):
        total += np.float64(r) ** -exponent
    if pages > exact:
        total += _tail(exponent, exact + 0.5, pages + 0.5)
    return total


@kernel(forceinline=True, _nrt=False)
def _tail(exponent: Any, low: Any, high: Any) -> Any:
    if exponent == 1.0:
        return np.log(high / low)
    return (high ** (1.0 - exponent) - low ** (1.0 - exponent)) / (1.0 - exponent)


@kernel(forceinline=True, _nrt=False)
def distinct(pattern: Any, pages: Any, exponent: Any, total: Any, writes: Any) -> Any:
    """Expected number of distinct pages after `writes` writes of a pattern."""
    if pattern == SEQUENTIAL:
        return min(pages, writes)
    if pattern == UNIFORM:
        return pages * -np.expm1(-writes / pages)
    found, low = 0.0, 0.5
    ratio = ((pages + 0.5) / 0.5) ** (1.0 / BUCKETS)
    for _ in range(BUCKETS):  # ranks in buckets that grow by a ratio; each alike inside
        high = min(low * ratio, pages + 0.5)
        share = _tail(exponent, low, high) / total / (high - low)
        found += (high - low) * -np.expm1(-writes * share)
        low = high
    return found


@kernel(forceinline=True, _nrt=False)
def count_writes(c: Any, now_ns: float) -> None:
    """Add the writes that were due until `now_ns`."""
    rest = c.rest[0]
    while rest.written_ns < now_ns:
        end = now_ns
        if rest.step + 1 < c.pace_start.size:
            if rest.written_ns >= c.pace_start[rest.step + 1]:
                rest.step += 1
                continue
            end = min(end, c.pace_start[rest.step + 1])
        if rest.running:
            run = (end - rest.written_ns) * rest.share * c.pace[rest.step]
            for k in range(c.sets.size):
                c.sets[k].writes += run * c.sets[k].rate
        rest.written_ns = end


@kernel(forceinline=True, _nrt=False)
def _dirty(one: Any) -> Any:
    return distinct(one.pattern, one.pages, one.exponent, one.total, one.writes)


@kernel
def count_dirty(c: Any, now_ns: float) -> Any:
    """Count the pages written since the last sync."""
    count_writes(c, now_ns)
    count = 0.0
    for k in range(c.sets.size):
        count += _dirty(c.sets[k])
    return count


@kernel(forceinline=True, _nrt=False)
def count_pending(c: Any) -> Any:
    """Count the pages to send."""
    count = c.rest[0].ordinary + c.rest[0].zeros
    for k in range(c.sets.size):
        count += c.sets[k].unsent
    return count


@kernel(forceinline=True, _nrt=False)
def _fresh_of_round(one: Any) -> Any:
    """Pages that a sync finds new in a set that is written round and round.

    Of the pages that lie ahead of the writer since the whole set was dirty, some are still to be
    sent, and writing them adds nothing. Of those that it comes to a second time none is: they
    were sent meanwhile.
    """
    if one.writes >= one.pages:
        one.ahead, one.ahead_unsent = one.pages, one.pages
        return one.pages - one.unsent
    reached = min(one.writes, one.ahead)
    known = 0.0
    if one.ahead > 0.0:
        known = reached * one.ahead_unsent / one.ahead
    one.ahead -= reached
    one.ahead_unsent -= known
    return min(one.writes - known, one.pages - one.unsent)


@kernel
def count_sync(c: Any, now_ns: float) -> Any:
    """Move what was written to what is to be sent; return the pages that were not already."""
    count_writes(c, now_ns)
    fresh = 0.0
    c.rest[0].synced = 1
    for k in range(c.sets.size):
        one = c.sets[k]
        if one.pattern == SEQUENTIAL:
            new = _fresh_of_round(one)
        else:
            new = _dirty(one) * (1.0 - one.unsent / one.pages)
        one.unsent += new
        one.writes = 0.0
        fresh += new
    return fresh


@kernel(forceinline=True, _nrt=False)
def _take_rest(c: Any, n: float) -> tuple[float, float]:
    """Take up to `n` pages outside the sets; return (ordinary, zero)."""
    rest = c.rest[0]
    left = rest.ordinary + rest.zeros
    n = min(n, left)
    if rest.order == ZERO_START:
        zeros = min(n, rest.zeros)
    elif rest.order == ZERO_SPREAD and left > 0.0:
        zeros = n * rest.zeros / left
    else:
        zeros = max(n - rest.ordinary, 0.0)
    rest.zeros -= zeros
    rest.ordinary -= n - zeros
    return n - zeros, zeros


@kernel(forceinline=True, _nrt=False)
def _take(c: Any, n: float, skip: bool, s: Any) -> tuple[float, float]:
    """Take `n` pages to send, in the order of memory; return (ordinary, zero) to send of them."""
    ordinary, zeros = 0.0, 0.0
    if c.rest[0].synced:  # the search goes on where it was: behind the sets
        ordinary, zeros = _take_rest(c, n)
        n -= ordinary + zeros
    for k in range(c.sets.size):
        one = c.sets[k]
        part = min(n, one.unsent)
        if part <= 0.0:
            continue
        one.ahead_unsent -= part * one.ahead_unsent / one.unsent
        one.unsent -= part
        n -= part
        if skip:
            again = part * _dirty(one) / one.pages
            s.skipped += np.int64(again)
            part -= again
        ordinary += part
    if not c.rest[0].synced:
        more, zeros = _take_rest(c, n)
        ordinary += more
    return ordinary, zeros


@kernel(forceinline=True, _nrt=False)
def _send(c: Any, s: Any, link_start: Any, link_rate: Any, n: float, skip: bool) -> None:
    count_writes(c, s.now_ns)
    ordinary, zeros = _take(c, n, skip, s)
    put(s, link_start, link_rate, ordinary * s.page_bytes + zeros * s.zero_bytes)
    rest = c.rest[0]
    rest.turn += ordinary + zeros
    whole = np.int64(rest.turn)
    rest.turn -= whole
    s.sent_pages += whole
    s.sent_zeros += np.int64(zeros + 0.5)


@kernel(forceinline=True, _nrt=False)
def _until_a_look(s: Any, link_start: Any, link_rate: Any, began: float) -> float:
    """Pages that surely go out before the burst is over, in whole chunks, or else one chunk."""
    end, step = began + s.burst_ns, s.step
    while step + 1 < link_start.size and s.now_ns >= link_start[step + 1]:
        step += 1
    if step + 1 < link_start.size:
        end = min(end, link_start[step + 1])
    rate = link_rate[step]
    room = (end - max(s.wire_free_ns, s.now_ns)) * rate + s.socket_bytes
    chunks = max(np.floor(room / s.page_bytes / LOOK_EVERY), 1.0)
    return float(chunks * LOOK_EVERY)


@kernel
def push_counts(c: Any, sender: Any, link_start: Any, link_rate: Any, tested: bool) -> int:
    """As :func:`migration.memory_kernel.push`, in chunks instead of pages."""
    s = sender[0]
    pending = count_pending(c)
    while True:
        if not tested:
            if pending < 0.5 or pending * PAGE < s.threshold_bytes:
                return TEST
            if s.now_ns >= s.deadline_ns:
                return DEADLINE
        tested = False
        began, first = s.now_ns, True
        # Rule: QEMU ram_save_iterate: until the quota is used or 50 ms have passed
        while pending >= 0.5 and s.window_bytes <= s.quota_bytes:
            if not first and s.now_ns - began > s.burst_ns:
                break
            left = (s.quota_bytes - s.window_bytes) / s.page_bytes
            n = min(pending, _until_a_look(s, link_start, link_rate, began), np.ceil(left + 1e-9))
            _send(c, s, link_start, link_rate, n, False)
            pending -= n
            first = False
        pending = count_pending(c)
        close_window(s)
        wait_for_quota(s)


@kernel
def send_all_counts(c: Any, sender: Any, link_start: Any, link_rate: Any, skip: bool) -> None:
    """As :func:`migration.memory_kernel.send_all`, in batches instead of pages."""
    s = sender[0]
    pending = count_pending(c)
    while pending >= 0.5:
        n = min(pending, np.float64(BATCH))
        _send(c, s, link_start, link_rate, n, skip)
        pending -= n
        if s.now_ns >= s.deadline_ns:
            return
