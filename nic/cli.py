"""``vswitch nic``: single functions of the adapter, apart from a switch."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from nic.rss import Rss

SCHEMA = "vswitch.nic-rss/1"
SURVEY_SCHEMA = "vswitch.nic-offloads/1"

_RSS = """
\b
Examples:
  vswitch nic rss --src 66.9.149.187:2794 --dst 161.142.100.80:1766
  vswitch nic rss --src '[3ffe:2501:200:1fff::7]:2794' --dst '[3ffe:2501:200:3::1]:1766' --queues 4
  vswitch nic rss capture.pcap --queues 8
  vswitch nic rss capture.pcap --types ipv4,ipv6 --json | jq '.queues[].frames'
"""

_OFFLOADS = """
\b
Examples:
  vswitch nic offloads capture.pcap
  vswitch nic offloads capture.pcap --jumbo-packet 9014 --mtu 9000
  vswitch nic offloads capture.pcap --json | jq .rsc.ended
"""


@click.group()
def nic() -> None:
    """Single functions of the adapter, apart from a switch."""


@nic.command(epilog=_RSS)
@click.argument("captures", nargs=-1, metavar="[CAPTURE...]")
@click.option("--src", metavar="ADDRESS[:PORT]", help="Source of one connection.")
@click.option("--dst", metavar="ADDRESS[:PORT]", help="Destination of one connection.")
@click.option("--queues", type=int, default=4, show_default=True, help="Receive queues.")
@click.option(
    "--table", "size", type=int, metavar="N",
    help="Entries of the indirection table, a power of two.  [default: 128]",
)  # fmt: skip
@click.option("--key", metavar="HEX", help="Secret key, 40 bytes; the published one by default.")
@click.option(
    "--types",
    metavar="LIST",
    help="What is hashed: ipv4, tcp-ipv4, udp-ipv4, ipv6, tcp-ipv6, udp-ipv6; all but udp by default.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Only the first N frames.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rss(
    captures: tuple[str, ...], src: str | None, dst: str | None, queues: int, size: int | None,
    key: str | None, types: str | None, limit: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Tell which receive queue RSS chooses: for one connection, or for captures.

    The Toeplitz hash of addresses and ports chooses an entry of the indirection
    table, the entry a queue. The table names the queues in turn, as a host fills
    it at first.
    """
    if bool(captures) == bool(src or dst):
        raise BadInput("name captures, or one connection by --src and --dst")
    if not captures and not (src and dst):
        raise BadInput("one connection needs both --src and --dst")
    settings = _settings(queues, size, key, types)
    if captures:
        _show_captures(captures, settings, limit, as_json)
    else:
        _show_connection(str(src), str(dst), settings, as_json)


def _settings(queues: int, size: int | None, key: str | None, types: str | None) -> Rss:
    from nic.rss import DEFAULT_KEY, DEFAULT_TYPES, TABLE_SIZE, Rss, hash_types

    try:
        secret = DEFAULT_KEY if key is None else bytes.fromhex(key.replace(":", ""))
    except ValueError:
        raise BadInput(f"--key '{key}' is not hexadecimal; give 80 digits") from None
    chosen = DEFAULT_TYPES if types is None else hash_types(types.split(","))
    return Rss.over(queues, size=TABLE_SIZE if size is None else size, key=secret, types=chosen)


def _endpoint(text: str) -> tuple[Any, int | None]:
    """Read an address, and a port if there is one."""
    from ipaddress import ip_address

    found = re.fullmatch(r"\[(?P<six>[^]]+)\](:(?P<p6>\d+))?|(?P<four>[\d.]+)(:(?P<p4>\d+))?", text)
    address = text if found is None else found["six"] or found["four"]
    port = None if found is None else found["p6"] or found["p4"]
    try:
        if port is not None and int(port) > 65535:
            raise ValueError
        return ip_address(address), None if port is None else int(port)
    except ValueError:
        raise BadInput(
            f"'{text}' is not an address; write 10.0.0.1, 10.0.0.1:80 or [2001:db8::1]:80"
        ) from None


def _show_connection(src: str, dst: str, settings: Rss, as_json: bool) -> None:
    (source, source_port), (destination, destination_port) = _endpoint(src), _endpoint(dst)
    if (source_port is None) != (destination_port is None):
        raise BadInput("give both ports, or none")
    hashes = {"addresses": settings.hash_of(source, destination)}
    if source_port is not None and destination_port is not None:
        ports = source_port, destination_port
        hashes["addresses-and-ports"] = settings.hash_of(source, destination, ports)
    rows = [
        {
            "of": name,
            "hash": f"0x{value:08x}",
            "entry": value & (len(settings.table) - 1),
            "queue": settings.queue_of(value),
        }
        for name, value in hashes.items()
    ]
    if as_json:
        click.echo(
            json.dumps({"schema": SCHEMA, "source": src, "destination": dst, "hashes": rows})
        )
        return
    for row in rows:
        click.echo(f"{row['of']:<20} {row['hash']}  entry {row['entry']:>3}  queue {row['queue']}")


