"""Tables of a replay through a move, for the terminal: verdicts, passes, blackout, comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from migration.verdict import Verdict
from vswitch.report import bar, count_text, share_text, size_text

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP = 12
"""Rows of the table of connections unless all are asked for."""

STYLES = {"survived": "green", "timed_out": "red", "reset": "magenta", "finished": "cyan"}
"""Colour of each verdict."""

KINDS = {
    "live": "live migration",
    "quick": "Quick Migration",
    "postcopy": "post-copy migration",
    "outage": "outage",
}
"""How a kind of move is called."""

DEAD = ("timed_out", "reset")
"""Verdicts on connections that the blackout ended."""

_SHADES = {"survived": "█", "timed_out": "░", "reset": "▒", "finished": "▓"}
_PASSES = 8
_LEAST_PART_S = 50e-6
"""What is shorter is no part: the way of an announcement to the physical switch."""


def seconds_text(seconds: float | None) -> str:
    """Return a time with a unit that suits it, such as ``412 ms`` or ``15.7 s``.

    Parameters
    ----------
    seconds : float or None
        The time; may be negative.

    Returns
    -------
    str
        Three digits; ``-`` for None.
    """
    if seconds is None:
        return "-"
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if size < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if size < 999.5:
        return f"{seconds:.3g} s"
    return f"{seconds:,.0f} s"


def verdict_bar(summary: Mapping[str, Any], width: int) -> Text:
    """Return one bar with the shares of the verdicts.

    Parameters
    ----------
    summary : mapping
        As in the JSON object.
    width : int
        Cells.

    Returns
    -------
    rich.text.Text
        Each verdict that occurs has a cell at least.
    """
    present = [name for name in STYLES if summary[name]]
    total = sum(summary[name] for name in present)
    cells = {name: max(1, round(width * summary[name] / total)) for name in present}
    while cells and sum(cells.values()) != width:
        widest = max(cells, key=lambda name: cells[name])
        cells[widest] += 1 if sum(cells.values()) < width else -1
    text = Text()
    for name, n in cells.items():
        text.append(_SHADES[name] * n, STYLES[name])
    return text


def verdict_legend(summary: Mapping[str, Any]) -> Text:
    """Return what the shades of the bar mean, with numbers.

    Parameters
    ----------
    summary : mapping
        As in the JSON object.

    Returns
    -------
    rich.text.Text
        One line.
    """
    text = Text()
    for name, style in STYLES.items():
        text.append(f"{_SHADES[name]} ", style)
        text.append(f"{name.replace('_', ' ')} {summary[name]:,} ")
        text.append(f"({share_text(summary[name], summary['connections'])})   ", "dim")
    return text


def pass_table(passes: Sequence[dict[str, Any]], width: int) -> Table:
    """Return the table of passes; of many, the first and the last ones.

    Parameters
    ----------
    passes : sequence of dict
        As in the JSON object's ``move``.
    width : int
        Cells of the whole table.

    Returns
    -------
    rich.table.Table
        A row a pass; the bar shows pages sent.
    """
    heads = ("pass", "begins", "lasts", "pages sent", "zero", "found dirty")
    slow = any(one["throttle"] for one in passes)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in (*heads, *(["throttled"] if slow else [])):
        table.add_column(name, justify="right", no_wrap=True)
    longest = max(0, min(30, width - 70))
    table.add_column("", no_wrap=True, min_width=longest)
    most = max(one["pages_sent"] for one in passes)
    cut = len(passes) > _PASSES + 1
    for n, one in enumerate(passes):
        if cut and _PASSES // 2 <= n < len(passes) - _PASSES // 2:
            if n == _PASSES // 2:
                table.add_row("...")
            continue
        table.add_row(
            str(n + 1), seconds_text(one["start_s"]), seconds_text(one["duration_s"]),
            f"{one['pages_sent']:,}", f"{one['zero_pages']:,}", f"{one['pages_dirtied']:,}",
            *([f"{one['throttle']:.0%}"] if slow else []),
            Text(bar(one["pages_sent"], most, longest), "blue"),
        )  # fmt: skip
    return table


def part_table(blackout: dict[str, Any], width: int) -> Table:
    """Return the blackout by part.

    Parameters
    ----------
    blackout : dict
        As in the JSON object.
    width : int
        Cells of the whole table.

    Returns
    -------
    rich.table.Table
        A row a part; the last one: until frames find the VM again.
    """
    rows = [(part["name"], part["duration_s"]) for part in blackout["parts"]]
    wait_s = blackout["light_s"] - blackout["resume_s"]
    if wait_s >= _LEAST_PART_S:
        rows.append(("until frames find it", wait_s))
    longest = max(0, min(40, width - 40))
    most = max((span for _, span in rows), default=0.0)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, span in rows:
        table.add_row(name, seconds_text(span), Text(bar(span, most, longest), "yellow"))
    return table


def most_important_first(connections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order connections for people.

    Parameters
    ----------
    connections : sequence of dict
        As in the JSON object.

    Returns
    -------
    list of dict
        Those that died, the earliest first; then by margin, the smallest first; then by
        stall, the longest first; those that were over before the move come last.
    """

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        dead = row["verdict"] in DEAD
        margin = row["margin_s"]
        return (
            0 if dead else 2 if row["verdict"] == "finished" else 1,
            (row["aborted_at_s"] or 0.0) if dead else 0.0,
            float("inf") if margin is None else margin,
            -row["stall_s"],
            row["id"],
        )

    return sorted(connections, key=rank)


