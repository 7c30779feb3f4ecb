"""Receive segment coalescing, compiled: segments of one connection joined to one.

Two steps: :func:`plan` goes through the frames in order and says which belong
together, reading every payload once for its checksum; :func:`join` writes the
units. A *unit* is the segments that become one; it stands where its last one stood.

A direct-mapped table has the unit that is open for a connection: a row of eight
words, the ``S_`` constants, which is one cache line.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pcaps.checksums_kernel import add_bytes, fold, ip_header_sum
from pcaps.headers_kernel import (
    ABSENT,
    C_ACKNOWLEDGEMENT,
    C_FLAGS,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_PAYLOAD,
    C_PAYLOAD_BYTES,
    C_PROTOCOL,
    C_SEQUENCE,
    C_TAGS,
    C_WINDOW,
    TCP,
    be16,
    be32,
)
from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, ld64, prefetch, st16, st32, swap16, u64
from pcaps.write_kernel import copy_bytes

(
    MERGED, BATCH_END, FLAGS, OPTIONS, IP_OPTIONS, CHECKSUM, FRAGMENT, TOO_LONG, ECN, GAP,
    PURE_ACK, DUPLICATE_ACK, OLD_ACK, TIMESTAMP, HEADER, RESOURCES, NOT_CAPTURED,
) = range(17)  # fmt: skip
N_REASONS = 17
"""What ended a unit. MERGED: nothing did, the segment joined it."""

S_BATCH, S_FIRST, S_LAST, S_NEXT, S_ACK, S_WINDOW, S_LENGTH, S_TIME = range(8)
S_WORDS = 8

NONE = 0xFFFFFFFF
LONGEST = 65535
PSH, ACK, ECE, CWR = 8, 16, 64, 128
HASH_FACTOR = 0x9E3779B97F4A7C15

NO_OPTION, OTHER_OPTION = 0, 1

AHEAD = 4
"""Frames whose bytes are fetched ahead (cold: 220 ns a frame without, 140 with)."""


class Units(NamedTuple):
    """Which of n frames belong together.

    Of each frame: first uint32[n], place of its unit's first one; following uint32[n],
    of the next one, or NONE; sum uint16[n], folded sum of its payload. Of each unit, at
    the place of its first frame: payload uint32[n]; segments uint32[n], those with data;
    push uint8[n]; ttl uint8[n], the smallest.
    """

    first: npt.NDArray[np.uint32]
    following: npt.NDArray[np.uint32]
    sum: npt.NDArray[np.uint16]
    payload: npt.NDArray[np.uint32]
    segments: npt.NDArray[np.uint32]
    push: npt.NDArray[np.uint8]
    ttl: npt.NDArray[np.uint8]


class Joined(NamedTuple):
    """Where units are written: bytes, and columns with an entry for each.

    data: uint8[], 64 bytes longer than is used; start: int64[m]; length: uint32[m];
    first, last: uint32[m], places of the first and last frame; delta: uint32[m], what
    the timestamp option grew by.
    """

    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.uint32]
    first: npt.NDArray[np.uint32]
    last: npt.NDArray[np.uint32]
    delta: npt.NDArray[np.uint32]


@kernel
def batch_ends(ts_ns: Any, most: Any, hold_ns: Any) -> Any:
    """Return where the last batch begins: int64 place.

    ts_ns: int64[n]. A batch is what one interrupt hands up: at most `most` frames, none
    later than `hold_ns` behind its first.
    """
    begin = np.int64(0)
    for i in range(ts_ns.size):
        if i - begin >= most or ts_ns[i] - ts_ns[begin] > hold_ns:
            begin = np.int64(i)
    return begin


@kernel(forceinline=True, _nrt=False)
def slot_of(data: Any, l3: Any, l4: Any, version: Any, mask: Any) -> Any:
    """Row of the table that a connection's unit may be in."""
    mixed = ld32(data, l4) * u64(HASH_FACTOR)
    if version == u64(4):
        mixed ^= ld64(data, l3 + u64(12))
    else:
        for part in range(4):
            mixed = (mixed ^ ld64(data, l3 + u64(8) + u64(8) * u64(part))) * u64(HASH_FACTOR)
    return (mixed * u64(HASH_FACTOR) >> u64(32)) & mask


