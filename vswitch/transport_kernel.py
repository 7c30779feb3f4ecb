"""What a frame's receiver has to do for it: is it TCP, and how much payload does it carry.

A *load word* (uint32, one a frame): bits 0-1 T_DATA, T_BARE or T_OTHER; bit 2 PUSH;
bits 8-31 bytes of payload.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, prefetch, swap16, u64
from vswitch.image_kernel import H_TPID0, H_TPID1, H_TPID2

T_DATA, T_BARE, T_OTHER = 0, 1, 2
"""TCP with payload; TCP without; everything else."""
TRANSPORTS = 3
TRANSPORT_BITS = 3
PUSH = 4
PAYLOAD_SHIFT = 8

_IPV4, _IPV6 = 0x0008, 0xDD86  # 0x0800 and 0x86dd as they lie in memory
_TCP, _UDP = 6, 17
_PSH = 8
_AHEAD = 24


@kernel(forceinline=True, _nrt=False)
def load_of(data: Any, start: Any, caplen: Any, wirelen: Any, image: Any) -> Any:
    """Load word of a frame.

    A packet whose headers a capture cut is T_OTHER, without payload.
    Rule: of fragments only the first has a TCP header; they are reassembled before TCP
    sees them, so all are T_OTHER.
    """
    at = u64(12)
    ether_type = ld16(data, start + at)
    tags = u64(0)
    while tags < u64(2) and (
        ether_type == image[H_TPID0]
        or ether_type == image[H_TPID1]
        or ether_type == image[H_TPID2]
        or ether_type == u64(0x0081)
    ):
        at += u64(4)
        tags += u64(1)
        ether_type = ld16(data, start + at)
    at += u64(2)
    ip = start + at
    if ether_type == u64(_IPV4) and caplen >= at + u64(20):
        size = u64(4) * (u64(data[ip]) & u64(15))
        whole = swap16(ld16(data, ip + u64(2)))
        protocol = u64(data[ip + u64(9)])
        fragment = (swap16(ld16(data, ip + u64(6))) & u64(0x3FFF)) != u64(0)
    elif ether_type == u64(_IPV6) and caplen >= at + u64(40):
        size = u64(40)
        whole = swap16(ld16(data, ip + u64(4)))
        if whole != u64(0):
            whole += u64(40)
        protocol = u64(data[ip + u64(6)])
        fragment = False
    else:
        return u64(T_OTHER)
    # Rule: the total length is 0 in a large send that the adapter was to cut
    if whole == u64(0) or whole + at > wirelen:
        whole = max(wirelen, at) - at
    if protocol == u64(_TCP) and not fragment and caplen >= at + size + u64(14):
        own = u64(4) * (u64(data[ip + size + u64(12)]) >> u64(4))
        pushed = (u64(data[ip + size + u64(13)]) & u64(_PSH)) >> u64(1)
        if size + own >= whole:
            return pushed | u64(T_BARE)
        return ((whole - size - own) << u64(PAYLOAD_SHIFT)) | pushed | u64(T_DATA)
    if protocol == u64(_UDP) and not fragment:
        size += u64(8)
    return ((max(whole, size) - size) << u64(PAYLOAD_SHIFT)) | u64(T_OTHER)


@kernel
def loads_of(data: Any, start: Any, caplen: Any, wirelen: Any, image: Any, loads: Any) -> None:
    """Write the load words of a batch, uint32[n]; frames without a header are T_OTHER."""
    n = loads.size
    for j in range(n):
        i = u64(j)
        if j + _AHEAD < n:
            following = u64(start[i + u64(_AHEAD)])
            prefetch(data, following + u64(12))
            prefetch(data, following + u64(47))
        load = u64(T_OTHER)
        if caplen[i] >= 14:
            load = load_of(data, u64(start[i]), u64(caplen[i]), u64(wirelen[i]), image)
        loads[i] = load
