"""Large send offload: each rule, the plain twin, scapy and tshark, real super-frames, the command."""

import json
from itertools import pairwise

import numpy as np
import pytest
import tshark
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tcp_frames import (
    ACK,
    CWR,
    ECE,
    FIN,
    HOP_BY_HOP,
    PSH,
    RST,
    SIX,
    SYN,
    TIMESTAMPS,
    URG,
    Segment,
    frames,
)

import pcaps
from nic import lso as module
from nic import lso_kernel
from nic.lso import Kept, Lso
from nic.lso_kernel import CUT
from nic.lso_reference import cut_length, segment_frame
from pcaps.checksums import BAD, verify_checksums
from pcaps.classic_writer import ClassicWriter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.cli import vswitch

LARGE = Segment(payload=bytes(range(256)) * 20, flags=ACK | PSH | FIN | CWR | ECE, ident=0x7FFE)


def pieces_of(segment, **settings):
    return [one.data for one in Lso(**settings).segment(Frames.from_bytes([segment.frame])).frames]


def kept(frame, **settings):
    lso = Lso(**settings)
    assert [one.data for one in lso.segment(Frames.from_bytes([frame])).frames] == [frame]
    return next(iter(lso.kept))


sizes = st.one_of(
    st.fixed_dictionaries({"mss": st.integers(1, 300)}),
    st.fixed_dictionaries({"mtu": st.integers(68, 300)}),
)


@given(st.lists(frames(), min_size=1, max_size=12), sizes, st.sampled_from([1, 2]))
def test_pieces_equal_the_plain_twin(several, size, version):
    lso = Lso(**size, version=version)
    batch = Frames.from_bytes(several)
    wanted = [segment_frame(frame, **size, version=version) for frame in several]
    flat = [(n, piece) for n, (pieces, _) in enumerate(wanted) for piece in pieces]
    done = lso.segment(batch)
    assert [(int(n), one.data) for n, one in zip(done.origin, done.frames, strict=True)] == flat
    assert [int(why) for why in lso.plan(batch).why] == [why for _, why in wanted]
    assert lso.cut == sum(why == CUT for _, why in wanted)
    assert lso.cut + sum(lso.kept.values()) == len(several)


@given(st.lists(frames(), min_size=1, max_size=12), st.integers(1, 60))
def test_parts_are_the_same_pieces(several, mss):
    batch = Frames.from_bytes(several)
    whole = Lso(mss=mss).segment(batch)
    before = module.PART_BYTES, module.PART_FRAMES
    module.PART_BYTES, module.PART_FRAMES = 300, 5
    try:
        found = [
            (int(n), one) for part in Lso(mss=mss).parts(batch)
            for n, one in zip(part.origin, part.frames, strict=True)
        ]  # fmt: skip
    finally:
        module.PART_BYTES, module.PART_FRAMES = before
    assert found == [(int(n), one) for n, one in zip(whole.origin, whole.frames, strict=True)]


@given(frames(), st.integers(68, 300))
def test_length_of_the_longest_piece_equals_the_plain_twin(frame, mtu):
    batch = Frames.from_bytes([frame])
    if len(frame) >= 14:
        found = lso_kernel.cut_length(
            batch.data, np.uint64(0), np.uint64(len(frame)), np.uint64(mtu)
        )
        assert found == cut_length(frame, mtu)


def test_all_pieces_but_the_last_have_the_same_size():
    done = Lso(mss=1460).segment(Frames.from_bytes([LARGE.frame])).frames.headers
    assert done.payload_bytes.tolist() == [1460, 1460, 1460, 740]
    assert (done.sequence - 1000).tolist() == [0, 1460, 2920, 4380]


def test_payload_is_that_of_the_large_packet():
    batch = Lso(mss=333).segment(Frames.from_bytes([LARGE.frame])).frames
    at = batch.headers.payload_offset - batch.start
    assert b"".join(f.data[int(n) :] for f, n in zip(batch, at, strict=True)) == LARGE.payload


def test_fin_and_psh_are_on_the_last_piece_cwr_on_the_first():
    flags = Lso(mss=1460).segment(Frames.from_bytes([LARGE.frame])).frames.headers.tcp_flags
    assert flags.tolist() == [ACK | ECE | CWR, ACK | ECE, ACK | ECE, ACK | ECE | PSH | FIN]


