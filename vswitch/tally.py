"""Adds up the kernels' counters over batches, threads and changes of ports.

A batch is counted under the port numbers of the network it was decided with;
the tally keeps ports by name, so that ports may come and go while frames flow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vswitch.ports import Network
from vswitch.stats_kernel import (
    S_CAPTURED,
    S_COPIES,
    S_DROPPED,
    S_FIRST,
    S_FLOODED,
    S_FRAMES,
    S_LOCAL_SOURCE,
    S_MIRRORED,
    S_PORTS,
    S_SUPPRESSED,
    S_WIRE,
    STAT_WORDS,
)
from vswitch.verdict import DropReason

Stats = npt.NDArray[np.uint64]

REASONS = 64


def stats_words(network: Network) -> int:
    """Return how many words the counters of a network's ports take."""
    return S_PORTS + len(network.ports) * STAT_WORDS


def new_stats(network: Network) -> Stats:
    """Return zeroed counters for a network's ports."""
    return np.zeros(stats_words(network), np.uint64)


@dataclass(slots=True)
class Drops:
    """Frames dropped for one reason.

    Parameters
    ----------
    frames : int
        How many.
    first_frame : int
        Number of the first, from 1, in the capture named by `first_capture`.
    first_capture : int
        Index of that capture among those replayed.
    """

    frames: int
    first_frame: int
    first_capture: int = 0


@dataclass(slots=True)
class PortCount:
    """What one port got.

    Parameters
    ----------
    frames, bytes_wire, bytes_captured : int
        Unicast frames delivered to it; bytes as received, tag included.
    flooded_frames, flooded_bytes_wire, flooded_bytes_captured : int
        Copies of flooded frames.
    suppressed : int
        Copies of flooded frames held back from it.
    """

    frames: int = 0
    bytes_wire: int = 0
    bytes_captured: int = 0
    flooded_frames: int = 0
    flooded_bytes_wire: int = 0
    flooded_bytes_captured: int = 0
    suppressed: int = 0

    def add(self, words: list[int]) -> None:
        """Add the counter words of one batch."""
        self.frames += words[0]
        self.bytes_wire += words[1]
        self.bytes_captured += words[2]
        self.flooded_frames += words[3]
        self.flooded_bytes_wire += words[4]
        self.flooded_bytes_captured += words[5]
        self.suppressed += words[6]


@dataclass(slots=True)
class Tally:
    """Counters of a whole run.

    Parameters
    ----------
    frames, flooded, flood_copies, bytes_wire, bytes_captured : int
        Frames in, frames flooded, copies made of them, bytes in.
    local_source, mirrored : int
        Frames from the uplink with a local source; frames the mirror port got.
    drops : dict
        By reason.
    suppressed : dict
        Copies of flooded frames held back, by reason.

    Notes
    -----
    Counters of ports are added up by number while the network stays the same,
    and sorted by name when it changes or when someone asks: with 60 000 ports
    that is 0.1 s a batch saved.
    """

    frames: int = 0
    flooded: int = 0
    flood_copies: int = 0
    bytes_wire: int = 0
    bytes_captured: int = 0
    local_source: int = 0
    mirrored: int = 0
    drops: dict[DropReason, Drops] = field(default_factory=dict)
    suppressed: dict[DropReason, int] = field(default_factory=dict)
    _ports: dict[str, PortCount] = field(default_factory=dict, init=False, repr=False)
    _network: Network | None = field(default=None, init=False, repr=False)
    _by_number: Stats = field(
        default_factory=lambda: np.zeros(0, np.uint64), init=False, repr=False
    )

    def add(self, network: Network, stats: Stats, frames_before: int = 0, capture: int = 0) -> None:
        """Add the counters of one batch.

        Parameters
        ----------
        network : Network
            The network that the batch was decided with.
        stats : numpy.ndarray
            ``uint64[]``, see :mod:`vswitch.stats_kernel`.
        frames_before : int
            Frames of the capture before this batch, when it was counted from 1.
        capture : int
            Index of the capture.
        """
        self.frames += int(stats[S_FRAMES])
        self.flooded += int(stats[S_FLOODED])
        self.flood_copies += int(stats[S_COPIES])
        self.bytes_wire += int(stats[S_WIRE])
        self.bytes_captured += int(stats[S_CAPTURED])
        self.local_source += int(stats[S_LOCAL_SOURCE])
        self.mirrored += int(stats[S_MIRRORED])
        for code in np.flatnonzero(stats[S_DROPPED : S_DROPPED + REASONS]).tolist():
            first = int(stats[S_FIRST + code]) + frames_before
            drops = self.drops.setdefault(DropReason(code), Drops(0, first, capture))
            drops.frames += int(stats[S_DROPPED + code])
        for code in np.flatnonzero(stats[S_SUPPRESSED : S_SUPPRESSED + REASONS]).tolist():
            reason = DropReason(code)
            held = int(stats[S_SUPPRESSED + code])
            self.suppressed[reason] = self.suppressed.get(reason, 0) + held
        if network is not self._network:
            self._sort_by_name()
            self._network, self._by_number = network, np.zeros(len(stats) - S_PORTS, np.uint64)
        self._by_number += stats[S_PORTS:]

    def _sort_by_name(self) -> None:
        if self._network is None:
            return
        counters = self._by_number.reshape(-1, STAT_WORDS)
        for number in np.flatnonzero(counters.any(axis=1)).tolist():
            name = self._network.ports[number].name
            self._ports.setdefault(name, PortCount()).add(counters[number].tolist())
        self._network = None

    @property
    def ports(self) -> dict[str, PortCount]:
        """What each port got, by name; ports that got nothing may be missing."""
        self._sort_by_name()
        return self._ports

    @property
    def dropped(self) -> int:
        """Frames dropped, for whatever reason."""
        return sum(drops.frames for drops in self.drops.values())

    @property
    def unicast(self) -> int:
        """Frames delivered to exactly one port."""
        return sum(port.frames for port in self.ports.values())

    @property
    def copies(self) -> int:
        """Copies delivered: one a unicast frame, and those of flooded frames."""
        return self.unicast + self.flood_copies

    def check(self) -> None:
        """Raise AssertionError unless everything adds up (the second law)."""
        flooded = sum(port.flooded_frames for port in self.ports.values())
        assert self.frames == self.unicast + self.flooded + self.dropped, "frames in != out"
        assert self.flood_copies == flooded, "flooded copies by port do not add up"
