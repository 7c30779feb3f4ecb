"""The rules of TCP chimney as tables: phases, upload reasons, failures, and what is not offloaded.

Sources: ndischimney.h and its pages (NDIS_TCP_OFFLOAD_EVENT_INDICATE,
NdisMInitiateOffloadComplete, W_INITIATE_OFFLOAD_HANDLER, W_TERMINATE_OFFLOAD_HANDLER,
W_TCP_OFFLOAD_FORWARD_HANDLER; read), TechNet gg162698 and gg162677 (what is not
offloaded; read).
"""

from __future__ import annotations

from enum import StrEnum

from pcaps.errors import BadInput


class Phase(StrEnum):
    """Who has a connection."""

    HOST = "host"
    OFFLOADING = "offloading"
    OFFLOADED = "offloaded"
    UPLOADING = "uploading"


class Event(StrEnum):
    """What moves a connection between host and adapter."""

    INITIATE = "initiate"
    INITIATE_SUCCEEDED = "initiate succeeded"
    INITIATE_FAILED = "initiate failed"
    TERMINATE = "terminate"
    TERMINATE_COMPLETED = "terminate completed"


TRANSITIONS: dict[Event, dict[Phase, Phase]] = {
    Event.INITIATE: {Phase.HOST: Phase.OFFLOADING},
    Event.INITIATE_SUCCEEDED: {Phase.OFFLOADING: Phase.OFFLOADED},
    Event.INITIATE_FAILED: {Phase.OFFLOADING: Phase.HOST},
    Event.TERMINATE: {Phase.OFFLOADED: Phase.UPLOADING},
    Event.TERMINATE_COMPLETED: {Phase.UPLOADING: Phase.HOST},
}
"""Missing entries are errors: an initiate of what is offloaded, a terminate of what is not."""


class Place(StrEnum):
    """Where a segment goes that arrives."""

    HOST = "the host's TCP"
    ADAPTER = "the adapter's TCP"
    QUEUE = "a queue in the host"


SEGMENT_GOES_TO = {
    Phase.HOST: Place.HOST,
    # Rule: W_TCP_OFFLOAD_FORWARD_HANDLER, kept, and forwarded when the offload is complete
    Phase.OFFLOADING: Place.QUEUE,
    Phase.OFFLOADED: Place.ADAPTER,
    # Rule: the same, kept, and processed by the host when the termination is complete
    Phase.UPLOADING: Place.QUEUE,
}


class ChimneyError(BadInput):
    """An event that is not valid in the connection's phase; the phase did not change."""


def next_phase(phase: Phase, event: Event) -> Phase:
    """Return the phase that an event leads to.

    Parameters
    ----------
    phase : Phase
        The phase before.
    event : Event
        What happens.

    Returns
    -------
    Phase
        The phase after.

    Raises
    ------
    ChimneyError
        When the event is not valid in `phase`.
    """
    targets = TRANSITIONS[event]
    if phase not in targets:
        where = ", ".join(targets)
        raise ChimneyError(f"{event} is not valid for a connection {phase}; it is in {where}")
    return targets[phase]


class UploadReason(StrEnum):
    """Why the adapter asks for an upload: TCP_UPLOAD_REASON."""

    HARDWARE_FAILURE = "HardwareFailure"
    INVALID_STATE = "InvalidState"
    RECEIVED_URGENT_DATA = "ReceivedUrgentData"
    TIMEOUT_EXPIRATION = "TimeoutExpiration"
    UPLOAD_REQUESTED = "UploadRequested"
    HIGH_DROP_RATE = "HighDropRate"
    HIGH_FRAGMENTATION = "HighFragmentation"
    HIGH_OUT_OF_ORDER = "HighOutofOrderPackets"
    LOW_ACTIVITY = "LowActivity"
    NO_BUFFER_PREPOSTING = "NoBufferProposting"
    SMALL_IO = "SmallIO"

    @property
    def mandatory(self) -> bool:
        """True: the adapter stops, the host always uploads; else it must be able to go on."""
        return self in _MANDATORY

    @property
    def sentence(self) -> str:
        """What it means here, in one sentence."""
        return _REASONS[self]


_R = UploadReason
_MANDATORY = frozenset({
    _R.HARDWARE_FAILURE, _R.INVALID_STATE, _R.RECEIVED_URGENT_DATA, _R.TIMEOUT_EXPIRATION,
    _R.UPLOAD_REQUESTED,
})  # fmt: skip
_REASONS = {
    _R.HARDWARE_FAILURE: "The adapter's state of the connection is corrupt (a fault that is asked for).",
    _R.INVALID_STATE: "Data was sent on a connection whose path or neighbor is invalidated.",
    _R.RECEIVED_URGENT_DATA: "A segment with URG came; the adapter does not acknowledge it.",
    _R.TIMEOUT_EXPIRATION: "A segment was sent again more often than MaxRT or TcpMaximumRetransmissions allow.",
    _R.UPLOAD_REQUESTED: "The offload is paused, or an upload was asked for, as before a live move.",
    _R.HIGH_DROP_RATE: "Too many of the segments that it sent were sent again.",
    _R.HIGH_FRAGMENTATION: "Too many of the received packets were fragments.",
    _R.HIGH_OUT_OF_ORDER: "Too many of the received segments were out of order.",
    _R.LOW_ACTIVITY: "Nothing was sent or received for too long.",
    _R.NO_BUFFER_PREPOSTING: "The application posts no receive buffers ahead.",
    _R.SMALL_IO: "The receive buffers that are posted are too small.",
}


