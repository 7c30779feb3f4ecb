"""Each rule by which a pre-copy ends, in the policy that has it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from numba import config

from migration import precopy, working_set
from migration.copied import Copied, Ending
from migration.links import Link
from migration.memory import Memory
from migration.move import Move
from migration.policies import POLICIES, policy
from migration.rounds import MBIT, run_rounds
from migration.sender import Sender
from migration.working_set import WorkingSet
from pcaps.errors import BadInput

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="millions of steps of plain Python")

MIB, PAGE, MS = 2**20, 4096, 10**6
HOT = working_set.sequential(4 * MIB, 1e9)
"""1024 pages that are dirty again at once."""


def plan(**changes) -> Move:
    settings = {"memory_bytes": 16 * MIB, "working_set": HOT, "link_bytes_per_s": 50e6}
    return precopy.plan(**{**settings, **changes})


def ended(name: str, working_set: WorkingSet, **changes) -> Copied:
    chosen = replace(policy(name), **changes)
    sender = Sender(chosen, Link.of(50e6))
    copied = Copied(Memory(16 * MIB, working_set), sender)
    run_rounds(copied, chosen)
    return copied


@compiled
@pytest.mark.parametrize(
    ("name", "rounds"), [("hyperv-r2", 10), ("hyperv-2012r2", 5), ("xen-4.6", 5)]
)
def test_rounds_are_capped(name: str, rounds: int) -> None:
    copied = ended(name, HOT)
    assert copied.ending is Ending.ROUNDS
    assert len(copied.passes) + 1 == rounds  # the last round's pass ends at the suspension
    move = plan(policy=name)
    assert len(move.passes) == rounds + 1
    assert move.passes[-1].pages_sent == 1024
    assert move.converged is False
    assert move.completed is True


def test_pass_cap_is_the_users_to_change() -> None:
    assert len(plan(policy="hyperv-r2", pass_cap=3).passes) == 4


def test_xen_3_ends_after_29_rounds() -> None:
    copied = ended("xen-3.0", working_set.sequential(60 * PAGE, 1e9), skips_dirty=False)
    assert copied.ending is Ending.ROUNDS
    assert len(copied.passes) == 28


@compiled
def test_xen_3_ends_above_three_times_memory() -> None:
    copied = ended("xen-3.0", working_set.sequential(12 * MIB, 1e10), skips_dirty=False)
    sent = sum(one.pages_sent for one in copied.passes) + copied.sent_pages
    assert copied.ending is Ending.VOLUME
    assert 3 * 4096 < sent <= 4 * 4096


@pytest.mark.parametrize(("name", "dirty", "small"), [
    ("hyperv-r2", 50, True), ("hyperv-r2", 51, False), ("xen-4.6", 49, True), ("xen-4.6", 50, False),
])  # fmt: skip
def test_a_set_of_50_pages_is_small_for_hyperv_and_one_less_for_xen(name, dirty, small) -> None:
    copied = ended(name, working_set.sequential(dirty * PAGE, 1e9))
    assert (copied.ending is Ending.SMALL) is small


def test_xen_3_counts_what_it_sent_and_skipped_and_not_what_is_dirty() -> None:
    """30 pages are always dirty: after the round that sends these 30 it ends, not before."""
    copied = ended("xen-3.0", working_set.sequential(30 * PAGE, 1e9))
    assert copied.ending is Ending.SMALL
    assert len(copied.passes) == 1
    assert copied.sent_pages + int(copied.sender.record.skipped) >= 30


def test_xen_3_skips_pages_that_are_dirty_again_and_sends_them_last() -> None:
    """A round's first batch of 1024 is clean when it is looked at, the second is not."""
    move = plan(policy="xen-3.0", working_set=working_set.sequential(8 * MIB, 1e9))
    assert {one.pages_sent for one in move.passes[1:-1]} == {1024}
    assert move.passes[-1].pages_sent == 2048
    assert move.memory_equal is True


def test_xen_46_skips_nothing() -> None:
    assert all(one.pages_sent == 1024 for one in plan(policy="xen-4.6").passes[1:])


@compiled
def test_xen_data_is_at_most_five_times_memory_less_a_page() -> None:
    """Three times not exceeded, one full round more, and the last one."""
    for rate in (1e8, 1e10):
        move = plan(policy="xen-3.0", working_set=working_set.sequential(16 * MIB, rate))
        assert sum(one.pages_sent for one in move.passes) <= 5 * 4096 - 1


def rates_mbit(move: Move) -> list[float]:
    return [one.bytes_sent / one.duration_ns * 1e9 / MBIT for one in move.passes[:-1]]


