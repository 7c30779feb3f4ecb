"""Which offloads an adapter has on, by release and by choice.

| offload | what it does in a replay |
|---|---|
| checksum | frames that leave by the adapter get right checksums |
| lso | a VM may send TCP packets longer than its MTU; they leave cut to size |
| rsc | TCP segments for a VM queue are joined before they reach the VM |
| chimney | shown per queue; ``vswitch chimney`` plays it |

Sources: Performance Tuning Guide 2008 (LSOv1 and checksums for guests; read),
overview-of-receive-segment-coalescing (NDIS 6.30; read; off for guests is believed),
gg162677 and KB951037 (chimney for guests in 2008 R2 alone, off; read).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pcaps.errors import BadInput


class Offload(StrEnum):
    """What an adapter can take off its host."""

    CHECKSUM = "checksum"
    LSO = "lso"
    RSC = "rsc"
    CHIMNEY = "chimney"


_O = Offload

AVAILABLE: dict[str, frozenset[Offload]] = {
    "r1": frozenset({_O.CHECKSUM, _O.LSO}),
    "r2": frozenset({_O.CHECKSUM, _O.LSO, _O.CHIMNEY}),
    "2012": frozenset({_O.CHECKSUM, _O.LSO, _O.RSC}),
}
"""By release: what guests can use."""

ON: dict[str, frozenset[Offload]] = dict.fromkeys(AVAILABLE, frozenset({_O.CHECKSUM, _O.LSO}))
"""By release: what is on unless someone chooses."""


def chosen_offloads(profile: str, title: str, asked: Iterable[str] | None) -> frozenset[Offload]:
    """Return the offloads that are on.

    Parameters
    ----------
    profile, title : str
        The release, by name and as people call it.
    asked : iterable of str, optional
        What someone chose; the release's own by default.

    Returns
    -------
    frozenset of Offload
        What guests can use.

    Raises
    ------
    BadInput
        When there is none of a name, or the release has not got it.
    """
    if asked is None:
        return ON[profile]
    found = set()
    for name in asked:
        if name not in set(Offload):
            raise BadInput(f"unknown offload '{name}'; use {', '.join(Offload)}")
        if name not in AVAILABLE[profile]:
            having = [one for one, offloads in AVAILABLE.items() if name in offloads]
            raise BadInput(
                f"profile {profile} ({title}) has no {name} for guests; take {' or '.join(having)}"
            )
        found.add(Offload(name))
    return frozenset(found)
