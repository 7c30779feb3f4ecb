"""Receive side scaling: the published vectors, the rules of the hash types, and the plain twin."""

import json
import os
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tcp_frames import HOP_BY_HOP, SIX, Segment, frames

from nic.rss import DEFAULT_KEY, DEFAULT_TYPES, HashType, Rss, hash_types
from nic.rss_reference import hash_frame, toeplitz
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.cli import vswitch

ROOT = Path(__file__).resolve().parents[2]
FACTS = Path(os.environ.get("VSWITCH_FACTS", ROOT.parent / "shared" / "facts"))
VECTORS = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
    ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024,
     0x4B61E985, 0x02D1FEEF),
]  # fmt: skip
"""Published with the hash: source, port, destination, port, hash of addresses, with ports."""


def frame_of(source, source_port, destination, destination_port, **facts):
    ends = {"source": ip_address(source).packed, "destination": ip_address(destination).packed}
    return Segment(**ends, ports=(source_port, destination_port), **facts).frame


def spread(*frames, queues=8, **settings):
    return Rss.over(queues, **settings).spread(Frames.from_bytes(frames))


def test_published_vectors_of_addresses_and_ports():
    found = spread(*(frame_of(*row[:4]) for row in VECTORS))
    assert found.hash.tolist() == [row[5] for row in VECTORS]
    assert {HashType(t) for t in found.type} == {HashType.TCP_IPV4, HashType.TCP_IPV6}


def test_published_vectors_of_addresses_alone():
    types = HashType.IPV4 | HashType.IPV6
    found = spread(*(frame_of(*row[:4]) for row in VECTORS), types=types)
    assert found.hash.tolist() == [row[4] for row in VECTORS]


def test_published_vectors_by_the_slow_twin_and_for_one_pair():
    for source, port, destination, to_port, alone, with_ports in VECTORS:
        ends = ip_address(source), ip_address(destination)
        data = ends[0].packed + ends[1].packed
        ports = port.to_bytes(2, "big") + to_port.to_bytes(2, "big")
        assert toeplitz(DEFAULT_KEY, data) == alone
        assert toeplitz(DEFAULT_KEY, data + ports) == with_ports
        assert Rss.over(4).hash_of(*ends) == alone
        assert Rss.over(4).hash_of(*ends, (port, to_port)) == with_ports


def test_vectors_are_those_of_the_table_of_facts():
    path = FACTS / "nic-switch" / "rss_vectors.json"
    if not path.exists():
        pytest.skip(f"no table of facts at {path}")
    facts = json.loads(path.read_text())
    assert bytes.fromhex(facts["key_hex"]) == DEFAULT_KEY
    wanted = [
        (row["src"], row["sport"], row["dst"], row["dport"], int(row["hash_ip"], 16),
         int(row["hash_tcp"], 16))
        for row in (*facts["ipv4"], *facts["ipv6"])
    ]  # fmt: skip
    assert wanted == VECTORS


@given(
    st.lists(frames(), min_size=1, max_size=20),
    st.integers(0, 63),
    st.binary(min_size=40, max_size=40),
)
def test_kernel_equals_the_plain_twin(several, types, key):
    found = Rss.over(8, key=key, types=HashType(types)).spread(Frames.from_bytes(several))
    wanted = [hash_frame(frame, key, types) for frame in several]
    assert list(zip(found.hash.tolist(), found.type.tolist(), strict=True)) == wanted


def test_entry_of_the_table_chooses_the_queue():
    settings = Rss(np.arange(128, dtype=np.uint16)[::-1].copy())
    found = settings.spread(Frames.from_bytes([frame_of(*row[:4]) for row in VECTORS]))
    assert found.queue.tolist() == [127 - (row[5] & 127) for row in VECTORS]
    assert [settings.queue_of(row[5]) for row in VECTORS] == found.queue.tolist()


def test_fragments_go_by_their_addresses_the_first_one_too():
    whole, first, later = (Segment(fragment=word).frame for word in (0x4000, 0x2000, 100))
    found = spread(whole, first, later)
    assert [HashType(t) for t in found.type] == [HashType.TCP_IPV4, HashType.IPV4, HashType.IPV4]
    assert found.hash[1] == found.hash[2] != found.hash[0]


