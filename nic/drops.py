"""Why the adapter itself drops a frame, before any queue or the parent sees it."""

from __future__ import annotations

from enum import IntEnum


class AdapterDrop(IntEnum):
    """Reasons of the adapter; the numbers continue in ``vswitch.verdict.DropReason``.

    Sources: NDIS documentation, network/security-issues-with-ndis-virtual-
    machine--vm--shared-memory (VLAN mismatch), network/vmq-receive-filters and
    the netvmini 6x sample (packet filter).
    """

    OVER_SIZE = 40
    VLAN_MISMATCH = 41
    NOT_ACCEPTED = 42
    RING_FULL = 43

    @property
    def label(self) -> str:
        """Name in counters, JSON and comments."""
        return {40: "adapter-over-size", 41: "vlan-mismatch", 42: "not-accepted", 43: "ring-full"}[
            int(self)
        ]

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return {
            40: "The frame is longer than the adapter's jumbo setting (*JumboPacket) allows.",
            41: "A receive filter has this MAC but another VLAN, and the adapter drops such frames.",
            42: "No receive filter matches and the adapter's packet filter does not take the address.",
            43: "The queue has no free receive buffer: the host processes frames slower than they come.",
        }[int(self)]
