"""The connections that are run: who, when, what each application does, which stack.

Columns over all connections; rows 2n and 2n + 1 of the columns about ends are the
client and the server of connection n, the client being the end that opens it.
Made from the sessions of captures or of a pattern, for any number of clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from migration.apps_kernel import ANSWER, APP, ASK, NEVER, SILENT, STREAM, TURNS
from migration.tcp.stacks import Stack
from migration.turns_kernel import TURN
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.sessions import Session, Side

CLIENT, SERVER = 0, 1
ENDLESS = -1
LEAST_MSS = 88
"""Below this a segment has no room for options: Linux TCP_MIN_MSS."""
MOST = 1 << 22
"""Connections in one run: an endpoint's number has 24 bits."""


@dataclass(frozen=True, eq=False)
class Connections:
    """Connections of one VM.

    Parameters
    ----------
    number : numpy.ndarray
        ``int64[n]``: what reports call each: its number among the captures' sessions.
    start_ns, rtt_ns : numpy.ndarray
        ``int64[n]``: when it begins, since the first one; its round trip.
    vm_side : numpy.ndarray
        ``uint8[n]``: CLIENT or SERVER, the end that is in the VM.
    midway : numpy.ndarray
        ``bool[n]``: it begins established, because its SYN was not captured.
    tags : numpy.ndarray
        ``uint32[n, 2]``: TPID and TCI of its frames' tags outside the VM, the outer
        first; 0 = none.
    mac, ip, port, ttl : numpy.ndarray
        ``uint64[2n]`` keys, ``uint8[2n, 16]``, ``uint16[2n]``, ``uint8[2n]``.
    version : numpy.ndarray
        ``uint8[n]``: 4 or 6.
    isn, ts_first : numpy.ndarray
        ``uint32[2n]``: initial sequence number, first timestamp value.
    size : numpy.ndarray
        ``int64[2n]``: bytes that the end sends; ENDLESS when it does not stop.
    mss, buffer : numpy.ndarray
        ``int64[2n]``: segment size and receive buffer that the end offers; 0 = its stack's.
    stack : numpy.ndarray
        ``int64[2n]``: place in `stacks`.
    stacks : tuple of Stack
        All stacks in use.
    apps, turns : numpy.ndarray
        ``APP[2n]``, ``TURN[]``, see :mod:`migration.apps_kernel`.
    sessions : tuple of Session
        What they were made from; empty for a pattern.
    """

    number: npt.NDArray[np.int64]
    start_ns: npt.NDArray[np.int64]
    rtt_ns: npt.NDArray[np.int64]
    vm_side: npt.NDArray[np.uint8]
    midway: npt.NDArray[np.bool_]
    tags: npt.NDArray[np.uint32]
    mac: npt.NDArray[np.uint64]
    ip: npt.NDArray[np.uint8]
    port: npt.NDArray[np.uint16]
    ttl: npt.NDArray[np.uint8]
    version: npt.NDArray[np.uint8]
    isn: npt.NDArray[np.uint32]
    ts_first: npt.NDArray[np.uint32]
    size: npt.NDArray[np.int64]
    mss: npt.NDArray[np.int64]
    buffer: npt.NDArray[np.int64]
    stack: npt.NDArray[np.int64]
    stacks: tuple[Stack, ...]
    apps: npt.NDArray[np.void]
    turns: npt.NDArray[np.void]
    sessions: tuple[Session, ...] = ()

    def __len__(self) -> int:
        return len(self.number)

    def address(self, end: int) -> str:
        """Return IP address and port of an end as people write them.

        Parameters
        ----------
        end : int
            Row of the end.

        Returns
        -------
        str
            Such as ``10.0.0.1:5001``.
        """
        if self.version[end // 2] == 4:
            return f"{ip_address(self.ip[end, :4].tobytes())}:{self.port[end]}"
        return f"[{ip_address(self.ip[end].tobytes())}]:{self.port[end]}"

    def vlan(self, n: int) -> str:
        """Return the VIDs of a connection, the outer first; ``-`` when untagged."""
        vids = [str(int(tag) & 0xFFF) for tag in self.tags[n] if tag]
        return ".".join(vids) or "-"

    def stack_of(self, end: int) -> Stack:
        """Return the stack of an end."""
        return self.stacks[int(self.stack[end])]


class _Stacks:
    """Numbers stacks; equal ones get one number."""

    def __init__(self) -> None:
        self.numbers: dict[Stack, int] = {}

    def number(self, stack: Stack) -> int:
        return self.numbers.setdefault(stack, len(self.numbers))


def _ip_bytes(address: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(address.ljust(16, b"\0"), np.uint8)


def from_sessions(
    sessions: Sequence[Session],
    vm_mac: int,
    *,
    peer_stack: Stack | None = None,
    vm_stack: Stack | None = None,
    rtt_ns: int | None = None,
    guess: dict[str, Stack],
) -> Connections:
    """Make connections of captured sessions.

    Parameters
    ----------
    sessions : sequence of Session
        Sessions of the VM that were established.
    vm_mac : int
        Its address as a key.
    peer_stack, vm_stack : Stack, optional
        Stack of the other ends, of the VM; by default what each SYN looks like,
        with the options that it offered.
    rtt_ns : int, optional
        Round trip of all; as captured by default.
    guess : dict of str to Stack
        The stack for each name that :func:`migration.fingerprint.guess_stack` gives.

    Returns
    -------
    Connections
        In the order of `sessions`; times count from the first one's start.

    Raises
    ------
    BadInput
        When there is none, or more than one run can have.
    """
    if not sessions:
        raise BadInput("the VM has no established TCP session; choose another one with --vm")
    n = len(sessions)
    made = _empty(n, sum(len(session.turns) for session in sessions))
    numbers = _Stacks()
    first_ns = min(session.start_ns for session in sessions)
    row = 0
    for c, session in enumerate(sessions):
        made.number[c] = session.number
        made.start_ns[c] = session.start_ns - first_ns
        made.rtt_ns[c] = session.rtt_ns if rtt_ns is None else rtt_ns
        made.vm_side[c] = CLIENT if session.client.mac == vm_mac else SERVER
        made.midway[c] = "no-syn" in session.flags or "one-way" in session.flags
        made.version[c] = 4 if len(session.client.ip) == 4 else 6
        for place, (tpid, tci) in enumerate(session.tags[:2]):
            made.tags[c, place] = tpid << 16 | tci
        for x, side in enumerate((session.client, session.server)):
            e = 2 * c + x
            made.mac[e], made.port[e], made.ttl[e] = side.mac, side.port, side.ttl or 64
            made.ip[e] = _ip_bytes(side.ip)
            made.isn[e], made.ts_first[e] = side.isn & 0xFFFFFFFF, side.ts_first & 0xFFFFFFFF
            made.size[e] = side.size
            asked = vm_stack if x == made.vm_side[c] else peer_stack
            stack = _stack_of(side, asked, guess)
            made.stack[e] = numbers.number(stack)
            if "mss" not in stack.given:
                made.mss[e] = max(side.mss, LEAST_MSS)
            if "buffer" not in stack.given and side.window:
                made.buffer[e] = max(side.window, 2 * int(made.mss[e]))
            own = session.turns[session.turns["side"] == x]
            made.turns[row : row + len(own)] = own
            _fill_turns(made.apps[e], made.turns, row, len(own))
            row += len(own)
    return replace(made, stacks=tuple(numbers.numbers), sessions=tuple(sessions))


def _stack_of(side: Side, asked: Stack | None, guess: dict[str, Stack]) -> Stack:
    """Return the stack of a captured end, with the options that it offered unless one was asked for."""
    if asked is not None:
        return asked
    return replace(
        guess[side.stack],
        sack=side.sack,
        dsack=side.sack and guess[side.stack].dsack,
        timestamps=side.timestamps,
        scale=side.wscale,
    )


def _fill_turns(app: Any, turns: npt.NDArray[np.void], first: int, count: int) -> None:
    app["due"] = NEVER
    app["kind"] = TURNS if count else SILENT
    app["next"], app["last"] = first, first + count
    if count:
        app["need"], app["think"] = turns[first]["need"], turns[first]["think_ns"]


def _empty(n: int, n_turns: int) -> Connections:
    if n > MOST:
        raise BadInput(f"{n} connections are too many for one run; use up to {MOST}")
    return Connections(
        number=np.arange(1, n + 1, dtype=np.int64),
        start_ns=np.zeros(n, np.int64),
        rtt_ns=np.zeros(n, np.int64),
        vm_side=np.full(n, SERVER, np.uint8),
        midway=np.zeros(n, np.bool_),
        tags=np.zeros((n, 2), np.uint32),
        mac=np.zeros(2 * n, np.uint64),
        ip=np.zeros((2 * n, 16), np.uint8),
        port=np.zeros(2 * n, np.uint16),
        ttl=np.full(2 * n, 64, np.uint8),
        version=np.full(n, 4, np.uint8),
        isn=np.zeros(2 * n, np.uint32),
        ts_first=np.zeros(2 * n, np.uint32),
        size=np.zeros(2 * n, np.int64),
        mss=np.zeros(2 * n, np.int64),
        buffer=np.zeros(2 * n, np.int64),
        stack=np.zeros(2 * n, np.int64),
        stacks=(),
        apps=np.zeros(2 * n, APP),
        turns=np.zeros(n_turns, TURN),
    )


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What synthetic connections do.

    Parameters
    ----------
    traffic : str
        ``rr``: the client asks, the VM answers, the next question comes a while
        after the answer. ``pace``: the client writes a request at each interval, the VM
        says nothing. ``bulk``: the client writes without end.
    request_bytes, response_bytes : int
        Sizes of question and answer.
    interval_ns : int
        From an answer to the next question.
    rtt_ns : int
        Round trip.
    vlan : int
        VID, 0 = untagged.
    clients : int
        Machines that the clients are spread over.
    """

    traffic: str = "rr"
    request_bytes: int = 64
    response_bytes: int = 64
    interval_ns: int = 20_000_000
    rtt_ns: int = 200_000
    vlan: int = 0
    clients: int = 64

    def __post_init__(self) -> None:
        if self.traffic not in ("rr", "pace", "bulk"):
            raise BadInput(f"there is no traffic '{self.traffic}'; use rr, pace or bulk")
        if min(self.request_bytes, self.response_bytes, self.clients) < 1:
            raise BadInput("a request and a response have at least one byte, and there is a client")
        if self.interval_ns < 0 or self.rtt_ns < 0:
            raise BadInput("an interval and a round trip are not below 0")


VM_MAC, VM_IP, VM_PORT = 0x0100_005D_1500, 0x0A00_0001, 5001
"""00:15:5d:00:00:01 as a key, 10.0.0.1, port 5001: the VM of synthetic connections."""
_PORTS = 28_000
"""Ports of one client machine, from 32768 on."""


def synthetic(
    n: int,
    pattern: Pattern,
    *,
    client_stack: Stack,
    vm_stack: Stack,
    vm_mac: int | None = None,
    seed: int = 0,
) -> Connections:
    """Make connections of a pattern, all to one VM.

    Parameters
    ----------
    n : int
        How many.
    pattern : Pattern
        What they do.
    client_stack, vm_stack : Stack
        Stack of the clients, of the VM.
    vm_mac : int, optional
        Address of the VM as a key; :data:`VM_MAC` by default.
    seed : int
        Of initial sequence numbers, and of when in the interval each begins.

    Returns
    -------
    Connections
        The VM is the server of all.

    Raises
    ------
    BadInput
        When `n` is not possible.
    """
    if n < 1:
        raise BadInput(f"{n} connections: run at least one")
    made = _empty(n, 0)
    draw = np.random.default_rng([seed, 0x7C9])
    machines = min(n, max(pattern.clients, -(-n // _PORTS)))
    which = np.arange(n) % machines
    made.start_ns[:] = draw.integers(0, max(pattern.interval_ns, 1), n) if n > 1 else 0
    made.rtt_ns[:] = pattern.rtt_ns
    if pattern.vlan:
        made.tags[:, 0] = 0x8100 << 16 | pattern.vlan
    # 02:00:00:xx:xx:xx, locally administered, little-endian
    low = which.astype(np.uint64) + np.uint64(1)
    made.mac[0::2] = (
        np.uint64(2)
        | (low & np.uint64(0xFF)) << np.uint64(40)
        | (low >> np.uint64(8) & np.uint64(0xFF)) << np.uint64(32)
        | (low >> np.uint64(16) & np.uint64(0xFF)) << np.uint64(24)
    )
    made.mac[1::2] = VM_MAC if vm_mac is None else vm_mac
    made.ip[0::2, :4] = _ipv4(0x0A01_0001 + which)
    made.ip[1::2, :4] = _ipv4(np.full(n, VM_IP))
    made.port[0::2] = 32768 + np.arange(n) // machines
    made.port[1::2] = VM_PORT
    made.ttl[0::2], made.ttl[1::2] = client_stack.ttl, vm_stack.ttl
    made.isn[:] = draw.integers(0, 1 << 32, 2 * n, np.uint32)
    made.ts_first[:] = draw.integers(0, 1 << 31, 2 * n, np.uint32)
    numbers = _Stacks()
    made.stack[0::2] = numbers.number(client_stack)
    made.stack[1::2] = numbers.number(vm_stack)
    made.apps["due"] = NEVER
    made.apps["last"] = -1
    asks, answers = made.apps[0::2], made.apps[1::2]
    if pattern.traffic == "rr":
        asks["kind"], answers["kind"] = ASK, ANSWER
        asks["size"], answers["size"] = pattern.request_bytes, pattern.response_bytes
        asks["want"], answers["want"] = pattern.response_bytes, pattern.request_bytes
        asks["interval"] = pattern.interval_ns
        answers["need"] = pattern.request_bytes
        made.size[:] = ENDLESS
    elif pattern.traffic == "pace":
        asks["kind"], answers["kind"] = ASK, SILENT
        asks["size"], asks["interval"] = pattern.request_bytes, pattern.interval_ns
        made.size[0::2] = ENDLESS
    else:
        asks["kind"], answers["kind"] = STREAM, SILENT
        asks["last"] = 1
        made.size[0::2] = ENDLESS
    return replace(made, stacks=tuple(numbers.numbers))


def _ipv4(words: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(words.astype(">u4")).view(np.uint8).reshape(-1, 4)
