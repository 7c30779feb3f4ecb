"""The frames of a run at every interface, kept until the run is over.

What the comment of a frame says, and which connections a picture shows, is known
only at the end, so the rows wait in a temporary file that has no name and vanishes
with the process. Memory holds one chunk of them, and nine bytes for each frame
that ended on its way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from migration.path_kernel import LOG
from pcaps.whole import cannot_write, write_fully

CHUNK = 1 << 15
"""Rows read at a time: 4.5 MB."""

_PLACES = 4
"""Interfaces that the log has."""


class FrameLog:
    """Rows of :data:`migration.path_kernel.LOG`; use it in a ``with`` statement.

    A frame that ends has two rows at the interface where it was seen last: one when
    it was there, and one, with the reason, when it ended. :attr:`rows` counts the
    former; of the latter only the reason is kept.

    Parameters
    ----------
    directory : path-like
        Where the temporary file is made.

    Attributes
    ----------
    rows : int
        Frames at interfaces so far.
    last_number : int
        Highest number of a segment so far.
    first_ns, last_ns : int
        World time of the first and of the last frame; 0 when there is none.
    """

    def __init__(self, directory: str | Path) -> None:
        self.rows = 0
        self.last_number = self.first_ns = self.last_ns = 0
        self._directory = Path(directory)
        self._file: Any = None
        self._ended: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]] = []

    def __enter__(self) -> Self:
        try:
            self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)
        except OSError as error:
            raise cannot_write(self._directory, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def take(self, rows: npt.NDArray[np.void]) -> None:
        """Keep rows; give it to a run as its consumer of rows.

        Parameters
        ----------
        rows : numpy.ndarray
            ``LOG[n]``, in order of time; may be changed afterwards.

        Raises
        ------
        BadInput
            When the system refuses the write.
        """
        if not len(rows):
            return
        over = rows["fate"] != 0
        if over.any():
            self._ended.append((_key(rows[over]), rows["fate"][over]))
            rows = rows[~over]
            if not len(rows):
                return
        self.first_ns = self.first_ns if self.rows else int(rows["at"][0])
        self.last_ns = int(rows["at"][-1])
        self.last_number = max(self.last_number, int(rows["number"].max()))
        try:
            write_fully(self._file.fileno(), np.ascontiguousarray(rows).view(np.uint8))
        except OSError as error:
            raise cannot_write(self._directory, error) from error
        self.rows += len(rows)

    def chunks(self) -> Iterator[npt.NDArray[np.void]]:
        """Yield the frames at interfaces, in order, with the reason where one ended.

        Yields
        ------
        numpy.ndarray
            ``LOG[n]``: `fate` is set in the row of the interface where the frame was
            seen last.
        """
        all_keys = np.concatenate([*(keys for keys, _ in self._ended), np.zeros(0, np.int64)])
        keys, first = np.unique(all_keys, return_index=True)
        fates = np.concatenate([*(fates for _, fates in self._ended), np.zeros(0, np.uint8)])[first]
        self._file.seek(0)
        while data := self._file.read(CHUNK * LOG.itemsize):
            rows = np.frombuffer(data, LOG).copy()
            if len(keys):
                wanted = _key(rows)
                place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
                rows["fate"] = np.where(keys[place] == wanted, fates[place], 0)
            yield rows


def _key(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return what a frame at an interface is known by."""
    keys: npt.NDArray[np.int64] = rows["number"] * _PLACES + rows["where"]
    return keys
