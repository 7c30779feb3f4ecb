"""``vswitch capture info`` and ``index`` against what is known of the samples and of real captures."""

import json

import pytest
from click.testing import CliRunner

import pcaps
from pcaps import samples
from pcaps.cli import capture
from pcaps.errors import BadInput


def call(*words):
    return CliRunner().invoke(capture, list(words))


def test_info_counts_what_reading_counts():
    for name in samples.names():
        path = str(samples.path(name))
        told = json.loads(call("info", path, "--json").stdout)["captures"][0]
        opened = pcaps.open(path)
        sizes = [len(frames) for frames in opened]
        assert told["frames"] == sum(sizes) == opened.frames
        assert told["bytes_wire"] == opened.bytes_wire
        assert (told["damage"] is None) == (opened.damage is None)
        vlans = {row["vlan"]: row["frames"] for row in told["vlans"]}
        assert sum(vlans.values()) <= told["frames"]


def test_info_of_the_office_for_people():
    shown = call("info", str(samples.path("office"))).stdout
    for words in ("9,827", "pcapng (little-endian)", "00:15:5d:01:0a:00", "0x8100"):
        assert words in shown


def test_info_tells_damage_and_keeps_what_is_before_it():
    done = call("info", str(samples.path("damaged")), "--json")
    told = json.loads(done.stdout)["captures"][0]
    assert told["frames"] == 30
    assert told["damage"]["kind"] == "bad-length"


def test_index_has_a_line_for_each_frame():
    path = samples.path("qinq")
    lines = call("index", str(path)).stdout.splitlines()
    batches = list(pcaps.open(path))
    frames = batches[0]
    assert len(lines) - 1 == sum(map(len, batches)) == 56
    number, _, captured, wire, time_ns = lines[1].split()
    assert (int(number), int(captured), int(wire)) == (1, frames.caplen[0], frames.wirelen[0])
    assert int(time_ns) == frames.ts_ns[0]


@pytest.mark.parametrize("command", ["info", "index"])
def test_what_cannot_be_read_is_one_sentence(command, tmp_path):
    (tmp_path / "empty.pcap").write_bytes(b"")
    (tmp_path / "text.pcap").write_bytes(b"this is not a capture at all, only text")
    for path, says in (
        (tmp_path / "none.pcap", "no such file"),
        (tmp_path, "directory"),
        (tmp_path / "empty.pcap", "empty"),
        (tmp_path / "text.pcap", "not a capture"),
    ):
        done = call(command, str(path))
        assert isinstance(done.exception, BadInput), (path, done.exception)
        assert says in done.exception.what
        assert "\n" not in done.exception.what


@pytest.mark.compiled
def test_info_counts_what_independent_tools_count(captures, manifest):
    for entry in manifest:
        path = str(captures / entry["file"])
        if not entry["ethernet_frames"] and entry["frames_tshark"]:
            assert isinstance(call("info", path).exception, BadInput)
            continue
        told = json.loads(call("info", path, "--json").stdout)["captures"][0]
        counted = {row["vlan"]: row["frames"] for row in told["vlans"]}
        # frames too short for a header are in no VLAN here, and untagged there
        headless = sum(frames for _, _, mac, frames, _ in entry["vlan_dst"] if mac is None)
        if headless:
            counted[None] += headless
        vlans = {
            None if vid == "untagged" else int(vid): frames
            for vid, frames in entry["frames_per_outer_vlan"].items()
        }
        for name, wanted in (
            ("frames", entry["ethernet_frames"]),
            ("bytes_wire", sum(n_bytes for *_, n_bytes in entry["vlan_dst"])),
            ("largest", entry["max_len"]),
        ):
            assert told[name] == wanted, (entry["file"], name)
        assert counted == vlans, entry["file"]
        if not told["skipped"]:
            assert told["bytes_captured"] == entry["bytes_captured"], entry["file"]
