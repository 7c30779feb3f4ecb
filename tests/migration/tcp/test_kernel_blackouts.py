"""Retransmissions through a blackout, held to those of a real Linux kernel.

Each has to be within 7 % of the kernel's, and 12 ms for the phase of the timer's tick,
which is not known; 20 ms where a queue makes the round-trip time swing by as much.
"""

from __future__ import annotations

from functools import cache

import pytest
from tcp_pair import MS, US, Pair, Path, S
from tcp_tables import table
from test_endpoints import exchange

from migration.tcp.state_kernel import ALIVE, ESTABLISHED, RECOVERY
from tests.conftest import JIT_OFF

START = 2 * S


def near(kernel: float, phase: float = 0.012) -> object:
    return pytest.approx(kernel, abs=0.07 * kernel + phase)


def stream(pair: Pair, size: int, every: int, buffer: int) -> None:
    """Write without end: `size` bytes at a time, as far as the send buffer has room."""

    def has_room() -> bool:
        return int(pair[0]["top"] - pair[0]["una"]) + size <= buffer

    def refill(_: object = None) -> None:
        while pair[0]["state"] == ESTABLISHED and has_room():
            pair.write(0, size)

    def tick() -> None:
        if pair[0]["state"] == ESTABLISHED:
            if has_room():
                pair.write(0, size)
            pair.at(pair.now + every, tick)

    pair[0]["nodelay"] = 1
    if every:
        pair.at(pair.now, tick)
    else:
        pair.on_receive[0] = refill
        refill()


def times_of(pair: Pair, start: int, first: float, last: float) -> list[float]:
    times = [(one.at - start) / S for one in pair.log if one.sender == 0 and one.again]
    return [time for time in times if first <= time < last]


LONG = {
    "reno+SACK+TLP (tcp_early_retrans=3)": "linux:cc=reno",
    "reno+SACK no TLP (tcp_early_retrans=0)": "linux:cc=reno,tlp=off",
}


@cache
def long_outage(variant: str, rtt_ms: float, outage_s: float) -> tuple[Pair, int]:
    """200 bytes each 20 ms, and an outage; return the pair and when the first segment was lost."""
    start = START + 8 * MS
    outage = round(outage_s * S)
    path = Path(delay=max(round(rtt_ms * MS) // 2, 10 * US), dark=[(start, start + outage)])
    pair = Pair(LONG[variant], LONG[variant], path)
    pair.connect()
    pair.run(1 * S)
    stream(pair, 200, 20 * MS, 26 * 200)
    pair.run(start + min(outage + 1 * S, 1100 * S))
    return pair, next(one.at for one in pair.log if one.sender == 0 and one.lost and one.size)


def test_long_outages() -> None:
    rows = table("tcp_outage_measured_linux618.csv")
    assert len(rows) == 75
    for row in rows:
        outage = 1e5 if row["outage_s"] == "inf" else float(row["outage_s"])
        pair, lost_at = long_outage(row["variant"], float(row["rtt_ms"]), outage)
        kernel = [float(word) for word in row["retransmission_times_s_since_first_lost"].split()]
        # what is near the end of the outage may fall on either side of it
        clear = [time for time in kernel if time < 0.9 * outage]
        ours = times_of(pair, lost_at, 0.0, outage)[: len(clear)]
        assert ours == [near(time) for time in clear], row
        assert (pair[0]["end"] == ALIVE) == (row["outcome"] == "survived") or row[
            "outcome"
        ] == "open"
        if row["abort_s_since_first_lost"]:
            died = (int(pair[0]["died"]) - lost_at) / S
            assert died == near(float(row["abort_s_since_first_lost"]))


def prepared(row: dict[str, str], dark: list[tuple[int, int]]) -> Pair:
    """One run of blackout.csv, about to begin; a bulk sender is limited by its buffer or by losses."""
    spec = f"linux:tcp_retries2={row['tcp_retries2']}"
    path = Path(delay=75 * US, dark=dark, hold=row["mode"] == "queue")
    if row["kind"] == "bulk":
        path.rate, path.queue = 2_500_000, 60_000
    pair = Pair(spec, spec, path)
    pair.connect()
    pair.run(1 * S)
    if row["kind"] == "rr":
        exchange(pair, 20 * MS)
    else:
        stream(pair, 8192, 0, 1 << 30 if is_recovering(row) else 56_000)
    return pair


def is_recovering(row: dict[str, str]) -> bool:
    """Tell whether the kernel was repairing a loss when the light went out: no tail probe."""
    return row["kind"] == "bulk" and float(row["rtx_in_dark_s"].split()[0]) > 0.1


@cache
def time_of_recovery() -> int:
    """When a sender that is limited by losses is repairing one."""
    pair = prepared(
        {"kind": "bulk", "mode": "drop", "tcp_retries2": "15", "rtx_in_dark_s": "9"}, []
    )
    while pair[0]["ca"] != RECOVERY or pair.now < 2 * S:
        pair.run(pair.now + 2 * MS)
    return pair.now


def test_blackouts() -> None:
    rows = table("blackout.csv")
    assert len(rows) == 21
    for row in rows:
        if JIT_OFF and row["kind"] == "bulk":
            continue  # tens of thousands of segments each
        kernel = [float(word) for word in row["rtx_in_dark_s"].split()]
        start = time_of_recovery() if is_recovering(row) else 2 * S + 13 * MS
        stop = start + round(float(row["blackout_s"]) * S)
        pair = prepared(row, [(start, stop)])
        pair.run(stop + (40 * S if row["kind"] == "rr" else 1 * S))
        length = (stop - start) / S
        phase = 0.012 if row["kind"] == "rr" else 0.020
        ours = times_of(pair, start, 0.0, length)
        assert ours == [near(time, phase) for time in kernel], row["tag"]
        if row["survived"] == "0":
            pair.run(start + 200 * S)
            died = (int(pair[0]["died"]) - start) / S
            assert died == near(float(row["died_after_dark_start_s"]), phase), row["tag"]
            continue
        assert pair[0]["end"] == ALIVE
        after = times_of(pair, start, length, 1e9)
        if row["mode"] == "drop" and length < 5:
            pair.run(stop + 3 * S)
            after = times_of(pair, start, length, 1e9)
            assert after[0] == near(float(row["first_rtx_after_s"]), phase), row["tag"]
        if row["kind"] == "rr":
            assert len(after) == int(row["n_rtx_after"]), row["tag"]
        elif row["mode"] == "drop" and length < 2:
            assert len(after) > 10  # the whole flight is sent again
