"""The plain twin of :mod:`migration.turns_kernel`: one connection, rule after rule.

Rows, sides and sessions are dictionaries (rows of the arrays of
:mod:`migration.streams_kernel`); a piece is a position, a size, and the place of
its segment within the session.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from migration.segments_kernel import NO_SCALE
from migration.streams_kernel import (
    ACK,
    CLOSING,
    FIN,
    NEW,
    OUT_OF_ORDER,
    PSH,
    RESET,
    RETRANSMISSION,
    STRAY,
    SYN,
    WINDOW_PROBE,
)
from migration.turns_kernel import ABORT, CLIENT, CLOSE, MS, SERVER, WRITE

Row = dict[str, Any]
Piece = tuple[int, int, int]
Turn = tuple[int, int, int, int, int, int]
"""Side, kind, need, think_ns, size, at_ns."""


class SlowTurns:
    """The turns of one established connection.

    Parameters
    ----------
    session : dict
        Who is the client, when it began.
    rows : list of dict
        Its segments in the order of the capture.
    sides : tuple of dict
        Both sides, by number.
    pieces : tuple of list
        For both sides, which segment showed which bytes first, by position.
    default_rtt_ns : int
        Round trip where the segments tell none.
    """

    def __init__(
        self,
        session: Row,
        rows: list[Row],
        sides: tuple[Row, Row],
        pieces: tuple[list[Piece], list[Piece]],
        default_rtt_ns: int,
    ) -> None:
        self.session, self.rows, self.sides, self.pieces = session, rows, sides, pieces
        since_start = (row["ts_ns"] - session["start_ns"] for row in rows)
        self.times = list(accumulate(since_start, max))
        self.opened = {CLIENT: 0, SERVER: 0}
        found = {CLIENT: self._shortest(CLIENT), SERVER: self._shortest(SERVER)}
        found |= self._handshake()
        self.round_trips = found
        known = {who: value or 0 for who, value in found.items()}
        if found == {CLIENT: None, SERVER: None}:
            known[SERVER] = default_rtt_ns
        self.rtt = known
        self.limited = self._limits()

    def _who(self, x: int) -> int:
        return CLIENT if x == self.session["client"] else SERVER

    def _side_of(self, who: int) -> int:
        client = int(self.session["client"])
        return client if who == CLIENT else 1 - client

    # Round trips

    def _handshake(self) -> dict[int, int | None]:
        """Round trips from SYN, SYN-ACK and the first ACK, where they were captured."""
        if self.session["simultaneous"]:
            return {}
        valid = [k for k, row in enumerate(self.rows) if row["kind"] not in (STRAY, RESET)]
        answers = [
            k for k in valid
            if self._who(self.rows[k]["side"]) == SERVER
            and self.rows[k]["flags"] & SYN and self.rows[k]["flags"] & ACK
        ]  # fmt: skip
        if not answers:
            return {}
        thirds = [
            k for k in valid
            if k > answers[0] and self._who(self.rows[k]["side"]) == CLIENT
            and not self.rows[k]["flags"] & SYN and self.rows[k]["flags"] & ACK
        ]  # fmt: skip
        if not thirds:
            return {}
        third = thirds[0]
        answer = max(k for k in answers if k < third)
        asked = [
            k for k in valid
            if k < answers[0] and self._who(self.rows[k]["side"]) == CLIENT
            and self.rows[k]["flags"] & SYN
        ]  # fmt: skip
        self.opened = {CLIENT: self.times[answer], SERVER: self.times[third]}
        found: dict[int, int | None] = {CLIENT: self.times[third] - self.times[answer]}
        if asked:
            found[SERVER] = self.times[answer] - self.times[asked[-1]]
        return found

    def _shortest(self, who: int) -> int | None:
        """Shortest time from data to its acknowledgment by a side, one segment at a time."""
        timed: tuple[int, int] | None = None
        found: list[int] = []
        for row, now in zip(self.rows, self.times, strict=True):
            if self._who(row["side"]) != who:
                if row["kind"] == NEW and timed is None:
                    timed = row["at"] + row["length"], now
                elif row["kind"] in (RETRANSMISSION, OUT_OF_ORDER):
                    timed = None
            elif timed is not None and row["ack_at"] >= timed[0]:
                found.append(now - timed[1])
                timed = None
        return min(found, default=None)

    # What the network held back

    def _shift(self, x: int) -> int:
        me, peer = self.sides[x], self.sides[1 - x]
        if any(side["syns"] and side["scale"] == NO_SCALE for side in (me, peer)):
            return 0
        if me["syns"]:
            return int(me["scale"])
        return int(me["needed_scale"]) if me["tested"] else 7

    def _limits(self) -> list[str]:
        """``idle``, ``clocked`` or ``held`` for each segment."""
        found = []
        acked, made_room = [0, 0], [-(10**18), -(10**18)]
        window: list[int] = [1 << 30, 1 << 30]
        most = []
        for x in range(2):
            largest, mss = self.sides[x]["largest"], self.sides[1 - x]["mss"]
            most.append(2 * max(min(largest, mss) if mss else largest, 536))
        for row, now in zip(self.rows, self.times, strict=True):
            x, y, limit = row["side"], 1 - row["side"], "idle"
            if row["kind"] not in (STRAY, RESET):
                if row["length"] or row["flags"] & FIN:
                    flight = max(0, row["at"] - acked[x])
                    full = flight >= most[x] or flight >= window[y]
                    recent = now - made_room[x] <= self.rtt[self._who(x)] + MS
                    if full or flight + row["length"] > window[y] or (recent and flight):
                        limit = "held"
                    elif recent:
                        limit = "clocked"
                    most[x] = max(most[x], flight + row["length"])
                if row["ack_at"] > acked[y]:
                    acked[y], made_room[y] = row["ack_at"], now
                window[x] = row["window"] << (0 if row["flags"] & SYN else self._shift(x))
            found.append(limit)
        return found

    # Turns

    def turns(self) -> list[Turn]:
        """Return the turns of both sides in order of time, the client's first where it is equal."""
        client = self._side_of(CLIENT)
        both = self._of_side(client), self._of_side(1 - client)
        return sorted([*both[0], *both[1]], key=lambda turn: turn[5])

    def _received_at(self, x: int, need: int) -> int:
        """Return when the capture had shown side `x` what its peer sent up to `need`."""
        peer = 1 - x
        if need > self.sides[peer]["size"]:
            k = self._fin(peer)
            return int(self.times[-1 if k is None else k])
        if need <= 0:
            return 0
        latest = 0
        for at, size, k in self.pieces[peer]:
            latest = max(latest, self.times[k])
            if at + size >= need:
                break
        return latest

    def _fin(self, x: int) -> int | None:
        kinds = (CLOSING, NEW, OUT_OF_ORDER, RETRANSMISSION, WINDOW_PROBE)
        for k, row in enumerate(self.rows):
            if row["side"] == x and row["flags"] & FIN and row["kind"] in kinds:
                return k
        return None

    def _of_side(self, x: int) -> list[Turn]:
        me, peer, who = self.sides[x], self.sides[1 - x], self._who(x)
        most = peer["size"] + (peer["fin"] >= 0)
        whole = sum(self.rtt.values())
        short, long = max(2 * MS, whole // 2), max(10 * MS, 2 * whole)
        opened = self.opened[who] + self.rtt[who]
        before = now = opened
        need, end, pushed = 0, 0, False
        found: list[list[int]] = []

        def think(at: int) -> int:
            return max(0, at - max(self._received_at(x, need) + self.rtt[who], before))

        for p, (at, size, own) in enumerate(self.pieces[x]):
            # handed over before everything behind it: the earliest of these was sent then
            k = min((k for _, _, k in self.pieces[x][p:]), key=lambda k: self.times[k])
            k = own if self.times[own] == self.times[k] else k
            sent, acknowledged = self.times[k], min(self.rows[k]["ack_at"], most)
            pause, idle = sent - now, self.limited[k] == "idle"
            new = acknowledged > need or (idle and (pause > long or (pushed and pause > short)))
            if found:
                found[-1][4] += at - end
                end = at
            if not found or new:
                need = max(need, acknowledged)
                waited = 0 if found and self.limited[k] == "held" else think(sent)
                found.append([who, WRITE, need, waited, -end if not found else 0, sent])
                if len(found) == 1:
                    found[0][4] = at - end
                before = sent
            found[-1][4] += size
            end, now = at + size, sent
            pushed = bool(self.rows[own]["flags"] & PSH)
        if me["size"] > end:
            if not found:
                found.append([who, WRITE, need, 0, 0, now])
            found[-1][4] += me["size"] - end
        if me["fin"] >= 0:
            last = self._fin(x)
            at, idle, earlier = now, False, need
            if last is not None:
                at, idle = max(now, self.times[last]), self.limited[last] == "idle"
                need = max(need, min(self.rows[last]["ack_at"], most))
            at_once = need == earlier and (at - now <= short or not idle)
            found.append([who, CLOSE, need, 0 if found and at_once else think(at), 0, at])
        else:
            resets = [k for k, row in enumerate(self.rows) if row["kind"] == RESET]
            if resets and self.rows[resets[0]]["side"] == x:
                k = resets[0]
                acks = [row["ack_at"] for row in self.rows[: k + 1]
                        if row["side"] == x and row["kind"] != STRAY]  # fmt: skip
                need = max(need, min(max(acks), most))
                at = max(now, self.times[k])
                found.append([who, ABORT, need, think(at), 0, at])
        return [(turn[0], turn[1], turn[2], turn[3], turn[4], turn[5]) for turn in found]
