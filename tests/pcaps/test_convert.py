from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import tshark
from click.testing import CliRunner

import pcaps
from pcaps import samples
from pcaps.classic_writer import ClassicWriter
from pcaps.cli_make import FORMATS
from pcaps.cli_make import convert as command
from pcaps.convert import convert
from pcaps.copies import Copies
from pcaps.errors import BadInput
from pcaps.formats import FORMATS as LIBRARY_FORMATS
from pcaps.formats import format_of
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter, block, interface_block

OFFICE = str(samples.path("office"))


def content(path: str | Path) -> list[tuple[bytes, int, int]]:
    with pcaps.open(path) as capture:
        return [(frame.data, frame.wirelen, frame.ts_ns) for part in capture for frame in part]


@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng", "x.pcap.gz", "x.pcapng.zst", "x"])
def test_every_frame_keeps_bytes_lengths_and_nanoseconds(tmp_path: Path, name: str) -> None:
    done = convert(OFFICE, str(tmp_path / name))
    assert content(tmp_path / name) == content(OFFICE)
    assert done.frames == len(content(OFFICE))
    assert done.bytes_file == (tmp_path / name).stat().st_size


def test_microseconds_are_written_when_asked_for(tmp_path: Path) -> None:
    convert(OFFICE, str(tmp_path / "x.pcap"), kind="pcap")
    expected = [(data, wire, ts_ns // 1000 * 1000) for data, wire, ts_ns in content(OFFICE)]
    assert content(tmp_path / "x.pcap") == expected


def test_a_capture_in_microseconds_becomes_one_in_microseconds(tmp_path: Path) -> None:
    with ClassicWriter(tmp_path / "us.pcap") as writer:
        writer.write(Frames.from_bytes([b"x" * 60], ts_ns=[5000]))
    assert convert(str(tmp_path / "us.pcap"), str(tmp_path / "y.pcap")).format == "pcap"
    assert (tmp_path / "y.pcap").read_bytes() == (tmp_path / "us.pcap").read_bytes()


def test_pcapng_keeps_names_and_comments(tmp_path: Path) -> None:
    target = tmp_path / "x.pcapng"
    assert convert(OFFICE, str(target)).notes == []
    with pcaps.open(OFFICE) as before, pcaps.open(target) as after:
        assert sum(len(part) for part in before) == sum(len(part) for part in after)
        assert after.comments == before.comments
        assert [(entry.name, entry.description) for entry in after.interfaces] == [
            (entry.name, entry.description) for entry in before.interfaces
        ]


def test_interfaces_that_are_described_late_come_along(tmp_path: Path) -> None:
    frames = Frames.from_bytes([b"a" * 60, b"b" * 60])
    with PcapngWriter(tmp_path / "a.pcapng", [OutInterface("first")]) as writer:
        writer.write(frames, Copies.of_all(2))
        assert writer.add_interfaces([OutInterface("second", "late")]) == 1
        writer.write(frames, Copies.of_all(2, 1))
    done = convert(str(tmp_path / "a.pcapng"), str(tmp_path / "b.pcapng"))
    assert done.frames == 4
    rows = tshark.fields(tmp_path / "b.pcapng", "frame.interface_name")
    assert rows == [["first"], ["first"], ["second"], ["second"]]


def test_interfaces_without_ethernet_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "a.pcapng"
    with PcapngWriter(source, [OutInterface("radio"), OutInterface("wire")]) as writer:
        writer.write(Frames.from_bytes([b"a" * 60, b"b" * 60]), Copies.of_all(2, [0, 1]))
    raw = source.read_bytes()
    ethernet = interface_block(OutInterface("radio"))
    source.write_bytes(raw.replace(ethernet, ethernet[:8] + b"\x69\x00" + ethernet[10:]))
    done = convert(str(source), str(tmp_path / "b.pcapng"))
    assert done.frames == 1
    assert any("skipped 1 frames" in note for note in done.notes)
    assert tshark.fields(tmp_path / "b.pcapng", "frame.interface_name") == [["wire"]]


def test_several_comments_of_one_frame_become_one_of_several_lines(tmp_path: Path) -> None:
    source = tmp_path / "a.pcapng"
    with PcapngWriter(source, [OutInterface("a")]):
        pass
    notes = b"".join(struct.pack("<HH4s", 1, 4, text) for text in (b"one ", b"two "))
    body = struct.pack("<IIIII", 0, 0, 0, 60, 60) + b"x" * 60 + notes + bytes(4)
    source.write_bytes(source.read_bytes() + block(6, body))
    convert(str(source), str(tmp_path / "b.pcapng"))
    with pcaps.open(tmp_path / "b.pcapng") as capture:
        assert sum(map(len, capture)) == 1
        assert [note.text for note in capture.comments] == ["one \ntwo "]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"first": 3}, slice(2, None)),
        ({"last": 5}, slice(0, 5)),
        ({"first": 3, "last": 5}, slice(2, 5)),
        ({"first": 3, "limit": 2}, slice(2, 4)),
        ({"first": 3, "last": 3, "limit": 9}, slice(2, 3)),
        ({"limit": 0}, slice(0, 0)),
        ({"last": 10**9}, slice(0, None)),
    ],
)
def test_a_part_is_chosen_by_frame_numbers(
    tmp_path: Path, options: dict[str, int], expected: slice
) -> None:
    convert(OFFICE, str(tmp_path / "x.pcap"), **options)  # type: ignore[arg-type]
    assert content(tmp_path / "x.pcap") == content(OFFICE)[expected]


