"""What a picture shows of the frames of a run, gathered in one pass with bounded memory.

Frames become pixels here: new data is a span of stream positions for each half
pixel of time; what was sent again, and what ended on its way, is kept one by one,
up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from migration.path_kernel import AT_CLIENT
from migration.tcp.state_kernel import RST
from vswitch.axes import Axis

if TYPE_CHECKING:
    from migration.frame_log import FrameLog

STEP = 0.5
"""Pixels of time that are told apart."""

BAR = 2
"""Pixels of a bar of the traffic panel."""

_MOST = 5000
_NONE = 1 << 62

MARKS = ("timeout", "tail", "fast", "probe", "reset", "drop")
"""Kinds of frames that are kept one by one; the first three: `again` of the log, less one."""


@dataclass(frozen=True)
class Column:
    """One column of the picture: a time axis.

    Parameters
    ----------
    axis : LinearAxis or LogAxis
        Seconds since `zero_ns`.
    zero_ns : int
        World time.
    title : str
        What its time is.
    name : str
        ``whole`` or ``near``.
    """

    axis: Axis
    zero_ns: int
    title: str
    name: str

    @property
    def width(self) -> float:
        """Pixels."""
        return self.axis.end - self.axis.begin

    def at(self, times_ns: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the pixels of world times."""
        return self.axis.at((np.asarray(times_ns, np.float64) - self.zero_ns) / 1e9)


class Lane:
    """What one end sends, in one column.

    Parameters
    ----------
    column : Column
        Its time axis.

    Attributes
    ----------
    low, high : numpy.ndarray
        ``int64[]``: first and last stream position of new data, by half pixels of time.
    marks : dict of str to list of tuple
        World time and stream position, by kind.
    """

    def __init__(self, column: Column) -> None:
        cells = int(column.width / STEP) + 1
        self.column = column
        self.low = np.full(cells, _NONE, np.int64)
        self.high = np.full(cells, -1, np.int64)
        self.marks: dict[str, list[tuple[int, int]]] = {name: [] for name in MARKS}

    def take(self, rows: npt.NDArray[np.void], x: npt.NDArray[np.float64]) -> None:
        """Add rows of the log that lie inside the column, at pixels x."""
        seen = rows["where"] == AT_CLIENT
        new = seen & (rows["size"] > 0) & (rows["again"] == 0) & (rows["probe"] == 0)
        place = ((x[new] - self.column.axis.begin) / STEP).astype(np.int64)
        np.minimum.at(self.low, place, rows["seq"][new])
        np.maximum.at(self.high, place, rows["seq"][new] + rows["size"][new])
        for again, name in enumerate(MARKS[:3], 1):
            self._keep(name, rows[seen & (rows["again"] == again)])
        self._keep("probe", rows[seen & (rows["probe"] > 0)])
        self._keep("reset", rows[seen & ((rows["flags"] & RST) > 0)])
        self._keep("drop", rows[rows["fate"] > 0])

    def _keep(self, name: str, rows: npt.NDArray[np.void]) -> None:
        room = _MOST - len(self.marks[name])
        if len(rows) and room > 0:
            times, places = rows["at"][:room].tolist(), rows["seq"][:room].tolist()
            self.marks[name] += zip(times, places, strict=True)

    @property
    def filled(self) -> npt.NDArray[np.int64]:
        """The half pixels that have new data."""
        return np.flatnonzero(self.high >= 0)

    @property
    def range(self) -> tuple[int, int] | None:
        """Lowest and highest stream position; None when there is nothing to see."""
        kept = [place for group in self.marks.values() for _, place in group]
        cells = self.filled
        lows = [*kept, *([int(self.low[cells].min())] if len(cells) else [])]
        highs = [*kept, *([int(self.high[cells].max())] if len(cells) else [])]
        return (min(lows), max(highs)) if lows else None


@dataclass
class Traces:
    """Everything that the panels about frames draw.

    Parameters
    ----------
    columns : sequence of Column
        Time axes.
    chosen : sequence of int
        Connections that are shown.

    Attributes
    ----------
    counts : dict of str to numpy.ndarray
        Frames at the client side, of all connections, for each :data:`BAR` pixels, by column.
    lanes : dict
        By column and end.
    """

    columns: Sequence[Column]
    chosen: Sequence[int]
    counts: dict[str, npt.NDArray[np.int64]] = field(init=False)
    lanes: dict[tuple[str, int], Lane] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = {
            column.name: np.zeros(int(column.width) // BAR, np.int64) for column in self.columns
        }
        self.lanes = {
            (column.name, end): Lane(column)
            for column in self.columns
            for c in self.chosen
            for end in (2 * c, 2 * c + 1)
        }

    def gather(self, log: FrameLog) -> None:
        """Take all frames of a run.

        Parameters
        ----------
        log : FrameLog
            What it has logged.
        """
        wanted = np.array(self.chosen, np.int64)
        for rows in log.chunks():
            seen = rows["at"][rows["where"] == AT_CLIENT]
            own = rows[np.isin(rows["sender"] >> 1, wanted)]
            for column in self.columns:
                self._count(column, seen)
                x = column.at(own["at"])
                inside = (x >= column.axis.begin) & (x <= column.axis.end)
                for end in np.unique(own["sender"][inside]).tolist():
                    chosen = inside & (own["sender"] == end)
                    self.lanes[column.name, end].take(own[chosen], x[chosen])

    def _count(self, column: Column, times_ns: npt.NDArray[np.int64]) -> None:
        counts = self.counts[column.name]
        place = (column.at(times_ns) - column.axis.begin) // BAR
        inside = place[(place >= 0) & (place < len(counts))].astype(np.int64)
        counts += np.bincount(inside, minlength=len(counts))
