"""Charts for pages: lines, stacked bars, ranges; each can be read without colour.

Series are told apart by dash and marker, parts by hatching, both by a name beside
them. Colours come from the page's style sheet (:data:`STYLE`), which knows light and
dark; the fills are patterns that :func:`patterns` defines once a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vswitch.axes import LinearAxis
from vswitch.svg import Drawing, number

KINDS = 8
"""Series and parts that look different."""

_LIGHT = ("#0550ae", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#0a7ea4", "#7d4e00", "#59636e")
_DARK = ("#79c0ff", "#ffa657", "#56d364", "#d2a8ff", "#ff7b72", "#76e3ea", "#e3b341", "#b1bac4")
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "none", "4 2", "1 2", "12 3")


def _colours(colours: Sequence[str], ink: str, dim: str, grid: str, page: str) -> str:
    rules = [
        f"svg text{{fill:{ink}}}svg .dim{{fill:{dim}}}svg .grid{{stroke:{grid}}}"
        f"svg .axis{{stroke:{dim}}}svg .halo{{stroke:{page}}}svg .edge{{stroke:{page}}}"
    ]
    for n, colour in enumerate(colours):
        rules.append(
            f"svg .line-{n}{{stroke:{colour}}}svg .mark-{n}{{stroke:{colour};fill:{page}}}"
        )
        rules.append(f"svg .solid-{n}{{fill:{colour}}}svg .stroke-{n}{{stroke:{colour}}}")
        rules.append(f"svg .name-{n}{{fill:{colour}}}")
    return "".join(rules)


_LIGHT_RULES = _colours(_LIGHT, "#1f2328", "#59636e", "#d1d9e0", "#ffffff")
_DARK_RULES = _colours(_DARK, "#f0f6fc", "#9198a1", "#3d444d", "#0d1117")

STYLE = (
    "svg{max-width:100%;height:auto}svg text{font:12px system-ui,'DejaVu Sans',sans-serif}"
    "svg .small{font-size:11px}svg .title{font-weight:600}svg .name{font-size:11.5px;font-weight:600}"
    "svg .halo{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}"
    "svg .grid{fill:none;stroke-width:.7;stroke-dasharray:2 3}svg .axis{fill:none;stroke-width:1}"
    "svg .line{fill:none;stroke-width:2}svg .mark{stroke-width:1.6}"
    "svg .edge{fill:none;stroke-width:1}svg .hatch{fill:none;stroke-width:1.5}"
    + "".join(f"svg .line-{n}{{stroke-dasharray:{dash}}}" for n, dash in enumerate(_DASHES))
    + "".join(f"svg .part-{n}{{fill:url(#part-{n})}}" for n in range(KINDS))
    + _LIGHT_RULES
    + f"@media (prefers-color-scheme:dark){{{_DARK_RULES}}}"
)
"""Style sheet of a page with charts."""

_HATCHES = (
    "",  # plain
    "M0 8L8 0M-1 1L1 -1M7 9L9 7",
    "M1 2h2M5 6h2",
    "M0 0L8 8M-1 7L1 9M7 -1L9 1",
    "M0 4H8",
    "M4 0V8",
    "M0 8L8 0M0 0L8 8",
    "M0 2H8M0 6H8",
)


def patterns() -> str:
    """Return the drawing that defines the fills of parts; nothing of it is seen."""
    drawing = Drawing(0, title="fills")
    for n, hatch in enumerate(_HATCHES):
        faint = ' opacity=".3"' if hatch else ""
        under = f'<rect class="solid-{n}" width="8" height="8"{faint}/>'
        over = f'<path class="hatch stroke-{n}" d="{hatch}"/>' if hatch else ""
        drawing.define(
            f'<pattern id="part-{n}" patternUnits="userSpaceOnUse" width="8" height="8">'
            f"{under}{over}</pattern>"
        )
    return drawing.finish(0)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Parameters
    ----------
    name : str
        Beside its end.
    kind : int
        Which look, from 0.
    values : sequence of float or None
        One for each place of the axis; None leaves a gap.
    notes : sequence of str
        What a browser shows at each place.
    """

    name: str
    kind: int
    values: Sequence[float | None]
    notes: Sequence[str] = ()


def _circle(x: float, y: float) -> str:
    return f"M{number(x - 3.5)} {number(y)}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0"


def _polygon(*corners: tuple[float, float]) -> Callable[[float, float], str]:
    def path(x: float, y: float) -> str:
        return "M" + "L".join(f"{number(x + dx)} {number(y + dy)}" for dx, dy in corners) + "Z"

    return path


MARKERS: tuple[Callable[[float, float], str], ...] = (
    _circle,
    _polygon((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)),
    _polygon((0, -4.5), (4.2, 3.2), (-4.2, 3.2)),
    _polygon((0, -4.8), (4.8, 0), (0, 4.8), (-4.8, 0)),
    _polygon((0, 4.5), (4.2, -3.2), (-4.2, -3.2)),
    _polygon((-4, -1.5), (0, -4.5), (4, -1.5), (2.5, 3.5), (-2.5, 3.5)),
    _polygon((-1.4, -4.5), (1.4, -4.5), (1.4, 4.5), (-1.4, 4.5)),
    _polygon((-4.5, -1.4), (4.5, -1.4), (4.5, 1.4), (-4.5, 1.4)),
)


