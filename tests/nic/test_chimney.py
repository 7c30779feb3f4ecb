"""The offload target and the host above it: tables, capacity, reasons, queues, real captures, the command."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import fields
from pathlib import Path

import followed
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from talk import CLIENT, MS, SERVER, Talk
from tcp_frames import FIN, HOP_BY_HOP, PSH, RST, SIX, SYN, URG, timestamps

from nic import chimney_state
from nic.chimney import Chimney, Initiated
from nic.chimney_host import ChimneyHost
from nic.chimney_report import totals
from nic.chimney_rules import (
    SEGMENT_GOES_TO,
    TRANSITIONS,
    ChimneyError,
    Event,
    NotOffloaded,
    Phase,
    Place,
    Status,
    UploadReason,
    next_phase,
)
from nic.chimney_settings import Capacity, Conditions, Policy, Thresholds
from nic.tcp_states import TcpState
from pcaps.capture import open as open_capture
from pcaps.classic_writer import ClassicWriter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.cli import vswitch

ROOT = Path(__file__).resolve().parents[2]
FACTS = Path(os.environ.get("VSWITCH_FACTS", ROOT.parent / "shared" / "facts")) / "nic-switch"
DATA = bytes(range(200))


def facts(name):
    if not (FACTS / name).exists():
        pytest.skip(f"no table of facts at {FACTS / name}")
    with (FACTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def played(talk, *, capacity=None, thresholds=None, local=frozenset({SERVER}), pause=None,
           resume=None, before=None, **policy):  # fmt: skip
    """Play a conversation to a host; return it, and what went up by connection."""
    streams: dict[int, bytes] = {}

    def deliver(connection, data):
        streams[connection.number] = streams.get(connection.number, b"") + data

    chimney = Chimney(capacity, thresholds)
    settings = {"offload_ns": 0, "upload_ns": 0} | policy
    host = ChimneyHost(chimney, Policy(**settings), local=local, deliver=deliver)
    if pause is not None:
        host.schedule(pause, resume)
    frames = talk if isinstance(talk, Frames) else talk.capture()
    for place in range(len(frames)):
        if before is not None:
            before(host, place)
        host.add([frames[place : place + 1]])
    host.finish()
    return host, streams


def long_talk(pieces=30, **settings):
    talk = Talk(**settings).shake()
    for number in range(pieces):
        talk.put(0, DATA, flags=PSH if number % 5 == 4 else 0)
        if number % 2:
            talk.put(1)
    return talk


# Tables


def test_variables_are_those_of_the_table_of_facts():
    named = {"tcp": "Tcp", "path": "Path", "neighbor": "Neighbor"}
    short = {"flags": "", "c_wnd": "cwnd", "s_rtt": "srtt", "send_w_l1": "send_wl1", "d_wnd": "dwnd",
             "max_r_t": "max_rt", "total_r_t": "total_rt"}  # fmt: skip

    def snake(word):
        parts = re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z][a-z0-9]*", word)
        joined = "_".join(parts).lower()
        return short.get(joined, joined)

    wanted: dict[str, set[str]] = {}
    for row in facts("chimney_state.csv"):
        if row["variable"] == "(none)":
            continue
        text = re.sub(r"\([^)]*\)|;[^}]*", "", row["variable"]).replace("Flags:", "")
        text = re.sub(r"(\w+)\{(\w+)\|(\w+)\}?\}?", r"\1\2, \1\3", text).replace("}", "")
        text = text.replace("SendDataHead/Tail", "SendDataHead, SendDataTail")
        kind = f"{named[row['object']]}{row['class'].capitalize()}"
        names = {
            word.strip().lower() if word.strip().isupper() else snake(word.strip())
            for word in text.split(",") if word.strip()
        }  # fmt: skip
        wanted.setdefault(kind, set()).update(names)
    for kind, names in wanted.items():
        ours = {one.name for one in fields(getattr(chimney_state, kind))}
        assert ours == {
            name.replace("keep_alive_restart", "keep_alive_restart") for name in names
        }, kind


def test_upload_reasons_are_those_of_the_table_of_facts():
    rows = facts("chimney_upload_reasons.csv")
    assert {row["reason"]: row["host_upload"] == "mandatory" for row in rows} == {
        reason.value: reason.mandatory for reason in UploadReason
    }


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("phase", Phase)
def test_phase_follows_the_table_and_everything_else_is_refused(event, phase):
    if phase in TRANSITIONS[event]:
        assert next_phase(phase, event) is TRANSITIONS[event][phase]
    else:
        with pytest.raises(ChimneyError, match="not valid"):
            next_phase(phase, event)


def test_every_reason_and_status_has_its_sentence():
    for kind in (UploadReason, Status, NotOffloaded):
        sentences = [one.sentence for one in kind]
        assert len(set(sentences)) == len(sentences)
    assert set(SEGMENT_GOES_TO.values()) == set(Place)


# What goes up, and who did the work


def test_data_goes_up_in_order_by_the_adapter_and_acknowledgments_are_consumed():
    talk = long_talk()
    talk.put(1, b"answer", flags=PSH)
    host, streams = played(talk.put(0).close(), buffer_bytes=10_000)
    (connection,) = host.connections
    assert streams[1] == talk.streams[0]
    work = connection.work
    assert (work.host_bytes, work.adapter_bytes) == (0, 6000)
    assert (work.host_segments, work.adapter_segments) == (3, len(talk.frames) - 3)
    assert (work.acks_consumed, work.acks_made) == (2, 15)
    assert (work.buffers, work.writes) == (6, 1)  # six PSH, one send request
    assert connection.state is TcpState.CLOSED
    assert connection.phase is Phase.HOST
    assert not host.chimney.entries
    assert [step.event for step in connection.log] == [
        Event.INITIATE, Event.INITIATE_SUCCEEDED, Event.TERMINATE, Event.TERMINATE_COMPLETED,
    ]  # fmt: skip


def test_host_is_asked_by_the_buffer_and_not_by_the_segment():
    few, many = (played(long_talk(), buffer_bytes=size)[0] for size in (100_000, 100))
    assert few.connections[0].work.buffers == 6  # PSH completes one
    assert many.connections[0].work.buffers == 60
    without = played(long_talk(), mode="disabled")[0].connections[0].work
    assert without.host_events == without.host_segments == 48
    assert few.connections[0].work.host_events == 3 + 6


def test_order_is_made_and_duplicates_go_up_once():
    talk = Talk().shake()
    talk.put(0, b"bbbb", at=4).put(0, b"aaaa", at=0).put(0, b"aaaabb", at=0).put(0, b"cc", at=8)
    host, streams = played(talk)
    assert streams[1] == b"aaaabbbbcc"
    assert host.connections[0].out_of_order == 1


@pytest.mark.parametrize("settings", [SIX, {"tags": ((0x8100, 20),)}])
def test_ipv6_and_vlan(settings):
    talk = long_talk(**settings)
    host, streams = played(talk)
    assert streams[1] == talk.streams[0]
    tree = host.connections[0].entry.tree
    assert tree.neighbor.const.vlan_id == (20 if "tags" in settings else 0)
    assert len(tree.path.const.source_address) == (16 if settings is SIX else 4)


def test_what_an_initiate_hands_over():
    talk = Talk().shake().put(0, b"x")
    host, _ = played(talk)
    tree = host.connections[0].entry.tree
    assert (tree.neighbor.const.dl_source_address, tree.neighbor.cached.dl_destination_address) == (
        SERVER,
        CLIENT,
    )
    assert (tree.path.const.source_address, tree.path.const.destination_address) == (
        bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]),
    )  # fmt: skip
    const = tree.const
    assert (const.local_port, const.remote_port, const.remote_mss) == (80, 40000, 1460)
    assert (const.sack_enabled, const.timestamp_enabled, const.window_scaling_enabled) == (
        True,
        False,
        True,
    )
    assert (const.snd_wind_scale, const.rcv_wind_scale) == (2, 2)
    assert tree.path.cached.path_mtu == 1500
    assert tree.delegated.state is TcpState.ESTABLISHED
    assert (tree.delegated.rcv_nxt, tree.delegated.snd_una) == (1001, 5001)


def test_both_ends_may_be_on_the_host():
    talk = long_talk().put(1, b"answer")
    host, streams = played(talk, local=None)
    assert [one.ends.mac for one in host.connections] == [CLIENT, SERVER]
    assert streams == {1: b"answer", 2: talk.streams[0]}


def test_segments_of_a_fin_and_a_reset():
    talk = Talk().shake().put(0, b"data", flags=FIN)
    host, streams = played(talk)
    assert host.connections[0].state is TcpState.CLOSE_WAIT
    assert host.connections[0].phase is Phase.OFFLOADED  # the resources stay
    talk = Talk().shake().put(0, b"data").put(0, flags=RST).put(0, b"nobody")
    host, streams = played(talk)
    assert streams[1] == b"data"
    assert host.connections[0].state is TcpState.CLOSED
    assert not host.chimney.entries


def test_syn_with_another_number_is_another_connection():
    talk = long_talk(2)
    second = Talk(isn=(900_000, 800_000), start_ns=talk.now).shake().put(0, b"second")
    talk.frames += second.frames
    host, streams = played(talk)
    assert [streams[n] for n in (1, 2)] == [DATA * 2, b"second"]
    assert host.connections[0].phase is Phase.HOST
    again = Talk().shake()
    again.frames.insert(1, again.frames[0])  # the SYN is sent again
    assert len(played(again)[0].connections) == 1


# While an offload or an upload is under way


def test_segments_that_come_during_an_offload_wait_and_are_forwarded_in_order():
    """Rule: W_TCP_OFFLOAD_FORWARD_HANDLER."""
    talk = long_talk()
    host, streams = played(talk, offload_ns=10 * MS)
    work = host.connections[0].work
    assert streams[1] == talk.streams[0]
    assert work.queued == work.forwarded == 9  # those before the tenth millisecond
    assert work.adapter_bytes == 6000


def test_segments_that_come_during_an_upload_wait_and_are_processed_by_the_host():
    talk = long_talk()
    host, streams = played(talk, upload_ns=10 * MS, pause=10**18 + 20 * MS)
    connection = host.connections[0]
    assert streams[1] == talk.streams[0]
    assert connection.upload is UploadReason.UPLOAD_REQUESTED
    assert connection.work.queued == 10
    assert connection.work.forwarded == 0
    assert connection.work.host_bytes + connection.work.adapter_bytes == 6000
    assert connection.why_not is NotOffloaded.PAUSED


def test_failed_offload_leaves_what_waited_to_the_host():
    talk = long_talk()
    host, streams = played(talk, capacity=Capacity(tcp_entries=0), offload_ns=10 * MS)
    work = host.connections[0].work
    assert streams[1] == talk.streams[0]
    assert (work.queued, work.forwarded, work.adapter_segments) == (9, 0, 0)


def test_received_data_that_the_host_buffers_is_handed_over():
    talk = Talk().shake().put(0, b"bbbb", at=4, after=0).put(0, b"aaaa", at=0)
    host, streams = played(talk, min_bytes=4, mode="automatic")
    assert host.connections[0].entry.tree.delegated.buffered_data == ((4, b"bbbb"),)
    assert streams[1] == b"aaaabbbb"


def test_fragments_and_ip_options_take_a_detour_by_the_host():
    talk = Talk().shake()
    talk.put(0, b"plain").put(0, b"optional", ip_options=bytes(4))
    host, streams = played(talk)
    work = host.connections[0].work
    assert streams[1] == b"plainoptional"
    assert (work.adapter_segments, work.forwarded) == (2, 1)
    six = Talk(**SIX).shake().put(0, b"six", ip_options=HOP_BY_HOP)
    assert played(six)[0].connections[0].work.forwarded == 1


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 80)), min_size=1, max_size=30),
       st.integers(0, 20), st.integers(0, 20), st.integers(0, 40), st.integers(0, 20))  # fmt: skip
def test_stream_is_the_same_whenever_it_is_offloaded_and_uploaded(
    pieces, offload, upload, pause, more
):
    talk = Talk().shake()
    for at, size in pieces:
        talk.put(0, bytes((at + n) % 251 for n in range(size)), at=at)
    begin = 10**18
    _, wanted = played(talk, mode="disabled")
    _, found = played(
        talk, offload_ns=offload * MS, upload_ns=upload * MS, pause=begin + pause * MS,
        resume=begin + (pause + more) * MS,
    )  # fmt: skip
    assert found == wanted


# Failures of an initiate


@pytest.mark.parametrize(
    ("capacity", "where", "status"),
    [
        ({"tcp_entries": 0}, "tcp", Status.TCP_ENTRIES),
        ({"path_entries": 0}, "path", Status.PATH_ENTRIES),
        ({"neighbor_entries": 0}, "neighbor", Status.NEIGHBOR_ENTRIES),
        ({"vlan_entries": 0}, "neighbor", Status.VLAN_ENTRIES),
        ({"hw_address_entries": 0}, "neighbor", Status.HW_ADDRESS_ENTRIES),
        ({"ip_address_entries": 0}, "path", Status.IP_ADDRESS_ENTRIES),
        ({"xmit_buffer_bytes": 3}, "tcp", Status.TCP_XMIT_BUFFER),
        ({"rcv_buffer_bytes": 3}, "tcp", Status.TCP_RCV_BUFFER),
        ({"rcv_window_bytes": 100}, "tcp", Status.TCP_RCV_WINDOW),
        ({"vlan": 7}, "neighbor", Status.VLAN_MISMATCH),
    ],
)
def test_initiate_fails(capacity, where, status):
    talk = Talk().shake().put(1, b"sent").put(0, b"wait", at=5, ack=0).put(0, b"hello", at=0)
    host, streams = played(talk, capacity=Capacity(**capacity), mode="automatic", min_bytes=8)
    connection = host.connections[0]
    assert getattr(connection.status, where) is status
    assert connection.why_not is NotOffloaded.FULL
    order = ["neighbor", "path", "tcp"]
    for below in order[order.index(where) + 1 :]:
        assert getattr(connection.status, below) is Status.RESOURCES
    partial = where != "neighbor"
    assert connection.status.status is (Status.PARTIAL_SUCCESS if partial else status)
    assert not host.chimney.neighbors
    assert not host.chimney.paths
    assert streams[1] == b"hellowait"


def test_path_mtu_above_the_adapters():
    talk = Talk().shake().put(0, b"x")
    host, _ = played(talk)
    tree = host.connections[0].entry.tree
    tree.path.cached.path_mtu = 9000
    assert Chimney(Capacity(mtu=1500)).initiate(tree, buffer_bytes=0).path is Status.PATH_MTU


def test_capacity_counts_ipv4_and_ipv6_and_is_first_come_first_served():
    four, six = long_talk(2), long_talk(2, **SIX)
    four.frames += six.frames
    host, streams = played(four, capacity=Capacity(tcp_entries=1))
    assert [one.offloaded for one in host.connections] == [True, False]
    assert host.connections[1].status.tcp is Status.TCP_ENTRIES
    assert host.most_at_once == 1
    assert streams[1] == streams[2] == DATA * 2


def test_entry_of_a_closed_connection_is_free_again():
    first = long_talk(2).close()
    second = Talk(isn=(77, 88), start_ns=first.now + 10 * MS).shake().put(0, b"second")
    first.frames += second.frames
    host, _ = played(first, capacity=Capacity(tcp_entries=1))
    assert [one.offloaded for one in host.connections] == [True, True]


def test_objects_above_a_connection_are_shared_and_go_with_the_last_one():
    talk = long_talk(1).put(0, b"z")
    host, _ = played(talk)
    chimney, entry = host.chimney, host.connections[0].entry
    again = chimney.initiate(entry.tree, buffer_bytes=0)
    assert again.status is Status.SUCCESS
    assert (len(chimney.entries), len(chimney.paths), len(chimney.neighbors)) == (2, 1, 1)
    chimney.terminate(entry, 0)
    assert (len(chimney.paths), len(chimney.neighbors)) == (1, 1)
    chimney.terminate(again.entry, 0)
    assert (len(chimney.paths), len(chimney.neighbors)) == (0, 0)


def test_status_of_a_tree():
    ok, full = Status.SUCCESS, Status.TCP_ENTRIES
    assert Initiated(ok, ok, ok).status is ok
    assert Initiated(ok, ok, full).status is Status.PARTIAL_SUCCESS
    assert (
        Initiated(Status.VLAN_MISMATCH, Status.RESOURCES, Status.RESOURCES).status
        is Status.VLAN_MISMATCH
    )


# Reasons for an upload


def uploaded_by(talk, thresholds=None, **settings):
    host, streams = played(talk, thresholds=thresholds, **settings)
    connection = host.connections[0]
    assert streams[1] == talk.streams[0]
    assert connection.phase is Phase.HOST
    assert connection.log[-2].why == connection.upload.value
    return connection


def test_urgent_data_is_uploaded_and_the_host_processes_the_segment():
    talk = Talk().shake().put(0, b"calm").put(0, b"urgent", flags=URG).put(0, b"after")
    connection = uploaded_by(talk)
    assert connection.upload is UploadReason.RECEIVED_URGENT_DATA
    assert (connection.work.adapter_bytes, connection.work.host_bytes) == (4, 11)
    assert connection.why_not is NotOffloaded.UPLOADED


def test_urgent_data_is_no_reason_in_a_half_closed_state():
    """Rule: NDIS_TCP_OFFLOAD_EVENT_INDICATE, no request in FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT."""
    talk = Talk().shake().put(0, b"a").put(1, flags=FIN).put(0, b"b", flags=URG)
    host, streams = played(talk)
    assert streams[1] == b"ab"
    assert host.connections[0].upload is None


def test_hardware_failure():
    def fail(host, place):
        if place == 6:
            host.chimney.fail(host.connections[0].entry)

    connection = uploaded_by(long_talk(6), before=fail)
    assert connection.upload is UploadReason.HARDWARE_FAILURE
    assert connection.work.host_bytes > 0 < connection.work.adapter_bytes


@pytest.mark.parametrize("kind", ["path", "neighbor"])
def test_send_on_an_invalidated_object(kind):
    def invalidate(host, place):
        if place == 6:
            host.chimney.invalidate(getattr(host.connections[0].entry.tree, kind))

    talk = long_talk(4).put(1, b"answer").put(0, b"more")
    connection = uploaded_by(talk, before=invalidate)
    assert connection.upload is UploadReason.INVALID_STATE


def test_segment_that_is_sent_again_too_often():
    talk = Talk().shake().put(0, b"q")
    talk.put(1, b"answer")
    for _ in range(6):
        talk.put(1, b"answer", at=0)
    assert uploaded_by(talk).upload is UploadReason.TIMEOUT_EXPIRATION
    few = played(talk, capacity=Capacity(maximum_retransmissions=6))[0]
    assert few.connections[0].upload is None

    def limit(host, place):
        if place == 5:
            host.chimney.update(host.connections[0].entry, max_rt=most)

    most = 3  # ticks
    assert uploaded_by(talk, before=limit).upload is UploadReason.TIMEOUT_EXPIRATION
    most = 0xFFFFFFFF
    assert played(talk, before=limit)[0].connections[0].upload is None


def test_upload_that_is_asked_for():
    def ask(host, place):
        if place == 10:
            host.request_upload(host.connections[0])

    talk = long_talk()
    host, streams = played(talk, before=ask)
    connection = host.connections[0]
    assert streams[1] == talk.streams[0]
    assert [step.why for step in connection.log if step.event is Event.TERMINATE] == [
        "UploadRequested"
    ]
    assert connection.phase is Phase.OFFLOADED  # nothing lasting: it is offloaded again


def test_pause_uploads_all_and_resume_offloads_again():
    """Rule: OFFLOAD_PAUSE and RESUME."""
    begin = 10**18
    host, streams = played(long_talk(), pause=begin + 10 * MS, resume=begin + 20 * MS)
    connection = host.connections[0]
    assert streams[1] == DATA * 30
    assert [step.event for step in connection.log] == [
        Event.INITIATE, Event.INITIATE_SUCCEEDED, Event.TERMINATE, Event.TERMINATE_COMPLETED,
        Event.INITIATE, Event.INITIATE_SUCCEEDED,
    ]  # fmt: skip
    assert connection.work.host_bytes > 0 < connection.work.adapter_bytes
    host, _ = played(long_talk(), pause=begin + 4 * MS, offload_ns=5 * MS)
    assert [step.event for step in host.connections[0].log][-2:] == [
        Event.TERMINATE, Event.TERMINATE_COMPLETED,
    ]  # fmt: skip


def flood(side=0, **changes):
    talk = Talk().shake()
    for _ in range(30):
        talk.put(side, DATA, **changes)
    return talk


def dropping():
    talk = flood(1)
    for at in range(0, 2000, 200):
        talk.put(1, DATA, at=at).put(0, ack=at + 200)
    return talk.put(0, b"x")


def disordered():
    talk = Talk().shake()
    for at in range(0, 6000, 400):
        talk.put(0, DATA, at=at + 200).put(0, DATA, at=at)
    return talk.put(0, DATA).put(0, DATA)


def idle():
    return flood().put(0, DATA, after=5000 * MS).put(0, DATA)


OPTIONAL = [
    (UploadReason.HIGH_DROP_RATE, {"drop_rate": 0.1}, dropping, {}),
    (
        UploadReason.HIGH_FRAGMENTATION,
        {"fragmentation": 0.5},
        lambda: flood(ip_options=bytes(4)),
        {},
    ),
    (UploadReason.HIGH_OUT_OF_ORDER, {"out_of_order": 0.3}, disordered, {}),
    (UploadReason.LOW_ACTIVITY, {"idle_ns": 1000 * MS}, idle, {}),
    (UploadReason.NO_BUFFER_PREPOSTING, {"unposted": 5}, flood, {"buffer_bytes": 0}),
    (UploadReason.SMALL_IO, {"small_io_bytes": 512}, flood, {"buffer_bytes": 100}),
]


@pytest.mark.parametrize(("reason", "limits", "make", "policy"), OPTIONAL)
def test_optional_reason(reason, limits, make, policy):
    talk = make()
    connection = uploaded_by(talk, Thresholds(**limits), **policy)
    assert connection.upload is reason
    assert connection.why_not is NotOffloaded.UPLOADED
    assert connection.work.adapter_segments > 5
    host, streams = played(talk, thresholds=Thresholds(**limits), heed_optional=False, **policy)
    assert host.connections[0].phase is Phase.OFFLOADED  # it must be able to go on
    assert streams[1] == talk.streams[0]
    host, _ = played(talk, **policy)
    assert host.connections[0].upload is None  # never without a threshold


def test_every_reason_was_tried():
    mandatory = {reason for reason in UploadReason if reason.mandatory}
    assert mandatory | {row[0] for row in OPTIONAL} == set(UploadReason)


def test_connection_that_is_idle_when_the_capture_ends():
    quiet = flood()
    other = Talk(start_ns=quiet.now + 9000 * MS, ports=(1, 80)).shake()
    quiet.frames += other.frames
    host, _ = played(quiet, thresholds=Thresholds(idle_ns=1000 * MS))
    assert host.connections[0].upload is UploadReason.LOW_ACTIVITY


# What is not offloaded


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"mode": "disabled"}, NotOffloaded.OFF),
        ({"conditions": Conditions(vm_queues=frozenset({SERVER}))}, NotOffloaded.VM_QUEUE),
        ({"conditions": Conditions(team=True)}, NotOffloaded.TEAM),
        ({"conditions": Conditions(nat=True)}, NotOffloaded.NAT),
        ({"conditions": Conditions(ipsec=("10.0.0.1/32",))}, NotOffloaded.IPSEC),
        ({"conditions": Conditions(nlb=("10.0.0.2/32",))}, NotOffloaded.NLB),
        ({"conditions": Conditions(cluster=("10.0.0.0/24",))}, NotOffloaded.CLUSTER),
        ({"mode": "automatic", "link_bps": 10**9}, NotOffloaded.LINK_RATE),
        ({"mode": "automatic", "max_rtt_ns": 1}, NotOffloaded.ROUND_TRIP),
        ({"mode": "automatic"}, NotOffloaded.TOO_LITTLE),
        ({"pause": 0}, NotOffloaded.PAUSED),
    ],
)
def test_connection_stays_with_the_host(policy, why):
    talk = long_talk()
    host, streams = played(talk, **policy)
    connection = host.connections[0]
    assert (connection.offloaded, connection.why_not) == (False, why)
    assert streams[1] == talk.streams[0]
    assert connection.work.adapter_segments == 0


def test_conditions_of_other_networks_keep_nothing_back():
    conditions = Conditions(ipsec=("10.0.0.2/32", "2001:db8::/32"), nlb=("10.0.0.1/32",))
    assert played(long_talk(), conditions=conditions)[0].connections[0].offloaded


def test_automatic_mode_offloads_what_is_near_fast_and_large():
    host, _ = played(long_talk(), mode="automatic", min_bytes=1000)
    connection = host.connections[0]
    assert connection.offloaded
    assert connection.work.host_bytes == 1000


def test_handshake_alone_is_no_state_to_offload():
    talk = Talk().put(0, flags=SYN, acked=False)
    host, _ = played(talk)
    assert host.connections[0].why_not is NotOffloaded.STATE


def test_settings_out_of_range():
    for wrong in (
        lambda: Policy(mode="on"), lambda: Policy(buffer_bytes=-1), lambda: Capacity(tcp_entries=-1),
        lambda: Conditions(ipsec=("here",)),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            wrong()


def test_only_the_host_changes_cached_variables():
    host, _ = played(Talk().shake().put(0, b"x", options=timestamps(5)))
    chimney, entry = host.chimney, host.connections[0].entry
    cached = chimney.update(entry, initial_rcv_wnd=9999, update_rcv_wnd=True, max_rt_restart=True,
                            keep_alive_restart=True, rcv_indication_size=50)  # fmt: skip
    assert cached.initial_rcv_wnd == chimney.query(entry).rcv_wnd == 9999
    with pytest.raises(BadInput, match="no cached variable"):
        chimney.update(entry, rcv_nxt=5)


def test_indications_have_the_size_that_the_host_wants():
    def small(host, place):
        if place == 4:
            host.chimney.update(host.connections[0].entry, rcv_indication_size=50)

    host, _ = played(Talk().shake().put(0).put(0, DATA).put(0, DATA), before=small, buffer_bytes=0)
    assert host.connections[0].work.buffers == 8


# Real captures and the command


@pytest.mark.parametrize(
    ("name", "offloaded", "with_holes"),
    [
        ("12_many_protocols.pcap", 252, 0),
        ("15_tso_superframes_ssh.pcap", 46, 0),
        ("17_real_lan_mix_488_tcp.pcap", 750, 4),
        ("18_tagged_one_way_tcp_retrans.pcap", 2, 0),
        ("19_vlan100_14_complete_http.pcap", 28, 0),
    ],
)
def test_payload_of_offloaded_connections_equals_what_tshark_follows(
    captures, name, offloaded, with_holes
):
    path = captures / name
    streams: dict[int, bytearray] = {}
    host = ChimneyHost(
        Chimney(), Policy(), by_vlan=False,
        deliver=lambda one, data: streams.setdefault(one.number, bytearray()).extend(data),
    )  # fmt: skip
    with open_capture(path) as capture:
        host.add(capture)
    host.finish()
    firsts = followed.first_frames(path)
    theirs = followed.follow(path, list(firsts))
    by_frame = {frame: stream for stream, frame in firsts.items()}
    compared = cut_short = holes = 0
    for one in host.connections:
        if not one.offloaded:
            continue
        if one.missing:  # tshark writes a sentence where bytes were not captured
            holes += 1
            continue
        compared += 1
        ours, followed_ = bytes(streams.get(one.number, b"")), theirs[by_frame[one.first_frame]]
        if ours not in followed_:
            # this end had sent a RST: what came afterwards belongs to nobody
            assert one.state is TcpState.CLOSED
            assert any(stream.startswith(ours) for stream in followed_)
            cut_short += 1
    assert (compared + holes, holes) == (offloaded, with_holes)
    assert cut_short == (2 if name.startswith("12") else 0)
    summed = totals(host)
    assert summed["segments"] > 3 * summed["host_segments"] or name.startswith("17")
    assert summed["host_events"] < summed["segments"]


def ask(*words):
    return CliRunner().invoke(vswitch, ["chimney", *map(str, words)])


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "talk.pcap"
    with ClassicWriter(path) as writer:
        writer.write(long_talk().put(1, b"answer").close().capture())
    return path


def test_command_adds_up_and_writes_the_streams(capture, tmp_path):
    done = ask(
        capture, "--json", "-o", tmp_path / "streams", "--offload-time", "0", "--upload-time", "0"
    )
    answer = json.loads(done.stdout)
    rows, sums = answer["connections"], answer["totals"]
    assert sums["offloaded"] == len(rows) == 2
    assert sums["segments"] == sum(row["host_segments"] + row["adapter_segments"] for row in rows)
    assert sums["segments"] == 2 * sums["frames"]  # each sent and received
    assert (tmp_path / "streams" / "connection-2.bin").read_bytes() == DATA * 30
    assert (tmp_path / "streams" / "connection-1.bin").read_bytes() == b"answer"
    text = ask(capture).stdout
    assert "2 offloaded" in text
    assert "instead of" in text


def test_command_shows_one_connection(capture):
    text = ask(capture, "--connection", "2", "--pause", "10ms", "--resume", "20ms").stdout
    assert "UploadRequested" in text
    assert "rcv_nxt" in text
    assert (
        json.loads(ask(capture, "--connection", "2", "--json").stdout)["connections"][0]["number"]
        == 2
    )


def test_command_takes_conditions_and_reasons(capture):
    def fate(*words):
        sums = json.loads(ask(capture, "--json", "--vm", "00:15:5d:00:00:01", *words).stdout)
        return sums["totals"]["stayed"] | sums["totals"]["uploaded"]

    assert fate("--vm-queue", "00:15:5d:00:00:01") == {"vm-queue": 1}
    assert fate("--team") == {"team": 1}
    assert fate("--mode", "automatic") == {"too-little": 1}
    assert fate("--ask", "small-io=1KB", "--buffer", "100") == {"SmallIO": 1}
    assert fate("--ipsec", "10.0.0.0/8") == {"ipsec": 1}


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "sometimes"),
        ("--connection", "3"),
        ("--resume", "1s"),
        ("--ask", "mood=1"),
        ("--ask", "drop-rate=often"),
        ("--vm", "00:00:00:00:00:99"),
        ("--capacity", "-1"),
        ("--pause", "soon"),
    ],
)
def test_command_refuses(capture, words):
    assert isinstance(ask(capture, *words).exception, BadInput)
