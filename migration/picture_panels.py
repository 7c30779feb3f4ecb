"""The panels of a picture: traffic, one connection, the passes, the parts of the blackout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from migration.picture_style import PART_FILLS
from migration.picture_traces import BAR, MARKS, STEP
from migration.verdict import Verdict
from vswitch.axes import LinearAxis, seconds_text
from vswitch.report import size_text
from vswitch.svg import number

if TYPE_CHECKING:
    from migration.picture_traces import Column, Lane
    from migration.run import Replay
    from migration.verdict import Outcome
    from vswitch.svg import Drawing

_LONGEST_HEADING = 168
_SIGNS = {
    Verdict.SURVIVED: "✓", Verdict.TIMED_OUT: "✗", Verdict.RESET: "✗", Verdict.FINISHED: "•",
}  # fmt: skip

SHAPES = {
    "timeout": "M-5 5L0 -5L5 5Z",
    "tail": "M-5 0L0 -5L5 0L0 5Z",
    "fast": "M-5 -5L0 5L5 -5Z",
    "probe": "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "drop": "M-3 -3L3 3M3 -3L-3 3",
}
"""Shapes, around their middle."""

_NEAR = 3.0
"""Pixels within which marks of one kind cover each other."""
_LEAST_PART_NS = 50_000
"""What is shorter is no part: the way of an announcement to the physical switch."""


def bands(drawing: Drawing, column: Column, replay: Replay, top: float, bottom: float) -> None:
    """Draw when the VM was away, through all panels of a column."""
    resume_ns = replay.begin_ns + replay.move.resume_ns
    spans = [(replay.blackout_ns, resume_ns, "away"), (resume_ns, replay.light_ns, "lost")]
    if replay.kind == "outage":
        spans = [(replay.blackout_ns, replay.light_ns, "away")]
    with drawing.group(clip=_clip(drawing, column, top, bottom)):
        for begin_ns, end_ns, kind in spans:
            first, last = column.at([begin_ns, end_ns]).tolist()
            if end_ns > begin_ns:
                drawing.rect(first, top, max(last - first, 1.0), bottom - top, kind)
                drawing.path(_uprights([first, last], top, bottom), "edge")
        for start, stop in replay.move.brownout:
            first, last = column.at([replay.begin_ns + start, replay.begin_ns + stop]).tolist()
            drawing.rect(first, top, max(last - first, 0.5), bottom - top, "wait")


def _clip(drawing: Drawing, column: Column, top: float, bottom: float) -> str:
    """Define the rectangle of a panel, and return its name."""
    name = f"{column.name}-{number(top)}-{number(bottom)}"
    axis = column.axis
    drawing.clip(name, axis.begin - 1, top, axis.end - axis.begin + 2, bottom - top)
    return name


def _uprights(xs: Iterable[float], top: float, bottom: float) -> str:
    return "".join(f"M{number(x)} {number(top)}V{number(bottom)}" for x in xs)


def time_grid(drawing: Drawing, column: Column, top: float, bottom: float) -> None:
    """Draw the time axis below the panels of a column, and its grid through them."""
    axis = column.axis
    room = int((axis.end - axis.begin) // 58)
    ticks = axis.ticks(room)
    xs = axis.at(ticks).tolist()
    drawing.path(_uprights(xs, top, bottom), "grid")
    drawing.line(axis.begin, bottom, axis.end, bottom, "axis")
    drawing.path(_uprights(xs, bottom, bottom + 4), "axis")
    before = -math.inf
    for x, value in sorted(zip(xs, ticks, strict=True), key=lambda pair: pair[0]):
        text = seconds_text(value)
        if x - before >= 7.0 * len(text):
            drawing.text(x, bottom + 16, text, "tick", "middle")
            before = x + 3.5 * len(text)


def traffic(
    drawing: Drawing, column: Column, counts: npt.NDArray[np.int64], top: float, height: float
) -> None:
    """Draw how many frames the clients sent and got, a bar for each :data:`BAR` pixels."""
    begin = column.axis.begin
    drawing.rect(begin, top, column.width, height, "frame")
    most = int(counts.max(initial=0))
    if not most:
        return
    # a root, so that a single frame is seen beside a burst
    tall = np.sqrt(counts / most) * (height - 4)
    path = "".join(
        f"M{number(begin + BAR * k)} {number(top + height)}"
        f"v{number(-tall[k])}h{BAR}v{number(tall[k])}z"
        for k in np.flatnonzero(counts).tolist()
    )
    drawing.path(path, "bar")


def heading(drawing: Drawing, outcome: Outcome, y: float) -> None:
    """Write who a connection is and what became of it."""
    who = f"{_SIGNS[outcome.verdict]} {outcome.number}  {outcome.client} → {outcome.server}"
    said = f"{outcome.verdict.value.replace('_', ' ')}: {outcome.reason}"
    room = _LONGEST_HEADING - len(who)
    said = said if len(said) <= room else f"{said[: room - 1]}…"
    drawing.text(16, y, who, "strong halo")
    alive = outcome.verdict is Verdict.SURVIVED
    drawing.text(16 + 7.1 * len(who) + 12, y, said, "dim halo" if alive else "dead halo")


def connection(
    drawing: Drawing, column: Column, to_vm: Lane, from_vm: Lane, top: float, height: float
) -> None:
    """Draw one connection, as its client side sees it.

    Two lanes: what goes to the VM, and what comes from it. A bar is new data, from
    its first to its last position in the stream; the marks are segments that were
    sent again, and frames that ended on their way.

    Parameters
    ----------
    drawing : Drawing
        Gets the shapes.
    column : Column
        Its time axis.
    to_vm, from_vm : Lane
        What the ends send.
    top, height : float
        Pixels.
    """
    half = height / 2
    begin = column.axis.begin
    for number_, (lane, kind) in enumerate(((to_vm, "to"), (from_vm, "from"))):
        y = top + number_ * half
        drawing.rect(begin, y, column.width, half, "frame")
        if column.name == "whole":
            drawing.text(begin - 6, y + half / 2 + 4, f"{kind} VM", "label", "end")
        _lane(drawing, column, lane, kind, y, half)


def _lane(
    drawing: Drawing, column: Column, lane: Lane, kind: str, top: float, height: float
) -> None:
    """Draw what one end sends."""
    span = lane.range
    if span is None:
        return
    scale = LinearAxis(span[0], max(span[1], span[0] + 1), top + height - 7, top + 7)
    with drawing.group(clip=_clip(drawing, column, top, top + height)):
        _bars(drawing, lane, scale, kind)
        for name in MARKS:
            times, places = zip(*lane.marks[name], strict=True) if lane.marks[name] else ((), ())
            xs, ys = column.at(times).tolist(), scale.at(places).tolist()
            if name == "reset":
                for x in xs:
                    drawing.text(x + 2, top + 12, "RST", "small halo")
                continue
            drawing.path(_marks(xs, ys, name), "drop" if name == "drop" else "again")
        if column.name == "near":
            _times(drawing, column, lane, scale)
    if len(lane.filled):
        drawing.text(column.axis.begin + 3, top + 11, size_text(span[1] - span[0]), "small halo")


def _bars(drawing: Drawing, lane: Lane, scale: LinearAxis, kind: str) -> None:
    """Draw new data as upright bars, at least two pixels tall."""
    cells = lane.filled
    first = scale.at(lane.low[cells])
    tall = np.maximum(first - scale.at(lane.high[cells]), 2.0)
    begin = lane.column.axis.begin
    drawing.path(
        "".join(
            f"M{number(begin + STEP * cell)} {number(low)}v{number(-high)}"
            for cell, low, high in zip(cells.tolist(), first.tolist(), tall.tolist(), strict=True)
        ),
        kind,
    )


def _marks(xs: Sequence[float], ys: Sequence[float], name: str) -> str:
    """Return a shape at each place; of those that would cover each other, one."""
    cells = {(round(x / _NEAR), round(y / _NEAR)): (x, y) for x, y in zip(xs, ys, strict=True)}
    return "".join(shape(name, x, y) for _, (x, y) in sorted(cells.items()))


def _times(drawing: Drawing, column: Column, lane: Lane, scale: LinearAxis) -> None:
    """Write when segments were sent again, where there is room between two of them."""
    before = -math.inf
    again = sorted(mark for name in MARKS[:3] for mark in lane.marks[name])
    for at_ns, place in again:
        if at_ns < column.zero_ns:
            continue
        x, y = float(column.at(at_ns)), float(scale.at(place))
        said = f"{(at_ns - column.zero_ns) / 1e9:.3g} s"
        if x - before > 6.0 * len(said) + 6:
            above = y - 9 if y - 9 > scale.end + 6 else y + 16
            drawing.text(x, above, said, "small halo", "middle")
            before = x


def shape(name: str, x: float, y: float) -> str:
    """Return a shape as path commands, moved to a place.

    Parameters
    ----------
    name : str
        Of :data:`SHAPES`.
    x, y : float
        Where its middle is.

    Returns
    -------
    str
        Absolute commands.
    """
    moved, words = [], SHAPES[name].replace("M", " M ").replace("L", " L ").replace("A", " A ")
    tokens = words.replace("Z", " Z ").split()
    k = 0
    while k < len(tokens):
        word = tokens[k]
        if word in "ML":
            moved.append(
                f"{word}{number(x + float(tokens[k + 1]))} {number(y + float(tokens[k + 2]))}"
            )
            k += 3
        elif word == "A":
            place = x + float(tokens[k + 6]), y + float(tokens[k + 7])
            moved.append(
                f"A{' '.join(tokens[k + 1 : k + 6])} {number(place[0])} {number(place[1])}"
            )
            k += 8
        else:
            moved.append(word)
            k += 1
    return "".join(moved)


def ending(
    drawing: Drawing, column: Column, replay: Replay, c: int, top: float, height: float
) -> None:
    """Mark when a connection was given up."""
    outcome = replay.outcomes[c]
    if outcome.aborted_at_ns is None:
        return
    x = float(column.at(replay.blackout_ns + outcome.aborted_at_ns))
    axis = column.axis
    if not axis.begin <= x <= axis.end:
        return
    drawing.path(_uprights([x], top, top + height), "death")
    said = f"✗ {outcome.aborted_at_ns / 1e9:.1f} s"
    left = x > axis.end - 60
    drawing.text(
        x - 4 if left else x + 4, top + height - 5, said, "small strong halo",
        "end" if left else "start",
    )  # fmt: skip


def passes(drawing: Drawing, column: Column, replay: Replay, top: float, height: float) -> None:
    """Draw the passes of the move: pages sent (full) and found dirty at the end (dashed)."""
    axis = column.axis
    drawing.rect(axis.begin, top, axis.end - axis.begin, height, "frame")
    first = column.name == "whole"
    found = replay.move.passes
    most = max(max(one.pages_sent, one.pages_dirtied, 1) for one in found)
    decades = max(math.ceil(math.log10(most)), 1)
    base, unit = top + height, (height - 6) / decades

    def y(pages: int) -> float:
        return base - unit * math.log10(max(pages, 1))

    for power in range(0, decades + 1, max(decades // 3, 1)):
        drawing.path(
            f"M{number(axis.begin)} {number(base - unit * power)}H{number(axis.end)}", "grid"
        )
        if first:
            drawing.text(axis.begin - 6, base - unit * power + 4, _count(power), "tick", "end")
    with drawing.group(clip=_clip(drawing, column, top, base)):
        for count, one in enumerate(found, 1):
            begin_ns = replay.begin_ns + one.start_ns
            left, right = column.at([begin_ns, begin_ns + one.duration_ns]).tolist()
            title = (
                f"pass {count}: {one.duration_ns / 1e9:.3f} s, {one.pages_sent:,} pages sent "
                f"({one.zero_pages:,} zero), {one.pages_dirtied:,} found dirty"
            )
            with drawing.group(title=title):
                wide = max(right - left - 1, 1.0)
                drawing.rect(left, y(one.pages_sent), wide, base - y(one.pages_sent), "sent")
                if one.pages_dirtied:
                    level = number(y(one.pages_dirtied))
                    drawing.path(f"M{number(left)} {level}H{number(left + max(wide, 3))}", "dirty")


def _count(power: int) -> str:
    """Return a power of ten as the pages axis has it; its 1 says what is counted."""
    if power == 0:
        return "1 page"
    thousands, rest = divmod(power, 3)
    return f"{10**rest}{('', ' k', ' M', ' G')[thousands]}"


def parts(drawing: Drawing, column: Column, replay: Replay, y: float) -> float:
    """Draw the parts of the blackout to scale, numbered, and list them; return where it ends."""
    named: Sequence[tuple[str, int]] = list(replay.move.parts.items())
    resume_ns = replay.begin_ns + replay.move.resume_ns
    if replay.light_ns - resume_ns >= _LEAST_PART_NS:
        named = [*named, ("until frames find it", replay.light_ns - resume_ns)]
    if not named:
        return y
    at_ns, axis = replay.blackout_ns, column.axis
    with drawing.group(clip=_clip(drawing, column, y, y + 16)):
        before = -math.inf
        for count, (_, span_ns) in enumerate(named):
            left, right = column.at([at_ns, at_ns + span_ns]).tolist()
            drawing.rect(left, y + 1, right - left, 14, PART_FILLS[count % len(PART_FILLS)])
            drawing.rect(left, y + 1, right - left, 14, "outline")
            middle = (left + right) / 2
            if right - left > 10 and middle - before > 12:
                drawing.text(middle, y + 12, str(count + 1), "small strong halo", "middle")
                before = middle
            at_ns += span_ns
    drawing.text(16, y + 12, "parts of the blackout", "head")
    y += 32
    x: float = axis.begin
    for count, (name, span_ns) in enumerate(named):
        said = f"{count + 1} {name} {_milliseconds(span_ns)}"
        wide = 6.2 * len(said) + 34
        if x + wide > axis.end and x > axis.begin:
            x, y = axis.begin, y + 18
        drawing.rect(x, y - 9, 14, 11, PART_FILLS[count % len(PART_FILLS)])
        drawing.rect(x, y - 9, 14, 11, "outline")
        drawing.text(x + 19, y, said, "small")
        x += wide
    return y


def _milliseconds(ns: int) -> str:
    return f"{ns / 1e6:,.1f} ms" if ns < 1_000_000_000 else f"{ns / 1e9:,.2f} s"


def legend(drawing: Drawing, replay: Replay, y: float) -> float:
    """Say what the shapes mean; return where it ends."""
    entries: list[tuple[str, str, Any]] = [
        ("bar", "to", "data to the VM"),
        ("bar", "from", "data from it"),
        ("timeout", "again", "sent again: timeout"),
        ("tail", "again", "tail probe"),
        ("fast", "again", "fast"),
        ("probe", "again", "keep-alive or window probe"),
        ("drop", "drop", "frame that ended on its way"),
    ]
    if replay.kind == "outage":
        entries.append(("area", "away", "the network is dark"))
    else:
        entries += [
            ("area", "away", "VM stands still"),
            ("area", "lost", "it runs, no frame finds it"),
            *([("area", "wait", "it waits for pages")] if replay.move.brownout else []),
        ]
        if replay.move.passes:
            entries += [("sent", "sent", "pages sent"), ("dirty", "dirty", "found dirty")]
    x = 16.0
    for mark, kind, said in entries:
        wide = 6.3 * len(said) + 34
        if x + wide > drawing.width - 12:
            x, y = 16.0, y + 18
        if mark == "bar":
            drawing.path(
                f"M{number(x + 6)} {number(y)}v-9M{number(x + 9)} {number(y - 2)}v-9", kind
            )
        elif mark == "area":
            drawing.rect(x, y - 9, 14, 11, kind)
            drawing.rect(x, y - 9, 14, 11, "outline")
        elif mark == "sent":
            drawing.rect(x, y - 9, 14, 10, kind)
        elif mark == "dirty":
            drawing.path(f"M{number(x)} {number(y - 4)}h16", kind)
        else:
            drawing.path(shape(mark, x + 7, y - 4), kind)
        drawing.text(x + 20, y, said, "small")
        x += wide
    return y
