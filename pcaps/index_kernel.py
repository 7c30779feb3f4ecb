"""Finding the frames of a capture: the compiled walks over classic and pcapng files.

A walk fills columns until they are full, the bytes end, or something is not
sound; it never reads behind ``end`` and can be called again where it stopped.
The stop codes say why it came back:

    FULL     the columns are full
    DONE     exactly at the end
    SHORT    the next record or block is longer than the bytes that are there
    SECTION, INTERFACE   a pcapng block that the caller parses
    BAD_...  damage

A record of a classic capture is sound when its captured length is at most
MAX_CAPLEN and it ends inside the bytes. Wire lengths are never trusted for
anything but counting.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, prefetch, rare, swap16, swap32, u64

MAX_CAPLEN = 262144
"""Longest record that capture tools write (libpcap's MAXIMUM_SNAPLEN)."""

FULL, DONE, SHORT, SECTION, INTERFACE = 0, 1, 2, 3, 4
BAD_CAPLEN, BAD_BLOCK_LENGTH, BAD_TRAILER, BAD_INTERFACE, BAD_PACKET = 5, 6, 7, 8, 9
BAD_SECTION, BAD_INTERFACE_BLOCK = 10, 11

I_USABLE, I_SNAPLEN, I_FCS, I_BINARY, I_RESOLUTION, I_OFFSET, I_FRAMES = range(7)
INTERFACE_WORDS = 8
"""Interface table: usable, snaplen, FCS bytes, power of 2 (1) or 10 (0), exponent, offset in s."""

LATEST = 0x7FFFFFFFFFFFFFFF
"""Times that do not fit 63 bits of nanoseconds (the year 2262) are written as this."""

CHAIN = 16


@kernel(forceinline=True, _nrt=False)
def read_record(data: Any, offset: Any, end: Any, header_bytes: Any, swapped: Any) -> Any:
    """Captured length, wire length and the offset of the next record; that is 0 if not sound."""
    if rare(offset + header_bytes > end):
        return u64(0), u64(0), u64(0)
    caplen = ld32(data, offset + u64(8))
    wirelen = ld32(data, offset + u64(12))
    if swapped:
        caplen = swap32(caplen)
        wirelen = swap32(wirelen)
    following = offset + header_bytes + caplen
    if rare((caplen > u64(MAX_CAPLEN)) | (following > end)):
        following = u64(0)
    return caplen, wirelen, following


@kernel(forceinline=True, _nrt=False)
def record_time(data: Any, offset: Any, nanosecond: Any, swapped: Any) -> Any:
    """Time of a classic record in nanoseconds."""
    seconds = ld32(data, offset)
    fraction = ld32(data, offset + u64(4))
    if swapped:
        seconds = swap32(seconds)
        fraction = swap32(fraction)
    if not nanosecond:
        fraction *= u64(1000)
    return seconds * u64(1_000_000_000) + fraction


@kernel
def index_records(
    data: Any,
    offset: Any,
    end: Any,
    header_bytes: Any,
    nanosecond: Any,
    swapped: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    ts_ns: Any,
) -> Any:
    """Fill the columns from a classic capture; return (frames, next offset, stop code)."""
    n = u64(0)
    fetched = offset
    while n < u64(start.size):
        if offset == end:
            return n, offset, u64(DONE)
        kept, length, following = read_record(data, offset, end, header_bytes, swapped)
        if following == u64(0):
            if kept > u64(MAX_CAPLEN):
                return n, offset, u64(BAD_CAPLEN)
            return n, offset, u64(SHORT)
        while fetched < offset + u64(4096):
            fetched += u64(64)
            prefetch(data, fetched)
        start[n] = offset + header_bytes
        caplen[n] = kept
        wirelen[n] = length
        ts_ns[n] = record_time(data, offset, nanosecond, swapped)
        offset = following
        n += u64(1)
    return n, offset, u64(FULL)


@kernel
def find_record(
    data: Any, offset: Any, stop: Any, end: Any, header_bytes: Any, swapped: Any
) -> Any:
    """Guess the first record header at or behind `offset` and before `stop`; `stop` if none.

    A guess is an offset at which a chain of CHAIN sound records begins, none
    empty and each at most four times as long on the wire as captured plus 64 KB,
    or a shorter chain that ends exactly at `end`. Only walking up to it from the
    record before proves it; the caller does.
    """
    while offset < stop:
        at = offset
        links = u64(0)
        while links < u64(CHAIN):
            kept, length, following = read_record(data, at, end, header_bytes, swapped)
            if following == u64(0) or kept < u64(14) or length < kept:
                break
            if length > u64(4) * kept + u64(65536):
                break
            at = following
            links += u64(1)
            if at == end:
                links = u64(CHAIN)
        if links == u64(CHAIN):
            return offset
        offset += u64(1)
    return stop


@kernel(forceinline=True, _nrt=False)
def word32(data: Any, offset: Any, swapped: Any) -> Any:
    """32 bits in the section's byte order."""
    value = ld32(data, offset)
    return swap32(value) if swapped else value


@kernel(forceinline=True, _nrt=False)
def word16(data: Any, offset: Any, swapped: Any) -> Any:
    """16 bits in the section's byte order."""
    value = ld16(data, offset)
    return swap16(value) if swapped else value


@kernel(_nrt=False)
def in_nanoseconds(units: Any, binary: Any, exponent: Any, offset_s: Any) -> Any:
    """Nanoseconds since 1970 of a pcapng timestamp, at most LATEST, at least 0.

    units: uint64 in steps of 10**-exponent or 2**-exponent seconds; offset_s:
    uint64, if_tsoffset as two's complement.
    """
    giga = u64(1_000_000_000)
    if binary:
        shift = exponent if exponent < u64(64) else u64(63)
        seconds = units >> shift
        fraction = units & ((u64(1) << shift) - u64(1))
        if shift > u64(34):
            fraction >>= shift - u64(34)
            shift = u64(34)
        nanoseconds = (fraction * giga) >> shift
    else:
        step = u64(1)
        for _ in range(exponent if exponent < u64(19) else u64(19)):
            step *= u64(10)
        seconds = units // step
        rest = units - seconds * step
        if exponent <= u64(9):
            nanoseconds = rest * (giga // step)
        else:
            nanoseconds = rest // (step // giga)
    seconds += offset_s
    if seconds >> u64(63):  # before 1970
        return u64(0)
    if seconds >= u64(LATEST) // giga:
        return u64(LATEST)
    return seconds * giga + nanoseconds


@kernel(_nrt=False)
def has_comment(data: Any, offset: Any, end: Any, swapped: Any) -> Any:
    """Tell whether the options between two offsets hold an opt_comment (code 1)."""
    while offset + u64(4) <= end:
        code = word16(data, offset, swapped)
        length = word16(data, offset + u64(2), swapped)
        if code == u64(1):
            return True
        if code == u64(0):
            return False
        offset += u64(4) + ((length + u64(3)) & ~u64(3))
    return False


@kernel
def index_blocks(
    data: Any,
    offset: Any,
    end: Any,
    swapped: Any,
    interfaces: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    ts_ns: Any,
    interface: Any,
    commented: Any,
) -> Any:
    """Fill the columns from the packet blocks of a pcapng section.

    interfaces: uint64[n * INTERFACE_WORDS]; frames of unusable ones are counted
    there and skipped. commented: uint64[m, 2], gets (index of the frame in the
    columns, offset of its options) for packets with a comment, as many as fit.
    Returns (frames, comments, next offset, stop code); unknown blocks are skipped.
    """
    n = u64(0)
    notes = u64(0)
    n_interfaces = u64(interfaces.size) // u64(INTERFACE_WORDS)
    while n < u64(start.size):
        if offset == end:
            return n, notes, offset, u64(DONE)
        if offset + u64(12) > end:
            return n, notes, offset, u64(SHORT)
        kind = word32(data, offset, swapped)
        if kind == u64(0x0A0D0D0A):
            return n, notes, offset, u64(SECTION)
        total = word32(data, offset + u64(4), swapped)
        if total < u64(12) or total & u64(3) != u64(0):
            return n, notes, offset, u64(BAD_BLOCK_LENGTH)
        if offset + total > end:
            return n, notes, offset, u64(SHORT)
        if word32(data, offset + total - u64(4), swapped) != total:
            return n, notes, offset, u64(BAD_TRAILER)
        if kind == u64(1):
            return n, notes, offset, u64(INTERFACE)
        if kind == u64(6) or kind == u64(2) or kind == u64(3):
            simple = kind == u64(3)
            if total < (u64(16) if simple else u64(32)):
                return n, notes, offset, u64(BAD_PACKET)
            number = u64(0)
            if kind == u64(6):
                number = word32(data, offset + u64(8), swapped)
            elif kind == u64(2):
                number = word16(data, offset + u64(8), swapped)
            if number >= n_interfaces:
                return n, notes, offset, u64(BAD_INTERFACE)
            row = number * u64(INTERFACE_WORDS)
            when = u64(0)
            if simple:
                length = word32(data, offset + u64(8), swapped)
                kept = length
                snaplen = interfaces[row + u64(I_SNAPLEN)]
                if snaplen != u64(0) and kept > snaplen:
                    kept = snaplen
                at = offset + u64(12)
                room = total - u64(16)
            else:
                units = (word32(data, offset + u64(12), swapped) << u64(32)) | word32(
                    data, offset + u64(16), swapped
                )
                when = in_nanoseconds(
                    units,
                    interfaces[row + u64(I_BINARY)],
                    interfaces[row + u64(I_RESOLUTION)],
                    interfaces[row + u64(I_OFFSET)],
                )
                kept = word32(data, offset + u64(20), swapped)
                length = word32(data, offset + u64(24), swapped)
                at = offset + u64(28)
                room = total - u64(32)
            if kept > room:
                return n, notes, offset, u64(BAD_PACKET)
            interfaces[row + u64(I_FRAMES)] += u64(1)
            if interfaces[row + u64(I_USABLE)] != u64(0):
                if not simple and notes < u64(commented.shape[0]):
                    options = at + ((kept + u64(3)) & ~u64(3))
                    if has_comment(data, options, offset + total - u64(4), swapped):
                        commented[notes, 0] = n
                        commented[notes, 1] = options
                        notes += u64(1)
                fcs = interfaces[row + u64(I_FCS)]
                if fcs != u64(0) and length >= fcs:
                    length -= fcs
                    kept = min(kept, length)
                start[n] = at
                caplen[n] = kept
                wirelen[n] = length
                ts_ns[n] = when
                interface[n] = number
                n += u64(1)
        offset += total
    return n, notes, offset, u64(FULL)
