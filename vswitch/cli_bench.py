"""``vswitch bench``: the command line of :mod:`vswitch.bench`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pcaps.errors import BadInput

_FILE_WIDTH = 160

_EXAMPLES = """
\b
Examples:
  vswitch bench --quick                              three sentences and the tables
  vswitch bench --quick --html report.html           and a page with charts
  vswitch bench --only mode=r2,r2-vmq --only lps=1-8 --only frame=1514
  vswitch bench --quick --only mode=lab.toml,r2-vmq  a host of your own beside a named one
  vswitch bench --json > full.json                   the whole matrix
  vswitch compare old.json full.json

\b
Exit status: 0 done, 2 bad input.
"""


@click.command("bench", epilog=_EXAMPLES)
@click.option(
    "--only",
    multiple=True,
    metavar="WHAT=VALUES",
    help="Cells to run: mode=r1,r2,r2-vmq,r2-vmq-jumbo,r2-chimney,2012,native or a host's file; frame=64,imix,1514,9014; vms=1-64; lps=1-64. May be given for each.",
)
@click.option(
    "--quick", is_flag=True, help="Fewer VMs and processors, shorter runs: under 30 s CPU."
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="Threads; any number gives the same modelled figures.",
)  # fmt: skip
@click.option("--html", metavar="FILE", help="Write a report as one HTML page.")
@click.option("--all", "everything", is_flag=True, help="Show the tables of every number of VMs.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    only: tuple[str, ...], quick: bool, jobs: int, html: str | None, everything: bool,
    as_csv: bool, as_json: bool,
) -> None:  # fmt: skip
    """Benchmark hosts: what each moves, by frame size, VMs and processors.

    Modelled: throughput without loss, use of processors, drops at line rate, latency,
    cycles by step. Measured: how fast the emulator ran. The two stand apart.
    """
    from pcaps.jit import announce_compilation
    from vswitch.bench import Selection, run
    from vswitch.bench_rows import Rows

    if as_csv and as_json:
        raise BadInput("--csv and --json exclude each other; give one of them")
    selection = Selection.parse(only, quick=quick)
    if html is not None and not Path(html).resolve().parent.is_dir():
        raise BadInput(f"{html}: its folder does not exist")
    with announce_compilation(tell), _progress() as progress:
        rows = Rows(run(selection, jobs=jobs, progress=progress))
    if html is not None:
        _write_page(rows, html)
    if as_json:
        click.echo(json.dumps(rows.result, ensure_ascii=False))
    elif as_csv:
        from vswitch.bench_report import as_csv as csv_of

        click.echo(csv_of(rows), nl=False)
    else:
        _show(rows, everything)


def _write_page(rows: Any, path: str) -> None:
    from pcaps.whole import WholeFile
    from vswitch.page import page

    with WholeFile(path) as file:
        file.write(page(rows).encode())
    tell(f"wrote {path}")


def tell(text: str) -> None:
    """Say something to people, on standard error."""
    click.echo(f"vswitch: {text}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show how many cells are done, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("cells", total=None)
        yield lambda done, all_: bars.update(task, completed=done, total=all_)


def _show(rows: Any, everything: bool) -> None:
    from rich.console import Console

    from vswitch import bench_report

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    width = min(console.width, 100)
    for part in bench_report.parts(rows, everything=everything, width=width):
        console.print(part)
