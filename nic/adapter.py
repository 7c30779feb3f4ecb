"""The physical adapter: its VM queues, its filters, and who gets them.

First come, first served: a vNIC asks for a queue when it starts, and gets one
while queues and filters last; the others share the default queue. Tear-down
clears the filters first, so that from then on frames of that address go to the
default queue, and frees the queue only when nothing writes into it any more.

Sources: TechNet gg162704 (one queue a vNIC, first come first served, no
priority), NDIS documentation network/allocating-a-vm-queue, freeing-a-vm-queue,
determining-the-vmq-capabilities-of-a-network-adapter. Whether a waiting vNIC
takes a freed queue at once or at its next start is not documented: option
``queue_reassign``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nic.filters import Filter, check_filter
from nic.offloads import Offload, chosen_offloads
from nic.profiles import (
    Profile,
    minimum_vectors,
    profile_of,
    shared_memory_reason,
)
from nic.vmq import DEFAULT_QUEUE, QueueError, QueueEvent, QueueState, VmQueue
from pcaps.errors import BadInput

MAX_QUEUES = 4096
REASSIGN = ("on_start", "immediate")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event in the life of a queue.

    Parameters
    ----------
    queue : int
        Queue number.
    event : QueueEvent
        What happened.
    state : QueueState
        State afterwards.
    owner : str
        The vNIC.
    """

    queue: int
    event: QueueEvent
    state: QueueState
    owner: str


@dataclass(frozen=True, slots=True)
class _Request:
    owner: str
    mac: int
    vlan: int | None


