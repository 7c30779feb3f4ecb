"""``vswitch migrate`` as people and scripts call it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from numba import config

from pcaps import samples
from pcaps.errors import BadInput
from vswitch.cli import vswitch

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="millions of steps of plain Python")

HTTP = str(samples.path("kernel_http"))
SMALL = ["--memory", "1MiB", "--at", "200ms", "--after", "300ms"]
KEYS = {
    "move": {
        "kind", "policy", "passes", "total_s", "downtime_s", "blackout_s", "parts", "bytes_sent",
        "converged",
    },
    "connections": {
        "id", "client", "server", "vlan", "verdict", "reason", "stall_s", "retransmits",
        "rto_times_s", "aborted_at_s", "margin_s", "bytes_ok",
    },
    "summary": {
        "connections", "survived", "timed_out", "reset", "finished", "max_stall_s", "min_margin_s",
    },
    "measured": {"cpu_s", "events", "events_per_s"},
}  # fmt: skip


def migrate(*words):
    return CliRunner().invoke(vswitch, ["migrate", *map(str, words)], catch_exceptions=False)


def found(*words):
    done = migrate(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@compiled
def test_json_has_what_scripts_rely_on():
    answer = found("--synthetic", 2, *SMALL, "--blackout", "300ms")
    assert answer["schema"] == "vswitch.migrate/1"
    assert KEYS["move"] <= answer["move"].keys()
    assert KEYS["summary"] <= answer["summary"].keys()
    assert KEYS["measured"] <= answer["measured"].keys()
    assert len(answer["connections"]) == 2
    for connection in answer["connections"]:
        assert KEYS["connections"] <= connection.keys()
    one = answer["move"]["passes"][0]
    assert {"start_s", "duration_s", "pages_sent", "pages_dirtied", "zero_pages"} <= one.keys()


@compiled
def test_a_capture_goes_through_each_kind_of_move():
    for kind in ("live", "quick", "postcopy"):
        answer = found(HTTP, "--kind", kind, "--memory", "16MiB", "--no-margins")
        assert answer["move"]["kind"] == kind
        assert all(one["bytes_ok"] for one in answer["connections"])


@compiled
def test_kinds_side_by_side():
    done = migrate("--synthetic", 1, *SMALL, "--compare", "live,quick,postcopy", "--no-margins")
    assert done.exit_code == 0
    for title in ("live migration", "Quick Migration", "post-copy migration"):
        assert title in done.stdout


def test_the_report_says_who_dies_and_why():
    done = migrate(
        "--synthetic", 1, *SMALL, "--blackout", "12s", "--stack-client", "windows-2008r2"
    )
    assert "1 connection of 1 dies" in " ".join(done.stdout.split())
    assert "retransmission timer" in done.stdout
    assert "--hold" in done.stdout  # what to try next


def test_expectations_of_a_scenario_decide_the_exit_status(tmp_path):
    path = tmp_path / "move.toml"
    path.write_text(
        '[move]\nmemory = "1MiB"\nat = "200ms"\nblackout = "12s"\n'
        '[traffic]\nafter = "300ms"\nstack_client = "windows-2008r2"\n'
        '[expect]\nno_timeouts = true\nmax_stall = "1s"\nmax_blackout = "1s"\n'
    )
    done = migrate("--synthetic", 1, "-s", path)
    assert done.exit_code == 1
    assert "expected no connection to be lost, but 1 were" in done.stderr
    assert "expected no stall above 1 s" in done.stderr
    assert "expected no blackout above 1 s" in done.stderr
    # options go before the file
    assert migrate("--synthetic", 1, "-s", path, "--blackout", "10ms").exit_code == 0


def test_the_vm_of_a_scenario_moves(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(
        '[[vm]]\nname = "web"\nmac = "00:15:5d:00:00:07"\nvlan = 20\n'
        '[[vm]]\nname = "db"\nmac = "00:15:5d:00:00:08"\nvlan = 30\n'
    )
    answer = found("--synthetic", 1, "-s", path, "--vm", "db", *SMALL, "--no-margins")
    assert answer["vm"] == {"name": "db", "mac": "00:15:5d:00:00:08"}
    assert answer["connections"][0]["vlan"] == "30"
    with pytest.raises(BadInput, match="did you mean 'web'"):
        migrate("--synthetic", 1, "-s", path, "--vm", "wep", *SMALL)


def test_mistakes_in_the_file_are_told_with_their_lines(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[move]\nmemory = "1GiBB"\nholdd = true\n[path]\nrtt = 5\n')
    with pytest.raises(BadInput) as caught:
        migrate("--synthetic", 1, "-s", path)
    lines = [(problem.line, problem.path) for problem in caught.value.problems]
    assert lines == [(2, "move.memory"), (3, "move.holdd"), (5, "path.rtt")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either captures or --synthetic N"),
        ([HTTP, "--synthetic", 1], "give either captures or --synthetic N"),
        ([HTTP, "--vm", "00:00:00:00:00:99"], "has no TCP session in the captures"),
        (["--synthetic", 1, "--stack-vm", "linus"], "did you mean 'linux'?"),
        (["--synthetic", 1, "--compare", "live,fast"], "there is no kind 'fast'"),
        (["--synthetic", 1, "--compare", "live,quick", "-o", "x"], "-o keeps one run"),
    ],
)
def test_bad_input_is_one_sentence(words, said):
    with pytest.raises(BadInput, match=said.replace("?", r"\?")):
        migrate(*words)


@compiled
def test_a_move_that_does_not_converge_says_what_would_help():
    words = ["--memory", "64MiB", "--working-set", "48MiB", "--dirty", "500MB/s", "--no-margins"]
    done = migrate("--synthetic", 1, "--at", "200ms", *words)
    assert done.exit_code == 0
    assert "It does not converge" in done.stdout
    assert "never stopped" in done.stdout
