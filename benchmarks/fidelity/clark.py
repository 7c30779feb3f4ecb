"""Clark et al. 2005: their rounds, sent again at the rates that Xen's adaptive rule gives.

The paper tells what each round sent, not how the guests wrote; so the sizes of the rounds are taken
from it, and times, rates and the last copy are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.fidelity.facts import rows_of
from benchmarks.fidelity.markdown import deviation, table
from migration.blackout import finish
from migration.copied import Copied
from migration.links import Link
from migration.move import Move
from migration.policies import policy
from migration.rounds import run_rounds
from migration.sender import Sender

MB, PAGE, MBIT = 1e6, 4096, 125_000.0
LINK = 1e9 / 8 * 0.941
"""Gigabit Ethernet, full TCP segments."""


class RoundTrace:
    """A guest of which is known what each round sent."""

    def __init__(self, rounds: list[float], memory_bytes: float) -> None:
        self.pages = round(memory_bytes / PAGE)
        self._rounds = [round(one * MB / PAGE) for one in rounds]
        self._next = 0
        self.pending = 0

    def begin(self, now_ns: float) -> None:
        """The first round is to send."""
        self.pending, self._next = self._rounds[0], 1

    def sync(self, now_ns: float) -> int:
        """The next round is to send."""
        self.pending = self._rounds[self._next]
        self._next += 1
        return self.pending

    def dirty(self, now_ns: float) -> int:
        """Pages of the next round."""
        return self._rounds[self._next]

    def push(self, sender: Sender, tested: bool) -> bool:
        """Not as QEMU."""
        raise NotImplementedError("rounds only")

    def send_all(self, sender: Sender, skip: bool) -> None:
        """Send the round at the link's rate."""
        s = sender.record
        s.now_ns = s.wire_free_ns = s.now_ns + self.pending * PAGE / sender.link_rate[0]
        s.sent_pages += self.pending
        s.sent_bytes += self.pending * PAGE
        self.pending = 0

    def throttle(self, now_ns: float, share: float) -> None:
        """Not as QEMU."""
        raise NotImplementedError("rounds only")

    def stop(self, now_ns: float) -> None:
        """Stop: what the last round sent is what was left."""

    def equal(self) -> None:
        """No pages."""


@dataclass(frozen=True)
class Workload:
    """A workload of the paper."""

    name: str
    memory_bytes: float
    rounds: list[float]
    downtime_ms: float


DOWNTIMES_MS = {"SPECweb99": 210.0, "Quake": 60.0, "MMuncher": 3500.0}
"""As printed: section 6 of the paper."""


def workloads(facts: Path) -> list[Workload]:
    """Return the workloads whose rounds are all known."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows_of(facts, "clark2005.csv"):
        if row["round"].isdigit():
            found.setdefault(row["workload"], []).append(
                (float(row["vm_memory_MB"]), float(row["transferred_MB"]))
            )
    several = []
    for name, rounds in found.items():
        downtime = next((ms for key, ms in DOWNTIMES_MS.items() if name.startswith(key)), None)
        if downtime is not None:
            sizes = [size for _, size in rounds]
            several.append(Workload(name, rounds[0][0] * MB, sizes, downtime))
    return several


def replay(workload: Workload) -> Move:
    """Send a workload's rounds by the paper's rule."""
    chosen = replace(
        policy("xen-3.0"),
        rate_rule="paper", small_pages=0, stops_growing=False, max_factor=None,
        max_rounds=len(workload.rounds) - 1,
    )  # fmt: skip
    sender = Sender(chosen, Link.of(LINK), math.inf)
    copied = Copied(RoundTrace(workload.rounds, workload.memory_bytes), sender)
    run_rounds(copied, chosen)
    return finish(copied, chosen, int(workload.memory_bytes))


def rates_mbit(move: Move) -> list[float]:
    """Return the rate of each round before the suspension."""
    return [one.bytes_sent * 8e3 / one.duration_ns for one in move.passes[:-1]]


def write(facts: Path) -> str:
    """Return the section."""
    rows, rates = [], []
    for workload in workloads(facts):
        move = replay(workload)
        rows.append(
            [
                workload.name, str(len(workload.rounds)), f"{sum(workload.rounds):,.1f}",
                f"{move.bytes_sent / MB:,.1f}", f"{move.suspend_ns / 1e9:,.1f}",
                f"{workload.downtime_ms:,.0f}", f"{move.blackout_ns / 1e6:,.0f}",
                deviation(move.blackout_ns / 1e6, workload.downtime_ms),
            ]
        )  # fmt: skip
        rates.append(f"* {workload.name}: " + " ".join(f"{one:.0f}" for one in rates_mbit(move)))
    heads = (
        "workload", "rounds", "MB, published", "ours", "s until suspended, ours",
        "downtime ms, published", "ours", "deviation",
    )  # fmt: skip
    return f"""## Clark et al. 2005 (Xen)

Source: `clark2005.csv` (rounds believed, from the paper's figures; 210 and 60 ms read). The rounds' sizes are the paper's, the rates and
times ours: the first at 100 Mbit/s, then the last round's dirty rate + 50, the last copy at what gigabit Ethernet gives
({LINK / MB:.1f} MB/s), 25 ms to start.

{table(heads, rows)}
Rates of the rounds, Mbit/s, ours:

{chr(10).join(rates)}

SPECweb99's 18.2 MB in 201 ms were 91 MB/s: gigabit Ethernet of that time did not carry more; with our {LINK / MB:.1f} MB/s the copy is
shorter. The diabolical writer's last 222.5 MB were sent at the cap of 500 Mbit/s, while our last copy has no cap: twice as fast.
Quake 3's start took 40 ms and SPECweb99's 9 ms; ours takes 25, the middle.
"""
