"""Round-trip estimation, the retransmission timeout, and when a timer fires.

All of RFC 6298, and what Linux does instead of its sections 2.3 and 2.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.state_kernel import (
    CLOSED,
    DIALECT_LINUX,
    MS,
    NEVER,
    NOTHING,
    OPEN,
    PERSIST,
    PROBE_TAIL,
    REORDERING,
    RETRANSMIT,
    US,
)
from pcaps.jit import kernel


@kernel(_nrt=False)
def after(stack: Any, now: Any, delay: Any) -> Any:
    """Return when a timer fires that is set at `now` for `delay` ns; never early.

    Rule: timer wheel (Linux kernel/time/timer.c): a delay of d ticks goes to the level
    that covers it; the levels begin at 0, 63, 504, 4032 and 32256 ticks and have a
    granularity of 1, 8, 64, 512 and 4096; it fires at the next multiple of that
    granularity after it is due.
    """
    tick = stack.tick
    if tick == 0:
        return now + delay
    if stack.wheel == 0:
        return (now + delay + tick - 1) // tick * tick
    ticks = (delay + tick - 1) // tick
    due = now // tick + ticks
    shift = 0
    if ticks >= 32256:
        shift = 12
    elif ticks >= 4032:
        shift = 9
    elif ticks >= 504:
        shift = 6
    elif ticks >= 63:
        shift = 3
    return (((due >> shift) + 1) << shift) * tick


@kernel(_nrt=False)
def rto_ns(s: Any) -> Any:
    """Return the retransmission timeout in ns."""
    return np.int64(s.rto) * US


@kernel(_nrt=False)
def srtt_us(s: Any) -> Any:
    """Return the smoothed round-trip time in us; it is kept in eighths of them."""
    return np.int64(s.srtt) >> 3


@kernel(_nrt=False)
def set_rto(stack: Any, s: Any) -> None:
    """Compute the timeout from the estimate; this ends a backoff."""
    if stack.dialect == DIALECT_LINUX:
        # Rule: Linux __tcp_set_rto: the floor is one of the deviation, not of the sum
        rto = srtt_us(s) + np.int64(s.rttvar)
    else:
        # Rule: RFC 6298 section 2.3: RTO = SRTT + max(G, 4 RTTVAR); 2.4: the floor
        rto = max(srtt_us(s) + max(stack.granularity, np.int64(s.rttvar)), stack.rto_min)
    tick = stack.tick // US
    if tick != 0:
        rto = (rto + tick - 1) // tick * tick
    # Rule: RFC 6298 section 2.5: the ceiling
    s.rto = min(rto, stack.rto_max)


@kernel(_nrt=False)
def sample_linux(stack: Any, s: Any, rtt: Any) -> None:
    """Take one sample, us. Rule: Linux tcp_rtt_estimator."""
    if s.srtt == 0:
        s.srtt = rtt << 3
        s.mdev = 2 * rtt
        s.rttvar = max(np.int64(s.mdev), stack.rto_min)
        s.mdev_max = s.rttvar
        return
    delta = rtt - srtt_us(s)
    s.srtt = max(np.int64(s.srtt) + delta, np.int64(1))
    four = np.int64(s.mdev)
    if delta < 0:
        delta = -delta - (four >> 2)
        # Rule: Linux: a falling RTT must not raise the deviation as fast
        if delta > 0:
            delta >>= 3
    else:
        delta -= four >> 2
    s.mdev = four + delta
    if s.mdev > s.mdev_max:
        s.mdev_max = s.mdev
        s.rttvar = max(s.rttvar, s.mdev_max)
    if s.una > s.rtt_seq:
        if s.mdev_max < s.rttvar:
            s.rttvar = np.int64(s.rttvar) - ((np.int64(s.rttvar) - np.int64(s.mdev_max)) >> 2)
        s.mdev_max = stack.rto_min


@kernel(_nrt=False)
def sample_rfc(s: Any, rtt: Any) -> None:
    """Take one sample, us. Rule: RFC 6298 sections 2.2 and 2.3."""
    if s.srtt == 0:
        s.srtt = rtt << 3
        s.rttvar = 2 * rtt  # four times R/2
        return
    delta = rtt - srtt_us(s)
    s.rttvar = np.int64(s.rttvar) - (np.int64(s.rttvar) >> 2) + abs(delta)
    s.srtt = max(np.int64(s.srtt) + delta, np.int64(1))


@kernel(_nrt=False)
def sample(stack: Any, s: Any, rtt_ns: Any) -> None:
    """Take a round-trip sample in ns and compute the timeout anew."""
    rtt = min(max(np.int64(rtt_ns) // US, np.int64(1)), np.int64(1 << 27))
    if s.min_rtt == 0 or rtt < s.min_rtt:
        s.min_rtt = rtt
    if stack.dialect == DIALECT_LINUX:
        sample_linux(stack, s, rtt)
    else:
        sample_rfc(s, rtt)
    if s.una > s.rtt_seq:  # once in a round trip
        s.rtt_seq = s.nxt
        s.widened = 0
    set_rto(stack, s)


@kernel(_nrt=False)
def back_off(stack: Any, s: Any) -> None:
    """Double the timeout. Rule: RFC 6298 sections 5.5 and 2.5."""
    s.rto = min(2 * np.int64(s.rto), stack.rto_max)


@kernel(_nrt=False)
def arm_rto(stack: Any, s: Any, now: Any, delay: Any) -> None:
    """Start the retransmission timer."""
    # Rule: Linux tcp_clamp_rto_to_user_timeout: it expires when the user timeout is over
    if stack.user_timeout != 0 and s.first_resend >= 0:
        delay = min(delay, max(s.first_resend + stack.user_timeout - now, np.int64(MS)))
    s.t_rtx = after(stack, now, delay)
    s.rtx_kind = RETRANSMIT


@kernel(forceinline=True, _nrt=False)
def rearm_rto(w: Any, stack: Any, s: Any, now: Any) -> None:
    """Restart the retransmission timer, or stop it when nothing is outstanding.

    Rule: RFC 6298 sections 5.2 and 5.3. Linux tcp_rearm_rto: behind a tail probe or
    reordering timer, the time that has passed since the first segment was sent counts.
    """
    if s.packets == 0:
        if s.rtx_kind != PERSIST:
            s.t_rtx = NEVER
            s.rtx_kind = NOTHING
        return
    delay = rto_ns(s)
    if s.rtx_kind in (PROBE_TAIL, REORDERING):
        delay = max(w.sent[s.head].at + delay - now, np.int64(US))
    arm_rto(stack, s, now, delay)


@kernel(forceinline=True, _nrt=False)
def arm_tail_probe(w: Any, stack: Any, s: Any, now: Any, fresh: Any) -> Any:
    """Arm the tail loss probe instead of the retransmission timer; tell whether it was.

    Rule: RFC 8985 section 7.2: only outside recovery and with nothing SACKed. Linux
    tcp_schedule_loss_probe adds the receiver's delay when one segment is in flight, else 2 ms.
    fresh: an acknowledgement has just restarted the RTO.
    """
    if stack.tlp == 0 or s.packets == 0 or s.sack_ok == 0 or s.ca != OPEN or s.sacked != 0:
        return False
    if s.srtt != 0:
        timeout = (np.int64(s.srtt) >> 2) * US
        timeout += stack.tlp_delay * US if s.packets == 1 else 2 * MS
    else:
        timeout = stack.rto_initial * US
    delay = rto_ns(s)
    if fresh == 0:
        delay = w.sent[s.head].at + delay - now
    if delay > 0:
        timeout = min(timeout, delay)
    s.t_rtx = after(stack, now, timeout)
    s.rtx_kind = PROBE_TAIL
    return True


@kernel(_nrt=False)
def next_timer(s: Any) -> Any:
    """Return when the endpoint wants to be called, NEVER when it has no timer."""
    if s.more != 0 and s.state != CLOSED:
        return np.int64(0)
    return min(s.t_rtx, s.t_ack, s.t_keep)
