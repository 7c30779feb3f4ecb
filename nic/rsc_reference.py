"""The plain twin of receive segment coalescing: one segment after the other, field by field."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nic.rsc import Ended
from pcaps.checksums import internet_checksum
from pcaps.frames import Frames

_PSH, _ACK, _ECE, _CWR = 8, 16, 64, 128
_FACTOR, _WORD = 0x9E3779B97F4A7C15, 2**64


@dataclass(slots=True)
class Unit:
    """What goes up as one.

    Parameters
    ----------
    data : bytes
        The frame.
    first, last : int
        Places of its first and last frame.
    segments : int
        Segments with data, 0 when nothing was joined.
    timestamp_delta : int
        What the timestamp option grew by.
    """

    data: bytes
    first: int
    last: int
    segments: int = 0
    timestamp_delta: int = 0


@dataclass(slots=True)
class _Segment:
    """A TCP segment, taken apart."""

    place: int
    l2: bytes
    ip: bytes
    tcp: bytes
    payload: bytes
    interface: int
    stamp: int | None = None

    @property
    def four(self) -> bool:
        return self.ip[0] >> 4 == 4

    @property
    def key(self) -> bytes:
        addresses = self.ip[12:20] if self.four else self.ip[8:40]
        return addresses + self.tcp[:4]

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.tcp[4:8], "big")

    @property
    def ack(self) -> int:
        return int.from_bytes(self.tcp[8:12], "big")

    @property
    def flags(self) -> int:
        return int.from_bytes(self.tcp[12:14], "big") & 0x1FF

    @property
    def window(self) -> bytes:
        return self.tcp[14:16]

    @property
    def next(self) -> int:
        return (self.sequence + len(self.payload)) % 2**32

    @property
    def traffic_class(self) -> int:
        return self.ip[1] if self.four else int.from_bytes(self.ip[:2], "big") >> 4 & 0xFF

    @property
    def hops(self) -> int:
        return self.ip[8 if self.four else 7]


@dataclass(slots=True)
class _Open:
    """A unit that may grow."""

    segments: list[_Segment] = field(default_factory=list)

    @property
    def head(self) -> _Segment:
        return self.segments[0]

    @property
    def tail(self) -> _Segment:
        return self.segments[-1]

    @property
    def length(self) -> int:
        payload = sum(len(one.payload) for one in self.segments)
        return len(self.head.ip) + len(self.head.tcp) + payload


def coalesce_slowly(
    frames: Frames,
    *,
    batch_frames: int,
    hold_ns: int,
    connections: int,
    wanted: Sequence[bool] | None = None,
) -> tuple[list[Unit], Counter[Ended]]:
    """Join the segments of a batch.

    Parameters
    ----------
    frames : Frames
        Any batch.
    batch_frames, hold_ns, connections : int
        As for :class:`nic.rsc.Rsc`.
    wanted : sequence of bool, optional
        Frames that may be joined; all by default.

    Returns
    -------
    units : list of Unit
        In order of their last frames.
    ended : collections.Counter
        What ended units.
    """
    slots: dict[int, _Open] = {}
    done: list[_Open] = []
    alone: list[Unit] = []
    ended: Counter[Ended] = Counter()
    begin = 0

    def end(slot: int, why: Ended) -> None:
        done.append(slots.pop(slot))
        ended[why] += 1

    for place, frame in enumerate(frames):
        late = frame.ts_ns - frames[begin].ts_ns > hold_ns
        if place - begin >= batch_frames or late:
            begin = place
            for slot in list(slots):
                end(slot, Ended.BATCH_END)
        unit = Unit(frame.data, place, place)
        if wanted is not None and not wanted[place]:
            alone.append(unit)
            continue
        segment, why = _taken_apart(frames, place)
        if segment is None:
            alone.append(unit)
            continue
        slot = _slot(segment) & (connections - 1)
        mine = slot in slots and slots[slot].head.key == segment.key
        mine = mine and slots[slot].head.four == segment.four
        if why is not None:
            if mine:
                end(slot, why)
            alone.append(unit)
            continue
        if mine:
            why = _against(slots[slot], segment)
            if why is None:
                slots[slot].segments.append(segment)
                continue
            end(slot, why)
        if not segment.payload:
            alone.append(unit)
            continue
        if slot in slots:
            end(slot, Ended.RESOURCES)
        slots[slot] = _Open([segment])
    for slot in list(slots):
        end(slot, Ended.BATCH_END)
    units = [*alone, *(_closed(one, frames) for one in done)]
    return sorted(units, key=lambda one: one.last), ended


def _taken_apart(frames: Frames, place: int) -> tuple[_Segment | None, Ended | None]:
    """Return a segment and why it can be joined with no other; None when it is not TCP."""
    frame, headers = frames[place], frames.headers
    start = int(frames.start[place])
    l3, l4, body, stop = (
        int(column[place]) - start
        for column in (headers.l3_offset, headers.l4_offset, headers.payload_offset, headers.l3_end)
    )
    if headers.protocol[place] != 6 or headers.l4_offset[place] < 0 or l4 + 4 > len(frame.data):
        return None, None
    data = frame.data
    whole = headers.payload_offset[place] >= 0 and stop <= len(data)
    segment = _Segment(
        place, data[:l3], data[l3:l4], data[l4:body] if whole else data[l4:],
        data[body:stop] if whole else b"", frame.interface,
    )  # fmt: skip
    # Rule: exception-conditions-that-terminate-coalescing, numbers 2 to 6
    if headers.fragment[place]:
        return segment, Ended.FRAGMENT
    if not whole:
        return segment, Ended.NOT_CAPTURED
    if segment.flags & ~(_PSH | _ACK | _ECE | _CWR) or not segment.flags & _ACK:
        return segment, Ended.FLAGS
    if len(segment.ip) != (20 if segment.four else 40):
        return segment, Ended.IP_OPTIONS
    if l3 != 14 + 4 * int(headers.tags[place]):
        return segment, Ended.HEADER
    other, segment.stamp = _timestamp(segment.tcp[20:])
    if other:
        return segment, Ended.OPTIONS
    if stop - l3 > 65535:
        return segment, Ended.TOO_LONG
    if segment.four and internet_checksum(segment.ip) != 0:
        return segment, Ended.CHECKSUM
    if internet_checksum(_pseudo(segment.ip, segment.tcp + segment.payload)) != 0:
        return segment, Ended.CHECKSUM
    return segment, None


def _pseudo(ip: bytes, packet: bytes) -> bytes:
    addresses = ip[12:20] if ip[0] >> 4 == 4 else ip[8:40]
    return addresses + struct.pack("!II", len(packet), 6) + packet


def _timestamp(options: bytes) -> tuple[bool, int | None]:
    """Return whether there is another option, and where the timestamp's value is."""
    at, found = 0, None
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
        elif options[at : at + 2] == b"\x08\x0a" and at + 10 <= len(options) and found is None:
            found, at = at + 2, at + 10
        else:
            return True, None
    return False, found


