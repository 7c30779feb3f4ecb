"""A TCP segment as a stack gets or sends it, and arithmetic of its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
WRAP = 1 << 32


class Options(NamedTuple):
    """TCP options that matter here.

    Parameters
    ----------
    timestamps : tuple of (int, int), optional
        Value and echo.
    mss, scale : int, optional
        Of a SYN.
    sack : bool
        SACK permitted, of a SYN.
    """

    timestamps: tuple[int, int] | None = None
    mss: int | None = None
    scale: int | None = None
    sack: bool = False


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment.

    Parameters
    ----------
    ts_ns : int
        When.
    sequence, acknowledgment, flags, window : int
        Header fields, the window not scaled.
    payload : bytes
        What the capture has of its data, zeros where it was cut.
    options : Options
        Timestamps, and what a SYN offers.
    detour : bool
        It came with IP options, or in fragments that the host had to join.
    """

    ts_ns: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    payload: bytes = b""
    options: Options = NO_OPTIONS
    detour: bool = False

    @property
    def pure_ack(self) -> bool:
        """True for an acknowledgment without data and without other flags."""
        return not self.payload and self.flags & (FIN | SYN | RST | ACK) == ACK

    @property
    def end(self) -> int:
        """Number behind its data and its FIN."""
        return (self.sequence + len(self.payload) + bool(self.flags & FIN)) % WRAP


def signed(difference: int) -> int:
    """Return the difference of two sequence numbers, by the shorter way round.

    Parameters
    ----------
    difference : int
        Of two 32-bit numbers.

    Returns
    -------
    int
        Negative when the first is behind the second.
    """
    return (difference + WRAP // 2) % WRAP - WRAP // 2
