"""Layout of the words that the decision reads and writes, and small functions on them.

*Port word* (uint64, the value beside a key in the forwarding table and in member
lists): everything about a destination that a frame needs, so that a hit costs
one load.

    bits  0-15  port number
    bits 16-47  longest frame in bytes that may leave, without 802.1Q tag (MTU + 14)
    bit  48     TO_TAGGED: leaves with a tag
    bit  49     TO_PRIORITY: leaves with a VID 0 tag if PCP > 0, else without a tag
    bits 50-61  isolation group, 0 = open
    bit  62     DISCONNECTED

*Decision word* (uint64, one a frame):

    bits  0-15  port (unicast), VLAN (flooded) or drop reason (dropped)
    bits 16-17  verdict: 0 dropped, 1 unicast, 2 flooded
    bit  18     STRIP: the outer tag of the frame as received is taken off
    bit  19     PUSH: the unicast copy leaves with the tag of bits 24-41
    bit  20     PLACED: the adapter put the frame into a VM queue, no look-up in the parent
    bit  21     LOCAL_SOURCE: came from the uplink with the source address of a local vNIC
    bits 24-39  TCI: PCP, DEI and VLAN of the frame inside the switch
    bits 40-41  TPID of the tag: 0 = 0x8100, 1 to 3 = the image's TPID 0 to 2
    bits 42-53  isolation group of the source
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64

DROPPED, UNICAST, FLOODED = 0, 1, 2

KIND_SHIFT = 16
STRIP = 1 << 18
PUSH = 1 << 19
PLACED = 1 << 20
LOCAL_SOURCE = 1 << 21
TCI_SHIFT = 24
VLAN_BITS = 0xFFF << TCI_SHIFT
TPID_SHIFT = 40
TPID_BITS = 3 << TPID_SHIFT
GROUP_SHIFT = 42
GROUP_MASK = 0xFFF
GROUP_BITS = GROUP_MASK << GROUP_SHIFT

LIMIT_SHIFT = 16
LIMIT_MAX = 0xFFFFFFFF
TO_TAGGED = 1 << 48
TO_PRIORITY = 1 << 49
PORT_GROUP_SHIFT = 50
DISCONNECTED = 1 << 62

NOT_FOUND = 0xFFFFFFFFFFFFFFFF
"""What a look-up returns for an absent key; also the key of an empty slot."""

HASH_FACTOR = 0x9E3779B97F4A7C15
"""Multiply-shift hashing: 2**64 divided by the golden ratio, odd."""


@kernel(forceinline=True, _nrt=False)
def kind_of(word: Any) -> Any:
    """Verdict of a decision word."""
    return (word >> u64(KIND_SHIFT)) & u64(3)


@kernel(forceinline=True, _nrt=False)
def low_of(word: Any) -> Any:
    """Port, VLAN or reason of a decision word; port of a port word."""
    return word & u64(0xFFFF)
