"""Every script of the suite holds; each names one rule, and docs/tcp-rules.md lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tcp_rules import ROOT, SCRIPTS, page

from migration.tcp.script import load
from migration.tcp.script_run import run


def name_of(path: Path) -> str:
    return str(path.relative_to(SCRIPTS[0].parents[1]).with_suffix(""))


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_script(path: Path) -> None:
    failure = run(load(path))
    assert failure is None, f"{path}:{failure.line}: {failure.what}"


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_script_has_one_rule_and_a_sentence(path: Path) -> None:
    script = load(path)
    assert len(script.rules) == 1
    assert re.fullmatch(
        r"RFC \d+ (section [\d.]+|appendix [A-Z])|Linux \S+|(Windows|Microsoft|CIS) .+",
        script.rules[0],
    )
    assert script.text.endswith(".")
    assert path.read_text().startswith("# rule: ")


def test_there_are_enough_of_them() -> None:
    assert len(SCRIPTS) >= 150


def test_the_list_of_rules_is_that_of_the_scripts() -> None:
    assert (ROOT / "docs" / "tcp-rules.md").read_text() == page()
