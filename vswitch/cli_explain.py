"""``vswitch explain``: the command line of :mod:`vswitch.explain`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from vswitch.explain import Explainer, Explanation

SCHEMA = "vswitch.explain/1"
DISAGREE, BAD_INPUT = 1, 2


_EXAMPLES = """
\b
Examples:
  vswitch explain capture.pcap --frame 17
  vswitch explain -s lab.toml capture.pcap --frame 17 --hex
  vswitch explain -s lab.toml --fields 'in=vm1 dst=vm2 vlan=20 pcp=5 len=1500'
  vswitch explain -s lab.toml --stdin < frames.jsonl

\b
Fields: in dst src vlan pcp dei tpid inner type len time. An address may be a
port's name, or 'broadcast'; len is the length on the wire with its tags.

\b
--stdin reads one JSON object a line:  {"port": "vm1", "frame": "ffff...", "time_ns": 0}
and answers each with one line:        {"out": [{"port": "vm2", "frame": "ffff..."}],
                                        "verdict": "flooded", "reason": null, "steps": [...]}
A line that cannot be used is answered {"error": "..."}, the others go on; exit status 2 at the end.

\b
Exit status: 0 done, 1 the compiled path and its plain twin disagree, 2 bad input.
"""


@click.command("explain", epilog=_EXAMPLES)
@click.pass_context
@click.argument("captures", metavar="[CAPTURE]...", nargs=-1)
@click.option(
    "-s", "--scenario", metavar="FILE", help="Scenario (TOML); made from the captures by default."
)
@click.option(
    "--frame",
    "number",
    type=click.IntRange(1),
    metavar="N",
    help="Number of the frame, from 1, through all captures in order (Wireshark: frame.packet_id of queues.pcapng).",
)
@click.option("--fields", metavar="TEXT", help="A frame written as key=value words.")
@click.option(
    "--stdin",
    "from_stdin",
    is_flag=True,
    help="Frames as JSON lines on standard input; learned addresses are kept from line to line.",
)
@click.option(
    "--mode",
    type=click.Choice(["vmq", "software"]),
    default="vmq",
    show_default=True,
    help="Adapter with VM queues, or the software switch alone.",
)
@click.option(
    "--queues", type=click.IntRange(0), metavar="N", help="VM queues of the adapter, as for replay."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help="Make the scenario from the first N frames, as replay --limit does.",
)
@click.option(
    "--hex",
    "show_hex",
    is_flag=True,
    help="Also show the first bytes of the frame, as received and as it leaves.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object on standard output, nothing else there.",
)
def explain(
    ctx: click.Context,
    captures: tuple[str, ...],
    scenario: str | None,
    number: int | None,
    fields: str | None,
    from_stdin: bool,
    mode: str,
    queues: int | None,
    limit: int | None,
    show_hex: bool,
    as_json: bool,
) -> None:
    """Explain step by step what becomes of one frame, and why.

    The steps are those of the plain twin, from the adapter's filters to the
    ports that it leaves by, each with the rule and the table row that decided.
    The compiled path decides the same frame, and any difference is reported.
    """
    from pcaps.jit import announce_compilation

    if sum((number is not None, fields is not None, from_stdin)) != 1:
        raise BadInput("give one of --frame N, --fields TEXT and --stdin")
    if number is not None and not captures:
        raise BadInput("--frame needs the CAPTURE that the frame is in")
    if scenario is None and not captures:
        raise BadInput(
            "there is no switch yet: give a scenario (-s), or a CAPTURE to make one from"
        )
    if from_stdin and "-" in captures:
        raise BadInput("--stdin and the capture - both want standard input; save one as a file")
    with announce_compilation(tell):
        from vswitch.explain import Explainer, explain_captured
        from vswitch.feed import Feed
        from vswitch.fields import frame_from_fields
        from vswitch.lab import lab_of

        made = scenario is None
        with Feed(captures, twice=made, limit=limit, tell=tell) as feed:
            lab = lab_of(feed, scenario, mode=mode, queues=queues)
            explainer = Explainer(lab.switch.network, lab.switch.adapter)
            if from_stdin:
                ctx.exit(_converse(explainer))
            about: dict[str, Any] = {"capture": None, "number": None}
            if number is not None:
                found = explain_captured(explainer, feed, lab.ingress, number, tell)
                about = {"capture": found.capture, "number": found.number}
                explanation = found.explanation
            else:
                port, frame = frame_from_fields(fields or "", lab.switch.network)
                explanation = explainer.explain(frame, port)
    if as_json:
        click.echo(json.dumps(_to_dict(explanation, about), indent=2, ensure_ascii=False))
    else:
        _show(explanation, about, show_hex)
    if not explanation.agrees:
        tell(_DISAGREEMENT)
        ctx.exit(DISAGREE)


def tell(text: str) -> None:
    """Say something to people, on standard error."""
    click.echo(f"vswitch: {text}", err=True)


_DISAGREEMENT = (
    "the compiled path and its plain twin DISAGREE about this frame: this is an error in vswitch, "
    "please report it with this output"
)


def _converse(explainer: Explainer) -> int:
    """Answer JSON lines until standard input ends; return the exit status."""
    from vswitch.explain_lines import answers

    status = 0
    for answer in answers(sys.stdin, explainer):
        click.echo(json.dumps(answer, ensure_ascii=False))
        if "error" in answer:
            status = status or BAD_INPUT
        if "difference" in answer:
            tell(_DISAGREEMENT)
            status = DISAGREE
    return status


def _to_dict(explanation: Explanation, about: dict[str, Any]) -> dict[str, Any]:
    outcome, frame = explanation.outcome, explanation.frame
    return {
        "schema": SCHEMA,
        **about,
        "port": explanation.port,
        "frame": frame.data.hex(),
        "bytes_wire": frame.wirelen,
        "time_ns": frame.ts_ns,
        **explanation.to_dict(),
        "reason_text": outcome.reason.sentence if outcome.reason is not None else None,
        "vlan": outcome.vlan,
        "queue": outcome.queue,
        "agrees": explanation.agrees,
        "difference": explanation.difference,
    }


def _show(explanation: Explanation, about: dict[str, Any], show_hex: bool) -> None:
    from rich.console import Console

    from vswitch.explain_report import explanation_lines

    console = Console()
    for line in explanation_lines(explanation, about, width=min(console.width, 100), head=show_hex):
        console.print(line, soft_wrap=True)