@kernel(forceinline=True, _nrt=False)
def same_connection(data: Any, columns: Any, i: Any, j: Any) -> Any:
    """Tell whether two TCP frames have the same addresses and ports."""
    if columns[C_IP_VERSION, i] != columns[C_IP_VERSION, j]:
        return False
    if ld32(data, columns[C_L4, i]) != ld32(data, columns[C_L4, j]):
        return False
    a = columns[C_L3, i]
    b = columns[C_L3, j]
    if columns[C_IP_VERSION, i] == u64(4):
        return ld64(data, a + u64(12)) == ld64(data, b + u64(12))
    for part in range(4):
        offset = u64(8) + u64(8) * u64(part)
        if ld64(data, a + offset) != ld64(data, b + offset):
            return False
    return True


@kernel(_nrt=False)
def timestamp_place(data: Any, l4: Any, payload: Any) -> Any:
    """Offset from the TCP header of the timestamp, NO_OPTION, or OTHER_OPTION.

    Rule: exception-conditions-that-terminate-coalescing, 4: no option but the timestamp.
    """
    at = l4 + u64(20)
    if at == payload:
        return u64(NO_OPTION)
    found = u64(NO_OPTION)
    while at < payload:
        kind = u64(data[at])
        if kind == u64(1):
            at += u64(1)
        elif kind == u64(0):
            break
        elif (
            kind == u64(8) and found == u64(NO_OPTION)
            and at + u64(10) <= payload and data[at + u64(1)] == 10
        ):  # fmt: skip
            found = at + u64(2) - l4
            at += u64(10)
        else:
            return u64(OTHER_OPTION)
    return found


@kernel(forceinline=True, _nrt=False)
def exception(data: Any, at: Any, end: Any, columns: Any, i: Any, units: Any) -> Any:
    """Return why a TCP segment can be joined with no other, or MERGED; notes its sum.

    Rules: exception-conditions-that-terminate-coalescing, numbers 2 to 6.
    """
    if columns[C_FRAGMENT, i] != u64(0):
        return u64(FRAGMENT)
    l3 = columns[C_L3, i]
    l4 = columns[C_L4, i]
    body = columns[C_PAYLOAD, i]
    last = columns[C_L3_END, i]
    if body == u64(ABSENT) or last > end:
        return u64(NOT_CAPTURED)
    if columns[C_FLAGS, i] & ~u64(PSH | ACK | ECE | CWR) or not columns[C_FLAGS, i] & u64(ACK):
        return u64(FLAGS)
    four = columns[C_IP_VERSION, i] == u64(4)
    if l4 != l3 + (u64(20) if four else u64(40)):
        return u64(IP_OPTIONS)
    # behind LLC and SNAP, the frame's own length would have to change
    if l3 != at + u64(14) + u64(4) * columns[C_TAGS, i]:
        return u64(HEADER)
    if timestamp_place(data, l4, body) == u64(OTHER_OPTION):
        return u64(OPTIONS)
    if last - l3 > u64(LONGEST):
        return u64(TOO_LONG)
    if four and fold(ip_header_sum(data, l3, u64(20))) != u64(0xFFFF):
        return u64(CHECKSUM)
    of_payload = fold(add_bytes(data, body, last - body, u64(0)))
    units.sum[i] = of_payload
    total = pseudo_sum(data, l3, four, last - l4) + of_payload
    total += ld32(data, l4) + ld32(data, l4 + u64(4)) + ld32(data, l4 + u64(8))
    total += ld32(data, l4 + u64(12)) + ld32(data, l4 + u64(16))
    if body != l4 + u64(20):
        total = add_bytes(data, l4 + u64(20), body - (l4 + u64(20)), total)
    if fold(total) != u64(0xFFFF):
        return u64(CHECKSUM)
    return u64(MERGED)


@kernel(forceinline=True, _nrt=False)
def pseudo_sum(data: Any, l3: Any, four: Any, length: Any) -> Any:
    """Running sum of the pseudo-header of TCP."""
    total = swap16(length & u64(0xFFFF)) + swap16(length >> u64(16)) + swap16(u64(TCP))
    if four:
        return total + ld32(data, l3 + u64(12)) + ld32(data, l3 + u64(16))
    return add_bytes(data, l3 + u64(8), u64(32), total)


