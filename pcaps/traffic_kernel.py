"""Frames built from columns: addresses, tags, IPv4, UDP or TCP, payload, checksums.

The constant parts of the headers come from templates. The twin is scapy: see
:func:`pcaps.blueprint.as_scapy`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, st16, st32, st64, swap16, swap32, u64
from pcaps.write_kernel import copy_bytes

TEMPLATE_BYTES = 128
"""Row length of the template table: header and room for over-copies."""

_IP = 2
_L4 = 22
_PROTOCOL_TCP = 6


class Blueprint(NamedTuple):
    """The columns of :class:`pcaps.blueprint.Blueprint`."""

    ts_ns: npt.NDArray[np.int64]
    template: npt.NDArray[np.uint8]
    length: npt.NDArray[np.uint32]
    payload_bytes: npt.NDArray[np.uint32]
    payload_at: npt.NDArray[np.uint32]
    destination: npt.NDArray[np.uint64]
    source: npt.NDArray[np.uint64]
    tag: npt.NDArray[np.uint32]
    inner_tag: npt.NDArray[np.uint32]
    source_ip: npt.NDArray[np.uint32]
    destination_ip: npt.NDArray[np.uint32]
    source_port: npt.NDArray[np.uint16]
    destination_port: npt.NDArray[np.uint16]
    ip_id: npt.NDArray[np.uint16]
    sequence: npt.NDArray[np.uint32]
    acknowledgment: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint8]
    window: npt.NDArray[np.uint16]


@kernel(forceinline=True, _nrt=False)
def sum_of(data: Any, start: Any, n: Any) -> Any:
    """Sum of the little-endian 32-bit words of n bytes, the rest padded with zeros.

    Rule: RFC 1071: the one's-complement sum does not depend on the byte order.
    """
    total = u64(0)
    whole = n & ~u64(3)
    for offset in range(u64(0), whole, u64(4)):
        total += ld32(data, start + offset)
    rest = n - whole
    if rest != u64(0):
        last = ld32(data, start + whole)
        total += last & ((u64(1) << (u64(8) * rest)) - u64(1))
    return total


@kernel(forceinline=True, _nrt=False)
def folded(total: Any) -> Any:
    """One's complement of a sum, folded to 16 bits, in the byte order of its words."""
    total = (total & u64(0xFFFFFFFF)) + (total >> u64(32))
    total = (total & u64(0xFFFF)) + (total >> u64(16))
    total = (total & u64(0xFFFF)) + (total >> u64(16))
    total = (total & u64(0xFFFF)) + (total >> u64(16))
    return total ^ u64(0xFFFF)


@kernel
def build_frames(out: Any, starts: Any, columns: Any, templates: Any, sizes: Any, text: Any) -> Any:
    """Build every frame at its place.

    out: uint8[starts[-1] + length + 64]; starts: int64[n]; columns:
    Blueprint; templates: uint8[n_templates * TEMPLATE_BYTES], each from
    the EtherType on; sizes: uint64[n_templates], bytes of each template; text:
    uint8[], where payloads are cut from, 64 bytes behind the last of them.
    """
    for i in range(starts.size):
        at = u64(starts[i])
        template = u64(columns.template[i])
        head = sizes[template]
        body = u64(columns.payload_bytes[i])
        st64(out, at, columns.destination[i])
        st64(out, at + u64(6), columns.source[i])
        at += u64(12)
        tag, inner = u64(columns.tag[i]), u64(columns.inner_tag[i])
        if tag != u64(0):
            st32(out, at, tag)
            at += u64(4)
        if inner != u64(0):
            st32(out, at, inner)
            at += u64(4)
        copy_bytes(out, at, templates, template * u64(TEMPLATE_BYTES), head)
        copy_bytes(out, at + head, text, u64(columns.payload_at[i]), body)
        end = at + head + body
        while end < u64(starts[i]) + u64(columns.length[i]):  # Rule: padding is zero
            out[end] = 0
            end += u64(1)

        ip, l4 = at + u64(_IP), at + u64(_L4)
        segment = head - u64(_L4) + body
        st16(out, ip + u64(2), swap16(segment + u64(20)))
        st16(out, ip + u64(4), swap16(u64(columns.ip_id[i])))
        st16(out, ip + u64(10), u64(0))
        st32(out, ip + u64(12), u64(columns.source_ip[i]))
        st32(out, ip + u64(16), u64(columns.destination_ip[i]))
        st16(out, ip + u64(10), folded(sum_of(out, ip, u64(20))))

        st16(out, l4, swap16(u64(columns.source_port[i])))
        st16(out, l4 + u64(2), swap16(u64(columns.destination_port[i])))
        protocol = ld16(out, ip + u64(8)) & u64(0xFF00)  # a little-endian view of (TTL, protocol)
        pseudo = sum_of(out, ip + u64(12), u64(8)) + protocol + swap16(segment)
        if protocol >> u64(8) == u64(_PROTOCOL_TCP):
            st32(out, l4 + u64(4), swap32(u64(columns.sequence[i])))
            st32(out, l4 + u64(8), swap32(u64(columns.acknowledgment[i])))
            out[l4 + u64(13)] = columns.flags[i]
            st16(out, l4 + u64(14), swap16(u64(columns.window[i])))
            st16(out, l4 + u64(16), u64(0))
            st16(out, l4 + u64(16), folded(pseudo + sum_of(out, l4, segment)))
        else:
            st16(out, l4 + u64(4), swap16(segment))
            st16(out, l4 + u64(6), u64(0))
            checksum = folded(pseudo + sum_of(out, l4, segment))
            if checksum == u64(0):  # Rule: RFC 768: 0 means "no checksum", so it is sent as ffff
                checksum = u64(0xFFFF)
            st16(out, l4 + u64(6), checksum)