def connection_table(
    connections: Sequence[dict[str, Any]], *, top: int | None = TOP, width: int = 100
) -> Table:
    """Return the table of connections, the most important first.

    Parameters
    ----------
    connections : sequence of dict
        As in the JSON object.
    top : int, optional
        Rows to show; None = all.
    width : int
        Cells of the whole table.

    Returns
    -------
    rich.table.Table
        One row a connection; the reason takes what room is left, and more lines.
    """
    searched = any(row["margin_s"] is not None for row in connections)
    tagged = any(row["vlan"] for row in connections)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), width=width)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("client and server", overflow="fold")
    if tagged:
        table.add_column("VLAN", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in ("stall", "sent again", *(["margin"] if searched else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for row in most_important_first(connections)[:top]:
        verdict = Text(row["verdict"].replace("_", " "), STYLES[row["verdict"]])
        if row["unfaithful"]:
            verdict.append("*", "dim")
        cells: list[RenderableType] = [
            str(row["id"]), f"{row['client']}\n{row['server']}",
            *([row["vlan"] or "-"] if tagged else []), verdict, seconds_text(row["stall_s"]),
            f"{row['retransmits']:,}",
        ]  # fmt: skip
        if searched:
            cells.append(_margin(row))
        table.add_row(*cells, Text(row["reason"], "dim"))
    return table


def _margin(row: dict[str, Any]) -> str:
    if row["margin_s"] is not None:
        return f"{'+' if row['margin_s'] >= 0 else ''}{seconds_text(row['margin_s'])}"
    return "-" if row["verdict"] == "finished" else "no end"


def rest_text(connections: Sequence[dict[str, Any]], top: int | None) -> str | None:
    """Return the line about connections that the table leaves out.

    Parameters
    ----------
    connections : sequence of dict
        As in the JSON object.
    top : int, optional
        Rows shown; None = all.

    Returns
    -------
    str or None
        None where none is left out.
    """
    rest = most_important_first(connections)[top:] if top is not None else []
    if not rest:
        return None
    verdicts = [row["verdict"] for row in rest]
    said = ", ".join(
        f"{verdicts.count(name):,} {name.replace('_', ' ')}" for name in STYLES if name in verdicts
    )
    return f"and {count_text(len(rest), 'more connection')}: {said} (--all)"


def comparison_table(found: Mapping[str, dict[str, Any]]) -> Table:
    """Return several moves of the same connections side by side.

    Parameters
    ----------
    found : mapping of str to dict
        The JSON object of each, by its name.

    Returns
    -------
    rich.table.Table
        A column a move.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    for name in found:
        table.add_column(KINDS.get(name, name), justify="right", no_wrap=True)

    def row(title: str, cells: Sequence[str | Text]) -> None:
        table.add_row(title, *cells)

    every = list(found.values())
    row("policy", [one["move"]["policy"] for one in every])
    row("move lasts", [seconds_text(one["move"]["total_s"]) for one in every])
    row("sent", [size_text(one["move"]["bytes_sent"]) for one in every])
    row("converged", ["yes" if one["move"]["converged"] else "no" for one in every])
    row("blackout", [seconds_text(one["move"]["blackout_s"]) for one in every])
    row("no frame reaches the VM", [seconds_text(one["blackout"]["dark_s"]) for one in every])
    row("waits for pages", [seconds_text(one["move"]["brownout_s"]) for one in every])
    for verdict in Verdict:
        cells = [f"{one['summary'][verdict.value]:,}" for one in every]
        bad = verdict.value in DEAD
        row(
            verdict.value.replace("_", " "),
            [Text(cell, "bold red" if bad and cell != "0" else "") for cell in cells],
        )
    row("longest stall", [seconds_text(one["summary"]["max_stall_s"]) for one in every])
    row("sent again", [f"{_resent(one):,}" for one in every])
    row("frames that ended", [f"{sum(one['frames']['ended'].values()):,}" for one in every])
    row("smallest margin", [seconds_text(one["summary"]["min_margin_s"]) for one in every])
    return table


def _resent(found: dict[str, Any]) -> int:
    return sum(row["retransmits"] for row in found["connections"])
