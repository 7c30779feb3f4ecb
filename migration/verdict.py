"""The verdict on each connection: survived, timed out, reset, or finished before; and why.

Read from the endpoints after a run and from the notes that the loop took: nothing
is inferred from the settings. Times count from the beginning of the blackout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from migration.path_kernel import N_ENDED, N_FAST, N_TAIL_PROBE, N_TIMEOUT, NOTE
from migration.tcp.state_kernel import (
    ABORTED,
    ALIVE,
    CLOSED,
    DONE,
    KEEPALIVE_SPENT,
    REFUSED,
    RESET_BY_PEER,
    RETRIES_SPENT,
    SYN_RETRIES_SPENT,
    TIME_SPENT,
    TIME_WAIT,
    USER_TIMEOUT_SPENT,
)

if TYPE_CHECKING:
    from migration.connections import Connections
    from migration.simulation import Simulation
    from migration.tcp.stacks import Stack


class Verdict(StrEnum):
    """What became of a connection."""

    SURVIVED = "survived"
    TIMED_OUT = "timed_out"
    RESET = "reset"
    FINISHED = "finished"


SENTENCES = {
    Verdict.SURVIVED: "It went on after the blackout, or was idle through it.",
    Verdict.TIMED_OUT: "One end gave up because nothing came back.",
    Verdict.RESET: "One end was told by a RST that the connection is gone.",
    Verdict.FINISHED: "It was closed by both ends before the blackout began.",
}
"""A sentence for each verdict."""

TIMEOUTS = frozenset(
    {RETRIES_SPENT, TIME_SPENT, SYN_RETRIES_SPENT, KEEPALIVE_SPENT, USER_TIMEOUT_SPENT}
)
"""Ends of an endpoint that are time-outs."""

_TIMERS = {
    RETRIES_SPENT: "retransmission timer",
    TIME_SPENT: "retransmission timer",
    SYN_RETRIES_SPENT: "connection timer",
    KEEPALIVE_SPENT: "keep-alive timer",
    USER_TIMEOUT_SPENT: "user timeout",
}


def _rule_of(stack: Stack, code: int) -> str:
    """Return the constant of a stack by which a connection was given up."""
    if code == RETRIES_SPENT:
        return f"max_retransmissions {stack.max_retransmissions}"
    if code == SYN_RETRIES_SPENT:
        return f"syn_retries {stack.syn_retries}, synack_retries {stack.synack_retries}"
    if code == KEEPALIVE_SPENT:
        return f"keepalive_probes {stack.keepalive_probes}"
    if code == USER_TIMEOUT_SPENT:
        return f"user_timeout {(stack.user_timeout or 0) / 1e9:g} s"
    if stack.tcp_retries2 is not None:
        limit = stack.abort_limit_ns(stack.tcp_retries2) / 1e9
        return f"tcp_retries2 {stack.tcp_retries2}, that is {limit:g} s from the first one"
    return f"r2 {(stack.r2 or 0) / 1e9:g} s"


@dataclass(frozen=True)
class Outcome:
    """One connection after the run.

    Parameters
    ----------
    number : int
        As reports call it.
    client, server, vlan : str
        Who, where.
    verdict : Verdict
        What became of it.
    reason : str
        Why, one sentence.
    stall_ns : int
        Longest time without progress that ended after the blackout had begun.
    retransmits : int
        Segments that both ends sent again, in the whole run.
    rto_times_ns : tuple of int
        When the end outside the VM sent something again because of a timer,
        counted from the beginning of the blackout; tail probes included.
    vm_rto_times_ns : tuple of int
        The same of the end in the VM.
    aborted_at_ns : int or None
        When it was given up first, counted from the beginning of the blackout.
    margin_ns : int or None
        How much longer the blackout could have been, negative: how much shorter
        it would have to be; None: no blackout ends it, or it was not open.
    bytes_before, bytes_after : tuple of int
        Bytes that client and server had received when the blackout began, and since.
    bytes_ok : bool
        Whether each end has received the other's stream as the capture has it, whole
        and in order; for a stream without end, all that was acknowledged.
    unfaithful : bool
        Whether it ends otherwise than captured even without a move.
    ended_ns : tuple of int or None
        When client and server left it, for whatever reason, counted the same.
    """

    number: int
    client: str
    server: str
    vlan: str
    verdict: Verdict
    reason: str
    stall_ns: int
    retransmits: int
    rto_times_ns: tuple[int, ...]
    vm_rto_times_ns: tuple[int, ...]
    aborted_at_ns: int | None
    margin_ns: int | None
    bytes_before: tuple[int, int]
    bytes_after: tuple[int, int]
    bytes_ok: bool
    unfaithful: bool = False
    ended_ns: tuple[int | None, int | None] = (None, None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, times in seconds."""
        return {
            "id": self.number,
            "client": self.client,
            "server": self.server,
            "vlan": None if self.vlan == "-" else self.vlan,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "stall_s": self.stall_ns / 1e9,
            "retransmits": self.retransmits,
            "rto_times_s": [time / 1e9 for time in self.rto_times_ns],
            "vm_rto_times_s": [time / 1e9 for time in self.vm_rto_times_ns],
            "aborted_at_s": None if self.aborted_at_ns is None else self.aborted_at_ns / 1e9,
            "ended_s": {
                "client": None if self.ended_ns[0] is None else self.ended_ns[0] / 1e9,
                "server": None if self.ended_ns[1] is None else self.ended_ns[1] / 1e9,
            },
            "margin_s": None if self.margin_ns is None else self.margin_ns / 1e9,
            "bytes_before": {"client": self.bytes_before[0], "server": self.bytes_before[1]},
            "bytes_after": {"client": self.bytes_after[0], "server": self.bytes_after[1]},
            "bytes_ok": self.bytes_ok,
            "unfaithful": self.unfaithful,
        }


