"""Guest memory in pages, compiled: the guest writes, the move copies, both in the order of time.

A page has a version, the number of writes to it so far. The source's writes are noted in a dirty
log; a sync moves the log into the bitmap of pages to send. Sending a page gives the target the
version that it has at that moment; a later write raises the source's and notes the page again.

A write set writes at a pace; between two pages sent, the writes that were due are done. So every
copy is of the right version, to within the time of one page on the link.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from migration.sender_kernel import close_window, put, wait_for_quota
from pcaps.jit import kernel
from pcaps.memory import u64

SEQUENTIAL, UNIFORM, ZIPF = 0, 1, 2
PAGE = 4096
SECOND = 1_000_000_000.0
TEST, DEADLINE = 0, 1
"""Why `push` gives the control back: the rest may be small enough; the deadline has passed."""

BATCH = 1024
"""Pages that Xen looks at together, `MAX_BATCH_SIZE` (tools/libxc/xc_linux_save.c)."""
LOOK_EVERY = 64
"""Pages that QEMU sends before it looks at the clock (ram_save_iterate)."""

WRITER = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("pattern", "i8"),
                ("first", "i8"),  # first page of the set
                ("pages", "i8"),
                ("rate", "f8"),  # writes a nanosecond, at pace 1
                ("owed", "f8"),  # fraction of the next write that is due
                ("done", "i8"),  # writes so far
                ("origin", "u8"),  # of the random stream
                ("stride", "i8"),  # rank r of a Zipf set is page (r * stride) mod pages
                ("exponent", "f8"),
                ("low", "f8"),  # H(1.5) - 1 and H(pages + 0.5), of rejection-inversion
                ("high", "f8"),
                ("slack", "f8"),
            ]
        ),
    )
)
"""A set of pages, who writes it in which order, and how far it is."""

GUEST = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("written_ns", "f8"),  # writes are done up to here
                ("share", "f8"),  # of the time that the vCPUs run: 1 - throttle
                ("running", "i8"),
                ("step", "i8"),  # row of the pace's steps
                ("pending", "i8"),  # pages in `flagged`
                ("cursor", "i8"),  # page that the next search begins at
            ]
        ),
    )
)


class Pages(NamedTuple):
    """Columns of a guest's memory.

    ``source``, ``target``: uint32[n] versions; ``flagged`` (to send), ``log`` (written since the
    last sync), ``zero``: bitmaps uint64[n / 64]; ``pace_start``, ``pace``: float64[m], from when
    the guest writes at which multiple of its rates.
    """

    source: Any
    target: Any
    flagged: Any
    log: Any
    zero: Any
    writers: Any
    guest: Any
    pace_start: Any
    pace: Any


@kernel(forceinline=True, _nrt=False)
def ones(word: Any) -> Any:
    """Count the bits that are set in a word."""
    word = word - ((word >> u64(1)) & u64(0x5555555555555555))
    word = (word & u64(0x3333333333333333)) + ((word >> u64(2)) & u64(0x3333333333333333))
    word = (word + (word >> u64(4))) & u64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * u64(0x0101010101010101)) >> u64(56))


@kernel(forceinline=True, _nrt=False)
def lowest(word: Any) -> Any:
    """Number of the lowest bit of a word that is set; the word is not 0."""
    return ones((word & (~word + u64(1))) - u64(1))


@kernel(forceinline=True, _nrt=False)
def random_word(origin: Any, number: Any) -> Any:
    """Draw `number` of a stream, as :meth:`pcaps.draws.Draws.words` has it."""
    state = u64(number + 1) * u64(0x9E3779B97F4A7C15) + origin
    state = (state ^ (state >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> u64(27))) * u64(0x94D049BB133111EB)
    return state ^ (state >> u64(31))


@kernel(forceinline=True, _nrt=False)
def _area(exponent: Any, x: Any) -> Any:
    """Integral of x**-exponent, up to a constant."""
    if exponent == 1.0:
        return np.log(x)
    return (x ** (1.0 - exponent) - 1.0) / (1.0 - exponent)


@kernel(forceinline=True, _nrt=False)
def _area_inverse(exponent: Any, area: Any) -> Any:
    if exponent == 1.0:
        return np.exp(area)
    return (1.0 + area * (1.0 - exponent)) ** (1.0 / (1.0 - exponent))


@kernel
def prepare_zipf(writer: Any) -> None:
    """Set the constants of a Zipf set's draws."""
    e = writer.exponent
    writer.low = _area(e, 1.5) - 1.0
    writer.high = _area(e, writer.pages + 0.5)
    writer.slack = 2.0 - _area_inverse(e, _area(e, 2.5) - 2.0**-e)


