"""``vswitch scenario``: check, begin and show scenario files, and print their reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from vswitch.ports import Network, Port
    from vswitch.scenario import Scenario

_CHECK = """
\b
Examples:
  vswitch scenario check lab.toml
  vswitch scenario check examples/scenarios/*.toml --json

\b
Exit status: 0 all files are sound, 2 problems, each printed as file:line: path: what.
"""
_INIT = """
\b
Examples:
  vswitch scenario init                                 print a small scenario
  vswitch scenario init -o lab.toml --profile 2012
  vswitch scenario init --from capture.pcap -o lab.toml a VM for each destination
"""
_SHOW = """
\b
Examples:
  vswitch scenario show lab.toml
  vswitch scenario show lab.toml --json | jq .adapter
"""

_REFERENCE = """
\b
Examples:
  vswitch scenario reference
  vswitch scenario reference > docs/scenario.md
"""

_HEAD = """\
# A scenario for 'vswitch replay -s' and 'vswitch explain -s'.
# 'vswitch scenario reference' prints every key, 'vswitch scenario check' finds mistakes.

[scenario]
name = "{name}"
profile = "{profile}"        # r1 = 2008, r2 = 2008 R2, 2012
"""

_NIC = """
[nic]
queues = 16             # VM queues besides the default queue
"""

_NETWORK = """
[[network]]
name = "external"
kind = "external"       # with an uplink; or internal, private
# vlans = [10, "20-29"] # VIDs that the uplink carries; all by default
parent = false
"""

_VMS = """
[[vm]]
name = "vm{n}"
count = 2               # vm1 and vm2; their addresses come from the host's pool
vlan = 10               # access VLAN; 0 = untagged
"""

_TAIL = """
[replay]
ingress = "uplink"      # where the frames of a capture come in; or a VM, or "source-mac"

# [expect]
# no_drops = true
"""


_GROUP = """
\b
Examples:
  vswitch scenario init -o lab.toml  begin one
  vswitch scenario check lab.toml    all its problems at once
  vswitch scenario show lab.toml     who is where, who gets a VM queue
"""


@click.group(epilog=_GROUP)
def scenario() -> None:
    """Check, begin and show scenario files; print their reference."""


@scenario.command(epilog=_CHECK)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check scenario files; all problems of a file are reported at once."""
    from dataclasses import asdict

    from vswitch.problems import ScenarioError
    from vswitch.scenario import load

    reports: list[dict[str, Any]] = []
    failed = []
    for name in files:
        problems: list[dict[str, Any]] = []
        try:
            for note in load(name).notes():
                click.echo(f"note: {name}: {note}", err=True)
        except ScenarioError as error:
            problems = [asdict(problem) for problem in error.problems]
            failed.append(error.what)
        except BadInput as error:
            problems = [{"line": None, "path": "file", "message": error.what}]
            failed.append(error.what)
        reports.append({"file": name, "ok": not problems, "problems": problems})
    if as_json:
        answer = {"schema": "vswitch.scenario-check/1", "ok": not failed, "files": reports}
        click.echo(json.dumps(answer, indent=2))
        raise SystemExit(2 if failed else 0)
    for report in reports:
        if report["ok"]:
            click.echo(f"{report['file']}: ok")
    if failed:
        raise BadInput("\n".join(failed))


@scenario.command(epilog=_INIT)
@click.option("--profile", type=click.Choice(["r1", "r2", "2012"]), default="r2", show_default=True)
@click.option("--from", "capture", metavar="CAPTURE", help="Make a VM for each destination in it.")
@click.option("-o", "--output", metavar="FILE", help="Write there instead of printing.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def init(profile: str, capture: str | None, output: str | None, force: bool) -> None:
    """Begin a scenario: a commented file that is sound as it is."""
    name = Path(output or capture or "lab").stem
    text = _HEAD.format(name=name, profile=profile)
    text += _NIC if profile != "r1" else ""
    text += _NETWORK + (_vms_of(capture, profile) if capture else _VMS) + _TAIL
    if output is None:
        click.echo(text, nl=False)
        return
    if Path(output).exists() and not force:
        raise BadInput(f"{output} exists; choose another name, or replace it with --force")
    from pcaps.whole import WholeFile

    with WholeFile(output) as file:
        file.write(text.encode())
    click.echo(f"{output}: written; look at it with 'vswitch scenario show {output}'")


def _vms_of(path: str, profile: str) -> str:
    """Return a [[vm]] for each (VLAN, unicast destination) of a capture."""
    import pcaps
    from pcaps.addresses import key_to_mac
    from vswitch.selfmade import stations

    tpids = (0x8100,) if profile != "r1" else (0x8100, 0x88A8)
    with pcaps.open(path) as capture:
        found = stations([capture], tpids)
    if not found:
        raise BadInput(f"{path}: no frame has a unicast destination, so there is no VM to make")
    blocks = [
        f'\n[[vm]]                  # {station.frames} frames\nname = "vm{number}"\n'
        f'mac = "{key_to_mac(station.mac)}"\nvlan = {station.vlan}\n'
        for number, station in enumerate(found, 1)
    ]
    return "".join(blocks)


@scenario.command(epilog=_SHOW)
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(file: str, as_json: bool) -> None:
    """Show what a scenario describes: ports, VLANs, and who gets a VM queue."""
    from vswitch.scenario import load

    loaded = load(file)
    answer = describe(loaded)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree

    console = Console()
    console.print(
        f"[bold]{loaded.name}[/bold]: profile {loaded.profile.name} ({loaded.profile.title})"
    )
    for network in answer["networks"]:
        adapter = network["adapter"]
        root = "no adapter"
        if network["uplink"]:
            queues = f"{adapter['num_queues']} VM queues" if adapter else "no VM queues"
            root = f"adapter ({queues})"
        tree = Tree(root)
        switch = tree.add(
            f"switch '{network['name']}', {network['kind']}, dialect {network['dialect']}"
        )
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("port", "kind", "address", "VLAN", "MTU", "queue"):
            table.add_column(column, no_wrap=column == "address")
        table.add_column("why no queue")
        for port in network["ports"]:
            mtu = "no limit" if port["mtu"] is None else str(port["mtu"])
            queue = "" if port["queue"] is None else str(port["queue"])
            table.add_row(
                port["name"],
                port["kind"],
                port["mac"] or "",
                port["vlan"],
                mtu,
                queue,
                port["why_not"],
            )
        switch.add(f"{len(network['ports'])} ports")
        console.print(tree)
        console.print(table)


@scenario.command(epilog=_REFERENCE)
def reference() -> None:
    """Print every section and key of a scenario file, with type, default and meaning."""
    from vswitch.scenario_reference import reference as text

    click.echo(text(), nl=False)


def describe(loaded: Scenario) -> dict[str, Any]:
    """Return a scenario for people and JSON.

    Parameters
    ----------
    loaded : Scenario
        As loaded.

    Returns
    -------
    dict
        With schema, name, profile and networks.
    """
    return {
        "schema": "vswitch.scenario-show/1",
        "name": loaded.name,
        "profile": loaded.profile.name,
        "networks": [_describe_network(loaded, network) for network in loaded.networks],
    }


def _describe_network(loaded: Scenario, network: Network) -> dict[str, Any]:
    from vswitch.queues import give_queues, why_no_queue

    served = network is loaded.network()
    adapter = loaded.adapter() if served else None
    if adapter is not None:
        give_queues(network, adapter)
    ports = []
    for port in network.ports:
        queue = adapter.queue_of(port.name) if adapter is not None else None
        ports.append(
            {
                "name": port.name,
                "kind": port.kind.value,
                "mac": port.address,
                "vlan": _carried(port),
                "mtu": port.mtu,
                "queue": queue,
                "why_not": "" if queue is not None else why_no_queue(network, adapter, port),
            }
        )
    kind = "external" if network.uplink else "internal or private"
    return {
        "name": network.name,
        "kind": kind,
        "dialect": network.dialect.value,
        "uplink": network.uplink is not None,
        "adapter": adapter.describe() if adapter is not None else None,
        "ports": ports,
    }


def _carried(port: Port) -> str:
    """Return the VLANs of a port; an uplink without a list carries all."""
    if port.kind.value == "uplink" and port.vlan.allowed is None:
        return "all" if port.vlan.untagged else "all tagged"
    return str(port.vlan)
