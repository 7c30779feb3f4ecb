"""Write classic pcap files: Ethernet, microseconds or nanoseconds, little-endian.

Guarantees
----------
* Original lengths are kept, and the file is whole or absent (:mod:`pcaps.whole`).

The format knows no interfaces, queues or comments: use
:mod:`pcaps.pcapng_writer` for these. Its times are unsigned 32-bit seconds:
earlier times are written as 0, later ones as the last second (in 2106).
"""

from __future__ import annotations

import os
import struct
from types import TracebackType
from typing import Self

import numpy as np

from pcaps.copies import Copies
from pcaps.frames import Frames
from pcaps.staging import BatchColumns, StagedFile, copy_columns, raise_for

_MAGIC_US, _MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
_ETHERNET = 1
LONGEST_FRAME = 262_144
"""Snap length in the header: what readers take at most."""


def classic_header(*, nanoseconds: bool) -> bytes:
    """Return the 24 bytes that a classic capture starts with.

    Parameters
    ----------
    nanoseconds : bool
        Unit of the record times: nanoseconds, else microseconds.

    Returns
    -------
    bytes
        Rule: PCAP Capture File Format, 4 (file header).
    """
    magic = _MAGIC_NS if nanoseconds else _MAGIC_US
    return struct.pack("<IHHiIII", magic, 2, 4, 0, 0, LONGEST_FRAME, _ETHERNET)


class ClassicWriter:
    """A classic pcap file in the making; use it in a ``with`` statement.

    Parameters
    ----------
    path : str or path-like
        The file; ``-`` is standard output, ``.gz`` and ``.zst`` compress.
    nanoseconds : bool
        Unit of the record times: nanoseconds, else microseconds (cut, not rounded).

    Attributes
    ----------
    frames_written : int
        Copies written so far.
    """

    def __init__(self, path: str | os.PathLike[str], *, nanoseconds: bool = False) -> None:
        self.frames_written = 0
        self._columns = BatchColumns()
        self._file = StagedFile(path, classic_header(nanoseconds=nanoseconds))
        self._unit_ns = np.uint64(1 if nanoseconds else 1000)

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    @property
    def bytes_written(self) -> int:
        """Size of the file so far, without what waits in the buffer."""
        return self._file.bytes_written

    def write(self, frames: Frames, copies: Copies | None = None) -> None:
        """Append copies of the frames of one batch, in the order given.

        Parameters
        ----------
        frames : Frames
            The batch; padded batches are not copied.
        copies : Copies, optional
            Each frame once by default. The interface is not used.

        Raises
        ------
        ValueError
            When a copy names a frame that is not there, or changes the tag of
            a frame that was cut before it.
        BadInput
            When the system refuses the write.
        """
        from pcaps import write_kernel

        if copies is None:
            copies = Copies.of_all(len(frames))
        columns = self._columns.of(frames)
        chosen = copy_columns(copies)
        file, cursor, n_copies = self._file, 0, len(copies)
        while cursor < n_copies:
            after, filled, state = write_kernel.fill_classic(
                file.buffer, np.uint64(file.filled), np.uint64(file.capacity),
                columns, chosen, self._unit_ns, np.uint64(cursor),
            )  # fmt: skip
            file.filled, cursor = int(filled), int(after)
            if state == write_kernel.FULL:
                file.make_room()
            elif state != write_kernel.FINE:
                raise_for(state, copies, cursor)
        self.frames_written += n_copies

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._columns.forget()
        self._file.__exit__(kind, error, trace)