def test_adaptive_rate_begins_at_100_mbit_and_follows_the_dirty_rate() -> None:
    guest = working_set.sequential(8 * MIB, 20e6)  # 160 Mbit/s
    move = plan(policy="xen-3.0", rate_rule="paper", working_set=guest, link_bytes_per_s=1e9)
    rates = rates_mbit(move)
    assert rates[0] == pytest.approx(100, rel=1e-3)
    assert max(rates) > 150


def test_adaptive_rate_of_the_source_is_never_lowered() -> None:
    guest = WorkingSet(working_set.sequential(8 * MIB, 40e6).sets, ((0, 1.0), (2 * 10**9, 0.1)))
    by_source, by_paper = (
        rates_mbit(plan(policy="xen-3.0", rate_rule=rule, working_set=guest, link_bytes_per_s=1e9))
        for rule in ("source", "paper")
    )
    falls = [before - after for before, after in pairwise(by_source)]
    assert max(falls) < 1
    assert max(before - after for before, after in pairwise(by_paper)) > 5


def test_adaptive_rate_ends_when_a_round_grows_at_500_mbit() -> None:
    """A small round, in which everything gets dirty: the next is larger, and at the highest rate."""
    chosen = replace(policy("xen-3.0"), rate_rule="source", skips_dirty=False)
    pace = ((0, 0.0), (1300 * MS, 1.0), (1350 * MS, 10.0))
    guest = WorkingSet(working_set.sequential(16 * MIB, 37e6).sets, pace)
    copied = Copied(Memory(16 * MIB, guest), Sender(chosen, Link.of(1e9)))
    run_rounds(copied, chosen)
    assert copied.ending is Ending.GROWTH


def test_qemu_ends_in_mid_pass_and_keeps_what_it_had_not_sent() -> None:
    """Idle, limit 100 ms: it stops when less than 5 MB are left, in the first pass."""
    move = plan(memory_bytes=64 * MIB, working_set=None, downtime_limit_ns=100 * MS)
    assert len(move.passes) == 2
    assert 50e6 * 0.04 < move.passes[-1].bytes_sent < 50e6 * 0.1
    assert move.passes[0].pages_sent + move.passes[-1].pages_sent == 16384
    assert move.syncs == 3  # the beginning, the exact test, the end


def test_qemu_downtime_is_within_the_limit() -> None:
    for limit in (30, 100, 300):
        guest = working_set.sequential(8 * MIB, 10e6)
        move = plan(policy="qemu", working_set=guest, downtime_limit_ns=limit * MS)
        assert move.converged
        assert move.downtime_ns <= (limit + 2 + 1) * MS  # stop and device state are not in it


def test_qemu_looks_at_most_every_50_ms_and_each_rate_window() -> None:
    free = plan(policy="qemu", working_set=working_set.sequential(8 * MIB, 10e6))
    assert min(one.duration_ns for one in free.passes[:-1]) >= 50 * MS
    capped = plan(
        policy="qemu", working_set=working_set.sequential(8 * MIB, 10e6),
        link_bytes_per_s=1e9, cap_bytes_per_s=20e6, downtime_limit_ns=50 * MS,
    )  # fmt: skip
    assert len(capped.passes) > 2
    for one in capped.passes[1:-1]:  # whole windows of 100 ms
        assert one.duration_ns % (100 * MS) == pytest.approx(0, abs=MS)


def test_cap_binds_precopy_but_not_the_last_copy() -> None:
    capped = plan(working_set=None, cap_bytes_per_s=5e6, link_bytes_per_s=50e6)
    first, last = capped.passes[0], capped.passes[-1]
    assert first.bytes_sent / first.duration_ns * 1e9 == pytest.approx(5e6, rel=0.1)
    assert last.bytes_sent / last.duration_ns * 1e9 > 20e6
    # a policy of rounds has the cap on its link, which is lifted then
    capped = plan(policy="hyperv-r2", pass_cap=2, cap_bytes_per_s=5e6)
    first, last = capped.passes[0], capped.passes[-1]
    assert first.bytes_sent / first.duration_ns * 1e9 == pytest.approx(5e6, rel=0.1)
    assert last.pages_sent == 1024
    assert last.bytes_sent / last.duration_ns * 1e9 > 40e6


def test_link_binds_both() -> None:
    move = plan(working_set=None, cap_bytes_per_s=math.inf, link_bytes_per_s=5e6)
    assert move.parts["last copy"] >= move.passes[-1].bytes_sent / 5e6 * 1e9 - MS


