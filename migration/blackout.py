"""The blackout of a move, part by part: from the VM's last instruction here to its first there.

    stop            vCPUs and devices come to rest
    last copy       what is left in the socket, and the rest of memory, over the whole link
    device state    saved, sent, loaded
    port handover   the source's port goes, the target's comes
    start           vCPUs begin

The announcement to the network comes after it; until then frames go to the old port.
"""

from __future__ import annotations

import math

from migration.copied import Copied, Ending
from migration.move import Move
from migration.policies import Policy

CONVERGED = {Ending.SMALL}
CANCELLED = {Ending.STUCK, Ending.GIVEN_UP}


def finish(copied: Copied, policy: Policy, memory_bytes: int) -> Move:
    """Suspend the VM, send the rest, start it on the target; or cancel what does not end.

    Parameters
    ----------
    copied : Copied
        A pre-copy that has ended.
    policy : Policy
    memory_bytes : int

    Returns
    -------
    Move
    """
    if copied.ending in CANCELLED:
        return cancelled(copied, policy, memory_bytes)
    guest, sender = copied.guest, copied.sender
    suspend = round(sender.now_ns)
    guest.stop(sender.now_ns)
    copied.sync()
    sender.now_ns = suspend + policy.stop_ns
    sender.record.deadline_ns = math.inf
    # Rule: QEMU migration_completion, xc_linux_save.c: no rate bounds the last copy but the link's
    sender.pace(math.inf)
    guest.send_all(sender, False)
    taken = round(sender.now_ns)
    copied_at = round(sender.wire_free_ns)
    copied.close(0, copied_at)
    parts = {
        "stop": policy.stop_ns,
        "last copy": copied_at - suspend - policy.stop_ns,
        "device state": policy.device_ns,
        "port handover": policy.handover_ns,
        "start": policy.start_ns,
    }
    resume = suspend + sum(parts.values())
    connect = resume - policy.start_ns
    # Rule: QEMU migration_calculate_complete: the clock stops when the socket took all
    bursts = policy.looks == "bursts"
    downtime = taken + policy.device_ns - suspend if bursts else resume - suspend
    return Move(
        kind="live",
        policy=policy.name,
        memory_bytes=memory_bytes,
        passes=tuple(copied.passes),
        suspend_ns=suspend,
        resume_ns=resume,
        disconnect_ns=connect - policy.handover_ns,
        connect_ns=connect,
        end_ns=resume,
        parts=parts,
        downtime_ns=downtime,
        total_ns=suspend + downtime,
        bytes_sent=round(float(sender.record.sent_bytes)),
        converged=copied.ending in CONVERGED,
        memory_equal=guest.equal(),
        syncs=copied.syncs,
        announce=policy.announce,
    )


def cancelled(copied: Copied, policy: Policy, memory_bytes: int) -> Move:
    """Return the move that was given up: the VM never stopped."""
    now = round(copied.sender.now_ns)
    copied.sync()
    return Move(
        kind="live",
        policy=policy.name,
        memory_bytes=memory_bytes,
        passes=tuple(copied.passes),
        suspend_ns=now,
        resume_ns=now,
        disconnect_ns=now,
        connect_ns=now,
        end_ns=now,
        parts={},
        downtime_ns=0,
        total_ns=now,
        bytes_sent=round(float(copied.sender.record.sent_bytes)),
        converged=False,
        completed=False,
        memory_equal=copied.guest.equal(),
        syncs=copied.syncs,
        announce=policy.announce,
    )