def is_dead(ends: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Tell which connections were lost: an end has given up, or was reset by one that had not closed.

    Parameters
    ----------
    ends : numpy.ndarray
        ``ENDPOINT[2n]``.

    Returns
    -------
    numpy.ndarray
        ``bool[n]``. A RST that an application wanted is no loss.
    """
    code = ends["end"]
    given_up = np.isin(code, list(TIMEOUTS))
    wanted = code.reshape(-1, 2)[:, ::-1].ravel() == ABORTED
    reset = np.isin(code, [RESET_BY_PEER, REFUSED]) & ~wanted
    lost: npt.NDArray[np.bool_] = (given_up | reset).reshape(-1, 2).any(axis=1)
    return lost


def is_over(ends: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Tell which connections both ends have closed, or left by RST.

    Parameters
    ----------
    ends : numpy.ndarray
        ``ENDPOINT[2n]``.

    Returns
    -------
    numpy.ndarray
        ``bool[n]``.
    """
    over = np.isin(ends["end"], [DONE, ABORTED, RESET_BY_PEER]) | (ends["state"] == TIME_WAIT)
    both: npt.NDArray[np.bool_] = over[0::2] & over[1::2]
    return both


def outcomes(
    simulation: Simulation,
    dark_ns: tuple[int, int],
    margins_ns: Sequence[int | None],
    faithful: Simulation | None,
) -> list[Outcome]:
    """Return the verdict on each connection.

    Parameters
    ----------
    simulation : Simulation
        After its run.
    dark_ns : tuple of int
        World times at which the blackout began, and at which frames found the VM again.
    margins_ns : sequence of int or None
        See :attr:`Outcome.margin_ns`.
    faithful : Simulation, optional
        The same connections without a move.

    Returns
    -------
    list of Outcome
        In the order of the connections.
    """
    connections = simulation.connections
    ends = simulation.world.endpoints
    before = simulation.at_blackout
    notes = np.concatenate([*simulation.notes, np.zeros(0, NOTE)])
    judge = _Judge(connections, ends, before, notes, dark_ns, simulation.path.attach)
    plain = None if faithful is None else faithful.world.endpoints
    return [judge.outcome(c, margins_ns[c], plain) for c in range(len(connections))]


class _Judge:
    """Reads the verdict off endpoints and notes."""

    def __init__(
        self,
        connections: Connections,
        ends: npt.NDArray[np.void],
        before: npt.NDArray[np.void] | None,
        notes: npt.NDArray[np.void],
        dark_ns: tuple[int, int],
        attach: npt.NDArray[np.void],
    ) -> None:
        self.connections, self.ends, self.attach = connections, ends, attach
        self.before = before
        self.blackout_ns, self.light_ns = dark_ns
        order = np.argsort(notes["endpoint"], kind="stable")
        self.notes = notes[order]
        self.first = np.searchsorted(self.notes["endpoint"], np.arange(len(ends) + 1))

    def notes_of(self, end: int) -> npt.NDArray[np.void]:
        found: npt.NDArray[np.void] = self.notes[self.first[end] : self.first[end + 1]]
        return found

    def ended_at(self, end: int) -> int | None:
        own = self.notes_of(end)
        times = own["at"][own["kind"] == N_ENDED]
        return int(times[0]) - self.blackout_ns if len(times) else None

    def resent(self, end: int) -> tuple[int, ...]:
        own = self.notes_of(end)
        timed = (own["kind"] == N_TIMEOUT) | (own["kind"] == N_TAIL_PROBE)
        since = own["at"] >= self.blackout_ns
        return tuple((own["at"][timed & since] - self.blackout_ns).tolist())

    def outcome(self, c: int, margin_ns: int | None, plain: Any) -> Outcome:
        connections = self.connections
        client, server = 2 * c, 2 * c + 1
        vm = client + int(connections.vm_side[c])
        verdict, reason, at = self._verdict(c)
        before = (0, 0)
        if self.before is not None:
            before = (_received(self.before[client]), _received(self.before[server]))
        now = (_received(self.ends[client]), _received(self.ends[server]))
        notes = np.concatenate([self.notes_of(client), self.notes_of(server)])
        return Outcome(
            number=int(connections.number[c]),
            client=connections.address(client),
            server=connections.address(server),
            vlan=connections.vlan(c),
            verdict=verdict,
            reason=reason,
            stall_ns=int(self.attach[client]["stall"]),
            retransmits=int(np.isin(notes["kind"], [N_TIMEOUT, N_TAIL_PROBE, N_FAST]).sum()),
            rto_times_ns=self.resent(vm ^ 1),
            vm_rto_times_ns=self.resent(vm),
            aborted_at_ns=at,
            ended_ns=(self.ended_at(client), self.ended_at(server)),
            margin_ns=margin_ns,
            bytes_before=before,
            bytes_after=(now[0] - before[0], now[1] - before[1]),
            bytes_ok=self._bytes_ok(c),
            unfaithful=plain is not None and not _is_faithful(plain, connections, c),
        )

    def _verdict(self, c: int) -> tuple[Verdict, str, int | None]:
        given_up = [
            (self.ended_at(end) or 0, end)
            for end in (2 * c, 2 * c + 1)
            if int(self.ends[end]["end"]) in TIMEOUTS
        ]
        if given_up:
            at, end = min(given_up)
            return Verdict.TIMED_OUT, self._why_given_up(end, at), at
        for end in (2 * c, 2 * c + 1):
            told = int(self.ends[end]["end"]) in (RESET_BY_PEER, REFUSED)
            if told and int(self.ends[end ^ 1]["end"]) != ABORTED:
                at = self.ended_at(end) or 0
                said = f"{self._name(end)} got a RST {at / 1e9:.3f} s after the blackout began"
                return Verdict.RESET, said, at
        if self._is_over(c):
            return Verdict.FINISHED, "closed before the blackout began", None
        return Verdict.SURVIVED, self._why_alive(c), None

    def _is_over(self, c: int) -> bool:
        if self.before is None:
            return False
        return bool(is_over(self.before[2 * c : 2 * c + 2])[0])

    def _why_given_up(self, end: int, at: int) -> str:
        s = self.ends[end]
        stack = self.connections.stack_of(end)
        code = int(s["end"])
        times = self.resent(end)
        rule = _rule_of(stack, code)
        tries = f"after {len(times)} retransmission{'s' if len(times) != 1 else ''} in the dark"
        if code == KEEPALIVE_SPENT:
            tries = f"after {stack.keepalive_probes} probes without an answer"
        return (
            f"{self._name(end)}: {_TIMERS[code]} expired {tries}, "
            f"{at / 1e9:.3f} s after the blackout began ({stack.text}: {rule})"
        )

    def _why_alive(self, c: int) -> str:
        stall = int(self.attach[2 * c]["stall"])
        vm = 2 * c + int(self.connections.vm_side[c])
        times = self.resent(vm ^ 1)
        if stall <= 0 or int(self.attach[2 * c]["stall_from"]) >= self.light_ns:
            return (
                "it began after the blackout"
                if self._is_yet_to_begin(c)
                else "nothing was under way in the blackout"
            )
        if not times:
            return f"progress came back {stall / 1e9:.3f} s after it had stopped, without a retransmission"
        return (
            f"the peer's retransmission at {times[-1] / 1e9:.3f} s got through"
            if self.attach[2 * c]["settled"]
            else "it is still waiting at the end of the run"
        )

    def _is_yet_to_begin(self, c: int) -> bool:
        if self.before is None:
            return False
        client = self.before[2 * c]
        return int(client["state"]) == CLOSED and int(client["end"]) == ALIVE

    def _name(self, end: int) -> str:
        x = end % 2
        inside = " (the VM)" if self.connections.vm_side[end // 2] == x else ""
        return f"{'server' if x else 'client'} {self.connections.address(end)}{inside}"

    def _bytes_ok(self, c: int) -> bool:
        for end in (2 * c, 2 * c + 1):
            size = int(self.connections.size[end])
            got = _received(self.ends[end ^ 1])
            if size >= 0 and got != size:
                return False
            if size < 0 and got < int(self.ends[end]["una"]) - 1:
                return False
        return True


def _received(s: Any) -> int:
    """Return the bytes of the peer's stream that an endpoint has; the peer's FIN does not count."""
    return max(int(s["rcv_nxt"]) - 1 - int(s["fin_seen"]), 0)


def _is_faithful(plain: npt.NDArray[np.void], connections: Connections, c: int) -> bool:
    """Tell whether a connection comes to its captured end when nothing moves."""
    for end in (2 * c, 2 * c + 1):
        size = int(connections.size[end])
        if size >= 0 and _received(plain[end ^ 1]) != size:
            return False
        if int(plain[end]["end"]) in TIMEOUTS:
            return False
    return True