def test_comments_stay_with_their_frames_in_a_part(tmp_path: Path) -> None:
    (number,) = (
        int(row[0])
        for row in tshark.fields(Path(OFFICE), "frame.number", only='frame.comment contains "runt"')
    )
    convert(OFFICE, str(tmp_path / "x.pcapng"), first=number - 2, last=number + 2)
    rows = tshark.fields(
        tmp_path / "x.pcapng", "frame.number", "frame.comment", only="frame.comment"
    )
    assert rows == [["3", "runt: 10 bytes"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 10**6}, "there is no frame 1000000; the capture has 9"),
        ({"first": 5, "last": 4}, "frames 5 to 4 are none"),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    tmp_path: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        convert(OFFICE, str(tmp_path / "x.pcap"), **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_capture_gives_its_whole_frames_and_a_note(tmp_path: Path) -> None:
    done = convert(str(samples.path("damaged")), str(tmp_path / "x.pcap"))
    assert done.frames == 30
    assert done.damage is not None
    assert "the frames before it were used" in done.notes[0]
    with pytest.raises(BadInput, match="claims more than 262144"):
        convert(str(samples.path("damaged")), str(tmp_path / "y.pcap"), strict=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pcap"]


def test_a_capture_can_be_converted_in_place(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(Path(OFFICE).read_bytes())
    convert(str(path), str(path), limit=10)
    assert content(path) == content(OFFICE)[:10]


def test_what_classic_pcap_has_no_place_for_is_told(tmp_path: Path) -> None:
    (note,) = convert(OFFICE, str(tmp_path / "x.pcap")).notes
    assert "pcap-ns has no place for the 22 comments of" in note


def test_an_empty_capture_stays_one(tmp_path: Path) -> None:
    with ClassicWriter(tmp_path / "empty.pcap"):
        pass
    for name in ("x.pcap", "x.pcapng"):
        assert convert(str(tmp_path / "empty.pcap"), str(tmp_path / name)).frames == 0
        assert content(tmp_path / name) == []


def test_the_suffix_before_the_compression_decides() -> None:
    assert format_of("a.pcapng.gz") == "pcapng"
    assert format_of("a.pcap.zst") == "pcap"
    assert format_of("pcapng") == "pcap"
    assert format_of("a.pcap", "pcapng") == "pcapng"


def test_the_command_knows_the_formats_of_the_library() -> None:
    assert FORMATS == LIBRARY_FORMATS


def test_the_command_prints_one_json_object(tmp_path: Path) -> None:
    target = str(tmp_path / "x.pcap.gz")
    result = CliRunner().invoke(command, [str(samples.path("damaged")), target, "--json"])
    said = json.loads(result.stdout)
    assert said["schema"] == "capture.convert/1"
    assert (said["frames"], said["format"], said["path"]) == (30, "pcap-ns", target)
    assert said["damage"]["kind"] == "bad-length"
    assert "note: " in result.stderr
    assert len(gzip.decompress(Path(target).read_bytes())) == 24 + 30 * 16 + said["bytes_wire"]


def test_the_command_works_in_a_pipe() -> None:
    program = "from pcaps.cli_make import convert; convert()"
    done = subprocess.run(
        [sys.executable, "-c", program, "-", "-", "--limit", "2", "--format", "pcap"],
        input=Path(OFFICE).read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout[:4].hex() == "d4c3b2a1"
    assert done.stderr.splitlines()[-1].startswith(b"wrote 2 frames")