@kernel(forceinline=True, _nrt=False)
def behind(number: Any, other: Any) -> Any:
    """Tell whether a 32-bit number is behind another, by the shorter way round."""
    return ((number - other) & u64(0xFFFFFFFF)) > u64(0x7FFFFFFF)


@kernel(forceinline=True, _nrt=False)
def same_header(data: Any, start: Any, interface: Any, columns: Any, i: Any, f: Any) -> Any:
    """Tell what else must be the same in all segments of a unit: MERGED, HEADER or ECN.

    Rule: updating-the-ip-headers-for-coalesced-segments.
    """
    a = u64(start[i])
    b = u64(start[f])
    size = columns[C_L3, i] - a
    if size != columns[C_L3, f] - b or interface[i] != interface[f]:
        return u64(HEADER)
    if ld64(data, a) != ld64(data, b) or ld64(data, a + u64(6)) != ld64(data, b + u64(6)):
        return u64(HEADER)
    for offset in range(u64(14), size, u64(4)):
        if ld32(data, a + offset) != ld32(data, b + offset):
            return u64(HEADER)
    a += size
    b += size
    if columns[C_IP_VERSION, i] == u64(4):
        differ = u64(data[a + u64(1)]) ^ u64(data[b + u64(1)])
        if differ & u64(0xFC) or ld16(data, a + u64(6)) != ld16(data, b + u64(6)):
            return u64(HEADER)
        ecn = differ & u64(3)
    else:
        differ = be32(data, a) ^ be32(data, b)
        if differ & ~u64(3 << 20):
            return u64(HEADER)
        ecn = differ
    # Rule: exception-conditions-that-terminate-coalescing, 8
    if ecn | ((columns[C_FLAGS, i] ^ columns[C_FLAGS, f]) & u64(ECE | CWR)):
        return u64(ECN)
    return u64(MERGED)


@kernel(forceinline=True, _nrt=False)
def against_unit(
    data: Any, start: Any, interface: Any, columns: Any, i: Any, row: Any, table: Any
) -> Any:  # fmt: skip
    """Tell whether a segment joins the unit of a row: MERGED, or what ends the unit.

    Rules: rules-for-coalescing-tcp-ip-packets.
    """
    f = table[row, S_FIRST]
    payload = columns[C_PAYLOAD_BYTES, i]
    sequence = columns[C_SEQUENCE, i]
    ack = columns[C_ACKNOWLEDGEMENT, i]
    if payload == u64(0):
        # a window update joins; every other acknowledgment goes up alone
        if sequence != table[row, S_NEXT] or ack != table[row, S_ACK]:
            return u64(PURE_ACK)
        if columns[C_WINDOW, i] == table[row, S_WINDOW]:
            return u64(DUPLICATE_ACK)
    why = same_header(data, start, interface, columns, i, f)
    if why != u64(MERGED):
        return why
    l4 = columns[C_L4, i]
    place = timestamp_place(data, l4, columns[C_PAYLOAD, i])
    if place != timestamp_place(data, columns[C_L4, f], columns[C_PAYLOAD, f]):
        return u64(OPTIONS)
    if columns[C_PAYLOAD, i] - l4 != columns[C_PAYLOAD, f] - columns[C_L4, f]:
        return u64(OPTIONS)
    if place != u64(NO_OPTION) and behind(be32(data, l4 + place), table[row, S_TIME]):
        return u64(TIMESTAMP)
    if sequence != table[row, S_NEXT]:
        return u64(GAP)
    if behind(ack, table[row, S_ACK]):
        return u64(OLD_ACK)
    if table[row, S_LENGTH] + payload > u64(LONGEST):
        return u64(TOO_LONG)
    return u64(MERGED)


@kernel(forceinline=True, _nrt=False)
def ttl_of(data: Any, columns: Any, i: Any) -> Any:
    """TTL or hop limit of frame `i`."""
    offset = u64(8) if columns[C_IP_VERSION, i] == u64(4) else u64(7)
    return data[columns[C_L3, i] + offset]


