"""One TCP segment as Python sees it: positions, flags, options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from migration.tcp.state_kernel import ACK, FIN, PSH, RST, SYN

_LETTERS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"))


@dataclass(frozen=True)
class Segment:
    """A segment between two endpoints.

    Positions are those of the streams: 0 is the SYN, 1 the first byte. The 32-bit
    numbers of the wire are the initial sequence number plus the position.

    Parameters
    ----------
    flags : int
        Control bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    seq : int
        Position of the first byte, or of SYN or FIN, in the sender's stream.
    size : int
        Payload, bytes.
    ack : int
        Position that the sender expects next of the other stream; means something with ACK only.
    window : int
        The window field, not scaled.
    mss : int
        Option of a SYN; 0: none.
    scale : int or None
        Option of a SYN.
    sack_ok : bool
        Option of a SYN.
    tsval, tsecr : int or None
        Timestamps; both None: none.
    sack : tuple of (int, int)
        SACK blocks: first position, and the one behind the last.
    again : int
        0: new; 1: sent again because of a timeout; 2: as a tail loss probe; 3: in recovery.
    probe : bool
        A keep-alive or window probe.
    """

    flags: int
    seq: int
    size: int = 0
    ack: int = 0
    window: int = 65535
    mss: int = 0
    scale: int | None = None
    sack_ok: bool = False
    tsval: int | None = None
    tsecr: int | None = None
    sack: tuple[tuple[int, int], ...] = field(default=())
    again: int = 0
    probe: bool = False

    @property
    def stop(self) -> int:
        """Position behind the segment: SYN and FIN count as one each."""
        return self.seq + self.size + bool(self.flags & SYN) + bool(self.flags & FIN)

    def __str__(self) -> str:
        """Write the segment as scripts have it."""
        words = [f"{kind_of(self.flags, self.size)} {self.seq}"]
        if self.size:
            words[0] += f"..{self.seq + self.size}"
        if self.flags & ACK:
            words.append(f"ack={self.ack}")
        words.append(f"win={self.window}")
        if self.flags & PSH:
            words.append("psh")
        if self.mss:
            words.append(f"mss={self.mss}")
        if self.scale is not None:
            words.append(f"scale={self.scale}")
        if self.sack_ok:
            words.append("sackok")
        if self.tsval is not None:
            words.append(f"ts={self.tsval}/{self.tsecr or 0}")
        if self.sack:
            words.append("sack=" + ",".join(f"{start}..{stop}" for start, stop in self.sack))
        if self.again:
            words.append(f"again={AGAIN[self.again]}")
        if self.probe:
            words.append("probe")
        return " ".join(words)


AGAIN = ("no", "timeout", "probe", "recovery")
"""Why a segment is sent again, by number."""

KINDS = {
    "SYN": SYN,
    "SYN-ACK": SYN | ACK,
    "ACK": ACK,
    "DATA": ACK,
    "FIN": FIN | ACK,
    "DATA-FIN": FIN | ACK,
    "RST": RST,
    "RST-ACK": RST | ACK,
    "SYN-RST": SYN | RST,
    "BARE": 0,
    "BARE-DATA": 0,
    "BARE-FIN": FIN,
}
"""Kinds of segments in scripts, and their flags but PSH; BARE ones lack ACK."""


def kind_of(flags: int, size: int) -> str:
    """Return the kind of a segment as scripts name it.

    Parameters
    ----------
    flags : int
    size : int
        Payload, bytes.

    Returns
    -------
    str
        One of :data:`KINDS`, or the names of all flags where none fits.
    """
    for kind, bits in KINDS.items():
        if bits == flags & ~PSH and ("DATA" in kind) == (size > 0):
            return kind
    return "-".join(name for bit, name in _LETTERS if flags & bit) + ("-DATA" if size else "")


def to_segment(row: Any) -> Segment:
    """Return a row of the pool of segments as a :class:`Segment`.

    Parameters
    ----------
    row : numpy.record
        ``SEGMENT``.

    Returns
    -------
    Segment
    """
    stamped = row["tsval"] >= 0
    return Segment(
        flags=int(row["flags"]), seq=int(row["seq"]), size=int(row["size"]), ack=int(row["ack"]),
        window=int(row["window"]), mss=int(row["mss"]),
        scale=int(row["scale"]) if row["scale"] >= 0 else None, sack_ok=bool(row["sack_ok"]),
        tsval=int(row["tsval"]) if stamped else None,
        tsecr=int(row["tsecr"]) if stamped else None,
        sack=tuple((int(start), int(stop)) for start, stop in row["sack"][: row["blocks"]]),
        again=int(row["again"]), probe=bool(row["probe"]),
    )  # fmt: skip


def fill_row(row: Any, segment: Segment) -> None:
    """Write a :class:`Segment` into a row of the pool of segments.

    Parameters
    ----------
    row : numpy.record
        ``SEGMENT``; its `sender` and `next` stay as they are.
    segment : Segment
    """
    row["flags"], row["seq"], row["size"] = segment.flags, segment.seq, segment.size
    row["ack"], row["window"], row["mss"] = segment.ack, segment.window, segment.mss
    row["scale"] = -1 if segment.scale is None else segment.scale
    row["sack_ok"] = segment.sack_ok
    row["tsval"] = -1 if segment.tsval is None else segment.tsval
    row["tsecr"] = segment.tsecr or 0
    row["blocks"] = len(segment.sack)
    for number, block in enumerate(segment.sack):
        row["sack"][number] = block
    row["again"], row["probe"] = segment.again, segment.probe
