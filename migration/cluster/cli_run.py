"""``vswitch cluster run``: a cluster for a day, with and without what moves its VMs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from migration.cluster.cli_options import seed_option

if TYPE_CHECKING:
    from rich.console import Console

    from migration.cluster.day_records import Day

SCHEMA = "vswitch.cluster-run/1"
_FILE_WIDTH = 160
TOP = 20

_EXAMPLES = """
\b
Examples:
  vswitch cluster run lab.toml
  vswitch cluster run lab.toml --hours 48 --seed 7 -o two-days    files, and a page with the timeline
  vswitch cluster run lab.toml --sessions 50                      sessions through the longest blackouts
  vswitch cluster run lab.toml --json | jq '.with.summary.overload_min'

\b
Exit status: 0 done, 1 a session was lost in a move, or an invariant did not hold, 2 bad input.
"""


@click.command("run", epilog=_EXAMPLES)
@click.argument("scenario", type=click.Path(dir_okay=False))
@click.option("--hours", metavar="N", type=float, default=24.0, show_default=True, help="How long.")
@seed_option
@click.option(
    "-o", "--output", metavar="DIR",
    help="Write run.json, moves.csv and timeline.html there, whole or not at all.",
)  # fmt: skip
@click.option(
    "--sessions", metavar="N", type=click.IntRange(0, 1_000_000), default=0,
    help="Replay N TCP sessions through moves, longest blackouts first.",
)  # fmt: skip
@click.option(
    "--replays", metavar="N", type=click.IntRange(1), default=5, show_default=True,
    help="Moves that they are replayed through, with --sessions.",
)  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Show every move, not only 20.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def run(
    scenario: str, hours: float, seed: int, output: str | None, sessions: int, replays: int,
    show_all: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run a cluster for a day, with the mover and without it.

    Loads of the VMs go up and down; a host that is short of processors, memory,
    network or VM queues for long enough gives a VM away, to the host that rates best.
    Maintenance empties hosts, faults break them. Every move is planned by the real
    pre-copy model.
    """
    from migration.cluster.day import run as run_day
    from migration.cluster.scenario import load_cluster
    from migration.cluster.sessions import through
    from pcaps.jit import announce_compilation, work_time

    cluster = load_cluster(scenario)
    with announce_compilation(_tell):
        began = work_time()[0]
        progress = _Progress(hours, len(cluster.hosts) * len(cluster.vms))
        plain = run_day(cluster, hours=hours, seed=seed, mover=False)
        day = run_day(cluster, hours=hours, seed=seed, tell=progress.tell)
        replayed = []
        longest = sorted(day.completed, key=lambda one: (-one.plan.blackout_ns, one.number))
        for record in longest[: replays if sessions else 0]:
            vm = cluster.vms[record.vm]
            found = through(sessions, record.plan.blackout_ns, vm.peers, seed=seed)
            replayed.append({"move": record.number, "vm": vm.name, **found})
        taken = work_time()[0] - began
    answer: dict[str, Any] = {
        "schema": SCHEMA,
        "cluster": cluster.name,
        "hosts": len(cluster.hosts),
        "vms": len(cluster.vms),
        "without": {"summary": plain.summary()},
        "with": day.to_dict(),
        "sessions": replayed,
    }
    if output is not None:
        from migration.cluster.day_files import write

        write(output, day, plain, answer)
    if as_json:
        click.echo(
            json.dumps({**answer, "measured": {"cpu_s": taken}}, indent=2, ensure_ascii=False)
        )
    else:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
        show(console, day, plain, replayed, None if show_all else TOP)
        if output is not None:
            click.echo(f"written to {output}: run.json, moves.csv, timeline.html")
    if any(one["timed_out"] + one["reset"] for one in replayed) or plain.broken or day.broken:
        sys.exit(1)


def _tell(text: str) -> None:
    click.echo(f"vswitch: {text}", err=True)


class _Progress:
    """Tells those who wait how far a long run is."""

    def __init__(self, hours: float, work: int) -> None:
        self._hours, self._worth = hours, work > 200_000

    def tell(self, now_ns: int, moves: int) -> None:
        """Say the hour of a large cluster."""
        if self._worth:
            _tell(f"{now_ns / 3.6e12:.0f} of {self._hours:g} h, {moves:,} moves so far")