def test_qemu_without_a_cap_of_the_users_has_128_mib_a_second() -> None:
    move = plan(memory_bytes=128 * MIB, working_set=None, link_bytes_per_s=1e9)
    first = move.passes[0]
    assert first.bytes_sent / first.duration_ns * 1e9 == pytest.approx(128 * MIB, rel=0.05)


def test_known_bandwidth_takes_the_place_of_the_measured_one() -> None:
    """avail-switchover-bandwidth: told ten times as much, it stops with more left."""
    settings = {"memory_bytes": 64 * MIB, "working_set": None, "downtime_limit_ns": 20 * MS}
    measured, told = plan(**settings), plan(**settings, known_rate_bytes_per_s=500e6)
    assert measured.passes[-1].bytes_sent < 50e6 * 0.02
    assert 50e6 * 0.04 < told.passes[-1].bytes_sent < 500e6 * 0.02


@compiled
@pytest.mark.parametrize("name", POLICIES)
def test_a_guest_that_writes_everything_all_the_time_does_not_converge(name: str) -> None:
    settings = {"policy": name, "working_set": working_set.sequential(16 * MIB, 1e9)}
    if name == "qemu":
        settings["downtime_limit_ns"] = 30 * MS
    move = plan(**settings)
    assert move.converged is False
    assert move.completed is (name != "qemu")
    assert move.why.startswith("It does not converge: ")
    assert "a dirty rate of" in move.why
    assert "MB/s or less" in move.why


@compiled
def test_what_would_make_it_converge_does() -> None:
    guest = working_set.sequential(8 * MIB, 100e6)
    settings = {"working_set": guest, "downtime_limit_ns": 30 * MS}
    assert "a dirty rate of" in plan(**settings).why
    words = plan(**settings).why.split()
    rate = float(words[words.index("rate") + 2]) * 1e6
    limit = float(words[words.index("limit") + 2])
    assert plan(**{**settings, "working_set": working_set.sequential(8 * MIB, rate)}).converged
    assert plan(**{**settings, "downtime_limit_ns": round(limit * 1e9)}).converged


@compiled
def test_a_cancelled_move_leaves_the_vm_where_it_was() -> None:
    move = plan(working_set=working_set.sequential(16 * MIB, 1e9), downtime_limit_ns=30 * MS)
    assert move.completed is False
    assert move.blackout_ns == 0
    assert move.parts == {}
    assert move.memory_equal is False


def test_a_move_is_given_up_in_time() -> None:
    move = plan(give_up_ns=200 * MS, downtime_limit_ns=MS)
    assert move.completed is False
    assert 200 * MS <= move.end_ns < 400 * MS
    assert "the time to give up came" in move.why


@compiled
def test_a_slow_link_that_gets_faster_is_waited_for() -> None:
    guest = working_set.sequential(4 * MIB, 20e6)
    steps = ((0, 10e6), (60 * 10**9, 100e6))
    move = plan(working_set=guest, link_bytes_per_s=steps, downtime_limit_ns=50 * MS)
    assert move.converged
    assert move.suspend_ns > 60 * 10**9


def test_vm_traffic_takes_its_part_of_the_link() -> None:
    alone = plan(working_set=None)
    shared = plan(working_set=None, taken_bytes_per_s=25e6)
    assert shared.total_ns > 1.5 * alone.total_ns


def test_unknown_policy_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'qemu'"):
        policy("qmeu")
    with pytest.raises(BadInput, match="use one of hyperv-r2, "):
        policy("zzz")


@pytest.mark.parametrize(("settings", "what"), [
    ({"pass_cap": 3}, "counts no passes"),
    ({"policy": "hyperv-r2", "pass_cap": 0}, "copies nothing"),
    ({"policy": "hyperv-r2", "downtime_limit_ns": 5}, "knows no downtime limit"),
    ({"policy": "xen-4.6", "auto_converge": True}, "knows no auto-converge"),
    ({"policy": "xen-4.6", "known_rate_bytes_per_s": 5.0}, "knows no known bandwidth"),
    ({"rate_rule": "paper"}, "has no adaptive rate"),
    ({"downtime_limit_ns": -1}, "cannot be met"),
    ({"cap_bytes_per_s": 0}, "sends nothing"),
    ({"link_bytes_per_s": 0}, "leaves 0 bytes/s"),
    ({"link_bytes_per_s": 1e6, "taken_bytes_per_s": 2e6}, "leaves -1e"),
    ({"link_bytes_per_s": ((5, 1e6),)}, "begin at 0 s"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        plan(**settings)
