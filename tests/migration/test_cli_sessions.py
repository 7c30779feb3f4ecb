"""``vswitch sessions`` as people and scripts call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from forged import MS, PSH, Forge

from migration.cli_sessions import sessions
from pcaps import samples
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import tag_word
from pcaps.errors import BadInput

OFFICE = str(samples.path("office"))


@pytest.fixture
def capture(tmp_path: Path) -> str:
    """Three sessions: whole, in VLAN 20 with a retransmission, and one whose SYN is missing."""
    whole = TcpSession(0x010000000002, 0x0100005D1500, 0x0100000A, 0x0200000A, 40_001)
    other = TcpSession(
        0x010000000002, 0x0200005D1500, 0x0100000A, 0x0300000A, 40_002,
        tag=tag_word(0x8100, 20), start_ns=MS, response_bytes=50_000, retransmit=2,
    )  # fmt: skip
    partial = Forge(ports=(40_003, 80))
    partial.put(0, 0, b"hello", 0, flags=PSH)
    partial.put(1, 0, b"world", 5, flags=PSH)
    path = tmp_path / "three.pcap"
    with ClassicWriter(path, nanoseconds=True) as writer:
        writer.write(conversations([whole, other]))
        writer.write(partial.capture())
    return str(path)


def call(*words: str) -> Result:
    return CliRunner().invoke(sessions, list(words), catch_exceptions=False)


def answer(*words: str) -> dict:
    return json.loads(call(*words, "--json").stdout)


def test_the_table_lists_every_session(capture: str) -> None:
    lines = call(capture).stdout.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line[1:2].isdigit()}
    assert rows["1"][1:8] == ["10.0.0.1:40001", "10.0.0.2:5001", "-", "200", "10,000", "4", "0"]
    assert rows["2"][1:8] == ["10.0.0.1:40002", "10.0.0.3:5001", "20", "200", "50,000", "4", "1"]
    assert "no-syn" in " ".join(rows["3"])
    assert any("3 sessions by 5-tuple and VLAN" in line for line in lines)


def test_json_has_a_schema_and_every_figure(capture: str) -> None:
    found = answer(capture)
    assert found["schema"] == "vswitch.sessions/1"
    assert found["by_vlan"] is True
    assert found["captures"][0]["path"] == capture
    assert found["summary"] == {
        "found": 3, "listed": 3, "established": 3, "partial": 1, "bytes": 60_410, "turns": 10,
        "retransmissions": 1, "flags": {"no-syn": 1, "open": 1},
        "frames": found["captures"][0]["frames"], "segments": found["captures"][0]["frames"],
        "malformed": 0, "unjoined_fragments": 0,
    }  # fmt: skip
    second = found["sessions"][1]
    assert second["server"]["mac"] == "00:15:5d:00:00:02"
    assert second["tags"] == [{"tpid": "0x8100", "tci": 20}]
    assert (second["retransmissions"], second["server"]["retransmissions"]) == (1, 1)
    assert second["client"]["duplicate_acks"] == 3
    assert (second["server"]["wscale"], second["server"]["mss"]) == (7, 1460)
    assert second["flags"] == []


def test_partial_sessions_are_left_out_on_request(capture: str) -> None:
    assert [row["number"] for row in answer(capture, "--no-partial")["sessions"]] == [1, 2]
    assert "1 of 3 are not listed" in call(capture, "--no-partial").stdout


def test_only_the_sessions_of_a_vm_by_address_or_name(capture: str) -> None:
    by_mac = answer(capture, "--vm", "00:15:5d:00:00:02")["sessions"]
    assert [row["number"] for row in by_mac] == [2]
    by_name = answer(capture, "--vm", "vm1")["sessions"]
    assert by_name
    with pytest.raises(BadInput, match="no VM 'vm99'"):
        call(capture, "--vm", "vm99")


def test_one_session_shows_its_turns(capture: str) -> None:
    shown = call(capture, "--session", "1").stdout
    assert "client 10.0.0.1:40001" in shown
    assert [line.split()[4] for line in shown.splitlines() if " write " in line] == [
        "200",
        "10,000",
    ]
    turns = answer(capture, "--session", "1")["sessions"][0]["turn_list"]
    assert [(t["side"], t["kind"], t["need"], t["bytes"]) for t in turns] == [
        ("client", "write", 0, 200), ("server", "write", 200, 10_000),
        ("server", "close", 200, 0), ("client", "close", 10_001, 0),
    ]  # fmt: skip


def test_a_session_that_is_not_there_is_told(capture: str) -> None:
    with pytest.raises(BadInput, match="there is no session 4; the captures have 3"):
        call(capture, "--session", "4")
    with pytest.raises(BadInput, match="session 1 is not one of 00:15:5d:00:00:02"):
        call(capture, "--session", "1", "--vm", "00:15:5d:00:00:02")


def test_vlans_are_ignored_on_request(captures: Path) -> None:
    path = str(captures / "01_vlan10qinq_vlan42_untagged_same_5tuple.pcap")
    assert [row["vlan"] for row in answer(path)["sessions"]] == ["-", "42", "10.20"]
    assert len(answer(path, "--ignore-vlan")["sessions"]) == 1
    halves = str(captures / "18_tagged_one_way_tcp_retrans.pcap")
    assert "--ignore-vlan joins" in call(halves).stdout
    assert "--ignore-vlan joins" not in call(halves, "--ignore-vlan").stdout


def test_limit_counts_frames(capture: str) -> None:
    assert answer(capture, "--limit", "5")["summary"]["segments"] == 5


@pytest.mark.compiled
def test_long_tables_are_cut_unless_all_is_asked_for(captures: Path) -> None:
    path = str(captures / "17_real_lan_mix_488_tcp.pcap")
    assert "... and 448 more: --all lists them" in call(path).stdout
    assert sum(line.strip()[:1].isdigit() for line in call(path, "--all").stdout.splitlines()) > 488


def test_damage_is_told_and_the_frames_before_it_are_used(captures: Path) -> None:
    path = str(captures / "27_corrupt_header_mid_file.pcap")
    done = call(path)
    assert "behind frame 6; the frames before it were used" in done.stderr
    assert answer(path)["captures"][0]["damage"]
    with pytest.raises(BadInput, match="behind frame 6"):
        call(path, "--strict")


@pytest.mark.whole_program
def test_no_tcp_is_one_sentence_and_exit_status_2(tmp_path: Path) -> None:
    with ClassicWriter(tmp_path / "x.pcap"):
        pass
    done = subprocess.run(
        [sys.executable, "-m", "vswitch", "sessions", str(tmp_path / "x.pcap")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "vswitch: the captures hold no frame, so no TCP session; give a capture of TCP connections"
    )


@pytest.mark.whole_program
def test_standard_input_works_also_when_it_is_needed_twice() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vswitch", "sessions", "-", "--vm", "vm1", "--json"],
        input=Path(OFFICE).read_bytes(), capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["captures"][0]["path"] == "-"


@pytest.mark.whole_program
def test_help_needs_no_compiler() -> None:
    code = "import sys, migration.cli_sessions; assert not {'numba', 'numpy', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
