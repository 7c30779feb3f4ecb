"""The event loop of the modelled host equals its plain twin, to the picosecond, on random hosts."""

import numba
import numpy as np
import pytest
from hosts import random_bench

from vswitch import host_state_kernel as s
from vswitch.host_reference import PlainHost
from vswitch.latency import row_bounds_ns
from vswitch.modelled import Modelled
from vswitch.timed import Clockwork

HOSTS = 12 if numba.config.DISABLE_JIT else 400
PARTS = 4


def both(bench):
    settings = (bench.profile, bench.queue_processors, bench.guest_processors)
    options = {"unmoderated": bench.unmoderated, "acks": bench.acks}
    clockwork, plain = Clockwork(*settings, **options), PlainHost(*settings, **options)
    lost = clockwork.serve(bench.times, bench.columns).tolist()
    clockwork.finish()
    plain_lost = [
        number
        for number, one in enumerate(bench.arrivals)
        if not plain.arrive(one.when, one.way, one.queue, one.seat, one.wire, one.load, one.copies)
    ]
    plain.finish()
    assert lost == plain_lost
    return clockwork, plain


def fields(records, *names):
    return [tuple(int(record[name]) for name in names) for record in records]


def attributes(things, *names):
    return [tuple(getattr(thing, name) for name in names) for thing in things]


@pytest.mark.parametrize("part", range(PARTS))
def test_event_loop_equals_its_plain_twin(part):
    for seed in range(part, HOSTS, PARTS):
        bench = random_bench(seed, 60 if numba.config.DISABLE_JIT else 300)
        clockwork, plain = both(bench)
        state = clockwork.state
        totals = state.totals
        assert [
            totals[place]
            for place in (s.SIGNALS, s.INTERRUPTS, s.DPCS, s.LAST, s.LONGEST, s.ABSORBED,
                          s.HELD_BACK)
        ] == [
            plain.signals, plain.interrupts, plain.dpcs, plain.last, plain.longest,
            plain.absorbed, plain.held_back,
        ], seed  # fmt: skip
        names = ("parent_busy", "guest_busy")
        assert fields(state.processors, *names) == attributes(plain.processors, *names)
        names = ("frames", "payload", "busy", "lost", "peak")
        assert fields(state.seats, *names) == attributes(plain.seats, *names)
        names = ("frames", "lost", "peak", "moves", "used")
        assert fields(state.queues, *names) == attributes(plain.queues, *names)
        for way, row in enumerate(state.counts.tolist()):
            assert row == [plain.counts[way, name] for name in ("frames", "wire", "payload")]


@pytest.mark.parametrize("part", range(PARTS))
def test_latencies_are_in_the_rows_that_hold_them(part):
    for seed in range(part, HOSTS // 4, PARTS):
        clockwork, plain = both(random_bench(seed, 60))
        wanted = np.zeros(s.LATENCY_ROWS, np.int64)
        for ns, frames in plain.latencies_ns.items():
            row = int(s.latency_row(np.int64(ns)))
            first, behind = row_bounds_ns(row)
            assert first <= ns < behind
            wanted[row] += frames
        assert (clockwork.state.latency == wanted).all()


@pytest.mark.parametrize("part", range(PARTS))
def test_everything_adds_up_on_every_random_host(part):
    for seed in range(part, HOSTS, PARTS):
        bench = random_bench(seed, 60)
        clockwork = Clockwork(
            bench.profile, bench.queue_processors, bench.guest_processors,
            unmoderated=bench.unmoderated, acks=bench.acks,
        )  # fmt: skip
        clockwork.serve(bench.times, bench.columns)
        clockwork.finish()
        modelled = Modelled(clockwork, int(bench.times[-1]))
        modelled.check()
        # cycles are counts times constants; time is the same but for rounding to picoseconds
        cycles = sum(one.cycles for one in modelled.spent)
        busy_ps = sum(
            int(clockwork.state.processors[name].sum()) for name in ("parent_busy", "guest_busy")
        )
        assert cycles * bench.profile.ps_per_cycle == pytest.approx(busy_ps, rel=2e-3, abs=2000)


def test_any_division_into_batches_gives_the_same():
    bench = random_bench(7)
    settings = (bench.profile, bench.queue_processors, bench.guest_processors)
    whole = Clockwork(*settings)
    lost = whole.serve(bench.times, bench.columns).tolist()
    whole.finish()
    parts = Clockwork(*settings)
    found, arrivals = [], bench.arrivals
    for first in range(0, len(arrivals), 13):
        bench.arrivals = arrivals[first : first + 13]
        found += (parts.serve(bench.times, bench.columns) + first).tolist()
    parts.finish()
    assert found == lost
    for name in ("totals", "latency", "counts", "busy"):
        mine, theirs = getattr(parts.state, name), getattr(whole.state, name)
        if name == "totals":  # which nodes are free is no result
            mine, theirs = np.delete(mine, s.FREE), np.delete(theirs, s.FREE)
        assert (mine == theirs).all(), name
