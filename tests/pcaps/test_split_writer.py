from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from random_batches import random_copies, random_frames

from pcaps import split_writer, whole
from pcaps.classic_writer import classic_header
from pcaps.copies import Copies
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.split_writer import SplitWriter, ring_size
from pcaps.writer_reference import classic_records

HEADER = classic_header(nanoseconds=True)


def expected_files(frames: Frames, copies: Copies, n_files: int) -> dict[str, bytes]:
    files = {f"{n}.pcap": HEADER for n in range(n_files)}
    for record, file in zip(classic_records(frames, copies, 1), copies.interface, strict=True):
        files[f"{file}.pcap"] += record
    return files


def found_files(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


@pytest.mark.parametrize("ring", [64, 1000, 1 << 16])
@pytest.mark.parametrize("most_open", [1, 3, 100])
def test_the_kernel_equals_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: int, most_open: int
) -> None:
    monkeypatch.setattr(split_writer, "ring_size", lambda _: ring)
    rng = np.random.default_rng(ring)
    frames = random_frames(rng, 100)
    copies = random_copies(rng, frames, 400, 7, 1)
    names = [f"{n}.pcap" for n in range(9)]
    with SplitWriter(tmp_path / "vms", names, most_open=most_open) as writer:
        writer.write(frames, copies)
        assert not (tmp_path / "vms").exists()
    assert found_files(tmp_path / "vms") == expected_files(frames, copies, 9)
    assert [entry.name for entry in tmp_path.iterdir()] == ["vms"]


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_files = 400
    frames = random_frames(np.random.default_rng(1), n_files)
    copies = Copies.of_all(n_files, np.arange(n_files))
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        with SplitWriter(tmp_path / "vms", [f"{n}.pcap" for n in range(n_files)]) as writer:
            writer.write(frames, copies)
            writer.write(frames, copies)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    found = found_files(tmp_path / "vms")
    records = classic_records(frames, copies, 1)
    assert found == {f"{n}.pcap": HEADER + records[n] * 2 for n in range(n_files)}


def test_copies_that_no_file_wants_are_left_out(tmp_path: Path) -> None:
    frames = Frames.from_bytes([b"a" * 60, b"b" * 60])
    with SplitWriter(tmp_path / "vms", ["vm1.pcap"], file_of_interface=[-1, 0]) as writer:
        writer.write(frames, Copies.of_all(2, np.array([0, 1])))
    found = found_files(tmp_path / "vms")
    assert found == {"vm1.pcap": HEADER + classic_records(frames, Copies.of_all(2), 1)[1]}


def test_an_existing_directory_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "vm1.pcap").write_bytes(b"old")
    (tmp_path / "notes.txt").write_bytes(b"notes")
    with SplitWriter(tmp_path, ["vm1.pcap"]):
        pass
    assert found_files(tmp_path) == {"vm1.pcap": HEADER, "notes.txt": b"notes"}


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_the_set_is_absent(
    tmp_path: Path, interruption: type[BaseException], exists: bool
) -> None:
    target = tmp_path / "vms"
    if exists:
        target.mkdir()

    def interrupted() -> None:
        with SplitWriter(target, ["vm1.pcap"]) as writer:
            frames = random_frames(np.random.default_rng(1), 10)
            writer.write(frames, Copies.of_all(10))
            writer._flush(0)
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert left == (["vms"] if exists else [])


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole.os, "write", full)
    with (
        pytest.raises(BadInput, match=r"vm1\.pcap': the disk is full"),
        SplitWriter(tmp_path / "vms", ["vm1.pcap"]),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_parent_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match="its directory does not exist"),
        SplitWriter(tmp_path / "a" / "b", ["vm1.pcap"]),
    ):
        pass


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "same file 'a'"),
        (["x/y"], "'x/y' cannot be a file name"),
        ([".."], r"'\.\.' cannot be"),
    ],
)
def test_names_that_are_no_file_names_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        SplitWriter(tmp_path / "vms", names)


@pytest.mark.parametrize("state", ["frame", "interface", "file"])
def test_wrong_columns_are_refused(tmp_path: Path, state: str) -> None:
    frames = Frames.from_bytes([b"a" * 60])
    wrong = {
        "frame": Copies(np.array([9]), np.array([0])),
        "interface": Copies(np.array([0]), np.array([9])),
    }

    def attempt() -> None:
        with SplitWriter(
            tmp_path / "vms", ["a"], file_of_interface=[1] if state == "file" else None
        ) as writer:
            writer.write(frames, wrong[state])

    with pytest.raises(ValueError, match=r"not there|not in the batch|not declared"):
        attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_files", [1, 16, 1000, 5000, 65_536])
def test_rings_stay_below_64_mb(n_files: int) -> None:
    assert 512 <= ring_size(n_files) <= 1 << 18
    assert n_files * ring_size(n_files) <= 1 << 26