def show(
    console: Console, day: Day, plain: Day, replayed: list[dict[str, Any]], top: int | None
) -> None:
    """Print a run.

    Parameters
    ----------
    console : rich.console.Console
    day, plain : Day
        With the mover, and without.
    replayed : list of dict
        Sessions through moves.
    top : int, optional
        How many moves and events are shown.
    """
    from rich.markup import escape
    from rich.table import Table

    from migration.cluster.day_records import clock
    from migration.cluster.model import RESOURCES
    from migration.cluster.sessions import verdicts

    cluster = day.cluster
    names = [one.name for one in cluster.hosts]
    console.print(
        f"[bold]{escape(cluster.name)}[/bold]: {len(names)} hosts, {len(cluster.vms)} VMs, "
        f"{day.hours:g} h from midnight, seed {day.seed}\n"
    )
    both = [plain.summary(), day.summary()]
    table = Table(box=None, pad_edge=False)
    for title, kind in (("", "left"), ("without mover", "right"), ("with mover", "right")):
        table.add_column(title, justify=kind)  # type: ignore[arg-type]
    rows = [
        (f"host-minutes overloaded, {name}", *(f"{one['overload_min'][name]:,.0f}" for one in both))
        for name in RESOURCES
    ]
    rows += [
        (f"host-minutes above threshold, {name}",
         *(f"{one['above_high_min'][name]:,.0f}" for one in both))
        for name in RESOURCES
    ]  # fmt: skip
    for title, key, form in (
        ("VM-minutes on overloaded hosts", "vm_overload_min", ",.0f"),
        ("VM-seconds down", "vm_down_s", ",.0f"),
        ("moves", "moves", ",d"),
        ("seconds of moving", "moving_s", ",.0f"),
        ("processor time of dirty logs, s", "dirty_log_cpu_s", ".2f"),
        ("blackout of all moves, s", "blackout_s", ".3f"),
        ("longest blackout, s", "longest_blackout_s", ".3f"),
    ):
        rows.append((title, *(format(one[key], form) for one in both)))
    for row in rows:
        if any(cell not in ("0", "0.00", "0.000") for cell in row[1:]):
            table.add_row(*row)
    console.print(table)
    broken = sorted({*plain.broken, *day.broken})
    console.print(
        f"invariants held {plain.checks + day.checks:,} times"
        if not broken
        else f"[red]invariants that did not hold: {', '.join(broken)}[/red]"
    )
    shown = day.moves if top is None else day.moves[:top]
    for one in shown:
        vm = cluster.vms[one.vm]
        console.print(
            f"\n[bold]{one.number}[/bold]  {clock(one.start_ns)}  {escape(vm.name)}: {escape(names[one.source])} → "
            f"{escape(names[one.target])}, {one.plan.end_ns / 1e9:.1f} s, {len(one.plan.passes)} passes, "
            f"blackout {one.plan.blackout_ns / 1e6:.0f} ms, {one.outcome}",
            soft_wrap=True,
        )
        console.print(f"   why     {escape(one.reason)}", soft_wrap=True)
        console.print(f"   target  {escape(one.choice.sentence(names))}", soft_wrap=True)
    if len(day.moves) > len(shown):
        console.print(f"\n... and {len(day.moves) - len(shown):,} more moves; --all shows them")
    told = [one for one in day.events if one.kind != "short"]
    if told:
        console.print("\n[bold]events[/bold]")
    for event in told if top is None else told[:top]:
        console.print(
            f"  {clock(event.at_ns)}  {event.kind:11} {escape(event.text)}", soft_wrap=True
        )
    if top is not None and len(told) > top:
        console.print(f"  ... and {len(told) - top:,} more")
    if replayed:
        console.print("\n[bold]sessions through the longest blackouts[/bold]")
    for found in replayed:
        console.print(
            f"  move {found['move']}, {escape(found['vm'])}: {verdicts(found)}", soft_wrap=True
        )
