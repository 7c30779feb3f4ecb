"""Checksums of a batch: which are right, which are not, which are not there.

A wrong checksum in a capture is no reason to drop a frame: a host that leaves
the sum to its adapter shows every frame it sends with a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps import checksums_kernel as k
from pcaps.frames import Frames
from pcaps.headers_kernel import N_COLUMNS, fill_columns

NOT_THERE, GOOD, BAD, ZERO = k.NOT_THERE, k.GOOD, k.BAD, k.ZERO


@dataclass(frozen=True, eq=False)
class Checksums:
    """States of the checksums of n frames.

    Parameters
    ----------
    ip : numpy.ndarray
        ``uint8[n]``: IPv4 header checksum: NOT_THERE, GOOD or BAD.
    transport : numpy.ndarray
        ``uint8[n]``: TCP, UDP or ICMPv6 checksum: NOT_THERE (also where the
        capture cut it, and in fragments), GOOD, BAD, or ZERO (UDP without one).
    """

    ip: npt.NDArray[np.uint8]
    transport: npt.NDArray[np.uint8]


def verify_checksums(frames: Frames) -> Checksums:
    """Check the checksums of a batch.

    Parameters
    ----------
    frames : Frames
        Any batch.

    Returns
    -------
    Checksums
        One state a frame.
    """
    frames = frames.with_padding()
    columns = np.empty((N_COLUMNS, len(frames)), np.uint64)
    fill_columns(frames.data, frames.start, frames.caplen, columns)
    ip, transport = np.zeros(len(frames), np.uint8), np.zeros(len(frames), np.uint8)
    k.verify(frames.data, frames.start, frames.caplen, columns, ip, transport)
    return Checksums(ip, transport)


def internet_checksum(data: bytes) -> int:
    """Return the internet checksum of bytes, as it stands in a header.

    Parameters
    ----------
    data : bytes
        With the checksum field zero.

    Returns
    -------
    int
        16 bits, in network order. Source: RFC 1071.
    """
    padded = data + b"\0" * (len(data) % 2)
    total = int(np.frombuffer(padded, ">u2").sum(dtype=np.uint64))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
