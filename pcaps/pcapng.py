"""pcapng: sections, interfaces, and packet blocks between others.

Packet blocks are walked by a kernel; the few blocks that describe sections and
interfaces are parsed here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps.errors import BadInput
from pcaps.index_kernel import (
    I_BINARY,
    I_FCS,
    I_FRAMES,
    I_OFFSET,
    I_RESOLUTION,
    I_SNAPLEN,
    I_USABLE,
    INTERFACE_WORDS,
)
from pcaps.linktypes import ETHERNET, linktype_name

SECTION_MAGIC = 0x0A0D0D0A
BYTE_ORDER_MAGIC = 0x1A2B3C4D
MAX_INTERFACES = 65535


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a capture.

    Parameters
    ----------
    name, description : str
        As the file has them, often empty.
    linktype : int
        Link type.
    snaplen : int
        Longest captured length, 0 = no limit.
    binary : bool
        Whether times count in powers of 2 instead of 10.
    exponent : int
        Times count in 10**-exponent or 2**-exponent seconds.
    offset_s : int
        Seconds to add to each time.
    fcs_bytes : int
        Bytes of frame check sequence at each frame's end.
    """

    name: str = ""
    description: str = ""
    linktype: int = ETHERNET
    snaplen: int = 0
    binary: bool = False
    exponent: int = 6
    offset_s: int = 0
    fcs_bytes: int = 0

    @property
    def linktype_text(self) -> str:
        """Number and name of the link type."""
        return f"link type {self.linktype} ({linktype_name(self.linktype)})"

    def words(self) -> list[int]:
        """Return the interface's row in the kernel's table."""
        row = [0] * INTERFACE_WORDS
        row[I_USABLE] = int(self.linktype == ETHERNET)
        row[I_SNAPLEN] = self.snaplen
        row[I_FCS] = self.fcs_bytes
        row[I_BINARY] = int(self.binary)
        row[I_RESOLUTION] = self.exponent
        row[I_OFFSET] = self.offset_s & 0xFFFFFFFFFFFFFFFF
        row[I_FRAMES] = 0
        return row


def options(raw: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (code, value) of the options in a block; stops at the first that is cut.

    Parameters
    ----------
    raw : bytes
        The bytes between a block's fixed part and its trailer.
    order : str
        ``<`` or ``>``.

    Yields
    ------
    tuple of (int, bytes)
        Without the end-of-options marker.
    """
    at = 0
    while at + 4 <= len(raw):
        code, length = struct.unpack_from(order + "HH", raw, at)
        if code == 0 or at + 4 + length > len(raw):
            return
        yield code, raw[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)


def text(value: bytes) -> str:
    """Return an option's text; bytes that are not UTF-8 show as replacement characters."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def comments(raw: bytes, order: str) -> list[str]:
    """Return the comments among the options in `raw`."""
    return [text(value) for code, value in options(raw, order) if code == 1]


class Section:
    """One section: its byte order and its interfaces.

    Parameters
    ----------
    order : str
        ``<`` or ``>``.
    first_interface : int
        Number of its first interface within the capture.
    """

    def __init__(self, order: str, first_interface: int) -> None:
        self.order = order
        self.first_interface = first_interface
        self.interfaces: list[Interface] = []
        self.table: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)

    @staticmethod
    def order_of(raw: bytes) -> str | None:
        """Return the byte order that a section header block (its first 12 bytes) tells, or None."""
        for order in "<>":
            if struct.unpack_from(order + "I", raw, 8)[0] == BYTE_ORDER_MAGIC:
                return order
        return None

    def add_interface(self, block: bytes) -> tuple[Interface, list[str]]:
        """Parse an interface description block.

        Parameters
        ----------
        block : bytes
            The whole block.

        Returns
        -------
        interface : Interface
            As described.
        notes : list of str
            Its comments.

        Raises
        ------
        BadInput
            When the block is too short to be one.
        """
        if len(block) < 20:
            raise BadInput("an interface block is shorter than 20 bytes")
        linktype, _, snaplen = struct.unpack_from(self.order + "HHI", block, 8)
        found: dict[int, bytes] = {}
        notes = []
        for code, value in options(block[16:-4], self.order):
            if code == 1:
                notes.append(text(value))
            found.setdefault(code, value)
        resolution = found.get(9, b"\x06")[:1] or b"\x06"
        offset = found.get(14, b"")
        interface = Interface(
            name=text(found.get(2, b"")),
            description=text(found.get(3, b"")),
            linktype=linktype,
            snaplen=snaplen,
            binary=bool(resolution[0] & 0x80),
            exponent=resolution[0] & 0x7F,
            offset_s=struct.unpack(self.order + "q", offset)[0] if len(offset) == 8 else 0,
            fcs_bytes=found.get(13, b"\0")[0] if found.get(13) else 0,
        )
        self.interfaces.append(interface)
        self.table = np.append(self.table, np.array(interface.words(), np.uint64))
        return interface, notes

    def skipped(self) -> Iterator[tuple[str, int]]:
        """Yield (cause, frames) for the interfaces whose frames were passed over."""
        for number, interface in enumerate(self.interfaces):
            frames = int(self.table[number * INTERFACE_WORDS + I_FRAMES])
            if interface.linktype != ETHERNET and frames:
                yield interface.linktype_text, frames
