"""Sessions and stream positions of segments, compiled.

The segments of a flow are walked once, in the order of the capture. Each gets a
session, a stream position (0 is the first byte behind the SYN; positions are
64-bit and never wrap), the position that it acknowledges, and a kind. Which bytes
each segment was the first to show is left to :mod:`migration.pieces_kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.segments_kernel import NO_SCALE
from pcaps.jit import kernel

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# What a segment is. Data is NEW, OUT_OF_ORDER (new bytes below the highest seen) or
# RETRANSMISSION (no new byte); STRAY belongs to no stream: its numbers are impossible.
PURE_ACK, NEW, OUT_OF_ORDER, RETRANSMISSION, KEEPALIVE, WINDOW_PROBE = 0, 1, 2, 3, 4, 5
WINDOW_UPDATE, DUPLICATE_ACK, OPENING, CLOSING, RESET, STRAY = 6, 7, 8, 9, 10, 11

UNKNOWN, GUESSED, SEEN = 0, 1, 2
"""What is known of a side's initial sequence number."""

UNDECIDED = 255
NO_ACK = -(1 << 62)
"""Stands in `ack_at` of segments that acknowledge nothing, or nothing possible."""

SECOND = 1_000_000_000
OLD_NS = 240 * SECOND
"""Rule: RFC 9293 section 3.4.2, TIME-WAIT is 2 MSL, 4 minutes."""

FAR = 1 << 20
"""Bytes that a number may be ahead of the window before it needs a second segment to agree."""

SIDE = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("top", "i8"),  # highest position sent
                ("acked", "i8"),  # highest position the peer acknowledged
                ("fin", "i8"),  # position of the FIN, -1 = none
                ("low", "i8"),  # lowest position, below 0 where the start was guessed too high
                ("doubtful", "i8"),  # end of a segment far ahead that nothing has confirmed
                ("doubtful_row", "i8"),
                ("doubtful_ack", "i8"),  # acknowledgment far ahead, by this side
                ("size", "i8"),  # bytes of the stream
                ("lost", "i8"),  # of these: acknowledged or passed, but never seen
                ("cut", "i8"),  # of these: seen, but cut off by the snap length
                ("first_piece", "i8"),
                ("pieces", "i8"),
                ("data_bytes", "i8"),  # payload bytes of all its segments
                ("isn", "u4"),
                ("ts_first", "u4"),
                ("frames", "i4"),
                ("syns", "i4"),
                ("largest", "i4"),  # longest payload
                ("window", "i4"),  # last window field outside of SYNs, -1 = none
                ("top_window", "i4"),  # largest window field outside of SYNs
                ("first_window", "i4"),
                ("last_ack", "i8"),  # last position that this side acknowledged, or NO_ACK
                ("retransmissions", "i4"),
                ("out_of_order", "i4"),
                ("duplicate_acks", "i4"),
                ("keepalives", "i4"),
                ("window_probes", "i4"),
                ("stray", "i4"),
                ("superframes", "i4"),
                ("mss", "u2"),
                ("order", "u2"),
                ("known", "u1"),
                ("scale", "u1"),
                ("needed_scale", "u1"),  # smallest shift that lets the peer's flights fit
                ("tested", "u1"),  # 1 = a flight filled half of the window at that shift
                ("options", "u1"),
                ("seen_options", "u1"),
                ("ttl", "u1"),
                ("reset", "u1"),
                ("spoke", "u1"),
            ],
            align=True,
        ),
    )
)
"""One direction of a session: what its sender showed."""

SESSION = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("first", "i8"),  # rows of this session: first, and how many
                ("count", "i8"),
                ("first_frame", "i8"),
                ("start_ns", "i8"),
                ("end_ns", "i8"),  # latest time
                ("last_ns", "i8"),  # time of the last frame
                ("vlan", "u4"),
                ("flow", "i4"),
                ("client", "u1"),
                ("opener", "u1"),
                ("established", "u1"),
                ("simultaneous", "u1"),
                ("backward", "u1"),
                ("fragmented", "u1"),
                ("crosses", "u1"),
            ],
            align=True,
        ),
    )
)
"""A connection. Its sides are rows 2n and 2n + 1 of the array of sides."""


