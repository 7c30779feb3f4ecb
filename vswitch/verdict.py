"""What became of a frame: three verdicts, and one reason for every drop.

Counters, command line, JSON, pcapng comments and the manual's table all take
names and sentences from here. The numbers are those of the decision words that
the kernels write (:mod:`vswitch.words_kernel`).
"""

from __future__ import annotations

from enum import IntEnum

from nic.drops import AdapterDrop


class Verdict(IntEnum):
    """The three things that can happen to a frame; each frame gets exactly one."""

    DROPPED = 0
    UNICAST = 1
    FLOODED = 2

    @property
    def label(self) -> str:
        """Name in counters and JSON."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return {
            0: "No port got the frame; the reason says why.",
            1: "Exactly one port got the frame.",
            2: "Every member of the frame's VLAN but its source was considered, at least one got it.",
        }[int(self)]


class DropReason(IntEnum):
    """Why a frame was dropped, or one copy of a flooded frame held back."""

    TRUNCATED = 1
    RUNT = 2
    MALFORMED_TAG = 3
    BAD_SOURCE = 4
    SPOOFED_SOURCE = 5
    RESERVED_VID = 6
    TAG_ON_ACCESS = 7
    VLAN_NOT_ALLOWED = 8
    RESERVED_DESTINATION = 9
    SAME_PORT = 10
    UNKNOWN_FROM_UPLINK = 11
    NO_DESTINATION = 12
    NOT_CONNECTED = 13
    ISOLATED = 14
    OVER_MTU = 15
    ADAPTER_OVER_SIZE = int(AdapterDrop.OVER_SIZE)
    VLAN_MISMATCH = int(AdapterDrop.VLAN_MISMATCH)
    NOT_ACCEPTED = int(AdapterDrop.NOT_ACCEPTED)
    RING_FULL = int(AdapterDrop.RING_FULL)

    @property
    def label(self) -> str:
        """Name in counters, JSON and pcapng comments, such as ``over-mtu``."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES.get(self) or AdapterDrop(int(self)).sentence


_SENTENCES = {
    DropReason.TRUNCATED: "The capture cut the frame before the end of its Ethernet header or tag.",
    DropReason.RUNT: "The frame is shorter than an Ethernet header (14 bytes).",
    DropReason.MALFORMED_TAG: "The frame ends inside its VLAN tag (fewer than 18 bytes).",
    DropReason.BAD_SOURCE: "The source address is a group address or all zero.",
    DropReason.SPOOFED_SOURCE: "The vNIC sent with a source address that is not its own.",
    DropReason.RESERVED_VID: "The frame carries VID 4095, which IEEE 802.1Q reserves.",
    DropReason.TAG_ON_ACCESS: "A tagged frame came in on an access port.",
    DropReason.VLAN_NOT_ALLOWED: "The ingress port does not carry the frame's VLAN.",
    DropReason.RESERVED_DESTINATION: "The destination is a link-local address that bridges never forward.",
    DropReason.SAME_PORT: "The destination lies behind the port that the frame came from.",
    DropReason.UNKNOWN_FROM_UPLINK: "The frame came from the uplink and no vNIC owns its destination.",
    DropReason.NO_DESTINATION: "No other port of the switch carries the frame's VLAN.",
    DropReason.NOT_CONNECTED: "The destination vNIC exists but is not connected.",
    DropReason.ISOLATED: "Source and destination port are isolated from each other.",
    DropReason.OVER_MTU: "The frame, as it would leave, is longer than the egress port's MTU allows.",
}
