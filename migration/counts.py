"""Guest memory as counts: for plans that need no pages. 64 GiB cost what 64 MiB cost.

The same calls as :class:`migration.memory.Memory`, so that policies do not know the difference.
What pages are dirty is an expectation here; nothing can be compared at the end.
"""

from __future__ import annotations

import numpy as np

from migration import counts_kernel as k
from migration.memory import ZerosAt, pages_of
from migration.memory_kernel import TEST
from migration.sender import Sender
from migration.working_set import Pattern, WorkingSet

_ORDERS = {"end": k.ZERO_END, "spread": k.ZERO_SPREAD, "start": k.ZERO_START}


class Counts:
    """A guest's memory during a move, counted.

    Parameters
    ----------
    memory_bytes : int
    working_set : WorkingSet
    zero_pages : int
    zeros_at : {"end", "spread", "start"}
    """

    def __init__(
        self, memory_bytes: int, working_set: WorkingSet, zero_pages: int = 0,
        zeros_at: ZerosAt = "end",
    ) -> None:  # fmt: skip
        self.pages = pages_of(memory_bytes, working_set, zero_pages)
        sets = np.zeros(len(working_set.sets), k.COUNT).view(np.recarray)
        for number, one in enumerate(working_set.sets):
            row = sets[number]
            row.pattern, row.pages, row.exponent = int(one.pattern), one.pages, one.exponent
            row.rate = one.writes_per_s / 1e9
            if one.pattern is Pattern.ZIPF:
                row.total = k.zipf_total(one.pages, one.exponent)
        self._zeros = zero_pages
        self.columns = k.Counts(
            sets=sets,
            rest=np.zeros(1, k.REST).view(np.recarray),
            pace_start=np.array([start for start, _ in working_set.pace], np.float64),
            pace=np.array([factor for _, factor in working_set.pace], np.float64),
        )
        self._rest = self.columns.rest[0]
        self._rest.order = _ORDERS[zeros_at]

    @property
    def pending(self) -> int:
        """Pages to send, to the next whole one."""
        return round(float(k.count_pending(self.columns)))

    def begin(self, now_ns: float) -> None:
        """Begin to note writes; all pages are to send."""
        sets, rest = self.columns.sets, self._rest
        for row in sets:
            row.unsent = row.ahead = row.ahead_unsent = row.pages
        rest.zeros = self._zeros
        rest.ordinary = self.pages - self._zeros - float(sets.pages.sum())
        rest.written_ns, rest.share, rest.running = now_ns, 1.0, 1

    def sync(self, now_ns: float) -> int:
        """Add the pages written since the last sync to those to send; return how many are new."""
        return round(float(k.count_sync(self.columns, now_ns)))

    def dirty(self, now_ns: float) -> int:
        """Return the pages written since the last sync."""
        return round(float(k.count_dirty(self.columns, now_ns)))

    def push(self, sender: Sender, tested: bool) -> bool:
        """Send in bursts; True when the rest may be small enough, False at the deadline."""
        why = k.push_counts(self.columns, sender.rows, sender.link_start, sender.link_rate, tested)
        return int(why) == TEST

    def send_all(self, sender: Sender, skip: bool) -> None:
        """Send every page to send once."""
        k.send_all_counts(self.columns, sender.rows, sender.link_start, sender.link_rate, skip)

    def throttle(self, now_ns: float, share: float) -> None:
        """Let the vCPUs run only this share of the time from now on."""
        k.count_writes(self.columns, now_ns)
        self._rest.share = share

    def stop(self, now_ns: float) -> None:
        """Stop the vCPUs."""
        k.count_writes(self.columns, now_ns)
        self._rest.running = 0

    def equal(self) -> None:
        """Return None: there is nothing to compare."""
