"""How the network learns where a VM is now: who announces, when, with which frames.

Until a frame with the VM's source MAC comes from the new port, switches send its frames to the
old one. A policy is a schedule relative to the resumption; a guest whose driver takes its link
down for a while sends nothing in between.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pcaps.addresses import BROADCAST_KEY, is_group
from pcaps.errors import BadInput

MS = 1_000_000
FrameKind = Literal["rarp", "garp"]
MINIMUM_BYTES = 60
"""Shortest Ethernet frame without FCS (IEEE 802.3, 4A.2.3.2.4)."""

ARP, RARP, TAG = 0x0806, 0x8035, 0x8100
REQUEST, RARP_REQUEST = 1, 3

RARP_ROUNDS = 5
RARP_INITIAL_NS, RARP_STEP_NS, RARP_MOST_NS = 50 * MS, 100 * MS, 550 * MS
"""`announce-initial`, `-step`, `-max`, `-rounds` (QEMU migration/options.c)."""
ANNOUNCE_NUM, ANNOUNCE_INTERVAL_NS = 2, 2_000 * MS
"""RFC 5227 section 1.1."""
GUEST_DELAY_NS = 15 * MS
"""Resumption to the guest's own first ARP: median of nine measured moves, 11 to 38 ms."""
NETVSC_DOWN_NS = 2_000 * MS
"""`LINKCHANGE_INT`, 2 * HZ (Linux drivers/net/hyperv/netvsc_drv.c 42)."""


def rarp_offsets() -> tuple[int, ...]:
    """Return when QEMU sends its RARP frames, in ns after the resumption.

    Rule: QEMU net/announce.c: gap k is min(max, initial + k * step)
    """
    offsets = [0]
    for k in range(RARP_ROUNDS - 1):
        offsets.append(offsets[-1] + min(RARP_MOST_NS, RARP_INITIAL_NS + k * RARP_STEP_NS))
    return tuple(offsets)


@dataclass(frozen=True)
class Announcement:
    """A way to announce a VM.

    Parameters
    ----------
    name : str
    title : str
        One sentence: who announces, with what.
    frames : tuple of (int, str)
        When, in ns after the resumption, and which kind of frame.
    silent_ns : int
        How long after the resumption the guest sends nothing at all.
    source : str
        Where it is known from.
    """

    name: str
    title: str
    frames: tuple[tuple[int, FrameKind], ...]
    silent_ns: int
    source: str


ANNOUNCEMENTS: dict[str, Announcement] = {
    one.name: one
    for one in (
        Announcement(
            "none",
            "Nobody; the MAC moves with the guest's first ordinary frame.",
            (),
            0,
            "by definition",
        ),
        Announcement(
            "rarp5",
            "The host sends five RARP requests in the guest's name.",
            tuple((offset, "rarp") for offset in rarp_offsets()),
            0,
            "read: QEMU net/announce.c; measured: 0, 50, 200, 450, 800 ms",
        ),
        Announcement(
            "garp2",
            "Two gratuitous ARP requests, two seconds apart.",
            tuple((k * ANNOUNCE_INTERVAL_NS, "garp") for k in range(ANNOUNCE_NUM)),
            0,
            "read: RFC 5227 sections 1.1, 2.3",
        ),
        Announcement(
            "guest-garp",
            "The guest announces itself when its virtio device tells it to, five rounds.",
            tuple((GUEST_DELAY_NS + offset, "garp") for offset in rarp_offsets()),
            0,
            "measured: first ARP 11 to 38 ms after the resumption; rounds read: QEMU net/announce.c",
        ),
        Announcement(
            "netvsc",
            "A Linux guest on Hyper-V takes its link down for 2 s, then sends a gratuitous ARP.",
            ((NETVSC_DOWN_NS, "garp"),),
            NETVSC_DOWN_NS,
            "read: Linux drivers/net/hyperv/netvsc_drv.c 42, 2010-2110",
        ),
        Announcement(
            "windows-guest",
            "A Windows guest sends a gratuitous ARP when its adapter tells of a network change.",
            ((0, "garp"),),
            0,
            "believed: no delay is published; the host's notice is read (TechNet wiki 2741)",
        ),
    )
}
"""Name -> announcement."""


def announcement(name: str) -> Announcement:
    """Return an announcement by name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Announcement

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    if name in ANNOUNCEMENTS:
        return ANNOUNCEMENTS[name]
    close = get_close_matches(name, ANNOUNCEMENTS, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(ANNOUNCEMENTS)}"
    raise BadInput(f"there is no announcement '{name}'; {hint}")


def announce_times(name: str) -> tuple[tuple[int, FrameKind], ...]:
    """Return when which frames are sent, in ns after the resumption.

    Parameters
    ----------
    name : str
        See :data:`ANNOUNCEMENTS`.
    """
    return announcement(name).frames


def announce_frame(
    kind: FrameKind, mac: int, ip: str | None = None, tci: int | None = None
) -> bytes:
    """Return the frame that announces a VM.

    Parameters
    ----------
    kind : {"rarp", "garp"}
    mac : int
        Key of the VM's address, see :mod:`pcaps.addresses`.
    ip : str, optional
        IPv4 address; a gratuitous ARP needs it.
    tci : int, optional
        Tag control information of an 802.1Q tag; None for an untagged frame.

    Returns
    -------
    bytes
        Padded to 60 bytes, without FCS.

    Raises
    ------
    BadInput
        For a group address as MAC, or a gratuitous ARP without an IPv4 address.
    """
    if not 0 <= mac < 1 << 48 or is_group(mac):
        raise BadInput("a VM cannot be announced by a group address; give its own MAC")
    station = mac.to_bytes(6, "little")
    address = bytes(4)
    if kind == "garp":
        address = _ipv4(ip)
    ethertype, operation = (RARP, RARP_REQUEST) if kind == "rarp" else (ARP, REQUEST)
    # Rule: RFC 903: the target of a RARP request is its sender. RFC 5227 section 2.3: an ARP
    # announcement has the sender's address in both protocol fields, and no target hardware address
    target = station if kind == "rarp" else bytes(6)
    body = (
        bytes.fromhex("0001" "0800" "06" "04")
        + operation.to_bytes(2, "big")
        + station + address + target + address
    )  # fmt: skip
    tag = b"" if tci is None else TAG.to_bytes(2, "big") + tci.to_bytes(2, "big")
    frame = (
        BROADCAST_KEY.to_bytes(6, "little") + station + tag + ethertype.to_bytes(2, "big") + body
    )
    return frame.ljust(MINIMUM_BYTES, b"\0")


def _ipv4(ip: str | None) -> bytes:
    try:
        return ipaddress.IPv4Address(ip or "").packed
    except ipaddress.AddressValueError:
        raise BadInput(
            f"a gratuitous ARP needs the VM's IPv4 address, not '{ip or ''}'; give one such as 10.0.0.5"
        ) from None
