from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tshark

from pcaps.addresses import mac_to_key
from pcaps.blueprint import ip_word, text
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import tag_word
from pcaps.errors import BadInput

SESSION = TcpSession(
    client_mac=mac_to_key("02:00:00:00:00:01"),
    server_mac=mac_to_key("00:15:5d:00:00:01"),
    client_ip=ip_word("172.16.0.1"),
    server_ip=ip_word("10.0.0.1"),
    client_port=40_000,
    start_ns=10**18,
)


def several(n: int) -> list[TcpSession]:
    """Sessions that overlap: with and without tags, large and small, jumbo or not."""
    return [
        replace(
            SESSION,
            client_port=40_000 + k,
            tag=[0, tag_word(0x8100, 20), tag_word(0x88A8, 30)][k % 3],
            start_ns=SESSION.start_ns + 50_000 * k,
            request_bytes=[0, 1, 1460, 5000][k % 4],
            response_bytes=[0, 1, 14_601, 100_000, 17_520][k % 5],
            client_isn=(2**32 - 100 + 77 * k) % 2**32,  # the numbers wrap within the session
            server_isn=(2**32 - 5000 * k) % 2**32,
            jumbo=k % 7 == 6,
        )
        for k in range(n)
    ]


def saved(path: Path, sessions: list[TcpSession]) -> Path:
    with ClassicWriter(path, nanoseconds=True) as writer:
        writer.write(conversations(sessions))
    return path


def test_tshark_finds_no_fault_in_numbers_and_checksums(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pcap", several(40))
    fault = (
        "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0 "
        "|| _ws.malformed || _ws.short"
    )
    assert tshark.fields(path, "frame.number", only=fault) == []


def test_tshark_sees_every_session_complete(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pcap", several(40))
    rows = tshark.fields(path, "tcp.stream", "tcp.completeness")
    seen = {stream: int(completeness) for stream, completeness in rows}
    assert len(seen) == 40
    with_data, without_data = 31, 23  # SYN, SYN-ACK, ACK, data, FIN: bits 1, 2, 4, 8, 16
    assert set(seen.values()) == {with_data, without_data}
    assert sum(value == without_data for value in seen.values()) == 2


@pytest.mark.parametrize("lost", [0, 4, 6])
def test_a_lost_segment_is_retransmitted_after_three_duplicates(tmp_path: Path, lost: int) -> None:
    path = saved(tmp_path / "x.pcap", [replace(SESSION, response_bytes=14_600, retransmit=lost)])
    again = tshark.fields(path, "tcp.seq", "tcp.len", only="tcp.analysis.retransmission")
    assert again == [[str(1 + 1460 * lost), "1460"]]
    assert len(tshark.fields(path, "frame.number", only="tcp.analysis.duplicate_ack")) == 3
    other = (
        "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment "
        "|| tcp.analysis.out_of_order || tcp.checksum.status == 0"
    )
    assert tshark.fields(path, "frame.number", only=other) == []


def test_the_stream_reads_on(tmp_path: Path) -> None:
    session = replace(SESSION, response_bytes=20_000, request_bytes=3000)
    frames = conversations([session])
    sent = {True: b"", False: b""}
    for frame in frames:
        packet = frame.to_scapy()
        body = bytes(packet["TCP"].payload)[: packet["IP"].len - 20 - 4 * packet["TCP"].dataofs]
        sent[packet.src == "02:00:00:00:00:01"] += body
    whole = text().tobytes()
    assert sent == {True: whole[:3000], False: whole[:20_000]}


def test_frames_come_in_order_of_time() -> None:
    frames = conversations(several(10))
    assert (frames.ts_ns[1:] >= frames.ts_ns[:-1]).all()


@pytest.mark.parametrize("lost", [-1, 4, 7])
def test_a_segment_that_cannot_be_lost_is_refused(lost: int) -> None:
    with pytest.raises(BadInput, match="the response has 7 segments, and 3 must follow"):
        replace(SESSION, response_bytes=10_000, retransmit=lost)
