"""The stage of a faulted move: two hosts with their adapters, the shared disk, and the VM's copies.

What is done here is what a host can really do; whether it should is decided elsewhere. Adapters are
those of :mod:`nic.adapter`, with other VMs' queues on them. The disk knows one owner, and refuses
everybody else's writes.
"""

from __future__ import annotations

from enum import StrEnum

from nic.adapter import Adapter

VM = "vm"
VM_MAC = 0x02_00_5D_15_00
SOURCE, TARGET, OTHER = 0, 1, 2
"""Places of nodes; OTHER stands for any third one."""


class Copy(StrEnum):
    """What a host has of the VM."""

    NONE = "none"
    SKELETON = "skeleton"
    RUNNING = "running"
    SUSPENDED = "suspended"
    CRITICAL = "paused-critical"
    STALE = "stale"


HOLDING = frozenset({Copy.RUNNING, Copy.SUSPENDED, Copy.CRITICAL})
"""States in which a host has the VM."""


class Node:
    """A host.

    Parameters
    ----------
    name : str
    queues : int
        VM queues of its adapter.
    others : int
        Other VMs on it, each of which asks for a queue.
    chimney : int
        Offloaded connections of the VM that it has.
    """

    __slots__ = (
        "adapter", "alive", "chimney", "complete", "copy", "disk", "evicted", "name", "others", "port",
        "reserved", "theirs",
    )  # fmt: skip

    def __init__(self, name: str, queues: int, others: int) -> None:
        self.name = name
        self.alive = True
        self.evicted = False
        self.disk = True
        self.others = others
        self.adapter = Adapter(num_queues=queues)
        for number in range(others):
            self.adapter.request_queue(f"other{number}", 0x0200 | (number + 1) << 24)
        self.theirs = self.queues_of_others()
        self.port = False
        self.reserved = False
        self.copy = Copy.NONE
        self.complete = False
        self.chimney = 0

    def queues_of_others(self) -> tuple[tuple[int, str], ...]:
        """Return which VM queue belongs to which other VM."""
        return tuple(
            (n, queue.owner) for n, queue in enumerate(self.adapter.queues[1:], 1)
            if queue.owner and queue.owner != VM
        )  # fmt: skip

    @property
    def able(self) -> bool:
        """Whether it runs, and its cluster service too."""
        return self.alive and not self.evicted

    # Ports and queues

    def connect(self) -> None:
        """Connect the VM's port, and ask for a queue."""
        self.port = True
        self.adapter.request_queue(VM, VM_MAC)

    def clear_filters(self) -> None:
        """Send frames for the VM by the default queue."""
        queue = self.adapter.queue_of(VM)
        if queue is not None:
            for one in list(self.adapter.queue(queue).filters):
                self.adapter.clear_filter(one)

    def set_filters(self) -> None:
        """Give the VM's queue its filter again."""
        queue = self.adapter.queue_of(VM)
        if queue is not None and not self.adapter.queue(queue).filters:
            self.adapter.set_filter(queue, VM_MAC, None, untagged_or_zero=True)

    def disconnect(self) -> None:
        """Free the VM's queue, and take its port away."""
        self.port = False
        if self.adapter.queue_of(VM) is not None:
            self.adapter.release_queue(VM)

    def forget(self) -> None:
        """Remove everything that it has of the VM."""
        self.disconnect()
        self.copy = Copy.NONE
        self.complete = False
        self.reserved = False
        self.chimney = 0

    def crash(self) -> None:
        """Lose everything: copies, queues, memory."""
        self.alive = False
        self.adapter = Adapter(num_queues=self.adapter.num_queues)
        self.others, self.theirs = 0, ()
        self.port = self.reserved = self.complete = False
        self.copy = Copy.NONE
        self.chimney = 0


class Disk:
    """The VM's disk on shared storage, with a persistent reservation.

    Parameters
    ----------
    owner : int
        Node that holds the reservation.
    """

    __slots__ = ("owner", "refused", "there")

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.there = True
        self.refused = 0

    def hand_over(self, expected: int, new: int) -> bool:
        """Give the reservation to another, if it is where one thinks: one operation, done or not."""
        if not self.there or self.owner != expected:
            return False
        self.owner = new
        return True

    def preempt(self, new: int) -> bool:
        """Take the reservation from an owner that is lost."""
        if not self.there:
            return False
        self.owner = new
        return True

    def write(self, node: int) -> bool:
        """Write as a node; True when it was taken."""
        if not self.there or node != self.owner:
            self.refused += 1
            return False
        return True


class Stage:
    """Everything that a faulted move acts on.

    Parameters
    ----------
    source, target, other : Node
    """

    __slots__ = ("disk", "equal", "nodes")

    def __init__(self, source: Node, target: Node, other: Node) -> None:
        self.nodes = (source, target, other)
        self.disk = Disk(SOURCE)
        self.equal = True

    def holders(self) -> list[int]:
        """Return the nodes that have the VM, running or standing still."""
        return [n for n, node in enumerate(self.nodes) if node.copy in HOLDING]
