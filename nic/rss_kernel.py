"""Receive side scaling, compiled: the Toeplitz hash of each frame of a batch.

The hash is linear over XOR, so the hash of an input is the XOR of the hashes of
its bytes, each alone at its place. Row p of the table has the 256 hashes of the
byte at place p. (12 bytes take 4 ns; bit by bit they take 270 ns. A carry-less
multiplication would take 2.5 ns, but not on every processor.)
"""

from __future__ import annotations

from typing import Any

from pcaps.headers_kernel import (
    ABSENT,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L4,
    C_PROTOCOL,
    C_SOURCE_PORT,
    TCP,
    UDP,
)
from pcaps.jit import kernel
from pcaps.memory import ld32, ld64, u64

H_NONE, H_IPV4, H_TCP_IPV4, H_UDP_IPV4, H_IPV6, H_TCP_IPV6, H_UDP_IPV6 = 0, 1, 2, 4, 8, 16, 32
"""Hash types, as bits that are asked for, and as what a frame was hashed by."""

PLACES = 36
"""Longest input in bytes: two IPv6 addresses and two ports."""


@kernel(forceinline=True, _nrt=False)
def hash_word(tables: Any, place: Any, word: Any) -> Any:
    """Hash of eight bytes, as a little-endian word, that stand at `place` of the input."""
    row = place << u64(8)
    found = u64(0)
    for _ in range(8):
        found ^= u64(tables[row + (word & u64(0xFF))])
        row += u64(256)
        word >>= u64(8)
    return found


@kernel(forceinline=True, _nrt=False)
def hash_ports(tables: Any, place: Any, word: Any) -> Any:
    """Hash of the four bytes of both ports, as a little-endian word, at `place` of the input."""
    row = place << u64(8)
    found = u64(0)
    for _ in range(4):
        found ^= u64(tables[row + (word & u64(0xFF))])
        row += u64(256)
        word >>= u64(8)
    return found


@kernel(forceinline=True, _nrt=False)
def type_of(columns: Any, i: Any, types: Any) -> Any:
    """Choose what frame `i` is hashed by, H_NONE when by nothing.

    Rule: rss-hashing-types, each set of flags for the IP version of the packet.
    """
    version = columns[C_IP_VERSION, i]
    if version == u64(ABSENT):
        return u64(H_NONE)
    shift = u64(0) if version == u64(4) else u64(3)
    asked = (types >> shift) & u64(7)
    # Rule: rss-hashing-types, fragments (the first one too) by their addresses alone
    if columns[C_FRAGMENT, i] == u64(0) and columns[C_SOURCE_PORT, i] != u64(ABSENT):
        protocol = columns[C_PROTOCOL, i]
        if protocol == u64(TCP) and asked & u64(H_TCP_IPV4):
            return u64(H_TCP_IPV4) << shift
        if protocol == u64(UDP) and asked & u64(H_UDP_IPV4):
            return u64(H_UDP_IPV4) << shift
    # Rule: rss-hashing-types, without the flag for addresses alone there is no hash
    return (asked & u64(H_IPV4)) << shift


@kernel
def hash_frames(
    data: Any, columns: Any, tables: Any, types: Any, hashes: Any, chosen: Any
) -> None:  # fmt: skip
    """Write the hash of each frame, and by which type it was made.

    data: uint8[n_bytes]; columns: uint64[N_COLUMNS, n or more] as from
    ``pcaps.headers_kernel.fill_columns``; tables: uint32[PLACES * 256]; types:
    uint64, the ``H_`` bits that are allowed; hashes: uint32[n], 0 without a hash;
    chosen: uint8[n].

    Rule: verifying-the-rss-hash-calculation: source address, destination address,
    source port, destination port, in network order.
    """
    for n in range(hashes.size):
        i = u64(n)
        kind = type_of(columns, i, types)
        chosen[i] = kind
        found = u64(0)
        if kind != u64(H_NONE):
            at = columns[C_L3, i]
            if kind < u64(H_IPV6):
                found = hash_word(tables, u64(0), ld64(data, at + u64(12)))
                if kind != u64(H_IPV4):
                    found ^= hash_ports(tables, u64(8), ld32(data, columns[C_L4, i]))
            else:
                for part in range(4):
                    offset = u64(8) * u64(part)
                    found ^= hash_word(tables, offset, ld64(data, at + u64(8) + offset))
                if kind != u64(H_IPV6):
                    found ^= hash_ports(tables, u64(32), ld32(data, columns[C_L4, i]))
        hashes[i] = found
