"""The replay job: self-made switch, limits, damage, several captures, the JSON object."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pcaps
from pcaps import samples
from pcaps.errors import BadInput
from vswitch.replay import SCHEMA, Job, Replay, run

OFFICE = str(samples.path("office"))
DAMAGED = str(samples.path("damaged"))


def classic(frames: list[bytes], wirelen: dict[int, int] | None = None) -> bytes:
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number, frame in enumerate(frames):
        length = (wirelen or {}).get(number, len(frame))
        out += struct.pack("<IIII", number, 0, len(frame), length) + frame
    return out


def frame(destination: int, vid: int | None = None, tpid: int = 0x8100, size: int = 60) -> bytes:
    tag = b"" if vid is None else struct.pack(">HH", tpid, vid)
    head = bytes([2, 0, 0, 0, 0, destination]) + bytes([2, 0, 0, 0, 1, 1])
    return (head + tag + b"\x08\x00").ljust(size, b"\0")


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Vm 7 three times, vm 8 twice in VLAN 5, a broadcast."""
    frames = [frame(7), frame(8, 5), frame(7), b"\xff" * 6 + frame(0)[6:], frame(8, 5), frame(7, 0)]
    path = tmp_path / "small.pcap"
    path.write_bytes(classic(frames))
    return str(path)


def replay(*captures: str, **settings: Any) -> Replay:
    return run(Job(captures=captures, **settings))


