"""Axes of a picture: values to pixels, and where ticks stand and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class LinearAxis:
    """A linear axis.

    Parameters
    ----------
    first, last : float
        Values at its ends; different.
    begin, end : float
        Pixels there.
    """

    first: float
    last: float
    begin: float
    end: float

    def at(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the pixels of values."""
        share = (np.asarray(values, np.float64) - self.first) / (self.last - self.first)
        return self.begin + share * (self.end - self.begin)

    def ticks(self, most: int) -> list[float]:
        """Return round values inside, at most so many."""
        span = self.last - self.first
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(one * power for one in (*_STEPS, 10.0, 20.0) if span / (one * power) <= most)
        first = math.ceil(self.first / step - 1e-9)
        last = math.floor(self.last / step + 1e-9)
        return [round(n * step, 9) for n in range(first, last + 1)]


@dataclass(frozen=True)
class LogAxis:
    """An axis that is linear within `unit` of 0 and logarithmic beyond, on both sides.

    Parameters
    ----------
    first, last : float
        Values at its ends; different.
    begin, end : float
        Pixels there.
    unit : float
        Above 0.
    """

    first: float
    last: float
    begin: float
    end: float
    unit: float

    def _stretch(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        out: npt.NDArray[np.float64] = np.arcsinh(np.asarray(values, np.float64) / self.unit)
        return out

    def at(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the pixels of values."""
        first, last = self._stretch([self.first, self.last])
        share = (self._stretch(values) - first) / (last - first)
        out: npt.NDArray[np.float64] = self.begin + share * (self.end - self.begin)
        return out

    def ticks(self, most: int) -> list[float]:
        """Return 0 and powers of ten inside, with 2 and 5 between them where there is room."""
        found = [0.0] if self.first <= 0 <= self.last else []
        bound = max(abs(self.first), abs(self.last))
        low = math.floor(math.log10(self.unit))
        powers = [10.0**n for n in range(low, math.ceil(math.log10(bound)) + 1)]
        for factors in ((1.0,), _STEPS):
            values = sorted(
                {
                    sign * factor * power
                    for sign in (-1, 1)
                    for factor in factors
                    for power in powers
                }
            )
            inside = [value for value in values if self.first <= value <= self.last]
            if len(inside) + len(found) <= most or factors == (1.0,):
                best = inside
        return sorted([*found, *(round(value, 9) for value in best)])


Axis: TypeAlias = LinearAxis | LogAxis


def seconds_text(value: float) -> str:
    """Return a time as a tick says it: ``0``, ``5 ms``, ``-0.2 s``, ``300 s``.

    Parameters
    ----------
    value : float
        Seconds.

    Returns
    -------
    str
        With the unit.
    """
    if value == 0:
        return "0"
    if abs(value) < 0.0999:
        return f"{value * 1000:g} ms"
    return f"{value:g} s"
