"""Working sets: what they dirty in a time, and how they are read from a file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from migration import working_set as ws
from migration.working_set import Pattern, WorkingSet, WriteSet
from pcaps.errors import BadInput

PAGE = 4096


def test_sequential_is_capped_by_its_size() -> None:
    guest = ws.sequential(100 * PAGE, 10 * PAGE)
    assert [guest.dirty(t) for t in (0, 1, 9.5, 10, 1e6)] == [0, 10, 95, 100, 100]


def test_uniform_follows_the_expectation_of_independent_draws() -> None:
    guest = ws.uniform(1000 * PAGE, 100 * PAGE)
    assert guest.dirty(5) == pytest.approx(1000 * (1 - math.exp(-0.5)))


@pytest.mark.parametrize("exponent", [0.7, 0.99, 1.0, 1.3])
def test_zipf_follows_the_sum_over_its_ranks(exponent: float) -> None:
    one = WriteSet(Pattern.ZIPF, 3000, 1.0, exponent)
    weights = [r**-exponent for r in range(1, 3001)]
    total = sum(weights)
    for writes in (10, 1000, 30_000):
        exact = sum(1 - math.exp(-writes * weight / total) for weight in weights)
        assert one.distinct(writes) == pytest.approx(exact, rel=0.02)


def test_hot_and_cold_share_pages_and_writes() -> None:
    hot, cold = ws.hot_cold(1000 * PAGE, 100 * PAGE).sets
    assert (hot.pages, cold.pages) == (100, 900)
    assert (hot.writes_per_s, cold.writes_per_s) == (pytest.approx(90), pytest.approx(10))


def test_a_concave_curve_is_met_at_every_point() -> None:
    points = [(0.5, 400 * PAGE), (2, 1000 * PAGE), (10, 1800 * PAGE)]
    guest = ws.from_curve(points)
    for t, n_bytes in points:
        assert guest.dirty(t) * PAGE == pytest.approx(n_bytes, abs=2 * PAGE)
    assert guest.dirty(1.25) == pytest.approx(700, abs=2)
    assert guest.dirty(1000) == pytest.approx(1800, abs=2)


def test_a_curve_that_bends_upwards_is_covered_by_its_hull() -> None:
    guest = ws.from_curve([(1, 100 * PAGE), (2, 1000 * PAGE)])
    assert guest.dirty(1) == pytest.approx(500, abs=1)
    assert guest.dirty(2) == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("points", [[], [(0, 5)], [(-1, 5)], [(1, -5)], [(math.nan, 1)]])
def test_curves_without_a_point_are_refused(points) -> None:
    with pytest.raises(BadInput, match="dirty curve"):
        ws.from_curve(points)


def test_a_scaled_set_is_written_faster_and_is_as_large() -> None:
    guest = ws.zipf(100 * PAGE, 10 * PAGE).scaled(3)
    assert (guest.pages, guest.bytes_per_s) == (100, 30 * PAGE)


def test_a_table_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "curve"
    file.write_text("# measured\n0.5 400KiB\n\n2   1MiB # level\n")
    guest = ws.read_curve(file)
    assert guest.dirty(0.5) == pytest.approx(100, abs=1)
    assert guest.dirty(9) == pytest.approx(256, abs=1)


def test_rates_over_time_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "curve"
    file.write_text("set 4MiB\n5 2MB/s\n10 8MB/s\n")
    guest = ws.read_curve(file)
    assert guest.pages == 1024
    assert guest.bytes_per_s == pytest.approx(8e6)
    assert guest.pace == ((0, 0.0), (5 * 10**9, 0.25), (10 * 10**9, 1.0))


@pytest.mark.parametrize(("text", "what"), [
    ("", "not a dirty curve"),
    ("0.5", ":1: '0.5' is no point of a dirty curve"),
    ("1 4MB\n0.5 fast", ":2: 'fast' is not a number of B"),
    ("x 4MB", ":1: 'x' is no time in seconds"),
    ("-1 4MB", "no time in seconds"),
    ("1 4MB\n2 5MB/s", "not a dirty curve"),
    ("1 5MB/s", "not a dirty curve"),
    ("set 1MB\n1 4MB", "not a dirty curve"),
    ("set 1MB\n1 0MB/s", "needs a rate above 0"),
])  # fmt: skip
def test_files_that_are_no_curve_are_refused_with_the_line(
    text: str, what: str, tmp_path: Path
) -> None:
    file = tmp_path / "curve"
    file.write_text(text)
    with pytest.raises(BadInput, match=what):
        ws.read_curve(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read the dirty curve"):
        ws.read_curve(tmp_path / "none")


@pytest.mark.parametrize("make", [
    lambda: WriteSet(Pattern.UNIFORM, 0, 1.0),
    lambda: WriteSet(Pattern.UNIFORM, 5, -1.0),
    lambda: WriteSet(Pattern.UNIFORM, 5, math.inf),
    lambda: WriteSet(Pattern.ZIPF, 5, 1.0, 0.0),
    lambda: WorkingSet((), ((5, 1.0),)),
    lambda: WorkingSet((), ((0, 1.0), (0, 2.0))),
    lambda: WorkingSet((), ((0, -1.0),)),
    lambda: ws.hot_cold(100 * PAGE, 1.0, 1.5),
])  # fmt: skip
def test_sets_that_cannot_be_are_refused(make) -> None:
    with pytest.raises(BadInput):
        make()
