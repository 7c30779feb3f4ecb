"""Shared storage as a node sees it: paths under MPIO, volumes shared by a cluster (CSV).

    paths        several ways to a LUN; a device specific module (DSM) chooses by its policy
    direct I/O   a node writes a CSV over its own paths
    redirected   over the network to the coordinator, who writes: where own paths are gone, or on purpose
    coordinator  the node that owns a volume's metadata; another takes over when it is gone

Sources: MPIO timers, TechNet ee619749 (Configuring MPIO Timers, 2008 R2): a failed request is tried
again up to 3 times, 1 s apart; a LUN that has lost all paths stays for 20 s (PDORemovePeriod); path
verification is off, every 30 s where it is on. Policies: MPIO User's Guide for 2008 R2 (believed).
"""

from __future__ import annotations

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

RETRY_COUNT = 3
RETRY_INTERVAL_NS = 1_000_000_000
PDO_REMOVE_NS = 20_000_000_000
PATH_VERIFY_NS = 30_000_000_000


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
    lost: frozenset[tuple[str, str]] = frozenset(),
    coordinator: str | None = None,
) -> Reach:
    """Return how a node reaches a volume.

    Parameters
    ----------
    cluster : Cluster
    volume : Volume
    host : str
    lost : frozenset of (str, str)
        Hosts and volumes between which all paths are gone.
    coordinator : str, optional
        Who it is now; as the scenario says by default.

    Returns
    -------
    Reach
    """
    owner = coordinator or volume.coordinator
    own = () if (host, volume.name) in lost else volume.paths_of(host)
    count = sum(one.count for one in own)
    used = sum(one.bytes_per_s * (1 if one.policy in ONE_AT_A_TIME else one.count) for one in own)
    if count and not (volume.csv and volume.redirected and host != owner):
        return Reach(host, volume.name, "direct", count, used)
    there = (owner, volume.name) not in lost and volume.paths_of(owner)
    if volume.csv and host != owner and there:
        network = csv_rate(cluster)
        return Reach(host, volume.name, "redirected", count, network, owner)
    return Reach(host, volume.name, "none", 0, 0.0)


def csv_rate(cluster: Cluster) -> float:
    """Return the payload rate of the network that redirected I/O takes."""
    meant = [one for one in cluster.networks if "csv" in one.uses]
    return max(one.bytes_per_s for one in meant or cluster.networks)


def path_outage_ns(paths_left: int) -> int:
    """Return how long requests wait when a path is lost.

    Parameters
    ----------
    paths_left : int
        Other paths of the node.

    Returns
    -------
    int
        Nanoseconds until another path serves them, or until the LUN is given up.
    """
    # Rule: TechNet ee619749: RetryInterval, RetryCount; PDORemovePeriod
    return RETRY_INTERVAL_NS if paths_left else PDO_REMOVE_NS
