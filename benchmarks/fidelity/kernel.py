"""The same blackouts done twice: to the kernel's TCP in namespaces, and in virtual time.

The traffic is recorded once without a blackout. Then the kernel lives through each blackout for
real, and the recording lives through the same one here, at the same place between two requests.
Needs root, and four minutes; so the section is written only when asked for, else kept.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks.fidelity.facts import ROOT
from benchmarks.fidelity.markdown import deviation, table

sys.path.insert(0, str(ROOT / "tests" / "oracles"))

from kernel_tcp import TRAFFIC, VM_MAC, Outcome, Trial, run, why_not

from migration import replay
from migration.verdict import Outcome as Ours
from pcaps.frames import Frames

__all__ = [
    "Pair",
    "beside",
    "dark_after_ns",
    "kept",
    "recorded",
    "round_trip_ns",
    "why_not",
    "write",
]

BLACKOUTS_S = (0.1, 0.5, 1.0, 2.0, 5.0)
DEADLY = ((3, 2.0), (3, 5.0))
"""tcp_retries2 and blackout of those that some connections do not survive."""
FULL = Trial("rr").tcp_retries2
HEADING = "## The kernel's TCP, on this machine"
WITHIN = 0.07
"""The kernel's timers are late by up to that share."""
GRAIN_S = {"rr": 0.020, "bulk": 0.050}
"""By what chance decides: one pause of the application; two round trips with a full queue."""


@dataclass(frozen=True)
class Pair:
    """One blackout, done for real and in virtual time.

    Parameters
    ----------
    trial : Trial
        What was done.
    real : Outcome
        What the kernel did.
    ours : Ours
        What the emulated ends did.
    """

    trial: Trial
    real: Outcome
    ours: Ours

    @property
    def survived(self) -> bool:
        """Whether the emulated connection lived on."""
        return self.ours.verdict in ("survived", "finished")

    @property
    def end_s(self) -> float:
        """When the first end of the kernel's died; the stall where none did."""
        died = [at for at in (self.real.died_s, self.real.vm_died_s) if at is not None]
        return min(died, default=self.real.stall_s)

    @property
    def our_end_s(self) -> float:
        """When the first emulated end died; the stall where none did."""
        at_ns = self.ours.aborted_at_ns
        return (self.ours.stall_ns if at_ns is None else at_ns) / 1e9

    @property
    def times_s(self) -> list[float]:
        """Retransmissions of the kernel's client: in the dark, and for lost frames the first after it."""
        return [*self.real.in_dark_s, *self.real.after_s[: self._drops]]

    @property
    def our_times_s(self) -> list[float]:
        """The same of the emulated client."""
        times = [time / 1e9 for time in self.ours.rto_times_ns]
        dark = [time for time in times if time < self.trial.blackout_s]
        return times[: len(dark) + self._drops]

    @property
    def _drops(self) -> int:
        return int(self.trial.mode == "drop")

    def agrees(self) -> bool:
        """Whether survival, stall or death, and what was sent again in the dark are the same."""
        ours, theirs = self.our_times_s, self.times_s
        return (
            self.survived == self.real.survived
            and self.end_agrees
            and len(ours) == len(theirs)
            and all(map(self._close, ours, theirs))
        )

    @property
    def end_agrees(self) -> bool:
        """Whether stall or death are at the same time, but for lateness and chance."""
        return self._close(self.our_end_s, self.end_s)

    def _close(self, ours_s: float, theirs_s: float) -> bool:
        return abs(ours_s - theirs_s) <= WITHIN * theirs_s + GRAIN_S[self.trial.kind]


def recorded(trial: Trial, longest_s: float) -> Outcome:
    """Record the traffic of a trial without a blackout, long enough for one."""
    return run(replace(trial, blackout_s=0.0, after_s=longest_s))


def beside(trial: Trial, calm: Outcome, rtt_ns: int) -> Pair:
    """Do a blackout for real, and then in virtual time to a recording.

    Parameters
    ----------
    trial : Trial
        What to do.
    calm : Outcome
        The same traffic without a blackout, from :func:`recorded`.
    rtt_ns : int
        Round trip of the path without its queue.

    Returns
    -------
    Pair
    """
    real = run(trial)
    frames = Frames.from_bytes(
        [one.data for one in calm.frames], ts_ns=[one.ts_ns for one in calm.frames]
    )
    rate = trial.rate_bps
    done = replay(
        frames,
        vm=VM_MAC,
        outage=True,
        blackout=f"{trial.blackout_s}s",
        hold=trial.mode == "hold",
        hold_frames=trial.held_frames,
        at=f"{dark_after_ns(calm, trial)}ns",
        rtt=f"{rtt_ns}ns",
        client_link="10Gbps" if rate is None else f"{rate}bps",
        link="10Gbps",
        queue=trial.queue_bytes,
        stack_client=f"linux:tcp_retries2={trial.tcp_retries2}",
        stack_vm=f"linux:tcp_retries2={trial.tcp_retries2}",
        margins=False,
    )
    return Pair(trial, real, done.outcomes[0])


