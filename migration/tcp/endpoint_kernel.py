"""A TCP endpoint: what the application asks of it, what arrives, what expires.

Every function takes the world, the endpoint's row and its own clock, and appends the
rows of the segments that it sends to ``w.out``; the caller sets ``w.count[C_OUT]`` to
0 before a call and owns these rows after it. No payload is kept: a stream is a range
of positions, and what stands in it is the caller's affair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.arrival_kernel import arrive, start_syn
from migration.tcp.expiry_kernel import expire
from migration.tcp.life_kernel import (
    blank,
    enter_fin_wait_2,
    finish,
    keep_alive_from,
    opened,
)
from migration.tcp.receive_kernel import is_drained
from migration.tcp.send_kernel import push, send_ack, send_reset
from migration.tcp.state_kernel import (
    ABORTED,
    CLOSE_WAIT,
    CLOSED,
    CLOSED_SIDE,
    CLOSING,
    DONE,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    OPEN_SIDE,
    RELEASED,
    SYN_SENT,
    TIME_WAIT,
    TIMESTAMP_BYTES,
)
from pcaps.jit import kernel

__all__ = [
    "abort", "arrive", "close", "connect", "establish", "expire", "listen", "read", "release",
    "set_keepalive", "write",
]  # fmt: skip


@kernel(_nrt=False)
def connect(w: Any, e: Any, now: Any) -> None:
    """Open actively: the SYN goes out. Rule: RFC 9293 section 3.10.1."""
    s = w.endpoints[e]
    stack = w.stacks[s.stack]
    blank(w, s, stack)
    s.active = 1
    s.state = SYN_SENT
    start_syn(w, e, s, stack, now)


@kernel(_nrt=False)
def listen(w: Any, e: Any) -> None:
    """Open passively: the first SYN to come is taken. Rule: RFC 9293 section 3.10.1."""
    s = w.endpoints[e]
    blank(w, s, w.stacks[s.stack])
    s.state = LISTEN


@kernel(_nrt=False)
def establish(w: Any, e: Any, now: Any, una: Any, rcv_nxt: Any, wnd: Any, mss: Any) -> None:
    """Begin in ESTABLISHED, for a connection whose handshake nobody saw.

    Options are those of the stack, as if the peer had them too; a caller who knows better
    sets `sack_ok`, `ts_ok`, `snd_scale` and `rcv_scale` after the call.

    Parameters
    ----------
    una, rcv_nxt : int
        Stream positions: next to send, and next to receive.
    wnd : int
        The peer's window, bytes; 0 = as large as this side's buffer.
    mss : int
        The peer's segment size; 0 = that of this side.
    """
    s = w.endpoints[e]
    stack = w.stacks[s.stack]
    blank(w, s, stack)
    s.una = una
    s.nxt = una
    s.top = una
    s.rcv_nxt = rcv_nxt
    s.last_ack = rcv_nxt
    s.rcv_adv = rcv_nxt + np.int64(s.buffer)
    s.wl1 = rcv_nxt
    s.wnd = wnd if wnd > 0 else s.buffer
    s.max_wnd = s.wnd
    if mss > 0:
        s.mss = min(np.int64(s.mss), mss)
    s.fack = una
    s.rtt_seq = una
    s.heard = now
    s.sack_ok = stack.sack
    if stack.scale >= 0:
        s.scaled = 1
        s.snd_scale = stack.scale
        s.rcv_scale = stack.scale
    if stack.timestamps != 0:
        s.ts_ok = 1
        s.mss = np.int64(s.mss) - TIMESTAMP_BYTES
    opened(s, stack, now)


@kernel(_nrt=False)
def write(w: Any, e: Any, size: Any, now: Any) -> Any:
    """Send `size` bytes; return how many were taken, 0 when the state has no room for them.

    Rule: RFC 9293 section 3.10.2. Before the connection is open they wait.
    """
    s = w.endpoints[e]
    if s.fin != OPEN_SIDE or not (SYN_SENT <= s.state <= ESTABLISHED or s.state == CLOSE_WAIT):
        return np.int64(0)
    s.top += size
    push(w, e, s, w.stacks[s.stack], now, False)
    return np.int64(size)


@kernel(_nrt=False)
def read(w: Any, e: Any, size: Any, now: Any) -> Any:
    """Take up to `size` received bytes; return how many. Rule: RFC 9293 section 3.10.3.

    Only endpoints whose `lazy` is set keep any. Rule: Linux tcp_cleanup_rbuf: the peer
    is told at once when the window at least doubles and was at most half of the buffer.
    """
    s = w.endpoints[e]
    taken = min(np.int64(size), np.int64(s.unread))
    s.unread = np.int64(s.unread) - taken
    if taken > 0 and (s.state in (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2)):
        offered = s.rcv_adv - s.rcv_nxt
        room = np.int64(s.buffer) - np.int64(s.unread)
        step = min(np.int64(s.rcv_mss), np.int64(s.buffer) // 2)
        if (2 * offered <= s.buffer and room >= 2 * offered and room >= offered + step) or (
            s.rcv_nxt > s.last_ack and is_drained(s, w.stacks[s.stack])
        ):
            send_ack(w, e, s, now)
    return taken


@kernel(_nrt=False)
def close(w: Any, e: Any, now: Any) -> None:
    """Close this side's stream; the peer's goes on. Rule: RFC 9293 section 3.10.4.

    A FIN follows the data that was written. During the handshake it waits for its end.
    """
    s = w.endpoints[e]
    if s.state in (LISTEN, SYN_SENT):
        finish(w, s, now, DONE)
        return
    if s.fin != OPEN_SIDE or s.state == CLOSED:
        return
    s.fin = CLOSED_SIDE
    if s.state == ESTABLISHED:
        s.state = FIN_WAIT_1
    elif s.state == CLOSE_WAIT:
        s.state = LAST_ACK
    push(w, e, s, w.stacks[s.stack], now, False)


@kernel(_nrt=False)
def release(w: Any, e: Any, now: Any) -> None:
    """The application lets go of the connection: it will neither write nor read again.

    Rule: RFC 9293 section 3.6.1: as a close, but what arrives is answered by a RST, and
    so is what was received and not read (Linux tcp_close).
    """
    s = w.endpoints[e]
    if s.unread > 0:
        abort(w, e, now)
        return
    close(w, e, now)
    if s.fin != OPEN_SIDE:
        s.fin = RELEASED
    if s.state == FIN_WAIT_2:
        enter_fin_wait_2(s, w.stacks[s.stack], now)


@kernel(_nrt=False)
def abort(w: Any, e: Any, now: Any) -> None:
    """End the connection by a RST. Rule: RFC 9293 section 3.10.5."""
    s = w.endpoints[e]
    if s.state == CLOSED:
        return
    if s.state not in (LISTEN, SYN_SENT, CLOSING, LAST_ACK, TIME_WAIT):
        ack = s.rcv_nxt if w.stacks[s.stack].reset_ack != 0 else np.int64(-1)
        send_reset(w, e, s, now, s.nxt, ack)
    finish(w, s, now, DONE if s.state == TIME_WAIT else ABORTED)


@kernel(_nrt=False)
def set_keepalive(w: Any, e: Any, on: Any, now: Any) -> None:
    """Turn keep-alive on or off. Rule: RFC 9293 section 3.8.4 (MUST-24)."""
    s = w.endpoints[e]
    s.keep = on
    if s.state in (ESTABLISHED, CLOSE_WAIT):
        keep_alive_from(s, w.stacks[s.stack], now)
