"""Histogram of latencies with a fixed relative error, and its percentiles.

Exact below 128 ns; above, 64 steps a power of two, so that a value is known to
1.6 % from nanoseconds to days (the layout of HdrHistogram with two significant
digits). Histograms add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vswitch.host_state_kernel import LATENCY_ROWS, SUB_BITS

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def row_bounds_ns(row: int) -> tuple[int, int]:
    """Return the latencies that a row counts.

    Parameters
    ----------
    row : int
        From 0.

    Returns
    -------
    first, behind : int
        Nanoseconds: first <= latency < behind.
    """
    if row < 2 << SUB_BITS:
        return row, row + 1
    shift = (row >> SUB_BITS) - 1
    first = ((row & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS)) << shift
    return first, first + (1 << shift)


@dataclass(frozen=True, eq=False)
class Latencies:
    """A histogram.

    Parameters
    ----------
    counts : numpy.ndarray
        ``int64[LATENCY_ROWS]``.
    longest_ps : int
        Longest latency, exact.
    """

    counts: npt.NDArray[np.int64]
    longest_ps: int = 0

    @classmethod
    def empty(cls) -> Latencies:
        """Return a histogram without values."""
        return cls(np.zeros(LATENCY_ROWS, np.int64))

    @property
    def frames(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    def percentile_ns(self, percent: float) -> int:
        """Return the latency that so many per cent of the frames do not exceed.

        Parameters
        ----------
        percent : float
            0 to 100.

        Returns
        -------
        int
            Nanoseconds: the end of the row, but not above the longest; 0 without values.
        """
        total = self.frames
        if not total:
            return 0
        wanted = max(1, int(np.ceil(total * percent / 100)))
        row = int(np.searchsorted(np.cumsum(self.counts), wanted))
        return min(row_bounds_ns(row)[1] - 1, self.longest_ps // 1000)

    def to_dict(self, percentiles: Iterable[float] = PERCENTILES) -> dict[str, float]:
        """Return percentiles in microseconds, as in the JSON output."""
        found = {f"p{percent:g}": self.percentile_ns(percent) / 1000 for percent in percentiles}
        return {**found, "max": round(self.longest_ps / 1e6, 3)}

    def steps(self) -> list[tuple[int, int]]:
        """Return the rows that are not empty: (end of the row in ns, frames)."""
        rows = np.flatnonzero(self.counts).tolist()
        return [(row_bounds_ns(row)[1], int(self.counts[row])) for row in rows]
