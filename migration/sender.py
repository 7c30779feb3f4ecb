"""The sender of a move as Python holds it: one record, and the link that it sends over."""

from __future__ import annotations

import math

import numpy as np

from migration.links import Link
from migration.policies import Policy
from migration.sender_kernel import SENDER

NS = 1e9


class Sender:
    """State of what sends: time, socket, rate windows, counters.

    Parameters
    ----------
    policy : Policy
    link : Link
        What the wire carries.
    cap_bytes_per_s : float
        Bound on pre-copy; infinity for none.
    downtime_limit_ns : int
    known_rate : float
        Bandwidth told instead of measured, in bytes/s; 0 to measure.
    """

    def __init__(
        self, policy: Policy, link: Link, cap_bytes_per_s: float = math.inf,
        downtime_limit_ns: int = 0, known_rate: float = 0.0,
    ) -> None:  # fmt: skip
        self.link = link
        self.rows = np.zeros(1, SENDER).view(np.recarray)
        self.record = self.rows[0]
        # a column is read in a tenth of the time that an attribute of a record takes
        self._now, self._wire, self._threshold, *self._sent = (
            np.asarray(self.rows[name])
            for name in (
                "now_ns",
                "wire_free_ns",
                "threshold_bytes",
                "sent_pages",
                "sent_zeros",
                "sent_bytes",
            )
        )
        s = self.record
        s.socket_bytes = policy.socket_bytes
        s.window_ns = policy.window_ns if policy.looks == "bursts" else math.inf
        s.burst_ns = policy.burst_ns if policy.looks == "bursts" else math.inf
        s.quota_bytes = math.inf
        s.limit_ns = downtime_limit_ns
        s.known_rate = known_rate / NS
        s.deadline_ns = math.inf
        s.page_bytes, s.zero_bytes = policy.page_bytes, policy.zero_bytes
        s.now_ns = policy.setup_ns
        s.window_start_ns = policy.setup_ns
        if policy.looks == "bursts":
            self._over(link)
            s.quota_bytes = cap_bytes_per_s * s.window_ns / NS
        else:
            self._over(link.capped(cap_bytes_per_s))

    def _over(self, link: Link) -> None:
        self.link_start = np.array([start for start, _ in link.steps], np.float64)
        self.link_rate = np.array([rate / NS for _, rate in link.steps], np.float64)
        self.record.step = 0

    def pace(self, rate_bytes_per_s: float) -> None:
        """Send no faster than this from now on; infinity lifts every bound but the link's."""
        self.record.quota_bytes = math.inf
        self._over(self.link.capped(rate_bytes_per_s))

    @property
    def now_ns(self) -> float:
        """Time of the move."""
        return float(self._now.item())

    @now_ns.setter
    def now_ns(self, now_ns: float) -> None:
        self._now[0] = now_ns

    @property
    def wire_free_ns(self) -> float:
        """When everything that was sent will have left the wire."""
        return float(max(self._wire.item(), self._now.item()))

    @property
    def threshold_bytes(self) -> float:
        """Below it the rest is small enough."""
        return float(self._threshold.item())

    @property
    def sent(self) -> tuple[int, int, float]:
        """Pages, zero pages among them, and bytes sent so far."""
        pages, zeros, n_bytes = (column.item() for column in self._sent)
        return pages, zeros, n_bytes
