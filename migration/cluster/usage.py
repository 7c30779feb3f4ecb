"""What the VMs of a cluster use of their hosts, now: columns over VMs and hosts.

    processors   load of the VMs, and the hypervisor's share for guest memory translation
    memory       memory of the VMs with what each takes besides
    network      traffic of the VMs over the payload of the uplink
    queues       the processor that serves the default queue: traffic of VMs without a VM queue

A share above 1 is a demand that the host cannot meet. Cycles are those of :mod:`vswitch.costs`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from migration.cluster.curves import Loads
from migration.cluster.model import RESOURCES, Cluster, vm_overhead
from vswitch.costs import CostTable
from vswitch.transport_kernel import T_DATA
from vswitch.ways import PARENT, WAYS, recipe
from vswitch.ways_kernel import W_SWITCHED

FULL_FRAME = 1514
SEGMENT = 1460
PROCESSORS, MEMORY, NETWORK, QUEUES = range(len(RESOURCES))

Floats = npt.NDArray[np.float64]


def default_queue_cycles() -> float:
    """Return the parent's cycles for a payload byte of a VM without a VM queue.

    Returns
    -------
    float
        Full frames through the default queue and the software switch, each signalled to the guest.
    """
    table = CostTable.base()
    made = recipe(WAYS[W_SWITCHED], T_DATA, table, acks=True)
    frame = sum(
        table[step] * units for (where, step), units in made.frame.items() if where == PARENT
    )
    wire = sum(table[step] * units for (where, step), units in made.wire.items() if where == PARENT)
    return (frame + table["vmbus_signal"] + wire * FULL_FRAME) / SEGMENT


def move_cycles() -> float:
    """Return the cycles of a host for a byte of memory that it sends or takes in a move."""
    table = CostTable.base()
    segment = table["tx_driver"] + table["tcp_segment"]
    return segment / SEGMENT + table["tcp_byte"] + table["socket_copy"]


class Usage:
    """Who is where, and what each host has to do.

    Parameters
    ----------
    cluster : Cluster
    loads : Loads
    """

    def __init__(self, cluster: Cluster, loads: Loads) -> None:
        self.cluster, self._loads = cluster, loads
        hosts, vms = cluster.hosts, cluster.vms
        place = {one.name: n for n, one in enumerate(hosts)}
        self.host_of = np.array([place[one.host] for one in vms], np.int64)
        self.up = np.ones(len(vms), bool)
        self.online = np.array([one.member for one in hosts], bool)
        processors = np.array([one.logical_processors for one in hosts], np.float64)
        share = np.array([one.translation.share for one in hosts])
        clock = np.array([one.processor.clock_hz for one in hosts])
        self.capacity = processors * (1.0 - share)
        self.room = np.array([one.room_bytes for one in hosts], np.float64)
        self._shadow = np.array([one.translation.bytes_per_vm for one in hosts], np.float64)
        self.uplink = np.array([sum(each.bytes_per_s for each in one.switches) for one in hosts])
        self.queues = np.array([one.queues for one in hosts])
        self.per_byte = default_queue_cycles() / (clock * (1.0 - share))
        self._processors = np.array([one.processors for one in vms], np.float64)
        self._bytes_per_s = np.array([one.bytes_per_s for one in vms])
        self._least = np.array([one.least_bytes for one in vms], np.float64)
        self._more = np.array([one.memory_bytes - one.least_bytes for one in vms], np.float64)
        self._overhead = np.array([vm_overhead(one.memory_bytes) for one in vms], np.float64)
        self._peak = np.array([max(one.curve.peak, 1e-9) for one in vms])
        self.wants_queue = np.array([one.wants_queue for one in vms], bool)
        self.queued = np.zeros(len(vms), bool)
        self.reserved = np.zeros(len(hosts))
        self.moving = np.zeros(len(hosts))
        for vm in range(len(vms)):
            self.give_queue(vm)
        self.read(0)

    def give_queue(self, vm: int) -> None:
        """Give a VM a VM queue of its host, where one is free: first come, first served."""
        host = self.host_of[vm]
        self.queued[vm] = False
        taken = int(np.count_nonzero(self.queued & (self.host_of == host) & self.up))
        self.queued[vm] = bool(self.wants_queue[vm] and taken < self.queues[host])

    def place(self, vm: int, host: int) -> None:
        """Put a VM on a host."""
        self.queued[vm] = False
        self.host_of[vm] = host
        self.give_queue(vm)

    def read(self, now_ns: int) -> None:
        """Take the loads of a time."""
        self.load = self._loads.at(now_ns).astype(np.float64)
        self.processors = self._processors * self.load
        self.traffic = self._bytes_per_s * self.load
        self.memory = self._least + self._more * np.minimum(self.load / self._peak, 1.0)

    def taken(self, vm: int, host: int) -> float:
        """Return the memory that a VM takes of a host, in bytes."""
        return float(self.memory[vm] + self._overhead[vm] + self._shadow[host])

    @property
    def free_bytes(self) -> Floats:
        """Memory of each host that nobody has or has reserved."""
        return self.room - self._held() - self.reserved

    def _held(self) -> Floats:
        hosts = len(self.room)
        where, up = self.host_of, self.up
        memory = np.bincount(where, (self.memory + self._overhead) * up, hosts)
        out: Floats = memory + self._shadow * np.bincount(where, up, hosts)
        return out

    def of_hosts(self) -> Floats:
        """Return the shares in use.

        Returns
        -------
        float64[4, n_hosts]
            In the order of :data:`migration.cluster.model.RESOURCES`.
        """
        hosts, up = len(self.room), self.up
        out = np.empty((len(RESOURCES), hosts))
        out[PROCESSORS] = np.bincount(self.host_of, self.processors * up, hosts) + self.moving
        out[PROCESSORS] /= self.capacity
        out[MEMORY] = (self._held() + self.reserved) / self.room
        out[NETWORK] = np.bincount(self.host_of, self.traffic * up, hosts) / self.uplink
        software = np.bincount(self.host_of, self.traffic * (up & ~self.queued), hosts)
        out[QUEUES] = software * self.per_byte
        return out

    def of_vm(self, vm: int, host: int | npt.NDArray[np.int64]) -> Floats:
        """Return the shares that a VM uses, or would use, of hosts.

        Parameters
        ----------
        vm : int
        host : int or int64[n]

        Returns
        -------
        float64[4] or float64[4, n]
            Of the default queue's processor only where the VM has no VM queue, or would find none.
        """
        chosen = np.asarray(host)
        out = np.empty((len(RESOURCES), *chosen.shape))
        out[PROCESSORS] = self.processors[vm] / self.capacity[chosen]
        out[MEMORY] = (self.memory[vm] + self._overhead[vm] + self._shadow[chosen]) / self.room[
            chosen
        ]
        out[NETWORK] = self.traffic[vm] / self.uplink[chosen]
        if chosen.ndim == 0 and int(chosen) == self.host_of[vm]:
            without = np.asarray(not self.queued[vm])
        else:
            without = (self.free_queues()[chosen] < 1) | (not self.wants_queue[vm])
        out[QUEUES] = np.where(without, self.traffic[vm] * self.per_byte[chosen], 0.0)
        return out

    def relief(self, vms: npt.NDArray[np.int64], host: int, resource: int) -> Floats:
        """Return the share of a resource that each of a host's VMs uses.

        Parameters
        ----------
        vms : int64[n]
            VMs of the host.
        host, resource : int

        Returns
        -------
        float64[n]
        """
        if not vms.size:
            return np.zeros(0)
        used: Floats
        if resource == PROCESSORS:
            used = self.processors[vms] / self.capacity[host]
        elif resource == MEMORY:
            used = (self.memory[vms] + self._overhead[vms] + self._shadow[host]) / self.room[host]
        elif resource == NETWORK:
            used = self.traffic[vms] / self.uplink[host]
        else:
            used = self.traffic[vms] * ~self.queued[vms] * self.per_byte[host]
        return used

    def free_queues(self) -> npt.NDArray[np.int64]:
        """Return how many VM queues of each host are free."""
        taken = np.bincount(self.host_of, self.queued & self.up, len(self.queues))
        out: npt.NDArray[np.int64] = self.queues - taken.astype(np.int64)
        return out
