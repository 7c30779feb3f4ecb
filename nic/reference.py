"""The plain twin of the adapter's classification: the rules, one after the other."""

from __future__ import annotations

from nic.adapter import Adapter
from nic.drops import AdapterDrop
from pcaps.addresses import is_group


def classify(adapter: Adapter, mac: int, vid: int, length: int) -> int | AdapterDrop:
    """Return the VM queue that a received frame goes to.

    Parameters
    ----------
    adapter : Adapter
        With its queues and filters.
    mac : int
        Destination address as a key.
    vid : int
        VID of the frame, 0 for untagged and VID 0 alike.
    length : int
        Bytes on the wire, without FCS and without the 802.1Q tag.

    Returns
    -------
    int or AdapterDrop
        Queue number, 0 = default queue; or why the adapter drops the frame.
    """
    # Rule: *JumboPacket counts the 14-byte header, not the FCS, and 4 more per tag
    if length > adapter.jumbo_packet:
        return AdapterDrop.OVER_SIZE
    # Rule: vmq-receive-filters, queue by queue, then by filter id; only Running queues
    for queue in adapter.queues:
        if not queue.indicates:
            continue
        for filter_ in sorted(queue.filters, key=lambda one: one.number):
            if filter_.matches(mac, vid):
                return queue.number
    known = any(
        mac == one.mac for queue in adapter.queues if queue.indicates for one in queue.filters
    )
    if adapter.nic_drop_vlan_mismatch and known:
        return AdapterDrop.VLAN_MISMATCH
    # Rule: bound to a switch the adapter is promiscuous; else it takes its own address and groups
    if adapter.promiscuous or is_group(mac) or mac == adapter.mac:
        return 0
    return AdapterDrop.NOT_ACCEPTED
