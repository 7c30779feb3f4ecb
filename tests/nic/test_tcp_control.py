"""One end of a connection: states, numbers, round trip, windows, and a hand-over at any point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nic.chimney_state import NOT_RUNNING
from nic.receive_space import Fit
from nic.tcp_control import NOTHING, TcpControl
from nic.tcp_segment import ACK, FIN, PSH, RST, SYN, Options, Segment, signed
from nic.tcp_states import NEVER_ASKED, OFFLOADABLE, TRANSITIONS, TcpEvent, TcpState, next_state

MS = 1_000_000
S, E = TcpState, TcpEvent


def segment(at, ack, payload=b"", flags=ACK, window=1000, ts_ms=0, **others):
    return Segment(ts_ms * MS, at % 2**32, ack % 2**32, flags, window, payload, **others)


def established(own=100, peer=500):
    """An end that opened the connection: its next number is own + 1, the peer's peer + 1."""
    control = TcpControl()
    control.send(segment(own, 0, flags=SYN, options=Options(mss=1460, scale=3)))
    control.receive(
        segment(peer, own + 1, flags=SYN | ACK, ts_ms=40, options=Options(mss=1400, scale=7))
    )
    control.send(segment(own + 1, peer + 1, ts_ms=41))
    return control


# States


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (S.CLOSED, E.SEND_SYN, S.SYN_SENT),
        (S.CLOSED, E.RECEIVE_SYN, S.SYN_RCVD),
        (S.SYN_SENT, E.RECEIVE_SYN_ACK, S.ESTABLISHED),
        (S.SYN_SENT, E.RECEIVE_SYN, S.SYN_RCVD),
        (S.SYN_RCVD, E.RECEIVE_ACK_OF_SYN, S.ESTABLISHED),
        (S.ESTABLISHED, E.SEND_FIN, S.FIN_WAIT_1),
        (S.FIN_WAIT_1, E.RECEIVE_ACK_OF_FIN, S.FIN_WAIT_2),
        (S.FIN_WAIT_2, E.RECEIVE_FIN, S.TIME_WAIT),
        (S.FIN_WAIT_1, E.RECEIVE_FIN, S.CLOSING),
        (S.CLOSING, E.RECEIVE_ACK_OF_FIN, S.TIME_WAIT),
        (S.ESTABLISHED, E.RECEIVE_FIN, S.CLOSE_WAIT),
        (S.CLOSE_WAIT, E.SEND_FIN, S.LAST_ACK),
        (S.LAST_ACK, E.RECEIVE_ACK_OF_FIN, S.CLOSED),
        (S.ESTABLISHED, E.RECEIVE_SYN_ACK, S.ESTABLISHED),
        (S.TIME_WAIT, E.RESET, S.CLOSED),
    ],
)
def test_transition(state, event, after):
    """Rule: RFC 9293 section 3.3.2, figure 5."""
    assert next_state(state, event) is after


def test_every_state_can_be_left_by_a_reset_and_only_some_can_be_offloaded():
    assert set(TRANSITIONS[E.RESET]) == set(TcpState)
    assert set(TcpState) - OFFLOADABLE == {
        S.CLOSED, S.LISTEN, S.SYN_SENT, S.SYN_RCVD, S.TIME_WAIT,
    }  # fmt: skip
    assert {S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSE_WAIT} == NEVER_ASKED


def test_active_open_data_and_close():
    control = established()
    assert control.state is S.ESTABLISHED
    assert control.receive(segment(501, 101, b"hello", ACK | PSH)).data == b"hello"
    control.send(segment(101, 506, flags=ACK | FIN))
    assert control.state is S.FIN_WAIT_1
    control.receive(segment(506, 102))
    assert control.state is S.FIN_WAIT_2
    assert control.receive(segment(506, 102, b"end", ACK | FIN)) == (
        b"end",
        Fit.IN_ORDER,
        0,
        True,
        False,
        False,
    )
    assert control.state is S.TIME_WAIT
    assert control.tcp.rcv_nxt == 510
    assert control.receive(segment(510, 102, b"late")) == NOTHING


def test_passive_open_and_passive_close():
    control = TcpControl()
    control.receive(segment(500, 0, flags=SYN))
    assert control.state is S.SYN_RCVD
    control.send(segment(100, 501, flags=SYN | ACK))
    control.receive(segment(501, 101))
    assert control.state is S.ESTABLISHED
    assert control.receive(segment(501, 101, flags=ACK | FIN)).disconnected
    assert control.state is S.CLOSE_WAIT
    control.send(segment(101, 502, flags=ACK | FIN))
    assert control.state is S.LAST_ACK
    control.receive(segment(502, 102))
    assert control.state is S.CLOSED


