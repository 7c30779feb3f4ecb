"""The loops over frames: over a mapped classic capture, and over a batch.

Both call the one decision function, count, and write one decision word a frame.
Each loop exists once per *mode*, because a mode tested at run time would cost
every frame. Frames are decided in order; a loop can stop after any frame and be
called again.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nic.filters_kernel import PLACE_DROP, place
from pcaps.index_kernel import read_record, record_time
from pcaps.jit import kernel
from pcaps.memory import ld16, ld64, prefetch, rare, swap16, u64
from vswitch.copies_kernel import is_mirrored, settle
from vswitch.decide_kernel import ADDRESS_BITS, R_OVER_MTU, decide
from vswitch.image_kernel import (
    F_UPLINK,
    H_FDB,
    H_FDB_SHIFT,
    H_MIRROR_PORT,
    H_QUEUES,
    H_TPID0,
    H_TPID1,
    H_TPID2,
    NO_PORT,
    NO_TAG,
    P_FLAGS,
    P_ROW,
    port_field,
)
from vswitch.learning_kernel import decide_learning
from vswitch.send_kernel import decide_as_cut
from vswitch.stats_kernel import (
    S_CAPTURED,
    S_FRAMES,
    S_LOCAL_SOURCE,
    S_MIRRORED,
    S_PORTS,
    S_WIRE,
    STAT_WORDS,
    count,
)
from vswitch.transport_kernel import T_OTHER, load_of
from vswitch.words_kernel import FLOODED, HASH_FACTOR, LOCAL_SOURCE, NOT_FOUND, VLAN_BITS, kind_of

SOFTWARE, VMQ, LEARNING = 0, 1, 2

PREFETCH_NONE, PREFETCH_LINES, PREFETCH_STRIDE, PREFETCH_TABLE = 0, 1, 2, 3

AHEAD = 4096
"""Bytes that small records are prefetched ahead of the walk."""

FEW = 16
"""Records between asking memory for a place in a large table and using it."""


@kernel(forceinline=True, _nrt=False)
def place_by_adapter(
    data: Any, start: Any, caplen: Any, wirelen: Any, image: Any, filters: Any
) -> Any:
    """Ask the adapter's filters for a frame from the wire: its answer as in ``nic.filters_kernel``.

    A frame that is cut before the end of its header or tag goes to the default
    queue, where the switch names the reason.
    """
    ether_type = ld16(data, start + u64(12))
    tagged = u64(
        (ether_type == image[H_TPID0])
        | (ether_type == image[H_TPID1])
        | (ether_type == image[H_TPID2])
    )
    if rare(caplen < u64(14) + u64(4) * tagged):
        return u64(0)
    vid = swap16(ld16(data, start + u64(14))) & u64(0xFFF) & (u64(0) - tagged)
    destination = ld64(data, start) & u64(ADDRESS_BITS)
    return place(filters, destination, vid, wirelen - u64(4) * tagged)


@kernel(forceinline=True, _nrt=False)
def through_adapter(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_port: Any,
    image: Any,
    filters: Any,
    learned: Any,
) -> Any:
    """Decide a frame on a host with VM queues: the adapter first, then the switch."""
    placed = u64(NOT_FOUND)
    if port_field(image, in_port, P_FLAGS) & u64(F_UPLINK):
        queue = place_by_adapter(data, start, caplen, wirelen, image, filters)
        if queue != u64(0):
            if rare(queue & u64(PLACE_DROP) != u64(0)):
                return queue & u64(0xFF)
            placed = image[image[H_QUEUES] + queue]
    return decide(data, start, caplen, wirelen, in_port, placed, image, learned)


@kernel(forceinline=True, _nrt=False)
def note_rare(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_port: Any,
    word: Any,
    image: Any,
    stats: Any,
) -> Any:
    """Count what few frames are: from a local source, mirrored."""
    if rare(word & u64(LOCAL_SOURCE) != u64(0)):
        stats[S_LOCAL_SOURCE] += u64(1)
    if rare(image[H_MIRROR_PORT] != u64(NO_PORT)):
        if is_mirrored(data, start, caplen, wirelen, in_port, word, image):
            stats[S_MIRRORED] += u64(1)


@kernel(forceinline=True, _nrt=False)
def prefetch_slot(data: Any, start: Any, in_port: Any, image: Any) -> None:
    """Fetch the slot of the forwarding table that a frame from `in_port` will ask for."""
    ether_type = ld16(data, start + u64(12))
    tagged = u64(
        (ether_type == image[H_TPID0])
        | (ether_type == image[H_TPID1])
        | (ether_type == image[H_TPID2])
    )
    mask = u64(0) - tagged
    vid = swap16(ld16(data, start + u64(14))) & u64(0xFFF) & mask
    entry = image[port_field(image, in_port, P_ROW) + (vid | (u64(NO_TAG) & ~mask))]
    key = ((entry & u64(VLAN_BITS)) << u64(24)) | (ld64(data, start) & u64(ADDRESS_BITS))
    slot = (key * u64(HASH_FACTOR)) >> image[H_FDB_SHIFT]
    prefetch(image, (image[H_FDB] + u64(2) * slot) << u64(3))


@kernel(forceinline=True, _nrt=False)
def prefetch_counters(stats: Any, word: Any) -> None:
    """Fetch the counters of the port that a frame goes to."""
    prefetch(stats, (u64(S_PORTS) + (word & u64(0xFFFF)) * u64(STAT_WORDS)) << u64(3))


@kernel(forceinline=True, _nrt=False)
def count_later(
    data: Any,
    offset: Any,
    end: Any,
    header_bytes: Any,
    swapped: Any,
    stats: Any,
    words: Any,
    i: Any,
    number: Any,
) -> Any:
    """Count the frame of a record that was decided before; return the offset of the next record."""
    kept, length, following = read_record(data, offset, end, header_bytes, swapped)
    count(stats, words[i], length, kept, number + i)
    return following


def _named(function: Any, *variant: object) -> Any:
    """Name a variant apart, so that each has a cache index of its own."""
    function.__name__ += "_" + "_".join(str(part) for part in variant)
    function.__qualname__ = function.__name__
    return kernel(function)


@cache
def batch_loop(mode: int) -> Any:
    """Return the loop over a batch of frames.

    Parameters
    ----------
    mode : int
        SOFTWARE, VMQ or LEARNING.

    Returns
    -------
    callable
        ``(data, start, caplen, wirelen, ts_ns, in_ports, image, filters,
        learned, stats, words, number)``: columns as in ``pcaps.frames.Frames``;
        in_ports ``uint16[n]``; words ``uint64[n]``, written; number uint64 of
        the first frame, from 1.
    """

    def batch(  # type: ignore[no-untyped-def]
        data, start, caplen, wirelen, ts_ns, in_ports, image, filters, learned, stats, words, number
    ):
        wire = u64(0)
        captured = u64(0)
        for n in range(words.size):
            i = u64(n)
            at = u64(start[i])
            kept = u64(caplen[i])
            length = u64(wirelen[i])
            in_port = u64(in_ports[i])
            if mode == LEARNING:
                word = decide_learning(
                    data, at, kept, length, in_port, u64(ts_ns[i]), image, learned
                )
            elif mode == VMQ:
                word = through_adapter(data, at, kept, length, in_port, image, filters, learned)
            else:
                word = decide(data, at, kept, length, in_port, u64(NOT_FOUND), image, learned)
            if mode != LEARNING and rare(word == u64(R_OVER_MTU)):
                word = decide_as_cut(data, at, kept, in_port, image, learned)
            if rare(kind_of(word) == u64(FLOODED)):
                word = settle(data, at, kept, length, in_port, word, image, stats)
            note_rare(data, at, kept, length, in_port, word, image, stats)
            count(stats, word, length, kept, number + i)
            words[i] = word
            wire += length
            captured += kept
        stats[S_FRAMES] += u64(words.size)
        stats[S_WIRE] += wire
        stats[S_CAPTURED] += captured

    return _named(batch, mode)


@cache
def walk_loop(mode: int, swapped: bool, columns: bool, ahead: int, loads: bool = False) -> Any:
    """Return the fused loop over the records of a mapped classic capture.

    Reading the record headers and deciding in one pass costs about half of two
    passes over 64-byte frames that lie in memory. The walk stops before the
    first record that is not sound (:func:`pcaps.index_kernel.record_is_sound`),
    so that the reader's own, slower code can say what is wrong with it.

    Parameters
    ----------
    mode : int
        SOFTWARE, VMQ or LEARNING.
    swapped : bool
        Whether the file's byte order is big-endian.
    columns : bool
        Whether to write the frame columns too, as writers of captures need them.
    ahead : int
        PREFETCH_LINES; PREFETCH_STRIDE; PREFETCH_TABLE: lines, and what a large
        forwarding table and its counters make each frame wait for (65 000 ports:
        38 ns a frame instead of 108); PREFETCH_NONE.
    loads : bool
        Whether to write load words too (:mod:`vswitch.transport_kernel`), as a
        replay in time needs them.

    Returns
    -------
    callable
        ``(data, offset, stop, end, header_bytes, nanosecond, in_port, image, filters,
        learned, stats, words, start, caplen, wirelen, ts_ns, loads, number) -> (frames,
        offset)``: starts at the record header at ``offset``, stops when `words`
        is full, at the first header at or behind ``stop``, or before an unsound
        record; no record may reach behind ``end``.
    """

    def walk(  # type: ignore[no-untyped-def]
        data, offset, stop, end, header_bytes, nanosecond, in_port, image, filters, learned, stats,
        words, start, caplen, wirelen, ts_ns, load_words, number,
    ):  # fmt: skip
        i = u64(0)
        wire = u64(0)
        captured = u64(0)
        fetched = offset
        room = u64(words.size)
        look = offset
        looked = u64(0)
        last = offset
        while i < room and offset < stop:
            kept, length, following = read_record(data, offset, end, header_bytes, swapped)
            if rare(following == u64(0)):
                break
            if ahead == PREFETCH_STRIDE:
                # a record header and the frame's first 18 bytes often lie in two lines
                guess = offset + u64(32) * (following - offset)
                prefetch(data, guess)
                prefetch(data, guess + u64(40))
            elif ahead != PREFETCH_NONE:
                wanted = offset + u64(AHEAD)
                while fetched < wanted:
                    fetched += u64(64)
                    prefetch(data, fetched)
            if ahead == PREFETCH_TABLE:
                while looked < i + u64(FEW):
                    _, _, beyond = read_record(data, look, end, header_bytes, swapped)
                    if rare(beyond == u64(0)):
                        break
                    prefetch_slot(data, look + header_bytes, in_port, image)
                    look = beyond
                    looked += u64(1)
            at = offset + header_bytes
            if mode == LEARNING or columns:
                when = record_time(data, offset, nanosecond, swapped)
            if mode == LEARNING:
                word = decide_learning(data, at, kept, length, in_port, when, image, learned)
            elif mode == VMQ:
                word = through_adapter(data, at, kept, length, in_port, image, filters, learned)
            else:
                word = decide(data, at, kept, length, in_port, u64(NOT_FOUND), image, learned)
            if mode != LEARNING and rare(word == u64(R_OVER_MTU)):
                word = decide_as_cut(data, at, kept, in_port, image, learned)
            if rare(kind_of(word) == u64(FLOODED)):
                word = settle(data, at, kept, length, in_port, word, image, stats)
            note_rare(data, at, kept, length, in_port, word, image, stats)
            words[i] = word
            if ahead == PREFETCH_TABLE:
                prefetch_counters(stats, word)
                if i >= u64(FEW):
                    last = count_later(
                        data, last, end, header_bytes, swapped, stats, words, i - u64(FEW), number
                    )
            else:
                count(stats, word, length, kept, number + i)
            if columns:
                start[i] = at
                caplen[i] = kept
                wirelen[i] = length
                ts_ns[i] = when
            if loads:
                load_words[i] = u64(T_OTHER)
                if kept >= u64(14):
                    load_words[i] = load_of(data, at, kept, length, image)
            wire += length
            captured += kept
            offset = following
            i += u64(1)
        if ahead == PREFETCH_TABLE:
            for waiting in range(i - min(i, u64(FEW)), i):
                last = count_later(
                    data, last, end, header_bytes, swapped, stats, words, u64(waiting), number
                )
        stats[S_FRAMES] += i
        stats[S_WIRE] += wire
        stats[S_CAPTURED] += captured
        return i, offset

    return _named(walk, mode, int(swapped), int(columns), ahead, int(loads))
