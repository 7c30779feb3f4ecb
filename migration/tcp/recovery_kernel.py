"""Loss detection and recovery: NewReno, SACK, RACK, what follows a timeout, and undoing.

An acknowledgement is summed up as a set of facts, `found`, before it comes here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.congestion_kernel import reduce, undo
from migration.tcp.scoreboard_kernel import ADVANCED, NEW_SACK, ORIGINAL
from migration.tcp.send_kernel import resend
from migration.tcp.state_kernel import (
    BY_RECOVERY,
    DIALECT_LINUX,
    LOSS,
    LOST,
    MS,
    OPEN,
    RECOVERY,
    REORDERING,
    RESENT,
    RETRANSMIT,
    SACKED,
    US,
)
from migration.tcp.timing_kernel import after, rearm_rto, rto_ns, srtt_us
from pcaps.jit import kernel


@kernel(_nrt=False)
def mark_lost(w: Any, s: Any, row: Any) -> None:
    """Mark one segment lost, its retransmission too."""
    q = w.sent[row]
    if q.marks & RESENT:
        q.marks &= ~np.int32(RESENT)
        s.resent -= 1
        s.tangled = 1
        if q.marks & LOST:
            s.to_resend += 1
    if q.marks & LOST == 0:
        q.marks |= LOST
        s.lost += 1
        s.to_resend += 1
    if s.lost_row != 0 and q.start < w.sent[s.lost_row].start:
        s.lost_row = row


@kernel(_nrt=False)
def reordering_window(s: Any, stack: Any) -> Any:
    """Return RACK's reordering window in us. Rule: RFC 8985 section 6.2 step 4."""
    if s.reordered == 0 and (s.ca != OPEN or s.sacked >= stack.dupthresh):
        return np.int64(0)
    steps = max(np.int64(s.reo_steps), np.int64(1))
    return min(steps * (np.int64(s.min_rtt) >> 2), srtt_us(s))


@kernel(_nrt=False)
def is_sent_before(q: Any, s: Any) -> Any:
    """Tell whether a segment was sent before the one that RACK goes by."""
    return q.at < s.rack_ts or (q.at == s.rack_ts and q.stop < s.rack_end)


@kernel(_nrt=False)
def pass_decided(w: Any, s: Any) -> Any:
    """Move the frontier over what is SACKed, lost or sent again; return the row behind it."""
    row = np.int64(s.frontier)
    if row == 0:
        row = np.int64(s.head)
    while row != 0 and w.sent[row].marks & (SACKED | LOST | RESENT):
        row = np.int64(w.sent[row].next)
    s.frontier = row
    return row


@kernel(_nrt=False)
def check_resent(w: Any, s: Any, window: Any, now: Any) -> Any:
    """Mark retransmissions lost that were sent well before a delivered segment; return the wait, ns.

    They stand in the order in which they were sent, unless one was sent a third time.
    """
    wait = np.int64(0)
    left = np.int64(s.resent)
    if left == 0:
        s.tangled = 0
    row = np.int64(s.head)
    while row != 0 and left > 0:
        q = w.sent[row]
        follower = np.int64(q.next)
        if q.marks & RESENT:
            left -= 1
            if is_sent_before(q, s):
                rest = q.at + window - now
                if rest <= 0:
                    mark_lost(w, s, row)
                else:
                    wait = max(wait, rest)
            elif s.tangled == 0:
                break
        row = follower
    return wait


@kernel(_nrt=False)
def rack_detect(w: Any, s: Any, stack: Any, now: Any) -> Any:
    """Mark segments lost that were sent well before a delivered one. Rule: RFC 8985 section 6.2 step 5.

    Returns how long the others have to be waited for, ns; 0 when there are none. What
    was sent once stands in the order in which it was sent, so that the walk ends at the
    first segment that was sent after the delivered one.
    """
    if s.rack_ts < 0:
        return np.int64(0)
    window = (np.int64(s.rack_rtt) + reordering_window(s, stack)) * US
    wait = check_resent(w, s, window, now)
    row = pass_decided(w, s)
    while row != 0:
        q = w.sent[row]
        if q.marks & (SACKED | LOST | RESENT) == 0:
            if not is_sent_before(q, s):
                break
            left = q.at + window - now
            if left <= 0:
                mark_lost(w, s, row)
            else:
                wait = max(wait, left)
        row = np.int64(q.next)
    return wait


