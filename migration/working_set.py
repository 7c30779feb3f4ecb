"""What a guest writes: sets of pages, in which order, how fast; and how many get dirty in a time.

A working set is one or several write sets that lie one behind the other at the bottom of memory.
Each is written at a steady rate of pages, multiplied by a pace that may change in time. From the
same description both memories are made: the one in pages, which writes them one by one, and the
one in counts, which asks :meth:`WriteSet.distinct`.

Left to others: the pages themselves (:mod:`migration.memory`), the counts
(:mod:`migration.counts`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

from pcaps.errors import BadInput

PAGE_BYTES = 4096


class Pattern(IntEnum):
    """In which order a set is written."""

    SEQUENTIAL = 0
    """Page after page, round and round: the pages of a time are distinct up to the whole set."""
    UNIFORM = 1
    """Independent draws, every page alike."""
    ZIPF = 2
    """Independent draws, page of rank r with a probability ~ r**-exponent."""


@dataclass(frozen=True)
class WriteSet:
    """Pages that are written together.

    Parameters
    ----------
    pattern : Pattern
    pages : int
        Size of the set.
    writes_per_s : float
        Writes a second, each of one page.
    exponent : float
        Of a Zipf set.
    """

    pattern: Pattern
    pages: int
    writes_per_s: float
    exponent: float = 0.0

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise BadInput("a write set needs at least one page of 4 KiB; give a larger set")
        if not (math.isfinite(self.writes_per_s) and self.writes_per_s >= 0):
            raise BadInput(f"a write set cannot have {self.writes_per_s} writes a second")
        if self.pattern is Pattern.ZIPF and not 0 < self.exponent <= 10:
            raise BadInput(
                f"a Zipf exponent of {self.exponent} is out of range; give one above 0, up to 10"
            )

    def distinct(self, writes: float) -> float:
        """Return how many pages are dirty after `writes` writes to a clean set.

        Parameters
        ----------
        writes : float

        Returns
        -------
        float
            Expected number of distinct pages. Sequential: exact. Uniform:
            ``W (1 - exp(-n / W))``. Zipf: the same by buckets of ranks.
        """
        from migration.counts_kernel import distinct, zipf_total

        total = zipf_total(self.pages, self.exponent) if self.pattern is Pattern.ZIPF else 1.0
        return float(distinct(int(self.pattern), float(self.pages), self.exponent, total, writes))


@dataclass(frozen=True)
class WorkingSet:
    """Everything that a guest writes.

    Parameters
    ----------
    sets : tuple of WriteSet
        They lie one behind the other from page 0 on.
    pace : tuple of (int, float)
        From which time of the move, in ns, the guest writes at which multiple of its rates.
    """

    sets: tuple[WriteSet, ...] = ()
    pace: tuple[tuple[int, float], ...] = ((0, 1.0),)

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.pace]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise BadInput("the pace of a working set begins at 0 s, and its times only go up")
        if any(not math.isfinite(factor) or factor < 0 for _, factor in self.pace):
            raise BadInput("the pace of a working set has a factor below 0; give 0 or more")

    @property
    def pages(self) -> int:
        """Pages of all sets."""
        return sum(one.pages for one in self.sets)

    @property
    def bytes_per_s(self) -> float:
        """Bytes of pages written a second, repeats counted, at pace 1."""
        return PAGE_BYTES * sum(one.writes_per_s for one in self.sets)

    def dirty(self, dt_s: float) -> float:
        """Return the pages that are dirty `dt_s` seconds after a clean start, at pace 1."""
        return sum(one.distinct(one.writes_per_s * dt_s) for one in self.sets)

    def scaled(self, factor: float) -> WorkingSet:
        """Return the same sets, written `factor` times as fast."""
        sets = tuple(
            WriteSet(one.pattern, one.pages, one.writes_per_s * factor, one.exponent)
            for one in self.sets
        )
        return WorkingSet(sets, self.pace)


def _pages(size_bytes: float) -> int:
    return max(1, round(size_bytes / PAGE_BYTES))


def sequential(size_bytes: float, rate_bytes_per_s: float) -> WorkingSet:
    """A working set that is written page after page, round and round."""
    return WorkingSet(
        (WriteSet(Pattern.SEQUENTIAL, _pages(size_bytes), rate_bytes_per_s / PAGE_BYTES),)
    )


def uniform(size_bytes: float, rate_bytes_per_s: float) -> WorkingSet:
    """A working set whose pages are written at random, all alike."""
    return WorkingSet(
        (WriteSet(Pattern.UNIFORM, _pages(size_bytes), rate_bytes_per_s / PAGE_BYTES),)
    )


def zipf(size_bytes: float, rate_bytes_per_s: float, exponent: float = 0.99) -> WorkingSet:
    """A working set whose pages are written by Zipf's law.

    Parameters
    ----------
    size_bytes, rate_bytes_per_s : float
    exponent : float
        0.99 is what YCSB draws its keys with (Cooper et al., SoCC 2010).
    """
    rate = rate_bytes_per_s / PAGE_BYTES
    return WorkingSet((WriteSet(Pattern.ZIPF, _pages(size_bytes), rate, exponent),))


def hot_cold(
    size_bytes: float, rate_bytes_per_s: float, hot_size: float = 0.1, hot_writes: float = 0.9
) -> WorkingSet:
    """A working set of two parts, each written at random.

    Parameters
    ----------
    size_bytes, rate_bytes_per_s : float
    hot_size, hot_writes : float
        Share of the pages that is hot, and share of the writes that it takes.
    """
    if not (0 < hot_size < 1 and 0 <= hot_writes <= 1):
        raise BadInput(
            "hot and cold are shares between 0 and 1, such as 0.1 of pages, 0.9 of writes"
        )
    pages, rate = _pages(size_bytes), rate_bytes_per_s / PAGE_BYTES
    hot = max(1, round(pages * hot_size))
    return WorkingSet(
        (
            WriteSet(Pattern.UNIFORM, hot, rate * hot_writes),
            WriteSet(Pattern.UNIFORM, max(1, pages - hot), rate * (1 - hot_writes)),
        )
    )


def from_curve(points: Sequence[tuple[float, float]]) -> WorkingSet:
    """Make the working set that dirties as a measured curve tells.

    Parameters
    ----------
    points : sequence of (float, float)
        Seconds since a clean start, and bytes of distinct pages dirty by then.

    Returns
    -------
    WorkingSet
        One sequential set per corner of the curve: a set of W pages that is gone round in T
        gives min(W, W t / T), and sums of these are all curves of straight pieces that bend
        downwards. A steady guest has such a curve; of another, its upper hull is taken. Beyond
        the last point the curve stays level.
    """
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for t, n_bytes in sorted(points):
        if not (math.isfinite(t) and math.isfinite(n_bytes)) or t < 0 or n_bytes < 0:
            raise BadInput(
                f"a dirty curve has the point {t} s, {n_bytes} bytes; give positive ones"
            )
        if t == hull[-1][0]:
            continue
        point = (t, max(n_bytes, hull[-1][1]))
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], point):
            hull.pop()
        hull.append(point)
    if len(hull) < 2:
        raise BadInput("a dirty curve needs a point at a time above 0 s")
    slopes = [*(_slope(*pair) for pair in pairwise(hull)), 0.0]
    sets = []
    for (t, _), (before, after) in zip(hull[1:], pairwise(slopes), strict=True):
        size = (before - after) * t
        if size >= PAGE_BYTES / 2:
            pages = _pages(size)
            sets.append(WriteSet(Pattern.SEQUENTIAL, pages, pages / t))
    return WorkingSet(tuple(sets))


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


def read_curve(path: str | Path) -> WorkingSet:
    """Read a working set from a file.

    Parameters
    ----------
    path : str or pathlib.Path
        Lines ``SECONDS SIZE``, such as ``0.5 40MB`` (see :func:`from_curve`); or a line
        ``set SIZE`` and lines ``SECONDS RATE``, such as ``10 200MB/s``: from then on the guest
        writes its set at that rate. ``#`` begins a comment.

    Returns
    -------
    WorkingSet

    Raises
    ------
    BadInput
        With file and line.
    """
    from migration.curve_file import parse_curve

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot read the dirty curve: {error}") from error
    return parse_curve(text, str(path))
