"""Where a VM should go: targets that may take it, rated, and why the best one is it.

    rating = sum of weight x share that would be free after the move, over the sum of weights

A target is refused for the first reason that holds; what remains is rated. Nothing is drawn:
among equal ratings the host with the lower number wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from migration.cluster.model import RESOURCES
from migration.cluster.move_checks import COLD, static_failures
from migration.cluster.usage import MEMORY, Usage

STARS = 5


@dataclass(frozen=True)
class Choice:
    """A target, and why.

    Parameters
    ----------
    host : int
        Its number; -1 where no host may take the VM.
    rating : float
        0 to 1.
    free : tuple of float
        Shares that are free after the move, by resource.
    second : int
        Number of the runner-up, -1 for none.
    second_rating : float
    refused : dict of str to int
        Reason -> hosts that were refused for it.
    """

    host: int
    rating: float = 0.0
    free: tuple[float, ...] = ()
    second: int = -1
    second_rating: float = 0.0
    refused: dict[str, int] | None = None

    @property
    def stars(self) -> float:
        """The rating in stars, by halves."""
        return round(self.rating * STARS * 2) / 2

    def to_dict(self, names: list[str]) -> dict[str, Any]:
        """Return it as JSON has it, with names of hosts."""
        return {
            "host": names[self.host] if self.host >= 0 else None,
            "rating": round(self.rating, 3),
            "stars": self.stars,
            "free": {
                name: round(share, 3) for name, share in zip(RESOURCES, self.free, strict=False)
            },
            "second": names[self.second] if self.second >= 0 else None,
            "second_rating": round(self.second_rating, 3),
            "refused": dict(self.refused or {}),
        }

    def sentence(self, names: list[str]) -> str:
        """Return why this host."""
        refused = ", ".join(f"{count} for {why}" for why, count in (self.refused or {}).items())
        tail = f"; refused: {refused}" if refused else ""
        if self.host < 0:
            return f"no host may take it{tail}"
        free = ", ".join(
            f"{name} {share:.0%}" for name, share in zip(RESOURCES, self.free, strict=True)
        )
        best = f"{names[self.host]} has most to spare, {self.stars:g} of {STARS} stars (free after it: {free})"
        if self.second >= 0:
            best += f"; next {names[self.second]}, rating {self.second_rating:.2f} against {self.rating:.2f}"
        return best + tail


class Placement:
    """Rates targets.

    Parameters
    ----------
    usage : Usage
    weights : tuple of float
        By resource.
    high : sequence of float
        Thresholds that a target must stay below.
    """

    def __init__(self, usage: Usage, weights: tuple[float, ...], high: list[float]) -> None:
        self._usage = usage
        self._weights = np.array(weights)[:, None]
        self._total = max(float(sum(weights)), 1e-9)
        self._high = np.array(high)[:, None]
        self._cluster = usage.cluster
        self._place = {one.name: n for n, one in enumerate(self._cluster.hosts)}
        self._static: dict[Any, npt.NDArray[np.bool_]] = {}
        self._why: dict[Any, dict[str, int]] = {}
        groups: dict[str, list[int]] = {}
        for n, vm in enumerate(self._cluster.vms):
            if vm.apart:
                groups.setdefault(vm.apart, []).append(n)
        self._apart = {name: np.array(found) for name, found in groups.items()}
        self._vms = list(self._cluster.vms)

    def started(self, vm: int, host: int) -> None:
        """Note that a VM was started anew on a host, whose processor's features it sees now."""
        processor = self._cluster.hosts[host].processor
        self._vms[vm] = replace(self._vms[vm], started_on=processor)

    def _allowed(self, vm: int, cold: bool) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """Which hosts no static check refuses, and how many each one does."""
        one = self._vms[vm]
        source = self._cluster.hosts[int(self._usage.host_of[vm])]
        key = (
            one.at, one.volume, one.owners, one.started_on.name, source.at, *source.subnets.items(),
            cold, source.name if cold else "",
        )  # fmt: skip
        if key not in self._static:
            mask = np.ones(len(self._cluster.hosts), bool)
            why: dict[str, int] = {}
            for n, host in enumerate(self._cluster.hosts):
                failed = static_failures(self._cluster, one, source, host)
                if cold:
                    failed = tuple(name for name in failed if name in COLD)
                if failed:
                    mask[n] = False
                    why[failed[0]] = why.get(failed[0], 0) + 1
            self._static[key], self._why[key] = mask, why
        return self._static[key], self._why[key]

    def choose(
        self,
        vm: int,
        use: npt.NDArray[np.float64],
        *,
        closed: npt.NDArray[np.bool_],
        busy: npt.NDArray[np.bool_],
        pressing: bool,
        cold: bool = False,
    ) -> Choice:
        """Return the best target for a VM.

        Parameters
        ----------
        vm : int
        use : float64[4, n_hosts]
            Shares in use.
        closed : bool[n_hosts]
            Hosts that take no VM now: gone, being emptied, or without a way to its volume.
        busy : bool[n_hosts]
            Hosts that take part in as many moves as they may, or are left alone after one.
        pressing : bool
            The VM has to go: a target may come above its thresholds, as long as it has the memory.
        cold : bool
            It does not run, and is started anew: its own host will do, and it brings no state.

        Returns
        -------
        Choice
        """  # fmt: skip
        found = self._choose(vm, use, closed, busy, pressing=pressing, cold=cold, apart=True)
        refused = found.refused or {}
        if found.host < 0 and pressing and "anti-affinity" in refused and "busy" not in refused:
            # Rule: AntiAffinityClassNames is a preference: a VM that has to go is placed all the same
            return self._choose(vm, use, closed, busy, pressing=True, cold=cold, apart=False)
        return found

    def _choose(
        self,
        vm: int,
        use: npt.NDArray[np.float64],
        closed: npt.NDArray[np.bool_],
        busy: npt.NDArray[np.bool_],
        *,
        pressing: bool,
        cold: bool,
        apart: bool,
    ) -> Choice:
        """Return the best target, apart from its anti-affinity group or not."""  # fmt: skip
        usage = self._usage
        source = int(usage.host_of[vm])
        allowed, why = self._allowed(vm, cold)
        refused = dict(why)
        open_ = allowed.copy()
        if not cold:
            open_[source] = False

        def refuse(mask: npt.NDArray[np.bool_], reason: str) -> None:
            count = int(np.count_nonzero(open_ & mask))
            if count:
                refused[reason] = refused.get(reason, 0) + count
                open_[mask] = False

        refuse(closed, "closed")
        if not pressing:  # most hosts of a crowded cluster are out before anything is added up
            refuse(np.any(use > self._high, axis=0), "threshold")
        refuse(usage.free_bytes < usage.memory[vm], "memory-free")
        group = self._cluster.vms[vm].apart
        if group and apart:
            others = self._apart[group]
            held = usage.host_of[others[(others != vm) & usage.up[others]]]
            mask = np.zeros(len(open_), bool)
            mask[held] = True
            refuse(mask, "anti-affinity")
        refuse(busy, "busy")
        candidates = np.flatnonzero(open_)
        if not candidates.size:
            return Choice(-1, refused=refused)
        adds = usage.of_vm(vm, candidates)
        after = use[:, candidates] + adds
        full = after[MEMORY] > 1.0
        crowded = (after > self._high).any(axis=0) & (not pressing)
        for mask, reason in ((full, "memory-free"), (crowded & ~full, "threshold")):
            count = int(np.count_nonzero(mask))
            if count:
                refused[reason] = refused.get(reason, 0) + count
        keep = ~(full | crowded)
        if not keep.any():
            return Choice(-1, refused=refused)
        candidates, after = candidates[keep], after[:, keep]
        free = np.clip(1.0 - after, 0.0, 1.0)
        rating = (self._weights * free).sum(axis=0) / self._total
        order = np.argsort(-rating, kind="stable")
        best = int(order[0])
        second = int(order[1]) if len(order) > 1 else -1
        return Choice(
            host=int(candidates[best]),
            rating=float(rating[best]),
            free=tuple(float(share) for share in free[:, best]),
            second=int(candidates[second]) if second >= 0 else -1,
            second_rating=float(rating[second]) if second >= 0 else 0.0,
            refused=refused,
        )
