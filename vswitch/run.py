"""Runs a capture through an engine: in batches, straight from the file where that is possible.

Mapped classic captures are decided while they are walked. With several threads
the file is split by bytes: each thread guesses where a record begins in its
part and decides from there; a part counts only if the walk of the part before
it ends exactly at the guess, otherwise it is done again from the right place.
So any number of threads gives the same result, byte for byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pcaps.capture import Capture
from pcaps.classic import RecordRegion
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.index_kernel import find_record
from vswitch.engine import Decided, Engine, Workspace, prefetch_for
from vswitch.ports import Network, PortKind
from vswitch.stats_kernel import S_CAPTURED, S_WIRE

PART_BYTES = 8 << 20
"""Bytes of a mapped capture that one thread takes at a time."""

SOURCE_MAC = "source-mac"

u64 = np.uint64

Take = Callable[[Decided], None]


@dataclass(frozen=True)
class Ingress:
    """By which port frames come in.

    Parameters
    ----------
    port : str
        Name of the port, or ``source-mac``: frames with a vNIC's own address
        come in by that vNIC, all others by the uplink.
    by_interface : dict
        Port name by number of the capture's interface, from 0, where it differs.
    """

    port: str
    by_interface: dict[int, str] = field(default_factory=dict)

    def constant(self, network: Network) -> int | None:
        """Return the port number when it is the same for all frames, else None."""
        if self.port == SOURCE_MAC or self.by_interface:
            return None
        return network.number_of(self.port)

    def ports_of(self, network: Network, frames: Frames) -> npt.NDArray[np.uint16]:
        """Return the port number of each frame.

        Parameters
        ----------
        network : Network
            Whose ports.
        frames : Frames
            The frames.

        Returns
        -------
        numpy.ndarray
            ``uint16[n]``.
        """
        numbers = np.empty(len(frames), np.uint16)
        if self.port == SOURCE_MAC:
            numbers[:] = _ports_by_source(network, frames)
        else:
            numbers[:] = network.number_of(self.port)
        for interface, name in self.by_interface.items():
            numbers[frames.interface == interface] = network.number_of(name)
        return numbers


def _ports_by_source(network: Network, frames: Frames) -> npt.NDArray[np.int64]:
    """Port numbers by source address; the uplink (or the first port) for the others."""
    uplink = network.uplink
    other = network.number_of(uplink.name) if uplink else 0
    owners = {
        port.mac: number
        for number, port in enumerate(network.ports)
        if port.mac is not None and port.kind is not PortKind.UPLINK
    }
    numbers = np.full(len(frames), other, np.int64)
    if not owners or not len(frames):
        return numbers
    keys = np.array(sorted(owners), np.uint64)
    ports = np.array([owners[int(key)] for key in keys], np.int64)
    whole = np.flatnonzero(frames.caplen >= 12)
    bytes_at = frames.start[whole][:, None] + np.arange(6, 12)
    weights = u64(1) << (u64(8) * np.arange(6, dtype=np.uint64))
    sources = (frames.data[bytes_at].astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    places = np.minimum(np.searchsorted(keys, sources), len(keys) - 1)
    mine = keys[places] == sources
    numbers[whole[mine]] = ports[places[mine]]
    return numbers


def run_capture(
    engine: Engine,
    capture: Capture,
    ingress: Ingress,
    take: Take,
    *,
    jobs: int = 1,
    columns: bool = True,
    loads: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Decide all frames of a capture.

    Parameters
    ----------
    engine : Engine
        The switch.
    capture : Capture
        Read from its beginning to its end, or to its damage.
    ingress : Ingress
        By which port frames come in.
    take : callable
        Gets each :class:`vswitch.engine.Decided`, in the order of the frames; its
        arrays are used again when `take` has returned.
    jobs : int
        Threads. A switch that learns runs in one, since order decides there.
    columns : bool
        Whether `take` needs the frame columns.
    loads : bool
        Whether it needs load words (:mod:`vswitch.transport_kernel`), too.
    progress : callable, optional
        Gets the number of bytes of the file that were handled since the last call.

    Raises
    ------
    BadInput
        When `jobs` is below 1, or the capture raises it.
    """
    if jobs < 1:
        raise BadInput(f"{jobs} jobs: use at least 1")
    region = capture.region()
    port = ingress.constant(engine.compiled.network)
    rest: Iterator[Frames]
    if region is not None and port is not None:
        walk = _Walk(engine, region, port, columns, loads, take, progress)
        if jobs > 1 and engine.compiled.stateless:
            walk.in_threads(jobs)
        else:
            walk.in_order()
        rest = capture.continue_at(walk.offset, walk.frames, walk.wire, walk.captured)
    else:
        rest = iter(capture)
    _run_batches(engine, rest, ingress, take, jobs, loads, progress)