def test_fin_is_taken_behind_all_data():
    """Rule: NDIS_TCP_OFFLOAD_EVENT_INDICATE, a disconnect is indicated behind all data."""
    control = established()
    early = control.receive(segment(506, 101, b"world", ACK | FIN))
    assert (early.data, early.disconnected, control.early_fin) == (b"", False, 511)
    late = control.receive(segment(501, 101, b"hello"))
    assert (late.data, late.disconnected) == (b"helloworld", True)
    assert control.tcp.rcv_nxt == 512
    assert not control.receive(segment(506, 101, b"world", ACK | FIN)).disconnected


def test_reset_in_the_window_aborts_and_outside_it_is_ignored():
    control = established()
    assert not control.receive(segment(501 - 1, 101, flags=RST)).aborted
    assert control.receive(segment(501, 101, flags=RST)).aborted
    assert control.state is S.CLOSED
    control = established()
    control.send(segment(101, 501, flags=RST))
    assert control.receive(segment(501, 101, b"nobody reads this")) == NOTHING


@pytest.mark.parametrize("first", ["data", "ack", "own"])
def test_capture_that_begins_behind_the_handshake(first):
    control = TcpControl()
    if first == "own":
        control.send(segment(101, 501))
        assert control.receive(segment(501, 101, b"x")).data == b"x"
    elif first == "ack":
        control.receive(segment(501, 101))
        assert control.receive(segment(501, 101, b"x")).data == b"x"
    else:
        assert control.receive(segment(501, 101, b"x")).data == b"x"
    assert control.joined_late
    assert control.state is S.ESTABLISHED
    assert (control.tcp.snd_una, control.tcp.rcv_nxt) == (101, 502)


def test_handshake_of_which_a_part_was_not_captured():
    control = TcpControl()
    control.receive(segment(500, 101, flags=SYN | ACK))
    assert control.state is S.ESTABLISHED
    control = TcpControl()
    control.receive(segment(500, 0, flags=SYN))
    control.receive(segment(501, 101))
    assert control.state is S.ESTABLISHED
    control = TcpControl()
    control.send(segment(100, 501, flags=SYN | ACK))
    control.receive(segment(501, 101))
    assert control.state is S.ESTABLISHED


# Variables


def test_windows_are_scaled_but_not_those_of_a_syn():
    control = established()
    assert (control.own_scale, control.peer_scale, control.mss) == (3, 7, 1400)
    assert control.tcp.snd_wnd == 1000
    control.receive(segment(501, 101, window=10))
    assert (control.tcp.snd_wnd, control.tcp.max_snd_wnd, control.tcp.send_wl1) == (1280, 1280, 501)
    control.send(segment(101, 501, window=10))
    assert control.tcp.rcv_wnd == 80


def test_round_trip_is_smoothed_and_not_taken_of_what_was_sent_again():
    """Rules: RFC 6298 section 2 and 3."""
    control = established()
    assert (control.tcp.srtt, control.tcp.rtt_var) == (40, 20)
    control.send(segment(101, 501, b"a" * 10, ts_ms=100))
    control.receive(segment(501, 111, ts_ms=180))
    assert (control.tcp.srtt, control.tcp.rtt_var) == (45, 25)
    control.send(segment(111, 501, b"b" * 10, ts_ms=200))
    assert control.send(segment(111, 501, b"b" * 10, ts_ms=500)).again
    assert (control.tcp.retransmit_count, control.tcp.total_rt) == (1, 0)
    control.send(segment(111, 501, b"b" * 10, ts_ms=900))
    assert (control.tcp.retransmit_count, control.tcp.total_rt) == (2, 400)
    control.receive(segment(501, 121, ts_ms=950))
    assert (control.tcp.srtt, control.tcp.retransmit_count, control.tcp.total_rt) == (45, 0, 0)


def test_congestion_window():
    """Rules: RFC 5681 section 3.1 and 3.2."""
    control = established()
    assert control.tcp.cwnd == 4380 + 1  # the initial window, and the SYN's acknowledgment
    control.send(segment(101, 501, bytes(1400)))
    control.receive(segment(501, 1501))
    assert control.tcp.cwnd == 4381 + 1400
    for at in range(1501, 7101, 1400):
        control.send(segment(at, 501, bytes(1400)))
    window = control.tcp.snd_wnd >> 7
    for _ in range(3):
        control.receive(segment(501, 1501, window=window))
    assert control.tcp.dup_ack_count == 3
    control.send(segment(1501, 501, bytes(1400)))
    assert control.tcp.ss_thresh == control.tcp.cwnd == 2800
    control.receive(segment(501, 7101))
    assert control.tcp.cwnd == 2800 + 1400 * 1400 // 2800
    control.send(segment(7101, 501, bytes(1400)))
    control.send(segment(7101, 501, bytes(1400)))
    assert control.tcp.cwnd == 1400