@kernel(forceinline=True, _nrt=False)
def note_last(data: Any, columns: Any, i: Any, row: Any, table: Any) -> None:
    """Write into a row what its unit's last segment tells."""
    l4 = columns[C_L4, i]
    payload = columns[C_PAYLOAD_BYTES, i]
    table[row, S_LAST] = i
    table[row, S_NEXT] = (columns[C_SEQUENCE, i] + payload) & u64(0xFFFFFFFF)
    table[row, S_ACK] = columns[C_ACKNOWLEDGEMENT, i]
    table[row, S_WINDOW] = columns[C_WINDOW, i]
    place = timestamp_place(data, l4, columns[C_PAYLOAD, i])
    if place != u64(NO_OPTION):
        table[row, S_TIME] = be32(data, l4 + place)


@kernel
def plan(
    data: Any, start: Any, caplen: Any, interface: Any, ts_ns: Any, columns: Any, most: Any,
    hold_ns: Any, wanted: Any, number: Any, table: Any, units: Any, counts: Any,
) -> Any:  # fmt: skip
    """Fill Units for a padded batch; the first frame begins a batch of the adapter.

    wanted: bool[n], frames that may be joined (the others count in their batch); most, hold_ns: as in :func:`batch_ends`; number: uint64 of that batch, higher than any
    in `table`, uint64[a power of two, S_WORDS]; counts: int64[N_REASONS], to which the
    ends of units are added. Returns the number of the next batch.
    """
    mask = u64(table.shape[0]) - u64(1)
    begin = np.int64(0)
    opened = np.int64(0)
    ended = np.int64(0)
    for n in range(start.size):
        i = u64(n)
        if n + AHEAD < start.size:
            at = u64(start[n + AHEAD])
            for line in range(u64(0), u64(caplen[n + AHEAD]), u64(64)):
                prefetch(data, at + line)
        units.first[i] = i
        units.following[i] = NONE
        units.segments[i] = 0
        if n - begin >= most or ts_ns[n] - ts_ns[begin] > hold_ns:
            begin = np.int64(n)
            number += u64(1)
        if not wanted[i] or columns[C_PROTOCOL, i] != u64(TCP) or columns[C_L4, i] == u64(ABSENT):
            continue
        at = u64(start[i])
        end = at + u64(caplen[i])
        l4 = columns[C_L4, i]
        if l4 + u64(4) > end:
            continue
        why = exception(data, at, end, columns, i, units)
        row = slot_of(data, columns[C_L3, i], l4, columns[C_IP_VERSION, i], mask)
        open_row = table[row, S_BATCH] == number
        mine = open_row and same_connection(data, columns, i, table[row, S_FIRST])
        if why != u64(MERGED):
            if mine:
                table[row, S_BATCH] = u64(0)
                counts[why] += 1
                ended += 1
            continue
        payload = columns[C_PAYLOAD_BYTES, i]
        if mine:
            why = against_unit(data, start, interface, columns, i, row, table)
            if why == u64(MERGED):
                f = table[row, S_FIRST]
                units.first[i] = f
                units.following[table[row, S_LAST]] = i
                units.payload[f] += np.uint32(payload)
                units.segments[f] += np.uint32(payload != u64(0))
                units.push[f] |= np.uint8(columns[C_FLAGS, i] & u64(PSH))
                units.ttl[f] = min(units.ttl[f], ttl_of(data, columns, i))
                table[row, S_LENGTH] += payload
                note_last(data, columns, i, row, table)
                continue
            table[row, S_BATCH] = u64(0)
            counts[why] += 1
            ended += 1
        if payload == u64(0):
            continue
        if open_row and not mine:
            counts[RESOURCES] += 1
            ended += 1
        table[row, S_BATCH] = number
        table[row, S_FIRST] = i
        table[row, S_LENGTH] = columns[C_L3_END, i] - columns[C_L3, i]
        note_last(data, columns, i, row, table)
        units.payload[i] = payload
        units.segments[i] = 1
        units.push[i] = columns[C_FLAGS, i] & u64(PSH)
        units.ttl[i] = ttl_of(data, columns, i)
        opened += 1
    counts[BATCH_END] += opened - ended
    return number + u64(1)


