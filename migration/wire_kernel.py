"""Frames built from the rows of a run's log, compiled.

A row says what a segment is: positions, sizes, options. The numbers of the wire are
made here: initial number + position, in 32 bits, and likewise for timestamps.
:mod:`migration.wire_reference` is the plain twin and specification.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from migration.path_kernel import AT_VM
from migration.tcp.state_kernel import ACK, SYN
from pcaps.checksums_kernel import add_bytes, fold, ip_header_sum, pseudo_header
from pcaps.jit import kernel
from pcaps.memory import copy, st16, st32, st64, swap16, swap32, u64

OUTSIDE, INSIDE = 0, 1
"""Places of `head`: between the clients and a host's uplink; at the VM's port."""

LONGEST_RECORD = 1 << 17
"""Bytes of the buffer that must be free before a frame is built: the longest, and PAD."""

SMALLEST_FRAME = 60
"""Bytes that a sender pads a frame to, without FCS: IEEE 802.3 section 4A.4.2."""

MASK = 0xFFFFFFFF
_TCP = 6
_LONGEST_PACKET = 0xFFFF

# Options as they begin, most significant byte first. Rules: RFC 9293 section 3.1 (NOP 1,
# MSS 2), RFC 7323 sections 2.2 and 3.2 (window scale 3, timestamps 8), RFC 2018 sections 2
# and 3 (SACK-permitted 4, SACK 5)
_MSS = 0x0204 << 16
_NOP_SCALE = 0x010303 << 8
_NOP_NOP_PERMITTED = 0x01010402
_PERMITTED_STAMPS = 0x0402080A
_NOP_NOP_STAMPS = 0x0101080A
_NOP_NOP_SACK = 0x010105 << 8

END = np.dtype(
    (
        np.record,
        [
            ("ip", "u8", (2,)),  # 16 bytes in wire order, as two little-endian words
            ("head", "i8", (2,)),  # where the header of its frames is, OUTSIDE and INSIDE
            ("first", "i8"),  # where its stream is in `streams`, or in the text
            ("size", "i8"),  # bytes of its stream that are there
            ("period", "i8"),  # the stream is the text, repeated after so many bytes; 0: it is not
            ("head_bytes", "i4", (2,)),
            ("isn", "u4"),
            ("ts_first", "u4"),
            ("port", "u2"),
            ("version", "u1"),
            ("ttl", "u1"),
            ("scale_early", "u1"),  # 1: a SYN has its window scale before SACK-permitted
            ("vm", "u1"),
            ("pad", "u1", (2,)),
        ],
    )
)
"""What the frames of an end are made of. Rows 2n and 2n + 1 are those of connection n."""


class Source(NamedTuple):
    """Bytes that frames are made of: headers, captured streams, and the payload text.

    All are ``uint8[n_bytes]``.
    """

    headers: npt.NDArray[np.uint8]
    streams: npt.NDArray[np.uint8]
    text: npt.NDArray[np.uint8]


@kernel(_nrt=False)
def wire_number(first: Any, position: Any) -> Any:
    """Return a position as the wire has it. Rule: RFC 9293 section 3.4, modulo 2**32."""
    return u64((np.int64(first) + np.int64(position)) & np.int64(MASK))


@kernel(_nrt=False)
def put32(out: Any, at: Any, value: Any) -> Any:
    """Store 32 bits in network order; return the offset behind them."""
    st32(out, at, swap32(value))
    return at + u64(4)


@kernel(_nrt=False)
def put_scale(out: Any, at: Any, row: Any) -> Any:
    """Put the window scale option, when the row has one."""
    if row.scale < 0:
        return at
    return put32(out, at, u64(_NOP_SCALE) | u64(row.scale))


@kernel(_nrt=False)
def put_options(out: Any, at: Any, row: Any, end: Any, peer: Any) -> Any:
    """Put the options of a segment; return the offset behind them."""
    permitted = np.int64(row["flags"]) & SYN != 0 and row.sack_ok != 0
    if row.mss != 0:
        at = put32(out, at, u64(_MSS) | u64(row.mss))
    if end.scale_early != 0:
        at = put_scale(out, at, row)
    if row.tsval >= 0:
        at = put32(out, at, u64(_PERMITTED_STAMPS) if permitted else u64(_NOP_NOP_STAMPS))
        at = put32(out, at, wire_number(end.ts_first, row.tsval))
        # Rule: RFC 7323 section 3.2: TSecr is 0 where the ACK bit is not set
        echo = u64(0)
        if np.int64(row["flags"]) & ACK:
            echo = wire_number(peer.ts_first, row.tsecr)
        at = put32(out, at, echo)
    elif permitted:
        at = put32(out, at, u64(_NOP_NOP_PERMITTED))
    if end.scale_early == 0:
        at = put_scale(out, at, row)
    blocks = np.int64(row.blocks)
    if blocks != 0:
        at = put32(out, at, u64(_NOP_NOP_SACK) | u64(2 + 8 * blocks))
        for n in range(blocks):
            at = put32(out, at, wire_number(peer.isn, row.sack[n, 0]))
            at = put32(out, at, wire_number(peer.isn, row.sack[n, 1]))
    return at


@kernel(_nrt=False)
def put_zeros(out: Any, at: Any, n: Any) -> None:
    """Put n zero bytes."""
    for k in range(n):
        out[at + u64(k)] = 0


@kernel(_nrt=False)
def put_payload(out: Any, at: Any, end: Any, source: Any, offset: Any, size: Any) -> None:
    """Put `size` bytes of an end's stream from `offset` on; there are zeros where it has none."""
    if end.period > 0 and offset >= 0:
        place = (end.first + offset) % end.period
        copy(out, at, source.text, u64(place), u64(size))
        return
    first = max(offset, np.int64(0))
    last = min(offset + size, np.int64(end["size"]))
    if last - first < size:
        put_zeros(out, at, size)
    if last > first:
        copy(
            out, at + u64(first - offset), source.streams, u64(end.first + first),
            u64(last - first),
        )  # fmt: skip


