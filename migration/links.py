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
        cls, rate: float | Sequence[tuple[int, float]] | Link, taken_bytes_per_s: float = 0.0
    ) -> Link:
        """Make a link of a rate, of steps, or of a link; less what other traffic takes."""
        if isinstance(rate, Link):
            steps: Sequence[tuple[int, float]] = rate.steps
        elif isinstance(rate, int | float):
            steps = ((0, float(rate)),)
        else:
            steps = tuple(rate)
        return cls(tuple((start, left - taken_bytes_per_s) for start, left in steps))

    def at(self, t_ns: float) -> float:
        """Return the rate at a time, in bytes/s."""
        return [rate for start, rate in self.steps if start <= max(t_ns, 0)][-1]

    def capped(self, cap_bytes_per_s: float) -> Link:
        """Return the link, nowhere faster than a cap."""
        return Link(tuple((start, min(rate, cap_bytes_per_s)) for start, rate in self.steps))

    def times(self, factor: float) -> Link:
        """Return the link, everywhere `factor` times as fast."""
        return Link(tuple((start, rate * factor) for start, rate in self.steps))
