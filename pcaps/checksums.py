"""Checksums of a batch: which are right, which are not, which are not there; and write them.

A wrong checksum in a capture is no reason to drop a frame: a host that leaves
the sum to its adapter shows every frame it sends with a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps import checksums_kernel as k
from pcaps.batches import copy_batch
from pcaps.frames import Frames

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
    columns = frames.headers.columns
    ip, transport = np.zeros(len(frames), np.uint8), np.zeros(len(frames), np.uint8)
    k.verify_ip(frames.data, frames.start, frames.caplen, columns, ip)
    k.verify_transport(frames.data, frames.start, frames.caplen, columns, transport)
    return Checksums(ip, transport)


def insert_checksums(
    frames: Frames,
    *,
    ip: npt.NDArray[np.bool_] | bool = True,
    transport: npt.NDArray[np.bool_] | bool = True,
) -> tuple[Frames, int]:
    """Write the checksums of a batch, as an adapter does for a host that leaves them to it.

    Parameters
    ----------
    frames : Frames
        Any batch.
    ip, transport : numpy.ndarray or bool
        ``bool[n]``: whose IPv4 header checksum, and whose TCP, UDP or ICMPv6 checksum is
        written; all by default.

    Returns
    -------
    frames : Frames
        A copy. Fragments, packets that the capture cut, and UDP datagrams without a
        checksum keep their bytes.
    changed : int
        Frames in which a checksum is different now.
    """
    n = len(frames)
    copied, data = copy_batch(frames)
    changed = k.insert(
        data, copied.start, copied.caplen, copied.headers.columns,
        np.ascontiguousarray(np.broadcast_to(ip, n)),
        np.ascontiguousarray(np.broadcast_to(transport, n)),
    )  # fmt: skip
    return copied, int(changed)


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
