"""Internet checksums, compiled. Rule: RFC 1071.

The one's-complement sum does not depend on byte order, so little-endian words
are added and the result is stored without swapping.
"""

from __future__ import annotations

from typing import Any

from pcaps.headers_kernel import (
    ABSENT,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_PROTOCOL,
    TCP,
    UDP,
)
from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, swap16, u64

NOT_THERE, GOOD, BAD, ZERO = 0, 1, 2, 3
"""States: no checksum, or cut; right; wrong; UDP's "none was computed"."""


@kernel(_nrt=False)
def add_bytes(data: Any, at: Any, length: Any, total: Any) -> Any:
    """Add `length` bytes to a running sum of 16-bit words; an odd last byte is padded with 0.

    Measured: 32-bit loads into a 64-bit sum let the compiler use vectors.
    """
    words = length >> u64(2)
    for n in range(words):
        total += ld32(data, at + u64(4) * u64(n))
    at += u64(4) * words
    if length & u64(2):
        total += ld16(data, at)
        at += u64(2)
    if length & u64(1):
        total += u64(data[at])
    return total


@kernel(_nrt=False)
def fold(total: Any) -> Any:
    """Fold a running sum to 16 bits."""
    total = (total & u64(0xFFFFFFFF)) + (total >> u64(32))
    total = (total & u64(0xFFFF)) + (total >> u64(16))
    total = (total & u64(0xFFFF)) + (total >> u64(16))
    return (total & u64(0xFFFF)) + (total >> u64(16))


@kernel(_nrt=False)
def pseudo_header(data: Any, l3: Any, version: Any, protocol: Any, length: Any) -> Any:
    """Running sum of the pseudo-header. Rules: RFC 793, 3.1; RFC 8200, 8.1."""
    total = swap16(length & u64(0xFFFF)) + swap16(length >> u64(16)) + swap16(protocol)
    if version == u64(4):
        return add_bytes(data, l3 + u64(12), u64(8), total)
    return add_bytes(data, l3 + u64(8), u64(32), total)


@kernel
def verify(data: Any, start: Any, caplen: Any, columns: Any, ip: Any, transport: Any) -> None:
    """Write the state of each frame's IPv4 header and TCP/UDP/ICMPv6 checksum.

    columns: as from ``pcaps.headers_kernel.fill_columns``; ip, transport: uint8[n].
    """
    for n in range(start.size):
        i = u64(n)
        ip[i] = NOT_THERE
        transport[i] = NOT_THERE
        end = u64(start[i]) + u64(caplen[i])
        version = columns[C_IP_VERSION, i]
        l3 = columns[C_L3, i]
        if version == u64(4):
            header = u64(4) * (u64(data[l3]) & u64(15))
            if l3 + header <= end:
                good = fold(add_bytes(data, l3, header, u64(0))) == u64(0xFFFF)
                ip[i] = GOOD if good else BAD
        l4 = columns[C_L4, i]
        protocol = columns[C_PROTOCOL, i]
        last = columns[C_L3_END, i]
        known = protocol == u64(TCP) or protocol == u64(UDP) or protocol == u64(58)
        if l4 == u64(ABSENT) or not known or columns[C_FRAGMENT, i] != u64(0):
            continue
        if protocol == u64(58) and version != u64(6):
            continue
        if last > end or last < l4 + u64(8):
            continue
        if protocol == u64(UDP) and ld16(data, l4 + u64(6)) == u64(0):
            transport[i] = ZERO  # Rule: RFC 768, an all-zero checksum means none was made
            continue
        total = pseudo_header(data, l3, version, protocol, last - l4)
        good = fold(add_bytes(data, l4, last - l4, total)) == u64(0xFFFF)
        transport[i] = GOOD if good else BAD
