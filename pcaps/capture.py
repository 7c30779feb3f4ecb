"""Any capture, in chunks of frames: ``pcaps.open``.

Guarantees
----------
* Bytes of a plain file are mapped, never copied, except those of the last few
  frames, which need padding behind them. Compressed and piped captures go
  through windows of bounded size, so nothing needs the whole capture in memory.
* Every chunk is :attr:`pcaps.frames.Frames.padded`.
* Damage ends the frames: whole ones before it have been handed out, and
  :attr:`Capture.damage` says what, where, and behind how many frames. With
  ``strict=True`` it raises :class:`pcaps.errors.BadInput` instead.
* A file is read up to the size that it had when opened. Should it shrink, the
  part that is gone counts as damage; the size is looked at before each chunk
  (a process that reads a vanished page would be killed by the kernel).
"""

from __future__ import annotations

import io
import mmap
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from pcaps.classic import FILE_HEADER_BYTES, ClassicHeader, RecordRegion
from pcaps.compressed import CompressedDamage, compression_of, pieces
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames
from pcaps.index_kernel import (
    BAD_BLOCK_LENGTH,
    BAD_CAPLEN,
    BAD_INTERFACE,
    BAD_PACKET,
    BAD_TRAILER,
    DONE,
    FULL,
    INTERFACE,
    SECTION,
    SHORT,
    index_blocks,
    index_records,
)
from pcaps.linktypes import ETHERNET
from pcaps.pcapng import (
    MAX_INTERFACES,
    SECTION_MAGIC,
    Interface,
    Section,
    comments,
    options,
    text,
)

u64 = np.uint64

WINDOW_BYTES = 16 << 20
POPULATE_LIMIT = 2 << 30
MAX_COMMENTS = 4096
LARGEST_BLOCK = 64 << 20
"""A block that claims more is taken for damage instead of being waited for."""

_KINDS = {
    BAD_CAPLEN: "bad-length",
    BAD_BLOCK_LENGTH: "bad-block-length",
    BAD_TRAILER: "bad-block-trailer",
    BAD_INTERFACE: "bad-interface",
    BAD_PACKET: "bad-packet-length",
}

