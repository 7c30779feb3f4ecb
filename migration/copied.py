"""What a pre-copy has done so far: its passes, and why it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from migration.guest import Guest
from migration.move import Pass
from migration.sender import Sender


class Ending(Enum):
    """Why pre-copy ended; the value is a sentence."""

    SMALL = "What is left is small enough."
    ROUNDS = "The cap on passes is reached."
    VOLUME = "More than the allowed multiple of memory was sent."
    GROWTH = "The last pass sent more than the one before it, at the highest rate."
    STUCK = "What is left gets no smaller."
    GIVEN_UP = "The time to give up has come."
    POSTCOPY = "Post-copy was asked for."


@dataclass(frozen=True)
class Progress:
    """How far a move is, for those who wait.

    Parameters
    ----------
    passes : int
        Passes that are over.
    now_ns : float
        Time of the move.
    pending : int
        Pages to send.
    """

    passes: int
    now_ns: float
    pending: int


Tell = Callable[[Progress], None]


@dataclass
class Copied:
    """Passes of a pre-copy that runs or has ended.

    Parameters
    ----------
    guest : Guest
    sender : Sender
    tell : callable, optional
        Told after every pass.
    """

    guest: Guest
    sender: Sender
    tell: Tell | None = None
    ending: Ending = Ending.SMALL
    passes: list[Pass] = field(default_factory=list)
    syncs: int = 0
    throttle: float = 0.0
    fresh: int = 0
    _start_ns: float = 0.0
    _sent: tuple[int, int, float] = (0, 0, 0.0)

    def begin(self) -> None:
        """Read the first dirty log: every page."""
        self.guest.begin(self.sender.now_ns)
        self.syncs = 1
        self._open(self.sender.now_ns)

    def _open(self, now_ns: float) -> None:
        self._start_ns = now_ns
        self._sent = self.sender.sent

    @property
    def sent_pages(self) -> int:
        """Pages sent in this pass."""
        return self.sender.sent[0] - self._sent[0]

    def close(self, fresh: int, end_ns: float | None = None) -> None:
        """End a pass at a sync that found `fresh` pages, or the last one at `end_ns`.

        A pass in which nothing was sent is none, but the last one is always there.
        """
        now_ns = self.sender.now_ns if end_ns is None else end_ns
        began, sent = self._sent, self.sender.sent
        start = round(self._start_ns)
        if sent[0] > began[0] or end_ns is not None:
            self.passes.append(
                Pass(
                    start_ns=start,
                    duration_ns=round(now_ns) - start,
                    pages_sent=sent[0] - began[0],
                    pages_dirtied=fresh,
                    zero_pages=sent[1] - began[1],
                    bytes_sent=round(sent[2] - began[2]),
                    throttle=self.throttle,
                )
            )
        self._open(now_ns)
        if self.tell is not None:
            self.tell(Progress(len(self.passes), now_ns, self.guest.pending))

    def sync(self) -> int:
        """Read the dirty log, and end the pass."""
        self.fresh = self.guest.sync(self.sender.now_ns)
        self.syncs += 1
        self.close(self.fresh)
        return self.fresh
