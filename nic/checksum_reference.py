"""The plain twin of checksum offload: one frame, one sum after the other."""

from __future__ import annotations

from nic.checksum_offload import Mark, Sums
from pcaps.checksums import BAD, GOOD, internet_checksum
from pcaps.headers_kernel import (
    ABSENT,
    C_FRAGMENT,
    C_IP_VERSION,
    C_L3,
    C_L3_END,
    C_L4,
    C_PROTOCOL,
)
from pcaps.reference import checksum_states, header_columns


def _asked(row: list[int], sums: Sums) -> bool:
    """Tell whether the transport's sum of a frame was asked for."""
    flags = {
        (6, 4): Sums.TCP_IPV4, (17, 4): Sums.UDP_IPV4,
        (6, 6): Sums.TCP_IPV6, (17, 6): Sums.UDP_IPV6,
    }  # fmt: skip
    return bool(flags.get((row[C_PROTOCOL], row[C_IP_VERSION]), Sums(0)) & sums)


def marks_of(frame: bytes, sums: Sums) -> Mark:
    """Return what an adapter says of a received frame.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    sums : Sums
        What it checks.

    Returns
    -------
    Mark
        Nothing for what is not there or not asked for.
    """
    ip, transport = checksum_states(frame)
    row, marks = header_columns(frame), Mark(0)
    if sums & Sums.IPV4:
        marks |= {GOOD: Mark.IP_SUCCEEDED, BAD: Mark.IP_FAILED}.get(ip, Mark(0))
    if _asked(row, sums):
        tcp = row[C_PROTOCOL] == 6
        good, bad = (
            (Mark.TCP_SUCCEEDED, Mark.TCP_FAILED) if tcp
            else (Mark.UDP_SUCCEEDED, Mark.UDP_FAILED)
        )  # fmt: skip
        marks |= {GOOD: good, BAD: bad}.get(transport, Mark(0))
    return marks


def completed(frame: bytes, sums: Sums) -> bytes:
    """Return a frame that is sent, with the checksums that were asked for.

    Parameters
    ----------
    frame : bytes
        The captured bytes.
    sums : Sums
        What the adapter makes.

    Returns
    -------
    bytes
        Equally long.
    """
    row, out = header_columns(frame), bytearray(frame)
    l3, l4, end = row[C_L3], row[C_L4], row[C_L3_END]
    if row[C_IP_VERSION] == 4 and sums & Sums.IPV4:
        size = 4 * (frame[l3] & 15)
        if l3 + size <= len(frame):
            out[l3 + 10 : l3 + 12] = bytes(2)
            out[l3 + 10 : l3 + 12] = internet_checksum(bytes(out[l3 : l3 + size])).to_bytes(
                2, "big"
            )
    if not _asked(row, sums) or l4 == ABSENT or row[C_FRAGMENT] or not l4 + 8 <= end <= len(frame):
        return bytes(out)
    udp = row[C_PROTOCOL] == 17
    at = l4 + (6 if udp else 16)
    if at + 2 > end or (udp and frame[at : at + 2] == bytes(2)):
        return bytes(out)
    out[at : at + 2] = bytes(2)
    addresses = out[l3 + 12 : l3 + 20] if row[C_IP_VERSION] == 4 else out[l3 + 8 : l3 + 40]
    pseudo = addresses + (end - l4).to_bytes(4, "big") + row[C_PROTOCOL].to_bytes(4, "big")
    total = internet_checksum(bytes(pseudo + out[l4:end]))
    out[at : at + 2] = (total or (0xFFFF if udp else 0)).to_bytes(2, "big")
    return bytes(out)