_TELLS = {
    "cut": "the file ends inside a record",
    "bad-length": "a record header claims more than 262144 captured bytes",
    "bad-block-length": "a block's length is not a multiple of 4 of at least 12",
    "bad-block-trailer": "a block's two lengths differ",
    "bad-interface": "a packet names an interface that was not described",
    "bad-packet-length": "a packet's captured length does not fit its block",
    "bad-section": "a section header is not sound",
    "bad-interface-block": "an interface block is not sound",
    "shrunk": "the file became shorter while it was read",
    "compressed": "the compressed data is damaged",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a capture stops being sound.

    Parameters
    ----------
    kind : str
        ``cut``, ``bad-length``, ``bad-block-length``, ``bad-block-trailer``,
        ``bad-interface``, ``bad-packet-length``, ``bad-section``,
        ``bad-interface-block``, ``shrunk`` or ``compressed``.
    offset : int
        Byte offset of the damaged record, in the decompressed bytes.
    frame : int
        Number of the last whole frame before it, 0 when there is none.
    message : str
        One sentence.
    """

    kind: str
    offset: int
    frame: int
    message: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment found in a pcapng file.

    Parameters
    ----------
    where : str
        ``section``, ``interface`` or ``frame``.
    number : int
        Which, from 1.
    text : str
        The comment.
    """

    where: str
    number: int
    text: str


class _Columns:
    """Columns that a walk fills; new ones for each chunk, since chunks may be kept."""

    def __init__(self, n: int) -> None:
        self.start = np.zeros(n, np.int64)
        self.caplen = np.zeros(n, np.uint32)
        self.wirelen = np.zeros(n, np.uint32)
        self.ts_ns = np.zeros(n, np.int64)
        self.interface = np.zeros(n, np.uint16)

    def frames(self, data: npt.NDArray[np.uint8], n: int, first_number: int) -> Frames:
        return Frames(
            data, self.start[:n], self.caplen[:n], self.wirelen[:n], self.ts_ns[:n],
            self.interface[:n], first_number,
        )  # fmt: skip


class _Mapped:
    """The bytes of a plain file, all at once."""

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
        return self.end < self.size

    def extend(self, offset: int) -> bool:
        """Return False: there is no more than what is mapped."""
        return False


class _Windows:
    """The bytes of a stream, one window after the other, each padded."""

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


_Bytes = _Mapped | _Windows


class Capture:
    """A capture file or stream.

    Made by :func:`open`. Iterating yields :class:`pcaps.frames.Frames`; the
    totals are those of the last iteration, so far.

    Attributes
    ----------
    path : str
        Where it comes from; ``-`` for standard input.
    format : str
        ``pcap``, ``pcap-ns``, ``pcap-modified`` or ``pcapng``, then byte order
        and compression, such as ``pcap-ns (big-endian, gzip)``.
    interfaces : list of Interface
        Of all sections, in order.
    frames, bytes_wire, bytes_captured : int
        Ethernet frames handed out and their bytes.
    skipped : dict
        Frames passed over, by cause.
    damage : Damage or None
        Where it stops being sound.
    comments : list of Comment
        At most 4096.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        strict: bool = False,
        limit: int | None = None,
        chunk_frames: int = 65536,
    ) -> None:
        if chunk_frames < 1:
            raise BadInput(f"chunks of {chunk_frames} frames: use at least 1")
        if limit is not None and limit < 0:
            raise BadInput(f"a limit of {limit} frames: use 0 or more")
        self.strict, self.limit, self.chunk_frames = strict, limit, chunk_frames
        self._file, self.path = _open_file(source)
        self._owned = isinstance(source, str | Path) and str(source) != "-"
        self._seekable = self._file.seekable()
        self._started = False
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    # Opening

    def _begin(self) -> None:
        """Stand before the first frame, with totals at zero."""
        self.interfaces: list[Interface] = []
        self.comments: list[Comment] = []
        self.damage: Damage | None = None
        self.frames = self.bytes_wire = self.bytes_captured = 0
        self._skipped: dict[str, int] = {}
        self._section: Section | None = None
        self._sections = 0
        if self._seekable:
            self._file.seek(0)
        head = self._file.read(4) if self._seekable else b""
        self.compression = compression_of(head) if head else None
        self._bytes = self._map_or_stream()
        self._offset = 0
        self._read_header()

    def _map_or_stream(self) -> _Bytes:
        if not self._seekable:
            first = self._file.read(4)
            whole = io.BufferedReader(_Joined(first, self._file))
            self.compression = compression_of(first)
            source = pieces(whole, self.compression) if self.compression else _plain(whole)
            return _Windows(source)
        if self.compression:
            self._file.seek(0)
            return _Windows(pieces(self._file, self.compression))
        size = self._file.seek(0, os.SEEK_END)
        if size == 0:
            raise BadInput(f"{self.path}: the file is empty; a capture has at least a file header")
        try:
            return _Mapped(self._file, size, populate=self.limit is None)
        except (OSError, ValueError, io.UnsupportedOperation):
            self._file.seek(0)
            return _Windows(_plain(self._file))

    def _read_header(self) -> None:
        window = self._bytes
        while window.end < FILE_HEADER_BYTES and window.extend(0):
            continue
        head = window.data[: min(window.end, 64)].tobytes()
        if not head:
            damage = window.damage if isinstance(window, _Windows) else None
            raise BadInput(f"{self.path}: {damage or 'nothing came'}; there is no capture to read")
        self.header = ClassicHeader.parse(head, self.path)
        if self.header is not None:
            self.header.check_linktype(self.path)
            self._offset = FILE_HEADER_BYTES
            order = "big-endian" if self.header.swapped else "little-endian"
            self.interfaces = [
                Interface(
                    linktype=self.header.linktype,
                    snaplen=self.header.snaplen,
                    exponent=9 if self.header.nanosecond else 6,
                    fcs_bytes=self.header.fcs_bytes,
                )
            ]
            label = self.header.format
        else:
            order_mark = Section.order_of(head) if len(head) >= 12 else None
            if head[:4] != SECTION_MAGIC.to_bytes(4, "little") or order_mark is None:
                raise BadInput(
                    f"{self.path}: not a capture (pcap or pcapng, plain or gzip or zstd); "
                    f"it begins with {head[:4].hex(' ')}"
                )
            label, order = "pcapng", "big-endian" if order_mark == ">" else "little-endian"
        about = ", ".join(filter(None, [order, self.compression]))
        self.format = f"{label} ({about})"

    # Reading

    def __iter__(self) -> Iterator[Frames]:
        if self._started:
            if not self._seekable:
                raise BadInput(f"{self.path}: a stream can be read only once")
            self._begin()
        self._started = True
        return self._chunks()

    def _chunks(self) -> Iterator[Frames]:
        walk = self._walk_records if self.header is not None else self._walk_blocks
        while self.damage is None:
            room = self.chunk_frames
            if self.limit is not None:
                room = min(room, self.limit - self.frames)
                if room <= 0:
                    break
            columns = _Columns(room)
            data, first_number = self._bytes.data, self.frames + 1
            n, stop = walk(columns)
            if n:
                batch = columns.frames(data, n, first_number)
                self._add(
                    n, int(batch.wirelen.sum(dtype=np.int64)), int(batch.caplen.sum(dtype=np.int64))
                )
                yield from self._padded(batch)
            if stop == DONE and not self._more():
                break
            if stop == SHORT and not self._more():
                self._spoil("shrunk" if self._bytes.shrunk else "cut")
            elif stop in _KINDS:
                self._spoil(_KINDS[stop])
        self._finish()

    def _add(self, frames: int, wire: int, captured: int) -> None:
        self.frames += frames
        self.bytes_wire += wire
        self.bytes_captured += captured

    def _padded(self, batch: Frames) -> Iterator[Frames]:
        """Yield the batch; frames at the end of a mapping in a padded copy of their own."""
        if self._bytes.padded:
            yield batch
            return
        ends = batch.start + batch.caplen
        safe = int(np.searchsorted(ends, batch.data.size - PAD, side="right"))
        if safe:
            yield batch[:safe]
        if safe < len(batch):
            yield batch[safe:].with_padding()

    def _more(self) -> bool:
        """Get further bytes; the walk then goes on at the start of the new window."""
        window = self._bytes
        if isinstance(window, _Windows) and window.end - self._offset > LARGEST_BLOCK:
            return False
        before = self._offset
        if not window.extend(before):
            if isinstance(window, _Windows) and window.damage:
                self._spoil("compressed", window.damage)
            return False
        self._offset = 0
        return True

    def _walk_records(self, columns: _Columns) -> tuple[int, int]:
        assert self.header is not None
        n, offset, stop = index_records(
            self._bytes.data, u64(self._offset), u64(self._bytes.end),
            u64(self.header.header_bytes), self.header.nanosecond, self.header.swapped,
            columns.start, columns.caplen, columns.wirelen, columns.ts_ns,
        )  # fmt: skip
        self._offset, n = int(offset), int(n)
        fcs = self.header.fcs_bytes
        if fcs:
            lengths = columns.wirelen[:n]
            lengths[lengths >= fcs] -= np.uint32(fcs)
            np.minimum(columns.caplen[:n], lengths, out=columns.caplen[:n])
        return n, int(stop)

    def _walk_blocks(self, columns: _Columns) -> tuple[int, int]:
        """Walk packet blocks; parse the section and interface blocks between them."""
        done, stop = 0, FULL
        commented = np.zeros((max(0, MAX_COMMENTS - len(self.comments)), 2), np.uint64)
        while done < len(columns.start):
            section = self._section
            table = section.table if section else np.zeros(0, np.uint64)
            swapped = bool(section and section.order == ">")
            n, notes, offset, code = index_blocks(
                self._bytes.data, u64(self._offset), u64(self._bytes.end), swapped, table,
                columns.start[done:], columns.caplen[done:], columns.wirelen[done:],
                columns.ts_ns[done:], columns.interface[done:], commented,
            )  # fmt: skip
            n, stop, self._offset = int(n), int(code), int(offset)
            if section:
                columns.interface[done : done + n] += np.uint16(section.first_interface)
                self._note_frames(commented[: int(notes)], done, section.order)
            done += n
            if stop == SECTION:
                stop = self._begin_section()
            elif stop == INTERFACE:
                stop = self._add_interface()
            if stop != FULL:
                break
        return done, stop

    def _note_frames(self, commented: npt.NDArray[np.uint64], done: int, order: str) -> None:
        data = self._bytes.data
        for index, at in commented.tolist():
            raw = data[at : at + 65536].tobytes()
            number = self.frames + done + index + 1
            self.comments.extend(Comment("frame", number, note) for note in comments(raw, order))

    def _block(self, order: str) -> tuple[bytes, int]:
        """Return the whole block at the offset, or nothing and why not."""
        window, at = self._bytes, self._offset
        total = int.from_bytes(
            window.data[at + 4 : at + 8].tobytes(), "little" if order == "<" else "big"
        )
        if total < 12 or total % 4:
            return b"", BAD_BLOCK_LENGTH
        if at + total > window.end:
            return b"", SHORT
        block = window.data[at : at + total].tobytes()
        return (block, FULL) if block[-4:] == block[4:8] else (b"", BAD_TRAILER)

    def _begin_section(self) -> int:
        head = self._bytes.data[self._offset : self._offset + 12].tobytes()
        order = Section.order_of(head)
        if order is None:
            self._spoil("bad-section")
            return DONE
        block, stop = self._block(order)
        if stop != FULL:
            return stop
        if len(block) < 28:
            self._spoil("bad-section")
            return DONE
        self._leave_section()
        self._sections += 1
        self._section = Section(order, len(self.interfaces))
        notes = [text(value) for code, value in options(block[24:-4], order) if code == 1]
        self._keep_comments(Comment("section", self._sections, note) for note in notes)
        self._offset += len(block)
        return FULL

    def _add_interface(self) -> int:
        if self._section is None:
            self._spoil("bad-section")
            return DONE
        block, stop = self._block(self._section.order)
        if stop != FULL:
            return stop
        if len(block) < 20 or len(self.interfaces) >= MAX_INTERFACES:
            self._spoil("bad-interface-block")
            return DONE
        interface, notes = self._section.add_interface(block)
        self.interfaces.append(interface)
        number = len(self.interfaces)
        self._keep_comments(Comment("interface", number, note) for note in notes)
        self._offset += len(block)
        return FULL

    def _keep_comments(self, found: Iterator[Comment]) -> None:
        self.comments.extend(list(found)[: max(0, MAX_COMMENTS - len(self.comments))])

    def _leave_section(self) -> None:
        if self._section is not None:
            for cause, frames in self._section.skipped():
                self._skipped[cause] = self._skipped.get(cause, 0) + frames
            self._section = None

    @property
    def skipped(self) -> dict[str, int]:
        """Frames passed over, by cause."""
        totals = dict(self._skipped)
        if self._section is not None:
            for cause, frames in self._section.skipped():
                totals[cause] = totals.get(cause, 0) + frames
        return totals

    def _finish(self) -> None:
        skipped = self.skipped
        ethernet = any(interface.linktype == ETHERNET for interface in self.interfaces)
        if skipped and not ethernet:
            causes = ", ".join(skipped)
            raise BadInput(
                f"{self.path}: only {causes}, which has no Ethernet header, so no MAC address to "
                "switch by; give an Ethernet capture"
            )

    def _spoil(self, kind: str, detail: str | None = None) -> None:
        if self.damage is not None:
            return
        offset = self._bytes.base + self._offset
        behind = f"behind frame {self.frames}" if self.frames else "before the first frame"
        message = f"{detail or _TELLS[kind]}, at byte {offset}, {behind}"
        self.damage = Damage(kind, offset, self.frames, message)
        if self.strict:
            raise BadInput(f"{self.path}: {message}")

    # Walks from outside

    def region(self) -> RecordRegion | None:
        """Return the mapped records, for a loop that walks them itself.

        Returns
        -------
        RecordRegion or None
            None unless this is a plain classic capture that is read whole and
            whose frames carry no FCS.
        """
        window, header = self._bytes, self.header
        if header is None or header.fcs_bytes or self.limit is not None:
            return None
        if (
            not isinstance(window, _Mapped)
            or window.shrunk
            or window.size < FILE_HEADER_BYTES + PAD
        ):
            return None
        return RecordRegion(
            window.data, FILE_HEADER_BYTES, window.size - PAD, header.swapped, header.nanosecond,
            header.header_bytes,
        )  # fmt: skip

    def continue_at(self, offset: int, frames: int, wire: int, captured: int) -> Iterator[Frames]:
        """Go on behind a walk from outside: the last frames, or the damage that stopped it.

        Parameters
        ----------
        offset : int
            Offset of the record header that the walk did not use.
        frames, wire, captured : int
            What the walk handled: frames, bytes on the wire, bytes captured.

        Returns
        -------
        iterator of Frames
            The rest, as from iterating.
        """
        if self._started:
            self._begin()
        self._started = True
        self._offset = offset
        self._add(frames, wire, captured)
        return self._chunks()

    def close(self) -> None:
        """Close the file, unless the caller opened it; batches that were handed out stay valid."""
        if self._owned:
            self._file.close()

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None and self._owned:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Capture {self.path!r}: {self.format}>"


class _Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of a stream."""

    def __init__(self, first: bytes, rest: Any) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._first[: len(buffer)] or self._rest.read(len(buffer)) or b""
        self._first = self._first[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _plain(raw: Any) -> Iterator[bytes]:
    while piece := raw.read(1 << 20):
        yield piece


def _open_file(source: str | Path | BinaryIO) -> tuple[Any, str]:
    if not isinstance(source, str | Path):
        return source, str(getattr(source, "name", "<stream>"))
    if str(source) == "-":
        return sys.stdin.buffer, "-"
    path = Path(source)
    try:
        if path.is_dir():
            raise BadInput(f"{path}: is a directory; name the capture files in it")
        return path.open("rb"), str(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except PermissionError:
        raise BadInput(f"{path}: no permission to read it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: cannot be opened ({reason})") from None


def open(
    source: str | Path | BinaryIO,
    *,
    strict: bool = False,
    limit: int | None = None,
    chunk_frames: int = 65536,
) -> Capture:
    """Open a capture.

    Parameters
    ----------
    source : str, pathlib.Path or binary file
        A file; ``"-"`` for standard input; or an open binary file.
    strict : bool
        Whether damage raises instead of ending the frames.
    limit : int, optional
        Most frames to hand out.
    chunk_frames : int
        Most frames in a chunk.

    Returns
    -------
    Capture
        Iterable of :class:`pcaps.frames.Frames`.

    Raises
    ------
    BadInput
        When it cannot be opened, is not a capture, or not one of Ethernet frames.
    """
    return Capture(source, strict=strict, limit=limit, chunk_frames=chunk_frames)
