"""Header columns of a frame batch: who, to whom, in which VLAN, over which protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps import headers_kernel as k
from pcaps.frames import Frames

ABSENT = k.ABSENT
"""In columns of unsigned 64-bit integers: the field is not there. Others show -1."""


@dataclass(frozen=True, eq=False)
class Headers:
    """Header columns of n frames, each of length n.

    Parameters
    ----------
    columns : numpy.ndarray
        ``uint64[N_COLUMNS, n or more]``, as from :func:`empty_columns`, for kernels; see
        :mod:`pcaps.headers_kernel`.
    n : int
        Frames.

    Notes
    -----
    Offsets count from the start of the batch's buffer. Fields that the frame
    does not have, or that the capture cut, are -1, or ABSENT in the columns of
    addresses.
    """

    columns: npt.NDArray[np.uint64]
    n: int

    def __len__(self) -> int:
        return self.n

    @property
    def raw(self) -> npt.NDArray[np.uint64]:
        """All columns, ``uint64[N_COLUMNS, n]``."""
        return self.columns[:, : self.n]

    def _column(self, number: int, dtype: Any = np.int64) -> npt.NDArray[Any]:
        column: npt.NDArray[Any] = self.columns[number, : self.n].astype(dtype)
        return column

    def _address(self, number: int) -> npt.NDArray[np.uint64]:
        column: npt.NDArray[np.uint64] = self.columns[number, : self.n]
        return column

    def _of_tci(self, number: int, shift: int, mask: int) -> npt.NDArray[np.int64]:
        tci = self._column(number)
        return np.where(tci < 0, -1, tci >> shift & mask)

    @property
    def destination(self) -> npt.NDArray[np.uint64]:
        """Destination MAC addresses as keys, ABSENT in runts."""
        return self._address(k.C_DESTINATION)

    @property
    def source(self) -> npt.NDArray[np.uint64]:
        """Source MAC addresses as keys, ABSENT in runts."""
        return self._address(k.C_SOURCE)

    @property
    def tags(self) -> npt.NDArray[np.int64]:
        """Number of VLAN tags (TPIDs 0x8100, 0x88a8, 0x9100)."""
        return self._column(k.C_TAGS)

    @property
    def outer_tpid(self) -> npt.NDArray[np.int64]:
        """TPID of the outer tag."""
        return self._column(k.C_OUTER_TPID)

    @property
    def outer_vid(self) -> npt.NDArray[np.int64]:
        """VID of the outer tag."""
        return self._of_tci(k.C_OUTER_TCI, 0, 0xFFF)

    @property
    def outer_pcp(self) -> npt.NDArray[np.int64]:
        """PCP of the outer tag."""
        return self._of_tci(k.C_OUTER_TCI, 13, 7)

    @property
    def outer_dei(self) -> npt.NDArray[np.int64]:
        """DEI of the outer tag."""
        return self._of_tci(k.C_OUTER_TCI, 12, 1)

    @property
    def inner_tpid(self) -> npt.NDArray[np.int64]:
        """TPID of the second tag."""
        return self._column(k.C_INNER_TPID)

    @property
    def inner_vid(self) -> npt.NDArray[np.int64]:
        """VID of the second tag."""
        return self._of_tci(k.C_INNER_TCI, 0, 0xFFF)

    @property
    def ethertype(self) -> npt.NDArray[np.int64]:
        """EtherType behind all tags, also behind LLC/SNAP; a length below 0x600 means plain LLC."""
        return self._column(k.C_ETHERTYPE)

    @property
    def l3_offset(self) -> npt.NDArray[np.int64]:
        """Where the network layer begins."""
        return self._column(k.C_L3)

    @property
    def ip_version(self) -> npt.NDArray[np.int64]:
        """4 or 6."""
        return self._column(k.C_IP_VERSION)

    @property
    def protocol(self) -> npt.NDArray[np.int64]:
        """IP protocol, behind IPv6 extension headers."""
        return self._column(k.C_PROTOCOL)

    @property
    def fragment(self) -> npt.NDArray[np.int64]:
        """1 for fragments, the first one too."""
        return self._column(k.C_FRAGMENT)

    @property
    def source_ip(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Source IP addresses, high and low 64 bits; an IPv4 address is in the low ones."""
        return self.raw[k.C_SOURCE_HIGH], self.raw[k.C_SOURCE_LOW]

    @property
    def destination_ip(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Destination IP addresses, high and low 64 bits."""
        return self.raw[k.C_DESTINATION_HIGH], self.raw[k.C_DESTINATION_LOW]

    @property
    def l4_offset(self) -> npt.NDArray[np.int64]:
        """Where the transport layer begins; absent in later fragments."""
        return self._column(k.C_L4)

    @property
    def source_port(self) -> npt.NDArray[np.int64]:
        """Source port of TCP and UDP."""
        return self._column(k.C_SOURCE_PORT)

    @property
    def destination_port(self) -> npt.NDArray[np.int64]:
        """Destination port of TCP and UDP."""
        return self._column(k.C_DESTINATION_PORT)

    @property
    def tcp_flags(self) -> npt.NDArray[np.int64]:
        """TCP flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128."""
        return self._column(k.C_FLAGS)

    @property
    def sequence(self) -> npt.NDArray[np.int64]:
        """TCP sequence numbers."""
        return self._column(k.C_SEQUENCE)

    @property
    def acknowledgement(self) -> npt.NDArray[np.int64]:
        """TCP acknowledgement numbers."""
        return self._column(k.C_ACKNOWLEDGEMENT)

    @property
    def window(self) -> npt.NDArray[np.int64]:
        """TCP window field, unscaled."""
        return self._column(k.C_WINDOW)

    @property
    def payload_offset(self) -> npt.NDArray[np.int64]:
        """Where the payload of TCP or UDP begins."""
        return self._column(k.C_PAYLOAD)

    @property
    def payload_bytes(self) -> npt.NDArray[np.int64]:
        """Payload length as the IP header tells it, also where the capture cut it."""
        return self._column(k.C_PAYLOAD_BYTES)

    @property
    def l3_end(self) -> npt.NDArray[np.int64]:
        """Where the IP packet ends as its header tells it; behind it there is padding."""
        return self._column(k.C_L3_END)


def empty_columns(n: int) -> npt.NDArray[np.uint64]:
    """Return room for the header columns of n frames.

    Parameters
    ----------
    n : int
        Frames.

    Returns
    -------
    numpy.ndarray
        ``uint64[N_COLUMNS, n or more]``, not filled. The number of cache lines of a column
        is odd: were it a power of two, all columns would want the same lines of the
        first-level cache (measured: 64 ns a frame instead of 17).
    """
    return np.empty((k.N_COLUMNS, 8 * ((n + 7) // 8 | 1)), np.uint64)


def parse_headers(frames: Frames) -> Headers:
    """Parse the headers of a batch.

    Parameters
    ----------
    frames : Frames
        Any batch; cut and malformed frames have absent fields.

    Returns
    -------
    Headers
        One column entry a frame.
    """
    columns = empty_columns(len(frames))
    padded = frames.with_padding()
    k.fill_columns(padded.data, padded.start, padded.caplen, columns)
    if padded is not frames and len(frames):  # offsets count in the batch's own buffer
        shift = np.uint64(int(frames.start[0]) - int(padded.start[0]))
        for number in (k.C_L3, k.C_L4, k.C_PAYLOAD, k.C_L3_END):
            there = columns[number] != k.ABSENT
            columns[number, there] += shift
    return Headers(columns, len(frames))
