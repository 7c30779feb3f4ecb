"""What the adapter's offloads make of the copies of a replay, between the decision and the files.

The switch decides frames; this changes none of its verdicts and counters. It says what is
handed over in place of some copies:

* *RSC*: segments that a VM queue takes are joined; the VM gets the unit where the last
  one stood. What one interrupt hands up is counted over all frames of the adapter.
* *LSO*: a TCP packet longer than its sender's MTU leaves by the uplink cut to size.
* *checksum*: what leaves by the uplink has right checksums.

Guarantees: the same on any number of threads; memory is bounded (parts of about 1 MB).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nic.lso import Lso
from nic.offloads import Offload
from nic.rsc import HOLD_NS, Batches, Rsc
from pcaps.batches import join_batches
from pcaps.checksums import insert_checksums
from pcaps.frames import Frames
from vswitch.engine import Compiled, Decided
from vswitch.ports import Dialect, PortKind
from vswitch.replay_kernel import VMQ
from vswitch.words_kernel import FLOODED, KIND_SHIFT, PLACED, UNICAST

BATCH_FRAMES = 4096
"""Most frames of the whole adapter that are handed up together: 64 queues of 64 (ours)."""

NOTHING = -1


@dataclass(frozen=True, eq=False)
class Substitutes:
    """What is handed over in place of the copies of a part's n frames.

    Parameters
    ----------
    frames : Frames
        The part's frames, and behind them the substitutes.
    target : numpy.ndarray
        ``int64[n]``: port that a unicast frame goes to, NOTHING for others.
    to_vm : numpy.ndarray
        ``int64[n]``: index of what that port gets, NOTHING when it gets none.
    uplink : int
        Number of the uplink, NOTHING without one.
    first, count : numpy.ndarray
        ``int64[n]``: which substitutes leave by the uplink, and how many; 0 = the frame itself.
    """

    frames: Frames
    target: npt.NDArray[np.int64]
    to_vm: npt.NDArray[np.int64]
    uplink: int
    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]

    def apply(
        self, frame: npt.NDArray[np.uint32], port: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        """Put substitutes in place of copies.

        Parameters
        ----------
        frame : numpy.ndarray
            ``uint32[m]``: frame of each copy.
        port : numpy.ndarray
            ``int64[m]``: port that it leaves by, NOTHING for a frame as it came in.

        Returns
        -------
        rows : numpy.ndarray
            ``int64[k]``: the copy that each record stands for; some go, some come several times.
        index : numpy.ndarray
            ``uint32[k]``: its frame in :attr:`frames`.
        """
        of = frame.astype(np.int64)
        down = (port == self.target[of]) & (self.to_vm[of] != of)
        up = (port == self.uplink) & (self.count[of] > 0)
        repeats = np.ones(len(of), np.int64)
        repeats[down & (self.to_vm[of] == NOTHING)] = 0
        repeats[up] = self.count[of[up]]
        rows = np.repeat(np.arange(len(of)), repeats)
        within = np.arange(len(rows)) - (np.cumsum(repeats) - repeats)[rows]
        of, down, up = of[rows], down[rows], up[rows]
        index = np.where(up, self.first[of] + within, np.where(down, self.to_vm[of], of))
        return rows, index.astype(np.uint32)


class Offloading:
    """The offloads of one replay.

    Parameters
    ----------
    compiled : Compiled
        The switch, whose ports must stay the same.
    """

    def __init__(self, compiled: Compiled) -> None:
        ports = compiled.network.ports

        def having(offload: Offload) -> npt.NDArray[np.bool_]:
            return np.array([offload in port.offloads for port in ports], np.bool_)

        uplinks = [n for n, port in enumerate(ports) if port.kind is PortKind.UPLINK]
        hyperv = compiled.network.dialect is Dialect.HYPERV
        self.uplink = uplinks[0] if uplinks and hyperv else NOTHING
        self._ports = ports
        self._rsc = having(Offload.RSC) & (compiled.mode == VMQ)
        self._lso, self._sums = having(Offload.LSO), having(Offload.CHECKSUM)
        self._mtu = np.array([port.mtu or 0 for port in ports], np.int64)
        self._joiner = Rsc(batch_frames=BATCH_FRAMES)
        self._cutters = {mtu: Lso(mtu=mtu) for mtu in set(self._mtu[self._lso & (self._mtu >= 68)].tolist())}  # fmt: skip
        self._batches = Batches(BATCH_FRAMES, HOLD_NS)
        self._words = np.zeros(0, np.uint64)
        self._in_ports = np.zeros(0, np.uint16)
        self._number = 1
        self._summed = 0
        self._handed: Counter[int] = Counter()

    def needed(self, single_port: int | None) -> bool:
        """Tell whether anything can be different from what the switch decided.

        Parameters
        ----------
        single_port : int or None
            Port that all frames come in by, None where there are several.

        Returns
        -------
        bool
            True when a VM queue's segments are joined, or a VM may send by the uplink.
        """
        if self.uplink == NOTHING:
            return False
        from_vms = single_port != self.uplink
        return bool(self._rsc.any()) or (from_vms and bool((self._lso | self._sums).any()))

    def push(self, decided: Decided) -> Iterator[tuple[Decided, Substitutes]]:
        """Take a decided batch.

        Parameters
        ----------
        decided : Decided
            With its columns.

        Yields
        ------
        tuple of Decided and Substitutes
            Parts, in order; the last frames may come with the next batch.
        """
        assert decided.frames is not None
        assert decided.in_ports is not None
        if not len(self._words):
            self._number = decided.number
        self._words = np.concatenate([self._words, decided.words])
        self._in_ports = np.concatenate([self._in_ports, decided.in_ports])
        for part in self._batches.push(decided.frames):
            yield self._part(decided, part)

    def flush(self, decided: Decided | None) -> Iterator[tuple[Decided, Substitutes]]:
        """Hand out what is left at the end of a capture.

        Parameters
        ----------
        decided : Decided or None
            The last batch that was pushed.

        Yields
        ------
        tuple of Decided and Substitutes
            At most one.
        """
        for part in self._batches.flush():
            assert decided is not None
            yield self._part(decided, part)

    def _part(self, decided: Decided, frames: Frames) -> tuple[Decided, Substitutes]:
        n = len(frames)
        words, self._words = self._words[:n], self._words[n:]
        in_ports, self._in_ports = self._in_ports[:n], self._in_ports[n:]
        part = replace(
            decided, words=words, number=self._number, frames=frames, in_ports=in_ports, loads=None
        )
        self._number += n
        return part, self._substitutes(frames, words, in_ports)

    def _substitutes(
        self, frames: Frames, words: npt.NDArray[np.uint64], in_ports: npt.NDArray[np.uint16]
    ) -> Substitutes:
        n = len(frames)
        kind = words >> np.uint64(KIND_SHIFT) & np.uint64(3)
        unicast = kind == UNICAST
        low = (words & np.uint64(0xFFFF)).astype(np.int64)
        target = np.where(unicast, low, NOTHING)
        to_vm, first, count = np.arange(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
        batches, size = [frames], n

        placed = unicast & ((words & np.uint64(PLACED)) != 0)
        wanted = placed & self._rsc[np.where(placed, low, 0)]
        if wanted.any():
            units = self._join(frames, wanted, low, to_vm, size)
            batches.append(units)
            size += len(units)
        leaves = (target == self.uplink) | (kind == FLOODED)
        if self._cutters:
            for cut in self._cut(
                frames, leaves & self._lso[in_ports], in_ports, first, count, size
            ):
                batches.append(cut)
                size += len(cut)
        summed = leaves & self._sums[in_ports] & (count == 0)
        if summed.any():
            batches.append(self._sum(frames, summed, first, count, size))
        joined = join_batches(batches) if len(batches) > 1 else frames
        return Substitutes(joined, target, to_vm, self.uplink, first, count)

    def _join(
        self, frames: Frames, wanted: npt.NDArray[np.bool_], low: npt.NDArray[np.int64],
        to_vm: npt.NDArray[np.int64], size: int,
    ) -> Frames:  # fmt: skip
        """Join segments; note which units the VMs get, and return these."""
        done = self._joiner.coalesce(frames, wanted)
        several = np.flatnonzero(done.first != done.last)
        member = np.isin(done.unit_of, done.first[several])
        to_vm[member] = NOTHING
        to_vm[done.last[several]] = size + np.arange(len(several))
        got = low[wanted & (to_vm != NOTHING)]
        self._handed.update(dict(zip(*(c.tolist() for c in np.unique(got, return_counts=True)), strict=True)))  # fmt: skip
        return done.frames[several]

    def _cut(
        self, frames: Frames, chosen: npt.NDArray[np.bool_], in_ports: npt.NDArray[np.uint16],
        first: npt.NDArray[np.int64], count: npt.NDArray[np.int64], size: int,
    ) -> Iterator[Frames]:  # fmt: skip
        """Cut packets that are longer than their sender's MTU; yield the segments."""
        for mtu, cutter in self._cutters.items():
            rows = np.flatnonzero(chosen & (self._mtu[in_ports] == mtu))
            rows = rows[frames.wirelen[rows] > mtu + 14]
            rows = rows[cutter.plan(frames[rows]).pieces > 1] if len(rows) else rows
            if not len(rows):
                continue
            done = cutter.segment(frames[rows])
            count[rows] = np.bincount(done.origin, minlength=len(rows))
            first[rows] = size + np.cumsum(count[rows]) - count[rows]
            size += len(done.frames)
            yield done.frames

    def _sum(
        self, frames: Frames, chosen: npt.NDArray[np.bool_], first: npt.NDArray[np.int64],
        count: npt.NDArray[np.int64], size: int,
    ) -> Frames:  # fmt: skip
        """Make the checksums of frames that leave; return them."""
        rows = np.flatnonzero(chosen)
        made, changed = insert_checksums(frames[rows])
        self._summed += changed
        first[rows], count[rows] = size + np.arange(len(rows)), 1
        return made

    def summary(self) -> dict[str, Any]:
        """Return what was done, for JSON.

        Returns
        -------
        dict
            A key an offload that is on.
        """
        found: dict[str, Any] = {}
        if self._rsc.any():
            found["rsc"] = {
                "joined": self._joiner.merged,
                "units": self._joiner.units,
                "ended": {why.label: n for why, n in sorted(self._joiner.ended.items())},
                "handed_up": {
                    self._ports[port].name: n for port, n in sorted(self._handed.items())
                },
            }
        if self._lso.any():
            cutters = self._cutters.values()
            found["lso"] = {
                "cut": sum(one.cut for one in cutters),
                "segments": sum(one.pieces for one in cutters),
            }
        if self._sums.any():
            found["checksum"] = {"changed": self._summed}
        return found
