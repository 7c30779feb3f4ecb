"""An endpoint by hand: its clock, its timers, what it refuses, what any segment may do to it."""

from __future__ import annotations

import doctest
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.tcp import endpoint
from migration.tcp.endpoint import Endpoint
from migration.tcp.segment import KINDS, Segment, kind_of
from migration.tcp.stacks import profiles
from migration.tcp.state_kernel import ACK, ENDPOINT, FIN, PSH, RST, SEGMENT, SENT, SYN
from pcaps.errors import BadInput

MS, S = 1_000_000, 1_000_000_000


def test_an_endpoint_is_small() -> None:
    # two of them, with a segment outstanding and one under way between them, stay below 1 KiB
    assert ENDPOINT.itemsize == 432
    assert 2 * (ENDPOINT.itemsize + SENT.itemsize) + SEGMENT.itemsize // 2 <= 1024


def test_the_example_of_the_module() -> None:
    done = doctest.testmod(endpoint)
    assert done.attempted > 5
    assert done.failed == 0


def opened(spec: str = "rfc:timestamps=off,scale=off", **settings: bool) -> Endpoint:
    made = Endpoint(spec, **settings)
    made.establish(0)
    return made


def test_a_timer_runs_when_time_goes_on() -> None:
    end = opened()
    (data,) = end.write(100, 0)
    assert (data.seq, data.size, data.flags & PSH) == (1, 100, PSH)
    assert end.next_timer_ns == 1 * S
    sent = end.advance(8 * S)
    assert [at / S for at, _ in sent] == [1, 3, 7]
    assert {segment.again for _, segment in sent} == {1}
    assert end.now_ns == 8 * S


def test_time_does_not_run_backwards() -> None:
    end = opened()
    end.write(100, 5 * MS)
    with pytest.raises(BadInput, match="time runs backwards"):
        end.write(100, 4 * MS)


def test_a_timer_that_is_due_comes_first() -> None:
    end = opened()
    end.write(100, 0)
    with pytest.raises(BadInput, match="a timer is due at 1000000000 ns"):
        end.write(100, 2 * S)


def test_what_cannot_be_written() -> None:
    end = opened()
    end.close(0)
    with pytest.raises(BadInput, match="100 bytes cannot be written in state FIN-WAIT-1"):
        end.write(100, 0)


def test_more_sack_blocks_than_fit() -> None:
    end = opened()
    blocks = tuple((n, n + 1) for n in range(10, 60, 10))
    with pytest.raises(BadInput, match="room for 4 SACK blocks, not 5"):
        end.arrive(Segment(ACK, 1, ack=1, sack=blocks), 0)


def test_lazy_applications_read() -> None:
    end = opened(lazy=True)
    end.arrive(Segment(ACK, 1, 500, ack=1), 0)
    assert (end.received, end.unread) == (500, 500)
    end.read(200, 0)
    assert (end.received, end.unread) == (500, 300)


def test_keepalive_by_call() -> None:
    end = opened()
    assert end.next_timer_ns is None
    end.set_keepalive(True, 0)
    assert end.next_timer_ns == 7200 * S


def test_kinds_of_segments() -> None:
    for kind, flags in KINDS.items():
        size = 5 if "DATA" in kind else 0
        assert kind_of(flags, size) == kind
        assert kind_of(flags | PSH, size) == kind
    assert kind_of(SYN | FIN, 0) == "SYN-FIN"
    assert Segment(SYN | ACK, 0).stop == 1
    assert Segment(FIN | ACK, 10, 5).stop == 16
    text = str(Segment(ACK | PSH, 1, 9, 7, mss=5, scale=0, sack_ok=True, tsval=3, sack=((1, 2),)))
    assert text == "DATA 1..10 ack=7 win=65535 psh mss=5 scale=0 sackok ts=3/0 sack=1..2"


