"""Segment arrival, state by state, in the order of RFC 9293 section 3.10.7."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.ack_kernel import acknowledged
from migration.tcp.life_kernel import (
    back_to_listen,
    enter_fin_wait_2,
    enter_time_wait,
    finish,
    opened,
    take_options,
)
from migration.tcp.receive_kernel import (
    accept,
    delay_ack,
    is_old_timestamp,
    note_duplicate,
    take_timestamp,
    wants_ack,
)
from migration.tcp.send_kernel import push, remember, send_ack, send_reset, send_syn
from migration.tcp.state_kernel import (
    ABORTED,
    ACK,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    DIALECT_LINUX,
    DONE,
    ESTABLISHED,
    FIN,
    FIN_WAIT_1,
    FIN_WAIT_2,
    HAS_SYN,
    LAST_ACK,
    LISTEN,
    NOTHING,
    REFUSED,
    RELEASED,
    RESET_BY_PEER,
    RST,
    SYN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from migration.tcp.timing_kernel import after, arm_rto, rto_ns
from pcaps.jit import kernel


@kernel(_nrt=False)
def refuse(w: Any, e: Any, s: Any, p: Any, now: Any) -> None:
    """Answer a segment that belongs to no connection by a RST. Rule: RFC 9293 section 3.10.7.1."""
    if p["flags"] & RST:
        return
    if p["flags"] & ACK:
        send_reset(w, e, s, now, p.ack, np.int64(-1))
        return
    length = np.int64(p["size"])
    if p["flags"] & SYN:
        length += 1
    if p["flags"] & FIN:
        length += 1
    send_reset(w, e, s, now, np.int64(0), p.seq + length)


@kernel(_nrt=False)
def start_syn(w: Any, e: Any, s: Any, stack: Any, now: Any) -> None:
    """Send the SYN, or SYN-ACK, of a connection for the first time, and start its timer."""
    send_syn(w, e, s, stack, now)
    if s.packets == 0:
        remember(w, s, np.int64(0), np.int64(1), now, HAS_SYN)
        s.nxt = 1
        s.rtx_kind = NOTHING
        arm_rto(stack, s, now, rto_ns(s))


@kernel(_nrt=False)
def in_listen(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Rule: RFC 9293 section 3.10.7.2."""
    if p["flags"] & RST:
        return
    if p["flags"] & ACK:
        send_reset(w, e, s, now, p.ack, np.int64(-1))
        return
    if p["flags"] & SYN:
        take_options(s, stack, p, now)
        s.state = SYN_RECEIVED
        start_syn(w, e, s, stack, now)


