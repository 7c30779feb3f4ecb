"""One short blackout done to the kernel's TCP and, in virtual time, to a recording of it."""

from __future__ import annotations

from dataclasses import replace

import numba
import pytest
from kernel_tcp import TRAFFIC, why_not

from benchmarks.fidelity.kernel import beside, dark_after_ns, recorded, round_trip_ns

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="asks the kernel"),
    pytest.mark.slow,
]
TRIAL = replace(TRAFFIC["rr"], before_s=0.6, blackout_s=0.5, after_s=1.0)


@pytest.fixture(scope="module")
def calm():
    return recorded(TRIAL, 2.0)


def measured(trial, calm):
    """Both sides; again when they differ, since a busy machine may be late once, but not thrice."""
    for _ in range(3):
        pair = beside(trial, calm, round_trip_ns(calm))
        if pair.agrees():
            break
    return pair


def test_the_dark_begins_between_two_requests(calm):
    first = next(frame.ts_ns for frame in calm.frames if frame.data[12:14] == b"\x08\x00")
    dark = first + dark_after_ns(calm, TRIAL)
    before = [frame for frame in calm.frames if frame.ts_ns <= dark]
    assert not before[-1].sent  # an answer was the last
    assert dark - before[-1].ts_ns <= 10_000_000
    assert next(frame for frame in calm.frames if frame.ts_ns > dark).sent


@pytest.mark.parametrize("mode", ["drop", "hold"])
def test_stall_and_retransmissions_are_the_kernels(calm, mode):
    pair = measured(replace(TRIAL, mode=mode), calm)
    assert pair.real.survived
    assert len(pair.real.in_dark_s) == 2  # a tail probe and a timeout
    assert pair.agrees(), (pair.end_s, pair.our_end_s, pair.times_s, pair.our_times_s)


def test_a_death_is_the_kernels(calm):
    pair = measured(replace(TRIAL, blackout_s=5.0, tcp_retries2=3), calm)
    assert not pair.real.survived
    assert pair.agrees(), (pair.end_s, pair.our_end_s, pair.times_s, pair.our_times_s)