@kernel(forceinline=True, _nrt=False)
def put_unit(
    data: Any, start: Any, columns: Any, units: Any, f: Any, last: Any, out: Any, to: Any
) -> Any:  # fmt: skip
    """Write the unit of frame `f` at `to`; returns its length.

    Rules: updating-the-ip-headers-for-coalesced-segments; rules-for-coalescing-tcp-ip-
    packets: acknowledgment, window and timestamp of the last segment, PSH of any.
    """
    at = u64(start[f])
    l3 = columns[C_L3, f]
    l4 = columns[C_L4, f]
    head = columns[C_PAYLOAD, f] - at
    copy_bytes(out, to, data, at, head)
    done = to + head
    total = u64(0)
    i = f
    while True:
        length = columns[C_PAYLOAD_BYTES, i]
        copy_bytes(out, done, data, columns[C_PAYLOAD, i], length)
        of_payload = u64(units.sum[i])
        # Rule: RFC 1071 section 2 (B): what begins at an odd place is added swapped
        total += swap16(of_payload) if (done - to - head) & u64(1) else of_payload
        done += length
        if i == last:
            break
        i = u64(units.following[i])

    end = columns[C_L4, last]
    segment = columns[C_PAYLOAD, f] - l4 + u64(units.payload[f])
    word = swap16(be16(data, l4 + u64(12)) | u64(units.push[f]))
    options = head - (l4 - at) - u64(20)
    total += ld32(data, l4) + ld32(data, l4 + u64(4)) + ld32(data, end + u64(8)) + word
    total += ld16(data, end + u64(14)) + ld16(data, l4 + u64(18))
    total = add_bytes(data, end + u64(20), options, total)
    four = columns[C_IP_VERSION, f] == u64(4)
    total += pseudo_sum(data, l3, four, segment)
    tcp = to + (l4 - at)
    st32(out, tcp + u64(8), ld32(data, end + u64(8)))
    st16(out, tcp + u64(12), word)
    st16(out, tcp + u64(14), ld16(data, end + u64(14)))
    st16(out, tcp + u64(16), fold(total) ^ u64(0xFFFF))
    for offset in range(u64(20), u64(20) + options, u64(4)):
        st32(out, tcp + offset, ld32(data, end + offset))

    ip = to + (l3 - at)
    if four:
        size = swap16(u64(20) + segment)
        life = u64(units.ttl[f]) | (u64(TCP) << u64(8))
        total = ld32(data, l3 + u64(12)) + ld32(data, l3 + u64(16)) + ld32(data, l3 + u64(4))
        total += ld16(data, l3) + size + life
        st16(out, ip + u64(2), size)
        st16(out, ip + u64(8), life)
        st16(out, ip + u64(10), fold(total) ^ u64(0xFFFF))
    else:
        st16(out, ip + u64(4), swap16(segment))
        out[ip + u64(7)] = units.ttl[f]
    return done - to


@kernel
def join(data: Any, start: Any, caplen: Any, columns: Any, units: Any, joined: Any) -> Any:
    """Write all units, and the frames that are in none; returns how many there are.

    joined: Joined, with room for all frames and their bytes.
    """
    used = u64(0)
    written = u64(0)
    for n in range(start.size):
        i = u64(n)
        if units.following[i] != NONE:
            continue
        f = u64(units.first[i])
        delta = u64(0)
        if f == i:
            length = u64(caplen[i])
            copy_bytes(joined.data, used, data, u64(start[i]), length)
        else:
            length = put_unit(data, start, columns, units, f, i, joined.data, used)
            place = timestamp_place(data, columns[C_L4, i], columns[C_PAYLOAD, i])
            if place != u64(NO_OPTION):
                delta = be32(data, columns[C_L4, i] + place)
                delta = (delta - be32(data, columns[C_L4, f] + place)) & u64(0xFFFFFFFF)
        joined.start[written] = used
        joined.length[written] = length
        joined.first[written] = f
        joined.last[written] = i
        joined.delta[written] = delta
        used += length
        written += u64(1)
    return written
