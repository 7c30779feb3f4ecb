"""TCP sessions of captures, ready to be run again.

Guarantees
----------
* Sessions are numbered from 1 in the order of their first frames.
* One session is one connection, also where a 5-tuple was used again.
* What the capture does not show is said by flags, never filled in silently.

The work is done on columns (:mod:`migration.streams`, :mod:`migration.turns`); a
:class:`Session` is made when it is asked for, its streams when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from migration.fingerprint import guess_stack
from migration.marks import PARTIAL, Marks
from migration.segments import Segments, read_segments
from migration.segments_kernel import HAS_SACK, HAS_TIMESTAMPS, NO_SCALE
from migration.streams import Streams, rebuild
from migration.turns import Turns, turns_of
from migration.turns_kernel import scale_of
from pcaps.capture import Capture
from pcaps.capture import open as open_capture
from pcaps.errors import BadInput
from pcaps.frames import Frames

_SEGMENT_SIZES = (536, 1220, 1448, 1460, 8948, 8960)


@dataclass(frozen=True, eq=False)
class Side:
    """One end of a session.

    Parameters
    ----------
    mac : int
        MAC address as a key.
    ip : bytes
        4 or 16 bytes.
    port : int
        TCP port.
    isn : int
        Initial sequence number; the number before the first one seen where the SYN
        was not captured.
    mss : int
        Largest segment that it takes, in bytes: as its SYN said, else guessed.
    wscale : int or None
        Shift of its windows; None when it offered none.
    sack, timestamps : bool
        Whether it offered them, or used them where its SYN was not captured.
    ts_first : int
        Its first timestamp value.
    ttl : int
        As captured.
    window : int
        Largest window that it offered, in bytes.
    stack : str
        ``linux``, ``windows-2008r2`` or ``rfc``: a guess.
    size : int
        Bytes that it sent, retransmissions not counted.
    lost_bytes, cut_bytes : int
        Of these: never captured; cut off by the snap length.
    frames : int
        Frames that it sent.
    retransmissions, out_of_order, duplicate_acks, keepalives, window_probes, stray : int
        The capture's own trouble, in segments; none of it is replayed.
    superframes : int
        Frames longer than a segment: captured above segmentation offload.
    """

    mac: int
    ip: bytes
    port: int
    isn: int
    mss: int
    wscale: int | None
    sack: bool
    timestamps: bool
    ts_first: int
    ttl: int
    window: int
    stack: str
    size: int
    lost_bytes: int
    cut_bytes: int
    frames: int
    retransmissions: int
    out_of_order: int
    duplicate_acks: int
    keepalives: int
    window_probes: int
    stray: int
    superframes: int
    _streams: Streams = field(repr=False)
    _row: int = field(repr=False)

    @cached_property
    def stream(self) -> npt.NDArray[np.uint8]:
        """The bytes that this side sent, ``uint8[size]``; unseen ones are payload text."""
        return self._streams.stream(self._row // 2, self._row % 2)

    @property
    def address(self) -> str:
        """IP address and port as people write them."""
        from ipaddress import ip_address

        text = str(ip_address(self.ip))
        return f"{text}:{self.port}" if len(self.ip) == 4 else f"[{text}]:{self.port}"


@dataclass(frozen=True, eq=False)
class Session:
    """One TCP connection of a capture.

    Parameters
    ----------
    number : int
        From 1.
    client, server : Side
        Its ends.
    tags : tuple of (int, int)
        TPID and TCI of the first frame's tags, the outer one first.
    first_frame : int
        Number of its first frame, from 1 through all captures.
    start_ns, end_ns : int
        First frame; latest time.
    turns : numpy.ndarray
        ``TURN[n]``, see :data:`migration.turns_kernel.TURN`.
    flags : frozenset of str
        Of :data:`migration.marks.FLAGS`.
    established : bool
        Whether both ends spoke behind the handshake.
    client_rtt_ns, server_rtt_ns : int or None
        Round trip between the place of the capture and each end, where it shows.
    rtt_ns : int
        The whole round trip, or the default where it does not show.
    frames : int
        Frames of both sides.
    """

    number: int
    client: Side
    server: Side
    tags: tuple[tuple[int, int], ...]
    first_frame: int
    start_ns: int
    end_ns: int
    turns: npt.NDArray[np.void]
    flags: frozenset[str]
    established: bool
    client_rtt_ns: int | None
    server_rtt_ns: int | None
    rtt_ns: int
    frames: int

    @property
    def vlan(self) -> str:
        """VIDs, the outer one first, such as ``10.20``; ``-`` when untagged."""
        return ".".join(str(tci & 0xFFF) for _, tci in self.tags) or "-"

    @property
    def partial(self) -> bool:
        """Whether a part of it was not captured."""
        return bool(self.flags & PARTIAL)

    @property
    def retransmissions(self) -> int:
        """Retransmitted segments of both sides."""
        return self.client.retransmissions + self.server.retransmissions

    @property
    def lost_bytes(self) -> int:
        """Bytes of both streams that were never captured."""
        return self.client.lost_bytes + self.server.lost_bytes

    def side_of(self, mac: int) -> Side | None:
        """Return the end that a station is.

        Parameters
        ----------
        mac : int
            MAC address as a key.

        Returns
        -------
        Side or None
            None when it is neither.
        """
        return next((side for side in (self.client, self.server) if side.mac == mac), None)


class Sessions:
    """The sessions of captures, in the order of their first frames.

    Made by :func:`find_sessions`. A session is made anew each time it is asked for.

    Parameters
    ----------
    streams : Streams
        Sessions and streams as columns.
    turns : Turns
        Their turns.
    default_rtt_ns : int
        Round trip where the capture tells none.
    """

    def __init__(self, streams: Streams, turns: Turns, default_rtt_ns: int) -> None:
        self.streams, self._turns, self._default_rtt_ns = streams, turns, default_rtt_ns
        self._marks = Marks(streams)

    @property
    def segments(self) -> Segments:
        """What was read: segments, frames, malformed frames."""
        return self.streams.segments

    @property
    def by_vlan(self) -> bool:
        """Whether equal 5-tuples in different VLANs are different sessions."""
        return self.segments.by_vlan

    def __len__(self) -> int:
        return len(self.streams.sessions)

    def __iter__(self) -> Iterator[Session]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, place: int) -> Session:
        row = int(self.streams.order[place])
        about = _record(self.streams.sessions, row)
        flow = _record(self.segments.flows, about["flow"])
        ends = [_record(self.streams.sides, 2 * row + x) for x in range(2)]
        client, timing = int(about["client"]), self._turns.timings[row]
        known = [int(timing[name]) for name in ("client_rtt_ns", "server_rtt_ns")]
        halves = [value if value >= 0 else None for value in known]
        rtt = sum(value for value in halves if value is not None)
        return Session(
            number=int(place) % len(self) + 1,
            client=self._side(row, client, flow, ends),
            server=self._side(row, 1 - client, flow, ends),
            tags=tuple((flow[t] >> 16, flow[t] & 0xFFFF) for t in ("outer", "inner") if flow[t]),
            first_frame=about["first_frame"],
            start_ns=about["start_ns"],
            end_ns=about["end_ns"],
            turns=self._turns.of(row),
            flags=self._marks.of(row, about, ends),
            established=bool(about["established"]),
            client_rtt_ns=halves[0],
            server_rtt_ns=halves[1],
            rtt_ns=self._default_rtt_ns if halves == [None, None] else rtt,
            frames=about["count"],
        )

    def of_vm(self, mac: int) -> list[Session]:
        """Return the sessions that a station takes part in.

        Parameters
        ----------
        mac : int
            MAC address as a key.

        Returns
        -------
        list of Session
            In order.
        """
        flows = self.segments.flows
        own = (flows["mac"] == np.uint64(mac)) | (flows["peer_mac"] == np.uint64(mac))
        chosen = own[self.streams.sessions["flow"][self.streams.order]]
        return [self[int(place)] for place in np.flatnonzero(chosen)]

    def stations(self) -> list[tuple[int, int]]:
        """Return the stations and how many established sessions each has, busiest first.

        Returns
        -------
        list of (int, int)
            MAC address as a key, sessions; equally busy ones in order of address.
        """
        about = self.streams.sessions
        flows = self.segments.flows[about["flow"][about["established"] == 1]]
        macs, counts = np.unique(
            np.concatenate([flows["mac"], flows["peer_mac"]]), return_counts=True
        )
        pairs = zip(macs.tolist(), counts.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def _side(self, row: int, x: int, flow: Any, ends: Any) -> Side:
        side, peer = ends[x], ends[1 - x]
        which = "peer_" if x else ""
        high, low = flow[f"{which}high"], flow[f"{which}low"]
        seen = side["syns"] > 0
        options = side["options"] if seen else side["seen_options"]
        scale = int(scale_of(*self.streams.sides[[2 * row + x, 2 * row + 1 - x]]))
        offered = seen and side["scale"] != NO_SCALE
        absent = (seen and not offered) or (peer["syns"] and peer["scale"] == NO_SCALE)
        version = flow["version"]
        return Side(
            mac=flow[f"{which}mac"],
            ip=low.to_bytes(4, "big") if version == 4 else (high << 64 | low).to_bytes(16, "big"),
            port=flow[f"{which}port"],
            isn=side["isn"],
            mss=_mss(side, peer, version),
            wscale=side["scale"] if offered else None if absent else scale,
            sack=bool(options & HAS_SACK),
            timestamps=bool(options & HAS_TIMESTAMPS),
            ts_first=side["ts_first"],
            ttl=side["ttl"],
            window=max(side["top_window"] << scale, side["first_window"]),
            stack=guess_stack(side["ttl"], side["order"]) if seen else "rfc",
            size=side["size"],
            lost_bytes=side["lost"],
            cut_bytes=side["cut"],
            frames=side["frames"],
            retransmissions=side["retransmissions"],
            out_of_order=side["out_of_order"],
            duplicate_acks=side["duplicate_acks"],
            keepalives=side["keepalives"],
            window_probes=side["window_probes"],
            stray=side["stray"],
            superframes=self._superframes(row, x, _mss(peer, side, version)),
            _streams=self.streams,
            _row=2 * row + x,
        )

    def _superframes(self, row: int, x: int, mss: int) -> int:
        """Count the frames of a side that hold more than one segment."""
        if int(self.streams.sides[2 * row + x]["largest"]) <= mss:
            return 0
        about = self.streams.sessions[row]
        own = self.segments.rows[about["first"] : about["first"] + about["count"]]
        return int(np.count_nonzero((own["side"] == x) & (own["length"] > mss)))


def _record(rows: npt.NDArray[np.void], number: int) -> dict[str, Any]:
    """Return a row as Python values by name."""
    return dict(zip(rows.dtype.names or (), rows[number].item(), strict=True))


def _mss(side: Any, peer: Any, version: int) -> int:
    """Return the largest segment that a side takes.

    Rule: RFC 9293 section 3.7.1: 536 bytes (IPv6: 1220) without the option. Where
    the SYN was not captured: the longest payload, rounded up to a usual size.
    """
    if side["syns"]:
        return int(side["mss"]) or (536 if version == 4 else 1220)
    longest = max(side["largest"], peer["largest"])
    for size in (1448, 1460):
        if longest > size and longest % size == 0:
            return size
    return next((size for size in _SEGMENT_SIZES if longest <= size), 1460)


def find_sessions(
    captures: Iterable[Capture | Frames | str | Path] | Frames | str | Path,
    *,
    by_vlan: bool = True,
    payloads: bool = True,
    default_rtt_ns: int = 200_000,
) -> Sessions:
    """Find the TCP sessions of captures.

    Parameters
    ----------
    captures : Capture, Frames or path, or iterable of these
        Read in order as if they were one.
    by_vlan : bool
        Whether equal 5-tuples in different VLANs are different sessions, as a
        switch sees them; False folds them into one, as Wireshark does.
    payloads : bool
        Whether streams can be read; without, only figures and turns.
    default_rtt_ns : int
        Round trip where a capture tells none.

    Returns
    -------
    Sessions
        At least one.

    Raises
    ------
    BadInput
        When a capture cannot be read, or none holds TCP.
    """
    several = [captures] if isinstance(captures, Frames | Capture | str | Path) else captures
    with ExitStack() as opened:
        sources = (
            opened.enter_context(open_capture(one)) if isinstance(one, str | Path) else one
            for one in several
        )
        segments = read_segments(sources, by_vlan=by_vlan, payloads=payloads)
    if not len(segments.rows):
        raise BadInput(segments.why_no_tcp())
    streams = rebuild(segments)
    return Sessions(streams, turns_of(streams, default_rtt_ns=default_rtt_ns), default_rtt_ns)
