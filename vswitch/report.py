"""What people read after a replay: tables, a bar picture, the commands to go on with.

Works from the JSON object of ``vswitch replay`` alone (:meth:`vswitch.replay.Replay.to_dict`),
so that everything shown here is also in the JSON.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from vswitch import host_report
from vswitch.verdict import DropReason

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

TOP = 20
"""Rows of the table unless all are asked for."""

STYLES = {"unicast": "green", "flooded": "cyan", "dropped": "red"}
"""Colour of each verdict."""

_SHADES = {"unicast": "█", "flooded": "▓", "dropped": "░"}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def size_text(n_bytes: float) -> str:
    """Return a size with a decimal unit, such as ``2.9 MB``.

    Parameters
    ----------
    n_bytes : float
        The size.

    Returns
    -------
    str
        Three digits at least; bytes below 1000 are exact.
    """
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        n_bytes /= 1000
        if n_bytes < 999.95 or unit == "TB":
            break
    return f"{n_bytes:.1f} {unit}"


def share_text(part: int, whole: int) -> str:
    """Return a share in per cent; never ``0 %`` for something, nor ``100 %`` for not all.

    Parameters
    ----------
    part, whole : int
        What, of how much.

    Returns
    -------
    str
        Such as ``93.9 %`` or ``<0.1 %``.
    """
    if part == 0 or whole == 0:
        return "0 %"
    if part == whole:
        return "100 %"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1 %"
    return ">99.9 %" if share > 99.9 else f"{share:.1f} %"


def count_text(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 frame``, ``1,204 frames``.

    Parameters
    ----------
    n : int
        How many.
    noun : str
        In the singular.

    Returns
    -------
    str
        The text.
    """
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") else f"{n:,} {noun}s"


