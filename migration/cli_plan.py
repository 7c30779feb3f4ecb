"""``vswitch plan``: plan the move of a VM without its traffic."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from migration.cli_move_options import move_options, settings_of
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.copied import Progress
    from migration.move import Kind

SCHEMA = "vswitch.plan/1"
_FILE_WIDTH = 160
_PATIENCE_S = 2.0

_EXAMPLES = """
\b
Examples:
  vswitch plan --memory 4GiB --working-set 512MiB --dirty 60MB/s --link 1Gbps
  vswitch plan --memory 64GiB --dirty 2Gbps --pattern zipf --link 25Gbps --cap none
  vswitch plan --memory 8GiB --dirty 150MB/s --policy hyperv-r2
  vswitch plan --memory 4GiB --working-set 1GiB --dirty 90MB/s --compare live,quick,postcopy
  vswitch plan --memory 4GiB --dirty 200MB/s --auto-converge --json | jq .move.downtime_s

\b
Exit status: 0 done, also when the move does not converge; 2 bad input.
"""


@click.command("plan", epilog=_EXAMPLES)
@move_options
@click.option(
    "--compare", metavar="KINDS", help="Several kinds side by side, such as live,quick,postcopy."
)
@click.option("--all", "show_all", is_flag=True, help="Show every pass, not only 20.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def plan(compare: str | None, show_all: bool, as_json: bool, **words: Any) -> None:
    """Plan the move of a VM: passes, blackout by part, and what to expect without simulation.

    The guest writes its working set while memory is sent; the policy decides when
    the VM is suspended. Every page has a version on both hosts, and at the end all
    are compared. Link rates in bits are line rates; in bytes they are what gets
    through.
    """
    from pcaps.jit import announce_compilation, work_time

    settings = settings_of(words)
    kinds = _kinds(compare) if compare is not None else [settings.kind]
    if settings.postcopy_at_ns is not None and "postcopy" not in kinds:
        raise BadInput("--postcopy-after is of --kind postcopy; add that, or leave it out")
    with announce_compilation(_tell):
        began = work_time()[0]
        watch = _Watch()
        moves = [settings.plan(kind, watch.tell) for kind in kinds]
        prediction = settings.predict()
        taken = work_time()[0] - began
    if as_json:
        several = [move.to_dict() for move in moves]
        answer = {
            "schema": SCHEMA,
            "settings": settings.to_dict(),
            **({"moves": several} if compare is not None else {"move": several[0]}),
            "prediction": prediction.to_dict(),
            "measured": {"cpu_s": taken},
        }
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from migration import plan_report

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    if compare is not None:
        plan_report.show_side_by_side(console, settings, moves)
    else:
        plan_report.show_move(console, settings, moves[0], prediction, show_all)


def _kinds(compare: str) -> list[Kind]:
    from migration.move_settings import KINDS

    found = [kind for word in compare.split(",") for kind in KINDS if kind == word.strip()]
    if len(found) != len(compare.split(",")):
        raise BadInput(f"--compare: '{compare}' has another kind than {', '.join(KINDS)}")
    return found


def _tell(text: str) -> None:
    click.echo(f"vswitch: {text}", err=True)


class _Watch:
    """Tells those who wait where a long plan is."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def tell(self, progress: Progress) -> None:
        """Say how far it is, when nothing was said for a while."""
        now = time.monotonic()
        if now - self._told < _PATIENCE_S:
            return
        self._told = now
        _tell(
            f"pass {progress.passes}, {progress.now_ns / 1e9:,.1f} s into the move, "
            f"{progress.pending:,} pages to send"
        )
