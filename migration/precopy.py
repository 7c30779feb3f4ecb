"""Live migration by pre-copy: memory is sent while the VM runs, the rest while it stands still.

:func:`plan` runs a policy over a guest's memory and gives the timeline; nothing of it depends on
network traffic but the link's rate. :func:`predict` is the estimate that needs no simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from migration import bursts, rounds
from migration.blackout import finish
from migration.copied import Copied, Ending, Tell
from migration.counts import Counts
from migration.guest import Guest
from migration.links import Link
from migration.memory import Memory, ZerosAt
from migration.move import Move
from migration.policies import Policy, RateRule, policy
from migration.sender import Sender
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

GIVE_UP_NS = 3_600_000_000_000
"""An hour, as Gudkov's predictor gives up (qemu-devel, 27 April 2023)."""


def plan(
    *,
    memory_bytes: int,
    working_set: WorkingSet | None = None,
    zero_pages: int = 0,
    zeros_at: ZerosAt = "end",
    link_bytes_per_s: float | Sequence[tuple[int, float]] | Link,
    taken_bytes_per_s: float = 0.0,
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
    taken_bytes_per_s : float
        What VM traffic takes of it.
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
    written = working_set or WorkingSet()
    guest: Guest = (
        Memory(memory_bytes, written, zero_pages, zeros_at, seed)
        if pages
        else Counts(memory_bytes, written, zero_pages, zeros_at)
    )
    link = Link.of(link_bytes_per_s, taken_bytes_per_s)
    sender = make_sender(chosen, link, cap_bytes_per_s, downtime_limit_ns, known_rate_bytes_per_s)
    copied = Copied(guest, sender, tell)
    if chosen.looks == "bursts":
        bursts.run_bursts(
            copied,
            auto_converge=auto_converge,
            give_up_ns=give_up_ns,
            steady_from_ns=max(link.steps[-1][0], written.pace[-1][0]),
        )
    else:
        rounds.run_rounds(copied, chosen)
    return finish(copied, chosen, memory_bytes)


def settle(name: str | Policy, pass_cap: int | None, rate_rule: RateRule | None) -> Policy:
    """Return a policy with the user's changes."""
    chosen = name if isinstance(name, Policy) else policy(name)
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


def make_sender(
    chosen: Policy, link: Link, cap: float | None, downtime_limit_ns: int | None,
    known_rate: float,
) -> Sender:  # fmt: skip
    """Return the sender of a policy."""
    if cap is None:
        cap = chosen.cap_bytes_per_s or math.inf
    if not cap > 0:
        raise BadInput(f"a cap of {cap:g} bytes/s sends nothing; give a cap above 0, or none")
    limit = chosen.downtime_limit_ns if downtime_limit_ns is None else downtime_limit_ns
    return Sender(chosen, link, cap, limit, known_rate)


__all__ = ["GIVE_UP_NS", "Ending", "Literal", "plan"]
