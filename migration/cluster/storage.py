"""Shared storage as a node sees it: paths under MPIO, volumes shared by a cluster (CSV).

    paths        several ways to a LUN; a device specific module (DSM) chooses by its policy
    direct I/O   a node writes a CSV over its own paths
    redirected   over the network to the coordinator, who writes: where own paths are gone, or on purpose
    coordinator  the node that owns a volume's metadata; another takes over when it is gone

Sources: MPIO timers, TechNet ee619749 (Configuring MPIO Timers, 2008 R2): a failed request is tried
again after 1 s; a LUN that has lost all paths stays for 20 s (PDORemovePeriod). Policies: MPIO User's Guide for 2008 R2 (believed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migration.cluster.model import Cluster, Volume

POLICIES = (
    "failover-only",
    "round-robin",
    "round-robin-subset",
    "least-queue-depth",
    "weighted-paths",
    "least-blocks",
)
"""How a DSM spreads requests over paths."""
ONE_AT_A_TIME = frozenset({"failover-only", "weighted-paths"})
"""Policies that use one path while it is there."""

RETRY_INTERVAL_NS = 1_000_000_000
PDO_REMOVE_NS = 20_000_000_000
ARBITRATE_NS = 3_000_000_000
"""Challenge and defence of a persistent reservation, before a VM may start anew (believed)."""
Lost = Mapping[tuple[str, str], int]
"""Host and volume -> paths between them that are gone."""


@dataclass(frozen=True)
class Reach:
    """How a node reaches a volume.

    Parameters
    ----------
    host, volume : str
    way : str
        ``direct``, ``redirected``, or ``none``.
    paths : int
        Own paths that are there.
    bytes_per_s : float
        What gets through; 0 where there is no way.
    through : str
        The coordinator, for redirected I/O.
    """

    host: str
    volume: str
    way: str
    paths: int
    bytes_per_s: float
    through: str = ""


def reach(
    cluster: Cluster,
    volume: Volume,
    host: str,
    lost: Lost | None = None,
    coordinator: str | None = None,
) -> Reach:
    """Return how a node reaches a volume.

    Parameters
    ----------
    cluster : Cluster
    volume : Volume
    host : str
    lost : mapping of (str, str) to int, optional
        Paths that are gone.
    coordinator : str, optional
        Who it is now; as the scenario says by default.

    Returns
    -------
    Reach
    """
    owner = coordinator or volume.coordinator
    count, used = _direct(volume, host, lost or {})
    if count and not (volume.csv and volume.redirected and host != owner):
        return Reach(host, volume.name, "direct", count, used)
    there, rate = _direct(volume, owner, lost or {})
    if volume.csv and host != owner and there:
        rate = min(rate, csv_rate(cluster))
        return Reach(host, volume.name, "redirected", count, rate, owner)
    return Reach(host, volume.name, "none", 0, 0.0)


def paths_left(volume: Volume, host: str, lost: Lost) -> int:
    """Return how many paths a node has to a volume."""
    return _direct(volume, host, lost)[0]


def _direct(volume: Volume, host: str, lost: Lost) -> tuple[int, float]:
    """Paths that are there, those of the first kind lost first, and what they carry by their policy."""
    gone = lost.get((host, volume.name), 0)
    count, used = 0, 0.0
    for one in volume.paths_of(host):
        left = max(0, one.count - gone)
        gone -= one.count - left
        count += left
        used += one.bytes_per_s * min(left, 1 if one.policy in ONE_AT_A_TIME else left)
    return count, used


def csv_rate(cluster: Cluster) -> float:
    """Return the payload rate of the network that redirected I/O takes."""
    meant = [one for one in cluster.networks if "csv" in one.uses]
    return max(one.bytes_per_s for one in meant or cluster.networks)
