"""The measured and published tables that the models are held to."""

from __future__ import annotations

import csv
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FACTS = Path(os.environ.get("VSWITCH_FACTS", ROOT.parent / "shared" / "facts" / "migration"))


def rows_of(facts: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with (facts / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(row: dict[str, str], column: str) -> float | None:
    """Return a figure of a row; None where it is empty."""
    return float(row[column]) if row[column] else None
