"""Auto-converge: when the throttle is raised, and by how much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fidelity_facts import facts_folder
from numba import config

from benchmarks.fidelity.facts import rows_of
from migration import precopy, working_set
from migration.throttle import Throttle

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="millions of steps of plain Python")

S = 10**9
MIB = 2**20


def test_raised_the_second_time_that_more_than_half_was_dirtied() -> None:
    throttle = Throttle(0.0)
    assert not throttle.at_sync(2 * S, 60, 100)
    assert throttle.at_sync(4 * S, 60, 200)
    assert throttle.throttle == 0.20


def test_half_is_not_more_than_half() -> None:
    throttle = Throttle(0.0)
    for n in range(1, 10):
        assert not throttle.at_sync(2 * n * S, 50, 100 * n)


def test_a_sync_within_a_second_does_not_count_but_adds_up() -> None:
    throttle = Throttle(0.0)
    assert not throttle.at_sync(1.1 * S, 60, 100)
    assert not throttle.at_sync(2.1 * S, 40, 150)  # exactly 1000 ms later: not more
    assert throttle.at_sync(2.2 * S, 20, 200)  # 60 of 100 in the period


def test_twenty_then_ten_more_each_time_up_to_ninety_nine() -> None:
    throttle, seen = Throttle(0.0), []
    for n in range(1, 40):
        throttle.at_sync(2 * n * S, 100, 100 * n)
        seen.append(throttle.throttle)
    assert seen[1::2][:9] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]
    assert seen[-1] == 0.99


@compiled
def test_a_guest_is_slowed_until_it_converges() -> None:
    guest = working_set.sequential(16 * MIB, 60e6)
    settings = {
        "memory_bytes": 32 * MIB, "working_set": guest, "link_bytes_per_s": 10e6,
        "downtime_limit_ns": 100_000_000,
    }  # fmt: skip
    assert not precopy.plan(**settings).converged
    move = precopy.plan(**settings, auto_converge=True)
    assert move.converged
    throttles = [one.throttle for one in move.passes]
    assert throttles == sorted(throttles)
    assert throttles[-1] >= 0.8


def test_the_measured_run_was_throttled_when_the_rule_says() -> None:
    """Run q24: its syncs, and the throttle that each pass had. It dirtied all it was sent."""
    row = next(one for one in rows_of(facts_folder(), "qemu_runs.csv") if one["run"] == "q24")
    measured = {
        int(number): int(percent) / 100
        for number, percent in (pair.split(":") for pair in row["throttle"].split())
    }
    syncs = [float(t) for t in row["passes_t_s"].split()]
    throttle = Throttle(syncs[0] * S)
    for number, (before, t) in enumerate(pairwise(syncs[:12]), 2):
        throttle.at_sync(t * S, 100 * (t - before), 100 * t)
        assert throttle.throttle == measured.get(number, 0.0), f"sync {number} at {t} s"
    assert throttle.throttle == 0.6
