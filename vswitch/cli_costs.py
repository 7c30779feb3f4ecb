"""``vswitch costs``: the constants of the cost model, each with its source and status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vswitch.costs import Constant
    from vswitch.host_profiles import HostProfile

SCHEMA = "vswitch.costs/1"

_SHOW = """
\b
Examples:
  vswitch costs show                    the constants that all named hosts share
  vswitch costs show r2-vmq             and the host's own settings
  vswitch costs show lab.toml --json    a host of your own

\b
A host of your own is a TOML file:
  base = "r2-vmq"
  [host]
  processors = 16
  [costs]
  copy = 0.5
  classify = { value = 700, status = "measured", source = "our counters" }
"""

_FRAMES = ((60, 0), (1514, 1460), (9014, 8960))
"""Frames whose cost is shown: bytes, and TCP payload in them."""


@click.group()
def costs() -> None:
    """What each step of a frame costs the modelled host."""


@costs.command("list")
def list_() -> None:
    """List the named hosts."""
    from vswitch.host_profiles import HOSTS

    for host in HOSTS.values():
        click.echo(f"{host.name:<13} {host.title}")


@costs.command(epilog=_SHOW)
@click.argument("profile", metavar="[PROFILE]", default="r2")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(profile: str, as_json: bool) -> None:
    """Show the constants of a host, each with its source and how it is known.

    Status: read (stands in the source), measured, derived (follows from read
    figures), believed (unchecked). Sums are held against published figures; no
    single constant is confirmed.
    """
    from vswitch.costs import FITS
    from vswitch.host_profiles import host_profile

    host = host_profile(profile)
    if as_json:
        found = {
            "schema": SCHEMA,
            **host.to_dict(),
            "settings": [one.to_dict() for one in host.settings()],
            "fits": FITS,
            "frames": frame_costs(host),
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(host)


def frame_costs(host: HostProfile) -> list[dict[str, Any]]:
    """Return what TCP data frames cost on each way to a VM, when they come in full batches.

    Parameters
    ----------
    host : HostProfile
        Clock and constants.

    Returns
    -------
    list of dict
        way, frame_bytes, parent and guest cycles, and what one processor moves.
    """
    from vswitch.ways import WAYS, frame_cycles
    from vswitch.ways_kernel import W_NATIVE, W_PLACED, W_SHARED, W_SWITCHED

    rows = []
    for way in (W_SWITCHED, W_PLACED, W_SHARED, W_NATIVE):
        for wire, payload in _FRAMES:
            parent, guest = frame_cycles(host.costs, way, wire, payload, batch=host.dpc_budget)
            per_s = 1e12 / (parent * host.ps_per_cycle)
            rows.append(
                {
                    "way": WAYS[way].name, "frame_bytes": wire, "payload_bytes": payload,
                    "parent_cycles": round(parent, 1), "guest_cycles": round(guest, 1),
                    "frames_per_s_of_one_processor": round(per_s),
                    "gbps_of_one_processor": round(8e-9 * payload * per_s, 3),
                }
            )  # fmt: skip
    return rows


def _table(title: str, constants: Iterable[Constant]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("constant", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("what, and where it is from", overflow="fold")
    for one in constants:
        table.add_row(one.name, f"{one.value:,g}", one.unit, one.status,
                      f"{one.meaning}. [dim]{one.source}[/dim]")  # fmt: skip
    return table


def _print(host: HostProfile) -> None:
    from rich.console import Console
    from rich.table import Table

    from vswitch.costs import FITS

    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"[bold]{host.name}[/bold]  {host.title}: {host.processors} processors at "
                  f"{host.clock_hz / 1e9:g} GHz, hypervisor {100 * host.hypervisor_share:g} %")  # fmt: skip
    console.print()
    console.print(_table("costs", host.costs))
    for letter, text in FITS.items():
        console.print(f"  [bold]{letter}[/bold]  {text}", style="dim")
    console.print()
    console.print(_table("settings", host.settings()))
    console.print()
    table = Table(
        title="one TCP frame, in full batches", title_justify="left", box=None, pad_edge=False,
        header_style="bold",
    )  # fmt: skip
    table.add_column("way")
    for name in ("frame", "parent cycles", "guest cycles", "one processor of the parent moves"):
        table.add_column(name, justify="right")
    for row in frame_costs(host):
        table.add_row(
            row["way"], f"{row['frame_bytes']:,} B", f"{row['parent_cycles']:,.0f}",
            f"{row['guest_cycles']:,.0f}",
            f"{row['gbps_of_one_processor']:.2f} Gbit/s, "
            f"{row['frames_per_s_of_one_processor'] / 1e6:.2f} Mpps",
        )  # fmt: skip
    console.print(table)
