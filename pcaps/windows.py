"""The bytes of a capture: mapped all at once, or in windows from a stream."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from pcaps.compressed import CompressedDamage
from pcaps.frames import PAD

WINDOW_BYTES = 16 << 20
POPULATE_LIMIT = 2 << 30


class Mapped:
    """The bytes of a plain file, all at once.

    Parameters
    ----------
    file : binary file
        With a file descriptor.
    size : int
        Its size in bytes, at least 1.
    populate : bool
        Whether to have its pages mapped at once, if it is not too large.
    """

    def __init__(self, file: BinaryIO, size: int, populate: bool) -> None:
        self._file = file
        self.size = size
        flags = mmap.MAP_SHARED
        if populate and size <= POPULATE_LIMIT and hasattr(mmap, "MAP_POPULATE"):
            flags |= mmap.MAP_POPULATE
        self._map = mmap.mmap(file.fileno(), size, flags=flags, prot=mmap.PROT_READ)
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_SEQUENTIAL)
        self.data = np.frombuffer(self._map, np.uint8)
        self.base = 0
        self.padded = False

    @property
    def end(self) -> int:
        """Offset behind the last byte: what is there now, at most what was there at first."""
        return min(self.size, os.fstat(self._file.fileno()).st_size)

    @property
    def shrunk(self) -> bool:
        """True when the file has become shorter."""
        return self.end < self.size

    def extend(self, offset: int) -> bool:
        """Return False: there is no more than what is mapped."""
        return False


class Windows:
    """The bytes of a stream, one window after the other, each padded.

    Parameters
    ----------
    source : iterator of bytes
        Pieces of the stream.
    """

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self.data = np.zeros(PAD, np.uint8)
        self.end = 0
        self.base = 0
        self.shrunk = False
        self.padded = True
        self.damage: str | None = None
        self.extend(0)

    def extend(self, offset: int) -> bool:
        """Begin the next window with the bytes from `offset` on; False when nothing was added."""
        rest = self.data[offset : self.end]
        parts, size = [], 0
        wanted = WINDOW_BYTES if len(rest) < WINDOW_BYTES else len(rest)
        while size < wanted:
            try:
                piece = next(self._source, b"")
            except CompressedDamage as damage:
                self.damage = str(damage)
                piece = b""
            if not piece:
                break
            parts.append(np.frombuffer(piece, np.uint8))
            size += len(piece)
        if not parts:
            return False
        self.base += offset
        self.data = np.concatenate([rest, *parts, np.zeros(PAD, np.uint8)])
        self.end = len(self.data) - PAD
        return True


class Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of a stream.

    Parameters
    ----------
    first : bytes
        What was read.
    rest : binary file
        What follows.
    """

    def __init__(self, first: bytes, rest: Any) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the front; return the bytes written."""
        piece = self._first[: len(buffer)] or self._rest.read(len(buffer)) or b""
        self._first = self._first[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def plain(raw: Any) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces of 1 MB."""
    while piece := raw.read(1 << 20):
        yield piece
