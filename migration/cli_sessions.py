"""``vswitch sessions``: the command line of :mod:`migration.sessions`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.sessions import Session, Sessions
    from vswitch.feed import Feed

SCHEMA = "vswitch.sessions/1"
_FILE_WIDTH = 200
"""Columns of a report that does not go to a terminal: nothing is folded there."""

_EXAMPLES = """
\b
Examples:
  vswitch sessions capture.pcap                      every TCP connection of the capture
  vswitch sessions capture.pcap --session 7          its ends, and who says how much, after what
  vswitch sessions capture.pcap --vm 00:15:5d:00:00:01 --no-partial
  vswitch sessions a.pcap b.pcapng.zst --ignore-vlan
  vswitch sessions capture.pcap --json | jq '.sessions[] | select(.retransmissions > 0)'

\b
Exit status: 0 done, 2 bad input.
"""


@click.command("sessions", epilog=_EXAMPLES)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option(
    "--ignore-vlan",
    is_flag=True,
    help="Equal 5-tuples in different VLANs are one session, as Wireshark has it; by default a session stays in its VLAN, as a switch has it.",
)
@click.option(
    "--partial/--no-partial",
    default=True,
    show_default=True,
    help="List sessions of which a part was not captured: no SYN, holes, cut payload, one direction.",
)
@click.option(
    "--vm",
    metavar="NAME|MAC",
    help="Only sessions of this station: a MAC address, or vm1, vm2, ... as a replay names them.",
)
@click.option("--session", "number", type=click.IntRange(1), metavar="N", help="Only session N.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Stop after N frames.")
@click.option(
    "--strict",
    is_flag=True,
    help="A damaged capture is an error; by default the frames before the damage are used.",
)
@click.option("--all", "show_all", is_flag=True, help="List every session, not only the first 40.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)
def sessions(
    captures: tuple[str, ...], ignore_vlan: bool, partial: bool, vm: str | None,
    number: int | None, limit: int | None, strict: bool, show_all: bool, as_json: bool,
) -> None:  # fmt: skip
    """List the TCP sessions of captures.

    Retransmissions and reordering are resolved; what is left is two byte streams
    and the turns of the two applications: who sends how many bytes, after having
    received how many, after which time of its own.

    CAPTURE is a pcap or pcapng file, also compressed by gzip or zstd; - is
    standard input. Several are read in order as if they were one.
    """
    from migration.sessions import find_sessions
    from pcaps.jit import announce_compilation
    from vswitch.feed import Feed

    facts: list[dict[str, Any]] = []
    with (
        announce_compilation(_tell),
        Feed(captures, twice=vm is not None, limit=limit, strict=strict, tell=_tell) as feed,
    ):
        found = find_sessions(_noted(feed, facts), by_vlan=not ignore_vlan, payloads=False)
        shown = _chosen(found, partial, vm, number, feed)
    _tell_about_captures(facts)
    if as_json:
        click.echo(json.dumps(_answer(found, shown, facts, number), ensure_ascii=False, indent=2))
        return
    _show(found, shown, number, show_all)


def _tell(text: str) -> None:
    click.echo(f"vswitch: {text}", err=True)


def _noted(feed: Feed, facts: list[dict[str, Any]]) -> Any:
    """Yield the captures, and note what is to be said of each when it was read."""
    for capture in feed.captures():
        yield capture
        damage = capture.damage
        facts.append(
            {
                "path": capture.path,
                "format": capture.format,
                "frames": capture.frames,
                "skipped": capture.skipped,
                "damage": None if damage is None else damage.message,
            }
        )


def _chosen(
    found: Sessions, partial: bool, vm: str | None, number: int | None, feed: Feed
) -> list[Session]:
    """Return the sessions that were asked for."""
    if number is not None and number > len(found):
        raise BadInput(f"there is no session {number}; the captures have {len(found)}, from 1")
    if vm is None:
        several = [found[number - 1]] if number is not None else list(found)
    else:
        from migration.vm_choice import choose_vm, selfmade_names

        several = found.of_vm(choose_vm(vm, found, selfmade_names(feed.captures())))
        if number is not None:
            several = [session for session in several if session.number == number]
            if not several:
                raise BadInput(f"session {number} is not one of {vm}; leave out --vm or --session")
    return [session for session in several if partial or number is not None or not session.partial]


def _answer(
    found: Sessions, shown: list[Session], facts: list[dict[str, Any]], number: int | None
) -> dict[str, Any]:
    from migration.sessions_report import session_to_dict, summary_of, turns_to_list

    rows = [session_to_dict(session) for session in shown]
    if number is not None:
        rows[0]["turn_list"] = turns_to_list(shown[0])
    return {
        "schema": SCHEMA,
        "captures": facts,
        "by_vlan": found.by_vlan,
        "sessions": rows,
        "summary": summary_of(found, shown),
    }


def _tell_about_captures(facts: list[dict[str, Any]]) -> None:
    for capture in facts:
        if capture["damage"]:
            _tell(f"{capture['path']}: {capture['damage']}; the frames before it were used")
        for cause, count in capture["skipped"].items():
            _tell(f"{capture['path']}: skipped {count:,} frames of {cause}")


def _show(found: Sessions, shown: list[Session], number: int | None, show_all: bool) -> None:
    from rich.console import Console

    from migration import sessions_report

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    if number is not None:
        sessions_report.show_session(console, shown[0])
        return
    top = None if show_all else sessions_report.TOP
    sessions_report.show_table(console, found, shown, top)
