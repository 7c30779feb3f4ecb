"""``vswitch migrate``: the command line of :mod:`migration.job`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import click

from migration.cli_move_options import move_options
from migration.settings import SETTINGS
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.job import Prepared
    from migration.run import Replay
    from vswitch.scenario import Scenario

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE_WIDTH = 160

_EXAMPLES = """
\b
Examples:
  vswitch migrate capture.pcap                       the busiest station moves, live
  vswitch migrate capture.pcap --vm vm3 -o out       another VM; out/wire.pcapng, out/picture.svg
  vswitch migrate capture.pcap --kind quick --memory 8GiB
  vswitch migrate --synthetic 100 --blackout 2.5s --stack-client linux:tcp_retries2=5
  vswitch migrate --synthetic 1 --traffic bulk --link 20Mbps --blackout 1s --hold
  vswitch migrate --synthetic 50 --memory 8GiB --compare live,quick,postcopy
  vswitch migrate capture.pcap --json | jq '.connections[] | select(.verdict != "survived")'

\b
Exit status: 0 done, 1 an expectation of the scenario failed, 2 bad input.
"""


def _setting_options(command: _Command) -> _Command:
    """Add an option for each of :data:`migration.settings.SETTINGS`."""
    for key, setting in reversed(SETTINGS.items()):
        if key == "hold":
            option = click.option(
                "--hold/--drop", "hold", default=None,
                help="Hold frames for the VM while it is away and send them on, or drop them; dropped by default.",
            )  # fmt: skip
        elif not setting.metavar:
            option = click.option(
                setting.option, key, is_flag=True, default=None, help=setting.meaning
            )
        else:
            default = f"  [default: {setting.default}]" if setting.default is not None else ""
            option = click.option(
                setting.option, key, metavar=setting.metavar, help=setting.meaning + default
            )
        command = option(command)
    return command


@click.command("migrate", epilog=_EXAMPLES)
@click.argument("captures", metavar="[CAPTURE...]", nargs=-1)
@click.option(
    "--synthetic", type=click.IntRange(1), metavar="N",
    help="In place of captures: so many sessions of a pattern, all to one VM.",
)  # fmt: skip
@click.option(
    "-s", "--scenario", metavar="FILE",
    help="Scenario (TOML) with [move], [path], [traffic], [expect], and the hosts' networks and adapters; options go before it.",
)  # fmt: skip
@click.option(
    "-o", "--output", metavar="DIR",
    help="Write wire.pcapng, picture.svg, timeline.json, summary.json and the connections as columns there.",
)  # fmt: skip
@_setting_options
@move_options
@click.option(
    "--compare", metavar="KINDS", help="Several kinds side by side, such as live,quick,postcopy."
)
@click.option(
    "--ignore-vlan", is_flag=True,
    help="Equal 5-tuples in different VLANs are one session; by default a session stays in its VLAN.",
)  # fmt: skip
@click.option(
    "--partial/--no-partial", default=True, show_default=True,
    help="Run sessions of which a part was not captured.",
)  # fmt: skip
@click.option(
    "--margins/--no-margins", default=None,
    help="Search how much longer each blackout could have been; for up to 2000 connections by default.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Read N frames at most.")
@click.option(
    "--strict", is_flag=True,
    help="A damaged capture is an error; by default the frames before the damage are used.",
)  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Show every connection and every pass.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)  # fmt: skip
def migrate(
    captures: tuple[str, ...], synthetic: int | None, scenario: str | None, output: str | None,
    compare: str | None, ignore_vlan: bool, partial: bool, margins: bool | None,
    limit: int | None, strict: bool, show_all: bool, as_json: bool, **words: Any,
) -> None:  # fmt: skip
    """Replay TCP sessions through a live move, and say of each whether it survives.

    The TCP sessions of captures, or synthetic ones, run again as endpoints in virtual
    time. Every segment is a frame that goes through the adapter and the switch of a
    host, while the VM that they talk to moves to another one. Of each connection:
    survived, timed out (which end, which timer, when), reset, or finished before; its
    stall, its retransmissions, and how much longer the blackout could have been.

    CAPTURE is a pcap or pcapng file, also compressed by gzip or zstd; - is standard
    input. Without a scenario the VM is the station with the most sessions.
    """
    from migration.settings import read_settings
    from pcaps.jit import announce_compilation

    if bool(captures) == (synthetic is not None):
        raise BadInput("give either captures or --synthetic N")
    loaded = _load(scenario)
    given = {**_asked(words), **({} if loaded is None else _without(loaded, words))}
    kinds = [None] if compare is None else _kinds(compare)
    if output is not None and len(kinds) > 1:
        raise BadInput("-o keeps one run; leave out --compare, or -o")
    seed = int(words["seed"])
    subject = _subject(captures, synthetic)
    with announce_compilation(_tell), _progress() as progress:
        several = []
        for kind in kinds:
            settings = read_settings(given if kind is None else {**given, "kind": kind})
            prepared = _prepare(
                captures, synthetic, settings, loaded, not ignore_vlan, partial, seed, limit, strict
            )
            several.append(_run(prepared, output, seed, margins, progress, subject))
    if compare is not None:
        _show_comparison(several, as_json)
    else:
        _show(several[0], subject, as_json, show_all, output)
    failed = [] if loaded is None else _failures(loaded, several)
    for failure in failed:
        _tell(failure)
    if failed:
        raise SystemExit(1)


def _tell(text: str) -> None:
    click.echo(f"vswitch: {text}", err=True)


def _load(path: str | None) -> Scenario | None:
    if path is None:
        return None
    from vswitch.scenario import load

    return load(path)


def _given_options() -> set[str]:
    """Return the parameters that were given on the command line."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return {name for name in context.params if context.get_parameter_source(name) is source}


