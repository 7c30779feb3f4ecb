"""``vswitch cluster``: what it prints, writes, and exits with."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from clusters import text

from vswitch.cli import vswitch

ROOT = Path(__file__).resolve().parents[3]
TWO = str(ROOT / "examples" / "scenarios" / "cluster-two-nodes.toml")
MISTAKES = str(ROOT / "examples" / "scenarios" / "cluster-every-mistake.toml")


def cluster(*args, code=0):
    done = CliRunner().invoke(vswitch, ["cluster", *map(str, args)])
    assert done.exit_code == code, done.output
    return done


def test_validate_prints_categories_and_exits_by_what_it_found(tmp_path):
    said = cluster("validate", TWO).stdout
    assert "33 passed, 0 warnings, 0 failed: the hosts may exchange VMs." in said
    page = tmp_path / "report.html"
    said = cluster("validate", MISTAKES, "--html", page, code=1).stdout
    assert "✗ fail    processor-vendor: amd" in said
    assert "remedy:      keep VMs on hosts of one vendor" in said
    assert "cluster-every-mistake.toml:" in page.read_text()
    assert "lab.example" in cluster("validate", TWO, "--all").stdout


def test_validate_as_json_is_one_object():
    found = json.loads(cluster("validate", MISTAKES, "--json", code=1).stdout)
    assert found["schema"] == "vswitch.cluster-validate/1"
    assert {"fail", "warning"} == {one["result"] for one in found["checks"]}
    assert all(one["evidence"] and one["remedy"] for one in found["checks"])


def test_move_is_refused_by_name_and_forced(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(text(b='processor = "Opteron 2435"'))
    said = cluster("move", path, "web", "b", code=1).stdout
    assert "fail    processor-vendor" in said
    assert "refused by processor-vendor before anything was sent; --force shows" in said
    said = cluster("move", path, "web", "b", "--force", code=1).stdout
    assert "rolled back (processor-vendor)" in said
    found = json.loads(cluster("move", path, "web", "b", "--force", "--json", code=1).stdout)
    assert found["ended_at"] == "device state"
    assert found["runs_on"] == "a"
    assert found["pause_s"] > 0
    sound = json.loads(cluster("move", TWO, "web1", "node2", "--at", "20:00", "--json").stdout)
    assert sound["refused"] is None
    assert sound["runs_on"] == "node2"


def test_run_compares_and_writes_files_that_agree(tmp_path):
    said = cluster("run", TWO, "--seed", 1, "-o", tmp_path / "day").stdout
    assert "without mover" in said
    assert "why     node1 has" in said
    found = json.loads((tmp_path / "day" / "run.json").read_text())
    printed = json.loads(cluster("run", TWO, "--seed", 1, "--json").stdout)
    printed.pop("measured")
    assert printed == found
    rows = list(csv.DictReader((tmp_path / "day" / "moves.csv").read_text().splitlines()))
    assert [row["vm"] for row in rows] == [one["vm"] for one in found["with"]["moves"]]
    assert found["without"]["summary"]["moves"] == 0
    over = [found[one]["summary"]["overload_min"]["processors"] for one in ("without",)]
    assert over[0] > 60 > found["with"]["summary"]["overload_min"]["processors"]


def test_the_same_run_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        cluster("run", TWO, "--hours", 12, "-o", tmp_path / name)
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


def test_the_timeline_is_sound_and_opens_each_move_to_its_passes(tmp_path):
    cluster("run", TWO, "-o", tmp_path)
    page = (tmp_path / "timeline.html").read_text()
    moves = json.loads((tmp_path / "run.json").read_text())["with"]["moves"]
    assert page.count("<details") == len(moves) > 0
    assert page.count("Blackout by part") == len(moves)
    for drawing in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + drawing.partition("</svg>")[0] + "</svg>")
    for forbidden in ("<script", "http:", "https:", "src="):
        assert forbidden not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.whole_program
@pytest.mark.parametrize("what", ["timeline", "validation"])
def test_a_real_browser_shows_the_pages(tmp_path, what):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium; apt-get install chromium")
    page = tmp_path / f"{what}.html"
    if what == "timeline":
        cluster("run", TWO, "-o", tmp_path)
    else:
        cluster("validate", MISTAKES, "--html", page, code=1)
    shot = tmp_path / "shot.png"
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1000,1600", f"--screenshot={shot}", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert shot.exists(), done.stderr
    assert shot.stat().st_size > 30_000, "the page is nearly empty"


@pytest.mark.compiled
def test_sessions_go_through_the_longest_blackouts():
    found = json.loads(
        cluster("run", TWO, "--sessions", 4, "--replays", 1, "--hours", 12, "--json").stdout
    )
    (one,) = found["sessions"]
    assert one["survived"] == 4
    assert one["max_stall_s"] > 0


def test_faults_adds_up_and_tells_stories():
    found = json.loads(cluster("faults", "--moves", 200, "--json").stdout)
    assert found["schema"] == "vswitch.cluster-faults/1"
    assert sum(found["endings"].values()) == 200
    assert all(one["violations"] == 0 for one in found["invariants"])
    said = cluster("faults", "--moves", 50).stdout
    assert "faults by kind" in said
    assert "only-a-pause" in said
    story = cluster("faults", "--story", 10).stdout
    assert story.startswith("move 10:")
    assert "invariants held" in story
    assert cluster("faults", "--list").stdout.count("roll back") >= 4
    assert len(json.loads(cluster("faults", "--list", "--json").stdout)["kinds"]) == 13


def test_a_broken_invariant_exits_with_1_and_says_how_to_see_it(monkeypatch):
    from migration.cluster.stage import Disk

    monkeypatch.setattr(Disk, "hand_over", lambda disk, expected, new: True)
    done = cluster("faults", "--moves", 20, code=1)
    assert "--seed 0 --story" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("faults", "--moves", "0"), "0 moves cannot be broken"),
        (("faults", "--story", "99", "--moves", "10"), "there are moves 1 to 10"),
        (("faults", "--fault", "cancle@stop"), "did you mean 'cancel'?"),
        (("run", TWO, "--hours", "0"), "0 hours cannot be run"),
        (("move", TWO, "web1", "node2", "--at", "25"), "--at: '25' is not a time of day"),
        (("move", TWO, "web9", "node2"), "there is no VM 'web9'"),
        (("validate", "nowhere.toml"), "no such file"),
    ],
)
def test_bad_input_is_one_sentence(args, said):
    from pcaps.errors import BadInput

    done = CliRunner().invoke(vswitch, ["cluster", *args])
    assert isinstance(done.exception, BadInput)
    assert said in done.exception.what
