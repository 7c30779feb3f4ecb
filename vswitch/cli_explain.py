"""``vswitch explain``: the command line of :mod:`vswitch.explain`."""

from __future__ import annotations

import click

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
@click.argument("captures", metavar="[CAPTURE]...", nargs=-1)
@click.option("-s", "--scenario", metavar="FILE", help="Scenario (TOML); made from the captures by default.")
@click.option("--frame", "number", type=click.IntRange(1), metavar="N", help="Number of the frame, from 1, through all captures in order (Wireshark: frame.packet_id of queues.pcapng).")
@click.option("--fields", metavar="TEXT", help="A frame written as key=value words.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Frames as JSON lines on standard input; learned addresses are kept from line to line.")
@click.option("--mode", type=click.Choice(["vmq", "software"]), default="vmq", show_default=True, help="Adapter with VM queues, or the software switch alone.")
@click.option("--queues", type=click.IntRange(0), metavar="N", help="VM queues of the adapter, as for replay.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Make the scenario from the first N frames, as replay --limit does.")
@click.option("--hex", "show_hex", is_flag=True, help="Also show the first bytes of the frame, as received and as it leaves.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, nothing else there.")
def explain(
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
