"""The folder of measured tables; tests that need it are skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fidelity.facts import FACTS


def facts_folder() -> Path:
    """Return the folder, or skip the test."""
    if not (FACTS / "qemu_runs.csv").exists():
        pytest.skip(f"no measured tables at {FACTS}; set VSWITCH_FACTS to their folder")
    return FACTS
