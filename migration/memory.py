"""Guest memory in pages with versions, on the source and on the target.

A version counts the writes to a page. :meth:`Memory.equal` compares both hosts page by page; it
is what a move proves itself with. 8 bytes and 3 bits a page: 64 GiB take 140 MB.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from migration import memory_kernel as k
from migration.memory_kernel import PAGE
from migration.sender import Sender
from migration.working_set import Pattern, WorkingSet
from pcaps.draws import Draws
from pcaps.errors import BadInput

ZerosAt = Literal["end", "spread", "start"]
NEVER = 0xFFFFFFFF
"""Version of a page that the target has not got."""
MOST_BYTES = 1 << 40
"""Largest memory in pages: 1 TiB takes 2.1 GB here."""
MOST_BYTES_PER_S = 1e11
"""Highest rate of writes that is done one by one; no machine has a memory that fast today."""


def pages_of(memory_bytes: int, working_set: WorkingSet, zero_pages: int) -> int:
    """Return the pages of a memory; BadInput when the rest does not fit in."""
    if memory_bytes < PAGE:
        raise BadInput(f"a memory of {memory_bytes} bytes has no page; give at least 4KiB")
    pages = memory_bytes // PAGE
    if working_set.pages > pages:
        raise BadInput(
            f"the working set of {working_set.pages * PAGE / 2**20:g} MiB does not fit into the "
            f"memory of {pages * PAGE / 2**20:g} MiB; give a smaller one"
        )
    if not 0 <= zero_pages <= pages - working_set.pages:
        raise BadInput(
            f"{zero_pages} zero pages do not fit: the memory has {pages} pages, and the working "
            f"set's {working_set.pages} are not zero; give at most {pages - working_set.pages}"
        )
    return pages


class Memory:
    """A guest's memory during a move.

    Parameters
    ----------
    memory_bytes : int
    working_set : WorkingSet
        Its pages are the first of memory, and not zero.
    zero_pages : int
    zeros_at : {"end", "spread", "start"}
        Behind everything else; evenly between the pages that are not written; or before them.
    seed : int
        Of the random patterns.
    """

    def __init__(
        self, memory_bytes: int, working_set: WorkingSet, zero_pages: int = 0,
        zeros_at: ZerosAt = "end", seed: int = 0,
    ) -> None:  # fmt: skip
        self.pages = pages_of(memory_bytes, working_set, zero_pages)
        if memory_bytes > MOST_BYTES:
            raise BadInput(
                f"a memory of {memory_bytes / 2**40:g} TiB is too large to keep every page; plan it "
                "with counts"
            )
        if working_set.bytes_per_s > MOST_BYTES_PER_S:
            raise BadInput(
                f"{working_set.bytes_per_s / 1e9:g} GB/s of pages are too many to write one by one; "
                "plan them with counts"
            )
        words = (self.pages + 63) // 64
        self.columns = k.Pages(
            source=np.zeros(self.pages, np.uint32),
            target=np.full(self.pages, NEVER, np.uint32),
            flagged=np.zeros(words, np.uint64),
            log=np.zeros(words, np.uint64),
            zero=bitmap(zero_places(self.pages, working_set.pages, zero_pages, zeros_at), words),
            writers=_writers(working_set, seed),
            guest=np.zeros(1, k.GUEST).view(np.recarray),
            pace_start=np.array([start for start, _ in working_set.pace], np.float64),
            pace=np.array([factor for _, factor in working_set.pace], np.float64),
        )
        self._guest = self.columns.guest[0]

    @property
    def pending(self) -> int:
        """Pages to send."""
        return int(self._guest.pending)

    @property
    def source(self) -> npt.NDArray[np.uint32]:
        """Versions on the source."""
        found: npt.NDArray[np.uint32] = self.columns.source
        return found

    @property
    def target(self) -> npt.NDArray[np.uint32]:
        """Versions on the target; `NEVER` where it has none."""
        found: npt.NDArray[np.uint32] = self.columns.target
        return found

    def begin(self, now_ns: float) -> None:
        """Begin to note writes; all pages are to send."""
        self.columns.flagged[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
        if self.pages % 64:
            self.columns.flagged[-1] = np.uint64((1 << (self.pages % 64)) - 1)
        guest = self._guest
        guest.pending, guest.written_ns, guest.share, guest.running = self.pages, now_ns, 1.0, 1

    def sync(self, now_ns: float) -> int:
        """Add the pages written since the last sync to those to send; return how many are new."""
        return int(k.sync(self.columns, now_ns))

    def dirty(self, now_ns: float) -> int:
        """Return the pages written since the last sync."""
        return int(k.dirty_pages(self.columns, now_ns))

    def push(self, sender: Sender, tested: bool) -> bool:
        """Send in bursts; True when the rest may be small enough, False at the deadline."""
        why = k.push(self.columns, sender.rows, sender.link_start, sender.link_rate, tested)
        return int(why) == k.TEST

    def send_all(self, sender: Sender, skip: bool) -> None:
        """Send every page to send once, from the first on."""
        k.send_all(self.columns, sender.rows, sender.link_start, sender.link_rate, skip)

    def throttle(self, now_ns: float, share: float) -> None:
        """Let the vCPUs run only this share of the time from now on."""
        k.write_until(self.columns, now_ns)
        self._guest.share = share

    def stop(self, now_ns: float) -> None:
        """Stop the vCPUs."""
        k.write_until(self.columns, now_ns)
        self._guest.running = 0

    def resume_at(self, now_ns: float) -> None:
        """Let the vCPUs run again, from this time on."""
        guest = self._guest
        guest.running, guest.written_ns, guest.share = 1, now_ns, 1.0

    def equal(self) -> bool:
        """Compare the two hosts' memories, page by page."""
        return int(k.unequal_pages(self.columns)) == 0


def zero_places(
    pages: int, written: int, zero_pages: int, zeros_at: ZerosAt
) -> npt.NDArray[np.int64]:
    """Return the zero pages' numbers; none of them is among the first `written`."""
    if zeros_at == "end":
        return np.arange(pages - zero_pages, pages)
    if zeros_at == "start":
        return np.arange(written, written + zero_pages)
    if zeros_at == "spread":
        return written + np.arange(zero_pages) * (pages - written) // max(zero_pages, 1)
    raise BadInput(f"zero pages are at the end, the start or spread, not '{zeros_at}'")


def bitmap(places: npt.NDArray[np.int64], words: int) -> npt.NDArray[np.uint64]:
    """Return a bitmap with these bits set."""
    bits = np.zeros(words * 64, np.uint8)
    bits[places] = 1
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)


def _writers(working_set: WorkingSet, seed: int) -> Any:
    rows = np.zeros(len(working_set.sets), k.WRITER).view(np.recarray)
    draws, first = Draws(seed), 0
    for number, one in enumerate(working_set.sets):
        row = rows[number]
        row.pattern, row.first, row.pages = int(one.pattern), first, one.pages
        row.rate, row.exponent = one.writes_per_s / 1e9, one.exponent
        row.origin = draws.words(number, 0, 1)[0]
        if one.pattern is Pattern.SEQUENTIAL:  # somewhere on its round when the move begins
            row.done = draws.integers(number, 1, 1, one.pages)[0]
        row.stride = _coprime(one.pages)
        if one.pattern is Pattern.ZIPF:
            k.prepare_zipf(row)
        first += one.pages
    return rows


def _coprime(n: int) -> int:
    """Return a number near the golden section of `n` that has no factor in common with it."""
    stride = max(1, int(n * 0.618033988749895))
    while math.gcd(stride, n) != 1:
        stride += 1
    return stride
