"""``vswitch capture``: look into, index, make and convert captures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from pcaps.cli_make import convert, synth
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from pcaps.capture import Capture

_INFO = """
\b
Examples:
  vswitch capture info capture.pcap
  vswitch capture info *.pcapng.zst --json | jq '.captures[].frames'
  zcat big.pcap.gz | vswitch capture info -
"""
_INDEX = """
\b
Examples:
  vswitch capture index capture.pcap --limit 20
  vswitch capture index capture.pcap -o capture.npz    numpy columns: start, caplen, wirelen, ts_ns
"""


_GROUP = """
\b
Examples:
  vswitch capture info capture.pcap               what is in it
  vswitch capture synth traffic.pcap --vms 64     traffic of your own
  vswitch capture convert in.pcap out.pcapng.zst  another format
  vswitch capture COMMAND --help                  more examples
"""


@click.group(epilog=_GROUP)
def capture() -> None:
    """Look into, index, make and convert captures."""


capture.add_command(synth)
capture.add_command(convert)


def _facts(opened: Capture) -> dict[str, Any]:
    damage = opened.damage
    return {
        "path": opened.path,
        "format": opened.format,
        "frames": opened.frames,
        "bytes_wire": opened.bytes_wire,
        "bytes_captured": opened.bytes_captured,
        "skipped": opened.skipped,
        "damage": None
        if damage is None
        else {
            "kind": damage.kind,
            "offset": damage.offset,
            "frame": damage.frame,
            "message": damage.message,
        },
        "interfaces": [
            {"name": one.name, "description": one.description, "linktype": one.linktype_text}
            for one in opened.interfaces
        ],
        "comments": [
            {"where": one.where, "number": one.number, "text": one.text} for one in opened.comments
        ],
    }


@capture.command(epilog=_INFO)
@click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Only the first N frames.")
@click.option("--strict", is_flag=True, help="A damaged capture is an error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(captures: tuple[str, ...], limit: int | None, strict: bool, as_json: bool) -> None:
    """Tell what is in captures: format, times, VLANs, addresses, sizes, damage."""
    from pcaps.capture import open as open_capture
    from pcaps.jit import announce_compilation
    from pcaps.summary import Summary

    answers = []
    with announce_compilation(lambda line: click.echo(line, err=True)):
        for path in captures:
            summary = Summary()
            with open_capture(path, strict=strict, limit=limit) as opened:
                summary.add(opened)
                answers.append({**_facts(opened), **summary.to_dict()})
    if as_json:
        click.echo(json.dumps({"schema": "vswitch.capture-info/1", "captures": answers}, indent=2))
        return
    for answer in answers:
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=answer["path"], show_header=False, box=None, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in _lines(answer):
        table.add_row(label, value)
    console.print(table)


def _lines(answer: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("format", answer["format"]),
        ("frames", f"{answer['frames']:,}, the largest {answer['largest']} bytes on the wire"),
        ("bytes", f"{answer['bytes_wire']:,} on the wire, {answer['bytes_captured']:,} captured"),
    ]
    if answer["first_ns"]:
        lines.append(("times", f"{_time(answer['first_ns'])} to {_time(answer['last_ns'])} UTC"))
        lines.append(("duration", f"{answer['duration_s']:.6f} s"))
    if len(answer["interfaces"]) > 1 or any(one["name"] for one in answer["interfaces"]):
        names = [one["name"] or one["linktype"] for one in answer["interfaces"][:8]]
        lines.append(("interfaces", f"{len(answer['interfaces'])}: {', '.join(names)}"))
    vlans = [f"{row['vlan'] if row['vlan'] is not None else 'untagged'} ({row['frames']:,})"
             for row in answer["vlans"][:12]]  # fmt: skip
    lines.append(("VLANs", ", ".join(vlans) or "none"))
    if answer["tpids"]:
        lines.append(("TPIDs", ", ".join(f"{k} ({n:,})" for k, n in answer["tpids"].items())))
    tops = [f"{row['mac']} ({row['frames']:,})" for row in answer["top_destinations"][:4]]
    lines.append(("destinations", f"{answer['destinations']}: {', '.join(tops)}"))
    lines.append(("sizes", ", ".join(f"{k}: {n:,}" for k, n in answer["sizes"].items())))
    lines.append(("protocols", ", ".join(f"{k} {n:,}" for k, n in answer["protocols"].items())))
    bad = answer["bad_checksums"]
    for count, text in (
        (answer["cut"], "frames have fewer bytes captured than were on the wire"),
        (answer["backwards"], "frames are earlier than the one before them"),
        (bad["ip"], "frames have a wrong IPv4 header checksum"),
        (bad["transport"], "frames have a wrong TCP, UDP or ICMPv6 checksum"),
    ):
        if count:
            lines.append(("note", f"{count:,} {text}"))
    lines += [("skipped", f"{n:,} frames of {cause}") for cause, n in answer["skipped"].items()]
    if answer["comments"]:
        first = answer["comments"][0]
        lines.append(("comments", f"{len(answer['comments'])}, the first: {first['text'][:60]}"))
    if answer["damage"]:
        lines.append(("[bold red]damage[/]", answer["damage"]["message"]))
    return lines


def _time(nanoseconds: int) -> str:
    from datetime import UTC, datetime

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:06d}"


@capture.command(epilog=_INDEX)
@click.argument("path", metavar="CAPTURE")
@click.option("-o", "--output", metavar="FILE", help="Write the columns there, as numpy .npz.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Only the first N frames.")
@click.option("--strict", is_flag=True, help="A damaged capture is an error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def index(
    path: str, output: str | None, force: bool, limit: int | None, strict: bool, as_json: bool
) -> None:
    """Tell where each frame is: offset, lengths, time."""
    from pathlib import Path

    from pcaps.capture import open as open_capture

    if output is not None and Path(output).exists() and not force:
        raise BadInput(f"{output} exists; choose another name, or replace it with --force")
    columns: dict[str, list[Any]] = {"start": [], "caplen": [], "wirelen": [], "ts_ns": []}
    with open_capture(path, strict=strict, limit=limit) as opened:
        mapped = opened.region() is not None or limit is not None
        for frames in opened:
            for name, parts in columns.items():
                parts.append(getattr(frames, name))
        facts = _facts(opened)
    if output is not None:
        _save(output, columns)
        click.echo(f"{output}: {facts['frames']:,} frames", err=as_json)
        if not as_json:
            return
    rows = zip(*(_joined(parts).tolist() for parts in columns.values()), strict=True)
    if as_json:
        frames_out = [dict(zip(columns, row, strict=True)) for row in rows]
        answer = {"schema": "vswitch.capture-index/1", **facts, "index": frames_out}
        click.echo(json.dumps(answer))
        return
    click.echo(f"{'frame':>8}{'offset':>14}{'captured':>10}{'wire':>10}  time (ns)")
    for number, (start, caplen, wirelen, ts_ns) in enumerate(rows, 1):
        click.echo(f"{number:>8}{start:>14}{caplen:>10}{wirelen:>10}  {ts_ns}")
    if not mapped:
        click.echo("offsets count within windows of the decompressed or piped bytes", err=True)


def _joined(parts: list[Any]) -> Any:
    import numpy as np

    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _save(output: str, columns: dict[str, list[Any]]) -> None:
    import io

    import numpy as np

    from pcaps.whole import write_whole

    buffer = io.BytesIO()
    np.savez(buffer, **{name: _joined(parts) for name, parts in columns.items()})
    write_whole(output, buffer.getvalue())
