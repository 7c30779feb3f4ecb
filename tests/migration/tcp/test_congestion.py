"""The congestion window: CUBIC's curve, what it shares with Reno, the end of slow start."""

from __future__ import annotations

import numpy as np
import pytest

from migration.tcp.congestion_kernel import (
    grow,
    idle_restart,
    leave_slow_start,
    reduce,
    undo,
)
from migration.tcp.stacks import stack, stack_rows
from migration.tcp.state_kernel import LOSS, OPEN, RECOVERY
from migration.tcp.world import new_world

MSS, MS, S = 1460, 1_000_000, 1_000_000_000
BETA = 717 / 1024


def window(spec: str, segments: int, rtt_ms: int) -> tuple[np.record, np.record]:
    """An endpoint whose window of so many segments is full."""
    rows = stack_rows([stack(spec)])
    s = new_world(1, rows).endpoints[0]
    s["mss"], s["cwnd"], s["ssthresh"] = MSS, segments * MSS, 1 << 30
    s["srtt"], s["min_rtt"], s["rto"] = 8 * rtt_ms * 1000, rtt_ms * 1000, 300_000
    s["undo_marker"], s["epoch"], s["nxt"] = -1, -1, segments * MSS
    return s, rows[0]


def lose(s: np.record, row: np.record) -> None:
    """A loss in fast recovery, and its repair."""
    reduce(s, row, np.int64(RECOVERY))
    s["una"] = s["recover"]
    s["nxt"] = s["una"] + s["cwnd"]
    s["ca"] = OPEN


def round_trips(s: np.record, row: np.record, begin: int, rtt_ms: int, count: int) -> list[float]:
    """Acknowledge a window each round trip, segment by segment; return cwnd after each, segments."""
    found = []
    for n in range(1, count + 1):
        now = begin + n * rtt_ms * MS
        for _ in range(int(s["cwnd"]) // MSS):
            grow(s, row, np.int64(now), np.int64(MSS))
        found.append(int(s["cwnd"]) / MSS)
    return found


def test_cubic_is_back_at_its_peak_after_k() -> None:
    # Rule: RFC 9438 section 4.2: K = cbrt(Wmax (1 - beta) / C)
    s, row = window("linux", 200, 100)
    lose(s, row)
    assert int(s["cwnd"]) // MSS == int(200 * BETA)
    grow(s, row, np.int64(0), np.int64(MSS))
    k = (200 * (1 - BETA) / 0.4) ** (1 / 3)
    found = round_trips(s, row, 0, 100, 80)
    reached = next(n for n, cwnd in enumerate(found) if cwnd >= 200) * 0.1
    assert reached == pytest.approx(k, rel=0.15)


def test_cubic_follows_its_curve() -> None:
    # Rule: RFC 9438 sections 4.4 and 4.5: flat around the peak, steep after it
    s, row = window("linux", 300, 200)
    lose(s, row)
    found = round_trips(s, row, 0, 200, 70)
    k = (300 * (1 - BETA) / 0.4) ** (1 / 3)
    for n in range(5, 70):
        time = (n + 1) * 0.2
        curve = 0.4 * (time - 0.2 - k) ** 3 + 300
        assert found[n] == pytest.approx(curve, rel=0.06)


def test_cubic_is_at_least_as_fast_as_reno() -> None:
    # Rule: RFC 9438 section 4.3: alpha = 3 (1 - beta) / (1 + beta) a round trip, at short ones
    s, row = window("linux", 20, 1)
    lose(s, row)
    begin = int(s["cwnd"]) / MSS
    found = round_trips(s, row, 0, 1, 10)
    alpha = 3 * (1 - BETA) / (1 + BETA)
    assert found[-1] - begin == pytest.approx(10 * alpha, abs=1.2)


def test_cubic_gives_way_when_it_loses_again_below_its_peak() -> None:
    # Rule: RFC 9438 section 4.7, fast convergence
    s, row = window("linux", 100, 50)
    lose(s, row)
    assert s["w_max"] == 100
    lose(s, row)
    assert s["w_max"] == pytest.approx(int(100 * BETA) * (1 + BETA) / 2, rel=0.01)


def test_reno_adds_a_segment_a_round_trip() -> None:
    # Rule: RFC 5681 section 3.1
    s, row = window("rfc", 10, 100)
    s["ssthresh"] = s["cwnd"]
    found = round_trips(s, row, 0, 100, 5)
    assert found == pytest.approx([11, 12, 13, 14, 15], abs=0.01)


def test_slow_start_doubles_in_a_round_trip() -> None:
    s, row = window("linux:hystart=off", 10, 100)
    assert round_trips(s, row, 0, 100, 3) == [20, 40, 80]
    s["ssthresh"] = 100 * MSS
    assert round_trips(s, row, 400 * MS, 100, 1)[0] <= 104


def test_hystart_leaves_slow_start_when_the_delay_rises() -> None:
    # Rule: Linux hystart_update: eight samples above the least by an eighth, 4 to 16 ms
    s, row = window("linux", 20, 40)
    for rtt in (44_900, 45_100, 45_100):
        leave_slow_start(s, row, np.int64(rtt))
    assert (s["hystart"], s["ssthresh"]) == (2, 1 << 30)
    leave_slow_start(s, row, np.int64(44_000))
    assert s["hystart"] == 0
    for _ in range(8):
        leave_slow_start(s, row, np.int64(46_000))
    assert s["ssthresh"] == s["cwnd"]
    small, row = window("linux", 15, 40)
    for _ in range(20):
        leave_slow_start(small, row, np.int64(90_000))
    assert small["ssthresh"] == 1 << 30


def test_a_reduction_can_be_taken_back() -> None:
    s, row = window("linux", 50, 20)
    reduce(s, row, np.int64(LOSS))
    assert (s["cwnd"], s["ca"]) == (MSS, LOSS)
    undo(s)
    assert (s["cwnd"], s["ssthresh"], s["undo_marker"]) == (50 * MSS, 1 << 30, -1)


def test_a_window_rests_when_nothing_is_sent() -> None:
    # Rule: RFC 5681 section 4.1; Linux halves once an RTO
    for spec, left in (("linux", 40), ("rfc:initial_cwnd=10", 10), ("linux:idle_restart=off", 80)):
        s, row = window(spec, 80, 20)
        s["sent_at"] = 0
        idle_restart(s, row, np.int64(500 * MS))
        assert int(s["cwnd"]) // MSS == left, spec
