"""Drawings of a timeline: a strip for each host with its moves, and the passes of one move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from migration.cluster.day_records import Day, clock
from migration.cluster.usage import PROCESSORS
from migration.move import Move
from vswitch.axes import LinearAxis
from vswitch.svg import Drawing, number

WIDTH, LEFT, RIGHT = 940.0, 110.0, 30.0
GAP, TOP = 8.0, 14.0
TALL, LOW, FEW = 56.0, 26.0, 6
"""Height of a strip among few, and among many."""
Floats = npt.NDArray[np.float64]
MOST = 1.5
"""Share of the processors at the top of a strip."""
MOST_ARROWS = 400


def strips(day: Day, shown: list[int]) -> str:
    """Return hosts over time: load, moves, work and faults.

    Parameters
    ----------
    day : Day
    shown : list of int
        Numbers of the hosts, from top to bottom.

    Returns
    -------
    str
        SVG.
    """
    drawing = Drawing(WIDTH, title="Hosts over time")
    span = max(day.hours * 3.6e12, 1.0)
    x = LinearAxis(0.0, span, LEFT, WIDTH - RIGHT)
    strip = TALL if len(shown) <= FEW else LOW
    rows = {host: TOP + place * (strip + GAP) for place, host in enumerate(shown)}
    at = x.at(np.array(day.sample_ns, np.float64))
    high = day.cluster.mover.thresholds[PROCESSORS].high
    for host, top in rows.items():
        name = day.cluster.hosts[host].name
        drawing.text(LEFT - 6, top + strip - 8, name, "small", "end")
        use = np.array([sample[PROCESSORS, host] for sample in day.samples])
        with drawing.group(title=f"{name}: at most {use.max():.0%} of its processors"):
            _area(drawing, at, use, top, strip, "strip", 0.0)
            if use.max() > 1.0:
                _area(drawing, at, np.maximum(use, 1.0), top, strip, "over", 1.0)
        level = top + strip * (1 - high / MOST)
        drawing.line(LEFT, level, WIDTH - RIGHT, level, "limit")
        drawing.line(LEFT, top + strip, WIDTH - RIGHT, top + strip, "axis")
    _work(drawing, day, rows, strip, x)
    for one in day.moves[:MOST_ARROWS]:
        if one.source not in rows or one.target not in rows:
            continue
        begin = float(x.at([one.start_ns])[0])
        end = min(max(float(x.at([one.end_ns])[0]), begin + 1.0), WIDTH - RIGHT)
        source, target = (rows[host] + strip / 2 for host in (one.source, one.target))
        vm = day.cluster.vms[one.vm].name
        with drawing.group(title=f"{one.number}: {vm}, {clock(one.start_ns)}, {one.outcome}"):
            drawing.path(
                f"M{number(begin)} {number(source)}L{number(end)} {number(target)}", "move"
            )
            down = 4 if target > source else -4
            drawing.path(f"M{number(end)} {number(target)}l-3 {number(-down)}h6z", "arrow")
    foot = TOP + len(rows) * (strip + GAP)
    hours = np.arange(0, day.hours + 1e-9, max(1.0, round(day.hours / 12)))
    for hour in hours:
        place = float(x.at([hour * 3.6e12])[0])
        drawing.line(place, TOP, place, foot, "grid")
        drawing.text(place, foot + 14, clock(round(hour * 3.6e12)), "small dim", "middle")
    return drawing.finish(foot + 22)


def _area(
    drawing: Drawing, at: Floats, use: Floats, top: float, strip: float, kind: str, floor: float
) -> None:
    level = top + strip * (1 - np.minimum(use, MOST) / MOST)
    base = number(top + strip * (1 - floor / MOST))
    points = "L".join(f"{number(px)} {number(py)}" for px, py in zip(at, level, strict=True))
    drawing.path(f"M{number(float(at[0]))} {base}L{points}L{number(float(at[-1]))} {base}Z", kind)


def _work(drawing: Drawing, day: Day, rows: dict[int, float], strip: float, x: LinearAxis) -> None:
    """Draw work at hosts, and what breaks."""
    begun: dict[int, int] = {}
    end = round(day.hours * 3.6e12)
    for one in day.events:
        if one.host not in rows:
            continue
        if one.kind == "maintenance" and " is emptied " in one.text:
            begun[one.host] = one.at_ns
        elif one.kind == "maintenance" and one.text.endswith("is back"):
            _box(drawing, day, rows, strip, x, one.host, begun.pop(one.host, 0), one.at_ns)
        elif one.kind == "fault" and "crashes" in one.text:
            place = float(x.at([one.at_ns])[0])
            with drawing.group(title=f"{clock(one.at_ns)} {one.text}"):
                drawing.text(place, rows[one.host] + strip - 7, "✗", "title", "middle")
    for host, begin in begun.items():
        _box(drawing, day, rows, strip, x, host, begin, end)


def _box(
    drawing: Drawing, day: Day, rows: dict[int, float], strip: float, x: LinearAxis, host: int,
    begin: int, end: int,
) -> None:  # fmt: skip
    left, right = (float(place) for place in x.at([begin, end]))
    said = f"work at {day.cluster.hosts[host].name}, {clock(begin)} to {clock(end)}"
    with drawing.group(title=said):
        drawing.rect(left, rows[host], max(right - left, 1.5), strip, "part-1")


def counts_chart(title: str, day: Day, without: list[int], with_mover: list[int]) -> str:
    """Return how many hosts were short over time, without the mover (dashed) and with it.

    Parameters
    ----------
    title : str
    day : Day
        Whose sample times both have.
    without, with_mover : list of int
        Hosts, at each sample.

    Returns
    -------
    str
        SVG.
    """
    width, height, left, top = 460.0, 190.0, 36.0, 24.0
    drawing = Drawing(width, title=title)
    most = max(*without, *with_mover, 1)
    x = LinearAxis(0.0, max(day.hours * 3.6e12, 1.0), left, width - 64)
    y = LinearAxis(0.0, most * 1.1, height - 24, top)
    drawing.text(left, 12, title, "title")
    for tick in y.ticks(5):
        level = float(y.at([tick])[0])
        drawing.line(left, level, width - 64, level, "grid")
        drawing.text(left - 5, level + 4, f"{tick:g}", "small dim", "end")
    for hour in np.arange(0, day.hours + 1e-9, max(1.0, round(day.hours / 6))):
        place = float(x.at([hour * 3.6e12])[0])
        drawing.text(place, height - 8, clock(round(hour * 3.6e12)), "small dim", "middle")
    at = x.at(np.array(day.sample_ns, np.float64))
    ends = [
        height - 24.0 - values[-1] / (most * 1.1) * (height - 48)
        for values in (without, with_mover)
    ]
    if abs(ends[0] - ends[1]) < 14:
        ends = [max(ends) - 16, max(ends)]
    for kind, name, values, label in (
        (1, "without", without, ends[0]),
        (0, "with", with_mover, ends[1]),
    ):
        levels = y.at(np.array(values, np.float64))
        points = "L".join(f"{number(px)} {number(py)}" for px, py in zip(at, levels, strict=True))
        drawing.path(f"M{points}", f"line line-{kind}")
        drawing.text(width - 60, label + 4, name, f"name name-{kind}")
    return drawing.finish(height)


def blackout_bar(plan: Move) -> str:
    """Return a move as a bar: passes, then the blackout, which is magnified below.

    Parameters
    ----------
    plan : Move

    Returns
    -------
    str
        SVG.
    """
    width, height = 720.0, 20.0
    drawing = Drawing(width, title="Passes and blackout")
    x = LinearAxis(0.0, max(plan.end_ns, 1), 0.0, width)
    for place, one in enumerate(plan.passes):
        left, right = (float(at) for at in x.at([one.start_ns, one.start_ns + one.duration_ns]))
        said = f"pass {place + 1}: {one.duration_ns / 1e9:.2f} s, {one.pages_sent:,} pages"
        with drawing.group(title=said):
            drawing.rect(left, 2, max(right - left, 0.5), height, f"part-{place % 4}")
    suspend = float(x.at([plan.suspend_ns])[0])
    drawing.line(suspend, 0, suspend, height + 6, "axis")
    drawing.text(min(suspend, width - 4), height + 16, "suspended", "small", "end")
    drawing.text(0, height + 16, "0 s", "small dim")
    drawing.text(width / 2, height + 16, f"{plan.end_ns / 1e9:.1f} s in all", "small dim", "middle")
    top, parts = height + 26, [(name, ns) for name, ns in plan.parts.items() if ns]
    whole = max(sum(ns for _, ns in parts), 1)
    left = 0.0
    for place, (name, ns) in enumerate(parts):
        size = ns / whole * width
        with drawing.group(title=f"{name}: {ns / 1e6:.1f} ms"):
            drawing.rect(left, top, max(size, 0.5), 14, f"part-{place % 4}")
        if size > 70:
            drawing.text(left + 3, top + 28, f"{name} {ns / 1e6:.1f} ms", "small")
        left += size
    return drawing.finish(top + 34)
