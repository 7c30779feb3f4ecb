"""The decision about one frame, dialect ``hyperv``: the one compiled function.

Replay, simulation and live mode call it; :mod:`vswitch.reference` is its plain
twin and specification. It reads the frame and the image and returns a decision
word (:mod:`vswitch.words_kernel`). It changes nothing but the secondary addresses
of ports that may send with any source. Whether a flooded frame finds a member
that takes it is decided by the expansion in :mod:`vswitch.copies_kernel`.

The order of the checks is the rule: the first that fails names the reason.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, ld64, rare, swap16, u64
from vswitch.fdb_kernel import learned_find, learned_put
from vswitch.image_kernel import (
    E_CHECK_INNER,
    E_DROP,
    E_PVID,
    E_SPECIAL,
    F_ALWAYS_UNTAGGED,
    F_CHECK_SOURCE,
    F_LEARN_SECONDARY,
    F_SPOOF_GUARD,
    F_UPLINK,
    H_GROUPS,
    H_SECONDARY,
    H_TPID0,
    H_TPID1,
    H_TPID2,
    H_UPLINK,
    HEAD_WORDS,
    ISOLATED_GROUP,
    NO_PORT,
    NO_TAG,
    P_FLAGS,
    P_MAC,
    P_NATIVE,
    P_PVID_ENTRY,
    P_ROW,
    P_WORD,
    PORT_WORDS,
    look_up,
    port_field,
)
from vswitch.words_kernel import (
    DISCONNECTED,
    FLOODED,
    GROUP_BITS,
    GROUP_MASK,
    GROUP_SHIFT,
    KIND_SHIFT,
    LIMIT_MAX,
    LIMIT_SHIFT,
    LOCAL_SOURCE,
    NOT_FOUND,
    PLACED,
    PORT_GROUP_SHIFT,
    PUSH,
    STRIP,
    TCI_SHIFT,
    TO_PRIORITY,
    TO_TAGGED,
    TPID_BITS,
    TPID_SHIFT,
    UNICAST,
    VLAN_BITS,
)

R_TRUNCATED, R_RUNT, R_MALFORMED_TAG, R_BAD_SOURCE, R_SPOOFED_SOURCE = 1, 2, 3, 4, 5
R_RESERVED_VID, R_TAG_ON_ACCESS, R_VLAN_NOT_ALLOWED, R_RESERVED_DESTINATION = 6, 7, 8, 9
R_SAME_PORT, R_UNKNOWN_FROM_UPLINK, R_NO_DESTINATION, R_NOT_CONNECTED = 10, 11, 12, 13
R_ISOLATED, R_OVER_MTU = 14, 15

ADDRESS_BITS = 0xFFFFFFFFFFFF
# 01-80-C2-00-00-0X: the first five bytes, little-endian, and 0 in the high half of the sixth
RESERVED_MASK = 0xF0FFFFFFFFFF
RESERVED_VALUE = 0x0000C28001


@kernel(forceinline=True, _nrt=False)
def short_reason(wirelen: Any, tagged: Any) -> Any:
    """Reason for a frame whose captured bytes end before its header or tag does.

    Rule: a cut capture is not the sender's fault, so the wire length decides
    between truncated on the one side and runt or malformed-tag on the other.
    """
    if wirelen >= u64(14) + u64(4) * tagged:
        return u64(R_TRUNCATED)
    if tagged != u64(0):
        return u64(R_MALFORMED_TAG)
    return u64(R_RUNT)


@kernel(forceinline=True, _nrt=False)
def blocked(image: Any, source: Any, destination: Any) -> Any:
    """Tell whether two isolation groups may not exchange frames.

    Rule: group 0 (open, promiscuous) talks to all; a community to itself; an
    isolated group not even to itself.
    """
    if source == u64(0) or destination == u64(0):
        return False
    if source != destination:
        return True
    return (image[image[H_GROUPS] + source] & u64(ISOLATED_GROUP)) != u64(0)


@kernel(forceinline=True, _nrt=False)
def over_limit(data: Any, start: Any, word: Any, length: Any, limit: Any, push: Any) -> Any:
    """Egress length check: MTU + 14, and 4 more if the leaving frame starts with 0x8100.

    length: bytes of the frame inside the switch, without the tag that was stripped.
    """
    if push != u64(0):
        if (word >> u64(TPID_SHIFT)) & u64(3) == u64(0):
            return length > limit
        return length + u64(4) > limit
    if length <= limit:
        return False
    ether_type = start + u64(12)
    if word & u64(STRIP):
        ether_type += u64(4)
    if ld16(data, ether_type) == u64(0x0081):
        return length > limit + u64(4)
    return True


@kernel(forceinline=True, _nrt=False)
def leaves_with_tag(target: Any, word: Any) -> Any:
    """1 when a copy to this port word leaves with a tag, else 0."""
    if target & u64(TO_TAGGED):
        return u64(1)
    if target & u64(TO_PRIORITY) and (word >> u64(TCI_SHIFT + 13)) & u64(7) != u64(0):
        return u64(1)
    return u64(0)


@kernel(forceinline=True, _nrt=False)
def with_egress_tpid(word: Any, target: Any) -> Any:
    """Decision word with the TPID that a copy to this port word leaves with.

    Rule: a tag made to carry the priority alone is 0x8100; only VLAN 0 of a trunk
    keeps the TPID that it came with (as Open vSwitch).
    """
    if target & u64(TO_PRIORITY) and word & u64(VLAN_BITS) != u64(0):
        return word & ~u64(TPID_BITS)
    return word


@kernel(forceinline=True, _nrt=False)
def copy_reason(
    data: Any, start: Any, wirelen: Any, in_port: Any, word: Any, target: Any, image: Any
) -> Any:
    """Reason that keeps one copy from a port, 0 when it may leave there."""
    if target & u64(0xFFFF) == in_port:
        return u64(R_SAME_PORT)
    if target & u64(DISCONNECTED):
        return u64(R_NOT_CONNECTED)
    source = (word >> u64(GROUP_SHIFT)) & u64(GROUP_MASK)
    if blocked(image, source, (target >> u64(PORT_GROUP_SHIFT)) & u64(GROUP_MASK)):
        return u64(R_ISOLATED)
    length = wirelen - ((word & u64(STRIP)) >> u64(16))
    limit = (target >> u64(LIMIT_SHIFT)) & u64(LIMIT_MAX)
    word = with_egress_tpid(word, target)
    if over_limit(data, start, word, length, limit, leaves_with_tag(target, word)):
        return u64(R_OVER_MTU)
    return u64(0)


@kernel(forceinline=True, _nrt=False)
def egress_tci(word: Any, target: Any, image: Any) -> Any:
    """TCI of the tag that a copy leaves with (only asked when it does)."""
    tci = (word >> u64(TCI_SHIFT)) & u64(0xFFFF)
    if target & u64(TO_PRIORITY):  # leaves with VID 0
        return tci & u64(0xF000)
    # Rule: private VLANs show their secondary VID on a trunk
    group = (word >> u64(GROUP_SHIFT)) & u64(GROUP_MASK)
    if group != u64(0):
        secondary = image[image[H_GROUPS] + group] & u64(0xFFF)
        if secondary != u64(0):
            return (tci & u64(0xF000)) | secondary
    return tci


@kernel(_nrt=False)
def to_unusual_port(
    data: Any, start: Any, wirelen: Any, in_port: Any, word: Any, target: Any, image: Any
) -> Any:
    """Finish a unicast decision for which one of the rare conditions may hold."""
    reason = copy_reason(data, start, wirelen, in_port, word, target, image)
    if reason != u64(0):
        return reason
    if leaves_with_tag(target, word) != u64(0):
        tci = egress_tci(word, target, image)
        word = with_egress_tpid(word, target)
        word = (word & ~(u64(0xFFFF) << u64(TCI_SHIFT))) | (tci << u64(TCI_SHIFT)) | u64(PUSH)
    return word | (target & u64(0xFFFF)) | u64(UNICAST << KIND_SHIFT)


@kernel(forceinline=True, _nrt=False)
def to_port(
    data: Any, start: Any, wirelen: Any, in_port: Any, word: Any, target: Any, image: Any
) -> Any:
    """Last checks of a unicast frame against the port word of its destination."""
    length = wirelen - ((word & u64(STRIP)) >> u64(16))
    limit = (target >> u64(LIMIT_SHIFT)) & u64(LIMIT_MAX)
    port = target & u64(0xFFFF)
    unusual = (target & u64(TO_PRIORITY | DISCONNECTED)) | (word & u64(GROUP_BITS | TPID_BITS))
    if rare((unusual != u64(0)) | (port == in_port) | (length > limit)):
        return to_unusual_port(data, start, wirelen, in_port, word, target, image)
    # bit 48 of the port word, TO_TAGGED, is bit 19 of the decision word, PUSH
    return word | port | u64(UNICAST << KIND_SHIFT) | ((target >> u64(29)) & u64(PUSH))


@kernel(forceinline=True, _nrt=False)
def word_of_port(image: Any, port: Any, vlan: Any) -> Any:
    """Port word of any port for a frame of `vlan`, without asking for membership."""
    word = port_field(image, port, P_WORD)
    if vlan != port_field(image, port, P_NATIVE):
        if port_field(image, port, P_FLAGS) & u64(F_ALWAYS_UNTAGGED) == u64(0):
            word = (word & ~u64(TO_PRIORITY)) | u64(TO_TAGGED)
    return word


@kernel(_nrt=False)
def unknown_unicast(image: Any, learned: Any, flags: Any, key: Any) -> Any:
    """Port word for a destination that is no vNIC's own address, or a reason.

    Rule: a secondary address, learned from a port that may send with any source,
    belongs to that port; what nobody here owns goes out by the uplink.
    """
    vlan = key >> u64(48)
    if image[H_SECONDARY] != u64(0):
        owner = learned_find(learned, key)
        if owner != u64(NOT_FOUND):
            return word_of_port(image, owner, vlan)
    if flags & u64(F_UPLINK):
        return u64(R_UNKNOWN_FROM_UPLINK)
    uplink = image[H_UPLINK]
    if uplink == u64(NO_PORT):
        return u64(R_NO_DESTINATION)
    index = vlan
    if vlan == u64(0):
        index = u64(NO_TAG)
    if image[port_field(image, uplink, P_ROW) + index] & u64(E_DROP):
        return u64(R_NO_DESTINATION)
    return word_of_port(image, uplink, vlan)


@kernel(forceinline=True, _nrt=False)
def decide(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_port: Any,
    placed: Any,
    image: Any,
    learned: Any,
) -> Any:
    """Return the decision word of one frame.

    data: uint8[n_bytes], at least 64 readable bytes behind the frame; start,
    caplen, wirelen, in_port: uint64; placed: port word of the VM queue that the
    adapter chose, NOT_FOUND when the frame came by the default queue; image:
    uint64[], see :mod:`vswitch.image_kernel`; learned: uint64[], secondary
    addresses, see :mod:`vswitch.fdb_kernel`.
    """
    destination = ld64(data, start) & u64(ADDRESS_BITS)
    source = ld64(data, start + u64(4)) >> u64(16)
    ether_type = ld16(data, start + u64(12))
    tagged = u64(
        (ether_type == image[H_TPID0])
        | (ether_type == image[H_TPID1])
        | (ether_type == image[H_TPID2])
    )
    # Rule: lengths come first. Bytes behind a short frame are padding: they may look like a tag.
    if rare(caplen < u64(18)):
        if caplen < u64(14):
            return short_reason(wirelen, u64(0))
        if tagged != u64(0):
            return short_reason(wirelen, tagged)
    port = u64(HEAD_WORDS) + in_port * u64(PORT_WORDS)
    flags = image[port + u64(P_FLAGS)]
    # Rule: a group or zero address never sends; a guarded vNIC sends with its own address only
    if flags & u64(F_CHECK_SOURCE) and rare((source & u64(1) != u64(0)) | (source == u64(0))):
        return u64(R_BAD_SOURCE)
    if flags & u64(F_SPOOF_GUARD) and rare(source != image[port + u64(P_MAC)]):
        return u64(R_SPOOFED_SOURCE)
    # Rule: one load says what this port makes of this VID
    mask = u64(0) - tagged
    tci = swap16(ld16(data, start + u64(14))) & mask
    entry = image[image[port + u64(P_ROW)] + ((tci & u64(0xFFF)) | (u64(NO_TAG) & ~mask))]
    if entry & u64(E_SPECIAL):
        if entry & u64(E_DROP):
            return entry & u64(0xFF)
        # Rule: access port, VID 0 with another tag behind it: no VLAN hopping
        if entry & u64(E_CHECK_INNER) and ld16(data, start + u64(16)) == u64(0x0081):
            return u64(R_TAG_ON_ACCESS)
        if entry & u64(E_PVID):
            entry = image[port + u64(P_PVID_ENTRY)] | (tagged << u64(18))
    word = (entry & ~u64(E_SPECIAL)) | ((tci & u64(0xF000)) << u64(TCI_SHIFT))
    vlan_key = (entry & u64(VLAN_BITS)) << u64(24)
    if flags & u64(F_UPLINK):
        if rare(look_up(image, vlan_key | source) != u64(NOT_FOUND)):
            word |= u64(LOCAL_SOURCE)
    elif rare(flags & u64(F_LEARN_SECONDARY) != u64(0)) and source != image[port + u64(P_MAC)]:
        learned_put(learned, vlan_key | source, in_port, u64(0))
    if placed != u64(NOT_FOUND):
        return to_port(data, start, wirelen, in_port, word | u64(PLACED), placed, image)
    if destination & u64(1):
        # Rule: 01-80-C2-00-00-00 to -0F stay on their link
        if destination & u64(RESERVED_MASK) == u64(RESERVED_VALUE):
            return u64(R_RESERVED_DESTINATION)
        return word | (vlan_key >> u64(48)) | u64(FLOODED << KIND_SHIFT)
    target = look_up(image, vlan_key | destination)
    if rare(target == u64(NOT_FOUND)):
        target = unknown_unicast(image, learned, flags, vlan_key | destination)
        if target <= u64(0xFF):
            return target
    return to_port(data, start, wirelen, in_port, word, target, image)
