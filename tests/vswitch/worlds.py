"""Random networks and random frames: the worlds in which kernels and twins must agree.

Small address and VLAN pools on purpose, so that frames hit ports, clash, and
reach every branch of the rules.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from nic.adapter import Adapter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.ports import (
    Dialect,
    Mirror,
    Network,
    Port,
    PortKind,
    StaticEntry,
    VlanMode,
    VlanSetting,
)
from vswitch.queues import give_queues

VIDS = (10, 20, 30, 4094)
SECONDARY = {10: (101, 102), 20: (201, 202)}
MTUS = (None, 100, 1500, 1500, 9000)
MACS = [int.from_bytes(bytes([2, 0, 0, 0, 0, n]), "little") for n in range(1, 25)]
SPECIAL = [
    bytes.fromhex("ffffffffffff"),
    bytes.fromhex("01005e000001"),
    bytes.fromhex("0180c2000000"),
    bytes.fromhex("0180c200000f"),
    bytes.fromhex("0180c2000010"),
    bytes.fromhex("000000000000"),
    bytes.fromhex("00e02b000000"),
    bytes.fromhex("01000ccccccc"),
]
TAG_TYPES = (0x8100, 0x8100, 0x8100, 0x88A8, 0x9100)


@dataclass
class World:
    """A network, perhaps with an adapter below it, and frames that come in."""

    network: Network
    adapter: Adapter | None
    frames: Frames
    in_ports: list[int]


def _setting(draw: random.Random, kind: PortKind) -> VlanSetting:
    vid = draw.choice((0, *VIDS))
    allowed = None if draw.random() < 0.3 else frozenset(draw.sample(VIDS, draw.randint(0, 4)))
    if kind is PortKind.UPLINK:
        if allowed is not None and draw.random() < 0.6:
            allowed |= {vid for pair in SECONDARY.values() for vid in pair}
        return VlanSetting(allowed=allowed, untagged=draw.random() < 0.8)
    mode = draw.choices(
        (
            VlanMode.ACCESS,
            VlanMode.TRUNK,
            VlanMode.ISOLATED,
            VlanMode.COMMUNITY,
            VlanMode.PROMISCUOUS,
        ),
        (6, 2, 1, 1, 1),
    )[0]
    if mode is VlanMode.TRUNK:
        pruned = frozenset(draw.sample(VIDS, draw.randint(0, 1)))
        return VlanSetting(mode=mode, vid=vid, allowed=allowed, pruned=pruned)
    if mode is VlanMode.ACCESS:
        return VlanSetting(vid=vid)
    primary = draw.choice(tuple(SECONDARY))
    if mode is VlanMode.PROMISCUOUS:
        return VlanSetting(mode=mode, vid=primary)
    # a secondary VID is either an isolated or a community VLAN, for all its ports
    secondary = SECONDARY[primary][mode is VlanMode.COMMUNITY]
    return VlanSetting(mode=mode, vid=primary, secondary=secondary)


def random_network(draw: random.Random) -> Network:
    """Return a valid hyperv network of up to eight ports."""
    while True:
        ports = []
        if draw.random() < 0.85:
            ports.append(("uplink", PortKind.UPLINK, None))
        if draw.random() < 0.4:
            ports.append(("parent", PortKind.PARENT, draw.choice(MACS)))
        for number in range(draw.randint(1, 6)):
            ports.append((f"vm{number}", PortKind.VM, draw.choice(MACS)))
        made = tuple(
            Port(
                name=name,
                kind=kind,
                mac=mac,
                vlan=_setting(draw, kind),
                mtu=draw.choice(MTUS),
                spoof_guard=draw.random() < 0.8,
                check_source=draw.random() < 0.85,
                connected=draw.random() < 0.9,
                isolated=draw.random() < 0.15,
                keep_priority_tag=draw.random() < 0.15,
                mirror=draw.choice(list(Mirror)) if draw.random() < 0.2 else Mirror.NONE,
                offloads=("lso",) if draw.random() < 0.5 else (),
            )
            for name, kind, mac in ports
        )
        mirror_to = draw.choice(made).name if draw.random() < 0.3 else None
        tpids = draw.choice((None, None, (0x8100, 0x88A8, 0x9100), (0x88A8,)))
        try:
            return Network(ports=made, mirror_to=mirror_to, tpids=tpids)
        except BadInput:  # two vNICs of one address in one VLAN: draw again
            continue


def random_adapter(draw: random.Random, network: Network) -> Adapter | None:
    """Return an adapter whose queues the network's vNICs have asked for, or None."""
    if network.uplink is None or draw.random() < 0.4:
        return None
    adapter = Adapter(
        profile=draw.choice(("r2", "2012")),
        num_queues=draw.randint(1, 6),
        nic_drop_vlan_mismatch=False,
        jumbo_packet=65535,
    )
    give_queues(network, adapter)
    return adapter


def _address(draw: random.Random, network: Network) -> bytes:
    known = [port.mac for port in network.ports if port.mac is not None]
    pick = draw.random()
    if pick < 0.55 and known:
        return draw.choice(known).to_bytes(6, "little")
    if pick < 0.8:
        return draw.choice(MACS).to_bytes(6, "little")
    return draw.choice(SPECIAL)