@kernel(_nrt=False)
def sack_detect(w: Any, s: Any, stack: Any) -> None:
    """Mark segments lost that have enough SACKed above them. Rule: RFC 6675 section 4, IsLost().

    Enough: as many separate runs as the threshold, or more bytes than one segment less.
    """
    runs = np.int64(0)
    size = np.int64(0)
    first = pass_decided(w, s)
    row = first
    while row != 0 and w.sent[row].start < s.fack:
        q = w.sent[row]
        if q.marks & SACKED:
            size += q.stop - q.start
            runs += 1
        row = np.int64(q.next)
    enough = (stack.dupthresh - 1) * np.int64(s.mss)
    row = first
    while row != 0 and (runs >= stack.dupthresh or size > enough):
        q = w.sent[row]
        if q.marks & SACKED:
            size -= q.stop - q.start
            runs -= 1
        elif q.marks & (LOST | RESENT) == 0:
            mark_lost(w, s, row)
        row = np.int64(q.next)


@kernel(_nrt=False)
def count_duplicate(w: Any, s: Any, stack: Any) -> None:
    """Without SACK, each duplicate tells that one segment has arrived.

    Rule: RFC 5681 section 3.2: the third one tells that the first is lost; RFC 6582
    section 3.2 step 2: not when an earlier recovery covered it.
    """
    s.dupacks = min(np.int64(s.dupacks) + 1, 65535)
    if s.sacked + s.lost < s.packets:
        s.sacked += 1
    if s.dupacks == stack.dupthresh and s.ca == OPEN and s.una >= s.recover:
        if s.sacked + s.lost >= s.packets:
            s.sacked -= 1
        mark_lost(w, s, np.int64(s.head))


@kernel(_nrt=False)
def detect(w: Any, s: Any, stack: Any, now: Any, duplicate: Any) -> Any:
    """Find losses by the rule of the stack; tell whether the reordering timer was armed."""
    if s.sack_ok == 0:
        if duplicate and s.ca != LOSS:
            count_duplicate(w, s, stack)
        return False
    if s.sacked == 0 and s.ca == OPEN:
        return False
    if stack.rack != 0:
        wait = rack_detect(w, s, stack, now)
        if wait > 0:
            # Rule: Linux tcp_rack_mark_lost: 2 ms more, at most the RTO
            s.t_rtx = after(stack, now, min(wait + 2 * MS, rto_ns(s)))
            s.rtx_kind = REORDERING
            return True
        return False
    if duplicate:
        s.dupacks = min(np.int64(s.dupacks) + 1, 65535)
    # Rule: RFC 6675 section 5.1: after a timeout nothing is detected until it is repaired
    if s.ca == LOSS:
        return False
    sack_detect(w, s, stack)
    if s.dupacks >= stack.dupthresh and s.ca == OPEN and s.una >= s.recover:
        if w.sent[s.head].marks & (SACKED | LOST | RESENT) == 0:
            mark_lost(w, s, np.int64(s.head))
    return False