@kernel(forceinline=True, _nrt=False)
def zipf_rank(writer: Any) -> Any:
    """Draw a rank, 0 the most frequent; probability of rank r ~ (r + 1)**-exponent.

    Rule: Hoermann, Derflinger: Rejection-inversion to generate variates from monotone discrete
    distributions, ACM TOMACS 6 (1996)
    """
    e = writer.exponent
    attempt = np.int64(0)
    while True:
        word = random_word(writer.origin + u64(attempt) * u64(0xD1342543DE82EF95), writer.done)
        fraction = np.float64(word >> u64(11)) * 2.0**-53
        area = writer.high + fraction * (writer.low - writer.high)
        x = _area_inverse(e, area)
        rank = np.int64(min(max(x + 0.5, 1.0), np.float64(writer.pages)))
        if rank - x <= writer.slack or area >= _area(e, rank + 0.5) - np.float64(rank) ** -e:
            return rank - 1
        attempt += 1


@kernel(forceinline=True, _nrt=False)
def _touch(m: Any, page: Any) -> None:
    word, bit = page >> 6, u64(1) << u64(page & 63)
    m.source[page] += np.uint32(1)
    m.log[word] |= bit
    m.zero[word] &= ~bit


@kernel(forceinline=True, _nrt=False)
def _write(m: Any, writer: Any, n: Any) -> None:
    """Do the next `n` writes of a set."""
    if writer.pattern == SEQUENTIAL:
        at = writer.done % writer.pages * writer.stride % writer.pages
        for _ in range(n):
            _touch(m, writer.first + at)
            at += writer.stride
            if at >= writer.pages:
                at -= writer.pages
        writer.done += n
        return
    for _ in range(n):
        if writer.pattern == UNIFORM:
            high = random_word(writer.origin, writer.done) >> u64(32)
            at = np.int64((high * u64(writer.pages)) >> u64(32))
        else:
            at = zipf_rank(writer) * writer.stride % writer.pages
        _touch(m, writer.first + at)
        writer.done += 1


@kernel(forceinline=True, _nrt=False)
def write_until(m: Any, now_ns: float) -> None:
    """Do all writes that were due until `now_ns`.

    Parameters
    ----------
    m : Pages
    now_ns : float
    """
    guest = m.guest[0]
    while guest.written_ns < now_ns:
        end = now_ns
        if guest.step + 1 < m.pace_start.size:
            if guest.written_ns >= m.pace_start[guest.step + 1]:
                guest.step += 1
                continue
            end = min(end, m.pace_start[guest.step + 1])
        if guest.running:
            run = (end - guest.written_ns) * guest.share * m.pace[guest.step]
            for k in range(m.writers.size):
                writer = m.writers[k]
                due = writer.owed + run * writer.rate
                n = np.int64(due)
                writer.owed = due - n
                if n > 0:
                    _write(m, writer, n)
        guest.written_ns = end


@kernel
def sync(m: Any, now_ns: float) -> Any:
    """Read and clear the dirty log into the bitmap of pages to send.

    Returns
    -------
    int
        Pages that were not to be sent before.
    """
    write_until(m, now_ns)
    fresh = np.int64(0)
    for k in range(m.log.size):
        word = m.log[k]
        if word != u64(0):
            fresh += ones(word & ~m.flagged[k])
            m.flagged[k] |= word
            m.log[k] = u64(0)
    m.guest[0].pending += fresh
    return fresh


@kernel
def dirty_pages(m: Any, now_ns: float) -> Any:
    """Count the pages of the dirty log, and leave it."""
    write_until(m, now_ns)
    count = np.int64(0)
    for k in range(m.log.size):
        count += ones(m.log[k])
    return count


