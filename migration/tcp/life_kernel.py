"""How a connection begins and ends: a blank record, the open handshake, TIME-WAIT, the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.congestion_kernel import initial_window
from migration.tcp.pools_kernel import give_gap, give_sent
from migration.tcp.state_kernel import (
    ALIVE,
    CLOSED,
    DEFAULT_MSS,
    DONE,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LISTEN,
    NEVER,
    NOTHING,
    OPEN,
    OPEN_SIDE,
    RELEASED,
    TIME_WAIT,
    TIMESTAMP_BYTES,
    WINDOW_MAX,
)
from migration.tcp.timing_kernel import after
from pcaps.jit import kernel


@kernel(_nrt=False)
def give_back(w: Any, s: Any) -> None:
    """Give the rows of the pools back, and turn the timers off."""
    while s.head != 0:
        row = np.int64(s.head)
        s.head = w.sent[row].next
        give_sent(w, row)
    while s.gaps != 0:
        row = np.int64(s.gaps)
        s.gaps = w.gaps[row].next
        give_gap(w, row)
    if s.dsack != 0:
        give_gap(w, s.dsack)
        s.dsack = 0
    s.tail = 0
    s.packets = 0
    s.sacked = 0
    s.lost = 0
    s.resent = 0
    s.to_resend = 0
    s.smalls = 0
    s.frontier = 0
    s.lost_row = 0
    s.tangled = 0
    for i in range(4):
        s.runs[i] = 0
        s.recent[i] = 0
    s.t_rtx = NEVER
    s.t_ack = NEVER
    s.t_keep = NEVER
    s.rtx_kind = NOTHING
    s.more = 0


@kernel(_nrt=False)
def blank(w: Any, s: Any, stack: Any) -> None:
    """Make a record what it is before a connection.

    `stack`, `keep`, `nodelay` and `lazy` stay as they are. So do `buffer` and `mss`, the
    receive buffer and the segment size that this side offers, unless they are 0: then
    those of the stack hold.
    """
    give_back(w, s)
    if s.buffer <= 0:
        s.buffer = stack.buffer
    if s.mss == 0:
        s.mss = stack.mss
    s.rcv_mss = s.mss
    s.una = 0
    s.nxt = 0
    s.top = 1
    s.rcv_nxt = 0
    s.rcv_adv = 0
    s.last_ack = 0
    s.state = CLOSED
    s.ca = OPEN
    s.sack_ok = 0
    s.ts_ok = 0
    s.snd_scale = 0
    s.rcv_scale = 0
    s.scaled = 0
    s.fin = OPEN_SIDE
    s.fin_seen = 0
    s.fin_at = -1
    s.ack_now = 0
    s.pushed = 0
    s.quick = 0
    s.pingpong = 0
    s.ato = 0
    s.limited = 0
    s.frto = 0
    s.dupacks = 0
    s.retries = 0
    s.probes = 0
    s.wnd = 0
    s.max_wnd = 0
    s.wl1 = 0
    s.cwnd = s.mss
    s.ssthresh = WINDOW_MAX
    s.grown = 0
    s.srtt = 0
    s.rttvar = 0
    s.mdev = 0
    s.mdev_max = 0
    s.min_rtt = 0
    s.rtt_seq = 0
    s.rto = stack.rto_initial
    s.rack_ts = -1
    s.rack_end = 0
    s.rack_rtt = 0
    s.fack = 0
    s.reordered = 0
    s.reo_steps = 1
    s.reo_left = 0
    s.widened = 0
    s.heard = 0
    s.sent_at = -1
    s.data_at = 0
    s.ts_recent = -1
    s.unread = 0
    s.recover = 0
    s.undo_marker = -1
    s.undo_at = -1
    s.undo_resent = -1
    s.prior_cwnd = 0
    s.prior_ssthresh = 0
    s.once = 0
    s.tlp_high = -1
    s.tlp_resent = 0
    s.first_resend = -1
    s.epoch = -1
    s.w_max = np.float32(0.0)
    s.hystart = 0
    s.challenged = -1
    s.died = -1
    s.end = ALIVE
    s.active = 0
    s.resends = 0
    s.timeouts = 0
    if stack.keepalive != 0:
        s.keep = 1


@kernel(_nrt=False)
def take_options(s: Any, stack: Any, p: Any, now: Any) -> None:
    """Take what a SYN offers; an option holds when both sides have it.

    Rule: RFC 9293 section 3.7.1 (MSS), RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2.
    """
    mss = np.int64(p.mss) if p.mss != 0 else np.int64(DEFAULT_MSS)
    s.mss = min(np.int64(s.rcv_mss), mss)
    if p.scale >= 0 and stack.scale >= 0:
        s.scaled = 1
        s.snd_scale = min(np.int64(p.scale), 14)  # Rule: RFC 7323 section 2.3
        s.rcv_scale = stack.scale
    s.sack_ok = 1 if p.sack_ok != 0 and stack.sack != 0 else 0
    if p.tsval >= 0 and stack.timestamps != 0:
        s.ts_ok = 1
        s.ts_recent = p.tsval
        s.mss = np.int64(s.mss) - TIMESTAMP_BYTES
    s.rcv_nxt = p.seq + 1
    s.last_ack = s.rcv_nxt
    s.rcv_adv = s.rcv_nxt + min(np.int64(s.buffer), 65535)
    s.wl1 = p.seq
    s.wnd = p.window  # Rule: RFC 7323 section 2.2: a SYN's window is not scaled
    s.max_wnd = s.wnd
    s.heard = now


@kernel(_nrt=False)
def keep_alive_from(s: Any, stack: Any, now: Any) -> None:
    """Start the keep-alive timer, if the application has asked for it."""
    s.t_keep = after(stack, now, stack.keep_idle) if s.keep != 0 else np.int64(NEVER)


@kernel(_nrt=False)
def opened(s: Any, stack: Any, now: Any) -> None:
    """The handshake is done: ESTABLISHED, or FIN-WAIT-1 when a close was queued."""
    s.state = ESTABLISHED if s.fin == OPEN_SIDE else FIN_WAIT_1
    # Rule: RFC 6298 section 5.7: with no sample because the SYN was lost, 3 s
    if s.srtt == 0:
        s.rto = max(stack.rto_initial, stack.rto_syn_lost) if s.timeouts else stack.rto_initial
    s.cwnd = min(initial_window(s, stack), WINDOW_MAX)
    s.rcv_mss = min(np.int64(s.rcv_mss), DEFAULT_MSS)
    s.retries = 0
    s.first_resend = -1
    s.recover = s.una
    s.undo_marker = -1
    s.undo_at = -1
    s.undo_resent = -1
    keep_alive_from(s, stack, now)


@kernel(_nrt=False)
def finish(w: Any, s: Any, now: Any, why: Any) -> None:
    """Delete the connection: CLOSED."""
    give_back(w, s)
    s.state = CLOSED
    s.end = why
    s.died = now


@kernel(_nrt=False)
def back_to_listen(w: Any, s: Any, stack: Any) -> None:
    """A passive opening has failed; the next SYN may come. Rule: RFC 9293 section 3.10.7.4."""
    s.mss = s.rcv_mss
    blank(w, s, stack)
    s.state = LISTEN


@kernel(_nrt=False)
def enter_time_wait(w: Any, s: Any, stack: Any, now: Any) -> None:
    """Both FINs are acknowledged and this side closed first. Rule: RFC 9293 section 3.6.1."""
    give_back(w, s)
    if stack.time_wait == 0:
        finish(w, s, now, DONE)
        return
    s.state = TIME_WAIT
    s.t_keep = after(stack, now, stack.time_wait)


@kernel(_nrt=False)
def has_fin_wait_limit(s: Any, stack: Any) -> Any:
    """Tell whether FIN-WAIT-2 ends by itself.

    Rule: Linux tcp_fin_timeout: once the application is gone, not for ever. RFC 9293
    knows no limit.
    """
    return stack.fin_wait2 != 0 and s.fin == RELEASED


@kernel(_nrt=False)
def enter_fin_wait_2(s: Any, stack: Any, now: Any) -> None:
    """The FIN is acknowledged; the peer's may take its time."""
    s.state = FIN_WAIT_2
    if has_fin_wait_limit(s, stack):
        s.t_keep = after(stack, now, stack.fin_wait2)
