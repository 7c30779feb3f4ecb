"""The side of a move that sends, compiled: link, socket buffer, rate windows.

What is put into the socket leaves over the link, one byte after the other. The socket takes
bytes at once while it has room, and then as fast as the link drains it; a program counts bytes
when the socket takes them. Hence the guest's page is read when it enters the socket, and the
target has it when it has left the wire.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pcaps.jit import kernel

MS = 1_000_000.0

SENDER = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("now_ns", "f8"),
                ("wire_free_ns", "f8"),  # when everything in the socket will have left the wire
                ("socket_bytes", "f8"),  # what the socket holds before a write waits
                ("step", "i8"),  # row of the link's steps that holds now
                ("quota_bytes", "f8"),  # of a rate window; inf = no cap
                ("window_ns", "f8"),  # length of a rate window
                ("window_start_ns", "f8"),
                ("window_bytes", "f8"),  # taken by the socket in this window
                ("burst_ns", "f8"),  # longest time between two looks at what is left
                ("limit_ns", "f8"),  # downtime limit
                ("threshold_bytes", "f8"),  # below it the rest is small enough: rate x limit
                ("known_rate", "f8"),  # bytes/ns told by the user instead of measured; 0 = measured
                ("deadline_ns", "f8"),  # give the control back when it has passed
                ("page_bytes", "f8"),  # an ordinary page on the wire
                ("zero_bytes", "f8"),  # a zero page on the wire
                ("sent_pages", "i8"),
                ("sent_zeros", "i8"),  # of them zero pages
                ("skipped", "i8"),
                ("sent_bytes", "f8"),
            ]
        ),
    )
)
"""State and settings of a sender. Rates are bytes per nanosecond, times nanoseconds of the move."""


@kernel(_nrt=False)
def _over_steps(s: Any, link_start: Any, link_rate: Any, n_bytes: float) -> None:
    """Take bytes to the wire and out of the socket, step by step of the link."""
    step, last = s.step, link_start.size - 1
    at, left = max(s.wire_free_ns, s.now_ns), n_bytes
    while step < last and (link_start[step + 1] - at) * link_rate[step] <= left:
        left -= max(link_start[step + 1] - at, 0.0) * link_rate[step]
        step += 1
        at = max(at, link_start[step])
    at += left / link_rate[step]
    s.wire_free_ns = at
    behind = s.socket_bytes
    while step > s.step and (at - link_start[step]) * link_rate[step] < behind:
        behind -= (at - link_start[step]) * link_rate[step]
        at = link_start[step]
        step -= 1
    s.now_ns = max(s.now_ns, at - behind / link_rate[step])


@kernel(forceinline=True, _nrt=False)
def put(s: Any, link_start: Any, link_rate: Any, n_bytes: float) -> None:
    """Put bytes into the socket; `now_ns` becomes the time at which it has taken them.

    Each byte leaves at the rate that the link has when it does, and the socket has taken them all
    when no more than its size is left.

    Parameters
    ----------
    s : SENDER
    link_start, link_rate : float64[n]
        From when the link carries which rate; the first step begins at 0.
    n_bytes : float
    """
    while s.step + 1 < link_start.size and s.now_ns >= link_start[s.step + 1]:
        s.step += 1
    if s.step + 1 == link_start.size:  # one rate from here on
        rate = link_rate[s.step]
        s.wire_free_ns = max(s.wire_free_ns, s.now_ns) + n_bytes / rate
        s.now_ns = max(s.now_ns, s.wire_free_ns - s.socket_bytes / rate)
    else:
        _over_steps(s, link_start, link_rate, n_bytes)
    s.window_bytes += n_bytes
    s.sent_bytes += n_bytes


@kernel(forceinline=True, _nrt=False)
def close_window(s: Any) -> None:
    """Begin a new rate window if this one is over, and measure the bandwidth of the old one.

    Rule: QEMU migration_update_counters: a window ends at the first look after 100 ms; the
    threshold is the window's bandwidth times the downtime limit.
    """
    taken = s.now_ns - s.window_start_ns
    if taken < s.window_ns:
        return
    rate = s.known_rate if s.known_rate > 0.0 else s.window_bytes / taken
    s.threshold_bytes = rate * s.limit_ns
    s.window_start_ns = s.now_ns
    s.window_bytes = 0.0


@kernel(forceinline=True, _nrt=False)
def wait_for_quota(s: Any) -> None:
    """Sleep to the end of the rate window when its quota is used up.

    Rule: QEMU migration_rate_limit
    """
    if s.window_bytes > s.quota_bytes:
        s.now_ns = max(s.now_ns, s.window_start_ns + s.window_ns)
        close_window(s)
