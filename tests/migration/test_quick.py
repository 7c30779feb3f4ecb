"""Quick Migration: all of it is blackout."""

from __future__ import annotations

import pytest

from migration import quick
from pcaps.errors import BadInput

GIB, S = 2**30, 10**9


def test_four_gibibytes_take_the_half_minute_that_is_published() -> None:
    move = quick.plan(memory_bytes=4 * GIB, pages=False)
    assert move.blackout_ns == pytest.approx(31.6 * S, rel=0.01)
    assert move.total_ns == move.blackout_ns == move.downtime_ns == sum(move.parts.values())


def test_parts_are_memory_over_rate_and_what_was_asked_for() -> None:
    move = quick.plan(
        memory_bytes=300 * 4096, storage_bytes_per_s=4096 * 100, restore_bytes_per_s=4096 * 300,
        storage_move_ns=5, start_ns=7,
    )  # fmt: skip
    assert move.parts == {"save": 3 * S, "storage move": 5, "restore": S, "start": 7}
    assert (move.suspend_ns, move.disconnect_ns) == (0, 3 * S)
    assert (move.connect_ns, move.resume_ns) == (4 * S + 5, 4 * S + 12)
    assert move.memory_equal is True


@pytest.mark.parametrize("settings", [
    {"storage_bytes_per_s": 0}, {"restore_bytes_per_s": -1.0}, {"storage_move_ns": -1},
    {"start_ns": -1}, {"memory_bytes": 100},
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict) -> None:
    with pytest.raises(BadInput):
        quick.plan(**{"memory_bytes": GIB, **settings})
