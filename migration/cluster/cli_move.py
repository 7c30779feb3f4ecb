"""``vswitch cluster move``: one VM to one host, if nothing speaks against it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from migration.cluster.cli_options import seed_option

if TYPE_CHECKING:
    from migration.cluster.single import SingleMove

SCHEMA = "vswitch.cluster-move/1"

_EXAMPLES = """
\b
Examples:
  vswitch cluster move lab.toml web1 node2
  vswitch cluster move lab.toml web1 node2 --at 11:00 --sessions 20
  vswitch cluster move lab.toml old1 amd1 --force --sessions 20      and what then happens
  vswitch cluster move lab.toml web1 node2 --json | jq .refused

\b
Exit status: 0 done, 1 refused, or begun and not ended on the target, 2 bad input.
"""


@click.command("move", epilog=_EXAMPLES)
@click.argument("scenario", type=click.Path(dir_okay=False))
@click.argument("vm")
@click.argument("target")
@click.option("--at", metavar="TIME", default="00:00", show_default=True, help="Time of day.")
@click.option(
    "--force", is_flag=True, help="Begin it whatever the checks say, and tell what happens."
)
@click.option(
    "--sessions", metavar="N", type=click.IntRange(0, 1_000_000), default=0,
    help="Replay N TCP sessions through it.",
)  # fmt: skip
@seed_option
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def move(
    scenario: str,
    vm: str,
    target: str,
    at: str,
    force: bool,
    sessions: int,
    seed: int,
    as_json: bool,
) -> None:
    """Move VM to host TARGET, if nothing speaks against it.

    The checks of the validation wizard that are about this move are made first; the
    first that fails refuses it by name. With --force it is begun all the same, and
    told where it ends and what becomes of the VM and its connections.
    """
    from migration.cluster.scenario import load_cluster
    from migration.cluster.sections import time_of_day
    from migration.cluster.single import move_one
    from pcaps.jit import announce_compilation

    with announce_compilation(lambda text: click.echo(f"vswitch: {text}", err=True)):
        done = move_one(
            load_cluster(scenario), vm, target, at_ns=time_of_day(at, "--at"), force=force,
            sessions=sessions, seed=seed,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **done.to_dict()}, indent=2, ensure_ascii=False))
    else:
        _show(done)
    if not done.made or done.on is not done.target:
        sys.exit(1)


def _show(done: SingleMove) -> None:
    from migration.cluster.sessions import verdicts

    click.echo(
        f"{done.vm.name} from {done.source.name} to {done.target.name}, load {done.load:.0%}"
    )
    for one in done.findings:
        click.echo(f"  {one.result.value:7} {one.check.id}: {one.evidence}")
        if one.result.value == "fail":
            click.echo(f"          consequence: {one.check.consequence}")
        click.echo(f"          remedy:      {one.remedy}")
    if not done.made:
        click.echo(f"{done.outcome}; --force shows what would happen")
        return
    plan = done.plan
    if plan.passes and done.phase != "setup":
        click.echo(
            f"  {len(plan.passes)} passes, {plan.bytes_sent / 1e6:,.0f} MB in {plan.end_ns / 1e9:.1f} s, "
            f"planned blackout {plan.blackout_ns / 1e6:.0f} ms"
        )
    click.echo(done.outcome)
    for found in done.sessions:
        click.echo(f"  {verdicts(found)}")
