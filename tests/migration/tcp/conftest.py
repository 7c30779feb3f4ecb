"""Where the measured tables are."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FACTS = Path(os.environ.get("VSWITCH_FACTS", ROOT.parent / "shared" / "facts" / "migration"))


@pytest.fixture(scope="session")
def table() -> Callable[[str], list[dict[str, str]]]:
    """Read a table of facts; a test that needs one is skipped where it is absent."""

    def read(name: str) -> list[dict[str, str]]:
        if not (FACTS / name).exists():
            pytest.skip(f"no table {name} at {FACTS}; set VSWITCH_FACTS to its folder")
        with (FACTS / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
