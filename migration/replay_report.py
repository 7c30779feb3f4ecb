"""What people read after a replay through a move: the move, the verdicts, what to do next.

Works from the JSON object alone (:func:`migration.results.to_dict`), so that
everything shown here is also in the JSON.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.text import Text

from migration.fate import Fate
from migration.replay_tables import (
    KINDS,
    TOP,
    connection_table,
    part_table,
    pass_table,
    rest_text,
    seconds_text,
    verdict_bar,
    verdict_legend,
)
from nic.chimney_rules import NotOffloaded
from vswitch.report import count_text, size_text
from vswitch.verdict import DropReason

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def _head(found: dict[str, Any], subject: str) -> Text:
    move, vm = found["move"], found["vm"]
    text = Text()
    if subject:
        text.append(f"{subject}  ", "bold")
    count = count_text(found["summary"]["connections"], "connection")
    text.append(f"{count} of {vm['name']} ({vm['mac']})\n", "" if subject else "bold")
    if move["kind"] == "outage":
        return text.append("the network between the ends goes dark\n", "dim")
    said = f"{KINDS[move['kind']]}, policy {move['policy']}: {_memory(move['memory_bytes'])}"
    said += f" of memory in {seconds_text(move['total_s'])}, {size_text(move['bytes_sent'])} sent"
    n = len(move["passes"])
    if n:
        said += f", {n} pass{'es' if n > 1 else ''}"
    if not move["completed"]:
        said += "; given up: the VM stays on the source"
    return text.append(said + "\n", "dim")


def meaning(found: dict[str, Any]) -> str:
    """Return one or two sentences about what the figures say.

    Parameters
    ----------
    found : dict
        The JSON object.

    Returns
    -------
    str
        Who lives and by how much, or how many died and at which end.
    """
    summary, blackout = found["summary"], found["blackout"]
    if not found["move"]["completed"]:
        why = found["move"]["why"]
        said = "The VM never stopped: its connections did not notice the attempt."
        return f"{why} {said}" if why else said
    dark = seconds_text(blackout["dark_s"])
    dead = summary["timed_out"] + summary["reset"]
    margin = summary["min_margin_s"]
    if not dead:
        said = f"No connection dies: for {dark} no frame reached the VM, and each went on."
        if margin is not None:
            said += (
                f" The blackout could have been {seconds_text(margin)} longer before the first one "
                "is given up."
            )
        return said
    said = f"{count_text(dead, 'connection')} of {summary['connections']:,} "
    said += f"{'dies' if dead == 1 else 'die'}: for {dark} no frame reached the VM."
    if margin is not None:
        longest = found["move"]["blackout_s"] + margin
        said += f" All would live through a blackout of {seconds_text(max(longest, 0.0))}."
    return said


def chimney_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what became of offloaded connections, a sentence each; nothing where chimney is off.

    Parameters
    ----------
    found : dict
        The JSON object.

    Yields
    ------
    str
        Who came back, who was late, who had never gone and why, and what follows.
    """
    chimney = found["chimney"]
    if chimney is None:
        return
    n, late = chimney["uploaded"], chimney["late"]
    said = f"source: {count_text(n, 'connection')} uploaded from the adapter"
    if n > late:
        said += " before the VM was suspended"
    if late:
        ids = ", ".join(str(one["id"]) for one in chimney["connections"] if one["late"])
        said += (
            f"; {late:,} of them late, {seconds_text(chimney['late_s'])} of the blackout: "
            f"{textwrap.shorten(ids, 60, placeholder=' ...')}"
        )
    if n:
        yield said
    for reason, count in chimney["not_offloaded"].items():
        sentence = NotOffloaded(reason).sentence
        yield f"source: {count_text(count, 'open connection')} not offloaded: {sentence}"
    again = chimney["again"]
    yield (
        "target: its adapter may offload the VM's connections again"
        if again is None
        else f"target: nothing is offloaded there: {NotOffloaded(again).sentence}"
    )


