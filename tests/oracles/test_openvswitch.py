"""Dialect ``learning`` does what Open vSwitch does, on random ports and random frames.

VSWITCH_OVS_CONFIGURATIONS sets how many configurations are tried, 100 frames each.
Differences that are accepted are listed in README.md beside this file, and each is
one function or one line here; nothing else may differ, in the compiled path and in
its plain twin.
"""

import os
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vswitch"))

from ovs import OpenVSwitch, why_not
from worlds import random_frame, random_learning_network

from pcaps.frames import Frames
from vswitch.copies import copies_of
from vswitch.learning_reference import LearningReference
from vswitch.outcome import Copy
from vswitch.ports import Mirror, Network, Port, VlanMode, VlanSetting
from vswitch.switch import Switch
from vswitch.verdict import DropReason

CONFIGURATIONS = int(os.environ.get("VSWITCH_OVS_CONFIGURATIONS", "200"))
CLOCKED = max(8, CONFIGURATIONS // 5)
PARTS = 8
FRAMES = 100
TAGS = (b"\x81\x00", b"\x88\xa8")
TUNNEL = VlanMode.DOT1Q_TUNNEL
NATIVES = (VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED)
MIRROR = Port(name="mirror", vlan=VlanSetting(vid=4001), mtu=20000)

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="asks about the compiled path"),
]


@dataclass
class Case:
    """One configuration and the frames that are put in: port number, bytes, seconds."""

    network: Network
    vlan_limit: int
    frames: list[tuple[int, bytes, int]]

    @property
    def batch(self):
        return Frames.from_bytes(
            [data for _, data, _ in self.frames],
            ts_ns=[when * 10**9 for _, _, when in self.frames],
        )


@pytest.fixture(scope="module")
def switch():
    running = OpenVSwitch()
    yield running
    running.close()


@pytest.fixture(scope="module")
def clocked():
    running = OpenVSwitch()
    running.stop_clock()
    yield running
    running.close()


def comparable_network(draw):
    """A network that both can be configured to."""
    network = random_learning_network(draw)
    mirrored = draw.random() < 0.3
    ports = tuple(
        replace(
            port,
            mirror=draw.choice(list(Mirror)) if mirrored else Mirror.NONE,
            mtu=draw.choice((100, 1500, 1500, 9000)),
            vlan=replace(port.vlan, allowed=port.vlan.allowed or None),
        )
        for port in network.ports
    )
    return replace(
        network, ports=(*ports, MIRROR) if mirrored else ports, tpids=None, ageing_s=300,
        mirror_to=MIRROR.name if mirrored else None, fdb_size=8192,
    )  # fmt: skip


def n_tags(data):
    return 0 if data[12:14] not in TAGS else 1 if data[16:18] not in TAGS else 2


def is_zero_tag(data, place):
    """Tell whether the tag at a place is VID 0, PCP 0: inside a tunnel it is none there."""
    tci = int.from_bytes(data[place + 2 : place + 4], "big")
    return data[place : place + 2] in TAGS and tci & 0xEFFF == 0


def comparable_frame(draw, network):
    """A port and a frame that both can be given."""
    while True:
        number = draw.randrange(len(network.ports) - (network.mirror_to is not None))
        data, wirelen = random_frame(draw, network, number)
        data = data.ljust(wirelen, b"\0")
        zero = network.ports[number].vlan.mode is TUNNEL and is_zero_tag(data, 12)
        if len(data) >= 14 and not zero:
            return number, data


def random_case(number):
    draw = random.Random(f"ovs {number}")
    network = comparable_network(draw)
    tunnels = any(port.vlan.mode is TUNNEL for port in network.ports)
    frames = [(*comparable_frame(draw, network), 0) for _ in range(FRAMES)]
    return Case(network, draw.choice((1, 2)) if tunnels else 1, frames)


def timed_case(number):
    """A case in which addresses age, and are evicted mostly from one busy port."""
    draw = random.Random(f"ovs time {number}")
    network = comparable_network(draw)
    size = draw.choice((10, 10, 12, 8192))
    # Open vSwitch evicts static entries as it does learned ones; here they stay
    static = network.static if size == 8192 else ()
    network = replace(network, fdb_size=size, ageing_s=draw.randint(15, 90), static=static)
    frames, when, seen = [], 0, set()
    while len(frames) < FRAMES:
        port, data = comparable_frame(draw, network)
        if port != 0 and draw.random() < 0.5:
            continue
        if data[6:12] in seen or draw.random() < 0.1:
            # Open vSwitch counts in whole seconds: within one, a second look refreshes nothing
            when += draw.choice((1, 2, 5, 20))
            seen.clear()
        seen.add(data[6:12])
        frames.append((port, data, when))
    return Case(network, 1, frames)


def without_dei(frame):
    raw, place = bytearray(frame), 12
    while bytes(raw[place : place + 2]) in TAGS and len(raw) >= place + 4:
        raw[place + 2] &= 0xEF
        place += 4
    return bytes(raw)


def without_tags(frame):
    while frame[12:14] in TAGS:
        frame = frame[:12] + frame[16:]
    return frame


def is_left_out(source, port, data, vlan_limit):
    """Tell whether a copy of a frame with two tags is not compared at a port."""
    if n_tags(data) < 2:
        return False
    into_tunnel = port.vlan.mode is TUNNEL and source.vlan.mode in (VlanMode.TRUNK, *NATIVES)
    if vlan_limit == 1:  # the second tag is not looked at
        return bool(port.vlan.cvlans) and source.vlan.mode is not TUNNEL
    # the second tag is a customer's, wherever the frame came from
    return not into_tunnel or is_zero_tag(data, 16) or port.keep_priority_tag


