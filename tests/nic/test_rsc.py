"""Receive segment coalescing: each stop rule, the plain twin, LSO undone, tshark, the command."""

import json
from collections import Counter
from dataclasses import replace

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
    timestamps,
)

import pcaps
from nic import rsc as module
from nic.lso import Lso
from nic.rsc import Ended, Rsc
from nic.rsc_reference import coalesce_slowly
from pcaps.checksums import BAD, verify_checksums
from pcaps.classic_writer import ClassicWriter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.cli import vswitch

FIRST = Segment(payload=b"a" * 101, flags=ACK)


def after(segment, **changes):
    """The segment that goes on where another ends."""
    behind = {"sequence": segment.sequence + len(segment.payload), "ident": segment.ident + 1}
    return segment.but(**(behind | changes))


def batch_of(*segments, ts_ns=None):
    return Frames.from_bytes([one.frame for one in segments], ts_ns=ts_ns)


def coalesced(*segments, **settings):
    return Rsc(**settings).coalesce(batch_of(*segments))


def ended_by(second, first=FIRST):
    """What ends a unit when `second` follows; both then go up as they came."""
    rsc = Rsc()
    done = rsc.coalesce(batch_of(first, second))
    assert [one.data for one in done.frames] == [first.frame, second.frame]
    why = {one for one in rsc.ended if one is not Ended.BATCH_END}
    assert len(why) == 1
    return why.pop()


# Against the plain twin


@st.composite
def conversations(draw):
    """Segments of few connections that often go on where the last one ended."""
    ends = [FIRST, FIRST.but(ports=(40001, 80)), FIRST.but(**SIX), FIRST.but(tags=((0x8100, 5),))]
    last = {}
    sent = []
    for _ in range(draw(st.integers(1, 25))):
        which = draw(st.integers(0, len(ends) - 1))
        one = after(last[which]) if which in last else ends[which]
        one = one.but(payload=draw(st.sampled_from([b"", b"x", b"yz" * 9, b"odd", bytes(32000)])))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            change = draw(st.sampled_from(CHANGES))
            one = change(one)
        last[which] = one
        frame = one.frame
        if draw(st.integers(0, 15)) == 0:
            place = draw(st.integers(12, len(frame) - 1))
            frame = frame[:place] + bytes([frame[place] ^ 0x10]) + frame[place + 1 :]
        sent.append((frame, draw(st.sampled_from([0, 0, 0, 60, 300]))))
    return sent


CHANGES = [
    lambda one: one.but(flags=ACK | PSH),
    lambda one: one.but(flags=ACK | FIN),
    lambda one: one.but(flags=ACK | ECE),
    lambda one: one.but(tos=one.tos ^ 3),
    lambda one: one.but(tos=one.tos ^ 8),
    lambda one: one.but(ttl=63),
    lambda one: one.but(sequence=one.sequence + 1),
    lambda one: one.but(acknowledgment=one.acknowledgment + 7),
    lambda one: one.but(acknowledgment=one.acknowledgment - 7),
    lambda one: one.but(window=one.window + 1),
    lambda one: one.but(options=timestamps(1000)),
    lambda one: one.but(options=timestamps(999)),
    lambda one: one.but(options=TIMESTAMPS[2:] + b"\1\1"),
    lambda one: one.but(options=b"\1\1\1\0"),
    lambda one: one.but(options=b"\2\4\5\xb4"),
    lambda one: one.but(fragment=0x2000),
    lambda one: one.but(fragment=0),
    lambda one: one.but(ip_options=HOP_BY_HOP if len(one.source) == 16 else bytes(4)),
    lambda one: one.but(tags=((0x8100, 6),)),
    lambda one: one.but(macs=bytes(12)),
    lambda one: one.but(padding=bytes(7)),
    lambda one: one.but(payload=b"p" * 65400),
]


