"""Header columns of a batch, compiled: Ethernet, tags, LLC, IPv4, IPv6, TCP, UDP.

Nothing is read behind a frame's captured bytes: a field that the capture cut is
absent. Columns are given as one two-dimensional array of uint64, a row a
column, see the ``C_`` constants; ABSENT stands for "not there".
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import ld16, ld32, ld64, prefetch, swap16, swap32, u64

ABSENT = 0xFFFFFFFFFFFFFFFF
(
    C_DESTINATION, C_SOURCE, C_TAGS, C_OUTER_TPID, C_OUTER_TCI, C_INNER_TPID, C_INNER_TCI,
    C_ETHERTYPE, C_L3, C_IP_VERSION, C_PROTOCOL, C_FRAGMENT, C_SOURCE_HIGH, C_SOURCE_LOW,
    C_DESTINATION_HIGH, C_DESTINATION_LOW, C_L4, C_SOURCE_PORT, C_DESTINATION_PORT, C_FLAGS,
    C_SEQUENCE, C_ACKNOWLEDGEMENT, C_WINDOW, C_PAYLOAD, C_PAYLOAD_BYTES, C_L3_END,
) = range(26)  # fmt: skip
N_COLUMNS = 26

AHEAD = 8
"""Frames whose first line is fetched ahead (cold: 100 ns a frame without, 70 with)."""

IPV4, IPV6, TCP, UDP = 0x0800, 0x86DD, 6, 17


@kernel(forceinline=True, _nrt=False)
def be16(data: Any, at: Any) -> Any:
    """16 bits in network order."""
    return swap16(ld16(data, at))


@kernel(forceinline=True, _nrt=False)
def be32(data: Any, at: Any) -> Any:
    """32 bits in network order."""
    return swap32(ld32(data, at))


@kernel(forceinline=True, _nrt=False)
def is_tag(ether_type: Any) -> Any:
    """Tell whether an EtherType is a VLAN tag's: 0x8100, 0x88A8, 0x9100."""
    return ether_type == u64(0x8100) or ether_type == u64(0x88A8) or ether_type == u64(0x9100)


@kernel(_nrt=False)
def transport(data: Any, at: Any, end: Any, columns: Any, i: Any) -> None:
    """Ports, and for TCP the rest of its header; `end` is where the IP packet or the bytes end."""
    protocol = columns[C_PROTOCOL, i]
    columns[C_L4, i] = at
    if protocol == u64(UDP) and at + u64(8) <= end:
        columns[C_SOURCE_PORT, i] = be16(data, at)
        columns[C_DESTINATION_PORT, i] = be16(data, at + u64(2))
        columns[C_PAYLOAD, i] = at + u64(8)
        columns[C_PAYLOAD_BYTES, i] = columns[C_L3_END, i] - (at + u64(8))
    elif protocol == u64(TCP) and at + u64(20) <= end:
        columns[C_SOURCE_PORT, i] = be16(data, at)
        columns[C_DESTINATION_PORT, i] = be16(data, at + u64(2))
        columns[C_SEQUENCE, i] = be32(data, at + u64(4))
        columns[C_ACKNOWLEDGEMENT, i] = be32(data, at + u64(8))
        word = be16(data, at + u64(12))
        columns[C_FLAGS, i] = word & u64(0x1FF)
        columns[C_WINDOW, i] = be16(data, at + u64(14))
        payload = at + u64(4) * (word >> u64(12))
        if word >> u64(12) >= u64(5) and payload <= columns[C_L3_END, i]:
            columns[C_PAYLOAD, i] = payload
            columns[C_PAYLOAD_BYTES, i] = columns[C_L3_END, i] - payload


@kernel(_nrt=False)
def ipv4(data: Any, at: Any, end: Any, columns: Any, i: Any) -> None:
    """IPv4 header at `at`. Rule: RFC 791, 3.1."""
    if at + u64(20) > end or u64(data[at]) >> u64(4) != u64(4):
        return
    header = u64(4) * (u64(data[at]) & u64(15))
    total = be16(data, at + u64(2))
    if header < u64(20):
        return
    columns[C_IP_VERSION, i] = u64(4)
    columns[C_PROTOCOL, i] = u64(data[at + u64(9)])
    fragment = be16(data, at + u64(6)) & u64(0x3FFF)
    columns[C_FRAGMENT, i] = u64(fragment != u64(0))
    columns[C_SOURCE_LOW, i] = be32(data, at + u64(12))
    columns[C_DESTINATION_LOW, i] = be32(data, at + u64(16))
    columns[C_SOURCE_HIGH, i] = u64(0)
    columns[C_DESTINATION_HIGH, i] = u64(0)
    if total < header:  # a length of 0 is what segmentation offload leaves: take the bytes
        columns[C_L3_END, i] = end
    else:
        columns[C_L3_END, i] = at + total
    # Rule: only the first fragment has a transport header
    if fragment & u64(0x1FFF) == u64(0):
        transport(data, at + header, end, columns, i)


