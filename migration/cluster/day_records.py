"""What a run of a cluster leaves behind: moves, events, samples, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from migration.cluster.model import RESOURCES, Cluster
from migration.cluster.placement import Choice
from migration.move import Move

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS


def clock(ns: int) -> str:
    """Return a time since midnight as people read it: ``09:30``, ``1d 09:30:05``."""
    seconds = round(ns / 1e9)
    days, seconds = divmod(seconds, 86400)
    text = f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
    if seconds % 60:
        text += f":{seconds % 60:02d}"
    return f"{days}d {text}" if days else text


@dataclass
class MoveRecord:
    """One move of a run.

    Parameters
    ----------
    number : int
        From 1, in order of their beginning.
    vm, source, target : int
        Numbers in the cluster.
    cause : str
        ``processors``, ``memory``, ``network``, ``queues``, ``maintenance`` or ``patch``.
    reason : str
        Why this VM had to go, one sentence.
    choice : Choice
        Why that host.
    start_ns : int
    waited_ns : int
        From when it was asked for until it began.
    load : float
        Share of the VM's processors in use at its beginning.
    plan : Move
    outcome : str
        ``running`` (also where the run ends before it does), ``completed``, or why it was not.
    """

    number: int
    vm: int
    source: int
    target: int
    cause: str
    reason: str
    choice: Choice
    start_ns: int
    waited_ns: int
    load: float
    plan: Move
    outcome: str = "running"

    @property
    def end_ns(self) -> int:
        """When it is over, if nothing happens to it."""
        return self.start_ns + self.plan.end_ns


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Parameters
    ----------
    at_ns : int
    kind : str
        ``short``, ``declined``, ``maintenance``, ``fault``, ``restart``, ``storage`` or ``quorum``.
    host : int
        Number of the host that it is about, -1 for none.
    text : str
    """

    at_ns: int
    kind: str
    host: int
    text: str


@dataclass
class Totals:
    """What a run adds up to.

    Parameters
    ----------
    overload_min : list of float
        Minutes in which hosts had more to do than they can, by resource.
    above_high_min : list of float
        Minutes in which hosts were above the mover's threshold, by resource.
    vm_overload_min : float
        The same of the VMs on hosts whose processors were overloaded.
    vm_down_s : float
        Seconds in which VMs did not run because of something that broke.
    """

    overload_min: list[float] = field(default_factory=lambda: [0.0] * len(RESOURCES))
    above_high_min: list[float] = field(default_factory=lambda: [0.0] * len(RESOURCES))
    vm_overload_min: float = 0.0
    vm_down_s: float = 0.0


@dataclass
class Day:
    """A run of a cluster.

    Parameters
    ----------
    cluster : Cluster
    hours : float
    seed : int
    mover : bool
        Whether VMs were moved when hosts were short.
    moves : list of MoveRecord
    events : list of Event
    totals : Totals
    sample_ns : list of int
        Times of the samples.
    samples : list of float32[4, n_hosts]
        Shares in use.
    counts : list of int32[n_hosts]
        VMs on each host.
    declined : dict of str to int
        Why a host that was short was left alone, by cause, once an episode.
    checks : int
        How often the invariants were held.
    broken : dict of str to int
        Invariant -> how often it did not hold; see :mod:`migration.cluster.day_invariants`.
    """

    cluster: Cluster
    hours: float
    seed: int
    mover: bool
    moves: list[MoveRecord] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    sample_ns: list[int] = field(default_factory=list)
    samples: list[npt.NDArray[np.float32]] = field(default_factory=list)
    counts: list[npt.NDArray[np.int32]] = field(default_factory=list)
    declined: dict[str, int] = field(default_factory=dict)
    checks: int = 0
    broken: dict[str, int] = field(default_factory=dict)

    @property
    def completed(self) -> list[MoveRecord]:
        """Moves that ended at their target."""
        return [one for one in self.moves if one.outcome == "completed"]

    def dirty_log_s(self, record: MoveRecord) -> float:
        """Return the processor time that the dirty log of a move costs its source, in seconds."""
        return self.cluster.hosts[record.source].translation.tracking(record.plan)

    @property
    def longest(self) -> MoveRecord | None:
        """The move with the longest blackout."""
        return max(self.completed, key=lambda one: one.plan.blackout_ns, default=None)

    def summary(self) -> dict[str, Any]:
        """Return what it adds up to.

        Returns
        -------
        dict
            Times in seconds or minutes, as the keys say.
        """
        done = self.completed
        totals = self.totals
        return {
            "mover": self.mover,
            "moves": len(self.moves),
            "completed": len(done),
            "not_over": sum(one.outcome == "running" for one in self.moves),
            "by_cause": _counted(one.cause for one in self.moves),
            "declined": dict(self.declined),
            "overload_min": _named(totals.overload_min),
            "above_high_min": _named(totals.above_high_min),
            "vm_overload_min": round(totals.vm_overload_min, 1),
            "vm_down_s": round(totals.vm_down_s, 1),
            "bytes_sent": sum(one.plan.bytes_sent for one in done),
            "moving_s": round(sum(one.plan.end_ns for one in done) / 1e9, 1),
            "dirty_log_cpu_s": round(sum(self.dirty_log_s(one) for one in done), 3),
            "blackout_s": round(sum(one.plan.blackout_ns for one in done) / 1e9, 3),
            "longest_blackout_s": round(
                max((one.plan.blackout_ns for one in done), default=0) / 1e9, 3
            ),
            "waited_s": round(sum(one.waited_ns for one in self.moves) / 1e9, 1),
            "invariants": {"checks": self.checks, "violations": dict(self.broken)},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON has it: summary, moves, events."""
        names = [one.name for one in self.cluster.hosts]
        return {
            "hours": self.hours,
            "seed": self.seed,
            "summary": self.summary(),
            "moves": [
                {
                    "number": one.number,
                    "vm": self.cluster.vms[one.vm].name,
                    "source": names[one.source],
                    "target": names[one.target],
                    "cause": one.cause,
                    "reason": one.reason,
                    "why_there": one.choice.sentence(names),
                    "choice": one.choice.to_dict(names),
                    "start_s": one.start_ns / 1e9,
                    "waited_s": one.waited_ns / 1e9,
                    "load": round(one.load, 3),
                    "outcome": one.outcome,
                    "dirty_log_cpu_s": round(self.dirty_log_s(one), 4),
                    "move": one.plan.to_dict(),
                }
                for one in self.moves
            ],
            "events": [
                {
                    "at_s": one.at_ns / 1e9,
                    "kind": one.kind,
                    "host": names[one.host] if one.host >= 0 else None,
                    "text": one.text,
                }
                for one in self.events
            ],
        }


def _named(values: Sequence[float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in zip(RESOURCES, values, strict=True)}


def _counted(causes: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for cause in causes:
        found[cause] = found.get(cause, 0) + 1
    return found
