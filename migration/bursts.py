"""Pre-copy in bursts, as QEMU does it: the end is looked for inside a pass, every 50 ms.

Whenever the pages to send seem fewer than bandwidth times downtime limit, the dirty log is read:
a pass ends there, and what it had not sent stays to be sent. If it is still small enough, the VM
stops.
"""

from __future__ import annotations

from migration.copied import Copied, Ending
from migration.memory_kernel import PAGE
from migration.throttle import MOST, Throttle

STUCK_SYNCS = 20
STUCK_GAIN = 0.001
"""Ours: a pre-copy whose rest was not smaller by 0.1 % for 20 syncs will not end."""


def run_bursts(
    copied: Copied, *, auto_converge: bool = False, give_up_ns: float, steady_from_ns: float = 0.0,
    postcopy_at_ns: float | None = None, postcopy_after_pass: bool = False,
) -> None:  # fmt: skip
    """Send until QEMU would stop the VM; what is left is not sent here.

    Parameters
    ----------
    copied : Copied
        Takes the passes and the ending.
    auto_converge : bool
        Throttle the guest when it dirties too fast.
    give_up_ns : float
        Cancel then.
    steady_from_ns : float
        When the link's rate and the guest's pace have changed for the last time; only after that
        it can be said that a move will not end.
    postcopy_at_ns : float, optional
        Switch to post-copy at the first look after this.
    postcopy_after_pass : bool
        Switch to post-copy when all memory was sent once.
    """
    guest, sender = copied.guest, copied.sender
    copied.begin()
    throttle = Throttle(sender.now_ns)
    least, stale = float(guest.pages), 0
    deadline = give_up_ns if postcopy_at_ns is None else min(give_up_ns, postcopy_at_ns)
    sender.record.deadline_ns = deadline
    tested = False
    while True:
        if not guest.push(sender, tested):
            at_postcopy = postcopy_at_ns is not None and sender.now_ns >= postcopy_at_ns
            copied.ending = Ending.POSTCOPY if at_postcopy else Ending.GIVEN_UP
            return
        tested = True
        # Rule: QEMU ram_save_pending: below the threshold the log is read, to be exact
        if guest.pending * PAGE < sender.threshold_bytes:
            fresh = copied.sync()
            if auto_converge and throttle.at_sync(sender.now_ns, fresh * PAGE, sender.sent[2]):
                guest.throttle(sender.now_ns, 1.0 - throttle.throttle)
                copied.throttle = throttle.throttle
        # Rule: QEMU migration_iteration_run: nothing left, or small enough: complete
        pending = guest.pending
        if pending == 0 or pending * PAGE < sender.threshold_bytes:
            copied.ending = Ending.SMALL
            return
        if postcopy_after_pass:
            copied.ending = Ending.POSTCOPY
            return
        if pending < least * (1 - STUCK_GAIN):
            least, stale = float(pending), 0
        elif sender.now_ns >= steady_from_ns:
            stale += 1
        if auto_converge and throttle.throttle < MOST:
            stale = min(stale, STUCK_SYNCS - 1)
        if stale >= STUCK_SYNCS:
            copied.ending = Ending.STUCK
            return
