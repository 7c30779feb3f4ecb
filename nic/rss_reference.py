"""The plain twin of receive side scaling: the hash bit by bit, the types one by one."""

from __future__ import annotations

from nic.rss_kernel import (
    H_IPV4,
    H_IPV6,
    H_NONE,
    H_TCP_IPV4,
    H_TCP_IPV6,
    H_UDP_IPV4,
    H_UDP_IPV6,
)
from pcaps.headers_kernel import (
    ABSENT,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L4,
    C_PROTOCOL,
    C_SOURCE_PORT,
)
from pcaps.reference import header_columns

_WITH_PORTS = {
    (4, 6): H_TCP_IPV4, (4, 17): H_UDP_IPV4, (6, 6): H_TCP_IPV6, (6, 17): H_UDP_IPV6,
}  # fmt: skip


def toeplitz(key: bytes, data: bytes) -> int:
    """Return the Toeplitz hash of bytes.

    Parameters
    ----------
    key : bytes
        At least four bytes longer than `data`.
    data : bytes
        What is hashed.

    Returns
    -------
    int
        32 bits. For each bit of `data` that is set, the 32 bits of the key that
        begin at that place are added by exclusive or.
    """
    bits = int.from_bytes(key, "big")
    found = 0
    for place in range(8 * len(data)):
        if data[place // 8] >> (7 - place % 8) & 1:
            found ^= bits >> (8 * len(key) - 32 - place) & 0xFFFFFFFF
    return found


def hash_frame(frame: bytes, key: bytes, types: int) -> tuple[int, int]:
    """Return the hash of a frame, and by which type it was made.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    key : bytes
        40 bytes or more.
    types : int
        The ``H_`` bits that are allowed.

    Returns
    -------
    tuple of (int, int)
        0 and H_NONE without a hash.
    """
    row = header_columns(frame)
    version, at, l4 = row[C_IP_VERSION], row[C_L3], row[C_L4]
    if version == ABSENT:
        return 0, H_NONE
    addresses = frame[at + 12 : at + 20] if version == 4 else frame[at + 8 : at + 40]
    with_ports = _WITH_PORTS.get((version, row[C_PROTOCOL]), H_NONE)
    if with_ports & types and not row[C_FRAGMENT] and row[C_SOURCE_PORT] != ABSENT:
        return toeplitz(key, addresses + frame[l4 : l4 + 4]), with_ports
    alone = H_IPV4 if version == 4 else H_IPV6
    return (toeplitz(key, addresses), alone) if alone & types else (0, H_NONE)