def test_udp_goes_by_addresses_unless_its_type_is_allowed():
    frame = Segment(protocol=17).frame
    assert HashType(spread(frame).type[0]) is HashType.IPV4
    asked = DEFAULT_TYPES | HashType.UDP_IPV4
    assert HashType(spread(frame, types=asked).type[0]) is HashType.UDP_IPV4


def test_type_that_is_not_allowed_means_no_hash_and_the_default_queue():
    udp, six, arp = (
        Segment(protocol=17).frame,
        Segment(**SIX).frame,
        bytes(12) + b"\x08\x06" + bytes(28),
    )
    found = spread(udp, six, arp, types=HashType.TCP_IPV4)
    assert (found.hash.tolist(), found.queue.tolist()) == ([0, 0, 0], [0, 0, 0])


def test_ip_options_and_extension_headers_and_tags_are_skipped():
    plain = Segment()
    hashes = spread(
        plain.frame, plain.but(ip_options=bytes(8)).frame, plain.but(tags=((0x8100, 5),)).frame,
        plain.but(**SIX).frame, plain.but(**SIX, ip_options=HOP_BY_HOP).frame,
    ).hash  # fmt: skip
    assert hashes[0] == hashes[1] == hashes[2]
    assert hashes[3] == hashes[4]


def test_empty_batch():
    assert spread().queue.tolist() == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"queues": 0}, "0 queues"),
        ({"queues": 9, "size": 8}, "9 queues"),
        ({"queues": 3, "size": 12}, "power of two"),
        ({"queues": 3, "size": 256}, "power of two up to 128"),
        ({"queues": 3, "key": b"short"}, "5 bytes"),
    ],
)
def test_settings_that_do_not_fit(settings, what):
    with pytest.raises(BadInput, match=what):
        Rss.over(**settings)


def test_unknown_hash_type():
    assert hash_types(["ipv4", "tcp-ipv6"]) == HashType.IPV4 | HashType.TCP_IPV6
    with pytest.raises(BadInput, match="tcp-ipv5"):
        hash_types(["tcp-ipv5"])
    with pytest.raises(BadInput, match="one IP version"):
        Rss.over(2).hash_of(ip_address("10.0.0.1"), ip_address("::1"))


def ask(*words):
    return CliRunner().invoke(vswitch, ["nic", "rss", *words])


def test_command_for_one_connection():
    done = ask("--src", "66.9.149.187:2794", "--dst", "161.142.100.80:1766", "--json")
    assert [row["hash"] for row in json.loads(done.output)["hashes"]] == [
        "0x323e8fc2",
        "0x51ccc178",
    ]
    done = ask("--src", "[3ffe:2501:200:1fff::7]:2794", "--dst", "[3ffe:2501:200:3::1]:1766")
    assert "0x40207d3d" in done.output
    assert (
        "0x2cc18cd5" in ask("--src", "3ffe:2501:200:1fff::7", "--dst", "3ffe:2501:200:3::1").output
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--src", "10.0.0.1"),
        ("--src", "10.0.0.1", "--dst", "here"),
        ("--src", "10.0.0.1:80", "--dst", "10.0.0.2"),
        ("--src", "10.0.0.1:80", "--dst", "10.0.0.2:99999"),
        ("--src", "10.0.0.1", "--dst", "10.0.0.2", "--key", "xyz"),
        ("x.pcap", "--src", "10.0.0.1"),
    ],
)
def test_command_refuses(words):
    assert isinstance(ask(*words).exception, BadInput)


def test_command_on_captures_counts_every_frame(captures):
    path = captures / "17_real_lan_mix_488_tcp.pcap"
    answer = json.loads(ask(str(path), "--queues", "8", "--json").output)
    assert sum(row["frames"] for row in answer["queues"]) == answer["frames"] == 7133
    assert sum(row["bytes_wire"] for row in answer["queues"]) == 1249281
    assert sum(answer["types"].values()) == 7133
    assert "queue 7" in ask(str(path), "--queues", "8", "--limit", "1000").output
