"""What a frame's receiver has to do, and which way a frame takes: kernels against plain twins."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from worlds import random_world

import pcaps
from pcaps.frames import Frames
from vswitch.engine import Engine
from vswitch.host import Host
from vswitch.host_profiles import HOSTS
from vswitch.ports import Network, Port, PortKind
from vswitch.tables import compile_image
from vswitch.timed import columns_of
from vswitch.transport_kernel import T_BARE, T_DATA, T_OTHER, TRANSPORTS, loads_of
from vswitch.verdict import Verdict
from vswitch.ways_kernel import ON_BOARD, PUSHED, WAY_BITS
from vswitch.ways_reference import Load, load, way
from vswitch.words_kernel import PLACED

IMAGE = compile_image(Network(ports=(Port(name="uplink", kind=PortKind.UPLINK),)), [])
TPIDS = (0x8100,)
WORLDS = 10 if numba.config.DISABLE_JIT else 200


def loads(frames: Frames):
    padded = frames.with_padding()
    found = np.zeros(len(frames), np.uint32)
    loads_of(padded.data, padded.start, padded.caplen, padded.wirelen, IMAGE, found)
    return found.tolist()


def load_of(packet):
    frames = Frames.from_scapy(packet)
    (word,) = loads(frames)
    plain = load(frames[0].data, frames[0].wirelen, TPIDS)
    assert word == plain.word
    return plain


ETHER = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
SEGMENT = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(flags="A")


def test_tcp_with_and_without_payload():
    assert load_of(ETHER / SEGMENT / bytes(100)) == Load(T_DATA, 100)
    assert load_of(ETHER / SEGMENT) == Load(T_BARE)


def test_padding_of_a_short_frame_is_no_payload():
    assert load_of(ETHER / SEGMENT / b"x" / bytes(0)) == Load(T_DATA, 1)
    raw = bytes(ETHER / SEGMENT)
    assert load_of(Ether(raw + bytes(60 - len(raw)))) == Load(T_BARE)


def test_push_is_seen():
    pushed = IP() / TCP(flags="PA") / b"request"
    assert load_of(ETHER / pushed) == Load(T_DATA, 7, True)


def test_options_of_ip_and_tcp_are_no_payload():
    packet = IP(options=[b"\x94\x04\0\0"]) / TCP(options=[("Timestamp", (1, 2))]) / bytes(50)
    assert load_of(ETHER / packet) == Load(T_DATA, 50)


@pytest.mark.parametrize("tags", [1, 2])
def test_tags_are_skipped(tags):
    packet = ETHER
    for vid in range(tags):
        packet = packet / Dot1Q(vlan=10 + vid)
    assert load_of(packet / SEGMENT / bytes(9)) == Load(T_DATA, 9)


def test_ipv6_tcp_and_udp():
    assert load_of(ETHER / IPv6() / TCP() / bytes(30)) == Load(T_DATA, 30)
    assert load_of(ETHER / IP() / UDP() / bytes(40)) == Load(T_OTHER, 40)
    assert load_of(ETHER / IPv6() / UDP() / bytes(40)) == Load(T_OTHER, 40)


def test_a_fragment_has_no_tcp_header():
    assert load_of(ETHER / IP(flags="MF") / TCP() / bytes(40)).transport == T_OTHER
    assert load_of(ETHER / IP(frag=100, proto=6) / bytes(40)).transport == T_OTHER


def test_what_is_not_ip_has_no_payload():
    assert load_of(ETHER / ARP()) == Load(T_OTHER)


def test_a_large_send_without_total_length_counts_to_the_end_of_the_frame():
    packet = ETHER / IP(len=0) / TCP() / bytes(3000)
    assert load_of(packet) == Load(T_DATA, 3000)


def test_a_cut_capture_counts_what_was_on_the_wire():
    whole = bytes(ETHER / SEGMENT / bytes(1000))
    cut = Frames.from_bytes([whole[:60]], wirelen=[len(whole)])
    assert loads(cut) == [Load(T_DATA, 1000).word]


@given(st.lists(st.tuples(st.binary(max_size=120), st.integers(0, 3000)), min_size=1, max_size=20))
def test_any_bytes_have_the_load_of_the_plain_twin(made):
    frames = Frames.from_bytes([data for data, _ in made],
                               wirelen=[max(len(data), more) for data, more in made])  # fmt: skip
    for frame, word in zip(frames, loads(frames), strict=True):
        # a frame is followed by the next one, not by zeros: what is read behind it never counts
        if len(frame.data) >= 54:
            assert word == load(frame.data, frame.wirelen, TPIDS).word
        assert word >> 8 <= max(frame.wirelen, 14)


@given(st.data())
def test_near_ip_bytes_have_the_load_of_the_plain_twin(data):
    packet = data.draw(st.sampled_from([
        ETHER / SEGMENT / bytes(30), ETHER / IPv6() / TCP() / bytes(30),
        ETHER / Dot1Q(vlan=3) / SEGMENT / bytes(8), ETHER / IP() / UDP() / bytes(30),
    ]))  # fmt: skip
    raw = bytearray(bytes(packet))
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(12, len(raw) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(54, len(raw)))
    frames = Frames.from_bytes([bytes(raw[:kept])], wirelen=[len(raw)])
    assert loads(frames) == [load(bytes(raw[:kept]), len(raw), TPIDS).word]


def test_real_captures_have_the_loads_of_the_plain_twin(captures):
    for name in ("11_kitchen_sink_ts_backwards.pcap", "17_real_lan_mix_488_tcp.pcap",
                 "32_ipv6_fragments_vlan.pcap", "15_tso_superframes_ssh.pcap"):  # fmt: skip
        seen = 0
        for frames in pcaps.open(captures / name, limit=300 if numba.config.DISABLE_JIT else None):
            for frame, word in zip(frames, loads(frames), strict=True):
                if len(frame.data) >= 54:
                    assert word == load(frame.data, frame.wirelen, TPIDS).word
                seen += word & 3 == T_DATA
        assert seen > 0 or name.startswith("32")


def hosts_of(world):
    for name in ["r2"] if world.adapter is None else ["r2-vmq", "2012"]:
        yield Host(HOSTS[name], world.network, world.adapter)


@pytest.mark.parametrize("part", range(2))
def test_ways_are_those_of_the_plain_twin_on_random_switches(part):
    seen, draw = set(), np.random.default_rng(part)
    for seed in range(part, WORLDS, 2):
        world = random_world(seed)
        in_ports = np.array(world.in_ports, np.uint16)
        decided = Engine(world.network, world.adapter).decide(world.frames, in_ports, loads=True)
        for host in hosts_of(world):
            taken = draw.integers(0, 2, len(decided.words)).astype(np.uint8)
            columns = columns_of(host, decided, taken)
            for number, word in enumerate(decided.words.tolist()):
                verdict, low = Verdict(word >> 16 & 3), word & 0xFFFF
                if verdict is Verdict.DROPPED and low & 63 >= 40:
                    assert columns.ways[number] == ON_BOARD
                    continue
                found, transport = divmod(int(columns.ways[number]) & WAY_BITS, TRANSPORTS)
                kind = int(columns.loads[number]) & 3 if verdict is Verdict.UNICAST else T_OTHER
                assert transport == kind
                assert found == way(
                    host,
                    world.in_ports[number],
                    verdict,
                    low,
                    bool(word & PLACED),
                    bool(taken[number]),
                )
                assert bool(columns.ways[number] & PUSHED) <= (kind != T_OTHER)
                seen.add(found)
                seat = low if verdict is Verdict.UNICAST else -1
                assert columns.seats[number] == seat
                if world.network.ports[world.in_ports[number]].kind is not PortKind.UPLINK:
                    assert columns.queues[number] == host.send_queue
    assert len(seen) >= 8


def test_a_frame_that_is_dropped_in_a_vm_queue_has_used_that_queue():
    """Placed by the adapter, then dropped by the switch: the ring was that of the VM."""
    from nic.adapter import Adapter
    from vswitch.ports import VlanSetting
    from vswitch.queues import give_queues

    vm = Port(name="vm", mac=0x010000000002, vlan=VlanSetting(vid=10), connected=False)
    net = Network(ports=(Port(name="uplink", kind=PortKind.UPLINK), vm))
    adapter = Adapter(num_queues=2)
    give_queues(net, adapter)
    frame = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / Dot1Q(vlan=10) / SEGMENT
    decided = Engine(net, adapter).decide(
        Frames.from_scapy(frame), np.zeros(1, np.uint16), loads=True
    )
    columns = columns_of(Host(HOSTS["r2-vmq"], net, adapter), decided)
    assert columns.queues.tolist() == [1]


def test_copies_of_a_flood_are_listed_with_the_way_of_each():
    ports = (
        Port(name="uplink", kind=PortKind.UPLINK),
        Port(name="vm1", mac=0x010000000002),
        Port(name="parent", kind=PortKind.PARENT, mac=0x020000000002),
        Port(name="vm2", mac=0x030000000002),
    )
    net = Network(ports=ports)
    frames = Frames.from_scapy(
        [Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:09") / ARP(),
         Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:09") / SEGMENT,
         Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:01") / ARP()]
    )  # fmt: skip
    decided = Engine(net).decide(frames, np.array([0, 0, 1], np.uint16), loads=True)
    columns = columns_of(Host(HOSTS["r2"], net), decided)
    from vswitch.ways import WAYS

    listed = [
        (frame, WAYS[way // TRANSPORTS].name, ports[seat].name)
        for frame, way, seat in zip(
            columns.copy_frame.tolist(), columns.copy_way.tolist(), columns.copy_seat.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    assert listed == [
        (0, "flood-copy", "vm1"), (0, "flood-copy-parent", "parent"), (0, "flood-copy", "vm2"),
        (2, "flood-copy-away", "uplink"), (2, "flood-copy-parent", "parent"),
        (2, "flood-copy", "vm2"),
    ]  # fmt: skip
