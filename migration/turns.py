"""Application turns: who hands over how many bytes, and what that waits for.

Guarantees
----------
* The writes of one side add up to its stream, byte for byte.
* Each side's turns are in order, and `need` never falls; a replay that obeys it
  cannot send an answer before its question.
* `think_ns` is never negative.

Waits that windows, acknowledgments, round trips and losses explain are the
network's and are left out; emulated endpoints produce their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migration.streams import Streams
from migration.turns_kernel import ABORT, CLIENT, CLOSE, SERVER, TIMING, TURN, WRITE, find_turns

__all__ = ["ABORT", "CLIENT", "CLOSE", "SERVER", "TURN", "WRITE", "Turns", "turns_of"]


@dataclass(frozen=True, eq=False)
class Turns:
    """Turns of all sessions.

    Parameters
    ----------
    turns : numpy.ndarray
        ``TURN[n]``, session by session, in order of the time of capture.
    timings : numpy.ndarray
        ``TIMING[n_sessions]``: round trips, and where a session's turns are.
    """

    turns: npt.NDArray[np.void]
    timings: npt.NDArray[np.void]

    def of(self, number: int) -> npt.NDArray[np.void]:
        """Return the turns of a session.

        Parameters
        ----------
        number : int
            Row of the session.

        Returns
        -------
        numpy.ndarray
            ``TURN[n]``; empty for sessions that were never established.
        """
        about = self.timings[number]
        found: npt.NDArray[np.void] = self.turns[about["first"] : about["first"] + about["count"]]
        return found


def turns_of(streams: Streams, *, default_rtt_ns: int = 200_000) -> Turns:
    """Find the application turns of all sessions.

    Parameters
    ----------
    streams : Streams
        Sessions and streams.
    default_rtt_ns : int
        Round trip taken where a capture tells none.

    Returns
    -------
    Turns
        None for sessions without an established connection.
    """
    timings = np.zeros(len(streams.sessions), TIMING)
    turns = np.zeros(len(streams.pieces) + 4 * len(streams.sessions), TURN)
    n = int(
        find_turns(
            streams.segments.rows, streams.sessions, streams.sides, streams.pieces, timings,
            default_rtt_ns, turns,
        )
    )  # fmt: skip
    return Turns(turns[:n].copy(), timings)
