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


def fields(path: Path, *names: str, only: str = "") -> list[list[str]]:
    """What tshark says of every frame that the display filter `only` shows."""
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed")
    asked = [word for name in names for word in ("-e", name)]
    chosen = ["-Y", only] if only else []
    done = subprocess.run(
        [found, "-n", *CHECKED, "-r", str(path), *chosen, "-T", "fields", *asked],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.split("\t") for line in done.stdout.splitlines()]
