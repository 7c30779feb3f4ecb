"""TCP streams as tshark follows them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def _tshark(path: Path, *words: str) -> str:
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed")
    done = subprocess.run(
        [found, "-n", "-o", "tcp.check_checksum:FALSE", "-r", str(path), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def first_frames(path: Path, only: str = "tcp") -> dict[int, int]:
    """Number of the first frame of each of tshark's streams."""
    rows = _tshark(path, "-Y", only, "-T", "fields", "-e", "tcp.stream", "-e", "frame.number")
    found: dict[int, int] = {}
    for line in rows.splitlines():
        stream, frame = line.split("\t")
        found.setdefault(int(stream.split(",")[0]), int(frame))
    return found


def follow(path: Path, streams: list[int]) -> dict[int, tuple[bytes, bytes]]:
    """Bytes of both directions; the first is that of the stream's first sender."""
    asked = [word for stream in streams for word in ("-z", f"follow,tcp,raw,{stream}")]
    found: dict[int, tuple[bytes, bytes]] = {}
    for part in re.split(r"^={20,}\n", _tshark(path, "-q", *asked), flags=re.M):
        number = re.search(r"^Filter: tcp.stream eq (\d+)$", part, re.M)
        if number is None:
            continue
        sides: tuple[list[str], list[str]] = ([], [])
        for line in part.partition("Node 1:")[2].splitlines()[1:]:
            sides[line.startswith("\t")].append(line.strip())
        found[int(number[1])] = (
            bytes.fromhex("".join(sides[0])), bytes.fromhex("".join(sides[1])),
        )  # fmt: skip
    return found
