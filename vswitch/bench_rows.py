"""The rows of a benchmark, looked up by cell, and the story that they tell.

Works from the JSON object alone (:func:`vswitch.bench.run`), so that a result that was
kept can be shown and compared later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pcaps.errors import BadInput

SCHEMA = "vswitch.bench/1"

Row = dict[str, Any]
NEARLY = 0.97
"""Share of the best from which more processors bring nothing worth saying."""


class Rows:
    """A result of ``vswitch bench``.

    Parameters
    ----------
    result : dict
        The JSON object.

    Raises
    ------
    BadInput
        When it is none.
    """

    def __init__(self, result: dict[str, Any]) -> None:
        if result.get("schema") != SCHEMA or not result.get("rows"):
            raise BadInput(f"this is no result of 'vswitch bench --json' ({SCHEMA}) with rows")
        self.result = result
        self._by_cell: dict[tuple[str, str, int, int], Row] = {
            (row["mode"], row["frame"], row["vms"], row["lps"]): row for row in result["rows"]
        }

    @classmethod
    def load(cls, path: str | Path) -> Rows:
        """Read a result from a file.

        Parameters
        ----------
        path : str or pathlib.Path
            What ``vswitch bench --json`` wrote.

        Returns
        -------
        Rows
            The result.

        Raises
        ------
        BadInput
            When it cannot be read or is none.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
        except (UnicodeDecodeError, json.JSONDecodeError):
            raise BadInput(f"{path}: not JSON; make it with 'vswitch bench --json'") from None
        if not isinstance(found, dict):
            raise BadInput(f"{path}: this is no result of 'vswitch bench --json'")
        return cls(found)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.result["rows"])

    def __len__(self) -> int:
        return len(self._by_cell)

    def at(self, mode: str, frame: str, vms: int, lps: int) -> Row | None:
        """Return the row of a cell, None where it was not run."""
        return self._by_cell.get((mode, frame, vms, lps))

    def values(self, name: str) -> list[Any]:
        """Return the values of a dimension that occur, in order: mode, frame, vms or lps."""
        found = dict.fromkeys(row[name] for row in self.result["rows"])
        return sorted(found) if name in ("vms", "lps") else list(found)

    def title(self, mode: str) -> str:
        """Return what people call a mode."""
        return str(self.result["modes"].get(mode, mode))

    def curve(self, mode: str, frame: str, vms: int) -> list[Row]:
        """Return the rows of a mode over the number of processors."""
        rows = (self.at(mode, frame, vms, lps) for lps in self.values("lps"))
        return [row for row in rows if row is not None]

    def usual(self, name: str, wanted: list[Any]) -> Any:
        """Return the first of some values of a dimension that occurs, else any that does."""
        present = self.values(name)
        return next((value for value in wanted if value in present), present[len(present) // 2])


def gbps(row: Row) -> float:
    """Return the modelled throughput of a row in Gbit/s of TCP payload."""
    return float(row["modelled"]["gbps"])


def enough(curve: list[Row]) -> Row | None:
    """Return the row with fewest processors that has nearly the best throughput of a curve.

    Parameters
    ----------
    curve : list of dict
        Rows of one mode, frame size and number of VMs, by processors.

    Returns
    -------
    dict or None
        None where nothing gets through.
    """
    best = max((gbps(row) for row in curve), default=0.0)
    return next((row for row in curve if best and gbps(row) >= NEARLY * best), None)


def _processors(n: int) -> str:
    return "1 processor" if n == 1 else f"{n} processors"


def _reach(rows: Rows, mode: str, frame: str, vms: int) -> Row | None:
    return enough(rows.curve(mode, frame, vms))


def _stops(row: Row) -> str:
    by = str(row["modelled"]["stopped_by"])
    return f"{gbps(row):.2f} Gbit/s with {_processors(row['lps'])}, where {by} stops it"


def _cycles(row: Row) -> int:
    spent: dict[str, int] = row["modelled"]["cycles_per_frame"]
    return sum(spent.values())


def _vmq(rows: Rows, frame: str, vms: int) -> str | None:
    software, queues = (_reach(rows, mode, frame, vms) for mode in ("r2", "r2-vmq"))
    if software is None or queues is None:
        return None
    text = (
        f"VM queues: the software switch reaches {_stops(software)}; "
        f"with VM queues it is {_stops(queues)}"
    )
    alone = _reach(rows, "r2-vmq", frame, 1)
    if vms != 1 and alone is not None:
        text += f", but a single VM stays at {gbps(alone):.2f}, because one processor does its TCP"
    return text + "."


def _chimney(rows: Rows, frame: str, vms: int) -> str | None:
    software, chimney = (_reach(rows, mode, frame, vms) for mode in ("r2", "r2-chimney"))
    if software is None or chimney is None:
        return None
    share = _cycles(chimney) / _cycles(software)
    return (
        f"Chimney: {_stops(chimney)}, since a frame costs {_cycles(chimney):,} cycles of parent and "
        f"guest instead of {_cycles(software):,} ({100 * share:.0f} %); it helps TCP only, and no VM "
        "that has a VM queue."
    )


def _jumbo(rows: Rows, frame: str, vms: int) -> str | None:
    usual = _reach(rows, "r2-vmq", frame, vms)
    jumbo = _reach(rows, "r2-vmq-jumbo", "9014", vms)
    if usual is None or jumbo is None:
        return None
    refused = rows.at("r2-vmq", "9014", vms, usual["lps"])
    text = f"Jumbo frames: {_stops(jumbo)}"
    alone, plain = (
        _reach(rows, mode, size, 1) for mode, size in (("r2-vmq-jumbo", "9014"), ("r2-vmq", frame))
    )
    if vms != 1 and alone is not None and plain is not None:
        text += f"; a single VM gets {gbps(alone):.2f} instead of {gbps(plain):.2f}"
    if refused is not None and not gbps(refused):
        text += (
            "; a host whose guests or adapter do not take them loses all of them "
            f"({refused['modelled']['drops']['reason']})"
        )
    return text + "."


def story(rows: Rows) -> list[str]:
    """Return what VM queues, chimney and jumbo frames bring, and where each stops helping.

    Parameters
    ----------
    rows : Rows
        The result.

    Returns
    -------
    list of str
        One sentence each, of those that the result has rows for.
    """
    frame, vms = rows.usual("frame", ["1514", "imix"]), rows.usual("vms", [4, 16])
    found = (tell(rows, frame, vms) for tell in (_vmq, _chimney, _jumbo))
    return [sentence for sentence in found if sentence is not None]
