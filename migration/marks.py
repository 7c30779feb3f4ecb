"""What has to be said of a session before it is used: flags, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from migration.streams import Streams

FLAGS = {
    "no-syn": "the capture begins behind the handshake, or lost a part of it",
    "incomplete": "bytes were acknowledged or passed that the capture does not show",
    "cut": "the capture cut payload off (snap length)",
    "fragmented": "segments came in IP fragments, which were joined",
    "open": "neither closed by both ends nor reset",
    "reset": "ended by RST",
    "refused": "the SYN was answered by RST",
    "unanswered": "the SYN was not answered",
    "one-way": "only one direction was captured",
    "crosses-vlans": "frames of more than one VLAN",
    "simultaneous-open": "both ends sent a SYN",
    "backward-time": "frames are earlier than the one before them",
    "stray": "segments whose numbers cannot be of this connection were left out",
}
"""What a session may be marked by, a sentence each."""

PARTIAL = frozenset({"no-syn", "incomplete", "cut", "one-way"})
"""Flags of sessions that are used by choice: parts of them were not captured."""


class Marks:
    """Finds the flags of sessions.

    Parameters
    ----------
    streams : Streams
        All sessions.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def of(self, row: int, about: Any, ends: Any) -> frozenset[str]:
        """Return the flags of a session.

        Parameters
        ----------
        row : int
            Row of the session.
        about : mapping
            That row, by name.
        ends : sequence of mapping
            Rows of both its sides, by name.

        Returns
        -------
        frozenset of str
            Of :data:`FLAGS`.
        """
        return frozenset(self._flags(row, about, ends))

    def _flags(self, row: int, about: Any, ends: Any) -> Iterator[str]:
        client, server = ends[about["client"]], ends[1 - about["client"]]
        silent = client["frames"] == 0 or server["frames"] == 0
        opening = client["syns"] and not about["established"]
        if opening and silent and client["frames"] == client["syns"]:
            yield "unanswered"
        elif opening and not silent:
            if server["reset"] and not server["syns"]:
                yield "refused"
        elif silent:
            yield "one-way"
        elif not (client["syns"] and server["syns"]):
            yield "no-syn"
        if any(side["lost"] for side in ends):
            yield "incomplete"
        if any(side["cut"] for side in ends):
            yield "cut"
        if any(side["reset"] for side in ends):
            yield "reset"
        elif any(side["fin"] < 0 for side in ends):
            yield "open"
        if any(side["stray"] for side in ends):
            yield "stray"
        if about["crosses"] or (silent and self._other_vlan(row)):
            yield "crosses-vlans"
        for name in ("fragmented", "backward"):
            if about[name]:
                yield "backward-time" if name == "backward" else name
        if about["simultaneous"]:
            yield "simultaneous-open"

    @cached_property
    def _tuples(self) -> dict[Any, set[tuple[int, bool]]]:
        """For each 5-tuple: in which VLAN, and whether its lower end, sent frames."""
        found: dict[Any, set[tuple[int, bool]]] = {}
        sides = self._streams.sides
        for row, about in enumerate(self._streams.sessions):
            key, swapped = _tuple_of(self._streams.segments.flows[about["flow"]])
            for x in range(2):
                if sides[2 * row + x]["frames"]:
                    found.setdefault(key, set()).add((int(about["vlan"]), bool(x) ^ swapped))
        return found

    def _other_vlan(self, row: int) -> bool:
        """Tell whether the other direction of a one-way session is in another VLAN."""
        about = self._streams.sessions[row]
        key, swapped = _tuple_of(self._streams.segments.flows[about["flow"]])
        sent = bool(self._streams.sides[2 * row]["frames"] == 0) ^ swapped
        vlan = int(about["vlan"])
        return any(other != vlan and lower != sent for other, lower in self._tuples[key])


def _tuple_of(flow: Any) -> tuple[Any, bool]:
    """Return a 5-tuple without VLAN or direction, and whether its ends were swapped for that."""
    one = (int(flow["high"]), int(flow["low"]), int(flow["port"]))
    other = (int(flow["peer_high"]), int(flow["peer_low"]), int(flow["peer_port"]))
    return (min(one, other), max(one, other), int(flow["version"])), one > other
