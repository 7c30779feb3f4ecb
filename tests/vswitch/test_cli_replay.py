"""``vswitch replay`` as people and scripts call it."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pcaps import samples
from pcaps.errors import BadInput
from vswitch import cli_replay
from vswitch.cli import vswitch
from vswitch.cli_replay import replay
from vswitch.outputs import IngressSide

OFFICE = str(samples.path("office"))
TWO_VMS = Path(__file__).resolve().parents[2] / "examples" / "scenarios" / "two-vms.toml"
DAMAGED = str(samples.path("damaged"))


def call(*words: str, **settings: Any) -> Result:
    return CliRunner().invoke(replay, list(words), catch_exceptions=False, **settings)


def process(*words: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vswitch", *words]
    return subprocess.run(command, capture_output=True, check=False, **settings)


def test_json_is_one_object_and_nothing_else_on_standard_output() -> None:
    done = call(DAMAGED, "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["schema"]) == (0, "vswitch.replay/1")
    assert "is damaged" in done.stderr


def test_report_is_on_standard_output_and_messages_are_not() -> None:
    done = call(DAMAGED)
    assert "30 frames" in done.stdout
    assert "is damaged" not in done.stdout
    assert "is damaged" in done.stderr
    assert done.exit_code == 0


def test_all_shows_every_vm() -> None:
    sessions = str(samples.path("tcp_sessions"))
    assert "(--all)" in call(sessions).stdout
    everything = call(sessions, "--all").stdout
    assert "(--all)" not in everything
    assert "vm24" in everything


def test_a_failed_expectation_is_told_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[[network]]\nname = "n"\nkind = "external"\n[[vm]]\nname = "v"\n'
        'mac = "02:00:00:00:00:77"\n[expect]\nno_drops = true\n'
    )
    done = call(OFFICE, "-s", str(tmp_path / "s.toml"), "--json")
    assert done.exit_code == 1
    assert "expected no drops" in done.stderr
    assert json.loads(done.stdout)["failed_expectations"]


def test_output_and_split_write_files_and_say_so(tmp_path: Path) -> None:
    done = call(OFFICE, "-o", str(tmp_path / "o"), "--split", "--ingress", "dropped")
    assert f"wrote {tmp_path / 'o'}" in done.stderr
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "queues.pcapng", "summary.json", "vms",
    }  # fmt: skip


def test_ingress_choices_are_those_of_the_library() -> None:
    option = next(option for option in replay.params if option.name == "ingress")
    assert list(option.type.choices) == [side.value for side in IngressSide]  # type: ignore[attr-defined]


def test_bad_input_is_left_to_the_shell() -> None:
    with pytest.raises(BadInput, match="no such file"):
        call("missing.pcap")


@pytest.mark.whole_program
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["missing.pcap"], b"no such file"),
        (["."], b"is a directory"),
        ([OFFICE, "--split"], b"add -o DIR"),
        ([DAMAGED, "--strict"], b"behind frame 30"),
        ([], b"Missing argument"),
    ],
)
def test_bad_input_exits_with_2_one_sentence_and_no_traceback(
    words: list[str], says: bytes
) -> None:
    done = process("replay", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


@pytest.mark.whole_program
def test_standard_input_is_kept_for_a_self_made_scenario() -> None:
    done = process("replay", "-", "--json", input=Path(OFFICE).read_bytes())
    facts = json.loads(done.stdout)
    assert (facts["captures"][0]["path"], facts["frames"]["in"]) == ("-", 9827)
    assert b"reads twice" in done.stderr


@pytest.mark.compiled
def test_the_command_of_a_drop_can_be_pasted() -> None:
    facts = json.loads(call(OFFICE, "--json").stdout)
    for drop in facts["first_drops"]:
        words = shlex.split(drop["explain"])
        assert words[0] == "vswitch"
        done = CliRunner().invoke(vswitch, words[1:], catch_exceptions=False)
        assert done.exit_code == 0
        assert f"dropped: {drop['reason']}" in done.output


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with cli_replay.progress_bar() as progress:
        progress("deciding", 10, 100)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with cli_replay.progress_bar() as progress:
        assert progress("deciding", 10, 100) is None


@pytest.mark.whole_program
def test_help_needs_neither_numba_nor_numpy() -> None:
    code = (
        "import sys; from vswitch.__main__ import main\n"
        "try: main(['replay', '--help'])\n"
        "finally: assert not {'numba', 'numpy', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Examples:" in done.stdout


@pytest.mark.whole_program
def test_a_replay_without_scenario_imports_neither_scapy_nor_pydantic() -> None:
    code = (
        f"import sys; from vswitch.__main__ import main\n"
        f"try: main(['replay', {DAMAGED!r}])\n"
        "finally: assert not {'scapy', 'pydantic', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.whole_program
def test_neither_home_nor_cache_directory_is_needed(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/proc/nowhere", "TMPDIR": str(tmp_path)}
    environment |= {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"}
    done = process("replay", DAMAGED, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    assert b"compiling kernels" in done.stderr


@pytest.mark.whole_program
def test_a_file_as_standard_input_needs_no_copy() -> None:
    with Path(OFFICE).open("rb") as file:
        done = process("replay", "-", "--json", stdin=file)
    assert json.loads(done.stdout)["frames"]["in"] == 9827
    assert done.stderr == b""


@pytest.mark.whole_program
@pytest.mark.parametrize("words", [[], ["-s", str(TWO_VMS)]])
def test_a_closed_standard_input_is_one_sentence(words: list[str]) -> None:
    done = process("replay", "-", *words, preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr) == (
        2, b"vswitch: standard input is closed; name a capture file instead of -\n",
    )  # fmt: skip


@pytest.mark.whole_program
def test_ctrl_c_leaves_neither_files_nor_spooled_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vswitch", "replay", "-", "-o", str(tmp_path / "out")]
    (tmp_path / "tmp").mkdir()
    running = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        # below some shells it is ignored; no thread runs here
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stderr is not None
    running.stdin.write(Path(OFFICE).read_bytes())
    running.stdin.flush()
    assert b"reads twice" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.whole_program
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    call(OFFICE, "-o", str(tmp_path / "warm"))  # kernels are cached: their files must fit, too

    def allow_one_megabyte() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = process("replay", OFFICE, "-o", str(tmp_path / "o"), preexec_fn=allow_one_megabyte)
    assert done.returncode == 2
    assert f"cannot write '{tmp_path / 'o' / 'queues.pcapng'}'".encode() in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["warm"]
