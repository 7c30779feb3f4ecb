"""Capture records built in memory: copy, tag off, tag on, record header, options.

Each kernel fills a staging buffer from a list of copies, stops before a record
that does not fit, and is called again behind the flush: it returns
``(cursor, filled, state)``. Nothing is written behind the staging area but the
over-copies, for which the buffer is ``SLACK`` bytes longer.

:mod:`pcaps.writer_reference` is the plain twin and specification.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pcaps.jit import kernel
from pcaps.memory import copy, copy32, prefetch, st16, st32, st64, u64

SLACK = 64
"""Bytes that a staging buffer must be longer than its capacity."""

WIDE_COPY_LIMIT = 2048
"""Up to here 32-byte steps beat memcpy (cold, ns a frame: IMIX 40 against 46, 1518 B 120 against 175)."""

PREFETCH_AHEAD = 4096
PREFETCH_LIMIT = 700
"""Lines are fetched ahead for frames up to this length, and for a longer one behind a frame of
another length. The processor's own prefetch does as well on runs of long frames, and better
without help (cold, ns a frame: IMIX 46 without, 32 with; 1518 B 101 without, 145 with)."""

FINE, FULL, NO_SUCH_FRAME, NO_SUCH_INTERFACE, NO_SUCH_COMMENT, TAG_NOT_CAPTURED = 0, 1, 2, 3, 4, 5
"""State: all copies done; buffer full at the cursor; the copy at the cursor is wrong."""

FROM_INTERFACE = -2

_EPB = 6
_OPT_COMMENT, _EPB_FLAGS, _EPB_PACKETID, _EPB_QUEUE = 1, 2, 5, 6
_NS_PER_S = 1_000_000_000
_LATEST_S = 0xFFFFFFFF


class FrameColumns(NamedTuple):
    """The batch: data uint8[n_bytes] and the columns of :class:`pcaps.frames.Frames`."""

    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    caplen: npt.NDArray[np.uint32]
    wirelen: npt.NDArray[np.uint32]
    ts_ns: npt.NDArray[np.int64]


class CopyColumns(NamedTuple):
    """The columns of :class:`pcaps.copies.Copies`, all present."""

    frame: npt.NDArray[np.uint32]
    interface: npt.NDArray[np.uint32]
    strip: npt.NDArray[np.uint8]
    push: npt.NDArray[np.uint32]
    packet_id: npt.NDArray[np.uint64]
    direction: npt.NDArray[np.uint8]
    queue: npt.NDArray[np.int64]
    comment: npt.NDArray[np.int64]


class Section(NamedTuple):
    """What all blocks of a file share.

    queue int64[n_interfaces]: default epb_queue, negative for none; text uint8[]:
    all comments, SLACK bytes behind them; text_start int64[n_comments + 1].
    """

    queue: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]
    text_start: npt.NDArray[np.int64]


@kernel(forceinline=True, _nrt=False)
def copy_bytes(out: Any, at: Any, data: Any, start: Any, n: Any) -> Any:
    """Copy n bytes; writes and reads up to 31 bytes more."""
    if n > u64(WIDE_COPY_LIMIT):
        copy(out, at, data, start, n)
        return
    done = u64(0)
    while done < n:
        copy32(out, at + done, data, start + done)
        done += u64(32)


@kernel(forceinline=True, _nrt=False)
def copy_frame(out: Any, at: Any, data: Any, start: Any, caplen: Any, strip: Any, push: Any) -> Any:
    """Copy one frame with its tag changed."""
    if (strip | push) == u64(0):
        copy_bytes(out, at, data, start, caplen)
        return
    copy32(out, at, data, start)
    skip = u64(12)
    to = at + u64(12)
    if strip != u64(0):
        skip = u64(16)
    if push != u64(0):
        st32(out, to, push)
        to += u64(4)
    copy_bytes(out, to, data, start + skip, caplen - skip)


@kernel(forceinline=True, _nrt=False)
def prefetch_behind(data: Any, start: Any, caplen: Any, before: Any) -> Any:
    """Fetch the lines that lie PREFETCH_AHEAD bytes behind a frame; before: length of the last."""
    if caplen <= u64(PREFETCH_LIMIT) or caplen != before:
        for line in range(u64(0), caplen, u64(64)):
            prefetch(data, start + u64(PREFETCH_AHEAD) + line)


@kernel(forceinline=True, _nrt=False)
def tag_needs(strip: Any, push: Any) -> Any:
    """Bytes that must be captured for this change of the tag."""
    if strip != u64(0):
        return u64(16)
    if push != u64(0):
        return u64(12)
    return u64(0)


@kernel(forceinline=True, _nrt=False)
def resized(length: Any, strip: Any, push: Any) -> Any:
    """Length after the tag was taken off or put on."""
    if push != u64(0):
        length += u64(4)
    if strip != u64(0):
        length -= u64(4)
    return length


@kernel(forceinline=True, _nrt=False)
def padded4(length: Any) -> Any:
    """Length rounded up to 32 bits."""
    return (length + u64(3)) & ~u64(3)


@kernel(forceinline=True, _nrt=False)
def put_option(out: Any, at: Any, code: Any, length: Any) -> Any:
    """Write an option's header; returns where its value goes."""
    st16(out, at, code)
    st16(out, at + u64(2), length)
    return at + u64(4)


