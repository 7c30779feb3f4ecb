"""Post-copy: the VM is moved first, its memory follows.

Pre-copy runs until it is told to switch (or ends by itself). Then the VM stops for as long as its
device state takes, and runs on the target at once; every page that was written since it was sent
is missing there. Missing pages are pushed over the whole link; a guest that touches one waits for
it. These waits are the brownout.

What is modelled: one vCPU, and the pages that the working set writes. What is not: pages that a
guest only reads, and the preempt channel of later QEMU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from migration import bursts
from migration import postcopy_kernel as k
from migration.blackout import CANCELLED, cancelled, finish
from migration.convergence import sentence
from migration.copied import Copied, Ending, Tell
from migration.links import Link
from migration.memory import Memory, ZerosAt
from migration.move import Move
from migration.policies import Policy
from migration.precopy import GIVE_UP_NS, cap_of, limit_of, settle
from migration.sender import Sender
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

MERGE_NS = 1_000_000
"""Stalls nearer to each other than 1 ms are shown as one: the guest hardly ran between them."""


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
    auto_converge: bool = False,
    start_at_ns: int | None = None,
    latency_ns: int = 100_000,
    give_up_ns: int = GIVE_UP_NS,
    seed: int = 0,
    tell: Tell | None = None,
) -> Move:
    """Plan a migration that switches to post-copy.

    Parameters
    ----------
    memory_bytes, working_set, zero_pages, zeros_at, link_bytes_per_s, taken_bytes_per_s
        As for :func:`migration.precopy.plan`.
    policy : str or Policy
        One that looks in bursts: ``qemu``.
    cap_bytes_per_s, downtime_limit_ns, auto_converge
        Of the pre-copy before it.
    start_at_ns : int, optional
        Switch at the first look after this time; None: when all memory was sent once.
    latency_ns : int
        One way, of a request and of a page.
    give_up_ns, seed, tell
        As for :func:`migration.precopy.plan`.

    Returns
    -------
    Move
        `brownout` has the guest's waits; a pre-copy that ended before the switch has none.

    Raises
    ------
    BadInput
        For values that cannot be.
    """
    chosen = settle(policy, None, None)
    if chosen.looks != "bursts":
        raise BadInput(f"policy {chosen.name} has no post-copy; take qemu")
    if latency_ns < 0 or (start_at_ns is not None and start_at_ns < 0):
        raise BadInput("times of a post-copy cannot be below 0; give 0 or more")
    written = working_set or WorkingSet()
    guest = Memory(memory_bytes, written, zero_pages, zeros_at, seed)
    link = Link.of(link_bytes_per_s, taken_bytes_per_s)
    limit_ns = limit_of(chosen, downtime_limit_ns)
    sender = Sender(chosen, link, cap_of(chosen, cap_bytes_per_s), limit_ns)
    copied = Copied(guest, sender, tell)
    bursts.run_bursts(
        copied,
        auto_converge=auto_converge,
        give_up_ns=give_up_ns,
        steady_from_ns=max(link.steps[-1][0], written.pace[-1][0]),
        postcopy_at_ns=start_at_ns,
        postcopy_after_pass=start_at_ns is None,
    )
    if copied.ending in CANCELLED:
        move = cancelled(copied, chosen, memory_bytes)
        why = sentence(copied.ending, guest.pending, ["an earlier switch to post-copy"])
        return replace(move, kind="postcopy", why=why)
    if copied.ending is not Ending.POSTCOPY:
        return replace(finish(copied, chosen, memory_bytes), kind="postcopy")
    return _switch(copied, guest, chosen, memory_bytes, latency_ns)


def _switch(
    copied: Copied, guest: Memory, policy: Policy, memory_bytes: int, latency_ns: int
) -> Move:
    """Move the VM, then send what is missing."""
    sender = copied.sender
    suspend = round(sender.now_ns)
    guest.stop(sender.now_ns)
    copied.sync()
    # Rule: QEMU postcopy_start: max-postcopy-bandwidth bounds from here on; unlimited by default
    sender.pace(math.inf)
    drained = max(round(sender.wire_free_ns), suspend + policy.stop_ns)
    parts = {
        "stop": policy.stop_ns,
        "last copy": drained - suspend - policy.stop_ns,
        "device state": policy.device_ns,
        "port handover": policy.handover_ns,
        "start": policy.start_ns,
    }
    resume = suspend + sum(parts.values())
    # Rule: QEMU postcopy_start: the source pushes as soon as the package is sent
    sender.now_ns = drained + policy.device_ns
    target = target_of(guest, int(sender.record.socket_bytes), latency_ns)
    guest.resume_at(resume)
    end = k.push_missing(guest.columns, sender.rows, sender.link_start, sender.link_rate, target)
    end_ns = max(round(end), resume)
    copied.close(0, end_ns)
    state = target.state[0]
    return Move(
        kind="postcopy",
        policy=policy.name,
        memory_bytes=memory_bytes,
        passes=tuple(copied.passes),
        suspend_ns=suspend,
        resume_ns=resume,
        disconnect_ns=resume - policy.start_ns - policy.handover_ns,
        connect_ns=resume - policy.start_ns,
        end_ns=end_ns,
        parts=parts,
        downtime_ns=policy.stop_ns + policy.device_ns,
        total_ns=end_ns,
        bytes_sent=round(float(sender.record.sent_bytes)),
        converged=True,
        brownout=tuple(
            (round(start), round(stop)) for start, stop in target.brownout[: state.intervals]
        ),
        memory_equal=int(k.unequal_after(guest.columns, target)) == 0,
        syncs=copied.syncs,
        announce=policy.announce,
        page_requests=int(state.requests),
    )


def target_of(guest: Memory, socket_bytes: int, latency_ns: int) -> k.Target:
    """Return the target's side of a guest whose missing pages are to send.

    Parameters
    ----------
    guest : Memory
    socket_bytes, latency_ns : int
        Bound what is under way at a time.
    """
    columns = guest.columns
    state = np.zeros(1, k.TARGET).view(np.recarray)
    state[0].latency_ns, state[0].waits_for, state[0].asked_ns = latency_ns, -1, math.inf
    state[0].gap_ns = MERGE_NS
    return k.Target(
        state=state,
        absent=columns.flagged.copy(),
        written=np.zeros(guest.pages, np.uint32),
        arrive_page=np.zeros(guest.pending + 1, np.int64),
        arrive_ns=np.zeros(guest.pending + 1, np.float64),
        brownout=np.zeros((guest.pending + 1, 2), np.float64),
    )
