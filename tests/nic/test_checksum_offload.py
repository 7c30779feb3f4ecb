"""Checksum offload: marks of received frames, sums of sent ones, the plain twin, scapy and tshark."""

import numpy as np
import pytest
import tshark
from hypothesis import given
from hypothesis import strategies as st
from tcp_frames import HOP_BY_HOP, SIX, TIMESTAMPS, Segment, frames

import pcaps
from nic.checksum_offload import ALL_SUMS, ChecksumOffload, Mark, Sums
from nic.checksum_reference import completed, marks_of
from pcaps.batches import copy_batch
from pcaps.checksums import BAD, GOOD, insert_checksums, verify_checksums
from pcaps.classic_writer import ClassicWriter
from pcaps.copies import tag_word
from pcaps.frames import Frames
from pcaps.writer_reference import retagged

PLAIN = Segment(payload=b"data of odd length.")
KINDS = [
    PLAIN, PLAIN.but(protocol=17), PLAIN.but(**SIX), PLAIN.but(**SIX, protocol=17),
    PLAIN.but(tags=((0x88A8, 7), (0x8100, 8)), options=TIMESTAMPS), PLAIN.but(ip_options=bytes(12)),
    PLAIN.but(**SIX, ip_options=HOP_BY_HOP), PLAIN.but(padding=bytes(20)), PLAIN.but(payload=b""),
]  # fmt: skip


def spoilt(frame):
    """The frame with every checksum field overwritten."""
    headers = Frames.from_bytes([frame]).headers
    out = bytearray(frame)
    l3, l4 = int(headers.l3_offset[0]), int(headers.l4_offset[0])
    if headers.ip_version[0] == 4:
        out[l3 + 10 : l3 + 12] = b"\x12\x34"
    at = l4 + (16 if headers.protocol[0] == 6 else 6)
    out[at : at + 2] = b"\x56\x78"
    return bytes(out)


@given(st.lists(frames(), min_size=1, max_size=20), st.integers(0, 31).map(Sums))
def test_marks_equal_the_plain_twin(several, sums):
    marks = ChecksumOffload(receive=sums).check(Frames.from_bytes(several))
    assert marks.tolist() == [marks_of(frame, sums) for frame in several]


@given(st.lists(frames(), min_size=1, max_size=20), st.integers(0, 31).map(Sums))
def test_completed_frames_equal_the_plain_twin(several, sums):
    done, changed = ChecksumOffload(send=sums).complete(Frames.from_bytes(several))
    wanted = [completed(frame, sums) for frame in several]
    assert [frame.data for frame in done] == wanted
    assert changed == sum(a != b for a, b in zip(wanted, several, strict=True))


@pytest.mark.parametrize("segment", KINDS)
def test_spoilt_sums_are_made_again(segment):
    done, changed = ChecksumOffload().complete(Frames.from_bytes([spoilt(segment.frame)]))
    assert done[0].data == segment.frame
    assert changed == 1


def test_wrong_and_right_sums_are_marked():
    wrong = spoilt(PLAIN.frame)
    half = wrong[:24] + PLAIN.frame[24:26] + wrong[26:]  # the IP header's is right
    offload = ChecksumOffload()
    marks = offload.check(Frames.from_bytes([PLAIN.frame, wrong, half, KINDS[3].frame]))
    assert [Mark(m) for m in marks.tolist()] == [
        Mark.IP_SUCCEEDED | Mark.TCP_SUCCEEDED, Mark.IP_FAILED | Mark.TCP_FAILED,
        Mark.IP_SUCCEEDED | Mark.TCP_FAILED, Mark.UDP_SUCCEEDED,
    ]  # fmt: skip


def test_only_what_is_asked_for_is_changed():
    several = [spoilt(segment.frame) for segment in KINDS[:4]]
    for sums, places in ((Sums.IPV4, {0, 1}), (Sums.TCP_IPV4, {0}), (Sums.UDP_IPV6, {3})):
        done, changed = ChecksumOffload(send=sums).complete(Frames.from_bytes(several))
        assert changed == len(places)
        assert {n for n in range(4) if done[n].data != several[n]} == places