def random_frame(draw: random.Random, network: Network, in_port: int) -> tuple[bytes, int]:
    """Return the captured bytes and the wire length of one frame."""
    own = network.ports[in_port].mac
    source = _address(draw, network)
    if own is not None and draw.random() < 0.7:
        source = own.to_bytes(6, "little")
    tags = b""
    for _ in range(draw.choices((0, 1, 2), (5, 5, 2))[0]):
        vids = (0, *VIDS, *VIDS, 4095, 101, 102, 201, 202, 7)
        tci = draw.choice((0, 0, 5)) << 13 | draw.randint(0, 1) << 12 | draw.choice(vids)
        tags += draw.choice(TAG_TYPES).to_bytes(2, "big") + tci.to_bytes(2, "big")
    if draw.random() < 0.25:
        return random_segment(draw, _address(draw, network) + source + tags)
    kind = draw.choice((0x0800, 0x0806, 0x0026, 0x05F0)).to_bytes(2, "big")
    head = _address(draw, network) + source + tags + kind
    sizes = (
        60,
        60,
        60,
        64,
        113,
        114,
        115,
        118,
        122,
        1513,
        1514,
        1515,
        1518,
        1519,
        1522,
        9014,
        9018,
    )
    wirelen = max(len(head), draw.choice((*sizes, 9019)))
    captured = min(wirelen, 96)
    if draw.random() < 0.08:
        wirelen = captured = draw.randint(0, 20)
    elif draw.random() < 0.08:
        captured = draw.randint(0, 20)
    return (head + bytes(96))[:captured], wirelen


def random_segment(draw: random.Random, l2: bytes) -> tuple[bytes, int]:
    """Return a TCP packet, of any size and now and then one that no adapter can cut."""
    payload = draw.choice((0, 46, 75, 100, 1448, 1460, 1461, 3000, 3000, 9000, 9000))
    flags = draw.choice((0x10, 0x10, 0x18, 0x18, 0x11, 0x02, 0x04, 0x30))
    tcp = bytes(12) + bytes([draw.choice((0x50, 0x80)), flags]) + bytes(6) + bytes(12 + payload)
    if draw.random() < 0.3:
        ip = b"\x60\0\0\0" + len(tcp).to_bytes(2, "big") + bytes([draw.choice((6, 6, 17)), 64])
        packet = b"\x86\xdd" + ip + bytes(32) + tcp
    else:
        word = draw.choice((0x4000, 0x4000, 0x2000)).to_bytes(2, "big")
        ip = b"\x45\0" + (20 + len(tcp)).to_bytes(2, "big") + b"\0\0" + word + b"\x40\x06"
        packet = b"\x08\0" + ip + bytes(10) + tcp
    frame = l2 + packet
    return frame[: draw.choice((len(frame), len(frame), 60))], len(frame)


def random_world(seed: int, frames: int = 100) -> World:
    """Return the world of a seed."""
    draw = random.Random(seed)
    network = random_network(draw)
    adapter = random_adapter(draw, network)
    in_ports = [draw.randrange(len(network.ports)) for _ in range(frames)]
    if adapter is not None:  # most frames come from the wire
        in_ports = [0 if draw.random() < 0.7 else port for port in in_ports]
    made = [random_frame(draw, network, port) for port in in_ports]
    batch = Frames.from_bytes([data for data, _ in made], wirelen=[size for _, size in made])
    return World(network, adapter, batch, in_ports)


def _learning_setting(draw: random.Random) -> VlanSetting:
    mode = draw.choices(
        (
            VlanMode.ACCESS,
            VlanMode.TRUNK,
            VlanMode.NATIVE_TAGGED,
            VlanMode.NATIVE_UNTAGGED,
            VlanMode.DOT1Q_TUNNEL,
        ),
        (4, 4, 2, 2, 1),
    )[0]
    allowed = (
        None if draw.random() < 0.3 else frozenset(draw.sample((0, *VIDS), draw.randint(0, 5)))
    )
    if mode is VlanMode.TRUNK:
        return VlanSetting(mode=mode, allowed=allowed)
    vid = draw.choice(VIDS)
    if mode is VlanMode.DOT1Q_TUNNEL:
        cvlans = frozenset(draw.sample(VIDS, draw.randint(0, 2)))
        return VlanSetting(
            mode=mode, vid=vid, cvlans=cvlans, tunnel_tpid=draw.choice((0x8100, 0x88A8))
        )
    return VlanSetting(mode=mode, vid=vid, allowed=allowed)


def random_learning_network(draw: random.Random) -> Network:
    """Return a valid learning network of two to eight ports."""
    ports = tuple(
        Port(
            name=f"p{number}",
            vlan=_learning_setting(draw),
            mtu=draw.choice(MTUS),
            connected=draw.random() < 0.95,
            isolated=draw.random() < 0.2,
            keep_priority_tag=draw.random() < 0.2,
            mirror=draw.choice(list(Mirror)) if draw.random() < 0.2 else Mirror.NONE,
        )
        for number in range(draw.randint(2, 8))
    )
    pinned = draw.sample(MACS, draw.randint(0, 2))
    return Network(
        ports=ports,
        dialect=Dialect.LEARNING,
        tpids=draw.choice((None, None, (0x8100, 0x88A8, 0x9100), (0x88A8, 0x8100))),
        mirror_to=draw.choice(ports).name if draw.random() < 0.3 else None,
        fdb_size=draw.choice((10, 8192)),
        ageing_s=draw.choice((300, 0.001)),
        static=tuple(
            StaticEntry(port=draw.choice(ports).name, mac=mac, vlan=draw.choice((0, *VIDS)))
            for mac in pinned
        ),
    )


def random_learning_world(seed: int, frames: int = 100) -> World:
    """Return a learning world: frames with times that mostly, not always, go forward."""
    draw = random.Random(seed)
    network = random_learning_network(draw)
    in_ports = [draw.randrange(len(network.ports)) for _ in range(frames)]
    made = [random_frame(draw, network, port) for port in in_ports]
    now, times = 0, []
    for _ in made:
        now = max(0, now + draw.randint(-20_000, 100_000))
        times.append(now)
    batch = Frames.from_bytes(
        [data for data, _ in made], wirelen=[size for _, size in made], ts_ns=times
    )
    return World(network, None, batch, in_ports)
