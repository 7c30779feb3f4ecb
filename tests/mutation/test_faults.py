"""The list of planted faults is true, and the runner tells caught from missed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import run
from faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_fault_can_be_planted(fault):
    assert run.planted(fault) != (ROOT / fault.path).read_text()


def test_rules_are_told_apart():
    assert len({fault.rule for fault in FAULTS}) == len(FAULTS) >= 20


@pytest.mark.whole_program
def test_runner_catches_a_fault_and_sees_when_there_is_none(monkeypatch, capsys):
    real = next(f for f in FAULTS if f.rule == "clearing the last filter pauses a running queue")
    harmless = replace(real, rule="nothing is wrong", new=real.old + "  # the same")
    monkeypatch.setattr(run, "FAULTS", (real, harmless))
    assert run.main([]) == 1
    out = capsys.readouterr().out
    assert "caught" in out.splitlines()[0]
    assert "MISSED" in out.splitlines()[1]
    assert "1 of 2 faults caught" in out
