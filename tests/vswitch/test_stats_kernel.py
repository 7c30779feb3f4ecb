"""How one frame is counted: by verdict, port and reason."""

import numpy as np

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.stats_kernel import (
    S_DROPPED,
    S_FIRST,
    S_FLOODED,
    S_PORTS,
    SP_CAPTURED,
    SP_FRAMES,
    SP_WIRE,
    STAT_WORDS,
    count,
)
from vswitch.verdict import DropReason
from vswitch.words_kernel import FLOODED, KIND_SHIFT, PUSH, UNICAST, VLAN_BITS


@kernel
def count_one(stats, word, wirelen, caplen, number):
    count(stats, word, wirelen, caplen, number)


def counted(*frames, n_ports=4):
    """Counters that are not 0 after (word, wirelen, caplen) each, numbered from 1."""
    stats = np.zeros(S_PORTS + n_ports * STAT_WORDS, np.uint64)
    for number, (word, wirelen, caplen) in enumerate(frames, 1):
        count_one(stats, u64(word), u64(wirelen), u64(caplen), u64(number))
    return {int(place): int(stats[place]) for place in np.flatnonzero(stats)}


def test_unicast_counts_at_its_port_wire_and_captured_bytes_apart():
    word = 2 | UNICAST << KIND_SHIFT | PUSH | VLAN_BITS
    port = S_PORTS + 2 * STAT_WORDS
    assert counted((word, 1514, 96), (word, 60, 60)) == {
        port + SP_FRAMES: 2, port + SP_WIRE: 1574, port + SP_CAPTURED: 156,
    }  # fmt: skip


def test_drops_count_by_reason_and_the_first_keeps_its_number():
    runt, isolated = DropReason.RUNT, DropReason.ISOLATED
    assert counted((UNICAST << KIND_SHIFT, 0, 0), (runt, 9, 9), (isolated, 60, 60), (runt, 9, 9)) == {
        S_PORTS + SP_FRAMES: 1,
        S_DROPPED + runt: 2, S_FIRST + runt: 2,
        S_DROPPED + isolated: 1, S_FIRST + isolated: 3,
    }  # fmt: skip


def test_adapters_reasons_fit():
    reasons = tuple(DropReason)
    found = counted(*((reason, 60, 60) for reason in reasons))
    assert len(found) == 2 * len(reasons)
    assert max(found) < S_FLOODED


def test_flooded_frame_counts_once_and_no_port():
    assert counted((10 | FLOODED << KIND_SHIFT, 60, 60)) == {S_FLOODED: 1}
