"""Processors of hosts by name: vendor, what they offer to guests, and who translates guest memory.

A guest sees the features of the processor that it was started on; it can go on only where all of
them are. Processor compatibility mode hides a list of them from the guest, so that it can go on
where they are missing; it does not help between vendors.

Sources: features that guests can use, QEMU target/i386/cpu.c, models Conroe, Penryn, Nehalem,
Westmere, SandyBridge, Opteron_G2, Opteron_G3, Opteron_G4; 3DNow! of family 10h and before, cores
and clocks are believed (vendors' product pages, not read). What compatibility mode hides: Microsoft
virtualization blog, 9 June 2009, and TechNet gg299590; what came to market after that list (AES and
later) is believed to be hidden too.
"""

from __future__ import annotations

from dataclasses import dataclass

from pcaps.errors import BadInput
from vswitch.problems import unknown

INTEL, AMD = "GenuineIntel", "AuthenticAMD"

_LATER = frozenset({"AES", "PCLMULQDQ", "FMA4", "XOP"})
HIDDEN: dict[str, frozenset[str]] = {
    INTEL: _LATER
    | {"SSSE3", "SSE4.1", "SSE4.2", "POPCNT", "misaligned-SSE", "XSAVE", "AVX"},
    AMD: _LATER
    | {
        "SSSE3", "SSE4.1", "SSE4.A", "SSE5", "POPCNT", "LZCNT", "misaligned-SSE", "3DNow!",
        "ext-3DNow!", "SSE4.2", "XSAVE", "AVX",
    },
}  # fmt: skip
"""Vendor -> features that a guest in compatibility mode does not see."""


@dataclass(frozen=True)
class Processor:
    """A processor that hosts can have.

    Parameters
    ----------
    name : str
        As it is sold.
    vendor : str
        As CPUID says it: ``GenuineIntel`` or ``AuthenticAMD``.
    family : str
        Name of its design.
    cores, threads : int
        Cores of a socket; threads of a core.
    clock_hz : float
    slat : bool
        Whether it translates guest addresses itself (EPT, NPT).
    features : frozenset of str
        What not all x64 processors have, and guests can use.
    """

    name: str
    vendor: str
    family: str
    cores: int
    threads: int
    clock_hz: float
    slat: bool
    features: frozenset[str]

    @property
    def logical_processors(self) -> int:
        """Logical processors of a socket."""
        return self.cores * self.threads

    def seen(self, compatibility: bool) -> frozenset[str]:
        """Return the features that a guest started on it sees.

        Parameters
        ----------
        compatibility : bool
            In processor compatibility mode.

        Returns
        -------
        frozenset of str
        """
        return self.features - HIDDEN[self.vendor] if compatibility else self.features


_CONROE = frozenset({"SSSE3"})
_PENRYN = _CONROE | {"SSE4.1"}
_NEHALEM = _PENRYN | {"SSE4.2", "POPCNT"}
_WESTMERE = _NEHALEM | {"AES", "PCLMULQDQ"}
_SANDY_BRIDGE = _WESTMERE | {"XSAVE", "AVX"}
_NOW = frozenset({"3DNow!", "ext-3DNow!"})
_K10 = frozenset({"POPCNT", "LZCNT", "SSE4.A", "misaligned-SSE"})
_BULLDOZER = _SANDY_BRIDGE | _K10 | {"FMA4", "XOP"}

PROCESSORS: dict[str, Processor] = {
    one.name: one
    for one in (
        Processor("Xeon 5160", INTEL, "Woodcrest", 2, 1, 3.0e9, False, _CONROE),
        Processor("Xeon X5460", INTEL, "Harpertown", 4, 1, 3.16e9, False, _PENRYN),
        Processor("Xeon X5570", INTEL, "Nehalem", 4, 2, 2.93e9, True, _NEHALEM),
        Processor("Xeon X7560", INTEL, "Nehalem-EX", 8, 2, 2.26e9, True, _NEHALEM),
        Processor("Xeon X5670", INTEL, "Westmere", 6, 2, 2.93e9, True, _WESTMERE),
        Processor("Xeon E5-2670", INTEL, "Sandy Bridge", 8, 2, 2.6e9, True, _SANDY_BRIDGE),
        Processor("Opteron 2220", AMD, "Santa Rosa", 2, 1, 2.8e9, False, _NOW),
        Processor("Opteron 2356", AMD, "Barcelona", 4, 1, 2.3e9, True, _K10 | _NOW),
        Processor("Opteron 2435", AMD, "Istanbul", 6, 1, 2.6e9, True, _K10 | _NOW),
        Processor("Opteron 6174", AMD, "Magny-Cours", 12, 1, 2.2e9, True, _K10 | _NOW),
        Processor("Opteron 6276", AMD, "Bulldozer", 16, 1, 2.3e9, True, _BULLDOZER),
    )
}
"""Name -> processor."""


def processor(name: str) -> Processor:
    """Return a processor by name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Processor

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    if name in PROCESSORS:
        return PROCESSORS[name]
    raise BadInput(unknown("processor", name, list(PROCESSORS)))


def missing(started_on: Processor, target: Processor, compatibility: bool) -> list[str]:
    """Return the features that a guest sees and would not find on the target.

    Parameters
    ----------
    started_on, target : Processor
        Of one vendor.
    compatibility : bool
        Whether the guest was started in compatibility mode.

    Returns
    -------
    list of str
        In order; empty when it can go on there.
    """
    return sorted(started_on.seen(compatibility) - target.features)
