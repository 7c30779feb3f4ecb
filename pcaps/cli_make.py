"""The commands that write captures: ``capture synth`` and ``capture convert``.

They are mounted by the group in :mod:`pcaps.cli`. Nothing that needs numba or
scapy is imported before a command runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from pcaps.traffic import TrafficPlan

FORMATS = ("pcap", "pcap-ns", "pcapng")
"""As in :mod:`pcaps.formats`, which needs numpy; a test holds the two together."""

_SYNTH_EXAMPLES = """
\b
Examples:
  vswitch capture synth traffic.pcap
  vswitch capture synth big.pcap --bytes 1GB --size imix --vms 256 --vlans 4
  vswitch capture synth tiny.pcapng --frames 1000 --size 64 --zipf 1.1 --unknown 0.01
  vswitch capture synth tcp.pcap.gz --frames 0 --tcp-sessions 100 --format pcap-ns
  vswitch capture synth - --frames 1000 | vswitch replay -
"""

_CONVERT_EXAMPLES = """
\b
Examples:
  vswitch capture convert old.pcap new.pcapng
  vswitch capture convert big.pcapng.zst first.pcap --limit 1000
  vswitch capture convert in.pcap part.pcap --from 5001 --to 6000
  vswitch capture convert in.pcap in.pcap.gz
