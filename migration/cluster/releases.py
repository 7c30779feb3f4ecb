"""Releases of the hosts' system: which have failover clusters and live migration, and their limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OperatingSystem:
    """A release of the host's system.

    Parameters
    ----------
    name : str
    level : str
        Release whose rules hold: ``2008``, ``2008 R2``, ``2012``.
    clusters : bool
        Whether the edition has failover clustering.
    live : bool
        Whether the release has live migration.
    most_nodes : int
        Nodes of a cluster.
    moves : int
        Live moves that a node takes part in at a time.
    """

    name: str
    level: str
    clusters: bool
    live: bool
    most_nodes: int
    moves: int


OPERATING_SYSTEMS: dict[str, OperatingSystem] = {
    one.name: one
    for one in (
        OperatingSystem("2008 Enterprise", "2008", True, False, 16, 0),
        OperatingSystem("2008 R2 Standard", "2008 R2", False, False, 0, 0),
        OperatingSystem("2008 R2 Enterprise", "2008 R2", True, True, 16, 1),
        OperatingSystem("2008 R2 Datacenter", "2008 R2", True, True, 16, 1),
        OperatingSystem("Hyper-V Server 2008 R2", "2008 R2", True, True, 16, 1),
        OperatingSystem("2012 Standard", "2012", True, True, 64, 2),
        OperatingSystem("2012 Datacenter", "2012", True, True, 64, 2),
        OperatingSystem("Hyper-V Server 2012", "2012", True, True, 64, 2),
    )
}
"""Name -> release. One move a node before 2012 (windowsitpro); two are 2012's default (believed)."""
