"""QEMU's auto-converge: a guest that dirties faster than it is copied is slowed down.

A throttled vCPU sleeps between slices of running, so that it runs 1 - p of the time; a guest that
the processor bounds writes that much less. One that only paces itself may not notice.
"""

from __future__ import annotations

from dataclasses import dataclass

PERIOD_NS = 1_000_000_000
"""A sync counts when more than this has passed since the one that counted before."""
TRIGGER = 0.5
"""`throttle-trigger-threshold` 50 %: of the bytes sent in the period."""
TRIGGERS = 2
INITIAL, INCREMENT, MOST = 0.20, 0.10, 0.99
"""`cpu-throttle-initial`, `-increment`, `max-cpu-throttle` (migration/options.c)."""


@dataclass
class Throttle:
    """State of auto-converge.

    Parameters
    ----------
    last_ns : float
        Time of the last sync that counted; the first sync's to begin with.
    """

    last_ns: float
    throttle: float = 0.0
    _dirtied: float = 0.0
    _sent_before: float = 0.0
    _high: int = 0

    def at_sync(self, now_ns: float, dirtied_bytes: float, sent_bytes: float) -> bool:
        """Look at a sync; tell whether the throttle was raised.

        Parameters
        ----------
        now_ns : float
        dirtied_bytes : float
            Found dirty by this sync.
        sent_bytes : float
            Sent since the move began.

        Returns
        -------
        bool
        """
        self._dirtied += dirtied_bytes
        # Rule: QEMU migration_bitmap_sync: a period ends more than 1000 ms after the last one
        if now_ns <= self.last_ns + PERIOD_NS:
            return False
        raised = False
        # Rule: QEMU migration_trigger_throttle: the second time that more than half was dirtied
        if self._dirtied > TRIGGER * (sent_bytes - self._sent_before):
            self._high += 1
            if self._high >= TRIGGERS:
                self._high = 0
                raised = self._raise()
        self.last_ns, self._dirtied, self._sent_before = now_ns, 0.0, sent_bytes
        return raised

    def _raise(self) -> bool:
        """Raise the throttle.

        Rule: QEMU mig_throttle_guest_down: 20 %, then 10 % more each time, up to 99 %
        """
        before = self.throttle
        self.throttle = INITIAL if before == 0.0 else min(round(before + INCREMENT, 2), MOST)
        return self.throttle != before
