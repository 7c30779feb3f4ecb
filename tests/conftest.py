"""Shared by all tests: the real captures, and how hard hypothesis tries."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numba
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = Path(os.environ.get("VSWITCH_CAPTURES", ROOT.parent / "shared" / "captures"))

JIT_OFF = bool(numba.config.DISABLE_JIT)

_common = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "database": None,
    "derandomize": True,
}
settings.register_profile("full", max_examples=100, **_common)
settings.register_profile("plain-python", max_examples=10, **_common)
settings.load_profile("plain-python" if JIT_OFF else "full")


def pytest_configure(config: pytest.Config) -> None:
    """Let numpy scalars stand in for machine words, which wrap around, in every thread."""
    if JIT_OFF:
        config.addinivalue_line(
            "filterwarnings", "ignore:overflow encountered in scalar:RuntimeWarning"
        )


@pytest.fixture(scope="session")
def captures() -> Path:
    """Folder of real captures; a test that needs it is skipped where it is absent."""
    if not (CAPTURES / "manifest.json").exists():
        pytest.skip(f"no real captures at {CAPTURES}; set VSWITCH_CAPTURES to their folder")
    return CAPTURES


@pytest.fixture(scope="session")
def manifest(captures: Path) -> list[dict]:
    """What independent tools say of each real capture."""
    return json.loads((captures / "manifest.json").read_text())
