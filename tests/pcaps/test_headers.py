"""Header columns and checksums: equal to their twins, to scapy, and to independent tools."""

import random

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1Q, Dot3, Ether

import pcaps
from pcaps.addresses import key_to_mac, mac_to_key
from pcaps.checksums import BAD, GOOD, NOT_THERE, ZERO, internet_checksum, verify_checksums
from pcaps.frames import Frames
from pcaps.headers import ABSENT, parse_headers
from pcaps.reference import checksum_states, header_columns

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
ETHER = Ether(dst=A, src=B)
PACKETS = {
    "tcp": ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=80, dport=1025, flags="SA", seq=2**31 + 6) / b"hello",
    "tcp-options": ETHER / IP(options=[]) / TCP(options=[("MSS", 1460), ("SAckOK", b"")]) / b"x",
    "udp": ETHER / IP() / UDP(sport=53, dport=53) / b"abc",
    "udp-without-sum": ETHER / IP() / UDP(chksum=0) / b"abc",
    "icmp": ETHER / IP() / ICMP(),
    "vlan": ETHER / Dot1Q(vlan=20, prio=5) / IP() / TCP() / b"odd",
    "qinq": Ether(dst=A, src=B, type=0x88A8) / Dot1Q(vlan=100, type=0x8100) / Dot1Q(vlan=20) / IP() / UDP(),
    "three-tags": ETHER / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / ARP(),
    "ipv6": ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(dport=443) / b"six",
    "arp": ETHER / ARP(),
    "llc": Dot3(dst=A, src=B) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / b"stp",
    "snap": Dot3(dst=A, src=B) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(code=0x0800) / IP() / UDP(),
    "first-fragment": ETHER / IP(flags="MF") / UDP() / bytes(24),
    "later-fragment": ETHER / IP(frag=100) / bytes(24),
}  # fmt: skip


def parsed(*frames):
    return parse_headers(Frames.from_bytes([bytes(frame) for frame in frames]))


@pytest.mark.parametrize("name", PACKETS)
def test_kernel_equals_twin_whole_and_cut_at_every_byte(name):
    raw = bytes(PACKETS[name])
    batch = Frames.from_bytes([raw[:n] for n in range(len(raw) + 1)])
    columns = parse_headers(batch).raw.T.tolist()
    states = verify_checksums(batch)
    for n, (row, start) in enumerate(zip(columns, batch.start.tolist(), strict=True)):
        assert row == header_columns(raw[:n], start), n
        assert (states.ip[n], states.transport[n]) == checksum_states(raw[:n]), n


def test_fields_of_a_tcp_segment():
    headers = parsed(PACKETS["tcp"])
    assert key_to_mac(headers.destination[0]) == A
    assert key_to_mac(headers.source[0]) == B
    assert (headers.source_port[0], headers.destination_port[0]) == (80, 1025)
    assert headers.sequence[0] == 2**31 + 6
    assert headers.tcp_flags[0] == 0x12
    assert headers.payload_bytes[0] == 5
    assert headers.outer_vid[0] == -1
    assert headers.source_ip[1][0] == 0x0A000001


def test_fields_of_tags():
    headers = parsed(PACKETS["vlan"], PACKETS["qinq"], PACKETS["three-tags"], PACKETS["arp"])
    assert headers.tags.tolist() == [1, 2, 3, 0]
    assert headers.outer_tpid.tolist() == [0x8100, 0x88A8, 0x8100, -1]
    assert headers.outer_vid.tolist() == [20, 100, 1, -1]
    assert headers.outer_pcp.tolist() == [5, 0, 0, -1]
    assert headers.outer_dei.tolist() == [0, 0, 0, -1]
    assert headers.inner_vid.tolist() == [-1, 20, 2, -1]
    assert headers.inner_tpid.tolist() == [-1, 0x8100, 0x8100, -1]
    assert headers.ethertype.tolist() == [0x0800, 0x0800, 0x0806, 0x0806]


def test_fields_of_llc_and_snap():
    headers = parsed(PACKETS["llc"], PACKETS["snap"])
    assert headers.ethertype[0] < 0x600
    assert headers.ethertype[1] == 0x0800
    assert headers.protocol.tolist() == [-1, 17]


def test_fields_of_fragments():
    headers = parsed(PACKETS["first-fragment"], PACKETS["later-fragment"], PACKETS["udp"])
    assert headers.fragment.tolist() == [1, 1, 0]
    assert (headers.l4_offset >= 0).tolist() == [True, False, True]


