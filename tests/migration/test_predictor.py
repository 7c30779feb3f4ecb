"""The predictor beside the simulator, and its rules."""

from __future__ import annotations

import pytest

from migration import precopy, predictor, working_set
from migration.predictor import DirtyCurve, predict

MIB, PAGE, MS = 2**20, 4096, 10**6


def test_a_curve_is_linear_between_points_and_begins_with_the_first_slope() -> None:
    curve = DirtyCurve([(1, 100), (2, 150), (4, 170)], 1000)
    assert curve.pages(0) == 50
    assert curve.pages(1) == 100
    assert curve.pages(1.5) == 125
    assert curve.pages(6) == 190  # on with the last slope
    assert curve.pages(1e6) == 1000


def test_a_curve_does_not_begin_below_zero() -> None:
    assert DirtyCurve([(1, 10), (2, 100)], 1000).pages(0) == 0


def test_idle_memory_takes_its_bytes_once_and_nothing_the_second_time() -> None:
    found = predict(
        memory_bytes=100 * PAGE, curve=DirtyCurve([(1, 0), (2, 0)], 100), zero_pages=40,
        bytes_per_s=60 * 4104 + 40 * 8, downtime_limit_ns=300 * MS,
    )  # fmt: skip
    assert found.total_s == found.least_s == pytest.approx(1.0)
    assert (found.converges, found.passes, found.downtime_s) == (True, 2, 0.0)


def test_passes_shrink_by_the_share_that_gets_dirty() -> None:
    """Half of what is sent gets dirty meanwhile: 8 s, 4 s, 2 s, 1 s; the limit is 1 s."""
    rate = 1000 * 4104.0
    curve = DirtyCurve([(1, 500), (2, 1000)], 8000)
    found = predict(
        memory_bytes=8000 * PAGE, curve=curve, bytes_per_s=rate, downtime_limit_ns=1000 * MS
    )
    assert (found.passes, found.total_s, found.downtime_s) == (
        4,
        pytest.approx(15),
        pytest.approx(1),
    )


def test_an_hour_is_enough() -> None:
    curve = DirtyCurve([(1, 1000), (2, 2000)], 8000)
    found = predict(
        memory_bytes=8000 * PAGE, curve=curve, bytes_per_s=1000 * 4104.0, downtime_limit_ns=MS
    )
    assert found.converges is False
    assert found.total_s > 3600


@pytest.mark.parametrize("rate", [0.0, 10e6, 40e6])
def test_predictor_and_simulator_agree_on_a_steady_guest(rate: float) -> None:
    settings = {
        "memory_bytes": 512 * MIB, "working_set": working_set.uniform(64 * MIB, rate),
        "link_bytes_per_s": 80e6,
    }  # fmt: skip
    predicted = precopy.predict(**settings)
    simulated = precopy.plan(**settings, pages=False)
    assert predicted.converges is simulated.converged is True
    assert predicted.total_s == pytest.approx(simulated.total_ns / 1e9, rel=0.07)


def test_periods_are_those_of_a_minute() -> None:
    assert len(predictor.PERIODS_S) == 22
    assert list(predictor.PERIODS_S) == sorted(predictor.PERIODS_S)
    assert predictor.PERIODS_S[-1] == 60
