"""What applications do, compiled: writes, closes and aborts, each after bytes and a pause.

Every application is one rule: its next action waits until `need` bytes of the
peer's stream have come, then for `think` ns, then it is done. The kinds differ only
in where the next action comes from: a table of turns that were captured, or a
pattern that goes on for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.endpoint_kernel import abort, close, write
from migration.tcp.state_kernel import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2
from migration.turns_kernel import CLOSE, WRITE
from pcaps.jit import kernel

SILENT, TURNS, ASK, ANSWER, STREAM = 0, 1, 2, 3, 4
"""Kinds: nothing more to do; turns of a table; request after response, or at each interval
when no response is waited for; response after request; one write without end."""

NEVER = 1 << 62
ENDLESS = 1 << 50
"""Bytes of a stream without end: a petabyte."""

APP = np.dtype(
    (
        np.record,
        [
            ("due", "i8"),  # when the next action is due, own clock; NEVER = it waits for bytes
            ("need", "i8"),  # bytes of the peer's stream that it waits for
            ("think", "i8"),  # ns after them
            ("interval", "i8"),  # patterns: think of each action but the first
            ("next", "i8"),  # turns: row of the next; patterns: actions done
            ("last", "i8"),  # turns: behind the last row; patterns: actions in all, -1 = no end
            ("size", "i8"),  # patterns: bytes of a write
            ("want", "i8"),  # patterns: bytes that are waited for before the next one
            ("kind", "u1"),
            ("pad", "u1", (7,)),
        ],
    )
)
"""The application of one endpoint."""


@kernel(_nrt=False)
def received(s: Any) -> Any:
    """Return how many bytes of the peer's stream have come in order; its end counts as one more."""
    return max(s.rcv_nxt - 1, np.int64(0))


@kernel(_nrt=False)
def look_ahead(a: Any, turns: Any) -> None:
    """Set what the next action waits for; the kind becomes SILENT behind the last one."""
    a.due = NEVER
    if a.next == a.last:
        a.kind = SILENT
        return
    if a.kind == TURNS:
        a.need = turns[a.next].need
        a.think = turns[a.next].think_ns
    elif a.next > 0:
        a.need += a.want
        a.think = a.interval


@kernel(_nrt=False)
def act(w: Any, e: Any, a: Any, turns: Any, now: Any) -> None:
    """Do the next action."""
    if a.kind == TURNS:
        turn = turns[a.next]
        if turn.kind == WRITE:
            write(w, e, turn["size"], now)
        elif turn.kind == CLOSE:
            close(w, e, now)
        else:
            abort(w, e, now)
    elif a.kind == STREAM:
        write(w, e, ENDLESS, now)
    else:
        write(w, e, a["size"], now)
    a.next += 1


@kernel(_nrt=False)
def go_on(w: Any, e: Any, a: Any, turns: Any, now: Any) -> None:
    """Let the application do whatever is due at `now`."""
    s = w.endpoints[e]
    while a.kind != SILENT:
        # Rule: RFC 9293 section 3.10.2: data is taken before the close of this side only
        if s.state not in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, FIN_WAIT_2):
            return
        if a.due == NEVER:
            if received(s) < a.need:
                return
            a.due = now + a.think
        if now < a.due:
            return
        act(w, e, a, turns, now)
        look_ahead(a, turns)
