"""The write kernels in plain Python: slow, obvious, and their specification."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pcaps.copies import NO_COMMENT, NO_QUEUE, QUEUE_OF_INTERFACE, Copies
from pcaps.frames import Frames

_EPB = 6
_OPT_COMMENT, _EPB_FLAGS, _EPB_PACKETID, _EPB_QUEUE = 1, 2, 5, 6


def retagged(data: bytes, *, strip: bool, push: int) -> bytes:
    """Return a frame's captured bytes with the tag changed.

    Parameters
    ----------
    data : bytes
        The captured bytes.
    strip : bool
        Take off the four bytes behind the addresses.
    push : int
        Tag to put there, as in :attr:`Copies.push`; 0 for none.

    Returns
    -------
    bytes
        The bytes as they leave.

    Raises
    ------
    ValueError
        When the frame was cut before the place of the change.
    """
    if (strip and len(data) < 16) or (push and len(data) < 12):
        raise ValueError("cut before the tag that is to change")
    if not strip and not push:
        return data
    tag = struct.pack("<I", push) if push else b""
    return data[:12] + tag + data[16 if strip else 12 :]


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def pcapng_blocks(
    frames: Frames, copies: Copies, queues: Sequence[int], comments: Sequence[bytes]
) -> bytes:
    """Return the enhanced packet blocks of all copies.

    Parameters
    ----------
    frames : Frames
        The batch.
    copies : Copies
        What to write.
    queues : sequence of int
        For each interface its queue, :data:`~pcaps.copies.NO_QUEUE` for none.
    comments : sequence of bytes
        The sentences that the copies number.

    Returns
    -------
    bytes
        One block a copy.
    """
    blocks = []
    for number in range(len(copies)):
        frame = frames[int(copies.frame[number])]
        interface = int(copies.interface[number])
        strip = copies.strip is not None and bool(copies.strip[number])
        push = 0 if copies.push is None else int(copies.push[number])
        data = retagged(frame.data, strip=strip, push=push)
        wirelen = frame.wirelen - 4 * strip + 4 * bool(push)
        options = b""
        if copies.comment is not None and copies.comment[number] != NO_COMMENT:
            options += _option(_OPT_COMMENT, comments[int(copies.comment[number])])
        if copies.direction is not None and copies.direction[number]:
            options += _option(_EPB_FLAGS, struct.pack("<I", int(copies.direction[number])))
        if copies.packet_id is not None and copies.packet_id[number]:
            options += _option(_EPB_PACKETID, struct.pack("<Q", int(copies.packet_id[number])))
        queue = QUEUE_OF_INTERFACE if copies.queue is None else int(copies.queue[number])
        if queue == QUEUE_OF_INTERFACE:
            queue = queues[interface]
        if queue != NO_QUEUE:
            options += _option(_EPB_QUEUE, struct.pack("<I", queue))
        if options:
            options += bytes(4)
        time = max(frame.ts_ns, 0)
        fixed = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(data), wirelen)
        body = fixed + data + bytes(-len(data) % 4) + options
        total = struct.pack("<I", len(body) + 12)
        blocks.append(struct.pack("<I", _EPB) + total + body + total)
    return b"".join(blocks)


def classic_records(frames: Frames, copies: Copies, unit_ns: int) -> list[bytes]:
    """Return the classic records of all copies.

    Parameters
    ----------
    frames : Frames
        The batch.
    copies : Copies
        What to write.
    unit_ns : int
        1 for nanoseconds, 1000 for microseconds.

    Returns
    -------
    list of bytes
        One record a copy.
    """
    records = []
    for number in range(len(copies)):
        frame = frames[int(copies.frame[number])]
        strip = copies.strip is not None and bool(copies.strip[number])
        push = 0 if copies.push is None else int(copies.push[number])
        data = retagged(frame.data, strip=strip, push=push)
        wirelen = frame.wirelen - 4 * strip + 4 * bool(push)
        seconds, rest = divmod(max(frame.ts_ns, 0), 1_000_000_000)
        header = struct.pack("<IIII", min(seconds, 0xFFFFFFFF), rest // unit_ns, len(data), wirelen)
        records.append(header + data)
    return records
