"""Links: what a move gets of them."""

from __future__ import annotations

import pytest

from migration.links import Link, payload_rate
from pcaps.errors import BadInput


def test_a_gigabit_carries_1448_of_1538_bytes() -> None:
    assert payload_rate(1e9) == pytest.approx(125e6 * 1448 / 1538)
    assert payload_rate(1e9, 9000) == pytest.approx(125e6 * 8948 / 9038)


def test_rates_hold_from_their_time_on() -> None:
    link = Link.of(((0, 10.0), (100, 30.0)))
    assert [link.at(t) for t in (-5, 0, 99, 100, 1e9)] == [10, 10, 10, 30, 30]


def test_other_traffic_is_taken_off_every_step() -> None:
    assert Link.of(((0, 10.0), (100, 30.0)), 4.0).steps == ((0, 6.0), (100, 26.0))
    assert Link.of(Link.of(10.0), 4.0) == Link.of(6.0)


def test_other_traffic_may_change_at_times_of_its_own() -> None:
    link = Link.of(((0, 10.0), (100, 30.0)), ((50, 4.0), (150, 0.0)))
    assert link.steps == ((0, 10.0), (50, 6.0), (100, 26.0), (150, 30.0))
    with pytest.raises(BadInput, match="only go up"):
        Link.of(10.0, ((50, 1.0), (20, 2.0)))


def test_a_cap_and_a_factor_hold_everywhere() -> None:
    link = Link.of(((0, 10.0), (100, 30.0)))
    assert link.capped(20.0).steps == ((0, 10.0), (100, 20.0))
    assert link.times(2.0).steps == ((0, 20.0), (100, 60.0))


@pytest.mark.parametrize("steps", [(), ((1, 5.0),), ((0, 5.0), (0, 6.0)), ((0, 0.0),), ((0, -1.0),),
                                   ((0, float("nan")),), ((0, float("inf")),)])  # fmt: skip
def test_links_that_cannot_be_are_refused(steps) -> None:
    with pytest.raises(BadInput):
        Link(steps)
