"""Sessions of captures: which there are, what is said of them, and of captures without any."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import followed
import numba
import numpy as np
import pytest
from forged import FIN, MS, PSH, RST, SECOND, SYN, Forge

from migration.fingerprint import guess_stack
from migration.marks import FLAGS, PARTIAL
from migration.sessions import Sessions, find_sessions
from migration.vm_choice import choose_vm, selfmade_names
from pcaps import samples
from pcaps.addresses import mac_to_key
from pcaps.blueprint import ip_word
from pcaps.capture import open as open_capture
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import tag_word
from pcaps.errors import BadInput
from pcaps.frames import Frames

CLIENT_MAC, SERVER_MAC = mac_to_key("02:00:00:00:00:01"), mac_to_key("00:15:5d:00:00:01")


def one(forge: Forge, **settings):
    (session,) = find_sessions(forge.capture(), **settings)
    return session


def flags(forge: Forge, **settings) -> set[str]:
    return set(one(forge, **settings).flags)


# Counts


@pytest.mark.compiled
def test_as_many_sessions_as_tshark_has_streams(captures: Path, manifest: list[dict]) -> None:
    compared = 0
    for entry in manifest:
        name = entry["file"]
        if not entry["tcp_streams"] or name.startswith("35"):
            continue
        # PPPoE, MPLS, GRE, MAC-in-MAC and headers quoted in ICMP errors are not looked into
        plain = "tcp && !pppoes && !mpls && !ieee8021ah && !gre && !icmp && !icmpv6"
        expected = followed.first_frames(captures / name, plain)
        try:
            found = find_sessions(captures / name, by_vlan=False, payloads=False)
        except BadInput:
            assert not expected, name
            continue
        assert len(found) == len(expected), name
        assert {session.first_frame for session in found} == set(expected.values()), name
        assert len(found) == entry["tcp_streams"] or name.startswith(("02", "09")), name
        compared += 1
    assert compared >= 20


@pytest.mark.compiled
def test_data_bytes_are_those_of_the_manifest(captures: Path, manifest: list[dict]) -> None:
    expected = {entry["file"]: entry["tcp_payload_bytes"] for entry in manifest}
    for name in ("12_many_protocols.pcap", "15_tso_superframes_ssh.pcap",
                 "17_real_lan_mix_488_tcp.pcap", "19_vlan100_14_complete_http.pcap"):  # fmt: skip
        found = find_sessions(captures / name, payloads=False)
        assert found.streams.sides["data_bytes"].sum() == expected[name]


@pytest.mark.compiled
def test_complete_sessions_are_those_of_the_manifest(captures: Path, manifest: list[dict]) -> None:
    for entry in manifest:
        if entry["file"].startswith(("12", "15", "16", "17", "19", "26")):
            found = find_sessions(captures / entry["file"], by_vlan=False, payloads=False)
            complete = 0
            for about, client, server in zip(
                found.streams.sessions, found.streams.sides[::2], found.streams.sides[1::2],
                strict=True,
            ):  # fmt: skip
                both = client["syns"] and server["syns"]
                complete += bool(
                    about["established"] and both and client["fin"] >= 0 and server["fin"] >= 0
                )
            assert complete == entry["tcp_complete_syn_synack_2fin"], entry["file"]


def test_every_sample_with_tcp_has_sessions() -> None:
    assert len(find_sessions(samples.path("office"))) > 10


# One connection, one session


def test_a_port_used_again_is_another_session() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"first", 0)
    forge.end(5, 0)
    forge.isn = [900_000, 5_000_000]
    forge.shake()
    forge.put(0, 0, b"second", 0)
    forge.end(6, 0)
    found = find_sessions(forge.capture())
    assert [bytes(session.client.stream) for session in found] == [b"first", b"second"]
    assert [session.number for session in found] == [1, 2]
    assert not any(session.flags for session in found)


def test_a_port_is_used_again_behind_a_reset_too() -> None:
    forge = Forge().shake()
    forge.put(1, 0, b"", 0, flags=RST)
    forge.isn = [900_000, 5_000_000]
    forge.shake()
    assert len(find_sessions(forge.capture())) == 2


def test_a_connection_that_nobody_closed_ends_with_a_syn_outside_of_its_window() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"first", 0)
    forge.isn = [3_000_000_000, 5_000_000]
    forge.shake()
    assert len(find_sessions(forge.capture())) == 2


def test_a_syn_inside_the_window_of_an_open_connection_is_left_out() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"first", 0)
    forge.put(0, 9, flags=SYN)
    forge.put(0, 5, b"+more", 0)
    session = one(forge)
    assert bytes(session.client.stream) == b"first+more"
    assert "stray" in session.flags


def test_the_same_syn_inside_the_window_opens_a_session_after_time_wait() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"first", 0)
    forge.put(0, 9, flags=SYN, after=241 * SECOND)
    assert len(find_sessions(forge.capture())) == 2


def test_a_syn_with_another_number_replaces_one_that_was_not_answered() -> None:
    forge = Forge()
    forge.put(0, 0, flags=SYN)
    forge.put(0, 0, flags=SYN, after=SECOND)
    forge.isn[0] = 1010
    forge.put(0, 0, flags=SYN, after=SECOND)
    found = find_sessions(forge.capture())
    assert [session.frames for session in found] == [2, 1]
    assert found[0].client.retransmissions == 1
    assert [set(session.flags) for session in found] == [{"unanswered", "open"}] * 2


def test_numbers_elsewhere_behind_the_close_are_another_session_without_syn() -> None:
    forge = Forge().shake().end(0, 0)
    forge.isn = [2_000_000_000, 4_000_000_000]
    forge.put(0, 0, b"later", 0, after=60 * SECOND)
    found = find_sessions(forge.capture())
    assert [set(session.flags) for session in found] == [set(), {"one-way", "open"}]


def test_sessions_are_numbered_in_order_of_their_first_frames() -> None:
    made = [
        TcpSession(2, 4, 10, 11, 1000 + k % 7, start_ns=SECOND * k, client_isn=k * 10_000_000)
        for k in range(21)
    ]
    found = find_sessions(conversations(made))
    assert len(found) == 21
    assert [session.client.isn for session in found] == [m.client_isn for m in made]
    assert [session.start_ns for session in found] == sorted(s.start_ns for s in found)


# VLANs


def tagged(*vids: int) -> Frames:
    """The same session in several VLANs at the same time."""
    made = TcpSession(2, 4, ip_word("10.0.0.1"), ip_word("10.0.0.2"), 1000)
    return conversations(
        [
            replace(made, tag=tag_word(0x8100, vid) if vid else 0, start_ns=k)
            for k, vid in enumerate(vids)
        ]
    )


def test_a_session_stays_in_its_vlan_or_not_as_asked() -> None:
    assert [s.vlan for s in find_sessions(tagged(0, 10, 20))] == ["-", "10", "20"]
    (joined,) = find_sessions(tagged(0, 10, 20), by_vlan=False)
    assert "crosses-vlans" in joined.flags
    assert joined.server.size == 10_000


def test_one_session_captured_in_three_vlans_is_three_or_one(captures: Path) -> None:
    path = captures / "01_vlan10qinq_vlan42_untagged_same_5tuple.pcap"
    found = find_sessions(path)
    assert [session.vlan for session in found] == ["-", "42", "10.20"]
    assert [session.flags for session in found] == [frozenset()] * 3
    assert len(find_sessions(path, by_vlan=False)) == 1


def test_vid_0_is_no_vlan() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"x", 0, tags=((0x8100, 5 << 13),))
    assert len(find_sessions(forge.capture())) == 1


def test_directions_in_different_vlans_are_told(captures: Path) -> None:
    path = captures / "18_tagged_one_way_tcp_retrans.pcap"
    halves = find_sessions(path)
    assert [session.vlan for session in halves] == ["3136", "-"]
    for half in halves:
        assert {"one-way", "crosses-vlans"} <= half.flags
        assert not half.established
    (whole,) = find_sessions(path, by_vlan=False)
    assert whole.flags == {"crosses-vlans"}


def test_tags_are_those_of_the_first_frame() -> None:
    forge = Forge(tags=((0x88A8, 0x6014), (0x8100, 0x0007))).shake()
    assert one(forge).tags == ((0x88A8, 0x6014), (0x8100, 7))
    assert one(forge).vlan == "20.7"


# Flags


def test_a_complete_session_has_no_flag() -> None:
    assert flags(Forge().shake().end(0, 0)) == set()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda f: f.shake(), {"open"}),
        (lambda f: f.put(0, 0, flags=SYN), {"open", "unanswered"}),
        (lambda f: (f.put(0, 0, b"x", 0), f.put(1, 0, b"", 1)), {"open", "no-syn"}),
        (lambda f: f.put(0, 0, b"x", 0), {"open", "one-way"}),
        (lambda f: (f.shake(), f.put(0, 0, b"", 0, flags=RST)), {"reset"}),
        (lambda f: (f.put(0, 0, flags=SYN), f.put(1, -1, b"", 0, flags=RST)), {"reset", "refused"}),
        (lambda f: (f.shake(), f.put(0, 0, b"x", 0, after=-MS)), {"open", "backward-time"}),
        (lambda f: (f.shake(), f.put(1, 0, b"", 50)), {"open", "incomplete"}),
        (lambda f: (f.shake(), f.put(0, 10**9, b"x", 0)), {"open", "stray"}),
    ],
)  # fmt: skip
def test_what_is_said_of_a_session(build, expected: set[str]) -> None:
    forge = Forge()
    build(forge)
    assert flags(forge) == expected
    assert expected <= FLAGS.keys()
    assert one(forge).partial == bool(expected & PARTIAL)


def test_simultaneous_open_is_one_session_of_the_first_to_send() -> None:
    forge = Forge()
    forge.put(1, 0, flags=SYN)
    forge.put(0, 0, flags=SYN)
    forge.put(0, 0, b"", 0, flags=SYN)
    forge.put(1, 0, b"", 0, flags=SYN)
    forge.put(0, 0, b"hello", 0)
    forge.put(1, 0, b"", 5)
    session = one(forge)
    assert session.flags == {"simultaneous-open", "open"}
    assert (session.client.port, session.retransmissions) == (80, 0)
    assert bytes(session.server.stream) == b"hello"


# Sides


def test_both_ends_are_described_by_their_syns() -> None:
    forge = Forge(ttl=61).shake()
    forge.put(0, 0, b"x" * 100, 0, window=500)
    forge.put(1, 0, b"", 100, window=300)
    session = one(forge)
    client = session.client
    assert (client.mac, client.ip, client.port) == (CLIENT_MAC, bytes([10, 0, 0, 1]), 40000)
    assert (client.isn, client.mss, client.wscale, client.sack) == (1000, 1460, 7, True)
    assert (client.timestamps, client.ts_first, client.ttl) == (True, 1000, 61)
    assert (client.stack, client.window, session.server.window) == ("linux", 128_000, 65160)
    assert session.side_of(SERVER_MAC) is not None
    assert session.side_of(7) is None
    assert (client.address, session.rtt_ns) == ("10.0.0.1:40000", 2 * MS)


def test_without_options_the_standard_says_what_a_side_takes() -> None:
    assert one(Forge().shake(options=b"")).client.mss == 536
    forge = Forge(addresses=("2001:db8::1", "2001:db8::2")).shake(options=b"")
    assert (one(forge).client.mss, one(forge).client.wscale) == (1220, None)
    assert one(forge).client.address == "[2001:db8::1]:40000"


def test_options_that_are_cut_or_malformed_are_left_out() -> None:
    for options in (b"\x02\x09\x05\xb4", b"\x02\x00\x05\xb4", b"\x02", b"\x01\x01\x03\x01"):
        client = one(Forge().shake(options=options)).client
        assert (client.mss, client.wscale, client.sack) == (536, None, False)


def test_a_shift_above_14_counts_as_14() -> None:
    assert one(Forge().shake(options=b"\x03\x03\xff\x00")).client.wscale == 14


def test_without_syn_the_client_is_the_end_with_the_high_port() -> None:
    forge = Forge()
    forge.put(1, 0, b"answer", 0)
    forge.put(0, 0, b"", 6)
    assert one(forge).client.port == 40000


def test_without_syn_and_low_ports_the_client_sent_data_first() -> None:
    forge = Forge(ports=(40000, 5001))
    forge.put(0, 0, b"", 0)
    forge.put(1, 0, b"data", 0)
    assert one(forge).client.port == 5001


def test_without_syn_the_stream_begins_with_the_lowest_number_seen() -> None:
    forge = Forge()
    forge.put(0, 10, b"world", 0)
    forge.put(0, 4, b"hello_", 0)
    forge.put(1, 0, b"", 15)
    session = one(forge)
    assert (bytes(session.client.stream), session.client.isn) == (b"hello_world", 1004)
    forge = Forge()
    forge.put(0, 10, b"world", 0)
    forge.put(1, 0, b"", 4)
    forge.put(1, 0, b"", 15)
    session = one(forge)
    assert (session.client.size, session.client.lost_bytes, session.client.isn) == (11, 6, 1004)


def test_without_syn_segment_size_scale_and_options_come_from_what_was_seen() -> None:
    timestamps = bytes.fromhex("0101080a0000000500000009")
    forge = Forge()
    forge.put(0, 0, b"", 0, window=100)
    for k in range(4):
        forge.put(1, 1400 * k, b"x" * 1400, 0, options=timestamps)
    forge.put(0, 0, b"", 5600, window=100)
    session = one(forge)
    assert (session.server.mss, session.server.timestamps, session.server.ts_first) == (
        1448,
        True,
        5,
    )
    assert session.client.wscale == 6  # 5600 bytes in flight do not fit in 100 << 5
    assert session.server.wscale == 7  # never tested
    assert session.client.timestamps is False


@pytest.mark.parametrize(("longest", "mss"), [(300, 536), (1448, 1448), (1460, 1460), (8000, 8948),
                                              (2896, 1448), (14600, 1460), (20_000, 1460)])  # fmt: skip
def test_segment_size_is_rounded_up_to_a_usual_one(longest: int, mss: int) -> None:
    forge = Forge()
    forge.put(0, 0, b"x" * longest, 0)
    forge.put(1, 0, b"", longest)
    assert one(forge).server.mss == mss


def test_frames_above_the_segment_size_are_counted_as_superframes() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"x" * 1460 * 10, 0)
    forge.put(0, 14600, b"x" * 1460, 0)
    session = one(forge)
    assert (session.client.superframes, session.client.size) == (1, 16060)


def test_superframes_of_a_real_capture(captures: Path) -> None:
    found = find_sessions(captures / "15_tso_superframes_ssh.pcap", payloads=False)
    assert sum(session.client.superframes + session.server.superframes for session in found) > 200


@pytest.mark.parametrize(
    ("ttl", "order", "stack"),
    [
        (64, 0x2483, "linux"), (57, 0x0243, "linux"), (63, 0x0002, "linux"),
        (128, 0x0234, "windows-2008r2"), (120, 0x0002, "windows-2008r2"),
        (64, 0x2384, "rfc"), (128, 0x2483, "rfc"), (255, 0x0002, "rfc"), (30, 0x2483, "rfc"),
    ],
)  # fmt: skip
def test_the_stack_is_guessed_from_ttl_and_order_of_options(ttl, order, stack) -> None:
    assert guess_stack(ttl, order) == stack


# Stations


def test_sessions_of_a_vm_and_who_has_how_many(captures: Path) -> None:
    found = find_sessions(captures / "12_many_protocols.pcap", payloads=False)
    mac, count = found.stations()[0]
    own = found.of_vm(mac)
    assert sum(session.established for session in own) == count
    assert all(session.side_of(mac) for session in own)
    names = selfmade_names([open_capture(captures / "12_many_protocols.pcap")])
    name = next(name for name, key in names.items() if key == mac)
    assert choose_vm(name, found, names) == mac


def test_a_vm_that_is_not_there_is_told_with_what_is() -> None:
    found = find_sessions(Forge().shake().capture())
    assert choose_vm("00-15-5D-00-00-01", found, {}) == SERVER_MAC
    with pytest.raises(BadInput, match="no VM 'vm12'; did you mean 'vm1'"):
        choose_vm("vm12", found, {"vm1": 1})
    with pytest.raises(
        BadInput, match=r"'00:15:5d:00:00:02' has no TCP session.*'00:15:5d:00:00:01'"
    ):
        choose_vm("00:15:5d:00:00:02", found, {})
    with pytest.raises(BadInput, match=r"vm1 \(01:00:00:00:00:00\) has no TCP session"):
        choose_vm("vm1", found, {"vm1": 1})


# Bad input


def test_captures_without_tcp_say_what_is_there(captures: Path) -> None:
    for name, text in (
        ("33_empty.pcap", "no frame"), ("08_goose_multicast_prio.pcap", "EtherType 0x88b8"),
        ("06_qinq_8100_8100_pppoe.pcap", "PPPoE"), ("03_four_vids_dns.pcap", "IPv4"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=text):
            find_sessions(captures / name)


def test_headers_that_were_cut_off_are_told() -> None:
    frames = Forge().shake().capture()
    cut = replace(frames, caplen=np.minimum(frames.caplen, 50).astype(np.uint32))
    with pytest.raises(BadInput, match="none of the 3 TCP frames has a whole TCP header"):
        find_sessions(cut)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(BadInput, match="no such file"):
        find_sessions("nowhere.pcap")


def test_streams_need_the_payloads() -> None:
    session = find_sessions(Forge().shake().capture(), payloads=False)[0]
    with pytest.raises(ValueError, match="without payloads"):
        _ = session.client.stream


def test_several_captures_are_one() -> None:
    forge = Forge().shake()
    forge.put(0, 0, b"begin ", 0, flags=PSH)
    forge.put(0, 6, b"end", 0, flags=FIN)
    frames = forge.capture()
    (session,) = find_sessions([frames[:4], frames[4:]])
    assert bytes(session.client.stream) == b"begin end"
    assert session.frames == 5


# Size


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs compiled kernels")
def test_a_million_segments_take_seconds() -> None:
    made = TcpSession(2, 4, 10, 11, 1000, response_bytes=7_000_000)
    frames = conversations([made])
    n = len(frames)
    several = [replace(frames, ts_ns=frames.ts_ns + k * SECOND) for k in range(1_000_000 // n + 1)]
    find_sessions(frames, payloads=False)  # compiled
    began = time.process_time()
    found = find_sessions(several, payloads=False)
    seconds = time.process_time() - began
    assert isinstance(found, Sessions)
    assert len(found.segments.rows) >= 1_000_000
    assert seconds < 10
