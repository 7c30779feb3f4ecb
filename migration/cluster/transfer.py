"""The memory of one VM of a cluster on its way: the pre-copy model with the VM's figures.

Counted, not page by page: a plan takes a fraction of a millisecond whatever the VM's size, and is
remembered for equal VMs at equal load.
"""

from __future__ import annotations

from functools import lru_cache

from migration import precopy, working_set
from migration.cluster.model import Cluster, Vm
from migration.move import Move
from migration.working_set import WorkingSet

LOAD_STEPS = 20
"""Loads are rounded to a twentieth, so that plans are remembered."""


def transfer(cluster: Cluster, vm: Vm, load: float, rate_factor: float = 1.0) -> Move:
    """Plan the live move of a VM over the cluster's network for moves.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    load : float
        Share of its processors in use, 0 to 1; its memory and dirty rate follow.
    rate_factor : float
        Share of the network that this move gets.

    Returns
    -------
    Move
    """
    step = max(0, min(LOAD_STEPS, round(load * LOAD_STEPS)))
    share = step / LOAD_STEPS
    peak = max(vm.curve.peak, 1e-9)
    of_peak = round(min(load / peak, 1.0) * LOAD_STEPS) / LOAD_STEPS
    return _planned(
        round(vm.memory_at(of_peak * peak)), vm.working_set_bytes, vm.dirty_bytes_per_s * share,
        cluster.migration_network.bytes_per_s * rate_factor, cluster.policy,
    )  # fmt: skip


@lru_cache(maxsize=65536)
def _planned(memory: int, written: int, rate: float, link: float, policy: str) -> Move:
    guest = working_set.sequential(min(written, memory), rate) if rate else WorkingSet()
    return precopy.plan(
        memory_bytes=memory, working_set=guest, link_bytes_per_s=link, policy=policy, pages=False
    )
