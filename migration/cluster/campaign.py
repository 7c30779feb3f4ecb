"""Many faulted moves, drawn from a seed: what broke, what became of the VM, what held.

Move number K of a seed is the same whoever asks for it and however many others there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from migration.cluster.case import Case, Ending, Told
from migration.cluster.faulted import tell
from migration.cluster.faults import PHASES, Fault, Kind, Phase
from migration.cluster.invariants import INVARIANTS
from migration.cluster.quorum import MODES
from pcaps.errors import BadInput

KINDS = tuple(Kind)
POLICIES = ("hyperv-r2", "hyperv-r2", "hyperv-2012r2", "qemu", "xen-4.6")
MOST_MOVES = 10_000_000
S = 1_000_000_000


def draw(seed: int, number: int, scripted: Sequence[tuple[Kind, Phase]] = ()) -> Case:
    """Return the case of a number.

    Parameters
    ----------
    seed, number : int
    scripted : sequence of (Kind, Phase)
        Faults in place of drawn ones.

    Returns
    -------
    Case
    """
    random = np.random.default_rng((seed, number))
    u = random.random(32).tolist()
    count = len(scripted) or (1 if u[0] < 0.8 else 2)
    faults = []
    for n in range(count):
        a, b, c, d, e = u[1 + 5 * n : 6 + 5 * n] if n < 3 else random.random(5).tolist()
        kind, phase = (
            scripted[n] if scripted else (KINDS[int(a * len(KINDS))], PHASES[int(b * len(PHASES))])
        )
        strength = {
            Kind.LINK_SLOWDOWN: 0.05 + 0.5 * d,
            Kind.DIRTIES: 5 + 45 * d,
            Kind.ANNOUNCE_LOST: 1 + int(6 * d),
        }.get(kind, 0.0)
        back = round((0.2 + 12 * d) * S) if e < 0.6 else 0
        faults.append(Fault(kind, phase, 0.02 + 0.96 * c, back, float(strength)))
    v = u[17:]
    nodes = 2 + int(v[0] * v[0] * 14.999)
    mode = MODES[int(v[1] * len(MODES))]
    return Case(
        number=number,
        faults=tuple(faults),
        policy=POLICIES[int(v[2] * len(POLICIES))],
        memory_pages=64 << int(v[3] * 5),
        written_pages=8 + int(v[4] * 56),
        dirty_bytes_per_s=0.5e6 + 12e6 * v[5],
        link_bytes_per_s=4e6 * 2 ** (4 * v[6]),
        queues=(int(v[7] * 9), int(v[8] * 9)),
        others=(int(v[9] * 7), int(v[10] * 9)),
        chimney=int(v[11] * 40),
        spare_paths=(v[12] < 0.5, v[13] < 0.5),
        csv=v[14] < 0.4,
        nodes=nodes,
        quorum=mode,
        source_side=1 + int(v[3] * 7919 % 1 * (nodes - 1)),
        witness_side=int(v[4] * 7919 % 1 * 2),
        boot_ns=round((20 + 100 * (v[5] * 7919 % 1)) * S),
        talks_ns=round(30 * (v[6] * 7919 % 1) * S) + 1,
        late_ns=round((1 + 8 * (v[8] * 7919 % 1)) * S) if v[7] * 7919 % 1 < 0.3 else 0,
    )


@dataclass
class Campaign:
    """What many faulted moves add up to.

    Parameters
    ----------
    seed : int
    moves : int
    struck : Counter of (str, str, str)
        Kind, phase, ending -> faults.
    endings : Counter of str
    slower : int
        Moves that completed, but later.
    pauses_ns, restarts_ns : list of int
        Of rolled back and completed moves; of restarts.
    refused_writes : int
    checks : int
    broken : list of (int, int, str)
        Number of the move, time, invariant.
    """

    seed: int
    moves: int = 0
    struck: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    slower: int = 0
    pauses_ns: dict[str, list[int]] = field(default_factory=dict)
    restarts_ns: list[int] = field(default_factory=list)
    refused_writes: int = 0
    checks: int = 0
    broken: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, told: Told) -> None:
        """Count a move."""
        self.moves += 1
        ending = told.ending.value
        self.endings[ending] += 1
        for kind, phase in told.struck:
            self.struck[kind.value, phase.value, ending] += 1
        self.slower += told.slower
        if told.ending in (Ending.COMPLETED, Ending.ROLLED_BACK):
            self.pauses_ns.setdefault(ending, []).append(told.pause_ns)
        if told.restart_ns:
            self.restarts_ns.append(told.restart_ns)
        self.refused_writes += told.refused_writes
        self.checks += told.checks
        self.broken += [(told.case.number, at, name) for at, name in told.broken]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        violated = Counter(name for _, _, name in self.broken)
        return {
            "seed": self.seed,
            "moves": self.moves,
            "endings": dict(sorted(self.endings.items())),
            "completed_slower": self.slower,
            "pauses_s": {name: spread(found) for name, found in sorted(self.pauses_ns.items())},
            "restarts_s": spread(self.restarts_ns),
            "faults": [
                {"kind": kind, "phase": phase, "ending": ending, "count": count}
                for (kind, phase, ending), count in sorted(self.struck.items())
            ],
            "invariants": [
                {
                    "id": name,
                    "holds": text,
                    "violations": violated[name],
                    "checks": self.moves if name == "accounted" else self.checks,
                }
                for name, text in INVARIANTS.items()
            ],
            "violations": [
                {"move": number, "at_s": at / 1e9, "invariant": name}
                for number, at, name in self.broken[:100]
            ],
        }


def spread(values_ns: list[int]) -> dict[str, float]:
    """Return count, median, 99th percentile and maximum of times, in seconds."""
    if not values_ns:
        return {"count": 0}
    p50, p99, most = np.percentile(values_ns, [50, 99, 100])
    return {
        "count": len(values_ns), "p50": round(p50 / 1e9, 6), "p99": round(p99 / 1e9, 6),
        "max": round(most / 1e9, 6),
    }  # fmt: skip


def run_campaign(
    moves: int, seed: int = 0, scripted: Sequence[tuple[Kind, Phase]] = (),
    progress: Callable[[int], None] | None = None,
) -> Campaign:  # fmt: skip
    """Break many moves.

    Parameters
    ----------
    moves : int
    seed : int
    scripted : sequence of (Kind, Phase)
        Faults of every move, in place of drawn ones.
    progress : callable, optional
        Told how many are done, every thousand.

    Returns
    -------
    Campaign

    Raises
    ------
    BadInput
        When the number cannot be.
    """
    if not 1 <= moves <= MOST_MOVES:
        raise BadInput(f"{moves} moves cannot be broken; give 1 to {MOST_MOVES:,}")
    found = Campaign(seed)
    for number in range(1, moves + 1):
        found.add(tell(draw(seed, number, scripted)))
        if progress is not None and number % 1000 == 0:
            progress(number)
    return found


def interesting(
    seed: int, moves: int, most: int = 3, scripted: Sequence[tuple[Kind, Phase]] = ()
) -> list[int]:
    """Return moves that are worth telling: decided late; of scripted faults, different endings first.

    Parameters
    ----------
    seed, moves, most : int
    scripted : sequence of (Kind, Phase)
        Faults of every move, in place of drawn ones.

    Returns
    -------
    list of int
        Numbers.
    """
    if scripted:
        firsts: dict[Ending, int] = {}
        for number in range(1, min(moves, 1000) + 1):
            firsts.setdefault(tell(draw(seed, number, scripted)).ending, number)
        others = [number for number in range(1, moves + 1) if number not in firsts.values()]
        return sorted((list(firsts.values()) + others[:most])[:most])
    wanted = [
        (Kind.SOURCE_CRASH, Phase.HANDOVER), (Kind.SPLIT_BRAIN, Phase.LAST_COPY),
        (Kind.VOLUME_LOSS, Phase.STATE), (Kind.LINK_LOSS, Phase.HANDOVER),
        (Kind.TARGET_PATHS, Phase.START),
    ]  # fmt: skip
    found: list[int] = []
    for kind, phase in wanted:
        for number in range(1, moves + 1):
            case = draw(seed, number)
            if len(case.faults) == 1 and (case.faults[0].kind, case.faults[0].phase) == (
                kind,
                phase,
            ):
                found.append(number)
                break
        if len(found) == most:
            break
    return found
