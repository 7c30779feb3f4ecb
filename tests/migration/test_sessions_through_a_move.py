"""Connections run through a move: what each step does to them, and that everything adds up."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import migration
from migration.agenda_kernel import heap_pop, heap_push
from migration.path_kernel import (
    HOLD_FULL,
    LOST_AT_RANDOM,
    NO_LISTENER,
    PATH_MTU,
    QUEUE_FULL,
    SUSPENDED,
)
from migration.sessions import find_sessions
from migration.verdict import Verdict
from pcaps import samples
from pcaps.addresses import key_to_mac
from pcaps.errors import BadInput
from vswitch.verdict import DropReason

compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="millions of steps of plain Python"
)
QUICK = {"memory": "1MiB", "at": "200ms", "after": "300ms", "announce": "rarp5"}


def run(n=1, **settings):
    """Replay `n` synthetic sessions through a small, early move."""
    return migration.replay(connections=n, **{**QUICK, **settings})


def adds_up(done):
    found = done.simulation.balance()
    return found["sent"] + found["copies"] == sum(
        found[name] for name in ("delivered", "ended", "under_way", "held")
    )


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_the_heap_gives_entries_in_order_of_time_then_number(times):
    keys = np.zeros(len(times) + 1, np.int64)
    words = np.zeros(len(times) + 1, np.int64)
    for n, time in enumerate(times):
        heap_push(keys, words, n, time, n)
    left = []
    for n in range(len(times), 0, -1):
        left.append((int(keys[0]), int(words[0])))
        heap_pop(keys, words, n)
    assert left == sorted((time, n) for n, time in enumerate(times))


@compiled
@pytest.mark.parametrize("seed", range(12))
def test_every_segment_is_accounted_for(seed):
    draw = np.random.default_rng(seed)
    done = run(
        int(draw.integers(1, 6)),
        traffic=str(draw.choice(["rr", "bulk"])),
        blackout=f"{draw.integers(0, 900)}ms",
        loss=str(draw.choice(["0", "0.02", "0.1"])),
        link=str(draw.choice(["10Mbps", "100Mbps"])),
        queue=str(draw.choice(["3kB", "64KiB"])),
        hold=bool(draw.integers(0, 2)),
        rtt=f"{draw.integers(0, 30)}ms",
        vlan=int(draw.choice([0, 20])),
        seed=seed,
        margins=False,
    )
    assert adds_up(done)
    assert all(outcome.bytes_ok for outcome in done.outcomes)


def test_the_same_seed_gives_the_same_events():
    one, other = (run(3, blackout="500ms", loss="0.05", seed=7, margins=False) for _ in range(2))
    assert one.events == other.events
    assert [o.to_dict() for o in one.outcomes] == [o.to_dict() for o in other.outcomes]
    third = run(3, blackout="500ms", loss="0.05", seed=8, margins=False)
    assert third.events != one.events


@compiled
def test_a_fork_goes_on_as_its_origin_does():
    done = run(3, blackout="400ms", margins=False)
    simulation = migration_before(done, 0.9)
    other = simulation.fork()
    for one in (simulation, other):
        one.run(done.light_ns + 2_000_000_000)
    assert simulation.events == other.events
    assert (simulation.world.endpoints == other.world.endpoints).all()


def migration_before(done, share):
    """Return a simulation of the same connections at a share of the way to the blackout."""
    from migration.run import stage_of
    from migration.simulation import Headers, Simulation

    connections = done.simulation.connections
    stage = stage_of(connections)
    source, _ = stage.hosts()
    fresh = Simulation(connections, done.scenes, stage.path, Headers(connections, source))
    fresh.run(int(done.blackout_ns * share))
    return fresh


def test_the_margin_is_exact():
    base = {"blackout": "700ms", "stack_client": "windows-2008r2", "stack_vm": "windows-2008r2"}
    (outcome,) = run(1, **base).outcomes
    assert outcome.verdict is Verdict.SURVIVED
    longest = 700_000_000 + outcome.margin_ns
    (still,) = run(1, **{**base, "blackout": f"{longest}ns"}, margins=False).outcomes
    assert still.verdict is Verdict.SURVIVED
    (dead,) = run(1, **{**base, "blackout": f"{longest + 10_000}ns"}, margins=False).outcomes
    assert dead.verdict is Verdict.TIMED_OUT
    assert "max_retransmissions 5" in dead.reason
    assert dead.aborted_at_ns is not None


def test_a_connection_that_dies_has_a_negative_margin():
    (dead,) = run(1, blackout="15s", stack_client="windows-2008r2").outcomes
    assert dead.verdict is Verdict.TIMED_OUT
    assert "client" in dead.reason
    assert "retransmission timer" in dead.reason
    assert -15_000_000_000 < dead.margin_ns < 0
    assert dead.stall_ns == pytest.approx(dead.aborted_at_ns, abs=25e6)  # since its last request


def test_the_guests_clock_stands_still():
    # all timers of the VM are its own: however long it is away, it has lost nothing
    (outcome,) = run(
        1, blackout="60s", stack_vm="windows-2008r2", stack_client="linux", margins=False
    ).outcomes
    assert outcome.verdict is Verdict.SURVIVED


@compiled
def test_an_outage_runs_both_clocks():
    (outcome,) = run(
        1, outage=True, blackout="60s", stack_vm="windows-2008r2", traffic="rr", request="4000",
        response="400000", interval="1ms", margins=False,
    ).outcomes  # fmt: skip
    assert outcome.verdict is Verdict.TIMED_OUT
    assert "(the VM)" in outcome.reason


def test_frames_for_a_vm_that_is_away_are_dropped_with_their_reason():
    done = run(1, blackout="500ms", margins=False)
    fates = done.simulation.path.fates
    lost = fates[SUSPENDED] + fates[int(DropReason.UNKNOWN_FROM_UPLINK)]
    assert lost == len(done.outcomes[0].rto_times_ns)
    assert done.late > 0


def test_held_frames_arrive_when_the_vm_is_back():
    dropped = run(1, blackout="500ms", margins=False).outcomes[0]
    held = run(1, blackout="500ms", hold=True, margins=False)
    assert held.held > 0
    assert held.simulation.path.fates[SUSPENDED] == 0
    # a held frame is answered at once; a dropped one waits for the next retransmission
    assert 500_000_000 <= held.outcomes[0].stall_ns < 560_000_000
    assert dropped.stall_ns > held.outcomes[0].stall_ns


def test_what_is_held_is_bounded():
    done = run(4, blackout="500ms", hold=True, hold_frames=2, margins=False)
    assert done.held == 2
    assert done.simulation.path.fates[HOLD_FULL] > 0
    assert adds_up(done)


def test_a_silent_guest_is_found_when_the_switch_forgets_it():
    done = run(1, blackout="100ms", announce="none", interval="400ms", after="400s", margins=False)
    (outcome,) = done.outcomes
    assert outcome.verdict is Verdict.SURVIVED
    assert outcome.stall_ns > 290_000_000_000  # IEEE 802.1Q: 300 s since its last frame
    assert done.simulation.balance()["copies"] > 0  # flooded to both hosts
    announced = run(1, blackout="100ms", interval="400ms", margins=False)
    assert announced.outcomes[0].stall_ns < 1_000_000_000


def test_a_guest_that_owes_an_acknowledgement_is_found_at_once():
    done = run(1, traffic="bulk", blackout="100ms", announce="none", link="5Mbps", margins=False)
    assert done.light_ns - done.blackout_ns < 350_000_000  # its delayed acknowledgement


def test_lost_announcements_cost_time():
    late = run(1, lost_announcements=3, blackout="50ms", interval="5s", margins=False)
    assert late.light_ns - late.blackout_ns == pytest.approx(50e6 + 450e6, abs=1e5)


def test_the_vm_queue_moves_or_none_is_left():
    done = run(1, blackout="10ms", margins=False)
    said = [change.what for host in done.hosts for change in host.changes]
    assert said == [
        "filter of VM queue 1 cleared: its frames take the default queue",
        "VM queue 1 freed",
        "VM queue 1 allocated",
    ]
    full = run(1, blackout="10ms", target_queues=0, margins=False)
    assert "no VM queue is left" in full.hosts[1].changes[0].what
    assert full.outcomes[0].verdict is Verdict.SURVIVED


def test_a_smaller_mtu_on_the_way_is_a_black_hole():
    done = run(
        1, traffic="bulk", blackout="10ms", mtu=9000, switch_mtu=1500, after="1s",
        stack_client="linux:mss=8960", stack_vm="windows-2008r2:mss=8960", margins=False,
    )  # fmt: skip
    assert done.simulation.path.fates[PATH_MTU] > 0
    assert int(done.simulation.world.endpoints[1]["rcv_nxt"]) < 2000


@compiled
def test_losses_and_full_queues_are_counted_on_their_links():
    done = run(
        2, traffic="bulk", blackout="10ms", link="10Mbps", queue="6kB", loss="0.01",
        margins=False,
    )  # fmt: skip
    fates, pipes = done.simulation.path.fates, done.simulation.path.pipes
    assert fates[QUEUE_FULL] == pipes["full"].sum() > 0
    assert fates[LOST_AT_RANDOM] == pipes["lost"].sum() > 0
    assert fates[NO_LISTENER] == 0


@compiled
@pytest.mark.parametrize("kind", ["live", "quick"])
def test_sessions_of_a_sample_come_to_their_captured_end(kind):
    path = samples.path("tcp_sessions")
    for mac, _ in find_sessions([path]).stations():
        done = migration.replay(path, vm=key_to_mac(mac), kind=kind, memory="64MiB", margins=False)
        assert all(outcome.bytes_ok and not outcome.unfaithful for outcome in done.outcomes)
        assert adds_up(done)


@pytest.mark.parametrize("number", [12, 15, 17, 19])
@pytest.mark.slow
def test_sessions_of_real_captures_come_to_their_captured_end(captures, number):
    (path,) = captures.glob(f"{number}_*")
    done = migration.replay(path, blackout="800ms", announce="rarp5", margins=False)
    assert adds_up(done)
    faithful = [outcome for outcome in done.outcomes if not outcome.unfaithful]
    assert len(faithful) == len(done.outcomes)
    assert all(outcome.bytes_ok for outcome in faithful)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"blackout": "2.5"}, "--blackout: '2.5' is not a time"),
        ({"memry": "4GiB"}, "did you mean 'memory'?"),
        ({"stack_client": "linx"}, "did you mean 'linux'?"),
        ({"outage": True}, "give --blackout"),
        ({"link": "0"}, "link"),
        ({"target_memory": "512KiB"}, "the target only"),
        ({"traffic": "rpc"}, "'rpc' is not one of rr, pace, bulk"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(settings, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        run(1, **settings)


def test_captures_or_a_number_not_both():
    with pytest.raises(BadInput, match="either captures or a number"):
        migration.replay()
