"""An estimate of a pre-copy that simulates nothing: Gudkov's loop over a dirty curve.

References
----------
A. Gudkov, "Migration time prediction using calc-dirty-rate", qemu-devel, 27 April 2023: typical
error 6 to 7 % on 5779 migrations, bad in 3 %.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migration.policies import PAGE_WIRE_BYTES
from migration.working_set import PAGE_BYTES, WorkingSet

HEADER_BYTES = 8
GIVE_UP_S = 3600.0
PERIODS_S = (
    0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 36.0, 43.0, 51.0, 60.0,
)  # fmt: skip
"""22 periods up to a minute. The first six are read from the patch; the rest is chosen."""


class DirtyCurve:
    """Pages dirty some time after a clean start, linear between measured points.

    Parameters
    ----------
    points : sequence of (float, float)
        Seconds and pages, rising in time.
    most : float
        Pages that can be dirty at all.
    """

    def __init__(self, points: Sequence[tuple[float, float]], most: float) -> None:
        points = sorted(points)
        self._most = most
        if len(points) > 1:
            (t0, n0), (t1, n1) = points[0], points[1]
            # Rule: Gudkov: a point at 0 by the slope of the first two, not below 0
            start = max(0.0, n0 - (n1 - n0) / (t1 - t0) * t0)
            points = [(0.0, start), *points]
        else:
            points = [(0.0, 0.0), *points]
        self._points = points

    @classmethod
    def of(cls, working_set: WorkingSet, most: float) -> DirtyCurve:
        """Sample a working set's curve at :data:`PERIODS_S`."""
        return cls([(t, working_set.dirty(t)) for t in PERIODS_S], most)

    def pages(self, t_s: float) -> float:
        """Return the pages dirty after a time.

        Rule: Gudkov: beyond the last point with the slope of the last two, up to all pages
        """
        points = self._points
        k = min(max(bisect_right(points, (t_s, float("inf"))), 1), len(points) - 1)
        (t0, n0), (t1, n1) = points[k - 1], points[k]
        return min(max(n0 + (n1 - n0) / (t1 - t0) * (t_s - t0), 0.0), self._most)


@dataclass(frozen=True)
class Prediction:
    """What to expect of a pre-copy.

    Parameters
    ----------
    total_s : float
        Sum of all passes, the last one too; when `converges` is false, of those before giving up.
    downtime_s : float
        Time of the last pass.
    passes : int
    bytes_sent : float
    converges : bool
        A pass got short enough for the downtime limit.
    least_s : float
        What no policy can beat: every page once (Strunk 2012).
    """

    total_s: float
    downtime_s: float
    passes: int
    bytes_sent: float
    converges: bool
    least_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON has it."""
        return {
            "total_s": self.total_s,
            "downtime_s": self.downtime_s,
            "passes": self.passes,
            "bytes_sent": round(self.bytes_sent),
            "converges": self.converges,
            "least_s": self.least_s,
        }


def predict(
    *,
    memory_bytes: int,
    curve: DirtyCurve,
    zero_pages: int = 0,
    bytes_per_s: float,
    downtime_limit_ns: int,
) -> Prediction:
    """Predict a pre-copy by Gudkov's loop.

    Parameters
    ----------
    memory_bytes : int
    curve : DirtyCurve
    zero_pages : int
    bytes_per_s : float
        Bandwidth, the same for all passes.
    downtime_limit_ns : int

    Returns
    -------
    Prediction
    """
    limit_s = downtime_limit_ns / 1e9
    normal, zeros = memory_bytes // PAGE_BYTES - zero_pages, zero_pages
    # Rule: Gudkov: normal pages with 8 bytes of header, of zero pages the header alone
    least = (normal * PAGE_WIRE_BYTES + zeros * HEADER_BYTES) / bytes_per_s
    pages, total, sent, taken = float(normal), 0.0, 0.0, 0.0
    for number in range(1, 1_000_000):
        n_bytes = pages * PAGE_WIRE_BYTES + zeros * HEADER_BYTES
        taken = n_bytes / bytes_per_s
        total += taken
        sent += n_bytes
        if taken <= limit_s:
            return Prediction(total, taken, number, sent, True, least)
        if total > GIVE_UP_S:
            break
        pages, zeros = curve.pages(taken), 0
    return Prediction(total, taken, number, sent, False, least)
