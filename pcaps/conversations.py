"""Complete TCP sessions: handshake, request, response, close.

Guarantees
----------
* Sequence and acknowledgment numbers follow RFC 9293, so that tshark finds
  nothing to remark but the retransmissions that were asked for.
* Any number of sessions run at the same time; the frames come in order of time.

The client asks, the server answers and closes first. Every second full segment
is acknowledged at once (RFC 5681, 4.2), the last one too. A retransmission is a
segment that was lost behind the place of the capture: the capture shows it
twice, three duplicate acknowledgments before the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from pcaps.frames import Frames
    from pcaps.traffic_kernel import Blueprint

FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
_FIRST_WINDOW, _WINDOW = 64_240, 502
_MASK = 0xFFFFFFFF
_DUPLICATES = 3


@dataclass(frozen=True, slots=True)
class TcpSession:
    """One TCP session between two stations.

    Parameters
    ----------
    client_mac, server_mac : int
        Keys, as from :func:`pcaps.addresses.mac_to_key`.
    client_ip, server_ip : int
        Words, as from :func:`pcaps.blueprint.ip_word`.
    client_port, server_port : int
        TCP ports.
    tag, inner_tag : int
        Tags as from :func:`pcaps.copies.tag_word`, 0 for none.
    start_ns, rtt_ns : int
        Time of the SYN, and the round trip.
    request_bytes, response_bytes : int
        Data each way.
    client_isn, server_isn : int
        Initial sequence numbers.
    retransmit : int, optional
        Number of the response's segment (from 0) that is lost once; at least
        three segments must follow it.
    jumbo : bool
        MSS 8960 instead of 1460.

    Raises
    ------
    BadInput
        When `retransmit` names a segment that has not three behind it.
    """

    client_mac: int
    server_mac: int
    client_ip: int
    server_ip: int
    client_port: int
    server_port: int = 5001
    tag: int = 0
    inner_tag: int = 0
    start_ns: int = 0
    rtt_ns: int = 400_000
    request_bytes: int = 200
    response_bytes: int = 10_000
    client_isn: int = 1000
    server_isn: int = 2000
    retransmit: int | None = None
    jumbo: bool = False

    def __post_init__(self) -> None:
        last = -(-self.response_bytes // self.mss) - 1
        if self.retransmit is not None and not 0 <= self.retransmit <= last - _DUPLICATES:
            raise BadInput(
                f"segment {self.retransmit} cannot be lost: the response has {last + 1} segments, "
                f"and {_DUPLICATES} must follow the lost one"
            )

    @property
    def mss(self) -> int:
        """Largest segment in bytes."""
        from pcaps.blueprint import JUMBO_MSS, MSS

        return JUMBO_MSS if self.jumbo else MSS


class _Script:
    """Writes down the segments of one session, keeping time and numbers."""

    def __init__(self, session: TcpSession) -> None:
        self.session = session
        self.now = session.start_ns
        self.next = [session.client_isn, session.server_isn]
        self.acknowledged = [0, 0]
        self.sent = [0, 0]
        # columns: time, from server, sequence, acknowledgment, flags, payload place, payload bytes
        self.rows: list[tuple[int, int, int, int, int, int, int]] = []

    def send(self, side: int, flags: int, n_bytes: int = 0) -> None:
        """Let side 0 (client) or 1 (server) send a segment; the other side has it at once."""
        place = self.sent[side]
        self._put(side, self.next[side], flags, place, n_bytes)
        self.sent[side] = place + n_bytes
        self.next[side] += n_bytes + bool(flags & (SYN | FIN))
        self.acknowledged[1 - side] = self.next[side]

    def _put(self, side: int, sequence: int, flags: int, place: int, n_bytes: int) -> None:
        acknowledgment = self.acknowledged[side] if flags & ACK else 0
        self.rows.append(
            (self.now, side, sequence & _MASK, acknowledgment & _MASK, flags, place, n_bytes)
        )
        self.now += 672 + 8 * n_bytes  # a gigabit per second

    def half_trip(self) -> None:
        self.now += self.session.rtt_ns // 2

    def data(self, side: int, n_bytes: int, lost: int | None = None) -> None:
        """Send `n_bytes` in segments; segment number `lost` arrives only the second time."""
        mss = self.session.mss
        pending = 0
        n_segments = -(-n_bytes // mss)
        hole = -1
        for number in range(n_segments):
            size = min(mss, n_bytes - number * mss)
            last = number == n_segments - 1
            before = self.acknowledged[1 - side]
            self.send(side, ACK | (PSH if last else 0), size)
            if number == lost:
                hole = before
                place = self.sent[side] - size
            if hole >= 0:
                self._behind_a_hole(side, number - (lost or 0), hole)
                if number - (lost or 0) == _DUPLICATES:
                    self._retransmit(side, hole, place, min(mss, n_bytes))
                    hole, pending = -1, 0
                continue
            pending += 1
            if pending == 2 or last:
                self.half_trip()
                self.send(1 - side, ACK)
                pending = 0

    def _behind_a_hole(self, side: int, following: int, hole: int) -> None:
        """Answer each segment that follows the lost one by a duplicate acknowledgment."""
        if following:
            after = self.acknowledged[1 - side]
            self.acknowledged[1 - side] = hole
            self.send(1 - side, ACK)
            self.acknowledged[1 - side] = after

    def _retransmit(self, side: int, sequence: int, place: int, size: int) -> None:
        self.half_trip()
        self._put(side, sequence, ACK, place, size)
        self.half_trip()
        self.send(1 - side, ACK)


def _segments(session: TcpSession) -> list[tuple[int, int, int, int, int, int, int]]:
    script = _Script(session)
    client, server = 0, 1
    script.send(client, SYN)
    script.half_trip()
    script.send(server, SYN | ACK)
    script.half_trip()
    script.send(client, ACK)
    script.data(client, session.request_bytes)
    script.data(server, session.response_bytes, session.retransmit)
    script.send(server, FIN | ACK)
    script.half_trip()
    script.send(client, ACK)
    script.send(client, FIN | ACK)
    script.half_trip()
    script.send(server, ACK)
    return script.rows


def converse(sessions: Sequence[TcpSession]) -> Blueprint:
    """Plan the frames of sessions that run at the same time.

    Parameters
    ----------
    sessions : sequence of TcpSession
        At least one.

    Returns
    -------
    Blueprint
        In order of time; to be built by :func:`pcaps.blueprint.build`.
    """
    from pcaps.blueprint import PERIOD, TCP, TCP_SYN, TCP_SYN_JUMBO, blueprint, take

    scripts = [_segments(session) for session in sessions]
    owner = np.repeat(np.arange(len(sessions)), [len(script) for script in scripts])
    rows = np.array([row for script in scripts for row in script], np.int64)
    ts_ns, side, sequence, acknowledgment, flags, place, n_bytes = rows.T
    by_client = side == 0

    def of_session(name: str) -> np.ndarray:
        return np.array([getattr(session, name) for session in sessions])[owner]

    def directed(what: str) -> tuple[np.ndarray, np.ndarray]:
        client, server = of_session(f"client_{what}"), of_session(f"server_{what}")
        return np.where(by_client, client, server), np.where(by_client, server, client)

    source, destination = directed("mac")
    source_ip, destination_ip = directed("ip")
    source_port, destination_port = directed("port")
    syn = flags & SYN != 0
    opening = np.where(of_session("jumbo"), TCP_SYN_JUMBO, TCP_SYN)
    whole = blueprint(
        len(rows),
        ts_ns=ts_ns,
        template=np.where(syn, opening, TCP),
        payload_bytes=n_bytes,
        payload_at=place % PERIOD,
        destination=destination,
        source=source,
        tag=of_session("tag"),
        inner_tag=of_session("inner_tag"),
        source_ip=source_ip,
        destination_ip=destination_ip,
        source_port=source_port,
        destination_port=destination_port,
        ip_id=np.arange(len(rows)) & 0xFFFF,
        sequence=sequence,
        acknowledgment=acknowledgment,
        flags=flags,
        window=np.where(syn, _FIRST_WINDOW, _WINDOW),
    )
    return take(whole, np.argsort(ts_ns, kind="stable"))


def conversations(sessions: Sequence[TcpSession]) -> Frames:
    """Build the frames of sessions that run at the same time.

    Parameters
    ----------
    sessions : sequence of TcpSession
        At least one.

    Returns
    -------
    Frames
        In order of time.
    """
    from pcaps.blueprint import build

    return build(converse(sessions))
