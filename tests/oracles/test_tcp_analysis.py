"""tshark, as it is asked here, finds what was put into a capture, and nothing else."""

import shutil

import numpy as np
import pytest
import tcp_analysis

from pcaps import samples
from pcaps.addresses import mac_to_key
from pcaps.blueprint import ip_word
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import Copies
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"


def session(**changes):
    fields = {
        "client_mac": mac_to_key("02:00:00:00:00:01"),
        "server_mac": mac_to_key("00:15:5d:00:00:01"),
        "client_ip": ip_word(CLIENT),
        "server_ip": ip_word(SERVER),
        "client_port": 50_000,
        "response_bytes": 20_000,
        "start_ns": 1_700_000_000_123_456_789,
    }
    return conversations([TcpSession(**{**fields, **changes})])


def written(path, frames, copies=None, names=("wire",)):
    with PcapngWriter(path, [OutInterface(name) for name in names]) as writer:
        writer.write(frames, copies)
    return path


def test_a_clean_session_has_no_fault_and_nothing_sent_again(tmp_path):
    path = written(tmp_path / "a.pcapng", session())
    assert tcp_analysis.faults(path) == []
    assert tcp_analysis.retransmissions(path, CLIENT) == {}
    assert tcp_analysis.retransmissions(path, SERVER) == {}


def test_data_sent_again_is_found_with_its_time_and_sender(tmp_path):
    frames = session(retransmit=2)
    path = written(tmp_path / "a.pcapng", frames)
    found = tcp_analysis.retransmissions(path, SERVER)
    assert [again.family for again in found[0]] == ["fast_retransmission"]
    assert found[0][0].ts_ns in frames.ts_ns.tolist()
    assert tcp_analysis.retransmissions(path, CLIENT) == {}


def test_copies_at_several_interfaces_are_told_apart(tmp_path):
    frames = session(retransmit=2)
    rows = np.repeat(np.arange(len(frames), dtype=np.uint32), 2)
    copies = Copies(rows, np.tile(np.array([0, 1], np.uint32), len(frames)))
    path = written(tmp_path / "a.pcapng", frames, copies, ("client", "vm"))
    assert tcp_analysis.interfaces(path) == {"client": len(frames), "vm": len(frames)}
    assert len(tcp_analysis.retransmissions(path, SERVER)[0]) > 1  # what the copies look like
    for name in ("client", "vm"):
        alone = tcp_analysis.interface(path, name, tmp_path / f"{name}.pcapng")
        assert len(tcp_analysis.retransmissions(alone, SERVER)[0]) == 1
        assert tcp_analysis.faults(alone) == []


@pytest.mark.parametrize(
    ("offset", "about"), [(24, "wrong IPv4 checksum"), (50, "wrong TCP checksum")]
)
def test_a_wrong_checksum_is_found_in_its_frame(tmp_path, offset, about):
    frames = session()
    rows = [bytearray(frame.data) for frame in frames]
    rows[6][offset] ^= 0x40
    path = written(
        tmp_path / "b.pcapng", Frames.from_bytes([bytes(row) for row in rows], ts_ns=frames.ts_ns)
    )
    assert tcp_analysis.faults(path) == [tcp_analysis.Fault(7, about)]


def test_a_segment_that_is_missing_is_found(tmp_path):
    frames = session()
    kept = [frame for number, frame in enumerate(frames) if number != 8]
    path = written(
        tmp_path / "a.pcapng",
        Frames.from_bytes([one.data for one in kept], ts_ns=[one.ts_ns for one in kept]),
    )
    assert {fault.about for fault in tcp_analysis.faults(path)} >= {
        "a segment before it was not captured"
    }


def test_what_is_no_capture_is_refused(tmp_path):
    (tmp_path / "a.pcapng").write_text("no capture")
    with pytest.raises(RuntimeError, match="tshark refuses"):
        tcp_analysis.faults(tmp_path / "a.pcapng")


def test_a_shipped_sample_has_the_retransmissions_of_its_readme():
    found = [
        again
        for end in ("172.16.0.6", "172.16.0.12", "10.0.0.6", "10.0.0.12")
        for several in tcp_analysis.retransmissions(samples.path("tcp_sessions"), end).values()
        for again in several
    ]
    assert len(found) == 2