@pytest.mark.parametrize(
    ("version", "first", "ids"),
    [
        (2, 0x7FFE, [0x7FFE, 0x7FFF, 0, 1]),
        (2, 0xFFFF, [0xFFFF, 0x8000, 0x8001, 0x8002]),
        (1, 0x7FFE, [0x7FFE, 0x7FFF, 0x8000, 0x8001]),
        (1, 0xFFFF, [0xFFFF, 0, 1, 2]),
    ],
)
def test_ip_ids_count_on_in_the_range_of_the_version(version, first, ids):
    pieces = pieces_of(LARGE.but(ident=first), mss=1460, version=version)
    assert [int.from_bytes(piece[18:20], "big") for piece in pieces] == ids


def test_sequence_numbers_go_round():
    done = Lso(mss=3000).segment(Frames.from_bytes([LARGE.but(sequence=2**32 - 1).frame]))
    assert done.frames.headers.sequence.tolist() == [2**32 - 1, 2999]


def test_options_are_copied_unchanged():
    pieces = pieces_of(LARGE.but(options=TIMESTAMPS, ip_options=bytes(8)), mss=1448)
    assert all(piece[62:74] == TIMESTAMPS for piece in pieces)
    pieces = pieces_of(LARGE.but(**SIX, ip_options=HOP_BY_HOP), mss=1448)
    assert all(piece[54:62] == HOP_BY_HOP for piece in pieces)


def test_mtu_leaves_room_for_each_frames_own_headers():
    several = [
        LARGE,
        LARGE.but(options=TIMESTAMPS),
        LARGE.but(**SIX),
        LARGE.but(tags=((0x8100, 5),)),
    ]
    done = Lso(mtu=1500).segment(Frames.from_bytes([one.frame for one in several]))
    first = np.unique(done.origin, return_index=True)[1]
    assert done.frames.headers.payload_bytes[first].tolist() == [1460, 1448, 1440, 1460]
    assert done.frames.caplen[first].tolist() == [1514, 1514, 1514, 1518]


@pytest.mark.parametrize(
    ("segment", "settings", "why"),
    [
        (LARGE.but(payload=bytes(1460)), {"mss": 1460}, Kept.SMALL),
        (LARGE.but(payload=b""), {"mss": 1}, Kept.SMALL),
        (LARGE.but(protocol=17), {}, Kept.NOT_TCP),
        (LARGE.but(fragment=0x2000), {}, Kept.FRAGMENT),
        (LARGE.but(flags=SYN | ACK), {}, Kept.FLAGS),
        (LARGE.but(flags=RST), {}, Kept.FLAGS),
        (LARGE.but(flags=URG | ACK), {}, Kept.FLAGS),
        (LARGE.but(**SIX), {"version": 1}, Kept.NO_IPV6),
        (LARGE.but(**SIX, ip_options=HOP_BY_HOP), {"mtu": 68}, Kept.NO_ROOM),
    ],
)
def test_frames_that_are_not_cut(segment, settings, why):
    assert kept(segment.frame, **settings) is why
    assert why.sentence


def test_frame_that_the_capture_cut_is_not():
    assert kept(LARGE.frame[:-1]) is Kept.NOT_CAPTURED
    assert kept(LARGE.frame[:60]) is Kept.NOT_CAPTURED


def test_frame_behind_llc_and_snap_is_not_cut():
    frame = LARGE.frame
    snap = frame[:12] + (1000).to_bytes(2, "big") + bytes.fromhex("aaaa03000000") + frame[12:]
    assert kept(snap) is Kept.NOT_TCP


def test_length_of_zero_is_cut_by_version_2_alone():
    """A packet above 64 KB has no length in its header; version 1 needs one."""
    frame = bytearray(LARGE.frame)
    frame[16:18] = bytes(2)
    assert kept(bytes(frame), version=1) is Kept.NO_LENGTH
    done = Lso(mss=1460).segment(Frames.from_bytes([bytes(frame)]))
    assert [one.data for one in done.frames] == pieces_of(LARGE, mss=1460)


def test_padding_goes_with_the_frame():
    assert pieces_of(LARGE.but(padding=bytes(9)), mss=1460) == pieces_of(LARGE, mss=1460)


