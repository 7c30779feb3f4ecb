"""The loops: the adapter before the switch, and the walk over a file beside the batch."""

import random
import struct

import numpy as np
import pytest
from worlds import random_learning_world, random_world

import pcaps
from nic.adapter import Adapter
from pcaps.frames import Frames
from vswitch.engine import Engine, Workspace
from vswitch.ports import Network, Port, PortKind, VlanSetting
from vswitch.queues import give_queues
from vswitch.replay_kernel import (
    PREFETCH_LINES,
    PREFETCH_NONE,
    PREFETCH_STRIDE,
    PREFETCH_TABLE,
)
from vswitch.verdict import DropReason, Verdict
from vswitch.words_kernel import PLACED

UPLINK, PLAIN, TAGGED = 0, 1, 2
MAC = {PLAIN: "02:00:00:00:00:01", TAGGED: "02:00:00:00:00:02"}
NETWORK = Network(
    ports=(
        Port(name="uplink", kind=PortKind.UPLINK, mtu=9000),
        Port(name="plain", mac=MAC[PLAIN], mtu=9000),
        Port(name="tagged", mac=MAC[TAGGED], mtu=9000, vlan=VlanSetting(vid=10)),
        Port(name="other", mac="02:00:00:00:00:03", mtu=9000),
    )
)


def adapter_with_queues(**settings):
    adapter = Adapter(num_queues=8, **settings)
    give_queues(NETWORK, adapter)
    return adapter


def frame(port, vid=None, payload=b"", source="02:00:00:00:00:99"):
    tag = b"" if vid is None else b"\x81\x00" + vid.to_bytes(2, "big")
    addresses = bytes.fromhex((MAC[port] + source).replace(":", ""))
    return (addresses + tag + b"\x08\x00" + payload).ljust(64, b"\0")


def decide(data, in_port=UPLINK, wirelen=None, **settings):
    """What becomes of one frame: port or reason, and whether a VM queue got it."""
    batch = Frames.from_bytes([data], wirelen=[len(data) if wirelen is None else wirelen])
    engine = Engine(NETWORK, adapter_with_queues(**settings))
    word = int(engine.decide(batch, np.array([in_port], np.uint16)).words[0])
    kind = Verdict(word >> 16 & 3)
    low = DropReason(word & 0xFF) if kind is Verdict.DROPPED else word & 0xFFFF
    return low, bool(word & PLACED)


@pytest.mark.parametrize(
    ("vid", "wirelen", "outcome"),
    [
        (None, 1514, (PLAIN, True)),
        (None, 1515, (DropReason.ADAPTER_OVER_SIZE, False)),
        (10, 1518, (TAGGED, True)),
        (10, 1519, (DropReason.ADAPTER_OVER_SIZE, False)),
    ],
)
def test_adapters_limit_does_not_count_the_tag(vid, wirelen, outcome):
    data = frame(PLAIN if vid is None else TAGGED, vid)
    assert decide(data, wirelen=wirelen, jumbo_packet=1514) == outcome


def test_payload_of_an_untagged_frame_is_no_vid():
    assert decide(frame(PLAIN, payload=b"\x00\x0a" * 8)) == (PLAIN, True)


def test_vid_0_is_the_queue_of_untagged_frames():
    assert decide(frame(PLAIN, 0)) == (PLAIN, True)


@pytest.mark.parametrize("caplen", [14, 15, 16, 17])
def test_frame_cut_in_its_tag_goes_to_the_default_queue_where_the_switch_names_the_reason(caplen):
    data = frame(TAGGED, 11)[:caplen]
    for settings in ({}, {"nic_drop_vlan_mismatch": True}, {"jumbo_packet": 1514}):
        assert decide(data, wirelen=9999, **settings) == (DropReason.TRUNCATED, False)


@pytest.mark.parametrize("caplen", [0, 5, 6, 13])
def test_frame_cut_in_its_header_goes_to_the_default_queue_too(caplen):
    data = frame(PLAIN)[:caplen]
    assert decide(data, promiscuous=False) == (DropReason.RUNT, False)
    assert decide(data, wirelen=64, promiscuous=False) == (DropReason.TRUNCATED, False)


def test_frames_between_vms_do_not_pass_the_adapter():
    data = frame(PLAIN, source="02:00:00:00:00:03")
    assert decide(data, in_port=3, wirelen=5000, jumbo_packet=1514) == (PLAIN, False)
    assert decide(data, wirelen=5000, jumbo_packet=1514) == (DropReason.ADAPTER_OVER_SIZE, False)


def test_wrong_vlan_is_dropped_on_board_or_by_the_switch():
    data = frame(TAGGED, 11)
    assert decide(data) == (DropReason.UNKNOWN_FROM_UPLINK, False)
    assert decide(data, nic_drop_vlan_mismatch=True) == (DropReason.VLAN_MISMATCH, False)


def test_queue_whose_vnic_is_gone_is_looked_up():
    adapter = adapter_with_queues()
    engine = Engine(NETWORK.with_ports(NETWORK.ports[:2]), adapter)
    batch = Frames.from_bytes([frame(PLAIN), frame(TAGGED, 10)])
    words = engine.decide(batch, np.zeros(2, np.uint16)).words.tolist()
    assert [bool(word & PLACED) for word in words] == [True, False]
    assert DropReason(words[1] & 0xFF) is DropReason.UNKNOWN_FROM_UPLINK


def classic(frames, order):
    """The bytes of a nanosecond capture in one byte order."""
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
    for n in range(len(frames)):
        one = frames[n]
        seconds, fraction = divmod(one.ts_ns, 10**9)
        out += struct.pack(order + "IIII", seconds, fraction, len(one.data), one.wirelen) + one.data
    return out + bytes(64)  # a walk stops before the last 64 bytes


WORLDS = {
    "software": random_world,
    "vmq": random_world,
    "learning": random_learning_world,
}


def worlds(mode):
    """Ten worlds of a mode."""
    found, draw = 0, random.Random(mode)
    while found < 10:
        world = WORLDS[mode](draw.randrange(10**6))
        if mode != "learning" and (world.adapter is None) == (mode == "vmq"):
            continue
        found += 1
        yield world


@pytest.mark.parametrize(
    ("order", "ahead"),
    [("<", PREFETCH_NONE), (">", PREFETCH_LINES), ("<", PREFETCH_STRIDE), (">", PREFETCH_TABLE)],
)
@pytest.mark.parametrize("mode", WORLDS)
def test_walk_decides_and_counts_as_the_batch_does(mode, order, ahead, tmp_path):
    for number, world in enumerate(worlds(mode)):
        path = tmp_path / f"{number}.pcap"
        path.write_bytes(classic(world.frames, order))
        region = pcaps.open(path).region()
        n = len(world.frames)
        batch = Engine(world.network, world.adapter).decide(
            world.frames, np.zeros(n, np.uint16), number=1
        )
        space = Workspace(True)
        walked, offset = Engine(world.network, world.adapter).walk(
            region, region.first, region.end, 0, space, columns=True, ahead=ahead
        )
        assert offset == region.end
        assert np.array_equal(walked.words, batch.words)
        assert np.array_equal(walked.stats, batch.stats)
        for column in ("caplen", "wirelen", "ts_ns"):
            assert np.array_equal(getattr(walked.frames, column), getattr(world.frames, column))
        assert walked.frames[n - 1].data == world.frames[n - 1].data
