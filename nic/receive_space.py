"""The receive sequence space of one TCP direction: what arrived, what is missing, what can go up.

Guarantees
----------
* Bytes go up once, in order. Where segments overlap, the bytes that came first stay.
* Positions count from the first byte and do not wrap; sequence numbers may.

Left to the caller: whether a segment may be taken at all, and SYN, FIN and RST.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum

LARGEST_WINDOW = 1 << 30
"""Rule: RFC 7323 section 2.3, windows are below 2**30 bytes; what is further away is not ours."""


class Fit(IntEnum):
    """How a segment with data lies in the space."""

    IN_ORDER = 0
    OUT_OF_ORDER = 1
    DUPLICATE = 2
    OUTSIDE = 3


class ReceiveSpace:
    """One direction's sequence space.

    Parameters
    ----------
    next_sequence : int
        Sequence number of the next byte that is expected.
    held : tuple of (int, bytes)
        What waits, as from :attr:`held` of another stack's space.

    Attributes
    ----------
    position : int
        Bytes that went up or were passed over.
    """

    def __init__(self, next_sequence: int, held: tuple[tuple[int, bytes], ...] = ()) -> None:
        self.position = 0
        self._origin = next_sequence
        self._held = list(held)  # position and bytes, in order, none overlapping

    @property
    def next_sequence(self) -> int:
        """RCV.NXT without SYN and FIN: the number of the next byte that is expected."""
        return (self._origin + self.position) % 2**32

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for what is missing before them."""
        return sum(len(piece) for _, piece in self._held)

    @property
    def held(self) -> tuple[tuple[int, bytes], ...]:
        """What waits: distance from the next byte, and bytes."""
        return tuple((at - self.position, piece) for at, piece in self._held)

    def position_of(self, sequence: int) -> int:
        """Return the position of a sequence number, by the shorter way from the next byte.

        Parameters
        ----------
        sequence : int
            32 bits.

        Returns
        -------
        int
            Negative before the first byte.
        """
        ahead = (sequence - self.next_sequence + 2**31) % 2**32 - 2**31
        return self.position + ahead

    def arrive(self, sequence: int, payload: bytes) -> tuple[Fit, bytes]:
        """Take a segment's payload.

        Parameters
        ----------
        sequence : int
            Number of its first byte.
        payload : bytes
            Not empty.

        Returns
        -------
        fit : Fit
            How it lies.
        data : bytes
            What can go up now; empty when something is missing before it.
        """
        at = self.position_of(sequence)
        if not self.position - LARGEST_WINDOW < at < self.position + LARGEST_WINDOW:
            return Fit.OUTSIDE, b""
        if at + len(payload) <= self.position:
            return Fit.DUPLICATE, b""
        if at > self.position:
            fresh = self._hold(at, payload)
            return (Fit.OUT_OF_ORDER if fresh else Fit.DUPLICATE), b""
        fresh_bytes = payload[self.position - at :]
        if not self._held:
            self.position += len(fresh_bytes)
            return Fit.IN_ORDER, fresh_bytes
        self._hold(self.position, fresh_bytes)
        return Fit.IN_ORDER, self._release()

    def pass_over(self, position: int) -> tuple[int, bytes]:
        """Give up what is missing before a position, since the receiver acknowledged it.

        Parameters
        ----------
        position : int
            Where to go on.

        Returns
        -------
        missing : int
            Bytes that nobody saw.
        data : bytes
            What can go up now.
        """
        missing, parts = 0, []
        while self.position < position:
            following = min(self._held[0][0] if self._held else position, position)
            missing += following - self.position
            self.position = following
            parts.append(self._release())
        return missing, b"".join(parts)

    def _hold(self, at: int, payload: bytes) -> bool:
        """Keep the bytes that nobody brought before; tell whether there were any."""
        end, fresh = at + len(payload), []
        place = bisect_left(self._held, (at,))
        if place and self._held[place - 1][0] + len(self._held[place - 1][1]) > at:
            place -= 1
        cursor = at
        for start, piece in self._held[place:]:
            if start >= end:
                break
            if start > cursor:
                fresh.append((cursor, payload[cursor - at : start - at]))
            cursor = max(cursor, start + len(piece))
        if cursor < end:
            fresh.append((cursor, payload[cursor - at :]))
        for one in fresh:
            self._held.insert(bisect_left(self._held, one), one)
        return bool(fresh)

    def _release(self) -> bytes:
        """Take out what is next."""
        parts, done = [], 0
        while done < len(self._held) and self._held[done][0] == self.position:
            piece = self._held[done][1]
            parts.append(piece)
            self.position += len(piece)
            done += 1
        del self._held[:done]
        return b"".join(parts)
