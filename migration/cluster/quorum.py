"""Who goes on when a cluster falls apart: votes of nodes and of a witness.

    node-majority    more than half of the nodes
    node-and-disk    more than half of the nodes and a disk, which votes with whoever owns it
    node-and-share   the same with a file share
    disk-only        whoever owns the disk, and nobody else

At most one part of a split cluster has quorum; the others stop their cluster service, and with it
their VMs, before anybody else may start these.

Source: Windows Server 2008 R2 failover clustering, "Configure Cluster Quorum Settings" (TechNet
cc770620, believed): one vote a node, one for the witness, majority of all configured votes.
"""

from __future__ import annotations

from collections.abc import Sequence

MODES = ("node-majority", "node-and-disk", "node-and-share", "disk-only")
WITNESSED = frozenset({"node-and-disk", "node-and-share"})


def votes(mode: str, nodes: int, has_witness: bool) -> int:
    """Return the votes that are configured.

    Parameters
    ----------
    mode : str
        Of :data:`MODES`.
    nodes : int
    has_witness : bool
        Whether the witness can be reached by anybody.

    Returns
    -------
    int
        A witness that is lost still counts among the votes, where the mode has one.
    """
    if mode == "disk-only":
        return 1
    return nodes + (1 if mode in WITNESSED else 0)


def has_quorum(mode: str, nodes: int, present: int, owns_witness: bool) -> bool:
    """Tell whether a part of a cluster may go on.

    Parameters
    ----------
    mode : str
    nodes : int
        That the cluster is made of.
    present : int
        That see each other in this part.
    owns_witness : bool
        Whether the witness votes with this part.

    Returns
    -------
    bool
    """
    if mode == "disk-only":
        return present > 0 and owns_witness
    mine = present + (1 if mode in WITNESSED and owns_witness else 0)
    return present > 0 and 2 * mine > votes(mode, nodes, owns_witness)


def survivor(
    mode: str, parts: Sequence[int], witness_with: int | None, nodes: int | None = None
) -> int | None:
    """Return which part of a split cluster goes on.

    Parameters
    ----------
    mode : str
    parts : sequence of int
        Nodes of each part.
    witness_with : int, optional
        Which part owns the witness; None when nobody reaches it.
    nodes : int, optional
        That the cluster is made of, where some are in no part; those of the parts by default.

    Returns
    -------
    int or None
        Its place in `parts`; None when no part has quorum.
    """
    nodes = sum(parts) if nodes is None else nodes
    for place, present in enumerate(parts):
        if has_quorum(mode, nodes, present, place == witness_with):
            return place
    return None


def survives_losses(mode: str, nodes: int, has_witness: bool) -> int:
    """Return how many nodes may be lost at once.

    Parameters
    ----------
    mode : str
    nodes : int
    has_witness : bool

    Returns
    -------
    int
        With the witness, where there is one, on the side that stays.
    """
    lost = 0
    while lost < nodes and has_quorum(mode, nodes, nodes - lost - 1, has_witness):
        lost += 1
    return lost
