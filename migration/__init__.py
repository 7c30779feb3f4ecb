"""The move of a VM: its TCP sessions in virtual time, its memory, and what a blackout does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migration.run import Replay

__all__ = ["replay"]


def replay(source: Any = None, **settings: Any) -> Replay:
    """Replay TCP sessions through a move of the VM that they talk to.

    Parameters
    ----------
    source : Capture, Frames, path, or a sequence of these, optional
        Captures whose sessions are run again.
    **settings
        See :func:`migration.job.replay_move`.

    Returns
    -------
    Replay
        Verdicts, the move, and what was counted.

    Raises
    ------
    BadInput
        When captures or settings cannot be used.
    """
    from migration.job import replay_move

    return replay_move(source, **settings)
