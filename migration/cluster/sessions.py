"""TCP sessions through what happened to a VM: a move, a pause at the source, or the loss of its network.

The sessions are those of ``vswitch migrate --synthetic``; verdicts have the same form. Only the blackout
is carried over: its length is that of the cluster's move, so memory is not copied a second time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import migration

FOR_GOOD_NS = 1_200_000_000_000
"""What stands for a loss that does not end: longer than the default stacks endure."""
_MEMORY = "1MiB"
_AT = "1s"


@lru_cache(maxsize=4096)
def _replayed(count: int, blackout_us: int, peers: str, traffic: str, dark: bool, seed: int) -> Any:
    done = migration.replay(
        connections=count, blackout=f"{blackout_us}us", outage="true" if dark else "false",
        stack_client=peers, traffic=traffic, memory=_MEMORY, at=_AT, margins=False, seed=seed,
    )  # fmt: skip
    summary = done.summary()
    first = next(
        (one for one in done.outcomes if one.verdict.value in ("timed_out", "reset")), None
    )
    return summary, "" if first is None else first.reason


def through(
    count: int,
    blackout_ns: int,
    peers: str,
    *,
    traffic: str = "rr",
    dark: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Replay sessions through a blackout.

    Parameters
    ----------
    count : int
        How many.
    blackout_ns : int
        Time in which the VM does not answer.
    peers : str
        TCP stack of the clients.
    traffic : str
        ``rr``, ``pace`` or ``bulk``.
    dark : bool
        The VM runs on, without network, instead of standing still.
    seed : int

    Returns
    -------
    dict
        Verdicts counted, the longest stall in seconds, and why the first one that was lost is.
    """
    summary, reason = _replayed(count, round(blackout_ns / 1000), peers, traffic, dark, seed)
    return {
        "sessions": count,
        "traffic": traffic,
        "peers": peers,
        "blackout_s": blackout_ns / 1e9,
        "survived": summary["survived"],
        "timed_out": summary["timed_out"],
        "reset": summary["reset"],
        "finished": summary["finished"],
        "max_stall_s": summary["max_stall_s"],
        "reason": reason,
    }


def forgotten(count: int, outage_ns: int, peers: str) -> dict[str, Any]:
    """Return the verdicts of sessions with a VM that was started anew: it knows none of them.

    Parameters
    ----------
    count : int
    outage_ns : int
        Until its services answer again.
    peers : str

    Returns
    -------
    dict
        As of :func:`through`. Rule: RFC 9293 section 3.10.7.1, a segment to no connection is answered by a reset.
    """
    return {
        "sessions": count,
        "traffic": "rr",
        "peers": peers,
        "blackout_s": outage_ns / 1e9,
        "survived": 0,
        "timed_out": 0,
        "reset": count,
        "finished": 0,
        "max_stall_s": outage_ns / 1e9,
        "reason": "the VM was started anew and knows none of its connections",
    }


def verdicts(found: dict[str, Any]) -> str:
    """Return verdicts in a sentence."""
    lost = found["timed_out"] + found["reset"]
    text = (
        f"{found['sessions']} sessions ({found['traffic']}, peers {found['peers']}) through "
        f"{found['blackout_s']:.3f} s: {found['survived']} survived, {found['timed_out']} timed out, "
        f"{found['reset']} reset; longest stall {found['max_stall_s']:.3f} s"
    )
    return f"{text}; {found['reason']}" if lost and found["reason"] else text
