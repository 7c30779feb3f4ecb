"""wire.pcapng against the run that it shows, the capture that was run, and tshark."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from migration.fate import Fate, reason_of
from migration.frame_log import FrameLog
from migration.path_kernel import AT_CLIENT, AT_SOURCE, AT_TARGET, AT_VM, FATES, LOG
from migration.sessions import find_sessions
from migration.wire import SYNTHETIC_EPOCH_NS, announcements_of, epoch_of, write_wire
from pcaps.capture import open as open_capture
from pcaps.checksums import GOOD, NOT_THERE, verify_checksums
from pcaps.copies import NO_COMMENT
from tests.conftest import JIT_OFF
from tests.migration.forged import Forge
from tests.migration.moved import (
    ENDLESSLY,
    SLOW_WITHOUT_JIT,
    interface,
    logged,
    office,
    replayed,
    rows_of,
)
from tests.oracles.tshark import fields

FAMILIES = (
    "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || "
    "tcp.analysis.spurious_retransmission || tcp.analysis.out_of_order"
)
COMPLAINTS = (
    "ip.checksum.status == 0 || tcp.checksum.status == 0 || tcp.analysis.lost_segment || "
    "tcp.analysis.ack_lost_segment || tcp.analysis.out_of_order || tcp.analysis.reused_ports || "
    "tcp.option.len.invalid || tcp.short_segment || tcp.bogus_header_length"
)

LOSSY = {"loss": "0.05", "blackout": "700ms"}


def batches(path):
    with open_capture(path) as capture:
        yield from capture


def resent_of(replay):
    return sum(outcome.retransmits for outcome in replay.outcomes)


@pytest.mark.parametrize("kind", ["live", "quick"])
def test_streams_of_the_client_side_are_those_of_the_capture(tmp_path, kind):
    with logged(tmp_path, office, kind=kind, blackout="1.5s") as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    found = find_sessions(interface(tmp_path / "wire.pcapng", 0, tmp_path / "client.pcapng"))
    captured = {
        (one.client.address, one.server.address): one
        for one in replay.simulation.connections.sessions
    }
    assert len(found) == len(captured)
    for session in found:
        wanted = captured[session.client.address, session.server.address]
        for side, other in ((session.client, wanted.client), (session.server, wanted.server)):
            assert side.stream.tobytes() == other.stream.tobytes()
            assert (side.isn, side.mac, side.ttl) == (other.isn, other.mac, other.ttl)
            assert other.stack in (side.stack, "rfc")
        assert session.tags == wanted.tags
    assert sum(one.retransmissions for one in found) == resent_of(replay) > 0


@pytest.mark.parametrize("settings", [{"kind": "live"}, {"hold": True}], ids=["dropped", "held"])
def test_tshark_counts_the_same_retransmissions_and_complains_of_nothing(tmp_path, settings):
    with logged(tmp_path, office, blackout="1.5s", **settings) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    client = interface(tmp_path / "wire.pcapng", 0, tmp_path / "client.pcapng")
    assert len(fields(client, "frame.number", only=FAMILIES)) == resent_of(replay) > 0
    assert not fields(client, "frame.number", "_ws.col.Info", only=COMPLAINTS)
    assert not fields(
        tmp_path / "wire.pcapng", "frame.number",
        only="ip.checksum.status == 0 || tcp.checksum.status == 0 || _ws.malformed",
    )  # fmt: skip


@pytest.mark.parametrize("place", [AT_CLIENT, AT_VM])
def test_tshark_finds_each_retransmission_where_it_is_sent(tmp_path, place):
    """With loss on the way, the interface of the sender is the one that shows all it sends."""
    settings = {"loss": "0.1", "blackout": "700ms", "announce": "none", "after": "1s"}
    with logged(tmp_path, replayed, 3, **settings) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
        rows = rows_of(log)
    own = interface(tmp_path / "wire.pcapng", place, tmp_path / "own.pcapng")
    at = rows[rows["where"] == place]
    sent = (at["sender"] & 1) == int(place == AT_VM)  # the VM is the server of a pattern
    wanted = set((np.flatnonzero(sent & (at["again"] > 0)) + 1).tolist())
    port = "tcp.srcport == 5001" if place == AT_VM else "tcp.dstport == 5001"
    found = {int(line[0]) for line in fields(own, "frame.number", only=f"({FAMILIES}) && {port}")}
    assert found == wanted
    assert wanted


STANDS_STILL = {**ENDLESSLY, "kind": "postcopy", "interval": "20ms"}


@pytest.mark.parametrize(
    "settings",
    [
        LOSSY,
        {"hold": True, "blackout": "400ms"},
        {"hold": True, "outage": True, "blackout": "400ms"},
        pytest.param(STANDS_STILL, marks=SLOW_WITHOUT_JIT),
    ],
    ids=["lossy", "held", "outage", "waits-for-pages"],
)
def test_each_frame_stands_once_on_each_interface_that_it_passed(tmp_path, settings):
    with logged(tmp_path, replayed, 3, **settings) as (replay, log):
        rows = rows_of(log)
    assert replay.held or not (settings.get("hold") or settings.get("kind"))
    keys = rows["number"] * 4 + rows["where"]
    assert len(np.unique(keys)) == len(keys)
    assert (np.diff(rows["at"]) >= 0).all()


def test_every_frame_that_ended_says_why_where_it_was_seen_last(tmp_path):
    with logged(tmp_path, replayed, 3, **LOSSY) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
        rows = rows_of(log)
    fates = replay.simulation.path.fates
    counted = Counter(rows["fate"][rows["fate"] > 0].tolist())
    assert counted == {n: int(fates[n]) for n in range(1, FATES) if fates[n]}
    assert Fate.LOST_AT_RANDOM in counted
    comments = Counter(
        line[0].rpartition("dropped: ")[2]
        for line in fields(tmp_path / "wire.pcapng", "frame.comment", only="frame.comment")
        if "dropped: " in line[0]
    )
    reasons = {number: reason_of(number) for number in counted}
    assert comments == {
        f"{reason.label}: {reason.sentence}": counted[number] for number, reason in reasons.items()
    }


def test_checksums_are_right_and_times_never_go_back(tmp_path):
    with logged(tmp_path, office, blackout="1.5s") as (replay, log):
        written = write_wire(tmp_path / "wire.pcapng", log, replay)
        extra = len(announcements_of(replay))
        assert written == log.rows + extra
        first_ns = log.first_ns
    times = []
    for batch in batches(tmp_path / "wire.pcapng"):
        states = verify_checksums(batch)
        assert set(states.transport.tolist()) <= {GOOD, NOT_THERE}
        assert int((states.transport == NOT_THERE).sum()) <= extra
        times += batch.ts_ns.tolist()
    assert times == sorted(times)
    starts = [one.start_ns for one in replay.simulation.connections.sessions]
    assert times[0] - first_ns == min(starts) == epoch_of(replay.simulation.connections)


def test_a_pattern_begins_at_a_fixed_time_and_reads_on_as_text(tmp_path):
    with logged(tmp_path, replayed, 1, blackout="100ms") as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    assert next(iter(batches(tmp_path / "wire.pcapng"))).ts_ns[0] >= SYNTHETIC_EPOCH_NS
    (session,) = find_sessions(interface(tmp_path / "wire.pcapng", 0, tmp_path / "client.pcapng"))
    text = session.client.stream.tobytes()
    assert len(text) > 500
    lines = text.split(b"\r\n")
    assert lines[0] == bytes(range(0x20, 0x20 + 72))
    assert [line[0] for line in lines[:5]] == [0x20, 0x21, 0x22, 0x23, 0x24]


def test_the_tag_of_the_vlan_is_outside_only(tmp_path):
    with logged(tmp_path, replayed, 1, blackout="100ms", vlan=42, announce="garp2") as (
        replay, log,
    ):  # fmt: skip
        write_wire(tmp_path / "wire.pcapng", log, replay)
    seen = {}
    for batch in batches(tmp_path / "wire.pcapng"):
        for frame in batch:
            tag = frame.data[12:16] if frame.data[12:14] == b"\x81\x00" else b""
            seen.setdefault(frame.interface, set()).add(tag)
    assert seen == {
        AT_CLIENT: {b"\x81\x00\x00\x2a"}, AT_SOURCE: {b"\x81\x00\x00\x2a"},
        AT_TARGET: {b"\x81\x00\x00\x2a"}, AT_VM: {b""},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "places"), [("rarp5", [AT_TARGET]), ("garp2", [AT_TARGET, AT_VM])]
)
def test_announcements_are_where_they_pass(tmp_path, name, places):
    settings = {"announce": name, "blackout": "50ms", "after": "3s" if not JIT_OFF else "300ms"}
    with logged(tmp_path, replayed, 1, **settings) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    wanted = [one for one in replay.scenes if one.announcement]
    found = fields(
        tmp_path / "wire.pcapng", "frame.interface_id", "frame.packet_id", "frame.comment",
        only="arp",
    )  # fmt: skip
    assert len(found) == len(wanted) * len(places) > 0
    assert {int(line[0]) for line in found} == set(places)
    assert all(line[2].startswith("announcement: ") for line in found)
    assert min(int(line[1]) for line in found) > log.last_number


def test_the_same_run_gives_the_same_bytes_however_the_log_came(tmp_path):
    made = []
    for name, pieces in (("a", 1), ("b", 7)):
        with FrameLog(tmp_path) as log:

            def take(rows, log=log, pieces=pieces):
                for part in np.array_split(rows, pieces):
                    log.take(part)

            replay = replayed(take, 2, seed=5, **LOSSY)
            write_wire(tmp_path / name, log, replay)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_a_log_gives_back_what_it_took_with_reasons_joined(tmp_path):
    draw = np.random.default_rng(3)
    rows = np.zeros(500, LOG)
    rows["number"], rows["where"] = np.arange(500) // 3 + 1, np.arange(500) % 3
    rows["at"] = np.arange(500) * 10
    over = rows[draw.choice(500, 40, replace=False)].copy()
    over["fate"] = draw.integers(1, FATES, 40)
    with FrameLog(tmp_path) as log:
        log.take(rows[:200])
        log.take(over)
        log.take(rows[200:])
        log.take(rows[:0])
        kept = rows_of(log)
        assert (log.rows, log.last_number, log.first_ns, log.last_ns) == (500, 167, 0, 4990)
    wanted = rows.copy()
    for one in over:
        wanted["fate"][(rows["number"] == one["number"]) & (rows["where"] == one["where"])] = one[
            "fate"
        ]
    assert kept.tobytes() == wanted.tobytes()


def test_every_reason_has_a_comment_and_nothing_else_has():
    from migration.wire import wire_comments

    texts, number = wire_comments()
    assert number[0, 0] == NO_COMMENT
    assert len(set(texts)) == len(texts)
    for fate in Fate:
        assert texts[number[0, fate]] == f"dropped: {fate.label}: {fate.sentence}"
        assert texts[number[1, fate]].startswith("retransmission (timeout); dropped: ")
    with pytest.raises(ValueError, match="not a valid"):
        reason_of(39)


REAL = {
    "12_many_protocols.pcap": {"hold": True, "blackout": "3s"},
    "15_tso_superframes_ssh.pcap": {"kind": "quick", "blackout": "30s"},
    "17_real_lan_mix_488_tcp.pcap": {"kind": "quick", "blackout": "30s"},
    "19_vlan100_14_complete_http.pcap": {"blackout": "400ms"},
}


@pytest.mark.skipif(JIT_OFF, reason="many events")
@pytest.mark.parametrize("name", REAL)
def test_real_captures_come_back_from_the_client_side(captures, tmp_path, name):
    with logged(tmp_path, replayed, captures / name, memory="64MiB", **REAL[name]) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    client = interface(tmp_path / "wire.pcapng", 0, tmp_path / "client.pcapng")
    assert len(fields(client, "frame.number", only=FAMILIES)) == resent_of(replay)
    assert not fields(client, "frame.number", "_ws.col.Info", only=COMPLAINTS)
    wanted = {
        (one.client.address, one.server.address, one.client.isn): one
        for one in replay.simulation.connections.sessions
    }
    found = find_sessions(client)
    assert len(found) == len(wanted)
    for session in found:
        other = wanted[session.client.address, session.server.address, session.client.isn]
        assert session.client.stream.tobytes() == other.client.stream.tobytes()
        assert session.server.stream.tobytes() == other.server.stream.tobytes()


def test_ipv6_and_two_tags_come_back_from_the_client_side(tmp_path):
    forge = Forge(addresses=("2001:db8::1", "2001:db8::2"), tags=((0x88A8, 7), (0x8100, 0x6014)))
    forge.shake()
    forge.put(0, 0, b"question" * 50, 0)
    forge.put(1, 0, b"answer" * 400, 400)
    forge.put(0, 400, b"", 2400)
    forge.end(400, 2400)
    with logged(tmp_path, replayed, forge.capture(), vm="00:15:5d:00:00:01", memory="1MiB", blackout="900ms") as (
        replay, log,
    ):  # fmt: skip
        write_wire(tmp_path / "wire.pcapng", log, replay)
    (session,) = find_sessions(interface(tmp_path / "wire.pcapng", 0, tmp_path / "client.pcapng"))
    assert session.client.address == "[2001:db8::1]:40000"
    assert session.client.stream.tobytes() == b"question" * 50
    assert session.server.stream.tobytes() == b"answer" * 400
    assert session.tags == ((0x88A8, 7), (0x8100, 0x6014))
    (inside,) = find_sessions(interface(tmp_path / "wire.pcapng", 3, tmp_path / "vm.pcapng"))
    assert inside.tags == ((0x8100, 0x6014),)
    assert inside.server.stream.tobytes() == b"answer" * 400
