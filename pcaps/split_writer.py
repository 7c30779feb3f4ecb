"""Write many classic captures at once: one stream of copies, one file per VM.

Every file has a ring in memory; a kernel copies each frame into the ring of its
file while the frame is in the cache, and a full ring is written out.

Guarantees
----------
* The set is whole or absent: the files are written into a hidden directory.
  Where the target directory does not exist yet, one rename makes the set
  appear. Where it does, the finished files are moved into it one by one.
* Any number of files: only so many stay open at a time.
* Each named file exists at the end, also one that no frame went to.

Measured reason for the size of the rings (64 files on ext4): 0.9 GB/s with
16 KB each, 1.4 with 64 KB, 1.8 with 256 KB. Rings that fit the second level
cache save copying time, but small writes cost more than that.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pcaps.classic_writer import classic_header
from pcaps.copies import Copies
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames
from pcaps.staging import BatchColumns, copy_columns, raise_for
from pcaps.whole import cannot_write, write_fully

if TYPE_CHECKING:
    from pcaps.write_kernel import CopyColumns, FrameColumns

_RECORD_HEADER = 16
_ALL_RINGS = 1 << 21
"""Bytes of all rings, so that they stay in the second-level cache."""
_LARGEST_RING, _SMALLEST_RING = 1 << 18, 1 << 14
_MOST_MEMORY = 1 << 26
_MOST_OPEN = 256


def ring_size(n_files: int) -> int:
    """Return the size of each file's ring.

    Parameters
    ----------
    n_files : int
        Files written at the same time.

    Returns
    -------
    int
        Bytes: 256 KB, less where all rings together would exceed 2 MB; at
        least 16 KB (a jumbo frame), but not more than 64 MB in all.
    """
    fair = min(max(_ALL_RINGS // n_files, _SMALLEST_RING), _LARGEST_RING)
    return min(fair, _MOST_MEMORY // n_files)


def _most_open() -> int:
    """Return how many descriptors may be kept: a quarter of the process's limit."""
    try:
        import resource
    except ImportError:  # not a Unix: its C library allows 512
        return 128
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(_MOST_OPEN, soft // 4))


class SplitWriter:
    """A set of classic pcap files in the making; use it in a ``with`` statement.

    Parameters
    ----------
    directory : str or path-like
        Where the files are to stand; created when it does not exist.
    names : sequence of str
        File names, without directories; all different.
    file_of_interface : array-like, optional
        ``int64[n_interfaces]``: for each number in :attr:`Copies.interface` the
        file, -1 for copies that no file wants. Interface n goes to file n by
        default.
    nanoseconds : bool
        Unit of the record times: nanoseconds, else microseconds.
    most_open : int, optional
        Files kept open at a time; by default as the system allows, 256 at most.

    Raises
    ------
    BadInput
        When a name is not a plain file name or comes twice.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        names: Sequence[str],
        *,
        file_of_interface: npt.ArrayLike | None = None,
        nanoseconds: bool = True,
        most_open: int | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._names = tuple(names)
        self._check_names()
        if file_of_interface is None:
            file_of_interface = np.arange(len(self._names))
        self._file_of = np.array(file_of_interface, np.int64)
        if self._file_of.size and int(self._file_of.max()) >= len(self._names):
            raise ValueError("file_of_interface names a file that is not there")
        self._unit_ns = np.uint64(1 if nanoseconds else 1000)
        self._header = np.frombuffer(classic_header(nanoseconds=nanoseconds), np.uint8)
        self._ring_size = ring_size(max(1, len(self._names)))
        self._most_open = _most_open() if most_open is None else most_open
        self._open: OrderedDict[int, int] = OrderedDict()
        self._columns = BatchColumns()
        self._hidden: Path | None = None
        self._appears = False

    def _check_names(self) -> None:
        seen: set[str] = set()
        for name in self._names:
            if name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise BadInput(f"'{name}' cannot be a file name; rename the VM")
            if name in seen:
                raise BadInput(f"two VMs would be written to the same file '{name}'; rename one")
            seen.add(name)

    def __enter__(self) -> Self:
        n_files = len(self._names)
        self._rings = np.zeros(n_files * (self._ring_size + PAD), np.uint8)
        self._filled = np.zeros(n_files, np.uint64)
        if self._ring_size < len(self._header):
            raise BadInput(f"{n_files} files at once are too many; split fewer VMs")
        rings = self._rings.reshape(n_files, self._ring_size + PAD)
        rings[:, : len(self._header)] = self._header
        self._filled[:] = len(self._header)
        try:
            self._make_hidden_directory()
        except OSError as error:
            raise cannot_write(self._directory, error) from error
        return self

    def _make_hidden_directory(self) -> None:
        target = Path(os.path.realpath(self._directory))
        self._appears = not target.exists()
        parent = target.parent if self._appears else target
        hidden = parent / f".split.{secrets.token_hex(4)}.partial"
        hidden.mkdir()
        self._hidden = hidden

    def write(self, frames: Frames, copies: Copies) -> None:
        """Append each copy to the file of its interface, in the order given.

        Parameters
        ----------
        frames : Frames
            The batch; padded batches are not copied.
        copies : Copies
            Queue, comment, direction and packet id are not used.

        Raises
        ------
        ValueError
            When a copy names a frame or an interface that is not there, or
            changes the tag of a frame that was cut before it.
        BadInput
            When the system refuses a write.
        """
        from pcaps import write_kernel

        columns = self._columns.of(frames)
        chosen = copy_columns(copies)
        cursor, n_copies = 0, len(copies)
        while cursor < n_copies:
            after, file, state = write_kernel.scatter_classic(
                self._rings, self._filled, np.uint64(self._ring_size),
                columns, chosen, self._file_of, self._unit_ns, np.uint64(cursor),
            )  # fmt: skip
            cursor = int(after)
            if state == write_kernel.FULL:
                if self._filled[file]:
                    # others are likely to be full soon: one call of the kernel for all of them
                    half = self._ring_size // 2
                    for due in {int(file), *np.flatnonzero(self._filled > half).tolist()}:
                        self._flush(due)
                else:
                    one = write_kernel.CopyColumns._make(
                        part[cursor : cursor + 1] for part in chosen
                    )
                    self._write_alone(int(file), columns, one)
                    cursor += 1
            elif state != write_kernel.FINE:
                raise_for(state, copies, cursor)

    def _write_alone(self, file: int, columns: FrameColumns, one: CopyColumns) -> None:
        """Write a record that is larger than a ring."""
        from pcaps import write_kernel

        largest = _RECORD_HEADER + 4 + int(columns.caplen[one.frame[0]])
        buffer = np.zeros(largest + PAD, np.uint8)
        _, filled, _ = write_kernel.fill_classic(
            buffer, np.uint64(0), np.uint64(largest), columns, one, self._unit_ns, np.uint64(0)
        )
        self._append(file, buffer[: int(filled)])

    def _flush(self, file: int) -> None:
        first = file * (self._ring_size + PAD)
        self._append(file, self._rings[first : first + int(self._filled[file])])
        self._filled[file] = 0

    def _append(self, file: int, data: npt.NDArray[np.uint8]) -> None:
        try:
            write_fully(self._descriptor(file), data)
        except OSError as error:
            raise cannot_write(self._directory / self._names[file], error) from error

    def _descriptor(self, file: int) -> int:
        """Return an open descriptor, closing the one that rested longest when needed."""
        assert self._hidden is not None
        descriptor = self._open.pop(file, -1)
        if descriptor < 0:
            while len(self._open) >= self._most_open:
                os.close(self._open.popitem(last=False)[1])
            descriptor = os.open(
                self._hidden / self._names[file],
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                0o666,
            )
        self._open[file] = descriptor
        return descriptor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as refused:
            raise cannot_write(self._directory, refused) from refused
        finally:
            self._discard()

    def _finish(self) -> None:
        assert self._hidden is not None
        for file in range(len(self._names)):
            if self._filled[file]:
                self._flush(file)
        while self._open:  # some file systems report a full disk only here
            os.close(self._open.popitem()[1])
        target = Path(os.path.realpath(self._directory))
        if self._appears:
            self._hidden.rename(target)
            self._hidden = None
            return
        for name in self._names:
            (self._hidden / name).replace(target / name)

    def _discard(self) -> None:
        self._columns.forget()
        while self._open:
            with suppress(OSError):
                os.close(self._open.popitem()[1])
        if self._hidden is not None:
            shutil.rmtree(self._hidden, ignore_errors=True)
            self._hidden = None
