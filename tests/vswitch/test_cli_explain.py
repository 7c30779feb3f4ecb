"""``vswitch explain`` as people and scripts call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pcaps import samples
from pcaps.errors import BadInput
from pcaps.frames import Frame
from vswitch import explain as module
from vswitch.cli_explain import explain
from vswitch.outcome import Outcome
from vswitch.verdict import DropReason, Verdict

OFFICE = str(samples.path("office"))

SCENARIO = """
[[network]]
name = "inside"
kind = "private"
[[vm]]
name = "vm1"
mac = "02:00:00:00:00:01"
[[vm]]
name = "vm2"
mac = "02:00:00:00:00:02"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    (tmp_path / "s.toml").write_text(SCENARIO)
    return str(tmp_path / "s.toml")


def call(*words: str, **settings: Any) -> Result:
    return CliRunner().invoke(explain, list(words), catch_exceptions=False, **settings)


def test_a_frame_of_a_capture() -> None:
    done = call(OFFICE, "--frame", "5058")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"frame 5058 of {OFFICE}, in by uplink, 10 bytes")
    assert "dropped: runt" in done.stdout
    assert "the compiled path decides the same" in done.stdout


def test_json_is_one_object_with_steps() -> None:
    facts = json.loads(call(OFFICE, "--frame", "1", "--json").stdout)
    assert facts["schema"] == "vswitch.explain/1"
    assert (facts["capture"], facts["number"], facts["port"]) == (OFFICE, 1, "uplink")
    assert (facts["verdict"], facts["agrees"], facts["difference"]) == ("unicast", True, None)
    assert facts["steps"][0]["step"] == 1


def test_fields_with_a_scenario(scenario: str) -> None:
    done = call("-s", scenario, "--fields", "in=vm1 dst=vm2 len=100", "--hex")
    assert "frame, in by vm1, 100 bytes" in done.stdout
    assert "vm2: 100 bytes, no tag" in done.stdout
    assert "0000  02 00 00 00 00 02 02 00" in done.stdout


def test_json_lines_are_answered_line_by_line(scenario: str) -> None:
    lines = (
        '{"port": "vm1", "frame": "0200000000020200000000010800"}\n'
        '{"port": "vm1", "frame": "0200000000020200000000660800"}\n'
    )
    done = call("-s", scenario, "--stdin", input=lines)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["verdict"], second["reason"]) == ("unicast", "spoofed-source")
    assert done.exit_code == 0


def test_a_bad_line_makes_exit_status_2_at_the_end(scenario: str) -> None:
    lines = 'oops\n{"port": "vm1", "frame": "0200000000020200000000010800"}\n'
    done = call("-s", scenario, "--stdin", input=lines)
    assert done.exit_code == 2
    assert [next(iter(json.loads(line))) for line in done.stdout.splitlines()] == ["error", "out"]


class _Liar:
    def decide(self, frame: Frame, in_port: int, record: Any = None) -> Outcome:
        return Outcome(Verdict.DROPPED, DropReason.RUNT)


@pytest.mark.parametrize("words", [["--fields", "dst=vm2 in=vm1"], ["--stdin"]])
def test_a_disagreement_is_loud_and_exits_with_1(
    words: list[str], scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "twin_of", lambda network, adapter: _Liar())
    line = '{"port": "vm1", "frame": "0200000000020200000000010800"}\n'
    done = call("-s", scenario, *words, input=line)
    assert done.exit_code == 1
    assert "DISAGREE" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give one of --frame N, --fields TEXT and --stdin"),
        ([OFFICE, "--frame", "1", "--stdin"], "give one of"),
        (["--frame", "1"], "needs the CAPTURE"),
        (["--fields", "in=vm1"], "there is no switch yet"),
        (["-", "--stdin"], "both want standard input"),
        ([OFFICE, "--frame", "99999"], "there is no frame 99999"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(words: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call(*words)


@pytest.mark.whole_program
def test_json_lines_are_answered_as_they_come(scenario: str) -> None:
    command = [sys.executable, "-m", "vswitch", "explain", "-s", scenario, "--stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for destination, verdict in (("020000000002", "unicast"), ("ffffffffffff", "flooded")):
            frame = f"{destination}0200000000010800"
            running.stdin.write(json.dumps({"port": "vm1", "frame": frame}).encode() + b"\n")
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["verdict"] == verdict
        running.stdin.close()
        assert running.wait(60) == 0
