"""Dialect ``learning`` does what Open vSwitch does, on random ports and random frames.

VSWITCH_OVS_CONFIGURATIONS sets how many configurations are tried, 100 frames each.
Differences that are accepted are listed in README.md beside this file; nothing
else may differ, in the compiled path and in its plain twin.
"""

import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vswitch"))

from ovs import OpenVSwitch, why_not
from worlds import random_frame, random_learning_network

from pcaps.frames import Frames
from vswitch.copies import copies_of
from vswitch.engine import Engine
from vswitch.learning_reference import LearningReference
from vswitch.ports import Mirror, VlanMode

CONFIGURATIONS = int(os.environ.get("VSWITCH_OVS_CONFIGURATIONS", "200"))
FRAMES = 100
TAGS = (b"\x81\x00", b"\x88\xa8")
NO_VID = (b"\x00", b"\x10")

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="asks about the compiled path"),
]


@pytest.fixture(scope="module")
def switch():
    running = OpenVSwitch()
    yield running
    running.close()


def comparable_network(draw):
    """A network that both can be configured to: see README.md, what is not compared."""
    network = random_learning_network(draw)
    ports = tuple(
        replace(
            port,
            connected=True,
            mirror=Mirror.NONE,
            mtu=draw.choice((1500, 1500, 9000)),
            vlan=replace(port.vlan, allowed=port.vlan.allowed or None),
        )
        for port in network.ports
    )
    modes = {port.name: port.vlan.mode for port in ports}
    natives = (VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED)
    static = tuple(e for e in network.static if e.vlan or modes[e.port] not in natives)
    return replace(
        network, ports=ports, mirror_to=None, tpids=None, ageing_s=300, static=static,
        fdb_size=8192,
    )  # fmt: skip


def has_tunnel(network):
    return any(port.vlan.mode is VlanMode.DOT1Q_TUNNEL for port in network.ports)


def n_tags(data):
    return sum(data[place : place + 2] in TAGS for place in (12, 16) if len(data) > place)


def comparable_frames(draw, network):
    """Frames that the injector takes whole; beside a tunnel, of one tag at most."""
    made = []
    while len(made) < FRAMES:
        port = draw.randrange(len(network.ports))
        data, wirelen = random_frame(draw, network, port)
        data = data.ljust(wirelen, b"\0")
        beyond = n_tags(data) > 1 or (
            data[12:14] in TAGS and data[14:15] in NO_VID and data[15:16] == b"\0"
        )
        if len(data) >= 14 and not (has_tunnel(network) and beyond):
            made.append((port, data))
    return made


def loses_customer_tag(source, port):
    """Tell whether Open vSwitch takes a customer's tag off together with the tunnel's."""
    if source.vlan.mode is not VlanMode.DOT1Q_TUNNEL:
        return False
    if port.vlan.mode is VlanMode.ACCESS:
        return True
    return port.vlan.mode is VlanMode.NATIVE_UNTAGGED and port.vlan.vid == source.vlan.vid


def without_dei(frame):
    """Return the frame with the DEI bits of its tags cleared: they are not compared."""
    raw, place = bytearray(frame), 12
    while bytes(raw[place : place + 2]) in TAGS and len(raw) >= place + 4:
        raw[place + 2] &= 0xEF
        place += 4
    return bytes(raw)


def left_by(copies, data, network):
    out = {}
    for copy in copies:
        body = data[16:] if copy.strip else data[12:]
        out[network.ports[copy.port].name] = data[:12] + copy.push + body
    return out


def compared(sent, network, in_port, data):
    """What is compared of the frames that left, by port: see README.md."""
    source = network.ports[in_port]
    found = {}
    for name, frame in sent.items():
        port = network.ports[network.number_of(name)]
        if n_tags(data) and loses_customer_tag(source, port):
            continue
        raw = bytearray(without_dei(frame))
        if source.vlan.mode is VlanMode.DOT1Q_TUNNEL and n_tags(data) and n_tags(frame) > 1:
            raw[14] &= 0x1F
        found[name] = bytes(raw)
    return found


@pytest.mark.parametrize("part", range(8))
def test_learning_dialect_equals_open_vswitch(switch, part):
    for number in range(part, CONFIGURATIONS, 8):
        draw = random.Random(f"ovs {number}")
        network = comparable_network(draw)
        frames = comparable_frames(draw, network)
        switch.configure(network)
        twin = LearningReference(network)
        batch = Frames.from_bytes([data for _, data in frames])
        decided = Engine(network).decide(batch, np.array([p for p, _ in frames], np.uint16))
        compiled = {}
        for frame, copy in copies_of(decided):
            compiled.setdefault(frame, []).append(copy)
        for n, (in_port, data) in enumerate(frames):
            sent = switch.send(network.ports[in_port].name, data)
            plain = left_by(twin.decide(batch[n], in_port).copies, data, network)
            ours = left_by(compiled.get(n, []), data, network)
            story = (number, n, network.ports[in_port], data[:30].hex(), len(data))
            assert ours == plain, story
            theirs = compared(sent, network, in_port, data)
            assert compared(ours, network, in_port, data) == theirs, story


def test_every_vlan_mode_is_among_the_configurations():
    seen = set()
    for number in range(CONFIGURATIONS):
        seen |= {
            port.vlan.mode for port in comparable_network(random.Random(f"ovs {number}")).ports
        }
    assert seen == {
        VlanMode.ACCESS, VlanMode.TRUNK, VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED,
        VlanMode.DOT1Q_TUNNEL,
    }  # fmt: skip
