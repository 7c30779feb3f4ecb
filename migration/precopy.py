"""Live migration by pre-copy: memory is sent while the VM runs, the rest while it stands still.

:func:`plan` runs a policy over a guest's memory and gives the timeline; nothing of it depends on
network traffic but the link's rate. :func:`predict` is the estimate that needs no simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from migration import bursts, convergence, predictor, rounds
from migration.blackout import CONVERGED, finish
from migration.copied import Copied, Tell
from migration.counts import Counts
from migration.guest import Guest
from migration.links import Link
from migration.memory import Memory, ZerosAt, pages_of
from migration.move import Move
from migration.policies import POLICIES, Policy, RateRule
from migration.policies import policy as policy_named
from migration.predictor import Prediction
from migration.sender import Sender
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

GIVE_UP_NS = 3_600_000_000_000
"""An hour, as Gudkov's predictor gives up (qemu-devel, 27 April 2023)."""
FASTER = 100.0
"""How many times faster a link is looked for that would make a move converge."""


def plan(
    *,
    memory_bytes: int,
    working_set: WorkingSet | None = None,
    zero_pages: int = 0,
    zeros_at: ZerosAt = "end",
    link_bytes_per_s: float | Sequence[tuple[int, float]] | Link,
    taken_bytes_per_s: float | Sequence[tuple[int, float]] = 0.0,
    policy: str | Policy = "qemu",
    cap_bytes_per_s: float | None = None,
    downtime_limit_ns: int | None = None,
    pass_cap: int | None = None,
    auto_converge: bool = False,
    rate_rule: RateRule | None = None,
    known_rate_bytes_per_s: float = 0.0,
    give_up_ns: int = GIVE_UP_NS,
    pages: bool = True,
    seed: int = 0,
    tell: Tell | None = None,
) -> Move:
    """Plan a live migration.

    Parameters
    ----------
    memory_bytes : int
        Of the VM; whole pages of 4 KiB count.
    working_set : WorkingSet, optional
        What the guest writes, see :mod:`migration.working_set`; None for an idle guest.
    zero_pages : int
        Pages that hold zeros, of which QEMU sends 9 bytes.
    zeros_at : {"end", "spread", "start"}
        Where they lie; matters when the first pass is the last.
    link_bytes_per_s : float, sequence of (int, float), or Link
        Payload that the link carries: a rate, or rates with the time in ns from which they hold.
        :func:`migration.links.payload_rate` makes it from a line rate.
    taken_bytes_per_s : float or sequence of (int, float)
        What VM traffic takes of it: a rate, or rates with the time in ns from which they hold.
    policy : str or Policy
        See :data:`migration.policies.POLICIES`.
    cap_bytes_per_s : float, optional
        Bound on pre-copy that does not bind the stop-and-copy; None takes the policy's own,
        infinity lifts it.
    downtime_limit_ns : int, optional
        Of policy ``qemu``; None takes 300 ms.
    pass_cap : int, optional
        Another number of rounds for the policies that count them.
    auto_converge : bool
        Of policy ``qemu``: throttle a guest that dirties too fast.
    rate_rule : {"source", "paper"}, optional
        Adaptive rate of policy ``xen-3.0``.
    known_rate_bytes_per_s : float
        QEMU's ``avail-switchover-bandwidth``: taken for the threshold instead of what is measured.
    give_up_ns : int
        A move that has not ended by then is cancelled.
    pages : bool
        True: page by page, with proof. False: counts only, for quick estimates.
    seed : int
        Of the random write patterns.
    tell : callable, optional
        Told of the progress after every pass.

    Returns
    -------
    Move

    Raises
    ------
    BadInput
        For values that cannot be.
    """
    chosen = settle(policy, pass_cap, rate_rule)
    refuse_what_it_ignores(chosen, downtime_limit_ns, auto_converge, known_rate_bytes_per_s)
    run = _Run(
        memory_bytes=memory_bytes,
        working_set=working_set or WorkingSet(),
        zero_pages=zero_pages,
        zeros_at=zeros_at,
        link=Link.of(link_bytes_per_s, taken_bytes_per_s),
        policy=chosen,
        cap=cap_of(chosen, cap_bytes_per_s),
        limit_ns=limit_of(chosen, downtime_limit_ns),
        auto_converge=auto_converge,
        known_rate=known_rate_bytes_per_s,
        give_up_ns=give_up_ns,
    )
    guest: Guest = (
        Memory(memory_bytes, run.working_set, zero_pages, zeros_at, seed) if pages else run.counts()
    )
    copied = run.copy(guest, tell)
    move = finish(copied, chosen, memory_bytes)
    if move.converged:
        return move
    left = move.passes[-1].pages_sent if move.completed else guest.pending
    return replace(move, why=convergence.sentence(copied.ending, left, run.cures()))


