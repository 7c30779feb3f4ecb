"""Sessions of recorded kernel TCP are what the programs did that were recorded."""

from __future__ import annotations

import followed
import numpy as np
import pytest
import tcp_analysis
from kernel_tcp import CLIENT_MAC, VM_MAC, text_of

from migration.sessions import find_sessions
from migration.turns_kernel import WRITE
from migration.wire import epoch_of, write_wire
from pcaps import samples
from pcaps.addresses import mac_to_key
from tests.migration.moved import logged, replayed

RECORDINGS = {"kernel_rr": 1, "kernel_bulk": 1, "kernel_http": 3}


@pytest.mark.parametrize(("name", "sessions"), RECORDINGS.items())
def test_a_recording_is_clean(name, sessions):
    found = find_sessions(samples.path(name))
    assert len(found) == sessions
    for session in found:
        assert session.established
        assert not session.flags
        assert not session.retransmissions
        assert (session.client.mac, session.server.mac) == (
            mac_to_key(CLIENT_MAC), mac_to_key(VM_MAC),
        )  # fmt: skip
        for side in (session.client, session.server):
            assert (side.stack, side.mss, side.sack, side.timestamps) == ("linux", 1460, True, True)


@pytest.mark.parametrize("name", RECORDINGS)
def test_streams_are_those_that_tshark_follows(name):
    path = samples.path(name)
    found = list(find_sessions(path))
    theirs = followed.follow(path, list(range(len(found))))
    for number, session in enumerate(found):
        assert session.client.stream.tobytes() == theirs[number][0]
        assert session.server.stream.tobytes() == theirs[number][1]


def test_each_request_waits_20_ms_behind_the_answer_before_it():
    (session,) = find_sessions(samples.path("kernel_rr"))
    writes = session.turns[session.turns["kind"] == WRITE]
    assert len(writes) == 2 * session.client.size // 64
    assert (writes["size"] == 64).all()
    asked = writes[writes["side"] == 0]
    assert (asked["need"] == 64 * np.arange(len(asked))).all()
    assert (asked["think_ns"][1:] >= 20_000_000).all()
    assert np.median(asked["think_ns"][1:]) < 25_000_000


def test_a_client_that_sends_all_it_may_makes_one_write():
    (session,) = find_sessions(samples.path("kernel_bulk"))
    (write,) = session.turns[session.turns["kind"] == WRITE]
    assert (write["side"], write["size"]) == (0, session.client.size)


def test_what_was_downloaded_is_what_lay_in_the_server_s_folder():
    for session in find_sessions(samples.path("kernel_http")):
        asked, answered = session.client.stream.tobytes(), session.server.stream.tobytes()
        assert asked.startswith(b"GET /notes.txt HTTP/1.1\r\n")
        assert answered.partition(b"\r\n\r\n")[2] == text_of(40_000)


@pytest.mark.parametrize("hold", [False, True], ids=["dropped", "held"])
@pytest.mark.parametrize("name", ["kernel_rr", "kernel_http"])
def test_through_a_move_tshark_sees_the_client_send_again_when_we_say(tmp_path, name, hold):
    settings = {"vm": VM_MAC, "memory": "1MiB", "blackout": "800ms", "hold": hold}
    with logged(tmp_path, replayed, samples.path(name), **settings) as (replay, log):
        write_wire(tmp_path / "wire.pcapng", log, replay)
    (client,) = (
        one for one in tcp_analysis.interfaces(tmp_path / "wire.pcapng") if "client" in one
    )
    seen = tcp_analysis.interface(tmp_path / "wire.pcapng", client, tmp_path / "client.pcapng")
    assert tcp_analysis.faults(seen) == []
    found = tcp_analysis.retransmissions(seen, "192.0.2.1").values()
    dark_ns = epoch_of(replay.simulation.connections) + replay.blackout_ns
    ours = [dark_ns + at for outcome in replay.outcomes for at in outcome.rto_times_ns]
    assert sorted(again.ts_ns for several in found for again in several) == sorted(ours)
    assert ours or hold
    theirs = list(find_sessions(samples.path(name)))
    for session, captured in zip(find_sessions(seen), theirs, strict=True):
        assert session.client.stream.tobytes() == captured.client.stream.tobytes()
        assert session.server.stream.tobytes() == captured.server.stream.tobytes()
