"""``vswitch plan`` as people and scripts call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from numba import config

from migration.cli_plan import plan
from pcaps.errors import BadInput

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="millions of steps of plain Python")

SMALL = ("--memory", "32MiB", "--working-set", "4MiB", "--dirty", "8MB/s", "--link", "40MB/s")


def call(*words: str) -> Result:
    return CliRunner().invoke(plan, list(words), catch_exceptions=False)


def answer(*words: str) -> dict:
    return json.loads(call(*words, "--json").stdout)


def test_the_report_shows_passes_blackout_and_prediction() -> None:
    text = call(*SMALL, "--downtime-limit", "30ms").stdout
    assert text.startswith(
        "live migration by QEMU: 32 MiB, 0 pages zero, 8.0 MB/s of pages written"
    )
    for word in ("pass ", "dirty again", "blackout ", "last copy", "port handover", "predicted "):
        assert word in text
    assert "8,192 pages compared: the target has what the source had" in text


def test_json_has_a_schema_and_every_figure() -> None:
    found = answer(*SMALL, "--downtime-limit", "30ms")
    assert found["schema"] == "vswitch.plan/1"
    assert set(found) == {"schema", "settings", "move", "prediction", "measured"}
    move = found["move"]
    assert {"kind", "policy", "passes", "total_s", "downtime_s", "blackout_s", "parts", "bytes_sent",
            "converged", "memory_equal"} <= set(move)  # fmt: skip
    assert set(move["passes"][0]) == {
        "start_s", "duration_s", "pages_sent", "pages_dirtied", "zero_pages", "bytes_sent", "throttle",
    }  # fmt: skip
    assert sum(move["parts"].values()) == pytest.approx(move["blackout_s"])
    assert found["settings"]["working_set_bytes"] == 4 * 2**20


def test_the_same_seed_gives_the_same_answer() -> None:
    words = (*SMALL, "--pattern", "zipf:1.1", "--seed", "9")
    first, second = answer(*words), answer(*words)
    del first["measured"], second["measured"]
    assert first == second


def test_kinds_stand_side_by_side() -> None:
    text = call(*SMALL, "--compare", "live,quick,postcopy").stdout
    for word in ("live migration by QEMU", "quick migration by Hyper-V", "post-copy by QEMU",
                 "storage move", "brownout"):  # fmt: skip
        assert word in text
    moves = answer(*SMALL, "--compare", "quick,live")["moves"]
    assert [move["kind"] for move in moves] == ["quick", "live"]


def test_many_passes_are_shortened_unless_all_are_asked_for() -> None:
    words = ("--memory", "64MiB", "--working-set", "60MiB", "--dirty", "38MB/s", "--link", "40MB/s",
             "--downtime-limit", "60ms", "--counts")  # fmt: skip
    assert " ..." in call(*words).stdout
    assert " ..." not in call(*words, "--all").stdout


@compiled
def test_a_move_that_does_not_converge_says_so_and_what_would_make_it() -> None:
    done = call("--memory", "64MiB", "--dirty", "90MB/s", "--link", "40MB/s", "--counts")
    assert done.exit_code == 0
    assert "cancelled" in done.stdout
    assert "converged  no" in done.stdout
    assert "it would converge with a dirty rate of" in done.stdout


def test_dirty_without_a_working_set_is_all_that_is_not_zero() -> None:
    found = answer("--memory", "64MiB", "--dirty", "1MB/s", "--zero-pages", "1000", "--counts")
    assert found["settings"]["working_set_bytes"] == 64 * 2**20 - 1000 * 4096


def test_line_rates_lose_their_headers_and_byte_rates_do_not() -> None:
    def link(word: str) -> float:
        return answer("--memory", "1MiB", "--link", word)["settings"]["link_bytes_per_s"]

    assert link("1Gbps") == pytest.approx(117.685e6, rel=1e-4)
    assert link("117.5MB/s") == pytest.approx(117.5e6)


def test_vm_traffic_and_steps_of_the_link() -> None:
    found = answer("--memory", "64MiB", "--link", "40MB/s,1s:10MB/s", "--vm-traffic", "5MB/s")
    assert found["settings"]["link_bytes_per_s"] == pytest.approx(35e6)
    assert found["move"]["total_s"] > 2


def test_a_cap_below_the_link_is_told() -> None:
    assert "pre-copy capped at 134.2 MB/s" in call("--memory", "1MiB", "--link", "10Gbps").stdout
    assert "capped" not in call("--memory", "1MiB", "--link", "1Gbps").stdout


def test_cap_may_be_none() -> None:
    assert answer("--memory", "1MiB", "--cap", "none")["settings"]["cap_bytes_per_s"] is None
    assert answer("--memory", "1MiB")["settings"]["cap_bytes_per_s"] == 128 * 2**20


def test_a_curve_from_a_file_is_the_working_set(tmp_path: Path) -> None:
    file = tmp_path / "curve"
    file.write_text("1 4MiB\n10 8MiB\n")
    found = answer("--memory", "64MiB", "--dirty-curve", str(file))
    assert found["settings"]["working_set_bytes"] == pytest.approx(8 * 2**20, abs=3 * 4096)


@pytest.mark.parametrize("pattern", ["sequential", "uniform", "zipf", "zipf:0.8", "hot-cold",
                                     "hot-cold:0.2/0.8"])  # fmt: skip
def test_patterns_are_known_by_name(pattern: str) -> None:
    assert answer(*SMALL, "--pattern", pattern)["move"]["memory_equal"] is True


@pytest.mark.parametrize(("words", "what"), [
    (("--memory", "much"), "--memory: 'much' is not a number of B"),
    (("--link", "0"), "--link: the link leaves 0 bytes/s"),
    (("--link", "1Gbps", "--vm-traffic", "2Gbps"), "give a link faster than the traffic on it"),
    (("--link", "1Gbps,400Mbps"), "times only go up"),
    (("--dirty", "5"), "--dirty: '5' is not a rate"),
    (("--downtime-limit", "300"), "--downtime-limit: '300' is not a time"),
    (("--policy", "xen"), "there is no migration policy 'xen'; did you mean"),
    (("--pattern", "often", "--dirty", "1MB/s"), "--pattern: 'often' is no pattern"),
    (("--pattern", "zipf:x", "--dirty", "1MB/s"), "'zipf:x' is no pattern"),
    (("--pattern", "zipf:-1", "--dirty", "1MB/s"), "Zipf exponent of -1.0 is out of range"),
    (("--pattern", "hot-cold:2/1", "--dirty", "1MB/s"), "shares between 0 and 1"),
    (("--pattern", "hot-cold:0.1", "--dirty", "1MB/s"), "is no pattern"),
    (("--working-set", "0", "--dirty", "1MB/s"), "give it a size"),
    (("--working-set", "8GiB"), "does not fit into the memory"),
    (("--zero-pages", "2000000"), "zero pages do not fit"),
    (("--postcopy-after", "1s"), "add that, or leave it out"),
    (("--kind", "postcopy", "--policy", "hyperv-r2"), "has no post-copy"),
    (("--compare", "live,fast"), "has another kind than live, quick, postcopy"),
    (("--announce", "garp"), "there is no announcement 'garp'; did you mean"),
    (("--storage", "0", "--kind", "quick"), "saves nothing"),
])  # fmt: skip
def test_bad_options_are_answered_in_a_sentence(words: tuple[str, ...], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        call(*words)
