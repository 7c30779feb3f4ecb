"""Files of a run: the JSON object, a table of moves, and the timeline as a page."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from migration.cluster.day_records import Day
from pcaps.whole import write_whole
from pcaps.whole_directory import WholeDirectory


def moves_csv(day: Day) -> str:
    """Return the moves as a table, a row each; times in seconds."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["number", "vm", "source", "target", "cause", "start_s", "waited_s", "total_s", "blackout_s",
         "passes", "bytes_sent", "rating", "outcome"]
    )  # fmt: skip
    names = [one.name for one in day.cluster.hosts]
    for one in day.moves:
        table.writerow(
            [one.number, day.cluster.vms[one.vm].name, names[one.source], names[one.target], one.cause,
             one.start_ns / 1e9, one.waited_ns / 1e9, one.plan.end_ns / 1e9, one.plan.blackout_ns / 1e9,
             len(one.plan.passes), one.plan.bytes_sent, round(one.choice.rating, 4), one.outcome]
        )  # fmt: skip
    return text.getvalue()


def write(folder: str, day: Day, plain: Day, answer: dict[str, Any]) -> None:
    """Write the files of a run; they appear together.

    Parameters
    ----------
    folder : str
    day, plain : Day
        With the mover, and without.
    answer : dict
        The object of ``--json`` without what differs from run to run.
    """
    from migration.cluster.timeline_page import page

    with WholeDirectory(folder) as whole:
        write_whole(
            whole.hidden / "run.json", json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
        )
        write_whole(whole.hidden / "moves.csv", moves_csv(day))
        write_whole(whole.hidden / "timeline.html", page(day, plain, answer["sessions"]))
