"""The receiving side of an endpoint: ranges, acknowledgements, timestamps."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.pools_kernel import give_gap, take_gap
from migration.tcp.state_kernel import (
    DIALECT_LINUX,
    FIN,
    NEVER,
    NS,
    PSH,
    RST,
    SYN,
    US,
)
from migration.tcp.timing_kernel import after, srtt_us
from pcaps.jit import kernel

PAWS_IDLE_NS = 24 * 86400 * NS
"""Rule: RFC 7323 section 5.5: after 24 days without a segment the timestamp says nothing."""

ATO_MAX_NS = NS // 2
"""Longest delay of an acknowledgement where no requests and responses alternate (Linux, HZ / 2)."""


@kernel(_nrt=False)
def is_old_timestamp(s: Any, stack: Any, p: Any, now: Any) -> Any:
    """Tell whether PAWS rejects a segment. Rule: RFC 7323 section 5.3, R1."""
    if p.tsval < 0 or s.ts_recent < 0 or p.tsval >= s.ts_recent:
        return False
    if now - s.heard > PAWS_IDLE_NS:
        return False
    if stack.dialect == DIALECT_LINUX and p["size"] == 0 and p["flags"] & (SYN | FIN | RST) == 0:
        # Rule: Linux tcp_disordered_ack: an acknowledgement that was overtaken harms nobody
        return not (p.seq == s.rcv_nxt and p.ack == s.una)
    return True


@kernel(_nrt=False)
def take_timestamp(s: Any, p: Any, now: Any) -> None:
    """Keep the timestamp to echo. Rule: RFC 7323 section 4.3 (2)."""
    if p.tsval >= 0 and p.seq <= s.last_ack:
        if p.tsval >= s.ts_recent or now - s.heard > PAWS_IDLE_NS:
            s.ts_recent = p.tsval


@kernel(_nrt=False)
def touch(s: Any, row: Any) -> None:
    """Note that a range is the one that changed last: it goes to the front of `recent`."""
    moving = np.int64(row)
    for i in range(4):
        was = np.int64(s.recent[i])
        s.recent[i] = moving
        if was == row:
            return
        moving = was


@kernel(_nrt=False)
def drop_gap(w: Any, s: Any, row: Any) -> None:
    """Give a range back, and forget it."""
    kept = 0
    for i in range(4):
        one = s.recent[i]
        if one != row:
            s.recent[kept] = one
            kept += 1
    for i in range(kept, 4):
        s.recent[i] = 0
    give_gap(w, row)


@kernel(_nrt=False)
def note_duplicate(w: Any, s: Any, stack: Any, start: Any, stop: Any) -> None:
    """Report data that came twice with the next acknowledgement. Rule: RFC 2883 section 4."""
    if stack.dsack == 0 or s.sack_ok == 0:
        return
    if s.dsack == 0:
        s.dsack = take_gap(w)
    if s.dsack != 0:
        w.gaps[s.dsack].start = start
        w.gaps[s.dsack].stop = stop


@kernel(_nrt=False)
def put_range(w: Any, s: Any, stack: Any, start: Any, stop: Any) -> None:
    """Keep a range behind a hole; ranges that touch become one."""
    before = np.int64(0)
    row = np.int64(s.gaps)
    latest = np.int64(s.recent[0])
    if latest != 0 and w.gaps[latest].start <= start:
        row = latest  # the range that grew last is the likeliest to grow again
    while row != 0 and w.gaps[row].stop < start:
        before = row
        row = np.int64(w.gaps[row].next)
    if row != 0 and w.gaps[row].start <= stop:
        g = w.gaps[row]
        if start >= g.start and stop <= g.stop:
            note_duplicate(w, s, stack, start, stop)
        g.start = min(g.start, start)
        g.stop = max(g.stop, stop)
        follower = np.int64(g.next)
        while follower != 0 and w.gaps[follower].start <= g.stop:
            g.stop = max(g.stop, w.gaps[follower].stop)
            g.next = w.gaps[follower].next
            drop_gap(w, s, follower)
            follower = np.int64(g.next)
        touch(s, row)
        return
    new = take_gap(w)
    if new == 0:
        return  # the sender will send it again
    g = w.gaps[new]
    g.start = start
    g.stop = stop
    g.next = row
    touch(s, new)
    if before == 0:
        s.gaps = new
    else:
        w.gaps[before].next = new


@kernel(_nrt=False)
def take_ranges(w: Any, s: Any) -> None:
    """Move rcv_nxt over ranges that now connect."""
    while s.gaps != 0:
        row = np.int64(s.gaps)
        g = w.gaps[row]
        if g.start > s.rcv_nxt:
            return
        s.rcv_nxt = max(s.rcv_nxt, g.stop)
        s.gaps = g.next
        drop_gap(w, s, row)


@kernel(_nrt=False)
def quick_acks(s: Any, stack: Any) -> None:
    """Acknowledge the next segments at once. Rule: Linux tcp_incr_quickack."""
    if stack.quickack == 0:
        return
    most = max(np.int64(s.buffer) // (2 * np.int64(s.rcv_mss)), 2)
    s.quick = max(np.int64(s.quick), min(most, stack.quickack))


@kernel(_nrt=False)
def note_spacing(s: Any, stack: Any, now: Any) -> None:
    """Adapt the delay of acknowledgements to the spacing of data. Rule: Linux tcp_event_data_recv."""
    least = stack.delack_min // US
    if s.ato == 0:
        s.ato = least
        quick_acks(s, stack)
    else:
        gap = (now - s.data_at) // US
        if gap <= least // 2:
            s.ato = np.int64(s.ato) // 2 + least // 2
        elif gap < s.ato:
            s.ato = min(np.int64(s.ato) // 2 + gap, np.int64(s.rto))
        elif gap > s.rto:
            quick_acks(s, stack)
    s.data_at = now


@kernel(_nrt=False)
def delay_ack(s: Any, stack: Any, now: Any) -> None:
    """Start the delayed acknowledgement timer. Rule: RFC 9293 section 3.8.6.3, RFC 5681 section 4.2."""
    delay = stack.delack
    if stack.delack_min != stack.delack:
        # Rule: Linux tcp_send_delayed_ack
        delay = np.int64(s.ato) * US
        if delay > stack.delack_min:
            most = stack.delack if s.pingpong != 0 else np.int64(ATO_MAX_NS)
            if s.srtt != 0:
                most = min(most, max(srtt_us(s) * US, stack.delack_min))
            delay = min(delay, most)
        delay = min(max(delay, stack.tick), stack.delack)
    s.t_ack = min(s.t_ack, after(stack, now, delay))


@kernel(forceinline=True, _nrt=False)
def accept(w: Any, s: Any, stack: Any, p: Any, now: Any) -> Any:
    """Take payload and FIN of an acceptable segment; return how many bytes became readable.

    Sets `ack_now` where an acknowledgement may not wait. Rule: RFC 5681 section 4.2:
    at once for data out of order, for what fills a hole, and for what came twice.
    """
    size = np.int64(p["size"])
    start = p.seq
    fin = 1 if p["flags"] & FIN else 0
    stop = start + size + fin
    edge = max(s.rcv_adv, s.rcv_nxt)
    if fin != 0 and stop <= edge:
        s.fin_at = start + size
    # Rule: Linux tcp_measure_rcv_mss: a short segment, or a pushed one, may be the last for now
    if size < s.rcv_mss:
        s.pushed = 2 if s.pushed != 0 else 1
    elif p["flags"] & PSH and s.pushed == 0:
        s.pushed = 1
    s.rcv_mss = max(np.int64(s.rcv_mss), size)
    if stop <= s.rcv_nxt:
        note_duplicate(w, s, stack, start, stop)
        s.ack_now = 1
        s.pingpong = 0
        quick_acks(s, stack)
        return np.int64(0)
    if stop > edge:
        stop = edge  # Rule: RFC 9293 section 3.10.7.4: what lies outside the window is cut off
        s.ack_now = 1
        if stop <= max(start, s.rcv_nxt):
            return np.int64(0)
    if start < s.rcv_nxt:
        note_duplicate(w, s, stack, start, s.rcv_nxt)
        start = s.rcv_nxt
    note_spacing(s, stack, now)
    if start > s.rcv_nxt:
        put_range(w, s, stack, start, stop)
        s.ack_now = 1
        return np.int64(0)
    before = s.rcv_nxt
    s.rcv_nxt = stop
    if s.gaps != 0:
        take_ranges(w, s)
        s.ack_now = 1
    fresh = s.rcv_nxt - before
    if s.fin_at >= 0 and s.rcv_nxt > s.fin_at:
        fresh -= 1
    return fresh


@kernel(_nrt=False)
def is_drained(s: Any, stack: Any) -> Any:
    """Tell whether an application that has read all there is lets an acknowledgement go.

    Rule: Linux __tcp_cleanup_rbuf: after a pushed segment, unless requests and responses
    alternate, and after two of them in any case.
    """
    if stack.dialect != DIALECT_LINUX or s.unread != 0:
        return False
    return s.pushed == 2 or (s.pushed == 1 and s.pingpong == 0)


@kernel(_nrt=False)
def wants_ack(s: Any, stack: Any, now: Any) -> Any:
    """Tell whether what was received must be acknowledged at once."""
    if s.ack_now != 0 or stack.delack == 0:
        return True
    waiting = s.rcv_nxt - s.last_ack
    if stack.dialect == DIALECT_LINUX:
        # Rule: Linux __tcp_ack_snd_check: more than one full segment, or quick acknowledgements
        if waiting > s.rcv_mss or (s.quick > 0 and s.pingpong == 0):
            return True
        if s.lazy == 0 and is_drained(s, stack):
            return True
        # Rule: Linux tcp_send_delayed_ack: not again when the timer is about to expire
        return s.t_ack != NEVER and s.t_ack - now <= np.int64(s.ato) * US // 4
    # Rule: RFC 5681 section 4.2: every second full-sized segment
    return waiting >= 2 * np.int64(s.rcv_mss)


@kernel(_nrt=False)
def stop_delaying(s: Any, stack: Any) -> None:
    """The delayed acknowledgement's timer has expired. Rule: Linux tcp_delack_timer_handler."""
    s.t_ack = NEVER
    if s.pingpong != 0:
        s.pingpong = 0
        s.ato = stack.delack_min // US
    else:
        s.ato = min(2 * np.int64(s.ato), np.int64(s.rto))
