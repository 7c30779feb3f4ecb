"""Load of a VM over a day: shapes by name or by points, with a spread drawn from a seed.

A load is a share of the VM's peak, 0 to 1. It is kept at knots of 15 minutes and is linear between
them, so that 20,000 VMs for a day are a table of two million numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KNOT_NS = 900_000_000_000
DAY_KNOTS = 96

SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "constant": ((0.0, 1.0),),
    "office": ((0, 0.05), (7, 0.1), (9, 0.9), (11, 1), (12.5, 0.7), (14, 1), (17, 0.6), (19, 0.1)),
    "night": ((0, 0.8), (1, 1), (5, 1), (6, 0.2), (21, 0.1), (23, 0.7)),
    "web": ((0, 0.35), (4, 0.2), (9, 0.6), (13, 0.7), (17, 0.8), (20, 1), (22, 0.8)),
    "batch": ((0, 0.1), (1.9, 0.1), (2, 1), (3.5, 1), (3.6, 0.1)),
}
"""Name -> hour of the day and share of the peak (chosen)."""


@dataclass(frozen=True)
class Curve:
    """How much of its peak a VM needs, over a day.

    Parameters
    ----------
    points : tuple of (float, float)
        Hour of the day, and share; in order of hours. It goes round at midnight.
    low, peak : float
        What 0 and 1 of the points stand for.
    spread : float
        Standard deviation of what is drawn around it, as a share of it.
    """

    points: tuple[tuple[float, float], ...] = SHAPES["constant"]
    low: float = 0.0
    peak: float = 1.0
    spread: float = 0.0

    def at_knots(self) -> npt.NDArray[np.float64]:
        """Return its 96 values of a day, without what is drawn."""
        hours, shares = zip(*self.points, strict=True)
        knots = np.arange(DAY_KNOTS) / 4.0
        level = np.interp(knots, hours, shares, period=24.0)
        out: npt.NDArray[np.float64] = self.low + (self.peak - self.low) * level
        return out


class Loads:
    """The loads of many VMs, at any time of a run.

    Parameters
    ----------
    curves : sequence of Curve
    hours : float
        Length of the run.
    seed : int
    """

    def __init__(self, curves: tuple[Curve, ...], hours: float, seed: int) -> None:
        knots = int(np.ceil(hours * 4)) + 2
        days: dict[Curve, npt.NDArray[np.float64]] = {}
        plain = np.empty((DAY_KNOTS, len(curves)), np.float32)
        for n, curve in enumerate(curves):
            if curve not in days:
                days[curve] = curve.at_knots()
            plain[:, n] = days[curve]
        spread = np.array([curve.spread for curve in curves], np.float32)
        drawn = np.random.default_rng(seed).standard_normal((knots, len(curves)), np.float32)
        self._knots = np.clip(plain[np.arange(knots) % DAY_KNOTS] * (1 + spread * drawn), 0, 1)

    def at(self, now_ns: int) -> npt.NDArray[np.float32]:
        """Return the loads at a time.

        Parameters
        ----------
        now_ns : int
            Since midnight, when the run begins.

        Returns
        -------
        float32[n_vms]
            Shares of the peaks.
        """
        knot, rest = divmod(now_ns, KNOT_NS)
        share = np.float32(rest / KNOT_NS)
        here, there = self._knots[knot], self._knots[knot + 1]
        out: npt.NDArray[np.float32] = here + (there - here) * share
        return out