def assert_like_the_twin(batch, wanted=None, **settings):
    rsc = Rsc(**settings)
    done = rsc.coalesce(batch, wanted)
    units, ended = coalesce_slowly(
        batch, batch_frames=rsc.batch_frames, hold_ns=rsc.hold_ns, connections=rsc.connections,
        wanted=wanted,
    )  # fmt: skip
    assert [one.data for one in done.frames] == [one.data for one in units]
    columns = zip(done.first, done.last, done.segments, done.timestamp_delta, strict=True)
    wanted = [(one.first, one.last, one.segments, one.timestamp_delta) for one in units]
    assert [tuple(map(int, row)) for row in columns] == wanted
    assert Counter(rsc.ended) == ended
    for unit, first, last in zip(done.segments, done.first, done.last, strict=True):
        members = np.flatnonzero(done.unit_of == first)
        assert members[0] == first
        assert members[-1] == last
        assert unit == 0 or len(members) > 1
    assert rsc.frames == len(batch)
    assert rsc.merged == len(batch) - (len(units) - rsc.units)


@given(
    conversations(), st.sampled_from([1, 2, 64]), st.sampled_from([1, 3, 64]),
    st.integers(0, 2**25 - 1) | st.just(2**25 - 1),
)  # fmt: skip
def test_units_equal_the_plain_twin(sent, connections, batch_frames, wanted):
    times = np.cumsum([gap for _, gap in sent]).tolist()
    batch = Frames.from_bytes([frame for frame, _ in sent], ts_ns=times)
    settings = {"connections": connections, "batch_frames": batch_frames, "hold_ns": 250}
    wanted = np.array([wanted >> n & 1 == 1 for n in range(len(batch))], np.bool_)
    assert_like_the_twin(batch, wanted, **settings)


@given(st.lists(frames(), min_size=1, max_size=20))
def test_any_frames_equal_the_plain_twin(several):
    assert_like_the_twin(Frames.from_bytes(several))


@given(conversations(), st.integers(1, 6), st.integers(1, 9))
def test_stream_gives_the_same_units_however_it_is_cut(sent, batch_frames, chunk):
    times = np.cumsum([gap for _, gap in sent]).tolist()
    batch = Frames.from_bytes([frame for frame, _ in sent], ts_ns=times)
    whole = Rsc(batch_frames=batch_frames, hold_ns=100)
    wanted = whole.coalesce(batch)
    before, module.PART_BYTES = module.PART_BYTES, 500
    streamed = Rsc(batch_frames=batch_frames, hold_ns=100)
    chunks = (batch[at : at + chunk] for at in range(0, len(batch), chunk))
    found, numbers = [], []
    try:
        for part, of in streamed.stream(chunks):
            found += list(part.frames)
            numbers += of.tolist()
    finally:
        module.PART_BYTES = before
    assert found == list(wanted.frames)
    assert numbers == (wanted.first.astype(int) + 1).tolist()
    assert (streamed.units, streamed.merged, streamed.ended) == (
        whole.units,
        whole.merged,
        whole.ended,
    )


# RSC(LSO(x)) == x


@given(
    st.integers(1, 3000), st.integers(2, 9000), st.booleans(), st.sampled_from([b"", TIMESTAMPS]),
    st.sampled_from([ACK, ACK | PSH]), st.integers(0, 65535),
)  # fmt: skip
def test_coalescing_undoes_segmentation(mss, size, six, options, flags, ident):
    large = FIRST.but(payload=bytes(n % 251 for n in range(size)), options=options, flags=flags,
                      ident=ident, **(SIX if six else {}))  # fmt: skip
    batch = batch_of(large)
    cut = Lso(mss=mss).segment(batch).frames
    done = Rsc(batch_frames=65536).coalesce(cut)
    assert [one.data for one in done.frames] == [large.frame]
    assert done.segments.tolist() == ([len(cut)] if len(cut) > 1 else [0])


def test_coalescing_undoes_segmentation_of_the_largest_packet():
    large = FIRST.but(payload=bytes(65495))
    cut = Lso(mss=1460).segment(batch_of(large)).frames
    assert [one.data for one in Rsc().coalesce(cut).frames] == [large.frame]


def test_segments_of_interleaved_connections_find_together_again():
    several = [FIRST.but(payload=bytes([n]) * 5000, ports=(n, 80)) for n in range(50)]
    cut = Lso(mss=1000).segment(batch_of(*several)).frames
    order = np.arange(250).reshape(50, 5).T.reshape(-1)
    done = Rsc(batch_frames=250).coalesce(cut[order])
    assert [one.data for one in done.frames] == [one.frame for one in several]


