"""Settings of TCP chimney: what an adapter can hold, when it asks, when a host offloads.

Defaults are ours unless a source is named; the names of capacities are NDIS's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from nic.chimney_rules import NotOffloaded
from pcaps.errors import BadInput

MODES = ("enabled", "automatic", "disabled")
"""As ``netsh int tcp set global chimney`` has them; disabled is the default there (read: product
page; a post of 2009 says automatic)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What an offload target can hold.

    Parameters
    ----------
    tcp_entries, path_entries, neighbor_entries : int
        Connections (TcpConnectionOffloadCapacity), paths, neighbors.
    vlan_entries, hw_address_entries, ip_address_entries : int
        VLANs, own MAC addresses, own IP addresses.
    xmit_buffer_bytes, rcv_buffer_bytes : int
        Unacknowledged sent data and buffered received data that a connection may bring.
    rcv_window_bytes : int
        Largest receive window.
    mtu : int
        Longest IP packet.
    vlan : int, optional
        The VLAN that the adapter is in; None = it takes any.
    maximum_retransmissions : int
        Times that a segment is sent again (TcpMaximumRetransmissions).
    """

    tcp_entries: int = 1024
    path_entries: int = 1024
    neighbor_entries: int = 256
    vlan_entries: int = 64
    hw_address_entries: int = 64
    ip_address_entries: int = 256
    xmit_buffer_bytes: int = 1 << 20
    rcv_buffer_bytes: int = 1 << 20
    rcv_window_bytes: int = 1 << 30
    mtu: int = 9000
    vlan: int | None = None
    maximum_retransmissions: int = 5

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name != "vlan" and value < 0:
                raise BadInput(f"a chimney with {name} = {value}: use 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When the adapter asks for an upload though it could go on; None = never.

    Parameters
    ----------
    drop_rate, fragmentation, out_of_order : float, optional
        Shares, of sent segments that were sent again, and of received ones.
    idle_ns : int, optional
        Time without a segment.
    unposted : int, optional
        Indications in a row for which no buffer was posted.
    small_io_bytes : int, optional
        Size of posted buffers below which they are too small.
    """

    drop_rate: float | None = None
    fragmentation: float | None = None
    out_of_order: float | None = None
    idle_ns: int | None = None
    unposted: int | None = None
    small_io_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Where a host leaves connections to itself.

    Parameters
    ----------
    vm_queues : frozenset of int
        MAC addresses of vNICs that have a VM queue.
    ipsec, nlb, cluster : tuple of str
        Networks such as ``10.0.0.0/8``: peers with IPsec, own addresses of network load
        balancing, peers of the cluster's own connections.
    nat, team : bool
        The host translates addresses; the adapter is in a team.
    """

    vm_queues: frozenset[int] = frozenset()
    ipsec: tuple[str, ...] = ()
    nlb: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    nat: bool = False
    team: bool = False

    def __post_init__(self) -> None:
        for name in ("ipsec", "nlb", "cluster"):
            for network in getattr(self, name):
                try:
                    ip_network(network)
                except ValueError:
                    raise BadInput(
                        f"{name}: '{network}' is not a network; write 10.0.0.0/8 or 2001:db8::/32"
                    ) from None

    def why_not(self, mac: int, own: bytes, peer: bytes) -> NotOffloaded | None:
        """Return what keeps a connection with the host, None when nothing does.

        Parameters
        ----------
        mac : int
            Own MAC address as a key.
        own, peer : bytes
            IP addresses.

        Returns
        -------
        NotOffloaded or None
            The first that holds.
        """

        def lies_in(networks: tuple[str, ...], address: bytes) -> bool:
            return any(ip_address(address) in ip_network(one) for one in networks)

        holds: tuple[tuple[NotOffloaded, Callable[[], bool]], ...] = (
            # Rule: VMQ wins over VM chimney (read: Savill, Mastering Windows Server 2016 Hyper-V)
            (NotOffloaded.VM_QUEUE, lambda: mac in self.vm_queues),
            (NotOffloaded.TEAM, lambda: self.team),
            (NotOffloaded.NAT, lambda: self.nat),
            (NotOffloaded.IPSEC, lambda: lies_in(self.ipsec, peer)),
            (NotOffloaded.NLB, lambda: lies_in(self.nlb, own)),
            (NotOffloaded.CLUSTER, lambda: lies_in(self.cluster, peer)),
        )
        return next((reason for reason, test in holds if test()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a host offloads a connection, and how long that takes.

    Parameters
    ----------
    mode : str
        ``enabled``: as soon as its state allows; ``automatic``: when it is fast, near and
        large enough; ``disabled``.
    link_bps, min_link_bps : int
        Rate of the link, and what automatic mode wants (believed: 10 Gbit/s).
    max_rtt_ns, min_bytes : int
        Round trip and exchanged bytes that automatic mode wants (believed: 20 ms, 130 KB).
    offload_ns, upload_ns : int
        Time from an initiate or a terminate to its completion.
    buffer_bytes : int
        Receive buffers that applications post ahead; 0 = none.
    heed_optional : bool
        Whether the host uploads for a reason that does not force it to.
    conditions : Conditions
        Which connections stay with the host.
    """

    mode: str = "enabled"
    link_bps: int = 10_000_000_000
    min_link_bps: int = 10_000_000_000
    max_rtt_ns: int = 20_000_000
    min_bytes: int = 130_000
    offload_ns: int = 100_000
    upload_ns: int = 100_000
    buffer_bytes: int = 65_536
    heed_optional: bool = True
    conditions: Conditions = Conditions()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadInput(f"chimney mode '{self.mode}': use {', '.join(MODES)}")
        for name in (
            "link_bps",
            "max_rtt_ns",
            "min_bytes",
            "offload_ns",
            "upload_ns",
            "buffer_bytes",
        ):
            if getattr(self, name) < 0:
                raise BadInput(f"chimney with {name} = {getattr(self, name)}: use 0 or more")
