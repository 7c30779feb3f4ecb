"""``vswitch cluster validate``: whether the hosts of a cluster may exchange VMs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from migration.cluster.findings import Finding
    from migration.cluster.model import Host
    from migration.cluster.wizard import Validation

SCHEMA = "vswitch.cluster-validate/1"
_FILE_WIDTH = 160
_LOOKS = {"pass": ("✓", "green"), "warning": ("!", "yellow"), "fail": ("✗", "red")}

_EXAMPLES = """
\b
Examples:
  vswitch cluster validate lab.toml
  vswitch cluster validate lab.toml --html report.html
  vswitch cluster validate lab.toml --json | jq '.checks[] | select(.result == "fail") | .id'

\b
Exit status: 0 nothing failed, 1 a check failed, 2 bad input.
"""


@click.command("validate", epilog=_EXAMPLES)
@click.argument("scenario", type=click.Path(dir_okay=False))
@click.option("--html", metavar="FILE", help="Write a report as one HTML page.")
@click.option("--all", "show_all", is_flag=True, help="Show what passed, too, with its values.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def validate(scenario: str, html: str | None, show_all: bool, as_json: bool) -> None:
    """Check whether the hosts of a cluster may exchange VMs.

    An inventory, then named checks by category: system, processors, networks,
    storage, memory, VMs. Each passes, warns or fails, with the values that it
    compared and their lines, the consequence, and the remedy.
    """
    from migration.cluster.scenario import load_cluster
    from migration.cluster.wizard import validate as run_wizard
    from pcaps.jit import announce_compilation
    from pcaps.whole import write_whole

    with announce_compilation(lambda text: click.echo(f"vswitch: {text}", err=True)):
        found = run_wizard(load_cluster(scenario))
    if html is not None:
        from migration.cluster.validation_page import page

        write_whole(html, page(found))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **found.to_dict()}, indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        show(
            Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False),
            found,
            show_all,
        )
    if not found.sound:
        sys.exit(1)


def show(console: Console, found: Validation, show_all: bool) -> None:
    """Print a validation.

    Parameters
    ----------
    console : rich.console.Console
    found : Validation
    show_all : bool
        What passed, too.
    """
    from rich.markup import escape

    from migration.cluster.findings import Category, counted
    from migration.cluster.host_checks import groups_of

    cluster = found.cluster
    console.print(
        f"[bold]{escape(cluster.name)}[/bold]: {len(cluster.hosts)} hosts, {len(cluster.vms)} VMs, "
        f"{len(cluster.volumes)} volumes; {cluster.quorum}"
        + (f", witness '{escape(cluster.witness)}'" if cluster.witness else "")
    )
    for hosts in groups_of(cluster.hosts, lambda host: (host.at, host.system.name)).values():
        console.print(f"  {escape(_inventory(hosts))}", soft_wrap=True)
    for category in Category:
        said = [one for one in found.findings if one.check.category is category]
        passed = [one for one in said if one.result.value == "pass"]
        console.print(f"\n[bold]{category.value}[/bold]")
        for one in said:
            if one.result.value != "pass" or show_all:
                _show_finding(console, one)
        if passed and not show_all:
            names = ", ".join(dict.fromkeys(one.check.id for one in passed))
            console.print(f"  [green]✓[/green] {names}", soft_wrap=True)
    counts = counted(found.findings)
    verdict = "may exchange VMs" if found.sound else "may not exchange all VMs"
    console.print(
        f"\n{counts['pass']} passed, {counts['warning']} warnings, {counts['fail']} failed: "
        f"the hosts {verdict}."
    )


def _inventory(hosts: list[Host]) -> str:
    """Return what hosts of one section are, in a line."""
    from migration.cluster.host_checks import listed
    from migration.cluster.model import GIB

    one = hosts[0]
    translation = one.translation
    shadow = (
        f", {translation.bytes_per_vm / 2**20:.0f} MiB a VM" if translation.bytes_per_vm else ""
    )
    return (
        f"{listed([host.name for host in hosts])}: {one.processor.name} ({one.processor.vendor}), "
        f"{one.logical_processors} logical processors, {one.memory_bytes / GIB:g} GiB, {one.system.name} "
        f"{one.install}, {one.queues} VM queues, {translation.name} for {translation.share:.0%} of the "
        f"processors{shadow}"
    )


def _show_finding(console: Console, one: Finding) -> None:
    from rich.markup import escape

    mark, colour = _LOOKS[one.result.value]
    console.print(
        f"  [{colour}]{mark} {one.result.value:7}[/{colour}] [bold]{one.check.id}[/bold]: {escape(one.subject)}",
        soft_wrap=True,
    )
    console.print(f"      {escape(one.evidence)}", soft_wrap=True)
    if one.remedy:
        console.print(f"      consequence: {escape(one.check.consequence)}", soft_wrap=True)
        console.print(f"      remedy:      {escape(one.remedy)}", soft_wrap=True)