# What a unit is made of


def test_unit_has_the_last_acknowledgment_window_and_timestamp_and_any_push():
    second = after(FIRST, acknowledgment=6000, window=99, flags=ACK | PSH)
    third = after(second, acknowledgment=6001, window=98, flags=ACK)
    done = coalesced(FIRST, second, third)
    assert [one.data for one in done.frames] == [
        FIRST.but(payload=b"a" * 303, acknowledgment=6001, window=98, flags=ACK | PSH).frame
    ]
    assert (done.first.tolist(), done.last.tolist(), done.segments.tolist()) == ([0], [2], [3])
    first = FIRST.but(options=timestamps(2**32 - 5))
    done = coalesced(first, after(first, options=timestamps(3, 2007)))
    assert done.frames[0].data == first.but(payload=b"a" * 202, options=timestamps(3, 2007)).frame
    assert done.timestamp_delta.tolist() == [8]


def test_unit_has_the_smallest_ttl_and_the_first_id():
    """Rule: updating-the-ip-headers-for-coalesced-segments."""
    done = coalesced(FIRST, after(FIRST, ttl=60), after(after(FIRST), ttl=62))
    assert done.frames[0].data == FIRST.but(payload=b"a" * 303, ttl=60).frame
    six = FIRST.but(**SIX)
    done = coalesced(six, after(six, ttl=60))
    assert done.frames[0].data == six.but(payload=b"a" * 202, ttl=60).frame


def test_unit_has_no_padding_and_a_single_frame_keeps_its_own():
    second = after(FIRST, padding=bytes(9))
    assert (
        coalesced(FIRST.but(padding=bytes(3)), second).frames[0].data
        == FIRST.but(payload=b"a" * 202).frame
    )
    assert coalesced(second).frames[0].data == second.frame


def test_unit_stands_where_its_last_segment_stood_and_has_its_time():
    other = FIRST.but(protocol=17)
    batch = batch_of(FIRST, other, after(FIRST), ts_ns=[5, 6, 7])
    done = Rsc().coalesce(batch).frames
    assert [(one.ts_ns, one.wirelen) for one in done] == [(6, len(other.frame)), (7, 14 + 40 + 202)]


def test_window_update_joins_and_is_not_counted():
    """Rule: examples-of-receive-segment-coalescing, example 3."""
    update = after(FIRST, payload=b"", window=1000)
    done = coalesced(FIRST, update, update.but(window=2000))
    assert done.frames[0].data == FIRST.but(window=2000).frame
    assert done.segments.tolist() == [1]


def test_data_behind_an_exception_is_a_unit_of_its_own():
    """Rule: examples-of-receive-segment-coalescing, example 2."""
    first = [FIRST]
    for _ in range(4):
        first.append(after(first[-1]))
    sack = after(first[-1], payload=b"", options=b"\1\1\5\x0a" + bytes(8))
    seventh = after(first[-1])
    done = coalesced(*first, sack, seventh, after(seventh))
    assert done.segments.tolist() == [5, 0, 2]
    assert done.frames[1].data == sack.frame


# What ends a unit


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"flags": SYN | ACK}, Ended.FLAGS),
        ({"flags": FIN | ACK}, Ended.FLAGS),
        ({"flags": RST}, Ended.FLAGS),
        ({"flags": URG | ACK}, Ended.FLAGS),
        ({"flags": PSH}, Ended.FLAGS),
        ({"flags": ACK | 256}, Ended.FLAGS),
        ({"options": b"\1\1\5\x0a" + bytes(8)}, Ended.OPTIONS),
        ({"options": TIMESTAMPS}, Ended.OPTIONS),
        ({"options": b"\1\1\1\1"}, Ended.OPTIONS),
        ({"ip_options": bytes(4)}, Ended.IP_OPTIONS),
        ({"fragment": 0x2000}, Ended.FRAGMENT),
        ({"tos": 1}, Ended.ECN),
        ({"flags": ACK | ECE}, Ended.ECN),
        ({"flags": ACK | CWR}, Ended.ECN),
        ({"sequence": 5}, Ended.GAP),
        ({"sequence": FIRST.sequence}, Ended.GAP),
        ({"acknowledgment": 4999}, Ended.OLD_ACK),
        ({"tos": 8}, Ended.HEADER),
        ({"fragment": 0}, Ended.HEADER),
        ({"tags": ((0x8100, 5),)}, Ended.HEADER),
        ({"macs": bytes(12)}, Ended.HEADER),
        ({"payload": bytes(65535 - 40 - 100)}, Ended.TOO_LONG),
        ({"payload": b""}, Ended.DUPLICATE_ACK),
        ({"payload": b"", "acknowledgment": 5001}, Ended.PURE_ACK),
        ({"payload": b"", "sequence": 1100}, Ended.PURE_ACK),
    ],
)
def test_stop_rule(change, why):
    assert ended_by(after(FIRST, **change)) is why
    assert why.sentence


