"""Flooding and copying: which ports get a copy of a decided frame.

:func:`settle` turns the decision "flood VLAN v" into the final verdict: flooded
when at least one member takes a copy, otherwise dropped for the reason of the
first copy held back. :func:`list_copies` writes out every copy of a batch with
what its tag needs, for the capture writers.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, swap16, u64
from vswitch.decide_kernel import (
    R_NO_DESTINATION,
    R_SAME_PORT,
    R_TAG_ON_ACCESS,
    R_VLAN_NOT_ALLOWED,
    copy_reason,
    egress_tci,
    leaves_with_tag,
    with_egress_tpid,
)
from vswitch.image_kernel import (
    E_DROP,
    F_ACCESS,
    F_MIRROR_EGRESS,
    F_MIRROR_INGRESS,
    F_TUNNEL,
    H_LEARNING,
    H_MEMBER_START,
    H_MIRROR_PORT,
    H_TPID0,
    H_TPID1,
    H_TPID2,
    NO_PORT,
    P_FLAGS,
    P_ROW,
    port_field,
)
from vswitch.learning_kernel import has_customer_tag, word_at
from vswitch.stats_kernel import (
    S_COPIES,
    S_PORTS,
    S_SUPPRESSED,
    SP_FLOOD_CAPTURED,
    SP_FLOOD_FRAMES,
    SP_FLOOD_WIRE,
    SP_SUPPRESSED,
    STAT_WORDS,
)
from vswitch.words_kernel import (
    FLOODED,
    PUSH,
    STRIP,
    TCI_SHIFT,
    TPID_SHIFT,
    UNICAST,
    kind_of,
    low_of,
)


@kernel(forceinline=True, _nrt=False)
def takes_customer(data: Any, start: Any, caplen: Any, word: Any, target: Any, image: Any) -> Any:
    """Tell whether flooding reaches a member as far as customers' VIDs go.

    Rule: a tunnel port that lists customer VIDs emits only frames with one of them
    behind the outer tag (its ingress row says which they are); an access port none
    that came by a tunnel with a customer's VID.
    """
    port = low_of(target)
    flags = port_field(image, port, P_FLAGS)
    if flags & u64(F_ACCESS):
        vid = swap16(ld16(data, start + u64(14))) & u64(0xFFF)
        return vid == u64(0) or not has_customer_tag(data, start, word, image)
    if flags & u64(F_TUNNEL) == u64(0):
        return True
    place = u64(12) + ((word & u64(STRIP)) >> u64(16))
    if caplen < place + u64(4):
        return False
    tag_type = ld16(data, start + place)
    if tag_type != image[H_TPID0] and tag_type != image[H_TPID1] and tag_type != image[H_TPID2]:
        return False
    vid = swap16(ld16(data, start + place + u64(2))) & u64(0xFFF)
    return (image[port_field(image, port, P_ROW) + vid] & u64(E_DROP)) == u64(0)


@kernel(_nrt=False)
def settle(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_port: Any,
    word: Any,
    image: Any,
    stats: Any,
) -> Any:
    """Count the copies of a frame that is to be flooded; return its final decision word."""
    vlan = low_of(word)
    members = image[H_MEMBER_START] + vlan
    first_reason = u64(0)
    copies = u64(0)
    for place in range(image[members], image[members + u64(1)]):
        target = image[u64(place)]
        own = word_at(data, start, word, target, image)
        reason = copy_reason(data, start, wirelen, in_port, own, target, image)
        if reason == u64(R_SAME_PORT):
            continue
        if not takes_customer(data, start, caplen, word, target, image):
            continue
        port = u64(S_PORTS) + low_of(target) * u64(STAT_WORDS)
        if reason != u64(0):
            if first_reason == u64(0):
                first_reason = reason
            stats[u64(S_SUPPRESSED) + reason] += u64(1)
            stats[port + u64(SP_SUPPRESSED)] += u64(1)
            continue
        copies += u64(1)
        stats[port + u64(SP_FLOOD_FRAMES)] += u64(1)
        stats[port + u64(SP_FLOOD_WIRE)] += wirelen
        stats[port + u64(SP_FLOOD_CAPTURED)] += caplen
    if copies == u64(0):
        # Rule: a frame all of whose copies were held back has the reason of the first
        return first_reason if first_reason != u64(0) else u64(R_NO_DESTINATION)
    stats[S_COPIES] += copies
    return word


@kernel(_nrt=False)
def is_mirrored(
    data: Any, start: Any, caplen: Any, wirelen: Any, in_port: Any, word: Any, image: Any
) -> Any:
    """Tell whether the mirror port gets a copy: once a frame, whatever the number of reasons."""
    if image[H_MIRROR_PORT] == u64(NO_PORT) or image[H_MIRROR_PORT] == in_port:
        return False
    if port_field(image, in_port, P_FLAGS) & u64(F_MIRROR_INGRESS):
        # Rule: a learning switch mirrors no frame that the VLAN check of its port stopped
        stopped = word == u64(R_TAG_ON_ACCESS) or word == u64(R_VLAN_NOT_ALLOWED)
        return not (stopped and image[H_LEARNING] != u64(0))
    if kind_of(word) == u64(UNICAST):
        return (port_field(image, low_of(word), P_FLAGS) & u64(F_MIRROR_EGRESS)) != u64(0)
    if kind_of(word) == u64(FLOODED):
        members = image[H_MEMBER_START] + low_of(word)
        for place in range(image[members], image[members + u64(1)]):
            target = image[u64(place)]
            if port_field(image, low_of(target), P_FLAGS) & u64(F_MIRROR_EGRESS):
                own = word_at(data, start, word, target, image)
                if copy_reason(data, start, wirelen, in_port, own, target, image) == u64(
                    0
                ) and takes_customer(data, start, caplen, word, target, image):
                    return True
    return False


@kernel(forceinline=True, _nrt=False)
def tag_bytes(word: Any, tci: Any, image: Any) -> Any:
    """The four bytes of the tag to push, as a little-endian word in wire order."""
    index = (word >> u64(TPID_SHIFT)) & u64(3)
    tpid = u64(0x0081)  # 0x8100 as it lies in memory
    if index != u64(0):
        tpid = image[u64(H_TPID0 - 1) + index]
    return tpid | ((tci & u64(0xFF)) << u64(24)) | ((tci >> u64(8)) << u64(16))


@kernel(_nrt=False)
def list_copies(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_ports: Any,
    words: Any,
    image: Any,
    first: Any,
    out_frame: Any,
    out_port: Any,
    out_strip: Any,
    out_push: Any,
) -> Any:
    """Write out the copies of frames ``first..`` of a batch, in frame order, members in port order.

    start: int64[n]; caplen, wirelen: uint32[n]; in_ports: uint16[n]; words:
    uint64[n], settled. Returns (next frame, copies written): stops before the
    first frame whose copies might not fit the output columns.
    """
    n = u64(0)
    room = u64(out_frame.size)
    i = u64(first)
    while i < u64(words.size):
        word = words[i]
        kind = kind_of(word)
        in_port = u64(in_ports[i])
        at = u64(start[i])
        if kind == u64(UNICAST):
            if n + u64(2) > room:
                break
            out_frame[n] = i
            out_port[n] = low_of(word)
            out_strip[n] = u64((word & u64(STRIP)) != u64(0))
            out_push[n] = u64(0)
            if word & u64(PUSH):
                tci = (word >> u64(TCI_SHIFT)) & u64(0xFFFF)
                out_push[n] = tag_bytes(word, tci, image)
            n += u64(1)
        elif kind == u64(FLOODED):
            members = image[H_MEMBER_START] + low_of(word)
            if n + image[members + u64(1)] - image[members] + u64(1) > room:
                break
            for place in range(image[members], image[members + u64(1)]):
                target = image[u64(place)]
                own = word_at(data, at, word, target, image)
                if copy_reason(data, at, u64(wirelen[i]), in_port, own, target, image) != u64(0):
                    continue
                if not takes_customer(data, at, u64(caplen[i]), word, target, image):
                    continue
                out_frame[n] = i
                out_port[n] = low_of(target)
                out_strip[n] = u64((own & u64(STRIP)) != u64(0))
                out_push[n] = u64(0)
                if leaves_with_tag(target, own) != u64(0):
                    tci = egress_tci(own, target, image)
                    out_push[n] = tag_bytes(with_egress_tpid(own, target), tci, image)
                elif image[H_LEARNING] != u64(0):
                    # Rule: behind an untagged copy, tagged ones have lost their DEI (Open vSwitch)
                    word &= ~(u64(0x1000) << u64(TCI_SHIFT))
                n += u64(1)
        elif n + u64(1) > room:
            break
        if is_mirrored(data, at, u64(caplen[i]), u64(wirelen[i]), in_port, word, image):
            out_frame[n] = i
            out_port[n] = image[H_MIRROR_PORT]
            out_strip[n] = u64(0)
            out_push[n] = u64(0)
            n += u64(1)
        i += u64(1)
    return i, n
