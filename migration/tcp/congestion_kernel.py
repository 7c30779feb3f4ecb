"""The congestion window: slow start, avoidance (Reno, CUBIC), reductions and their undoing.

The window is kept in bytes; what is in the network is counted in segments, as Linux
does, so that small segments count as whole ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.state_kernel import (
    CUBIC,
    DIALECT_LINUX,
    LOSS,
    NS,
    OPEN,
    US,
    WINDOW_MAX,
)
from migration.tcp.timing_kernel import rto_ns, srtt_us
from pcaps.jit import kernel

CUBIC_C = 0.4
"""Rule: RFC 9438 section 5.1."""

CUBIC_BETA = 717.0 / 1024.0
"""Rule: RFC 9438 section 4.6 says 0.7; this is Linux's fixed-point form of it (tcp_cubic.c)."""

CUBIC_ALPHA = 3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA)
"""Rule: RFC 9438 section 4.3."""

HYSTART_LOW = 16
"""Segments from which on HyStart looks for the end of slow start (tcp_cubic.c)."""

HYSTART_SAMPLES = 8


@kernel(_nrt=False)
def initial_window(s: Any, stack: Any) -> Any:
    """Return the window that a connection starts with, in bytes."""
    mss = np.int64(s.mss)
    if s.timeouts >= stack.syn_lost_window:
        return mss  # Rule: RFC 5681 section 3.1: one segment when the SYN was lost
    if stack.initial_cwnd != 0:
        return stack.initial_cwnd * mss
    # Rule: RFC 5681 section 3.1
    if mss > 2190:
        return 2 * mss
    return 3 * mss if mss > 1095 else 4 * mss


