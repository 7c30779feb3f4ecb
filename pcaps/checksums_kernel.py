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
from pcaps.memory import ld16, ld32, ld64, st16, swap16, u64

ICMPV6 = 58

NOT_THERE, GOOD, BAD, ZERO = 0, 1, 2, 3
"""States: no checksum, or cut; right; wrong; UDP's "none was computed"."""


SERIAL_LIMIT = 128
"""Below this many bytes a serial sum with end-around carry is faster (40 bytes: 2 ns, not 12)."""


@kernel(_nrt=False)
def add_bytes(data: Any, at: Any, length: Any, total: Any) -> Any:
    """Add `length` bytes to a running sum of 16-bit words; an odd last byte is padded with 0.

    Measured: 32-bit loads into a 64-bit sum let the compiler use vectors (1480 bytes:
    29 ns, 79 with end-around carry).
    """
    if length < u64(SERIAL_LIMIT):
        folded = u64(0)
        for _ in range(length >> u64(3)):
            word = ld64(data, at)
            folded += word
            folded += u64(folded < word)
            at += u64(8)
        total += (folded & u64(0xFFFFFFFF)) + (folded >> u64(32))
        if length & u64(4):
            total += ld32(data, at)
            at += u64(4)
    else:
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


@kernel(forceinline=True, _nrt=False)
def ip_header_sum(data: Any, l3: Any, header: Any) -> Any:
    """Running sum of an IPv4 header; nearly all have 20 bytes."""
    if header != u64(20):
        return add_bytes(data, l3, header, u64(0))
    total = ld32(data, l3) + ld32(data, l3 + u64(4)) + ld32(data, l3 + u64(8))
    return total + ld32(data, l3 + u64(12)) + ld32(data, l3 + u64(16))


@kernel(forceinline=True, _nrt=False)
def ip_header_bytes(data: Any, end: Any, columns: Any, i: Any) -> Any:
    """Length of frame `i`'s IPv4 header, 0 when it has none or the capture cut it."""
    if columns[C_IP_VERSION, i] != u64(4):
        return u64(0)
    l3 = columns[C_L3, i]
    header = u64(4) * (u64(data[l3]) & u64(15))
    return header if l3 + header <= end else u64(0)


@kernel(forceinline=True, _nrt=False)
def has_transport_sum(end: Any, columns: Any, i: Any) -> Any:
    """Tell whether frame `i` has a whole TCP, UDP or ICMPv6 packet."""
    protocol = columns[C_PROTOCOL, i]
    l4 = columns[C_L4, i]
    known = protocol == u64(TCP) or protocol == u64(UDP) or protocol == u64(ICMPV6)
    if l4 == u64(ABSENT) or not known or columns[C_FRAGMENT, i] != u64(0):
        return False
    if protocol == u64(ICMPV6) and columns[C_IP_VERSION, i] != u64(6):
        return False
    last = columns[C_L3_END, i]
    return last <= end and last >= l4 + u64(8)


@kernel
def verify_ip(data: Any, start: Any, caplen: Any, columns: Any, ip: Any) -> None:
    """Write the state of each frame's IPv4 header checksum.

    columns: as from ``pcaps.headers_kernel.fill_columns``; ip: uint8[n].
    """
    for n in range(start.size):
        i = u64(n)
        header = ip_header_bytes(data, u64(start[i]) + u64(caplen[i]), columns, i)
        ip[i] = NOT_THERE
        if header != u64(0):
            good = fold(ip_header_sum(data, columns[C_L3, i], header)) == u64(0xFFFF)
            ip[i] = GOOD if good else BAD


@kernel
def verify_transport(data: Any, start: Any, caplen: Any, columns: Any, transport: Any) -> None:
    """Write the state of each frame's TCP, UDP or ICMPv6 checksum, as :func:`verify_ip`."""
    for n in range(start.size):
        i = u64(n)
        transport[i] = NOT_THERE
        if not has_transport_sum(u64(start[i]) + u64(caplen[i]), columns, i):
            continue
        l4 = columns[C_L4, i]
        protocol = columns[C_PROTOCOL, i]
        if protocol == u64(UDP) and ld16(data, l4 + u64(6)) == u64(0):
            transport[i] = ZERO  # Rule: RFC 768, an all-zero checksum means none was made
            continue
        length = columns[C_L3_END, i] - l4
        total = pseudo_header(data, columns[C_L3, i], columns[C_IP_VERSION, i], protocol, length)
        good = fold(add_bytes(data, l4, length, total)) == u64(0xFFFF)
        transport[i] = GOOD if good else BAD


@kernel(forceinline=True, _nrt=False)
def sum_place(protocol: Any) -> Any:
    """Where the checksum stands in the header of TCP, UDP or ICMPv6."""
    if protocol == u64(TCP):
        return u64(16)
    if protocol == u64(UDP):
        return u64(6)
    return u64(2)


@kernel(_nrt=False)
def transport_sum(data: Any, columns: Any, i: Any) -> Any:
    """Checksum of frame `i`'s TCP, UDP or ICMPv6 packet, whose checksum field is zero."""
    l4 = columns[C_L4, i]
    protocol = columns[C_PROTOCOL, i]
    length = columns[C_L3_END, i] - l4
    total = pseudo_header(data, columns[C_L3, i], columns[C_IP_VERSION, i], protocol, length)
    value = fold(add_bytes(data, l4, length, total)) ^ u64(0xFFFF)
    if protocol == u64(UDP) and value == u64(0):
        return u64(0xFFFF)  # Rule: RFC 768, a sum of zero is sent as all ones
    return value


@kernel
def insert(out: Any, start: Any, caplen: Any, columns: Any, ip: Any, transport: Any) -> Any:
    """Write the checksums of frames: those of IPv4 headers where `ip`, others where `transport`.

    out: uint8[n_bytes], the frames' bytes, changed; ip, transport: bool[n]; columns as in
    :func:`verify_ip`, of these very bytes. A UDP datagram without a sum stays so.
    Returns how many frames were changed.
    """
    changed = 0
    for n in range(start.size):
        i = u64(n)
        end = u64(start[i]) + u64(caplen[i])
        different = False
        header = ip_header_bytes(out, end, columns, i)
        if ip[i] and header != u64(0):
            at = columns[C_L3, i] + u64(10)
            before = ld16(out, at)
            st16(out, at, u64(0))
            value = fold(ip_header_sum(out, columns[C_L3, i], header)) ^ u64(0xFFFF)
            st16(out, at, value)
            different = value != before
        if transport[i] and has_transport_sum(end, columns, i):
            at = columns[C_L4, i] + sum_place(columns[C_PROTOCOL, i])
            if at + u64(2) <= columns[C_L3_END, i]:
                before = ld16(out, at)
                if columns[C_PROTOCOL, i] == u64(UDP) and before == u64(0):
                    continue  # Rule: RFC 768, the sender wants none
                st16(out, at, u64(0))
                value = transport_sum(out, columns, i)
                st16(out, at, value)
                different = different or value != before
        changed += different
    return changed
