"""What can break during a live move, where, and what then has to happen: kinds, phases, and the table of fates.

    setup ─ pre-copy ─ stop ─ last-copy ─ device-state ─ handover ─ start ─ announce ─ clean-up
                                                            │
                    rolled back: the VM goes on at the      │   rolled forward: the target
                    source after at most a pause            │   is the VM
                                                          commit

The commit is one operation at the shared storage: the disk's persistent reservation goes from the
source to the target. Whoever holds it is the VM. What happens in the phase of the handover itself is
decided by reading it there.

Source: order of steps, Microsoft white paper of January 2009 (storage handle handed over, then
resumed) as told in docs of the move; that the reservation decides is ours (SPC-3 persistent
reservations are what 2008 R2 clusters own disks by).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pcaps.errors import BadInput
from vswitch.problems import unknown


class Phase(StrEnum):
    """Parts of a move, in order."""

    SETUP = "setup"
    PRECOPY = "pre-copy"
    STOP = "stop"
    LAST_COPY = "last-copy"
    STATE = "device-state"
    HANDOVER = "handover"
    START = "start"
    ANNOUNCE = "announce"
    CLEANUP = "clean-up"


PHASES = tuple(Phase)


class Kind(StrEnum):
    """What breaks."""

    LINK_LOSS = "link-loss"
    LINK_SLOWDOWN = "link-slowdown"
    SOURCE_CRASH = "source-crash"
    TARGET_CRASH = "target-crash"
    BOTH_CRASH = "both-crash"
    SOURCE_PATHS = "source-path-loss"
    TARGET_PATHS = "target-path-loss"
    VOLUME_LOSS = "volume-loss"
    OUT_OF_MEMORY = "target-out-of-memory"
    DIRTIES = "dirties-too-fast"
    CANCEL = "cancel"
    ANNOUNCE_LOST = "announce-lost"
    SPLIT_BRAIN = "split-brain"


MEANINGS: dict[Kind, str] = {
    Kind.LINK_LOSS: "the link between the hosts goes down, for a while or for good",
    Kind.LINK_SLOWDOWN: "the link gets slower",
    Kind.SOURCE_CRASH: "the source host crashes",
    Kind.TARGET_CRASH: "the target host crashes",
    Kind.BOTH_CRASH: "both hosts crash",
    Kind.SOURCE_PATHS: "the source loses paths to the disk",
    Kind.TARGET_PATHS: "the target loses paths to the disk",
    Kind.VOLUME_LOSS: "the volume is gone for all, for a while or for good",
    Kind.OUT_OF_MEMORY: "the target has not the memory",
    Kind.DIRTIES: "the guest writes faster than the link sends",
    Kind.CANCEL: "an administrator cancels the move",
    Kind.ANNOUNCE_LOST: "announcements of the new place are lost",
    Kind.SPLIT_BRAIN: "the hosts lose sight of each other, both running",
}
"""Kind -> half a sentence."""


class Fate(StrEnum):
    """What has to happen."""

    NOTHING = "nothing"
    ROLL_BACK = "roll back"
    GO_ON = "go on"
    SLOWER = "slower"
    LATER = "reached later"
    RESTART = "restart"
    REFUSED = "refused"
    WAIT = "wait for the disk"
    READ = "read the reservation"
    VOTE = "vote"


def _row(before: Fate, at: Fate, after: Fate) -> dict[Phase, Fate]:
    fates = dict.fromkeys(PHASES[:5], before)
    fates[Phase.HANDOVER] = at
    fates.update(dict.fromkeys(PHASES[6:], after))
    return fates


FATES: dict[Kind, dict[Phase, Fate]] = {
    Kind.LINK_LOSS: _row(Fate.ROLL_BACK, Fate.READ, Fate.GO_ON),
    Kind.LINK_SLOWDOWN: _row(Fate.SLOWER, Fate.NOTHING, Fate.NOTHING),
    Kind.SOURCE_CRASH: _row(Fate.RESTART, Fate.READ, Fate.GO_ON),
    Kind.TARGET_CRASH: _row(Fate.ROLL_BACK, Fate.READ, Fate.RESTART),
    Kind.BOTH_CRASH: _row(Fate.RESTART, Fate.RESTART, Fate.RESTART),
    Kind.SOURCE_PATHS: _row(Fate.GO_ON, Fate.GO_ON, Fate.NOTHING),
    Kind.TARGET_PATHS: _row(Fate.ROLL_BACK, Fate.READ, Fate.RESTART),
    Kind.VOLUME_LOSS: _row(Fate.WAIT, Fate.WAIT, Fate.WAIT),
    Kind.OUT_OF_MEMORY: _row(Fate.NOTHING, Fate.NOTHING, Fate.NOTHING),
    Kind.DIRTIES: _row(Fate.NOTHING, Fate.NOTHING, Fate.NOTHING),
    Kind.CANCEL: _row(Fate.ROLL_BACK, Fate.READ, Fate.NOTHING),
    Kind.ANNOUNCE_LOST: _row(Fate.LATER, Fate.LATER, Fate.LATER),
    Kind.SPLIT_BRAIN: _row(Fate.VOTE, Fate.VOTE, Fate.VOTE),
}
"""Kind and phase -> fate, where nothing softens it: no other path, no CSV, no link that comes back in time."""
FATES[Kind.OUT_OF_MEMORY][Phase.SETUP] = Fate.REFUSED
FATES[Kind.DIRTIES].update({Phase.SETUP: Fate.SLOWER, Phase.PRECOPY: Fate.SLOWER})
FATES[Kind.LINK_SLOWDOWN][Phase.STATE] = Fate.NOTHING  # small, and its time is a constant
FATES[Kind.ANNOUNCE_LOST].update({Phase.ANNOUNCE: Fate.NOTHING, Phase.CLEANUP: Fate.NOTHING})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is to happen.

    Parameters
    ----------
    kind : Kind
    phase : Phase
        Of the move without it, in which it begins.
    share : float
        Where in the phase, 0 to 1.
    back_ns : int
        After what time it is over; 0 = never.
    strength : float
        What it is about: share of the rate that is left, factor of the dirty rate, announcements lost.
    """

    kind: Kind
    phase: Phase
    share: float = 0.5
    back_ns: int = 0
    strength: float = 0.0


def read_fault(text: str) -> tuple[Kind, Phase]:
    """Read ``KIND@PHASE``.

    Parameters
    ----------
    text : str

    Returns
    -------
    kind, phase : Kind, Phase

    Raises
    ------
    BadInput
        Naming the nearest kind or phase.
    """
    kind, at, phase = text.partition("@")
    if kind not in list(Kind):
        raise BadInput(f"--fault {text}: {unknown('fault', kind, [one.value for one in Kind])}")
    if not at:
        raise BadInput(f"--fault {text}: has no phase; write it as {kind}@pre-copy")
    if phase not in list(Phase):
        raise BadInput(f"--fault {text}: {unknown('phase', phase, [one.value for one in Phase])}")
    return Kind(kind), Phase(phase)
