"""The plain twin of :mod:`migration.streams_kernel`: what it is meant to do, one rule after the other.

Segments are dictionaries (rows of :data:`migration.segments_kernel.SEGMENT`), a
connection is an object, a stream is a dictionary from position to the segment
that showed the byte first. The tests hold the two equal on random segments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from migration.segments_kernel import NO_SCALE
from migration.streams_kernel import (
    ACK,
    CLOSING,
    DUPLICATE_ACK,
    FAR,
    FIN,
    KEEPALIVE,
    NEW,
    NO_ACK,
    OLD_NS,
    OPENING,
    OUT_OF_ORDER,
    PURE_ACK,
    RESET,
    RETRANSMISSION,
    RST,
    STRAY,
    SYN,
    WINDOW_PROBE,
    WINDOW_UPDATE,
)

Row = dict[str, Any]


@dataclass
class End:
    """One end of a connection, and what is known of its stream."""

    isn: int | None = None
    guessed: bool = False
    top: int = 0
    acked: int = 0
    low: int = 0
    fin: int | None = None
    reset: bool = False
    spoke: bool = False
    syns: int = 0
    scale: int | None = None
    window: int | None = None
    top_window: int = 0
    last_ack: int | None = None
    doubtful: Row | None = None
    doubtful_ack: int | None = None
    shown: dict[int, int] = field(default_factory=dict)
    """Stream position -> number of the row that showed the byte first."""

    size: int = 0
    lost: int = 0

    @property
    def furthest(self) -> int:
        """Highest position that was sent or acknowledged."""
        return max(self.top, self.acked)

    def position(self, sequence: int) -> int:
        """Return the position of a sequence number that is nearest to the furthest one."""
        assert self.isn is not None
        raw = sequence - self.isn - 1
        turns = round((self.furthest - raw) / 2**32)
        candidates = [raw + (turns + step) * 2**32 for step in (-1, 0, 1)]
        best = min(abs(candidate - self.furthest) for candidate in candidates)
        return min(c for c in candidates if abs(c - self.furthest) == best)

    def know(self, isn: int) -> None:
        """Take an initial sequence number from a SYN or its acknowledgment."""
        if self.isn != isn:
            self.top = self.acked = self.low = 0
        self.isn, self.guessed = isn, False

    def guess(self, following: int) -> None:
        """Take the number in front of the first one seen."""
        self.isn, self.guessed = (following - 1) % 2**32, True
        self.top = self.acked = self.low = 0


@dataclass
class Connection:
    """One use of a 5-tuple."""

    ends: tuple[End, End] = field(default_factory=lambda: (End(), End()))
    rows: list[Row] = field(default_factory=list)
    client: int | None = None
    established: bool = False
    simultaneous: bool = False

    # Which connection does a segment belong to

    def reach(self, x: int) -> int:
        """Return how far ahead the numbers of end `x` may be without a second segment to agree."""
        peer = self.ends[1 - x]
        return FAR + (2 * peer.top_window << (peer.scale or 0))

    def is_over(self) -> bool:
        """Tell whether both ends are closed or one was reset."""
        one, other = self.ends
        return one.reset or other.reset or (one.fin is not None and other.fin is not None)

    def is_left_behind_by(self, row: Row) -> bool:
        """Tell whether a segment opens the next connection of the same 5-tuple."""
        x = row["side"]
        me, peer = self.ends[x], self.ends[1 - x]
        if not row["flags"] & SYN:
            if not self.is_over() or row["flags"] & RST or me.isn is None:
                return False
            return abs(me.position(row["sequence"]) - me.top) > self.reach(x)
        if me.isn is None:
            return peer.isn is not None and peer.guessed and peer.spoke
        if row["flags"] & ACK and peer.isn is not None and peer.guessed and peer.spoke:
            if (row["acknowledgment"] - 1) % 2**32 != peer.isn:
                return True
        if row["sequence"] == me.isn:
            return False
        long_ago = row["ts_ns"] - self.rows[-1]["ts_ns"] > OLD_NS
        if self.is_over() or not self.established or long_ago:
            return True
        return not 0 <= me.position(row["sequence"]) - me.acked < self.reach(x)

    # What is a segment

    def take(self, row: Row) -> None:
        """Give a segment its positions and its kind."""
        x, flags = row["side"], row["flags"]
        me, peer = self.ends[x], self.ends[1 - x]
        self.rows.append(row)
        row["at"], row["ack_at"] = 0, NO_ACK
        if flags & SYN:
            if me.isn is not None and row["sequence"] != me.isn:
                row["kind"] = STRAY
                return
            again = me.syns > (1 if self.simultaneous and flags & ACK else 0)
            row["kind"] = RETRANSMISSION if again else OPENING
            self._take_syn(row, x)
        if me.isn is None:
            me.guess(row["sequence"])
        if flags & ACK and peer.isn is None and not flags & RST:
            peer.guess(row["acknowledgment"])
        ack_at = self._acknowledged(row, x)
        at = me.position(row["sequence"] + bool(flags & SYN))
        if not me.spoke and me.guessed and abs(at) > FAR:
            me.guess(row["sequence"])
            at = me.position(row["sequence"])
        row["at"], row["ack_at"] = at, ack_at
        if flags & RST:
            row["kind"] = RESET
            me.reset = me.spoke = True
            if peer.acked < ack_at <= peer.top + 1:
                peer.acked = ack_at
            return
        self._take_data(row, x)
        if ack_at != NO_ACK:
            peer.acked, me.last_ack = max(peer.acked, ack_at), ack_at
        if not flags & SYN:
            me.window = row["window"]
            me.top_window = max(me.top_window, row["window"])
            self.established |= peer.spoke and (me.spoke or me.syns + peer.syns == 0)
        me.spoke = True

    def _take_syn(self, row: Row, x: int) -> None:
        me, peer = self.ends[x], self.ends[1 - x]
        me.syns += 1
        me.know(row["sequence"])
        me.scale = None if row["scale"] == NO_SCALE else row["scale"]
        if row["flags"] & ACK:
            if peer.isn is None or peer.guessed:
                peer.know((row["acknowledgment"] - 1) % 2**32)
            if self.client is None:
                self.client = 1 - x
        elif self.client is None:
            self.client = x
        elif self.client != x and peer.syns:
            self.simultaneous = True

    def _acknowledged(self, row: Row, x: int) -> int:
        me, peer = self.ends[x], self.ends[1 - x]
        if not row["flags"] & ACK or peer.isn is None:
            return NO_ACK
        at = peer.position(row["acknowledgment"])
        if at > peer.furthest + self.reach(1 - x):
            before, me.doubtful_ack = me.doubtful_ack, at
            agreed = before is not None and abs(at - before) <= self.reach(1 - x)
            if peer.doubtful and at == peer.doubtful["at"] + peer.doubtful["length"]:
                self._confirm(peer)
            elif not agreed:
                return NO_ACK
        if at < 0:
            if not peer.guessed or me.last_ack is not None or at < -FAR:
                return NO_ACK
            peer.low = min(peer.low, at)
        return at

    def _confirm(self, end: End) -> None:
        row = end.doubtful
        assert row is not None
        row["kind"], end.doubtful = NEW, None
        end.low, end.top = min(end.low, row["at"]), max(end.top, row["at"] + row["length"])
        if row["flags"] & FIN and end.fin is None:
            end.fin = end.top

    def _take_data(self, row: Row, x: int) -> None:
        me, at, length = self.ends[x], row["at"], row["length"]
        fin = bool(row["flags"] & FIN)
        if not length and not fin:
            if not row["flags"] & SYN:
                row["kind"] = self._kind_without_data(row, x)
            return
        if not self._can_be_data(row, x):
            row["kind"] = STRAY
            return
        if length:
            row["kind"] = self._kind_of_data(row, x)
            if row["kind"] == KEEPALIVE:
                return
            me.low = min(me.low, at)
        else:
            row["kind"] = CLOSING if me.fin is None else RETRANSMISSION
        me.top = max(me.top, at + length)
        if fin and me.fin is None:
            me.fin = at + length

    def _can_be_data(self, row: Row, x: int) -> bool:
        me, at, length = self.ends[x], row["at"], row["length"]
        if at > me.furthest + self.reach(x):
            expected = me.doubtful and me.doubtful["at"] + me.doubtful["length"]
            if me.doubtful is None or expected != at:
                me.doubtful = row
                return False
            self._confirm(me)
        if at < 0 and (at < -FAR or not me.guessed):
            return bool(at == -1 and length == 1 and me.top == 0 and self.ends[1 - x].spoke)
        if row["flags"] & FIN and at + length < me.top:
            return False
        return me.fin is None or at + length <= me.fin

    def _kind_without_data(self, row: Row, x: int) -> int:
        me, peer = self.ends[x], self.ends[1 - x]
        if row["at"] == me.top - 1 and row["ack_at"] != NO_ACK:
            if peer.spoke and peer.window == 0:
                return WINDOW_PROBE
            if me.acked >= me.top:
                return KEEPALIVE
        if row["ack_at"] == peer.acked:
            if me.window is not None and row["window"] != me.window:
                return WINDOW_UPDATE
            if peer.top > peer.acked:
                return DUPLICATE_ACK
        return PURE_ACK

    def _kind_of_data(self, row: Row, x: int) -> int:
        me, peer, at = self.ends[x], self.ends[1 - x], row["at"]
        if row["length"] == 1 and peer.spoke:
            if at == me.top - 1 and me.acked >= me.top:
                return KEEPALIVE
            if peer.window == 0 and at == me.acked:
                return WINDOW_PROBE
        return OUT_OF_ORDER if at < me.top else NEW

    # The end of the capture

    def finish(self, ports: tuple[int, int]) -> None:
        """Count positions from the lowest one, choose the client, and lay out both streams."""
        if self.client is None:
            senders = [row["side"] for row in self.rows if row["kind"] == NEW]
            self.client = (senders or [self.rows[0]["side"]])[0]
            if (ports[0] >= 1024) != (ports[1] >= 1024):
                self.client = 0 if ports[0] >= 1024 else 1
        for x, me in enumerate(self.ends):
            shift = -min(me.low, 0)
            me.top, me.acked = me.top + shift, me.acked + shift
            if me.fin is not None:
                me.fin += shift
            for row in self.rows:
                if row["side"] == x:
                    row["at"] += shift
                elif row["ack_at"] != NO_ACK:
                    row["ack_at"] += shift
        for x in range(2):
            self._lay_out(x)

    def _lay_out(self, x: int) -> None:
        me, peer = self.ends[x], self.ends[1 - x]
        data = (NEW, OUT_OF_ORDER, RETRANSMISSION, WINDOW_PROBE, OPENING)
        for row in self.rows:
            if row["side"] != x or not row["length"] or row["kind"] not in data:
                continue
            fresh = 0
            for at in range(row["at"], row["at"] + row["length"]):
                fresh += me.shown.setdefault(at, row["number"]) == row["number"]
            row["fresh"] = fresh
            if not fresh and row["kind"] != WINDOW_PROBE:
                row["kind"] = RETRANSMISSION
        end = max(me.shown, default=-1) + 1
        if me.fin is not None:
            me.size = me.fin
        elif me.acked == end + 1 and peer.fin is not None:
            me.size = me.fin = end
        else:
            me.size = max(end, me.acked)
        me.lost = me.size - len(me.shown)


def rebuild_slowly(rows: list[Row], ports: tuple[int, int]) -> list[Connection]:
    """Rebuild the connections of one flow.

    Parameters
    ----------
    rows : list of dict
        Its segments in the order of the capture, each with its place in the list as
        ``number``; positions and kinds are written into them.
    ports : tuple of int
        Of the sender of the first frame, and of its peer.

    Returns
    -------
    list of Connection
        In order.
    """
    found: list[Connection] = []
    for row in rows:
        if not found or found[-1].is_left_behind_by(row):
            found.append(Connection())
        found[-1].take(row)
    for connection in found:
        connection.finish(ports)
    return found
