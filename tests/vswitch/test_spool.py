"""What can be read only once is kept in a temporary file, within bounds."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from pcaps.errors import BadInput
from vswitch.spool import reads_once, rereadable


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A pipe that somebody writes 5000 bytes to; temporary files go beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            file.write(b"x" * 5000)

    writer = threading.Thread(target=write)
    writer.start()
    yield str(path)
    writer.join()


def test_files_directories_and_missing_paths_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for path in (tmp_path / "f", tmp_path, tmp_path / "missing"):
        assert not reads_once(str(path))
        with rereadable(str(path), print) as same:
            assert same == str(path)


def test_a_pipe_is_kept_for_the_time_of_the_block(pipe: str, tmp_path: Path) -> None:
    told: list[str] = []
    with rereadable(pipe, told.append) as kept:
        assert Path(kept).read_bytes() == Path(kept).read_bytes() == b"x" * 5000
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert told == [f"keeping {pipe} in {tmp_path}, since a self-made scenario reads twice"]


def test_more_than_half_of_the_free_space_is_refused(
    pipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9000))
    with (
        pytest.raises(BadInput, match="larger than half of the free space"),
        rereadable(pipe, lambda text: None),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_disk_that_refuses_is_one_sentence(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "disk_usage", refuse)

    def keep() -> None:
        with rereadable(pipe, lambda text: None):
            pass

    with pytest.raises(BadInput, match=r"no space left on device; save it as a file first"):
        keep()
