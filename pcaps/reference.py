"""Plain twins of the readers' kernels: the formats and headers, field by field.

Written for reading, not for speed. Tests hold the kernels equal to them on
captures and frames that were mutated in every way that we could think of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pcaps.checksums import BAD, GOOD, NOT_THERE, ZERO, internet_checksum
from pcaps.headers_kernel import (
    ABSENT,
    C_ACKNOWLEDGEMENT,
    C_DESTINATION,
    C_DESTINATION_HIGH,
    C_DESTINATION_LOW,
    C_DESTINATION_PORT,
    C_ETHERTYPE,
    C_FLAGS,
    C_FRAGMENT,
    C_INNER_TCI,
    C_INNER_TPID,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_OUTER_TCI,
    C_OUTER_TPID,
    C_PAYLOAD,
    C_PAYLOAD_BYTES,
    C_PROTOCOL,
    C_SEQUENCE,
    C_SOURCE,
    C_SOURCE_HIGH,
    C_SOURCE_LOW,
    C_SOURCE_PORT,
    C_TAGS,
    C_WINDOW,
    N_COLUMNS,
)
from pcaps.index_kernel import LATEST, MAX_CAPLEN

TAGS = (0x8100, 0x88A8, 0x9100)


@dataclass(frozen=True, slots=True)
class Record:
    """One frame as a reader hands it out.

    Parameters
    ----------
    start, caplen, wirelen, ts_ns : int
        As in :class:`pcaps.frames.Frames`.
    """

    start: int
    caplen: int
    wirelen: int
    ts_ns: int


def classic_records(raw: bytes) -> tuple[list[Record], str | None]:
    """Read a classic capture of Ethernet frames.

    Parameters
    ----------
    raw : bytes
        The whole file, with a sound file header.

    Returns
    -------
    records : list of Record
        The whole records.
    damage : str or None
        Kind of damage that ended them.
    """
    order = "<" if raw[0] in (0xD4, 0x4D, 0x34) else ">"
    magic = struct.unpack_from(order + "I", raw)[0]
    nanosecond, header = magic == 0xA1B23C4D, 24 if magic == 0xA1B2CD34 else 16
    link = struct.unpack_from(order + "I", raw, 20)[0]
    fcs = (link >> 28) * 2 if link & 0x04000000 else 0
    found: list[Record] = []
    at = 24
    while at < len(raw):
        if at + header > len(raw):
            return found, "cut"
        seconds, fraction, caplen, wirelen = struct.unpack_from(order + "IIII", raw, at)
        if caplen > MAX_CAPLEN:
            return found, "bad-length"
        if at + header + caplen > len(raw):
            return found, "cut"
        ts_ns = seconds * 10**9 + fraction * (1 if nanosecond else 1000)
        length = wirelen - fcs if wirelen >= fcs else wirelen
        kept = min(caplen, length) if fcs else caplen
        found.append(Record(at + header, kept, length, ts_ns))
        at += header + caplen
    return found, None


def nanoseconds(units: int, resolution: int, offset_s: int) -> int:
    """Return a pcapng timestamp in nanoseconds since 1970.

    Parameters
    ----------
    units : int
        The timestamp.
    resolution : int
        if_tsresol: bit 7 says powers of 2, the rest is the exponent.
    offset_s : int
        if_tsoffset.

    Returns
    -------
    int
        0 before 1970, LATEST where 63 bits do not suffice.
    """
    exponent = resolution & 0x7F
    if resolution & 0x80:
        shift = min(exponent, 63)
        seconds, fraction = units >> shift, units & ((1 << shift) - 1)
        if shift > 34:  # 34 bits of a second are finer than a nanosecond
            fraction, shift = fraction >> (shift - 34), 34
        rest = fraction * 10**9 >> shift
    else:
        step = 10 ** min(exponent, 19)
        seconds, fraction = divmod(units, step)
        rest = fraction * (10**9 // step) if exponent <= 9 else fraction // (step // 10**9)
    seconds = (seconds + offset_s) % 2**64
    if seconds >> 63:
        return 0
    return LATEST if seconds >= LATEST // 10**9 else seconds * 10**9 + rest


@dataclass(slots=True)
class _Interface:
    linktype: int
    snaplen: int
    resolution: int = 6
    offset_s: int = 0
    fcs: int = 0


def pcapng_records(raw: bytes) -> tuple[list[Record], str | None]:
    """Read a pcapng capture; frames that are not Ethernet are passed over.

    Parameters
    ----------
    raw : bytes
        The whole file; it begins with a section header.

    Returns
    -------
    records : list of Record
        The whole Ethernet frames.
    damage : str or None
        Kind of damage that ended them.
    """
    found: list[Record] = []
    interfaces: list[_Interface] = []
    order, at, total_interfaces = "<", 0, 0
    while at < len(raw):
        if at + 12 > len(raw):
            return found, "cut"
        kind = struct.unpack_from(order + "I", raw, at)[0]
        if raw[at : at + 4] == b"\n\r\r\n":
            orders = [o for o in "<>" if struct.unpack_from(o + "I", raw, at + 8)[0] == 0x1A2B3C4D]
            if not orders:
                return found, "bad-section"
            order = orders[0]
        total = struct.unpack_from(order + "I", raw, at + 4)[0]
        if total < 12 or total % 4:
            return found, "bad-block-length"
        if at + total > len(raw):
            return found, "cut"
        if struct.unpack_from(order + "I", raw, at + total - 4)[0] != total:
            return found, "bad-block-trailer"
        block = raw[at : at + total]
        if block[:4] == b"\n\r\r\n":
            if total < 28:
                return found, "bad-section"
            interfaces = []
        elif kind == 1:
            if total < 20 or total_interfaces >= 65535:
                return found, "bad-interface-block"
            interfaces.append(_interface(block, order))
            total_interfaces += 1
        elif kind in (2, 3, 6):
            record = _packet(block, order, kind, interfaces, at)
            if isinstance(record, str):
                return found, record
            if record is not None:
                found.append(record)
        at += total
    return found, None


def _interface(block: bytes, order: str) -> _Interface:
    linktype, _, snaplen = struct.unpack_from(order + "HHI", block, 8)
    made = _Interface(linktype, snaplen)
    seen: set[int] = set()
    for code, value in _options(block[16:-4], order):
        if code in seen:
            continue
        seen.add(code)
        if code == 9:
            made.resolution = value[0] if value else 6
        elif code == 13 and value:
            made.fcs = value[0]
        elif code == 14 and len(value) == 8:
            made.offset_s = struct.unpack(order + "q", value)[0]
    return made


def _options(raw: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(raw):
        code, length = struct.unpack_from(order + "HH", raw, at)
        if code == 0 or at + 4 + length > len(raw):
            return
        yield code, raw[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _packet(
    block: bytes, order: str, kind: int, interfaces: list[_Interface], at: int
) -> Record | str | None:
    """Return the frame of a packet block, the damage, or None for what is passed over."""
    if len(block) < (16 if kind == 3 else 32):
        return "bad-packet-length"
    number = 0
    if kind == 6:
        number = struct.unpack_from(order + "I", block, 8)[0]
    elif kind == 2:
        number = struct.unpack_from(order + "H", block, 8)[0]
    if number >= len(interfaces):
        return "bad-interface"
    interface = interfaces[number]
    if kind == 3:
        wirelen = struct.unpack_from(order + "I", block, 8)[0]
        caplen = min(wirelen, interface.snaplen) if interface.snaplen else wirelen
        start, room, ts_ns = at + 12, len(block) - 16, 0
    else:
        high, low, caplen, wirelen = struct.unpack_from(order + "IIII", block, 12)
        start, room = at + 28, len(block) - 32
        ts_ns = nanoseconds(high << 32 | low, interface.resolution, interface.offset_s)
    if caplen > room:
        return "bad-packet-length"
    if interface.linktype != 1:
        return None
    if interface.fcs and wirelen >= interface.fcs:
        wirelen -= interface.fcs
        caplen = min(caplen, wirelen)
    return Record(start, caplen, wirelen, ts_ns)


def header_columns(frame: bytes, start: int = 0) -> list[int]:
    """Return the header columns of one frame.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    start : int
        Its offset in the batch's buffer; offsets count from there.

    Returns
    -------
    list of int
        N_COLUMNS values in the order of :mod:`pcaps.headers_kernel`.
    """
    row = [ABSENT] * N_COLUMNS
    row[C_TAGS] = 0
    if len(frame) < 14:
        return row
    row[C_DESTINATION] = int.from_bytes(frame[0:6], "little")
    row[C_SOURCE] = int.from_bytes(frame[6:12], "little")
    at = 12
    ether_type = _be(frame, at, 2)
    while ether_type in TAGS and at + 6 <= len(frame):
        if row[C_TAGS] == 0:
            row[C_OUTER_TPID], row[C_OUTER_TCI] = ether_type, _be(frame, at + 2, 2)
        elif row[C_TAGS] == 1:
            row[C_INNER_TPID], row[C_INNER_TCI] = ether_type, _be(frame, at + 2, 2)
        row[C_TAGS] += 1
        at += 4
        ether_type = _be(frame, at, 2)
    at += 2
    if ether_type < 0x600 and frame[at : at + 6] == b"\xaa\xaa\x03\0\0\0" and at + 8 <= len(frame):
        ether_type = _be(frame, at + 6, 2)
        at += 8
    row[C_ETHERTYPE], row[C_L3] = ether_type, start + at
    if ether_type == 0x0800:
        _ipv4(frame, at, start, row)
    elif ether_type == 0x86DD:
        _ipv6(frame, at, start, row)
    return row


def _be(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")


def _ipv4(frame: bytes, at: int, start: int, row: list[int]) -> None:
    if at + 20 > len(frame) or frame[at] >> 4 != 4 or (header := 4 * (frame[at] & 15)) < 20:
        return
    fragment = _be(frame, at + 6, 2) & 0x3FFF
    total = _be(frame, at + 2, 2)
    row[C_IP_VERSION], row[C_PROTOCOL], row[C_FRAGMENT] = 4, frame[at + 9], int(fragment != 0)
    row[C_SOURCE_HIGH] = row[C_DESTINATION_HIGH] = 0
    row[C_SOURCE_LOW], row[C_DESTINATION_LOW] = _be(frame, at + 12, 4), _be(frame, at + 16, 4)
    row[C_L3_END] = start + (len(frame) if total < header else at + total)
    if fragment & 0x1FFF == 0:
        _transport(frame, at + header, start, row)


def _ipv6(frame: bytes, at: int, start: int, row: list[int]) -> None:
    if at + 40 > len(frame) or frame[at] >> 4 != 6:
        return
    length = _be(frame, at + 4, 2)
    row[C_IP_VERSION], row[C_FRAGMENT] = 6, 0
    row[C_SOURCE_HIGH], row[C_SOURCE_LOW] = _be(frame, at + 8, 8), _be(frame, at + 16, 8)
    row[C_DESTINATION_HIGH], row[C_DESTINATION_LOW] = _be(frame, at + 24, 8), _be(frame, at + 32, 8)
    row[C_L3_END] = start + (at + 40 + length if length else len(frame))
    following, at = frame[at + 6], at + 40
    while True:
        row[C_PROTOCOL] = following
        if following not in (0, 43, 44, 51, 60):
            _transport(frame, at, start, row)
            return
        if at + 8 > len(frame):
            return
        if following == 44:
            row[C_FRAGMENT] = 1
            if _be(frame, at + 2, 2) & 0xFFF8:
                row[C_PROTOCOL] = frame[at]
                return
            size = 8
        else:
            size = 4 * (2 + frame[at + 1]) if following == 51 else 8 * (1 + frame[at + 1])
        following, at = frame[at], at + size


def _transport(frame: bytes, at: int, start: int, row: list[int]) -> None:
    row[C_L4] = start + at
    protocol = row[C_PROTOCOL]
    if protocol == 17 and at + 8 <= len(frame):
        row[C_SOURCE_PORT], row[C_DESTINATION_PORT] = _be(frame, at, 2), _be(frame, at + 2, 2)
        row[C_PAYLOAD] = start + at + 8
        row[C_PAYLOAD_BYTES] = (row[C_L3_END] - row[C_PAYLOAD]) % 2**64
    elif protocol == 6 and at + 20 <= len(frame):
        row[C_SOURCE_PORT], row[C_DESTINATION_PORT] = _be(frame, at, 2), _be(frame, at + 2, 2)
        row[C_SEQUENCE], row[C_ACKNOWLEDGEMENT] = _be(frame, at + 4, 4), _be(frame, at + 8, 4)
        word = _be(frame, at + 12, 2)
        row[C_FLAGS], row[C_WINDOW] = word & 0x1FF, _be(frame, at + 14, 2)
        payload = start + at + 4 * (word >> 12)
        if word >> 12 >= 5 and payload <= row[C_L3_END]:
            row[C_PAYLOAD], row[C_PAYLOAD_BYTES] = payload, row[C_L3_END] - payload


def checksum_states(frame: bytes) -> tuple[int, int]:
    """Return the states of a frame's IPv4 header and transport checksums.

    Parameters
    ----------
    frame : bytes
        The captured bytes.

    Returns
    -------
    tuple of (int, int)
        As in :class:`pcaps.checksums.Checksums`.
    """
    row = header_columns(frame)
    l3, l4, end = row[C_L3], row[C_L4], row[C_L3_END]
    ip, version, protocol = NOT_THERE, row[C_IP_VERSION], row[C_PROTOCOL]
    if version == 4:
        header = frame[l3 : l3 + 4 * (frame[l3] & 15)]
        if len(header) == 4 * (frame[l3] & 15):
            ip = GOOD if internet_checksum(header) == 0 else BAD
    wanted = protocol in (6, 17) or (protocol == 58 and version == 6)
    if l4 == ABSENT or not wanted or row[C_FRAGMENT] or not l4 + 8 <= end <= len(frame):
        return ip, NOT_THERE
    if protocol == 17 and frame[l4 + 6 : l4 + 8] == b"\0\0":
        return ip, ZERO
    addresses = frame[l3 + 12 : l3 + 20] if version == 4 else frame[l3 + 8 : l3 + 40]
    pseudo = addresses + struct.pack(">II", end - l4, protocol)
    good = internet_checksum(pseudo + frame[l4:end]) == 0
    return ip, GOOD if good else BAD