def test_stop_rule_of_ipv6():
    six = FIRST.but(**SIX)
    assert ended_by(after(six, ip_options=HOP_BY_HOP), six) is Ended.IP_OPTIONS
    assert ended_by(after(six, tos=3), six) is Ended.ECN
    label = bytearray(after(six).frame)
    label[17] ^= 1
    rsc = Rsc()
    rsc.coalesce(Frames.from_bytes([six.frame, bytes(label)]))
    assert Ended.HEADER in rsc.ended


def test_unit_may_be_as_long_as_an_ip_packet():
    last = after(FIRST, payload=bytes(65535 - 40 - 101))
    assert coalesced(FIRST, last).frames.caplen.tolist() == [14 + 65535]


def test_timestamp_that_goes_back_ends_a_unit():
    first = FIRST.but(options=timestamps(10))
    assert ended_by(after(first, options=timestamps(9)), first) is Ended.TIMESTAMP


def test_wrong_checksum_ends_a_unit_and_goes_up_alone():
    for place in (24, -1):  # IP checksum, payload
        wrong = bytearray(after(FIRST).frame)
        wrong[place] ^= 1
        third = after(after(FIRST))
        rsc = Rsc()
        done = rsc.coalesce(Frames.from_bytes([FIRST.frame, bytes(wrong), third.frame]))
        assert [one.data for one in done.frames] == [FIRST.frame, bytes(wrong), third.frame]
        assert rsc.ended[Ended.CHECKSUM] == 1


def test_segment_that_the_capture_cut_ends_a_unit():
    rsc = Rsc()
    cut = after(FIRST).frame[:-1]
    done = rsc.coalesce(Frames.from_bytes([FIRST.frame, cut]))
    assert done.frames[1].data == cut
    assert rsc.ended == {Ended.NOT_CAPTURED: 1}


def test_segment_that_ended_a_unit_by_length_or_ecn_begins_the_next():
    """Rule: exception-conditions-that-terminate-coalescing, note on 7 and 8."""
    for change in ({"payload": bytes(65400)}, {"tos": 2}):
        second = after(FIRST, **change)
        assert coalesced(FIRST, second, after(second, payload=b"z")).segments.tolist() == [0, 2]


def test_end_of_the_batch_ends_a_unit():
    chain = [FIRST]
    for _ in range(9):
        chain.append(after(chain[-1]))
    assert coalesced(*chain, batch_frames=4).segments.tolist() == [4, 4, 2]
    rsc = Rsc(hold_ns=10)
    times = [0, 5, 10, 11, 21, 22, 90, 100, 100, 101]
    done = rsc.coalesce(batch_of(*chain, ts_ns=times))
    assert done.segments.tolist() == [3, 2, 0, 3, 0]
    assert rsc.ended == {Ended.BATCH_END: 5}


def test_other_connection_that_needs_the_row_ends_a_unit():
    rsc = Rsc(connections=1)
    other = FIRST.but(ports=(1, 2))
    done = rsc.coalesce(batch_of(FIRST, other, after(FIRST), after(other)))
    assert done.segments.tolist() == [0, 0, 0, 0]
    assert rsc.ended == {Ended.RESOURCES: 3, Ended.BATCH_END: 1}


