"""The arrays that endpoints live in: made, and made larger."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from migration.tcp.state_kernel import (
    C_GAP_FREE,
    C_GAP_LEFT,
    C_SEGMENT_FREE,
    C_SEGMENT_LEFT,
    C_SENT_FREE,
    C_SENT_LEFT,
    COUNTS,
    ENDPOINT,
    GAP,
    NEVER,
    OUT_ROWS,
    SEGMENT,
    SENT,
    World,
)

_POOLS = (
    ("sent", C_SENT_FREE, C_SENT_LEFT),
    ("gaps", C_GAP_FREE, C_GAP_LEFT),
    ("segments", C_SEGMENT_FREE, C_SEGMENT_LEFT),
)


def new_world(
    n: int,
    stacks: npt.NDArray[np.void],
    stack_of: npt.ArrayLike = 0,
    *,
    sent: int = 0,
    gaps: int = 0,
    segments: int = 0,
) -> World:
    """Make a world of closed endpoints.

    Parameters
    ----------
    n : int
        Endpoints.
    stacks : numpy.ndarray
        ``STACK[]``, as :func:`migration.tcp.stacks.stack_rows` makes it.
    stack_of : array_like
        ``int[n]``: the row of each endpoint's stack, or one for all.
    sent, gaps, segments : int
        Rows of the pools; 0: some for each endpoint. :func:`grow` adds to them.

    Returns
    -------
    World
    """
    world = World(
        endpoints=np.zeros(n, ENDPOINT),
        stacks=stacks,
        sent=np.zeros(1, SENT),
        gaps=np.zeros(1, GAP),
        segments=np.zeros(1, SEGMENT),
        out=np.zeros(OUT_ROWS, np.int32),
        count=np.zeros(COUNTS, np.int64),
    )
    ends = world.endpoints
    ends["stack"] = stack_of
    for timer in ("t_rtx", "t_ack", "t_keep"):
        ends[timer] = NEVER
    ends["died"] = -1
    least = 2 * OUT_ROWS
    return _with_rows(
        world,
        max(sent or n, least),
        max(gaps or n // 8, OUT_ROWS),
        max(segments or n // 2, least),
    )


def _with_rows(world: World, *more: int) -> World:
    """Return the world with that many rows more in each pool; rows in use keep their numbers."""
    changed: dict[str, Any] = {}
    for (name, free, left), extra in zip(_POOLS, more, strict=True):
        if extra <= 0:
            continue
        old = getattr(world, name)
        rows = np.zeros(len(old) + extra, old.dtype)
        rows[: len(old)] = old
        rows["next"][len(old) : -1] = np.arange(len(old) + 1, len(rows))
        rows[-1]["next"] = world.count[free]
        world.count[free] = len(old)
        world.count[left] += extra
        changed[name] = rows
    return world._replace(**changed)


def grow(world: World, least: int) -> World:
    """Return the world with at least so many free rows in each pool.

    Parameters
    ----------
    world : World
        Its `count` is changed; use the returned world from then on.
    least : int
        Free rows that are needed; a pool that has fewer at least doubles.

    Returns
    -------
    World
    """
    more = []
    for name, _, left in _POOLS:
        short = least - int(world.count[left])
        more.append(max(short, len(getattr(world, name))) if short > 0 else 0)
    return _with_rows(world, *more)
