from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tshark
from random_batches import random_copies, random_frames

from pcaps import staging
from pcaps.copies import INBOUND, OUTBOUND, Copies, tag_word
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter
from pcaps.writer_reference import pcapng_blocks, retagged

TAGGED = bytes.fromhex("00155d000001 00155d000002 81006014 0800") + bytes(range(60))


def written(path: Path, frames: Frames, copies: Copies, **options: object) -> bytes:
    """Bytes behind the file's header."""
    interfaces = [OutInterface(f"if{n}", queue=n if n % 2 else None) for n in range(5)]
    with PcapngWriter(path, interfaces, **options) as writer:  # type: ignore[arg-type]
        pass
    header = path.stat().st_size
    with PcapngWriter(path, interfaces, **options) as writer:  # type: ignore[arg-type]
        writer.write(frames, copies)
    assert writer.frames_written == len(copies)
    return path.read_bytes()[header:]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("capacity", [4096, 1 << 19])
def test_the_kernel_equals_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, capacity: int
) -> None:
    monkeypatch.setattr(staging, "CAPACITY", capacity)
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, 200)
    comments = ["", "a", "The frame is shorter than an Ethernet header.", "ü" * 300]
    copies = random_copies(rng, frames, 500, 5, len(comments))
    expected = pcapng_blocks(
        frames, copies, [-1, 1, -1, 3, -1], [text.encode() for text in comments]
    )
    assert written(tmp_path / "x.pcapng", frames, copies, comments=comments) == expected


def test_a_record_larger_than_the_buffer_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "CAPACITY", 128)
    frames = Frames.from_bytes([bytes(range(256)) * 40, b"short" * 4])
    copies = Copies.of_all(2)
    expected = pcapng_blocks(frames, copies, [-1] * 5, [])
    assert written(tmp_path / "x.pcapng", frames, copies) == expected


def test_without_copies_each_frame_goes_to_its_own_interface(tmp_path: Path) -> None:
    frames = Frames.from_bytes([TAGGED, TAGGED])
    frames.interface[:] = [1, 0]
    path = tmp_path / "x.pcapng"
    with PcapngWriter(path, [OutInterface("a"), OutInterface("b")]) as writer:
        writer.write(frames)
    expected = pcapng_blocks(frames, Copies.of_all(2, frames.interface), [-1, -1], [])
    assert path.read_bytes().endswith(expected)


def test_a_frame_cut_before_its_tag_is_refused(tmp_path: Path) -> None:
    frames = Frames.from_bytes([TAGGED[:15]], wirelen=[78])
    strip = Copies.of_all(1)
    strip = Copies(strip.frame, strip.interface, strip=np.ones(1, np.uint8))
    with pytest.raises(ValueError, match="cut before the tag"):
        written(tmp_path / "x.pcapng", frames, strip)
    with pytest.raises(ValueError, match="cut before the tag"):
        pcapng_blocks(frames, strip, [-1], [])
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("frame", 1, "frame 1 is not in the batch"),
        ("interface", 5, "interface 5 was not declared"),
        ("comment", 0, "comment was not declared"),
    ],
)
def test_a_copy_of_something_that_is_not_there_is_refused(
    tmp_path: Path, column: str, value: int, message: str
) -> None:
    columns = {"frame": np.zeros(1, np.uint32), "interface": np.zeros(1, np.uint32)}
    columns[column] = np.array([value])
    with pytest.raises(ValueError, match=message):
        written(tmp_path / "x.pcapng", Frames.from_bytes([TAGGED]), Copies(**columns))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="'push' has 2 entries, 'frame' 1"):
        Copies(np.zeros(1, np.uint32), np.zeros(1, np.uint32), push=np.zeros(2, np.uint32))


def test_a_queue_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not fit 32 bits"):
        PcapngWriter(tmp_path / "x.pcapng", [OutInterface("a", queue=1 << 32)])


def test_stripping_and_pushing_replaces_the_tag() -> None:
    replaced = retagged(TAGGED, strip=True, push=tag_word(0x88A8, 7))
    assert replaced[12:18] == bytes.fromhex("88a8 0007 0800")
    assert retagged(TAGGED, strip=True, push=0) == TAGGED[:12] + TAGGED[16:]


