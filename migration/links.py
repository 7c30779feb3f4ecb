"""The link that a move goes over: what of it is left for the move, and when.

A link's rate in bit/s is what its wire carries; a move gets the payload of full TCP segments out
of it, less what VM traffic takes. A rate in bytes/s is that payload already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pcaps.errors import BadInput

WIRE_BYTES_AROUND = 38
"""Preamble 8, Ethernet header 14, FCS 4, gap 12 (IEEE 802.3)."""
HEADER_BYTES = 52
"""IPv4 20, TCP 20, timestamps option 12 (RFC 9293, RFC 7323)."""


def payload_rate(line_bps: float, mtu_bytes: int = 1500) -> float:
    """Return the bytes/s that bulk TCP gets out of a line.

    Parameters
    ----------
    line_bps : float
        Line rate in bit/s.
    mtu_bytes : int

    Returns
    -------
    float
        1 Gbit/s with 1500: 1448 of 1538 bytes, 117.7 MB/s.
    """
    return line_bps / 8 * (mtu_bytes - HEADER_BYTES) / (mtu_bytes + WIRE_BYTES_AROUND)


def _steps(rate: float | Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    return ((0, float(rate)),) if isinstance(rate, int | float) else tuple(rate)


def _rate_at(steps: Sequence[tuple[int, float]], t_ns: float) -> float:
    return next((rate for start, rate in reversed(steps) if start <= t_ns), 0.0)


@dataclass(frozen=True)
class Link:
    """Payload rate over time.

    Parameters
    ----------
    steps : tuple of (int, float)
        From which time of the move, in ns, it carries how many bytes/s; the first is at 0.
    """

    steps: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.steps]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise BadInput("the rates of a link begin at 0 s, and their times only go up")
        for start, rate in self.steps:
            if not math.isfinite(rate) or rate <= 0:
                raise BadInput(
                    f"the link leaves {rate:g} bytes/s for the move from {start / 1e9:g} s on; "
                    "give a link faster than the traffic on it"
                )

    @classmethod
    def of(
        cls,
        rate: float | Sequence[tuple[int, float]] | Link,
        taken: float | Sequence[tuple[int, float]] = 0.0,
    ) -> Link:
        """Make a link of a rate, of steps, or of a link; less what other traffic takes.

        Parameters
        ----------
        rate, taken : float or sequence of (int, float)
            Bytes/s; or from which time, in ns, how many. What other traffic takes is nothing
            before its first step.
        """
        steps = rate.steps if isinstance(rate, Link) else cls(_steps(rate)).steps
        others = _steps(taken)
        if sorted(others) != list(others) or any(start < 0 for start, _ in others):
            raise BadInput("the times of other traffic on a link only go up, from 0 s or later")
        times = sorted({start for start, _ in (*steps, *others)})
        return cls(
            tuple((start, _rate_at(steps, start) - _rate_at(others, start)) for start in times)
        )

    def at(self, t_ns: float) -> float:
        """Return the rate at a time, in bytes/s."""
        return _rate_at(self.steps, max(t_ns, 0))

    def capped(self, cap_bytes_per_s: float) -> Link:
        """Return the link, nowhere faster than a cap."""
        return Link(tuple((start, min(rate, cap_bytes_per_s)) for start, rate in self.steps))

    def times(self, factor: float) -> Link:
        """Return the link, everywhere `factor` times as fast."""
        return Link(tuple((start, rate * factor) for start, rate in self.steps))
