"""The three pools that endpoints share: sent segments, received ranges, segments under way.

A pool is an array whose unused rows form a chain; taking and giving back is two
loads and two stores. Row 0 is never used: it means none. Callers make sure that
:data:`migration.tcp.state_kernel.OUT_ROWS` rows of each are left before a call, so
that no call ends halfway; the pool of ranges alone may run dry, since a range that
is not kept is sent again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.state_kernel import (
    C_GAP_FREE,
    C_GAP_LEFT,
    C_SEGMENT_FREE,
    C_SEGMENT_LEFT,
    C_SENT_FREE,
    C_SENT_LEFT,
)
from pcaps.jit import kernel


@kernel(forceinline=True, _nrt=False)
def take_sent(w: Any) -> Any:
    """Return an unused row of the pool of sent segments."""
    row = w.count[C_SENT_FREE]
    w.count[C_SENT_FREE] = w.sent[row].next
    w.count[C_SENT_LEFT] -= 1
    return row


@kernel(forceinline=True, _nrt=False)
def give_sent(w: Any, row: Any) -> None:
    """Give a sent segment back."""
    w.sent[row].next = w.count[C_SENT_FREE]
    w.count[C_SENT_FREE] = np.int64(row)
    w.count[C_SENT_LEFT] += 1


@kernel(_nrt=False)
def take_gap(w: Any) -> Any:
    """Return an unused row of the pool of received ranges, 0 when there is none."""
    row = w.count[C_GAP_FREE]
    if row != 0:
        w.count[C_GAP_FREE] = w.gaps[row].next
        w.count[C_GAP_LEFT] -= 1
    return row


@kernel(_nrt=False)
def give_gap(w: Any, row: Any) -> None:
    """Give a received range back."""
    w.gaps[row].next = w.count[C_GAP_FREE]
    w.count[C_GAP_FREE] = np.int64(row)
    w.count[C_GAP_LEFT] += 1


@kernel(forceinline=True, _nrt=False)
def take_segment(w: Any) -> Any:
    """Return an unused row of the pool of segments under way."""
    row = w.count[C_SEGMENT_FREE]
    w.count[C_SEGMENT_FREE] = w.segments[row].next
    w.count[C_SEGMENT_LEFT] -= 1
    return row


@kernel(_nrt=False)
def give_segment(w: Any, row: Any) -> None:
    """Give a segment back after its receiver, or the path, is done with it."""
    w.segments[row].next = w.count[C_SEGMENT_FREE]
    w.count[C_SEGMENT_FREE] = np.int64(row)
    w.count[C_SEGMENT_LEFT] += 1