@kernel(_nrt=False)
def put_ip(out: Any, at: Any, end: Any, peer: Any, row: Any, size: Any) -> Any:
    """Put the IP header of a segment of `size` bytes; return the offset behind it."""
    if end.version == 4:
        total = u64(20) + size
        if total > u64(_LONGEST_PACKET):
            total = u64(0)  # as adapters that cut segments are told: the length does not fit
        st32(out, at, u64(0x45) | swap16(total) << u64(16))
        # the number of the segment is the same at each interface, and rises for each sender
        identification = swap16(u64(row.number) & u64(0xFFFF))
        st32(out, at + u64(4), identification | u64(0x40) << u64(16))  # Don't Fragment
        st32(out, at + u64(8), u64(end.ttl) | u64(_TCP) << u64(8))
        st32(out, at + u64(12), end.ip[0] & u64(MASK))
        st32(out, at + u64(16), peer.ip[0] & u64(MASK))
        total_sum = ip_header_sum(out, at, u64(20))
        st16(out, at + u64(10), ~fold(total_sum) & u64(0xFFFF))
        return at + u64(20)
    length = size if size <= u64(_LONGEST_PACKET) else u64(0)
    st32(out, at, u64(0x60))
    st32(out, at + u64(4), swap16(length) | u64(_TCP) << u64(16) | u64(end.ttl) << u64(24))
    st64(out, at + u64(8), end.ip[0])
    st64(out, at + u64(16), end.ip[1])
    st64(out, at + u64(24), peer.ip[0])
    st64(out, at + u64(32), peer.ip[1])
    return at + u64(40)


@kernel(_nrt=False)
def put_tcp(out: Any, at: Any, end: Any, peer: Any, row: Any, l4: Any) -> None:
    """Put the TCP header before its options, which end at `at`; the checksum stays 0."""
    flags = u64(row["flags"])
    acknowledged = u64(0)
    if flags & u64(ACK):
        acknowledged = wire_number(peer.isn, row.ack)
    words = (at - l4) >> u64(2)
    st32(out, l4, swap16(u64(end.port)) | swap16(u64(peer.port)) << u64(16))
    st32(out, l4 + u64(4), swap32(wire_number(end.isn, row.seq)))
    st32(out, l4 + u64(8), swap32(acknowledged))
    window = swap16(u64(np.int64(row.window) & 0xFFFF))
    st32(out, l4 + u64(12), words << u64(4) | flags << u64(8) | window << u64(16))
    st32(out, l4 + u64(16), u64(0))


@kernel(_nrt=False)
def put_frame(out: Any, at: Any, row: Any, ends: Any, source: Any) -> Any:
    """Build the frame of a row; return its length."""
    sender = np.int64(row.sender)
    end, peer = ends[sender], ends[sender ^ 1]
    place = INSIDE if row.where == AT_VM else OUTSIDE
    made = INSIDE if end.vm != 0 else OUTSIDE
    head = u64(end.head_bytes[place])
    copy(out, at, source.headers, u64(end.head[place]), head)
    l3 = at + head
    l4 = l3 + (u64(20) if end.version == 4 else u64(40))
    size = u64(row["size"])
    body = put_options(out, l4 + u64(20), row, end, peer)
    tcp = body - l4 + size
    put_ip(out, l3, end, peer, row, tcp)
    put_tcp(out, body, end, peer, row, l4)
    # the first byte stands behind the SYN
    put_payload(out, body, end, source, np.int64(row.seq) - 1, np.int64(row["size"]))
    total = pseudo_header(out, l3, u64(end.version), u64(_TCP), tcp)
    st16(out, l4 + u64(16), ~fold(add_bytes(out, l4, tcp, total)) & u64(0xFFFF))
    # what its sender padded stays, whatever becomes of the tag on its way
    made_bytes = np.int64(end.head_bytes[made]) + np.int64(l4 - l3 + tcp)
    padding = max(np.int64(SMALLEST_FRAME) - made_bytes, np.int64(0))
    put_zeros(out, body + size, padding)
    return body + size - at + u64(padding)


@kernel(_nrt=False)
def build(rows: Any, cursor: Any, ends: Any, source: Any, out: Any, start: Any, length: Any) -> Any:
    """Build the frames of rows from `cursor` on, until `out` has no room for the longest.

    rows: LOG[n]; ends: END[]; out: uint8[]; start, length: int64[n], uint32[n], filled
    from 0 on. Returns the row behind the last one that was built.
    """
    at = u64(0)
    first = cursor
    while cursor < len(rows) and at + u64(LONGEST_RECORD) <= u64(out.size):
        size = put_frame(out, at, rows[cursor], ends, source)
        start[cursor - first] = np.int64(at)
        length[cursor - first] = size
        at += size
        cursor += 1
    return cursor
