"""What an acknowledgement does to the sender: scoreboard, samples, window, and on to recovery."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.congestion_kernel import grow, leave_slow_start, reduced, remember_peak
from migration.tcp.recovery_kernel import (
    detect,
    enter_recovery,
    in_loss,
    in_recovery,
    undo_by_duplicates,
)
from migration.tcp.scoreboard_kernel import (
    ADVANCED,
    DSACKED,
    NEW_SACK,
    ORIGINAL,
    RESENT_TOO,
    delivered,
    drop_sent,
    take_sack,
)
from migration.tcp.send_kernel import arm_persist, pipe
from migration.tcp.state_kernel import (
    EVER_RESENT,
    LOSS,
    MORE_SHIFT,
    MS,
    NEVER,
    NOTHING,
    OPEN,
    PERSIST,
    RECOVERY,
    SACKED,
    SYN,
    US,
    WINDOW_MAX,
)
from migration.tcp.timing_kernel import arm_tail_probe, rearm_rto, sample
from pcaps.jit import kernel


@kernel(forceinline=True, _nrt=False)
def clean(w: Any, s: Any, stack: Any, p: Any, now: Any) -> Any:
    """Remove what is acknowledged; take the RTT sample; return what it brought.

    Rule: RFC 6298 section 3 (Karn): no sample from a segment that was sent again,
    but with timestamps one from TSecr (RFC 7323 section 4.1).
    """
    found = ADVANCED
    sent_at = np.int64(-1)
    fack = s.fack
    while s.head != 0:
        row = np.int64(s.head)
        q = w.sent[row]
        if q.stop > p.ack:
            break
        count = 1 + (np.int64(q.marks) >> MORE_SHIFT)
        if q.marks & EVER_RESENT:
            found |= RESENT_TOO
        if q.marks & SACKED:
            s.sacked -= count
        else:
            if sent_at < 0 and q.marks & EVER_RESENT == 0:
                sent_at = q.at
            found |= delivered(s, stack, q, fack, now)
        s.head = q.next
        s.packets -= count
        drop_sent(w, s, row, np.int64(q.next))
    if s.head == 0:
        s.tail = 0
    # Rule: RFC 5682 section 2.1: without SACK it cannot be told which of them had arrived before
    if s.sack_ok == 0 and found & RESENT_TOO:
        found &= ~ORIGINAL
    if sent_at >= 0 and found & RESENT_TOO == 0:
        sample(stack, s, now - sent_at)
        leave_slow_start(s, stack, (now - sent_at) // US)
    elif s.ts_ok != 0 and p.tsecr > 0:
        sample(stack, s, max(now // MS + 1 - p.tsecr, 1) * MS)
    return found


@kernel(_nrt=False)
def end_tail_probe(s: Any, stack: Any, p: Any, found: Any) -> None:
    """The tail probe is answered. Rule: RFC 8985 section 7.4.2: without a DSACK it repaired a loss."""
    if p.ack < s.tlp_high:
        return
    if s.tlp_resent == 0 or found & DSACKED:
        s.tlp_high = -1
    elif p.ack > s.tlp_high:
        if s.ca == OPEN:
            s.ssthresh = reduced(s, stack)
            remember_peak(s, stack)
            s.cwnd = s.ssthresh
        s.tlp_high = -1
    elif found & (ADVANCED | NEW_SACK) == 0:
        s.tlp_high = -1


@kernel(forceinline=True, _nrt=False)
def take_window(s: Any, p: Any) -> None:
    """Take the peer's window from the newest segment. Rule: RFC 9293 section 3.10.7.4.

    The comparison of WL2 with the acknowledgement can be left out: an acceptable
    acknowledgement is never older than one that was taken.
    """
    if s.wl1 <= p.seq:
        # Rule: RFC 7323 section 2.2: the window of a SYN is not scaled
        scale = np.int64(0) if p["flags"] & SYN else np.int64(s.snd_scale)
        s.wnd = min(np.int64(p.window) << scale, WINDOW_MAX)
        s.wl1 = p.seq
        s.max_wnd = max(s.max_wnd, s.wnd)


@kernel(forceinline=True, _nrt=False)
def restart_timer(w: Any, s: Any, stack: Any, now: Any) -> None:
    """Restart the timer after an acknowledgement of new data. Rule: RFC 6298 section 5.3."""
    # Rule: RFC 6582 section 3.2 step 3: in recovery only the first partial one does
    if s.ca == RECOVERY and s.sack_ok == 0 and s.packets != 0:
        if s.once != 0:
            return
        s.once = 1
    if not arm_tail_probe(w, stack, s, now, 1):
        rearm_rto(w, stack, s, now)


@kernel(_nrt=False)
def end_persist(w: Any, s: Any, stack: Any, now: Any) -> None:
    """The peer has told its window while it was being probed."""
    if s.una + np.int64(s.wnd) > s.nxt:
        s.rtx_kind = NOTHING
        s.t_rtx = NEVER
        s.retries = 0
        rearm_rto(w, stack, s, now)
    else:
        arm_persist(stack, s, now)


@kernel(forceinline=True, _nrt=False)
def acknowledged(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Process an acceptable acknowledgement (una <= ack <= nxt). Rule: RFC 9293 section 3.10.7.4."""
    acked = p.ack - s.una
    before = pipe(s)
    had = np.int64(s.packets)
    window = s.wnd
    take_window(s, p)
    found = 0
    if s.sack_ok != 0 and p.blocks != 0:
        found = take_sack(w, s, stack, p, now)
    # Rule: RFC 5681 section 2: what counts as a duplicate; RFC 6675 section 2: with SACK, one
    # that brings new information
    duplicate = acked == 0 and had != 0
    if s.sack_ok != 0:
        duplicate = duplicate and found & NEW_SACK != 0
    else:
        duplicate = duplicate and p["size"] == 0 and window == s.wnd
    s.probes = 0
    if acked > 0:
        s.una = p.ack
        found |= clean(w, s, stack, p, now)
        s.retries = 0
        s.dupacks = 0
        s.first_resend = -1
        if s.sack_ok == 0 and s.ca == OPEN:
            s.sacked = 0
    if s.rtx_kind == PERSIST:
        end_persist(w, s, stack, now)
        return
    if s.tlp_high >= 0:
        end_tail_probe(s, stack, p, found)
    if found & DSACKED and s.ca != LOSS:
        undo_by_duplicates(w, s, stack)
    if had == 0:
        return
    repairing = s.ca == RECOVERY
    if s.ca == LOSS:
        in_loss(w, s, stack, p, found, duplicate)
    elif repairing:
        in_recovery(w, s, stack, p, found, acked)
    waiting = False
    if s.packets != 0 and (found & (ADVANCED | NEW_SACK) or duplicate):
        waiting = detect(w, s, stack, now, duplicate)
    if s.ca == OPEN and s.lost > 0:
        enter_recovery(w, e, s, stack, now)
    elif acked > 0 and not repairing:
        # Rule: RFC 7661 section 4.3 in spirit, Linux tcp_is_cwnd_limited: a window that was not
        # used does not grow
        if s.limited != 0 or 2 * before * np.int64(s.mss) >= s.cwnd or s.ca == LOSS:
            grow(s, stack, now, acked)
    if acked > 0 and not waiting:
        restart_timer(w, s, stack, now)