@kernel
def signed32(difference: Any) -> Any:
    """Return the difference of two sequence numbers, by the shorter way round."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@kernel
def position(side: Any, sequence: Any) -> Any:
    """Return the stream position of a sequence number, nearest to the highest known one."""
    near = max(side.top, side.acked)
    return near + signed32(np.int64(sequence) - np.int64(side.isn) - 1 - near)


@kernel
def allowance(side: Any, peer: Any) -> Any:
    """Return how far ahead of everything known a number may be: twice the window, and FAR."""
    shift = 0 if peer.scale == NO_SCALE else np.int64(peer.scale)
    return FAR + ((2 * np.int64(peer.top_window)) << shift)


@kernel
def _closed(one: Any, other: Any) -> Any:
    return one.reset or other.reset or (one.fin >= 0 and other.fin >= 0)


@kernel
def begins_session(session: Any, me: Any, peer: Any, row: Any) -> Any:
    """Tell whether a segment opens a new connection of a 5-tuple that was used before.

    Rule: RFC 9293 section 3.6.1 and 3.10.7.4, a SYN for a connection that is
    closed, in TIME-WAIT, never came to be, or has its window elsewhere.
    """
    closed = _closed(me, peer)
    if not row["flags"] & SYN:
        if not closed or row["flags"] & RST or me.known == UNKNOWN:
            return False
        return abs(position(me, row.sequence) - me.top) > allowance(me, peer)
    if me.known == UNKNOWN:
        return bool(peer.known == GUESSED and peer.spoke)
    if row["flags"] & ACK and peer.known == GUESSED and peer.spoke:
        if signed32(np.int64(row.acknowledgment) - 1 - np.int64(peer.isn)) != 0:
            return True
    if row.sequence == me.isn:
        return False
    if closed or not session.established or row.ts_ns - session.last_ns > OLD_NS:
        return True
    ahead = position(me, row.sequence) - me.acked
    return not 0 <= ahead < allowance(me, peer)


@kernel
def _clear(side: Any) -> None:
    side.fin, side.doubtful, side.doubtful_row, side.doubtful_ack = -1, -1, -1, -1
    side.last_ack, side.window = NO_ACK, -1
    side.scale = NO_SCALE


@kernel
def _open_session(session: Any, sides: Any, number: Any, rows: Any, at: Any) -> None:
    row = rows[at]
    session.first, session.count, session.flow = at, 0, row.flow
    session.start_ns = session.end_ns = session.last_ns = row.ts_ns
    session.first_frame, session.vlan = row.frame, row.vlan
    session.client, session.opener = UNDECIDED, row.side
    _clear(sides[2 * number])
    _clear(sides[2 * number + 1])


@kernel
def _know(side: Any, isn: Any) -> None:
    """Note a side's initial sequence number, which a SYN or its acknowledgment told."""
    if side.known == UNKNOWN or np.int64(side.isn) != isn:
        side.top, side.acked, side.low = 0, 0, 0
    side.isn, side.known = np.uint32(isn), SEEN


@kernel
def _guess(side: Any, following: Any) -> None:
    """Take the number in front of `following` for the initial one: the start was not captured."""
    side.isn, side.known = np.uint32((np.int64(following) - 1) & 0xFFFFFFFF), GUESSED
    side.top, side.acked, side.low = 0, 0, 0


@kernel
def _confirm(side: Any, rows: Any) -> None:
    """Take back the doubt about a segment that was far ahead."""
    row = rows[side.doubtful_row]
    row.kind = NEW
    side.stray -= 1
    side.low = min(side.low, row.at)
    side.top = max(side.top, row.at + row.length)
    side.largest = max(side.largest, row.length)
    if row["flags"] & FIN and side.fin < 0:
        side.fin = side.top
    side.doubtful, side.doubtful_row = -1, -1


@kernel
def _take_syn(session: Any, me: Any, peer: Any, row: Any) -> None:
    """Note what a SYN or SYN-ACK tells of both ends."""
    me.syns += 1
    _know(me, np.int64(row.sequence))
    me.mss, me.scale, me.order, me.options = row.mss, row.scale, row.order, row.options
    me.ttl, me.ts_first = row.ttl, row.ts_value
    me.first_window = row.window
    if row["flags"] & ACK:
        if peer.known != SEEN:
            _know(peer, (np.int64(row.acknowledgment) - 1) & 0xFFFFFFFF)
        if session.client == UNDECIDED:
            session.client = 1 - row.side
    elif session.client == UNDECIDED:
        session.client = row.side
    elif session.client != row.side and peer.syns > 0:
        # Rule: RFC 9293 section 3.5, both ends sent a SYN without ACK
        session.simultaneous = 1