def _asked(words: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, and defaults of the others."""
    given = _given_options()
    return {key: value for key, value in words.items() if key in given}


def _without(scenario: Scenario, words: dict[str, Any]) -> dict[str, Any]:
    """Return what a scenario sets and the command line does not."""
    from migration.scenario import settings_in

    given = _given_options()
    del words
    return {key: value for key, value in settings_in(scenario).items() if key not in given}


def _kinds(asked: str) -> list[str]:
    from migration.move_settings import KINDS

    kinds = [kind.strip() for kind in asked.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"--compare: there is no kind '{kind}'; use {', '.join(KINDS)}")
    return kinds


def _subject(captures: tuple[str, ...], synthetic: int | None) -> str:
    if synthetic is not None:
        return f"{synthetic} synthetic session{'s' if synthetic != 1 else ''}"
    return captures[0] if len(captures) == 1 else f"{captures[0]} and {len(captures) - 1} more"


def _prepare(
    captures: tuple[str, ...], synthetic: int | None, settings: Any, scenario: Scenario | None,
    by_vlan: bool, partial: bool, seed: int, limit: int | None, strict: bool,
) -> Prepared:  # fmt: skip
    from migration.job import prepare
    from migration.sessions import find_sessions
    from migration.vm_choice import choose_vm, selfmade_names
    from vswitch.feed import Feed

    if synthetic is not None:
        prepared = prepare(synthetic, settings, seed=seed, scenario=scenario)
    else:
        asked = settings.vm
        named = {} if scenario is None else _names(scenario)
        twice = asked is not None and asked not in named
        with Feed(captures, twice=twice, limit=limit, strict=strict, tell=_tell) as feed:
            found = find_sessions(feed.captures(), by_vlan=by_vlan)
            mac = None
            if asked is not None:
                names = named if asked in named else selfmade_names(feed.captures())
                mac = choose_vm(asked, found, {**names, **named})
        prepared = prepare(
            found, settings, vm_mac=mac, partial=partial, seed=seed, scenario=scenario
        )
    for cause, count in prepared.left_out.items():
        _tell(f"{count} session{'s' if count != 1 else ''} of the VM {cause}: not run")
    return prepared


def _names(scenario: Scenario) -> dict[str, int]:
    """Return the VMs of a scenario and their addresses."""
    ports = (port for network in scenario.networks for port in network.ports)
    return {port.name: port.mac for port in ports if port.mac is not None}


def _run(
    prepared: Prepared, output: str | None, seed: int, margins: bool | None,
    progress: Callable[[str, float], None], subject: str,
) -> Replay:  # fmt: skip
    from migration.job import carry_out

    if output is None:
        return carry_out(prepared, seed=seed, margins=margins, progress=progress)
    from migration.replay_outputs import Outputs

    with Outputs(output) as outputs:
        done = carry_out(
            prepared, seed=seed, margins=margins, on_log=outputs.take, progress=progress
        )
        outputs.finish(done, subject=subject, progress=progress)
    return done


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Show how far a run is, where standard error is a terminal."""
    if not sys.stderr.isatty():
        with nullcontext():
            yield lambda _what, _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda what, share: bars.update(task, description=what, completed=share)


def _show(done: Replay, subject: str, as_json: bool, show_all: bool, output: str | None) -> None:
    from migration.results import to_dict

    found = to_dict(done)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from migration import replay_report, replay_tables

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    replay_report.show(
        console, found, subject=subject, command=_command(),
        top=None if show_all else replay_tables.TOP,
    )  # fmt: skip
    if output is not None:
        console.print(f"written: {output}/", highlight=False)


def _command() -> str:
    """Return the command that was run, as a person would type it."""
    return shlex.join(["vswitch", *sys.argv[1:]])


def _show_comparison(several: list[Replay], as_json: bool) -> None:
    from migration.results import to_dict

    found = [to_dict(done) for done in several]
    if as_json:
        click.echo(json.dumps({"schema": "vswitch.migrate/1", "runs": found}, indent=2))
        return
    from rich.console import Console

    from migration.replay_tables import comparison_table

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    console.print(comparison_table({one["move"]["kind"]: one for one in found}))


def _failures(scenario: Scenario, several: list[Replay]) -> list[str]:
    from migration.scenario import failures

    return [text for done in several for text in failures(scenario.expect, done)]
