"""Large send offload, compiled: TCP super-frames cut into wire frames.

Two steps: :func:`plan` says of each frame of a batch into how many pieces it goes,
:func:`cut` writes pieces into a buffer until it is full and is called again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pcaps.checksums_kernel import add_bytes, fold
from pcaps.headers_kernel import (
    ABSENT,
    C_FLAGS,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_PAYLOAD,
    C_PAYLOAD_BYTES,
    C_PROTOCOL,
    C_TAGS,
    IPV4,
    IPV6,
    TCP,
    be16,
    be32,
    is_tag,
)
from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, ld64, st16, st32, st64, swap16, swap32, u64
from pcaps.write_kernel import copy_bytes

CUT, SMALL, NOT_TCP, FRAGMENT, NOT_CAPTURED, FLAGS, NO_IPV6, NO_LENGTH, NO_ROOM = range(9)
"""Whether a frame is cut, and if not, why."""

FIN, SYN, RST, PSH, URG, CWR = 1, 2, 4, 8, 32, 128

IP_ID_HALF = 0x8000
"""Rule: offloading-the-segmentation-of-large-tcp-packets: version 2 counts ids in 15 bits."""


class Plan(NamedTuple):
    """What becomes of each of n frames.

    pieces uint32[n]: frames that it goes into; mss uint32[n]: payload of all but the last;
    why uint8[n]: CUT, or why it stays one.
    """

    pieces: npt.NDArray[np.uint32]
    mss: npt.NDArray[np.uint32]
    why: npt.NDArray[np.uint8]


class Room(NamedTuple):
    """Where pieces are written: their bytes, and columns with an entry for each.

    data: uint8[], 64 bytes longer than is used; start: int64[m]; length: uint32[m];
    origin: uint32[m], place of the frame that it was cut from.
    """

    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.uint32]
    origin: npt.NDArray[np.uint32]


@kernel(forceinline=True, _nrt=False)
def reason(data: Any, at: Any, end: Any, columns: Any, i: Any, version: Any) -> Any:
    """Tell why frame `i` cannot be cut, whatever its size, or CUT."""
    if columns[C_PROTOCOL, i] != u64(TCP):
        return u64(NOT_TCP)
    if columns[C_FRAGMENT, i] != u64(0):
        return u64(FRAGMENT)
    if columns[C_PAYLOAD, i] == u64(ABSENT):
        return u64(NOT_CAPTURED)
    l3 = columns[C_L3, i]
    # behind LLC and SNAP, the frame's own length would have to change
    if l3 != at + u64(14) + u64(4) * columns[C_TAGS, i]:
        return u64(NOT_TCP)
    if columns[C_L3_END, i] > end:
        return u64(NOT_CAPTURED)
    # Rule: offloading-the-segmentation-of-large-tcp-packets, a large packet has none of these
    if columns[C_FLAGS, i] & u64(SYN | RST | URG):
        return u64(FLAGS)
    if version == u64(1):
        # Rule: the same, version 1 is for IPv4, with the length in its header
        if columns[C_IP_VERSION, i] != u64(4):
            return u64(NO_IPV6)
        if be16(data, l3 + u64(2)) == u64(0):
            return u64(NO_LENGTH)
    return u64(CUT)


@kernel
def plan(
    data: Any, start: Any, caplen: Any, columns: Any, mss: Any, mtu: Any, version: Any, out: Any
) -> None:  # fmt: skip
    """Fill a Plan for a batch.

    mss: uint64, payload of a piece in bytes, or 0: as much as an IP packet of `mtu` bytes
    has room for; version: uint64, 1 or 2.
    """
    for n in range(start.size):
        i = u64(n)
        at = u64(start[i])
        why = reason(data, at, at + u64(caplen[i]), columns, i, version)
        room = mss
        out.pieces[i] = 1
        if why == u64(CUT):
            if room == u64(0):
                headers = columns[C_PAYLOAD, i] - columns[C_L3, i]
                room = mtu - headers if headers < mtu else u64(0)
            payload = columns[C_PAYLOAD_BYTES, i]
            if payload <= room:
                why = u64(SMALL)
            elif room == u64(0):
                why = u64(NO_ROOM)
            else:
                out.pieces[i] = (payload + room - u64(1)) // room
        out.mss[i] = room
        out.why[i] = why


@kernel(_nrt=False)
def copy_adding(to: Any, at: Any, data: Any, start: Any, length: Any) -> Any:
    """Copy bytes, and return the running sum of their 16-bit words.

    Reads and writes up to 7 bytes more. One pass: 1460 bytes take 40 ns, copied and
    then added 60.
    """
    low = u64(0)
    high = u64(0)
    words = length >> u64(3)
    for n in range(words):
        offset = u64(8) * u64(n)
        word = ld64(data, start + offset)
        st64(to, at + offset, word)
        low += word & u64(0xFFFFFFFF)
        high += word >> u64(32)
    rest = length & u64(7)
    if rest != u64(0):
        word = ld64(data, start + u64(8) * words)
        st64(to, at + u64(8) * words, word)
        word &= (u64(1) << (u64(8) * rest)) - u64(1)
        low += word & u64(0xFFFFFFFF)
        high += word >> u64(32)
    return low + high


@kernel(_nrt=False)
def transport_at(data: Any, at: Any, end: Any, version: Any) -> Any:
    """Where TCP begins behind a whole IP header at `at`; 0 when there is none, or a fragment's."""
    if version == u64(4):
        header = u64(4) * (u64(data[at]) & u64(15))
        whole = be16(data, at + u64(6)) & u64(0x3FFF) == u64(0)
        if whole and header >= u64(20) and data[at + u64(9)] == TCP:
            return at + header
        return u64(0)
    following = u64(data[at + u64(6)])
    at += u64(40)
    while following != u64(TCP):
        # Rule: RFC 8200 section 4: hop-by-hop, routing, destination options, authentication
        known = following == u64(0) or following == u64(43) or following == u64(60)
        if not (known or following == u64(51)) or at + u64(8) > end:
            return u64(0)
        size = u64(data[at + u64(1)])
        skip = u64(8) * (u64(1) + size) if known else u64(4) * (u64(2) + size)
        following = u64(data[at])
        at += skip
    return at


