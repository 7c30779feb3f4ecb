"""Verdicts: what is said of each, and that the manual says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from migration.tcp.state_kernel import (
    ABORTED,
    ALIVE,
    DONE,
    ENDPOINT,
    RESET_BY_PEER,
    RETRIES_SPENT,
    TIME_WAIT,
)
from migration.verdict import SENTENCES, Verdict, is_dead, is_over

MANUAL = Path(__file__).resolve().parents[2] / "migration" / "README.md"


def ends(*codes):
    made = np.zeros(len(codes), ENDPOINT)
    made["end"] = codes
    return made


def test_the_manual_has_the_sentence_of_each_verdict():
    manual = MANUAL.read_text()
    for verdict in Verdict:
        assert f"| `{verdict.value}` | {SENTENCES[verdict]} |" in manual


def test_a_connection_is_dead_when_one_end_has_given_up():
    assert is_dead(ends(ALIVE, RETRIES_SPENT, ALIVE, ALIVE)).tolist() == [True, False]


def test_a_reset_that_an_application_wanted_is_no_loss():
    assert is_dead(ends(ABORTED, RESET_BY_PEER)).tolist() == [False]
    assert is_dead(ends(RETRIES_SPENT, RESET_BY_PEER)).tolist() == [True]
    assert is_dead(ends(ALIVE, RESET_BY_PEER)).tolist() == [True]


def test_a_connection_is_over_when_both_ends_are():
    both = ends(DONE, ALIVE)
    assert is_over(both).tolist() == [False]
    both["state"][1] = TIME_WAIT
    assert is_over(both).tolist() == [True]
