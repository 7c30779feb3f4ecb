"""The offload target: an adapter that has TCP connections of the host.

A table of limited capacity holds neighbors, paths and connections; those of IPv4 and
IPv6, of the parent and of VMs count together, first come first served. An offloaded
connection's segments end here: data goes into posted buffers in order, and
acknowledgments are consumed, so that the host is asked once a buffer and not once a
segment. The adapter never ends an offload by itself; it asks, and the host decides.

Guarantees
----------
* A failed initiate takes no entry, and says why for each object of the tree.
* What the host gets back on terminate is what it needs to go on.

Sources: ndischimney.h and its pages (read); capacities are settings, their defaults
ours. That PSH completes a buffer follows the push timer's purpose (derived).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from nic.chimney_rules import Status, UploadReason
from nic.chimney_settings import Capacity, Thresholds
from nic.chimney_state import (
    TICKS_PER_SECOND,
    UNLIMITED,
    Neighbor,
    Path,
    TcpCached,
    TcpDelegated,
    Tree,
)
from nic.receive_space import Fit
from nic.tcp_control import NOTHING, Outcome, TcpControl
from nic.tcp_segment import FIN, PSH, URG, Segment
from nic.tcp_states import NEVER_ASKED
from pcaps.errors import BadInput

_FEWEST = 20
"""Segments that a rate is taken of at least."""


@dataclass(frozen=True, slots=True)
class Indication:
    """What the adapter tells the host about a segment.

    Parameters
    ----------
    outcome : Outcome
        What it did to the connection.
    buffers : int
        Receive buffers that were completed, or indications where none was posted.
    ask : UploadReason, optional
        The adapter asks for an upload.
    refused : bool
        The adapter did not process the segment; the host has to, after the upload.
    """

    outcome: Outcome = NOTHING
    buffers: int = 0
    ask: UploadReason | None = None
    refused: bool = False


@dataclass(slots=True)
class Entry:
    """A connection that the adapter has.

    Parameters
    ----------
    number : int
        Its context.
    tree : Tree
        What was handed over; cached variables are kept up to date.
    control : TcpControl
        The adapter's TCP.
    buffer_bytes : int
        Size of the receive buffers that the application posts; 0 = it posts none.
    filled : int
        Bytes in the buffer that is not complete.
    received, sent, sent_again : int
        Segments; those with data that were sent before.
    fragments, out_of_order : int
        Received segments that came by way of the host, and out of order.
    unposted : int
        Indications for which no buffer was posted.
    last_ns : int, optional
        Time of the last segment.
    failed : bool
        Its state is corrupt.
    asked : set of UploadReason
        Optional reasons that the host was asked for.
    """

    number: int
    tree: Tree
    control: TcpControl
    buffer_bytes: int
    filled: int = 0
    received: int = 0
    sent: int = 0
    sent_again: int = 0
    fragments: int = 0
    out_of_order: int = 0
    unposted: int = 0
    last_ns: int | None = None
    failed: bool = False
    asked: set[UploadReason] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Initiated:
    """How an initiate ended.

    Parameters
    ----------
    neighbor, path, tcp : Status
        Of each object.
    entry : Entry, optional
        The connection, when it is offloaded.
    """

    neighbor: Status
    path: Status
    tcp: Status
    entry: Entry | None = None

    @property
    def status(self) -> Status:
        """Of the whole tree: SUCCESS, PARTIAL_SUCCESS, or that of its root."""
        of_objects = {self.neighbor, self.path, self.tcp}
        if of_objects == {Status.SUCCESS}:
            return Status.SUCCESS
        return Status.PARTIAL_SUCCESS if Status.SUCCESS in of_objects else self.neighbor


class Chimney:
    """An adapter's offload target.

    Parameters
    ----------
    capacity : Capacity
        What it can hold.
    thresholds : Thresholds
        When it asks for an upload without having to.
    """

    def __init__(
        self, capacity: Capacity | None = None, thresholds: Thresholds | None = None
    ) -> None:
        self.capacity = capacity or Capacity()
        self.thresholds = thresholds or Thresholds()
        self.entries: dict[int, Entry] = {}
        self.neighbors: dict[tuple[int, int, int], Neighbor] = {}
        self.paths: dict[tuple[bytes, bytes], Path] = {}
        self._numbers = count(1)
        self._users: Counter[tuple[object, ...]] = Counter()

    # State objects

    def initiate(self, tree: Tree, *, buffer_bytes: int, early_fin: int | None = None) -> Initiated:
        """Take over a connection, and the neighbor and path above it where they are new.

        Parameters
        ----------
        tree : Tree
            What the host hands over, received data that it buffers included.
        buffer_bytes : int
            Size of the receive buffers that are posted; 0 = none.
        early_fin : int, optional
            Number of a FIN that the host holds back.

        Returns
        -------
        Initiated
            A status for each object.
        """
        # Rule: W_INITIATE_OFFLOAD_HANDLER, the tree is walked depth first
        neighbor = self._take_neighbor(tree.neighbor)
        path = self._take_path(tree) if neighbor is Status.SUCCESS else Status.RESOURCES
        tcp = self._refuse(tree) if path is Status.SUCCESS else Status.RESOURCES
        entry = None
        if tcp is Status.SUCCESS:
            const = tree.const
            control = TcpControl(
                tree.delegated, own_scale=const.rcv_wind_scale, peer_scale=const.snd_wind_scale,
                mss=const.remote_mss, early_fin=early_fin,
            )  # fmt: skip
            entry = Entry(next(self._numbers), tree, control, buffer_bytes)
            self.entries[entry.number] = entry
            self._users.update((tree.neighbor.key, tree.path.key))
        else:
            self._forget_unused(tree)  # the host terminates objects that nothing depends on
        return Initiated(neighbor, path, tcp, entry)

    def _take_neighbor(self, neighbor: Neighbor) -> Status:
        if neighbor.key in self.neighbors:
            return Status.SUCCESS
        capacity, known = self.capacity, self.neighbors.values()
        vlans = {one.const.vlan_id for one in known}
        own = {one.const.dl_source_address for one in known}
        const = neighbor.const
        if capacity.vlan is not None and const.vlan_id != capacity.vlan:
            return Status.VLAN_MISMATCH
        if const.vlan_id not in vlans and len(vlans) >= capacity.vlan_entries:
            return Status.VLAN_ENTRIES
        if const.dl_source_address not in own and len(own) >= capacity.hw_address_entries:
            return Status.HW_ADDRESS_ENTRIES
        if len(self.neighbors) >= capacity.neighbor_entries:
            return Status.NEIGHBOR_ENTRIES
        self.neighbors[neighbor.key] = neighbor
        return Status.SUCCESS

    def _take_path(self, tree: Tree) -> Status:
        path = tree.path
        if path.key in self.paths:
            return Status.SUCCESS
        own = {one.const.source_address for one in self.paths.values()}
        if path.cached.path_mtu > self.capacity.mtu:
            return Status.PATH_MTU
        if (
            path.const.source_address not in own
            and len(own) >= self.capacity.ip_address_entries
        ):  # fmt: skip
            return Status.IP_ADDRESS_ENTRIES
        if len(self.paths) >= self.capacity.path_entries:
            return Status.PATH_ENTRIES
        self.paths[path.key] = path
        return Status.SUCCESS

    def _refuse(self, tree: Tree) -> Status:
        """Return why a connection cannot be taken, or SUCCESS."""
        capacity, tcp = self.capacity, tree.delegated
        if len(self.entries) >= capacity.tcp_entries:
            return Status.TCP_ENTRIES
        if (tcp.snd_max - tcp.snd_una) % 2**32 > capacity.xmit_buffer_bytes:
            return Status.TCP_XMIT_BUFFER
        if sum(len(piece) for _, piece in tcp.buffered_data) > capacity.rcv_buffer_bytes:
            return Status.TCP_RCV_BUFFER
        if tcp.rcv_wnd > capacity.rcv_window_bytes:
            return Status.TCP_RCV_WINDOW
        return Status.SUCCESS

    def terminate(self, entry: Entry, now_ns: int) -> tuple[TcpDelegated, int | None]:
        """Give a connection's state back to the host; its entry is free.

        Parameters
        ----------
        entry : Entry
            The connection.
        now_ns : int
            The time; the neighbor's reachability counts from the last segment.

        Returns
        -------
        delegated : TcpDelegated
            With received data that waits.
        early_fin : int or None
            Number of a FIN that waits for data.
        """
        del self.entries[entry.number]
        if entry.last_ns is not None:
            ticks = (now_ns - entry.last_ns) * TICKS_PER_SECOND // 1_000_000_000
            entry.tree.neighbor.delegated.nic_reachability_delta = max(0, ticks)
        self._users.subtract((entry.tree.neighbor.key, entry.tree.path.key))
        self._forget_unused(entry.tree)
        return entry.control.delegate(), entry.control.early_fin

    def _forget_unused(self, tree: Tree) -> None:
        """Free the objects above a connection that is gone when nothing else depends on them."""
        if not self._users[tree.path.key]:
            self.paths.pop(tree.path.key, None)
        if not self._users[tree.neighbor.key]:
            self.neighbors.pop(tree.neighbor.key, None)

    def query(self, entry: Entry) -> TcpDelegated:
        """Return a connection's delegated variables as they are now."""
        return entry.control.delegate()

    def update(self, entry: Entry, **changed: Any) -> TcpCached:
        """Change cached variables of a connection, as only the host may.

        Parameters
        ----------
        entry : Entry
            The connection.
        **changed
            Fields of :class:`nic.chimney_state.TcpCached`.

        Returns
        -------
        TcpCached
            All of them, as they are now.

        Raises
        ------
        BadInput
            When there is no cached variable of a name.
        """
        cached, tcp = entry.tree.cached, entry.control.tcp
        for name, value in changed.items():
            if name not in TcpCached.__slots__:
                raise BadInput(
                    f"'{name}' is no cached variable; use {', '.join(TcpCached.__slots__)}"
                )
            setattr(cached, name, value)
        # Rules: TCP_OFFLOAD_STATE_CACHED, what these flags are to do
        if cached.max_rt_restart:
            tcp.total_rt = 0
        if cached.keep_alive_restart:
            tcp.keep_alive_probe_count = 0
        if cached.update_rcv_wnd:
            tcp.rcv_wnd = cached.initial_rcv_wnd
        return cached

    def invalidate(self, state_object: Neighbor | Path) -> None:
        """Mark a neighbor or a path: nothing may be sent that depends on it."""
        state_object.valid = False

    def fail(self, entry: Entry) -> None:
        """Let the adapter's state of a connection be corrupt from now on."""
        entry.failed = True

    def idle_entries(self, now_ns: int) -> list[Entry]:
        """Return the connections for which it asks to be uploaded for want of activity.

        Parameters
        ----------
        now_ns : int
            The time.

        Returns
        -------
        list of Entry
            Empty without a threshold.
        """
        limit = self.thresholds.idle_ns
        if limit is None:
            return []
        return [
            entry for entry in self.entries.values()
            if entry.last_ns is not None and now_ns - entry.last_ns > limit
            and entry.control.state not in NEVER_ASKED
        ]  # fmt: skip

    # Segments of offloaded connections

    def receive(self, entry: Entry, segment: Segment) -> Indication:
        """Process a segment from the wire, or one that the host forwards.

        Parameters
        ----------
        entry : Entry
            The connection.
        segment : Segment
            What came.

        Returns
        -------
        Indication
            Data in order, completed buffers, a question to the host.
        """
        if entry.failed:
            return Indication(ask=UploadReason.HARDWARE_FAILURE, refused=True)
        # Rule: NDIS_TCP_OFFLOAD_EVENT_INDICATE, urgent data is not acknowledged but uploaded
        if segment.flags & URG and entry.control.state not in NEVER_ASKED:
            return Indication(ask=UploadReason.RECEIVED_URGENT_DATA, refused=True)
        idle = self._idle(entry, segment.ts_ns)
        entry.received += 1
        entry.fragments += segment.detour
        outcome = entry.control.receive(segment)
        entry.out_of_order += outcome.fit is Fit.OUT_OF_ORDER
        pushed = bool(segment.flags & (PSH | FIN)) or outcome.disconnected
        buffers = self._fill(entry, len(outcome.data), pushed)
        ask = self._question(entry) or (UploadReason.LOW_ACTIVITY if idle else None)
        return Indication(outcome, buffers, self._once(entry, ask))

    def send(self, entry: Entry, segment: Segment) -> Indication:
        """Send a segment of a connection.

        Parameters
        ----------
        entry : Entry
            The connection.
        segment : Segment
            What is sent.

        Returns
        -------
        Indication
            A question to the host; data that waited for an acknowledgment.
        """
        if entry.failed:
            return Indication(ask=UploadReason.HARDWARE_FAILURE, refused=True)
        if segment.payload and not (entry.tree.neighbor.valid and entry.tree.path.valid):
            return Indication(ask=UploadReason.INVALID_STATE, refused=True)
        idle = self._idle(entry, segment.ts_ns)
        outcome = entry.control.send(segment)
        entry.sent += not segment.pure_ack
        entry.sent_again += outcome.again
        buffers = self._fill(entry, len(outcome.data), outcome.disconnected)
        if self._given_up(entry):
            return Indication(outcome, buffers, UploadReason.TIMEOUT_EXPIRATION)
        ask = self._question(entry) or (UploadReason.LOW_ACTIVITY if idle else None)
        return Indication(outcome, buffers, self._once(entry, ask))

    def _given_up(self, entry: Entry) -> bool:
        """Tell whether a segment was sent again too often, or for too long."""
        tcp, most = entry.control.tcp, entry.tree.cached.max_rt
        if most == UNLIMITED or tcp.state in NEVER_ASKED:
            return False
        # Rule: TCP_OFFLOAD_STATE_CACHED, MaxRT in ticks overrides TcpMaximumRetransmissions
        if most:
            return tcp.total_rt > most
        return tcp.retransmit_count > self.capacity.maximum_retransmissions

    def _idle(self, entry: Entry, now_ns: int) -> bool:
        last, entry.last_ns = entry.last_ns, now_ns
        limit = self.thresholds.idle_ns
        return limit is not None and last is not None and now_ns - last > limit

    def _fill(self, entry: Entry, size: int, pushed: bool) -> int:
        """Put data into posted buffers; return how many were completed."""
        if entry.buffer_bytes == 0:
            if not size:
                return 0
            entry.unposted += 1
            wanted = entry.tree.cached.rcv_indication_size
            return -(-size // wanted) if wanted else 1
        entry.filled += size
        completed, entry.filled = divmod(entry.filled, entry.buffer_bytes)
        if pushed and entry.filled:
            completed, entry.filled = completed + 1, 0
        return completed

    def _question(self, entry: Entry) -> UploadReason | None:
        """Return why the adapter would like to be rid of a connection."""
        limits = self.thresholds
        received, sent = max(entry.received, 1), max(entry.sent, 1)
        for limit, share, of, reason in (
            (limits.drop_rate, entry.sent_again / sent, sent, UploadReason.HIGH_DROP_RATE),
            (limits.fragmentation, entry.fragments / received, received,
             UploadReason.HIGH_FRAGMENTATION),
            (limits.out_of_order, entry.out_of_order / received, received,
             UploadReason.HIGH_OUT_OF_ORDER),
        ):  # fmt: skip
            if limit is not None and of >= _FEWEST and share > limit:
                return reason
        if limits.unposted is not None and entry.unposted > limits.unposted:
            return UploadReason.NO_BUFFER_PREPOSTING
        small = limits.small_io_bytes
        if small is not None and 0 < entry.buffer_bytes < small and entry.received >= _FEWEST:
            return UploadReason.SMALL_IO
        return None

    def _once(self, entry: Entry, ask: UploadReason | None) -> UploadReason | None:
        """Ask for each optional reason once, and never in a half-closed state."""
        if ask is None or ask in entry.asked or entry.control.state in NEVER_ASKED:
            return None
        entry.asked.add(ask)
        return ask
