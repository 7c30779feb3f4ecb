"""Which vNICs of a network ask the adapter for a VM queue, and why others do not."""

from __future__ import annotations

from nic.adapter import Adapter
from vswitch.ports import Dialect, Network, Port, PortKind, VlanMode


def _cannot(network: Network, port: Port) -> str:
    """Return why a port never gets a VM queue, nothing when it may."""
    uplink = network.uplink
    if uplink is None or port.kind is PortKind.UPLINK:
        return "is not behind an adapter" if uplink is None else "is the adapter"
    if network.dialect is not Dialect.HYPERV:
        return "a learning switch has no VM queues"
    if port.mac is None:
        return "has no address to filter for"
    if port.vlan.mode is VlanMode.TRUNK:
        return "a trunk has frames of several VLANs, a filter takes one"
    if port.vlan.mode is not VlanMode.ACCESS:
        return "a private VLAN's frames come with two VIDs, a filter takes one"
    carried = uplink.vlan.carries(port.vlan.vid) if port.vlan.vid else uplink.vlan.untagged
    return "" if carried else "the uplink does not carry its VLAN"


def why_no_queue(network: Network, adapter: Adapter | None, port: Port) -> str:
    """Return why a port has no VM queue.

    Parameters
    ----------
    network : Network
        The ports behind the adapter.
    adapter : nic.adapter.Adapter, optional
        The adapter; None when there are no VM queues.
    port : Port
        A port without one.

    Returns
    -------
    str
        One clause.
    """
    if port.kind is PortKind.UPLINK:
        return ""
    if adapter is None:
        return "there is no adapter with VM queues"
    if reason := _cannot(network, port):
        return reason
    return "does not want one" if port.name in adapter.unwanted else "queues or filters are taken"


def give_queues(network: Network, adapter: Adapter) -> None:
    """Ask the adapter for a VM queue for each vNIC that can have one, in port order.

    Parameters
    ----------
    network : Network
        The ports behind the adapter.
    adapter : nic.adapter.Adapter
        Gets the requests, first come first served.

    Notes
    -----
    No queue is asked for by trunk vNICs (one filter would not do), by vNICs of a
    private VLAN (their frames come with two VIDs), and by vNICs whose VLAN the
    uplink does not carry (the switch drops those frames, the adapter would not).
    """
    for port in network.ports:
        if port.mac is None or _cannot(network, port) or adapter.queue_of(port.name) is not None:
            continue
        adapter.request_queue(port.name, port.mac, port.vlan.vid or None)
