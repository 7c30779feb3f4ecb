"""``vswitch capture segment`` and ``coalesce``: a capture as its frames are on the wire, or as a host sees them.

The shell mounts them below ``capture``. Nothing that needs numba is imported before
a command runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pcaps.cli_make import FORMATS, compiling, progress, refuse_two_on_stdout, report
from pcaps.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nic.lso import Lso
    from nic.rsc import Rsc
    from pcaps.frames import Frames

_SEGMENT = """
\b
Examples:
  vswitch capture segment host.pcap wire.pcap               super-frames become frames of 1500 bytes
  vswitch capture segment host.pcap wire.pcapng --mss 1448
  vswitch capture segment host.pcap wire.pcap --checksums   sums of all frames, as on the wire
"""

_COALESCE = """
\b
Examples:
  vswitch capture coalesce wire.pcap host.pcap
  vswitch capture coalesce wire.pcap host.pcapng --batch 256 --hold 1ms
"""

_FORMAT = click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="[default: by the suffix]"
)
_LIMIT = click.option("--limit", type=click.IntRange(0), metavar="N", help="Read N frames at most.")
_STRICT = click.option("--strict", is_flag=True, help="A damaged capture is an error.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _run(source: str, target: str, change: Any, **asked: Any) -> Any:
    """Write a capture through a change; return what was written."""
    from pcaps.convert import convert

    with compiling(), progress("frames", None) as tell:
        done = convert(source, target, progress=tell, change=change, **asked)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    return done


@click.command(epilog=_SEGMENT)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--mss", type=int, metavar="N", help="Payload bytes of a segment.")
@click.option(
    "--mtu", type=int, metavar="N",
    help="Bytes of the IP packet that a segment may be, headers included.  [default: 1500]",
)  # fmt: skip
@click.option(
    "--lso", "version", type=click.IntRange(1, 2), default=2, show_default=True,
    help="Version: 1 cuts IPv4 only and counts IP ids in 16 bits, 2 IPv6 too, and in 15.",
)  # fmt: skip
@click.option(
    "--checksums", is_flag=True, help="Also make the checksums of frames that are not cut."
)
@_FORMAT
@_LIMIT
@_STRICT
@_JSON
def segment(
    source: str, target: str, mss: int | None, mtu: int | None, version: int, checksums: bool,
    as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Cut the TCP super-frames of IN to frames as they are on the wire.

    A capture on a host that leaves segmentation to its adapter (LSO, TSO) shows
    frames that never were on a wire. Every segment gets right checksums; sequence
    numbers and IP ids count on, FIN and PSH stay on the last segment.
    """
    from nic.lso import Lso

    refuse_two_on_stdout(as_json, target)
    if mss is not None and mtu is not None:
        raise BadInput("--mss and --mtu both say how large a segment is; give one of them")
    lso = Lso(mss=mss, mtu=1500 if mtu is None else mtu, version=version)
    done = _run(source, target, lambda frames: _cut(frames, lso, checksums), **asked)
    kept = {one.label: count for one, count in sorted(lso.kept.items())}
    report(
        as_json, target,
        {
            **done.to_dict(), "schema": "capture.segment/1", "cut": lso.cut,
            "segments": lso.pieces, "kept": kept,
        },
        f"wrote {done.frames:,} frames to {target}: {lso.cut:,} were cut into {lso.pieces:,}",
    )  # fmt: skip


def _cut(
    batches: Iterator[Frames], lso: Lso, checksums: bool
) -> Iterator[tuple[Frames, npt.NDArray[np.int64]]]:
    from pcaps.checksums import insert_checksums

    for frames in batches:
        whole = insert_checksums(frames)[0] if checksums else frames
        for part in lso.parts(whole):
            yield part.frames, frames.first_number + part.origin.astype("int64")


@click.command(epilog=_COALESCE)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--batch", "batch_frames", type=int, metavar="N",
    help="Most frames that one interrupt hands up.  [default: 64]",
)  # fmt: skip
@click.option(
    "--hold", metavar="TIME",
    help="Most time between the first and the last of them.  [default: 100us]",
)  # fmt: skip
@_FORMAT
@_LIMIT
@_STRICT
@_JSON
def coalesce(
    source: str, target: str, batch_frames: int | None, hold: str | None, as_json: bool, **asked: Any
) -> None:  # fmt: skip
    """Join TCP segments of IN as an adapter with RSC (LRO) hands them up.

    Segments that follow each other become one, within what one interrupt hands up.
    Every stop rule of NDIS holds; what ended units is counted.
    """
    from nic.rsc import BATCH_FRAMES, HOLD_NS, Rsc
    from pcaps.quantities import parse_duration_ns

    refuse_two_on_stdout(as_json, target)
    rsc = Rsc(
        batch_frames=BATCH_FRAMES if batch_frames is None else batch_frames,
        hold_ns=HOLD_NS if hold is None else parse_duration_ns(hold),
    )
    done = _run(source, target, lambda frames: _joined(frames, rsc), **asked)
    ended = {one.label: count for one, count in sorted(rsc.ended.items())}
    report(
        as_json, target,
        {
            **done.to_dict(), "schema": "capture.coalesce/1", "merged": rsc.merged,
            "units": rsc.units, "ended": ended,
        },
        f"wrote {done.frames:,} frames to {target}: {rsc.merged:,} were joined to {rsc.units:,}",
    )  # fmt: skip


def _joined(batches: Iterator[Frames], rsc: Rsc) -> Iterator[tuple[Frames, npt.NDArray[np.int64]]]:
    for part, numbers in rsc.stream(batches):
        yield part.frames, numbers