def is_mirror_left_out(outcome, case, in_port, data, left):
    """Tell whether it is not compared if a frame is mirrored; `left` is what leaves, by port."""
    if outcome.reason is DropReason.MALFORMED_TAG or (case.vlan_limit == 2 and n_tags(data) == 2):
        return True
    reasons = {outcome.reason, *(reason for _, reason in outcome.suppressed)}
    if DropReason.OVER_MTU in reasons and not outcome.mirrored:
        return True
    ports = case.network.ports
    if ports[in_port].mirror in (Mirror.INGRESS, Mirror.BOTH):
        return False
    # what leaves is mirrored there only if its port would let it in again
    fresh = LearningReference(case.network)
    again = [
        fresh.decide(Frames.from_bytes([left[port.name]])[0], number).reason
        for number, port in enumerate(ports)
        if port.mirror in (Mirror.EGRESS, Mirror.BOTH) and port.name in left
    ]
    return bool(again) and set(again) <= {DropReason.TAG_ON_ACCESS, DropReason.VLAN_NOT_ALLOWED}


def as_there(copy, source, port, data):
    """The bytes of our copy, as Open vSwitch is known to write them."""
    push = copy.push
    if push and source.vlan.mode is TUNNEL and port.keep_priority_tag and n_tags(data):
        if port.vlan.mode is not VlanMode.ACCESS:  # a tunnel's tag gets the customer's PCP
            push = push[:2] + bytes([push[2] & 0x1F | data[14] & 0xE0]) + push[3:]
    return without_dei(data[:12] + push + (data[16:] if copy.strip else data[12:]))


def compare(sent, outcome, case, in_port, data):
    """Assert that what Open vSwitch sent is what our copies are."""
    network, source = case.network, case.network.ports[in_port]
    mirror = sent.pop(MIRROR.name, None)
    ours = {
        network.ports[copy.port].name: as_there(copy, source, network.ports[copy.port], data)
        for copy in outcome.copies
    }
    theirs = {name: without_dei(frame) for name, frame in sent.items()}
    for port in network.ports:
        if is_left_out(source, port, data, case.vlan_limit):
            ours.pop(port.name, None)
            theirs.pop(port.name, None)
    assert ours == theirs
    if not is_mirror_left_out(outcome, case, in_port, data, ours):
        assert (mirror is not None) == outcome.mirrored
    if mirror is not None:
        assert without_tags(mirror) == without_tags(data)


def compiled_copies(case):
    """Copies of each frame, as the compiled path decides them."""
    found = [[] for _ in case.frames]

    def take(decided):
        for frame, copy in copies_of(decided):
            found[frame].append(copy)

    ports = np.array([port for port, _, _ in case.frames], np.uint16)
    Switch(case.network).process(case.batch, ingress=ports, consume=take)
    return found


def twin_copies(outcome, network):
    mirrored = [Copy(network.number_of(MIRROR.name))] if outcome.mirrored else []
    return [*outcome.copies, *mirrored]


def evicted(before, twin):
    """Ports that young entries were evicted from, and whether a port with as many was spared."""
    table = twin.table
    young = {key: row for key, row in before.items() if row[3] or not is_old(row, table)}
    gone = [row[0] for key, row in young.items() if key not in table.rows]
    held = [row[0] for row in young.values() if not row[3]]
    tied = any(held.count(port) == held.count(own) for own in gone for port in {*held} - {own})
    return gone, tied


def is_old(row, table):
    return table.clock - row[1] >= table.ageing_ns


def ask(switch, number, case):
    """Put the frames of a case into all three; return how many evictions were compared."""
    switch.configure(case.network, case.vlan_limit)
    twin, compiled, batch = LearningReference(case.network), compiled_copies(case), case.batch
    now = evictions = 0
    for n, (in_port, data, when) in enumerate(case.frames):
        source = case.network.ports[in_port]
        story = (number, n, source, data[:30].hex(), len(data))
        before = dict(twin.table.rows)
        outcome = twin.decide(batch[n], in_port)
        assert compiled[n] == twin_copies(outcome, case.network), story
        gone, tied = evicted(before, twin)
        if tied:
            break
        evictions += len(gone)
        if when > now:
            switch.advance(when - now)
            now = when
        sent = switch.send(source.name, data)
        try:
            compare(sent, outcome, case, in_port, data)
        except AssertionError as difference:
            raise AssertionError(f"{story}: {difference}") from None
    return evictions


@pytest.mark.parametrize("part", range(PARTS))
def test_learning_dialect_equals_open_vswitch(switch, part):
    for number in range(part, CONFIGURATIONS, PARTS):
        ask(switch, number, random_case(number))


def test_ageing_and_eviction_equal_open_vswitch(clocked):
    assert sum(ask(clocked, number, timed_case(number)) for number in range(CLOCKED)) > CLOCKED


def test_every_feature_is_among_the_configurations():
    networks = [random_case(number).network for number in range(CONFIGURATIONS)]
    ports = [port for network in networks for port in network.ports]
    assert {port.vlan.mode for port in ports} == {VlanMode.ACCESS, VlanMode.TRUNK, *NATIVES, TUNNEL}
    assert {port.mirror for port in ports} == set(Mirror)
    assert {port.isolated for port in ports} == {port.connected for port in ports} == {True, False}
    assert {bool(port.vlan.cvlans) for port in ports if port.vlan.mode is TUNNEL} == {True, False}
    assert any(network.static for network in networks)
