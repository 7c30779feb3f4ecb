"""Real Linux TCP through real blackouts, beside ours on the whole path of a replay."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import migration
from benchmarks.fidelity.facts import rows_of
from benchmarks.fidelity.markdown import table
from migration.run import Replay
from migration.verdict import Verdict

TOLERANCE = 0.07
"""A kernel's timers fire late by up to this share of their time."""
PHASE_S = 0.03
"""A schedule counts from the first lost segment, which goes out up to a request's interval later."""
SAWTOOTH_S = 1.2
"""Two teeth of CUBIC's window on the 20 Mbit/s link with its 60 kB of queue."""
STEP_S = 0.05

_HEAD = """## TCP through blackouts

Two ends with kernel TCP of Linux 6.18, a switch between them that goes dark (`blackout.csv`), beside
`migration.replay(outage=True)` with stack `linux`: the same traffic, the same blackout, every frame through adapter and switch.
Times are seconds since the dark began. A retransmission time is right within 7 % and 30 ms, the interval of the requests, since the
phase of the last request is not recorded; a stall is in the right class when it ends with the same retransmission.
Nor is it recorded where in the sawtooth of its window a bulk transfer was: an end that was in recovery sends no tail loss probe
(RFC 8985 7.2), which would put its timer off by 40 ms. A bulk run whose schedule is not ours at 2 s is therefore tried in steps of
50 ms through two teeth; the nearest is shown, and "later" says by how much the dark began later in ours.
"""

_OUTAGES_HEAD = """### Long outages, one way

75 connections that write 200 bytes each 20 ms (`tcp_outage_measured_linux618.csv`), groups by tail loss probe and round trip: outcome, and
the schedule of the longest one's retransmissions. Ours: `traffic="pace"`.
"""


@dataclass(frozen=True)
class Compared:
    """One measured run and ours.

    Parameters
    ----------
    row : dict
        As measured.
    replay : Replay
        Ours.
    later_s : float
        By how much the dark began later in ours, to meet the sawtooth of a bulk transfer.
    """

    row: dict[str, str]
    replay: Replay
    later_s: float = 0.0

    @property
    def theirs(self) -> list[float]:
        """Retransmissions as measured."""
        return [float(word) for word in self.row["rtx_in_dark_s"].split()]

    @property
    def ours(self) -> list[float]:
        """Ours, as long as theirs were noted."""
        dark = float(self.row["blackout_s"])
        times = [time / 1e9 for time in self.replay.outcomes[0].rto_times_ns]
        return [time for time in times if time <= dark or not self.survived]

    @property
    def survived(self) -> bool:
        """Whether the measured connection did."""
        return self.row["survived"] == "1"

    @property
    def verdict_right(self) -> bool:
        """Whether ours says the same."""
        ours = self.replay.outcomes[0].verdict is Verdict.SURVIVED
        return ours == self.survived

    @property
    def timeouts(self) -> list[float]:
        """Theirs without a tail probe; one with new data shows in neither."""
        return self.theirs[1:] if _begins_with_probe(self.theirs) else self.theirs

    @property
    def schedule_right(self) -> bool:
        """Whether each timeout of theirs has one of ours."""
        return all(
            any(abs(one - other) <= TOLERANCE * other + PHASE_S for one in self.ours)
            for other in self.timeouts
        )

    @property
    def furthest_s(self) -> float:
        """How far the timeout of theirs that ours meet worst is from the nearest of ours."""
        apart = [
            min((abs(one - other) for one in self.ours), default=other) for other in self.timeouts
        ]
        return max(apart, default=0.0)

    @property
    def stall_right(self) -> bool:
        """Whether the application of the client stood still as long."""
        if not self.survived:
            return True
        theirs = float(self.row["app_stall_s"])
        ours = self.replay.outcomes[0].stall_ns / 1e9
        return abs(ours - theirs) <= TOLERANCE * theirs + PHASE_S


def _begins_with_probe(times: list[float]) -> bool:
    return bool(times) and times[0] < 0.1


def replayed(row: dict[str, str], later_s: float = 0.0) -> Replay:
    """Run what a row tells of, in a dark that begins later by `later_s`."""
    stack = f"linux:tcp_retries2={row['tcp_retries2']}"
    settings = {
        "outage": True,
        "blackout": f"{float(row['blackout_s'])}s",
        "hold": row["mode"] == "queue",
        "stack_client": stack,
        "stack_vm": stack,
        "at": f"{2 + float(row['phase_s']) + later_s:.3f}s",
        "after": "3s",
        "rtt": "150us",
        "margins": False,
    }
    if row["kind"] == "bulk":
        settings |= {"traffic": "bulk", "link": "20Mbps", "queue": "60kB"}
    return migration.replay(connections=1, **settings)


def compare(facts: Path) -> list[Compared]:
    """Return all rows with ours beside them."""
    return [_compared(row) for row in rows_of(facts, "blackout.csv")]


