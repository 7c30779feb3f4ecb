"""Application turns of sessions, compiled: who handed over how many bytes, after what.

The network's waits (windows, acknowledgments, round trips, losses) are taken out,
so that emulated endpoints produce their own; what stays is the application's.
Times are those of the place of the capture; a side is half of its round trip away.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.segments_kernel import NO_SCALE
from migration.streams_kernel import (
    ACK,
    CLOSING,
    FIN,
    NEW,
    OUT_OF_ORDER,
    PSH,
    RESET,
    RETRANSMISSION,
    STRAY,
    SYN,
    WINDOW_PROBE,
)
from pcaps.jit import kernel

WRITE, CLOSE, ABORT = 0, 1, 2
CLIENT, SERVER = 0, 1
MS = 1_000_000

TURN = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("side", "u1"),  # CLIENT or SERVER
                ("kind", "u1"),  # WRITE, CLOSE (FIN) or ABORT (RST)
                ("need", "i8"),  # bytes of the peer's stream that this side has by then
                ("think_ns", "i8"),
                ("size", "i8"),  # bytes of a write, else 0
                ("at_ns", "i8"),  # when it was captured, since the session's first frame
            ]
        ),
    )
)
"""What an application did once. `need` one above the stream's length is: its end, the FIN, too.

Rule: side X does it when it has received `need` bytes, and `think_ns` after that
and after its own previous turn.
"""

TIMING = np.dtype(
    (
        np.record,
        np.dtype(
            [
                (
                    "client_rtt_ns",
                    "i8",
                ),  # place of the capture to the client and back, -1 = unknown
                ("server_rtt_ns", "i8"),
                ("first", "i8"),  # turns: first, and how many
                ("count", "i8"),
            ]
        ),
    )
)
"""Of each session: round trips and where its turns are."""

IDLE, CLOCKED, HELD = 0, 1, 2
"""Why a segment left no earlier: the application; it may have waited for the acknowledgment of the
one before; the window or the congestion window was full."""


@kernel
def clock(rows: Any, session: Any, times: Any) -> None:
    """Fill `times` with nanoseconds since the first frame; they never go back."""
    now = np.int64(0)
    for k in range(session.count):
        now = max(now, rows[session.first + k].ts_ns - session.start_ns)
        times[k] = now


@kernel
def _handshake(rows: Any, session: Any, times: Any, timing: Any, opened: Any) -> None:
    """Take round trips from SYN, SYN-ACK and ACK; `opened`: when each side is open, at the capture."""
    syn, syn_ack = np.int64(-1), np.int64(-1)
    if session.simultaneous:
        return
    for k in range(session.count):
        row = rows[session.first + k]
        if row.kind >= RESET:
            continue
        by_client = row.side == session.client
        if row["flags"] & SYN:
            if by_client and syn_ack < 0:
                syn = times[k]
            elif not by_client and row["flags"] & ACK:
                syn_ack = times[k]
        elif by_client and syn_ack >= 0 and row["flags"] & ACK:
            timing.client_rtt_ns = times[k] - syn_ack
            if syn >= 0:
                timing.server_rtt_ns = syn_ack - syn
            opened[CLIENT], opened[SERVER] = syn_ack, times[k]
            return


@kernel
def _shortest(rows: Any, session: Any, times: Any, client: Any, timing: Any) -> None:
    """Where the handshake told nothing: the shortest time from data to its acknowledgment.

    Rule: RFC 6298 section 3 (Karn): one segment is timed at a time, and none that
    was sent again.
    """
    for y in range(2):
        known = timing.client_rtt_ns if y == client else timing.server_rtt_ns
        if known >= 0:
            continue
        end, since, best = np.int64(-1), np.int64(0), np.int64(-1)
        for k in range(session.count):
            row = rows[session.first + k]
            if row.side != y:
                if row.kind == NEW and end < 0:
                    end, since = row.at + row.length, times[k]
                elif OUT_OF_ORDER <= row.kind <= RETRANSMISSION:
                    end = np.int64(-1)
            elif end >= 0 and row.ack_at >= end:
                best = times[k] - since if best < 0 else min(best, times[k] - since)
                end = np.int64(-1)
        if y == client:
            timing.client_rtt_ns = best
        else:
            timing.server_rtt_ns = best


@kernel
def _limits(
    rows: Any, session: Any, sides: Any, number: Any, times: Any, rtt: Any, limits: Any
) -> None:
    """Tell of each segment whether the network had held it back."""
    acked, most = np.zeros(2, np.int64), np.zeros(2, np.int64)
    roomy, window = np.full(2, -(1 << 60), np.int64), np.full(2, 1 << 30, np.int64)
    for end in range(2):
        # Rule: RFC 5681 section 3.1, no stack begins with less than two segments
        side, peer = sides[2 * number + end], sides[2 * number + 1 - end]
        largest: Any = np.int64(side.largest)
        if peer.mss:
            largest = min(largest, np.int64(peer.mss))
        most[end] = 2 * max(largest, np.int64(536))
    for k in range(session.count):
        row = rows[session.first + k]
        x, limits[k] = np.int64(row.side), IDLE
        y = 1 - x
        if row.kind >= RESET:
            continue
        length = np.int64(row.length)
        if length or row["flags"] & FIN:
            flight = max(np.int64(0), row.at - acked[x])
            if flight >= min(window[y], most[x]) or flight + length > window[y]:
                limits[k] = HELD
            elif times[k] - roomy[x] <= rtt[x] + MS:
                limits[k] = HELD if flight else CLOCKED
            most[x] = max(most[x], flight + length)
        if row.ack_at > acked[y]:
            acked[y] = row.ack_at
            roomy[y] = times[k]
        if row["flags"] & SYN:
            window[x] = np.int64(row.window)
        else:
            window[x] = np.int64(row.window) << scale_of(
                sides[2 * number + x], sides[2 * number + y]
            )


@kernel
def scale_of(side: Any, peer: Any) -> Any:
    """Return the shift of a side's window field.

    Rule: RFC 7323 section 2.2, only when both sides offered one. Where the SYNs were
    not seen: the smallest that explains the peer's flights, 7 where none tells.
    """
    if (side.syns and side.scale == NO_SCALE) or (peer.syns and peer.scale == NO_SCALE):
        return 0
    if side.syns:
        return np.int64(side.scale)
    return np.int64(side.needed_scale) if side.tested else 7


@kernel
def _spread(
    rows: Any, session: Any, side: Any, pieces: Any, times: Any, sent: Any, by: Any, seen: Any
) -> None:
    """Tell of each piece when it can first have been sent and by which segment, and when all is there.

    Bytes were handed over before all that stand behind them in the stream, however
    late the capture showed them.
    """
    last = side.first_piece + side.pieces
    for p in range(last - 1, side.first_piece - 1, -1):
        k = pieces[p].row - session.first
        sent[p], by[p] = times[k], k
        if p + 1 < last and sent[p + 1] < sent[p]:
            sent[p], by[p] = sent[p + 1], by[p + 1]
    latest = np.int64(0)
    for p in range(side.first_piece, last):
        latest = max(latest, times[pieces[p].row - session.first])
        seen[p] = latest


@kernel
def _reached(side: Any, pieces: Any, seen: Any, fin_at: Any, need: Any) -> Any:
    """Return when the capture had shown the first `need` bytes of a stream."""
    if need > side["size"]:
        return fin_at
    low, high = side.first_piece, side.first_piece + side.pieces
    while low < high:  # first piece that ends at or behind `need`
        middle = (low + high) // 2
        if pieces[middle].at + pieces[middle]["size"] >= need:
            high = middle
        else:
            low = middle + 1
    if low == side.first_piece + side.pieces:
        low -= 1
    return seen[low] if low >= side.first_piece and need > 0 else np.int64(0)


@kernel
def _fin_row(rows: Any, session: Any, x: Any) -> Any:
    for k in range(session.count):
        row = rows[session.first + k]
        if row.side == x and row["flags"] & FIN:
            if row.kind == CLOSING or NEW <= row.kind <= RETRANSMISSION or row.kind == WINDOW_PROBE:
                return k
    return -1


@kernel
def _reset_row(rows: Any, session: Any) -> Any:
    for k in range(session.count):
        if rows[session.first + k].kind == RESET:
            return k
    return -1


@kernel
def _put(
    turns: Any, n: Any, side: Any, kind: Any, need: Any, think: Any, size: Any, at: Any
) -> Any:
    turn = turns[n]
    turn.side, turn.kind, turn.need, turn["size"], turn.at_ns = side, kind, need, size, at
    turn.think_ns = max(np.int64(0), think)
    return n + 1


@kernel
def _turns_of_side(
    rows: Any, session: Any, sides: Any, number: Any, x: Any, pieces: Any, times: Any,
    limits: Any, sent: Any, by: Any, seen: Any, rtt: Any, whole_rtt: Any, opened: Any,
    turns: Any, n: Any,
) -> Any:  # fmt: skip
    """Append the turns of one side; return how many there are then.

    Rules: a write ends where the peer's data came in between and the next segment
    acknowledges it; where a pause follows a PSH; at any longer pause. A pause that
    the network explains ends no write.
    """
    me, peer = sides[2 * number + x], sides[2 * number + 1 - x]
    who = CLIENT if x == session.client else SERVER
    fin, peer_fin = _fin_row(rows, session, x), _fin_row(rows, session, 1 - x)
    reset = _reset_row(rows, session)
    peer_fin_at = times[peer_fin] if peer_fin >= 0 else times[session.count - 1]
    most = peer["size"] + (1 if peer.fin >= 0 else 0)
    short, long = max(2 * MS, whole_rtt // 2), max(10 * MS, 2 * whole_rtt)
    before, need = opened[who], np.int64(0)
    now, pushed, size, end = opened[who], False, np.int64(0), np.int64(0)
    first = n
    for p in range(me.first_piece, me.first_piece + me.pieces):
        k = by[p]
        row = rows[session.first + k]
        ack = max(need, min(row.ack_at, most))
        limit = limits[k]
        pause = sent[p] - now
        splits = ack > need or (limit == IDLE and (pause > long or (pushed and pause > short)))
        if size and splits:
            size += pieces[p].at - end
            end = pieces[p].at
            turns[n - 1]["size"] = size
            size = np.int64(0)
        if size == 0 or splits:
            since = max(_reached(peer, pieces, seen, peer_fin_at, ack) + rtt[x], before)
            think = np.int64(0) if limit == HELD and n > first else sent[p] - since
            n = _put(turns, n, who, WRITE, ack, think, 0, sent[p])
            before = sent[p]
        need = ack
        size += pieces[p].at + pieces[p]["size"] - end
        end = pieces[p].at + pieces[p]["size"]
        turns[n - 1]["size"] = size
        now = sent[p]
        pushed = rows[pieces[p].row]["flags"] & PSH != 0
    if me["size"] > end:  # bytes at the end that were acknowledged but never seen
        if size:
            turns[n - 1]["size"] = size + me["size"] - end
        else:
            n = _put(turns, n, who, WRITE, need, 0, me["size"] - end, now)
    if me.fin >= 0:
        at, ack, limit = now, need, HELD
        if fin >= 0:
            row = rows[session.first + fin]
            at, ack, limit = max(now, times[fin]), max(need, min(row.ack_at, most)), limits[fin]
        at_once = at - now <= short or limit != IDLE
        since = max(_reached(peer, pieces, seen, peer_fin_at, ack) + rtt[x], before)
        think = np.int64(0) if n > first and ack == need and at_once else at - since
        n = _put(turns, n, who, CLOSE, ack, think, 0, at)
    elif reset >= 0 and rows[session.first + reset].side == x:
        # Rule: RFC 9293 section 3.10.4, abort. Behind a FIN of this side it is no act of the
        # application: the closed socket answers what came after it.
        at, ack = max(now, times[reset]), need
        for k in range(reset + 1):
            row = rows[session.first + k]
            if row.side == x and row.kind != STRAY:
                ack = max(ack, min(row.ack_at, most))
        since = max(_reached(peer, pieces, seen, peer_fin_at, ack) + rtt[x], before)
        n = _put(turns, n, who, ABORT, ack, at - since, 0, at)
    return n


@kernel
def _merge(turns: Any, first: Any, middle: Any, last: Any, out: Any, n: Any) -> Any:
    """Write two ordered runs of turns in order of time."""
    a, b = first, middle
    while a < middle or b < last:
        if b == last or (a < middle and turns[a].at_ns <= turns[b].at_ns):
            out[n] = turns[a]
            a += 1
        else:
            out[n] = turns[b]
            b += 1
        n += 1
    return n


@kernel
def find_turns(
    rows: Any, sessions: Any, sides: Any, pieces: Any, timings: Any, default_rtt: Any, turns: Any
) -> Any:
    """Fill `timings` (one a session) and `turns`; return how many turns.

    `turns` has room for every piece and four more a session.
    """
    n = 0
    sent = np.empty(pieces.size, np.int64)
    by = np.empty(pieces.size, np.int64)
    seen = np.empty(pieces.size, np.int64)
    for number in range(sessions.size):
        session, timing = sessions[number], timings[number]
        timing.first, timing.count = n, 0
        timing.client_rtt_ns, timing.server_rtt_ns = -1, -1
        if not session.established:
            continue
        times = np.empty(session.count, np.int64)
        limits = np.empty(session.count, np.uint8)
        opened, rtt = np.zeros(2, np.int64), np.zeros(2, np.int64)
        client = np.int64(session.client)
        clock(rows, session, times)
        _handshake(rows, session, times, timing, opened)
        _shortest(rows, session, times, client, timing)
        away, there = timing.client_rtt_ns, timing.server_rtt_ns
        if away < 0 and there < 0:
            there = default_rtt
        rtt[client], rtt[1 - client] = max(np.int64(0), away), max(np.int64(0), there)
        opened[CLIENT] += rtt[client]
        opened[SERVER] += rtt[1 - client]
        _limits(rows, session, sides, number, times, rtt, limits)
        room = 4
        for x in range(2):
            side = sides[2 * number + x]
            room += side.pieces
            _spread(rows, session, side, pieces, times, sent, by, seen)
        own = np.empty(room, turns.dtype)
        middle = _turns_of_side(
            rows, session, sides, number, client, pieces, times, limits, sent, by, seen, rtt,
            rtt[0] + rtt[1], opened, own, 0,
        )  # fmt: skip
        last = _turns_of_side(
            rows, session, sides, number, 1 - client, pieces, times, limits, sent, by, seen, rtt,
            rtt[0] + rtt[1], opened, own, middle,
        )  # fmt: skip
        n = _merge(own, 0, middle, last, turns, n)
        timing.count = n - timing.first
    return n