@pytest.mark.parametrize(
    "segment",
    [
        LARGE, LARGE.but(tags=((0x88A8, 5), (0x8100, 6)), options=TIMESTAMPS), LARGE.but(**SIX),
        LARGE.but(**SIX, ip_options=HOP_BY_HOP, tags=((0x8100, 6),)), LARGE.but(ip_options=bytes(4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mss", [1, 7, 536, 1459, 1460])
def test_every_checksum_is_right_by_scapy(segment, mss):
    pieces = pieces_of(segment.but(payload=segment.payload[: 40 * mss + 1]), mss=mss)
    for number in {0, 1, len(pieces) - 1}:
        packet = Frames.from_bytes([pieces[number]])[0].to_scapy()
        again = packet.copy()
        for layer in ("IP", "TCP"):
            if layer in again:
                del again[layer].chksum
        for layer, field in (("IP", "len"), ("IPv6", "plen")):
            if layer in again:
                delattr(again[layer], field)
        assert bytes(again) == pieces[number]


def test_every_checksum_and_sequence_is_right_by_tshark(tmp_path):
    path = tmp_path / "wire.pcap"
    several = [
        LARGE, LARGE.but(tags=((0x8100, 6),), options=TIMESTAMPS, ports=(1, 2)),
        LARGE.but(**SIX, ports=(3, 4)), LARGE.but(**SIX, ip_options=HOP_BY_HOP, ports=(5, 6)),
    ]  # fmt: skip
    with ClassicWriter(path) as writer:
        writer.write(Lso(mss=700).segment(Frames.from_bytes([one.frame for one in several])).frames)
    rows = tshark.fields(path, "tcp.checksum.status", "ip.checksum.status", "tcp.nxtseq", "tcp.seq",
                         "tcp.analysis.flags")  # fmt: skip
    assert len(rows) == 4 * 8
    assert {row[0] for row in rows} == {"1"}
    assert [row[1] for row in rows] == ["1"] * 16 + [""] * 16
    assert not any(row[4] for row in rows)
    assert all(a[2] == b[3] for a, b in pairwise(rows[:8]))


def test_empty_batch():
    assert len(Lso().segment(Frames.from_bytes([])).frames) == 0
    assert list(Lso().parts(Frames.from_bytes([]))) == []


def test_times_and_lengths_of_frames_that_are_not_cut_stay():
    batch = Frames.from_bytes(
        [LARGE.frame, bytes(60)], wirelen=[len(LARGE.frame), 900], ts_ns=[5, 6]
    )
    done = Lso(mss=3000).segment(batch).frames
    assert done.ts_ns.tolist() == [5, 5, 6]
    assert done.wirelen.tolist() == [3054, 2174, 900]


@pytest.mark.parametrize("settings", [{"mss": 0}, {"mss": 65536}, {"mtu": 67}, {"version": 3}])
def test_settings_out_of_range(settings):
    with pytest.raises(BadInput, match="use"):
        Lso(**settings)


def ask(*words):
    return CliRunner().invoke(
        vswitch, ["capture", "segment", *map(str, words)], catch_exceptions=True
    )


def test_command_cuts_the_super_frames_of_a_capture(captures, tmp_path):
    source, target = captures / "15_tso_superframes_ssh.pcap", tmp_path / "wire.pcapng"
    done = ask(source, target, "--checksums", "--json")
    answer = json.loads(done.stdout)
    before = [frame for batch in pcaps.open(source) for frame in batch]
    after = list(pcaps.open(target))
    large = sum(frame.wirelen > 1514 for frame in before)
    assert answer["cut"] == large == 238
    assert answer["frames"] == len(before) - large + answer["segments"] == sum(map(len, after))
    assert max(int(batch.wirelen.max()) for batch in after) == 1514
    assert not any((verify_checksums(batch).transport == BAD).any() for batch in after)
    rows = tshark.fields(target, "tcp.checksum.status", only="tcp")
    assert {row[0] for row in rows} == {"1"}

    def payload(batches):
        return sum(int(b.headers.payload_bytes[b.headers.protocol == 6].sum()) for b in batches)

    assert payload(after) == payload(pcaps.open(source))


def test_command_refuses(captures, tmp_path):
    source = captures / "15_tso_superframes_ssh.pcap"
    for words in (("--mss", "5", "--mtu", "900"), ("--mss", "0"), ("--mtu", "12")):
        assert isinstance(ask(source, tmp_path / "x.pcap", *words).exception, BadInput)
    assert not (tmp_path / "x.pcap").exists()
    assert isinstance(ask(source, "-", "--json").exception, BadInput)