def _compared(row: dict[str, str]) -> Compared:
    """Return a row with ours: at 2 s, or where the sawtooth of a bulk transfer is met."""
    first = Compared(row, replayed(row))
    if first.schedule_right or row["kind"] != "bulk":
        return first
    steps = [STEP_S * step for step in range(1, round(SAWTOOTH_S / STEP_S) + 1)]
    tried = [first, *(Compared(row, replayed(row, later_s), later_s) for later_s in steps)]
    return min(tried, key=lambda one: one.furthest_s)


def write(facts: Path) -> str:
    """Return the section."""
    compared = compare(facts)
    rows = [_line(one) for one in compared]
    n = len(compared)
    moved = sum(one.later_s > 0 for one in compared)
    verdicts = sum(one.verdict_right for one in compared)
    schedules = sum(one.schedule_right for one in compared)
    survivors = [one for one in compared if one.survived]
    stalls = sum(one.stall_right for one in survivors)
    said = (
        f"Verdict right: {verdicts} of {n}. Schedule right: {schedules} of {n}, "
        f"{moved} of them at another place in the sawtooth. "
        f"Stall right: {stalls} of {len(survivors)}.\n"
    )
    heads = [
        "run",
        "died at",
        "ours",
        "stall",
        "ours",
        "retransmissions in the dark",
        "ours",
        "later",
    ]
    return f"{_HEAD}\n{said}\n{table(heads, rows)}\n{_outages(facts)}"


def _line(one: Compared) -> list[str]:
    outcome = one.replay.outcomes[0]
    died = one.row["died_after_dark_start_s"] or "-"
    # what was measured is the client's end; ours may be given up by the server first
    at_ns = outcome.ended_ns[0]
    ours = "-" if one.survived or at_ns is None else f"{at_ns / 1e9:.2f}"
    stall = f"{outcome.stall_ns / 1e9:.3f}" if one.survived else "-"
    return [
        one.row["tag"],
        died,
        ours if one.verdict_right else f"**{ours}**",
        one.row["app_stall_s"] if one.survived else "-",
        stall if one.stall_right else f"**{stall}**",
        _times(one.theirs),
        _times(one.ours) if one.schedule_right else f"**{_times(one.ours)}**",
        f"{one.later_s:.2f}" if one.later_s else "-",
    ]


def _times(times: list[float]) -> str:
    return " ".join(f"{time:.2f}" for time in times) or "-"


def _outages(facts: Path) -> str:
    """Return the table of long outages, a line for each group."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows_of(facts, "tcp_outage_measured_linux618.csv"):
        groups.setdefault((row["variant"], row["rtt_ms"]), []).append(row)
    lines = []
    for (variant, rtt), rows in groups.items():
        probes = "TLP" in variant and "no TLP" not in variant
        right = sum(_outcome_of(row, probes) == row["outcome"].split()[0] for row in rows)
        longest = max(rows, key=lambda row: len(row["retransmission_times_s_since_first_lost"]))
        theirs = [
            float(word) for word in longest["retransmission_times_s_since_first_lost"].split()
        ]
        ours = _steps(_outage(longest, probes))
        # a probe that is new data in one and not in the other shifts the beginning
        n = min(len(theirs), len(ours))
        pairs = list(zip(_gaps(theirs[-n:]), _gaps(ours[-n:]), strict=True))
        lines.append(
            [
                variant, rtt, f"{right} of {len(rows)}", f"{theirs[-1]:.0f}", f"{ours[-1]:.0f}",
                f"{(median(b / a for a, b in pairs) - 1) * 100:+.1f} %",
            ]
        )  # fmt: skip
    heads = ["variant", "RTT ms", "outcome right", "last at s", "ours", "median step"]
    return f"{_OUTAGES_HEAD}\n{table(heads, lines)}"


def _outage(row: dict[str, str], probes: bool) -> Replay:
    dark = float("inf") if row["outage_s"] == "inf" else float(row["outage_s"])
    return migration.replay(
        connections=1, traffic="pace", request="200", outage=True,
        blackout=f"{min(dark, 2000.0)}s", rtt=f"{float(row['rtt_ms'])}ms", at="2s", after="3s",
        stack_client=f"linux:cc=reno,tlp={'on' if probes else 'off'}", stack_vm="linux:cc=reno",
        margins=False,
    )  # fmt: skip


def _outcome_of(row: dict[str, str], probes: bool) -> str:
    """Return our outcome in the words of the table; `open`: the measured run ended before it was known."""
    if row["outcome"].startswith("open"):
        return "open"
    alive = _outage(row, probes).outcomes[0].verdict is Verdict.SURVIVED
    return "survived" if alive else "aborted"


def _steps(replay: Replay) -> list[float]:
    return [time / 1e9 for time in replay.outcomes[0].rto_times_ns]


def _gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(times)]
