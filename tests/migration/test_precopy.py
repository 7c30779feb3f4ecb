"""Plans of live moves: what each policy does, and what holds for every move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration import precopy, working_set
from migration.links import Link
from migration.move import Move
from migration.move_settings import KINDS, MoveSettings
from migration.policies import POLICIES
from migration.working_set import WorkingSet

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


@st.composite
def any_settings(draw) -> MoveSettings:
    pages = draw(st.integers(1, 600))
    written = draw(st.integers(0, pages))
    make = draw(st.sampled_from([working_set.sequential, working_set.uniform, working_set.zipf]))
    rate = draw(st.sampled_from([0.0, 1e3, 1e6, 1e8]))
    steps = [(0, draw(st.floats(1e5, 1e9)))]
    if draw(st.booleans()):
        steps.append((draw(st.integers(1, 10**9)), draw(st.floats(1e5, 1e9))))
    kind = draw(st.sampled_from(KINDS))
    name = "qemu" if kind == "postcopy" else draw(st.sampled_from(sorted(POLICIES)))
    qemu = name == "qemu" and kind != "quick"
    return MoveSettings(
        memory_bytes=pages * 4096 + draw(st.integers(0, 4095)),
        link=Link.of(steps),
        kind=kind,
        policy=name,
        working_set=make(written * 4096, rate) if written else WorkingSet(),
        zero_pages=draw(st.integers(0, pages - written)),
        zeros_at=draw(st.sampled_from(["end", "spread", "start"])),
        cap_bytes_per_s=draw(st.sampled_from([None, 1e5, 1e7])),
        downtime_limit_ns=draw(st.sampled_from([None, 0, 10**7])) if qemu else None,
        auto_converge=qemu and draw(st.booleans()),
        pass_cap=draw(st.sampled_from([None, 1, 3])) if name != "qemu" and kind == "live" else None,
        postcopy_at_ns=draw(st.sampled_from([None, 0, 10**8])),
        give_up_ns=draw(st.sampled_from([10**8, 10**9])),
        seed=draw(st.integers(0, 9)),
    )


@given(any_settings())
def test_every_move_adds_up_and_is_proved(settings: MoveSettings) -> None:
    move = settings.plan()
    assert 0 <= move.suspend_ns <= move.disconnect_ns <= move.connect_ns <= move.resume_ns
    assert move.resume_ns <= move.end_ns
    assert sum(move.parts.values()) == move.blackout_ns
    assert min(move.parts.values(), default=0) >= 0
    assert move.memory_equal is move.completed
    assert bool(move.why) == (not move.converged)
    assert 0 <= move.downtime_ns <= max(move.blackout_ns, 1)
    assert (
        sum(one.pages_sent for one in move.passes) * 4104 >= move.bytes_sent - 5 or not move.passes
    )
    for start, stop in move.brownout:
        assert move.resume_ns <= start <= stop <= move.end_ns
    assert settings.plan() == move  # the same again
