"""Measured and analytic tables of TCP; a test that needs one is skipped where it is absent."""

from __future__ import annotations

import pytest

from benchmarks.fidelity.facts import FACTS, rows_of


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table, or skip the test."""
    if not (FACTS / name).exists():
        pytest.skip(f"no table {name} at {FACTS}; set VSWITCH_FACTS to its folder")
    return rows_of(FACTS, name)
