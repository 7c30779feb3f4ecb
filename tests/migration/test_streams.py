"""Streams of captures: against tshark, against the plain twin, and one rule after the other."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import followed
import numba
import numpy as np
import pytest
from forged import ACK, FIN, MS, PSH, RST, SYN, Forge

from migration.segments import read_segments
from migration.segments_kernel import SEGMENT
from migration.sessions import find_sessions
from migration.streams import rebuild
from migration.streams_kernel import (
    CLOSING,
    DUPLICATE_ACK,
    KEEPALIVE,
    NEW,
    OPENING,
    OUT_OF_ORDER,
    PURE_ACK,
    RESET,
    RETRANSMISSION,
    STRAY,
    WINDOW_PROBE,
    WINDOW_UPDATE,
)
from migration.streams_reference import rebuild_slowly
from pcaps.blueprint import ip_word, text
from pcaps.capture import open as open_capture
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import tag_word

SESSION = TcpSession(
    client_mac=0x010000000002, server_mac=0x0100005D1500, client_ip=ip_word("172.16.0.1"),
    server_ip=ip_word("10.0.0.1"), client_port=40_000, start_ns=10**18,
)  # fmt: skip

SEEDS = 5 if numba.config.DISABLE_JIT else 100
"""Random flows a test; plain Python takes a hundred times as long."""

FOLLOWED = [
    "01_vlan10qinq_vlan42_untagged_same_5tuple.pcap", "07_priority_tag_vid0_http.pcap",
    "12_many_protocols.pcap", "15_tso_superframes_ssh.pcap", "16_bad_checksums_loopback_tls.pcap",
    "17_real_lan_mix_488_tcp.pcap", "18_tagged_one_way_tcp_retrans.pcap",
    "19_vlan100_14_complete_http.pcap", "20_ns_big_endian.pcap", "21_us_big_endian_pptp.pcap",
    "25_ng_126_interfaces_vlan.pcapng", "26_gzip_4102_frames.pcap.gz",
    "27_corrupt_header_mid_file.pcap", "28_corrupt_after_18.pcap", "29_last_record_cut.pcap",
]  # fmt: skip


def kinds(forge: Forge) -> list[int]:
    return read_kinds(forge.capture())


def read_kinds(frames) -> list[int]:
    rows = rebuild(read_segments([frames])).segments.rows
    return rows["kind"][np.argsort(rows["frame"], kind="stable")].tolist()


def streams(forge: Forge) -> tuple[bytes, bytes]:
    session = find_sessions(forge.capture())[0]
    return session.client.stream.tobytes(), session.server.stream.tobytes()


# Against tshark


@pytest.mark.parametrize("name", FOLLOWED)
def test_streams_equal_those_that_tshark_follows(captures: Path, name: str) -> None:
    theirs = followed.follow(
        captures / name, list(firsts := followed.first_frames(captures / name))
    )
    found = rebuild(read_segments([open_capture(captures / name)], by_vlan=False))
    by_frame = {int(about["first_frame"]): row for row, about in enumerate(found.sessions)}
    assert by_frame.keys() == set(firsts.values())
    compared = 0
    for stream, frame in firsts.items():
        row = by_frame[frame]
        first = int(found.sessions[row]["opener"])
        if found.sides["lost"][2 * row : 2 * row + 2].any():
            continue  # tshark writes a sentence where bytes were not captured
        for x, expected in zip((first, 1 - first), theirs[stream], strict=True):
            assert found.stream(row, x).tobytes() == expected, (stream, frame, x)
            compared += 1
    assert compared >= 2 * len(firsts) - 2 or name.startswith("26")


def test_where_bytes_were_lost_the_rest_equals_what_tshark_follows(captures: Path) -> None:
    path = captures / "26_gzip_4102_frames.pcap.gz"
    server = find_sessions(path)[0].server
    missing = b"[238 bytes missing in capture file]"
    theirs = followed.follow(path, [0])[0][1]
    if missing not in theirs:
        pytest.skip("this tshark does not say how many bytes are missing")
    before, _, behind = theirs.partition(missing)
    assert server.lost_bytes == 238
    stream = server.stream.tobytes()
    assert stream.startswith(before)
    assert stream.endswith(behind.lstrip(b"\0"))


# Known truth


@pytest.mark.parametrize("lost", [None, 0, 4])
def test_synthetic_sessions_come_back_byte_for_byte(lost: int | None) -> None:
    sessions = [
        replace(
            SESSION, client_port=40_000 + k, tag=[0, tag_word(0x8100, 20)][k % 2],
            start_ns=SESSION.start_ns + 50_000 * k, request_bytes=[1, 1460, 5000][k % 3],
            response_bytes=100_000 + k, client_isn=(2**32 - 100 + 77 * k) % 2**32,
            server_isn=(2**32 - 5000 * k) % 2**32, retransmit=lost,
        )
        for k in range(20)
    ]  # fmt: skip
    found = {session.client.port: session for session in find_sessions(conversations(sessions))}
    for made in sessions:
        session = found[made.client_port]
        for side, size in (
            (session.client, made.request_bytes),
            (session.server, made.response_bytes),
        ):
            assert bytes(side.stream) == bytes(np.resize(text()[:7030], size))
        assert session.server.retransmissions == (lost is not None)
        assert session.server.duplicate_acks == 0
        assert session.client.duplicate_acks == (3 if lost is not None else 0)
        assert not session.flags


def test_a_stream_goes_on_where_the_sequence_numbers_wrap() -> None:
    forge = Forge(isn=(2**32 - 5, 2**32 - 1)).shake()
    forge.put(0, 0, b"abcdefgh", 0)
    forge.put(1, 0, b"12", 8)
    forge.put(0, 8, b"ij", 2)
    assert streams(forge) == (b"abcdefghij", b"12")


def test_positions_count_on_behind_four_gigabytes() -> None:
    rows = np.zeros(5000, SEGMENT)
    step = 1_000_000
    rows["length"], rows["flags"], rows["window"] = step, ACK, 65535
    rows["sequence"] = (7 + step * np.arange(5000, dtype=np.int64)) % 2**32
    rows["flags"][0], rows["length"][0], rows["sequence"][0] = SYN, 0, 7 + step - 1
    segments = read_segments([Forge().shake().capture()])
    object.__setattr__(segments, "rows", rows)
    found = rebuild(segments)
    assert len(found.sessions) == 1
    assert found.sides["size"].tolist() == [step * 4999, 0]


# Kinds of segments


def test_a_handshake_data_and_close() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"question", 0)
    forge.put(1, 0, b"", 8)
    forge.put(1, 0, b"answer", 8)
    forge.end(8, 6)
    assert kinds(forge) == [
        OPENING, OPENING, PURE_ACK, NEW, PURE_ACK, NEW, CLOSING, CLOSING, PURE_ACK,
    ]  # fmt: skip
    assert streams(forge) == (b"question", b"answer")


def test_data_seen_before_is_a_retransmission_and_the_first_copy_stays() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"right", 0)
    forge.put(0, 0, b"wrong", 0)
    assert kinds(forge)[3:] == [NEW, RETRANSMISSION]
    assert streams(forge)[0] == b"right"


def test_data_below_the_highest_seen_that_fills_a_hole_is_out_of_order() -> None:
    forge = Forge().shake()
    forge.put(0, 3, b"def", 0)
    forge.put(1, 0, b"", 0)
    forge.put(0, 0, b"abc", 0)
    assert kinds(forge)[3:] == [NEW, DUPLICATE_ACK, OUT_OF_ORDER]
    assert streams(forge)[0] == b"abcdef"


def test_where_segments_overlap_each_byte_is_the_first_that_came() -> None:
    forge = Forge().shake()
    forge.put(0, 4, b"EFGH", 0)
    forge.put(0, 12, b"MN", 0)
    forge.put(0, 0, b"abcdefghijklmnop", 0)
    forge.put(0, 8, b"XXXXXXXXXX", 0)
    assert streams(forge)[0] == b"abcdEFGHijklMNopXX"


def test_keep_alives_are_no_data_with_a_byte_or_without() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"hello", 0)
    forge.put(1, 0, b"", 5)
    forge.put(0, 4, b"\0", 0)
    forge.put(1, 0, b"", 5)
    forge.put(0, 4, b"", 0)
    assert kinds(forge)[3:] == [NEW, PURE_ACK, KEEPALIVE, PURE_ACK, KEEPALIVE]
    assert streams(forge)[0] == b"hello"


def test_a_keep_alive_before_any_data_shows_the_octet_of_the_syn() -> None:
    forge = Forge().shake()
    forge.put(0, -1, b"\0", 0)
    forge.put(0, 0, b"data", 0)
    assert kinds(forge)[3:] == [KEEPALIVE, NEW]
    assert streams(forge)[0] == b"data"


def test_a_probe_of_a_closed_window_and_its_opening() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"ab", 0)
    forge.put(1, 0, b"", 2, window=0)
    forge.put(0, 2, b"c", 0)
    forge.put(1, 0, b"", 2, window=0)
    forge.put(0, 1, b"", 0)
    forge.put(1, 0, b"", 2, window=1000)
    forge.put(0, 2, b"cd", 0)
    assert kinds(forge)[3:] == [
        NEW, PURE_ACK, WINDOW_PROBE, DUPLICATE_ACK, PURE_ACK, WINDOW_UPDATE, OUT_OF_ORDER,
    ]  # fmt: skip
    assert streams(forge)[0] == b"abcd"


def test_a_probe_without_a_byte_has_the_number_before_the_next_one() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"ab", 0)
    forge.put(1, 0, b"", 2, window=0)
    forge.put(0, 1, b"", 0)
    assert kinds(forge)[3:] == [NEW, PURE_ACK, WINDOW_PROBE]


def test_text_in_a_reset_is_not_of_the_stream() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"ab", 0)
    forge.put(1, 0, b"no such user", 2, flags=RST)
    assert kinds(forge)[3:] == [NEW, RESET]
    assert streams(forge) == (b"ab", b"")


def test_padding_is_no_data() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"x", 0)
    assert streams(forge)[0] == b"x"


def test_data_on_a_syn_is_the_first_of_the_stream() -> None:
    forge = Forge()
    forge.put(0, 0, b"early", flags=SYN)
    forge.put(1, 0, b"", 5, flags=SYN)
    forge.put(0, 5, b" data", 0)
    assert streams(forge)[0] == b"early data"


# Numbers that cannot be


def test_a_number_far_ahead_is_left_out_when_nothing_agrees() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0)
    forge.put(0, 500_000_000, b"nonsense", 0)
    forge.put(0, 3, b"def", 0)
    forge.put(1, 0, b"", 6)
    assert kinds(forge)[3:] == [NEW, STRAY, NEW, PURE_ACK]
    assert streams(forge)[0] == b"abcdef"


def test_a_number_far_ahead_counts_when_the_next_segment_goes_on_there() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0)
    forge.put(0, 5_000_000, b"go", 0)
    forge.put(0, 5_000_002, b"on", 0)
    session = find_sessions(forge.capture())[0]
    assert session.client.size == 5_000_004
    assert session.client.lost_bytes == 5_000_000 - 3
    assert session.flags == {"incomplete", "open"}


def test_a_number_far_ahead_counts_when_the_peer_acknowledges_it() -> None:
    forge = Forge().shake()
    forge.put(0, 5_000_000, b"go", 0)
    forge.put(1, 0, b"", 5_000_002)
    session = find_sessions(forge.capture())[0]
    assert (session.client.size, session.client.stray) == (5_000_002, 0)


def test_an_acknowledgment_far_ahead_makes_no_stream_longer() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0)
    forge.put(1, 0, b"", 1_000_000_000)
    forge.put(1, 0, b"", 3)
    assert streams(forge)[0] == b"abc"


def test_data_behind_a_fin_is_left_out() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0, flags=FIN)
    forge.put(0, 3, b"more", 0)
    assert kinds(forge)[3:] == [NEW, STRAY]
    assert streams(forge)[0] == b"abc"


# Holes


def test_bytes_acknowledged_but_never_seen_are_counted_and_filled() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0)
    forge.put(0, 10, b"klm", 0)
    forge.put(1, 0, b"", 20)
    session = find_sessions(forge.capture())[0]
    assert session.client.lost_bytes == 7 + 7
    assert session.client.stream.tobytes() == b"abc" + bytes(text()[3:10]) + b"klm" + bytes(
        text()[13:20]
    )
    assert "incomplete" in session.flags


def test_a_fin_that_was_not_captured_is_no_lost_byte() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"abc", 0)
    forge.put(1, 0, b"", 4, flags=FIN)
    forge.put(0, 4, b"", 1)
    session = find_sessions(forge.capture())[0]
    assert session.client.size == 3
    assert not session.flags


def test_payload_that_the_snap_length_cut_is_counted_not_lost() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"0123456789" * 10, 0)
    frames = forge.capture()
    cut = replace(frames, caplen=np.minimum(frames.caplen, 66).astype(np.uint32))
    side = find_sessions(cut)[0].client
    assert (side.size, side.lost_bytes, side.cut_bytes) == (100, 0, 88)
    assert side.stream.tobytes() == b"012345678901" + bytes(text()[12:100])


def test_fragments_are_joined_in_any_order() -> None:
    for addresses in (("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")):
        forge = Forge(addresses=addresses).shake()
        forge.put(0, 0, b"0123456789" * 30, 0, fragment=96)
        pieces = len(forge.frames) - 3
        assert pieces == 4
        forge.put(0, 300, b"end", 0)
        for order in ((3, 4, 5, 6), (6, 5, 4, 3), (4, 6, 3, 5)):
            found = find_sessions(forge.capture(order=(0, 1, 2, *order, 7)))
            assert found[0].client.stream.tobytes() == b"0123456789" * 30 + b"end"
            assert {"fragmented", "open"} <= found[0].flags
            assert found.segments.unjoined == 0


def test_a_fragment_that_never_became_whole_is_a_hole_and_counted() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"0123456789" * 30, 0, fragment=96)
    forge.put(0, 300, b"end", 0)
    found = find_sessions(forge.capture(order=(0, 1, 2, 3, 5, 6, 7)))
    assert found.segments.unjoined == 3
    assert found[0].client.lost_bytes == 300


# Twin


def chaos(seed: int, n: int) -> np.ndarray:
    """Segments of one flow that make little sense."""
    draw = random.Random(seed)
    base = [draw.choice([5, 2**31, 2**32 - 20]) for _ in range(2)]
    rows = np.zeros(n, SEGMENT)
    now = 0
    common = [ACK] * 12 + [ACK | PSH] * 4 + [FIN | ACK, SYN, SYN | ACK, RST, RST | ACK, 0]
    for k in range(n):
        row = rows[k]
        side = draw.randrange(2)
        far = [0] * 30 + [2_000_000, 2_000_003, -2_000_000, 2**31]
        row["side"] = side
        row["flags"] = draw.choice(common)
        row["sequence"] = (base[side] + draw.randrange(-3, 40) + draw.choice(far)) % 2**32
        row["acknowledgment"] = (base[1 - side] + draw.randrange(-3, 45) + draw.choice(far)) % 2**32
        row["length"] = draw.choice([0, 0, 1, 1, 3, 8]) if not row["flags"] & SYN else 0
        row["captured"] = row["length"]
        row["window"] = draw.choice([0, 100, 100, 200])
        row["scale"] = draw.choice([255, 0, 3])
        now += draw.choice([MS, MS, MS, -MS, 300_000 * MS if draw.random() < 0.05 else 0])
        row["ts_ns"] = now
        row["frame"] = k + 1
        if draw.random() < 0.03:
            base[side] = draw.randrange(2**32)
    return rows


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_kernel_and_twin_agree_on_segments_that_make_little_sense(first: int) -> None:
    segments = read_segments([Forge().shake().capture()])
    for seed in range(first, first + SEEDS):
        rows = chaos(seed, 60)
        names = rows.dtype.names
        plain = [dict(zip(names, row.item(), strict=True), number=k) for k, row in enumerate(rows)]
        object.__setattr__(segments, "rows", rows)
        found = rebuild(segments)
        twin = rebuild_slowly(plain, (40000, 80))
        assert [about["count"] for about in found.sessions] == [len(one.rows) for one in twin], seed
        for name in ("at", "ack_at", "kind", "fresh"):
            assert rows[name].tolist() == [row[name] for row in plain], (seed, name)
        for number, connection in enumerate(twin):
            about = found.sessions[number]
            assert about["client"] == connection.client, seed
            assert about["established"] == connection.established, seed
            assert about["simultaneous"] == connection.simultaneous, seed
            for x, end in enumerate(connection.ends):
                side = found.sides[2 * number + x]
                assert (side["size"], side["lost"]) == (end.size, end.lost), seed
                shown = {}
                for piece in found.pieces[side["first_piece"] :][: side["pieces"]]:
                    for at in range(piece["at"], piece["at"] + piece["size"]):
                        shown[at] = int(piece["row"])
                assert shown == end.shown, seed


# Memory


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs compiled kernels")
def test_compressed_captures_do_not_keep_their_bytes_in_memory(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "x.pcap"
    with ClassicWriter(path) as writer:
        for k in range(4):
            writer.write(
                conversations([replace(SESSION, client_port=k + 1, response_bytes=8_000_000)])
            )
    (tmp_path / "x.pcap.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    plain, packed = find_sessions(path), find_sessions(tmp_path / "x.pcap.gz")
    for one, other in zip(plain, packed, strict=True):
        assert np.array_equal(one.server.stream, other.server.stream)
    tracemalloc.start()
    read_segments([open_capture(tmp_path / "x.pcap.gz")])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 12_000_000  # 24 thousand segments; 32 MB of payload are elsewhere
