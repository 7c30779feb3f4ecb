"""``vswitch cluster faults``: live moves in which things break, and what must hold all the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from migration.cluster.cli_options import seed_option
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from migration.cluster.campaign import Campaign
    from migration.cluster.case import Told

SCHEMA = "vswitch.cluster-faults/1"
_FILE_WIDTH = 160

_EXAMPLES = """
\b
Examples:
  vswitch cluster faults                                  10,000 moves, what broke, what held
  vswitch cluster faults --moves 100000 --seed 7 --json | jq .endings
  vswitch cluster faults --story 4711                     one of them, event by event
  vswitch cluster faults --fault source-crash@handover --fault volume-loss@start --moves 100
  vswitch cluster faults --stories 3 --sessions 20        three worth telling, with TCP sessions through them

\b
Exit status: 0 all invariants held, 1 one did not, 2 bad input.
"""


@click.command("faults", epilog=_EXAMPLES)
@click.option("--moves", metavar="N", type=int, default=10_000, show_default=True, help="How many.")
@seed_option
@click.option(
    "--fault", "scripted", metavar="KIND@PHASE", multiple=True,
    help="What breaks in every move, instead of what is drawn; may be repeated.",
)  # fmt: skip
@click.option(
    "--story", "numbers", metavar="K", type=int, multiple=True, help="Tell move K; may be repeated."
)
@click.option(
    "--stories", metavar="N", type=click.IntRange(1, 5), help="Tell N moves worth telling."
)
@click.option(
    "--sessions", metavar="N", type=click.IntRange(0, 1_000_000), default=0,
    help="Replay N TCP sessions through each story.",
)  # fmt: skip
@click.option(
    "--list", "listed", is_flag=True, help="List kinds and phases, and what has to happen."
)
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def faults(
    moves: int, seed: int, scripted: tuple[str, ...], numbers: tuple[int, ...], stories: int | None,
    sessions: int, listed: bool, as_json: bool,
) -> None:  # fmt: skip
    """Break live moves, and hold what must hold after every event.

    Each move is a real pre-copy, page by page, between two hosts with adapters, VM
    queues and a disk on shared storage. What breaks is drawn from the seed: links,
    hosts, paths, volumes, memory, the administrator, the cluster itself. Until the
    disk is handed over everything is rolled back; after it the target is the VM.
    """
    from migration.cluster.campaign import draw, interesting, run_campaign
    from migration.cluster.faulted import tell
    from migration.cluster.faults import read_fault
    from pcaps.jit import announce_compilation, work_time

    chosen = [read_fault(text) for text in scripted]
    if listed:
        _list(as_json)
        return
    for number in numbers:
        if not 1 <= number <= max(moves, 1):
            raise BadInput(
                f"--story {number}: there are moves 1 to {moves:,}; raise --moves, or name another"
            )
    with announce_compilation(_tell):
        began = work_time()[0]
        told = [tell(draw(seed, number, chosen)) for number in numbers]
        if stories:
            picked = interesting(seed, moves, stories, chosen)
            told += [tell(draw(seed, number, chosen)) for number in picked]
            if len(picked) < stories:
                _tell(f"{len(picked)} of {moves:,} moves are worth a story; raise --moves")
        campaign = None
        if not told:
            progress = _progress(moves) if moves >= 20_000 else None
            campaign = run_campaign(moves, seed, chosen, progress)
        through = [_sessions(one, sessions) if sessions else None for one in told]
        taken = work_time()[0] - began
    broken = bool(campaign and campaign.broken) or any(one.broken for one in told)
    if as_json:
        answer: dict[str, Any] = {"schema": SCHEMA}
        if campaign is not None:
            answer.update(campaign.to_dict())
        if told:
            answer["stories"] = [
                {**story_dict(one), "sessions": found}
                for one, found in zip(told, through, strict=True)
            ]
        answer["measured"] = {"cpu_s": taken}
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
        if campaign is not None:
            show(console, campaign)
        for one, found in zip(told, through, strict=True):
            click.echo("\n".join(story(one, found)))
            click.echo()
    if broken:
        sys.exit(1)


def _tell(text: str) -> None:
    click.echo(f"vswitch: {text}", err=True)


def _progress(moves: int) -> Any:
    step = max(10_000, moves // 10 // 1000 * 1000)

    def told(done: int) -> None:
        if done % step == 0:
            _tell(f"{done:,} of {moves:,} moves")

    return told


def _sessions(told: Told, count: int) -> dict[str, Any] | None:
    """Replay sessions through what connections saw: the pause, or the restart, which ends them."""
    from migration.cluster.sessions import through

    if told.restart_ns or not told.pause_ns:
        return None
    return through(count, told.pause_ns, "windows-2008r2", seed=told.case.number)


def story_dict(told: Told) -> dict[str, Any]:
    """Return a move as JSON has it."""
    return {
        "move": told.case.number,
        "policy": told.case.policy,
        "faults": [{"kind": kind.value, "phase": phase.value} for kind, phase in told.struck],
        "ending": told.ending.value,
        "reason": told.reason,
        "pause_s": told.pause_ns / 1e9,
        "restart_s": told.restart_ns / 1e9,
        "refused_writes": told.refused_writes,
        "events": [{"at_s": at / 1e9, "text": text} for at, text in told.events],
        "violations": [{"at_s": at / 1e9, "invariant": name} for at, name in told.broken],
    }


def story(told: Told, sessions: dict[str, Any] | None) -> Iterator[str]:
    """Yield a move as a story, a line for each event."""
    from migration.cluster.sessions import verdicts

    what = (
        ", ".join(f"{kind.value} at {phase.value}" for kind, phase in told.struck)
        or "nothing breaks"
    )
    case = told.case
    yield f"move {case.number}: {what}"
    yield (
        f"  {case.nodes} nodes, {case.quorum}; "
        + ("on a CSV" if case.csv else "on a disk with one owner")
        + f"; other paths: source {_yes(case.spare_paths[0])}, target {_yes(case.spare_paths[1])}"
    )
    for at, text in told.events:
        yield f"  {at / 1e9:10.4f} s  {text}"
    yield f"  {told.ending.value}" + (f": {told.reason}" if told.reason else "")
    if told.pause_ns and not told.restart_ns:
        yield f"  connections saw a pause of {told.pause_ns / 1e6:.1f} ms"
    elif told.restart_ns:
        yield f"  connections are gone: the VM was started anew {told.restart_ns / 1e9:.1f} s after its loss"
    if sessions is not None:
        yield f"  {verdicts(sessions)}"
    yield f"  invariants held {told.checks} times, {len(told.broken)} violations" + "".join(
        f"; {name} at {at / 1e9:.4f} s" for at, name in told.broken[:5]
    )


def _yes(there: bool) -> str:
    return "yes" if there else "no"


def show(console: Console, campaign: Campaign) -> None:
    """Print a campaign.

    Parameters
    ----------
    console : rich.console.Console
    campaign : Campaign
    """
    from rich.table import Table

    from migration.cluster.case import Ending
    from migration.cluster.faults import PHASES

    found = campaign.to_dict()
    console.print(f"{campaign.moves:,} faulted moves, seed {campaign.seed}\n")
    endings = [one.value for one in Ending if campaign.endings[one.value]]
    kinds = sorted({kind for kind, _, _ in campaign.struck})
    table = Table(
        box=None,
        pad_edge=False,
        title="faults by kind and how the move ended",
        title_justify="left",
    )
    table.add_column("kind")
    for ending in endings:
        table.add_column(ending, justify="right")
    for kind in kinds:
        cells = [
            sum(count for (a, _, c), count in campaign.struck.items() if (a, c) == (kind, ending))
            for ending in endings
        ]
        table.add_row(kind, *(f"{cell:,}" for cell in cells))
    table.add_row(
        "all moves", *(f"{campaign.endings[ending]:,}" for ending in endings), style="bold"
    )
    console.print(table)
    table = Table(
        box=None,
        pad_edge=False,
        title="\nfaults by phase and how the move ended",
        title_justify="left",
    )
    table.add_column("phase")
    for ending in endings:
        table.add_column(ending, justify="right")
    for phase in PHASES:
        cells = [
            sum(
                count
                for (_, b, c), count in campaign.struck.items()
                if (b, c) == (phase.value, ending)
            )
            for ending in endings
        ]
        table.add_row(phase.value, *(f"{cell:,}" for cell in cells))
    console.print(table)
    console.print()
    for name, spread in found["pauses_s"].items():
        console.print(
            f"{name}: connections saw a pause of {spread['p50'] * 1e3:.0f} ms (median), "
            f"{spread['p99']:.2f} s (99 %), {spread['max']:.1f} s at most"
        )
    restarts = found["restarts_s"]
    if restarts["count"]:
        console.print(
            f"restarted: services back after {restarts['p50']:.0f} s (median), {restarts['p99']:.0f} s (99 %)"
        )
    console.print(
        f"completed, but slower: {campaign.slower:,}; writes refused: {campaign.refused_writes:,}\n"
    )
    table = Table(box=None, pad_edge=False, title="invariants", title_justify="left")
    for title, kind in (
        ("id", "left"),
        ("held", "right"),
        ("violations", "right"),
        ("what holds", "left"),
    ):
        table.add_column(title, justify=kind)  # type: ignore[arg-type]
    for one in found["invariants"]:
        held = one["checks"] - one["violations"]
        table.add_row(one["id"], f"{held:,}", f"{one['violations']:,}", one["holds"])
    console.print(table)
    for one in found["violations"][:5]:
        console.print(
            f"[red]move {one['move']}: {one['invariant']} at {one['at_s']:.4f} s; "
            f"--seed {campaign.seed} --story {one['move']} tells it[/red]"
        )


def _list(as_json: bool) -> None:
    """List kinds by phase, and what has to happen."""
    from migration.cluster.faults import FATES, MEANINGS, PHASES

    if as_json:
        rows = [
            {"kind": kind.value, "means": MEANINGS[kind],
             "fates": {phase.value: FATES[kind][phase].value for phase in PHASES}}
            for kind in FATES
        ]  # fmt: skip
        click.echo(json.dumps({"schema": SCHEMA, "kinds": rows}, indent=2))
        return
    for kind, fates in FATES.items():
        click.echo(f"{kind.value}: {MEANINGS[kind]}")
        begin = 0
        for place, phase in enumerate(PHASES):
            last = place + 1 == len(PHASES)
            if last or fates[PHASES[place + 1]] is not fates[phase]:
                span = (
                    PHASES[begin].value
                    if begin == place
                    else f"{PHASES[begin].value} to {phase.value}"
                )
                click.echo(f"    {span:24} {fates[phase].value}")
                begin = place + 1
