"""Plans of live moves: what each policy does, and what holds for every move."""

from __future__ import annotations

import pytest

from migration import precopy, working_set
from migration.move import Move
from migration.policies import POLICIES

MIB = 2**20
MEMORY = 16 * MIB
LINK = 20e6


def plan(**changes) -> Move:
    settings = {
        "memory_bytes": MEMORY,
        "working_set": working_set.sequential(2 * MIB, 5e6),
        "zero_pages": 500,
        "link_bytes_per_s": LINK,
    }
    return precopy.plan(**{**settings, **changes})


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("pages", [True, False])
def test_times_of_a_move_are_in_order_and_its_parts_add_up(name: str, pages: bool) -> None:
    move = plan(policy=name, pages=pages)
    assert 0 <= move.passes[0].start_ns < move.suspend_ns <= move.disconnect_ns
    assert move.disconnect_ns <= move.connect_ns <= move.resume_ns <= move.end_ns
    assert sum(move.parts.values()) == move.blackout_ns == move.resume_ns - move.suspend_ns
    assert min(move.parts.values()) >= 0
    assert move.bytes_sent == pytest.approx(sum(one.bytes_sent for one in move.passes), abs=20)
    for before, after in zip(move.passes, move.passes[1:], strict=False):
        assert before.start_ns + before.duration_ns <= after.start_ns
    assert move.memory_equal is (True if pages else None)


@pytest.mark.parametrize("name", POLICIES)
def test_counts_and_pages_tell_the_same_of_a_steady_writer(name: str) -> None:
    by_page, by_count = plan(policy=name), plan(policy=name, pages=False)
    assert by_count.total_ns == pytest.approx(by_page.total_ns, rel=0.05)
    assert by_count.converged == by_page.converged
