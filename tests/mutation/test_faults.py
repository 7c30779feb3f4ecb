"""The list of planted faults is true, and the runner tells caught from missed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import run
from faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAUSES = next(f for f in FAULTS if f.rule == "clearing the last filter pauses a running queue")
HARMLESS = replace(PAUSES, rule="nothing is wrong", new=PAUSES.old + "  # the same")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_fault_can_be_planted(fault):
    assert run.planted(fault) != (ROOT / fault.path).read_text()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_planted_text_is_python(fault):
    compile(run.planted(fault), fault.path, "exec")


def test_tests_that_have_to_notice_exist():
    assert not {test for f in FAULTS for test in f.tests if not (ROOT / test).is_file()}


def test_rules_are_told_apart():
    assert len({fault.rule for fault in FAULTS}) == len(FAULTS)


def test_every_module_of_the_decision_has_a_fault():
    deciding = ["copies", "decide", "fdb", "image", "learning", "replay", "stats", "words"]
    assert {f"vswitch/{name}_kernel.py" for name in deciding} <= {fault.path for fault in FAULTS}


def test_text_that_is_gone_or_stands_twice_is_an_error():
    for old in ("not in the file", "QueueState"):
        with pytest.raises(run.UnsoundError, match="must stand there once"):
            run.planted(replace(PAUSES, old=old))


@pytest.mark.whole_program
def test_runner_catches_a_fault_and_sees_when_there_is_none(monkeypatch, capsys):
    monkeypatch.setattr(run, "FAULTS", (PAUSES, HARMLESS))
    assert run.main([]) == 1
    caught, missed, total = capsys.readouterr().out.splitlines()
    assert caught.startswith("caught")
    assert missed.startswith("MISSED")
    assert total == "1 of 2 faults caught"


@pytest.mark.whole_program
def test_tests_that_fail_without_a_fault_catch_nothing(monkeypatch, capsys, tmp_path):
    broken = tmp_path / "test_broken.py"
    broken.write_text("def test_fails():\n    raise AssertionError\n")
    monkeypatch.setattr(run, "FAULTS", (replace(PAUSES, tests=(str(broken),)),))
    assert run.main([]) == 2
    assert "fails without any fault" in capsys.readouterr().err


def test_words_that_no_rule_has_are_an_error(capsys):
    assert run.main(["no such rule"]) == 2
    assert "no rule has the words" in capsys.readouterr().err
