"""The throughput benchmark: what each kind of host moves, by frame size, VMs and processors.

For each cell of the matrix the event loop of the modelled host is run at several
rates. The *sustained rate* is the highest at which no frame is lost and nothing piles
up, as RFC 2544 defines throughput; a TCP sender settles near it. One more run at line
rate tells what a sender that does not slow down would lose, one at 90 % of the
sustained rate the latency.

Guarantees
----------
* Modelled figures are the same on every machine; what the emulator took here stands
  apart, under `measured`.
* Each cell is the real adapter, switch and event loop; nothing is interpolated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch import arrivals_kernel as arrivals
from vswitch.arrivals import Arrivals, Pace
from vswitch.bench_load import Load, decided_load, host_of, mix_of, native_load, segments
from vswitch.costs import CostTable
from vswitch.host_profiles import HOSTS, HostProfile, host_profile
from vswitch.modelled import Modelled
from vswitch.timed import Clockwork
from vswitch.ways import GUEST, PARENT

SCHEMA = "vswitch.bench/1"

MODES = {
    "r1": "r1 software",
    "r2": "r2 software",
    "r2-vmq": "r2 VMQ",
    "r2-vmq-jumbo": "r2 VMQ + jumbo",
    "r2-chimney": "r2 chimney",
    "2012": "2012 dynamic VMQ",
    "native": "host's own TCP/IP, RSS",
}
"""Mode -> what people call it. A mode is a named host; `native` has no VMs and is asked for by name."""

MATRIX_MODES = tuple(mode for mode in MODES if mode != "native")
FRAMES = ("64", "imix", "1514", "9014")
VMS = (1, 4, 16, 64)
PROCESSORS = (1, 2, 4, 8, 16, 24, 32, 64)
QUICK_VMS = (1, 4, 64)
QUICK_PROCESSORS = (1, 2, 4, 8, 16, 64)

SECONDS, QUICK_SECONDS = 0.05, 0.02
"""Modelled time of a run."""
STEPS = 8
"""Halvings of the search: the sustained rate is known to 0.4 % of line rate."""
DRAIN_SHARE = 0.02
"""Time after the last arrival, of the whole, that is no piling up; one millisecond at least."""
LATENCY_LOAD = 0.9

NATIVE_ENDS = 16
"""Addresses that frames of mode `native` go to, with four connections each, for RSS to spread."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix.

    Parameters
    ----------
    mode, frame : str
        Kind of host; frame size by name.
    vms, lps : int
        VMs and logical processors.
    """

    mode: str
    frame: str
    vms: int
    lps: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cells, and for how long.

    Parameters
    ----------
    modes, frames : tuple of str
    vms, lps : tuple of int
    seconds : float
        Modelled time of a run.
    """

    modes: tuple[str, ...] = MATRIX_MODES
    frames: tuple[str, ...] = FRAMES
    vms: tuple[int, ...] = VMS
    lps: tuple[int, ...] = PROCESSORS
    seconds: float = SECONDS

    @classmethod
    def parse(cls, only: Iterable[str], *, quick: bool = False) -> Selection:
        """Read the options ``--only`` and ``--quick``.

        Parameters
        ----------
        only : iterable of str
            Such as ``mode=r2,r2-vmq`` or ``lps=1-8``; one for each dimension at most.
        quick : bool
            A smaller matrix and shorter runs.

        Returns
        -------
        Selection
            Checked.

        Raises
        ------
        BadInput
            When a dimension or a value does not exist.
        """
        made = cls(vms=QUICK_VMS, lps=QUICK_PROCESSORS, seconds=QUICK_SECONDS) if quick else cls()
        seen: set[str] = set()
        for one in only:
            name, equals, values = one.partition("=")
            if not equals or name not in _DIMENSIONS or not values:
                raise BadInput(
                    f"'{one}' selects nothing; write mode=r2,r2-vmq, frame=1514, vms=4 or lps=1-8"
                )
            if name in seen:
                raise BadInput(f"--only {name}= was given twice; join the values with commas")
            seen.add(name)
            key, read = _DIMENSIONS[name]
            change: dict[str, Any] = {key: read(values)}
            made = replace(made, **change)
        return made

    def cells(self) -> Iterator[Cell]:
        """Yield the cells, those left out that a release cannot have."""
        for mode in self.modes:
            release = _profile(mode).release
            for frame in self.frames:
                for vms in self.vms if mode != "native" else (1,):
                    for lps in self.lps:
                        if lps <= (24 if release == "r1" else 64):
                            yield Cell(mode, frame, vms, lps)


