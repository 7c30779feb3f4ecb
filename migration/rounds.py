"""Pre-copy in rounds, as Hyper-V and Xen do it: send what is dirty, look, again.

The figures of a policy say when a round was the last before the VM is suspended.
"""

from __future__ import annotations

import math

from migration.copied import Copied, Ending
from migration.policies import Policy

MBIT = 125_000.0
"""Bytes a second of one Mbit/s."""
XEN_START_MBIT, XEN_MAX_MBIT, XEN_STEP_MBIT = 100.0, 500.0, 50.0
"""`START_MBIT_RATE`, `MAX_MBIT_RATE`, and the step of xc_linux_save.c (3.0.0)."""


def run_rounds(copied: Copied, policy: Policy) -> None:
    """Send rounds until the policy ends pre-copy; what is left is not sent here.

    Parameters
    ----------
    copied : Copied
        Takes the passes and the ending.
    policy : Policy
    """
    guest, sender = copied.guest, copied.sender
    rate = XEN_START_MBIT
    if policy.rate_rule is not None:
        sender.pace(rate * MBIT)
    copied.begin()
    sent_before, sent_in_all = math.inf, 0
    number = 0
    while True:
        number += 1
        began_ns, skipped = sender.now_ns, int(sender.record.skipped)
        guest.send_all(sender, policy.skips_dirty)
        sent = copied.sent_pages
        sent_in_all += sent
        skipped = int(sender.record.skipped) - skipped
        top = policy.rate_rule is not None and rate >= XEN_MAX_MBIT
        small = guest.dirty(sender.now_ns) if policy.small_of == "dirty" else sent + skipped
        ending = _ending(policy, number, sent, sent_before, sent_in_all, small, top, guest.pages)
        if ending is not None:
            copied.ending = ending
            return
        dirty = copied.sync()
        if policy.rate_rule is not None:
            elapsed_ms = max((sender.now_ns - began_ns) / 1e6, 1.0)
            # Rule: xc_linux_save.c: Mbit/s of the pages that got dirty, in ms and 125 bytes
            rate = _next_rate(policy, rate, dirty * 4096 / (elapsed_ms * 125))
            sender.pace(rate * MBIT)
        sent_before = sent


def _ending(
    policy: Policy, number: int, sent: int, sent_before: float, sent_in_all: int, small: int,
    top: bool, pages: int,
) -> Ending | None:  # fmt: skip
    """Tell why a round was the last before suspension; None when it was not."""
    # Rule: Hyper-V counts a set of `small_pages` as small, Xen only fewer
    if small < policy.small_pages or (policy.small_counts_equal and small == policy.small_pages):
        return Ending.SMALL
    # Rule: xc_linux_save.c 1047-1056: growing at the highest rate
    if policy.stops_growing and top and sent > sent_before:
        return Ending.GROWTH
    # Rule: iterations: xc_linux_save.c MAX_ITERS 29, xg_sr_save.c 5, Hyper-V pass cap
    if policy.max_rounds is not None and number >= policy.max_rounds:
        return Ending.ROUNDS
    # Rule: xc_linux_save.c: total sent above max_factor times all pages
    if policy.max_factor is not None and sent_in_all > policy.max_factor * pages:
        return Ending.VOLUME
    return None


def _next_rate(policy: Policy, rate: float, dirty_mbit: float) -> float:
    """Return the next round's rate in Mbit/s."""
    if policy.rate_rule == "source":
        # Rule: xc_linux_save.c: raised to the dirty rate + 50 when that is higher, never lowered
        return min(XEN_MAX_MBIT, dirty_mbit + XEN_STEP_MBIT) if dirty_mbit > rate else rate
    # Rule: Clark et al. 2005, section 5.2: the last round's dirty rate + 50, not below the minimum
    return min(XEN_MAX_MBIT, max(XEN_START_MBIT, dirty_mbit + XEN_STEP_MBIT))
