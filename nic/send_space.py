"""The send sequence space of one end: what was sent, what of it is acknowledged, and how long that took.

It works on the delegated variables of a connection. Rules: RFC 9293 section 3.3.1
(SND variables), RFC 6298 (round trip and its timer), RFC 5681 (congestion window).
"""

from __future__ import annotations

from nic.chimney_state import NOT_RUNNING, TICKS_PER_SECOND, TcpDelegated
from nic.tcp_segment import SYN, WRAP, Segment, signed

_TICK_NS = 1_000_000_000 // TICKS_PER_SECOND
_INITIAL_WINDOW_LIMIT = 4380
_DUPLICATES = 3
_LEAST_RTO, _FIRST_RTO = 1000, 1000
"""Ticks. Rule: RFC 6298 section 2.4 and 2.1."""


class SendSpace:
    """One end's send sequence space.

    Parameters
    ----------
    tcp : TcpDelegated
        The variables that are kept.
    mss : int
        Longest segment that the peer takes.
    """

    def __init__(self, tcp: TcpDelegated, mss: int) -> None:
        self.tcp, self.mss = tcp, mss
        self._timed: tuple[int, int] | None = None  # the number that is waited for, since when
        self._timer_ns: int | None = None
        self._again_since_ns: int | None = None

    def begin(self, sequence: int) -> None:
        """Take a number for the first that is not acknowledged."""
        self.tcp.snd_una = self.tcp.snd_nxt = self.tcp.snd_max = sequence
        self.agree(self.mss)

    def agree(self, mss: int) -> None:
        """Take the MSS of the peer's SYN, and open the congestion window by it."""
        self.mss = mss
        # Rule: RFC 5681 section 3.1
        self.tcp.cwnd = min(4 * mss, max(2 * mss, _INITIAL_WINDOW_LIMIT))

    def send(self, segment: Segment) -> bool:
        """Note a segment that is sent.

        Parameters
        ----------
        segment : Segment
            With data, SYN, FIN, or none of them.

        Returns
        -------
        bool
            True when it was sent before.
        """
        tcp = self.tcp
        end = (segment.end + bool(segment.flags & SYN)) % WRAP
        size = len(segment.payload)
        if (
            size <= 1
            and tcp.snd_una == tcp.snd_max
            and signed(segment.sequence - tcp.snd_una) == -1
        ):
            tcp.keep_alive_probe_count += 1  # Rule: RFC 1122 section 4.2.3.6
            return False
        ahead = signed(end - tcp.snd_max)
        if ahead > 0:
            if tcp.snd_wnd == 0 and size == 1 and tcp.max_snd_wnd:
                tcp.snd_wnd_probe_count += 1  # Rule: RFC 9293 section 3.8.6.1
            tcp.snd_nxt = tcp.snd_max = end
            tcp.send_data_tail += min(ahead, size)
            if self._timed is None:
                self._timed = end, segment.ts_ns
            if self._timer_ns is None:
                self._timer_ns = segment.ts_ns
            return False
        if end == segment.sequence or signed(end - tcp.snd_una) <= 0:
            return False
        self._send_again(segment)
        return True

    def _send_again(self, segment: Segment) -> None:
        tcp = self.tcp
        self._timed = None  # Rule: RFC 6298 section 3, Karn's algorithm
        self._timer_ns = segment.ts_ns
        tcp.retransmit_count += 1
        if self._again_since_ns is None:
            self._again_since_ns = segment.ts_ns
        tcp.total_rt = (segment.ts_ns - self._again_since_ns) // _TICK_NS
        # Rule: RFC 5681 section 3.1 and 3.2
        tcp.ss_thresh = max(signed(tcp.snd_max - tcp.snd_una) // 2, 2 * self.mss)
        tcp.cwnd = tcp.ss_thresh if tcp.dup_ack_count >= _DUPLICATES else self.mss

    def acknowledge(self, segment: Segment, window: int) -> int:
        """Take the acknowledgment and the window of a received segment.

        Parameters
        ----------
        segment : Segment
            With ACK.
        window : int
            Its window in bytes.

        Returns
        -------
        int
            How far the acknowledgment moved; negative when it is old.
        """
        tcp = self.tcp
        ahead = signed(segment.acknowledgment - tcp.snd_una)
        if ahead > 0:
            if signed(segment.acknowledgment - tcp.snd_max) > 0:  # the capture missed what was sent
                tcp.snd_nxt = tcp.snd_max = segment.acknowledgment
            tcp.snd_una = segment.acknowledgment
            tcp.send_data_head = min(tcp.send_data_head + ahead, tcp.send_data_tail)
            tcp.dup_ack_count = tcp.retransmit_count = tcp.total_rt = 0
            self._again_since_ns = None
            self._timer_ns = None if tcp.snd_una == tcp.snd_max else segment.ts_ns
            self._sample(segment)
            self._grow(ahead)
        elif ahead == 0 and tcp.snd_una != tcp.snd_max and segment.pure_ack:
            # Rule: RFC 5681 section 2, duplicate acknowledgment
            tcp.dup_ack_count += window == tcp.snd_wnd
        if ahead >= 0:
            tcp.snd_wnd = window
            tcp.max_snd_wnd = max(tcp.max_snd_wnd, window)
            tcp.send_wl1 = segment.sequence
            if window:
                tcp.snd_wnd_probe_count = 0
        return ahead

    def timeout_delta(self, now_ns: int) -> int:
        """Return the ticks until the retransmission timer expires.

        Parameters
        ----------
        now_ns : int
            The time.

        Returns
        -------
        int
            NOT_RUNNING when all is acknowledged.
        """
        tcp = self.tcp
        if self._timer_ns is None or tcp.snd_una == tcp.snd_max:
            return NOT_RUNNING
        rto = max(_LEAST_RTO, tcp.srtt + 4 * tcp.rtt_var) if tcp.srtt else _FIRST_RTO
        return max(0, (rto << min(tcp.retransmit_count, 6)) - (now_ns - self._timer_ns) // _TICK_NS)

    def _sample(self, segment: Segment) -> None:
        tcp = self.tcp
        if self._timed is None or signed(segment.acknowledgment - self._timed[0]) < 0:
            return
        ticks = max(1, (segment.ts_ns - self._timed[1]) // _TICK_NS)
        self._timed = None
        # Rule: RFC 6298 section 2
        if tcp.srtt == 0:
            tcp.srtt, tcp.rtt_var = ticks, ticks // 2
        else:
            tcp.rtt_var = (3 * tcp.rtt_var + abs(tcp.srtt - ticks)) // 4
            tcp.srtt = max(1, (7 * tcp.srtt + ticks) // 8)

    def _grow(self, acknowledged: int) -> None:
        tcp = self.tcp
        # Rule: RFC 5681 section 3.1, slow start below the threshold, else congestion avoidance
        if tcp.cwnd < tcp.ss_thresh:
            tcp.cwnd += min(acknowledged, self.mss)
        elif tcp.cwnd:
            tcp.cwnd += max(1, self.mss * self.mss // tcp.cwnd)