class _Walk:
    """A walk over the records of a mapped capture, with its totals."""

    def __init__(
        self,
        engine: Engine,
        region: RecordRegion,
        port: int,
        columns: bool,
        loads: bool,
        take: Take,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._engine, self._region, self._port = engine, region, port
        self._columns, self._loads = columns, loads
        self._take, self._progress = take, progress
        self._spaces: list[Workspace] = []
        self.offset = region.first
        self.frames = self.wire = self.captured = 0

    def _space(self) -> Workspace:
        try:
            return self._spaces.pop()
        except IndexError:
            return Workspace(self._columns, self._loads)

    def _hand_over(self, decided: Decided) -> None:
        number = self.frames + 1
        frames = decided.frames
        if frames is not None:
            frames = replace(frames, first_number=number)
        self._take(replace(decided, number=number, frames=frames))
        self.frames += len(decided.words)
        self.wire += int(decided.stats[S_WIRE])
        self.captured += int(decided.stats[S_CAPTURED])

    def _step(self, offset: int, stop: int, space: Workspace) -> tuple[Decided, int]:
        image = self._engine.compiled.image
        return self._engine.walk(
            self._region, offset, stop, self._port, space,
            columns=self._columns, ahead=prefetch_for(self._region, offset, image),
        )  # fmt: skip

    def in_order(self, stop: int | None = None) -> None:
        """Walk from where the walk stands to `stop`, or to the end."""
        space = self._space()
        stop = self._region.end if stop is None else stop
        while self.offset < stop:
            before = self.offset
            decided, self.offset = self._step(before, stop, space)
            if len(decided.words):
                self._hand_over(decided)
            if self._progress is not None:
                self._progress(self.offset - before)
            if self.offset == before:
                break
        self._spaces.append(space)

    def _part(self, begin: int, stop: int) -> tuple[int, list[tuple[Decided, Workspace]], int]:
        """Decide the records whose headers lie in a part; return (guess, batches, end)."""
        region = self._region
        guess = int(
            find_record(
                region.data, u64(begin), u64(stop), u64(region.end),
                u64(region.header_bytes), region.swapped,
            )
        )  # fmt: skip
        offset, done = guess, []
        while offset < stop:
            space = self._space()
            decided, following = self._step(offset, stop, space)
            done.append((decided, space))
            if following == offset:
                break
            offset = following
        return guess, done, offset

    def in_threads(self, jobs: int) -> None:
        """Walk the whole region with `jobs` threads; the result is that of one."""
        begins = range(self._region.first, self._region.end, PART_BYTES)
        parts = deque((begin, min(begin + PART_BYTES, self._region.end)) for begin in begins)
        running: deque[tuple[int, Future[tuple[int, list[tuple[Decided, Workspace]], int]]]] = (
            deque()
        )
        with ThreadPoolExecutor(jobs) as pool:
            while parts or running:
                while parts and len(running) <= jobs:
                    begin, stop = parts.popleft()
                    running.append((stop, pool.submit(self._part, begin, stop)))
                stop, future = running.popleft()
                guess, done, end = future.result()
                if self.offset >= stop:  # a record larger than a part reached beyond it
                    pass
                elif guess == self.offset:
                    for decided, _ in done:
                        if len(decided.words):
                            self._hand_over(decided)
                    if self._progress is not None:
                        self._progress(end - self.offset)
                    self.offset = end
                else:
                    self.in_order(stop)
                self._spaces.extend(space for _, space in done)
                if self.offset < stop:  # an unsound record: nothing behind it counts
                    parts.clear()
                    running.clear()


def _run_batches(
    engine: Engine,
    batches: Iterator[Frames],
    ingress: Ingress,
    take: Take,
    jobs: int,
    loads: bool,
    progress: Callable[[int], None] | None,
) -> None:
    """Decide batches that a reader hands out, in threads where order does not matter."""

    def decide(frames: Frames) -> Decided:
        in_ports = ingress.ports_of(engine.compiled.network, frames)
        return engine.decide(frames, in_ports, frames.first_number, loads=loads)

    def hand_over(decided: Decided) -> None:
        take(decided)
        if progress is not None and decided.frames is not None:
            progress(int(decided.stats[S_CAPTURED]) + 16 * len(decided.words))

    if jobs == 1 or not engine.compiled.stateless:
        for frames in batches:
            hand_over(decide(frames))
        return
    running: deque[Future[Decided]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        for frames in batches:
            running.append(pool.submit(decide, frames))
            if len(running) > jobs:
                hand_over(running.popleft().result())
        while running:
            hand_over(running.popleft().result())