"""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar when standard error is a terminal.

    Parameters
    ----------
    what : str
        The word in front of the bar.
    total : int or None
        Amount of work; None when it is not known.

    Yields
    ------
    callable
        To be called with each amount done.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def compiling() -> Any:
    """Return a context that tells on a terminal when kernels are compiled.

    Returns
    -------
    context manager
        As :func:`pcaps.jit.announce_compilation`.
    """
    if not sys.stderr.isatty():
        return nullcontext()
    from pcaps.jit import announce_compilation

    return announce_compilation(lambda line: click.echo(line, err=True))


def report(as_json: bool, to: str, content: dict[str, Any], sentence: str) -> None:
    """Print what was done: one JSON object, or one sentence on standard error.

    Parameters
    ----------
    as_json : bool
        Which of the two.
    to : str
        Where the capture went; standard output cannot take both.
    content : dict
        For JSON.
    sentence : str
        For people.
    """
    if as_json:
        click.echo(json.dumps(content))
    else:
        click.echo(sentence, err=to == "-")


def refuse_two_on_stdout(as_json: bool, to: str) -> None:
    """Refuse ``--json`` together with a capture on standard output.

    Parameters
    ----------
    as_json : bool
        The option.
    to : str
        Where the capture goes.

    Raises
    ------
    BadInput
        When both would go to standard output.
    """
    if as_json and to in {"-", "/dev/stdout"}:
        raise BadInput("standard output cannot take the capture and --json; name a file")


def _share(name: str, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--{name}", type=float, default=0.0, metavar="SHARE", help=what)


@click.command(epilog=_SYNTH_EXAMPLES)
@click.argument("out")
@click.option("--frames", type=int, metavar="N", help="How many frames.  [default: 100000]")
@click.option("--bytes", "n_bytes", metavar="SIZE", help="How large a file instead, such as 1GB.")
@click.option(
    "--size",
    "sizes",
    default="imix",
    show_default=True,
    metavar="MIX",
    help="Frame sizes without FCS, tag included: imix (64, 594, 1518 at 7:4:1), jumbo (9000), "
    "one number, or a mix such as 64:7,9000:1.",
)
@click.option("--vms", type=int, default=16, show_default=True, help="VMs in all.")
@click.option("--vlans", type=int, help="VLANs they are spread over, 0 = untagged.  [default: 4]")
@click.option(
    "--zipf",
    type=float,
    default=0.0,
    metavar="S",
    help="Popularity of VM n is n**-S; 0, the default, is uniform.",
)
@_share("unknown", "Share of frames to a MAC that no VM has.")
@_share("broadcast", "Share of broadcast frames.")
@_share("multicast", "Share of frames to one of 16 groups.")
@_share("spoofed", "Share of frames from outside with the source address of a VM.")
@_share("oversize", "Share of frames longer than the MTU: 2000 bytes, 9600 in a jumbo mix.")
@click.option(
    "--tcp-sessions",
    type=int,
    default=0,
    metavar="N",
    help="Complete TCP sessions, in addition to the frames.",
)
@click.option("--rate", default="1Mpps", show_default=True, help="Frames per second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same bytes.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="[default: by the suffix]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object about the capture.")
def synth(out: str, kind: str | None, as_json: bool, **asked: Any) -> None:
    """Make a capture OUT of synthetic traffic: VMs, VLANs, TCP sessions; seeded.

    Suffixes .gz and .zst compress; - is standard output. Addresses: VM n (from 0)
    has 00-15-5D-00-00-00 + (n + 1) and lies in VLAN 100 + n mod VLANS.
    """  # fmt: skip
    from pcaps.formats import format_of, open_writer
    from pcaps.pcapng_writer import OutInterface
    from pcaps.traffic import synthesise

    refuse_two_on_stdout(as_json, out)
    kind = format_of(out, kind)
    plan = _plan(kind, **asked)
    began = time.perf_counter()
    bytes_wire = 0
    interface = OutInterface("synthetic", f"synthetic traffic, seed {plan.seed}")
    with (
        compiling(),
        open_writer(out, kind, [interface]) as writer,
        progress("frames", plan.frames) as tell,
    ):
        for frames in synthesise(plan, reuse=True):
            writer.write(frames)
            bytes_wire += int(frames.wirelen.sum())
            tell(len(frames))
    seconds = time.perf_counter() - began
    n = writer.frames_written
    report(
        as_json, out,
        {
            "schema": "capture.synth/1", "path": out, "format": kind, "seed": plan.seed,
            "frames": n, "bytes_wire": bytes_wire, "bytes_file": writer.bytes_written,
            "measured": {"wall_s": round(seconds, 3)},
        },
        f"wrote {n:,} frames, {writer.bytes_written:,} bytes, to {out} ({kind}) in {seconds:.1f} s",
    )  # fmt: skip


def _plan(
    kind: str, *, frames: int | None, n_bytes: str | None, sizes: str, rate: str,
    vms: int, vlans: int | None, **others: Any,
) -> TrafficPlan:  # fmt: skip
    """Return the plan that the options of ``synth`` ask for."""
    from pcaps.quantities import parse_bytes, parse_pps
    from pcaps.sizes import SizeMix
    from pcaps.traffic import TrafficPlan

    if frames is not None and n_bytes is not None:
        raise BadInput("--frames and --bytes both say how much to make; give one of them")
    plan = TrafficPlan(
        frames=100_000 if frames is None else frames,
        sizes=SizeMix.parse(sizes),
        rate_pps=parse_pps(rate),
        vms=vms,
        vlans=min(4, max(vms, 0)) if vlans is None else vlans,
        **others,
    )
    if n_bytes is None:
        return plan
    return plan.filling(parse_bytes(n_bytes), record_bytes=34 if kind == "pcapng" else 16)


@click.command(epilog=_CONVERT_EXAMPLES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="[default: by the suffix]")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Write N frames at most.")
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Begin with frame N, counted from 1.",
)
@click.option("--to", "last", type=click.IntRange(1), metavar="N", help="End with frame N.")
@click.option("--strict", is_flag=True, help="A damaged capture is an error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object about the capture.")
def convert(source: str, target: str, as_json: bool, **asked: Any) -> None:
    """Write the capture IN as OUT, in another format or only a part of it.

    Reads pcap and pcapng, also compressed; - is standard input. The suffix of OUT
    chooses format and compression: .pcap, .pcapng, and .gz or .zst behind it; - is
    standard output. Classic pcap keeps nanoseconds where IN has them, but has no
    place for interface names and comments.
    """
    from pcaps.convert import convert as run

    refuse_two_on_stdout(as_json, target)
    with compiling(), progress("frames", None) as tell:
        done = run(source, target, progress=tell, **asked)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    report(
        as_json, target, done.to_dict(),
        f"wrote {done.frames:,} frames, {done.bytes_file:,} bytes, to {target} ({done.format})",
    )  # fmt: skip
