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
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from pcaps.classic import FILE_HEADER_BYTES, ClassicHeader, RecordRegion
from pcaps.compressed import compression_of, pieces
from pcaps.damage import KINDS, TELLS, Damage
from pcaps.decoders import ClassicDecoder, Columns, Comment, Decoder, PcapngDecoder
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames
from pcaps.index_kernel import DONE, SHORT
from pcaps.linktypes import ETHERNET
from pcaps.pcapng import SECTION_MAGIC, Interface, Section
from pcaps.windows import Joined, Mapped, Windows, plain

LARGEST_BLOCK = 64 << 20
"""A block that claims more is taken for damage instead of being waited for."""


class Capture:
    """A capture file or stream.

    Made by :func:`open`, which says what the parameters mean. Iterating yields
    :class:`pcaps.frames.Frames`; the totals are those of the last iteration, so far.

    Parameters
    ----------
    source, strict, limit, chunk_frames
        As in :func:`open`.

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
        except OSError as error:
            self.close()
            raise self._unreadable(error) from None
        except BaseException:
            self.close()
            raise

    # Opening

    def _begin(self) -> None:
        """Stand before the first frame, with totals at zero."""
        self.damage: Damage | None = None
        self.frames = self.bytes_wire = self.bytes_captured = 0
        if self._seekable:
            self._file.seek(0)
        head = self._file.read(4) if self._seekable else b""
        self.compression = compression_of(head) if head else None
        self._bytes = self._map_or_stream()
        self._offset = 0
        self._read_header()

    def _map_or_stream(self) -> Mapped | Windows:
        if not self._seekable:
            first = self._file.read(4)
            whole = io.BufferedReader(Joined(first, self._file))
            self.compression = compression_of(first)
            source = pieces(whole, self.compression) if self.compression else plain(whole)
            return Windows(source)
        if self.compression:
            self._file.seek(0)
            return Windows(pieces(self._file, self.compression))
        size = self._file.seek(0, os.SEEK_END)
        if size == 0:
            raise BadInput(f"{self.path}: the file is empty; a capture has at least a file header")
        try:
            return Mapped(self._file, size, populate=self.limit is None)
        except (OSError, ValueError, io.UnsupportedOperation):
            self._file.seek(0)
            return Windows(plain(self._file))

    def _read_header(self) -> None:
        window = self._bytes
        while window.end < FILE_HEADER_BYTES and window.extend(0):
            continue
        head = window.data[: min(window.end, 64)].tobytes()
        if not head:
            damage = window.damage if isinstance(window, Windows) else None
            raise BadInput(f"{self.path}: {damage or 'nothing came'}; there is no capture to read")
        self.header = ClassicHeader.parse(head, self.path)
        if self.header is not None:
            self.header.check_linktype(self.path)
            self._offset = FILE_HEADER_BYTES
            order = "big-endian" if self.header.swapped else "little-endian"
            self._decoder: Decoder = ClassicDecoder(self.header)
            label = self.header.format
        else:
            order_mark = Section.order_of(head) if len(head) >= 12 else None
            if head[:4] != SECTION_MAGIC.to_bytes(4, "little") or order_mark is None:
                raise BadInput(
                    f"{self.path}: not a capture (pcap or pcapng, plain or gzip or zstd); "
                    f"it begins with {head[:4].hex(' ')}"
                )
            self._decoder = PcapngDecoder()
            label, order = "pcapng", "big-endian" if order_mark == ">" else "little-endian"
        about = ", ".join(filter(None, [order, self.compression]))
        self.format = f"{label} ({about})"

    def _unreadable(self, error: OSError) -> BadInput:
        return BadInput(f"{self.path}: cannot be read ({error.strerror or error})")

    # Reading

    def __iter__(self) -> Iterator[Frames]:
        if self._started:
            if not self._seekable:
                raise BadInput(f"{self.path}: a stream can be read only once")
            self._begin()
        self._started = True
        return self._chunks()

    def _chunks(self) -> Iterator[Frames]:
        while self.damage is None:
            room = self.chunk_frames
            if self.limit is not None:
                room = min(room, self.limit - self.frames)
                if room <= 0:
                    break
            columns = Columns(room)
            data, first_number = self._bytes.data, self.frames + 1
            n, self._offset, stop = self._decoder.walk(
                self._bytes, self._offset, columns, self.frames
            )
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
            elif stop in KINDS:
                self._spoil(KINDS[stop])
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
        if isinstance(window, Windows) and window.end - self._offset > LARGEST_BLOCK:
            return False
        before = self._offset
        try:
            grown = window.extend(before)
        except OSError as error:
            raise self._unreadable(error) from None
        if not grown:
            if isinstance(window, Windows) and window.damage:
                self._spoil("compressed", window.damage)
            return False
        self._offset = 0
        return True

    @property
    def interfaces(self) -> list[Interface]:
        """Interfaces of all sections, in order."""
        return self._decoder.interfaces

    @property
    def comments(self) -> list[Comment]:
        """Comments found so far, at most 4096."""
        return self._decoder.comments

    @property
    def skipped(self) -> dict[str, int]:
        """Frames passed over, by cause."""
        return self._decoder.skipped

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
        message = f"{detail or TELLS[kind]}, at byte {offset}, {behind}"
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
        if not isinstance(window, Mapped) or window.shrunk or window.size < FILE_HEADER_BYTES + PAD:
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


def _open_file(source: str | Path | BinaryIO) -> tuple[Any, str]:
    if not isinstance(source, str | Path):
        return source, str(getattr(source, "name", "<stream>"))
    if str(source) == "-":
        if sys.stdin is None:
            raise BadInput("standard input is closed; name a file, or pipe a capture in")
        return sys.stdin.buffer, "-"
    path = Path(source)
    try:
        return path.open("rb"), str(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory; name the capture files in it") from None
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
