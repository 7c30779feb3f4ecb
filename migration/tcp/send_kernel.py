"""What an endpoint sends: segments, retransmissions, probes, acknowledgements."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.congestion_kernel import idle_restart
from migration.tcp.pools_kernel import give_gap, take_segment, take_sent
from migration.tcp.state_kernel import (
    ACK,
    BY_PROBE,
    BY_RECOVERY,
    BY_TIMEOUT,
    C_OUT,
    CLOSE_WAIT,
    CLOSING,
    DIALECT_LINUX,
    ESTABLISHED,
    EVER_RESENT,
    FIN,
    FIN_WAIT_1,
    HAS_FIN,
    HAS_SYN,
    LAST_ACK,
    LOSS,
    LOST,
    MS,
    NEVER,
    NOTHING,
    OPEN,
    OPEN_SIDE,
    PERSIST,
    PROBE_TAIL,
    PSH,
    RECOVERY,
    RESENT,
    RST,
    SACKED,
    SENDS_PER_CALL,
    SMALL,
    SYN,
    SYN_RECEIVED,
    US,
)
from migration.tcp.timing_kernel import after, arm_rto, arm_tail_probe, rearm_rto, rto_ns
from pcaps.jit import kernel


@kernel(_nrt=False)
def timestamp(now: Any) -> Any:
    """Return TSval: milliseconds of the endpoint's own clock, which never reads 0."""
    return now // MS + 1


