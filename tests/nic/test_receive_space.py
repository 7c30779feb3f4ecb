"""The receive sequence space: against a byte map, and by rule."""

from hypothesis import given
from hypothesis import strategies as st

from nic.receive_space import LARGEST_WINDOW, Fit, ReceiveSpace


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(0, 255)), max_size=40),
)
def test_bytes_go_up_once_in_order_and_the_first_ones_stay(first, segments):
    space, seen, up = ReceiveSpace(first), {}, b""
    for at, size, fill in segments:
        before = len(seen)
        fit, data = space.arrive((first + at) % 2**32, bytes([fill]) * size)
        for place in range(at, at + size):
            seen.setdefault(place, fill)
        fresh = len(seen) - before
        had = len(up)
        up += data
        if at > had:
            assert fit is (Fit.OUT_OF_ORDER if fresh else Fit.DUPLICATE)
        elif at + size <= had:
            assert fit is Fit.DUPLICATE
        else:
            assert fit is Fit.IN_ORDER
        wanted = bytearray()
        while len(wanted) in seen:
            wanted.append(seen[len(wanted)])
        assert up == wanted
        assert space.position == len(up)
        assert space.next_sequence == (first + len(up)) % 2**32
        assert space.held_bytes == len([p for p in seen if p >= len(up)])


def test_segments_outside_every_window_are_not_taken():
    space = ReceiveSpace(5)
    assert space.arrive(5 + LARGEST_WINDOW, b"x") == (Fit.OUTSIDE, b"")
    assert space.arrive((4 - LARGEST_WINDOW) % 2**32, b"x") == (Fit.OUTSIDE, b"")
    assert space.held_bytes == 0


def test_numbers_go_round():
    space = ReceiveSpace(2**32 - 2)
    assert space.arrive(1, b"def") == (Fit.OUT_OF_ORDER, b"")
    assert space.arrive(2**32 - 2, b"abc") == (Fit.IN_ORDER, b"abcdef")
    assert space.position_of(0) == 2
    assert space.position_of(2**32 - 3) == -1


def test_bytes_that_were_acknowledged_but_never_seen_are_passed_over():
    space = ReceiveSpace(0)
    space.arrive(10, b"b" * 5)
    space.arrive(20, b"d" * 5)
    assert space.pass_over(12) == (10, b"bbbbb")
    assert space.pass_over(23) == (5, b"ddddd")
    assert space.pass_over(20) == (0, b"")
    assert space.pass_over(30) == (5, b"")
    assert space.position == 30


def test_space_goes_on_in_another_stack():
    space = ReceiveSpace(100)
    space.arrive(100, b"ab")
    space.arrive(105, b"fg")
    other = ReceiveSpace(space.next_sequence, space.held)
    assert other.next_sequence == 102
    assert other.arrive(102, b"cde") == (Fit.IN_ORDER, b"cdefg")
    assert other.position == 5
