"""``vswitch compare``: two results side by side."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vswitch.compare import Line

SCHEMA = "vswitch.compare/1"
_FILE_WIDTH = 120

_EXAMPLES = """
\b
Examples:
  vswitch replay a.pcap --host r2 --rate 10Gbps --json > r2.json
  vswitch replay a.pcap --host r2-vmq --rate 10Gbps --json > vmq.json
  vswitch compare r2.json vmq.json
  vswitch compare old-bench.json new-bench.json --metric p99_us

\b
Exit status: 0 done, 2 bad input.
"""


@click.command("compare", epilog=_EXAMPLES)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--metric", default="gbps", show_default=True,
    help="Figure of a benchmark: gbps, frames_per_s, parent_use, vm_use, loss, p50_us, p99_us, measured_mpps.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(a: str, b: str, metric: str, as_json: bool) -> None:
    """Set two results of 'vswitch bench --json' or 'vswitch replay --json' side by side.

    Benchmarks are compared cell by cell in one figure, replays in all their figures.
    """
    from vswitch.compare import compare as compared
    from vswitch.compare import load

    lines = compared(load(a), load(b), metric)
    if as_json:
        rows = [line.to_dict() for line in lines]
        click.echo(json.dumps({"schema": SCHEMA, "a": a, "b": b, "lines": rows}, indent=2))
    else:
        _show(a, b, lines)


def _value(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def _show(a: str, b: str, lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("is")
    for name in (a, b, "change"):
        table.add_column(name, justify="right", overflow="fold")
    for line in lines:
        change = line.change
        table.add_row(
            line.what, line.kind, _value(line.a), _value(line.b),
            "" if change is None else "same" if change == 0 else f"{100 * change:+.1f} %",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False).print(table)
