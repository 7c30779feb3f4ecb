"""How much longer a blackout could have been: found by search, for every connection at once.

The run is forked at the moment when the blackout begins, and gone on with many
times. Connections meet only in the queues of links, so each can have a blackout
of its own length in the same run; after about thirty runs every bracket is one
microsecond wide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from migration.path_kernel import N_ENDED, NOTE
from migration.verdict import is_dead, is_over

if TYPE_CHECKING:
    from migration.scenes import Scene
    from migration.simulation import Simulation

STEP_NS = 1_000
"""Width of the last bracket."""

LONGEST_NS = 30 * 86_400 * 1_000_000_000
"""A blackout that a connection must not survive to have a margin: thirty days."""


def longest_blackouts(
    base: Simulation,
    scenes: Callable[[], list[Scene]],
    blackout_ns: int,
    lag_ns: int,
    progress: Callable[[int], None] | None = None,
) -> list[int | None]:
    """Find the longest blackout that each connection survives.

    Parameters
    ----------
    base : Simulation
        At the moment before the blackout begins.
    scenes : callable
        Gives the scenes of a blackout of no length at that moment.
    blackout_ns : int
        World time of that moment.
    lag_ns : int
        Time from the VM's resumption until frames find it.
    progress : callable, optional
        Called with the number of runs so far.

    Returns
    -------
    list of int or None
        Nanoseconds, exact to :data:`STEP_NS`: one step more ends it. None where no
        blackout does, or where the connection was not open.
    """
    ends = base.world.endpoints
    n = len(ends) // 2
    opened = (ends["state"][0::2] > 0) & (ends["state"][1::2] > 0) & ~is_over(ends) & ~is_dead(ends)

    def run_with(blackouts: npt.NDArray[np.int64]) -> Simulation:
        run = base.fork()
        run.scenes[run.next_scene :] = scenes()
        run.lengthen(blackouts, blackout_ns + lag_ns)
        run.run(blackout_ns + 2 * LONGEST_NS, until_settled=True)
        return run

    endless = run_with(np.full(n, LONGEST_NS, np.int64))
    doomed = opened & is_dead(endless.world.endpoints)
    low = np.zeros(n, np.int64)
    # a blackout that lasts until a connection has died of it is too long
    high = np.where(doomed, _ends_of(endless, n) - blackout_ns, 0)
    runs = 1
    while (high[doomed] - low[doomed] > STEP_NS).any():
        middle = (low + high) // 2
        dead = is_dead(run_with(middle).world.endpoints)
        high = np.where(dead, middle, high)
        low = np.where(dead, low, middle)
        runs += 1
        if progress is not None:
            progress(runs)
    return [int(low[c]) if doomed[c] else None for c in range(n)]


def _ends_of(run: Simulation, n: int) -> npt.NDArray[np.int64]:
    """Return when each connection was given up first, world time."""
    notes = np.concatenate([*run.notes, np.zeros(0, NOTE)])
    notes = notes[notes["kind"] == N_ENDED]
    ends = np.full(n, LONGEST_NS, np.int64)
    np.minimum.at(ends, notes["endpoint"] // 2, notes["at"])
    return ends
