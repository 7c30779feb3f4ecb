"""One emulated host: which processor each queue interrupts, and where each guest runs.

Guarantees
----------
* A queue has one processor; those of VM queues follow the adapter, or the team.
* A guest receives on one virtual processor (there is no vRSS before 2012 R2), which
  stays on one logical processor: the one with least to do, were all VMs alike busy,
  the lowest where several are alike (believed; a hypervisor may move it).

Left to others: time (:mod:`vswitch.timed`), and what anything costs.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nic.adapter import Adapter
from nic.jumbo import HEADER_BYTES, disagreement
from nic.profiles import minimum_vectors, shared_memory_reason
from pcaps.errors import BadInput
from vswitch.host_profiles import HostProfile
from vswitch.ports import Network, Port, PortKind
from vswitch.ways import frame_cycles
from vswitch.ways_kernel import (
    PORT_KIND_SHIFT,
    PORT_PARENT,
    PORT_SHARED,
    PORT_UPLINK,
    PORT_VM,
    W_CHIMNEY,
    W_PLACED,
    W_SHARED,
    W_SWITCHED,
)

DEFAULT_QUEUE = 0

_KINDS = {
    PortKind.VM: PORT_VM,
    PortKind.PARENT: PORT_PARENT,
    PortKind.UPLINK: PORT_UPLINK,
}


@dataclass(frozen=True, eq=False)
class Host:
    """A host with its switch's ports and its adapter.

    Parameters
    ----------
    profile : HostProfile
        Processors, capacities and costs.
    network : Network
        The ports; a port's number is that of its seat in the host.
    adapter : nic.adapter.Adapter, optional
        With VM queues; None = the default queue takes everything.

    Raises
    ------
    BadInput
        When the adapter asks for processors or vectors that the host does not have.
    """

    profile: HostProfile
    network: Network
    adapter: Adapter | None = None

    def __post_init__(self) -> None:
        if self.profile.rss:
            raise BadInput(
                f"host profile '{self.profile.name}': its adapter is bound to the host's own "
                "TCP/IP (rss), so no frame comes to a switch; turn rss off"
            )
        if self.adapter is not None:
            needed = minimum_vectors(self.adapter.num_queues)
            if self.profile.vectors < needed:
                raise BadInput(
                    f"{self.adapter.num_queues} VM queues need {needed} MSI-X vectors at least, the "
                    f"adapter of host profile '{self.profile.name}' has {self.profile.vectors}; "
                    "take fewer queues"
                )
        _ = self.queue_processors  # checked here, not at first use

    @property
    def send_queue(self) -> int:
        """Number of the ring that the VMs' own frames come by: behind all VM queues."""
        return (self.adapter.num_queues if self.adapter else 0) + 1

    @cached_property
    def queue_processors(self) -> list[int]:
        """Processor of each ring: default queue, VM queues, what the VMs send."""
        base = self.adapter.base_cpu if self.adapter else 0
        processors = [base]
        for number in range(1, self.send_queue):
            processors.append(self._processor_of(number))
        processors.append(base)
        highest = max(processors)
        if highest >= self.profile.processors:
            raise BadInput(
                f"a queue is to interrupt processor {highest}, but the host has "
                f"{self.profile.processors}, from 0; lower base_cpu or max_cpus of the adapter"
            )
        return processors

    def _processor_of(self, queue: int) -> int:
        assert self.adapter is not None
        team = self.profile.team
        if team is not None and team.sums:
            each = -(-self.adapter.num_queues // team.members)
            member = team.member_of(queue, each) or 0
            own = team.processors_of(member, range(self.profile.processors))
            return own[(queue - 1) % each % len(own)]
        return self.adapter.queue(queue).processor or 0

    @cached_property
    def guest_processors(self) -> list[int]:
        """Processor of each port's guest; 0 for ports without one."""
        load = [0.0] * self.profile.processors
        for port in self.network.ports:
            if port.kind is PortKind.VM:
                load[self.queue_processors[self.queue_of(port)]] += self._work(port)[0]
        free = [(cycles, processor) for processor, cycles in enumerate(load)]
        heapq.heapify(free)
        homes = []
        for port in self.network.ports:
            if port.kind is not PortKind.VM:
                homes.append(0)
                continue
            cycles, processor = free[0]
            heapq.heapreplace(free, (cycles + self._work(port)[1], processor))
            homes.append(processor)
        return homes

    def _work(self, port: Port) -> tuple[float, float]:
        """Cycles of parent and guest for a full segment to a VM."""
        way = W_SWITCHED
        if self.queue_of(port):
            way = W_SHARED if self.copies_because(port) is None else W_PLACED
        elif self.offloads(port):
            way = W_CHIMNEY
        if way not in self._cycles:
            self._cycles[way] = frame_cycles(self.profile.costs, way, 1514, 1460)
        return self._cycles[way]

    @cached_property
    def _cycles(self) -> dict[int, tuple[float, float]]:
        return {}

    def queue_of(self, port: Port) -> int:
        """Return the VM queue of a port, 0 where it has none."""
        if self.adapter is None:
            return DEFAULT_QUEUE
        return self.adapter.queue_of(port.name) or DEFAULT_QUEUE

    def copies_because(self, port: Port) -> str | None:
        """Return why frames for a port are copied by the parent, None when they are not.

        Parameters
        ----------
        port : Port
            Any port.

        Returns
        -------
        str or None
            One clause.
        """
        if not self.queue_of(port) or self.adapter is None:
            return "it has no VM queue"
        return shared_memory_reason(
            self.adapter.profile,
            vlan=port.vlan.vid or None,
            vlan_filter=self.adapter.vlan_filter,
            lookahead_split=self.adapter.lookahead_split,
        )

    def offloads(self, port: Port) -> bool:
        """Tell whether a port's TCP connections are the adapter's.

        Rule: a vNIC has a VM queue or chimney; the queue wins.
        """
        return self.profile.chimney and port.kind is PortKind.VM and not self.queue_of(port)

    @cached_property
    def port_words(self) -> npt.NDArray[np.uint64]:
        """``uint64[n_ports]``: what is behind each port, see :mod:`vswitch.ways_kernel`."""
        words = np.zeros(max(1, len(self.network.ports)), np.uint64)
        for number, port in enumerate(self.network.ports):
            word = self.queue_of(port) | _KINDS[port.kind] << PORT_KIND_SHIFT
            if self.copies_because(port) is None:
                word |= PORT_SHARED
            words[number] = word
        return words

    @property
    def vms(self) -> int:
        """Number of VMs."""
        return sum(port.kind is PortKind.VM for port in self.network.ports)

    @property
    def shadow_memory_bytes(self) -> int:
        """Host memory that shadow page tables take; none with SLAT."""
        if self.profile.slat:
            return 0
        return round(self.vms * self.profile.costs["shadow_memory"])

    def warnings(self) -> list[str]:
        """Return what a run should tell people before it begins.

        Returns
        -------
        list of str
            One sentence each: jumbo frames on one side only.
        """
        mtus = {port.name: port.mtu for port in self.network.ports if port.mtu is not None}
        if self.adapter is not None and self.adapter.jumbo_packet <= 65535:
            mtus["the adapter"] = self.adapter.jumbo_packet - HEADER_BYTES
        found = disagreement(mtus)
        return [found] if found else []
