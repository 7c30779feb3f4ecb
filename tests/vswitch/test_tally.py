"""Counters over batches and over changes of ports."""

from __future__ import annotations

import pytest

from vswitch.ports import Network, Port
from vswitch.stats_kernel import (
    S_COPIES,
    S_DROPPED,
    S_FIRST,
    S_FLOODED,
    S_FRAMES,
    S_PORTS,
    SP_FLOOD_FRAMES,
    SP_FRAMES,
    STAT_WORDS,
)
from vswitch.tally import Drops, Tally, new_stats
from vswitch.verdict import DropReason


def network(*names: str) -> Network:
    ports = (Port(name=name, mac=f"02:00:00:00:00:{n:02x}") for n, name in enumerate(names))
    return Network(name="n", ports=tuple(ports))


def stats(net: Network, *frames: int, flooded: int = 0, dropped: int = 0):
    made = new_stats(net)
    for number, n in enumerate(frames):
        made[S_PORTS + number * STAT_WORDS + SP_FRAMES] = n
    if flooded:
        made[S_FLOODED] = made[S_COPIES] = made[S_PORTS + SP_FLOOD_FRAMES] = flooded
    if dropped:
        made[S_DROPPED + DropReason.RUNT] = dropped
        made[S_FIRST + DropReason.RUNT] = 3
    made[S_FRAMES] = sum(frames) + flooded + dropped
    return made


def test_ports_are_counted_by_name_through_changes_of_the_network() -> None:
    before, after = network("a", "b"), network("b", "c")
    tally = Tally()
    tally.add(before, stats(before, 1, 2))
    tally.add(before, stats(before, 10, 20, flooded=5))
    tally.add(after, stats(after, 100, 200))
    tally.add(before, stats(before, 1000, 0))
    assert {name: count.frames for name, count in tally.ports.items()} == {
        "a": 1011, "b": 122, "c": 200,
    }  # fmt: skip
    assert (tally.frames, tally.unicast, tally.flooded, tally.copies) == (1338, 1333, 5, 1338)
    tally.check()


def test_counters_may_be_read_between_batches() -> None:
    net = network("a")
    tally = Tally()
    for total in (7, 14, 21):
        tally.add(net, stats(net, 7))
        assert tally.ports["a"].frames == total


def test_the_first_drop_keeps_its_number_and_capture() -> None:
    net = network("a")
    tally = Tally()
    tally.add(net, stats(net, 1), 0, 0)
    tally.add(net, stats(net, 0, dropped=2), 100, 1)
    tally.add(net, stats(net, 0, dropped=4), 0, 2)
    assert tally.drops == {DropReason.RUNT: Drops(6, 103, 1)}


@pytest.mark.parametrize("word", [S_FRAMES, S_COPIES])
def test_counters_that_do_not_add_up_are_an_error(word: int) -> None:
    net = network("a")
    wrong = stats(net, 3, flooded=1)
    wrong[word] += 1
    tally = Tally()
    tally.add(net, wrong)
    with pytest.raises(AssertionError):
        tally.check()
