"""A move as a timeline: passes, suspension, parts of the blackout, handover, end.

All times are integer nanoseconds since the move was asked for. A move that was given up has
`completed` false: the VM never stopped and stays on the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["live", "quick", "postcopy"]


@dataclass(frozen=True)
class Pass:
    """What was sent between two readings of the dirty log.

    Parameters
    ----------
    start_ns, duration_ns : int
    pages_sent : int
        Zero pages too.
    pages_dirtied : int
        Found dirty at its end, that were not still to be sent.
    zero_pages : int
    bytes_sent : int
        On the wire.
    throttle : float
        Share of the time that the vCPUs were kept from running, 0 to 0.99.
    """

    start_ns: int
    duration_ns: int
    pages_sent: int
    pages_dirtied: int
    zero_pages: int
    bytes_sent: int
    throttle: float = 0.0


@dataclass(frozen=True)
class Move:
    """A VM's move from one host to another.

    Parameters
    ----------
    kind : {"live", "quick", "postcopy"}
    policy : str
    memory_bytes : int
    passes : tuple of Pass
        The last one of a live move is the copy while the VM was suspended.
    suspend_ns, resume_ns : int
        The VM stops on the source; it runs on the target.
    disconnect_ns, connect_ns : int
        The source's port is gone; the target's is there. Frames between the two reach neither.
    end_ns : int
        Nothing of the move is left to do.
    parts : dict of str to int
        Parts of the blackout in order, ns; they add up to ``resume_ns - suspend_ns``.
    downtime_ns : int
        What the policy itself reports. QEMU's counts until its socket took the last byte.
    total_ns : int
        What the policy itself reports as the move's time.
    bytes_sent : int
    converged : bool
        Pre-copy ended because the rest was small enough.
    completed : bool
        The VM runs on the target at the end.
    why : str
        When it did not converge: a sentence that says so, and what would make it.
    brownout : tuple of (int, int)
        Intervals in which a guest that runs on the target waits for pages (post-copy).
    memory_equal : bool or None
        The target's memory was compared page by page with the source's; None without pages.
    syncs : int
        Readings of the dirty log, as QEMU's ``dirty-sync-count`` has it.
    announce : str
        How the network is told, see :mod:`migration.announce`.
    page_requests : int
        Pages that a post-copy guest had to ask for.
    """

    kind: Kind
    policy: str
    memory_bytes: int
    passes: tuple[Pass, ...]
    suspend_ns: int
    resume_ns: int
    disconnect_ns: int
    connect_ns: int
    end_ns: int
    parts: dict[str, int]
    downtime_ns: int
    total_ns: int
    bytes_sent: int
    converged: bool
    completed: bool = True
    why: str = ""
    brownout: tuple[tuple[int, int], ...] = ()
    memory_equal: bool | None = None
    syncs: int = 0
    announce: str = "none"
    page_requests: int = 0

    @property
    def blackout_ns(self) -> int:
        """Time in which the VM runs nowhere."""
        return self.resume_ns - self.suspend_ns

    def to_dict(self) -> dict[str, Any]:
        """Return the move as JSON has it: times in seconds.

        Returns
        -------
        dict
        """
        return {
            "kind": self.kind,
            "policy": self.policy,
            "memory_bytes": self.memory_bytes,
            "passes": [
                {
                    "start_s": one.start_ns / 1e9,
                    "duration_s": one.duration_ns / 1e9,
                    "pages_sent": one.pages_sent,
                    "pages_dirtied": one.pages_dirtied,
                    "zero_pages": one.zero_pages,
                    "bytes_sent": one.bytes_sent,
                    "throttle": one.throttle,
                }
                for one in self.passes
            ],
            "total_s": self.total_ns / 1e9,
            "downtime_s": self.downtime_ns / 1e9,
            "blackout_s": self.blackout_ns / 1e9,
            "suspend_s": self.suspend_ns / 1e9,
            "disconnect_s": self.disconnect_ns / 1e9,
            "connect_s": self.connect_ns / 1e9,
            "resume_s": self.resume_ns / 1e9,
            "end_s": self.end_ns / 1e9,
            "parts": {name.replace(" ", "_"): ns / 1e9 for name, ns in self.parts.items()},
            "bytes_sent": self.bytes_sent,
            "syncs": self.syncs,
            "converged": self.converged,
            "completed": self.completed,
            "why": self.why,
            "brownout_s": sum(stop - start for start, stop in self.brownout) / 1e9,
            "page_requests": self.page_requests,
            "memory_equal": self.memory_equal,
            "announce": self.announce,
        }