def _stamp_of(segment: _Segment) -> int:
    at = 20 + (segment.stamp or 0)
    return int.from_bytes(segment.tcp[at : at + 4], "big")


def _slot(segment: _Segment) -> int:
    """Return the hash of addresses and ports that chooses a row of the table."""
    ports = int.from_bytes(segment.tcp[:4], "little")
    mixed = ports * _FACTOR % _WORD
    if segment.four:
        mixed ^= int.from_bytes(segment.ip[12:20], "little")
    else:
        for at in range(8, 40, 8):
            mixed = (mixed ^ int.from_bytes(segment.ip[at : at + 8], "little")) * _FACTOR % _WORD
    return mixed * _FACTOR % _WORD >> 32


def _behind(number: int, other: int) -> bool:
    return (number - other) % 2**32 > 0x7FFFFFFF


def _against(unit: _Open, new: _Segment) -> Ended | None:
    """Return what keeps a segment out of a unit. Rules: rules-for-coalescing-tcp-ip-packets."""
    head, tail = unit.head, unit.tail
    if not new.payload:
        if new.sequence != tail.next or new.ack != tail.ack:
            return Ended.PURE_ACK
        if new.window == tail.window:
            return Ended.DUPLICATE_ACK
    # Rule: updating-the-ip-headers-for-coalesced-segments
    if new.l2 != head.l2 or new.interface != head.interface:
        return Ended.HEADER
    if new.traffic_class >> 2 != head.traffic_class >> 2:
        return Ended.HEADER
    if new.four and new.ip[6:8] != head.ip[6:8]:
        return Ended.HEADER
    if not new.four and int.from_bytes(new.ip[:4], "big") & 0xFFFFF != (
        int.from_bytes(head.ip[:4], "big") & 0xFFFFF
    ):
        return Ended.HEADER
    if new.traffic_class != head.traffic_class or (new.flags ^ head.flags) & (_ECE | _CWR):
        return Ended.ECN
    if new.stamp != head.stamp or len(new.tcp) != len(head.tcp):
        return Ended.OPTIONS
    if new.stamp is not None and _behind(_stamp_of(new), _stamp_of(tail)):
        return Ended.TIMESTAMP
    if new.sequence != tail.next:
        return Ended.GAP
    if _behind(new.ack, tail.ack):
        return Ended.OLD_ACK
    if unit.length + len(new.payload) > 65535:
        return Ended.TOO_LONG
    return None


def _closed(unit: _Open, frames: Frames) -> Unit:
    """Return a unit as it goes up."""
    head, tail = unit.head, unit.tail
    if head is tail:
        return Unit(frames[head.place].data, head.place, head.place)
    payload = b"".join(one.payload for one in unit.segments)
    tcp = bytearray(head.tcp)
    tcp[8:12], tcp[14:16], tcp[20:] = tail.tcp[8:12], tail.tcp[14:16], tail.tcp[20:]
    tcp[13] |= _PSH if any(one.flags & _PSH for one in unit.segments) else 0
    tcp[16:18] = bytes(2)
    ip = bytearray(head.ip)
    hops = min(one.hops for one in unit.segments)
    if head.four:
        ip[2:4] = unit.length.to_bytes(2, "big")
        ip[8] = hops
        ip[10:12] = bytes(2)
        ip[10:12] = internet_checksum(bytes(ip)).to_bytes(2, "big")
    else:
        ip[4:6] = (unit.length - 40).to_bytes(2, "big")
        ip[7] = hops
    total = internet_checksum(_pseudo(bytes(ip), bytes(tcp) + payload))
    tcp[16:18] = total.to_bytes(2, "big")
    grown = 0 if head.stamp is None else (_stamp_of(tail) - _stamp_of(head)) % 2**32
    segments = sum(bool(one.payload) for one in unit.segments)
    return Unit(head.l2 + bytes(ip + tcp) + payload, head.place, tail.place, segments, grown)
