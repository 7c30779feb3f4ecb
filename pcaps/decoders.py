"""From bytes to columns: the walk over a classic capture, and the one over pcapng.

A decoder keeps what it learnt on the way (interfaces, comments, skipped frames)
and is called again where it stopped; the capture above it gets the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pcaps.classic import ClassicHeader
from pcaps.frames import Frames
from pcaps.index_kernel import (
    BAD_BLOCK_LENGTH,
    BAD_INTERFACE_BLOCK,
    BAD_SECTION,
    BAD_TRAILER,
    FULL,
    INTERFACE,
    SECTION,
    SHORT,
    index_blocks,
    index_records,
)
from pcaps.pcapng import MAX_INTERFACES, Interface, Section, comments, options, text
from pcaps.windows import Mapped, Windows

u64 = np.uint64

MAX_COMMENTS = 4096


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


class Columns:
    """Columns that a walk fills; new ones for each chunk, since chunks may be kept.

    Parameters
    ----------
    n : int
        Most frames.
    """

    def __init__(self, n: int) -> None:
        self.start = np.zeros(n, np.int64)
        self.caplen = np.zeros(n, np.uint32)
        self.wirelen = np.zeros(n, np.uint32)
        self.ts_ns = np.zeros(n, np.int64)
        self.interface = np.zeros(n, np.uint16)

    def frames(self, data: npt.NDArray[np.uint8], n: int, first_number: int) -> Frames:
        """Return the first `n` frames over `data`."""
        return Frames(
            data, self.start[:n], self.caplen[:n], self.wirelen[:n], self.ts_ns[:n],
            self.interface[:n], first_number,
        )  # fmt: skip


class Decoder(Protocol):
    """What turns the bytes of one format into columns."""

    interfaces: list[Interface]
    comments: list[Comment]

    @property
    def skipped(self) -> dict[str, int]:
        """Frames passed over, by cause."""

    def walk(
        self, window: Mapped | Windows, offset: int, columns: Columns, frames_before: int
    ) -> tuple[int, int, int]:
        """Fill the columns; return (frames, next offset, stop code)."""


class ClassicDecoder:
    """Walks records.

    Parameters
    ----------
    header : ClassicHeader
        The file's header.
    """

    def __init__(self, header: ClassicHeader) -> None:
        self._header = header
        self.comments: list[Comment] = []
        self.skipped: dict[str, int] = {}
        self.interfaces = [
            Interface(
                linktype=header.linktype,
                snaplen=header.snaplen,
                exponent=9 if header.nanosecond else 6,
                fcs_bytes=header.fcs_bytes,
            )
        ]

    def walk(
        self, window: Mapped | Windows, offset: int, columns: Columns, frames_before: int
    ) -> tuple[int, int, int]:
        """Fill the columns; return (frames, next offset, stop code)."""
        n, following, stop = index_records(
            window.data, u64(offset), u64(window.end), u64(self._header.header_bytes),
            self._header.nanosecond, self._header.swapped,
            columns.start, columns.caplen, columns.wirelen, columns.ts_ns,
        )  # fmt: skip
        n, fcs = int(n), self._header.fcs_bytes
        if fcs:
            lengths = columns.wirelen[:n]
            lengths[lengths >= fcs] -= np.uint32(fcs)
            np.minimum(columns.caplen[:n], lengths, out=columns.caplen[:n])
        return n, int(following), int(stop)


class PcapngDecoder:
    """Walks packet blocks, and parses the section and interface blocks between them."""

    def __init__(self) -> None:
        self.interfaces: list[Interface] = []
        self.comments: list[Comment] = []
        self._skipped: dict[str, int] = {}
        self._section: Section | None = None
        self._sections = 0

    @property
    def skipped(self) -> dict[str, int]:
        """Frames passed over, by cause."""
        totals = dict(self._skipped)
        if self._section is not None:
            for cause, frames in self._section.skipped():
                totals[cause] = totals.get(cause, 0) + frames
        return totals

    def walk(
        self, window: Mapped | Windows, offset: int, columns: Columns, frames_before: int
    ) -> tuple[int, int, int]:
        """Fill the columns; return (frames, next offset, stop code)."""
        done, stop = 0, FULL
        commented = np.zeros((max(0, MAX_COMMENTS - len(self.comments)), 2), np.uint64)
        while done < len(columns.start) and stop == FULL:
            section = self._section
            table = section.table if section else np.zeros(0, np.uint64)
            swapped = bool(section and section.order == ">")
            n, notes, following, code = index_blocks(
                window.data, u64(offset), u64(window.end), swapped, table,
                columns.start[done:], columns.caplen[done:], columns.wirelen[done:],
                columns.ts_ns[done:], columns.interface[done:], commented,
            )  # fmt: skip
            n, stop, offset = int(n), int(code), int(following)
            if section:
                columns.interface[done : done + n] += np.uint16(section.first_interface)
                self._note(window, commented[: int(notes)], frames_before + done, section.order)
            done += n
            if stop == SECTION:
                offset, stop = self._begin_section(window, offset)
            elif stop == INTERFACE:
                offset, stop = self._add_interface(window, offset)
        return done, offset, stop

    def _note(
        self, window: Mapped | Windows, commented: npt.NDArray[np.uint64], before: int, order: str
    ) -> None:
        for index, at in commented.tolist():
            raw = window.data[at : at + 65536].tobytes()
            number = before + index + 1
            self._keep(Comment("frame", number, note) for note in comments(raw, order))

    def _keep(self, found: Iterable[Comment]) -> None:
        self.comments.extend(list(found)[: max(0, MAX_COMMENTS - len(self.comments))])

    @staticmethod
    def _block(window: Mapped | Windows, at: int, order: str) -> tuple[bytes, int]:
        """Return the whole block at an offset, or nothing and why not."""
        raw = window.data[at + 4 : at + 8].tobytes()
        total = int.from_bytes(raw, "little" if order == "<" else "big")
        if total < 12 or total % 4:
            return b"", BAD_BLOCK_LENGTH
        if at + total > window.end:
            return b"", SHORT
        block = window.data[at : at + total].tobytes()
        return (block, FULL) if block[-4:] == block[4:8] else (b"", BAD_TRAILER)

    def _begin_section(self, window: Mapped | Windows, at: int) -> tuple[int, int]:
        order = Section.order_of(window.data[at : at + 12].tobytes())
        if order is None:
            return at, BAD_SECTION
        block, stop = self._block(window, at, order)
        if stop != FULL:
            return at, stop
        if len(block) < 28:
            return at, BAD_SECTION
        self._skipped = self.skipped
        self._sections += 1
        self._section = Section(order, len(self.interfaces))
        notes = [text(value) for code, value in options(block[24:-4], order) if code == 1]
        self._keep(Comment("section", self._sections, note) for note in notes)
        return at + len(block), FULL

    def _add_interface(self, window: Mapped | Windows, at: int) -> tuple[int, int]:
        if self._section is None:
            return at, BAD_SECTION
        block, stop = self._block(window, at, self._section.order)
        if stop != FULL:
            return at, stop
        if len(block) < 20 or len(self.interfaces) >= MAX_INTERFACES:
            return at, BAD_INTERFACE_BLOCK
        interface, notes = self._section.add_interface(block)
        self.interfaces.append(interface)
        number = len(self.interfaces)
        self._keep(Comment("interface", number, note) for note in notes)
        return at + len(block), FULL