POSITIONS = st.one_of(st.integers(-5, 5000), st.integers(-200_000, 200_000))
SEGMENTS = st.builds(
    Segment, flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, 0, 31]),
    seq=POSITIONS, size=st.sampled_from([0, 0, 1, 100, 1460, 65535]), ack=POSITIONS,
    window=st.sampled_from([0, 1, 500, 65535]), mss=st.sampled_from([0, 88, 1460]),
    scale=st.sampled_from([None, 0, 7, 14]), sack_ok=st.booleans(),
    tsval=st.one_of(st.none(), st.integers(0, 1 << 40)), tsecr=st.one_of(st.none(), st.integers(0, 1 << 40)),
    sack=st.lists(st.tuples(POSITIONS, POSITIONS), max_size=4).map(tuple),
)  # fmt: skip
CALLS = st.sampled_from(["write", "read", "close", "release", "abort", "wait", "keepalive"])


@given(
    spec=st.sampled_from([*profiles(), "linux:sack=off", "rfc:rack=on,tlp=on,frto=on"]),
    begin=st.sampled_from(["connect", "listen", "establish"]),
    events=st.lists(st.one_of(SEGMENTS, CALLS), max_size=40), lazy=st.booleans(),
)  # fmt: skip
def test_nothing_that_comes_breaks_it(
    spec: str, begin: str, events: list[Segment | str], lazy: bool
) -> None:
    end = Endpoint(spec, lazy=lazy, buffer=20_000)
    if begin == "listen":
        end.listen()
    else:
        getattr(end, begin)(0)
    now = 0
    written = 1
    for event in events:
        now += 7 * MS
        sent = [segment for _, segment in end.advance(now)]
        if isinstance(event, Segment):
            sent += end.arrive(event, now)
        elif event == "write":
            before = end.field("top")
            try:
                sent += end.write(3000, now)
            except BadInput:
                assert end.field("top") == before
        elif event == "read":
            sent += end.read(1000, now)
        elif event == "keepalive":
            end.set_keepalive(True, now)
        elif event == "wait":
            now += 3 * S
            sent += [segment for _, segment in end.advance(now)]
        else:
            sent += getattr(end, event)(now)
        written = max(written, end.field("top"))
        check(end, sent, written)
    end.abort(now)
    world = end._world
    assert world.count[1] == len(world.sent) - 1
    assert world.count[3] == len(world.gaps) - 1
    assert world.count[5] == len(world.segments) - 1


def check(end: Endpoint, sent: list[Segment], written: int) -> None:
    """What holds at any time."""
    una, nxt = end.field("una"), end.field("nxt")
    assert una <= nxt <= max(end.field("top") + 1, una)
    assert end.field("rcv_adv") >= end.field("rcv_nxt")
    assert 0 <= end.field("unread") <= 20_000 + 127
    packets = end.field("packets")
    row = end.field("head")
    chain = []
    while row:
        chain.append(end._world.sent[row])
        row = int(chain[-1]["next"])
    assert sum(1 + (int(one["marks"]) >> 8) for one in chain) == packets
    for before, after in pairwise(chain):
        assert before["stop"] == after["start"]
        assert not before["marks"] & after["marks"] & 1  # SACKed rows that touch are one
    for mark, name in ((2, "lost"), (4, "resent"), (64, "smalls")):
        assert sum(bool(one["marks"] & mark) for one in chain) == end.field(name)
    assert sum((int(one["marks"]) & 6) == 2 for one in chain) == end.field("to_resend")
    if end.field("sack_ok"):
        sacked = [1 + (int(one["marks"]) >> 8) for one in chain if one["marks"] & 1]
        assert sum(sacked) == end.field("sacked")
    assert end.field("sacked") + end.field("lost") <= max(packets, 0)
    assert end.field("cwnd") > 0 or end.state == "CLOSED"
    for segment in sent:
        assert segment.size == 0 or segment.seq + segment.size <= written
        assert 0 <= segment.window <= 65535
        assert segment.size <= 1460
        for start, stop in segment.sack:
            assert start < stop
