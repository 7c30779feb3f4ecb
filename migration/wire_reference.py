"""The plain twin of :mod:`migration.wire_kernel`: one frame of one row, field after field.

Ends are dictionaries with the fields of :data:`migration.wire_kernel.END`, rows with
those of :data:`migration.path_kernel.LOG`.
"""

from __future__ import annotations

import struct
from typing import Any

from migration.path_kernel import AT_VM
from migration.tcp.state_kernel import ACK, SYN
from migration.wire_kernel import INSIDE, OUTSIDE, SMALLEST_FRAME, Source
from pcaps.checksums import internet_checksum

Row = dict[str, Any]

_TCP = 6


def slow_frame(row: Row, end: Row, peer: Row, source: Source) -> bytes:
    """Build the frame of a row.

    Parameters
    ----------
    row : dict
        Of the log.
    end, peer : dict
        The end that sends it, and the other.
    source : Source
        Headers, streams, text.

    Returns
    -------
    bytes
        Without FCS.
    """
    ip = b"".join(int(word).to_bytes(8, "little") for word in end["ip"])
    peer_ip = b"".join(int(word).to_bytes(8, "little") for word in peer["ip"])
    if end["version"] == 4:
        ip, peer_ip = ip[:4], peer_ip[:4]
    segment = _segment(row, end, peer, slow_payload(row, end, source))
    pseudo = ip + peer_ip
    if end["version"] == 4:
        pseudo += struct.pack("!HH", _TCP, len(segment))
    else:
        pseudo += struct.pack("!II", len(segment), _TCP)
    checksum = internet_checksum(pseudo + segment)
    segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
    packet = _ip_header(row, end, ip, peer_ip, len(segment)) + segment

    place = INSIDE if row["where"] == AT_VM else OUTSIDE
    made = INSIDE if end["vm"] else OUTSIDE
    padding = bytes(max(SMALLEST_FRAME - int(end["head_bytes"][made]) - len(packet), 0))
    first, size = int(end["head"][place]), int(end["head_bytes"][place])
    return source.headers[first : first + size].tobytes() + packet + padding


def slow_payload(row: Row, end: Row, source: Source) -> bytes:
    """Return the payload of a row: bytes of the sender's stream, zeros where it has none.

    Parameters
    ----------
    row, end : dict
        What is sent, and by whom.
    source : Source
        Streams and text.

    Returns
    -------
    bytes
        ``row["size"]`` of them.
    """
    first, period = int(end["first"]), int(end["period"])
    data = bytearray()
    for offset in range(row["seq"] - 1, row["seq"] - 1 + row["size"]):
        if period and row["seq"] > 0:
            data.append(source.text[(first + offset) % period])
        elif 0 <= offset < end["size"]:
            data.append(source.streams[first + offset])
        else:
            data.append(0)
    return bytes(data)


def _ip_header(row: Row, end: Row, ip: bytes, peer_ip: bytes, size: int) -> bytes:
    if end["version"] == 6:
        length = size if size < 1 << 16 else 0
        return struct.pack("!IHBB", 6 << 28, length, _TCP, end["ttl"]) + ip + peer_ip
    total = 20 + size if 20 + size < 1 << 16 else 0
    head = struct.pack(
        "!BBHHHBBH", 0x45, 0, total, row["number"] & 0xFFFF, 0x4000, end["ttl"], _TCP, 0
    )
    checksum = internet_checksum(head + ip + peer_ip)
    return head[:10] + struct.pack("!H", checksum) + ip + peer_ip


def _segment(row: Row, end: Row, peer: Row, payload: bytes) -> bytes:
    options = slow_options(row, end, peer)
    acknowledged = (peer["isn"] + row["ack"]) % (1 << 32) if row["flags"] & ACK else 0
    return (
        struct.pack(
            "!HHIIBBHHH", end["port"], peer["port"], (end["isn"] + row["seq"]) % (1 << 32),
            acknowledged, (5 + len(options) // 4) << 4, row["flags"], row["window"] & 0xFFFF, 0, 0,
        )
        + options
        + payload
    )  # fmt: skip


def slow_options(row: Row, end: Row, peer: Row) -> bytes:
    """Return the TCP options of a row, in the order of the sender's stack.

    Parameters
    ----------
    row, end, peer : dict
        What is sent, by whom, to whom.

    Returns
    -------
    bytes
        A multiple of four.
    """
    nop = b"\x01"
    scale = nop + bytes([3, 3, row["scale"]]) if row["scale"] >= 0 else b""
    permitted = bytes([4, 2]) if row["flags"] & SYN and row["sack_ok"] else b""
    options = struct.pack("!BBH", 2, 4, row["mss"]) if row["mss"] else b""
    if end["scale_early"]:
        options += scale
    if row["tsval"] >= 0:
        value = (end["ts_first"] + row["tsval"]) % (1 << 32)
        echo = (peer["ts_first"] + row["tsecr"]) % (1 << 32) if row["flags"] & ACK else 0
        options += (permitted or nop + nop) + struct.pack("!BBII", 8, 10, value, echo)
    elif permitted:
        options += nop + nop + permitted
    if not end["scale_early"]:
        options += scale
    if row["blocks"]:
        options += nop + nop + bytes([5, 2 + 8 * row["blocks"]])
        for start, stop in row["sack"][: row["blocks"]]:
            edges = (peer["isn"] + start) % (1 << 32), (peer["isn"] + stop) % (1 << 32)
            options += struct.pack("!II", *edges)
    return options