@kernel(_nrt=False)
def cut_length(data: Any, start: Any, caplen: Any, mtu: Any) -> Any:
    """Bytes on the wire of the longest piece that a frame is cut into, 0 when it is not cut.

    The same answer as :func:`plan` gives, version 2, without header columns. caplen: at
    least 14.
    """
    end = start + caplen
    at = start + u64(12)
    ether_type = be16(data, at)
    while is_tag(ether_type) and at + u64(6) <= end:
        at += u64(4)
        ether_type = be16(data, at)
    l3 = at + u64(2)
    if l3 + u64(40) > end:
        return u64(0)
    if ether_type == u64(IPV4) and u64(data[l3]) >> u64(4) == u64(4):
        l4 = transport_at(data, l3, end, u64(4))
        size = be16(data, l3 + u64(2))
        last = l3 + size if size >= u64(4) * (u64(data[l3]) & u64(15)) else end
    elif ether_type == u64(IPV6) and u64(data[l3]) >> u64(4) == u64(6):
        l4 = transport_at(data, l3, end, u64(6))
        size = be16(data, l3 + u64(4))
        last = end if size == u64(0) else l3 + u64(40) + size
    else:
        return u64(0)
    if l4 == u64(0) or l4 + u64(20) > end or last > end:
        return u64(0)
    word = be16(data, l4 + u64(12))
    body = l4 + u64(4) * (word >> u64(12))
    if word >> u64(12) < u64(5) or body > last or word & u64(SYN | RST | URG) != u64(0):
        return u64(0)
    headers = body - l3
    if headers >= mtu or last - body <= mtu - headers:
        return u64(0)
    return l3 - start + mtu


@kernel(forceinline=True, _nrt=False)
def flags_of(flags: Any, first: Any, last: Any) -> Any:
    """Flags of a piece, from the 16 bits of length, reserved and flags of the super-frame.

    Rule: offloading-the-segmentation-of-large-tcp-packets: FIN and PSH on the last.
    Rule: RFC 3168 section 6.1.2: CWR once, so on the first.
    """
    if not last:
        flags &= ~u64(FIN | PSH)
    if not first:
        flags &= ~u64(CWR)
    return flags


@kernel(forceinline=True, _nrt=False)
def id_of(first: Any, piece: Any, version: Any) -> Any:
    """IP id of a piece: version 2 stays in the half of the numbers that it began in."""
    if version == u64(1):
        return (first + piece) & u64(0xFFFF)
    return (first & u64(IP_ID_HALF)) | ((first + piece) & u64(IP_ID_HALF - 1))


@kernel(_nrt=False)
def ip_base(data: Any, l3: Any) -> Any:
    """Running sum of an IPv4 header but for its length, id and checksum."""
    header = u64(4) * (u64(data[l3]) & u64(15))
    total = ld16(data, l3) + ld16(data, l3 + u64(6)) + ld16(data, l3 + u64(8))
    total += ld32(data, l3 + u64(12)) + ld32(data, l3 + u64(16))
    return add_bytes(data, l3 + u64(20), header - u64(20), total)


