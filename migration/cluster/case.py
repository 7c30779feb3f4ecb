"""A faulted move as it is asked for and as it is told: case, plan, phases, and what became of it.

The times are those of the real pre-copy, page by page; what slows the link or the guest is in its
input.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from migration import precopy, working_set
from migration.cluster.faults import Fault, Kind, Phase
from migration.move import Move
from migration.policies import POLICIES, Policy

MS = 1_000_000
S = 1000 * MS
HANDOVER_NS = 4 * MS
"""Of the disk and the port (chosen); the commit is in its middle."""
LINK_GIVE_UP_NS = 3 * S
"""How long a move waits for a link that is down (chosen)."""
HEARTBEAT_NS, MISSED = S, 5
"""SameSubnetDelay and SameSubnetThreshold of 2008 R2 (itprotoday, 13 July 2009)."""
DETECT_NS = HEARTBEAT_NS * MISSED
ANNOUNCE_NS = S
CLEANUP_NS = 50 * MS
CAM_AGEING_NS = 300 * S
"""IEEE 802.1Q table 8-6."""
STALLED_BYTES_PER_S = 1000.0
"""What stands for a link that is down, for the pre-copy."""


class Ending(StrEnum):
    """How a faulted move ends."""

    COMPLETED = "completed"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    RESTARTED = "restarted"
    WAITING = "waiting for the disk"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Case:
    """A move and what is to break in it.

    Parameters
    ----------
    number : int
    faults : tuple of Fault
    policy : str
    memory_pages, written_pages : int
    dirty_bytes_per_s, link_bytes_per_s : float
    queues, others : tuple of int
        VM queues and other VMs of source and target.
    chimney : int
        Offloaded connections of the VM, where it has no VM queue.
    spare_paths : tuple of bool
        Whether source and target have other paths to the disk.
    csv : bool
        Whether the disk is on a Clustered Shared Volume, which the coordinator, a third node, reaches.
    nodes : int
        Of the cluster.
    quorum : str
    source_side : int
        Nodes on the source's side when the cluster is split.
    witness_side : int
        Side that owns the witness then.
    boot_ns : int
        From a restart until the VM's services answer.
    talks_ns : int
        When the guest next speaks on its own after the move.
    late_ns : int
        How long a host that is shut out hangs before it stops its VMs; 0 = it stops at once.
    announce : str
    """

    number: int
    faults: tuple[Fault, ...]
    policy: str = "hyperv-r2"
    memory_pages: int = 512
    written_pages: int = 64
    dirty_bytes_per_s: float = 4e6
    link_bytes_per_s: float = 20e6
    queues: tuple[int, int] = (8, 8)
    others: tuple[int, int] = (3, 3)
    chimney: int = 0
    spare_paths: tuple[bool, bool] = (False, False)
    csv: bool = False
    nodes: int = 3
    quorum: str = "node-majority"
    source_side: int = 1
    witness_side: int = 0
    boot_ns: int = 60 * S
    talks_ns: int = 5 * S
    late_ns: int = 0
    announce: str = "rarp5"


@dataclass(slots=True)
class Told:
    """What became of a faulted move.

    Parameters
    ----------
    case : Case
    ending : Ending
    reason : str
    holder : int
        Node that has the VM, -1 where it is lost.
    struck : tuple of (Kind, Phase)
        Faults, and the phases in which they hit.
    pause_ns : int
        Time in which the VM stood still or was not reached, restarts not counted.
    restart_ns : int
        From the loss of the VM until its services answer again.
    total_ns : int
    slower : bool
    refused_writes : int
    checks : int
        How often the invariants were held.
    broken : tuple of (int, str)
        When which invariant did not hold.
    events : list of (int, str)
        The story.
    plan : Move
    """

    case: Case
    ending: Ending
    reason: str
    holder: int
    struck: tuple[tuple[Kind, Phase], ...]
    pause_ns: int
    restart_ns: int
    total_ns: int
    slower: bool
    refused_writes: int
    checks: int
    broken: tuple[tuple[int, str], ...]
    events: list[tuple[int, str]] = field(repr=False)
    plan: Move = field(repr=False)


def _policy(name: str, announce: str) -> Policy:
    return replace(POLICIES[name], handover_ns=HANDOVER_NS, announce=announce, setup_ns=500 * MS)


_POLICIES: dict[tuple[str, str], Policy] = {}


def planned(
    case: Case,
    link: tuple[tuple[int, float], ...] | None = None,
    pace: tuple[tuple[int, float], ...] | None = None,
) -> Move:
    """Plan the move of a case, page by page.

    Parameters
    ----------
    case : Case
    link : steps of a link, optional
    pace : tuple of (int, float), optional
        Of the guest's writing.

    Returns
    -------
    Move
    """
    key = (case.policy, case.announce)
    if key not in _POLICIES:
        _POLICIES[key] = _policy(*key)
    written = working_set.sequential(case.written_pages * 4096, case.dirty_bytes_per_s)
    if pace is not None:
        written = replace(written, pace=pace)
    return precopy.plan(
        memory_bytes=case.memory_pages * 4096,
        working_set=written,
        link_bytes_per_s=case.link_bytes_per_s if link is None else link,
        policy=_POLICIES[key],
        give_up_ns=600 * S,
        seed=case.number,
    )


def phases_of(plan: Move) -> dict[Phase, tuple[int, int]]:
    """Return when each phase of a plan begins and ends, in ns.

    Parameters
    ----------
    plan : Move

    Returns
    -------
    dict
    """
    first = plan.passes[0].start_ns if plan.passes else plan.suspend_ns
    parts = plan.parts
    found = {Phase.SETUP: (0, first), Phase.PRECOPY: (first, plan.suspend_ns)}
    at = plan.suspend_ns
    for phase, name in (
        (Phase.STOP, "stop"), (Phase.LAST_COPY, "last copy"), (Phase.STATE, "device state"),
        (Phase.HANDOVER, "port handover"), (Phase.START, "start"),
    ):  # fmt: skip
        found[phase] = (at, at + parts.get(name, 0))
        at += parts.get(name, 0)
    found[Phase.ANNOUNCE] = (at, at + ANNOUNCE_NS)
    found[Phase.CLEANUP] = (at + ANNOUNCE_NS, at + ANNOUNCE_NS + CLEANUP_NS)
    return found


def start_ns(case: Case) -> int:
    """Return how long the vCPUs of a case take to begin."""
    return _POLICIES[case.policy, case.announce].start_ns