@kernel(_nrt=False)
def offer_window(s: Any, scale: Any) -> Any:
    """Move the right edge of the receive window; return the field that offers it.

    Rule: RFC 9293 section 3.8.6.2.2: it moves on only by a full segment or half the
    buffer. Section 3.8.6: it does not move back, so the field is rounded up where the
    buffer's end allows it.
    """
    limit = s.rcv_nxt + np.int64(s.buffer) - np.int64(s.unread)
    step = min(np.int64(s.rcv_mss), np.int64(s.buffer) // 2)
    edge = max(s.rcv_adv, s.rcv_nxt)
    if limit >= edge + step:
        edge = limit
    unit = np.int64(1) << np.int64(scale)
    field = (edge - s.rcv_nxt + unit - 1) >> np.int64(scale)
    if s.rcv_nxt + (field << np.int64(scale)) >= limit + unit and field > 0:
        field -= 1
    field = min(field, np.int64(65535))
    s.rcv_adv = max(s.rcv_adv, s.rcv_nxt + (field << np.int64(scale)))
    return field


@kernel(_nrt=False)
def most_blocks(s: Any) -> Any:
    """Return how many SACK blocks fit. Rule: RFC 2018 section 3: 4, and 3 beside timestamps."""
    return np.int64(3) if s.ts_ok != 0 else np.int64(4)


@kernel(_nrt=False)
def sack_bytes(w: Any, s: Any) -> Any:
    """Return the length of the SACK option that a segment would carry now."""
    if s.sack_ok == 0:
        return np.int64(0)
    n = np.int64(0)
    if s.dsack != 0:
        n += 1
    gap = np.int64(s.gaps)
    while gap != 0 and n < most_blocks(s):
        n += 1
        gap = np.int64(w.gaps[gap].next)
    return np.int64(0) if n == 0 else 4 + 8 * n


@kernel(_nrt=False)
def is_recent(s: Any, gap: Any) -> Any:
    """Tell whether a range is among those that grew last."""
    return gap == s.recent[0] or gap == s.recent[1] or gap == s.recent[2] or gap == s.recent[3]


@kernel(_nrt=False)
def add_sack_blocks(w: Any, s: Any, row: Any, most: Any) -> None:
    """Report received ranges, those that changed last first. Rule: RFC 2018 section 4.

    A duplicate goes before them, once. Rule: RFC 2883 section 4.
    """
    p = w.segments[row]
    n = np.int64(0)
    if s.dsack != 0:
        duplicate = w.gaps[s.dsack]
        p.sack[0, 0] = duplicate.start
        p.sack[0, 1] = duplicate.stop
        n = np.int64(1)
        give_gap(w, s.dsack)
        s.dsack = 0
    for i in range(4):
        if s.recent[i] != 0 and n < most:
            p.sack[n, 0] = w.gaps[s.recent[i]].start
            p.sack[n, 1] = w.gaps[s.recent[i]].stop
            n += 1
    gap = np.int64(s.gaps)
    while gap != 0 and n < most:  # ranges so old that they are not among the recent ones
        if not is_recent(s, gap):
            p.sack[n, 0] = w.gaps[gap].start
            p.sack[n, 1] = w.gaps[gap].stop
            n += 1
        gap = np.int64(w.gaps[gap].next)
    p.blocks = n


@kernel(_nrt=False)
def new_segment(w: Any, e: Any, s: Any, now: Any, seq: Any, size: Any, flags: Any) -> Any:
    """Make a segment with everything that the connection's options ask for; append it to `out`."""
    row = take_segment(w)
    p = w.segments[row]
    p.seq = seq
    p["size"] = size
    p["flags"] = flags
    p.sender = e
    p.mss = 0
    p.scale = -1
    p.sack_ok = 0
    p.blocks = 0
    p.again = 0
    p.probe = 0
    p.ack = 0
    p.tsecr = 0
    p.tsval = timestamp(now) if s.ts_ok != 0 else np.int64(-1)
    if flags & ACK:
        p.ack = s.rcv_nxt
        if s.ts_ok != 0 and s.ts_recent >= 0:
            p.tsecr = s.ts_recent
        p.window = offer_window(s, 0 if flags & SYN else s.rcv_scale)
        s.last_ack = s.rcv_nxt
        s.t_ack = NEVER
        s.ack_now = 0
        s.pushed = 0
        if s.quick > 0:
            s.quick -= 1
        if s.gaps != 0 or s.dsack != 0:
            if s.sack_ok != 0:
                most = most_blocks(s)
                if size > 0:
                    most = min(most, (np.int64(s.mss) - np.int64(size) - 4) >> 3)
                if most > 0:
                    add_sack_blocks(w, s, row, most)
    else:
        p.window = min(np.int64(s.buffer) - np.int64(s.unread), np.int64(65535))
    w.out[w.count[C_OUT]] = row
    w.count[C_OUT] += 1
    return row


@kernel(_nrt=False)
def send_ack(w: Any, e: Any, s: Any, now: Any) -> None:
    """Send an acknowledgement without data."""
    new_segment(w, e, s, now, s.nxt, 0, ACK)


@kernel(_nrt=False)
def send_reset(w: Any, e: Any, s: Any, now: Any, seq: Any, ack: Any) -> None:
    """Send a RST; ack < 0: without ACK. Rule: RFC 9293 section 3.5.2."""
    row = new_segment(w, e, s, now, seq, 0, RST)
    p = w.segments[row]
    p.window = 0
    if s.state < SYN_RECEIVED:
        p.tsval = -1  # Rule: RFC 7323 section 3.2: of a connection it should have timestamps
    if ack >= 0:
        p["flags"] = RST | ACK
        p.ack = ack
        if s.ts_ok != 0 and s.state >= SYN_RECEIVED:
            p.tsecr = max(s.ts_recent, 0)


@kernel(_nrt=False)
def send_syn(w: Any, e: Any, s: Any, stack: Any, now: Any) -> Any:
    """Send SYN, or SYN-ACK when the peer's SYN is known."""
    answer = s.state == SYN_RECEIVED
    row = new_segment(w, e, s, now, 0, 0, SYN | ACK if answer else SYN)
    p = w.segments[row]
    p.mss = s.rcv_mss
    # Rule: RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2: an answer repeats what the SYN offered
    if answer:
        p.scale = s.rcv_scale if s.scaled != 0 else -1
        p.sack_ok = s.sack_ok
    else:
        p.scale = stack.scale
        p.sack_ok = stack.sack
        p.tsval = timestamp(now) if stack.timestamps != 0 else np.int64(-1)
    return row


@kernel(forceinline=True, _nrt=False)
def remember(w: Any, s: Any, start: Any, stop: Any, now: Any, marks: Any) -> None:
    """Append a sent segment to the chain of those not acknowledged."""
    row = take_sent(w)
    q = w.sent[row]
    q.start = start
    q.stop = stop
    q.at = now
    q.next = 0
    q.marks = marks
    if s.tail == 0:
        s.head = row
    else:
        w.sent[s.tail].next = row
    s.tail = row
    s.packets += 1


@kernel(forceinline=True, _nrt=False)
def pipe(s: Any) -> Any:
    """Return how many segments are in the network. Rule: RFC 6675 section 4, counted in segments."""
    return np.int64(s.packets) - np.int64(s.sacked) - np.int64(s.lost) + np.int64(s.resent)


@kernel(_nrt=False)
def resend(w: Any, e: Any, s: Any, stack: Any, now: Any, row: Any, why: Any) -> None:
    """Send one segment of the chain again."""
    q = w.sent[row]
    if q.marks & HAS_SYN:
        p = w.segments[send_syn(w, e, s, stack, now)]
    else:
        start = max(q.start, s.una)
        stop = q.stop
        flags = ACK
        if q.marks & HAS_FIN:
            flags |= FIN
            stop -= 1
        if stop == s.top and stop > start:
            flags |= PSH
        p = w.segments[new_segment(w, e, s, now, start, max(stop - start, 0), flags)]
    p.again = why
    q.at = now
    s.resends += 1
    q.marks |= EVER_RESENT
    if why == BY_PROBE:
        return  # it stands beside the first transmission, which is not taken for lost
    if q.marks & RESENT == 0:
        s.resent += 1
        q.marks |= RESENT
        if q.marks & LOST:
            s.to_resend -= 1
    if s.undo_at < 0:
        s.undo_at = now
    s.undo_resent = max(np.int64(s.undo_resent), np.int64(0)) + 1


@kernel(_nrt=False)
def resend_lost(w: Any, e: Any, s: Any, stack: Any, now: Any, why: Any) -> None:
    """Send lost segments again, as many as the window allows."""
    row = np.int64(s.lost_row)
    if row == 0:
        row = np.int64(s.head)
    while row != 0 and s.to_resend > 0:
        q = w.sent[row]
        if q.marks & (LOST | RESENT) == LOST:
            s.lost_row = row
            if (pipe(s) + 1) * np.int64(s.mss) > s.cwnd and pipe(s) > 0:
                s.limited = 1
                return
            if w.count[C_OUT] >= SENDS_PER_CALL:
                s.more = 1
                return
            resend(w, e, s, stack, now, row, why)
            # Rule: Linux tcp_xmit_retransmit_queue: the first segment's timer begins anew
            if row == s.head and stack.dialect == DIALECT_LINUX:
                arm_rto(stack, s, now, rto_ns(s))
        row = np.int64(q.next)
    s.lost_row = row


@kernel(_nrt=False)
def held_by_nagle(s: Any, stack: Any) -> Any:
    """Tell whether a short segment waits for an acknowledgement.

    Rule: RFC 9293 section 3.7.4; Minshall's variant waits only for another short one.
    """
    if stack.nagle == 0 or s.nodelay != 0 or s.fin != OPEN_SIDE:
        return False
    if stack.nagle == 1:
        return s.packets != 0
    return s.smalls != 0


@kernel(forceinline=True, _nrt=False)
def send_one(w: Any, e: Any, s: Any, now: Any, size: Any, closing: Any) -> None:
    """Send the next `size` bytes that were never sent, and the FIN behind them when `closing`."""
    stop = s.nxt + size
    flags = ACK
    marks = 0
    if stop == s.top and size > 0:
        flags |= PSH
    if size < s.mss:
        marks = SMALL
        s.smalls += 1
    if closing:
        flags |= FIN
        marks |= HAS_FIN
        stop += 1
    new_segment(w, e, s, now, s.nxt, size, flags)
    remember(w, s, s.nxt, stop, now, marks)
    s.nxt = stop
    s.sent_at = now
    # Rule: Linux tcp_event_data_sent: an answer within ATO means requests and responses
    if now - s.data_at < np.int64(s.ato) * US:
        s.pingpong = 1


@kernel(_nrt=False)
def is_unsent(s: Any) -> Any:
    """Tell whether data or a FIN waits to be sent for the first time."""
    return s.nxt < s.top or (s.fin != OPEN_SIDE and s.nxt == s.top)


@kernel(forceinline=True, _nrt=False)
def send_new(w: Any, e: Any, s: Any, stack: Any, now: Any, most: Any) -> Any:
    """Send up to `most` segments that were never sent; return how many went out."""
    sent = 0
    s.limited = 0
    mss = np.int64(s.mss)
    full = mss
    if s.gaps != 0 or s.dsack != 0:
        full -= sack_bytes(w, s)
    while sent < most and is_unsent(s):
        if w.count[C_OUT] >= SENDS_PER_CALL:
            s.more = 1
            break
        left = s.top - s.nxt
        room = max(s.una + np.int64(s.wnd) - s.nxt, 0)
        if room == 0:
            break
        size = min(left, full, room)
        if size < left and size < full:
            # Rule: RFC 9293 section 3.8.6.2.1: no silly windows
            if s.packets != 0 or 2 * size < s.max_wnd:
                break
        if 0 < size == left and size < full and held_by_nagle(s, stack):
            break
        in_flight = pipe(s)
        if in_flight > 0 and (in_flight + 1) * mss > s.cwnd:
            s.limited = 1
            break
        send_one(w, e, s, now, size, s.fin != OPEN_SIDE and size == left and room > size)
        sent += 1
        if s.rtx_kind in (NOTHING, PERSIST, PROBE_TAIL):
            rearm_rto(w, stack, s, now)
    return sent


@kernel(_nrt=False)
def may_send(s: Any) -> Any:
    """Tell whether the state lets data or a FIN out."""
    return s.state in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, CLOSING, LAST_ACK)