@kernel(_nrt=False)
def in_syn_sent(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Rule: RFC 9293 section 3.10.7.3."""
    flags = p["flags"]
    acked = False
    if flags & ACK:
        if p.ack <= 0 or p.ack > s.nxt:
            if flags & RST == 0:
                send_reset(w, e, s, now, p.ack, np.int64(-1))
            return
        acked = True
    if flags & RST:
        # Rule: RFC 5961 section 3.2: acceptable when it acknowledges the SYN
        if acked:
            finish(w, s, now, REFUSED)
        return
    if flags & SYN == 0:
        return
    take_options(s, stack, p, now)
    if not acked:
        # Rule: RFC 9293 section 3.5, simultaneous opening
        s.state = SYN_RECEIVED
        start_syn(w, e, s, stack, now)
        return
    acknowledged(w, e, s, stack, p, now)
    opened(s, stack, now)
    s.ack_now = 1
    answer(w, e, s, stack, now, True)


@kernel(_nrt=False)
def challenge(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Answer a segment that is not acceptable by an ACK.

    Rule: RFC 9293 section 3.10.7.4; RFC 5961 section 7 and Linux tcp_oow_rate_limited:
    such answers to segments without data are limited.
    """
    if p["size"] == 0 or p["flags"] & SYN:
        if s.challenged >= 0 and now - s.challenged < stack.challenge:
            return
        s.challenged = now
    send_ack(w, e, s, now)


@kernel(_nrt=False)
def is_acceptable(s: Any, stack: Any, p: Any) -> Any:
    """Tell whether a segment lies in the receive window. Rule: RFC 9293 section 3.10.7.4, first check."""
    length = np.int64(p["size"])
    if p["flags"] & SYN:
        length += 1
    if p["flags"] & FIN:
        length += 1
    stop = p.seq + length
    edge = max(s.rcv_adv, s.rcv_nxt)
    if stack.dialect == DIALECT_LINUX and p["flags"] & SYN == 0:
        return stop >= s.last_ack and p.seq <= edge  # Rule: Linux tcp_sequence
    if edge == s.rcv_nxt:
        # a closed window still lets valid acknowledgements and RSTs in; data is cut off later
        return p.seq == s.rcv_nxt
    if length == 0:
        return s.rcv_nxt <= p.seq < edge
    return s.rcv_nxt <= p.seq < edge or s.rcv_nxt <= stop - 1 < edge


@kernel(_nrt=False)
def linger(s: Any, stack: Any, p: Any, now: Any) -> None:
    """In TIME-WAIT, a repeated FIN restarts the 2 MSL. Rule: RFC 9293 section 3.10.7.4, eighth check.

    Linux tcp_timewait_state_process: so does any acknowledgement outside the window.
    """
    if p["flags"] & FIN or (stack.dialect == DIALECT_LINUX and p["flags"] & ACK):
        s.t_keep = after(stack, now, stack.time_wait)


@kernel(_nrt=False)
def not_acceptable(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Answer a segment outside the window, unless it is a RST."""
    flags = p["flags"]
    if flags & RST:
        return
    if flags & SYN and p.seq < s.rcv_nxt and s.state == SYN_RECEIVED and stack.syn_again != 0:
        if flags & ACK == 0 and s.active == 0:
            send_syn(w, e, s, stack, now)  # the SYN-ACK was lost
            return
    if s.state == TIME_WAIT:
        linger(s, stack, p, now)
    elif p["size"] > 0 and p.seq < s.rcv_nxt:
        stop = min(p.seq + np.int64(p["size"]), s.rcv_nxt)
        note_duplicate(w, s, stack, p.seq, stop)
    challenge(w, e, s, stack, p, now)


@kernel(_nrt=False)
def take_reset(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """Take a RST that lies in the window. Rule: RFC 9293 section 3.10.7.4, second check."""
    # Rule: RFC 5961 section 3.2: only the exact position ends a connection
    if p.seq != s.rcv_nxt:
        challenge(w, e, s, stack, p, now)
        return
    if s.state == SYN_RECEIVED:
        if s.active != 0:
            finish(w, s, now, REFUSED)
        else:
            back_to_listen(w, s, stack)
    elif s.state == TIME_WAIT or (s.una >= s.top and (s.state in (CLOSING, LAST_ACK))):
        finish(w, s, now, DONE)
    else:
        finish(w, s, now, RESET_BY_PEER)


@kernel(forceinline=True, _nrt=False)
def take_ack(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> Any:
    """Take the acknowledgement; tell whether the segment is processed further.

    Rule: RFC 9293 section 3.10.7.4, fifth check.
    """
    if s.state == SYN_RECEIVED:
        if p.ack <= s.una or p.ack > s.nxt:
            send_reset(w, e, s, now, p.ack, np.int64(-1))
            return False
        s.wl1 = p.seq
        acknowledged(w, e, s, stack, p, now)
        opened(s, stack, now)
        return True
    # Rule: RFC 5961 section 5: an ACK too old or of what was never sent
    if p.ack > s.nxt or p.ack < s.una - np.int64(s.max_wnd):
        challenge(w, e, s, stack, p, now)
        return False
    if s.state == TIME_WAIT:
        return True
    if p.ack >= s.una:
        acknowledged(w, e, s, stack, p, now)
    if s.una > s.top:  # the FIN is acknowledged
        if s.state == FIN_WAIT_1:
            enter_fin_wait_2(s, stack, now)
        elif s.state == CLOSING:
            enter_time_wait(w, s, stack, now)
            return False
        elif s.state == LAST_ACK:
            finish(w, s, now, DONE)
            return False
    return True


@kernel(_nrt=False)
def take_fin(w: Any, s: Any, stack: Any, now: Any) -> None:
    """The peer's stream has ended. Rule: RFC 9293 section 3.10.7.4, eighth check."""
    s.fin_seen = 1
    s.ack_now = 1
    if s.state == ESTABLISHED:
        s.state = CLOSE_WAIT
    elif s.state == FIN_WAIT_1:
        s.state = CLOSING
    elif s.state == FIN_WAIT_2:
        enter_time_wait(w, s, stack, now)


@kernel(forceinline=True, _nrt=False)
def answer(w: Any, e: Any, s: Any, stack: Any, now: Any, repair: Any) -> None:
    """Send what may go out now; acknowledge alone what no data has acknowledged."""
    push(w, e, s, stack, now, repair)
    if s.ack_now == 0 and s.rcv_nxt == s.last_ack:
        return
    if wants_ack(s, stack, now):
        send_ack(w, e, s, now)
    else:
        delay_ack(s, stack, now)


@kernel(forceinline=True, _nrt=False)
def in_connection(w: Any, e: Any, s: Any, stack: Any, p: Any, now: Any) -> None:
    """SYN-RECEIVED and all synchronized states. Rule: RFC 9293 section 3.10.7.4."""
    flags = p["flags"]
    if s.ts_ok != 0 and flags & RST == 0:
        # Rule: RFC 7323 section 3.2: once negotiated, each segment has timestamps
        if p.tsval < 0 and stack.ts_required != 0:
            return
        # Rule: RFC 7323 section 5.3, R1: PAWS goes before the window
        if is_old_timestamp(s, stack, p, now):
            challenge(w, e, s, stack, p, now)
            return
    if not is_acceptable(s, stack, p):
        # simultaneous opening: the peer's SYN-ACK, whose SYN was taken already, is trimmed
        crossed = flags & (SYN | ACK | RST) == SYN | ACK and s.state == SYN_RECEIVED
        if not (crossed and p.seq + 1 == s.rcv_nxt and p.ack == s.nxt):
            not_acceptable(w, e, s, stack, p, now)
            return
    elif flags & RST:
        take_reset(w, e, s, stack, p, now)
        return
    elif flags & SYN:
        if s.state == SYN_RECEIVED and s.active == 0:
            back_to_listen(w, s, stack)
        else:
            challenge(w, e, s, stack, p, now)  # Rule: RFC 5961 section 4.2
        return
    if flags & ACK == 0:
        return
    take_timestamp(s, p, now)
    s.heard = now
    if not take_ack(w, e, s, stack, p, now):
        return
    if p["size"] > 0 or flags & FIN:
        if s.state in (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2):
            stop = p.seq + np.int64(p["size"])
            if s.fin == RELEASED and p["size"] > 0 and stop > s.rcv_nxt:
                # Rule: RFC 9293 section 3.6.1: nobody will read it, so the peer is told
                send_reset(w, e, s, now, s.nxt, s.rcv_nxt if stack.reset_ack else np.int64(-1))
                finish(w, s, now, ABORTED)
                return
            fresh = accept(w, s, stack, p, now)
            if s.lazy != 0:
                s.unread = np.int64(s.unread) + fresh
            if s.fin_at >= 0 and s.rcv_nxt > s.fin_at:
                take_fin(w, s, stack, now)
        else:
            s.ack_now = 1
            if s.state == TIME_WAIT:  # as old as that may be acceptable to Linux
                linger(s, stack, p, now)
    answer(w, e, s, stack, now, True)


@kernel(_nrt=False)
def arrive(w: Any, e: Any, row: Any, now: Any) -> None:
    """Let an endpoint process a segment; what it sends is appended to ``w.out``.

    Parameters
    ----------
    w : World
    e : int
        Row of the endpoint.
    row : int
        Row of the segment; it stays the caller's.
    now : int
        The endpoint's own clock, ns.
    """
    s = w.endpoints[e]
    p = w.segments[row]
    stack = w.stacks[s.stack]
    if s.state == CLOSED:
        refuse(w, e, s, p, now)
    elif s.state == LISTEN:
        in_listen(w, e, s, stack, p, now)
    elif s.state == SYN_SENT:
        in_syn_sent(w, e, s, stack, p, now)
    else:
        in_connection(w, e, s, stack, p, now)
