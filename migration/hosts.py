"""The two hosts of a move: their switches, their adapters, and the VM's port and queue.

A host is a :class:`vswitch.switch.Switch` with its adapter, as in a replay. What a
move does to it, step by step, is done with the same operations that anybody else
has: the receive filter is cleared, the VM queue freed, the port disconnected; on
the other side the port is connected and a queue asked for, which may be none.

Source: NDIS documentation, network/ndis-vmq-live-migration-support and
network/freeing-a-vm-queue: filters are cleared first, so that frames of the VM
go by the default queue; the queue is freed when DMA has stopped and all frames
that were indicated have come back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from migration.hosts_kernel import Host
from nic.adapter import Adapter
from nic.filters import compile_filters
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.ports import Dialect, Network, Port, PortKind, VlanMode, VlanSetting
from vswitch.switch import Switch
from vswitch.tally import new_stats


@dataclass(frozen=True)
class QueueChange:
    """What became of a VM queue in a move.

    Parameters
    ----------
    host : str
        ``source`` or ``target``.
    what : str
        One clause.
    """

    host: str
    what: str


class MovingHost:
    """One host of a move.

    Parameters
    ----------
    name : str
        ``source`` or ``target``.
    network : Network
        Its switch; with the VM's port where the VM is.
    adapter : nic.adapter.Adapter, optional
        With VM queues; None = software switch only.
    vm : Port
        The port of the VM that moves.
    """

    def __init__(self, name: str, network: Network, adapter: Adapter | None, vm: Port) -> None:
        self.name = name
        self.vm = vm
        self.switch = Switch(network, adapter)
        self.changes: list[QueueChange] = []
        uplink = network.uplink
        if uplink is None:
            raise BadInput(
                f"network '{network.name}' has no uplink; a VM that is moved needs an external network"
            )
        self.uplink = uplink.name

    @property
    def queue(self) -> int | None:
        """Number of the VM's queue, None when it has none."""
        adapter = self.switch.adapter
        return None if adapter is None else adapter.queue_of(self.vm.name)

    def clear_filters(self) -> None:
        """The move begins its end: frames for the VM go by the default queue from now on."""
        adapter, queue = self.switch.adapter, self.queue
        if adapter is None or queue is None:
            return
        for filter_ in list(adapter.queue(queue).filters):
            adapter.clear_filter(filter_)
        self._note(f"filter of VM queue {queue} cleared: its frames take the default queue")

    def remove_vm(self) -> None:
        """The VM has left: DMA stops, its queue is freed, its port goes."""
        queue = self.queue
        self.switch.disconnect(self.vm.name)
        if queue is not None:
            self._note(f"VM queue {queue} freed")

    def add_vm(self) -> None:
        """The VM arrives: its port is connected and asks for a queue."""
        self.switch.connect(self.vm)
        if self.switch.adapter is None:
            return
        queue = self.queue
        self._note(
            f"VM queue {queue} allocated"
            if queue is not None
            else "no VM queue is left: the VM's frames take the default queue and the software switch"
        )

    def _note(self, what: str) -> None:
        self.changes.append(QueueChange(self.name, what))

    def compiled(self) -> Host:
        """Return the host as kernels take it, with counters of its own."""
        engine = self.switch.engine
        network = engine.compiled.network
        names = [port.name for port in network.ports]
        vm = names.index(self.vm.name) if self.vm.name in names else -1
        learning = network.dialect is Dialect.LEARNING
        adapter = self.switch.adapter
        # an adapter without VM queues places nothing: one way for every host
        filters = compile_filters(
            adapter if adapter is not None else Adapter(num_queues=0, jumbo_packet=65535)
        )
        return Host(
            engine.compiled.image,
            filters,
            engine.learned.table,
            new_stats(network),
            np.array([names.index(self.uplink), vm, int(learning), 0], np.int64),
        )

    def header_at_vm(self, header: bytes) -> bytes | None:
        """Return how the VM gets a frame that comes from the wire.

        Parameters
        ----------
        header : bytes
            Destination, source, tags and EtherType.

        Returns
        -------
        bytes or None
            The same behind the switch; None when it does not get there.
        """
        frame = header + bytes(46)
        for port, left in self.switch.send(frame, self.uplink):
            if port == self.vm.name:
                return bytes(left.data)[: len(left.data) - 46]
        return None

    def reaches_wire(self, frame: bytes) -> bool:
        """Tell whether a frame that the VM sends leaves by the uplink."""
        return any(port == self.uplink for port, _ in self.switch.send(frame, self.vm.name))

    def why_not(self, header: bytes) -> str:
        """Return why a frame from the wire does not get to the VM, one sentence."""
        decided = self.switch.process(
            Frames.from_bytes([header + bytes(46)]), ingress=self.uplink, keep=False
        )
        return next(iter(decided.drops), "it goes to another port")


def hosts_of(
    network: Network,
    vm: Port,
    source_adapter: Adapter | None,
    target_adapter: Adapter | None,
) -> tuple[MovingHost, MovingHost]:
    """Return the source, with the VM, and the target, without it.

    Parameters
    ----------
    network : Network
        The switch of the source host.
    vm : Port
        One of its ports.
    source_adapter, target_adapter : nic.adapter.Adapter, optional
        Adapters of the hosts.

    Returns
    -------
    source, target : MovingHost
        The target has the same network with no VMs.
    """
    bare = network.with_ports(port for port in network.ports if port.kind is not PortKind.VM)
    if network.mirror_to is not None or network.static:
        bare = replace(bare, mirror_to=None, static=())
    return (
        MovingHost("source", network, source_adapter, vm),
        MovingHost("target", bare, target_adapter, vm),
    )


def selfmade(vm_mac: int, vids: set[int], tpids: set[int], mtu: int | None) -> tuple[Network, Port]:
    """Return the network that a VM of captures is on: an uplink and the VM.

    Parameters
    ----------
    vm_mac : int
        Its address as a key.
    vids : set of int
        VLANs of its sessions, 0 = untagged. One makes its port an access port, several a
        trunk.
    tpids : set of int
        TPIDs of their tags; at most three.
    mtu : int, optional
        MTU of its port and of the uplink; None = no limit.

    Returns
    -------
    network : Network
        Ports ``uplink`` and ``vm1``.
    vm : Port
        The VM's.
    """
    if len(vids) == 1:
        setting = VlanSetting(vid=min(vids))
    else:
        setting = VlanSetting(mode=VlanMode.TRUNK, vid=0)
    vm = Port(name="vm1", mac=vm_mac, vlan=setting, mtu=mtu)
    uplink = Port(name="uplink", kind=PortKind.UPLINK, mtu=mtu, check_source=False)
    given: Any = tuple(sorted(tpids)) or None
    return Network(name="external", ports=(uplink, vm), tpids=given), vm
