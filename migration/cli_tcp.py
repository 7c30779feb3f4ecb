"""``vswitch tcp``: the command line of :mod:`migration.tcp`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from migration.tcp.stacks import Stack

SCHEMA = "vswitch.tcp-stacks/1"
_FILE_WIDTH = 200
"""Columns of a table that does not go to a terminal: nothing is folded there."""

_RUN_EXAMPLES = """
\b
Examples:
  vswitch tcp run examples/tcp/blackout.tcp
  vswitch tcp run --quiet conversations/*.tcp

\b
Exit status: 0 all hold, 1 a script does not, 2 bad input.
"""

_STACKS_EXAMPLES = """
\b
Examples:
  vswitch tcp stacks                                what there is
  vswitch tcp stacks linux                          every constant, and where it comes from
  vswitch tcp stacks linux:tcp_retries2=5,tlp=off   with overrides
  vswitch tcp stacks rfc --json | jq '.constants[] | select(.status == "chosen")'

\b
Exit status: 0 done, 2 bad input.
"""


@click.group("tcp")
def tcp() -> None:
    """Run scripted conversations with TCP endpoints; list the stacks and their constants."""


@tcp.command("run", epilog=_RUN_EXAMPLES)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing of scripts that hold.")
def run(files: tuple[str, ...], quiet: bool) -> None:
    """Run scripts: conversations with one TCP endpoint in virtual time.

    A script says what the application does and what comes in, and which segments
    must go out, when. Of each script that does not hold, the first step that
    fails is shown. The format is described in migration/README.md.
    """
    from migration.tcp import script, script_run
    from pcaps.jit import announce_compilation

    scripts = [script.load(file) for file in files]
    failed = 0
    with announce_compilation(lambda text: click.echo(f"vswitch: {text}", err=True)):
        for one in scripts:
            failure = script_run.run(one)
            if failure is not None:
                failed += 1
                click.echo(f"{one.name}:{failure.line}: {failure.what}")
            elif not quiet:
                click.echo(f"{one.name}: ok")
    if not quiet or failed:
        click.echo(f"{len(scripts) - failed} of {len(scripts)} scripts hold")
    if failed:
        sys.exit(1)


@tcp.command("stacks", epilog=_STACKS_EXAMPLES)
@click.argument("name", metavar="[STACK]", required=False)
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def stacks(name: str | None, as_json: bool) -> None:
    """List the TCP stacks, or the constants of one with source and status.

    STACK is a name with overrides, if any: linux:tcp_retries2=5,min_rto=300ms.
    """
    from migration.tcp.stacks import profiles, stack

    if name is None:
        shown = [(profile, text) for profile, text in profiles().items()]
        if as_json:
            rows = [{"name": profile, "description": text} for profile, text in shown]
            click.echo(json.dumps({"schema": SCHEMA, "stacks": rows}, indent=2))
            return
        for profile, text in shown:
            click.echo(f"{profile:18} {text}")
        return
    made = stack(name)
    if as_json:
        click.echo(json.dumps(_answer(made), ensure_ascii=False, indent=2))
        return
    _show(made)


def _answer(made: Stack) -> dict[str, Any]:
    from migration.tcp.stacks import constants

    return {
        "schema": SCHEMA,
        "stack": made.text,
        "profile": made.profile,
        "constants": [row._asdict() for row in constants(made)],
    }


def _show(made: Stack) -> None:
    from rich.console import Console
    from rich.table import Table

    from migration.tcp.stacks import constants

    table = Table(title=made.text, title_justify="left", box=None, pad_edge=False)
    for column in ("constant", "value", "meaning", "source", "status"):
        table.add_column(column, overflow="fold")
    for row in constants(made):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _FILE_WIDTH).print(table)
