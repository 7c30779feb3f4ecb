"""What is offloaded of a TCP connection: a neighbor, a path and the connection itself.

Each object has three kinds of variables. *Const* ones never change after the
offload. *Cached* ones belong to the host, which updates them. *Delegated* ones
belong to the adapter while it has the connection, and come back when the host
terminates the offload. Names and kinds: ndischimney.h, *_OFFLOAD_STATE_CONST,
_CACHED and _DELEGATED (read). Times are in ticks, 1000 a second; -1 = not running.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nic.tcp_states import TcpState

TICKS_PER_SECOND = 1000
NOT_RUNNING = -1
UNLIMITED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class NeighborConst:
    """Const variables of a neighbor.

    Parameters
    ----------
    dl_source_address : int
        The host's own MAC address as a key.
    vlan_id : int
        12 bits; 0 = untagged.
    """

    dl_source_address: int
    vlan_id: int


@dataclass(slots=True)
class NeighborCached:
    """Cached variables of a neighbor.

    Parameters
    ----------
    dl_destination_address : int
        MAC address of the next hop as a key.
    host_reachability_delta : int
        Ticks since the host last knew that it is reachable.
    """

    dl_destination_address: int
    host_reachability_delta: int = 0


@dataclass(slots=True)
class NeighborDelegated:
    """The delegated variable of a neighbor.

    Parameters
    ----------
    nic_reachability_delta : int
        Ticks since the adapter last knew that it is reachable.
    """

    nic_reachability_delta: int = 0


@dataclass(frozen=True, slots=True)
class PathConst:
    """Const variables of a path. A path has no delegated ones.

    Parameters
    ----------
    source_address, destination_address : bytes
        Own and other IP address, 4 or 16 bytes.
    """

    source_address: bytes
    destination_address: bytes


@dataclass(slots=True)
class PathCached:
    """The cached variable of a path.

    Parameters
    ----------
    path_mtu : int
        Bytes of the longest IP packet.
    """

    path_mtu: int


@dataclass(frozen=True, slots=True)
class TcpConst:
    """Const variables of a connection.

    Parameters
    ----------
    local_port, remote_port : int
        Ports.
    timestamp_enabled, sack_enabled, window_scaling_enabled : bool
        What both ends agreed on.
    snd_wind_scale, rcv_wind_scale : int
        Shifts of the peer's window and of the own one.
    remote_mss : int
        Longest segment that the peer takes.
    hash_value : int
        RSS hash of its frames.
    """

    local_port: int
    remote_port: int
    timestamp_enabled: bool = False
    sack_enabled: bool = False
    window_scaling_enabled: bool = False
    snd_wind_scale: int = 0
    rcv_wind_scale: int = 0
    remote_mss: int = 536
    hash_value: int = 0


@dataclass(slots=True)
class TcpCached:
    """Cached variables of a connection.

    Parameters
    ----------
    keep_alive_enabled, nagling_enabled : bool
        Socket options.
    keep_alive_restart, max_rt_restart, update_rcv_wnd : bool
        What an update is to do.
    initial_rcv_wnd : int
        Bytes of the receive window (SO_RCVBUF).
    rcv_indication_size : int
        Bytes that one indication should have; 0 = as many as there are.
    ka_probe_count, ka_timeout, ka_interval : int
        Keep-alive: probes; ticks until the first, ticks between.
    max_rt : int
        Most ticks that one segment is sent again; 0 = TcpMaximumRetransmissions
        counts instead, UNLIMITED = no limit.
    flow_label, ttl_or_hop_limit, tos_or_traffic_class, user_priority : int
        Header fields of what is sent.
    """

    keep_alive_enabled: bool = False
    nagling_enabled: bool = True
    keep_alive_restart: bool = False
    max_rt_restart: bool = False
    update_rcv_wnd: bool = False
    initial_rcv_wnd: int = 65535
    rcv_indication_size: int = 0
    ka_probe_count: int = 10
    ka_timeout: int = 7_200_000
    ka_interval: int = 1000
    max_rt: int = 0
    flow_label: int = 0
    ttl_or_hop_limit: int = 128
    tos_or_traffic_class: int = 0
    user_priority: int = 0


@dataclass(slots=True)
class TcpDelegated:
    """Delegated variables of a connection.

    Parameters
    ----------
    state : TcpState
        As in RFC 9293.
    rcv_nxt, rcv_wnd : int
        Next sequence number to receive; receive window in bytes.
    snd_una, snd_nxt, snd_max : int
        First unacknowledged number, next one to send, highest one sent.
    snd_wnd, max_snd_wnd, send_wl1 : int
        Send window, the largest so far, the segment that last updated it.
    cwnd, ss_thresh : int
        Congestion window and slow start threshold in bytes (RFC 5681).
    srtt, rtt_var : int
        Smoothed round trip and its variation in ticks (RFC 6298).
    ts_recent, ts_recent_age, ts_time : int
        Timestamps: to echo, ticks since it came, the own one.
    total_rt : int
        Ticks that the current segment has been sent again.
    dup_ack_count : int
        Acknowledgments of the same number.
    snd_wnd_probe_count : int
        Round of the probe of a closed window.
    keep_alive_probe_count, keep_alive_timeout_delta : int
        Unanswered probes; ticks until the next.
    retransmit_count, retransmit_timeout_delta : int
        Times the current segment was sent again; ticks until the next.
    send_data_head, send_data_tail : int
        Positions in the send stream: first byte not acknowledged, and behind the last.
    send_backlog_size : int
        Bytes that the host should keep outstanding at the adapter.
    buffered_data : tuple of (int, bytes)
        Received bytes that wait for what is missing before them, with positions.
    receive_backlog_size : int
        Received bytes that are buffered.
    dwnd : int
        Window of compound TCP, in bytes.
    """

    state: TcpState = TcpState.CLOSED
    rcv_nxt: int = 0
    rcv_wnd: int = 0
    snd_una: int = 0
    snd_nxt: int = 0
    snd_max: int = 0
    snd_wnd: int = 0
    max_snd_wnd: int = 0
    send_wl1: int = 0
    cwnd: int = 0
    ss_thresh: int = UNLIMITED
    srtt: int = 0
    rtt_var: int = 0
    ts_recent: int = 0
    ts_recent_age: int = NOT_RUNNING
    ts_time: int = 0
    total_rt: int = 0
    dup_ack_count: int = 0
    snd_wnd_probe_count: int = 0
    keep_alive_probe_count: int = 0
    keep_alive_timeout_delta: int = NOT_RUNNING
    retransmit_count: int = 0
    retransmit_timeout_delta: int = NOT_RUNNING
    send_data_head: int = 0
    send_data_tail: int = 0
    send_backlog_size: int = 0
    buffered_data: tuple[tuple[int, bytes], ...] = ()
    receive_backlog_size: int = 0
    dwnd: int = 0


@dataclass(slots=True)
class Neighbor:
    """A neighbor: a next hop in a VLAN.

    Parameters
    ----------
    const, cached, delegated : NeighborConst, NeighborCached, NeighborDelegated
        Its variables.
    valid : bool
        False after an invalidate: nothing may be sent that depends on it.
    """

    const: NeighborConst
    cached: NeighborCached
    delegated: NeighborDelegated = field(default_factory=NeighborDelegated)
    valid: bool = True

    @property
    def key(self) -> tuple[int, int, int]:
        """Own address, VLAN and next hop."""
        return (
            self.const.dl_source_address,
            self.const.vlan_id,
            self.cached.dl_destination_address,
        )


@dataclass(slots=True)
class Path:
    """A path: two IP addresses by way of a neighbor.

    Parameters
    ----------
    const, cached : PathConst, PathCached
        Its variables.
    valid : bool
        As of a neighbor.
    """

    const: PathConst
    cached: PathCached
    valid: bool = True

    @property
    def key(self) -> tuple[bytes, bytes]:
        """Own and other address."""
        return self.const.source_address, self.const.destination_address


@dataclass(slots=True)
class Tree:
    """What one initiate hands over: a neighbor, a path below it, a connection below that.

    Parameters
    ----------
    neighbor, path : Neighbor, Path
        Those that the adapter has already are links, not new entries.
    const, cached, delegated : TcpConst, TcpCached, TcpDelegated
        The connection.
    """

    neighbor: Neighbor
    path: Path
    const: TcpConst
    cached: TcpCached
    delegated: TcpDelegated