@kernel
def _take_ack(me: Any, peer: Any, rows: Any, row: Any) -> Any:
    """Return the position that a segment acknowledges, NO_ACK when there is none to believe."""
    if not row["flags"] & ACK or peer.known == UNKNOWN:
        return np.int64(NO_ACK)
    at = position(peer, row.acknowledgment)
    if at > max(peer.top, peer.acked) + allowance(peer, me):
        near = me.doubtful_ack >= 0 and abs(at - me.doubtful_ack) <= allowance(peer, me)
        me.doubtful_ack = at
        if peer.doubtful_row >= 0 and at == peer.doubtful:
            _confirm(peer, rows)
        elif not near:
            return np.int64(NO_ACK)
    if at < 0:
        # before the first byte that was taken for the start: the start was guessed too high
        if peer.known != GUESSED or me.last_ack != NO_ACK or at < -FAR:
            return np.int64(NO_ACK)
        peer.low = min(peer.low, at)
    return at


@kernel
def _kind_without_data(me: Any, peer: Any, row: Any, at: Any, ack_at: Any) -> Any:
    if at == me.top - 1 and ack_at != NO_ACK:
        # Rule: RFC 9293 section 3.8.4 and 3.8.6.1
        if peer.window == 0 and peer.spoke:
            return WINDOW_PROBE
        if me.acked >= me.top:
            return KEEPALIVE
    if ack_at == NO_ACK or ack_at > peer.acked:
        return PURE_ACK
    if ack_at == peer.acked:
        if me.window >= 0 and row.window != me.window:
            return WINDOW_UPDATE
        # Rule: RFC 5681 section 2, duplicate acknowledgment
        if peer.top > peer.acked:
            return DUPLICATE_ACK
    return PURE_ACK


@kernel
def _kind_of_data(me: Any, peer: Any, row: Any, at: Any) -> Any:
    if row.length == 1 and peer.spoke:
        if at == me.top - 1 and me.acked >= me.top:
            return KEEPALIVE
        if peer.window == 0 and at == me.acked:
            return WINDOW_PROBE
    return OUT_OF_ORDER if at < me.top else NEW


@kernel
def _believed(me: Any, peer: Any, rows: Any, at_row: Any, at: Any) -> Any:
    """Tell whether data at a position can be of this stream."""
    length = np.int64(rows[at_row].length)
    if at > max(me.top, me.acked) + allowance(me, peer):
        # far ahead: believed when the segment after it goes on there
        if me.doubtful_row < 0 or me.doubtful != at:
            me.doubtful, me.doubtful_row = at + length, at_row
            return False
        _confirm(me, rows)
    if at < 0 and (at < -FAR or me.known == SEEN):
        # the octet before the stream is the SYN's: a keep-alive of a silent sender shows it
        return at == -1 and length == 1 and me.top == 0 and peer.spoke
    if rows[at_row]["flags"] & FIN and at + length < me.top:
        return False
    return me.fin < 0 or at + length <= me.fin


@kernel
def _measure_scale(me: Any, peer: Any, flight: Any) -> None:
    """Find the smallest shift of the peer's window that lets a flight fit."""
    if peer.window <= 0 or not peer.spoke:
        return
    while peer.needed_scale < 14 and flight > np.int64(peer.window) << peer.needed_scale:
        peer.needed_scale += 1
        peer.tested = 1
    if 2 * flight > np.int64(peer.window) << peer.needed_scale:
        peer.tested = 1


@kernel
def _place(session: Any, sides: Any, number: Any, rows: Any, at_row: Any) -> None:
    """Give a segment its positions and its kind, and learn from it."""
    row = rows[at_row]
    x = np.int64(row.side)
    me, peer = sides[2 * number + x], sides[2 * number + 1 - x]
    row.session = number
    session.count += 1
    me.frames += 1
    me.data_bytes += row.length
    if row.ts_ns < session.last_ns:
        session.backward = 1
    session.last_ns = row.ts_ns
    session.end_ns = max(session.end_ns, row.ts_ns)
    session.fragmented |= row.joined
    if row.vlan != session.vlan:
        session.crosses = 1
    if me.frames == 1 and not row["flags"] & SYN:
        me.ttl, me.ts_first, me.first_window = row.ttl, row.ts_value, row.window
    me.seen_options |= row.options
    syn, rst = row["flags"] & SYN, row["flags"] & RST
    if syn:
        if me.known != UNKNOWN and row.sequence != me.isn:
            row.kind = STRAY
            row.ack_at = NO_ACK
            me.stray += 1
            return
        again = me.syns > (1 if session.simultaneous and row["flags"] & ACK else 0)
        row.kind = RETRANSMISSION if again else OPENING
        if again and row.length == 0:
            me.retransmissions += 1
        _take_syn(session, me, peer, row)
    if me.known == UNKNOWN:
        _guess(me, row.sequence)
    if row["flags"] & ACK and peer.known == UNKNOWN and not rst:
        _guess(peer, row.acknowledgment)
    ack_at = _take_ack(me, peer, rows, row)
    at = position(me, np.int64(row.sequence) + (1 if syn else 0))
    if not me.spoke and me.known == GUESSED and abs(at) > FAR:
        # the peer's acknowledgment was taken for the start, and it was not
        _guess(me, row.sequence)
        at = position(me, row.sequence)
    row.at, row.ack_at = at, ack_at
    if rst:
        # Rule: RFC 9293 section 3.5.2: what a RST carries is not of the stream
        row.kind = RESET
        me.reset = 1
        if ack_at > peer.acked and ack_at <= peer.top + 1:
            peer.acked = ack_at
        me.spoke = 1
        return
    _take_data(me, peer, rows, at_row, at, ack_at)
    if ack_at != NO_ACK:
        peer.acked = max(peer.acked, ack_at)
        me.last_ack = ack_at
    if not syn:
        me.window = row.window
        me.top_window = max(me.top_window, np.int32(row.window))
        if peer.spoke and (me.spoke or not (me.syns or peer.syns)):
            session.established = 1
    me.spoke = 1