@kernel(_nrt=False)
def reduced(s: Any, stack: Any) -> Any:
    """Return the slow start threshold after a loss, in bytes."""
    mss = np.int64(s.mss)
    cwnd = np.int64(s.cwnd)
    if stack.congestion == CUBIC:
        # Rule: RFC 9438 section 4.6, at least two segments
        return max(np.int64(cwnd * CUBIC_BETA) // mss * mss, 2 * mss)
    if stack.dialect == DIALECT_LINUX:
        return max((cwnd // mss >> 1) * mss, 2 * mss)  # Rule: Linux tcp_reno_ssthresh
    # Rule: RFC 5681 section 3.1, equation 4: half of what is in flight
    return max((s.nxt - s.una) // 2, 2 * mss)


@kernel(_nrt=False)
def remember_peak(s: Any, stack: Any) -> None:
    """CUBIC: end the epoch. Rule: RFC 9438 section 4.7, fast convergence."""
    if stack.congestion != CUBIC:
        return
    s.epoch = -1
    window = np.int64(s.cwnd) / np.int64(s.mss)
    if window < s.w_max:
        window = window * (1.0 + CUBIC_BETA) / 2.0
    s.w_max = np.float32(window)


@kernel(_nrt=False)
def reduce(s: Any, stack: Any, state: Any) -> None:
    """Reduce the window because of a loss, and remember what it was."""
    # Rule: RFC 5681 section 3.1: once in a window of data, and not again while a timeout repeats
    first = s.ca == OPEN or s.recover <= s.una or (s.ca == LOSS and s.retries == 0)
    if stack.dialect != DIALECT_LINUX and state == LOSS:
        first = s.retries == 0
    if first:
        s.prior_cwnd = s.cwnd
        s.prior_ssthresh = s.ssthresh
        s.ssthresh = reduced(s, stack)
        s.undo_marker = s.una
        s.undo_resent = -1
        s.undo_at = -1
        remember_peak(s, stack)
    s.ca = state
    s.recover = s.nxt
    s.cwnd = s.mss if state == LOSS else s.ssthresh
    s.grown = 0
    s.once = 0


@kernel(_nrt=False)
def undo(s: Any) -> None:
    """Take a reduction back: it was not a loss."""
    s.cwnd = max(s.cwnd, s.prior_cwnd)
    s.ssthresh = max(s.ssthresh, s.prior_ssthresh)
    s.undo_marker = -1
    s.epoch = -1


@kernel(_nrt=False)
def idle_restart(s: Any, stack: Any, now: Any) -> None:
    """Shrink the window after a pause. Rule: RFC 5681 section 4.1."""
    if stack.idle_restart == 0 or s.packets != 0 or s.sent_at < 0:
        return
    idle = now - s.sent_at
    rto = rto_ns(s)
    if idle <= rto:
        return
    cwnd = np.int64(s.cwnd)
    restart = min(initial_window(s, stack), cwnd)
    if stack.dialect == DIALECT_LINUX:
        # Rule: Linux tcp_cwnd_restart: half for each RTO that has passed
        s.ssthresh = max(np.int64(s.ssthresh), (cwnd >> 1) + (cwnd >> 2))
        while idle > rto and cwnd > restart:
            cwnd >>= 1
            idle -= rto
        s.cwnd = max(cwnd, restart)
    else:
        s.cwnd = restart
    s.grown = 0
    s.epoch = -1


@kernel(_nrt=False)
def leave_slow_start(s: Any, stack: Any, rtt_us: Any) -> None:
    """HyStart's delay test: eight samples above the smallest RTT by an eighth, within 4 to 16 ms."""
    if stack.hystart == 0 or s.cwnd >= s.ssthresh or s.cwnd < HYSTART_LOW * np.int64(s.mss):
        return
    margin = min(max(np.int64(s.min_rtt) >> 3, np.int64(4000)), np.int64(16000))
    if rtt_us > np.int64(s.min_rtt) + margin:
        s.hystart += 1
        if s.hystart >= HYSTART_SAMPLES:
            s.ssthresh = s.cwnd
            s.hystart = 0
    else:
        s.hystart = 0


@kernel(_nrt=False)
def grow_cubic(s: Any, now: Any, acked: Any) -> None:
    """CUBIC's avoidance, for `acked` new bytes. Rule: RFC 9438 sections 4.2 to 4.5."""
    mss = np.int64(s.mss)
    window = (np.int64(s.cwnd) + np.int64(s.grown)) / mss
    if s.epoch < 0:
        s.epoch = now
        s.w_est = np.float32(window)
        s.w_k = np.float32(0.0)
        if window < s.w_max:
            s.w_k = np.float32(((s.w_max - window) / CUBIC_C) ** (1.0 / 3.0))
        else:
            s.w_max = np.float32(window)
    # Rule: section 4.3: the window that Reno would have; at least that
    alpha = CUBIC_ALPHA
    if np.float64(s.w_est) * mss >= s.prior_cwnd:
        alpha = 1.0
    s.w_est = np.float32(s.w_est + alpha * (acked / mss) / window)
    offset = (now - s.epoch) / NS - s.w_k
    if CUBIC_C * offset * offset * offset + s.w_max < s.w_est:
        s.cwnd = min(max(np.int64(s.cwnd), np.int64(np.float64(s.w_est) * mss)), WINDOW_MAX)
        return
    # Rule: section 4.2: where the curve is a round trip from now, at most half as much again
    offset += srtt_us(s) * US / NS
    target = CUBIC_C * offset * offset * offset + s.w_max
    target = min(max(target, window), 1.5 * window)
    s.grown = np.int64(s.grown) + np.int64((target - window) / window * acked)
    if s.grown >= mss:
        s.cwnd = min(np.int64(s.cwnd) + np.int64(s.grown) // mss * mss, WINDOW_MAX)
        s.grown = np.int64(s.grown) % mss


@kernel(_nrt=False)
def grow(s: Any, stack: Any, now: Any, acked: Any) -> None:
    """Grow the window for `acked` new bytes. Rule: RFC 5681 section 3.1."""
    mss = np.int64(s.mss)
    cwnd = np.int64(s.cwnd)
    if cwnd < s.ssthresh:
        step = acked
        if stack.abc != 0:
            step = min(acked, stack.abc * mss)
        s.cwnd = min(cwnd + step, np.int64(s.ssthresh), WINDOW_MAX)
        return
    if stack.congestion == CUBIC:
        grow_cubic(s, now, acked)
        return
    # Rule: RFC 5681 section 3.1: one segment for each window of bytes that is acknowledged
    s.grown = np.int64(s.grown) + acked
    if s.grown >= cwnd:
        s.grown = np.int64(s.grown) - cwnd
        s.cwnd = min(cwnd + mss, WINDOW_MAX)
