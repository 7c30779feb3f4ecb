"""The path that goes dark loses, holds and delays what it says; socket pairs stand for taps."""

import socket
import time

import pytest
from dark_path import Blackout, DarkPath, Link

MS = 1_000_000


class Ends:
    """Both ends of a path, and what has come out of it: (time in ns, frame)."""

    def __init__(self, link=None, blackout=None):
        self.client, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.vm, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sockets = (self.client, near, self.vm, far)
        for one in self.sockets:
            one.setblocking(False)
        self.way = DarkPath(near.fileno(), far.fileno(), link or Link(), blackout)
        self.at_vm, self.at_client = [], []

    def carry(self, *deeds):
        """Carry frames for the time of all deeds, each (after ms, what to do)."""
        began = time.time_ns()
        left = list(deeds)

        def stop():
            for end, arrived in ((self.vm, self.at_vm), (self.client, self.at_client)):
                while True:
                    try:
                        arrived.append((time.time_ns(), end.recv(9000)))
                    except BlockingIOError:
                        break
            while left and time.time_ns() >= began + left[0][0] * MS:
                left.pop(0)[1]()
            return not left

        self.way.carry(stop, 10.0)

    def send(self, *texts):
        return lambda: [self.client.send(text) for text in texts]

    def answer(self, *texts):
        return lambda: [self.vm.send(text) for text in texts]


def nothing():
    """Only let time pass."""


@pytest.fixture
def ends():
    made = []

    def make(*arguments):
        made.append(Ends(*arguments))
        return made[-1]

    yield make
    for one in made:
        for end in one.sockets:
            end.close()


def frames(arrived):
    return [frame for _, frame in arrived]


def dark_for(length_ms, mode, bound=512):
    return Blackout(time.time_ns(), length_ms * MS, mode, 0, bound)


def test_frames_leave_in_order_after_the_delay(ends):
    path = ends(Link(delay_ns=20 * MS))
    sent_ns = time.time_ns()
    path.carry((0, path.send(b"a", b"b")), (0, path.answer(b"c")), (60, nothing))
    assert frames(path.at_vm) == [b"a", b"b"]
    assert frames(path.at_client) == [b"c"]
    assert all(at - sent_ns >= 20 * MS for at, _ in path.at_vm + path.at_client)
    assert path.way.counts == {"carried": 3}


def test_a_bottleneck_sends_frames_one_after_the_other(ends):
    path = ends(Link(rate_bps=800_000))  # 10 ms for 1000 bytes
    sent_ns = time.time_ns()
    path.carry((0, path.send(bytes(1000), bytes(1000), bytes(1000))), (60, nothing))
    assert len(path.at_vm) == 3
    assert path.at_vm[2][0] - sent_ns >= 30 * MS


def test_what_does_not_fit_the_queue_is_dropped_and_counted(ends):
    path = ends(Link(rate_bps=800_000, queue_bytes=2500))
    path.carry((0, path.send(*(bytes([n]) * 1000 for n in range(5)))), (80, nothing))
    assert [frame[0] for frame in frames(path.at_vm)] == [0, 1]
    assert path.way.counts == {"carried": 2, "queue_full": 3}


def test_dark_begins_behind_the_first_frame_of_the_far_end(ends):
    path = ends(Link(), dark_for(1000, "drop"))
    path.carry((0, path.send(b"passes")), (30, path.answer(b"passes")), (60, path.send(b"lost")),
               (90, nothing))  # fmt: skip
    assert frames(path.at_vm) == frames(path.at_client) == [b"passes"]
    assert path.way.counts == {"carried": 2, "dropped": 1}


def test_drop_loses_both_directions_until_the_light_is_back(ends):
    path = ends(Link(), dark_for(40, "drop"))
    path.carry((0, path.answer(b"0")), (10, path.send(b"1")), (15, path.answer(b"2")),
               (80, path.send(b"3")), (80, path.answer(b"4")), (100, nothing))  # fmt: skip
    assert frames(path.at_vm) == [b"3"]
    assert frames(path.at_client) == [b"0", b"4"]
    assert path.way.counts == {"carried": 3, "dropped": 2}
    assert path.way.light_ns - path.way.dark_ns >= 40 * MS


def test_hold_releases_in_order_before_newer_frames(ends):
    path = ends(Link(), dark_for(40, "hold"))
    path.carry((0, path.answer(b"0")), (10, path.send(b"1", b"2")), (15, path.answer(b"3")),
               (80, path.send(b"4")), (80, path.answer(b"5")), (100, nothing))  # fmt: skip
    assert frames(path.at_vm) == [b"1", b"2", b"4"]
    assert frames(path.at_client) == [b"0", b"3", b"5"]
    assert all(at >= path.way.light_ns for at, _ in path.at_vm)
    assert path.way.counts == {"carried": 6, "held": 3}


def test_hold_keeps_the_oldest_and_counts_what_is_over_its_bound(ends):
    path = ends(Link(), dark_for(40, "hold", 2))
    path.carry((0, path.answer(b"0")), (10, path.send(b"1", b"2", b"3", b"4")), (80, nothing))
    assert frames(path.at_vm) == [b"1", b"2"]
    assert path.way.counts == {"carried": 3, "held": 2, "overflowed": 2}


def test_a_frame_on_the_link_when_dark_begins_is_lost_at_its_end(ends):
    path = ends(Link(delay_ns=30 * MS), dark_for(60, "drop"))
    path.carry((0, path.send(b"late")), (10, path.answer(b"out")), (120, nothing))
    assert frames(path.at_vm) == []
    assert frames(path.at_client) == [b"out"]
    assert path.way.counts == {"carried": 1, "dropped": 1}


def test_programs_that_never_end_are_not_waited_for(ends):
    with pytest.raises(TimeoutError, match="did not end within 0 s"):
        ends().way.carry(lambda: False, 0.05)
