"""The scenario made from a capture: every (outer VID, unicast destination) becomes a VM.

It drops nothing that can be delivered: sources are not checked, the MTU has no
limit, and 0x8100, 0x88a8 and 0x9100 all count as tags. VID 0 counts as untagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pcaps.addresses import key_to_mac
from pcaps.capture import Capture
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.ports import MAX_PORTS, Network, Port, PortKind, VlanSetting
from vswitch.stations_kernel import (
    A_FRAMES,
    A_LARGEST,
    A_USED,
    SLOT_WORDS,
    stations_of_batch,
    stations_of_records,
)
from vswitch.tables import tpid_words
from vswitch.words_kernel import HASH_FACTOR, NOT_FOUND

TPIDS = (0x8100, 0x88A8, 0x9100)

u64 = np.uint64


@dataclass(frozen=True, slots=True)
class Station:
    """A destination that frames of a capture go to.

    Parameters
    ----------
    vlan : int
        Outer VID, 0 = untagged.
    mac : int
        Address as a key.
    frames, bytes_wire : int
        What it gets; bytes as captured, tag included.
    """

    vlan: int
    mac: int
    frames: int
    bytes_wire: int

    def __str__(self) -> str:
        return f"{key_to_mac(self.mac)} in VLAN {self.vlan}"


class StationTable:
    """Counts stations over captures.

    Parameters
    ----------
    tpids : sequence of int, optional
        Which TPIDs count as tags.
    """

    def __init__(self, tpids: Sequence[int] = TPIDS) -> None:
        first, second, third = (u64(word) for word in tpid_words(tpids))
        self._tpids = (first, second, third)
        self._sums = np.zeros(4, np.uint64)
        self._make(12)

    def _make(self, bits: int) -> None:
        self._shift = u64(64 - bits)
        self._table = np.full(SLOT_WORDS << bits, NOT_FOUND, np.uint64)

    def _enlarge(self) -> None:
        rows = self._rows()
        bits = 64 - int(self._shift) + 1
        self._make(bits)
        slots = self._table.reshape(-1, SLOT_WORDS)
        homes = ((rows[:, 0] * u64(HASH_FACTOR)) >> self._shift).tolist()
        for row, home in zip(rows, homes, strict=True):
            slot = home
            while slots[slot, 0] != NOT_FOUND:
                slot = (slot + 1) % len(slots)
            slots[slot] = row

    def _rows(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
        slots = self._table.reshape(-1, SLOT_WORDS)
        rows: np.ndarray[tuple[int, int], np.dtype[np.uint64]] = slots[slots[:, 0] != NOT_FOUND]
        return rows

    @property
    def _full(self) -> bool:
        return bool(self._sums[A_USED] >= u64(1) << (u64(63) - self._shift))

    def add(self, capture: Capture) -> None:
        """Count the frames of a capture.

        Parameters
        ----------
        capture : Capture
            Read from its beginning to its end; its byte totals are not kept.
        """
        for frames in self._behind_records(capture):
            first = 0
            while first < len(frames):
                first = int(
                    stations_of_batch(
                        frames.data, frames.start, frames.caplen, frames.wirelen, *self._tpids,
                        self._table, self._shift, self._sums, u64(first),
                    )
                )  # fmt: skip
                if self._full:
                    self._enlarge()

    def _behind_records(self, capture: Capture) -> Iterator[Frames]:
        """Count straight from a mapped file where that is possible; return the frames left."""
        region = capture.region()
        if region is None:
            return iter(capture)
        walk = stations_of_records(region.swapped)
        before, offset = int(self._sums[A_FRAMES]), u64(region.first)
        while True:
            offset = u64(
                walk(
                    region.data, offset, u64(region.end), u64(region.header_bytes), *self._tpids,
                    self._table, self._shift, self._sums,
                )
            )  # fmt: skip
            if not self._full:
                break
            self._enlarge()
        return capture.continue_at(int(offset), int(self._sums[A_FRAMES]) - before, 0, 0)

    @property
    def largest(self) -> int:
        """Longest frame seen, in bytes on the wire."""
        return int(self._sums[A_LARGEST])

    def stations(self) -> list[Station]:
        """Return the stations, busiest first; equally busy ones in order of first appearance.

        Returns
        -------
        list of Station
            One a (VLAN, unicast destination).
        """
        rows = self._rows()
        order = np.lexsort((rows[:, 3], -rows[:, 1].astype(np.int64)))
        return [
            Station(key >> 48, key & 0xFFFFFFFFFFFF, frames, size)
            for key, frames, size, _ in rows[order].tolist()
        ]


def stations(captures: Iterable[Capture], tpids: Sequence[int] = TPIDS) -> list[Station]:
    """Return the stations of captures, busiest first.

    Parameters
    ----------
    captures : iterable of Capture
        Read to their ends.
    tpids : sequence of int, optional
        Which TPIDs count as tags.

    Returns
    -------
    list of Station
        One a (VLAN, unicast destination); VID 0 merged with untagged.
    """
    table = StationTable(tpids)
    for capture in captures:
        table.add(capture)
    return table.stations()


def network_of(found: Sequence[Station], tpids: Sequence[int] = TPIDS) -> Network:
    """Return the network in which every station is a VM behind one uplink.

    Parameters
    ----------
    found : sequence of Station
        As from :func:`stations`; the order is that of the VMs.
    tpids : sequence of int, optional
        Which TPIDs count as tags.

    Returns
    -------
    Network
        Ports ``uplink``, ``vm1``, ``vm2``, ...

    Raises
    ------
    BadInput
        When there are more stations than a switch has ports.
    """
    if len(found) >= MAX_PORTS:
        raise BadInput(
            f"the captures have {len(found)} destinations, a switch has at most {MAX_PORTS} ports; "
            "give a scenario that names the VMs"
        )
    uplink = Port(name="uplink", kind=PortKind.UPLINK, mtu=None, check_source=False)
    vms = (
        Port(
            name=f"vm{number}",
            mac=station.mac,
            vlan=VlanSetting(vid=station.vlan),
            mtu=None,
        )
        for number, station in enumerate(found, 1)
    )
    return Network(name="self-made", ports=(uplink, *vms), tpids=tuple(tpids))
