"""What happens when a timer expires: retransmission, probes, keep-alive, and giving up."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.congestion_kernel import reduce
from migration.tcp.life_kernel import finish, has_fin_wait_limit
from migration.tcp.receive_kernel import stop_delaying
from migration.tcp.recovery_kernel import enter_recovery, mark_lost, rack_detect, reordering_window
from migration.tcp.scoreboard_kernel import take_back
from migration.tcp.send_kernel import (
    arm_persist,
    is_unsent,
    may_send,
    pipe,
    probe_below,
    probe_window,
    push,
    resend,
    resend_lost,
    send_ack,
    send_one,
    send_reset,
)
from migration.tcp.state_kernel import (
    ALIVE,
    BY_PROBE,
    BY_RECOVERY,
    BY_TIMEOUT,
    CLOSED,
    DONE,
    FIN_WAIT_2,
    KEEPALIVE_SPENT,
    LISTEN,
    LOSS,
    NEVER,
    NOTHING,
    OPEN,
    OPEN_SIDE,
    PERSIST,
    PROBE_TAIL,
    RELEASED,
    REORDERING,
    RETRIES_SPENT,
    SACKED,
    SYN_RECEIVED,
    SYN_RETRIES_SPENT,
    SYN_SENT,
    TIME_SPENT,
    TIME_WAIT,
    US,
    USER_TIMEOUT_SPENT,
)
from migration.tcp.timing_kernel import after, arm_rto, back_off, rearm_rto, rto_ns
from pcaps.jit import kernel


@kernel(_nrt=False)
def verdict_on_data(w: Any, s: Any, stack: Any, now: Any) -> Any:
    """Return why the connection is given up at this expiry, ALIVE when it is not.

    Rule: RFC 9293 section 3.8.3 (R2). Linux tcp_write_timeout counts time from the first
    retransmission and needs one; Windows counts retransmissions.
    """
    if stack.user_timeout != 0:
        # Rule: Linux tcp_write_timeout: it takes the place of what the stack would do
        if s.retries > 0 and now - s.first_resend >= stack.user_timeout:
            return USER_TIMEOUT_SPENT
        return ALIVE
    # Rule: RFC 9293 section 3.8.6.1: not while the peer keeps its window closed and answers
    if s.wnd == 0 and now - s.heard <= 2 * stack.rto_max * US and s.fin != RELEASED:
        return ALIVE
    if stack.retries != 0 and s.retries >= stack.retries:
        return RETRIES_SPENT
    limit = stack.limit
    if s.fin == RELEASED and stack.orphan_limit != 0:
        # Rule: Linux tcp_orphan_retries: 8 while the timeout still grows, else none
        limit = stack.orphan_limit if s.rto < stack.rto_max else np.int64(1)
    if limit != 0 and s.retries >= stack.limit_least and now - s.first_resend >= limit:
        return TIME_SPENT
    return ALIVE


@kernel(_nrt=False)
def enter_loss(w: Any, s: Any, stack: Any, now: Any) -> None:
    """Take everything outstanding for lost. Rule: RFC 5681 section 3.1; Linux tcp_enter_loss."""
    q = w.sent[s.head]
    reneged = q.marks & SACKED != 0
    if s.sack_ok == 0:
        s.sacked = 0
    s.frontier = 0
    s.lost_row = 0
    if reneged:
        for i in range(4):
            s.runs[i] = 0
    window = (np.int64(s.rack_rtt) + reordering_window(s, stack)) * US
    row = np.int64(s.head)
    while row != 0:
        q = w.sent[row]
        if reneged and q.marks & SACKED:
            take_back(w, s, row)
        # Rule: RFC 8985 section 6.3: what was sent within a round trip may still arrive
        recent = stack.rack != 0 and s.rack_ts >= 0 and q.at + window > now
        if q.marks & SACKED == 0 and (row == s.head or reneged or not recent):
            mark_lost(w, s, row)
        row = np.int64(q.next)
    # Rule: RFC 5682 section 2.1 step 1: not when a recovery was under way already
    fresh = s.ca == OPEN or s.retries > 0
    reduce(s, stack, LOSS)
    s.cwnd = (pipe(s) + 1) * np.int64(s.mss)
    s.frto = 1 if stack.frto != 0 and fresh else 0
    s.tlp_high = -1


@kernel(_nrt=False)
def retransmission_timeout(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """The retransmission timer has expired. Rule: RFC 6298 sections 5.4 to 5.7."""
    opening = s.state in (SYN_SENT, SYN_RECEIVED)
    if opening:
        most = stack.synack_retries
        if s.active != 0:
            most = stack.syn_retries + stack.syn_linear
        if s.retries >= most:
            finish(w, s, now, SYN_RETRIES_SPENT)
            return
    else:
        why = verdict_on_data(w, s, stack, now)
        if why != ALIVE:
            finish(w, s, now, why)
            return
    s.timeouts += 1
    if s.first_resend < 0:
        s.first_resend = w.sent[s.head].at if stack.limit_from_send != 0 else now
    if not opening:
        enter_loss(w, s, stack, now)
    resend(w, e, s, stack, now, s.head, BY_TIMEOUT)
    s.retries += 1
    if not (s.state == SYN_SENT and s.timeouts <= stack.syn_linear):
        back_off(stack, s)
    s.rtx_kind = NOTHING
    arm_rto(stack, s, now, rto_ns(s))


@kernel(_nrt=False)
def tail_probe(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """Send a tail loss probe. Rule: RFC 8985 section 7.3: one outstanding; new data if there is any."""
    if s.tlp_high < 0 and s.packets != 0:
        s.tlp_resent = 0
        before = s.nxt
        left = s.top - s.nxt
        size = min(left, np.int64(s.mss))
        if size > 0 and s.una + np.int64(s.wnd) >= s.nxt + size:
            send_one(w, e, s, now, size, False)
        elif s.tail != 0:
            resend(w, e, s, stack, now, s.tail, BY_PROBE)
            s.tlp_resent = 1
        if s.nxt != before or s.tlp_resent != 0:
            s.tlp_high = s.nxt
            s.rtx_kind = NOTHING
    rearm_rto(w, stack, s, now)


@kernel(_nrt=False)
def reordering_timeout(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """RACK has waited long enough. Rule: RFC 8985 section 6.2 step 5."""
    before = pipe(s)
    rack_detect(w, s, stack, now)
    if pipe(s) != before:
        if s.ca == OPEN:
            enter_recovery(w, e, s, stack, now)
        resend_lost(w, e, s, stack, now, BY_TIMEOUT if s.ca == LOSS else BY_RECOVERY)
    if s.rtx_kind == REORDERING:
        rearm_rto(w, stack, s, now)


@kernel(_nrt=False)
def verdict_on_probes(s: Any, stack: Any, now: Any) -> Any:
    """Return why the connection is given up instead of one more window probe, ALIVE when it is not.

    Rule: RFC 9293 section 3.8.6.1 (MUST-37): not as long as probes are answered. Linux
    tcp_probe_timer: a user timeout and a gone application end it all the same.
    """
    if s.first_resend < 0:
        s.first_resend = now
    if stack.user_timeout != 0 and now - s.first_resend >= stack.user_timeout:
        return USER_TIMEOUT_SPENT
    if s.fin == RELEASED and stack.orphan_limit != 0:
        if rto_ns(s) << min(np.int64(s.retries), np.int64(20)) >= stack.rto_max * US:
            return TIME_SPENT
    if stack.probe_retries != 0 and s.probes >= stack.probe_retries:
        return RETRIES_SPENT
    if stack.probe_retries == 0 and stack.limit != 0 and s.probes >= stack.limit_least:
        if now - s.heard >= stack.limit:
            return TIME_SPENT
    return ALIVE


@kernel(_nrt=False)
def window_probe(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """The window is still closed, or too small: probe it. Rule: RFC 9293 section 3.8.6.1."""
    if not (s.packets != 0 or is_unsent(s)) or not may_send(s):
        s.rtx_kind = NOTHING
        s.t_rtx = NEVER
        s.retries = 0
        return
    why = verdict_on_probes(s, stack, now)
    if why != ALIVE:
        finish(w, s, now, why)
        return
    room = s.una + np.int64(s.wnd) - s.nxt
    if s.packets == 0 and room > 0:
        # Rule: RFC 9293 section 3.8.6.2.1 (4): what fits goes out at last
        left = s.top - s.nxt
        size = min(left, np.int64(s.mss), room)
        send_one(w, e, s, now, size, size == left and room > size and s.fin != OPEN_SIDE)
        s.rtx_kind = NOTHING
        s.retries = 0
        s.first_resend = -1
        rearm_rto(w, stack, s, now)
        return
    probe_window(w, e, s, stack, now)
    s.probes = min(np.int64(s.probes) + 1, 65535)
    s.retries = min(np.int64(s.retries) + 1, 65535)
    arm_persist(stack, s, now)


@kernel(_nrt=False)
def keep_alive(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """Probe a silent peer; give it up when it answers none. Rule: RFC 9293 section 3.8.4."""
    if s.keep == 0 or s.state in (SYN_SENT, SYN_RECEIVED):
        s.t_keep = NEVER
        return
    if s.packets != 0 or is_unsent(s):
        s.t_keep = after(stack, now, stack.keep_idle)
        return
    silent = now - s.heard
    if silent < stack.keep_idle:
        s.t_keep = after(stack, now, stack.keep_idle - silent)
        return
    spent = s.probes >= stack.keep_probes
    if stack.user_timeout != 0:
        # Rule: Linux tcp_keepalive_timer: the user timeout takes the place of the count
        spent = s.probes > 0 and silent >= stack.user_timeout
    if spent:
        send_reset(w, e, s, now, s.nxt, s.rcv_nxt if stack.reset_ack else np.int64(-1))
        finish(w, s, now, KEEPALIVE_SPENT)
        return
    probe_below(w, e, s, now)
    s.probes = min(np.int64(s.probes) + 1, 65535)
    s.t_keep = after(stack, now, stack.keep_interval)


@kernel(_nrt=False)
def long_wait_over(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """The slow timer has expired: TIME-WAIT, FIN-WAIT-2 or keep-alive."""
    if s.state == TIME_WAIT or (s.state == FIN_WAIT_2 and has_fin_wait_limit(s, stack)):
        finish(w, s, now, DONE)
    else:
        keep_alive(w, e, s, stack, now)


@kernel(_nrt=False)
def expire(w: Any, e: Any, now: Any) -> None:
    """Run every timer of an endpoint that is due; what is sent is appended to ``w.out``.

    Parameters
    ----------
    w : World
    e : int
        Row of the endpoint.
    now : int
        The endpoint's own clock, ns.
    """
    s = w.endpoints[e]
    stack = w.stacks[s.stack]
    if s.state in (CLOSED, LISTEN):
        return
    if s.more != 0:
        push(w, e, s, stack, now, True)
    if s.t_ack <= now:
        stop_delaying(s, stack)
        if s.rcv_nxt != s.last_ack or s.ack_now != 0:
            send_ack(w, e, s, now)
    if s.t_rtx <= now:
        s.t_rtx = NEVER
        if s.rtx_kind == PERSIST:
            window_probe(w, e, s, stack, now)
        elif s.packets == 0:
            s.rtx_kind = NOTHING
        elif s.rtx_kind == PROBE_TAIL:
            tail_probe(w, e, s, stack, now)
        elif s.rtx_kind == REORDERING:
            reordering_timeout(w, e, s, stack, now)
        else:
            retransmission_timeout(w, e, s, stack, now)
    if s.t_keep <= now:
        long_wait_over(w, e, s, stack, now)
