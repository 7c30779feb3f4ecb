"""Counters of a run: one uint64 array, its layout, and how one frame is counted.

    0..63     frames dropped, by reason
    64..127   number of the first frame dropped, by reason (from 1; 0 = none)
    128..191  copies of flooded frames held back, by reason
    192..     totals, the ``S_`` constants
    S_PORTS   STAT_WORDS a port, the ``SP_`` constants: one cache line

Runs over parts of a capture add up field by field, first frames by minimum.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.words_kernel import KIND_SHIFT, UNICAST

S_DROPPED, S_FIRST, S_SUPPRESSED = 0, 64, 128
S_FRAMES, S_FLOODED, S_COPIES, S_WIRE, S_CAPTURED, S_LOCAL_SOURCE, S_MIRRORED = range(192, 199)
S_PORTS = 208
STAT_WORDS = 8
SP_FRAMES, SP_WIRE, SP_CAPTURED, SP_FLOOD_FRAMES, SP_FLOOD_WIRE, SP_FLOOD_CAPTURED = range(6)
SP_SUPPRESSED = 6


@kernel(forceinline=True, _nrt=False)
def count(stats: Any, word: Any, wirelen: Any, caplen: Any, number: Any) -> Any:
    """Count one settled frame; copies of a flooded one are counted where they are found.

    number: of the frame in its capture, from 1.
    """
    kind = (word >> u64(KIND_SHIFT)) & u64(3)
    if kind == u64(UNICAST):
        port = u64(S_PORTS) + (word & u64(0xFFFF)) * u64(STAT_WORDS)
        stats[port + u64(SP_FRAMES)] += u64(1)
        stats[port + u64(SP_WIRE)] += wirelen
        stats[port + u64(SP_CAPTURED)] += caplen
    elif kind == u64(0):
        reason = word & u64(63)
        if stats[u64(S_DROPPED) + reason] == u64(0):
            stats[u64(S_FIRST) + reason] = number
        stats[u64(S_DROPPED) + reason] += u64(1)
    else:
        stats[S_FLOODED] += u64(1)