def test_a_text_too_long_for_an_option_is_cut_at_a_character(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    with PcapngWriter(path, [OutInterface("a", description="ü" * 40_000)]):
        pass
    raw = path.read_bytes()
    place = raw.index("ü".encode())
    code, length = struct.unpack("<HH", raw[place - 4 : place])
    assert (code, length) == (3, 65_534)
    assert raw[place : place + length].decode() == "ü" * 32_767


def test_comments_added_later_are_numbered_on(tmp_path: Path) -> None:
    frames = Frames.from_bytes([TAGGED])
    path = tmp_path / "x.pcapng"
    with PcapngWriter(path, [OutInterface("a")], comments=["first"]) as writer:
        assert writer.add_comments(["second", "third"]) == 1
        copies = Copies.of_all(1)
        writer.write(frames, Copies(copies.frame, copies.interface, comment=np.array([2])))
    assert b"third" in path.read_bytes()
    assert b"second" not in path.read_bytes()


def test_tshark_reads_every_field(tmp_path: Path) -> None:
    frames = Frames.from_bytes(
        [TAGGED, TAGGED[:40]], wirelen=[78, 78], ts_ns=[1_700_000_000_123_456_789, 5]
    )
    copies = Copies(
        frame=np.array([0, 0, 1], np.uint32),
        interface=np.array([0, 1, 2], np.uint32),
        strip=np.array([0, 1, 0], np.uint8),
        push=np.array([0, 0, tag_word(0x88A8, 33)], np.uint32),
        packet_id=np.array([1, 1, 2], np.uint64),
        direction=np.array([INBOUND, OUTBOUND, 0], np.uint8),
        queue=np.array([-1, -2, -1]),
        comment=np.array([-1, -1, 0]),
    )
    interfaces = [
        OutInterface("uplink", "to the wire"),
        OutInterface("vm1", "queue 3 of the adapter", queue=3, mac="00:15:5d:00:00:01"),
        OutInterface("dropped"),
    ]
    path = tmp_path / "x.pcapng"
    with PcapngWriter(
        path, interfaces, comments=["over-mtu: too long"], comment="a test"
    ) as writer:
        writer.write(frames, copies)
    rows = tshark.fields(
        path, "frame.interface_name", "frame.interface_description", "frame.packet_id",
        "frame.interface_queue", "frame.time_epoch", "frame.cap_len", "frame.len", "vlan.id",
        "frame.packet_flags_direction", "frame.comment",
    )  # fmt: skip
    assert rows == [
        ["uplink", "to the wire", "1", "", "1700000000.123456789", "78", "78", "20", "0x00000001", ""],
        ["vm1", "queue 3 of the adapter", "1", "3", "1700000000.123456789", "74", "74", "", "0x00000002", ""],
        ["dropped", "", "2", "", "0.000000005", "44", "82", rows[2][7], "", "over-mtu: too long"],
    ]  # fmt: skip
    assert rows[2][7].split(",")[-1] == "20"


def test_tshark_finds_every_block_of_random_copies_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    frames = random_frames(rng, 100)
    copies = random_copies(rng, frames, 400, 5, 2)
    written(tmp_path / "x.pcapng", frames, copies, comments=["one", "two"])
    rows = tshark.fields(tmp_path / "x.pcapng", "frame.cap_len", "frame.interface_name")
    assert copies.strip is not None
    assert copies.push is not None
    expected = frames.caplen[copies.frame] - 4 * copies.strip + 4 * (copies.push != 0)
    assert [int(row[0]) for row in rows] == expected.tolist()
    assert [row[1] for row in rows] == [f"if{n}" for n in copies.interface]


def test_scapy_reads_the_file(tmp_path: Path) -> None:
    from scapy.utils import RawPcapNgReader

    frames = Frames.from_bytes([TAGGED, TAGGED[:40]], wirelen=[78, 78])
    path = tmp_path / "x.pcapng"
    with PcapngWriter(path, [OutInterface("a")]) as writer:
        writer.write(frames)
    with RawPcapNgReader(str(path)) as reader:
        assert [data for data, _ in reader] == [TAGGED, TAGGED[:40]]
