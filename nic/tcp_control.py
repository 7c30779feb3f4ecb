"""What a TCP stack knows of one end of a connection, from the segments it receives and sends.

The host has one while the connection is its own, the adapter while it is offloaded;
between them travel the delegated variables, so that the peer sees no difference.
The stack does not decide what to send: a capture shows that.

Guarantees
----------
* Received bytes come out once and in order (:mod:`nic.receive_space`).
* What an end had when it handed over is what the other goes on with.

Rules: RFC 9293 (states, acceptance, window), RFC 7323 (timestamps, window scale); those of
sending stand in :mod:`nic.send_space`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nic.chimney_state import NOT_RUNNING, TICKS_PER_SECOND, TcpDelegated
from nic.receive_space import LARGEST_WINDOW, Fit, ReceiveSpace
from nic.send_space import SendSpace
from nic.tcp_segment import ACK, FIN, RST, SYN, WRAP, Options, Segment, signed
from nic.tcp_states import OVER, TcpEvent, TcpState, next_state

_TICK_NS = 1_000_000_000 // TICKS_PER_SECOND
_DEFAULT_MSS = 536


class Outcome(NamedTuple):
    """What a segment did.

    Parameters
    ----------
    data : bytes
        What goes up to the application.
    fit : Fit or None
        How its data lay in the receive space; None without data.
    missing : int
        Bytes that were acknowledged but never captured.
    disconnected, aborted : bool
        The peer's FIN has its turn now; a RST was acceptable.
    again : bool
        A sent segment had been sent before.
    """

    data: bytes = b""
    fit: Fit | None = None
    missing: int = 0
    disconnected: bool = False
    aborted: bool = False
    again: bool = False


NOTHING = Outcome()


class TcpControl:
    """One end of a connection.

    Parameters
    ----------
    delegated : TcpDelegated, optional
        What another stack hands over; a fresh end by default.
    own_scale, peer_scale : int
        Shifts of the own and the peer's window.
    mss : int
        Longest segment that the peer takes.
    early_fin : int, optional
        Number of a FIN that came before all data did.

    Attributes
    ----------
    tcp : TcpDelegated
        The delegated variables.
    early_fin : int or None
        It has no place among the delegated variables (a peer would send the FIN again, a
        capture does not), and travels beside them.
    joined_late : bool
        The capture began behind the handshake.
    """

    def __init__(
        self,
        delegated: TcpDelegated | None = None,
        *,
        own_scale: int = 0,
        peer_scale: int = 0,
        mss: int = _DEFAULT_MSS,
        early_fin: int | None = None,
    ) -> None:
        self.tcp = TcpDelegated() if delegated is None else replace(delegated)
        self.own_scale, self.peer_scale = own_scale, peer_scale
        self.early_fin = early_fin
        self.joined_late = False
        self._offers: dict[str, Options] = {}
        self._receives = self._sends = delegated is not None
        self._acknowledged = self.tcp.rcv_nxt
        self._now_ns = self._stamped_ns = 0
        self._sending = SendSpace(self.tcp, mss)
        self._space = ReceiveSpace(self.tcp.rcv_nxt, self.tcp.buffered_data)

    # Handing over

    def delegate(self) -> TcpDelegated:
        """Return the delegated variables as another stack takes them over.

        Returns
        -------
        TcpDelegated
            A copy.
        """
        tcp = self.tcp
        age = tcp.ts_recent_age
        if age != NOT_RUNNING and self._stamped_ns:
            age = (self._now_ns - self._stamped_ns) // _TICK_NS
        return replace(
            tcp, ts_recent_age=age, retransmit_timeout_delta=self._sending.timeout_delta(self._now_ns),
            send_backlog_size=min(tcp.cwnd, tcp.snd_wnd), buffered_data=self._space.held,
            receive_backlog_size=self._space.held_bytes,
        )  # fmt: skip

    @property
    def state(self) -> TcpState:
        """The state of this end."""
        return self.tcp.state

    @property
    def mss(self) -> int:
        """Longest segment that the peer takes."""
        return self._sending.mss

    def options_agreed(self) -> tuple[bool, bool, bool]:
        """Return whether timestamps, SACK and window scaling are in use, by both SYNs."""
        own, peer = self._offers.get("own"), self._offers.get("peer")
        if own is None or peer is None:
            return self.tcp.ts_recent_age != NOT_RUNNING, False, bool(self.own_scale)
        return (
            own.timestamps is not None and peer.timestamps is not None,
            own.sack and peer.sack,
            own.scale is not None and peer.scale is not None,
        )

    # Segments

    def receive(self, segment: Segment) -> Outcome:
        """Take a segment of the peer.

        Parameters
        ----------
        segment : Segment
            What came.

        Returns
        -------
        Outcome
            What it did.
        """
        tcp = self.tcp
        self._now_ns = segment.ts_ns
        tcp.keep_alive_probe_count = 0
        if segment.flags & SYN:
            return self._receive_syn(segment)
        if not self._receives:
            self._begin_to_receive(segment.sequence)
        if tcp.state in OVER:
            return NOTHING
        if segment.flags & RST:
            # Rule: RFC 9293 section 3.5.3, a RST outside the window is ignored
            if not 0 <= signed(segment.sequence - tcp.rcv_nxt) < LARGEST_WINDOW:
                return NOTHING
            self._happen(TcpEvent.RESET)
            return Outcome(aborted=True)
        self._note_timestamp(segment)
        if segment.flags & ACK:
            self._take_acknowledgment(segment, segment.window << self.peer_scale)
        return self._take_data(segment)

    def send(self, segment: Segment) -> Outcome:
        """Note a segment that this end sends.

        Parameters
        ----------
        segment : Segment
            What is sent.

        Returns
        -------
        Outcome
            What it did.
        """
        tcp = self.tcp
        self._now_ns = segment.ts_ns
        if segment.flags & RST:
            self._happen(TcpEvent.RESET)
            return NOTHING
        if segment.flags & SYN:
            return self._send_syn(segment)
        if not self._sends:
            self._begin_to_send(segment.sequence)
            self._join()
        if tcp.state in OVER:
            return NOTHING
        tcp.rcv_wnd = segment.window << self.own_scale
        if segment.options.timestamps is not None:
            tcp.ts_time = segment.options.timestamps[0]
        again = self._sending.send(segment)
        if segment.flags & FIN:
            self._happen(TcpEvent.SEND_FIN)
        if segment.flags & ACK:
            if not self._receives:
                self._begin_to_receive(segment.acknowledgment)
            if signed(segment.acknowledgment - self._acknowledged) > 0:
                self._acknowledged = segment.acknowledgment
        missing, data = self._pass_over()
        return Outcome(data, None, missing, self._finish(), again=again)

    # SYN

    def _receive_syn(self, segment: Segment) -> Outcome:
        tcp = self.tcp
        if not self._receives:
            self._begin_to_receive((segment.sequence + 1) % WRAP, late=False)
            self._offers["peer"] = segment.options
            self._agree()
        before = tcp.state
        if segment.flags & ACK:
            # Rule: RFC 7323 section 2.2, the window of a SYN is not scaled
            self._take_acknowledgment(segment, segment.window)
            self._happen(TcpEvent.RECEIVE_SYN_ACK)
            self._join()  # where our SYN was not captured
        else:
            self._happen(TcpEvent.RECEIVE_SYN)
            if tcp.state is not before:
                tcp.snd_wnd = segment.window
        if segment.payload and segment.sequence == (tcp.rcv_nxt - 1) % WRAP:
            return self._take_data(replace(segment, sequence=tcp.rcv_nxt))
        return NOTHING

    def _send_syn(self, segment: Segment) -> Outcome:
        tcp = self.tcp
        if not self._sends:
            self._offers["own"] = segment.options
            self._agree()
            self._begin_to_send(segment.sequence)
            if segment.flags & ACK and tcp.state is TcpState.CLOSED:
                tcp.state = TcpState.SYN_RCVD  # the peer's SYN was not captured
        if not segment.flags & ACK:
            self._happen(TcpEvent.SEND_SYN)
        tcp.rcv_wnd = segment.window
        return Outcome(again=self._sending.send(segment))

    def _agree(self) -> None:
        """Work out scales and MSS when a SYN is known."""
        own, peer = self._offers.get("own"), self._offers.get("peer")
        if peer is not None and peer.mss:
            self._sending.agree(peer.mss)
        if (
            own is not None
            and peer is not None
            and own.scale is not None
            and peer.scale is not None
        ):
            # Rule: RFC 7323 section 2.3, a shift above 14 counts as 14
            self.own_scale, self.peer_scale = min(own.scale, 14), min(peer.scale, 14)

    def _join(self) -> None:
        """The capture begins behind the handshake: take the end to be established."""
        if self.tcp.state is TcpState.CLOSED:
            self.tcp.state = TcpState.ESTABLISHED
            self.joined_late = True

    def _begin_to_receive(self, sequence: int, *, late: bool = True) -> None:
        self._receives = True
        self.tcp.rcv_nxt = self._acknowledged = sequence
        self._space = ReceiveSpace(sequence)
        if late:
            self._join()

    def _begin_to_send(self, sequence: int) -> None:
        self._sends = True
        self._sending.begin(sequence)

    def _happen(self, event: TcpEvent) -> None:
        self.tcp.state = next_state(self.tcp.state, event)

    # What is received

    def _note_timestamp(self, segment: Segment) -> None:
        # Rule: RFC 7323 section 4.3, TS.Recent follows segments at or before what was acknowledged
        stamps, tcp = segment.options.timestamps, self.tcp
        if stamps is None or signed(segment.sequence - self._acknowledged) > 0:
            return
        if tcp.ts_recent_age == NOT_RUNNING or signed(stamps[0] - tcp.ts_recent) >= 0:
            tcp.ts_recent, tcp.ts_recent_age = stamps[0], 0
            self._stamped_ns = segment.ts_ns

    def _take_acknowledgment(self, segment: Segment, window: int) -> None:
        if not self._sends:
            self._begin_to_send(segment.acknowledgment)
            self._happen(TcpEvent.RECEIVE_ACK_OF_SYN)  # where our SYN was not captured
        if self._sending.acknowledge(segment, window) > 0:
            if self.tcp.state is TcpState.SYN_RCVD:
                self._happen(TcpEvent.RECEIVE_ACK_OF_SYN)
            elif self.tcp.snd_una == self.tcp.snd_max:
                self._happen(TcpEvent.RECEIVE_ACK_OF_FIN)

    def _take_data(self, segment: Segment) -> Outcome:
        tcp = self.tcp
        fit, data = None, b""
        if segment.payload:
            fit, data = self._space.arrive(segment.sequence, segment.payload)
            if data:
                tcp.rcv_nxt = self._space.next_sequence
        if segment.flags & FIN and self.early_fin is None:
            last = (segment.end - 1) % WRAP
            if 0 <= signed(last - tcp.rcv_nxt) < LARGEST_WINDOW:
                self.early_fin = last
        missing, more = self._pass_over()
        return Outcome(data + more, fit, missing, self._finish())

    def _pass_over(self) -> tuple[int, bytes]:
        """Go on behind bytes that this end acknowledged though the capture does not show them."""
        if not self._space.held_bytes:
            return 0, b""
        missing, data = self._space.pass_over(self._space.position_of(self._acknowledged))
        if missing or data:
            self.tcp.rcv_nxt = self._space.next_sequence
        return missing, data

    def _finish(self) -> bool:
        """Take the peer's FIN when all data before it went up."""
        tcp = self.tcp
        if self.early_fin is None or self.early_fin != tcp.rcv_nxt or tcp.state in OVER:
            return False
        # Rule: NDIS_TCP_OFFLOAD_EVENT_INDICATE, a FIN is indicated behind all data
        self.early_fin = None
        tcp.rcv_nxt = (tcp.rcv_nxt + 1) % WRAP
        before = tcp.state
        self._happen(TcpEvent.RECEIVE_FIN)
        return tcp.state is not before
