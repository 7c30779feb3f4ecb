"""``vswitch chimney``: the command line of :mod:`nic.chimney_host`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from nic.chimney_connection import Connection
    from nic.chimney_host import ChimneyHost, Deliver

SCHEMA = "vswitch.chimney/1"
_FILE_WIDTH = 200
"""Columns of a report that does not go to a terminal: nothing is folded there."""

_EXAMPLES = """
\b
Examples:
  vswitch chimney capture.pcap                        every end is on the host
  vswitch chimney capture.pcap --vm 00:15:5d:00:00:01 --capacity 100
  vswitch chimney capture.pcap --mode automatic --link 10Gbps
  vswitch chimney capture.pcap --pause 1s --resume 2s  as before and after a live move
  vswitch chimney capture.pcap --connection 7         its steps and its state
  vswitch chimney capture.pcap -o streams             what went up, a file a connection

\b
Exit status: 0 done, 2 bad input.
"""


@click.command("chimney", epilog=_EXAMPLES)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option(
    "--vm", "vms", multiple=True, metavar="MAC",
    help="An end that is on the host; all ends by default.",
)  # fmt: skip
@click.option(
    "--vm-queue", "vm_queues", multiple=True, metavar="MAC",
    help="A vNIC that has a VM queue, and therefore no chimney.",
)  # fmt: skip
@click.option(
    "--mode", default="enabled", show_default=True,
    help="enabled: as soon as the state allows; automatic: near, fast and large connections; disabled.",
)  # fmt: skip
@click.option("--link", default="10Gbps", show_default=True, help="Rate of the link.")
@click.option("--max-rtt", default="20ms", show_default=True, help="Round trip, automatic mode.")
@click.option("--after", default="130KB", show_default=True, help="Exchanged, automatic mode.")
@click.option(
    "--capacity", type=int, default=1024, show_default=True, help="Connections of the adapter."
)
@click.option("--ipsec", multiple=True, metavar="NETWORK", help="Peers with IPsec.")
@click.option("--nlb", multiple=True, metavar="NETWORK", help="Own addresses of load balancing.")
@click.option("--cluster", multiple=True, metavar="NETWORK", help="Peers of the cluster's own.")
@click.option("--nat", is_flag=True, help="The host translates addresses.")
@click.option("--team", is_flag=True, help="The adapter is in a team.")
@click.option(
    "--buffer", default="64KiB", show_default=True, help="Posted receive buffers; 0 = none."
)
@click.option(
    "--offload-time", default="100us", show_default=True, help="Time that an offload takes."
)
@click.option(
    "--upload-time", default="100us", show_default=True, help="Time that an upload takes."
)
@click.option("--pause", metavar="TIME", help="Upload all, so long after the first frame.")
@click.option("--resume", metavar="TIME", help="Offload again, so long after the first frame.")
@click.option(
    "--ask", "asks", multiple=True, metavar="REASON=LIMIT",
    help="When the adapter asks for an upload: drop-rate, fragmentation, out-of-order (shares), idle (time), unposted (indications), small-io (bytes).",
)  # fmt: skip
@click.option(
    "--ignore-vlan", is_flag=True, help="Equal ends in different VLANs are one connection."
)
@click.option(
    "-o", "--output", metavar="DIR", help="Write what went up there, a file a connection."
)
@click.option(
    "--connection", "number", type=click.IntRange(1), metavar="N", help="Only connection N."
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Stop after N frames.")
@click.option("--strict", is_flag=True, help="A damaged capture is an error.")
@click.option("--all", "show_all", is_flag=True, help="List every connection.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def chimney(
    captures: tuple[str, ...], output: str | None, number: int | None, limit: int | None,
    strict: bool, show_all: bool, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Offload the TCP connections of captures to the adapter, as 2008 R2 can.

    Each end of a connection that is on the host is offloaded when its state and the
    policy allow. The adapter then does its TCP: data goes up in order and by the
    buffer, acknowledgments are consumed, and the host is asked far less often.
    """
    from nic.chimney_report import connection_to_dict, totals
    from pcaps.cli_make import compiling

    with compiling(), _streams(output) as deliver:
        host = _run(captures, deliver, limit, strict, asked)
    if not host.connections:
        raise BadInput("the captures hold no TCP segment of an end on the host; check --vm")
    if number is not None and number > len(host.connections):
        raise BadInput(
            f"there is no connection {number}; there are {len(host.connections)}, from 1"
        )
    if as_json:
        shown = host.connections if number is None else [host.connections[number - 1]]
        rows = [connection_to_dict(one) for one in shown]
        answer = {"schema": SCHEMA, "captures": captures, "totals": totals(host)}
        click.echo(json.dumps({**answer, "connections": rows}, indent=2))
    else:
        _show(host, number, show_all)


