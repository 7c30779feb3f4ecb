"""Guest memory: kernels and plain twin agree; a copy is right only when it is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration import memory_kernel as k
from migration import precopy, sender_kernel
from migration import working_set as ws
from migration.links import Link
from migration.memory import NEVER, Memory, zero_places
from migration.memory_reference import PlainMemory, PlainSender
from migration.policies import POLICIES
from migration.sender import Sender
from migration.working_set import Pattern, WorkingSet, WriteSet
from pcaps.draws import Draws
from pcaps.errors import BadInput

PAGE = 4096


@st.composite
def working_sets(draw, pages: int) -> WorkingSet:
    left, sets = pages // 2, []
    for _ in range(draw(st.integers(0, 3))):
        size = draw(st.integers(1, max(1, left // 2)))
        left -= size
        pattern = draw(st.sampled_from(Pattern))
        exponent = draw(st.sampled_from([0.5, 0.99, 1.0, 2.0])) if pattern is Pattern.ZIPF else 0.0
        sets.append(WriteSet(pattern, size, draw(st.floats(0, 5e5)), exponent))
    pace = [(0, 1.0)]
    for start in draw(st.lists(st.integers(1, 10**7), max_size=2, unique=True).map(sorted)):
        pace.append((start, draw(st.sampled_from([0.0, 0.5, 2.0]))))
    return WorkingSet(tuple(sets), tuple(pace))


@st.composite
def pairs(draw):
    """A memory and sender as kernels have them, and their plain twins."""
    pages = draw(st.integers(40, 900))
    working_set = draw(working_sets(pages))
    zeros = draw(st.integers(0, pages // 3))
    where = draw(st.sampled_from(["end", "spread", "start"]))
    seed = draw(st.integers(0, 1000))
    steps = [(0, draw(st.floats(5e7, 5e9)))]
    if draw(st.booleans()):
        steps.append((draw(st.integers(1, 10**7)), draw(st.floats(5e7, 5e9))))
    chosen = POLICIES["qemu" if draw(st.booleans()) else "xen-4.5"]
    cap = draw(st.sampled_from([math.inf, 2e7, 1e9]))
    limit_ns = draw(st.integers(0, 3 * 10**6))
    memory = Memory(pages * PAGE, working_set, zeros, where, seed)
    sender = Sender(chosen, Link.of(steps), cap, limit_ns)
    places = set(zero_places(pages, working_set.pages, zeros, where).tolist())
    bursts = chosen.looks == "bursts"
    plain_steps = steps if bursts else [(start, min(rate, cap)) for start, rate in steps]
    quota = cap * chosen.window_ns / 1e9 if bursts else math.inf
    twin = PlainMemory(pages, working_set, places, seed)
    return memory, sender, twin, PlainSender(chosen, plain_steps, quota, limit_ns), bursts


def agree(memory: Memory, sender: Sender, twin: PlainMemory, plain: PlainSender) -> None:
    s = sender.record
    assert memory.source.tolist() == twin.source
    assert memory.target.tolist() == [NEVER if one is None else one for one in twin.target]
    assert memory.pending == len(twin.to_send)
    assert (s.sent_pages, s.sent_zeros, s.skipped) == (plain.pages, plain.zeros, plain.skipped)
    assert (s.now_ns, s.wire_free_ns) == (plain.now, plain.wire_free)
    assert (s.sent_bytes, s.threshold_bytes) == (plain.sent_bytes, plain.threshold)


def carried(steps: list[tuple[int, float]], begin: float, end: float) -> float:
    """What a link carries between two times, in bytes."""
    ends = [start for start, _ in steps[1:]] + [math.inf]
    spans = (
        (rate, max(0.0, min(end, stop) - max(begin, start)))
        for (start, rate), stop in zip(steps, ends, strict=True)
    )
    return sum(rate * span / 1e9 for rate, span in spans)


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.floats(1e3, 5e9)), max_size=5, unique_by=lambda one: one[0]),
    st.floats(1e3, 5e9),
    st.lists(st.integers(8, 10**7), min_size=1, max_size=5),
)  # fmt: skip
def test_every_byte_leaves_at_the_rate_of_its_time(later, first, sizes) -> None:
    steps = [(0, first), *sorted(later)]
    sender = Sender(POLICIES["qemu"], Link.of(steps), math.inf, 10**6)
    s, put = sender.record, sender_kernel.put
    for size in sizes:
        begin = max(s.wire_free_ns, s.now_ns)
        put(s, sender.link_start, sender.link_rate, float(size))
        assert carried(steps, begin, s.wire_free_ns) == pytest.approx(size, rel=1e-6, abs=1.0)
        waiting = carried(steps, s.now_ns, s.wire_free_ns)
        assert waiting <= s.socket_bytes * (1 + 1e-6) + 1.0


def test_a_link_that_was_down_is_not_down_for_what_waited_in_the_socket() -> None:
    steps = ((0, 1e3), (2 * 10**9, 1e8))
    move = precopy.plan(memory_bytes=2**20, link_bytes_per_s=steps, policy="qemu")
    assert move.total_ns < 3 * 10**9


@given(pairs(), st.data())
def test_kernels_and_twin_do_the_same(pair, data) -> None:
    memory, sender, twin, plain, bursts = pair
    memory.begin(sender.now_ns)
    twin.begin(plain.now)
    for _ in range(3):
        if bursts:
            tested = data.draw(st.booleans())
            deadline = sender.now_ns + data.draw(st.integers(0, 10**8))
            sender.record.deadline_ns = plain.deadline = deadline
            assert memory.push(sender, tested) == twin.push(plain, tested)
        else:
            skip = data.draw(st.booleans())
            memory.send_all(sender, skip)
            twin.send_all(plain, skip)
        agree(memory, sender, twin, plain)
        share = data.draw(st.sampled_from([1.0, 0.8, 0.01]))
        memory.throttle(sender.now_ns, share)
        twin.write_until(plain.now)
        twin.share = share
        assert memory.dirty(sender.now_ns) == len(twin.log)
        assert memory.sync(sender.now_ns) == twin.sync(plain.now)
        agree(memory, sender, twin, plain)


def idle(pages: int = 100) -> tuple[Memory, Sender]:
    memory = Memory(pages * PAGE, WorkingSet())
    return memory, Sender(POLICIES["xen-4.5"], Link.of(1e9))


def test_the_target_is_equal_only_when_every_page_has_arrived() -> None:
    memory, sender = idle()
    assert not memory.equal()
    memory.begin(0.0)
    memory.send_all(sender, False)
    assert memory.equal()


def test_one_stale_page_is_found() -> None:
    memory, sender = idle()
    memory.begin(0.0)
    memory.send_all(sender, False)
    memory.source[77] += 1
    assert not memory.equal()


def test_a_page_written_after_it_was_sent_is_to_send_again() -> None:
    memory = Memory(64 * PAGE, ws.sequential(PAGE, 1e8))
    sender = Sender(POLICIES["xen-4.5"], Link.of(1e8))
    memory.begin(0.0)
    memory.send_all(sender, False)
    assert not memory.equal()
    assert memory.sync(sender.now_ns) == 1
    memory.stop(sender.now_ns)
    memory.send_all(sender, False)
    assert memory.equal()


def test_a_page_is_copied_as_it_was_when_it_was_sent() -> None:
    """100 writes of one page before its turn: the copy has all of them, and it is dirty again."""
    memory = Memory(64 * PAGE, ws.sequential(PAGE, 1e9))
    sender = Sender(POLICIES["xen-4.5"], Link.of(1e8))
    memory.begin(0.0)
    memory.dirty(409_600.0)
    sender.now_ns = 409_600.0
    assert memory.source[0] == 100
    memory.send_all(sender, False)
    assert memory.target[0] == 100
    assert memory.source[0] > 100


def test_a_stopped_guest_writes_nothing() -> None:
    memory = Memory(64 * PAGE, ws.uniform(32 * PAGE, 1e9))
    memory.begin(0.0)
    memory.stop(1e6)
    before = memory.source.copy()
    memory.sync(1e9)
    assert (memory.source == before).all()


def test_a_zero_page_costs_nine_bytes_until_it_is_written() -> None:
    memory = Memory(64 * PAGE, WorkingSet(), zero_pages=10)
    sender = Sender(POLICIES["qemu"], Link.of(1e9))
    memory.begin(0.0)
    memory.send_all(sender, False)
    assert sender.record.sent_bytes == 54 * 4104 + 10 * 9


@pytest.mark.parametrize("where", ["end", "spread", "start"])
def test_zero_pages_are_where_they_are_asked_for_and_never_in_the_working_set(where) -> None:
    places = zero_places(100, 20, 30, where)
    assert len(set(places.tolist())) == 30
    assert places.min() >= 20
    assert places.max() < 100
    assert {"end": places.min() == 70, "start": places.max() == 49, "spread": True}[where]


def test_more_zero_pages_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(BadInput, match="give at most 80"):
        Memory(100 * PAGE, ws.uniform(20 * PAGE, 1.0), zero_pages=81)


def test_a_working_set_larger_than_memory_is_refused() -> None:
    with pytest.raises(BadInput, match="does not fit into the memory"):
        Memory(100 * PAGE, ws.uniform(101 * PAGE, 1.0))


def test_a_memory_without_a_page_is_refused() -> None:
    with pytest.raises(BadInput, match="give at least 4KiB"):
        Memory(4095, WorkingSet())


def test_what_is_too_much_to_do_one_by_one_is_left_to_counts() -> None:
    with pytest.raises(BadInput, match="plan it with counts"):
        Memory(2 << 40, WorkingSet())
    with pytest.raises(BadInput, match="plan them with counts"):
        Memory(1 << 20, ws.uniform(1 << 19, 1e12))


def test_random_words_are_those_of_draws() -> None:
    draws = Draws(7)
    origin = np.uint64(int(draws.words(3, 0, 1)[0]))
    for number in (0, 1, 1000):
        state = (int(origin) + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        assert int(k.random_word(origin, number)) == state ^ state >> 31


@given(st.integers(1, 2**64 - 1))
def test_bits_of_a_word_are_counted_and_found(word: int) -> None:
    assert k.ones(np.uint64(word)) == word.bit_count()
    assert k.lowest(np.uint64(word)) == (word & -word).bit_length() - 1


@pytest.mark.parametrize("exponent", [0.6, 0.99, 1.0, 1.5])
def test_zipf_ranks_follow_the_law(exponent: float) -> None:
    pages, n = 50, 20_000
    rows = np.zeros(1, k.WRITER).view(np.recarray)
    writer = rows[0]
    writer.pages, writer.exponent, writer.origin = pages, exponent, np.uint64(12345)
    k.prepare_zipf(writer)
    counts = np.zeros(pages)
    for number in range(n):
        writer.done = number
        counts[k.zipf_rank(writer)] += 1
    weights = np.arange(1, pages + 1) ** -exponent
    expected = n * weights / weights.sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 90  # 49 degrees of freedom: exceeded once in 3000 seeds


@pytest.mark.parametrize(
    "make", [ws.sequential, ws.uniform, ws.zipf, ws.hot_cold], ids=lambda make: make.__name__
)
def test_pages_get_dirty_as_the_working_set_expects(make) -> None:
    working_set = make(2000 * PAGE, 4e6)
    for seconds in (0.3, 2.0, 8.0):
        memory = Memory(3000 * PAGE, working_set, seed=3)
        memory.begin(0.0)
        expected = working_set.dirty(seconds)
        spread = max(4 * math.sqrt(expected), 3)
        assert memory.dirty(seconds * 1e9) == pytest.approx(expected, abs=spread)


def test_the_same_seed_gives_the_same_memory_and_another_does_not() -> None:
    def written(seed: int) -> list[int]:
        memory = Memory(500 * PAGE, ws.uniform(300 * PAGE, 4e6), seed=seed)
        memory.begin(0.0)
        memory.dirty(1e9)
        return memory.source.tolist()

    assert written(5) == written(5)
    assert written(5) != written(6)