@kernel(_nrt=False)
def enter_recovery(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """Reduce the window and send the first lost segment. Rule: RFC 5681 section 3.2, 6675 section 5."""
    reduce(s, stack, RECOVERY)
    s.tlp_high = -1
    row = np.int64(s.head)
    while row != 0 and s.to_resend > 0:
        q = w.sent[row]
        if q.marks & (LOST | RESENT) == LOST:
            resend(w, e, s, stack, now, row, BY_RECOVERY)
            break
        row = np.int64(q.next)
    if s.first_resend < 0 and stack.dialect == DIALECT_LINUX:
        s.first_resend = now
    # Rule: RFC 6675 section 6: that a retransmission re-arms the timer is a choice, Linux's
    if stack.dialect == DIALECT_LINUX or s.rtx_kind != RETRANSMIT:
        rearm_rto(w, stack, s, now)


@kernel(_nrt=False)
def leave(s: Any) -> None:
    """All that was outstanding at the loss is acknowledged."""
    if s.ca == RECOVERY:
        s.cwnd = s.ssthresh
        # Rule: RFC 6582 section 3.2 step 3, full acknowledgement
        if s.sack_ok == 0:
            flight = max(s.nxt - s.una, np.int64(s.mss))
            s.cwnd = min(np.int64(s.ssthresh), flight + np.int64(s.mss))
        # Rule: RFC 8985 section 6.2 step 4: a wider window lasts 16 recoveries
        if s.reo_left > 0:
            s.reo_left -= 1
            if s.reo_left == 0:
                s.reo_steps = 1
    s.ca = OPEN
    s.dupacks = 0
    s.frto = 0
    s.grown = 0
    if s.sack_ok == 0:
        s.sacked = 0


@kernel(_nrt=False)
def is_spurious(s: Any, stack: Any, p: Any) -> Any:
    """Tell whether the retransmissions of this episode were not needed.

    Rule: RFC 3522 section 3.2 (Eifel): the echoed timestamp is older than the first
    retransmission. RFC 3708 section 2: every retransmission was reported as a duplicate.
    """
    if stack.undo == 0 or s.undo_marker < 0:
        return False
    if s.undo_resent == 0:
        return True
    return s.ts_ok != 0 and p.tsecr > 0 and s.undo_at >= 0 and p.tsecr < s.undo_at // MS + 1


@kernel(_nrt=False)
def forgive(w: Any, s: Any) -> None:
    """The loss was none: nothing is marked lost, the window is what it was."""
    row = np.int64(s.head)
    while row != 0 and s.lost > 0:
        q = w.sent[row]
        if q.marks & LOST:
            q.marks &= ~np.int32(LOST)
            s.lost -= 1
        row = np.int64(q.next)
    s.to_resend = 0
    s.frontier = 0
    s.lost_row = 0
    undo(s)
    s.ca = OPEN
    s.frto = 0
    s.dupacks = 0


@kernel(_nrt=False)
def undo_by_duplicates(w: Any, s: Any, stack: Any) -> None:
    """Undo when duplicates have been reported for all retransmissions. Rule: RFC 3708 section 2."""
    if stack.undo != 0 and s.undo_marker >= 0 and s.undo_resent == 0:
        forgive(w, s)


@kernel(_nrt=False)
def in_loss(w: Any, s: Any, stack: Any, p: Any, found: Any, duplicate: Any) -> None:
    """Go on after a timeout: undo it, or send the rest again. Rule: RFC 5682 sections 2.1 and 3.1."""
    recovered = s.una >= s.recover
    if found & ADVANCED and is_spurious(s, stack, p):
        forgive(w, s)
        return
    if s.frto != 0:
        if found & ORIGINAL:
            forgive(w, s)  # Rule: step 3b: what was not sent again has arrived
            return
        if s.nxt > s.recover:
            if found & (NEW_SACK | ADVANCED) or duplicate:
                s.frto = 0  # Rule: step 3a: the loss was real
        elif found & ADVANCED and not recovered:
            # Rule: step 2b: send new data first, if there is any and the window lets it out
            s.frto = 0
            if s.top > s.nxt and s.una + np.int64(s.wnd) > s.nxt:
                s.recover = s.nxt
                s.frto = 2
                return
    if recovered:
        leave(s)


@kernel(_nrt=False)
def in_recovery(w: Any, s: Any, stack: Any, p: Any, found: Any, acked: Any) -> None:
    """Go on in fast recovery. Rule: RFC 6582 section 3.2 step 3, RFC 6675 section 5."""
    if found & ADVANCED and is_spurious(s, stack, p):
        forgive(w, s)
        return
    if s.una >= s.recover:
        leave(s)
        return
    if found & ADVANCED and s.sack_ok == 0 and s.head != 0:
        # Rule: partial acknowledgement: as many duplicates as segments lay behind the hole
        gone = max(acked // np.int64(s.mss) - 1, 0)
        s.sacked = max(np.int64(s.sacked) - gone, 0)
        mark_lost(w, s, np.int64(s.head))
        s.sacked = max(min(np.int64(s.sacked), np.int64(s.packets) - np.int64(s.lost)), 0)
