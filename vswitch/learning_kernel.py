"""The decision about one frame, dialect ``learning``: a switch that learns, as Open vSwitch does.

The counterpart of :mod:`vswitch.decide_kernel`, with the same words and the same
egress checks. It changes the learned table and nothing else. Order: tag, ingress
VLAN, reserved destination, learn, look up, leave.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, ld64, rare, swap16, u64
from vswitch.decide_kernel import (
    ADDRESS_BITS,
    R_RESERVED_DESTINATION,
    RESERVED_MASK,
    RESERVED_VALUE,
    short_reason,
    to_port,
    word_of_port,
)
from vswitch.fdb_kernel import learned_find, learned_put, learned_tick
from vswitch.image_kernel import (
    E_DROP,
    E_PVID,
    E_SPECIAL,
    F_ACCESS,
    H_TPID0,
    H_TPID1,
    H_TPID2,
    HEAD_WORDS,
    NO_TAG,
    P_FLAGS,
    P_PVID_ENTRY,
    P_ROW,
    PORT_WORDS,
    port_field,
)
from vswitch.words_kernel import (
    FLOODED,
    KIND_SHIFT,
    NOT_FOUND,
    STRIP,
    TCI_SHIFT,
    TO_PRIORITY,
    TO_TAGGED,
    TPID_SHIFT,
    VLAN_BITS,
    low_of,
)


@kernel(forceinline=True, _nrt=False)
def is_vendor_reserved(destination: Any) -> Any:
    """Tell whether an address is one of the vendors' that Open vSwitch never forwards.

    EDP and EAPS 00-E0-2B-00-00-00, -04, -06; ISL 01-00-0C-00-00-00; CDP and PVST
    01-00-0C-CC-CC-CC, -CD; STP uplink fast 01-00-0C-CD-CD-CD; CFM -C0 to -C7.
    """
    low = destination & u64(0xFFFFFF)
    high = destination >> u64(24)
    if low == u64(0x2BE000):
        return high == u64(0) or high == u64(0x040000) or high == u64(0x060000)
    if low == u64(0x0C0001):
        if high == u64(0) or high == u64(0xCDCDCD):
            return True
        if high & u64(0xFFFF) == u64(0xCCCC):
            last = high >> u64(16)
            return last == u64(0xCC) or last == u64(0xCD) or last & u64(0xF8) == u64(0xC0)
    return False


@kernel(forceinline=True, _nrt=False)
def tpid_index(ether_type: Any, image: Any) -> Any:
    """TPID bits of a decision word: 0 = 0x8100, 1 to 3 = the image's TPID 0 to 2."""
    if ether_type == u64(0x0081):
        return u64(0)
    if ether_type == image[H_TPID0]:
        return u64(1)
    if ether_type == image[H_TPID1]:
        return u64(2)
    return u64(3)


@kernel(forceinline=True, _nrt=False)
def has_customer_tag(data: Any, start: Any, word: Any, image: Any) -> Any:
    """Tell whether a frame came by a tunnel port with a tag: only there the tag stays on."""
    if word & u64(STRIP):
        return False
    ether_type = ld16(data, start + u64(12))
    return (
        ether_type == image[H_TPID0] or ether_type == image[H_TPID1] or ether_type == image[H_TPID2]
    )


@kernel(forceinline=True, _nrt=False)
def word_at(data: Any, start: Any, word: Any, target: Any, image: Any) -> Any:
    """Decision word as one destination has it.

    Rule: at an access port the customer's tag comes off with the tunnel's, and its
    PCP is the frame's.
    """
    if port_field(image, low_of(target), P_FLAGS) & u64(F_ACCESS):
        if has_customer_tag(data, start, word, image):
            pcp = swap16(ld16(data, start + u64(14))) & u64(0xE000)
            return word | u64(STRIP) | (pcp << u64(TCI_SHIFT))
    return word


@kernel(forceinline=True, _nrt=False)
def decide_learning(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_port: Any,
    now: Any,
    image: Any,
    learned: Any,
) -> Any:
    """Return the decision word of one frame, and learn from it.

    data: uint8[n_bytes], at least 64 readable bytes behind the frame; start,
    caplen, wirelen, in_port: uint64; now: uint64, nanoseconds; image, learned:
    uint64[], see :mod:`vswitch.image_kernel` and :mod:`vswitch.fdb_kernel`.
    """
    learned_tick(learned, now)
    destination = ld64(data, start) & u64(ADDRESS_BITS)
    source = ld64(data, start + u64(4)) >> u64(16)
    ether_type = ld16(data, start + u64(12))
    tagged = u64(
        (ether_type == image[H_TPID0])
        | (ether_type == image[H_TPID1])
        | (ether_type == image[H_TPID2])
    )
    if rare(caplen < u64(18)):
        if caplen < u64(14):
            return short_reason(wirelen, u64(0))
        if tagged != u64(0):
            return short_reason(wirelen, tagged)
    port = u64(HEAD_WORDS) + in_port * u64(PORT_WORDS)
    mask = u64(0) - tagged
    tci = swap16(ld16(data, start + u64(14))) & mask
    entry = image[image[port + u64(P_ROW)] + ((tci & u64(0xFFF)) | (u64(NO_TAG) & ~mask))]
    if entry & u64(E_SPECIAL):
        if entry & u64(E_DROP):
            return entry & u64(0xFF)
        if entry & u64(E_PVID):
            entry = image[port + u64(P_PVID_ENTRY)] | (tagged << u64(18))
    word = entry & ~u64(E_SPECIAL)
    if entry & u64(STRIP):
        # Rule: PCP and TPID go with the frame; DEI only while the VID stays the same
        keep = u64(0xF000)
        if (tci & u64(0xFFF)) << u64(TCI_SHIFT) != entry & u64(VLAN_BITS):
            keep = u64(0xE000)
        word |= (tci & keep) << u64(TCI_SHIFT)
        word |= tpid_index(ether_type, image) << u64(TPID_SHIFT)
    # Rule: nothing is learned from a frame to a reserved destination
    if rare(destination & u64(RESERVED_MASK) == u64(RESERVED_VALUE)) or is_vendor_reserved(
        destination
    ):
        return u64(R_RESERVED_DESTINATION)
    vlan_key = (entry & u64(VLAN_BITS)) << u64(24)
    if source & u64(1) == u64(0):
        learned_put(learned, vlan_key | source, in_port, now)
    vlan = vlan_key >> u64(48)
    if destination & u64(1) == u64(0):
        owner = learned_find(learned, vlan_key | destination)
        if owner != u64(NOT_FOUND):
            target = word_of_port(image, owner, vlan)
            if rare((vlan == u64(0)) & (target & u64(TO_TAGGED) != u64(0))):
                # Rule: VLAN 0 leaves untagged, or with a VID 0 tag for its PCP, by any port
                target ^= u64(TO_TAGGED | TO_PRIORITY)
            if rare((tagged != u64(0)) & (word & u64(STRIP) == u64(0))):
                word = word_at(data, start, word, target, image)
            return to_port(data, start, wirelen, in_port, word, target, image)
    return word | vlan | u64(FLOODED << KIND_SHIFT)