def test_offsets_count_in_the_buffer_of_the_batch():
    batch = Frames.from_bytes([bytes(PACKETS["arp"]), bytes(PACKETS["tcp"])])
    bare = Frames(batch.data[: batch.start[1] + batch.caplen[1]], batch.start, batch.caplen,
                  batch.wirelen, batch.ts_ns, batch.interface)  # fmt: skip
    assert not bare.padded
    offset = int(parse_headers(bare).payload_offset[1])
    assert bare.data[offset : offset + 5].tobytes() == b"hello"


def test_checksum_states():
    good = [
        bytes(PACKETS[name]) for name in ("tcp", "udp", "udp-without-sum", "ipv6", "arp", "vlan")
    ]
    bad = bytearray(good[0])
    bad[-1] ^= 1
    header = bytearray(good[0])
    header[14 + 8] ^= 1
    states = verify_checksums(Frames.from_bytes([*good, bytes(bad), bytes(header)]))
    assert states.ip.tolist() == [GOOD, GOOD, GOOD, NOT_THERE, NOT_THERE, GOOD, GOOD, BAD]
    assert states.transport.tolist() == [GOOD, GOOD, ZERO, GOOD, NOT_THERE, GOOD, BAD, GOOD]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 19, 20, 1480])
def test_internet_checksum_makes_the_sum_vanish(length):
    data = random.Random(length).randbytes(length)
    total = internet_checksum(data)
    padded = data + b"\0" * (length % 2)
    assert internet_checksum(padded + total.to_bytes(2, "big")) == 0


@pytest.mark.parametrize("seed", range(5))
def test_kernel_equals_twin_on_mutated_packets(seed):
    draw = random.Random(seed)
    frames = []
    for _ in range(300):
        raw = bytearray(bytes(draw.choice(list(PACKETS.values()))))
        for _ in range(draw.randint(0, 4)):
            raw[draw.randrange(12, len(raw))] = draw.choice((0, 1, 6, 17, 44, 51, 0x45, 0x60, 255))
        frames.append(bytes(raw[: draw.randint(0, len(raw))]))
    batch = Frames.from_bytes(frames)
    rows, states = parse_headers(batch).raw.T.tolist(), verify_checksums(batch)
    for n, frame in enumerate(frames):
        assert rows[n] == header_columns(frame, int(batch.start[n]))
        assert (states.ip[n], states.transport[n]) == checksum_states(frame)


def test_real_captures_have_the_vlans_and_addresses_that_independent_tools_saw(captures, manifest):
    compared = 0
    for entry in manifest:
        if not entry["vlan_dst"]:
            continue
        found = {}
        with pcaps.open(captures / entry["file"]) as capture:
            for frames in capture:
                headers = parse_headers(frames)
                keys = zip(headers.outer_vid.tolist(), headers.outer_tpid.tolist(),
                           headers.destination.tolist(), frames.wirelen.tolist(), strict=True)  # fmt: skip
                for vid, tpid, mac, size in keys:
                    row = found.setdefault((vid, tpid, mac), [0, 0])
                    row[0] += 1
                    row[1] += size
        wanted = {
            (-1 if vid is None else vid, -1 if tpid is None else int(tpid, 16), mac_to_key(mac)): [
                n,
                size,
            ]
            for vid, tpid, mac, n, size in entry["vlan_dst"]
            if mac is not None  # frames too short to have an address
        }
        found.pop((-1, -1, ABSENT), None)
        assert found == wanted, entry["file"]
        compared += 1
    assert compared >= 30


def test_real_captures_have_the_frames_and_bytes_that_independent_tools_saw(captures, manifest):
    for entry in manifest:
        if entry["file"].startswith("35_"):
            with pytest.raises(pcaps.BadInput, match="Linux cooked v2"):
                pcaps.open(captures / entry["file"])
            continue
        with pcaps.open(captures / entry["file"]) as capture:
            sizes = np.array([len(frames) for frames in capture])
        assert sizes.sum() == capture.frames == entry["ethernet_frames"]
        if not capture.skipped:  # the tools' bytes are those of all link types
            assert capture.bytes_wire == entry["bytes_wire"]
            assert capture.bytes_captured == entry["bytes_captured"]
        assert (capture.damage is not None) == entry["file"].startswith(("27", "28", "29"))
