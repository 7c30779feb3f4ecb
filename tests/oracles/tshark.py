"""tshark as an oracle: skipped with a message where it is not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKED = [
    "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o",
    "udp.check_checksum:TRUE",
]  # fmt: skip


def said(path: Path, *words: str) -> str:
    """What tshark prints of a capture, checksums checked and names left alone."""
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed")
    done = subprocess.run(
        [found, "-n", *CHECKED, "-r", str(path), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"tshark refuses {path}: {done.stderr.strip()}")
    return done.stdout


def fields(path: Path, *names: str, only: str = "") -> list[list[str]]:
    """What tshark says of every frame that the display filter `only` shows."""
    asked = [word for name in names for word in ("-e", name)]
    chosen = ["-Y", only] if only else []
    rows = said(path, *chosen, "-T", "fields", *asked)
    return [line.split("\t") for line in rows.splitlines()]
