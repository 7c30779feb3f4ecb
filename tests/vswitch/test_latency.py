"""The histogram of latencies: rows without gaps, percentiles within the row's width."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.host_state_kernel import LATENCY_ROWS, latency_row
from vswitch.latency import Latencies, row_bounds_ns


def test_rows_follow_each_other_without_gap():
    bounds = [row_bounds_ns(row) for row in range(LATENCY_ROWS)]
    assert bounds[0][0] == 0
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))


@given(st.integers(0, 1 << 49))
def test_a_value_is_in_its_row(ns):
    first, behind = row_bounds_ns(int(latency_row(np.int64(ns))))
    assert first <= ns < behind
    assert behind - first <= max(1, ns / 64)


def test_longer_than_all_rows_is_in_the_last():
    assert latency_row(np.int64(1 << 62)) == LATENCY_ROWS - 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_percentiles_are_within_two_per_cent(values):
    counts = np.zeros(LATENCY_ROWS, np.int64)
    for ns in values:
        counts[latency_row(np.int64(ns))] += 1
    latencies = Latencies(counts, max(values) * 1000)
    for percent in (50, 90, 99):
        exact = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
        assert exact <= latencies.percentile_ns(percent) <= exact * 1.02 + 1
    assert latencies.percentile_ns(100) == max(values)
    assert sum(frames for _, frames in latencies.steps()) == latencies.frames == len(values)


def test_without_values_everything_is_zero():
    empty = Latencies.empty()
    assert empty.to_dict() == {"p50": 0, "p90": 0, "p99": 0, "p99.9": 0, "max": 0}
    assert empty.percentile_ns(50) == pytest.approx(0)
