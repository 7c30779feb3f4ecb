"""When frames arrive: by their times, at a rate, one after the other on the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcaps.errors import BadInput
from vswitch.arrivals import Arrivals, Pace

GIGABIT, TEN = 1e9, 10e9


def arrive(pace, times_ns, sizes, link=TEN, from_wire=None):
    arrivals = Arrivals(pace, link)
    wire = np.ones(len(times_ns), np.uint8) if from_wire is None else np.array(from_wire, np.uint8)
    times = arrivals.of(np.array(times_ns, np.int64), np.array(sizes, np.uint32), wire)
    return times.tolist(), arrivals


def test_times_of_the_capture_count_from_its_first_frame():
    times, _ = arrive(Pace(), [5_000_000, 5_010_000], [60, 60])
    assert times == [67_200, 10_067_200]  # 84 bytes at 10 Gbit/s take 67.2 ns


def test_speed_shortens_the_gaps_and_not_the_frames():
    times, _ = arrive(Pace.parse(None, "2x"), [0, 10_000], [60, 60])
    assert times == [67_200, 5_067_200]


def test_a_frame_is_padded_to_64_bytes_and_takes_preamble_and_gap():
    (runt, whole), _ = arrive(Pace(), [0, 10**9], [14, 60])
    assert (runt, whole - 10**12) == (67_200, 67_200)


def test_the_wire_carries_one_frame_at_a_time():
    times, arrivals = arrive(Pace(), [0, 0, 0], [1514, 1514, 1514], GIGABIT)
    assert times == [12_304_000, 24_608_000, 36_912_000]
    assert arrivals.frames / (arrivals.duration_ps / 1e12) == pytest.approx(81_274, abs=1)


@pytest.mark.parametrize(
    ("size", "link", "pps"),
    [(60, TEN, 14_880_952), (1514, TEN, 812_744), (9014, TEN, 138_305), (60, GIGABIT, 1_488_095),
     (1514, GIGABIT, 81_274), (9014, GIGABIT, 13_830), (590, TEN, 2_035_831)],
)  # fmt: skip
def test_line_rate_is_the_published_frame_rate(size, link, pps):
    n = 20_000
    _, arrivals = arrive(Pace.parse("100Tbps", None), [0] * n, [size] * n, link)
    assert n / (arrivals.duration_ps / 1e12) == pytest.approx(pps, abs=1)


def test_a_rate_in_bits_counts_the_bytes_of_frames():
    n = 1000
    _, arrivals = arrive(Pace.parse("1Gbps", None), [0] * n, [1250] * n)
    assert arrivals.bits / (arrivals.duration_ps / 1e12) == pytest.approx(1e9, rel=2e-3)


def test_a_rate_in_frames_spaces_them_evenly():
    times, _ = arrive(Pace.parse("1Mpps", None), [0, 0, 0], [60, 1514, 60])
    assert [time // 10**6 for time in times] == [
        0,
        2,
        2,
    ]  # each at its microsecond, plus its length
    assert times[0] == 67_200


def test_times_that_go_back_come_with_the_frame_before():
    times, _ = arrive(Pace(), [10**6, 0, 2 * 10**6], [60, 60, 60])
    assert times == [67_200, 134_400, 10**9 + 67_200]


def test_frames_of_vms_take_no_time_on_the_wire_and_do_not_overtake():
    times, _ = arrive(Pace(), [0, 0, 0], [1514, 100, 1514], from_wire=[1, 0, 1])
    assert times[0] == times[1] == 1_230_400
    assert times[2] == 2_460_800


def test_a_second_capture_follows_the_first():
    arrivals = Arrivals(Pace(), TEN)
    one, wire = np.array([7_000_000], np.int64), np.ones(1, np.uint8)
    size = np.array([60], np.uint32)
    arrivals.of(one, size, wire)
    arrivals.next_capture()
    assert arrivals.of(one - 6_000_000, size, wire).tolist() == [134_400]


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 9018), st.booleans()), max_size=50)
)
def test_arrivals_never_go_back(frames):
    times, _ = arrive(
        Pace(), [f[0] for f in frames], [f[1] for f in frames], from_wire=[f[2] for f in frames]
    )
    assert times == sorted(times)


def test_times_that_span_months_ask_for_a_rate():
    with pytest.raises(BadInput, match="more than 92 days; give a --rate"):
        arrive(Pace(), [0, 1_700_000_000 * 10**9], [60, 60])


@pytest.mark.parametrize(
    ("rate", "speed", "said"),
    [
        ("0", None, "lets nothing arrive"),
        ("0bps", None, "lets nothing arrive"),
        ("0pps", None, "lets nothing arrive"),
        ("10", None, "has no unit"),
        ("10G", None, "has no unit"),
        ("fast", None, "is not a rate"),
        ("-1Gbps", None, "is not a rate"),
        ("9999Tbps", None, "beyond what is modelled"),
        (None, "0x", "is not a speed"),
        (None, "2", "is not a speed"),
        ("1Gbps", "2x", "exclude each other"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(rate, speed, said):
    with pytest.raises(BadInput, match=said) as caught:
        Pace.parse(rate, speed)
    assert "\n" not in caught.value.what


def test_a_pace_is_told_as_it_was_asked_for():
    asked = [("10Gbps", None), ("1.5Mpps", None), (None, "2x"), (None, None)]
    assert [str(Pace.parse(*one)) for one in asked] == [
        "10 Gbit/s", "1.5 Mpps", "2x the capture's times", "1x the capture's times",
    ]  # fmt: skip
    assert [Pace.parse(*one).to_dict() for one in asked] == [
        {"bps": 10e9}, {"pps": 1.5e6}, {"speed": 2.0}, {"speed": 1.0},
    ]  # fmt: skip