def bar(value: float, most: float, width: int) -> str:
    """Return a bar of block characters, in eighths of a cell.

    Parameters
    ----------
    value, most : float
        What it shows, and what would fill it.
    width : int
        Cells of a full bar.

    Returns
    -------
    str
        Never empty for a value above 0.
    """
    eighths = round(8 * width * value / most) if most else 0
    if value > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(min(eighths, 8 * width), 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def verdict_bar(frames: dict[str, int], width: int) -> Text:
    """Return one bar with the shares of the three verdicts.

    Parameters
    ----------
    frames : dict
        As in the JSON object.
    width : int
        Cells.

    Returns
    -------
    rich.text.Text
        The bar; each verdict that occurs has a cell at least.
    """
    total = frames["in"]
    present = [verdict for verdict in STYLES if frames[verdict]]
    cells = {verdict: max(1, round(width * frames[verdict] / total)) for verdict in present}
    while cells and sum(cells.values()) != width:
        widest = max(cells, key=lambda verdict: cells[verdict])
        cells[widest] += 1 if sum(cells.values()) < width else -1
    text = Text()
    for verdict, n in cells.items():
        text.append(_SHADES[verdict] * n, STYLES[verdict])
    return text


def verdict_legend(frames: dict[str, int]) -> Text:
    """Return what the shades of the bar mean, with numbers.

    Parameters
    ----------
    frames : dict
        As in the JSON object.

    Returns
    -------
    rich.text.Text
        One line.
    """
    text = Text()
    for verdict, style in STYLES.items():
        text.append(f"{_SHADES[verdict]} ", style)
        text.append(f"{verdict} {frames[verdict]:,} ")
        text.append(f"({share_text(frames[verdict], frames['in'])})   ", "dim")
    return text.append(f"{count_text(frames['copies'], 'copy')} left", "dim")


def busiest_first(queues: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order the rows of VMs for people.

    Parameters
    ----------
    queues : sequence of dict
        As in the JSON object.

    Returns
    -------
    list of dict
        By unicast frames; equal ones stay in order.
    """
    return sorted(queues, key=lambda row: -row["frames"])


def queue_table(
    queues: Sequence[dict[str, Any]], *, top: int | None = TOP, width: int = 80
) -> Table:
    """Return the table of VMs, busiest first.

    Parameters
    ----------
    queues : sequence of dict
        As in the JSON object.
    top : int, optional
        Rows to show; None = all.
    width : int
        Cells of the whole table; what the figures leave is for the bars.

    Returns
    -------
    rich.table.Table
        One row a VM.
    """
    rows = busiest_first(queues)
    most = rows[0]["frames"] if rows else 0
    cells = [_cells(row) for row in rows[:top]]
    heads = ("VM", "MAC", "VLAN", "VM queue", "frames", "on the wire", "flooded")
    used = sum(max(map(len, column)) + 2 for column in zip(heads, *cells, strict=True))
    longest = max(0, min(24, width - used))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in heads:
        left = name in ("VM", "MAC")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
        if name == "frames" and longest >= 4:
            table.add_column("", no_wrap=True, min_width=longest)
    for row, texts in zip(rows, cells, strict=False):
        line = [Text(text) for text in texts]
        if row["path"] == "vmq":
            line[3].stylize("green")
        if longest >= 4:
            line.insert(5, Text(bar(row["frames"], most, longest), "green"))
        table.add_row(*line)
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["vm"],
        row["mac"] or "-",
        "-" if row["vlan"] is None else str(row["vlan"]),
        str(row["queue"]) if row["path"] == "vmq" else row["path"],
        f"{row['frames']:,}",
        size_text(row["bytes_wire"]),
        f"{row['flooded_frames']:,}",
    )


def rest_text(queues: Sequence[dict[str, Any]], top: int | None) -> str | None:
    """Return the line about the rows that the table leaves out.

    Parameters
    ----------
    queues : sequence of dict
        As in the JSON object.
    top : int, optional
        Rows shown; None = all.

    Returns
    -------
    str or None
        None where no row is left out.
    """
    rest = busiest_first(queues)[top:] if top is not None else []
    if not rest:
        return None
    frames = sum(row["frames"] for row in rest)
    return f"and {count_text(len(rest), 'more VM')} with {count_text(frames, 'frame')} (--all)"


def drop_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what was dropped.

    Parameters
    ----------
    summary : dict
        The JSON object.

    Yields
    ------
    tuple of str
        How many for which reason; the reason's sentence; the command that
        explains the first such frame, empty where no decision dropped it.
    """
    sentences = {reason.label: reason.sentence for reason in DropReason}
    for drop in summary["first_drops"]:
        first = f"{drop['frames']:>9,}  {drop['reason']}"
        yield first, sentences[drop["reason"]], drop["explain"] or ""


def meaning(summary: dict[str, Any]) -> str:
    """Return one or two sentences about what the figures say.

    Parameters
    ----------
    summary : dict
        The JSON object.

    Returns
    -------
    str
        About the share of the VM queues, or about the way without an adapter.
    """
    frames = summary["frames"]
    if not frames["in"]:
        return "The captures hold no Ethernet frame: nothing to decide."
    if not frames["unicast"]:
        return "No frame went to exactly one VM: everything was flooded or dropped."
    if summary["mode"] != "vmq":
        return (
            "Without VM queues every frame goes through the parent partition's switch, "
            "which looks each destination up in software."
        )
    placed = sum(row["frames"] for row in summary["queues"] if row["path"] == "vmq")
    text = (
        f"{share_text(placed, frames['unicast'])} of the unicast frames went into VM queues: "
        "the adapter chose their VM, the parent partition looked nothing up."
    )
    if placed < frames["unicast"]:
        text += " The others took the default queue and the software switch"
        waiting = sum(row["path"] == "default" and row["frames"] > 0 for row in summary["queues"])
        text += (
            f" (VMs without a queue: {waiting}; --queues N gives the adapter more)."
            if waiting
            else "."
        )
    return text


def damage_text(capture: dict[str, Any]) -> str | None:
    """Return the sentence about a damaged capture.

    Parameters
    ----------
    capture : dict
        An entry of the JSON object's ``captures``.

    Returns
    -------
    str or None
        None where it is sound.
    """
    damage = capture["damage"]
    if damage is None:
        return None
    return (
        f"{capture['path']} is damaged: {damage['message']}; "
        f"the {count_text(capture['frames'], 'frame')} before it "
        f"{'was' if capture['frames'] == 1 else 'were'} used"
    )


def skipped_text(capture: dict[str, Any]) -> str | None:
    """Return the sentence about records of a capture that were skipped.

    Parameters
    ----------
    capture : dict
        An entry of the JSON object's ``captures``.

    Returns
    -------
    str or None
        None where there are none.
    """
    if not any(capture["skipped"].values()):
        return None
    causes = ", ".join(f"{n:,} {cause}" for cause, n in capture["skipped"].items() if n)
    return f"{capture['path']}: skipped records: {causes}"


def offload_text(offloads: dict[str, Any]) -> str:
    """Return what the adapter's offloads did.

    Parameters
    ----------
    offloads : dict
        The key of that name in the JSON object.

    Returns
    -------
    str
        One line; empty when they had nothing to do.
    """
    parts = []
    rsc, lso, sums = (offloads.get(name, {}) for name in ("rsc", "lso", "checksum"))
    if rsc.get("units"):
        parts.append(f"RSC joined {rsc['joined']:,} segments to {rsc['units']:,}")
    if lso.get("cut"):
        parts.append(f"LSO cut {count_text(lso['cut'], 'packet')} into {lso['segments']:,} frames")
    if sums.get("changed"):
        parts.append(f"checksums made of {count_text(sums['changed'], 'frame')}")
    return "offloads: " + "; ".join(parts) if parts else ""


def _head(summary: dict[str, Any]) -> Text:
    captures = summary["captures"]
    paths = captures[0]["path"] if len(captures) == 1 else count_text(len(captures), "capture")
    wire = sum(capture["bytes_wire"] for capture in captures)
    text = Text()
    text.append(paths, "bold")
    text.append(f"  {count_text(summary['frames']['in'], 'frame')}, {size_text(wire)} on the wire")
    origin = summary["scenario"] or "self-made (every destination is a VM)"
    ways = "software switch only"
    if summary["mode"] == "vmq":
        used = sum(row["path"] == "vmq" for row in summary["queues"])
        ways = f"VMQ, {used} of {count_text(summary['adapter_queues'], 'VM queue')} in use"
    vms = count_text(len(summary["queues"]), "VM")
    return text.append(f"\nscenario {origin}: {vms}; {ways}\n", "dim")


def show(console: Console, summary: dict[str, Any], *, top: int | None = TOP) -> None:
    """Print the whole report.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    summary : dict
        The JSON object of ``vswitch replay``, or that of ``summary.json``.
    top : int, optional
        Rows of the table of VMs; None = all.
    """
    width = min(console.width, 100)
    for part in _parts(summary, top, width):
        console.print(part, soft_wrap=isinstance(part, Text))


def _parts(summary: dict[str, Any], top: int | None, width: int) -> Iterator[RenderableType]:
    yield _head(summary)
    if summary["frames"]["in"]:
        yield verdict_bar(summary["frames"], width)
        yield verdict_legend(summary["frames"])
        yield Text()
    if summary["queues"]:
        yield queue_table(summary["queues"], top=top, width=width)
        rest = rest_text(summary["queues"], top)
        if rest:
            yield Text(rest, "dim")
        yield Text()
    if text := offload_text(summary.get("offloads", {})):
        yield Text(text)
        yield Text()
    if summary["first_drops"]:
        total = count_text(summary["frames"]["dropped"], "frame")
        yield Text(f"dropped: {total}, by reason, each with the command that shows why", "bold")
        for first, sentence, command in drop_lines(summary):
            yield Text(first, "red").append(f"  {sentence}", "dim")
            if command:
                yield Text(f"           {command}")
        yield Text()
    if "host" in summary:
        yield from host_report.parts(summary["host"], summary["frames"]["in"])
        yield Text()
    yield Text(textwrap.fill(meaning(summary), width))
    measured = summary.get("measured")
    if measured and summary["frames"]["in"]:
        yield Text(
            f"measured here: {measured['cpu_s']:.3f} s CPU, {measured['wall_s']:.3f} s, "
            f"{measured['mpps']:.2f} Mpps, {measured['gbps']:.2f} Gbit/s",
            "dim",
        )
