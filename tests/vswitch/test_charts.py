"""Charts: well-formed, every coordinate a number, readable without colour."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.charts import (
    KINDS,
    MARKERS,
    STYLE,
    Bar,
    Series,
    lines,
    patterns,
    processors,
    ranges,
    spread,
    stacked,
)

SVG = "{http://www.w3.org/2000/svg}"


def parse(drawn):
    root = ElementTree.fromstring(drawn)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name in ("x", "y", "width", "height", "d"):
                for number in re.findall(r"[-\d.]+(?:e[-+]\d+)?|nan|inf", value):
                    assert math.isfinite(float(number)), (element.tag, name, value)
    return root


def texts(root):
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def classes(root):
    return {part for one in root.iter() for part in one.get("class", "").split()}


def test_each_series_has_a_dash_a_marker_and_its_name():
    series = [Series(f"mode {n}", n, [1.0, 2.0, None, n + 1.0]) for n in range(KINDS)]
    root = parse(lines("a & b", ["1", "2", "4", "8"], series, axis_title="p", unit="Gbit/s"))
    assert {f"line-{n}" for n in range(KINDS)} <= classes(root)
    assert {f"mode {n}" for n in range(KINDS)} <= set(texts(root))
    assert root.find(f"{SVG}title").text == "a & b"
    assert len({marker(10, 10) for marker in MARKERS}) == KINDS
    dashes = re.findall(r"svg \.line-\d\{stroke-dasharray:([^}]*)\}", STYLE)
    assert len(dashes) == KINDS


def test_notes_are_shown_where_the_pointer_is():
    root = parse(
        lines("t", ["1"], [Series("r2", 0, [3.9], ["a processor of the parent"])],
              axis_title="p", unit="u")
    )  # fmt: skip
    assert "a processor of the parent" in [one.text for one in root.iter(f"{SVG}title")]


def test_a_line_of_nothing_is_not_drawn():
    root = parse(lines("t", ["1", "2"], [Series("r2", 0, [None, None])], axis_title="p", unit="u"))
    assert "line-0" not in classes(root)


@given(st.lists(st.floats(0, 200), max_size=8))
def test_labels_keep_apart_and_in_order(places):
    placed = spread(places, 10, -1000, 1000)
    order = sorted(range(len(places)), key=lambda n: places[n])
    gaps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
    assert all(gap > 9 for gap in gaps)


def test_parts_of_bars_are_told_apart_by_patterns_that_the_page_defines():
    names = ["driver", "copy", "TCP/IP"]
    bars = [Bar("r2", [("driver", 10.0), ("copy", 0.0), ("TCP/IP", 5.5)], "15")]
    root = parse(stacked("cycles", bars, names, unit="cycles"))
    assert set(names) <= set(texts(root))
    assert {"part-0", "part-2"} <= classes(root)
    titles = [one.text for one in root.iter(f"{SVG}title")]
    assert "r2: TCP/IP 5.5 cycles" in titles
    assert not any("copy 0" in (one or "") for one in titles)
    defined = {one.get("id") for one in parse(patterns()).iter(f"{SVG}pattern")}
    assert defined == {f"part-{n}" for n in range(KINDS)}


def test_bars_of_processors_are_as_high_as_their_shares():
    root = parse(processors("r2", [(1.0, 0.0), (0.25, 0.5)], note="3.9 Gbit/s"))
    heights = {}
    for one in root.iter(f"{SVG}rect"):
        heights.setdefault(one.get("class"), []).append(float(one.get("height")))
    assert heights["part-0"][0] == pytest.approx(4 * heights["part-0"][1], rel=0.01)
    assert heights["part-1"][1] == pytest.approx(2 * heights["part-0"][1], rel=0.01)


def test_64_processors_have_room():
    root = parse(processors("r2", [(0.5, 0.5)] * 64, note=""))
    assert all(float(one.get("width")) > 0 for one in root.iter(f"{SVG}rect"))


def test_ranges_are_on_a_logarithmic_axis():
    rows = [("r2", [("p50", 10.0), ("p99", 100.0)]), ("r1", [("p50", 0.0), ("p99", 1000.0)])]
    root = parse(ranges("latency", rows, unit="us"))
    assert {"10", "100", "1,000"} <= set(texts(root))
    assert {"p50", "p99"} <= set(texts(root))
    parse(ranges("nothing", [], unit="us"))


def test_equal_input_gives_equal_bytes():
    def drawn():
        return lines("t", ["1", "2"], [Series("a", 1, [0.1, 0.3])], axis_title="p", unit="u")

    assert drawn() == drawn()


def test_the_style_knows_light_and_dark():
    assert "prefers-color-scheme:dark" in STYLE
