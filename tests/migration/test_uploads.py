"""Offloaded connections come back before a VM is moved: who, when, and what that costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import migration
from migration.replay_report import chimney_lines
from migration.results import to_dict
from migration.timeline import timeline_of
from migration.uploads import PART
from migration.verdict import Verdict
from nic.chimney_rules import NotOffloaded
from nic.tcp_states import TcpState
from pcaps import samples
from vswitch.cli import vswitch

pytestmark = pytest.mark.compiled
QUICK = {"memory": "1MiB", "at": "200ms", "after": "300ms", "announce": "rarp5"}


def run(n=6, **settings):
    return migration.replay(connections=n, **{**QUICK, "queues": "0", **settings})


def in_order(done):
    """Return the numbers of connections as they begin."""
    connections = done.simulation.connections
    return connections.number[np.argsort(connections.start_ns)].tolist()


def test_connections_come_back_one_by_one_before_the_suspension():
    done = run(chimney="100", upload_window="10ms", upload_time="1ms")
    uploads = done.uploads
    assert [one.number for one in uploads.uploads] == in_order(done)
    assert [one.at_ns for one in uploads.uploads] == [-9e6, -8e6, -7e6, -6e6, -5e6, -4e6]
    assert not uploads.late_ns
    assert not uploads.kept
    assert PART not in done.move.parts


def test_the_guest_goes_on_with_the_numbers_that_the_adapter_had():
    done = run(chimney="100")
    connections, ends = done.simulation.connections, done.simulation.at_blackout
    for upload in done.uploads.uploads:
        c = upload.number - 1
        end = 2 * c + int(connections.vm_side[c])
        isn, peer_isn = int(connections.isn[end]), int(connections.isn[end ^ 1])
        assert upload.state is TcpState.ESTABLISHED
        assert upload.snd_una == (isn + int(ends[end]["una"])) % 2**32
        assert upload.snd_nxt == (isn + int(ends[end]["nxt"])) % 2**32
        assert upload.rcv_nxt == (peer_isn + int(ends[end]["rcv_nxt"])) % 2**32


def test_late_uploads_are_a_part_of_the_blackout_and_change_no_verdict():
    plain = run()
    late = run(chimney="100", upload_window="2ms", upload_time="1ms")
    assert [one.late for one in late.uploads.uploads] == [False, False, True, True, True, True]
    assert late.move.parts[PART] == late.uploads.late_ns == 4_000_000
    assert late.move.blackout_ns == plain.move.blackout_ns + 4_000_000
    assert sum(late.move.parts.values()) == late.move.blackout_ns
    assert list(late.move.parts)[:2] == ["stop", PART]
    assert late.light_ns >= plain.light_ns + 4_000_000
    assert [one.verdict for one in late.outcomes] == [one.verdict for one in plain.outcomes]


def test_the_adapter_takes_who_comes_first_and_no_more_than_it_can_hold():
    done = run(chimney="4")
    assert [one.number for one in done.uploads.uploads] == in_order(done)[:4]
    assert done.uploads.kept == {NotOffloaded.FULL: 2}


def test_an_entry_is_free_again_when_its_connection_has_ended():
    """137 sessions of the office, one behind the other; the move meets the 80th."""
    settings = {**QUICK, "queues": "0", "margins": False}
    first = migration.replay(samples.path("office"), **settings)
    sessions = first.simulation.connections.sessions
    session, begin_ns = sessions[79], min(one.start_ns for one in sessions)
    middle_ns = (session.start_ns + session.end_ns) // 2 - begin_ns
    settings["at"] = f"{middle_ns - first.move.suspend_ns}ns"
    done = migration.replay(samples.path("office"), chimney="1", **settings)
    assert [one.number for one in done.uploads.uploads] == [session.number]
    assert not done.uploads.kept


def test_a_vm_queue_excludes_chimney_until_the_target_has_none_left():
    done = run(queues="16", target_queues="0", chimney="100")
    assert done.uploads.uploads == ()
    assert done.uploads.kept == {NotOffloaded.VM_QUEUE: 6}
    assert done.uploads.again is None
    there = run(queues="0", target_queues="16", chimney="100")
    assert there.uploads.again is NotOffloaded.VM_QUEUE
    assert len(there.uploads.uploads) == 6


def test_chimney_is_off_by_default_and_a_network_outage_uploads_nothing():
    assert run().uploads is None
    assert run(outage="true", blackout="10ms", chimney="100").uploads is None
    assert run(chimney="0").uploads is None


def test_report_json_and_timeline_tell_the_same():
    done = run(chimney="5", upload_window="2ms", upload_time="1ms")
    found = json.loads(json.dumps(to_dict(done)))
    assert found["chimney"]["uploaded"] == 5
    assert found["chimney"]["late"] == 3
    assert found["chimney"]["not_offloaded"] == {"full": 1}
    lines = list(chimney_lines(found))
    assert lines[0].endswith(
        "3 of them late, 3 ms of the blackout: " + ", ".join(map(str, in_order(done)[2:5]))
    )
    assert lines[1].startswith("source: 1 open connection not offloaded")
    listed = timeline_of(done)["uploads"]
    assert [one["late"] for one in listed] == [False, False, True, True, True]
    assert [one["at_s"] for one in listed] == sorted(one["at_s"] for one in listed)
    assert {one.verdict for one in done.outcomes} == {Verdict.SURVIVED}


def test_a_release_without_chimney_for_guests_says_so(tmp_path):
    scenario = tmp_path / "host.toml"
    scenario.write_text(
        '[scenario]\nprofile = "2012"\n[nic]\nqueues = 0\n[[network]]\nname = "lan"\n'
        '[[vm]]\nname = "web"\nnetwork = "lan"\n'
    )
    done = CliRunner().invoke(
        vswitch, ["migrate", "--synthetic", "3", "-s", str(scenario), "--chimney", "10", "--at",
               "200ms", "--memory", "1MiB", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["chimney"]
    assert found["not_offloaded"] == {"profile": 3}
    assert found["again"] == "profile"
