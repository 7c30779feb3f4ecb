from __future__ import annotations

import numpy as np

from pcaps import draws
from pcaps.draws import Draws


def test_draws_do_not_depend_on_the_chunks() -> None:
    whole = Draws(7).words(3, 0, 100)
    parts = [Draws(7).words(3, first, 25) for first in (0, 25, 50, 75)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_draws_never_change() -> None:
    assert Draws(1).words(0, 0, 2).tolist() == [4720248854425330031, 1629287585893752162]


def test_the_mixing_is_splitmix64() -> None:
    counter = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # for seed 0
    assert draws._mixed(counter).tolist() == published


def test_seeds_and_streams_differ() -> None:
    seen = {
        int(Draws(seed).words(stream, 0, 1)[0])
        for seed in (0, 1, 2, -1, 2**64, 2**64 + 1)
        for stream in range(4)
    }
    assert len(seen) == 24


def test_uniform_draws_fill_the_unit_interval() -> None:
    values = Draws(5).uniform(0, 0, 100_000)
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.005
    assert np.histogram(values, 10, (0, 1))[0].min() > 9500


def test_integers_stay_below_their_end_and_reach_it() -> None:
    values = Draws(5).integers(0, 0, 10_000, 7)
    assert sorted(set(values.tolist())) == list(range(7))
    assert Draws(5).integers(0, 0, 1000, 2**32).max() < 2**32