def spread(places: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """Move labels apart, so that they keep a gap, as little as possible and within bounds.

    Parameters
    ----------
    places : sequence of float
        Where they want to be.
    gap : float
        Between two at least.
    first, last : float
        Bounds.

    Returns
    -------
    list of float
        One for each, in the same order.
    """
    order = sorted(range(len(places)), key=lambda n: places[n])
    found = [places[n] for n in order]
    for _ in range(60):
        for n in range(1, len(found)):
            overlap = gap - (found[n] - found[n - 1])
            if overlap > 0:
                found[n - 1] -= overlap / 2
                found[n] += overlap / 2
        if found and found[0] < first:
            found[0] = first
        if found and found[-1] > last:
            found[-1] = last
    placed = [0.0] * len(places)
    for place, n in zip(found, order, strict=True):
        placed[n] = place
    return placed


def lines(
    title: str,
    places: Sequence[str],
    series: Sequence[Series],
    *,
    axis_title: str,
    unit: str,
    width: float = 460,
    height: float = 280,
    top: float | None = None,
) -> str:
    """Draw lines over named places, each named at its end.

    Parameters
    ----------
    title, axis_title, unit : str
        Of the chart, below the axis, of the values.
    places : sequence of str
        Along the axis.
    series : sequence of Series
        The lines.
    width, height : float
        In pixels.
    top : float, optional
        Value at the upper end; above the largest by default.

    Returns
    -------
    str
        The drawing.
    """
    drawing = Drawing(width, title=title)
    left, right, above, below = 40.0, width - 148.0, 46.0, height - 40.0
    most = max((v for one in series for v in one.values if v is not None), default=1.0)
    values = LinearAxis(0, top or max(most * 1.08, 1e-9), below, above)
    step = (right - left) / max(1, len(places) - 1)
    drawing.text(left, 16, title, "title")
    drawing.text(left - 32, 32, unit, "small dim")
    for value in values.ticks(5):
        y = float(values.at(value))
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 6, y + 4, f"{value:g}", "small dim", "end")
    for n, place in enumerate(places):
        drawing.text(left + n * step, below + 16, place, "small dim", "middle")
    drawing.text((left + right) / 2, height - 6, axis_title, "small dim", "middle")
    drawing.line(left, below, right, below, "axis")
    ends = []
    for one in series:
        points = [
            (left + n * step, float(values.at(value)), n)
            for n, value in enumerate(one.values)
            if value is not None
        ]
        if not points:
            continue
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y, _ in points)
        drawing.path(path, f"line line-{one.kind % KINDS}")
        for x, y, n in points:
            with drawing.group(title=one.notes[n] if one.notes else one.name):
                drawing.path(MARKERS[one.kind % KINDS](x, y), f"mark mark-{one.kind % KINDS}")
        ends.append((one, points[-1]))
    labels = spread([end[1] for _, end in ends], 14, above, below)
    for (one, (x, y, _)), label in zip(ends, labels, strict=True):
        drawing.path(f"M{number(x + 5)} {number(y)}L{number(right + 12)} {number(label)}", "axis")
        drawing.text(right + 16, label + 4, one.name, f"name name-{one.kind % KINDS}")
    return drawing.finish(height)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of parts.

    Parameters
    ----------
    name : str
        Beside it.
    parts : sequence of (str, float)
        Names and values, in order.
    note : str
        Behind its end.
    """

    name: str
    parts: Sequence[tuple[str, float]]
    note: str = ""


def stacked(
    title: str,
    bars: Sequence[Bar],
    parts: Sequence[str],
    *,
    unit: str,
    width: float = 940,
) -> str:
    """Draw horizontal bars of parts, with a legend.

    Parameters
    ----------
    title, unit : str
        Of the chart, of the values.
    bars : sequence of Bar
        From top to bottom.
    parts : sequence of str
        All names, in the order of their looks.
    width : float
        In pixels.

    Returns
    -------
    str
        The drawing.
    """
    drawing = Drawing(width, title=title)
    left, right, row = 150.0, width - 150.0, 26.0
    longest = max((sum(value for _, value in bar.parts) for bar in bars), default=1.0)
    axis = LinearAxis(0, max(longest, 1e-9), left, right)
    drawing.text(8, 16, title, "title")
    x, y = left, 38.0
    for n, name in enumerate(parts):
        wide = 26 + 6.6 * len(name)
        if x + wide > width - 8:
            x, y = left, y + 18
        drawing.rect(x, y - 10, 14, 12, f"part-{n % KINDS}")
        drawing.text(x + 19, y, name, "small")
        x += wide
    first = y + 16
    bottom = first + row * len(bars)
    for value in axis.ticks(6):
        place = float(axis.at(value))
        drawing.line(place, first - 4, place, bottom, "grid")
        drawing.text(place, bottom + 14, f"{value:,g}", "small dim", "middle")
    drawing.text(right + 10, bottom + 14, unit, "small dim")
    for n, bar in enumerate(bars):
        at = first + n * row
        drawing.text(left - 8, at + 14, bar.name, "", "end")
        begin = 0.0
        for name, value in bar.parts:
            if value <= 0:
                continue
            from_x, to_x = (float(axis.at(v)) for v in (begin, begin + value))
            with drawing.group(title=f"{bar.name}: {name} {value:,.4g} {unit}"):
                look = parts.index(name) % KINDS
                drawing.rect(from_x, at, to_x - from_x, row - 8, f"part-{look}")
                drawing.path(
                    f"M{number(from_x)} {number(at)}H{number(to_x)}V{number(at + row - 8)}"
                    f"H{number(from_x)}Z",
                    "edge",
                )
            begin += value
        drawing.text(float(axis.at(begin)) + 8, at + 14, bar.note, "small dim")
    return drawing.finish(bottom + 24)


def processors(
    title: str,
    rows: Sequence[Sequence[float]],
    *,
    note: str,
    width: float = 300,
    height: float = 150,
) -> str:
    """Draw one upright bar a processor: the parent's share below, the guests' above.

    Parameters
    ----------
    title, note : str
        Above the bars.
    rows : sequence of (parent, guest)
        Shares of each processor.
    width, height : float
        In pixels.

    Returns
    -------
    str
        The drawing; parts 0 and 1 of the page's fills.
    """
    drawing = Drawing(width, title=title)
    left, right, above, below = 34.0, width - 6.0, 40.0, height - 22.0
    drawing.text(left, 14, title, "title")
    drawing.text(left, 29, note, "small dim")
    axis = LinearAxis(0, 1, below, above)
    for share in (0.0, 0.5, 1.0):
        y = float(axis.at(share))
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 5, y + 4, f"{100 * share:.0f}%", "small dim", "end")
    step = (right - left) / max(1, len(rows))
    gap = min(4.0, step / 4)
    every = math.ceil(len(rows) / 16)
    for n, (parent, guest) in enumerate(rows):
        x = left + n * step + gap / 2
        with drawing.group(title=f"processor {n}: parent {parent:.0%}, guests {guest:.0%}"):
            for look, begin, end in ((0, 0.0, parent), (1, parent, parent + guest)):
                top, bottom = (float(axis.at(share)) for share in (end, begin))
                drawing.rect(x, top, step - gap, bottom - top, f"part-{look}")
        if n % every == 0:
            drawing.text(x + (step - gap) / 2, below + 14, str(n), "small dim", "middle")
    drawing.line(left, below, right, below, "axis")
    return drawing.finish(height)


def ranges(
    title: str,
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    *,
    unit: str,
    width: float = 940,
) -> str:
    """Draw percentiles of several things on a logarithmic axis.

    Parameters
    ----------
    title, unit : str
        Of the chart, of the values.
    rows : sequence of (str, sequence of (str, float))
        Names, and named values above 0, ascending; the same names in each row.
    width : float
        In pixels.

    Returns
    -------
    str
        The drawing.
    """
    drawing = Drawing(width, title=title)
    left, right, row, first = 150.0, width - 60.0, 26.0, 48.0
    values = [value for _, points in rows for _, value in points if value > 0] or [1.0]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values) * 1.0001))
    axis = LinearAxis(math.log10(low), math.log10(high), left, right)
    bottom = first + row * len(rows)
    drawing.text(8, 16, title, "title")
    names = [name for name, _ in rows[0][1]] if rows else []
    x = left
    for n, name in enumerate(names):
        drawing.path(MARKERS[n % KINDS](x + 5, 30), f"mark mark-{n % KINDS}")
        drawing.text(x + 14, 34, name, "small")
        x += 30 + 7 * len(name)
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        place = float(axis.at(power))
        drawing.line(place, first - 4, place, bottom, "grid")
        drawing.text(place, bottom + 14, f"{10.0**power:,g}", "small dim", "middle")
    drawing.text(right + 22, bottom + 14, unit, "small dim")
    for n, (name, points) in enumerate(rows):
        y = first + n * row + 9
        drawing.text(left - 8, y + 4, name, "", "end")
        places = [float(axis.at(math.log10(value))) for _, value in points if value > 0]
        if places:
            drawing.line(places[0], y, places[-1], y, "axis")
        for look, (what, value) in enumerate(points):
            if value > 0:
                with drawing.group(title=f"{name}: {what} {value:,.4g} {unit}"):
                    drawing.path(
                        MARKERS[look % KINDS](float(axis.at(math.log10(value))), y),
                        f"mark mark-{look % KINDS}",
                    )
    return drawing.finish(bottom + 24)
