"""The buffer between the kernels that build records and the file.

One buffer is allocated and used again and again, so that it stays in the second
level cache: a fresh large array costs more than filling it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from pcaps.copies import NO_COMMENT, QUEUE_OF_INTERFACE, Copies
from pcaps.frames import PAD
from pcaps.whole import WholeFile

if TYPE_CHECKING:
    from pcaps.frames import Frames
    from pcaps.write_kernel import CopyColumns, FrameColumns

CAPACITY = 1 << 19
"""Bytes of one flush; 256 KB to 1 MB are alike, and half of L2 is left for the frames."""

_constants: dict[tuple[str, int], npt.NDArray[Any]] = {}


class StagedFile:
    """A whole-or-absent file behind a buffer that the kernels fill.

    Parameters
    ----------
    path : str or path-like
        As for :class:`~pcaps.whole.WholeFile`.
    header : bytes
        What the file starts with.

    Attributes
    ----------
    buffer : numpy.ndarray
        ``uint8[capacity + PAD]``; the kernels over-copy into the padding.
    filled, capacity : int
        Bytes waiting in the buffer, bytes that it holds.
    """

    def __init__(self, path: str | os.PathLike[str], header: bytes) -> None:
        self.capacity = CAPACITY
        self.filled = 0
        self._header = header
        self._file = WholeFile(path)

    def __enter__(self) -> Self:
        self.buffer = np.zeros(self.capacity + PAD, np.uint8)
        self._file.__enter__()
        try:
            self._file.write(self._header)
        except BaseException as error:
            self._file.__exit__(type(error), error, None)
            raise
        return self

    @property
    def bytes_written(self) -> int:
        """Size of the file so far, without what waits in the buffer."""
        return self._file.bytes_written

    def put(self, data: bytes) -> None:
        """Append bytes behind those that the kernels made.

        Parameters
        ----------
        data : bytes
            What to append.
        """
        self.flush()
        self._file.write(data)

    def flush(self) -> None:
        """Write out what waits in the buffer."""
        if self.filled:
            self._file.write(self.buffer[: self.filled])
            self.filled = 0

    def make_room(self) -> None:
        """Flush; when nothing was there, the record is larger than the buffer: enlarge it."""
        if self.filled:
            self.flush()
        else:
            self.capacity *= 2
            self.buffer = np.zeros(self.capacity + PAD, np.uint8)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        except BaseException as refused:
            self._file.__exit__(type(refused), refused, None)
            raise
        self._file.__exit__(kind, error, trace)


def read_only(column: npt.ArrayLike, dtype: Any) -> npt.NDArray[Any]:
    """Return a column as every kernel expects it: contiguous, typed, read-only.

    Parameters
    ----------
    column : array-like
        Any integers.
    dtype : data-type
        The kernel's type for this column.

    Returns
    -------
    numpy.ndarray
        A view where possible.
    """
    view = np.ascontiguousarray(column, dtype).view()
    view.flags.writeable = False
    return view


def _constant(value: int, dtype: Any, n: int) -> npt.NDArray[Any]:
    """Return n equal values; the array is kept and only ever grows."""
    key = (np.dtype(dtype).str, value)
    kept = _constants.get(key)
    if kept is None or len(kept) < n:
        kept = read_only(np.full(max(n, 1 << 16), value, dtype), dtype)
        _constants[key] = kept
    return kept[:n]


class BatchColumns:
    """The columns of the batch in work, made once however often it is written from."""

    def __init__(self) -> None:
        self._frames: Frames | None = None
        self._columns: FrameColumns | None = None

    def of(self, frames: Frames) -> FrameColumns:
        """Return a batch as the write kernels take it.

        Parameters
        ----------
        frames : Frames
            Any batch; one without padding is copied.

        Returns
        -------
        FrameColumns
            Read-only columns.
        """
        from pcaps.write_kernel import FrameColumns

        if self._columns is None or self._frames is not frames:
            safe = frames.with_padding()
            self._frames = frames
            self._columns = FrameColumns(
                read_only(safe.data, np.uint8),
                read_only(safe.start, np.int64),
                read_only(safe.caplen, np.uint32),
                read_only(safe.wirelen, np.uint32),
                read_only(safe.ts_ns, np.int64),
            )
        return self._columns

    def forget(self) -> None:
        """Let go of the batch, so that its file can be unmapped."""
        self._frames = self._columns = None


def copy_columns(copies: Copies) -> CopyColumns:
    """Return copies as the write kernels take them, absent columns filled in.

    Parameters
    ----------
    copies : Copies
        Any copies.

    Returns
    -------
    CopyColumns
        Read-only columns of equal length.
    """
    from pcaps.write_kernel import CopyColumns

    def column(values: npt.NDArray[Any] | None, dtype: Any, default: int = 0) -> npt.NDArray[Any]:
        if values is None:
            return _constant(default, dtype, len(copies))
        return read_only(values, dtype)

    return CopyColumns(
        read_only(copies.frame, np.uint32),
        read_only(copies.interface, np.uint32),
        column(copies.strip, np.uint8),
        column(copies.push, np.uint32),
        column(copies.packet_id, np.uint64),
        column(copies.direction, np.uint8),
        column(copies.queue, np.int64, QUEUE_OF_INTERFACE),
        column(copies.comment, np.int64, NO_COMMENT),
    )


def raise_for(state: int, copies: Copies, cursor: int) -> NoReturn:
    """Raise for the copy that a kernel stopped at.

    Parameters
    ----------
    state : int
        What the kernel returned.
    copies : Copies
        What it was given.
    cursor : int
        The copy it stopped at.

    Raises
    ------
    ValueError
        Always: the caller's columns are wrong.
    """
    from pcaps import write_kernel

    frame, interface = int(copies.frame[cursor]), int(copies.interface[cursor])
    what = {
        write_kernel.NO_SUCH_FRAME: f"frame {frame} is not in the batch",
        write_kernel.NO_SUCH_INTERFACE: f"interface {interface} was not declared",
        write_kernel.NO_SUCH_COMMENT: "its comment was not declared",
        write_kernel.TAG_NOT_CAPTURED: f"frame {frame} was cut before the tag that is to change",
    }[state]
    raise ValueError(f"copy {cursor}: {what}")
