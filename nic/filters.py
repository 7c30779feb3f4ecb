"""Receive filters: which frames an adapter puts into which VM queue.

A filter tests the destination MAC for equality and, with it, one of three
things: a VID (never VID 0, never untagged), "untagged or VID 0", or nothing.

Sources: NDIS documentation, network/setting-a-vmq-filter (flag rules),
network/vmq-receive-filters (fields ANDed, filters ORed, queues in order), the
netvmini 6x sample (flag together with a VLAN test refused).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcaps.addresses import is_group, key_to_mac
from pcaps.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nic.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Filter:
    """One receive filter.

    Parameters
    ----------
    number : int
        Filter id, unique on its adapter.
    queue : int
        The queue that it belongs to.
    mac : int
        Destination address as a key.
    vlan : int, optional
        VID to test for, 1 to 4094; None = no VLAN test.
    untagged_or_zero : bool
        Whether only untagged and VID 0 frames match (no VLAN test then).
    """

    number: int
    queue: int
    mac: int
    vlan: int | None = None
    untagged_or_zero: bool = False

    def matches(self, mac: int, vid: int) -> bool:
        """Tell whether a frame matches.

        Parameters
        ----------
        mac : int
            Destination address as a key.
        vid : int
            VID of the frame, 0 for untagged and VID 0 alike.

        Returns
        -------
        bool
            True when every test holds.
        """
        if mac != self.mac:
            return False
        if self.vlan is not None:
            return vid == self.vlan
        return vid == 0 if self.untagged_or_zero else True

    @property
    def test(self) -> tuple[int, int | None, bool]:
        """What is tested; no two filters of an adapter may test the same."""
        return self.mac, self.vlan, self.untagged_or_zero

    def __str__(self) -> str:
        if self.vlan is not None:
            test = f"VID {self.vlan}"
        else:
            test = "untagged or VID 0" if self.untagged_or_zero else "any VLAN"
        return f"filter {self.number}: {key_to_mac(self.mac)}, {test} -> queue {self.queue}"


def check_filter(filter_: Filter, *, vlan_filter: bool, mac_only_accepted: bool) -> None:
    """Raise :class:`BadInput` unless an adapter accepts a filter.

    Parameters
    ----------
    filter_ : Filter
        What is to be set.
    vlan_filter : bool
        Whether the adapter can test VIDs (*VMQVlanFiltering).
    mac_only_accepted : bool
        Whether a filter without any VLAN condition is accepted (NDIS 6.30 on).
    """
    if is_group(filter_.mac):
        raise BadInput(f"{filter_}: a group address cannot have a VM queue; use the default queue")
    if filter_.vlan is not None:
        if filter_.untagged_or_zero:
            raise BadInput(f"{filter_}: the untagged-or-zero flag excludes a VLAN test; drop one")
        if not vlan_filter:
            raise BadInput(f"{filter_}: this adapter cannot test VIDs (*VMQVlanFiltering = 0)")
        if not 1 <= filter_.vlan <= 4094:
            raise BadInput(f"{filter_}: VID {filter_.vlan} is out of range; use 1 to 4094")
    elif not filter_.untagged_or_zero and not mac_only_accepted:
        raise BadInput(
            f"{filter_}: NDIS 6.20 wants a VLAN test or the untagged-or-zero flag beside the MAC"
        )


def compile_filters(adapter: Adapter) -> npt.NDArray[np.uint64]:
    """Compile an adapter's filters for :mod:`nic.filters_kernel`.

    Parameters
    ----------
    adapter : Adapter
        Only filters of its Running queues count.

    Returns
    -------
    numpy.ndarray
        ``uint64[]``, read-only.
    """
    import numpy as np

    from nic import filters_kernel as k

    running = adapter.running_filters()
    entries = dict(_entries(running))
    bits = max(4, (max(1, len(entries)) * 8 - 1).bit_length())
    table = np.full(k.T_TABLE + (2 << bits), k.NONE, np.uint64)
    shift = 64 - bits
    table[k.T_SHIFT] = shift
    table[k.T_FLAGS] = (
        k.T_MAC_ONLY * any(f.vlan is None and not f.untagged_or_zero for f in running)
        | k.T_DROP_MISMATCH * adapter.nic_drop_vlan_mismatch
        | k.T_PROMISCUOUS * adapter.promiscuous
    )
    table[k.T_LONGEST] = adapter.jumbo_packet
    table[k.T_OWN_MAC] = k.NONE if adapter.mac is None else adapter.mac
    for key, value in entries.items():
        slot = (key * k.HASH_FACTOR & k.NONE) >> shift
        while table[k.T_TABLE + 2 * slot] != k.NONE:
            slot = (slot + 1) % (1 << bits)
        table[k.T_TABLE + 2 * slot] = key
        table[k.T_TABLE + 2 * slot + 1] = value
    table.flags.writeable = False
    return table


def _entries(running: Iterable[Filter]) -> Iterable[tuple[int, int]]:
    from nic import filters_kernel as k

    seen: set[int] = set()
    for place, filter_ in enumerate(running):
        if filter_.vlan is not None:
            key = filter_.vlan << 48 | filter_.mac
        else:
            key = filter_.mac if filter_.untagged_or_zero else k.MAC_ONLY | filter_.mac
        if key not in seen:  # the first filter in order wins
            seen.add(key)
            yield key, place << 16 | filter_.queue
        yield k.KNOWN_MAC | filter_.mac, 1