def test_frames_of_another_interface_are_not_joined():
    batch = batch_of(FIRST, after(FIRST))
    batch = replace(batch, interface=np.array([0, 1], np.uint16))
    assert Rsc().coalesce(batch).segments.tolist() == [0, 0]


def test_frames_that_are_not_tcp_end_nothing():
    other = FIRST.but(protocol=17)
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    done = Rsc().coalesce(Frames.from_bytes([FIRST.frame, other.frame, arp, after(FIRST).frame]))
    assert done.segments.tolist() == [0, 0, 2]
    assert len(Rsc().coalesce(Frames.from_bytes([])).frames) == 0


@pytest.mark.parametrize(
    "settings", [{"batch_frames": 0}, {"hold_ns": -1}, {"connections": 3}, {"connections": 0}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(BadInput, match="use"):
        Rsc(**settings)


# Real captures and the command


def ask(*words):
    return CliRunner().invoke(vswitch, ["capture", "coalesce", *map(str, words)])


@pytest.mark.parametrize("name", ["12_many_protocols.pcap", "19_vlan100_14_complete_http.pcap"])
def test_units_of_real_captures_are_sound_for_tshark_and_have_the_same_payload(
    captures, tmp_path, name
):
    source, target = captures / name, tmp_path / "units.pcap"
    done = ask(source, target, "--hold", "1s", "--batch", "4096", "--json")
    answer = json.loads(done.stdout)
    assert answer["units"] > 0
    after_ = list(pcaps.open(target))
    before = list(pcaps.open(source))
    wrong = sum(int((verify_checksums(b).transport == BAD).sum()) for b in before)
    assert sum(int((verify_checksums(b).transport == BAD).sum()) for b in after_) == wrong

    def payload(batches):
        return sum(
            int(b.headers.payload_bytes[b.headers.payload_offset > 0].sum()) for b in batches
        )

    assert payload(after_) == payload(before)
    assert (
        sum(map(len, after_))
        == answer["frames"]
        == sum(map(len, before)) - answer["merged"] + answer["units"]
    )
    followed = [
        tshark.fields(path, "tcp.stream", "tcp.len", only="tcp.len > 0")
        for path in (source, target)
    ]
    totals = [Counter() for _ in followed]
    for rows, total in zip(followed, totals, strict=True):
        for stream, size in rows:
            total[stream] += int(size.split(",")[0])
    assert totals[0] == totals[1]


def test_command_gives_the_same_bytes_for_a_compressed_capture(captures, tmp_path):
    import gzip

    source = captures / "12_many_protocols.pcap"
    packed = tmp_path / "packed.pcap.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    for path in (source, packed):
        assert ask(path, tmp_path / f"{path.name}.out").exit_code == 0
    assert (tmp_path / f"{source.name}.out").read_bytes() == (
        tmp_path / f"{packed.name}.out"
    ).read_bytes()


def test_command_refuses(captures, tmp_path):
    source = captures / "19_vlan100_14_complete_http.pcap"
    for words in (("--batch", "0"), ("--hold", "soon")):
        assert isinstance(ask(source, tmp_path / "x.pcap", *words).exception, BadInput)


def test_segment_and_coalesce_undo_each_other_on_a_capture(captures, tmp_path):
    """Units that were cut again join again."""
    first = tmp_path / "first.pcap"
    assert ask(captures / "19_vlan100_14_complete_http.pcap", first, "--hold", "1s").exit_code == 0
    wire, again = tmp_path / "wire.pcap", tmp_path / "again.pcap"
    done = CliRunner().invoke(
        vswitch, ["capture", "segment", str(first), str(wire), "--mtu", "1500"]
    )
    assert done.exit_code == 0
    assert ask(wire, again, "--hold", "1s", "--batch", "1024").exit_code == 0
    largest = [max(int(b.caplen.max()) for b in pcaps.open(path)) for path in (first, wire, again)]
    assert largest[1] <= 1518 < largest[0] <= largest[2]


def test_written_units_read_back(tmp_path):
    path = tmp_path / "units.pcap"
    with ClassicWriter(path) as writer:
        writer.write(coalesced(FIRST, after(FIRST)).frames)
    assert next(iter(pcaps.open(path)))[0].data == FIRST.but(payload=b"a" * 202).frame