def _modes(values: str) -> tuple[str, ...]:
    names = values.split(",")
    for name in names:
        if name not in MODES and not name.endswith(".toml"):
            raise BadInput(f"there is no mode '{name}'; use {', '.join(MODES)}, or a host's file")
    return tuple(names)


def _frames(values: str) -> tuple[str, ...]:
    for name in values.split(","):
        mix_of(name)
    return tuple(values.split(","))


def _numbers(what: str, most: int) -> Callable[[str], tuple[int, ...]]:
    def read(values: str) -> tuple[int, ...]:
        found: list[int] = []
        for part in values.split(","):
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise BadInput(f"{what}={values}: '{part}' is no number; write 4, 1,2,4 or 1-8")
            low, high = int(first), int(last if dash else first)
            if not 1 <= low <= high <= most:
                raise BadInput(f"{what}={part}: use 1 to {most}")
            found.extend(range(low, high + 1))
        return tuple(dict.fromkeys(found))

    return read


_DIMENSIONS: dict[str, tuple[str, Callable[[str], tuple[Any, ...]]]] = {
    "mode": ("modes", _modes),
    "frame": ("frames", _frames),
    "vms": ("vms", _numbers("vms", 1024)),
    "lps": ("lps", _numbers("lps", 64)),
}


def _profile(mode: str) -> HostProfile:
    if mode == "native":
        return replace(HOSTS["r2"], name="native", title=MODES["native"], rss=True, jumbo=True)
    return host_profile(mode)


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a modelled host at one rate.

    Parameters
    ----------
    modelled : Modelled
        What it did.
    pace : float
        Frames per second that came.
    frames : int
        How many.
    cpu_s : float
        Processor time that the event loop took here.
    """

    modelled: Modelled
    pace: float
    frames: int
    cpu_s: float

    @property
    def steady(self) -> bool:
        """Whether nothing was lost and nothing piled up."""
        drain = self.modelled.elapsed_ps - self.modelled.arrived_ps
        allowed = max(1e9, DRAIN_SHARE * self.modelled.arrived_ps)
        return self.modelled.lost == 0 and drain <= allowed


class Bench:
    """Runs cells; frames and decisions are made once for all cells that share them.

    Parameters
    ----------
    seconds : float
        Modelled time of a run.
    costs : CostTable, optional
        Instead of those of each mode, for what-if questions.
    """

    def __init__(self, seconds: float = SECONDS, costs: CostTable | None = None) -> None:
        self.seconds, self._costs = seconds, costs
        self._pools: dict[tuple[str, int], Frames] = {}
        self._loads: dict[tuple[str, str, int, int], Load] = {}

    def row(self, cell: Cell) -> dict[str, Any]:
        """Run a cell.

        Parameters
        ----------
        cell : Cell
            Which.

        Returns
        -------
        dict
            mode, frame, vms, lps, modelled, measured; JSON types only.
        """
        profile = _profile(cell.mode).with_processors(cell.lps)
        if self._costs is not None:
            profile = replace(profile, costs=self._costs)
        load = self._load(cell, profile)
        head = {"mode": cell.mode, "frame": cell.frame, "vms": cell.vms, "lps": cell.lps}
        if not load.deliverable:
            return {**head, "modelled": _nothing(load, profile), "measured": _measured(load, [])}
        make = self._clockworks(cell, profile)
        line = self._run(make, load, None)
        best, runs = self._search(make, load, line)
        calm = self._run(make, load, LATENCY_LOAD * best.pace)
        return {
            **head,
            "modelled": _modelled(best, line, calm, cell),
            "measured": _measured(load, [line, *runs, calm]),
        }

    def _load(self, cell: Cell, profile: HostProfile) -> Load:
        pool_key = (cell.frame, NATIVE_ENDS if profile.rss else cell.vms)
        if pool_key not in self._pools:
            self._pools[pool_key] = segments(mix_of(cell.frame), pool_key[1])
        frames = self._pools[pool_key]
        # only RSS spreads differently with other processors; decisions stay the same
        spread = cell.lps if profile.rss else 0
        key = (cell.mode, cell.frame, cell.vms, spread)
        if key not in self._loads:
            self._loads[key] = (
                native_load(profile, frames)
                if profile.rss
                else decided_load(host_of(profile, cell.vms), frames)
            )
        return self._loads[key]

    def _clockworks(self, cell: Cell, profile: HostProfile) -> Callable[[], Clockwork]:
        if profile.rss:
            queues = list(range(min(cell.lps, 16)))
            return lambda: Clockwork(profile, queues, [0])
        host = host_of(profile, cell.vms)
        return lambda: Clockwork(
            profile, host.queue_processors, host.guest_processors, unmoderated=host.send_queue
        )

    def _run(self, make: Callable[[], Clockwork], load: Load, pps: float | None) -> Run:
        """Run at a rate, or at line rate."""
        clockwork = make()
        profile = clockwork.profile
        members = profile.team.members if profile.team else 1
        link = profile.link_bps * members
        line = link / (8 * (load.mean_bytes + arrivals.WIRE_EXTRA))
        n = max(64, int(self.seconds * min(line, pps or line)))
        columns = load.rows(n)
        pace = Pace(arrivals.BY_FRAMES, pps if pps is not None else 2 * line)
        clock = Arrivals(pace, link)
        came = clock.of(np.zeros(n, np.int64), columns.wires, np.ones(n, np.uint8))
        began = time.thread_time()
        clockwork.serve(came, columns)
        clockwork.finish()
        taken = time.thread_time() - began
        modelled = Modelled(clockwork, clock.duration_ps)
        return Run(modelled, n / (clock.duration_ps / 1e12), n, taken)

    def _search(
        self, make: Callable[[], Clockwork], load: Load, line: Run
    ) -> tuple[Run, list[Run]]:
        """Find the highest rate that is steady."""
        if line.steady:
            return line, []
        low, high = 0.0, line.pace
        best: Run | None = None
        runs = []
        for _ in range(STEPS):
            run = self._run(make, load, (low + high) / 2)
            runs.append(run)
            if run.steady:
                best, low = run, (low + high) / 2
            else:
                high = (low + high) / 2
        if best is None:  # slower than 1/256 of line rate: what gets through then
            best = run
        return best, runs


def _nothing(load: Load, profile: HostProfile) -> dict[str, Any]:
    reason = load.drops.most_common(1)[0][0]
    return {
        "gbps": 0.0, "frames_per_s": 0.0, "parent_use": 0.0, "vm_use": 0.0,
        "why": f"all frames are dropped: {reason}; guests and adapter take {profile.mtu + 14} bytes",
        "drops": {"loss": 1.0, "gbps": 0.0, "reason": reason},
    }  # fmt: skip


def _modelled(best: Run, line: Run, calm: Run, cell: Cell) -> dict[str, Any]:
    modelled = best.modelled
    parent, guest = modelled.busy(PARENT), modelled.busy(GUEST)
    both = parent + guest
    seats = modelled.clockwork.state.seats
    carried = max(1, modelled.came)
    return {
        "gbps": round(modelled.goodput_bps / 1e9, 4),
        "frames_per_s": round(best.frames / modelled.seconds, 1),
        "line_rate_share": round(best.pace / line.pace, 4),
        "parent_use": round(float(parent.sum()), 4),
        "parent_busiest": round(float(parent.max()), 4),
        "guest_use": round(float(guest.sum()), 4),
        "vm_use": round(float(guest.sum()) / cell.vms, 4) if cell.mode != "native" else 0.0,
        "busiest_vm": round(float(seats["busy"].max()) / max(1, modelled.elapsed_ps), 4),
        "busiest": round(float(both.max()), 4),
        "processors": np.round(np.stack([parent, guest], axis=1), 3).tolist(),
        "stopped_by": _stopped_by(best, line),
        "latency_us": calm.modelled.latencies.to_dict(),
        "latency_load": LATENCY_LOAD,
        "drops": {
            "loss": round(line.modelled.lost / max(1, line.modelled.came), 4),
            "gbps": round(line.modelled.goodput_bps / 1e9, 4),
            "reason": "ring-full" if line.modelled.lost else "",
        },
        "cycles_per_frame": {
            where: round(sum(one.cycles for one in modelled.spent if one.where == where) / carried)
            for where in (PARENT, GUEST)
        },
        "cycles": [one.to_dict() for one in modelled.spent],
        "frames": best.frames,
    }


def _stopped_by(best: Run, line: Run) -> str:
    """Return what keeps a host from more."""
    if best is line:
        return "the wire"
    parent, guest = best.modelled.busy(PARENT), best.modelled.busy(GUEST)
    busiest = int((parent + guest).argmax())
    if parent[busiest] > 2 * guest[busiest]:
        return "a processor of the parent"
    if guest[busiest] > 2 * parent[busiest]:
        return "a guest's processor"
    return "a processor that parent and guests share"


def _measured(load: Load, runs: list[Run]) -> dict[str, Any]:
    """Return what deciding and the event loop took here, in million frames a CPU second."""
    frames, taken = sum(run.frames for run in runs), sum(run.cpu_s for run in runs)
    decide = load.decided_s / len(load.frames)
    serve = taken / frames if frames else 0.0
    whole = decide + serve
    return {
        "mpps": round(1e-6 / whole, 3) if whole else None,
        "decide_mpps": round(1e-6 / decide, 3) if decide else None,
        "in_time_mpps": round(1e-6 / serve, 3) if serve else None,
        "frames": frames,
        "runs": len(runs),
    }


def run(
    selection: Selection,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Run the benchmark.

    Parameters
    ----------
    selection : Selection
        Which cells.
    jobs : int
        Threads; any number gives the same modelled figures.
    progress : callable
        Gets how many cells are done, of how many.

    Returns
    -------
    dict
        The object of ``vswitch bench --json``: schema, hosts, settings, rows.

    Raises
    ------
    BadInput
        When no cell is selected.
    """
    cells = list(selection.cells())
    if not cells:
        raise BadInput(
            "no cell is selected: a host of release r1 has 24 logical processors at most"
        )
    Bench(seconds=0.0).row(cells[0])  # what is compiled or loaded now is not measured below
    cpu, wall = time.process_time(), time.perf_counter()
    bench = Bench(selection.seconds)
    rows = []
    with ThreadPoolExecutor(jobs) as pool:
        groups = _groups(cells)
        for done in pool.map(lambda group: [bench.row(cell) for cell in group], groups):
            rows.extend(done)
            progress(len(rows), len(cells))
    return {
        "schema": SCHEMA,
        "seconds": selection.seconds,
        "modes": {mode: MODES.get(mode, _profile(mode).title) for mode in selection.modes},
        "hosts": {mode: _profile(mode).to_dict() for mode in selection.modes},
        "rows": rows,
        "measured": {
            "cpu_s": round(time.process_time() - cpu, 3),
            "wall_s": round(time.perf_counter() - wall, 3),
            "jobs": jobs,
        },
    }


def _groups(cells: list[Cell]) -> list[list[Cell]]:
    """Cells that share frames and decisions, so that no two threads make them."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.mode, cell.frame, cell.vms), []).append(cell)
    return list(groups.values())
