"""A TCP endpoint driven by hand: segments and calls in at a time, segments and timers out.

The same compiled state machine that runs in thousands in a simulation, one at a time:

>>> from migration.tcp.endpoint import Endpoint
>>> client, server = Endpoint("linux"), Endpoint("rfc")
>>> server.listen()
>>> (syn,) = client.connect(0)
>>> (syn_ack,) = server.arrive(syn, 1_000_000)
>>> (ack,) = client.arrive(syn_ack, 2_000_000)
>>> server.arrive(ack, 3_000_000)
[]
>>> client.state, server.state
('ESTABLISHED', 'ESTABLISHED')

Time is the endpoint's own clock in nanoseconds and never runs backwards. A timer that
is due has to be run, by :meth:`Endpoint.advance`, before anything later is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migration.tcp import endpoint_kernel as kernel
from migration.tcp.pools_kernel import give_segment, take_segment
from migration.tcp.segment import Segment, fill_row, to_segment
from migration.tcp.stacks import Stack, stack, stack_rows
from migration.tcp.state_kernel import C_OUT, NEVER, OUT_ROWS, STATES
from migration.tcp.timing_kernel import next_timer
from migration.tcp.world import grow, new_world
from pcaps.errors import BadInput

ENDS = (
    "alive", "done", "reset", "retries", "time", "syn-retries", "keepalive", "user-timeout",
    "aborted", "refused",
)  # fmt: skip
"""Why an endpoint is closed, by number: not at all; in order; by the peer's RST; too many
retransmissions; too long without acknowledgement; too many SYNs; keep-alive; user timeout;
by itself; refused."""


MOST_BLOCKS = 4
"""Rule: RFC 2018 section 3."""


class Endpoint:
    """One endpoint of a connection.

    Parameters
    ----------
    stack : str or Stack
        As :func:`migration.tcp.stacks.stack` takes it.
    nodelay : bool
        Nagle's algorithm is off.
    keepalive : bool
        Keep-alive is on.
    lazy : bool
        Received data waits for :meth:`read`; by default it is taken at once.
    buffer : int
        Receive buffer, bytes; 0: that of the stack.
    mss : int
        Segment size that it offers; 0: that of the stack.
    """

    def __init__(
        self, stack: str | Stack = "linux", *, nodelay: bool = False, keepalive: bool = False,
        lazy: bool = False, buffer: int = 0, mss: int = 0,
    ) -> None:  # fmt: skip
        self.stack = _stack(stack)
        self._world = new_world(1, stack_rows([self.stack]))
        self._now = 0
        row = self._row
        row["nodelay"], row["keep"], row["lazy"] = nodelay, keepalive, lazy
        row["buffer"], row["mss"] = buffer, mss

    @property
    def _row(self) -> Any:
        return self._world.endpoints[0]

    @property
    def now_ns(self) -> int:
        """Time of the last call."""
        return self._now

    @property
    def state(self) -> str:
        """State of RFC 9293 section 3.3.2: ``CLOSED``, ``LISTEN``, ``SYN-SENT``, ..."""
        return STATES[int(self._row["state"])]

    @property
    def end(self) -> str:
        """Why it is closed: one of :data:`ENDS`."""
        return ENDS[int(self._row["end"])]

    @property
    def next_timer_ns(self) -> int | None:
        """When :meth:`advance` has something to do; None: never."""
        due = int(next_timer(self._row))
        return None if due >= NEVER else max(due, self._now)

    @property
    def received(self) -> int:
        """Bytes of the peer's stream received in order."""
        row = self._row
        return max(int(row["rcv_nxt"]) - 1 - int(row["fin_seen"]), 0)

    @property
    def unread(self) -> int:
        """Bytes received that nobody has read yet."""
        return int(self._row["unread"])

    def field(self, name: str) -> int:
        """Return a field of the endpoint's record, such as ``cwnd`` or ``una``.

        Parameters
        ----------
        name : str
            One of :data:`migration.tcp.state_kernel.ENDPOINT`.

        Returns
        -------
        int
        """
        return int(self._row[name])

    def connect(self, at_ns: int) -> list[Segment]:
        """Open actively.

        Parameters
        ----------
        at_ns : int

        Returns
        -------
        list of Segment
            What is sent: the SYN.
        """
        return self._call(at_ns, kernel.connect)

    def listen(self) -> None:
        """Open passively."""
        kernel.listen(self._world, 0)

    def establish(
        self, at_ns: int, *, una: int = 1, rcv_nxt: int = 1, window: int = 0, mss: int = 0
    ) -> None:
        """Begin in the middle of a connection.

        Parameters
        ----------
        at_ns : int
        una, rcv_nxt : int
            Positions: next to send, and next to receive.
        window : int
            The peer's window, bytes; 0: as large as this side's buffer.
        mss : int
            The peer's segment size; 0: as this side's.
        """
        self._call(at_ns, kernel.establish, una, rcv_nxt, window, mss)

    def arrive(self, segment: Segment, at_ns: int) -> list[Segment]:
        """Take a segment from the network.

        Parameters
        ----------
        segment : Segment
        at_ns : int

        Returns
        -------
        list of Segment
            What is sent in answer.

        Raises
        ------
        BadInput
            When it has more SACK blocks than fit.
        """
        if len(segment.sack) > MOST_BLOCKS:
            raise BadInput(
                f"a segment has room for {MOST_BLOCKS} SACK blocks, not {len(segment.sack)}"
            )

        def give(world: Any, e: int, now: int) -> None:
            row = int(take_segment(world))
            fill_row(world.segments[row], segment)
            kernel.arrive(world, e, row, now)
            give_segment(world, row)

        return self._call(at_ns, give)

    def write(self, size: int, at_ns: int) -> list[Segment]:
        """Send `size` bytes.

        Parameters
        ----------
        size : int
        at_ns : int

        Returns
        -------
        list of Segment

        Raises
        ------
        BadInput
            When this side is closed.
        """
        sent, taken = self._called(at_ns, lambda w, e, now: kernel.write(w, e, size, now))
        if taken != size:
            raise BadInput(f"{size} bytes cannot be written in state {self.state}")
        return sent

    def read(self, size: int, at_ns: int) -> list[Segment]:
        """Take up to `size` bytes that wait to be read.

        Parameters
        ----------
        size : int
        at_ns : int

        Returns
        -------
        list of Segment
            A window update, perhaps.
        """
        return self._called(at_ns, lambda w, e, now: kernel.read(w, e, size, now))[0]

    def close(self, at_ns: int) -> list[Segment]:
        """Close this side's stream; the peer's goes on.

        Parameters
        ----------
        at_ns : int

        Returns
        -------
        list of Segment
        """
        return self._call(at_ns, kernel.close)

    def release(self, at_ns: int) -> list[Segment]:
        """Let go of the connection: nothing more is written or read.

        Parameters
        ----------
        at_ns : int

        Returns
        -------
        list of Segment
        """
        return self._call(at_ns, kernel.release)

    def abort(self, at_ns: int) -> list[Segment]:
        """End the connection by a RST.

        Parameters
        ----------
        at_ns : int

        Returns
        -------
        list of Segment
        """
        return self._call(at_ns, kernel.abort)

    def set_keepalive(self, on: bool, at_ns: int) -> None:
        """Turn keep-alive on or off.

        Parameters
        ----------
        on : bool
        at_ns : int
        """
        self._called(at_ns, lambda w, e, now: kernel.set_keepalive(w, e, int(on), now))

    def advance(self, until_ns: int) -> list[tuple[int, Segment]]:
        """Run the timers up to a time.

        Parameters
        ----------
        until_ns : int

        Returns
        -------
        list of (int, Segment)
            What was sent, each with its time.
        """
        sent: list[tuple[int, Segment]] = []
        due = self.next_timer_ns
        while due is not None and due <= until_ns:
            sent.extend((due, segment) for segment in self._call(due, kernel.expire))
            due = self.next_timer_ns
        self._now = max(self._now, until_ns)
        return sent

    def _call(self, at_ns: int, function: Callable[..., Any], *more: int) -> list[Segment]:
        return self._called(at_ns, lambda w, e, now: function(w, e, now, *more))[0]

    def _called(self, at_ns: int, function: Callable[..., Any]) -> tuple[list[Segment], Any]:
        if at_ns < self._now:
            raise BadInput(f"time runs backwards: {at_ns} ns after {self._now} ns")
        due = self.next_timer_ns
        if due is not None and due < at_ns:
            raise BadInput(f"a timer is due at {due} ns; advance() to {at_ns} ns first")
        self._now = at_ns
        world = self._world = grow(self._world, OUT_ROWS)
        world.count[C_OUT] = 0
        done = function(world, 0, at_ns)
        rows = world.out[: world.count[C_OUT]].tolist()
        sent = [to_segment(world.segments[row]) for row in rows]
        for row in rows:
            give_segment(world, row)
        return sent, done


def _stack(asked: str | Stack) -> Stack:
    return stack(asked) if isinstance(asked, str) else asked
