"""What tshark says of TCP in a capture: what was sent again, and what is wrong.

A capture with several interfaces shows one segment several times, and tshark takes every
copy after the first for a retransmission. :func:`interface` writes the frames of one
interface into a capture of their own; the other functions are for such captures.

The families of retransmissions are tshark's: what it can tell from sequence numbers and times
alone. A tail probe with old data and a segment sent again after a timeout are both
``retransmission``. Ask of the interface where the sender is: elsewhere a segment may come back
as ``out_of_order``, or for the first time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tshark import fields, said

AGAIN = ("retransmission", "out_of_order", "fast_retransmission", "spurious_retransmission")
"""Families of data that was sent before; a frame of the later two is one of the first as well.

At the sender's own device nothing is reordered: what tshark calls out of order there was sent
again within 3 ms of newer data.
"""
FAULTS = {
    "ip.checksum.status == 0": "wrong IPv4 checksum",
    "tcp.checksum.status == 0": "wrong TCP checksum",
    "tcp.analysis.lost_segment": "a segment before it was not captured",
    "tcp.analysis.ack_lost_segment": "acknowledges what was not captured",
    "_ws.malformed": "malformed",
}


class Again(NamedTuple):
    """Data that was sent before: when, ns since 1970, and tshark's family."""

    ts_ns: int
    family: str


@dataclass(frozen=True)
class Fault:
    """A frame that is wrong, and how."""

    frame: int
    about: str


def interfaces(path: Path) -> dict[str, int]:
    """Return the names of the interfaces that have frames, and how many."""
    return dict(Counter(name for (name,) in fields(path, "frame.interface_name")))


def interface(path: Path, name: str, target: Path) -> Path:
    """Write the frames of one interface into a capture of their own.

    Parameters
    ----------
    path : Path
        A pcapng with several interfaces.
    name : str
        One of them.
    target : Path
        The file to write.

    Returns
    -------
    Path
        `target`.
    """
    said(path, "-Y", f'frame.interface_name == "{name}"', "-w", str(target))
    return target


def retransmissions(path: Path, source: str) -> dict[int, list[Again]]:
    """Return what a station sent that it had sent before.

    Parameters
    ----------
    path : Path
        A capture of one interface.
    source : str
        IP address of the station.

    Returns
    -------
    dict of int to list of Again
        By number of tshark's stream, in order of time. A frame counts once, in its most
        telling family.
    """
    names = [f"tcp.analysis.{family}" for family in AGAIN]
    side = "ipv6.src" if ":" in source else "ip.src"
    rows = fields(
        path, "tcp.stream", "frame.time_epoch", *names,
        only=f"({' || '.join(names)}) && {side} == {source}",
    )  # fmt: skip
    found: dict[int, list[Again]] = defaultdict(list)
    for stream, epoch, *marks in rows:
        seconds, _, rest = epoch.partition(".")
        family = max(n for n, mark in enumerate(marks) if mark)
        ts_ns = int(seconds) * 1_000_000_000 + int(rest.ljust(9, "0")[:9])
        found[int(stream)].append(Again(ts_ns, AGAIN[family]))
    return dict(found)


def faults(path: Path) -> list[Fault]:
    """Return what is wrong in a capture: checksums, sequence numbers, headers.

    Parameters
    ----------
    path : Path
        A capture of one interface, whole frames.

    Returns
    -------
    list of Fault
        In order of frames; empty for a sound capture in which nothing was lost before
        the place of capture.
    """
    found = [
        Fault(int(number), about)
        for condition, about in FAULTS.items()
        for (number,) in fields(path, "frame.number", only=condition)
    ]
    return sorted(found, key=lambda fault: fault.frame)
