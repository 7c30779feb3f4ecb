"""What a policy asks of a guest's memory, be it in pages or in counts."""

from __future__ import annotations

from typing import Protocol

from migration.sender import Sender


class Guest(Protocol):
    """Memory that is written while it is sent."""

    pages: int
    """Pages in all."""

    @property
    def pending(self) -> int:
        """Pages to send."""

    def begin(self, now_ns: float) -> None:
        """Begin to note writes; all pages are to send."""

    def sync(self, now_ns: float) -> int:
        """Add the pages written since the last sync to those to send; return how many are new."""

    def dirty(self, now_ns: float) -> int:
        """Return the pages written since the last sync."""

    def push(self, sender: Sender, tested: bool) -> bool:
        """Send in bursts; True when the rest may be small enough, False at the deadline."""

    def send_all(self, sender: Sender, skip: bool) -> None:
        """Send every page to send once, from the first on."""

    def throttle(self, now_ns: float, share: float) -> None:
        """Let the vCPUs run only this share of the time from now on."""

    def stop(self, now_ns: float) -> None:
        """Stop the vCPUs."""

    def equal(self) -> bool | None:
        """Tell whether the target has the source's memory; None when there are no pages."""
