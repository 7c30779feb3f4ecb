"""The readers: every format, damage, streams; equal to their plain twins."""

import gzip
import io
import os
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import zstandard
from forge import (
    block,
    classic,
    enhanced,
    interface,
    mutate,
    obsolete,
    option,
    random_classic,
    random_pcapng,
    section,
    simple,
)

import pcaps
from pcaps import windows
from pcaps.errors import BadInput
from pcaps.reference import Record, classic_records, pcapng_records

FRAME = bytes(range(60))
LONG = bytes(1514)


def records(opened):
    """What a capture hands out, and its damage."""
    found = []
    for frames in opened:
        assert frames.padded
        assert frames.first_number == len(found) + 1
        for n in range(len(frames)):
            found.append((frames[n].data, frames[n].wirelen, frames[n].ts_ns))
    assert opened.frames == len(found)
    assert opened.bytes_wire == sum(one[1] for one in found)
    assert opened.bytes_captured == sum(len(one[0]) for one in found)
    return found, opened.damage.kind if opened.damage else None


def twin(raw):
    read = pcapng_records if raw[:4] == b"\n\r\r\n" else classic_records
    found, damage = read(raw)
    return [(raw[r.start : r.start + r.caplen], r.wirelen, r.ts_ns) for r in found], damage


def opened(raw, tmp_path, **options):
    path = tmp_path / "capture"
    path.write_bytes(raw)
    return pcaps.open(path, **options)


