"""Stations of captures: counted from the mapped file as from batches, whatever the table's size."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest

import pcaps
from pcaps import samples
from pcaps.errors import BadInput
from vswitch.selfmade import StationTable, network_of, stations


def write(path: Path, seed: int, *, order: str = "<", destinations: int, damaged: bool) -> Counter:
    """Write random frames; return the frames by (VLAN, destination) that are to be found."""
    draw = random.Random(seed)
    expected: Counter = Counter()
    out = [struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for number in range(3 * destinations):
        mac = bytes([draw.choice((0, 0, 0, 1)), 0, 0]) + draw.randrange(destinations).to_bytes(
            3, "big"
        )
        vid, tpid = draw.choice((None, 0, 7, 4095)), draw.choice((0x8100, 0x88A8, 0x9100, 0x9200))
        tag = b"" if vid is None else struct.pack(">HH", tpid, vid)
        frame = (mac + bytes(6) + tag + b"\x08\x00").ljust(60, b"\0")
        frame = frame[: draw.choice((60, 60, 60, 18, 17, 14, 13, 0))]
        known = tpid != 0x9200 and vid is not None
        whole = len(frame) >= (18 if known else 14)
        if whole and not mac[0] & 1 and not (known and vid == 4095):
            expected[(vid or 0) if known else 0, int.from_bytes(mac, "little")] += 1
        out.append(struct.pack(order + "IIII", number, 0, len(frame), 60) + frame)
    if damaged:
        out.append(struct.pack(order + "IIII", 0, 0, 1 << 31, 60) + bytes(500))
    path.write_bytes(b"".join(out))
    return expected


@pytest.mark.parametrize("destinations", [3, 300, 5000])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("damaged", [False, True])
def test_mapped_records_and_batches_give_the_stations_that_are_there(
    destinations: int, order: str, damaged: bool, tmp_path: Path
) -> None:
    path = tmp_path / "c.pcap"
    expected = write(path, 1, order=order, destinations=destinations, damaged=damaged)
    mapped = stations([pcaps.open(path)])
    batches = stations([pcaps.open(path, limit=10**9)])  # a limit keeps walks from outside away
    assert mapped == batches
    assert {(one.vlan, one.mac): one.frames for one in mapped} == expected


def test_frames_are_counted_for_a_second_pass(tmp_path: Path) -> None:
    path = tmp_path / "c.pcap"
    write(path, 2, destinations=100, damaged=True)
    capture = pcaps.open(path)
    StationTable().add(capture)
    assert (capture.frames, capture.damage is not None) == (300, True)


def test_busiest_come_first_and_equal_ones_in_order_of_appearance() -> None:
    found = stations([pcaps.open(samples.path("office"))])
    assert [one.frames for one in found] == sorted((one.frames for one in found), reverse=True)
    network = network_of(found)
    assert [port.mac for port in network.ports[1:]] == [one.mac for one in found]


def test_more_stations_than_a_switch_has_ports_are_refused() -> None:
    one = stations([pcaps.open(samples.path("office"))])[0]
    with pytest.raises(BadInput, match="at most 65534 ports"):
        network_of([one] * 65534)
