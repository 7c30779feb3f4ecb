"""Classic pcap: a 24-byte file header, then records.

Read in microseconds and nanoseconds, both byte orders, and the modified format
of Alexey Kuznetzov (magic a1b2cd34), whose record headers are 8 bytes longer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps.errors import BadInput
from pcaps.linktypes import ETHERNET, linktype_name

FILE_HEADER_BYTES = 24

_MAGICS = {
    0xA1B2C3D4: ("pcap", False, 16),
    0xA1B23C4D: ("pcap-ns", True, 16),
    0xA1B2CD34: ("pcap-modified", False, 24),
}


@dataclass(frozen=True, slots=True)
class ClassicHeader:
    """What the file header says.

    Parameters
    ----------
    format : str
        ``pcap``, ``pcap-ns`` or ``pcap-modified``.
    swapped : bool
        Whether the file is big-endian.
    nanosecond : bool
        Whether the fraction of a second counts nanoseconds.
    header_bytes : int
        Bytes of a record header.
    snaplen : int
        Longest captured length promised.
    linktype : int
        Link type, without the bits above it.
    fcs_bytes : int
        Bytes of frame check sequence at each frame's end, 0 when not said.
    """

    format: str
    swapped: bool
    nanosecond: bool
    header_bytes: int
    snaplen: int
    linktype: int
    fcs_bytes: int

    @classmethod
    def parse(cls, raw: bytes, name: str) -> ClassicHeader | None:
        """Read a file header.

        Parameters
        ----------
        raw : bytes
            The first bytes of the file.
        name : str
            The file, for messages.

        Returns
        -------
        ClassicHeader or None
            None when the magic number is not a classic capture's.

        Raises
        ------
        BadInput
            When the header is cut, or the link type is not Ethernet.
        """
        for swapped, order in ((False, "<"), (True, ">")):
            magic = struct.unpack(order + "I", raw[:4])[0] if len(raw) >= 4 else 0
            if magic not in _MAGICS:
                continue
            if len(raw) < FILE_HEADER_BYTES:
                raise BadInput(
                    f"{name}: the file header ends after {len(raw)} of 24 bytes; "
                    "the capture is cut, record it again"
                )
            label, nanosecond, header_bytes = _MAGICS[magic]
            snaplen, link = struct.unpack(order + "II", raw[16:24])
            # bits 28-31: FCS length in 16-bit words if bit 26 is set; 16-25 are reserved
            fcs = (link >> 28) * 2 if link & 0x04000000 else 0
            return cls(label, swapped, nanosecond, header_bytes, snaplen, link & 0xFFFF, fcs)
        return None

    def check_linktype(self, name: str) -> None:
        """Raise :class:`BadInput` unless frames begin with an Ethernet header."""
        if self.linktype != ETHERNET:
            raise BadInput(
                f"{name}: link type {self.linktype} ({linktype_name(self.linktype)}) has no "
                "Ethernet header, so no MAC address to switch by; give an Ethernet capture"
            )


@dataclass(frozen=True, eq=False)
class RecordRegion:
    """The records of a mapped classic capture, for loops that walk them themselves.

    Parameters
    ----------
    data : numpy.ndarray
        ``uint8[n_bytes]``, read-only: the whole file.
    first : int
        Offset of the first record header.
    end : int
        No record that reaches behind it may be used: 64 readable bytes follow.
    swapped, nanosecond : bool
        Byte order and unit of time.
    header_bytes : int
        Bytes of a record header, 16 or 24.
    """

    data: npt.NDArray[np.uint8]
    first: int
    end: int
    swapped: bool
    nanosecond: bool
    header_bytes: int
