"""Two results side by side: of benchmarks, cell by cell, or of replays, figure by figure.

Modelled figures are compared with modelled ones, measured with measured ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcaps.errors import BadInput

BENCH, REPLAY = "vswitch.bench/1", "vswitch.replay/1"

METRICS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "gbps": lambda row: row["modelled"]["gbps"],
    "frames_per_s": lambda row: row["modelled"]["frames_per_s"],
    "parent_use": lambda row: row["modelled"].get("parent_use"),
    "vm_use": lambda row: row["modelled"].get("vm_use"),
    "loss": lambda row: row["modelled"]["drops"]["loss"],
    "p50_us": lambda row: row["modelled"].get("latency_us", {}).get("p50"),
    "p99_us": lambda row: row["modelled"].get("latency_us", {}).get("p99"),
    "measured_mpps": lambda row: row["measured"]["mpps"],
}
"""Figures of a benchmark's row that can be compared, by name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both results.

    Parameters
    ----------
    what : str
        Cell, or name of the figure.
    a, b : float or None
        None where a result does not have it.
    kind : str
        ``modelled``, ``measured`` or ``counted``.
    """

    what: str
    a: float | None
    b: float | None
    kind: str

    @property
    def change(self) -> float | None:
        """What b is more than a, as a share of a; None where that says nothing."""
        if self.a is None or self.b is None or not self.a:
            return None
        return self.b / self.a - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the line as in the JSON output."""
        change = self.change
        return {"what": self.what, "kind": self.kind, "a": self.a, "b": self.b,
                "change": None if change is None else round(change, 6)}  # fmt: skip


def load(path: str | Path) -> dict[str, Any]:
    """Read a result.

    Parameters
    ----------
    path : str or pathlib.Path
        What ``vswitch bench --json`` or ``vswitch replay --json`` wrote, or a
        ``summary.json``.

    Returns
    -------
    dict
        The JSON object.

    Raises
    ------
    BadInput
        When it cannot be read, or is no result.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise BadInput(
            f"{path}: not JSON; make it with 'vswitch bench --json' or 'vswitch replay --json'"
        ) from None
    if not isinstance(found, dict) or found.get("schema") not in (BENCH, REPLAY):
        raise BadInput(f"{path}: no result of 'vswitch bench --json' or 'vswitch replay --json'")
    return found


def compare(a: dict[str, Any], b: dict[str, Any], metric: str = "gbps") -> list[Line]:
    """Set two results side by side.

    Parameters
    ----------
    a, b : dict
        As from :func:`load`, both of one kind.
    metric : str
        For benchmarks: which of :data:`METRICS`.

    Returns
    -------
    list of Line
        In the order of `a`, what only `b` has behind it.

    Raises
    ------
    BadInput
        When the results are of two kinds, or have nothing in common.
    """
    if a["schema"] != b["schema"]:
        raise BadInput(
            "one result is of a benchmark, the other of a replay; compare like with like"
        )
    if a["schema"] == BENCH:
        return _benches(a, b, metric)
    return list(_replays(a, b))


def _benches(a: dict[str, Any], b: dict[str, Any], metric: str) -> list[Line]:
    if metric not in METRICS:
        raise BadInput(f"there is no figure '{metric}'; use {', '.join(METRICS)}")
    sides = [
        {(row["mode"], row["frame"], row["vms"], row["lps"]): METRICS[metric](row)
         for row in result["rows"]}
        for result in (a, b)
    ]  # fmt: skip
    if not sides[0].keys() & sides[1].keys():
        raise BadInput("the two benchmarks have no cell in common")
    kind = "measured" if metric.startswith("measured") else "modelled"
    return [
        Line(
            f"{mode}, {frame}, {vms} {'VM' if vms == 1 else 'VMs'}, {lps} processors",
            sides[0].get((mode, frame, vms, lps)), sides[1].get((mode, frame, vms, lps)), kind,
        )
        for mode, frame, vms, lps in dict.fromkeys([*sides[0], *sides[1]])
    ]  # fmt: skip


def _replays(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Line]:
    for name in ("in", "unicast", "flooded", "dropped"):
        yield Line(f"frames {name}", a["frames"][name], b["frames"][name], "counted")
    for reason in dict.fromkeys([*a["drops"], *b["drops"]]):
        yield Line(
            f"dropped for {reason}", a["drops"].get(reason, 0), b["drops"].get(reason, 0), "counted"
        )
    sides = [result.get("host", {}).get("modelled") for result in (a, b)]
    if any(sides):
        for name, read in _HOST.items():
            first, second = (None if side is None else read(side) for side in sides)
            yield Line(name, first, second, "modelled")
    first, second = (result.get("measured", {}).get("mpps") for result in (a, b))
    if first is not None or second is not None:
        yield Line("Mpps of this program", first, second, "measured")


def _cycles(where: str) -> Callable[[dict[str, Any]], float]:
    def read(modelled: dict[str, Any]) -> float:
        spent: int = sum(one["cycles"] for one in modelled["cycles"] if one["where"] == where)
        frames: dict[str, int] = modelled["frames"]
        return round(spent / max(1, frames["came"] - frames["lost"]), 1)

    return read


_HOST: dict[str, Callable[[dict[str, Any]], float]] = {
    "Gbit/s of payload received": lambda modelled: modelled["gbps"],
    "frames received a second": lambda modelled: modelled["frames_per_s"],
    "loss at the rings": lambda modelled: modelled["loss"],
    "parent, share of all processors": lambda modelled: modelled["parent_use"],
    "guests, share of all processors": lambda modelled: modelled["guest_use"],
    "busiest processor": lambda modelled: modelled["busiest_processor"],
    "cycles of the parent a frame": _cycles("parent"),
    "cycles of guests a frame": _cycles("guest"),
    "latency p50, us": lambda modelled: modelled["latency_us"]["p50"],
    "latency p99, us": lambda modelled: modelled["latency_us"]["p99"],
    "latency max, us": lambda modelled: modelled["latency_us"]["max"],
}
