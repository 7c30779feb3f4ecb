"""queues.pcapng, the pcap per port, and files that are whole or absent."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from pcaps.copies import INBOUND, NO_COMMENT, OUTBOUND, Copies
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.pcapng_writer import PcapngWriter
from tests.vswitch.worlds import random_world
from vswitch import outputs
from vswitch.copies import copies_of
from vswitch.engine import Decided, Engine
from vswitch.outputs import IngressSide, Outputs, drop_comment, interfaces_of
from vswitch.ports import Network, Port, PortKind, VlanSetting
from vswitch.verdict import DropReason, Verdict
from vswitch.words_kernel import KIND_SHIFT


def lab() -> Network:
    return Network(
        ports=(
            Port(name="uplink", kind=PortKind.UPLINK, check_source=False, mtu=None),
            Port(name="vm1", mac="02:00:00:00:00:01", vlan=VlanSetting(vid=20)),
            Port(name="vm2", mac="02:00:00:00:00:02", vlan=VlanSetting(vid=20)),
            Port(name="vm3", mac="02:00:00:00:00:03"),
        )
    )


def frame(destination: str, vid: int | None = None, size: int = 60) -> bytes:
    tag = b"" if vid is None else struct.pack(">HH", 0x8100, vid)
    head = bytes.fromhex(destination.replace(":", "")) + bytes.fromhex("020000000099")
    return (head + tag + b"\x08\x00").ljust(size, b"\x5a")


def decide(network: Network, frames: list[bytes], in_port: int = 0) -> Decided:
    batch = Frames.from_bytes(frames, ts_ns=range(len(frames)))
    return Engine(network).decide(batch, np.full(len(frames), in_port, np.uint16))


def lab_frames() -> list[bytes]:
    return [
        frame("02:00:00:00:00:01", 20),
        frame("02:00:00:00:00:01", 20, size=1600),
        frame("ff:ff:ff:ff:ff:ff", 20),
        frame("02:00:00:00:00:03"),
    ]


def plainly(decided: Decided, side: IngressSide, ingress: str | None, before: int) -> Copies:
    """The records of queues.pcapng, frame by frame."""
    _, interface_of = interfaces_of(decided.compiled, ingress)
    leaving: dict[int, list] = {}
    for index, copy in copies_of(decided):
        leaving.setdefault(index, []).append(copy)
    rows = []
    for index, word in enumerate(decided.words.tolist()):
        dropped = Verdict(word >> KIND_SHIFT & 3) is Verdict.DROPPED
        number = before + decided.number + index
        if side is IngressSide.ALL or (side is IngressSide.DROPPED and dropped):
            comment = word & 0xFF if dropped else NO_COMMENT
            rows.append((index, 0, 0, 0, number, INBOUND, comment))
        for copy in leaving.get(index, ()):
            push = int.from_bytes(copy.push, "little")
            out = int(interface_of[copy.port])
            rows.append((index, out, copy.strip, push, number, OUTBOUND, NO_COMMENT))
    columns = list(zip(*rows, strict=True)) or [()] * 7
    kinds = (np.uint32, np.uint32, np.uint8, np.uint32, np.uint64, np.uint8, np.int64)
    made = [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return Copies(*made[:6], comment=made[6])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("side", list(IngressSide))
def test_queues_file_equals_its_plain_twin_on_random_worlds(
    seed: int, side: IngressSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(outputs, "_RECORDS", draw.choice((1, 2, 3, 7, 1 << 14)))
    world = random_world(seed, 40)
    engine = Engine(world.network, world.adapter)
    decided = engine.decide(world.frames, np.array(world.in_ports, np.uint16), number=5)
    with Outputs(tmp_path / "out", engine.compiled, side=side) as files:
        files.write(decided, 1000)
    interfaces, _ = interfaces_of(engine.compiled, None)
    comments = [""] * (max(DropReason) + 1)
    for reason in DropReason:
        comments[reason] = drop_comment(reason)
    with PcapngWriter(tmp_path / "plain.pcapng", interfaces, comments=comments) as writer:
        writer.write(decided.frames, plainly(decided, side, None, 1000))
    written = (tmp_path / "out" / "queues.pcapng").read_bytes()
    assert written == (tmp_path / "plain.pcapng").read_bytes()


def test_interface_0_is_the_ingress_port_and_the_others_are_the_ports() -> None:
    compiled = Engine(lab()).compiled
    interfaces, interface_of = interfaces_of(compiled, "uplink")
    assert [entry.name for entry in interfaces] == ["uplink", "vm1", "vm2", "vm3"]
    assert interface_of.tolist() == [0, 1, 2, 3]
    assert interfaces[1].mac == "02:00:00:00:00:01"
    assert interfaces[1].description == "02:00:00:00:00:01, VLAN 20, software switch"
    assert "untagged" in interfaces[3].description


def test_frames_by_several_ports_leave_interface_0_to_itself() -> None:
    interfaces, interface_of = interfaces_of(Engine(lab()).compiled, None)
    assert [entry.name for entry in interfaces] == ["ingress", "uplink", "vm1", "vm2", "vm3"]
    assert interface_of.tolist() == [1, 2, 3, 4]


def test_existing_files_are_replaced_and_strangers_stay(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "queues.pcapng").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "vms" / "vm1.pcap").write_text("old")
    decided = decide(lab(), lab_frames())
    with Outputs(tmp_path, decided.compiled, ingress="uplink", split=True) as files:
        files.write(decided)
        files.write_summary({"schema": "x"})
    assert (tmp_path / "queues.pcapng").stat().st_size > 1000
    assert (tmp_path / "vms" / "vm1.pcap").stat().st_size == 24 + 2 * (16 + 56)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"schema": "x"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "notes.txt", "queues.pcapng", "summary.json", "vms",
    ]  # fmt: skip


def test_split_has_a_file_for_every_port_but_the_ingress(tmp_path: Path) -> None:
    decided = decide(lab(), lab_frames())
    with Outputs(tmp_path / "a" / "b", decided.compiled, ingress="uplink", split=True) as files:
        files.write(decided)
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "a" / "b" / "vms").iterdir()}
    assert sizes == {"vm1.pcap": 24 + 2 * 72, "vm2.pcap": 24 + 72, "vm3.pcap": 24 + 76}


@pytest.mark.parametrize("error", [RuntimeError("oh"), KeyboardInterrupt()])
def test_after_an_error_nothing_has_changed(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "queues.pcapng").write_text("old")
    decided = decide(lab(), lab_frames())

    def break_off() -> None:
        with Outputs(tmp_path, decided.compiled, split=True) as files:
            files.write(decided)
            raise error

    with pytest.raises(type(error)):
        break_off()
    assert [p.name for p in tmp_path.iterdir()] == ["queues.pcapng"]
    assert (tmp_path / "queues.pcapng").read_text() == "old"


def test_a_new_directory_is_not_left_behind_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Outputs(tmp_path / "x" / "y", Engine(lab()).compiled):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_as_output_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with (
        pytest.raises(BadInput, match="is a file; name a directory"),
        Outputs(tmp_path / "f", Engine(lab()).compiled),
    ):
        pass


def test_messages_name_the_directory_that_was_asked_for(tmp_path: Path) -> None:
    port = Port(name="a/b", mac="02:00:00:00:00:07")
    network = lab().with_ports([*lab().ports, port])
    with (
        pytest.raises(BadInput, match="cannot be a file name"),
        Outputs(tmp_path / "o", Engine(network).compiled, split=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with (
        pytest.raises(BadInput, match="cannot write"),
        Outputs(tmp_path / "f" / "o", Engine(lab()).compiled),
    ):
        pass


def test_drop_comment_starts_with_the_label() -> None:
    assert drop_comment(DropReason.OVER_MTU).startswith("dropped: over-mtu: The frame")