@dataclass(frozen=True)
class _Run:
    """A pre-copy with everything settled but the guest's memory."""

    memory_bytes: int
    working_set: WorkingSet
    zero_pages: int
    zeros_at: ZerosAt
    link: Link
    policy: Policy
    cap: float
    limit_ns: int
    auto_converge: bool
    known_rate: float
    give_up_ns: int

    def counts(self) -> Counts:
        """Return the guest as counts."""
        return Counts(self.memory_bytes, self.working_set, self.zero_pages, self.zeros_at)

    def copy(self, guest: Guest, tell: Tell | None = None) -> Copied:
        """Run the policy until it ends pre-copy."""
        sender = Sender(self.policy, self.link, self.cap, self.limit_ns, self.known_rate)
        copied = Copied(guest, sender, tell)
        if self.policy.looks == "bursts":
            bursts.run_bursts(
                copied,
                auto_converge=self.auto_converge,
                give_up_ns=self.give_up_ns,
                steady_from_ns=max(self.link.steps[-1][0], self.working_set.pace[-1][0]),
            )
        else:
            rounds.run_rounds(copied, self.policy)
        return copied

    def cures(self) -> list[str]:
        """Return what would make it converge, each by itself."""

        def converges(**changes: Any) -> bool:
            changed = replace(self, **changes)
            return changed.copy(changed.counts()).ending in CONVERGED

        def slower(factor: float) -> bool:
            return converges(working_set=self.working_set.scaled(factor))

        def longer(limit_ns: float) -> bool:
            return converges(limit_ns=int(limit_ns))

        def faster(factor: float) -> bool:
            return converges(link=self.link.times(factor), cap=self.cap * factor)

        found = []
        share = convergence.bound(slower, 0.0, 1.0)
        if share:
            rate = share * self.working_set.bytes_per_s
            found.append(f"a dirty rate of {convergence.mb_per_s(rate)} or less")
        if self.policy.looks == "bursts":
            whole_s = self.memory_bytes / min(self.cap, self.link.steps[-1][1])
            limit = convergence.bound(longer, max(whole_s * 2e9, self.limit_ns * 2), self.limit_ns)
            if limit is not None:
                found.append(f"a downtime limit of {convergence.up(limit / 1e9)} s")
        factor = convergence.bound(faster, FASTER, 1.0)
        if factor is not None:
            rate = factor * self.link.steps[-1][1]
            cap = "" if math.isinf(self.cap) else " (and the cap raised alike)"
            found.append(f"a link of {convergence.up(rate / 1e6)} MB/s{cap}")
        return found


def predict(
    *,
    memory_bytes: int,
    working_set: WorkingSet | None = None,
    zero_pages: int = 0,
    link_bytes_per_s: float | Sequence[tuple[int, float]] | Link,
    taken_bytes_per_s: float | Sequence[tuple[int, float]] = 0.0,
    policy: str | Policy = "qemu",
    cap_bytes_per_s: float | None = None,
    downtime_limit_ns: int | None = None,
) -> Prediction:
    """Predict a live migration without simulating it, see :mod:`migration.predictor`.

    Parameters
    ----------
    memory_bytes, working_set, zero_pages, link_bytes_per_s, taken_bytes_per_s, policy,
    cap_bytes_per_s, downtime_limit_ns
        As for :func:`plan`. The predictor knows one rate, that at the beginning, and one way to
        end: a last pass within the downtime limit; a policy without one gets 300 ms.

    Returns
    -------
    Prediction
    """
    chosen = settle(policy, None, None)
    written = working_set or WorkingSet()
    pages = pages_of(memory_bytes, written, zero_pages)
    link = Link.of(link_bytes_per_s, taken_bytes_per_s)
    limit = downtime_limit_ns if downtime_limit_ns is not None else chosen.downtime_limit_ns
    return predictor.predict(
        memory_bytes=memory_bytes,
        curve=predictor.DirtyCurve.of(written, pages - zero_pages),
        zero_pages=zero_pages,
        bytes_per_s=min(link.at(0), cap_of(chosen, cap_bytes_per_s)),
        downtime_limit_ns=limit or POLICIES["qemu"].downtime_limit_ns,
    )


def settle(name: str | Policy, pass_cap: int | None, rate_rule: RateRule | None) -> Policy:
    """Return a policy with the user's changes."""
    chosen = name if isinstance(name, Policy) else policy_named(name)
    if pass_cap is not None:
        if chosen.looks == "bursts":
            raise BadInput(f"policy {chosen.name} counts no passes; leave out the pass cap")
        if pass_cap < 1:
            raise BadInput(f"a pass cap of {pass_cap} copies nothing; give at least 1")
        chosen = replace(chosen, max_rounds=pass_cap)
    if rate_rule is not None:
        if chosen.name != "xen-3.0":
            raise BadInput(f"policy {chosen.name} has no adaptive rate; take xen-3.0")
        chosen = replace(chosen, rate_rule=rate_rule)
    return chosen


def refuse_what_it_ignores(
    chosen: Policy, downtime_limit_ns: int | None, auto_converge: bool, known_rate: float
) -> None:
    """Raise BadInput for settings that the policy has no use for."""
    if chosen.looks == "bursts":
        if downtime_limit_ns is not None and downtime_limit_ns < 0:
            raise BadInput("a downtime limit below 0 cannot be met; give 0 or more")
        return
    for given, what in (
        (downtime_limit_ns is not None, "downtime limit"),
        (auto_converge, "auto-converge"),
        (known_rate > 0, "known bandwidth"),
    ):
        if given:
            raise BadInput(f"policy {chosen.name} knows no {what}; take qemu, or leave it out")


def cap_of(chosen: Policy, cap: float | None) -> float:
    """Return the cap on pre-copy: the user's, else the policy's, else infinity."""
    if cap is None:
        cap = chosen.cap_bytes_per_s or math.inf
    if not cap > 0:
        raise BadInput(f"a cap of {cap:g} bytes/s sends nothing; give a cap above 0, or none")
    return cap


def limit_of(chosen: Policy, downtime_limit_ns: int | None) -> int:
    """Return the downtime limit: the user's, else the policy's."""
    return chosen.downtime_limit_ns if downtime_limit_ns is None else downtime_limit_ns
