"""What TCP endpoints are made of: record layouts and their constants.

An endpoint is one record; its unacknowledged segments and the ranges that it has
received out of order are chains in two pools that all endpoints share. Sequence
numbers are 64-bit stream positions: 0 is the SYN, 1 the first byte, and the FIN
stands behind the last byte. They never wrap; the 32-bit numbers of the wire are
made where a frame is written or read. Times are nanoseconds of the endpoint's
own clock, which stands still while its machine is suspended.

Fields named `size` and `flags` are read as ``p["size"]``: numpy's records have
attributes of these names already, which matters where kernels run as plain Python.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# Rule: RFC 9293 section 3.3.2, the states of a connection
CLOSED, LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED = 0, 1, 2, 3, 4
FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT = 5, 6, 7, 8, 9, 10

STATES = (
    "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED",
    "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
)  # fmt: skip
"""Their names, by number."""

# Rule: RFC 9293 section 3.1, control bits
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# Sender's congestion states, with the names that Linux gives them
OPEN, RECOVERY, LOSS = 0, 1, 2

# What the retransmission timer will do when it expires
NOTHING, RETRANSMIT, PROBE_TAIL, REORDERING, PERSIST = 0, 1, 2, 3, 4

# Marks of a sent segment; SMALL: shorter than a full one
SACKED, LOST, RESENT, EVER_RESENT, HAS_SYN, HAS_FIN, SMALL = 1, 2, 4, 8, 16, 32, 64

MORE_SHIFT = 8
"""Bits of `marks` from here on: segments that a SACKed row has taken in besides its own."""

# Why a segment is sent again
NEW, BY_TIMEOUT, BY_PROBE, BY_RECOVERY = 0, 1, 2, 3

# Why an endpoint is closed
ALIVE, DONE, RESET_BY_PEER, RETRIES_SPENT, TIME_SPENT, SYN_RETRIES_SPENT = 0, 1, 2, 3, 4, 5
KEEPALIVE_SPENT, USER_TIMEOUT_SPENT, ABORTED, REFUSED = 6, 7, 8, 9

# What the application has said about its own stream
OPEN_SIDE, CLOSED_SIDE, RELEASED = 0, 1, 2

# Congestion control
RENO, CUBIC = 0, 1

# Whose rules hold where Linux differs from the RFCs
DIALECT_RFC, DIALECT_LINUX = 0, 1

NEVER = 1 << 62
NS = 1_000_000_000
MS = 1_000_000
US = 1_000

WINDOW_MAX = 1 << 30
"""Rule: RFC 7323 section 2.3: the largest window. Slow start thresholds begin there."""

DEFAULT_MSS = 536
"""Rule: RFC 9293 section 3.7.1: segment size of a peer that sends no MSS option, over IPv4."""

TIMESTAMP_BYTES = 12
"""Rule: RFC 7323 appendix A: bytes that timestamps take from each segment."""

SENDS_PER_CALL = 256
"""Segments that one call may send; the rest follows at once, in a call of its own."""

OUT_ROWS = SENDS_PER_CALL + 16
"""Rows of `World.out`, and rows that the pools must have left before a call."""

ENDPOINT = np.dtype(
    (
        np.record,
        [
            # what every segment reads or writes comes first
            ("una", "i8"),  # oldest position not acknowledged
            ("nxt", "i8"),  # next position to send
            ("top", "i8"),  # end of what the application has written
            ("rcv_nxt", "i8"),  # next position expected
            ("rcv_adv", "i8"),  # right edge of the window that was offered
            ("last_ack", "i8"),  # last acknowledgement sent
            ("t_rtx", "i8"),  # retransmission timer and what stands in for it, NEVER = off
            ("t_ack", "i8"),  # delayed acknowledgement
            ("state", "u1"),
            ("ca", "u1"),  # congestion state
            ("rtx_kind", "u1"),
            ("sack_ok", "u1"),
            ("ts_ok", "u1"),
            ("snd_scale", "u1"),
            ("rcv_scale", "u1"),
            ("fin", "u1"),  # what the application has said about its side
            ("fin_seen", "u1"),  # 1: the peer's FIN was received in order
            ("ack_now", "u1"),  # 1: an acknowledgement may not wait
            ("quick", "u1"),  # acknowledgements still sent at once
            ("pingpong", "u1"),  # 1: requests and responses alternate
            ("limited", "u1"),  # 1: cwnd held something back at the last send
            ("frto", "u1"),  # 1: after a timeout it is open whether anything was lost; 2: send new
            ("more", "u1"),  # 1: SENDS_PER_CALL was reached
            ("lazy", "u1"),  # 1: data waits for the application to read it; 0: it takes all at once
            ("stack", "u2"),  # row of its constants
            ("dupacks", "u2"),
            ("retries", "u2"),  # timeouts since the last progress
            ("probes", "u2"),  # keep-alive or window probes unanswered
            ("head", "i4"),  # segments outstanding, a chain in the pool; 0 = none
            ("tail", "i4"),
            ("packets", "i4"),
            ("sacked", "i4"),  # without SACK: duplicate acknowledgements
            ("lost", "i4"),
            ("resent", "i4"),
            ("wnd", "i4"),  # peer's window, bytes
            ("max_wnd", "i4"),  # largest window the peer has offered
            ("cwnd", "i4"),  # bytes
            ("ssthresh", "i4"),
            # round-trip times, microseconds
            ("srtt", "i4"),  # 0 = no sample yet
            ("rttvar", "i4"),  # Linux: 4 x mean deviation with its floor
            ("mdev", "i4"),
            ("mdev_max", "i4"),
            ("rto", "i4"),
            ("min_rtt", "i4"),
            ("wl1", "i8"),  # position of the peer's segment that last updated the window
            ("rack_ts", "i8"),  # when the most recently sent delivered segment was sent
            ("rack_end", "i8"),  # its end
            ("fack", "i8"),  # highest position known to be delivered
            ("heard", "i8"),  # when a valid segment was received last
            ("sent_at", "i8"),  # when new data was sent last, -1 = never
            ("data_at", "i8"),  # when data was received last
            ("rtt_seq", "i8"),  # end of the current window of RTT samples
            ("ts_recent", "i8"),  # peer's TSval to echo, -1 = none
            ("rack_rtt", "i4"),  # us
            ("ato", "i4"),  # delayed acknowledgement timeout, us; 0 = no data yet
            ("buffer", "i4"),  # receive buffer
            ("unread", "i4"),  # bytes in it that the application has not taken
            ("mss", "i4"),  # what this side may send
            ("rcv_mss", "i4"),  # what the peer sends
            (
                "grown",
                "i4",
            ),  # avoidance: Reno, bytes acknowledged since cwnd grew; CUBIC, bytes to grow by
            ("gaps", "i4"),  # ranges received out of order, a chain in the pool
            ("dsack", "i4"),  # a duplicate range to report, a row of that pool
            ("to_resend", "i4"),  # lost segments that were not sent again since
            # what only some segments need
            ("t_keep", "i8"),  # keep-alive; in FIN-WAIT-2 and TIME-WAIT: how long still
            ("recover", "i8"),  # recovery ends when this is acknowledged
            ("undo_marker", "i8"),  # una when the window was reduced, -1 = nothing to undo
            ("undo_at", "i8"),  # first retransmission since, -1 = none
            ("tlp_high", "i8"),  # nxt when a tail probe went out, -1 = none outstanding
            ("first_resend", "i8"),  # when the patience with this episode began, -1 = none
            ("fin_at", "i8"),  # position of the peer's FIN, -1 = not seen
            ("epoch", "i8"),  # start of the CUBIC epoch, -1 = none
            ("challenged", "i8"),  # when an unacceptable segment was answered last, -1 = never
            ("died", "i8"),  # when the connection ended, -1 = it has not
            ("prior_cwnd", "i4"),  # to go back to when a reduction was a mistake
            ("prior_ssthresh", "i4"),
            ("undo_resent", "i4"),  # retransmissions that no DSACK has reported, -1 = none made
            ("w_max", "f4"),  # CUBIC, segments
            ("w_k", "f4"),  # CUBIC, seconds
            ("w_est", "f4"),  # CUBIC's Reno-friendly window, segments
            ("frontier", "i4"),  # the chain before it holds nothing to look for a loss in; 0 = head
            ("lost_row", "i4"),  # the chain before it holds nothing to send again; 0 = head
            ("runs", "i4", (4,)),  # SACKed rows that grew last, the latest first; 0 = none
            ("recent", "i4", (4,)),  # gaps that grew last, the latest first; 0 = none
            ("resends", "i4"),  # retransmitted segments, all told
            ("timeouts", "i4"),  # expiries of the retransmission timer, all told
            ("smalls", "u2"),  # outstanding segments shorter than a full one
            ("end", "u1"),  # why it is closed
            ("keep", "u1"),  # 1: keep-alive is on
            ("nodelay", "u1"),  # 1: Nagle is off
            ("active", "u1"),  # 1: it has sent the SYN first
            ("scaled", "u1"),  # 1: both sides scale their windows
            ("once", "u1"),  # 1: this recovery has seen a partial ACK, or made its rescue
            ("tlp_resent", "u1"),  # 1: the tail probe was a retransmission
            ("reordered", "u1"),  # 1: reordering was seen
            ("reo_steps", "u1"),
            ("reo_left", "u1"),  # recoveries that reo_steps still lasts
            ("hystart", "u1"),  # samples of this round that showed a longer RTT
            ("pushed", "u1"),  # short or pushed segments since the last acknowledgement, up to 2
            ("tangled", "u1"),  # 1: retransmissions outstanding are not in stream order
            ("widened", "u1"),  # 1: a DSACK has widened the reordering window in this round trip
        ],
    )
)
"""One endpoint of a connection."""

SENT = np.dtype(
    (
        np.record,
        [
            ("start", "i8"),
            ("stop", "i8"),
            ("at", "i8"),  # when it was sent last
            ("next", "i4"),  # in stream order; free list when unused
            ("marks", "i4"),
        ],
    )
)
"""A segment that is not acknowledged yet, or SACKed ones that touch."""

GAP = np.dtype(
    (
        np.record,
        [
            ("start", "i8"),
            ("stop", "i8"),
            ("next", "i4"),
            ("pad", "i4"),
        ],
    )
)
"""A range received behind a hole."""

SEGMENT = np.dtype(
    (
        np.record,
        [
            ("seq", "i8"),
            ("ack", "i8"),
            ("tsval", "i8"),  # -1 = no timestamps
            ("tsecr", "i8"),  # 0 = nothing echoed
            ("sack", "i8", (4, 2)),  # blocks: start, end
            ("size", "i4"),  # payload bytes
            ("window", "i4"),  # the field, not scaled
            ("sender", "i4"),  # endpoint
            ("next", "i4"),  # free list when unused
            ("mss", "u2"),  # option of a SYN, 0 = none
            ("flags", "u1"),
            ("blocks", "u1"),  # SACK blocks
            ("scale", "i1"),  # option of a SYN, -1 = none
            ("sack_ok", "u1"),  # option of a SYN
            ("again", "u1"),  # NEW, or why it is sent again
            ("probe", "u1"),  # 1: keep-alive or window probe
        ],
    )
)
"""A segment under way."""

STACK = np.dtype(
    (
        np.record,
        [
            ("dialect", "i8"),
            ("rto_initial", "i8"),  # us
            ("rto_min", "i8"),  # us; Linux: of the deviation
            ("rto_max", "i8"),  # us
            ("rto_syn_lost", "i8"),  # us: first RTO after a handshake whose SYN timed out
            ("granularity", "i8"),  # us, G of RFC 6298
            ("tick", "i8"),  # ns: timers and timeouts are whole ticks; 0 = exact
            ("wheel", "i8"),  # 1: timers fire late as in a timer wheel
            ("retries", "i8"),  # data: timeouts that are spent on it; 0 = not counted
            ("limit", "i8"),  # ns that are spent on it; 0 = no limit
            ("limit_least", "i8"),  # timeouts before `limit` may end it
            ("limit_from_send", "i8"),  # 1: counted from the first transmission
            (
                "orphan_limit",
                "i8",
            ),  # ns, in place of `limit` once the application is gone; 0 = same
            ("user_timeout", "i8"),  # ns, 0 = none
            ("syn_retries", "i8"),
            ("syn_linear", "i8"),  # SYN timeouts that do not double
            ("synack_retries", "i8"),
            ("syn_again", "i8"),  # 1: a repeated SYN is answered by a SYN-ACK
            ("syn_lost_window", "i8"),  # SYN timeouts from which on IW is one segment
            ("keepalive", "i8"),  # 1: on for every connection
            ("keep_idle", "i8"),  # ns
            ("keep_interval", "i8"),  # ns
            ("keep_probes", "i8"),
            ("delack", "i8"),  # ns: longest delay of an acknowledgement
            ("delack_min", "i8"),  # ns: Linux adapts between the two; equal = fixed
            ("quickack", "i8"),  # segments acknowledged at once at the start
            ("initial_cwnd", "i8"),  # segments, 0 = formula of RFC 5681
            ("congestion", "i8"),
            ("abc", "i8"),  # slow start: most segments an ACK adds, 0 = all it acknowledges
            ("hystart", "i8"),
            ("idle_restart", "i8"),  # 1: cwnd shrinks after an idle RTO
            ("tlp", "i8"),
            ("tlp_delay", "i8"),  # us that a probe waits longer with one segment in flight
            ("rack", "i8"),
            ("frto", "i8"),
            ("undo", "i8"),  # 1: timestamps and DSACK undo a reduction
            ("dupthresh", "i8"),
            ("sack", "i8"),
            ("dsack", "i8"),
            ("timestamps", "i8"),
            ("ts_required", "i8"),  # 1: segments without a negotiated timestamp are dropped
            ("scale", "i8"),  # window scale offered, -1 = none
            ("buffer", "i8"),  # bytes
            ("mss", "i8"),
            ("nagle", "i8"),  # 0 off, 1 RFC 1122, 2 Minshall's variant
            ("probe_retries", "i8"),  # window probes that stay unanswered; 0 = `limit` holds
            ("probe_byte", "i8"),  # 1: a window probe carries a byte of data
            ("challenge", "i8"),  # ns between answers to unacceptable segments without data
            ("reset_ack", "i8"),  # 1: a RST of an abort carries ACK
            ("time_wait", "i8"),  # ns
            ("fin_wait2", "i8"),  # ns, 0 = for ever
        ],
    )
)
"""The constants of one stack; see :mod:`migration.tcp.stacks` for names and sources."""

# Rows of World.count
C_SENT_FREE, C_SENT_LEFT, C_GAP_FREE, C_GAP_LEFT, C_SEGMENT_FREE, C_SEGMENT_LEFT = 0, 1, 2, 3, 4, 5
C_OUT = 6
COUNTS = 8


class World(NamedTuple):
    """Everything that endpoints share; a kernel's one argument instead of seven.

    Parameters
    ----------
    endpoints : numpy.ndarray
        ``ENDPOINT[n]``.
    stacks : numpy.ndarray
        ``STACK[n_stacks]``.
    sent, gaps, segments : numpy.ndarray
        ``SENT[]``, ``GAP[]``, ``SEGMENT[]``: pools; row 0 of each means none.
    out : numpy.ndarray
        ``int32[OUT_ROWS]``: segments that the current call has sent, rows of `segments`.
    count : numpy.ndarray
        ``int64[COUNTS]``: free lists, and how many segments stand in `out`.
    """

    endpoints: Any
    stacks: Any
    sent: Any
    gaps: Any
    segments: Any
    out: Any
    count: Any