def test_sum_of_udp_that_is_zero_is_sent_as_ones():
    """The payload is chosen so that the sum vanishes. Rule: RFC 768."""
    frame = PLAIN.but(protocol=17, payload=bytes(2)).frame
    rest = int.from_bytes(frame[40:42], "big")
    frame = PLAIN.but(protocol=17, payload=rest.to_bytes(2, "big")).frame
    assert frame[40:42] == b"\xff\xff"
    done, _ = ChecksumOffload().complete(Frames.from_bytes([spoilt(frame)]))
    assert done[0].data == frame


def test_udp_without_a_sum_fragments_and_cut_packets_keep_their_bytes():
    none = bytearray(PLAIN.but(protocol=17).frame)
    none[40:42] = bytes(2)
    fragment, cut = spoilt(PLAIN.but(fragment=0x2000).frame), spoilt(PLAIN.frame)[:50]
    done, changed = ChecksumOffload(send=ALL_SUMS & ~Sums.IPV4).complete(
        Frames.from_bytes([bytes(none), fragment, cut])
    )
    assert [frame.data for frame in done] == [bytes(none), fragment, cut]
    assert changed == 0


@pytest.mark.parametrize("length", [*range(34), 127, 128, 129, 1447, 1448])
def test_short_and_long_sums_agree(length):
    """A serial and a vectorised loop add up the words, with every remainder."""
    frame = PLAIN.but(payload=bytes([255]) * length).frame
    states = verify_checksums(Frames.from_bytes([frame, spoilt(frame)]))
    assert states.transport.tolist() == [GOOD, BAD]


def test_scapy_finds_the_same_sums():
    done, _ = insert_checksums(Frames.from_bytes([spoilt(segment.frame) for segment in KINDS]))
    for frame in done:
        packet = frame.to_scapy()
        again = packet.copy()
        for layer in ("IP", "TCP", "UDP"):
            if layer in again:
                del again[layer].chksum
        assert bytes(again) == frame.data


def test_captures_with_unmade_sums_are_right_for_tshark_afterwards(captures, tmp_path):
    path, changed = tmp_path / "whole.pcap", 0
    with ClassicWriter(path) as writer:
        for batch in pcaps.open(captures / "16_bad_checksums_loopback_tls.pcap"):
            done, different = ChecksumOffload().complete(batch)
            changed += different
            writer.write(done)
    assert changed == 526
    rows = tshark.fields(path, "tcp.checksum.status", "ip.checksum.status")
    assert len(rows) == 529
    assert {tuple(row) for row in rows} == {("1", "1")}


@given(
    st.lists(st.tuples(frames(), st.booleans(), st.booleans()), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_copied_batch_has_the_same_frames_with_other_tags(drawn, gap):
    several = [frame for frame, _, _ in drawn]
    batch = Frames.from_bytes([piece for frame in several for piece in (frame, bytes(gap))])[::2]
    strip = np.array([wish and len(frame) >= 16 for frame, wish, _ in drawn], np.uint8)
    push = np.array(
        [tag_word(0x8100, 5) if wish and len(frame) >= 12 else 0 for frame, _, wish in drawn],
        np.uint32,
    )
    copied, data = copy_batch(batch, strip=strip, push=push)
    wanted = [
        retagged(frame, strip=bool(off), push=int(on))
        for frame, off, on in zip(several, strip, push, strict=True)
    ]
    assert [frame.data for frame in copied] == wanted
    assert copied.padded
    assert copied.data.size == data.size == sum(map(len, wanted)) + 64
    assert copied.wirelen.tolist() == [len(frame) for frame in wanted]


def test_tag_that_was_not_captured_cannot_change():
    with pytest.raises(ValueError, match="cut before"):
        copy_batch(Frames.from_bytes([bytes(15)]), strip=np.ones(1, np.uint8))
