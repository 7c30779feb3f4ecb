"""Post-copy: the guest waits for what it touches, and ends with all of its memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_memory import pairs

from migration import postcopy, precopy
from migration import postcopy_kernel as k
from migration import working_set as ws
from migration.memory import NEVER
from migration.memory_reference import PlainTarget
from migration.policies import policy
from pcaps.errors import BadInput

MIB, MS = 2**20, 10**6


def plan(**changes):
    settings = {
        "memory_bytes": 16 * MIB, "working_set": ws.sequential(8 * MIB, 40e6),
        "link_bytes_per_s": 20e6, "downtime_limit_ns": 10 * MS,
    }  # fmt: skip
    return postcopy.plan(**{**settings, **changes})


@given(pairs(), st.integers(0, 2 * 10**6))
def test_kernel_and_twin_do_the_same(pair, latency_ns: int) -> None:
    memory, sender, twin, plain, bursts = pair
    memory.begin(sender.now_ns)
    twin.begin(plain.now)
    if bursts:
        sender.record.deadline_ns = plain.deadline = sender.now_ns + 100_000
        memory.push(sender, False)
        twin.push(plain, False)
    else:
        memory.send_all(sender, False)
        twin.send_all(plain, False)
    memory.sync(sender.now_ns)
    twin.sync(plain.now)
    resume = float(round(max(sender.wire_free_ns, sender.now_ns)))
    memory.resume_at(resume)
    twin.written_ns, twin.share, twin.running = resume, 1.0, True
    target = postcopy.target_of(memory, int(sender.record.socket_bytes), latency_ns)
    target.state[0].gap_ns = -math.inf  # every stall by itself
    end = k.push_missing(memory.columns, sender.rows, sender.link_start, sender.link_rate, target)
    other = PlainTarget(twin, latency_ns)
    assert end == other.push(plain)
    state = target.state[0]
    assert state.requests == other.requests
    assert target.brownout[: state.intervals].tolist() == [list(one) for one in other.stalls]
    written = np.zeros(memory.pages, np.uint32)
    for page, n in other.written.items():
        written[page] = n
    assert target.written.tolist() == written.tolist()
    assert memory.pending == 0
    assert k.unequal_after(memory.columns, target) == 0
    assert other.absent == set()


@pytest.mark.parametrize("make", [ws.sequential, ws.uniform, ws.zipf, ws.hot_cold])
def test_the_guest_has_all_its_memory_in_the_end(make) -> None:
    move = plan(working_set=make(8 * MIB, 40e6))
    assert move.memory_equal is True
    assert move.converged is True
    assert move.kind == "postcopy"


def test_stop_is_short_whatever_is_missing() -> None:
    assert plan().blackout_ns < 200 * MS < precopy.plan(
        memory_bytes=16 * MIB, working_set=ws.sequential(8 * MIB, 40e6), link_bytes_per_s=20e6,
        policy="hyperv-r2",
    ).blackout_ns  # fmt: skip


def test_missing_pages_come_at_the_rate_of_the_link() -> None:
    move = plan()
    last = move.passes[-1]
    assert last.pages_sent == 2048
    assert last.bytes_sent / (move.end_ns - move.resume_ns) * 1e9 == pytest.approx(20e6, rel=0.3)


def test_waits_lie_between_resumption_and_end_in_order() -> None:
    move = plan()
    times = [t for interval in move.brownout for t in interval]
    assert times == sorted(times)
    assert move.resume_ns <= times[0]
    assert times[-1] <= move.end_ns
    assert move.page_requests >= len(move.brownout) > 0


def test_a_request_waits_for_what_the_socket_holds_and_two_latencies() -> None:
    """2.5 MB at 20 MB/s are 125 ms; one page, asked for once."""
    one = ws.sequential(4096, 4096 * 1e4)
    near, far = (
        plan(working_set=one, memory_bytes=64 * MIB, start_at_ns=1500 * MS, latency_ns=ns)
        for ns in (0, 20 * MS)
    )
    assert (near.page_requests, far.page_requests) == (1, 1)
    waits = [move.brownout[0][1] - move.brownout[0][0] for move in (near, far)]
    assert waits[0] == pytest.approx(125 * MS, rel=0.1)
    assert waits[1] - waits[0] == pytest.approx(40 * MS, abs=MS)


def test_an_idle_guest_never_waits() -> None:
    move = plan(working_set=None, start_at_ns=100 * MS)
    assert move.brownout == ()
    assert move.page_requests == 0
    assert move.memory_equal is True


def test_it_switches_at_the_first_look_after_its_time() -> None:
    move = plan(start_at_ns=1000 * MS)
    assert 1000 * MS <= move.suspend_ns < 1200 * MS


def test_a_precopy_that_ends_before_is_a_precopy() -> None:
    move = plan(working_set=None, start_at_ns=3600 * 1000 * MS)
    assert move.brownout == ()
    assert move.downtime_ns <= 20 * MS


def test_it_is_given_up_before_its_time() -> None:
    move = plan(start_at_ns=10_000 * MS, give_up_ns=900 * MS)
    assert move.completed is False
    assert move.kind == "postcopy"


def test_a_guest_with_a_pace_waits_no_more_when_it_writes_no_more() -> None:
    pace = ((0, 1.0), (900 * MS, 0.0))
    quiet = ws.WorkingSet(ws.sequential(8 * MIB, 40e6).sets, pace)
    move = plan(working_set=quiet)
    assert move.memory_equal is True
    assert move.page_requests < plan().page_requests


@pytest.mark.parametrize(("settings", "what"), [
    ({"policy": "hyperv-r2"}, "has no post-copy; take qemu"),
    ({"latency_ns": -1}, "cannot be below 0"),
    ({"start_at_ns": -1}, "cannot be below 0"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        plan(**settings)


def test_never_is_no_version_of_a_page_that_was_sent() -> None:
    assert NEVER == 2**32 - 1
    assert policy("qemu").looks == "bursts"