def test_every_vlan_and_unicast_destination_is_a_vm_busiest_first(small: str) -> None:
    rows = replay(small).result.queues
    assert [(row.vm, row.mac, row.vlan, row.frames) for row in rows] == [
        ("vm1", "02:00:00:00:00:07", None, 3),
        ("vm2", "02:00:00:00:00:08", 5, 2),
    ]
    assert [row.flooded_frames for row in rows] == [1, 0]


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8, 0x9100])
def test_three_tag_types_count_as_tags(tpid: int, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(classic([frame(7, 33, tpid)]))
    assert replay(str(tmp_path / "c")).result.queues[0].vlan == 33


def test_nothing_that_can_be_delivered_is_dropped(tmp_path: Path) -> None:
    odd = [
        bytes([2, 0, 0, 0, 0, 1]) + b"\xff" * 6 + bytes(60),  # group source
        bytes([2, 0, 0, 0, 0, 2]) + bytes(6) + bytes(60),  # zero source
        frame(3, size=9000),
        bytes(6) + bytes(60),  # zero destination
        frame(4),
    ]
    (tmp_path / "c").write_bytes(classic(odd, wirelen={4: 262144}))
    for mode in ("vmq", "software"):
        frames = replay(str(tmp_path / "c"), mode=mode).result.frames
        assert frames == {"in": 5, "unicast": 5, "flooded": 0, "dropped": 0, "copies": 5}


def test_busiest_vms_get_the_queues_and_the_others_the_default_queue(small: str) -> None:
    rows = replay(small, queues=1).result.queues
    assert [(row.path, row.queue) for row in rows] == [("vmq", 1), ("default", 0)]
    rows = replay(small, queues=0).result.queues
    assert {(row.path, row.queue) for row in rows} == {("default", 0)}
    rows = replay(small, mode="software").result.queues
    assert {(row.path, row.queue) for row in rows} == {("software", None)}


def test_limit_counts_through_all_captures_and_makes_the_scenario(small: str) -> None:
    done = replay(small, small, limit=7)
    assert [capture.frames for capture in done.captures] == [6, 1]
    assert done.result.frames["in"] == 7
    assert [row.vm for row in replay(small, limit=1).result.queues] == ["vm1"]
    assert replay(small, limit=0).result.frames["in"] == 0


def test_threads_do_not_change_the_summary() -> None:
    assert replay(OFFICE, jobs=1).summary() == replay(OFFICE, jobs=2).summary()


def test_damage_is_reported_and_strict_makes_it_an_error(tmp_path: Path) -> None:
    done = replay(DAMAGED, output=tmp_path / "o")
    facts = done.to_dict()["captures"][0]
    assert (facts["frames"], facts["damage"]["kind"], facts["damage"]["frame"]) == (
        30, "bad-length", 30,
    )  # fmt: skip
    with pytest.raises(BadInput, match="behind frame 30"):
        replay(DAMAGED, output=tmp_path / "p", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_json_object_has_the_promised_keys() -> None:
    done = replay(OFFICE).to_dict()
    assert done["schema"] == SCHEMA == "vswitch.replay/1"
    assert set(done["captures"][0]) == {
        "path", "format", "frames", "bytes_wire", "bytes_captured", "skipped", "damage",
    }  # fmt: skip
    assert set(done["frames"]) == {"in", "unicast", "flooded", "dropped", "copies"}
    assert set(done["queues"][0]) == {
        "vm", "mac", "vlan", "queue", "path", "frames", "bytes_wire", "bytes_captured",
        "flooded_frames",
    }  # fmt: skip
    assert set(done["measured"]) == {"cpu_s", "wall_s", "mpps", "gbps"}
    assert done["frames"]["dropped"] == sum(done["drops"].values())
    assert json.loads(json.dumps(done)) == done


def test_summary_holds_nothing_that_differs_from_run_to_run(tmp_path: Path) -> None:
    done = replay(OFFICE, output=tmp_path)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == done.summary()
    assert not {"measured", "jobs"} & set(written)


def test_first_drop_names_its_capture_and_its_number_through_all(
    small: str, tmp_path: Path
) -> None:
    (tmp_path / "d").write_bytes(classic([frame(7), b"\0" * 5]))
    done = replay(small, str(tmp_path / "d"))
    drop = done.first_drops()[0]
    assert (drop["reason"], drop["capture"], drop["frame"], drop["packet_id"]) == (
        "runt", str(tmp_path / "d"), 2, 8,
    )  # fmt: skip
    assert drop["explain"].endswith("--frame 8")


def test_explain_command_repeats_what_the_switch_depends_on() -> None:
    job = Job(captures=["a b.pcap"], mode="software", limit=9)
    assert job.explain_command(3) == (
        "vswitch explain --mode software --limit 9 'a b.pcap' --frame 3"
    )
    job = Job(captures=["c"], scenario="s.toml", queues=2, jobs=2)
    assert job.explain_command(1) == "vswitch explain -s s.toml --queues 2 c --frame 1"


def test_a_pipe_is_kept_for_the_second_pass(small: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(Path(small).read_bytes()))
    writer.start()
    told: list[str] = []
    done = run(Job(captures=[str(pipe)]), tell=told.append)
    writer.join()
    assert done.result.frames["in"] == 6
    assert done.captures[0].path == str(pipe)
    assert len(told) == 1
    assert "self-made scenario reads twice" in told[0]


def test_a_file_that_grows_between_the_passes_is_read_as_it_was(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vswitch import replay as module

    def grow(feed: Any, *args: Any, **settings: Any) -> Any:
        made = lab_of(feed, *args, **settings)
        with Path(small).open("ab") as file:
            file.write(classic([frame(9)])[24:])
        return made

    lab_of = module.lab_of
    monkeypatch.setattr(module, "lab_of", grow)
    assert replay(small).result.frames == {
        "in": 6, "unicast": 5, "flooded": 1, "dropped": 0, "copies": 6,
    }  # fmt: skip


def test_progress_ends_at_the_size_of_the_captures(small: str) -> None:
    seen: list[tuple[int, int | None]] = []
    run(Job(captures=[small]), progress=lambda _what, done, size: seen.append((done, size)))
    done, size = seen[-1]
    assert size == Path(small).stat().st_size
    assert 0 < done <= size


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"captures": []}, "name a capture"),
        ({"captures": ["x"], "mode": "vmw"}, "use vmq or software"),
        ({"captures": ["x"], "jobs": 0}, "at least 1"),
        ({"captures": ["x"], "split": True}, "add -o DIR"),
        ({"captures": ["x"], "mode": "software", "queues": 3}, "drop --queues"),
    ],
)
def test_a_job_that_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Job(**settings)


def test_standard_input_can_be_named_once_only() -> None:
    with pytest.raises(BadInput, match="name it once"):
        replay("-", "-")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.pcap", None, "no such file"),
        ("empty", b"", "empty"),
        ("text.pcap", b"hello, this is not a capture at all", "not a capture"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    name: str, content: bytes | None, says: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says) as error:
        replay(str(tmp_path / name), output=tmp_path / "o")
    assert name in error.value.what
    assert not (tmp_path / "o").exists()


