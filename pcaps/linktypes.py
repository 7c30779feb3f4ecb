"""Link types of captures: the one that is switched, and names for the others' messages."""

from __future__ import annotations

ETHERNET = 1

_NAMES = {
    0: "BSD loopback",
    9: "PPP",
    12: "raw IP",
    14: "raw IP",
    50: "PPP over serial",
    51: "PPPoE session",
    101: "raw IP",
    104: "Cisco HDLC",
    105: "IEEE 802.11 wireless",
    108: "OpenBSD loopback",
    113: "Linux cooked",
    119: "802.11 with Prism header",
    127: "802.11 with radiotap header",
    147: "user-defined 0",
    187: "Bluetooth HCI",
    189: "USB",
    192: "per-packet information",
    195: "IEEE 802.15.4",
    220: "USB on Linux",
    227: "CAN bus",
    228: "raw IPv4",
    229: "raw IPv6",
    239: "netfilter log",
    249: "USBPcap",
    252: "Wireshark upper PDU",
    253: "netlink",
    274: "Ethernet with mPacket preamble",
    276: "Linux cooked v2",
}


def linktype_name(linktype: int) -> str:
    """Return what people call a link type.

    Parameters
    ----------
    linktype : int
        Number from the registry of link types.

    Returns
    -------
    str
        A name, or ``unknown``.
    """
    return "Ethernet" if linktype == ETHERNET else _NAMES.get(linktype, "unknown")
