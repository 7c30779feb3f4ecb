"""What people read after a replay: order, words, and that it says what the JSON says."""

from __future__ import annotations

import io
import json
import re
from copy import deepcopy

import pytest
from rich.console import Console

from migration.replay_report import meaning, next_steps, show
from migration.replay_tables import (
    comparison_table,
    connection_table,
    most_important_first,
    pass_table,
    rest_text,
    seconds_text,
    verdict_bar,
)
from migration.results import to_dict
from tests.migration.moved import ENDLESSLY, SLOW_WITHOUT_JIT, office, replayed


def printed(part, width=110):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(part)
    return console.file.getvalue()


def report(found, width=110, **settings):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(console, found, **settings)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def deadly():
    """Two connections that time out and the report's JSON, as a program would read it."""
    replay = replayed(
        None, 2, traffic="bulk", blackout="25s", stack_client="windows-2008r2", link="10Mbps",
        announce="none", kind="quick",
    )  # fmt: skip
    return json.loads(json.dumps(to_dict(replay)))


@pytest.fixture(scope="module")
def harmless():
    return json.loads(json.dumps(to_dict(office(None, blackout="1.5s"))))


def row(number, verdict="survived", **changes):
    facts = {
        "id": number, "client": "10.0.0.1:1", "server": "10.0.0.2:2", "vlan": None,
        "verdict": verdict, "reason": "because", "stall_s": 0.0, "retransmits": 0,
        "aborted_at_s": None, "margin_s": None, "unfaithful": False,
    }  # fmt: skip
    return facts | changes


def test_dead_connections_come_first_then_the_smallest_margins():
    rows = [
        row(1, "finished"), row(2, stall_s=9.0), row(3, margin_s=5.0), row(4, margin_s=-1.0),
        row(5, "reset", aborted_at_s=8.0), row(6, "timed_out", aborted_at_s=3.0), row(7),
    ]  # fmt: skip
    assert [one["id"] for one in most_important_first(rows)] == [6, 5, 4, 3, 2, 7, 1]


def test_the_table_says_margins_where_they_were_searched():
    rows = [row(1, margin_s=0.25), row(2), row(3, "finished"), row(4, margin_s=-2.0)]
    said = printed(connection_table(rows))
    assert "+250 ms" in said
    assert "-2 s" in said
    assert "no end" in said
    assert "margin" not in printed(connection_table([row(1)]))
    assert "VLAN" not in said
    assert "VLAN" in printed(connection_table([row(1, vlan="10.20")]))


def test_what_is_left_out_is_said():
    rows = [row(n, "timed_out") for n in range(3)] + [row(9)]
    assert rest_text(rows, 2) == "and 2 more connections: 1 survived, 1 timed out (--all)"
    assert rest_text(rows, 4) is None
    assert rest_text(rows, None) is None


def test_every_verdict_that_occurs_has_a_cell():
    summary = {"survived": 9999, "timed_out": 1, "reset": 0, "finished": 1}
    text = verdict_bar(summary, 40).plain
    assert len(text) == 40
    assert text.count("░") == text.count("▓") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 s"), (2e-5, "20 µs"), (0.4124, "412 ms"), (-0.25, "-250 ms"),
     (15.71, "15.7 s"), (924.6, "925 s"), (7200, "7,200 s"), (0.9999, "1 s")],
)  # fmt: skip
def test_times_have_a_unit_that_suits_them(seconds, text):
    assert seconds_text(seconds) == text


def test_of_many_passes_the_first_and_the_last_are_shown():
    one = {
        "start_s": 0.0, "duration_s": 1.0, "pages_sent": 10, "zero_pages": 1, "pages_dirtied": 2,
        "throttle": 0.0,
    }  # fmt: skip
    few, many = printed(pass_table([one] * 9, 100)), printed(pass_table([one] * 40, 100))
    assert len(few.splitlines()) == 10
    assert len(many.splitlines()) == 10
    assert "..." in many
    assert many.splitlines()[-1].split()[0] == "40"
    assert "throttled" not in many
    assert "20%" in printed(pass_table([one | {"throttle": 0.2}], 100))


def test_the_report_of_deaths_names_the_end_and_its_timer(deadly):
    said = report(deadly, command="vswitch migrate --synthetic 2 --kind quick")
    assert "Quick Migration" in said
    assert re.search(r"2 connections of 2 die: for 25(\.\d)? s no frame reached the VM\.", said)
    assert "retransmission timer expired" in " ".join(said.split())
    assert "--kind quick --hold" in said
    assert "vswitch migrate --synthetic 2   the same as a live migration" in said


def test_the_report_of_survivors_says_by_how_much(harmless):
    said = report(harmless, subject="office.pcapng", command="vswitch migrate office.pcapng -o out")
    assert said.startswith("office.pcapng  11 connections of vm1 (00:15:5d:01:0a:01)")
    assert "No connection dies: for 1.5 s no frame reached the VM" in said
    assert "target: VM queue" in said
    assert "-o out -o" not in said
    for label, n in harmless["frames"]["ended"].items():
        assert f"{n:>9,}  {label}" in said


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_report_fits_any_terminal(deadly, harmless, width):
    for found in (deadly, harmless):
        assert "blackout" in report(found, width)


def test_the_next_blackout_to_try_stands_at_the_margin(harmless):
    found = deepcopy(harmless)
    found["summary"]["min_margin_s"] = 2.0
    steps = dict(next_steps(found, "vswitch migrate x"))
    assert steps["vswitch migrate x --blackout 3.501s"] == "about the shortest that one dies of"
    found["summary"] |= {"timed_out": 1, "min_margin_s": -0.5}
    assert "vswitch migrate x --blackout 1.000s" in dict(next_steps(found, "vswitch migrate x"))
    assert "live through a blackout of 1 s" in meaning(found)
    found["blackout"]["held"] = True
    assert not any("--hold" in line for line, _ in next_steps(found, "vswitch migrate x"))


def test_a_comparison_has_a_column_a_move(deadly, harmless):
    said = printed(comparison_table({"live": harmless, "quick": deadly}), 140)
    head = said.splitlines()[0]
    assert head.index("live migration") < head.index("Quick Migration")
    lines = {line[:24].strip(): line.split() for line in said.splitlines()}
    assert lines["timed out"][-2:] == ["0", "2"]
    assert lines["blackout"][-2:] == ["25", "s"]


@SLOW_WITHOUT_JIT
def test_a_move_that_was_given_up_says_why():
    found = to_dict(replayed(None, 1, **ENDLESSLY))
    said = " ".join(report(found).split())
    assert "given up: the VM stays on the source" in said
    assert found["move"]["why"]
    assert found["move"]["why"].split(";")[0] in said
    assert "The VM never stopped" in said
    assert "blackout" not in said
    assert "queue" not in said
