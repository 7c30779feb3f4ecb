"""Large send offload in the switch: what a VM may send longer than its MTU, by each rule."""

from __future__ import annotations

import numpy as np
import pytest

from pcaps.frames import Frames
from vswitch.engine import Engine
from vswitch.explain import twin_of
from vswitch.ports import Dialect, Network, Port, PortKind, VlanMode, VlanSetting
from vswitch.verdict import DropReason, Verdict

VM1, VM2, OUTSIDE = (bytes([2, 0, 0, 0, 0, n]) for n in (1, 2, 9))


def key(address):
    return int.from_bytes(address, "little")


def packet(payload, *, source=VM1, destination=OUTSIDE, flags=0x10, tags=b"", protocol=6):
    """An Ethernet frame with TCP and that much payload."""
    total = (40 + payload).to_bytes(2, "big")
    ip = b"\x45\0" + total + b"\0\0\x40\0\x40" + bytes([protocol]) + bytes(10)
    tcp = bytes(12) + bytes([0x50, flags]) + bytes(6)
    return destination + source + tags + b"\x08\0" + ip + tcp + bytes(payload)


def network(*, lso=("lso",), vm_mtu=1500, uplink_mtu=1500, vm2_mtu=1500, vlan=0):
    setting = VlanSetting(vid=vlan)
    return Network(
        ports=(
            Port(name="uplink", kind=PortKind.UPLINK, mtu=uplink_mtu),
            Port(name="vm1", mac=key(VM1), mtu=vm_mtu, vlan=setting, offloads=frozenset(lso)),
            Port(name="vm2", mac=key(VM2), mtu=vm2_mtu, vlan=setting),
        )
    )


def fate(frame, net, in_port=1):
    """What becomes of a frame, by the compiled switch and by its twin."""
    batch = Frames.from_bytes([frame])
    word = int(Engine(net).decide(batch, np.array([in_port], np.uint16)).words[0])
    steps = []
    outcome = twin_of(net, None).decide(batch[0], in_port, steps.append)
    assert Verdict(word >> 16 & 3) is outcome.verdict
    if outcome.reason is not None:
        assert DropReason(word & 0xFF) is outcome.reason
        return outcome.reason
    assert word & 0xFFFF == outcome.copies[0].port
    return net.ports[outcome.copies[0].port].name


def test_large_packet_leaves_by_the_uplink_and_reaches_other_vms():
    assert fate(packet(8000), network()) == "uplink"
    assert fate(packet(8000, destination=VM2), network()) == "vm2"
    assert fate(packet(8000), network(vlan=20)) == "uplink"


def test_without_the_offload_it_is_too_long():
    assert fate(packet(8000), network(lso=())) is DropReason.OVER_MTU
    assert fate(packet(8000), network(lso=("checksum",))) is DropReason.OVER_MTU
    assert fate(packet(1460), network(lso=())) == "uplink"


@pytest.mark.parametrize("changes", [{"flags": 0x02}, {"flags": 0x30}, {"protocol": 17}])
def test_what_an_adapter_cannot_cut_is_too_long(changes):
    assert fate(packet(8000, **changes), network()) is DropReason.OVER_MTU


def test_packet_that_the_capture_cut_is_too_long():
    net, frame = network(), packet(8000)
    batch = Frames.from_bytes([frame[:100]], wirelen=[len(frame)])
    word = int(Engine(net).decide(batch, np.array([1], np.uint16)).words[0])
    assert DropReason(word & 0xFF) is DropReason.OVER_MTU


def test_segments_have_the_senders_mtu_and_must_fit_where_they_leave():
    jumbo = network(vm_mtu=9000)
    assert fate(packet(20000), jumbo) is DropReason.OVER_MTU
    assert fate(packet(20000), network(vm_mtu=9000, uplink_mtu=9000)) == "uplink"
    assert fate(packet(20000, destination=VM2), network(vm2_mtu=1400)) is DropReason.OVER_MTU


def test_frames_from_the_wire_are_not_cut():
    frame = packet(8000, source=OUTSIDE, destination=VM1)
    assert fate(frame, network(), in_port=0) is DropReason.OVER_MTU


def test_other_rules_hold_as_ever():
    spoofed = packet(8000, source=VM2)
    assert fate(spoofed, network()) is DropReason.SPOOFED_SOURCE
    tagged = packet(8000, tags=b"\x81\0\0\x07")
    assert fate(tagged, network()) is DropReason.TAG_ON_ACCESS


def test_dialect_learning_has_no_offload():
    trunk = VlanSetting(mode=VlanMode.TRUNK)
    ports = (
        Port(name="a", vlan=trunk, offloads=frozenset({"lso"})), Port(name="b", vlan=trunk),
    )  # fmt: skip
    assert (
        fate(packet(8000), Network(ports=ports, dialect=Dialect.LEARNING), 0) is DropReason.OVER_MTU
    )


def test_twin_says_that_the_packet_is_cut():
    net, steps = network(), []
    twin_of(net, None).decide(Frames.from_bytes([packet(8000)])[0], 1, steps.append)
    assert any("cut to frames of 1514 bytes" in step.text for step in steps)


def test_port_refuses_an_unknown_offload():
    from pcaps.errors import BadInput

    with pytest.raises(BadInput, match="magic"):
        Port(name="x", mac=key(VM1), offloads=frozenset({"magic"}))
