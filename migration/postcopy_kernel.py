"""A guest that runs on the target while its memory still arrives, compiled.

The source pushes the missing pages in order. A write to a page that is not there stops the guest
until it arrives: it is asked for, and goes out behind what the socket holds. The push then goes on
behind the page that was asked for.

One vCPU is modelled: while it waits, nothing is written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from migration.memory_kernel import SEQUENTIAL, UNIFORM, next_flagged, random_word, zipf_rank
from migration.sender_kernel import put
from pcaps.jit import kernel
from pcaps.memory import u64

TARGET = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("latency_ns", "f8"),  # one way
                ("waits_for", "i8"),  # page; -1 = the guest runs
                ("waits_in", "i8"),  # the write set
                ("waits_since_ns", "f8"),
                ("asked_ns", "f8"),  # when the request is at the source; inf = nothing asked
                ("requests", "i8"),
                ("intervals", "i8"),  # rows of `brownout`
                ("gap_ns", "f8"),  # stalls nearer to each other than this are one interval
            ]
        ),
    )
)


class Target(NamedTuple):
    """Columns of the target: its state, pages absent (bitmap), and writes since the start.

    ``arrive_page``, ``arrive_ns``: a ring of what is under way; ``brownout``: float64[n, 2].
    """

    state: Any
    absent: Any
    written: Any
    arrive_page: Any
    arrive_ns: Any
    brownout: Any


@kernel(forceinline=True, _nrt=False)
def _next_page(writer: Any) -> Any:
    """Page that a set writes next."""
    if writer.pattern == SEQUENTIAL:
        return writer.first + writer.done % writer.pages * writer.stride % writer.pages
    if writer.pattern == UNIFORM:
        high = random_word(writer.origin, writer.done) >> u64(32)
        return writer.first + np.int64((high * u64(writer.pages)) >> u64(32))
    return writer.first + zipf_rank(writer) * writer.stride % writer.pages


@kernel(forceinline=True, _nrt=False)
def _do_write(m: Any, target: Any, writer: Any, page: Any) -> None:
    m.target[page] += np.uint32(1)
    target.written[page] += np.uint32(1)
    writer.done += 1


@kernel
def _run_guest(m: Any, target: Any, until_ns: float) -> None:
    """Let the guest write until a time, or until it touches a page that is not there."""
    guest, state = m.guest[0], target.state[0]
    while state.waits_for < 0 and guest.written_ns < until_ns:
        while (
            guest.step + 1 < m.pace_start.size and guest.written_ns >= m.pace_start[guest.step + 1]
        ):
            guest.step += 1
        end = until_ns
        if guest.step + 1 < m.pace_start.size:
            end = min(end, m.pace_start[guest.step + 1])
        speed = guest.share * m.pace[guest.step]
        chosen, first = np.int64(-1), end
        for k in range(m.writers.size):
            rate = m.writers[k].rate * speed
            if rate > 0.0:
                due = guest.written_ns + max(1.0 - m.writers[k].owed, 0.0) / rate
                if due < first:
                    chosen, first = np.int64(k), due
        for k in range(m.writers.size):
            m.writers[k].owed += (first - guest.written_ns) * m.writers[k].rate * speed
        guest.written_ns = first
        if chosen < 0:
            continue
        writer = m.writers[chosen]
        writer.owed = 0.0
        page = _next_page(writer)
        if (target.absent[page >> 6] >> u64(page & 63)) & u64(1):
            state.waits_for, state.waits_in, state.waits_since_ns = page, chosen, first
            state.requests += 1
            state.asked_ns = first + state.latency_ns
        else:
            _do_write(m, target, writer, page)


@kernel
def _arrive(m: Any, target: Any, page: int, at_ns: float) -> None:
    """Place a page on the target, and wake the guest that waits for it."""
    state = target.state[0]
    _run_guest(m, target, at_ns)
    target.absent[page >> 6] &= ~(u64(1) << u64(page & 63))
    m.target[page] = m.source[page]
    if state.waits_for != page:
        return
    n = state.intervals
    if n > 0 and state.waits_since_ns - target.brownout[n - 1, 1] < state.gap_ns:
        target.brownout[n - 1, 1] = at_ns
    else:
        target.brownout[n, 0] = state.waits_since_ns
        target.brownout[n, 1] = at_ns
        state.intervals += 1
    state.waits_for = -1
    state.asked_ns = np.inf
    m.guest[0].written_ns = at_ns
    _do_write(m, target, m.writers[state.waits_in], page)


@kernel
def push_missing(m: Any, sender: Any, link_start: Any, link_rate: Any, target: Any) -> Any:
    """Send every missing page once, those that are asked for first.

    Parameters
    ----------
    m : Pages
        ``flagged`` are the missing pages; the guest's clock stands at the resumption.
    sender : SENDER[1]
    link_start, link_rate : float64[n]
    target : Target
        ``absent`` is a copy of ``flagged``.

    Returns
    -------
    float
        When the last page has arrived.
    """
    s, guest, state = sender[0], m.guest[0], target.state[0]
    ring = target.arrive_page.size
    head, n, last = 0, 0, s.now_ns
    while guest.pending > 0 or n > 0:
        if guest.pending > 0 and n < ring:
            page = guest.cursor
            # Rule: QEMU get_queued_page: a page that was asked for goes next, and the push goes on
            # behind it
            if state.waits_for >= 0 and state.asked_ns <= s.now_ns:
                page = state.waits_for
                state.asked_ns = np.inf
            page = next_flagged(m, page)
            m.flagged[page >> 6] &= ~(u64(1) << u64(page & 63))
            guest.cursor = page + 1
            guest.pending -= 1
            if (m.zero[page >> 6] >> u64(page & 63)) & u64(1):
                s.sent_zeros += 1
                put(s, link_start, link_rate, s.zero_bytes)
            else:
                put(s, link_start, link_rate, s.page_bytes)
            s.sent_pages += 1
            target.arrive_page[(head + n) % ring] = page
            target.arrive_ns[(head + n) % ring] = s.wire_free_ns + state.latency_ns
            n += 1
        # all that has arrived before the next page can go out
        while n > 0 and (target.arrive_ns[head] <= s.now_ns or guest.pending == 0 or n == ring):
            last = target.arrive_ns[head]
            _arrive(m, target, target.arrive_page[head], last)
            head = (head + 1) % ring
            n -= 1
        _run_guest(m, target, s.now_ns)
    return last


@kernel
def unequal_after(m: Any, target: Any) -> Any:
    """Count the pages that are absent, or are not the source's plus the target's own writes."""
    count = np.int64(0)
    for page in range(m.source.size):
        absent = (target.absent[page >> 6] >> u64(page & 63)) & u64(1)
        if absent or m.target[page] - target.written[page] != m.source[page]:
            count += 1
    return count
