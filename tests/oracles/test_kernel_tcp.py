"""The kernel's TCP in namespaces: what is measured is what happened, and nothing stays behind."""

import os
from pathlib import Path

import kernel_tcp
import numba
import pytest
import tcp_analysis
from kernel_tcp import Trial, repeated, run, why_not
from namespaces import DEVICE, Namespace, Recorded

from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="asks the kernel, not our code"),
    pytest.mark.slow,
]
TIMER_S = 0.2
"""The kernel's smallest retransmission timeout; what is asserted holds on a busy machine, too."""


def held_open():
    """What this process holds open, by kind; and its children."""
    kinds = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.exists()]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    wanted = ("net:", "/dev/net/tun", "socket:")
    return sorted(kind.split("[")[0] for kind in kinds if kind.startswith(wanted)), children


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    before, inside = held_open(), Path("/proc/thread-self/ns/net").readlink()
    yield
    assert held_open() == before
    assert Path("/proc/thread-self/ns/net").readlink() == inside


def what_tshark_says(outcome, folder):
    """Times of the client's retransmissions."""
    frames = Frames.from_bytes(
        [one.data for one in outcome.frames], ts_ns=[one.ts_ns for one in outcome.frames]
    )
    with PcapngWriter(folder / "client.pcapng", [OutInterface("eth0")]) as writer:
        writer.write(frames)
    assert tcp_analysis.faults(folder / "client.pcapng") == []
    (found,) = tcp_analysis.retransmissions(folder / "client.pcapng", "192.0.2.1").values()
    return [again.ts_ns for again in found]


def test_a_namespace_has_its_own_device_and_settings():
    outside = Path("/proc/sys/net/ipv4/tcp_retries2").read_text()
    one = Namespace("02:00:00:00:00:01", "192.0.2.1/24", {"ipv4/tcp_retries2": "5"})
    with one.entered():
        assert Path("/proc/sys/net/ipv4/tcp_retries2").read_text() == "5\n"
        devices = Path("/proc/thread-self/net/dev").read_text()
    one.close()
    assert DEVICE in devices
    assert Path("/proc/sys/net/ipv4/tcp_retries2").read_text() == outside


def test_an_unknown_setting_is_refused_and_nothing_is_left():
    with pytest.raises(OSError, match="tcp_retries9"):
        Namespace("02:00:00:00:00:01", "192.0.2.1/24", {"ipv4/tcp_retries9": "5"})


def test_without_a_blackout_nothing_is_sent_again():
    outcome = run(Trial("rr", before_s=0.5, after_s=0.0, rtt_s=0.004))
    assert outcome.survived
    assert outcome.app_bytes >= 64 * 5
    assert set(outcome.counts) == {"carried"}
    assert len(outcome.frames) == outcome.counts["carried"]
    assert repeated(outcome.frames, outcome.trial.port) == []


@pytest.mark.parametrize("kind", ["rr", "bulk"])
def test_drop_stalls_until_the_first_retransmission_after_the_light(kind, tmp_path):
    rate = 20_000_000 if kind == "bulk" else None
    outcome = run(Trial(kind, 0.5, before_s=0.6, after_s=1.2, rate_bps=rate))
    assert outcome.survived
    assert outcome.counts["dropped"] >= 2
    assert outcome.in_dark_s
    first = outcome.after_s[0]
    assert 0.5 <= first <= 2 * 0.5 + TIMER_S
    # the server's own retransmission of what it sent before the dark may come first
    assert 0.5 <= outcome.first_answer_s < first + TIMER_S
    assert first - 0.05 < outcome.stall_s < first + TIMER_S
    assert what_tshark_says(outcome, tmp_path) == [
        one.ts_ns for one in repeated(outcome.frames, outcome.trial.port)
    ]


@pytest.mark.parametrize("kind", ["rr", "bulk"])
def test_hold_stalls_no_longer_than_the_blackout_and_a_little(kind):
    rate = 20_000_000 if kind == "bulk" else None
    outcome = run(Trial(kind, 0.8, "hold", before_s=0.6, after_s=0.8, rate_bps=rate))
    assert outcome.survived
    assert not outcome.counts["dropped"]
    assert outcome.counts["held"] >= 2
    assert 0.8 - 0.05 < outcome.stall_s < 0.8 + TIMER_S


def test_few_retries_end_the_connection_at_a_timer():
    # limit of tcp_retries2 = 3: 3.0 s after the first retransmission, noticed at the next expiry
    outcome = run(
        Trial("bulk", 4.5, before_s=0.6, after_s=1.0, rate_bps=20_000_000, tcp_retries2=3)
    )
    assert outcome.error == "Connection timed out"
    assert 3.0 < outcome.died_s < 4.5
    assert outcome.after_s == []


def test_programs_that_end_too_early_measure_nothing():
    with pytest.raises(RuntimeError, match="ended before the blackout"):
        run(Trial("http", 2.0, before_s=0.6, after_s=-2.5))


def test_a_server_that_cannot_start_is_reported(monkeypatch):
    monkeypatch.setitem(kernel_tcp.PORTS, "rr", 70_000)
    with pytest.raises(RuntimeError, match=r"server did not start: .*port must be 0-65535"):
        run(Trial("rr", before_s=0.2, after_s=0.0))


def test_repeated_finds_what_was_sent_again_across_the_end_of_sequence_numbers():
    def segment(seq, size, flags=0x10, ts_ns=0):
        ethernet = bytes(12) + b"\x08\x00"
        ip = b"\x45\x00" + (40 + size).to_bytes(2, "big") + bytes(5) + b"\x06" + bytes(10)
        tcp = (40_000).to_bytes(2, "big") + (7).to_bytes(2, "big") + seq.to_bytes(4, "big")
        tcp += bytes(4) + bytes([0x50, flags]) + bytes(6)
        return Recorded(ts_ns, True, ethernet + ip + tcp + bytes(size))

    top = 0xFFFFFFFF
    stream = [
        segment(top - 10, 0, 2), segment(top - 9, 10), segment(0, 100), segment(100, 0),
        segment(top - 9, 10, ts_ns=5), segment(100, 100), segment(0, 100, ts_ns=6),
    ]  # fmt: skip
    assert [(one.ts_ns, one.seq, one.size) for one in repeated(stream, 7)] == [
        (5, top - 9, 10), (6, 0, 100),
    ]  # fmt: skip
    assert repeated(stream, 8) == []
