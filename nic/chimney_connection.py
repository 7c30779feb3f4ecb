"""One end of a TCP connection on a host with chimney: where it is, and what it cost whom."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from nic.chimney import Entry, Initiated
from nic.chimney_rules import Event, NotOffloaded, Phase, UploadReason
from nic.chimney_segments import Ends
from nic.receive_space import Fit
from nic.tcp_control import Outcome, TcpControl
from nic.tcp_segment import SYN, Segment
from nic.tcp_states import OVER, TcpState


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One step of a connection between host and adapter.

    Parameters
    ----------
    ts_ns : int
        When.
    event : Event
        What happened.
    phase : Phase
        Who has it afterwards.
    why : str
        The reason or status, where there is one.
    """

    ts_ns: int
    event: Event
    phase: Phase
    why: str = ""


@dataclass(slots=True)
class Work:
    """What the host and the adapter had to do for a connection.

    Parameters
    ----------
    host_segments, adapter_segments : int
        Segments that each processed, received and sent ones.
    host_bytes, adapter_bytes : int
        Bytes that went up by way of each.
    queued : int
        Segments that waited while an offload or an upload was under way.
    forwarded : int
        Segments that the host handed to the adapter: queued ones, and those that came with
        IP options or in fragments.
    acks_consumed, acks_made : int
        Pure acknowledgments that the adapter took, and that it sent.
    buffers : int
        Receive buffers that the adapter completed.
    writes : int
        Send requests that it got: runs of data up to a PSH (derived).
    """

    host_segments: int = 0
    adapter_segments: int = 0
    host_bytes: int = 0
    adapter_bytes: int = 0
    queued: int = 0
    forwarded: int = 0
    acks_consumed: int = 0
    acks_made: int = 0
    buffers: int = 0
    writes: int = 0

    @property
    def host_events(self) -> int:
        """What the host was asked: its segments, forwarded ones, buffers and send requests."""
        return self.host_segments + self.forwarded + self.buffers + self.writes

    def add(self, other: Work) -> None:
        """Add the work of another connection."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(eq=False)
class Connection:
    """One end of a TCP connection that is on the host.

    Parameters
    ----------
    number : int
        In order of the first frames, from 1.
    ends : Ends
        Addresses, ports, VLAN.
    first_frame : int
        Number in the captures, from 1.

    control : TcpControl
        The host's TCP; its state is old while the adapter has the connection.
    phase : Phase
        Who has it.
    entry : Entry, optional
        The adapter's, while it has it.
    why_not : NotOffloaded, optional
        Why the host does not try to offload it.
    status : Initiated, optional
        How the last initiate ended.
    upload : UploadReason, optional
        What ended the last offload.
    log : list of LogEntry
        Its steps.
    work : Work
        What it cost whom.
    exchanged, missing, cut : int
        Bytes of data both ways; those to this end that were acknowledged but never captured,
        and that the capture cut off.
    out_of_order, retransmissions : int
        Received segments, sent ones.
    given_way : bool
        Its ends began another connection.
    waiting : collections.deque
        Segments that came while an offload or upload is under way: received or sent, and what.
    """

    number: int
    ends: Ends
    first_frame: int
    control: TcpControl = field(default_factory=TcpControl)
    phase: Phase = Phase.HOST
    entry: Entry | None = None
    why_not: NotOffloaded | None = None
    status: Initiated | None = None
    upload: UploadReason | None = None
    log: list[LogEntry] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    exchanged: int = 0
    missing: int = 0
    cut: int = 0
    out_of_order: int = 0
    retransmissions: int = 0
    given_way: bool = False
    waiting: deque[tuple[bool, Segment]] = field(default_factory=deque)
    _syns: dict[bool, int] = field(default_factory=dict, init=False)

    @property
    def offloaded(self) -> bool:
        """True when the adapter had it at some time."""
        return any(step.event is Event.INITIATE_SUCCEEDED for step in self.log)

    @property
    def state(self) -> TcpState:
        """The state of this end now, whoever keeps it."""
        return (self.entry.control if self.entry is not None else self.control).state

    def gives_way(self, received: bool, segment: Segment) -> bool:
        """Tell whether a segment opens another connection between the same ends.

        Parameters
        ----------
        received : bool
            Whether this end receives it, or sends it.
        segment : Segment
            Any segment.

        Returns
        -------
        bool
            True for a SYN with another number than the one before. Rule: RFC 9293
            section 3.6.1; a SYN that is sent again has the same.
        """
        if not segment.flags & SYN:
            return False
        known = self._syns.get(received)
        if known is not None:
            return known != segment.sequence
        return (self.state in OVER and self.exchanged > 0) or self.control.joined_late

    def note(self, received: bool, segment: Segment, captured: int) -> None:
        """Count a segment before anyone processes it."""
        if segment.flags & SYN:
            self._syns.setdefault(received, segment.sequence)
        if received:
            self.cut += len(segment.payload) - captured
        self.exchanged += len(segment.payload)

    def count(self, outcome: Outcome) -> None:
        """Count what a segment did."""
        self.missing += outcome.missing
        self.retransmissions += outcome.again
        self.out_of_order += outcome.fit is Fit.OUT_OF_ORDER
