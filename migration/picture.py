"""``picture.svg``: how connections went through a move, in time and sequence.

Two columns over the same panels: the whole run, and the blackout enlarged. The
panels: frames of all connections; the connections that it hit hardest, as their
clients see them; the passes of the move and the parts of the blackout. What
matters is told by shape, so the picture reads without colour, and on a light as
on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from migration import picture_panels as panels
from migration.picture_style import STYLE, define_patterns
from migration.picture_traces import Column, Traces
from migration.verdict import Verdict
from vswitch.axes import Axis, LinearAxis, LogAxis
from vswitch.report import count_text
from vswitch.svg import Drawing

if TYPE_CHECKING:
    from migration.frame_log import FrameLog
    from migration.run import Replay
PICTURE_FILE = "picture.svg"

MOST, _LEAST = 4, 2
"""Connections that are shown."""

WIDTH = 1180
LEFT = (70, 460)
RIGHT = (410, 1162)
"""Pixels at which each column begins and ends."""

_TOP, _GAP = 74, 14
_TRAFFIC, _HEADING, _CONNECTION, _PASSES = 52, 16, 104, 84

_DEAD = (Verdict.TIMED_OUT, Verdict.RESET)

STRETCH = 12
"""The enlarged column becomes logarithmic when it has to show so many times the blackout."""


def most_interesting(replay: Replay, most: int = MOST) -> list[int]:
    """Choose the connections to show: dead ones first, then those that the blackout held up longest.

    Parameters
    ----------
    replay : Replay
        After its run.
    most : int
        How many.

    Returns
    -------
    list of int
        Their places. When some died and some live, one that lives is among them. Those
        that the blackout did not touch fill up to two.
    """
    outcomes, waits = replay.outcomes, _waits(replay)
    present = [c for c, one in enumerate(outcomes) if one.verdict is not Verdict.FINISHED]
    moved = [sum(one.bytes_before) + sum(one.bytes_after) for one in outcomes]
    present.sort(key=lambda c: (-waits[c], -outcomes[c].retransmits, -moved[c], c))
    dead = [c for c in present if outcomes[c].verdict in _DEAD]
    alive = [c for c in present if outcomes[c].verdict not in _DEAD and waits[c] > 0]
    idle = [c for c in present if outcomes[c].verdict not in _DEAD and waits[c] == 0]
    dead = dead[: most - 1 if alive else most]
    hit = dead + alive[: most - len(dead)]
    return hit + idle[: max(_LEAST - len(hit), 0)]


def _waits(replay: Replay) -> list[int]:
    """Return for how long the blackout held up each connection, ns."""
    clients = replay.simulation.path.attach[0::2]
    begun = (clients["stall_from"] >= 0) & (clients["stall_from"] < replay.light_ns)
    over = clients["stall_from"] + clients["stall"] > replay.blackout_ns
    waits: list[int] = np.where(begun & over, clients["stall"], 0).tolist()
    return waits


def columns_of(replay: Replay, chosen: Sequence[int], span: tuple[int, int]) -> list[Column]:
    """Lay out the time axes.

    Parameters
    ----------
    replay : Replay
        After its run.
    chosen : sequence of int
        Connections that are shown.
    span : tuple of int
        World time of the first and the last frame.

    Returns
    -------
    list of Column
        The whole run; the blackout, unless the VM was never stopped.
    """
    move, begin_ns, dark_ns = replay.move, replay.begin_ns, replay.blackout_ns
    clients, waits = replay.simulation.path.attach[0::2], _waits(replay)
    late = [replay.light_ns]
    for c in chosen:
        aborted_ns = replay.outcomes[c].aborted_at_ns
        if aborted_ns is not None:
            late.append(dark_ns + aborted_ns)
        if waits[c] > 0:
            late.append(int(clients["stall_from"][c]) + waits[c])
    first_s = (min(span[0], begin_ns) - begin_ns) / 1e9
    last_s = (max(span[1], begin_ns + move.end_ns, *late) - begin_ns) / 1e9
    edge_s = max(0.02 * (last_s - first_s), 1e-3)
    since = "the network went dark" if replay.kind == "outage" else "the move began"
    said = f"the whole run, seconds since {since}"
    if not move.completed:
        axis = LinearAxis(first_s - edge_s, last_s + edge_s, LEFT[0], RIGHT[1])
        return [Column(axis, begin_ns, said, "whole")]
    axis = LinearAxis(first_s - edge_s, last_s + edge_s, LEFT[0], RIGHT[0])
    whole = Column(axis, begin_ns, said, "whole")
    blackout_s = max((replay.light_ns - dark_ns) / 1e9, 1e-3)
    end_s = (max(late) - dark_ns) / 1e9 * 1.12 + 1e-3
    near: Axis
    if end_s > STRETCH * blackout_s:
        near = LogAxis(-0.4 * blackout_s, end_s, LEFT[1], RIGHT[1], min(0.1, blackout_s / 20))
        said = "seconds since the VM stopped, logarithmic"
    else:
        near = LinearAxis(-0.15 * end_s, end_s, LEFT[1], RIGHT[1])
        said = "seconds since the VM stopped"
    if replay.kind == "outage":
        said = said.replace("the VM stopped", "the network went dark")
    return [whole, Column(near, dark_ns, f"the blackout: {said}", "near")]


def draw(replay: Replay, log: FrameLog, subject: str = "") -> str:
    """Draw the picture of a replay.

    Parameters
    ----------
    replay : Replay
        After its run.
    log : FrameLog
        What it has logged.
    subject : str
        What was replayed, for the title.

    Returns
    -------
    str
        The SVG file.
    """
    chosen = most_interesting(replay)
    columns = columns_of(replay, chosen, (log.first_ns, log.last_ns))
    traces = Traces(columns, chosen)
    traces.gather(log)
    title = _title(replay, subject)
    drawing = Drawing(WIDTH, style=STYLE, title=title)
    define_patterns(drawing)
    drawing.text(16, 28, title, "title")
    drawing.text(16, 48, _subtitle(replay), "dim")
    for column in columns:
        drawing.text(column.axis.begin, _TOP - 8, column.title, "head")

    copied = bool(replay.move.passes) and replay.kind != "outage"
    y: float = _TOP
    bottom = y + _TRAFFIC + len(chosen) * (_CONNECTION + _GAP + _HEADING)
    bottom += _GAP + _PASSES if copied else 0
    for column in columns:
        panels.bands(drawing, column, replay, y, bottom)
        panels.time_grid(drawing, column, y, bottom)
    drawing.text(16, y + 12, "frames", "label")
    for column in columns:
        panels.traffic(drawing, column, traces.counts[column.name], y, _TRAFFIC)
    y += _TRAFFIC + _GAP
    for c in chosen:
        panels.heading(drawing, replay.outcomes[c], y + 8)
        y += _HEADING
        vm = 2 * c + int(replay.simulation.connections.vm_side[c])
        for column in columns:
            to_vm, from_vm = (traces.lanes[column.name, end] for end in (vm ^ 1, vm))
            panels.connection(drawing, column, to_vm, from_vm, y, _CONNECTION)
            panels.ending(drawing, column, replay, c, y, _CONNECTION)
        y += _CONNECTION + _GAP
    if copied:
        for column in columns:
            panels.passes(drawing, column, replay, y, _PASSES)
    y = bottom + 18
    if replay.move.completed:
        y = panels.parts(drawing, columns[-1], replay, bottom + 34)
    y = panels.legend(drawing, replay, y + 28)
    return drawing.finish(y + 8)


def _title(replay: Replay, subject: str) -> str:
    kinds = {
        "live": "Live migration", "quick": "Quick Migration", "postcopy": "Post-copy migration",
        "outage": "Outage",
    }  # fmt: skip
    what = kinds.get(replay.kind, replay.kind)
    named = subject.rpartition("/")[2]
    head = f"{named}: " if named else ""
    policy = "" if replay.kind in ("outage", "quick") else f" ({replay.move.policy})"
    if not replay.move.completed:
        return (
            f"{subject}{': ' if subject else ''}{what}{policy} given up: the VM stays where it is"
        )
    dark_s = (replay.light_ns - replay.blackout_ns) / 1e9
    return f"{head}{what}{policy}, no frame reaches the VM for {dark_s:.3f} s"


def _subtitle(replay: Replay) -> str:
    summary = replay.summary()
    counts = ", ".join(
        f"{summary[verdict.value]} {verdict.value.replace('_', ' ')}"
        for verdict in Verdict
        if summary[verdict.value]
    )
    said = f"{count_text(summary['connections'], 'connection')}: {counts}"
    if summary["max_stall_s"] > 0:
        said += f"; longest stall {summary['max_stall_s']:.3f} s"
    return said
