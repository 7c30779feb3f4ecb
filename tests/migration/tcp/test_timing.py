"""Timers and round-trip estimates, held to plain twins."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.tcp.stacks import stack, stack_rows
from migration.tcp.state_kernel import ENDPOINT
from migration.tcp.timing_kernel import after, back_off, next_timer, sample
from migration.tcp.world import new_world

TICK, MS, S = 4_000_000, 1_000_000, 1_000_000_000
WHEEL = stack_rows([stack("linux")])[0]
EXACT = stack_rows([stack("linux:timer_wheel=off,timer_tick=0")])[0]
TICKS = stack_rows([stack("linux:timer_wheel=off")])[0]

LEVELS = [(0, 1), (63, 8), (504, 64), (4032, 512), (32256, 4096)]
"""Ticks from which a level of the wheel is used, and its granularity."""


def wheel_fires(now: int, delay: int) -> int:
    """When a timer of the wheel fires: a walk over ticks, as slow as it is plain."""
    ticks = -(-delay // TICK)
    granularity = [grain for first, grain in LEVELS if ticks >= first][-1]
    tick = now // TICK + ticks + 1
    while tick % granularity:
        tick += 1
    return tick * TICK


@given(st.integers(0, 10**13), st.integers(1, 130 * S))
def test_the_wheel_fires_at_its_granularity(now: int, delay: int) -> None:
    fires = int(after(WHEEL, np.int64(now), np.int64(delay)))
    assert fires == wheel_fires(now, delay)
    assert fires >= now + delay
    ticks = -(-delay // TICK)
    granularity = [grain for first, grain in LEVELS if ticks >= first][-1]
    assert fires - now - delay <= (granularity + 1) * TICK


@given(st.integers(0, 10**13), st.integers(0, 130 * S))
def test_timers_without_a_wheel(now: int, delay: int) -> None:
    assert after(EXACT, np.int64(now), np.int64(delay)) == now + delay
    fires = int(after(TICKS, np.int64(now), np.int64(delay)))
    assert fires % TICK == 0
    assert 0 <= fires - now - delay < TICK


@pytest.mark.parametrize(
    ("seconds", "fires"), [(0.204, 0.208), (0.408, 0.416), (0.816, 0.832), (1.632, 1.664), (3.264, 3.328), (120.0, 120.832)]
)  # fmt: skip
def test_doubled_timeouts_as_a_kernel_has_them(seconds: float, fires: float) -> None:
    assert after(WHEEL, np.int64(0), np.int64(round(seconds * S))) == round(fires * S)


def samples(spec: str, rtts_us: list[int]) -> np.record:
    rows = stack_rows([stack(spec)])
    world = new_world(1, rows)
    s = world.endpoints[0]
    s["rto"] = rows[0]["rto_initial"]
    for rtt in rtts_us:
        sample(rows[0], s, np.int64(rtt * 1000))
        s["una"] += 1  # a round trip has passed
        s["nxt"] = s["una"]
    return s


RTTS = st.lists(st.integers(1, 3_000_000), min_size=1, max_size=40)


@given(RTTS)
def test_the_estimate_is_that_of_rfc_6298(rtts: list[int]) -> None:
    # Rule: RFC 6298 sections 2.2 to 2.5, in exact fractions
    srtt = Fraction(rtts[0])
    rttvar = srtt / 2
    for rtt in rtts[1:]:
        rttvar = Fraction(3, 4) * rttvar + Fraction(1, 4) * abs(srtt - rtt)
        srtt = Fraction(7, 8) * srtt + Fraction(1, 8) * rtt
    rto = min(max(srtt + max(Fraction(100_000), 4 * rttvar), 1_000_000), 60_000_000)
    s = samples("rfc", rtts)
    assert abs(int(s["srtt"]) / 8 - srtt) <= 2
    assert abs(int(s["rttvar"]) / 4 - rttvar) <= 8
    assert abs(int(s["rto"]) - rto) <= 40
    assert s["min_rtt"] == min(rtts)


def linux_estimate(rtts: list[int]) -> tuple[int, int]:
    """srtt in eighths and the deviation times four: what the kernel's comments describe."""
    srtt = deviation = worst = mean = 0
    for n, rtt in enumerate(rtts):
        if n == 0:
            srtt, mean = 8 * rtt, 2 * rtt
            deviation = worst = max(mean, 200_000)
            continue
        error = rtt - srtt // 8
        srtt += error
        surplus = abs(error) - mean // 4
        if error < 0 < surplus:
            surplus //= 8
        mean += surplus
        worst = max(worst, mean)
        deviation = max(deviation, worst)
        if worst < deviation:
            deviation -= (deviation - worst) // 4
        worst = 200_000
    return max(srtt, 1), deviation


@given(RTTS)
def test_the_estimate_is_that_of_linux(rtts: list[int]) -> None:
    s = samples("linux:timer_tick=0,timer_wheel=off", rtts)
    srtt, deviation = linux_estimate(rtts)
    assert (s["srtt"], s["rttvar"]) == (srtt, deviation)
    assert s["rto"] == min(srtt // 8 + deviation, 120_000_000)


@given(st.integers(1, 3_000_000), st.integers(0, 20))
def test_backoff_doubles_up_to_the_ceiling(rtt: int, times: int) -> None:
    s = samples("rfc", [rtt])
    first = int(s["rto"])
    for _ in range(times):
        back_off(stack_rows([stack("rfc")])[0], s)
    assert s["rto"] == min(first << times, 60_000_000)


def test_the_next_timer_is_the_earliest() -> None:
    s = np.zeros(1, ENDPOINT)[0]
    s["t_rtx"], s["t_ack"], s["t_keep"], s["state"] = 30, 20, 10, 4
    assert next_timer(s) == 10
    s["more"] = 1
    assert next_timer(s) == 0
