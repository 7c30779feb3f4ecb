"""TCP segments of a batch, compiled: one row a segment, and the number of its flow.

Fields called `flags` and `size` are read as ``row["flags"]``: where kernels run as plain
Python, ``row.flags`` is an attribute of numpy's own.

A flow is a 5-tuple, within a VLAN or across all of them; both directions have
one number. Nothing is read behind a frame's captured bytes; lengths come from the
IP header, so neither padding nor a snap length changes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pcaps import headers_kernel as h
from pcaps.headers_kernel import be16, be32
from pcaps.jit import kernel
from pcaps.memory import copy, u64

SEGMENT = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("ts_ns", "i8"),
                ("place", "i8"),  # where its payload is, see migration.payloads
                ("at", "i8"),  # stream position of its first byte; set by the rebuilding
                ("ack_at", "i8"),  # stream position that it acknowledges, -1 = none
                ("frame", "i8"),  # number in the captures, from 1
                ("flow", "i4"),
                ("session", "i4"),
                ("length", "i4"),  # payload bytes as IP tells them
                ("captured", "i4"),  # payload bytes that the capture holds
                ("fresh", "i4"),  # bytes that no earlier segment had
                ("sequence", "u4"),
                ("acknowledgment", "u4"),
                ("ts_value", "u4"),  # of the timestamps option
                ("vlan", "u4"),  # inner VID << 12 | outer VID
                ("window", "u2"),
                ("flags", "u2"),
                ("mss", "u2"),  # 0 = no such option
                ("order", "u2"),  # kinds of the options, a nibble each, last one lowest
                ("scale", "u1"),  # NO_SCALE = no such option
                ("options", "u1"),  # HAS_SACK, HAS_TIMESTAMPS
                ("ttl", "u1"),
                ("side", "u1"),  # 0 = sent by the sender of the flow's first frame
                ("kind", "u1"),
                ("joined", "u1"),  # 1 = put together from IP fragments
            ],
            align=True,
        ),
    )
)
"""A TCP segment of a capture."""

FLOW = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("high", "u8"), ("low", "u8"), ("peer_high", "u8"), ("peer_low", "u8"),
                ("mac", "u8"), ("peer_mac", "u8"),
                ("outer", "u4"), ("inner", "u4"),  # TPID << 16 | TCI of the first frame, 0 = none
                ("vlan", "u4"), ("port", "u2"), ("peer_port", "u2"), ("version", "u1"),
                ("both", "u1"),  # 1 = frames of both directions were seen
            ],
            align=True,
        ),
    )
)  # fmt: skip
"""A 5-tuple: the sender of its first frame, and the peer."""

HAS_SACK, HAS_TIMESTAMPS = 1, 2
NO_SCALE = 255
N_ROWS, N_FLOWS, N_MALFORMED, N_FRAGMENTS = 0, 1, 2, 3
_FACTOR = 0x9E3779B97F4A7C15


@kernel
def _end_hash(high: Any, low: Any, port: Any) -> Any:
    mixed = (high ^ (low + u64(_FACTOR)) ^ (port << u64(40))) * u64(0xFF51AFD7ED558CCD)
    return (mixed ^ (mixed >> u64(33))) * u64(_FACTOR)


@kernel
def _home(flow: Any, mask: Any) -> Any:
    """Slot at which the search for a flow begins; the same for both directions."""
    mixed = _end_hash(flow.high, flow.low, u64(flow.port)) + _end_hash(
        flow.peer_high, flow.peer_low, u64(flow.peer_port)
    )
    return ((mixed ^ u64(flow.vlan)) * u64(_FACTOR) >> u64(20)) & mask


@kernel
def enter_flows(flows: Any, n: Any, table: Any) -> None:
    """Enter the first `n` flows into an empty `table`, int32[a power of two], number + 1."""
    mask = u64(table.size) - u64(1)
    for number in range(n):
        slot = _home(flows[number], mask)
        while table[slot] != 0:
            slot = (slot + u64(1)) & mask
        table[slot] = np.int32(number + 1)


@kernel
def _find_flow(flows: Any, candidate: Any, table: Any) -> Any:
    """Return the flow of a candidate row, twice, plus 1 when it goes the other way.

    The candidate becomes a flow when it is not there yet.
    """
    mask = u64(table.size) - u64(1)
    new = flows[candidate]
    slot = _home(new, mask)
    while table[slot] != 0:
        number = table[slot] - 1
        flow = flows[number]
        if flow.vlan == new.vlan and flow.version == new.version:
            if (
                flow.high == new.high and flow.low == new.low and flow.port == new.port
                and flow.peer_high == new.peer_high and flow.peer_low == new.peer_low
                and flow.peer_port == new.peer_port
            ):  # fmt: skip
                return np.int64(2) * number
            if (
                flow.high == new.peer_high and flow.low == new.peer_low
                and flow.port == new.peer_port and flow.peer_high == new.high
                and flow.peer_low == new.low and flow.peer_port == new.port
            ):  # fmt: skip
                return np.int64(2) * number + np.int64(1)
        slot = (slot + u64(1)) & mask
    table[slot] = np.int32(candidate + 1)
    return np.int64(2) * candidate


@kernel
def _read_options(data: Any, at: Any, stop: Any, syn: Any, row: Any) -> None:
    """Read the TCP options between `at` and `stop` into a row."""
    order = u64(0)
    while at + u64(1) < stop:
        kind = u64(data[at])
        # Rule: RFC 9293 section 3.2: 0 ends the list, 1 is one octet of padding
        if kind == u64(0):
            break
        if kind == u64(1):
            at += u64(1)
            continue
        size = u64(data[at + u64(1)])
        if size < u64(2) or at + size > stop:
            break
        if kind == u64(8) and size == u64(10):
            row.options |= np.uint8(HAS_TIMESTAMPS)
            row.ts_value = np.uint32(be32(data, at + u64(2)))
        elif kind == u64(5) or (kind == u64(4) and syn):
            row.options |= np.uint8(HAS_SACK)
        elif kind == u64(2) and size == u64(4) and syn:
            row.mss = np.uint16(be16(data, at + u64(2)))
        elif kind == u64(3) and size == u64(3) and syn:
            # Rule: RFC 7323 section 2.3: a shift above 14 counts as 14
            row.scale = np.uint8(min(u64(data[at + u64(2)]), u64(14)))
        order = (order << u64(4) | (kind & u64(15))) & u64(0xFFFF)
        at += size
    row.order = np.uint16(order)


@kernel
def _vid(tci: Any) -> Any:
    return u64(0) if tci == u64(h.ABSENT) else tci & u64(0xFFF)


@kernel
def _tag(tpid: Any, tci: Any) -> Any:
    return u64(0) if tpid == u64(h.ABSENT) else tpid << u64(16) | tci


@kernel
def _candidate(c: Any, i: Any, by_vlan: Any, vlan: Any, flow: Any) -> None:
    """Fill a flow row from the header columns of frame `i`."""
    flow.high, flow.low = c[h.C_SOURCE_HIGH, i], c[h.C_SOURCE_LOW, i]
    flow.peer_high, flow.peer_low = c[h.C_DESTINATION_HIGH, i], c[h.C_DESTINATION_LOW, i]
    flow.port = np.uint16(c[h.C_SOURCE_PORT, i])
    flow.peer_port = np.uint16(c[h.C_DESTINATION_PORT, i])
    flow.mac, flow.peer_mac = c[h.C_SOURCE, i], c[h.C_DESTINATION, i]
    flow.version = np.uint8(c[h.C_IP_VERSION, i])
    flow.outer = np.uint32(_tag(c[h.C_OUTER_TPID, i], c[h.C_OUTER_TCI, i]))
    flow.inner = np.uint32(_tag(c[h.C_INNER_TPID, i], c[h.C_INNER_TCI, i]))
    flow.vlan = np.uint32(vlan) if by_vlan else np.uint32(0)
    flow.both = np.uint8(0)


@kernel
def add_segments(
    data: Any, start: Any, caplen: Any, ts_ns: Any, c: Any, first_frame: Any, base: Any,
    by_vlan: Any, joined: Any, rows: Any, flows: Any, table: Any, counts: Any,
) -> None:  # fmt: skip
    """Append the TCP segments of a batch to `rows`, and new 5-tuples to `flows`.

    `data: uint8[n_bytes]`, `start, ts_ns: int64[n]`, `caplen: uint32[n]`, `c: uint64[N_COLUMNS, n or more]`
    (header columns), `first_frame: int64[n]` frame numbers; `base` is added to payload offsets.
    `rows` and `flows` have room for n more; `counts` says how many there are.
    """
    for n in range(start.size):
        i = u64(n)
        if c[h.C_PROTOCOL, i] != u64(h.TCP):
            continue
        if c[h.C_FRAGMENT, i] == u64(1):
            counts[N_FRAGMENTS] += 1
            continue
        if c[h.C_PAYLOAD, i] == u64(h.ABSENT):
            counts[N_MALFORMED] += 1
            continue
        vlan = _vid(c[h.C_OUTER_TCI, i]) | _vid(c[h.C_INNER_TCI, i]) << u64(12)
        candidate = counts[N_FLOWS]
        _candidate(c, i, by_vlan, vlan, flows[candidate])
        found = _find_flow(flows, candidate, table)
        if found >> 1 == candidate:
            counts[N_FLOWS] += 1
        elif found & 1 and not flows[found >> 1].both:
            flows[found >> 1].both = np.uint8(1)
            flows[found >> 1].peer_mac = c[h.C_SOURCE, i]
        row = rows[counts[N_ROWS]]
        counts[N_ROWS] += 1
        flags = c[h.C_FLAGS, i]
        end = u64(start[i]) + u64(caplen[i])
        payload = c[h.C_PAYLOAD, i]
        row.ts_ns = ts_ns[i]
        row.place = np.int64(payload) + base
        row.at, row.ack_at = 0, -1
        row.frame = first_frame[i]
        row.flow = np.int32(found >> 1)
        row.session = 0
        row.length = np.int32(c[h.C_PAYLOAD_BYTES, i])
        row.captured = np.int32(
            min(end - payload, c[h.C_PAYLOAD_BYTES, i]) if payload < end else u64(0)
        )
        row.fresh = 0
        row.sequence = np.uint32(c[h.C_SEQUENCE, i])
        row.acknowledgment = np.uint32(c[h.C_ACKNOWLEDGEMENT, i])
        row.ts_value = 0
        row.vlan = np.uint32(vlan)
        row.window = np.uint16(c[h.C_WINDOW, i])
        row["flags"] = np.uint16(flags)
        row.mss, row.order = 0, 0
        row.scale, row.options = NO_SCALE, 0
        l3 = c[h.C_L3, i]
        row.ttl = data[l3 + (u64(8) if c[h.C_IP_VERSION, i] == u64(4) else u64(7))]
        row.side = np.uint8(found & 1)
        row.kind = 0
        row.joined = np.uint8(joined)
        _read_options(
            data, c[h.C_L4, i] + u64(20), min(payload, end), flags & u64(2) != u64(0), row
        )


@kernel
def pack_payloads(data: Any, rows: Any, first: Any, last: Any, to: Any, base: Any) -> Any:
    """Copy the payloads of some rows behind one another; their places then count from `base`.

    Returns the bytes copied; `to: uint8[]` has room for all.
    """
    filled = u64(0)
    for n in range(first, last):
        size = u64(rows[n].captured)
        copy(to, filled, data, u64(rows[n].place), size)
        rows[n].place = base + np.int64(filled)
        filled += size
    return np.int64(filled)
