"""Which stations a capture's frames go to: distinct (VLAN, destination) pairs, counted.

One pass with an open-addressing table that the caller makes larger when it fills.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pcaps.index_kernel import read_record
from pcaps.jit import kernel
from pcaps.memory import ld16, ld64, prefetch, swap16, u64
from vswitch.words_kernel import HASH_FACTOR, NOT_FOUND

SLOT_WORDS = 4
"""Key, frames, bytes on the wire, number of the first frame."""

A_USED, A_LARGEST, A_FRAMES, A_BAD_VID = range(4)
"""Accumulator: slots used, longest frame without its tag, frames seen, frames of VID 4095."""


@kernel(forceinline=True, _nrt=False)
def station_key(data: Any, start: Any, caplen: Any, tpid0: Any, tpid1: Any, tpid2: Any) -> Any:
    """Key (VLAN << 48 | MAC) of a frame's unicast destination, NOT_FOUND where it has none."""
    ether_type = ld16(data, start + u64(12))
    tagged = u64((ether_type == tpid0) | (ether_type == tpid1) | (ether_type == tpid2))
    destination = ld64(data, start) & u64(0xFFFFFFFFFFFF)
    vid = swap16(ld16(data, start + u64(14))) & u64(0xFFF) & (u64(0) - tagged)
    if caplen < u64(14) + u64(4) * tagged or destination & u64(1) or vid == u64(4095):
        return u64(NOT_FOUND)
    return (vid << u64(48)) | destination


@kernel(forceinline=True, _nrt=False)
def tally_station(table: Any, shift: Any, sums: Any, key: Any, wirelen: Any, number: Any) -> Any:
    """Count one frame for its station; the table must have a free slot."""
    mask = (u64(1) << (u64(64) - shift)) - u64(1)
    slot = (key * u64(HASH_FACTOR)) >> shift
    while True:
        at = slot * u64(SLOT_WORDS)
        found = table[at]
        if found == key:
            table[at + u64(1)] += u64(1)
            table[at + u64(2)] += wirelen
            return
        if found == u64(NOT_FOUND):
            table[at] = key
            table[at + u64(1)] = u64(1)
            table[at + u64(2)] = wirelen
            table[at + u64(3)] = number
            sums[A_USED] += u64(1)
            return
        slot = (slot + u64(1)) & mask


@kernel
def stations_of_batch(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    tpid0: Any,
    tpid1: Any,
    tpid2: Any,
    table: Any,
    shift: Any,
    sums: Any,
    first: Any,
) -> Any:
    """Count the stations of a batch from frame `first` on; return the next frame.

    Stops before the end when the table is half full: the caller enlarges it.
    """
    limit = u64(1) << (u64(63) - shift)
    i = first
    while i < u64(start.size) and sums[A_USED] < limit:
        length = u64(wirelen[i])
        key = station_key(data, u64(start[i]), u64(caplen[i]), tpid0, tpid1, tpid2)
        if key != u64(NOT_FOUND):
            tally_station(table, shift, sums, key, length, sums[A_FRAMES])
        sums[A_LARGEST] = max(sums[A_LARGEST], length)
        sums[A_FRAMES] += u64(1)
        i += u64(1)
    return i


@cache
def stations_of_records(swapped: bool) -> Any:
    """Return the same as :func:`stations_of_batch`, over the records of a mapped capture.

    Parameters
    ----------
    swapped : bool
        Whether the file's byte order is big-endian.

    Returns
    -------
    callable
        ``(data, offset, end, header_bytes, tpid0, tpid1, tpid2, table, shift,
        sums) -> offset``: stops when the table is half full, at ``end``, or
        before an unsound record.
    """

    @kernel
    def records(data, offset, end, header_bytes, tpid0, tpid1, tpid2, table, shift, sums):  # type: ignore[no-untyped-def]
        limit = u64(1) << (u64(63) - shift)
        fetched = offset
        while sums[A_USED] < limit:
            kept, length, following = read_record(data, offset, end, header_bytes, swapped)
            if following == u64(0):
                break
            while fetched < offset + u64(4096):
                fetched += u64(64)
                prefetch(data, fetched)
            key = station_key(data, offset + header_bytes, kept, tpid0, tpid1, tpid2)
            if key != u64(NOT_FOUND):
                tally_station(table, shift, sums, key, length, sums[A_FRAMES])
            sums[A_LARGEST] = max(sums[A_LARGEST], length)
            sums[A_FRAMES] += u64(1)
            offset = following
        return offset

    return records
