"""Structure-aware fuzzing of the capture readers, the header parser and the switch.

    python tests/fuzz/fuzz_readers.py --seconds 600 --seed 1

Forged captures of both formats, the samples, and real captures where there are some
are changed field by field (lengths, times, types, interfaces), block by block, or
damaged anywhere, and read as file, as stream in small windows, and compressed. Each time: nothing but
BadInput is raised, the reader equals its plain twin, the frames parse, and the
switch accounts for every one of them. Crashing inputs are kept in --keep.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pcaps"))

from forge import mutate, mutate_structure, random_classic, random_pcapng

import pcaps
from pcaps import samples, windows
from pcaps.checksums import verify_checksums
from pcaps.headers import parse_headers
from pcaps.reference import classic_records, header_columns, pcapng_records
from vswitch.selfmade import StationTable, network_of
from vswitch.switch import Switch

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = Path(os.environ.get("VSWITCH_CAPTURES", ROOT.parent / "shared" / "captures"))
SEED_BYTES = 4000


def seeds() -> list[bytes]:
    """Return the beginnings of samples and of real captures."""
    paths = [samples.path(name) for name in samples.names()]
    if CAPTURES.is_dir():
        paths += sorted(CAPTURES.glob("*.pcap")) + sorted(CAPTURES.glob("*.pcapng"))
    return [path.read_bytes()[:SEED_BYTES] for path in paths]


def draw_input(draw: random.Random, known: list[bytes]) -> bytes:
    """Make one input: a sound capture, mostly changed."""
    pick = draw.random()
    if pick < 0.3:
        raw = draw.choice(known)
    else:
        raw = draw.choice((random_classic, random_pcapng))(draw)
    how = draw.random()
    if how < 0.45:
        raw = mutate_structure(raw, draw)
    if how > 0.35 and how < 0.85:
        raw = mutate(raw, draw)
    return raw


def read(opened: pcaps.Capture) -> list[tuple[bytes, int, int]] | str:
    """Return all frames, or the sentence of a refusal."""
    found = []
    try:
        for frames in opened:
            assert frames.padded
            rows = parse_headers(frames).raw.T.tolist()
            verify_checksums(frames)
            for n in range(len(frames)):
                frame = frames[n]
                assert rows[n] == header_columns(frame.data, int(frames.start[n]))
                found.append((frame.data, frame.wirelen, frame.ts_ns))
    except pcaps.BadInput as error:
        assert "\n" not in error.what
        return error.what
    return found


def one(raw: bytes, path: Path, draw: random.Random) -> int:
    """Read one input in every way; return the number of frames."""
    path.write_bytes(raw)
    try:
        first = pcaps.open(path, chunk_frames=draw.choice((1, 3, 65536)))
    except pcaps.BadInput:
        return 0
    got = read(first)
    if isinstance(got, str):
        return 0
    twin = pcapng_records if raw[:4] == b"\n\r\r\n" else classic_records
    wanted, damage = twin(raw)
    assert got == [(raw[r.start : r.start + r.caplen], r.wirelen, r.ts_ns) for r in wanted]
    assert (first.damage.kind if first.damage else None) == damage
    packed = pcaps.open(io.BytesIO(gzip.compress(raw, 1)))
    assert read(packed) == got
    stations = StationTable()
    stations.add(pcaps.open(path))
    result = Switch(network_of(stations.stations())).process(pcaps.open(path), keep=False)
    result.tally.check()
    assert result.frames["in"] == len(got)
    return len(got)


def fuzz(
    seconds: float, seed: int, keep: Path | None = None, most: int | None = None
) -> tuple[int, int, int]:
    """Return (inputs, frames, crashes)."""
    inputs = frames = crashes = 0
    stop = time.monotonic() + seconds
    known = seeds()
    before = windows.WINDOW_BYTES
    windows.WINDOW_BYTES = 257
    try:
        with tempfile.TemporaryDirectory() as folder:
            while time.monotonic() < stop and (most is None or inputs < most):
                draw = random.Random(f"{seed}/{inputs}")
                raw = draw_input(draw, known)
                inputs += 1
                try:
                    frames += one(raw, Path(folder) / "capture", draw)
                except Exception:
                    crashes += 1
                    traceback.print_exc()
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / f"crash-{seed}-{inputs}").write_bytes(raw)
    finally:
        windows.WINDOW_BYTES = before
    return inputs, frames, crashes


def main() -> None:
    """Fuzz, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-crashes"))
    given = parser.parse_args()
    inputs, frames, crashes = fuzz(given.seconds, given.seed, given.keep)
    print(f"{inputs} inputs, {frames} frames, {crashes} crashes")
    sys.exit(1 if crashes else 0)


if __name__ == "__main__":
    main()