@kernel
def fill_pcapng(
    out: Any, filled: Any, capacity: Any, frames: Any, copies: Any, section: Any, cursor: Any
) -> Any:
    """Append enhanced packet blocks to a staging buffer.

    out: uint8[capacity + SLACK]; filled, capacity, cursor: uint64; frames:
    FrameColumns; copies: CopyColumns; section: Section. Returns cursor, filled, state.

    Rule: PCAP Next Generation Dump File Format, 4.3 (block) and 3.5 (options).
    """
    data, starts, caplens, wirelens, times = frames
    c_frame, c_interface, c_strip, c_push, c_id, c_direction, c_queue, c_comment = copies
    queues, text, text_start = section
    n_frames = u64(starts.size)
    n_copies = u64(c_frame.size)
    n_interfaces = u64(queues.size)
    n_comments = text_start.size - 1
    before = u64(0)
    while cursor < n_copies:
        frame = u64(c_frame[cursor])
        interface = u64(c_interface[cursor])
        strip = u64(c_strip[cursor])
        push = u64(c_push[cursor])
        comment = c_comment[cursor]
        if frame >= n_frames:
            return cursor, filled, NO_SUCH_FRAME
        if interface >= n_interfaces:
            return cursor, filled, NO_SUCH_INTERFACE
        if comment >= n_comments:
            return cursor, filled, NO_SUCH_COMMENT
        start = u64(starts[frame])
        caplen = u64(caplens[frame])
        if caplen < tag_needs(strip, push):
            return cursor, filled, TAG_NOT_CAPTURED
        length = resized(caplen, strip, push)
        packet_id = c_id[cursor]
        direction = u64(c_direction[cursor])
        queue = c_queue[cursor]
        if queue == FROM_INTERFACE:
            queue = queues[interface]

        options = u64(0)
        if packet_id != u64(0):
            options += u64(12)
        if direction != u64(0):
            options += u64(8)
        if queue >= 0:
            options += u64(8)
        words = u64(0)
        if comment >= 0:
            words = u64(text_start[comment + 1] - text_start[comment])
            options += u64(4) + padded4(words)
        if options != u64(0):
            options += u64(4)
        total = u64(32) + padded4(length) + options
        if filled + total > capacity:
            return cursor, filled, FULL
        prefetch_behind(data, start, caplen, before)
        before = caplen

        time = max(times[frame], 0)  # Rule: the format's times are unsigned
        st32(out, filled, u64(_EPB))
        st32(out, filled + u64(4), total)
        st32(out, filled + u64(8), interface)
        st32(out, filled + u64(12), u64(time) >> u64(32))
        st32(out, filled + u64(16), u64(time) & u64(0xFFFFFFFF))
        st32(out, filled + u64(20), length)
        st32(out, filled + u64(24), resized(u64(wirelens[frame]), strip, push))
        at = filled + u64(28)
        copy_frame(out, at, data, start, caplen, strip, push)
        st32(out, at + length, u64(0))
        at += padded4(length)
        if comment >= 0:
            at = put_option(out, at, u64(_OPT_COMMENT), words)
            copy_bytes(out, at, text, u64(text_start[comment]), words)
            st32(out, at + words, u64(0))
            at += padded4(words)
        if direction != u64(0):
            at = put_option(out, at, u64(_EPB_FLAGS), u64(4))
            st32(out, at, direction)
            at += u64(4)
        if packet_id != u64(0):
            at = put_option(out, at, u64(_EPB_PACKETID), u64(8))
            st64(out, at, packet_id)
            at += u64(8)
        if queue >= 0:
            at = put_option(out, at, u64(_EPB_QUEUE), u64(4))
            st32(out, at, u64(queue))
            at += u64(4)
        if options != u64(0):
            st32(out, at, u64(0))
            at += u64(4)
        st32(out, at, total)
        filled += total
        cursor += u64(1)
    return cursor, filled, FINE


