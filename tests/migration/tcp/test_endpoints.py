"""Two endpoints over a path: open, transfer, close; whatever the path does to segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_pair import MS, US, Pair, Path, S

from migration.tcp.stacks import profiles
from migration.tcp.state_kernel import (
    ALIVE,
    CLOSED,
    DONE,
    ESTABLISHED,
    RETRIES_SPENT,
    SYN_RETRIES_SPENT,
    TIME_SPENT,
    TIME_WAIT,
)

NAMES = [*profiles(), "linux:sack=off", "linux:rack=off,tlp=off", "rfc:sack=off,timestamps=off"]
PATIENT = "tcp_retries2=255,max_retransmissions=60000,r2=off,syn_retries=100,synack_retries=100"


def patient(name: str) -> str:
    return f"{name}{',' if ':' in name else ':'}{PATIENT}"


@pytest.mark.parametrize("server", profiles())
@pytest.mark.parametrize("client", profiles())
def test_opens_transfers_and_closes(client: str, server: str) -> None:
    pair = Pair(client, server, Path(delay=5 * MS))
    pair.connect()
    pair.run(1 * S)
    assert [int(pair[e]["state"]) for e in (0, 1)] == [ESTABLISHED, ESTABLISHED]
    pair.write(0, 300_000)
    pair.write(1, 70_000)
    pair.run(20 * S)
    assert (pair[1]["rcv_nxt"], pair[0]["rcv_nxt"]) == (300_001, 70_001)
    assert pair[0]["una"] == 300_001
    assert pair[0]["resends"] == 0
    pair.close(0)
    pair.close(1)
    pair.run(pair.now + 1 * S)
    assert sorted(int(pair[e]["state"]) for e in (0, 1)) in ([TIME_WAIT] * 2, [CLOSED, TIME_WAIT])
    pair.run()
    assert pair.is_over()
    assert [int(pair[e]["end"]) for e in (0, 1)] == [DONE, DONE]
    assert pair.pools_are_full()


@given(
    client=st.sampled_from(NAMES), server=st.sampled_from(NAMES),
    delay=st.sampled_from([0, 100 * US, 10 * MS, 100 * MS]),
    loss=st.sampled_from([0.0, 0.02, 0.1]), duplicate=st.sampled_from([0.0, 0.1]),
    reorder=st.sampled_from([0.0, 0.05, 0.3]), rate=st.sampled_from([0, 1_000_000]),
    writes=st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from([1, 700, 1460, 20_000, 150_000]),
            st.sampled_from([0, 1 * MS, 60 * MS, 1 * S]),
        ), min_size=1, max_size=12,
    ), seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_whatever_the_path_does_streams_arrive_whole(
    client: str, server: str, delay: int, loss: float, duplicate: float, reorder: float, rate: int,
    writes: list[tuple[int, int, int]], seed: int,
) -> None:  # fmt: skip
    path = Path(delay, loss, duplicate, reorder, rate=rate, queue=60_000)
    pair = Pair(patient(client), patient(server), path, seed)
    total = [0, 0]
    pair.connect()
    time = 0
    for e, size, pause in writes:
        time += pause
        total[e] += size
        pair.at(time, lambda e=e, size=size: when_open(pair, lambda: pair.write(e, size)))
    for e in (0, 1):
        pair.at(time + e, lambda e=e: when_open(pair, lambda: pair.close(e)))
    pair.run()
    assert pair.is_over()
    assert [int(pair[1 - e]["rcv_nxt"]) for e in (0, 1)] == [size + 2 for size in total]
    # the last ACK may be lost until the other end's TIME-WAIT is over: then a RST answers
    assert DONE in {int(pair[e]["end"]) for e in (0, 1)}
    assert pair.pools_are_full()


def when_open(pair: Pair, what: object) -> None:
    """Do something once both ends are established, in order."""
    if not hasattr(pair, "pending"):
        pair.pending = []
    pair.pending.append(what)

    def try_it() -> None:
        if not pair.pending:
            return
        if any(pair[e]["state"] < ESTABLISHED for e in (0, 1)):
            pair.at(pair.now + 100 * MS, try_it)
            return
        while pair.pending:
            pair.pending.pop(0)()

    try_it()


def exchange(pair: Pair, every: int, size: int = 64) -> None:
    """Requests and responses; the next one comes a while after the answer."""
    pair.asked = pair.answered = 0

    def ask() -> None:
        if pair[0]["state"] == ESTABLISHED:
            pair.asked += 1
            pair.write(0, size)

    def at_server(_: Pair) -> None:
        while pair[1]["rcv_nxt"] - 1 >= size * (pair.answered + 1):
            pair.answered += 1
            pair.write(1, size)

    def at_client(_: Pair) -> None:
        if pair.asked and pair[0]["rcv_nxt"] - 1 == size * pair.asked:
            pair.at(pair.now + every, ask)
            pair.on_receive[0] = lambda _: None
            pair.at(pair.now + every, lambda: pair.on_receive.__setitem__(0, at_client))

    pair.on_receive = [at_client, at_server]
    pair.at(pair.now + every, ask)


def test_a_blackout_is_survived_and_costs_the_next_retransmission() -> None:
    pair = Pair(path=Path(delay=100 * US, dark=[(5 * S, 6 * S)]))
    pair.connect()
    pair.run(1 * S)
    exchange(pair, 20 * MS)
    pair.run(20 * S)
    assert pair[0]["end"] == ALIVE
    assert pair[0]["timeouts"] in (2, 3)
    first_after = next(time for time in pair.resent(0) if time >= 6)
    assert 6.0 <= first_after <= 6.9
    assert pair.asked > 600


@pytest.mark.parametrize(
    ("name", "end", "retransmissions"),
    [
        ("windows-2008r2", RETRIES_SPENT, 5),
        ("windows-hardened", RETRIES_SPENT, 3),
        ("rfc", TIME_SPENT, 6),
        ("linux:tcp_retries2=5,tlp=off", TIME_SPENT, 5),
    ],
)
def test_a_long_blackout_kills_by_the_rule_of_the_stack(
    name: str, end: int, retransmissions: int
) -> None:
    pair = Pair(name, path=Path(delay=1 * MS, dark=[(5 * S, 5000 * S)]))
    pair.connect()
    pair.run(1 * S)
    pair.write(0, 500)
    pair.at(5 * S, lambda: pair.write(0, 500))
    pair.run(4000 * S)
    assert pair[0]["end"] == end
    assert len(pair.resent(0)) == retransmissions
    assert pair[1]["end"] == ALIVE


def test_nobody_answers_a_syn() -> None:
    pair = Pair(path=Path(dark=[(0, 1 << 60)]))
    pair.connect()
    pair.run()
    assert pair[0]["end"] == SYN_RETRIES_SPENT
    # Rule: tcp_syn_linear_timeouts 4, then tcp_syn_retries 6; the wheel is late, the more the longer
    expected = [1, 2, 3, 4, 5, 7, 11, 19, 35, 67]
    assert pair.resent(0) == pytest.approx(expected, rel=0.05)
    assert pair[0]["died"] / S == pytest.approx(131, rel=0.05)


def test_the_same_seed_gives_the_same_segments() -> None:
    logs = []
    for _ in range(2):
        pair = Pair(path=Path(delay=3 * MS, loss=0.1, reorder=0.1), seed=7)
        pair.connect()
        pair.run(10 * S)
        pair.write(0, 100_000)
        pair.run(100 * S)
        logs.append(pair.log)
    assert logs[0] == logs[1]
    assert len(logs[0]) > 100
