"""``vswitch tcp`` as people and scripts call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migration.cli_tcp import tcp
from migration.tcp.stack_keys import KEYS
from migration.tcp.stacks import profiles
from pcaps.errors import BadInput

GOOD = "stack rfc\nconnect\n> SYN 0\n"
BAD = "stack rfc\nconnect\n> SYN 5\n"


def call(*words: str) -> Result:
    done = CliRunner().invoke(tcp, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def written(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in texts]


def test_scripts_that_hold(tmp_path: Path) -> None:
    one, two = written(tmp_path, one=GOOD, two=GOOD)
    done = call("run", one, two)
    assert done.exit_code == 0
    assert done.stdout == f"{one}: ok\n{two}: ok\n2 of 2 scripts hold\n"
    assert call("run", "-q", one).stdout == ""


def test_a_script_that_does_not_hold(tmp_path: Path) -> None:
    one, two = written(tmp_path, one=GOOD, two=BAD)
    done = call("run", "-q", one, two)
    assert done.exit_code == 1
    first, last = done.stdout.splitlines()
    assert first.startswith(f"{two}:3: expected SYN 5 at 0; got SYN 0 ")
    assert last == "1 of 2 scripts hold"


def test_a_script_that_is_none(tmp_path: Path) -> None:
    (one,) = written(tmp_path, one="stack rfc\nfly\n")
    with pytest.raises(BadInput, match="one:2: there is no step 'fly'"):
        call("run", one)


def test_list_of_stacks() -> None:
    done = call("stacks")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(profiles())
    answer = json.loads(call("stacks", "--json").stdout)
    assert answer["schema"] == "vswitch.tcp-stacks/1"
    assert [row["name"] for row in answer["stacks"]] == list(profiles())


def test_constants_of_a_stack() -> None:
    done = call("stacks", "linux:tlp=off")
    assert done.exit_code == 0
    for name in KEYS:
        assert f"\n{name} " in done.stdout
    answer = json.loads(call("stacks", "linux:tlp=off", "--json").stdout)
    assert (answer["stack"], answer["profile"]) == ("linux:tlp=off", "linux")
    rows = {row["name"]: row for row in answer["constants"]}
    assert rows["tlp"] == {
        "name": "tlp", "value": "off", "meaning": "tail loss probes",
        "source": "given; linux has on", "status": "chosen",
    }  # fmt: skip
    assert rows["min_rto"]["value"] == "200ms"


@pytest.mark.whole_program
def test_exit_statuses_of_the_program(tmp_path: Path) -> None:
    good, bad = written(tmp_path, good=GOOD, bad=BAD)
    for words, status in (
        (["run", good], 0), (["run", bad], 1), (["run", "none"], 2), (["stacks", "linus"], 2),
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "vswitch", "tcp", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        if status == 2:
            assert len(done.stderr.splitlines()) == 1
