from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from random_batches import random_copies, random_frames

from pcaps import staging
from pcaps.classic_writer import ClassicWriter, classic_header
from pcaps.copies import Copies
from pcaps.frames import Frames
from pcaps.writer_reference import classic_records


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("capacity", [2048, 1 << 19])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_the_kernel_equals_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, capacity: int, nanoseconds: bool
) -> None:
    monkeypatch.setattr(staging, "CAPACITY", capacity)
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, 200)
    copies = random_copies(rng, frames, 500, 1, 1)
    path = tmp_path / "x.pcap"
    with ClassicWriter(path, nanoseconds=nanoseconds) as writer:
        writer.write(frames, copies)
    records = classic_records(frames, copies, 1 if nanoseconds else 1000)
    header = classic_header(nanoseconds=nanoseconds)
    assert path.read_bytes() == header + b"".join(records)


@pytest.mark.parametrize("ts_ns", [-1, 0, 999, (2**32 - 1) * 10**9 + 999_999_999, 2**62])
def test_times_outside_the_format_are_clamped(tmp_path: Path, ts_ns: int) -> None:
    frames = Frames.from_bytes([b"x" * 60], ts_ns=[ts_ns])
    path = tmp_path / "x.pcap"
    with ClassicWriter(path) as writer:
        writer.write(frames)
    seconds = int.from_bytes(path.read_bytes()[24:28], "little")
    assert seconds == min(max(ts_ns, 0) // 10**9, 2**32 - 1)


def test_a_copy_of_a_frame_that_is_not_there_is_refused(tmp_path: Path) -> None:
    wrong = Copies(np.array([1], np.uint32), np.zeros(1, np.uint32))
    with (
        pytest.raises(ValueError, match="frame 1 is not in the batch"),
        ClassicWriter(tmp_path / "x.pcap") as writer,
    ):
        writer.write(Frames.from_bytes([b"x" * 60]), wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_without_padding_is_written_whole(tmp_path: Path) -> None:
    padded = Frames.from_bytes([b"a" * 60, b"b" * 61])
    bare = Frames(
        padded.data[:121].copy(), padded.start, padded.caplen, padded.wirelen, padded.ts_ns,
        padded.interface,
    )  # fmt: skip
    assert not bare.padded
    for name, frames in (("padded", padded), ("bare", bare)):
        with ClassicWriter(tmp_path / name) as writer:
            writer.write(frames)
    assert (tmp_path / "padded").read_bytes() == (tmp_path / "bare").read_bytes()


def test_capinfos_and_scapy_agree(tmp_path: Path) -> None:
    from scapy.utils import RawPcapReader

    frames = random_frames(np.random.default_rng(3), 50)
    path = tmp_path / "x.pcap"
    with ClassicWriter(path, nanoseconds=True) as writer:
        writer.write(frames)
    with RawPcapReader(str(path)) as reader:
        assert [data for data, _ in reader] == [frame.data for frame in frames]
    capinfos = shutil.which("capinfos")
    if capinfos is None:
        pytest.skip("capinfos is not installed")
    done = subprocess.run(
        [capinfos, "-T", "-r", "-c", "-d", "-t", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = done.stdout.strip().split("\t")
    assert said[1] == "nsecpcap"
    assert [int(value) for value in said[-2:]] == [50, int(frames.wirelen.sum())]
