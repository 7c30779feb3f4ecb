"""Runs the loops: a compiled switch over batches and over mapped captures.

An :class:`Engine` holds what the loops read (image, filters) and what they
change (learned addresses). :meth:`Engine.rebuild` compiles changed ports and
swaps; a loop that is running goes on with what it started with.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nic.adapter import Adapter
from nic.filters import compile_filters
from pcaps.classic import RecordRegion
from pcaps.frames import PAD, Frames
from vswitch.fdb import Learned
from vswitch.ports import Dialect, Network, PortKind
from vswitch.replay_kernel import (
    LEARNING,
    PREFETCH_LINES,
    PREFETCH_NONE,
    PREFETCH_STRIDE,
    PREFETCH_TABLE,
    SOFTWARE,
    VMQ,
    batch_loop,
    walk_loop,
)
from vswitch.tables import Image, compile_image
from vswitch.tally import Stats, new_stats, stats_words
from vswitch.transport_kernel import loads_of

BATCH_FRAMES = 65536
"""Frames a loop decides before it comes back: 512 KB of decision words."""

SMALL_REGION_BYTES = 1 << 19
"""Captures up to this size stay in the second-level cache."""

SAMPLE = 64
"""Records looked at to choose how to prefetch."""

LARGE_IMAGE_BYTES = 800_000
"""From here on (about 4000 ports) a switch and its counters leave the second-level cache."""

u64 = np.uint64


@dataclass(frozen=True, eq=False)
class Compiled:
    """What the loops read, compiled from one state of the ports.

    Parameters
    ----------
    network : Network
        The ports.
    image, filters : numpy.ndarray
        ``uint64[]``: the switch, the adapter's receive filters.
    mode : int
        SOFTWARE, VMQ or LEARNING.
    queues : dict
        VM queue number by port name.
    """

    network: Network
    image: Image
    filters: Image
    mode: int
    queues: dict[str, int]

    @cached_property
    def stateless(self) -> bool:
        """True when no frame changes what becomes of later ones."""
        if self.mode == LEARNING:
            return False
        return all(port.spoof_guard or port.kind is PortKind.UPLINK for port in self.network.ports)


@dataclass(frozen=True, eq=False)
class Decided:
    """One batch of decided frames.

    Parameters
    ----------
    compiled : Compiled
        What it was decided with; port numbers in `words` are its network's.
    words : numpy.ndarray
        ``uint64[n]``: decision words.
    stats : numpy.ndarray
        ``uint64[]``: counters of this batch alone, numbered from 1.
    number : int
        Number of the batch's first frame in its capture, from 1.
    frames : Frames, optional
        The frames, where columns were asked for.
    in_ports : numpy.ndarray, optional
        ``uint16[n]``: port that each came in by, where columns were asked for.
    loads : numpy.ndarray, optional
        ``uint32[n]``: load words (:mod:`vswitch.transport_kernel`), where they were
        asked for.
    """

    compiled: Compiled
    words: npt.NDArray[np.uint64]
    stats: Stats
    number: int
    frames: Frames | None = None
    in_ports: npt.NDArray[np.uint16] | None = None
    loads: npt.NDArray[np.uint32] | None = None


class Workspace:
    """Columns that a walk writes; allocated once and used again, since fresh pages are slow."""

    def __init__(self, columns: bool, loads: bool = False) -> None:
        self.words = np.zeros(BATCH_FRAMES, np.uint64)
        n = BATCH_FRAMES if columns else 0
        self.start = np.zeros(n, np.int64)
        self.caplen = np.zeros(n, np.uint32)
        self.wirelen = np.zeros(n, np.uint32)
        self.ts_ns = np.zeros(n, np.int64)
        self.interface = np.zeros(n, np.uint16)
        self.loads = np.zeros(BATCH_FRAMES if loads else 0, np.uint32)
        self._stats = np.zeros(0, np.uint64)

    def stats(self, network: Network) -> Stats:
        """Return zeroed counters for a network, in the same place each time."""
        wanted = stats_words(network)
        if len(self._stats) != wanted:
            self._stats = np.zeros(wanted, np.uint64)
        else:
            self._stats.fill(0)
        return self._stats


class Engine:
    """A switch that decides.

    Parameters
    ----------
    network : Network
        Its ports.
    adapter : nic.adapter.Adapter, optional
        The adapter below the uplink with its VM queues; None = software switch.
    """

    def __init__(self, network: Network, adapter: Adapter | None = None) -> None:
        self.adapter = adapter
        self.learned = Learned.for_network(network)
        self.compiled = self._compile(network)

    def _compile(self, network: Network) -> Compiled:
        mode = LEARNING if network.dialect is Dialect.LEARNING else SOFTWARE
        filters = np.zeros(1, np.uint64)
        queues: dict[str, int] = {}
        owners: list[int | None] = []
        if self.adapter is not None and mode == SOFTWARE:
            mode = VMQ
            filters = compile_filters(self.adapter)
            numbers = {port.name: number for number, port in enumerate(network.ports)}
            for queue in range(1, self.adapter.num_queues + 1):
                owner = self.adapter.owner_of(queue)
                owners.append(numbers.get(owner) if owner is not None else None)
                if owner in numbers:
                    queues[owner] = queue
        return Compiled(network, compile_image(network, owners), filters, mode, queues)

    def rebuild(self, network: Network) -> None:
        """Compile changed ports and swap.

        Parameters
        ----------
        network : Network
            The new ports. Learned addresses of ports that are gone are
            forgotten, the others kept.
        """
        compiled = self._compile(network)
        self.learned = self.learned.moved_to(self.compiled.network, network)
        self.compiled = compiled

    def decide(
        self,
        frames: Frames,
        in_ports: npt.NDArray[np.uint16],
        number: int = 1,
        *,
        loads: bool = False,
    ) -> Decided:
        """Decide a batch.

        Parameters
        ----------
        frames : Frames
            The frames.
        in_ports : numpy.ndarray
            ``uint16[n]``: port that each comes in by.
        number : int
            Number of the first frame in its capture, from 1.
        loads : bool
            Whether load words are wanted.

        Returns
        -------
        Decided
            With columns.
        """
        compiled = self.compiled
        frames = frames.with_padding()
        stats = new_stats(compiled.network)
        words = np.zeros(len(frames), np.uint64)
        batch_loop(compiled.mode)(
            frames.data, frames.start, frames.caplen, frames.wirelen, frames.ts_ns, in_ports,
            compiled.image, compiled.filters, self.learned.table, stats, words, u64(1),
        )  # fmt: skip
        load_words = None
        if loads:
            load_words = np.empty(len(frames), np.uint32)
            loads_of(
                frames.data, frames.start, frames.caplen, frames.wirelen, compiled.image, load_words
            )
        return Decided(compiled, words, stats, number, frames, in_ports, load_words)

    def walk(
        self,
        region: RecordRegion,
        offset: int,
        stop: int,
        in_port: int,
        space: Workspace,
        *,
        columns: bool,
        ahead: int = PREFETCH_LINES,
    ) -> tuple[Decided, int]:
        """Decide records of a mapped classic capture, straight from the file.

        Parameters
        ----------
        region : RecordRegion
            The mapped file.
        offset, stop : int
            Where the first record header is; no header at or behind `stop`.
        in_port : int
            Port that all frames come in by.
        space : Workspace
            Where words and columns are written.
        columns : bool
            Whether to fill the frame columns.
        ahead : int
            How to prefetch, see :func:`vswitch.replay_kernel.walk_loop`.

        Returns
        -------
        decided : Decided
            Over views of `space`: valid until the space is used again.
        offset : int
            Offset of the next record header.
        """
        compiled = self.compiled
        stats = space.stats(compiled.network)
        loads = len(space.loads) > 0
        loop = walk_loop(compiled.mode, region.swapped, columns, ahead, loads)
        done, following = loop(
            region.data, u64(offset), u64(stop), u64(region.end), u64(region.header_bytes),
            region.nanosecond, u64(in_port), compiled.image, compiled.filters,
            self.learned.table, stats, space.words, space.start, space.caplen, space.wirelen,
            space.ts_ns, space.loads, u64(1),
        )  # fmt: skip
        n = int(done)
        frames = None
        in_ports = None
        if columns:
            frames = Frames(
                region.data, space.start[:n], space.caplen[:n], space.wirelen[:n],
                space.ts_ns[:n], space.interface[:n],
            )  # fmt: skip
            in_ports = np.full(n, in_port, np.uint16)
        decided = Decided(
            compiled,
            space.words[:n],
            stats,
            1,
            frames,
            in_ports,
            space.loads[:n] if loads else None,
        )
        return decided, int(following)


def prefetch_for(region: RecordRegion, offset: int, image: Image) -> int:
    """Choose how a walk prefetches, from the sizes of the next records and of the switch.

    Parameters
    ----------
    region : RecordRegion
        The mapped file.
    offset : int
        Offset of a record header.
    image : numpy.ndarray
        The compiled switch.

    Returns
    -------
    int
        PREFETCH_STRIDE when nearly all records have one size and are large;
        PREFETCH_TABLE when there are thousands of ports; PREFETCH_LINES when
        records are small and mixed; PREFETCH_NONE when all stays in the caches.
    """
    if region.end - region.first < SMALL_REGION_BYTES:
        return PREFETCH_NONE
    caplen_at = struct.Struct(">8xI" if region.swapped else "<8xI").unpack_from
    data: Any = region.data
    sizes: Counter[int] = Counter()
    for _ in range(SAMPLE):
        if offset + region.header_bytes + PAD > region.end:
            break
        (caplen,) = caplen_at(data, offset)
        sizes[caplen] += 1
        offset += region.header_bytes + caplen
    for size, n in sizes.most_common(1):
        if size >= 256 and n >= 0.9 * sizes.total():
            return PREFETCH_STRIDE
    return PREFETCH_TABLE if image.nbytes > LARGE_IMAGE_BYTES else PREFETCH_LINES
