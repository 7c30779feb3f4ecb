"""Captures that nobody of this project made: counts as independent tools give them."""

from __future__ import annotations

import filecmp
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tshark import fields

from pcaps.errors import BadInput
from vswitch.replay import Job, Replay, run

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = Path(os.environ.get("VSWITCH_CAPTURES", ROOT.parent / "shared" / "captures"))
MANIFEST = CAPTURES / "manifest.json"

if not MANIFEST.exists():
    pytest.skip(
        f"no captures in {CAPTURES}; set VSWITCH_CAPTURES to their directory",
        allow_module_level=True,
    )

pytestmark = pytest.mark.slow

ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text())
NOT_ETHERNET = "35_linktype_sll2_not_ethernet.pcap"
ETHERNET = [entry for entry in ENTRIES if entry["file"] != NOT_ETHERNET]
NAMES = [entry["file"] for entry in ETHERNET]


def replay(name: str, **settings: Any) -> Replay:
    return run(Job(captures=[str(CAPTURES / name)], **settings))


def expected(
    entry: dict[str, Any],
) -> tuple[dict[tuple[int | None, str], list[int]], int, int]:
    """Frames and bytes by (VLAN, unicast destination), VID 0 merged with untagged.

    Then the frames to groups, and those without a header.
    """
    unicast: dict[tuple[int | None, str], list[int]] = {}
    groups = headless = 0
    for vid, _tpid, mac, frames, n_bytes in entry["vlan_dst"]:
        if mac is None:
            headless += frames
        elif int(mac[:2], 16) & 1:
            groups += frames
        else:
            row = unicast.setdefault((vid or None, mac), [0, 0])
            row[0] += frames
            row[1] += n_bytes
    return unicast, groups, headless


def test_all_captures_are_there() -> None:
    assert len(ENTRIES) == 37


@pytest.mark.parametrize("mode", ["vmq", "software"])
@pytest.mark.parametrize("entry", ETHERNET, ids=NAMES)
def test_counts_equal_those_of_independent_tools(entry: dict[str, Any], mode: str) -> None:
    done = replay(entry["file"], mode=mode)
    unicast, groups, headless = expected(entry)
    rows = done.result.queues
    assert {(row.vlan, row.mac): [row.frames, row.bytes_wire] for row in rows} == unicast
    frames = done.result.frames
    assert frames["in"] == frames["unicast"] + frames["flooded"] + frames["dropped"]
    assert frames["unicast"] == sum(count for count, _ in unicast.values())
    drops = done.result.drops
    assert headless == sum(drops.get(reason, 0) for reason in ("runt", "truncated"))
    assert frames["flooded"] + frames["dropped"] == groups + headless
    assert done.captures[0].frames == frames["in"] == entry["ethernet_frames"]


@pytest.mark.parametrize("name", NAMES)
def test_modes_and_threads_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    made = {
        (mode, jobs): replay(
            name, mode=mode, jobs=jobs, output=tmp_path / f"{mode}{jobs}", split=True
        )
        for mode in ("vmq", "software")
        for jobs in (1, 2)
    }
    for mode in ("vmq", "software"):
        one, two = tmp_path / f"{mode}1", tmp_path / f"{mode}2"
        files = sorted(str(p.relative_to(one)) for p in one.rglob("*") if p.is_file())
        assert files == sorted(str(p.relative_to(two)) for p in two.rglob("*") if p.is_file())
        assert "queues.pcapng" in files
        assert filecmp.cmpfiles(one, two, files, shallow=False) == (files, [], [])
    # the same deliveries by either path: what each VM got is the same file
    vms = sorted(p.name for p in (tmp_path / "vmq1" / "vms").iterdir())
    same = filecmp.cmpfiles(tmp_path / "vmq1" / "vms", tmp_path / "software1" / "vms", vms, False)
    assert same == (vms, [], [])
    assert made["vmq", 1].result.frames == made["software", 2].result.frames


def test_a_capture_without_ethernet_header_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadInput, match=r"no\s+Ethernet header"):
        replay(NOT_ETHERNET)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("27_corrupt_header_mid_file.pcap", 6),
        ("28_corrupt_after_18.pcap", 18),
        ("29_last_record_cut.pcap", 2041),
    ],
)
def test_whole_records_before_the_damage_are_used(name: str, frames: int) -> None:
    done = replay(name)
    damage = done.to_dict()["captures"][0]["damage"]
    assert done.result.frames["in"] == frames == damage["frame"]
    assert damage["kind"] in ("bad-length", "cut")
    with pytest.raises(BadInput, match="behind frame"):
        replay(name, strict=True)


@pytest.mark.parametrize("name", ["23_ng_multi_section_be.pcapng", "24_ng_multi_section_le.pcapng"])
def test_frames_of_other_link_types_are_counted_as_skipped(name: str) -> None:
    skipped = replay(name).captures[0].skipped
    assert sum(skipped.values()) == 2
    assert all("link type" in cause for cause in skipped)


@pytest.mark.parametrize("name", ["12_many_protocols.pcap", "17_real_lan_mix_488_tcp.pcap"])
def test_tshark_counts_the_same_frames_on_each_interface(name: str, tmp_path: Path) -> None:
    done = replay(name, output=tmp_path)
    rows = fields(tmp_path / "queues.pcapng", "frame.interface_name", "frame.packet_id")
    counts = Counter(row[0] for row in rows)
    expected_counts = {row.vm: row.frames + row.flooded_frames for row in done.result.queues}
    expected_counts["uplink"] = done.result.frames["in"]
    assert counts == expected_counts
    # every copy has the number of the frame that it was made of
    came_in = [int(number) for interface, number in rows if interface == "uplink"]
    assert came_in == list(range(1, done.result.frames["in"] + 1))


def test_a_display_filter_finds_a_dropped_frame_by_its_comment(tmp_path: Path) -> None:
    done = replay("10_pvst_native_snap_llc.pcap", output=tmp_path)
    label = "reserved-destination"
    found = fields(
        tmp_path / "queues.pcapng", "frame.packet_id", "frame.comment",
        only=f'frame.comment contains "{label}"',
    )  # fmt: skip
    assert len(found) == done.result.drops[label] > 0
    drop = next(drop for drop in done.first_drops() if drop["reason"] == label)
    assert int(found[0][0]) == drop["frame"]
    assert found[0][1].startswith(f"dropped: {label}: ")


def test_several_captures_are_one_job(tmp_path: Path) -> None:
    names = ["01_vlan10qinq_vlan42_untagged_same_5tuple.pcap", "10_pvst_native_snap_llc.pcap"]
    done = run(Job(captures=[str(CAPTURES / name) for name in names], output=tmp_path))
    assert done.result.frames["in"] == 42 + 22
    drop = done.first_drops()[0]
    assert (drop["capture"], drop["packet_id"]) == (str(CAPTURES / names[1]), 42 + drop["frame"])
