"""Application turns: one rule a test, and the plain twin on everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from forged import FIN, MS, PSH, RST, SYN, Forge
from test_streams import SEEDS, chaos

from migration.segments import read_segments
from migration.sessions import find_sessions
from migration.streams import Streams, rebuild
from migration.turns import ABORT, CLIENT, CLOSE, SERVER, WRITE, turns_of
from migration.turns_reference import SlowTurns
from pcaps.capture import open as open_capture
from pcaps.conversations import TcpSession, conversations

RTT = 20 * MS
HALF = RTT // 2


def opened() -> Forge:
    """A connection with a round trip of 20 ms, captured half way."""
    return Forge().shake(rtt=RTT)


def turns(forge: Forge) -> list[tuple[int, int, int, int, int]]:
    """Side, kind, need, think in ms, size."""
    session = find_sessions(forge.capture())[0]
    for side, who in ((session.client, CLIENT), (session.server, SERVER)):
        own = session.turns[session.turns["side"] == who]
        assert own[own["kind"] == WRITE]["size"].sum() == side.size
        assert (np.diff(own["need"]) >= 0).all()
    return [
        (int(t["side"]), int(t["kind"]), int(t["need"]), int(t["think_ns"]) // MS, int(t["size"]))
        for t in session.turns
    ]


def test_question_and_answer_wait_for_each_other_and_for_the_application() -> None:
    forge = opened()
    forge.put(0, 0, b"q" * 100, 0, after=3 * MS)
    forge.put(1, 0, b"a" * 300, 100, after=HALF + 7 * MS)
    forge.put(0, 100, b"q" * 50, 300, after=HALF + 5 * MS)
    assert turns(forge) == [
        (CLIENT, WRITE, 0, 3, 100), (SERVER, WRITE, 100, 7, 300), (CLIENT, WRITE, 300, 5, 50),
    ]  # fmt: skip


def test_a_server_that_speaks_first_waits_for_nothing_but_the_handshake() -> None:
    forge = opened()
    forge.put(1, 0, b"220 ready", 0, after=HALF + 4 * MS)
    assert turns(forge) == [(SERVER, WRITE, 0, 4, 9)]


def test_segments_that_follow_at_once_are_one_write() -> None:
    forge = opened()
    for k in range(5):
        forge.put(0, 1000 * k, b"x" * 1000, 0, after=MS)
    assert turns(forge) == [(CLIENT, WRITE, 0, 1, 5000)]


def test_a_pause_behind_a_push_begins_a_new_write() -> None:
    forge = opened()
    forge.put(0, 0, b"one", 0, flags=PSH, after=0)
    forge.put(0, 3, b"two", 0, flags=PSH, after=9 * MS)
    forge.put(0, 6, b"three", 0, flags=PSH, after=11 * MS)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 6), (CLIENT, WRITE, 0, 20, 5)]


def test_without_a_push_only_a_longer_pause_does() -> None:
    forge = opened()
    forge.put(0, 0, b"one", 0, after=0)
    forge.put(0, 3, b"two", 0, after=39 * MS)
    forge.put(0, 6, b"three", 0, after=41 * MS)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 6), (CLIENT, WRITE, 0, 80, 5)]


def test_a_pause_until_the_acknowledgment_made_room_is_the_networks() -> None:
    forge = opened()
    at = 0
    for _ in range(6):  # two segments a round trip
        forge.put(1, at, b"x" * 1000, 0, after=HALF, flags=PSH)
        forge.put(1, at + 1000, b"x" * 1000, 0, after=0, flags=PSH)
        forge.put(0, 0, b"", at + 2000, after=HALF)
        at += 2000
    assert [turn[1:] for turn in turns(forge)] == [(WRITE, 0, 0, 12000)]


def test_a_pause_with_a_full_window_is_the_networks() -> None:
    forge = opened()
    forge.put(0, 0, b"", 0, window=16)  # 2048 bytes with a shift of 7
    forge.put(1, 0, b"x" * 1024, 0, after=RTT)
    forge.put(1, 1024, b"x" * 1024, 0, after=0, flags=PSH)
    forge.put(0, 0, b"", 2048, window=0)
    forge.put(0, 0, b"", 2048, window=16, after=700 * MS)
    forge.put(1, 2048, b"x" * 1024, 0, after=RTT + MS)
    found = turns(forge)
    assert [turn[4] for turn in found] == [2048, 1024]
    forge = opened()
    forge.put(0, 0, b"", 0, window=8)
    forge.put(1, 0, b"x" * 1024, 0, after=RTT)
    forge.put(1, 1024, b"x" * 1024, 0, after=700 * MS, flags=PSH)
    assert [turn[4] for turn in turns(forge)] == [2048]


def test_data_in_between_begins_a_new_write_only_when_it_is_acknowledged() -> None:
    forge = opened()
    forge.put(0, 0, b"x" * 100, 0, after=0)
    forge.put(1, 0, b"unheard", 0)
    forge.put(0, 100, b"x" * 100, 0)
    assert [turn[0::4] for turn in turns(forge)] == [(CLIENT, 200), (SERVER, 7)]
    forge.put(0, 200, b"x" * 100, 7)
    assert [turn[0::4] for turn in turns(forge)] == [(CLIENT, 200), (SERVER, 7), (CLIENT, 100)]


def test_a_retransmission_that_the_capture_shows_first_was_handed_over_before_what_follows() -> (
    None
):
    forge = opened()
    forge.put(0, 0, b"x" * 100, 0, after=0)
    forge.put(0, 200, b"x" * 100, 0, after=0)  # 100..200 were lost before the capture
    forge.put(1, 0, b"", 100, after=HALF)
    forge.put(0, 100, b"x" * 100, 0, after=300 * MS)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 300)]


def test_lost_bytes_belong_to_the_write_before_them() -> None:
    forge = opened()
    forge.put(0, 0, b"x" * 100, 0, after=0)
    forge.put(0, 500, b"x" * 100, 0, after=100 * MS)
    forge.put(1, 0, b"", 900)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 500), (CLIENT, WRITE, 0, 100, 400)]


def test_a_fin_is_a_turn_that_waits_like_a_write() -> None:
    forge = opened()
    forge.put(0, 0, b"q" * 10, 0, after=0)
    forge.put(1, 0, b"a" * 20, 10, after=HALF)
    forge.put(1, 20, b"", 10, flags=FIN, after=0)
    forge.put(0, 10, b"", 21, flags=FIN, after=HALF + 6 * MS)
    forge.put(1, 21, b"", 11)
    assert turns(forge) == [
        (CLIENT, WRITE, 0, 0, 10), (SERVER, WRITE, 10, 0, 20), (SERVER, CLOSE, 10, 0, 0),
        (CLIENT, CLOSE, 21, 6, 0),
    ]  # fmt: skip


def test_a_fin_on_the_last_data_and_its_retransmissions_are_one_close_at_once() -> None:
    forge = opened()
    forge.put(0, 0, b"q" * 10, 0, flags=FIN, after=0)
    forge.put(0, 0, b"q" * 10, 0, flags=FIN, after=200 * MS)
    forge.put(0, 10, b"", 0, flags=FIN, after=400 * MS)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 10), (CLIENT, CLOSE, 0, 0, 0)]


def test_half_closed_the_other_side_goes_on() -> None:
    forge = opened()
    forge.put(0, 0, b"all", 0, flags=FIN, after=0)
    forge.put(1, 0, b"sorted", 4, after=HALF + 2 * MS)
    forge.put(1, 6, b"", 4, flags=FIN, after=50 * MS)
    assert turns(forge) == [
        (CLIENT, WRITE, 0, 0, 3), (CLIENT, CLOSE, 0, 0, 0), (SERVER, WRITE, 4, 2, 6),
        (SERVER, CLOSE, 4, 50, 0),
    ]  # fmt: skip


def test_a_reset_is_an_abort_by_the_side_that_sent_it_first() -> None:
    forge = opened()
    forge.put(0, 0, b"q" * 10, 0, after=0)
    forge.put(1, 0, b"", 10, flags=RST, after=HALF + 30 * MS)
    forge.put(0, 10, b"", 0, flags=RST)
    assert turns(forge) == [(CLIENT, WRITE, 0, 0, 10), (SERVER, ABORT, 10, 30, 0)]


def test_a_reset_without_acknowledgment_needs_what_was_acknowledged_before() -> None:
    forge = opened()
    forge.put(1, 0, b"a" * 10, 0, after=HALF)
    forge.put(0, 0, b"", 10, after=HALF)
    forge.put(0, 0, b"", flags=RST, after=40 * MS)
    assert turns(forge)[1] == (CLIENT, ABORT, 10, 40, 0)


def test_a_reset_behind_the_own_fin_is_the_stacks_not_the_applications() -> None:
    forge = opened()
    forge.put(0, 0, b"", 0, flags=FIN, after=0)
    forge.put(1, 0, b"late", 1, after=HALF)
    forge.put(0, 1, b"", flags=RST, after=HALF)
    assert [turn[:2] for turn in turns(forge)] == [(CLIENT, CLOSE), (SERVER, WRITE)]


def test_refused_and_unanswered_connections_have_no_turns() -> None:
    refused, unanswered = Forge(), Forge(ports=(40001, 80))
    refused.put(0, 0, flags=SYN)
    refused.put(1, -1, b"", 0, flags=RST)
    unanswered.put(0, 0, flags=SYN)
    unanswered.put(0, 0, flags=SYN, after=3000 * MS)
    assert [len(one.turns) for one in find_sessions(refused.capture(unanswered))] == [0, 0]


def test_without_handshake_the_shortest_acknowledgment_gives_the_round_trip() -> None:
    forge = Forge()
    for k, delay in enumerate((9 * MS, 4 * MS, 6 * MS)):
        forge.put(0, 10 * k, b"x" * 10, 0, after=100 * MS)
        forge.put(1, 0, b"", 10 * k + 10, after=delay)
    session = find_sessions(forge.capture())[0]
    assert (session.client_rtt_ns, session.server_rtt_ns, session.rtt_ns) == (None, 4 * MS, 4 * MS)


def test_a_capture_that_tells_no_round_trip_takes_the_given_one() -> None:
    forge = Forge()
    forge.put(0, 0, b"x", 0)
    forge.put(1, 0, b"y", 0)
    session = find_sessions(forge.capture(), default_rtt_ns=5 * MS)[0]
    assert (session.client_rtt_ns, session.rtt_ns) == (None, 5 * MS)


def test_a_retransmitted_syn_does_not_lengthen_the_round_trip() -> None:
    forge = Forge()
    forge.put(0, 0, flags=SYN)
    forge.put(0, 0, flags=SYN, after=1000 * MS)
    forge.put(1, 0, b"", 0, flags=SYN, after=7 * MS)
    forge.put(0, 0, b"", 0, after=2 * MS)
    session = find_sessions(forge.capture())[0]
    assert (session.client_rtt_ns, session.server_rtt_ns) == (2 * MS, 7 * MS)


def test_times_that_go_back_count_as_standing_still() -> None:
    forge = opened()
    forge.put(0, 0, b"one", 0, after=5 * MS)
    forge.put(1, 0, b"two", 3, after=-HALF)
    forge.put(0, 3, b"three", 3, after=HALF + 40 * MS)
    found = turns(forge)
    assert [turn[2] for turn in found] == [0, 3, 3]
    assert all(turn[3] >= 0 for turn in found)


def test_a_synthetic_session_has_the_turns_it_was_made_of() -> None:
    made = TcpSession(2, 4, 0x0100000A, 0x0200000A, 40000, request_bytes=500, response_bytes=90_000)
    (session,) = find_sessions(conversations([made]))
    found = [(*t.item()[:3], int(t["size"])) for t in session.turns]
    assert found == [
        (CLIENT, WRITE, 0, 500), (SERVER, WRITE, 500, 90_000), (SERVER, CLOSE, 500, 0),
        (CLIENT, CLOSE, 90_001, 0),
    ]  # fmt: skip
    assert (session.turns["think_ns"] < MS).all()


# Twin


def check_twin(streams: Streams) -> int:
    """Compare the turns of every established session with the twin's; return how many turns."""
    found = turns_of(streams, default_rtt_ns=MS)
    names = streams.segments.rows.dtype.names
    for number, about in enumerate(streams.sessions):
        if not about["established"]:
            assert len(found.of(number)) == 0
            continue
        first = int(about["first"])
        rows = [
            dict(zip(names, row.item(), strict=True))
            for row in streams.segments.rows[first : first + int(about["count"])]
        ]
        sides = tuple(
            dict(zip(side.dtype.names, side.item(), strict=True))
            for side in streams.sides[2 * number : 2 * number + 2]
        )
        pieces = tuple(
            [
                (int(p["at"]), int(p["size"]), int(p["row"]) - first)
                for p in streams.pieces[side["first_piece"] :][: side["pieces"]]
            ]
            for side in sides
        )
        plain = dict(zip(about.dtype.names, about.item(), strict=True))
        twin = SlowTurns(plain, rows, sides, pieces, MS)
        assert [turn.item() for turn in found.of(number)] == twin.turns(), number
        timing = found.timings[number]
        trips = [None if value < 0 else value for value in timing.item()[:2]]
        assert trips == [twin.round_trips[CLIENT], twin.round_trips[SERVER]]
    return len(found.turns)


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_kernel_and_twin_agree_on_segments_that_make_little_sense(first: int) -> None:
    segments = read_segments([Forge().shake().capture()])
    total = 0
    for seed in range(first, first + SEEDS):
        object.__setattr__(segments, "rows", chaos(seed, 60))
        total += check_twin(rebuild(segments))
    assert total > 5 * SEEDS


@pytest.mark.parametrize("name", ["12_many_protocols.pcap", "15_tso_superframes_ssh.pcap",
                                  "17_real_lan_mix_488_tcp.pcap", "19_vlan100_14_complete_http.pcap"])  # fmt: skip
def test_kernel_and_twin_agree_on_real_captures(captures: Path, name: str) -> None:
    assert check_twin(rebuild(read_segments([open_capture(captures / name)]))) > 50
