"""The picture of a replay: what it chooses, what it draws, and that any program can read it."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.picture import MOST, columns_of, draw, most_interesting
from migration.picture_panels import SHAPES, shape
from migration.picture_traces import STEP, Traces
from migration.verdict import Verdict
from tests.migration.moved import ENDLESSLY, SLOW_WITHOUT_JIT, logged, office, replayed, rows_of
from vswitch.axes import LinearAxis, LogAxis, seconds_text
from vswitch.svg import Drawing, number

SVG = "{http://www.w3.org/2000/svg}"
DEADLY = {"blackout": "25s", "stack_client": "windows-2008r2", "announce": "none"}


def texts(drawn):
    return ["".join(one.itertext()) for one in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def paths(drawn, kind):
    return [
        one.get("d")
        for one in ElementTree.fromstring(drawn).iter(f"{SVG}path")
        if one.get("class") == kind
    ]


def picture(directory, run=replayed, *arguments, **settings):
    with logged(directory, run, *arguments, **settings) as (replay, log):
        return replay, draw(replay, log, "a <test> & more")


@pytest.mark.parametrize(
    ("said", "settings"),
    [
        ("Live migration", {"blackout": "900ms", "loss": "0.05"}),
        ("Quick Migration", {"kind": "quick", "blackout": "3s"}),
        ("waits for pages", {**ENDLESSLY, "kind": "postcopy", "interval": "20ms"}),
        ("went dark", {"outage": True, "blackout": "600ms"}),
        ("logarithmic", {"blackout": "20ms", "stack_client": "linux:min_rto=900ms,tlp=off"}),
        pytest.param("given up: the VM stays", ENDLESSLY, marks=SLOW_WITHOUT_JIT),
    ],
    ids=["live", "quick", "postcopy", "outage", "logarithmic", "given-up"],
)
def test_it_is_well_formed_and_every_coordinate_is_a_number(tmp_path, said, settings):
    _, drawn = picture(tmp_path, replayed, 2, **{"memory": "2MiB", **settings})
    assert said in drawn
    root = ElementTree.fromstring(drawn)
    assert root.find(f"{SVG}title").text.startswith("a <test> & more: ")
    assert not re.search(r"nan|inf", drawn)
    for one in root.iter(f"{SVG}rect"):
        assert float(one.get("width", 0)) >= 0
        assert float(one.get("height", 0)) >= 0
    known = set(re.findall(r"\.([a-z][\w-]*)", root.find(f"{SVG}style").text))
    used = {word for one in root.iter() for word in (one.get("class") or "").split()}
    assert used <= known


def test_it_needs_no_colour_and_has_colours_for_dark_pages(tmp_path):
    _, drawn = picture(tmp_path, replayed, 1, blackout="300ms")
    assert "@media (prefers-color-scheme:dark)" in drawn
    assert len(set(SHAPES.values())) == len(SHAPES)
    for name in ("away", "lost", "dots", "cross"):
        assert f'<pattern id="{name}"' in drawn


def test_each_retransmission_of_a_shown_connection_is_marked_with_its_time(tmp_path):
    replay, drawn = picture(tmp_path, replayed, 1, blackout="3s")
    (one,) = replay.outcomes
    lag_ns = 10_000_000
    said = [text for text in texts(drawn) if re.fullmatch(r"[\d.]+ s", text)]
    for at_ns in one.rto_times_ns[2:]:
        close = [text for text in said if abs(float(text[:-2]) * 1e9 - at_ns) < lag_ns]
        assert close, (at_ns, said)
    assert paths(drawn, "again")
    assert paths(drawn, "drop")


def test_the_end_of_a_connection_is_drawn_and_dead_ones_come_first(tmp_path):
    replay, drawn = picture(tmp_path, replayed, 2, traffic="bulk", link="10Mbps", **DEADLY)
    dead = [one for one in replay.outcomes if one.verdict is Verdict.TIMED_OUT]
    assert dead
    assert any("timed out: " in text for text in texts(drawn))
    assert f"✗ {dead[0].aborted_at_ns / 1e9:.1f} s" in texts(drawn)


def stand_in(rows):
    """As much of a replay as the choice looks at: verdict, wait, bytes."""
    attach = np.zeros(2 * len(rows), [("stall", "i8"), ("stall_from", "i8")])
    outcomes = []
    for c, (verdict, wait, size) in enumerate(rows):
        attach[2 * c]["stall"], attach[2 * c]["stall_from"] = wait, 50 if wait else -1
        outcomes.append(
            SimpleNamespace(
                verdict=verdict, retransmits=0, bytes_before=(size, 0), bytes_after=(0, 0)
            )
        )
    simulation = SimpleNamespace(path=SimpleNamespace(attach=attach))
    return SimpleNamespace(outcomes=outcomes, simulation=simulation, blackout_ns=60, light_ns=100)


def test_it_shows_the_dead_then_those_held_up_longest_and_one_that_lives():
    dead, alive, over = Verdict.TIMED_OUT, Verdict.SURVIVED, Verdict.FINISHED
    many = [(alive, 100, 0), *[(dead, 200 + n, 0) for n in range(6)], (over, 900, 0)]
    assert most_interesting(stand_in(many)) == [6, 5, 4, 0]
    assert most_interesting(stand_in([(alive, 20, 0), (alive, 90, 0), (over, 0, 9)])) == [1, 0]
    idle = [(alive, 0, 5), (alive, 0, 90), (alive, 0, 7)]
    assert most_interesting(stand_in(idle)) == [1, 2]
    assert most_interesting(stand_in([(dead, 0, 0)] * 9)) == [0, 1, 2, 3]
    assert MOST == 4


def test_traces_hold_every_frame_of_the_client_side(tmp_path):
    with logged(tmp_path, office, blackout="1.5s") as (replay, log):
        rows = rows_of(log)
        chosen = list(range(len(replay.outcomes)))
        whole = columns_of(replay, chosen, (log.first_ns, log.last_ns))[0]
        traces = Traces([whole], chosen)
        traces.gather(log)
    seen = rows[rows["where"] == 0]
    assert traces.counts["whole"].sum() == len(seen)
    for end in range(2 * len(chosen)):
        lane = traces.lanes["whole", end]
        own = seen[(seen["sender"] == end)]
        new = own[(own["size"] > 0) & (own["again"] == 0) & (own["probe"] == 0)]
        x = ((whole.at(new["at"]) - whole.axis.begin) / STEP).astype(int)
        assert lane.filled.tolist() == sorted(set(x.tolist()))
        if len(new):
            assert lane.low[lane.filled].min() == new["seq"].min()
            assert lane.high[lane.filled].max() == (new["seq"] + new["size"]).max()
        again = own[own["again"] > 0]
        kept = [mark for name in ("timeout", "tail", "fast") for mark in lane.marks[name]]
        assert sorted(kept) == sorted(zip(again["at"].tolist(), again["seq"].tolist(), strict=True))


@given(
    st.floats(-1e5, 1e5), st.floats(1e-3, 1e5), st.integers(2, 20), st.sampled_from(["line", "log"])
)
def test_ticks_are_round_inside_and_not_too_many(first, span, most, kind):
    axis = LinearAxis(first, first + span, 0, 500)
    if kind == "log":
        axis = LogAxis(-span / 9, span, 0, 500, span / 200)
    ticks = axis.ticks(most)
    assert ticks == sorted(set(ticks))
    assert all(axis.first - 1e-6 <= tick <= axis.last + 1e-6 for tick in ticks)
    if kind == "line":
        assert len(ticks) <= most + 1
    x = axis.at(ticks)
    assert ((x >= -1) & (x <= 501)).all()


@given(st.lists(st.floats(-50, 500), min_size=2, max_size=30))
def test_a_logarithmic_axis_keeps_the_order(values):
    axis = LogAxis(-50, 500, 0, 800, 0.1)
    values = sorted(values)
    x = axis.at(values)
    assert (np.diff(x) >= 0).all()
    assert axis.at([-50, 500]).tolist() == pytest.approx([0, 800])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.005, "5 ms"), (-0.05, "-50 ms"), (0.1, "0.1 s"), (300, "300 s")],
)
def test_ticks_say_their_unit(value, text):
    assert seconds_text(value) == text


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_move_to_their_place(name):
    here, there = shape(name, 0, 0), shape(name, 100.5, -20)
    points = [
        [tuple(map(float, pair)) for pair in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", drawn)]
        for drawn in (here, there)
    ]
    assert points[0]
    for (x, y), (moved_x, moved_y) in zip(*points, strict=True):
        assert math.isclose(moved_x - x, 100.5)
        assert math.isclose(moved_y - y, -20)


def test_drawing_escapes_text_and_rounds_coordinates():
    drawing = Drawing(100, style=".a{fill:red}", title="a < b")
    drawing.text(1.26, 2, "x & <y>", "a", "end")
    with drawing.group(clip="c", title="t & u"):
        drawing.path("", "a")
        drawing.rect(0, -0.01, 3.0, 4.04, "a")
    root = ElementTree.fromstring(drawing.finish(50))
    text = root.find(f"{SVG}text")
    assert (text.get("x"), text.get("y"), text.text) == ("1.3", "2", "x & <y>")
    rect = root.find(f"{SVG}g/{SVG}rect")
    assert (rect.get("y"), rect.get("height")) == ("0", "4")
    assert root.find(f"{SVG}g/{SVG}path") is None
    assert number(-0.04) == "0"
