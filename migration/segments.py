"""The TCP segments of captures, as rows ordered by flow.

Guarantees
----------
* Memory grows by the segments (96 bytes each), not by the bytes of the capture.
* Segments of one flow stand together, in the order of the captures; times are
  never used for ordering.
* IP fragments are joined first; segments made of them are marked.

Only TCP directly above IPv4 or IPv6 counts: what is inside PPPoE, MPLS, a
tunnel, or an ICMP error is not a session of a station on this wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from migration.payloads import Payloads, is_mapped
from migration.segments_kernel import (
    FLOW,
    N_FLOWS,
    N_FRAGMENTS,
    N_MALFORMED,
    N_ROWS,
    SEGMENT,
    add_segments,
    enter_flows,
    pack_payloads,
)
from pcaps.fragments import Fragments
from pcaps.frames import Frames

if TYPE_CHECKING:
    from pcaps.capture import Capture


_TUNNELS = {0x8864: "PPPoE", 0x8847: "MPLS", 0x88E7: "MAC-in-MAC"}
_KINDS = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0: "LLC", **_TUNNELS}


@dataclass(frozen=True, eq=False)
class Segments:
    """TCP segments of captures.

    Parameters
    ----------
    rows : numpy.ndarray
        ``SEGMENT[n]``, flow by flow, in order of the captures within each.
    flows : numpy.ndarray
        ``FLOW[n_flows]``, in order of their first frames.
    payloads : Payloads or None
        Where the payload bytes are; None when they were not asked for.
    frames : int
        Ethernet frames read.
    malformed : int
        TCP frames without a usable TCP header: cut, or with an impossible length.
    unjoined : int
        IP fragments of TCP that never became whole.
    ethertypes : dict
        Frames by EtherType (a length below 0x600 counts as 0), for telling why
        there is no TCP.
    by_vlan : bool
        Whether the VLAN is part of a flow's key.
    """

    rows: npt.NDArray[np.void]
    flows: npt.NDArray[np.void]
    payloads: Payloads | None
    frames: int
    malformed: int
    unjoined: int
    ethertypes: dict[int, int]
    by_vlan: bool

    def why_no_tcp(self) -> str:
        """Return the sentence that says what the captures hold instead of TCP.

        Returns
        -------
        str
            One sentence, without a full stop.
        """
        advice = "give a capture of TCP connections"
        if not self.frames:
            return f"the captures hold no frame, so no TCP session; {advice}"
        if self.malformed or self.unjoined:
            return (
                f"none of the {self.malformed + self.unjoined} TCP frames has a whole TCP header "
                f"(cut, malformed, or single IP fragments); {advice}"
            )
        kinds = sorted(self.ethertypes.items(), key=lambda kind: -kind[1])
        shown = ", ".join(
            f"{count} {_KINDS.get(kind, f'EtherType {kind:#06x}')}" for kind, count in kinds[:3]
        )
        tunnels = " (not looked into)" if any(kind in _TUNNELS for kind, _ in kinds[:3]) else ""
        return f"no TCP in {self.frames} frames: {shown}{tunnels}; {advice}"


class _Reader:
    """Appends the segments of batch after batch."""

    def __init__(self, by_vlan: bool, payloads: Payloads | None) -> None:
        self.by_vlan, self.payloads = by_vlan, payloads
        self.counts = np.zeros(4, np.int64)
        self.flows = np.zeros(1 << 10, FLOW)
        self.table = np.zeros(1 << 12, np.int32)
        self.parts: list[npt.NDArray[np.void]] = []
        self.frames = 0
        self.ethertypes: dict[int, int] = {}

    def add(self, frames: Frames, numbers: npt.NDArray[np.int64], *, joined: bool) -> None:
        frames = frames.with_padding()
        headers = frames.headers
        if not joined:
            self._count_ethertypes(headers.ethertype)
        if not np.any(headers.protocol == 6):
            return
        self._make_room(len(frames))
        rows = np.zeros(len(frames), SEGMENT)
        self.counts[N_ROWS] = 0
        keep = self.payloads is not None and (is_mapped(frames.data))
        base = self.payloads.place_of(frames.data) if self.payloads is not None and keep else 0
        add_segments(
            frames.data, frames.start, frames.caplen, frames.ts_ns, headers.columns, numbers, base,
            self.by_vlan, joined, rows, self.flows, self.table, self.counts,
        )  # fmt: skip
        n = int(self.counts[N_ROWS])
        if self.payloads is not None and not keep:
            packed = np.empty(int(rows["captured"][:n].sum(dtype=np.int64)), np.uint8)
            pack_payloads(frames.data, rows, 0, n, packed, self.payloads.next_place)
            self.payloads.append(packed)
        self.parts.append(rows if n == len(rows) else rows[:n].copy())

    def _make_room(self, n: int) -> None:
        needed = int(self.counts[N_FLOWS]) + n + 1
        if needed > len(self.flows):
            grown = np.zeros(max(needed, 2 * len(self.flows)), FLOW)
            grown[: len(self.flows)] = self.flows
            self.flows = grown
        if 2 * needed > self.table.size:
            self.table = np.zeros(1 << (4 * needed).bit_length(), np.int32)
            enter_flows(self.flows, int(self.counts[N_FLOWS]), self.table)

    def _count_ethertypes(self, ethertypes: npt.NDArray[np.int64]) -> None:
        found, counts = np.unique(ethertypes, return_counts=True)
        for ethertype, count in zip(found.tolist(), counts.tolist(), strict=True):
            key = ethertype if ethertype >= 0x600 else 0
            self.ethertypes[key] = self.ethertypes.get(key, 0) + count

    def ordered(self) -> npt.NDArray[np.void]:
        """Return all rows, flow by flow; the parts are given up on the way."""
        if not self.parts:
            return np.zeros(0, SEGMENT)
        order = np.argsort(np.concatenate([part["flow"] for part in self.parts]), kind="stable")
        target = np.empty_like(order)
        target[order] = np.arange(len(order))
        rows = np.empty(len(order), SEGMENT)
        first = 0
        self.parts.reverse()
        while self.parts:
            part = self.parts.pop()
            rows[target[first : first + len(part)]] = part
            first += len(part)
        return rows


def read_segments(
    captures: Iterable[Capture | Frames], *, by_vlan: bool = True, payloads: bool = True
) -> Segments:
    """Read the TCP segments of captures, in order as if they were one.

    Parameters
    ----------
    captures : iterable of Capture or Frames
        Read to their ends.
    by_vlan : bool
        Whether equal 5-tuples in different VLANs are different flows. VID 0 is the
        same as no tag; two tags count.
    payloads : bool
        Whether the payload bytes are kept.

    Returns
    -------
    Segments
        No row when there is no TCP.
    """
    store = Payloads() if payloads else None
    reader, fragments = _Reader(by_vlan, store), Fragments()
    try:
        for frames in _batches(captures):
            for part, offsets, joined in fragments.join(frames):
                reader.add(part, reader.frames + 1 + offsets, joined=joined)
            reader.frames += len(frames)
    finally:
        if store is not None:
            store.finish()
    counts = reader.counts
    return Segments(
        rows=reader.ordered(),
        flows=reader.flows[: int(counts[N_FLOWS])].copy(),
        payloads=store,
        frames=reader.frames,
        malformed=int(counts[N_MALFORMED]),
        unjoined=int(counts[N_FRAGMENTS]) - fragments.joined,
        ethertypes=reader.ethertypes,
        by_vlan=by_vlan,
    )


def _batches(captures: Iterable[Capture | Frames]) -> Iterator[Frames]:
    for capture in captures:
        if isinstance(capture, Frames):
            yield capture
        else:
            yield from capture
