"""Why a frame of a replay ended on its way: the network's reasons, a sentence each.

The numbers are those of :mod:`migration.path_kernel`; below 64 stand the reasons of
switch and adapter (:class:`vswitch.verdict.DropReason`). Reports, JSON and the
comments of ``wire.pcapng`` all take names and sentences from here.
"""

from __future__ import annotations

from enum import IntEnum

from vswitch.verdict import DropReason


class Fate(IntEnum):
    """What ends a frame outside the hosts' switches and adapters."""

    QUEUE_FULL = 64
    LOST_AT_RANDOM = 65
    SUSPENDED = 66
    HOLD_FULL = 67
    DARK = 68
    PATH_MTU = 69
    NO_LISTENER = 70

    @property
    def label(self) -> str:
        """Name in counters, JSON and pcapng comments, such as ``queue-full``."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Fate.QUEUE_FULL: "The queue of the next link had no room for it.",
    Fate.LOST_AT_RANDOM: "The link lost it, as its loss rate says.",
    Fate.SUSPENDED: "The VM stood still, and nothing was there to take the frame.",
    Fate.HOLD_FULL: "As many frames as may be held for the VM were held already.",
    Fate.DARK: "The network between the ends was dark.",
    Fate.PATH_MTU: "It is longer than the MTU of the physical switch allows.",
    Fate.NO_LISTENER: "The switch sent it to another port than the VM's.",
}


def reason_of(number: int) -> Fate | DropReason:
    """Return why a frame ended.

    Parameters
    ----------
    number : int
        As in the log and the counters of a run, above 0.

    Returns
    -------
    Fate or DropReason
        Both have a `label` and a `sentence`.

    Raises
    ------
    ValueError
        When no reason has this number.
    """
    return DropReason(number) if number < min(Fate) else Fate(number)
