"""Frames built from log rows: kernel and plain twin agree, and other programs read them."""

from __future__ import annotations

import numpy as np
import pytest

from migration.path_kernel import AT_CLIENT, AT_VM, LOG, option_bytes
from migration.tcp.state_kernel import ACK, FIN, PSH, RST, SYN
from migration.wire_kernel import END, LONGEST_RECORD, Source, build
from migration.wire_reference import slow_frame
from pcaps.blueprint import PERIOD, text
from pcaps.checksums import GOOD, NOT_THERE, verify_checksums
from pcaps.frames import PAD, Frames
from tests.conftest import JIT_OFF

ROWS = 40 if JIT_OFF else 600


def as_dict(record: np.record) -> dict:
    return {
        name: record[name].tolist() if record[name].ndim else record[name].item()
        for name in record.dtype.names
    }


def two_ends(draw: np.random.Generator, first: bytes = b"", second: bytes = b"") -> tuple:
    """A client outside and a server in the VM, with headers that differ by a tag inside."""
    outside = bytes.fromhex("00155d000001020000000001") + bytes.fromhex("8100000a")
    inside = bytes.fromhex("00155d000001020000000001")
    version = int(draw.choice([4, 6]))
    kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
    heads = [outside + kind, inside + kind]
    heads += [head[6:12] + head[:6] + head[12:] for head in heads]
    ends = np.zeros(2, END)
    for x in range(2):
        for place in range(2):
            ends[x]["head"][place] = 64 * (2 * x + place)
            ends[x]["head_bytes"][place] = len(heads[2 * x + place])
        raw = draw.bytes(16) if version == 6 else draw.bytes(4) + bytes(12)
        ends[x]["ip"] = np.frombuffer(raw, "<u8")
        ends[x]["port"], ends[x]["ttl"] = draw.integers(1, 1 << 16), draw.integers(1, 256)
        ends[x]["isn"], ends[x]["ts_first"] = draw.integers(0, 1 << 32, 2)
        ends[x]["version"], ends[x]["vm"] = version, x
        ends[x]["scale_early"] = draw.integers(0, 2)
    if first:
        ends[0]["size"], ends[1]["size"] = len(first), len(second)
        ends[1]["first"] = len(first)
    else:
        ends["period"], ends["first"] = PERIOD, draw.integers(0, PERIOD, 2)
    headers = b"".join(head.ljust(64, b"\0") for head in heads)
    source = Source(
        np.frombuffer(headers, np.uint8),
        np.frombuffer(first + second + bytes(PAD), np.uint8),
        text(),
    )
    for array in source:
        array.flags.writeable = False
    return ends, source


def random_rows(draw: np.random.Generator, n: int) -> np.ndarray:
    rows = np.zeros(n, LOG)
    rows["number"] = draw.integers(1, 1 << 40, n)
    rows["seq"] = draw.choice([0, 1, 2, 1000, 2990, 1 << 33], n)
    rows["ack"] = draw.integers(0, 1 << 34, n)
    rows["tsval"] = draw.choice([-1, 0, 5, 1 << 32], n)
    rows["tsecr"] = draw.choice([0, 7, 1 << 33], n)
    rows["sack"] = draw.integers(0, 1 << 34, (n, 4, 2))
    rows["size"] = draw.choice([0, 0, 1, 2, 3, 5, 536, 1448, 1460, 8960], n)
    rows["window"] = draw.integers(0, 1 << 16, n)
    rows["sender"] = draw.integers(0, 2, n)
    rows["mss"] = draw.choice([0, 1460, 65495], n)
    rows["scale"] = draw.choice([-1, 0, 7, 14], n)
    rows["sack_ok"] = draw.integers(0, 2, n)
    rows["blocks"] = np.where(rows["tsval"] < 0, draw.integers(0, 5, n), draw.integers(0, 4, n))
    rows["flags"] = draw.choice([ACK, ACK | PSH, SYN, SYN | ACK, FIN | ACK, RST], n)
    rows["where"] = draw.integers(AT_CLIENT, AT_VM + 1, n)
    # what fits the 40 bytes of options is what segments have
    crowded = (rows["flags"] & SYN == 0) | (rows["blocks"] > 0)
    rows["mss"][crowded], rows["scale"][crowded] = 0, -1
    rows["sack_ok"][crowded] = 0
    return rows