@kernel(_nrt=False)
def ipv6(data: Any, at: Any, end: Any, columns: Any, i: Any) -> None:
    """IPv6 header at `at`, and its extension headers. Rule: RFC 8200, 3 and 4."""
    if at + u64(40) > end or u64(data[at]) >> u64(4) != u64(6):
        return
    columns[C_IP_VERSION, i] = u64(6)
    columns[C_SOURCE_HIGH, i] = (be32(data, at + u64(8)) << u64(32)) | be32(data, at + u64(12))
    columns[C_SOURCE_LOW, i] = (be32(data, at + u64(16)) << u64(32)) | be32(data, at + u64(20))
    columns[C_DESTINATION_HIGH, i] = (be32(data, at + u64(24)) << u64(32)) | be32(
        data, at + u64(28)
    )
    columns[C_DESTINATION_LOW, i] = (be32(data, at + u64(32)) << u64(32)) | be32(data, at + u64(36))
    length = be16(data, at + u64(4))
    columns[C_L3_END, i] = end if length == u64(0) else at + u64(40) + length
    columns[C_FRAGMENT, i] = u64(0)
    following = u64(data[at + u64(6)])
    at += u64(40)
    while True:
        columns[C_PROTOCOL, i] = following
        if following == u64(44):  # fragment header
            if at + u64(8) > end:
                return
            columns[C_FRAGMENT, i] = u64(1)
            if be16(data, at + u64(2)) & u64(0xFFF8) != u64(0):
                columns[C_PROTOCOL, i] = u64(data[at])
                return
            following = u64(data[at])
            at += u64(8)
        elif following == u64(0) or following == u64(43) or following == u64(60):
            if at + u64(8) > end:
                return
            following = u64(data[at])
            at += u64(8) * (u64(1) + u64(data[at + u64(1)]))
        elif following == u64(51):  # authentication header
            if at + u64(8) > end:
                return
            following = u64(data[at])
            at += u64(4) * (u64(2) + u64(data[at + u64(1)]))
        else:
            transport(data, at, end, columns, i)
            return


@kernel
def fill_columns(data: Any, start: Any, caplen: Any, columns: Any) -> None:
    """Fill `columns`, uint64[N_COLUMNS, n or more], for a padded batch of n frames."""
    columns[:, :] = u64(ABSENT)
    for n in range(start.size):
        i = u64(n)
        if n + AHEAD < start.size:
            prefetch(data, u64(start[n + AHEAD]))
        at = u64(start[i])
        end = at + u64(caplen[i])
        columns[C_TAGS, i] = u64(0)
        if at + u64(14) > end:
            continue
        columns[C_DESTINATION, i] = ld64(data, at) & u64(0xFFFFFFFFFFFF)
        columns[C_SOURCE, i] = ld64(data, at + u64(4)) >> u64(16)
        at += u64(12)
        ether_type = be16(data, at)
        while is_tag(ether_type) and at + u64(6) <= end:
            if columns[C_TAGS, i] == u64(0):
                columns[C_OUTER_TPID, i] = ether_type
                columns[C_OUTER_TCI, i] = be16(data, at + u64(2))
            elif columns[C_TAGS, i] == u64(1):
                columns[C_INNER_TPID, i] = ether_type
                columns[C_INNER_TCI, i] = be16(data, at + u64(2))
            columns[C_TAGS, i] += u64(1)
            at += u64(4)
            ether_type = be16(data, at)
        at += u64(2)
        if ether_type < u64(0x0600):
            # Rule: IEEE 802.3, a length: LLC follows, with SNAP an EtherType after all
            snap = at + u64(8) <= end and ld32(data, at) & u64(0xFFFFFF) == u64(0x03AAAA)
            if snap and ld32(data, at + u64(2)) >> u64(8) == u64(0):
                ether_type = be16(data, at + u64(6))
                at += u64(8)
        columns[C_ETHERTYPE, i] = ether_type
        columns[C_L3, i] = at
        if ether_type == u64(IPV4):
            ipv4(data, at, end, columns, i)
        elif ether_type == u64(IPV6):
            ipv6(data, at, end, columns, i)
