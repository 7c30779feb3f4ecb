"""How long the peers of a VM endure that it does not answer, by their TCP stack.

The estimate that needs no simulation: a segment is in flight when the VM stops, nothing comes back,
and the retransmission timer doubles until the stack gives up. The replay of sessions says it exactly.

Rule: RFC 6298 section 5.5 (doubling); the count is the stack's, see :mod:`migration.tcp.stacks`.
"""

from __future__ import annotations

from migration.tcp.stacks import stack

UNBOUNDED_NS = 1 << 62
"""Of a stack that never gives up."""


def endured_ns(name: str, rtt_ns: int = 200_000) -> int:
    """Return the longest outage that a stack with data in flight endures.

    Parameters
    ----------
    name : str
        As for :func:`migration.tcp.stacks.stack`.
    rtt_ns : int

    Returns
    -------
    int
        Until its last retransmission, which is the last that can be answered.
    """
    found = stack(name)
    retransmissions = found.max_retransmissions or found.tcp_retries2
    limit = found.user_timeout or found.r2
    if retransmissions is None and limit is None:
        return UNBOUNDED_NS
    # Rule: RFC 6298 (2.3), (2.4): SRTT + 4 RTTVAR, not below the stack's minimum
    step = max(found.min_rto + (rtt_ns if found.timer_wheel else 0), rtt_ns * 3)
    spent = last = 0
    sent = 0
    while retransmissions is None or sent < retransmissions:
        spent += min(step, found.max_rto)
        if limit is not None and spent > limit:
            break
        last, sent, step = spent, sent + 1, step * 2
    return last