class Adapter:
    """An adapter with VM queues.

    Parameters
    ----------
    profile : str or Profile
        The release whose rules hold; ``r1`` has no VM queues.
    num_queues : int
        VM queues besides the default queue.
    max_filters : int, optional
        Receive filters in all; as many as queues by default.
    vlan_filter : bool
        Whether it can test VIDs (*VMQVlanFiltering, default 1).
    lookahead_split : bool
        Whether it can split frames for shared memory (*VMQLookaheadSplit, default 1).
    jumbo_packet : int
        Longest frame in bytes with its 14-byte header, without FCS and tag
        (*JumboPacket; 1514 to 65535).
    nic_drop_vlan_mismatch : bool
        Whether frames of a known MAC with another VLAN are dropped on board
        (both are allowed; they go to the default queue by default).
    promiscuous : bool
        Whether it takes every address, as it does when bound to a switch.
    mac : int, optional
        Its own address as a key.
    queue_reassign : str
        ``on_start``: a vNIC that got no queue asks again at its next start;
        ``immediate``: it takes a freed queue at once.
    base_cpu, max_cpus : int
        Queues are spread over processors ``base_cpu ..`` round robin.
    offloads : iterable of str, optional
        Offloads that are on (:mod:`nic.offloads`); those of the release by default.
    """

    def __init__(
        self,
        *,
        profile: str | Profile = "r2",
        num_queues: int = 16,
        max_filters: int | None = None,
        vlan_filter: bool = True,
        lookahead_split: bool = True,
        jumbo_packet: int = 1514,
        nic_drop_vlan_mismatch: bool = False,
        promiscuous: bool = True,
        mac: int | None = None,
        queue_reassign: str = "on_start",
        base_cpu: int = 0,
        max_cpus: int = 4,
        offloads: Iterable[str] | None = None,
    ) -> None:
        self.profile = profile if isinstance(profile, Profile) else profile_of(profile)
        if not 0 <= num_queues <= MAX_QUEUES:
            raise BadInput(f"{num_queues} VM queues: an adapter has 0 to {MAX_QUEUES}")
        if not 1514 <= jumbo_packet <= 65535:
            raise BadInput(f"jumbo packet {jumbo_packet} is out of range; use 1514 to 65535")
        if queue_reassign not in REASSIGN:
            raise BadInput(f"queue_reassign '{queue_reassign}': use {' or '.join(REASSIGN)}")
        if num_queues and not self.profile.vmq:
            raise BadInput(f"profile {self.profile.name} has no VM queues; ask for 0, or take r2")
        if max_cpus < 1 or base_cpu < 0:
            raise BadInput("base_cpu must be 0 or more, and max_cpus 1 or more")
        self.num_queues = num_queues
        self.max_filters = num_queues if max_filters is None else max_filters
        if self.max_filters < 0:
            raise BadInput(f"{self.max_filters} receive filters: an adapter has 0 or more")
        self.vlan_filter = vlan_filter
        self.lookahead_split = lookahead_split
        self.jumbo_packet = jumbo_packet
        self.nic_drop_vlan_mismatch = nic_drop_vlan_mismatch
        self.promiscuous = promiscuous
        self.mac = mac
        self.queue_reassign = queue_reassign
        self.base_cpu, self.max_cpus = base_cpu, max_cpus
        self.offloads = chosen_offloads(self.profile.name, self.profile.title, offloads)
        self.queues = [VmQueue(number) for number in range(num_queues + 1)]
        self.queues[DEFAULT_QUEUE].state = QueueState.RUNNING
        self.queues[DEFAULT_QUEUE].processor = base_cpu
        self.unwanted: frozenset[str] = frozenset()
        """vNICs that are not to get a queue, though they could."""
        self.waiting: deque[_Request] = deque()
        self.log: list[LogEntry] = []
        self._owners: dict[str, int] = {}
        self._tests: dict[tuple[int, int | None, bool], Filter] = {}
        self._filter_ids = 0
        self._allocations = 0

    # Single operations, as the driver interface has them

    def queue(self, number: int) -> VmQueue:
        """Return a queue by number.

        Parameters
        ----------
        number : int
            0 is the default queue.

        Returns
        -------
        VmQueue
            The queue, in whatever state.

        Raises
        ------
        BadInput
            When the adapter has no queue of that number.
        """
        if not 0 <= number <= self.num_queues:
            raise BadInput(f"queue {number} does not exist; the adapter has 0 to {self.num_queues}")
        return self.queues[number]

    def handle(self, number: int, event: QueueEvent) -> None:
        """Let an event happen to a queue, and log it.

        Parameters
        ----------
        number : int
            Queue number.
        event : QueueEvent
            What happens.

        Raises
        ------
        QueueError
            When the event is not valid in the queue's state.
        """
        queue = self.queue(number)
        queue.handle(event)
        self.log.append(LogEntry(number, event, queue.state, queue.owner))

    def allocate(self, owner: str) -> int:
        """ALLOCATE_QUEUE: take the first free queue for a vNIC.

        Parameters
        ----------
        owner : str
            Name of the vNIC.

        Returns
        -------
        int
            Queue number.

        Raises
        ------
        QueueError
            When no queue is free.
        """
        for queue in self.queues[1:]:
            if queue.state is QueueState.UNDEFINED:
                queue.owner = owner
                self._owners[owner] = queue.number
                # Rule: round robin over the processor set, from behind the default queue's (believed)
                self._allocations += 1
                queue.processor = self.base_cpu + self._allocations % self.max_cpus
                self.handle(queue.number, QueueEvent.ALLOCATE_QUEUE)
                return queue.number
        raise QueueError(f"no VM queue is free for '{owner}'; all {self.num_queues} are taken")

    def set_filter(
        self, number: int, mac: int, vlan: int | None = None, *, untagged_or_zero: bool = False
    ) -> Filter:
        """SET_FILTER: add a receive filter to a queue.

        Parameters
        ----------
        number : int
            Queue number.
        mac : int
            Destination address as a key.
        vlan : int, optional
            VID to test for.
        untagged_or_zero : bool
            The flag of that name.

        Returns
        -------
        Filter
            With its id.

        Raises
        ------
        BadInput
            When the adapter refuses it: flag rules, capacity, a frame that two
            queues would want, or a queue in the wrong state.
        """
        queue = self.queue(number)
        filter_ = Filter(self._filter_ids + 1, number, mac, vlan, untagged_or_zero)
        check_filter(
            filter_,
            vlan_filter=self.vlan_filter,
            mac_only_accepted=self.profile.mac_only_filter,
        )
        self._refuse_duplicate(filter_)
        if len(self._tests) >= self.max_filters:
            raise BadInput(f"{filter_}: all {self.max_filters} receive filters are taken")
        self.handle(number, QueueEvent.SET_FILTER)
        self._filter_ids += 1
        self._tests[filter_.test] = filter_
        queue.filters.append(filter_)
        return filter_

    def clear_filter(self, filter_: Filter) -> None:
        """CLEAR_FILTER: take a filter off its queue.

        Parameters
        ----------
        filter_ : Filter
            As from :meth:`set_filter`.

        Raises
        ------
        BadInput
            When it is not set, or the queue is in the wrong state.
        """
        queue = self.queue(filter_.queue)
        if filter_ not in queue.filters:
            raise BadInput(f"{filter_}: no such filter is set")
        last = len(queue.filters) == 1
        self.handle(
            queue.number,
            QueueEvent.CLEAR_FILTER_LAST if last else QueueEvent.CLEAR_FILTER_NOT_LAST,
        )
        queue.filters.remove(filter_)
        del self._tests[filter_.test]

    def complete_allocation(self) -> list[int]:
        """QUEUE_ALLOCATION_COMPLETE: for all queues allocated so far.

        Returns
        -------
        list of int
            The queues that went on, to Running or Paused.
        """
        batch = [
            queue.number
            for queue in self.queues[1:]
            if queue.state in (QueueState.ALLOCATED, QueueState.SET)
        ]
        for number in batch:
            self.handle(number, QueueEvent.QUEUE_ALLOCATION_COMPLETE)
        return batch

    def _refuse_duplicate(self, filter_: Filter) -> None:
        # Rule: a frame must not match the filters of two queues (ours; the sources are silent)
        if filter_.test in self._tests:
            raise BadInput(f"{filter_}: taken already, {self._tests[filter_.test]}")

    # What a vNIC asks for

    def request_queue(self, owner: str, mac: int, vlan: int | None = None) -> int | None:
        """Bring up a queue for a vNIC: allocate, set its filter, complete.

        Parameters
        ----------
        owner : str
            Name of the vNIC.
        mac : int
            Its address as a key.
        vlan : int, optional
            Its VID; None sets the untagged-or-zero flag instead, as the switch does.

        Returns
        -------
        int or None
            Queue number; None when queues or filters are exhausted, or the
            release has none: the vNIC then uses the default queue.

        Raises
        ------
        BadInput
            When the vNIC has a queue already, or another queue takes its frames.
        """
        if self.queue_of(owner) is not None:
            raise BadInput(f"'{owner}' has a VM queue already; one queue serves a vNIC")
        if owner in self.unwanted or (vlan is not None and not self.vlan_filter):
            return None
        if len(self._owners) >= self.num_queues or len(self._tests) >= self.max_filters:
            known = any(one.owner == owner for one in self.waiting)
            if self.queue_reassign == "immediate" and self.profile.vmq and not known:
                self.waiting.append(_Request(owner, mac, vlan))
            return None
        self._refuse_duplicate(Filter(self._filter_ids + 1, 0, mac, vlan, vlan is None))
        number = self.allocate(owner)
        self.set_filter(number, mac, vlan, untagged_or_zero=vlan is None)
        self.handle(number, QueueEvent.QUEUE_ALLOCATION_COMPLETE)
        return number

    def release_queue(self, owner: str) -> int:
        """Tear a vNIC's queue down: clear, free, stop DMA, get all buffers back.

        Parameters
        ----------
        owner : str
            Name of the vNIC; it is also taken off the waiting list.

        Returns
        -------
        int
            The queue that was freed.

        Raises
        ------
        BadInput
            When the vNIC has no queue.
        """
        self.waiting = deque(one for one in self.waiting if one.owner != owner)
        number = self.queue_of(owner)
        if number is None:
            raise BadInput(f"'{owner}' has no VM queue")
        for filter_ in list(self.queue(number).filters):
            self.clear_filter(filter_)
        self.handle(number, QueueEvent.FREE_QUEUE)
        self.handle(number, QueueEvent.DMA_STOPPED)
        self.handle(number, QueueEvent.INDICATIONS_RETURNED)
        self.queue(number).owner = ""
        del self._owners[owner]
        if self.waiting:
            first = self.waiting.popleft()
            self.request_queue(first.owner, first.mac, first.vlan)
        return number

    # What others ask

    def filters(self) -> Iterator[Filter]:
        """Yield all filters in the order in which they are tried."""
        for queue in self.queues:
            yield from sorted(queue.filters, key=lambda one: one.number)

    def running_filters(self) -> list[Filter]:
        """Return the filters of Running queues, in the order in which they are tried."""
        return [one for one in self.filters() if self.queue(one.queue).indicates]

    def queue_of(self, owner: str) -> int | None:
        """Return the number of a vNIC's queue, None when it has none."""
        return self._owners.get(owner)

    def owner_of(self, number: int) -> str | None:
        """Return the vNIC that a queue serves, None when it is free or queue 0."""
        return self.queue(number).owner or None

    def describe(self) -> dict[str, Any]:
        """Return capacities and queues, for people and JSON.

        Returns
        -------
        dict
            With keys profile, num_queues, max_filters, vectors, jumbo_packet, offloads, queues.
        """
        return {
            "profile": self.profile.name,
            "num_queues": self.num_queues,
            "max_filters": self.max_filters,
            "vlan_filter": self.vlan_filter,
            "jumbo_packet": self.jumbo_packet,
            "vectors": minimum_vectors(self.num_queues),
            "queue_reassign": self.queue_reassign,
            "offloads": sorted(self.offloads),
            "queues": [self._describe(queue) for queue in self.queues if queue.owner],
            "waiting": [one.owner for one in self.waiting],
        }

    def _describe(self, queue: VmQueue) -> dict[str, Any]:
        vlan = next((one.vlan for one in queue.filters), None)
        return {
            "queue": queue.number,
            "owner": queue.owner,
            "state": queue.state.value,
            "processor": queue.processor,
            "filters": [str(one) for one in queue.filters],
            "copies_because": shared_memory_reason(
                self.profile,
                vlan=vlan,
                vlan_filter=self.vlan_filter,
                lookahead_split=self.lookahead_split,
            ),
            "no_chimney_because": (
                # Rule: VMQ wins over VM chimney (read: Savill, Mastering Windows Server 2016 Hyper-V)
                "the vNIC has a VM queue" if Offload.CHIMNEY in self.offloads else "chimney is off"
            ),
        }