@kernel(forceinline=True, _nrt=False)
def put_classic_record(
    out: Any, at: Any, frames: Any, frame: Any, strip: Any, push: Any, unit_ns: Any
) -> Any:
    """Write one record of a classic capture; returns its size.

    Rule: PCAP Capture File Format, 5 (packet record): seconds are unsigned 32 bits.
    """
    data, starts, caplens, wirelens, times = frames
    caplen = u64(caplens[frame])
    length = resized(caplen, strip, push)
    time = times[frame]
    time = max(time, 0)
    seconds = u64(time) // u64(_NS_PER_S)
    fraction = u64(time) - seconds * u64(_NS_PER_S)
    if unit_ns != u64(1):  # a division by what is known is none
        fraction //= u64(1000)
    seconds = min(seconds, u64(_LATEST_S))
    st32(out, at, seconds)
    st32(out, at + u64(4), fraction)
    st32(out, at + u64(8), length)
    st32(out, at + u64(12), resized(u64(wirelens[frame]), strip, push))
    copy_frame(out, at + u64(16), data, u64(starts[frame]), caplen, strip, push)
    return u64(16) + length


@kernel
def fill_classic(
    out: Any, filled: Any, capacity: Any, frames: Any, copies: Any, unit_ns: Any, cursor: Any
) -> Any:
    """Append classic records of all copies to one staging buffer.

    As :func:`fill_pcapng`; unit_ns: uint64, 1 or 1000 (the file's time unit).
    """
    n_frames = u64(frames[1].size)
    n_copies = u64(copies[0].size)
    before = u64(0)
    while cursor < n_copies:
        frame = u64(copies[0][cursor])
        strip = u64(copies[2][cursor])
        push = u64(copies[3][cursor])
        if frame >= n_frames:
            return cursor, filled, NO_SUCH_FRAME
        caplen = u64(frames[2][frame])
        if caplen < tag_needs(strip, push):
            return cursor, filled, TAG_NOT_CAPTURED
        if filled + u64(16) + resized(caplen, strip, push) > capacity:
            return cursor, filled, FULL
        prefetch_behind(frames[0], u64(frames[1][frame]), caplen, before)
        before = caplen
        filled += put_classic_record(out, filled, frames, frame, strip, push, unit_ns)
        cursor += u64(1)
    return cursor, filled, FINE


@kernel
def scatter_classic(
    rings: Any, filled: Any, ring_size: Any, frames: Any, copies: Any, file_of: Any,
    unit_ns: Any, cursor: Any,
) -> Any:  # fmt: skip
    """Append each copy to the ring of its file, until one ring is full.

    rings: uint8[n_files * (ring_size + SLACK)]; filled: uint64[n_files], changed
    in place; file_of: int64[n_interfaces], negative for copies that no file wants.
    Returns cursor, the full file, state.
    """
    n_frames = u64(frames[1].size)
    n_copies = u64(copies[0].size)
    n_interfaces = u64(file_of.size)
    stride = ring_size + u64(SLACK)
    before = u64(0)
    while cursor < n_copies:
        frame = u64(copies[0][cursor])
        interface = u64(copies[1][cursor])
        strip = u64(copies[2][cursor])
        push = u64(copies[3][cursor])
        if frame >= n_frames:
            return cursor, u64(0), NO_SUCH_FRAME
        if interface >= n_interfaces:
            return cursor, u64(0), NO_SUCH_INTERFACE
        wanted = file_of[interface]
        if wanted >= 0:
            file = u64(wanted)
            caplen = u64(frames[2][frame])
            if caplen < tag_needs(strip, push):
                return cursor, file, TAG_NOT_CAPTURED
            fill = filled[file]
            if fill + u64(16) + resized(caplen, strip, push) > ring_size:
                return cursor, file, FULL
            prefetch_behind(frames[0], u64(frames[1][frame]), caplen, before)
            before = caplen
            filled[file] = fill + put_classic_record(
                rings, file * stride + fill, frames, frame, strip, push, unit_ns
            )
        cursor += u64(1)
    return cursor, u64(0), FINE
