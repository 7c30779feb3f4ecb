"""The files of a replay: whole or absent, the same each time, and consistent with each other."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from migration.columns import CSV_COLUMNS, NONE, to_arrays, to_csv, to_npz
from migration.fate import Fate
from migration.replay_outputs import Outputs
from migration.results import to_dict, without_measured
from migration.timeline import timeline_of
from migration.verdict import Outcome, Verdict
from pcaps.errors import BadInput
from tests.migration.moved import office, replayed

FILES = {
    "wire.pcapng", "summary.json", "timeline.json", "connections.csv", "connections.npz",
    "picture.svg",
}  # fmt: skip


def write(directory, run=replayed, **settings):
    with Outputs(directory) as outputs:
        replay = run(outputs.take, **settings)
        outputs.finish(replay, subject="a test")
    return replay


def outcome(number, verdict=Verdict.SURVIVED, **changes):
    facts = {
        "client": "10.0.0.1:40000", "server": "[2001:db8::1]:80", "vlan": "-", "reason": "said, so",
        "stall_ns": 1_500_000_000, "retransmits": 2, "rto_times_ns": (200_000_000, 600_000_001),
        "vm_rto_times_ns": (), "aborted_at_ns": None, "margin_ns": -1, "bytes_before": (1, 2),
        "bytes_after": (3, 4), "bytes_ok": True,
    }  # fmt: skip
    return Outcome(number=number, verdict=verdict, **(facts | changes))


def test_all_files_appear_and_are_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, blackout="500ms", loss="0.05", seed=3)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES


def test_an_error_leaves_nothing_and_names_the_place(tmp_path):
    target = tmp_path / "out"

    def broken():
        with Outputs(target) as outputs:
            replayed(outputs.take, 1, blackout="50ms")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        broken()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BadInput, match="file' is a file; name a directory"),
        Outputs(tmp_path / "file"),
    ):
        pass


def test_files_of_other_names_stay_and_old_ones_are_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "summary.json").write_text("old")
    write(tmp_path, source=1, blackout="50ms")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "summary.json").read_text())["schema"] == "vswitch.migrate/1"


def test_summary_is_the_json_object_without_what_was_measured(tmp_path):
    replay = write(tmp_path, blackout="500ms")
    found = to_dict(replay)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == json.loads(json.dumps(without_measured(found)))
    assert set(found) - set(written) == {"measured"}
    assert set(found["measured"]) >= {"cpu_s", "events", "events_per_s"}


def test_the_json_object_has_the_keys_that_are_promised(tmp_path):
    found = to_dict(write(tmp_path, blackout="500ms"))
    assert found["schema"] == "vswitch.migrate/1"
    assert set(found["move"]) >= {
        "kind", "policy", "passes", "total_s", "downtime_s", "blackout_s", "parts", "bytes_sent",
        "converged",
    }  # fmt: skip
    assert set(found["move"]["passes"][0]) >= {
        "start_s", "duration_s", "pages_sent", "pages_dirtied", "zero_pages",
    }  # fmt: skip
    assert set(found["connections"][0]) >= {
        "id", "client", "server", "vlan", "verdict", "reason", "stall_s", "retransmits",
        "rto_times_s", "aborted_at_s", "margin_s", "bytes_ok",
    }  # fmt: skip
    assert set(found["summary"]) >= {
        "connections", "survived", "timed_out", "reset", "finished", "max_stall_s", "min_margin_s",
    }  # fmt: skip


@pytest.mark.parametrize("settings", [{"blackout": "700ms", "loss": "0.05"}, {"hold": True}])
def test_frames_of_the_json_object_add_up(settings):
    frames = to_dict(replayed(None, 2, **settings))["frames"]
    assert frames["sent"] + frames["copies"] == (
        frames["delivered"] + sum(frames["ended"].values()) + frames["under_way"] + frames["held"]
    )


def test_parts_of_the_blackout_stand_one_behind_the_other():
    blackout = to_dict(replayed(None, 1))["blackout"]
    at = blackout["begin_s"]
    for part in blackout["parts"]:
        assert part["start_s"] == pytest.approx(at)
        at += part["duration_s"]
    assert at == pytest.approx(blackout["resume_s"])
    assert blackout["light_s"] >= blackout["resume_s"]


def test_timeline_tells_what_the_verdicts_count(tmp_path):
    replay = write(tmp_path, run=office, blackout="1.5s")
    told = json.loads((tmp_path / "timeline.json").read_text())
    assert told == json.loads(json.dumps(timeline_of(replay)))
    assert told["schema"] == "vswitch.timeline/1"
    times = [scene["at_s"] for scene in told["scenes"]]
    assert times == sorted(times)
    assert "the VM stops" in {scene["what"] for scene in told["scenes"]}
    assert {change["host"] for change in told["queues"]} == {"source", "target"}
    for listed, one in zip(told["connections"], replay.outcomes, strict=True):
        assert listed["id"] == one.number
        kinds = [event["what"] for event in listed["events"]]
        again = {"retransmission-timeout", "tail-probe", "fast-retransmission"}
        assert sum(kind in again for kind in kinds) == one.retransmits
        moments = [event["at_s"] for event in listed["events"]]
        assert moments == sorted(moments)
    assert told["announcements"]


def test_csv_has_a_row_a_connection_and_times_are_exact():
    rows = list(csv.reader(io.StringIO(to_csv([outcome(1), outcome(2, aborted_at_ns=10**10)]))))
    assert tuple(rows[0]) == CSV_COLUMNS
    first, second = (dict(zip(CSV_COLUMNS, row, strict=True)) for row in rows[1:])
    assert first["rto_times_s"] == "0.2;0.600000001"
    assert first["reason"] == "said, so"
    assert (first["stall_s"], first["margin_s"], first["aborted_at_s"]) == (
        "1.5",
        "-0.000000001",
        "",
    )
    assert (second["aborted_at_s"], second["server_bytes_after"]) == ("10", "4")


def test_arrays_hold_the_same_as_the_csv():
    outcomes = [
        outcome(1, Verdict.TIMED_OUT, aborted_at_ns=7, vlan="20", rto_times_ns=(1, 2, 3)),
        outcome(4, margin_ns=None, rto_times_ns=(), vm_rto_times_ns=(5,)),
    ]
    arrays = np.load(io.BytesIO(to_npz(outcomes)))
    assert set(arrays) == set(to_arrays(outcomes))
    assert arrays["id"].tolist() == [1, 4]
    assert arrays["verdict"].tolist() == ["timed_out", "survived"]
    assert arrays["aborted_at_ns"].tolist() == [7, NONE]
    assert arrays["margin_ns"].tolist() == [-1, NONE]
    first = arrays["rto_first"]
    assert [arrays["rto_times_ns"][first[k] : first[k + 1]].tolist() for k in range(2)] == [
        [1, 2, 3], [],
    ]  # fmt: skip
    assert arrays["vm_rto_first"].tolist() == [0, 0, 1]
    assert arrays["bytes_before"].tolist() == [[1, 2], [1, 2]]
    assert to_npz(outcomes) == to_npz(outcomes)
    assert len(np.load(io.BytesIO(to_npz([])))["bytes_after"]) == 0


def test_reasons_of_the_network_have_a_sentence_and_the_number_of_the_kernel():
    from migration import path_kernel

    for fate in Fate:
        assert getattr(path_kernel, fate.name) == fate
        assert fate.sentence.endswith(".")
    assert len({fate.label for fate in Fate}) == len(Fate)