@kernel(forceinline=True, _nrt=False)
def next_flagged(m: Any, page: Any) -> Any:
    """Find the next page to send at or behind `page`, around the end; there is one."""
    words = m.flagged.size
    k = page >> 6
    if k < words:
        word = m.flagged[k] >> u64(page & 63)
        if word != u64(0):
            return page + lowest(word)
        k += 1
    for _ in range(words + 1):
        if k >= words:
            k = np.int64(0)
        if m.flagged[k] != u64(0):
            return k * 64 + lowest(m.flagged[k])
        k += 1
    return np.int64(-1)


@kernel(forceinline=True, _nrt=False)
def _take(m: Any) -> Any:
    """Take the next page out of the bitmap."""
    guest = m.guest[0]
    page = next_flagged(m, guest.cursor)
    m.flagged[page >> 6] &= ~(u64(1) << u64(page & 63))
    guest.cursor = page + 1
    guest.pending -= 1
    return page


@kernel(forceinline=True, _nrt=False)
def _send(m: Any, s: Any, link_start: Any, link_rate: Any, page: Any) -> None:
    """Copy one page, as it is when the socket takes it."""
    write_until(m, s.now_ns)
    zero = (m.zero[page >> 6] >> u64(page & 63)) & u64(1)
    if zero:
        s.sent_zeros += 1
        put(s, link_start, link_rate, s.zero_bytes)
    else:
        put(s, link_start, link_rate, s.page_bytes)
    m.target[page] = m.source[page]
    s.sent_pages += 1


@kernel
def push(m: Any, sender: Any, link_start: Any, link_rate: Any, tested: bool) -> int:
    """Send in bursts, as QEMU does, until the rest may be small enough.

    Parameters
    ----------
    m : Pages
    sender : SENDER[1]
    link_start, link_rate : float64[n]
    tested : bool
        True: the rest was looked at just now, and is too large.

    Returns
    -------
    int
        TEST: the pages to send are below the threshold; or DEADLINE.
    """
    s, guest = sender[0], m.guest[0]
    while True:
        # Rule: QEMU migration_iteration_run: look before every burst
        if not tested:
            if guest.pending == 0 or guest.pending * PAGE < s.threshold_bytes:
                return TEST
            if s.now_ns >= s.deadline_ns:
                return DEADLINE
        tested = False
        began, n = s.now_ns, 0
        # Rule: QEMU ram_save_iterate: until the quota is used or 50 ms have passed
        while guest.pending > 0 and s.window_bytes <= s.quota_bytes:
            if n and n % LOOK_EVERY == 0 and s.now_ns - began > s.burst_ns:
                break
            _send(m, s, link_start, link_rate, _take(m))
            n += 1
        close_window(s)
        wait_for_quota(s)


@kernel
def send_all(m: Any, sender: Any, link_start: Any, link_rate: Any, skip: bool) -> None:
    """Send every page of the bitmap once, from the first page on.

    Parameters
    ----------
    m : Pages
    sender : SENDER[1]
    link_start, link_rate : float64[n]
    skip : bool
        Leave out pages that are written again already when their batch is looked at.
    """
    s, guest = sender[0], m.guest[0]
    guest.cursor = 0
    batch = np.empty(BATCH, np.int64)
    while guest.pending > 0:
        n = min(guest.pending, BATCH)
        if skip:
            write_until(m, s.now_ns)
        kept = 0
        for _ in range(n):
            page = _take(m)
            # Rule: Xen xc_linux_save.c: a page dirty again is left to the next round
            if skip and (m.log[page >> 6] >> u64(page & 63)) & u64(1):
                s.skipped += 1
            else:
                batch[kept] = page
                kept += 1
        for k in range(kept):
            _send(m, s, link_start, link_rate, batch[k])
        if s.now_ns >= s.deadline_ns:
            return


@kernel
def unequal_pages(m: Any) -> Any:
    """Count the pages whose version on the target is not the source's."""
    count = np.int64(0)
    for page in range(m.source.size):
        if m.source[page] != m.target[page]:
            count += 1
    return count
