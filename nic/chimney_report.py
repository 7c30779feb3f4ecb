"""A host with chimney for people and for programs: totals, a table, one connection's steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from nic.chimney_connection import Connection, Work
from nic.chimney_host import ChimneyHost
from pcaps.addresses import key_to_mac

if TYPE_CHECKING:
    from rich.console import Console

TOP = 40
"""Rows of the table unless all are asked for."""


def connection_to_dict(connection: Connection) -> dict[str, Any]:
    """Return a connection as in ``vswitch chimney --json``.

    Parameters
    ----------
    connection : Connection
        Any.

    Returns
    -------
    dict
        JSON types only.
    """
    ends, status = connection.ends, connection.status
    return {
        "number": connection.number,
        "first_frame": connection.first_frame,
        "vlan": ends.vlan,
        "local": {
            "mac": key_to_mac(ends.mac), "ip": str(ip_address(ends.address)), "port": ends.port,
        },
        "remote": {
            "mac": key_to_mac(ends.peer_mac), "ip": str(ip_address(ends.peer_address)),
            "port": ends.peer_port,
        },
        "state": connection.state.value,
        "phase": connection.phase.value,
        "offloaded": connection.offloaded,
        "why_not": None if connection.why_not is None else connection.why_not.value,
        "initiate": None if status is None else {
            "status": status.status.value, "neighbor": status.neighbor.value,
            "path": status.path.value, "tcp": status.tcp.value,
        },
        "upload": None if connection.upload is None else connection.upload.value,
        "received_bytes": connection.work.host_bytes + connection.work.adapter_bytes,
        "missing_bytes": connection.missing,
        "cut_bytes": connection.cut,
        "retransmissions": connection.retransmissions,
        "out_of_order": connection.out_of_order,
        **_work(connection.work),
        "log": [
            {"ts_ns": step.ts_ns, "event": step.event.value, "phase": step.phase.value,
             "why": step.why}
            for step in connection.log
        ],
    }  # fmt: skip


def _work(work: Work) -> dict[str, int]:
    return {**asdict(work), "host_events": work.host_events}


def totals(host: ChimneyHost) -> dict[str, Any]:
    """Return the sums over connections.

    Parameters
    ----------
    host : ChimneyHost
        When the captures are read and it has finished.

    Returns
    -------
    dict
        JSON types only; ``segments`` is what the host would have processed without.
    """
    work = Work()
    for connection in host.connections:
        work.add(connection.work)
    offloaded = [one for one in host.connections if one.offloaded]
    stayed = [one.why_not.value for one in host.connections if not one.offloaded and one.why_not]
    failed = [
        one.status.tcp.value for one in host.connections if one.status and not one.status.entry
    ]
    uploads = [one.upload.value for one in host.connections if one.upload]
    return {
        "frames": host.frames,
        "other_frames": host.other_frames,
        "joined_fragments": host.fragments,
        "connections": len(host.connections),
        "offloaded": len(offloaded),
        "at_once_most": host.most_at_once,
        "stayed": dict(Counter(stayed)),
        "initiate_failed": dict(Counter(failed)),
        "uploaded": dict(Counter(uploads)),
        "segments": work.host_segments + work.adapter_segments,
        **_work(work),
    }


def summary_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Yield what there is to say in all.

    Parameters
    ----------
    answer : dict
        As from :func:`totals`.

    Yields
    ------
    str
        One line each.
    """

    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))

    segments, events = answer["segments"], answer["host_events"]
    yield (
        f"{answer['connections']:,} connections (ends on the host) in {answer['frames']:,} frames: "
        f"{answer['offloaded']:,} offloaded, {answer['at_once_most']:,} at most at a time"
    )
    for label, key in (("stayed with the host", "stayed"), ("initiate failed", "initiate_failed"),
                       ("uploaded", "uploaded")):  # fmt: skip
        if answer[key]:
            yield f"{label}: {listed(answer[key])}"
    yield (
        f"segments {segments:,}: adapter {answer['adapter_segments']:,}, "
        f"host {answer['host_segments']:,}; {answer['queued']:,} waited while an offload or upload "
        "was under way"
    )
    yield (
        f"by way of the adapter {answer['adapter_bytes']:,} bytes in {answer['buffers']:,} buffers; "
        f"{answer['acks_consumed']:,} ACKs consumed, {answer['acks_made']:,} made"
    )
    share = events / segments if segments else 0.0
    yield (
        f"the host is asked {events:,} times instead of {segments:,} ({share:.0%}): "
        "its segments, forwarded ones, buffers, writes"
    )


def show_table(console: Console, host: ChimneyHost, top: int | None) -> None:
    """Print a table of the connections.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    host : ChimneyHost
        Finished.
    top : int or None
        Most rows; None = all.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("#", "right"), ("end on the host, peer", "left"), ("VLAN", "right"), ("state", "left"),
        ("by adapter", "right"), ("by host", "right"), ("bytes up", "right"), ("buffers", "right"),
        ("what became of it", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name != "what became of it")  # type: ignore[arg-type]
    for one in host.connections[:top]:
        work = one.work
        table.add_row(
            str(one.number), str(one.ends), str(one.ends.vlan or "-"), one.state.value,
            f"{work.adapter_segments:,}", f"{work.host_segments:,}",
            f"{work.host_bytes + work.adapter_bytes:,}", f"{work.buffers:,}", _fate(one),
        )  # fmt: skip
    console.print(table)
    if top is not None and len(host.connections) > top:
        console.print(f"and {len(host.connections) - top:,} more; --all shows them")


def _fate(connection: Connection) -> str:
    if connection.offloaded:
        return f"uploaded: {connection.upload.value}" if connection.upload else "offloaded"
    if connection.status is not None and connection.status.entry is None:
        return f"initiate failed: {connection.status.tcp.value}"
    return f"host: {connection.why_not.value}" if connection.why_not else "host"


def show_connection(console: Console, connection: Connection) -> None:
    """Print one connection: its steps, and the state that was handed over last.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    connection : Connection
        Any.
    """
    console.print(f"connection {connection.number}: {connection.ends}, {connection.state.value}")
    console.print(f"first frame {connection.first_frame}, {_fate(connection)}")
    begin = connection.log[0].ts_ns if connection.log else 0
    for step in connection.log:
        why = f"  {step.why}" if step.why else ""
        console.print(f"  {(step.ts_ns - begin) / 1e9:>12.6f} s  {step.event.value:<20} -> {step.phase.value}{why}")  # fmt: skip
    work = ", ".join(f"{name} {value:,}" for name, value in _work(connection.work).items())
    console.print(f"work: {work}")
    entry = connection.entry
    kept_by = "host" if entry is None else "adapter"
    state = (connection.control if entry is None else entry.control).delegate()
    console.print(f"delegated variables, now with the {kept_by}:")
    for name, value in asdict(state).items():
        shown = (
            f"{sum(len(b) for _, b in value):,} bytes" if name == "buffered_data" else str(value)
        )
        console.print(f"  {name:<26} {shown}")
