"""What must hold at every minute of a run, by name: nobody has what is not there, and nothing is kept that nobody has.

What hosts hold is added up anew from moves under way and VMs that boot, and compared with what the run
keeps as it goes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from migration.cluster.day import _Run

INVARIANTS: dict[str, str] = {
    "on-a-host": "A VM that runs is on a host that is there, and reaches its disk.",
    "one-at-a-time": "Hosts take part in the moves that are under way, and in no more at a time than their release allows.",
    "memory-held": "Memory is reserved for moves under way and VMs that boot, and for nothing else.",
    "queues-held": "No host gives out more VM queues than its adapters have, and none to a VM that does not run.",
    "majority": "Nothing runs in a cluster without quorum.",
}
"""Id -> what holds."""


class Watch:
    """Holds the invariants of a run.

    Parameters
    ----------
    run : _Run
    """

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.checks = 0
        self.broken: Counter[str] = Counter()

    def look(self) -> None:
        """Hold them now."""
        run, usage = self._run, self._run.usage
        self.checks += 1
        up = usage.up
        if not usage.online[usage.host_of[up]].all() or run.breakage.without_disk():
            self.broken["on-a-host"] += 1
        busy = np.zeros_like(run.busy)
        held = np.zeros(len(run.names))
        for record in run.moving.values():
            busy[record.source] += 1
            busy[record.target] += 1
            held[record.target] += run.held(record)
        if (busy != run.busy).any() or busy.max(initial=0) > run.cluster.most_moves:
            self.broken["one-at-a-time"] += 1
        for host, amount in run.breakage.booting.values():
            held[host] += amount
        if not np.allclose(held, usage.reserved, atol=1.0):
            self.broken["memory-held"] += 1
        if (usage.free_queues() < 0).any() or (usage.queued & ~up & ~run.breakage.boots).any():
            self.broken["queues-held"] += 1
        if run.breakage.stopped and up.any():
            self.broken["majority"] += 1
