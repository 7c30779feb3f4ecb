"""The ``vswitch`` command: a shell that mounts other packages' commands by name.

A command's module is imported when the command is called, not before, so that
``vswitch --help`` needs neither numba nor numpy nor scapy.
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import Any

import click

COMMANDS = {
    "replay": ("vswitch.cli_replay:replay", "Run captures through the switch and its VM queues."),
    "explain": ("vswitch.cli_explain:explain", "Tell step by step what becomes of one frame."),
    "bench": ("vswitch.cli_bench:bench", "Benchmark modelled hosts: what each moves."),
    "compare": ("vswitch.cli_compare:compare", "Set two results side by side."),
    "costs": ("vswitch.cli_costs:costs", "Show what each step costs the modelled host, and why."),
    "capture": ("pcaps.cli:capture", "Look into, index, make and convert captures."),
    "nic": ("nic.cli:nic", "Single functions of the adapter: RSS, offloads."),
    "chimney": (
        "nic.cli_chimney:chimney",
        "Offload the TCP connections of captures to the adapter.",
    ),
    "sessions": ("migration.cli_sessions:sessions", "List the TCP sessions of captures."),
    "plan": ("migration.cli_plan:plan", "Plan the move of a VM, without its traffic."),
    "migrate": (
        "migration.cli_migrate:migrate",
        "Replay TCP sessions through a live move; say which survive.",
    ),
    "tcp": ("migration.cli_tcp:tcp", "Run TCP conversations; list TCP stacks and their constants."),
    "cluster": (
        "migration.cluster.cli:cluster",
        "Validate a failover cluster, run it for a day, break its moves.",
    ),
    "scenario": ("vswitch.cli_scenario:scenario", "Check, begin and show scenario files."),
    "doctor": ("vswitch.doctor:doctor", "Tell what this machine offers, and what is missing."),
}
"""Name -> where the command is, and its line in the overview."""

ADDED = {"capture": ("nic.cli_capture:segment", "nic.cli_capture:coalesce")}
"""Group -> commands of packages above the group's own, which therefore cannot name them."""

_EPILOG = """
\b
Examples:
  vswitch replay capture.pcap              classify a capture into per-VM queues
  vswitch explain capture.pcap --frame 7   why frame 7 went where it went
  vswitch capture info capture.pcapng.zst  what is in a capture
  vswitch migrate capture.pcap             which TCP sessions survive a live move
  vswitch scenario init -o lab.toml        begin a scenario of your own

\b
Exit status: 0 done, 1 an expectation failed, 2 bad input.
"""


def _imported(place: str) -> click.Command:
    """Return the command that ``module:name`` names."""
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


class ReaderGoneError(Exception):
    """Who read our output through a pipe has gone away; click itself would exit with 1."""


class Shell(click.Group):
    """A group whose commands are named in a table and imported on use."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except SystemExit as stop:  # rich, too, takes broken pipes for itself and exits with 1
            if isinstance(stop.__context__, BrokenPipeError):
                raise ReaderGoneError from None
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command = _imported(COMMANDS[cmd_name][0])
        for place in ADDED.get(cmd_name, ()):
            assert isinstance(command, click.Group)
            command.add_command(_imported(place))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may be meant."""
        name = args[0] if args else ""
        if args and name not in COMMANDS and not name.startswith("-"):
            close = get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command '{name}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if not value or ctx.resilient_parsing:
        return
    from vswitch import __version__

    click.echo(f"vswitch {__version__}")
    ctx.exit()


@click.command(cls=Shell, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Show the version and exit.",
)  # fmt: skip
def vswitch() -> None:
    """A packet-level virtual switch with VM queues: replay captures, frame by frame."""
