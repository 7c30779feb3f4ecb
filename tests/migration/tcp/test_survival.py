"""How long a blackout each stack lives through: the analytic tables, exact to the microsecond.

The tables reckon with exact timers and without tail loss probes: ``timer_tick=0``,
``timer_wheel=off``, ``tlp=off``. Time 0 is the first transmission, which is lost.
"""

from __future__ import annotations

import pytest
from tcp_pair import US, Pair, Path, S
from tcp_tables import table

from migration.tcp import endpoint_kernel as tcp
from migration.tcp.state_kernel import ALIVE

EXACT = "timer_tick=0,timer_wheel=off,tlp=off"
SPECS = {
    "linux (tcp_retries2=15, rto_min 200ms)": f"linux:{EXACT}",
    "linux (tcp_retries2=8)": f"linux:{EXACT},tcp_retries2=8",
    "windows2008r2 (TcpMaxDataRetransmissions=5, minRTO 300ms)": "windows-2008r2",
    "windows2008r2, RTO 1s": "windows-2008r2:min_rto=1s",
    "windows2008r2, RTO 3s (no RTT sample)": "windows-2008r2",
    "windows (TcpMaxDataRetransmissions=3, CIS hardening)": "windows-hardened",
    "rfc6298/rfc1122 minimum (minRTO 1s, R2=100s)": "rfc",
    "smoltcp (minRTO 1s, max 60s, no default timeout)": "rfc:r2=off",
    "ns-3 (minRTO 1s, DataRetries 6)": "rfc:r2=off,max_retransmissions=6,max_rto=120s",
}
START = 1 * S


def run(name: str, rtt_ms: float, outage_s: float, until_s: float) -> tuple[Pair, list[float]]:
    """One segment is sent as the light goes out; return its retransmissions, s after it."""
    outage = round(outage_s * 1e6) * US
    path = Path(delay=round(rtt_ms * 1000) * US // 2, dark=[(START, START + outage)])
    pair = Pair(SPECS[name], path=path)
    if "no RTT sample" in name:
        for e in (0, 1):
            pair.call(tcp.establish, e, 0, 1, 1, 0, 0)
    else:
        pair.connect()
    pair.run(START - 1)
    pair.at(START, lambda: pair.write(0, 500))
    pair.run(START + round(until_s * S))
    return pair, [time - 1.0 for time in pair.resent(0)]


def test_schedules_and_aborts() -> None:
    rows = table("tcp_survival.csv")
    assert len(rows) == 27
    for row in rows:
        pair, times = run(row["stack"], float(row["rtt_ms"]), 5000.0, 800.0)
        expected = [float(word) for word in row["schedule_s"].split()]
        if row["abort_at_s"] == "inf":
            assert pair[0]["end"] == ALIVE
            times = times[: len(expected)]
        else:
            pair.run(START + 4000 * S)
            times = [time - 1.0 for time in pair.resent(0)]
            assert (int(pair[0]["died"]) - START) / S == pytest.approx(
                float(row["abort_at_s"]), abs=0.001
            )
        assert times == pytest.approx(expected, abs=0.0006), row["stack"]


def test_every_outage_of_the_table() -> None:
    rows = table("tcp_outage.csv")
    assert len(rows) == 729
    for row in rows:
        outage = float(row["outage_s"])
        pair, times = run(row["stack"], float(row["rtt_ms"]), outage, outage + 200.0)
        survives = row["outcome"] == "survives"
        assert (pair[0]["end"] == ALIVE) == survives, row
        assert (pair[0]["una"] == 501) == survives, row
        if survives:
            after = next(time for time in times if time >= outage)
            assert after == pytest.approx(float(row["next_retransmit_s"]), abs=0.0006), row
            stall = after - outage
            assert stall == pytest.approx(float(row["stall_after_outage_s"]), abs=0.0006), row


@pytest.mark.parametrize(
    ("name", "rtt_ms", "schedule", "abort"),
    [
        # Rule: RFC 6298 section 5.5: each timeout doubles
        ("windows2008r2 (TcpMaxDataRetransmissions=5, minRTO 300ms)", 20, [0.3, 0.9, 2.1, 4.5, 9.3], 18.9),
        ("windows (TcpMaxDataRetransmissions=3, CIS hardening)", 20, [0.3, 0.9, 2.1], 4.5),
        # Rule: RFC 9293 section 3.8.3: R2 of 100 s, at a timeout
        ("rfc6298/rfc1122 minimum (minRTO 1s, R2=100s)", 20, [1, 3, 7, 15, 31, 63], 123),
        # Rule: Linux retransmits_timed_out: 102.2 s since the first retransmission
        ("linux (tcp_retries2=8)", 20, [0.22, 0.66, 1.54, 3.3, 6.82, 13.86, 27.94, 56.1], 112.42),
    ],
)  # fmt: skip
def test_figures_that_are_known_by_heart(
    name: str, rtt_ms: float, schedule: list[float], abort: float
) -> None:
    pair, times = run(name, rtt_ms, 5000.0, 1000.0)
    assert times == pytest.approx(schedule, abs=1e-6)
    assert (int(pair[0]["died"]) - START) / S == pytest.approx(abort, abs=1e-6)