FRAMES = [(1700000000, 5, FRAME, 60), (1700000001, 6, LONG, 9000), (1600000000, 7, b"", 0)]
FORMATS = {
    "us-le": classic(FRAMES),
    "us-be": classic(FRAMES, ">"),
    "ns-le": classic(FRAMES, "<", 0xA1B23C4D),
    "ns-be": classic(FRAMES, ">", 0xA1B23C4D),
    "modified-le": classic(FRAMES, "<", 0xA1B2CD34),
    "modified-be": classic(FRAMES, ">", 0xA1B2CD34),
    "ng-le": section() + interface() + enhanced(FRAME, 5) + enhanced(LONG, 6) + simple(FRAME),
    "ng-be": section(">")
    + interface(order=">")
    + enhanced(FRAME, 5, order=">")
    + obsolete(LONG, 7, 0, ">"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_format(name, tmp_path):
    assert records(opened(FORMATS[name], tmp_path)) == twin(FORMATS[name])


@pytest.mark.parametrize("name", ["us-le", "ng-le"])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_gives_the_same(name, pack, tmp_path):
    assert records(opened(pack(FORMATS[name]), tmp_path)) == twin(FORMATS[name])


def test_gzip_of_several_members(tmp_path):
    raw = FORMATS["us-le"]
    packed = gzip.compress(raw[:50]) + gzip.compress(raw[50:])
    assert records(opened(packed, tmp_path)) == twin(raw)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_cut_compressed_data_keeps_the_whole_frames(pack, tmp_path):
    draw = random.Random(1)
    raw = classic([(1, n, draw.randbytes(1000), 1000) for n in range(3000)])
    packed = pack(raw)
    found, damage = records(opened(packed[: len(packed) * 2 // 3], tmp_path))
    assert damage in ("compressed", "cut")
    assert 100 < len(found) < 3000
    assert found == twin(raw)[0][: len(found)]


@pytest.mark.parametrize("name", FORMATS)
def test_small_chunks_and_windows_give_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_BYTES", 100)
    raw = FORMATS[name]
    assert records(opened(raw, tmp_path, chunk_frames=1)) == twin(raw)
    assert records(opened(gzip.compress(raw), tmp_path, chunk_frames=2)) == twin(raw)


def test_standard_input_is_read_as_a_stream():
    code = "import pcaps; c = pcaps.open('-'); print(sum(len(f) for f in c), c.format)"
    for raw in (FORMATS["us-be"], gzip.compress(FORMATS["us-be"])):
        done = subprocess.run(
            [sys.executable, "-c", code], input=raw, capture_output=True, check=True
        )
        assert done.stdout.startswith(b"3 pcap (big-endian")


def test_a_stream_is_read_once_a_file_again(tmp_path):
    again = opened(FORMATS["us-le"], tmp_path)
    assert records(again) == records(again)
    stream = pcaps.open(io.BytesIO(FORMATS["us-le"]))
    assert records(stream) == records(stream)
    read, write = os.pipe()
    os.write(write, FORMATS["us-le"])
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        once = pcaps.open(pipe)
        records(once)
        with pytest.raises(BadInput, match="only once"):
            iter(once)


def test_limit(tmp_path):
    raw = FORMATS["us-le"]
    assert records(opened(raw, tmp_path, limit=2)) == (twin(raw)[0][:2], None)
    assert records(opened(raw, tmp_path, limit=0)) == ([], None)


def test_interfaces_names_and_comments(tmp_path):
    raw = section(options=option(1, b"whole file"))
    raw += interface(options=option(2, b"eth0") + option(3, b"uplink") + option(1, b"the port"))
    raw += enhanced(FRAME) + enhanced(FRAME, options=option(1, "größer".encode()))
    seen = opened(raw, tmp_path)
    records(seen)
    assert (seen.interfaces[0].name, seen.interfaces[0].description) == ("eth0", "uplink")
    assert [(c.where, c.number, c.text) for c in seen.comments] == [
        ("section", 1, "whole file"),
        ("interface", 1, "the port"),
        ("frame", 2, "größer"),
    ]


def test_other_linktypes_are_skipped_and_counted_where_a_file_mixes(tmp_path):
    raw = section() + interface(1) + interface(113) + enhanced(FRAME, 0, 0) + enhanced(LONG, 0, 1)
    mixed = opened(raw, tmp_path)
    assert len(records(mixed)[0]) == 1
    assert mixed.skipped == {"link type 113 (Linux cooked)": 1}


@pytest.mark.parametrize(
    "raw",
    [classic(FRAMES, link=276), section() + interface(276) + enhanced(FRAME)],
    ids=["classic", "pcapng"],
)
def test_no_ethernet_at_all_is_refused(raw, tmp_path):
    with pytest.raises(BadInput, match=r"276 \(Linux cooked v2\).*no MAC address"):
        records(opened(raw, tmp_path))


def test_fcs_is_taken_off_if_the_file_says_so(tmp_path):
    found, _ = records(opened(classic([(1, 2, FRAME, 64)], link=1 | 0x24000000), tmp_path))
    assert [(len(data), wirelen) for data, wirelen, _ in found] == [(60, 60)]
    raw = section() + interface(options=option(13, b"\4")) + enhanced(FRAME)
    found, _ = records(opened(raw, tmp_path))
    assert [(len(data), wirelen) for data, wirelen, _ in found] == [(56, 56)]


def test_simple_packets_have_no_time_and_are_cut_at_the_snaplen(tmp_path):
    raw = section() + interface(snaplen=20) + block(3, struct.pack("<I", 60) + FRAME[:20])
    found, damage = records(opened(raw, tmp_path))
    assert (found, damage) == ([(FRAME[:20], 60, 0)], None)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (classic(FRAMES)[:-5], None),
        (classic([(1, 2, FRAME, 60)]) + struct.pack("<IIII", 1, 2, 70000, 60), "cut"),
        (classic([(1, 2, FRAME, 60)]) + struct.pack("<IIII", 1, 2, 2**32 - 1, 60), "bad-length"),
        (classic([(1, 2, bytes(262145), 60)]) + bytes(64), "bad-length"),
        (classic([(1, 2, bytes(262144), 60), (1, 2, FRAME, 60)]), None),
        (section() + interface() + enhanced(FRAME) + struct.pack("<III", 6, 0, 0), "bad-block-length"),
        (section() + interface() + enhanced(FRAME) + struct.pack("<III", 6, 33, 0), "bad-block-length"),
        (section() + interface() + enhanced(FRAME) + struct.pack("<III", 6, 400, 0), "cut"),
        (section() + interface() + enhanced(FRAME)[:-4] + bytes(4), "bad-block-trailer"),
        (section() + interface() + enhanced(FRAME, 0, 3), "bad-interface"),
        (section() + simple(FRAME), "bad-interface"),
        (section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 999, 999)), "bad-packet-length"),
        (section() + interface() + block(6, b"\0" * 8), "bad-packet-length"),
        (section() + block(1, b"\0" * 4), "bad-interface-block"),
        (section() + interface() + b"\n\r\r\n" + bytes(24), "bad-section"),
    ],
)  # fmt: skip
def test_damage_is_named_and_frames_before_it_are_kept(raw, kind, tmp_path):
    found = records(opened(raw, tmp_path))
    assert found == twin(raw)
    assert kind is None or found[1] == kind
    if found[1]:
        with pytest.raises(BadInput, match="at byte"):
            records(opened(raw, tmp_path, strict=True))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"\xd4\xc3", "not a capture"),
        (classic([])[:20], "cut"),
        (b"GIF89a" + bytes(100), "not a capture"),
        (b"\n\r\r\n" + bytes(50), "not a capture"),
        (gzip.compress(b"", mtime=0), "nothing came"),
        (gzip.compress(b"hello", mtime=0), "not a capture"),
        (b"\x1f\x8b\x08\x00junk", "gzip"),
        (b"\x28\xb5\x2f\xfdjunk", "nothing came|zstd"),
    ],
)
def test_what_is_no_capture_is_refused_with_a_sentence(raw, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        records(opened(raw, tmp_path))


def test_missing_directory_and_unreadable_files(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        pcaps.open(tmp_path / "nothing")
    with pytest.raises(BadInput, match="is a directory"):
        pcaps.open(tmp_path)
    with pytest.raises(BadInput, match="cannot be opened"):
        pcaps.open("nul\0byte")


def test_a_file_that_the_system_cannot_read_is_named():
    with pytest.raises(BadInput, match="/proc/self/mem: cannot be read"):
        pcaps.open("/proc/self/mem")


def test_a_stream_that_fails_midway_is_named(tmp_path):
    class Failing(io.RawIOBase):
        name = "tape"

        def __init__(self):
            super().__init__()
            self.pieces = [classic(FRAMES * 10)]

        def readable(self):
            return True

        def readinto(self, buffer):
            if not self.pieces:
                raise OSError(5, "Input/output error")
            piece = self.pieces.pop()
            buffer[: len(piece)] = piece
            return len(piece)

    with pytest.raises(BadInput, match="tape: cannot be read"):
        list(pcaps.open(io.BufferedReader(Failing(), 1 << 20)))


def test_a_file_that_grows_is_read_to_its_first_size(tmp_path):
    growing = opened(FORMATS["us-le"], tmp_path)
    with (tmp_path / "capture").open("ab") as file:
        file.write(FORMATS["us-le"][24:])
    assert records(growing) == twin(FORMATS["us-le"])


def test_a_file_that_shrinks_is_damaged_not_deadly(tmp_path):
    raw = classic([(1, n, LONG, 1514) for n in range(100)])
    shrinking = opened(raw, tmp_path, chunk_frames=10)
    chunks = iter(shrinking)
    next(chunks)
    os.truncate(tmp_path / "capture", 50_000)
    assert sum(len(chunk) for chunk in chunks) < 90
    assert shrinking.damage.kind == "shrunk"


def test_region_and_continuation_give_every_frame_once(tmp_path):
    raw = classic([(n, 0, LONG, 1514) for n in range(20)])
    whole = opened(raw, tmp_path)
    region = whole.region()
    assert (region.first, region.end) == (24, len(raw) - 64)
    rest = [f for chunk in whole.continue_at(24 + 5 * 1530, 5, 5 * 1514, 5 * 1514) for f in chunk]
    assert [f.ts_ns // 10**9 for f in rest] == list(range(5, 20))
    assert (whole.frames, whole.bytes_wire) == (20, 20 * 1514)


def test_region_is_for_plain_whole_classic_captures_only(tmp_path):
    assert opened(FORMATS["us-le"], tmp_path, limit=1).region() is None
    assert opened(gzip.compress(FORMATS["us-le"]), tmp_path).region() is None
    assert opened(FORMATS["ng-le"], tmp_path).region() is None
    assert opened(classic(FRAMES, link=1 | 0x24000000), tmp_path).region() is None


@pytest.mark.parametrize("make", [random_classic, random_pcapng])
@pytest.mark.parametrize("part", range(4))
def test_reader_equals_twin_on_damaged_captures(make, part, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_BYTES", 257)
    for seed in range(part * 100, part * 100 + 100):
        draw = random.Random(seed)
        raw = make(draw)
        if seed % 4:
            raw = mutate(raw, draw)
        try:
            got = records(opened(raw, tmp_path, chunk_frames=3))
        except BadInput:
            continue
        assert got == twin(raw), seed
        assert records(pcaps.open(io.BytesIO(gzip.compress(raw)))) == got


def test_twin_reads_offsets():
    found, damage = classic_records(classic([(1, 2, FRAME, 60)]))
    assert (found, damage) == ([Record(40, 60, 60, 1_000_002_000)], None)


def test_columns_have_their_types(tmp_path):
    for raw in FORMATS.values():
        for frames in opened(raw, tmp_path):
            assert frames.data.dtype == np.uint8
            assert not frames.data.flags.writeable
            kinds = (np.int64, np.uint32, np.uint32, np.int64, np.uint16)
            columns = (frames.start, frames.caplen, frames.wirelen, frames.ts_ns, frames.interface)
            assert tuple(column.dtype for column in columns) == kinds