def test_timestamps_follow_what_was_acknowledged():
    control = established()
    control.receive(segment(501, 101, b"x", options=Options((7, 1)), ts_ms=100))
    assert control.tcp.ts_recent == 7
    control.receive(segment(600, 101, b"y", options=Options((9, 1)), ts_ms=200))
    assert control.tcp.ts_recent == 7
    control.send(segment(101, 502, options=Options((77, 7)), ts_ms=1100))
    assert (control.tcp.ts_time, control.delegate().ts_recent_age) == (77, 1000)


def test_probes_are_counted():
    control = established()
    control.send(segment(100, 501, b"\0", ts_ms=50))
    control.send(segment(100, 501, ts_ms=60))
    assert control.tcp.keep_alive_probe_count == 2
    control.receive(segment(501, 101, window=10))
    assert control.tcp.keep_alive_probe_count == 0
    control.receive(segment(501, 101, window=0))
    control.send(segment(101, 501, b"p"))
    assert control.tcp.snd_wnd_probe_count == 1
    control.receive(segment(501, 102, window=5))
    assert control.tcp.snd_wnd_probe_count == 0


def test_retransmission_timer_of_the_delegated_variables():
    control = established()
    assert control.delegate().retransmit_timeout_delta == NOT_RUNNING
    control.send(segment(101, 501, b"a", ts_ms=100))
    control.receive(segment(501, 101, ts_ms=400))
    assert control.delegate().retransmit_timeout_delta == 700
    assert control.delegate().send_backlog_size == min(control.tcp.cwnd, control.tcp.snd_wnd)
    assert (control.tcp.send_data_head, control.tcp.send_data_tail) == (0, 1)


def test_bytes_that_the_capture_missed():
    control = established()
    control.receive(segment(511, 101, b"later"))
    outcome = control.send(segment(101, 516))
    assert (outcome.data, outcome.missing) == (b"later", 10)
    assert control.tcp.rcv_nxt == 516
    control.receive(segment(516, 300))  # acknowledges what was never seen sent
    assert (control.tcp.snd_una, control.tcp.snd_max) == (300, 300)


# Handing over


SEGMENTS = st.lists(
    st.tuples(
        st.booleans(), st.integers(0, 30), st.integers(0, 12), st.sampled_from([0, 0, 0, PSH, FIN])
    ),
    max_size=40,
)


@given(SEGMENTS, st.sets(st.integers(0, 40), max_size=6), st.integers(0, 2**32 - 1))
def test_connection_that_changes_hands_at_any_point_is_the_same(drawn, points, base):
    """The stream, and every delegated variable that does not depend on who counts time."""
    kept, moved = established(base, base), established(base, base)
    stream = [b"", b""]
    sent = received = 0
    for number, (inward, at, size, flag) in enumerate(drawn):
        if number in points:
            moved = TcpControl(
                moved.delegate(), own_scale=moved.own_scale, peer_scale=moved.peer_scale,
                mss=moved.mss, early_fin=moved.early_fin,
            )  # fmt: skip
        flags = ACK | (flag if flag != FIN or number > 30 else 0)
        data = bytes((at + n) % 256 for n in range(size))
        one = segment(
            base + 1 + at, base + 1 + (sent if inward else received), data, flags, ts_ms=number
        )
        for which, control in enumerate((kept, moved)):
            outcome = control.receive(one) if inward else control.send(one)
            stream[which] += outcome.data
        if inward:
            received = signed(kept.tcp.rcv_nxt - base - 1)
        else:
            sent = max(sent, at + size)
        assert stream[0] == stream[1]
        ours, theirs = kept.delegate(), moved.delegate()
        for name in ("state", "rcv_nxt", "rcv_wnd", "snd_una", "snd_nxt", "snd_max", "snd_wnd",
                     "max_snd_wnd", "send_wl1", "ss_thresh", "ts_recent", "dup_ack_count",
                     "retransmit_count", "buffered_data", "receive_backlog_size",
                     "send_data_head", "send_data_tail"):  # fmt: skip
            assert getattr(ours, name) == getattr(theirs, name), name
        assert kept.early_fin == moved.early_fin