class Status(StrEnum):
    """How the offload of an object ended: NDIS_STATUS_ of these names."""

    SUCCESS = "SUCCESS"
    PARTIAL_SUCCESS = "PARTIAL_SUCCESS"
    RESOURCES = "RESOURCES"
    TCP_ENTRIES = "OFFLOAD_TCP_ENTRIES"
    PATH_ENTRIES = "OFFLOAD_PATH_ENTRIES"
    NEIGHBOR_ENTRIES = "OFFLOAD_NEIGHBOR_ENTRIES"
    VLAN_ENTRIES = "OFFLOAD_VLAN_ENTRIES"
    HW_ADDRESS_ENTRIES = "OFFLOAD_HW_ADDRESS_ENTRIES"
    IP_ADDRESS_ENTRIES = "OFFLOAD_IP_ADDRESS_ENTRIES"
    TCP_XMIT_BUFFER = "OFFLOAD_TCP_XMIT_BUFFER"
    TCP_RCV_BUFFER = "OFFLOAD_TCP_RCV_BUFFER"
    TCP_RCV_WINDOW = "OFFLOAD_TCP_RCV_WINDOW"
    VLAN_MISMATCH = "OFFLOAD_VLAN_MISMATCH"
    PATH_MTU = "OFFLOAD_PATH_MTU"

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _STATUSES[self]


_STATUSES = {
    Status.SUCCESS: "The object is offloaded.",
    Status.PARTIAL_SUCCESS: "Some objects of the tree are offloaded, others are not.",
    Status.RESOURCES: "What the object depends on is not offloaded, or the adapter is out of memory.",
    Status.TCP_ENTRIES: "All entries for connections are taken.",
    Status.PATH_ENTRIES: "All entries for paths are taken.",
    Status.NEIGHBOR_ENTRIES: "All entries for neighbors are taken.",
    Status.VLAN_ENTRIES: "The adapter knows as many VLANs already as it can.",
    Status.HW_ADDRESS_ENTRIES: "It has as many own MAC addresses already as it can.",
    Status.IP_ADDRESS_ENTRIES: "It has as many own IP addresses already as it can.",
    Status.TCP_XMIT_BUFFER: "More sent data is unacknowledged than it can hold.",
    Status.TCP_RCV_BUFFER: "More received data is buffered than it can hold.",
    Status.TCP_RCV_WINDOW: "The receive window is larger than it can keep.",
    Status.VLAN_MISMATCH: "The neighbor is in another VLAN than the adapter.",
    Status.PATH_MTU: "The path's MTU is larger than the adapter's.",
}


class NotOffloaded(StrEnum):
    """Why a host does not try to offload a connection."""

    OFF = "off"
    PROFILE = "profile"
    STATE = "state"
    VM_QUEUE = "vm-queue"
    IPSEC = "ipsec"
    NLB = "nlb"
    NAT = "nat"
    CLUSTER = "cluster"
    TEAM = "team"
    PAUSED = "paused"
    UPLOADED = "uploaded"
    LINK_RATE = "link-rate"
    ROUND_TRIP = "round-trip"
    TOO_LITTLE = "too-little"
    FULL = "full"

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _NOT[self]


_N = NotOffloaded
_NOT = {
    _N.OFF: "Chimney is off.",
    _N.PROFILE: "The release has no chimney for guests: it came with 2008 R2 and went with 2012.",
    _N.STATE: "It never was in a state that can be offloaded (not closed, listen, SYN states, TIME-WAIT).",
    _N.VM_QUEUE: "The vNIC has a VM queue, and an adapter gives it one or the other.",
    _N.IPSEC: "IPsec covers the connection.",
    _N.NLB: "The address belongs to network load balancing.",
    _N.NAT: "The host translates addresses (NAT, connection sharing).",
    _N.CLUSTER: "It is a connection of the cluster itself.",
    _N.TEAM: "The adapter is in a team; whether a team offloads is up to its vendor.",
    _N.PAUSED: "The offload is paused.",
    _N.UPLOADED: "It was offloaded once, and uploaded for a reason that lasts.",
    _N.LINK_RATE: "Automatic mode wants a faster link.",
    _N.ROUND_TRIP: "Automatic mode wants a shorter round trip.",
    _N.TOO_LITTLE: "Too little data was exchanged.",
    _N.FULL: "An initiate failed; the adapter's status is listed.",
}
