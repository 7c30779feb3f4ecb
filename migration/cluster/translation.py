"""Guest memory translation: shadow page tables kept by the hypervisor, or SLAT done by the processor.

    shadow   every change of a guest's page table leaves the guest, and the hypervisor keeps tables of its own
    SLAT     a second table that only the hypervisor writes (EPT, NPT); a miss walks both

Two costs on the host, processor time and memory, and one in a move: a page that is written for the
first time in a pass leaves the guest once, so that it stands in the dirty log.

Sources: share of processor time and memory, :mod:`vswitch.costs` (``hypervisor_shadow``,
``hypervisor_slat``, ``shadow_memory``), each with its status. Cycles of a write that is noted are
chosen: an exit and a change of one entry, and for shadow tables the guest's own table to walk too.
"""

from __future__ import annotations

from dataclasses import dataclass

from migration.move import Move
from vswitch.costs import CostTable

NOTE_CYCLES = {True: 2_000.0, False: 6_000.0}
"""SLAT or not -> cycles of the first write to a page in a pass (chosen)."""


@dataclass(frozen=True)
class Translation:
    """What translation costs a host.

    Parameters
    ----------
    slat : bool
        Whether the processor does it.
    share : float
        Of each processor's time.
    bytes_per_vm : int
        Host memory for each VM.
    clock_hz : float
        Of a processor.
    """

    slat: bool
    share: float
    bytes_per_vm: int
    clock_hz: float

    @property
    def name(self) -> str:
        """What people call it."""
        return "SLAT" if self.slat else "shadow page tables"

    def tracking(self, move: Move) -> float:
        """Return the processor time that the dirty log of a move costs the source.

        Parameters
        ----------
        move : Move

        Returns
        -------
        float
            Seconds of one logical processor.
        """
        noted = sum(one.pages_dirtied for one in move.passes)
        return noted * NOTE_CYCLES[self.slat] / self.clock_hz


def translation_of(slat: bool, clock_hz: float) -> Translation:
    """Return what translation costs on a processor.

    Parameters
    ----------
    slat : bool
        Whether the processor has SLAT.
    clock_hz : float

    Returns
    -------
    Translation
    """
    costs = CostTable.base()
    name = "hypervisor_slat" if slat else "hypervisor_shadow"
    memory = 0 if slat else round(costs["shadow_memory"])
    return Translation(slat, costs[name] / 100.0, memory, clock_hz)
