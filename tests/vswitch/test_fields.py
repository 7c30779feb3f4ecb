"""Frames written as key=value words."""

from __future__ import annotations

import pytest

from pcaps.errors import BadInput
from vswitch.fields import FIELDS, UNKNOWN_SOURCE, frame_from_fields
from vswitch.ports import Network, Port, PortKind

NETWORK = Network(
    ports=(
        Port(name="uplink", kind=PortKind.UPLINK),
        Port(name="vm1", mac="02:00:00:00:00:01"),
        Port(name="vm2", mac="02:00:00:00:00:02"),
    )
)


def test_defaults_are_a_broadcast_by_the_uplink() -> None:
    port, frame = frame_from_fields("", NETWORK)
    source = bytes.fromhex(UNKNOWN_SOURCE.replace(":", ""))
    assert port == "uplink"
    assert frame.data == (b"\xff" * 6 + source + b"\x08\x00").ljust(60, b"\0")


def test_ports_may_be_named_as_addresses() -> None:
    port, frame = frame_from_fields("in=vm1 dst=vm2", NETWORK)
    assert port == "vm1"
    assert frame.data[:12].hex() == "020000000002020000000001"


def test_tags_length_type_and_time() -> None:
    text = "dst=02:00:00:00:00:09 src=vm2 vlan=20 pcp=5 dei=1 tpid=0x88a8 inner=7 type=0x0806"
    _, frame = frame_from_fields(text + " len=1500 time=9", NETWORK)
    assert frame.data[12:22].hex() == "88a8b014" + "81000007" + "0806"
    assert (len(frame.data), frame.wirelen, frame.ts_ns) == (1500, 1500, 9)


def test_priority_alone_makes_a_priority_tag() -> None:
    assert frame_from_fields("pcp=3", NETWORK)[1].data[12:16].hex() == "81006000"


def test_a_length_below_the_header_cuts_it() -> None:
    assert len(frame_from_fields("len=9", NETWORK)[1].data) == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vlan", "write key=value"),
        ("vlan=", "write key=value"),
        ("vlna=3", "did you mean vlan"),
        ("zzz=3", "there are in, dst"),
        ("vlan=1 vlan=2", "comes twice"),
        ("vlan=4096", "use 0 to 4095"),
        ("pcp=x", "not a number"),
        ("dst=nobody", "neither an address"),
        ("src=uplink", "has no own address"),
        ("in=nobody", "no port 'nobody'"),
        ("len=999999999", "out of range"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        frame_from_fields(text, NETWORK)


def test_every_field_is_documented_with_its_default() -> None:
    assert all(";" in text for text in FIELDS.values())