def next_steps(found: dict[str, Any], command: str) -> list[tuple[str, str]]:
    """Return what to try next.

    Parameters
    ----------
    found : dict
        The JSON object.
    command : str
        The command that was run, to be continued.

    Returns
    -------
    list of (str, str)
        A command, and what it would show.
    """
    summary, move = found["summary"], found["move"]
    dead = summary["timed_out"] + summary["reset"]
    words = command.split()
    steps = []
    if (dead or summary["max_stall_s"] > 1.0) and not found["blackout"]["held"]:
        what = "keep frames for the VM while it is away, and send them on"
        steps.append((f"{command} --hold", what))
    if dead and move["kind"] == "quick" and "--kind" in words:
        kind = words.index("--kind")
        live = " ".join([*words[:kind], *words[kind + 2 :]])
        steps.append((live, "the same as a live migration"))
    margin = summary["min_margin_s"]
    longest = move["blackout_s"] + (margin or 0.0)
    if margin is not None and longest > 0 and "--blackout" not in words:
        if dead:
            asked, what = math.floor(longest * 1000) / 1000, "about the longest that all survive"
        else:
            asked, what = (
                math.ceil(longest * 1000 + 1) / 1000,
                "about the shortest that one dies of",
            )
        steps.append((f"{command} --blackout {asked:.3f}s", what))
    if "-o" not in words:
        what = "every frame as wire.pcapng, a picture, the connections as CSV"
        steps.append((f"{command} -o out", what))
    return steps


def show(
    console: Console,
    found: dict[str, Any],
    *,
    subject: str = "",
    command: str = "",
    top: int | None = TOP,
) -> None:
    """Print the whole report.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    found : dict
        The JSON object of ``vswitch migrate``, or that of ``summary.json``.
    subject : str
        What was replayed.
    command : str
        The command that was run; with it, what to try next is said.
    top : int, optional
        Rows of the table of connections; None = all.
    """
    width = min(console.width, 120)
    for part in _parts(found, subject, command, top, width):
        console.print(part, soft_wrap=isinstance(part, Text), highlight=False)


def _memory(n_bytes: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.4g} {unit}"
    return f"{n_bytes} B"


def _parts(
    found: dict[str, Any], subject: str, command: str, top: int | None, width: int
) -> Iterator[RenderableType]:
    move, blackout = found["move"], found["blackout"]
    yield _head(found, subject)
    if move["passes"] and move["kind"] != "outage":
        yield pass_table(move["passes"], width)
        yield Text()
    if move["why"]:
        yield Text(textwrap.fill(move["why"], width), "yellow")
        yield Text()
    if move["completed"]:
        held = "held" if blackout["held"] else "dropped"
        yield Text(f"blackout {seconds_text(move['blackout_s'])}, frames for the VM {held}", "bold")
        yield part_table(blackout, width)
        yield Text()
    if found["summary"]["connections"]:
        yield verdict_bar(found["summary"], width)
        yield verdict_legend(found["summary"])
        yield Text()
        yield connection_table(found["connections"], top=top, width=width)
        rest = rest_text(found["connections"], top)
        if rest:
            yield Text(rest, "dim")
        if any(row["unfaithful"] for row in found["connections"]):
            yield Text("* comes to another end than captured even without a move", "dim")
        yield Text()
    yield from _frames(found)
    for change in found["queues"]:
        yield Text(f"{change['host']}: {change['what']}", "dim")
    for line in chimney_lines(found):
        yield Text(textwrap.fill(line, width), "dim")
    if found["queues"]:
        yield Text()
    yield Text(textwrap.fill(meaning(found), width))
    if command:
        yield Text()
        yield Text("next", "bold")
        for line, what in next_steps(found, command):
            yield Text(f"  {line}").append(f"   {what}", "dim")
    measured = found.get("measured")
    if measured:
        yield Text(
            f"measured here: {measured['cpu_s']:.2f} s CPU, {measured['events']:,} events, "
            f"{measured['events_per_s'] / 1e6:.2f} M events/s",
            "dim",
        )


def _frames(found: dict[str, Any]) -> Iterator[Text]:
    frames = found["frames"]
    sentences = {reason.label: reason.sentence for reason in (*DropReason, *Fate)}
    ended = frames["ended"]
    total = sum(ended.values())
    said = f"{count_text(frames['sent'], 'frame')} sent, {total:,} ended on their way"
    if frames["most_held"]:
        said += f", up to {frames['most_held']:,} held"
    yield Text(said + (", by reason" if total else ""), "bold")
    for label, n in sorted(ended.items(), key=lambda pair: (-pair[1], pair[0])):
        yield Text(f"{n:>9,}  {label}", "red").append(f"  {sentences[label]}", "dim")
    yield Text()