@kernel
def _take_data(me: Any, peer: Any, rows: Any, at_row: Any, at: Any, ack_at: Any) -> None:
    row = rows[at_row]
    length, fin = np.int64(row.length), row["flags"] & FIN
    if length == 0 and not fin:
        if not row["flags"] & SYN:
            row.kind = _kind_without_data(me, peer, row, at, ack_at)
            if row.kind == DUPLICATE_ACK:
                me.duplicate_acks += 1
            elif row.kind == KEEPALIVE:
                me.keepalives += 1
            elif row.kind == WINDOW_PROBE:
                me.window_probes += 1
        return
    if not _believed(me, peer, rows, at_row, at):
        row.kind = STRAY
        me.stray += 1
        return
    if length == 0:
        row.kind = CLOSING if me.fin < 0 else RETRANSMISSION
        me.retransmissions += 1 if me.fin >= 0 else 0
    else:
        row.kind = _kind_of_data(me, peer, row, at)
        if row.kind == KEEPALIVE:
            me.keepalives += 1
            return
        if row.kind == WINDOW_PROBE:
            me.window_probes += 1
        me.largest = max(me.largest, row.length)
        me.low = min(me.low, at)
        _measure_scale(me, peer, at + length - me.acked)
    me.top = max(me.top, at + length)
    if fin and me.fin < 0:
        me.fin = at + length


@kernel
def _finish(session: Any, sides: Any, number: Any, rows: Any, flow: Any) -> None:
    """Decide who is the client, and count positions from the lowest one.

    Without a SYN the client is the end with a port from 1024 on when the other's is
    lower; else the one that sent data first, else the one that sent anything first.
    """
    if session.client == UNDECIDED:
        session.client = session.opener
        for at in range(session.first, session.first + session.count):
            if rows[at].kind == NEW:
                session.client = rows[at].side
                break
        if (flow.port >= 1024) != (flow.peer_port >= 1024):
            session.client = 0 if flow.port >= 1024 else 1
    for x in range(2):
        me = sides[2 * number + x]
        low = me.low
        if low >= 0:
            continue
        me.isn = np.uint32((np.int64(me.isn) + low) & 0xFFFFFFFF)
        me.top -= low
        me.acked -= low
        if me.fin >= 0:
            me.fin -= low
        for at in range(session.first, session.first + session.count):
            row = rows[at]
            if row.side == x:
                row.at -= low
            elif row.ack_at != NO_ACK:
                row.ack_at -= low


@kernel
def find_sessions_of_rows(rows: Any, flows: Any, sessions: Any, sides: Any) -> Any:
    """Walk `rows` (flow by flow), fill `sessions` and `sides`; return how many sessions.

    `sessions` has room for every flow, SYN, FIN and RST; `sides` for twice as many;
    both come zeroed.
    """
    n = 0
    for at in range(rows.size):
        row = rows[at]
        fresh = at == 0 or rows[at - 1].flow != row.flow
        if not fresh:
            x = 2 * (n - 1) + np.int64(row.side)
            me, peer = sides[x], sides[x ^ 1]
            fresh = begins_session(sessions[n - 1], me, peer, row)
        if fresh:
            if n:
                _finish(sessions[n - 1], sides, n - 1, rows, flows[sessions[n - 1].flow])
            _open_session(sessions[n], sides, n, rows, at)
            n += 1
        _place(sessions[n - 1], sides, n - 1, rows, at)
    if n:
        _finish(sessions[n - 1], sides, n - 1, rows, flows[sessions[n - 1].flow])
    return n
