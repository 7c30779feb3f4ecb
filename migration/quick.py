"""Quick Migration: the VM is saved to shared storage, the storage moves, the VM is restored.

All of it is blackout, and the guest's clock stands still. Every page goes through the storage,
zero pages too.
"""

from __future__ import annotations

import math

from migration.links import Link
from migration.memory import Memory
from migration.move import Move
from migration.policies import Policy
from migration.sender import Sender
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

MS = 1_000_000
STORAGE_BYTES_PER_S = 300e6
STORAGE_MOVE_NS = 2_000 * MS
START_NS = 1_000 * MS
"""Chosen: 4 GiB then take 31.6 s, as the 2008 R2 FAQ tells of "a couple of GB" (windowsitpro)."""
ANNOUNCE = "windows-guest"

_STORAGE = Policy(
    name="quick",
    title="Quick Migration",
    source="Hyper-V 2008 R2 FAQ (windowsitpro); Dell Hyper-V solutions guide p. 15",
    page_bytes=4096,
    zero_bytes=4096,
)


def plan(
    *,
    memory_bytes: int,
    storage_bytes_per_s: float = STORAGE_BYTES_PER_S,
    restore_bytes_per_s: float | None = None,
    storage_move_ns: int = STORAGE_MOVE_NS,
    start_ns: int = START_NS,
    announce: str = ANNOUNCE,
    pages: bool = True,
) -> Move:
    """Plan a Quick Migration.

    Parameters
    ----------
    memory_bytes : int
    storage_bytes_per_s : float
        At which memory is saved.
    restore_bytes_per_s : float, optional
        At which it is read; None for the same.
    storage_move_ns : int
        Until the other host owns the storage.
    start_ns : int
        Until the other host's worker process runs the VM.
    announce : str
        See :mod:`migration.announce`.
    pages : bool
        Copy page by page, with proof.

    Returns
    -------
    Move

    Raises
    ------
    BadInput
        For values that cannot be.
    """
    restore = storage_bytes_per_s if restore_bytes_per_s is None else restore_bytes_per_s
    for rate in (storage_bytes_per_s, restore):
        if not (math.isfinite(rate) and rate > 0):
            raise BadInput(f"storage at {rate:g} bytes/s saves nothing; give a rate above 0")
    if storage_move_ns < 0 or start_ns < 0:
        raise BadInput("times of a quick migration cannot be below 0; give 0 or more")
    whole = memory_bytes // 4096 * 4096
    equal = _copied(memory_bytes, storage_bytes_per_s) if pages else None
    parts = {
        "save": round(whole / storage_bytes_per_s * 1e9),
        "storage move": storage_move_ns,
        "restore": round(whole / restore * 1e9),
        "start": start_ns,
    }
    blackout = sum(parts.values())
    return Move(
        kind="quick",
        policy="quick",
        memory_bytes=memory_bytes,
        passes=(),
        suspend_ns=0,
        resume_ns=blackout,
        disconnect_ns=parts["save"],
        connect_ns=blackout - start_ns,
        end_ns=blackout,
        parts=parts,
        downtime_ns=blackout,
        total_ns=blackout,
        bytes_sent=whole,
        converged=True,
        memory_equal=equal,
        announce=announce,
    )


def _copied(memory_bytes: int, rate: float) -> bool:
    """Save and restore a memory, and compare it."""
    guest, sender = Memory(memory_bytes, WorkingSet()), Sender(_STORAGE, Link.of(rate))
    guest.begin(0.0)
    guest.stop(0.0)
    guest.send_all(sender, False)
    return guest.equal()