@kernel(_nrt=False)
def tcp_base(data: Any, l3: Any, l4: Any, payload: Any, version: Any) -> Any:
    """Running sum of TCP and pseudo-header but for number, flags, checksum and length."""
    total = ld32(data, l4) + ld32(data, l4 + u64(8))
    total += ld16(data, l4 + u64(14)) + ld16(data, l4 + u64(18))
    total = add_bytes(data, l4 + u64(20), payload - (l4 + u64(20)), total)
    # Rules: RFC 9293 section 3.1; RFC 8200 section 8.1
    if version == u64(4):
        return add_bytes(data, l3 + u64(12), u64(8), total + swap16(u64(TCP)))
    return add_bytes(data, l3 + u64(8), u64(32), total + swap16(u64(TCP)))


@kernel(_nrt=False)
def cut_frame(
    data: Any, at: Any, columns: Any, i: Any, mss: Any, pieces: Any, piece: Any, version: Any,
    room: Any, used: Any, written: Any,
) -> Any:  # fmt: skip
    """Write pieces of frame `i` from `piece` on, while there is room.

    Returns the piece to go on with, the bytes used, and the pieces written. Nothing is
    read back that was just stored: the sums come from the frame's own header.
    """
    out = room.data
    most = u64(room.start.size)
    size = u64(out.size) - u64(64)
    l3 = columns[C_L3, i]
    l4 = columns[C_L4, i]
    body = columns[C_PAYLOAD, i]
    left = columns[C_PAYLOAD_BYTES, i]
    four = columns[C_IP_VERSION, i] == u64(4)
    head = body - at
    of_tcp = tcp_base(data, l3, l4, body, columns[C_IP_VERSION, i])
    of_ip = ip_base(data, l3) if four else u64(0)
    first_id = be16(data, l3 + u64(4))
    sequence = be32(data, l4 + u64(4))
    flags = be16(data, l4 + u64(12))
    while piece < pieces:
        done = piece * mss
        payload = min(mss, left - done)
        if written == most or used + head + payload > size:
            break
        copy_bytes(out, used, data, at, head)
        total = of_tcp + copy_adding(out, used + head, data, body + done, payload)
        number = swap32((sequence + done) & u64(0xFFFFFFFF))
        word = swap16(flags_of(flags, piece == u64(0), piece + u64(1) == pieces))
        segment = body - l4 + payload  # TCP header and payload
        total += number + word + swap16(segment & u64(0xFFFF)) + swap16(segment >> u64(16))
        st32(out, used + (l4 - at) + u64(4), number)
        st16(out, used + (l4 - at) + u64(12), word)
        st16(out, used + (l4 - at) + u64(16), fold(total) ^ u64(0xFFFF))
        to = used + (l3 - at)
        if four:
            length = swap16(l4 - l3 + segment)
            ident = swap16(id_of(first_id, piece, version))
            st16(out, to + u64(2), length)
            st16(out, to + u64(4), ident)
            st16(out, to + u64(10), fold(of_ip + length + ident) ^ u64(0xFFFF))
        else:
            st16(out, to + u64(4), swap16(l4 - l3 - u64(40) + segment))
        room.start[written] = used
        room.length[written] = head + payload
        room.origin[written] = i
        used += head + payload
        written += u64(1)
        piece += u64(1)
    return piece, used, written


@kernel
def cut(
    data: Any, start: Any, caplen: Any, columns: Any, asked: Any, version: Any, room: Any,
    frame: Any, piece: Any,
) -> Any:  # fmt: skip
    """Write pieces, from piece `piece` of frame `frame` on, until there is no more room.

    data, start, caplen, columns: a padded batch; asked: Plan; room: Room, whose data
    holds at least one frame as it is. Returns the frame and the piece to go on with
    (frame = n: all done), and the pieces written.
    """
    n_frames = u64(start.size)
    most = u64(room.start.size)
    size = u64(room.data.size) - u64(64)
    used = u64(0)
    written = u64(0)
    while frame < n_frames:
        at = u64(start[frame])
        pieces = u64(asked.pieces[frame])
        if pieces == u64(1):
            length = u64(caplen[frame])
            if written == most or used + length > size:
                break
            copy_bytes(room.data, used, data, at, length)
            room.start[written] = used
            room.length[written] = length
            room.origin[written] = frame
            used += length
            written += u64(1)
        else:
            piece, used, written = cut_frame(
                data, at, columns, frame, u64(asked.mss[frame]), pieces, piece, version,
                room, used, written,
            )  # fmt: skip
            if piece < pieces:
                break
            piece = u64(0)
        frame += u64(1)
    return frame, piece, written