def built(rows: np.ndarray, ends: np.ndarray, source: Source, room: int = 4 * LONGEST_RECORD):
    out = np.full(room, 0xEE, np.uint8)
    start, length = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.uint32)
    frames, cursor = [], 0
    while cursor < len(rows):
        after = int(build(rows, cursor, ends, source, out, start, length))
        frames += [out[start[k] : start[k] + length[k]].tobytes() for k in range(after - cursor)]
        assert after > cursor
        cursor = after
    return frames


@pytest.mark.parametrize("seed", range(6))
def test_kernel_and_twin_build_the_same_frames(seed):
    draw = np.random.default_rng(seed)
    streams = (draw.bytes(3000), draw.bytes(1000)) if seed % 2 else (b"", b"")
    ends, source = two_ends(draw, *streams)
    rows = random_rows(draw, ROWS)
    frames = built(rows, ends, source)
    facts = [as_dict(end) for end in ends]
    for row, frame in zip(rows, frames, strict=True):
        one = as_dict(row)
        assert frame == slow_frame(one, facts[one["sender"]], facts[one["sender"] ^ 1], source)


@pytest.mark.parametrize("seed", range(4))
def test_checksums_are_right(seed):
    draw = np.random.default_rng(100 + seed)
    ends, source = two_ends(draw, draw.bytes(3000), draw.bytes(3000))
    states = verify_checksums(Frames.from_bytes(built(random_rows(draw, ROWS), ends, source)))
    assert set(states.transport.tolist()) == {GOOD}
    assert set(states.ip.tolist()) == {GOOD if ends[0]["version"] == 4 else NOT_THERE}


def test_scapy_makes_the_same_checksums_and_reads_the_options():
    draw = np.random.default_rng(7)
    ends, source = two_ends(draw)
    rows = random_rows(draw, 60)
    for row, packet in zip(rows, Frames.from_bytes(built(rows, ends, source)), strict=True):
        read = packet.to_scapy()
        tcp = read["TCP"]
        again = read.copy()
        for layer in ("IP", "TCP"):
            if layer in again:
                del again[layer].chksum
        assert bytes(again) == packet.data
        names = [name for name, _ in tcp.options]
        assert ("Timestamp" in names) == (row["tsval"] >= 0)
        assert ("MSS" in names) == (row["mss"] > 0)
        assert ("WScale" in names) == (row["scale"] >= 0)
        assert ("SAck" in names) == (row["blocks"] > 0)
        assert ("SAckOK" in names) == bool(row["sack_ok"])


def test_length_is_the_one_that_the_run_timed_the_frame_with():
    draw = np.random.default_rng(8)
    ends, source = two_ends(draw, draw.bytes(100), draw.bytes(100))
    rows = random_rows(draw, ROWS)
    ip = 20 if ends[0]["version"] == 4 else 40
    for row, frame in zip(rows, built(rows, ends, source), strict=True):
        end = ends[row["sender"]]
        made = int(end["head_bytes"][int(end["vm"])])
        here = int(end["head_bytes"][int(row["where"] == AT_VM)])
        timed = max(made + ip + 20 + int(option_bytes(row)) + int(row["size"]), 60)
        assert len(frame) == timed + here - made


def test_syn_has_its_options_in_the_order_of_its_stack():
    """Rule: as the stacks send them; migration.fingerprint tells them apart by this."""
    row = as_dict(np.zeros(1, LOG)[0]) | {
        "flags": SYN, "mss": 1460, "scale": 7, "sack_ok": 1, "tsval": 0,
    }  # fmt: skip
    for early, tsval, wanted in (
        (0, 0, "020405b4 0402 080a0000000000000000 01 030307"),
        (0, -1, "020405b4 0101 0402 01 030307"),
        (1, -1, "020405b4 01 030307 0101 0402"),
        (1, 0, "020405b4 01 030307 0402 080a0000000000000000"),
    ):
        ends, source = two_ends(np.random.default_rng(1))
        ends["scale_early"], ends["ts_first"], ends["version"] = early, 0, 4
        rows = np.zeros(1, LOG)
        for name, value in (row | {"tsval": tsval}).items():
            rows[name][0] = value
        frame = built(rows, ends, source)[0]
        head = int(ends[0]["head_bytes"][0]) + 20 + 20
        options = bytes.fromhex(wanted)
        assert frame[head : head + len(options)] == options


def test_stops_before_the_buffer_is_full_and_goes_on():
    draw = np.random.default_rng(9)
    ends, source = two_ends(draw)
    rows = random_rows(draw, 300)
    rows["size"] = 8960
    assert built(rows, ends, source, LONGEST_RECORD + 20_000) == built(rows, ends, source)
