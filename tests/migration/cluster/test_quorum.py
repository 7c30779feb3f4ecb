"""Quorum, cell by cell: at most one part of a split cluster goes on."""

from __future__ import annotations

import pytest

from migration.cluster.quorum import MODES, has_quorum, survives_losses, survivor


@pytest.mark.parametrize(
    ("mode", "nodes", "lost"),
    [
        ("node-majority", 2, 0), ("node-majority", 3, 1), ("node-majority", 4, 1),
        ("node-majority", 5, 2), ("node-majority", 16, 7),
        ("node-and-disk", 2, 1), ("node-and-disk", 3, 1), ("node-and-disk", 4, 2),
        ("node-and-share", 2, 1), ("node-and-share", 16, 8),
        ("disk-only", 2, 1), ("disk-only", 16, 15),
    ],
)  # fmt: skip
def test_how_many_nodes_may_be_lost(mode, nodes, lost):
    assert survives_losses(mode, nodes, True) == lost


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nodes", range(2, 17))
def test_one_part_at_most_goes_on(mode, nodes):
    for left in range(nodes + 1):
        for witness in (0, 1, None):
            held = [
                has_quorum(mode, nodes, present, witness == place)
                for place, present in enumerate((left, nodes - left))
            ]
            assert sum(held) <= 1
            expected = held.index(True) if any(held) else None
            assert survivor(mode, (left, nodes - left), witness) == expected


def test_a_lost_witness_still_counts():
    assert not has_quorum("node-and-disk", 2, 1, False)
    assert has_quorum("node-and-disk", 2, 1, True)
    assert has_quorum("node-and-disk", 2, 2, False)
    assert not has_quorum("disk-only", 5, 5, False)