@kernel(_nrt=False)
def fill_holes(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """In recovery by SACK, send what is not known to be lost, when the window has room left.

    Rule: RFC 6675 section 4, NextSeg rules 3 and 4; RACK needs neither, Linux has neither.
    """
    if stack.rack != 0 or stack.dialect == DIALECT_LINUX or s.sack_ok == 0 or s.ca != RECOVERY:
        return
    row = np.int64(s.head)
    last = np.int64(0)
    while row != 0:
        q = w.sent[row]
        if q.marks & (SACKED | RESENT) == 0:
            if pipe(s) > 0 and (pipe(s) + 1) * np.int64(s.mss) > s.cwnd:
                return
            if q.stop <= s.fack:
                resend(w, e, s, stack, now, row, BY_RECOVERY)
                return
            last = row
        row = np.int64(q.next)
    if last != 0 and s.once == 0:
        s.once = 1
        resend(w, e, s, stack, now, last, BY_RECOVERY)


@kernel(_nrt=False)
def arm_persist(stack: Any, s: Any, now: Any) -> None:
    """Start the timer that probes a closed window; each probe doubles it.

    Rule: RFC 9293 section 3.8.6.1.
    """
    delay = rto_ns(s)
    for _ in range(min(np.int64(s.retries), np.int64(20))):
        delay *= 2
    s.t_rtx = after(stack, now, min(delay, stack.rto_max * US))
    s.rtx_kind = PERSIST


@kernel(forceinline=True, _nrt=False)
def push(w: Any, e: Any, s: Any, stack: Any, now: Any, repair: Any) -> None:
    """Send whatever may go out now; keep the timers right.

    repair: an acknowledgement or a timer calls, so lost segments go out first.
    """
    s.more = 0
    if not may_send(s):
        return
    if s.ca == OPEN:
        if s.packets == 0 and s.nxt < s.top:
            idle_restart(s, stack, now)
    elif repair:
        if s.frto == 2:
            # Rule: RFC 5682 sections 2.1 step 2b and 3.1 step 2b: two new segments first
            s.frto = 1 if send_new(w, e, s, stack, now, 2) > 0 else 0
        if s.frto == 0 or s.ca == RECOVERY:
            resend_lost(w, e, s, stack, now, BY_TIMEOUT if s.ca == LOSS else BY_RECOVERY)
    sent = send_new(w, e, s, stack, now, SENDS_PER_CALL)
    if sent > 0 and s.ca == OPEN:
        arm_tail_probe(w, stack, s, now, 0)
    if sent == 0 and repair and s.limited == 0:
        fill_holes(w, e, s, stack, now)
    if s.packets == 0 and is_unsent(s) and s.rtx_kind == NOTHING and s.more == 0:
        arm_persist(stack, s, now)


@kernel(_nrt=False)
def probe_below(w: Any, e: Any, s: Any, now: Any) -> None:
    """Send a segment one position below what the peer expects, which it has to answer.

    Rule: RFC 9293 section 3.8.4: the keep-alive's SEG.SEQ = SND.NXT - 1.
    """
    row = new_segment(w, e, s, now, s.una - 1, 0, ACK)
    w.segments[row].probe = 1


@kernel(_nrt=False)
def probe_window(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """Make the peer tell its window.

    Rule: RFC 9293 section 3.8.6.1: a byte of new data, even into a closed window; Linux
    sends none (tcp_xmit_probe_skb).
    """
    if stack.probe_byte == 0:
        probe_below(w, e, s, now)
        return
    before = w.count[C_OUT]
    if s.packets != 0:
        resend(w, e, s, stack, now, s.head, BY_PROBE)
    elif s.nxt < s.top:
        send_one(w, e, s, now, np.int64(1), False)
    else:
        send_one(w, e, s, now, np.int64(0), True)
    p = w.segments[w.out[before]]
    p.probe = 1
    p.again = 0