def _show_captures(
    captures: tuple[str, ...], settings: Rss, limit: int | None, as_json: bool
) -> None:
    import numpy as np

    from nic.rss import HashType
    from pcaps.capture import open as open_capture
    from pcaps.cli_make import compiling

    queues = settings.queues
    frames, wire = np.zeros(queues, np.int64), np.zeros(queues, np.int64)
    by_type = np.zeros(64, np.int64)
    with compiling():
        for path in captures:
            with open_capture(path, limit=limit) as capture:
                for batch in capture:
                    spread = settings.spread(batch)
                    frames += np.bincount(spread.queue, minlength=queues)
                    wire += np.bincount(
                        spread.queue, weights=batch.wirelen, minlength=queues
                    ).astype(np.int64)
                    by_type += np.bincount(spread.type, minlength=64)
            if limit is not None:
                limit -= capture.frames
            if capture.damage is not None:
                click.echo(f"note: {path}: {capture.damage.message}", err=True)
    names = {HashType(0): "none"} | {one: one.label for one in HashType}
    types = {label: int(by_type[one]) for one, label in names.items() if by_type[one]}
    total = int(frames.sum())
    if as_json:
        rows = [
            {"queue": number, "frames": int(frames[number]), "bytes_wire": int(wire[number])}
            for number in range(queues)
        ]
        answer = {"schema": SCHEMA, "captures": captures, "frames": total, "types": types}
        click.echo(json.dumps({**answer, "queues": rows}))
        return
    widest = max(1, int(frames.max()))
    for number in range(queues):
        share = frames[number] / max(1, total)
        bar = "█" * round(24 * int(frames[number]) / widest)
        click.echo(f"queue {number:<4}{frames[number]:>12,} frames{wire[number]:>16,} bytes  {share:>6.1%}  {bar}")  # fmt: skip
    click.echo("hashed by " + ", ".join(f"{name} {count:,}" for name, count in types.items()))


@nic.command(epilog=_OFFLOADS)
@click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...")
@click.option(
    "--jumbo-packet", type=click.IntRange(1514, 65535), default=1514, show_default=True,
    help="Longest frame that the adapter takes, with its 14-byte header.",
)  # fmt: skip
@click.option("--mtu", type=int, default=1500, show_default=True, help="Size that LSO cuts to.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Only the first N frames.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def offloads(
    captures: tuple[str, ...], jumbo_packet: int, mtu: int, limit: int | None, as_json: bool
) -> None:
    """Tell what each offload of an adapter would do with the frames of captures.

    Checksums, VLAN tags, jumbo frames and RSC as if the frames were received, LSO and
    checksums as if they were sent.
    """
    from nic.lso import Lso
    from nic.rsc import Rsc
    from nic.survey import Survey
    from pcaps.capture import open as open_capture
    from pcaps.cli_make import compiling

    survey = Survey(jumbo_packet, Lso(mtu=mtu), Rsc())
    with compiling():
        for path in captures:
            with open_capture(path, limit=limit) as capture:
                survey.add(capture)
            if limit is not None:
                limit -= capture.frames
            if capture.damage is not None:
                click.echo(f"note: {path}: {capture.damage.message}", err=True)
    answer = survey.to_dict()
    if as_json:
        click.echo(json.dumps({"schema": SURVEY_SCHEMA, "captures": captures, **answer}))
        return
    for line in _offload_lines(answer):
        click.echo(line)


def _offload_lines(answer: dict[str, Any]) -> list[str]:
    """Return what the survey found, for people."""

    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "none"

    marks, lso, rsc = answer["checksum"]["received"], answer["lso"], answer["rsc"]
    return [
        f"frames     {answer['frames']:,}",
        f"checksum   received: {listed(marks)}",
        f"           sent: {answer['checksum']['sent_changed']:,} frames get another sum",
        f"VLAN       {answer['vlan']['tags_taken_off']:,} tags taken off",
        f"jumbo      {answer['jumbo']['too_long']:,} frames longer than {answer['jumbo']['jumbo_packet']:,} bytes",
        f"LSO        {lso['cut']:,} frames cut into {lso['segments']:,}; not cut: {listed(lso['kept'])}",
        f"RSC        {rsc['joined']:,} segments joined to {rsc['units']:,}, {rsc['handed_up']:,} frames handed up",
        f"           units ended by {listed(rsc['ended'])}",
    ]