def test_a_capture_is_never_overwritten_by_its_own_replay(small: str, tmp_path: Path) -> None:
    replay(small, output=tmp_path / "o", split=True)
    for name in ("queues.pcapng", "vms/vm1.pcap"):
        before = (tmp_path / "o" / name).read_bytes()
        with pytest.raises(BadInput, match="would be overwritten"):
            replay(str(tmp_path / "o" / name), output=tmp_path / "o")
        assert (tmp_path / "o" / name).read_bytes() == before


MIRROR = """
[scenario]
profile = "2012"
[[network]]
name = "n"
kind = "external"
mirror_to = "watch"
[[vm]]
name = "seven"
mac = "02:00:00:00:00:07"
mirror = "egress"
[[vm]]
name = "watch"
mac = "02:00:00:00:00:55"
"""


def test_mirrored_frames_are_counted_and_written_beside_the_copies(
    small: str, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(MIRROR)
    done = replay(small, scenario=str(tmp_path / "s.toml"), output=tmp_path / "o", split=True)
    facts = done.to_dict()
    assert [facts["frames"][key] for key in ("in", "unicast", "flooded")] == [6, 3, 1]
    assert facts["mirrored"] == 4  # what went to seven: three unicast frames and a broadcast
    watched = pcaps.open(tmp_path / "o" / "vms" / "watch.pcap")
    assert sum(len(frames) for frames in watched) == 1 + 4


SCENARIO = """
[scenario]
name = "two"
[[network]]
name = "external"
kind = "external"
parent = false
[[vm]]
name = "seven"
mac = "02:00:00:00:00:07"
[[vm]]
name = "eight"
mac = "02:00:00:00:00:08"
vlan = 5
[expect]
{expect}
"""


@pytest.mark.parametrize(
    ("expect", "failures"), [("no_drops = true", 0), ("frames = {seven = 99}", 1)]
)
def test_expectations_of_a_scenario_are_checked(
    expect: str, failures: int, small: str, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO.format(expect=expect))
    done = replay(small, scenario=str(tmp_path / "s.toml"), queues=1)
    assert [(row.vm, row.frames, row.path) for row in done.result.queues] == [
        ("seven", 3, "vmq"), ("eight", 2, "default"),
    ]  # fmt: skip
    assert len(done.failed_expectations) == failures
    assert done.summary()["failed_expectations"] == done.failed_expectations


def test_queues_for_a_switch_without_adapter_are_refused(small: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO.format(expect="").replace("external", "private"))
    with pytest.raises(BadInput, match="no adapter with VM queues"):
        replay(small, scenario=str(tmp_path / "s.toml"), queues=1)


SCENARIOS = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "examples" / "scenarios").glob("*.toml")
    if path.name != "seven-mistakes.toml"
)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("jobs", [1, 2])
def test_files_of_every_example_scenario_hold_what_the_summary_counts(
    path: Path, jobs: int, tmp_path: Path
) -> None:
    done = replay(OFFICE, scenario=str(path), output=tmp_path, split=True, jobs=jobs)
    written = pcaps.open(tmp_path / "queues.pcapng", strict=True)
    counts: Counter[str] = Counter()
    for frames in written:
        for interface, n in enumerate(np.bincount(frames.interface).tolist()):
            counts[written.interfaces[interface].name] += n
    names = [interface.name for interface in written.interfaces]
    assert counts[names[0]] == done.result.frames["in"]
    for row in done.result.queues:
        if row.vm != names[0]:
            assert counts[row.vm] == row.frames + row.flooded_frames
            split = pcaps.open(tmp_path / "vms" / f"{row.vm}.pcap")
            assert sum(len(frames) for frames in split) == counts[row.vm]
    left = sum(counts.values()) - counts[names[0]]
    assert left == done.result.frames["copies"] + done.result.tally.mirrored
    commented = [note for note in written.comments if note.where == "frame"]
    most = 4096  # that a reader keeps
    assert len(commented) == min(done.result.frames["dropped"], most)
