"""IP fragments of TCP segments, joined to whole packets.

Guarantees
----------
* A joined packet stands where its last fragment stood.
* At most ``OPEN`` packets are under way; the oldest is given up first.

Where fragments overlap, the bytes that came first stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps.frames import Frame, Frames

OPEN = 4096
_TCP, _LARGEST = 6, 65_535


class _Packet:
    """A packet that is being joined."""

    def __init__(self) -> None:
        self.head = b""
        self.pieces: dict[int, bytes] = {}
        self.size: int | None = None
        self.received = 0

    def add(self, offset: int, piece: bytes, more: bool) -> None:
        if offset not in self.pieces:
            self.pieces[offset] = piece
            self.received += len(piece)
        if not more:
            self.size = offset + len(piece)

    def whole(self) -> bytes | None:
        """Return the joined payload, or None while something is missing."""
        if self.size is None or not self.head or self.received < self.size:
            return None
        joined = b""
        for offset in sorted(self.pieces):
            if offset > len(joined):
                return None
            joined += self.pieces[offset][len(joined) - offset :]
        return joined if len(joined) >= self.size else None


class Fragments:
    """Joins fragments over any number of batches."""

    def __init__(self) -> None:
        self._open: dict[tuple[Any, ...], _Packet] = {}
        self.joined = 0
        """Fragments that became part of a whole packet."""

    def join(self, frames: Frames) -> Iterator[tuple[Frames, npt.NDArray[np.int64], bool]]:
        """Split a batch behind each fragment that makes a packet whole.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Yields
        ------
        tuple of Frames, numpy.ndarray and bool
            A part of the batch, the places of its frames in the batch, and False;
            or one joined packet as a frame, the place of its last fragment, and True.
        """
        headers = frames.headers
        chosen = np.flatnonzero((headers.fragment == 1) & (headers.protocol == _TCP))
        done = 0
        for place in chosen.tolist():
            frame = frames[place]
            l3 = int(headers.l3_offset[place] - frames.start[place])
            end = int(headers.l3_end[place] - frames.start[place])
            whole = self._take(frame, l3, end, int(headers.outer_vid[place]))
            if whole is None:
                continue
            yield frames[done : place + 1], np.arange(done, place + 1), False
            yield Frames.from_bytes([whole], ts_ns=[frame.ts_ns]), np.array([place]), True
            done = place + 1
        yield frames[done:], np.arange(done, len(frames)), False

    def _take(self, frame: Frame, l3: int, end: int, vid: int) -> bytes | None:
        """Take a fragment in; return the frame of the whole packet when this was the last one."""
        found = (_ipv6 if frame.data[l3] >> 4 == 6 else _ipv4)(frame.data, l3, end)
        if found is None:
            return None
        key, offset, more, body = found[0], found[1], found[2], found[3]
        key = (*key, vid)
        packet = self._open.setdefault(key, _Packet())
        packet.add(offset, frame.data[body:end], more)
        if offset == 0:
            packet.head = frame.data[:l3] + found[4]
        payload = packet.whole()
        if payload is None:
            if len(self._open) > OPEN:
                del self._open[next(iter(self._open))]
            return None
        del self._open[key]
        self.joined += len(packet.pieces)
        return _whole_frame(packet.head, l3, payload)


def _ipv4(data: bytes, l3: int, end: int) -> tuple[tuple[Any, ...], int, bool, int, bytes] | None:
    """Return key, offset, more, place of the body, and header of an IPv4 fragment."""
    # Rule: RFC 791 section 3.2, fragment offset in units of 8 octets
    word = int.from_bytes(data[l3 + 6 : l3 + 8], "big")
    offset, body = 8 * (word & 0x1FFF), l3 + 4 * (data[l3] & 15)
    if end > len(data) or body >= end or offset + end - body > _LARGEST:
        return None
    header = bytearray(data[l3:body])
    header[6:8] = bytes(2)
    key = (4, data[l3 + 12 : l3 + 20], data[l3 + 4 : l3 + 6])
    return key, offset, bool(word & 0x2000), body, bytes(header)


def _ipv6(data: bytes, l3: int, end: int) -> tuple[tuple[Any, ...], int, bool, int, bytes] | None:
    """Return the same of an IPv6 fragment; its extension headers are left out."""
    at, following = l3 + 40, data[l3 + 6]
    while following in (0, 43, 60) and at + 8 <= len(data):
        following, at = data[at], at + 8 * (1 + data[at + 1])
    # Rule: RFC 8200 section 4.5
    if following != 44 or end > len(data) or at + 8 >= end:
        return None
    word = int.from_bytes(data[at + 2 : at + 4], "big")
    offset, body = word & 0xFFF8, at + 8
    if offset + end - body > _LARGEST:
        return None
    header = data[l3 : l3 + 6] + bytes([data[at]]) + data[l3 + 7 : l3 + 40]
    key = (6, data[l3 + 8 : l3 + 40], data[at + 4 : at + 8])
    return key, offset, bool(word & 1), body, header


def _whole_frame(head: bytes, l3: int, payload: bytes) -> bytes | None:
    """Return the frame of a joined packet, its IP length set; None when it would be too long."""
    header = bytearray(head[l3:])
    size = len(payload) + (len(header) if header[0] >> 4 == 4 else 0)
    if size > _LARGEST:
        return None
    field = 2 if header[0] >> 4 == 4 else 4
    header[field : field + 2] = size.to_bytes(2, "big")
    return head[:l3] + bytes(header) + payload
