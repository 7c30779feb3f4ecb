"""``vswitch replay``: the command line of :mod:`vswitch.replay`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vswitch.replay import Replay

_FILE_WIDTH = 160
"""Columns of a report that does not go to a terminal: nothing is cut there."""

_EXAMPLES = """
\b
Examples:
  vswitch replay capture.pcap                     every destination becomes a VM
  vswitch replay capture.pcap -o out              also writes out/queues.pcapng, out/summary.json
  vswitch replay a.pcap b.pcapng.zst -s lab.toml  two captures through the VMs of a scenario
  vswitch replay capture.pcap --queues 64         an adapter with 64 VM queues
  vswitch replay capture.pcap --json | jq .drops
  vswitch replay capture.pcap --host r2 --rate 10Gbps        what it costs a 2008 R2 host
  vswitch replay capture.pcap --host r2-vmq --rate 10Gbps    and with VM queues
  zcat big.pcap.gz | vswitch replay - --mode software

\b
Exit status: 0 done, 1 an expectation of the scenario failed, 2 bad input.
"""


@click.command("replay", epilog=_EXAMPLES)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option(
    "-s", "--scenario", metavar="FILE", help="Scenario (TOML); made from the captures by default."
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Write queues.pcapng and summary.json there; files of these names are replaced.",
)
@click.option(
    "--mode",
    type=click.Choice(["vmq", "software"]),
    help="Adapter with VM queues, or the software switch alone.  [default: the host's, or vmq]",
)
@click.option(
    "--queues",
    type=click.IntRange(0),
    metavar="N",
    help="VM queues of the adapter besides its default queue; by default the scenario's, else 16 (as a Broadcom 1 GbE adapter).",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads; any number gives the same result.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Stop after N frames.")
@click.option(
    "--strict",
    is_flag=True,
    help="A damaged capture is an error; by default the frames before the damage are used.",
)
@click.option("--split", is_flag=True, help="With -o: also a pcap per port, in DIR/vms.")
@click.option(
    "--ingress",
    type=click.Choice(["all", "dropped", "none"]),
    default="all",
    show_default=True,
    help="Frames that queues.pcapng shows as they came in, on interface 0.",
)
@click.option(
    "--host",
    metavar="PROFILE",
    help="Model the host that the frames come to: r1, r2, r2-vmq, r2-vmq-jumbo, r2-chimney, 2012, or a TOML file.",
)
@click.option(
    "--rate",
    metavar="RATE",
    help="With --host: frames come at this rate, such as 10Gbps or 1.5Mpps; by their timestamps by default.",
)
@click.option(
    "--speed", metavar="Nx", help="With --host: the capture's times, so many times as fast: 2x."
)
@click.option(
    "--processors", type=int, metavar="N", help="With --host: its logical processors, 1 to 64."
)
@click.option("--all", "show_all", is_flag=True, help="Show every VM, not only the busiest 20.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)
def replay(
    show_all: bool,
    as_json: bool,
    host: str | None,
    rate: str | None,
    speed: str | None,
    processors: int | None,
    **settings: Any,
) -> None:
    """Replay captures through the virtual switch.

    Each frame is decided by the adapter's VM queues and the parent partition's
    switch: delivered to one port, flooded in its VLAN, or dropped for one reason.
    Without a scenario, every (VLAN, unicast destination) of the captures becomes
    a VM behind the uplink; the busiest get the VM queues.

    CAPTURE is a pcap or pcapng file, also compressed by gzip or zstd; - is
    standard input.

    With --host, frames come to a modelled host in time: rings fill, processors
    work, frames are lost where a ring is full.
    """
    from pcaps.jit import announce_compilation
    from vswitch.host_choice import HostChoice
    from vswitch.replay import Job, run

    settings["host"] = HostChoice.from_options(host, rate=rate, speed=speed, processors=processors)

    with announce_compilation(tell), progress_bar() as progress:
        done = run(Job(**settings), tell=tell, progress=progress)
    _tell_about_captures(done)
    try:
        if as_json:
            click.echo(json.dumps(done.to_dict(), indent=2, ensure_ascii=False))
        else:
            _show(done, show_all)
    finally:  # also when the reader of the report has gone away
        for failure in done.failed_expectations:
            tell(failure)
        if done.failed_expectations:
            raise SystemExit(1)


def tell(text: str) -> None:
    """Say something to people, on standard error."""
    click.echo(f"vswitch: {text}", err=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a progress bar where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _behind, _size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, behind, size: bars.update(
            task, description=what, completed=behind, total=size
        )


def _tell_about_captures(done: Replay) -> None:
    from vswitch.report import damage_text, skipped_text

    for capture in done.captures:
        facts = capture.to_dict()
        for text in (damage_text(facts), skipped_text(facts)):
            if text is not None:
                tell(text)


def _show(done: Replay, show_all: bool) -> None:
    from rich.console import Console

    from vswitch import report

    width = None if sys.stdout.isatty() else _FILE_WIDTH
    report.show(Console(width=width), done.to_dict(), top=None if show_all else report.TOP)
    if done.job.output is not None:
        tell(f"wrote {done.job.output}")
