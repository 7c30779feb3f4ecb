"""Tags beside the frame, and lengths that an adapter takes: against plain Python and the filters."""

import json

import numpy as np
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tcp_frames import Segment, frames

from nic.adapter import Adapter
from nic.drops import AdapterDrop
from nic.jumbo import disagreement, fits
from nic.reference import classify
from nic.vlan_offload import insert_tags, strip_tags
from pcaps.copies import tag_word
from pcaps.frames import Frames
from pcaps.writer_reference import retagged
from vswitch.cli import vswitch


@given(st.lists(frames(), min_size=1, max_size=20))
def test_tags_come_off_and_go_on_as_by_the_plain_twin(several):
    done = strip_tags(Frames.from_bytes(several))
    for frame, bare, tag in zip(several, done.frames, done.tag.tolist(), strict=True):
        tagged = frame[12:14] == b"\x81\0" and len(frame) >= 18
        assert bare.data == retagged(frame, strip=tagged, push=0)
        assert tag == (int.from_bytes(frame[12:16], "little") if tagged else 0)
    assert [one.data for one in insert_tags(done.frames, done.tag)] == several


def test_only_the_outer_8021q_tag_comes_off():
    double = Segment(tags=((0x8100, 5), (0x8100, 6))).frame
    service = Segment(tags=((0x88A8, 5), (0x8100, 6))).frame
    done = strip_tags(Frames.from_bytes([double, service]))
    assert done.frames[0].data == Segment(tags=((0x8100, 6),)).frame
    assert done.frames[1].data == service
    assert done.tag.tolist() == [tag_word(0x8100, 5), 0]
    assert done.frames.wirelen.tolist() == [len(double) - 4, len(service)]


def test_runts_keep_their_bytes():
    batch = Frames.from_bytes([bytes(11), bytes(12)])
    tagged = insert_tags(batch, np.full(2, tag_word(0x8100, 9), np.uint32))
    assert [one.data for one in tagged] == [bytes(11), bytes(12) + b"\x81\0\0\x09"]


@given(st.lists(st.tuples(frames(), st.integers(0, 3000)), min_size=1, max_size=20))
def test_lengths_are_those_that_the_filters_drop(drawn):
    batch = Frames.from_bytes([frame for frame, _ in drawn], wirelen=[size for _, size in drawn])
    adapter = Adapter(jumbo_packet=1514)
    tagged = batch.headers.tags > 0
    wanted = [
        classify(adapter, 0, 0, size - 4 * int(tag)) is not AdapterDrop.OVER_SIZE
        for (_, size), tag in zip(drawn, tagged, strict=True)
    ]
    assert fits(batch, 1514).tolist() == wanted


def test_survey_of_a_capture_adds_up(captures):
    path = captures / "15_tso_superframes_ssh.pcap"
    done = CliRunner().invoke(vswitch, ["nic", "offloads", str(path), "--json"])
    answer = json.loads(done.stdout)
    assert answer["frames"] == 1797
    assert answer["jumbo"]["too_long"] == answer["lso"]["cut"] == 238
    assert answer["lso"]["cut"] + sum(answer["lso"]["kept"].values()) == 1797
    rsc = answer["rsc"]
    assert rsc["handed_up"] == 1797 - rsc["joined"] + rsc["units"]
    marks = answer["checksum"]["received"]
    assert answer["checksum"]["sent_changed"] == marks["tcp-failed"] + marks["udp-failed"]
    tagged = CliRunner().invoke(
        vswitch, ["nic", "offloads", str(captures / "19_vlan100_14_complete_http.pcap")]
    )
    assert "434 tags taken off" in tagged.stdout


def test_jumbo_frames_on_one_side_only():
    said = disagreement({"uplink": 1500, "vm1": 9000, "vm2": 1500})
    assert said is not None
    assert "vm1 has MTU 9000, uplink and 1 more 1500" in said
    assert "longer than 1514 bytes are dropped" in said
    assert disagreement({"uplink": 9000, "vm1": 9000}) is None
    assert disagreement({"uplink": 1500, "vm1": 1400}) is None
    assert disagreement({}) is None
