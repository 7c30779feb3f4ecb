"""Payload bytes of captures, kept so that any of them can be read later.

Guarantees
----------
* Bytes of plain capture files stay where they are: they are mapped, not copied.
* Bytes of compressed or piped captures go to a temporary file that has no name
  and vanishes with the process, so memory stays bounded.

A *place* is one number for a byte in any of the captures.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt


class Payloads:
    """Bytes by place."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._buffers: list[npt.NDArray[np.uint8]] = []
        self._end = 0
        self._file: Any = None
        self._file_base = 0
        self._file_bytes = 0

    def place_of(self, buffer: npt.NDArray[np.uint8]) -> int:
        """Return the place of a buffer's first byte, and keep the buffer.

        Parameters
        ----------
        buffer : numpy.ndarray
            ``uint8[n_bytes]``, which must not change any more.

        Returns
        -------
        int
            To be added to offsets in the buffer.
        """
        if self._buffers and _same(self._buffers[-1], buffer):
            return self._bases[-1]
        self.finish()
        self._bases.append(self._end)
        self._buffers.append(buffer)
        self._end += buffer.size
        return self._bases[-1]

    def append(self, packed: npt.NDArray[np.uint8]) -> int:
        """Write bytes to the temporary file.

        Parameters
        ----------
        packed : numpy.ndarray
            ``uint8[n_bytes]``.

        Returns
        -------
        int
            Place of the first of them.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as this object)
            self._file_base, self._file_bytes = self._end, 0
        place = self._file_base + self._file_bytes
        self._file.write(packed.data)
        self._file_bytes += packed.size
        self._end = self._file_base + self._file_bytes
        return place

    @property
    def next_place(self) -> int:
        """Place that :meth:`append` will return next."""
        return self._end

    def finish(self) -> None:
        """Map what was written and close the file; further bytes go to a file of their own."""
        if self._file is None:
            return
        self._file.flush()
        if self._file_bytes:
            mapped = mmap.mmap(self._file.fileno(), self._file_bytes, prot=mmap.PROT_READ)
            self._bases.append(self._file_base)
            self._buffers.append(np.frombuffer(mapped, np.uint8))
        self._file.close()
        self._file = None

    def buffer_at(self, place: int) -> tuple[npt.NDArray[np.uint8], int]:
        """Return the buffer that holds a place, and the place of its first byte.

        Parameters
        ----------
        place : int
            Of a byte that was kept.

        Returns
        -------
        tuple of numpy.ndarray and int
            ``uint8[n_bytes]`` and its base.
        """
        self.finish()
        number = int(np.searchsorted(self._bases, place, side="right")) - 1
        return self._buffers[number], self._bases[number]


def is_mapped(buffer: npt.NDArray[np.uint8]) -> bool:
    """Tell whether an array lies over a mapped file.

    Parameters
    ----------
    buffer : numpy.ndarray
        Any array.

    Returns
    -------
    bool
        False when it lies in memory of this process.
    """
    owner: Any = buffer
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return isinstance(owner, mmap.mmap)


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    first, second = one.__array_interface__["data"][0], other.__array_interface__["data"][0]
    return bool(first == second and one.size == other.size)
