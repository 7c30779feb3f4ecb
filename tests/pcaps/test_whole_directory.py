"""Output directories: all files or none, whatever ends the block."""

from __future__ import annotations

import pytest

from pcaps.errors import BadInput
from pcaps.whole import write_whole
from pcaps.whole_directory import WholeDirectory


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("there", [False, True])
def test_files_appear_together_at_the_end(tmp_path, there):
    target = tmp_path / "deep" / "out"
    if there:
        target.mkdir(parents=True)
        (target / "mine").write_text("mine")
        (target / "a").write_text("old")
    with WholeDirectory(target) as whole:
        (whole.hidden / "sub").mkdir()
        write_whole(whole.hidden / "a", "new")
        write_whole(whole.hidden / "sub" / "b", "b")
        if there:
            assert (target / "a").read_text() == "old"
        else:
            assert not target.exists()
    assert (target / "a").read_text() == "new"
    assert names(target) == ["a", *(["mine"] if there else []), "sub", "sub/b"]
    assert names(tmp_path)[:2] == ["deep", "deep/out"]


def test_an_exception_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old")

    def broken():
        with WholeDirectory(tmp_path) as whole:
            write_whole(whole.hidden / "a", "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_messages_name_the_real_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="name a directory"), WholeDirectory(tmp_path / "file"):
        pass
    with WholeDirectory(tmp_path / "out") as whole:
        with pytest.raises(BadInput) as told, whole.real_names():
            write_whole(whole.hidden / "absent" / "a", "")
        assert str(tmp_path / "out" / "absent" / "a") in str(told.value)
        assert "partial" not in str(told.value)
