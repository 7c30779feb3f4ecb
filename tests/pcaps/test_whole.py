from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcaps import whole
from pcaps.errors import BadInput
from pcaps.whole import WholeFile, write_whole


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    with WholeFile(target) as file:
        file.write(b"abc")
        assert not target.exists()
        file.write(b"def")
    assert target.read_bytes() == b"abcdef"
    assert file.bytes_written == 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.bin"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_exception_nothing_is_left_and_the_old_file_stands(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with WholeFile(target) as file:
            file.write(b"new")
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.bin"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole.os, "write", full)
    with (
        pytest.raises(BadInput, match=r"out\.bin': the disk is full"),
        WholeFile(tmp_path / "out.bin") as file,
    ):
        file.write(b"abc")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_the_system_cuts_short_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(whole.os, "write", lambda fd, data: real(fd, data[:2]))
    write_whole(tmp_path / "out.txt", "seven b")
    assert (tmp_path / "out.txt").read_text() == "seven b"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("missing/out.bin", "its directory does not exist"),
        ("file/out.bin", "not a directory"),
        (".", "that is a directory"),
    ],
)
def test_an_impossible_place_is_named_with_its_cause(tmp_path: Path, path: str, cause: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=cause) as caught, WholeFile(tmp_path / path):
        pass
    assert str(tmp_path / path) in caught.value.what


def test_a_refused_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(whole.os, "open", refuse)
    with pytest.raises(BadInput, match="no permission to write there"), WholeFile(tmp_path / "x"):
        pass


def test_a_failed_rename_removes_the_hidden_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(whole.Path, "replace", refuse)
    with pytest.raises(BadInput, match="read-only"):
        write_whole(tmp_path / "out.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_whole(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_the_mode_of_the_file_is_that_of_an_ordinary_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_whole(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_of_the_longest_length_works(tmp_path: Path) -> None:
    name = "x" * 255
    write_whole(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_sync_writes_the_same_file(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "out.bin", sync=True) as file:
        file.write(b"abc")
    assert (tmp_path / "out.bin").read_bytes() == b"abc"


def test_a_pipe_is_written_straight_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        write_whole(fifo, "through the pipe")
        assert reader.communicate()[0] == b"through the pipe"
    assert [entry.name for entry in tmp_path.iterdir()] == ["fifo"]


def test_minus_is_standard_output() -> None:
    program = "from pcaps.whole import write_whole; write_whole('-', b'bytes')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"bytes"


def test_a_pipe_that_its_reader_closed_is_left_to_the_command_line() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(BrokenPipeError), WholeFile(f"/proc/self/fd/{write_end}") as file:
        file.write(b"abc")
    os.close(write_end)


def test_gz_compresses_and_carries_no_time(tmp_path: Path) -> None:
    content = b"vswitch " * 1000
    write_whole(tmp_path / "a.gz", content)
    write_whole(tmp_path / "b.gz", content)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == content
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").stat().st_size < 200


def test_zst_compresses(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    content = b"vswitch " * 1000
    write_whole(tmp_path / "a.zst", content)
    raw = (tmp_path / "a.zst").read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(raw) == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_without_room_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="cannot write '/dev/full': the disk is full"):
        write_whole("/dev/full", b"x")
