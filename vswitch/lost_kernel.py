"""Frames that found no receive buffer: taken out of the counters of their batch again."""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.copies_kernel import settle
from vswitch.replay_kernel import note_rare
from vswitch.stats_kernel import S_DROPPED, S_FIRST, S_SUPPRESSED, count
from vswitch.words_kernel import FLOODED, kind_of

RING_FULL = 43
"""Reason of the adapter; ``nic.drops.AdapterDrop.RING_FULL``."""


@kernel
def take_out(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_ports: Any,
    words: Any,
    lost: Any,
    image: Any,
    scratch: Any,
    stats: Any,
) -> None:
    """Make frames of a decided batch dropped ones, in words and counters.

    lost: int64[m], rows of the batch, ascending; scratch: uint64[], zeros, as large as
    stats; the others as in :class:`vswitch.engine.Decided`. Copies held back of a
    flood that nobody took stay counted as held back.
    """
    for k in range(lost.size):
        i = u64(lost[k])
        word = words[i]
        at = u64(start[i])
        kept = u64(caplen[i])
        length = u64(wirelen[i])
        in_port = u64(in_ports[i])
        if kind_of(word) == u64(FLOODED):
            settle(data, at, kept, length, in_port, word, image, scratch)
        note_rare(data, at, kept, length, in_port, word, image, scratch)
        count(scratch, word, length, kept, i + u64(1))
        words[i] = u64(RING_FULL)
    for place in range(stats.size):
        if place < S_FIRST or place >= S_SUPPRESSED:
            stats[place] -= scratch[place]
    stats[S_DROPPED + RING_FULL] += u64(lost.size)
    if lost.size > 0:
        stats[S_FIRST + RING_FULL] = u64(lost[0]) + u64(1)
    for reason in range(64):
        first = u64(S_FIRST + reason)
        if scratch[first] != u64(0) and stats[first] == scratch[first]:
            # the first frame of this reason was lost: look for the next one
            stats[first] = u64(0)
            for j in range(words.size):
                if kind_of(words[j]) == u64(0) and words[j] & u64(63) == u64(reason):
                    stats[first] = u64(j + 1)
                    break