def dark_after_ns(calm: Outcome, trial: Trial) -> int:
    """Return when the dark begins in a recording, since its first segment, by the rule of a trial."""
    first = next(frame.ts_ns for frame in calm.frames if frame.data[12:14] == b"\x08\x00")
    armed = first + round(trial.before_s * 1e9)
    heard = next(one.ts_ns for one in calm.frames if not one.sent and one.ts_ns >= armed)
    return heard - first + round(trial.phase_s * 1e9)


def round_trip_ns(requests: Outcome) -> int:
    """Return the round trip of a recording of requests: of the handshake, or the usual one.

    What an answer takes longer than the handshake is the server's time to think, and is
    replayed; a handshake that took longer than an answer would make each turn too long, and
    move the dark from its place between two of them.
    """
    ip = [frame for frame in requests.frames if frame.data[12:14] == b"\x08\x00"]
    taken = [
        after.ts_ns - before.ts_ns
        for before, after in pairwise(ip)
        if before.sent and not after.sent
    ]
    return min(taken[0], round(statistics.median(taken)))


def pairs(blackouts_s: Sequence[float] = BLACKOUTS_S) -> list[Pair]:
    """Do all blackouts, dropping and holding, to both kinds of traffic."""
    trials = {name: replace(kind, before_s=0.6) for name, kind in TRAFFIC.items()}
    calm = {name: recorded(trial, max(blackouts_s) + 2.0) for name, trial in trials.items()}
    rtt_ns = round_trip_ns(calm["rr"])
    asked = [
        (name, replace(trial, mode=mode, blackout_s=seconds, after_s=max(1.5, 1.3 * seconds)))
        for name, trial in trials.items()
        for mode in ("drop", "hold")
        for seconds in blackouts_s
    ]
    asked += [
        (name, replace(trial, blackout_s=seconds, after_s=7.0, tcp_retries2=retries))
        for name, trial in trials.items()
        for retries, seconds in DEADLY
    ]
    return [beside(trial, calm[name], rtt_ns) for name, trial in asked]


def _times(times: Sequence[float]) -> str:
    return " ".join(f"{time:.3f}" for time in times) or "-"


def _end(survived: bool, at_s: float) -> str:
    return f"{at_s:.3f}" if survived else f"died at {at_s:.3f}"


def kept() -> str:
    """Return the section that the page has."""
    page = ROOT / "docs" / "fidelity.md"
    _, heading, rest = (page.read_text(encoding="utf-8") if page.exists() else "").partition(
        f"{HEADING}\n"
    )
    return heading + rest.partition("\n## ")[0].rstrip() + "\n" if heading else ""


def write() -> str:
    """Measure, and return the section."""
    found = pairs()
    rows = []
    for pair in found:
        trial, off = pair.trial, deviation(pair.our_end_s, pair.end_s)
        few = f", tcp_retries2 {trial.tcp_retries2}" if trial.tcp_retries2 != FULL else ""
        rows.append([
            f"{trial.kind}, {trial.mode}{few}", f"{trial.blackout_s:g}",
            _end(pair.real.survived, pair.end_s), _end(pair.survived, pair.our_end_s),
            off if pair.agrees() else f"**{off}**",
            _times(pair.times_s), _times(pair.our_times_s),
        ])  # fmt: skip
    agreeing = sum(pair.agrees() for pair in found)
    survived = sum(pair.real.survived == pair.survived for pair in found)
    return f"""{HEADING}

Each blackout twice: to real TCP between two network namespaces, and to a recording of the same traffic in virtual time, `rr` with the
dark at the same place between two requests. One run each, on a busy machine. `rr`: 64 bytes, echoed, the next 20 ms after the answer, no
bottleneck. `bulk`: a client that writes without end, 20 Mbit/s with a queue of 60 000 bytes.

The times are those at which the client sent again, in seconds since the dark began: in the dark and, where frames were lost, the first
time after it. Times agree within {WITHIN:.0%}, by which the kernel's timers are late, and {GRAIN_S["rr"] * 1e3:.0f} ms (`rr`: a pause of the application) or {GRAIN_S["bulk"] * 1e3:.0f} ms
(`bulk`: two round trips with a full queue). A death is that of the end that gives up first: in `rr` the server, whose last answer
nothing acknowledges. Rows in which something does not agree are in bold.

Survived or not: the same in {survived} of {len(found)}. Stall or death, and everything that was sent again: {agreeing} of {len(found)}.

{table(("traffic", "dark s", "stall s or death, kernel", "ours", "deviation", "sent again, kernel", "ours"), rows)}"""