def _run(
    captures: tuple[str, ...], deliver: Deliver, limit: int | None, strict: bool,
    asked: dict[str, Any],
) -> ChimneyHost:  # fmt: skip
    from pcaps.capture import open as open_capture
    from pcaps.quantities import parse_duration_ns

    host = _host(deliver, asked)
    pause, resume = asked["pause"], asked["resume"]
    if resume is not None and pause is None:
        raise BadInput("--resume ends a pause; give --pause too")
    for path in captures:
        with open_capture(path, strict=strict, limit=limit) as capture:
            for frames in capture:
                if pause is not None and len(frames):
                    begin = int(frames.ts_ns[0])
                    again = None if resume is None else begin + parse_duration_ns(resume)
                    host.schedule(begin + parse_duration_ns(pause), again)
                    pause = None
                host.add([frames])
        if limit is not None:
            limit -= capture.frames
        if capture.damage is not None:
            click.echo(f"note: {path}: {capture.damage.message}", err=True)
    host.finish()
    return host


def _host(deliver: Deliver, asked: dict[str, Any]) -> ChimneyHost:
    from nic.chimney import Chimney
    from nic.chimney_host import ChimneyHost
    from nic.chimney_settings import Capacity, Conditions, Policy
    from pcaps.addresses import mac_to_key
    from pcaps.quantities import parse_bytes, parse_duration_ns, parse_rate

    conditions = Conditions(
        vm_queues=frozenset(map(mac_to_key, asked["vm_queues"])), ipsec=asked["ipsec"],
        nlb=asked["nlb"], cluster=asked["cluster"], nat=asked["nat"], team=asked["team"],
    )  # fmt: skip
    policy = Policy(
        mode=asked["mode"], link_bps=int(8 * parse_rate(asked["link"]).bytes_per_s),
        max_rtt_ns=parse_duration_ns(asked["max_rtt"]), min_bytes=parse_bytes(asked["after"]),
        offload_ns=parse_duration_ns(asked["offload_time"]),
        upload_ns=parse_duration_ns(asked["upload_time"]),
        buffer_bytes=parse_bytes(asked["buffer"]), conditions=conditions,
    )  # fmt: skip
    local = frozenset(map(mac_to_key, asked["vms"])) or None
    return ChimneyHost(
        Chimney(Capacity(tcp_entries=asked["capacity"]), _thresholds(asked["asks"])), policy,
        local=local, deliver=deliver, by_vlan=not asked["ignore_vlan"],
    )  # fmt: skip


def _thresholds(asks: tuple[str, ...]) -> Any:
    from nic.chimney_settings import Thresholds
    from pcaps.quantities import parse_bytes, parse_duration_ns

    read = {
        "drop-rate": float, "fragmentation": float, "out-of-order": float,
        "idle": parse_duration_ns, "unposted": int, "small-io": parse_bytes,
    }  # fmt: skip
    names = {"idle": "idle_ns", "small-io": "small_io_bytes"}
    found: dict[str, Any] = {}
    for ask in asks:
        name, _, value = ask.partition("=")
        if name not in read:
            raise BadInput(f"--ask '{ask}': there is no reason '{name}'; use {', '.join(read)}")
        try:
            found[names.get(name, name.replace("-", "_"))] = read[name](value)  # type: ignore[operator]
        except ValueError:
            raise BadInput(f"--ask '{ask}': '{value}' is not a number; write {name}=0.1") from None
    return Thresholds(**found)


@contextmanager
def _streams(directory: str | None) -> Iterator[Deliver]:
    """Yield what takes the connections' data: nothing, or files."""
    if directory is None:
        yield lambda connection, data: None
        return
    from pathlib import Path

    from pcaps.whole import cannot_write

    place = Path(directory)
    begun: set[int] = set()

    def write(connection: Connection, data: bytes) -> None:
        mode = "ab" if connection.number in begun else "wb"
        begun.add(connection.number)
        with (place / f"connection-{connection.number}.bin").open(mode) as file:
            file.write(data)

    try:
        place.mkdir(parents=True, exist_ok=True)
        yield write
    except OSError as error:
        raise cannot_write(place, error) from error


def _show(host: ChimneyHost, number: int | None, show_all: bool) -> None:
    from rich.console import Console

    from nic import chimney_report

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    if number is not None:
        chimney_report.show_connection(console, host.connections[number - 1])
        return
    chimney_report.show_table(console, host, None if show_all else chimney_report.TOP)
    for line in chimney_report.summary_lines(chimney_report.totals(host)):
        console.print(line)
