"""The plain twin of large send offload: one super-frame, field by field."""

from __future__ import annotations

from nic.lso_kernel import (
    CUT,
    FLAGS,
    FRAGMENT,
    NO_IPV6,
    NO_LENGTH,
    NO_ROOM,
    NOT_CAPTURED,
    NOT_TCP,
    SMALL,
)
from pcaps.checksums import internet_checksum
from pcaps.headers_kernel import (
    ABSENT,
    C_FLAGS,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_PAYLOAD,
    C_PROTOCOL,
    C_TAGS,
)
from pcaps.reference import header_columns

_FIN, _SYN, _RST, _PSH, _URG, _CWR = 1, 2, 4, 8, 32, 128


def segment_frame(
    frame: bytes, *, mss: int | None = None, mtu: int = 1500, version: int = 2
) -> tuple[list[bytes], int]:
    """Cut one frame.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    mss, mtu, version : int
        As for :class:`nic.lso.Lso`.

    Returns
    -------
    pieces : list of bytes
        The frame itself when it is not cut.
    why : int
        CUT, or why it is not cut.
    """
    row = header_columns(frame)
    why = _reason(frame, row, version)
    if why != CUT:
        return [frame], why
    l3, l4, at, end = row[C_L3], row[C_L4], row[C_PAYLOAD], row[C_L3_END]
    payload = frame[at:end]
    room = mss if mss is not None else max(0, mtu - (at - l3))
    if len(payload) <= room:
        return [frame], SMALL
    if room == 0:
        return [frame], NO_ROOM
    places = range(0, len(payload), room)
    return [
        _piece(frame, row, l4, number, done, payload[done : done + room],
               number == len(places) - 1, version)
        for number, done in enumerate(places)
    ], CUT  # fmt: skip


def _reason(frame: bytes, row: list[int], version: int) -> int:
    l3 = row[C_L3]
    if row[C_PROTOCOL] != 6:
        return NOT_TCP
    if row[C_FRAGMENT]:
        return FRAGMENT
    if row[C_PAYLOAD] == ABSENT:
        return NOT_CAPTURED
    if l3 != 14 + 4 * row[C_TAGS]:
        return NOT_TCP
    if row[C_L3_END] > len(frame):
        return NOT_CAPTURED
    if row[C_FLAGS] & (_SYN | _RST | _URG):
        return FLAGS
    if version == 1 and row[C_IP_VERSION] != 4:
        return NO_IPV6
    if version == 1 and frame[l3 + 2 : l3 + 4] == bytes(2):
        return NO_LENGTH
    return CUT


def _piece(
    frame: bytes, row: list[int], l4: int, number: int, done: int, payload: bytes, last: bool,
    version: int,
) -> bytes:  # fmt: skip
    """Return one piece: headers of the frame, with what differs written anew."""
    l3, at = row[C_L3], row[C_PAYLOAD]
    tcp = bytearray(frame[l4:at])
    sequence = int.from_bytes(tcp[4:8], "big") + done
    tcp[4:8] = (sequence % 2**32).to_bytes(4, "big")
    # Rule: offloading-the-segmentation-of-large-tcp-packets: FIN and PSH on the last piece
    if not last:
        tcp[13] &= ~(_FIN | _PSH)
    # Rule: RFC 3168 section 6.1.2: CWR on the first
    if number > 0:
        tcp[13] &= ~_CWR
    tcp[16:18] = bytes(2)
    ip = bytearray(frame[l3:l4])
    four = row[C_IP_VERSION] == 4
    if four:
        ip[2:4] = (len(ip) + len(tcp) + len(payload)).to_bytes(2, "big")
        ident = int.from_bytes(ip[4:6], "big")
        # Rule: the same: version 2 counts in 15 bits, 0x7fff is followed by 0x0000
        counted = (ident + number) % 0x8000 + (ident & 0x8000)
        ident = (ident + number) % 0x10000 if version == 1 else counted
        ip[4:6] = ident.to_bytes(2, "big")
        ip[10:12] = bytes(2)
        ip[10:12] = internet_checksum(bytes(ip[: 4 * (ip[0] & 15)])).to_bytes(2, "big")
    else:
        ip[4:6] = (len(ip) - 40 + len(tcp) + len(payload)).to_bytes(2, "big")
    addresses = ip[12:20] if four else ip[8:40]
    pseudo = addresses + (len(tcp) + len(payload)).to_bytes(4, "big") + (6).to_bytes(4, "big")
    tcp[16:18] = internet_checksum(bytes(pseudo + tcp) + payload).to_bytes(2, "big")
    return frame[:l3] + bytes(ip + tcp) + payload


def cut_length(frame: bytes, mtu: int) -> int:
    """Return the bytes on the wire of the longest piece of a frame, 0 when it is not cut.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    mtu : int
        Bytes of the IP packet that a piece may be.

    Returns
    -------
    int
        The first piece is the longest.
    """
    pieces, why = segment_frame(frame, mtu=mtu)
    return len(pieces[0]) if why == CUT else 0
