"""Checks of one move: whether this VM may go from here to there, now.

Each says nothing where it holds. The wizard asks them for all VMs and hosts, a move for itself.
"""

from __future__ import annotations

from collections.abc import Callable

from migration.cluster.findings import Finding, Result, finding
from migration.cluster.model import GIB, Cluster, ClusterNetwork, Host, Vm
from migration.cluster.processors import missing
from migration.cluster.storage import reach
from migration.cluster.survival import endured_ns
from migration.cluster.transfer import transfer

MoveCheck = Callable[[Cluster, Vm, Host, Host], Finding | None]


def _membership(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    for host in (target, source):
        if not host.member:
            return finding(
                "cluster-membership", Result.FAIL, host.name,
                f"{host.name} is no member of the cluster ({cluster.line(host, 'member')})",
                "start its cluster service and join it",
            )  # fmt: skip
    return None


def _edition(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    for host in (source, target):
        if not (host.system.clusters and host.system.live):
            return finding(
                "edition", Result.FAIL, host.name,
                f"{host.name}: {host.system.name} ({cluster.line(host, 'os')})",
                "install 2008 R2 Enterprise or Datacenter, or Hyper-V Server 2008 R2",
            )  # fmt: skip
    return None


def _level(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if (source.system.level, source.install) == (target.system.level, target.install):
        return None
    return finding(
        "os-level", Result.FAIL, target.name,
        f"{source.name}: {source.system.level} {source.install} ({cluster.line(source, 'os')}); "
        f"{target.name}: {target.system.level} {target.install} ({cluster.line(target, 'os')})",
        "install the same release with the same option on both",
    )  # fmt: skip


def _domain(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if source.domain == target.domain != "":
        return None
    return finding(
        "domain", Result.FAIL, target.name,
        f"{source.name}: {source.domain or 'no domain'}; {target.name}: "
        f"{target.domain or 'no domain'} ({cluster.line(target, 'domain')})",
        "join both to one domain",
    )  # fmt: skip


def _reboot(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if not target.pending_reboot:
        return None
    return finding(
        "pending-reboot", Result.FAIL, target.name,
        f"{target.name} waits for a restart ({cluster.line(target, 'pending_reboot')})",
        "restart it first",
    )  # fmt: skip


def _storage_driver(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if target.storage_driver_for == target.system.level:
        return None
    return finding(
        "storage-driver", Result.FAIL, target.name,
        f"{target.name}: a storage driver for {target.storage_driver_for} on "
        f"{target.system.level} ({cluster.line(target, 'storage_driver_for')})",
        "install the storage driver for its release",
    )  # fmt: skip


def _vendor(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if vm.started_on.vendor == target.processor.vendor:
        return None
    return finding(
        "processor-vendor", Result.FAIL, vm.name,
        f"{vm.name} was started on {vm.started_on.name}, {vm.started_on.vendor}; {target.name} has "
        f"{target.processor.name}, {target.processor.vendor} ({cluster.line(target, 'processor')})",
        f"move it to a host with processors of {vm.started_on.vendor}, or shut it down and start it there",
    )  # fmt: skip


def _features(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if vm.started_on.vendor != target.processor.vendor:
        return None
    lacks = missing(vm.started_on, target.processor, vm.compatibility)
    if not lacks:
        return None
    mode = (
        "compatibility mode does not hide them" if vm.compatibility
        else "shut the VM down, turn processor compatibility mode on, and start it again"
    )  # fmt: skip
    return finding(
        "processor-features", Result.FAIL, vm.name,
        f"{vm.name} was started on {vm.started_on.name} ({cluster.line(vm, 'started_on')}) with "
        f"{', '.join(lacks)}, which {target.processor.name} of {target.name} does not have "
        f"({cluster.line(target, 'processor')})",
        mode,
    )  # fmt: skip


def _virtual_network(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if target.switch(vm.switch) is not None:
        return None
    there = ", ".join(one.name for one in target.switches)
    return finding(
        "virtual-networks", Result.FAIL, vm.name,
        f"{vm.name} is on '{vm.switch}' ({cluster.line(vm, 'switch')}); {target.name} has {there} "
        f"({cluster.line(target, 'switch')})",
        f"make a virtual network '{vm.switch}' on {target.name}",
    )  # fmt: skip


def _vlan(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    there = target.switch(vm.switch)
    if there is None or there.vlans is None or vm.vlan == 0 or vm.vlan in there.vlans:
        return None
    return finding(
        "vlans", Result.FAIL, vm.name,
        f"{vm.name} is in VLAN {vm.vlan} ({cluster.line(vm, 'vlan')}), which '{vm.switch}' of "
        f"{target.name} does not carry ({cluster.line(there, 'vlans')})",
        f"let the uplink of {target.name} carry VLAN {vm.vlan}",
    )  # fmt: skip


def _mtu(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    there = target.switch(vm.switch)
    if there is None or vm.mtu <= there.mtu:
        return None
    return finding(
        "mtu", Result.FAIL, vm.name,
        f"{vm.name} sends frames of MTU {vm.mtu} ({cluster.line(vm, 'mtu')}); '{vm.switch}' of "
        f"{target.name} takes {there.mtu} ({cluster.line(there, 'mtu')})",
        f"set the MTU of '{vm.switch}' on {target.name} to {vm.mtu}",
    )  # fmt: skip


def split_network(cluster: Cluster, source: Host, target: Host) -> ClusterNetwork | None:
    """Return the first network on which two hosts are not in one subnet; clients' networks first."""
    if not (source.addresses and target.addresses):
        return None  # on all of them
    for network in sorted(cluster.networks, key=lambda one: "client" not in one.uses):
        if source.subnets.get(network.name) != target.subnets.get(network.name):
            return network
    return None


def _subnet(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    network = split_network(cluster, source, target)
    if network is None:
        return None
    here, there = (
        f"{host.name} is {'in ' + subnet if (subnet := host.subnets.get(network.name)) else 'not on it'} "
        f"({cluster.line(host, 'addresses')})"
        for host in (source, target)
    )
    return finding(
        "cluster-subnets", Result.FAIL, target.name, f"on '{network.name}' {here}, {there}",
        f"give both addresses of one subnet on '{network.name}'",
    )  # fmt: skip


def _storage(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    volume = cluster.volume(vm.volume)
    found = reach(cluster, volume, target.name)
    if found.way == "direct" or (found.way == "redirected" and volume.csv):
        return None
    return finding(
        "shared-storage", Result.FAIL, vm.name,
        f"the files of {vm.name} are on '{vm.volume}' ({cluster.line(vm, 'volume')}), to which "
        f"{target.name} has no path ({cluster.line(volume, 'path')})",
        f"give {target.name} paths to '{vm.volume}'",
    )  # fmt: skip


def _together(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    volume = cluster.volume(vm.volume)
    others = () if volume.csv or source is target else cluster.vms_of(volume.name)
    if len(others) < 2:
        return None
    other = next(one for one in others if one is not vm)
    return finding(
        "csv", Result.FAIL, vm.name,
        f"the files of {vm.name} are on '{vm.volume}' ({cluster.line(vm, 'volume')}), which is no CSV "
        f"({cluster.line(volume, 'csv')}), with those of {other.name}",
        "make it a Clustered Shared Volume, or give each VM a volume of its own",
    )  # fmt: skip


def _owners(cluster: Cluster, vm: Vm, source: Host, target: Host) -> Finding | None:
    if vm.owners is None or target.name in vm.owners:
        return None
    return finding(
        "possible-owners", Result.FAIL, vm.name,
        f"{vm.name} may be on {', '.join(sorted(vm.owners))} only ({cluster.line(vm, 'owners')})",
        f"add {target.name} to its possible owners",
    )  # fmt: skip


STATIC: tuple[MoveCheck, ...] = (
    _membership, _edition, _level, _domain, _reboot, _storage_driver, _vendor, _features,
    _virtual_network, _vlan, _mtu, _subnet, _storage, _together,
    _owners,
)  # fmt: skip
"""Checks that say the same at any time, in the order in which a move meets them."""


AT_HOME = frozenset({"virtual-networks", "vlans", "mtu", "shared-storage"})
"""Of them, those that hold for a VM on its own host too."""
COLD = AT_HOME | {"possible-owners"}
"""Of them, those that hold for a VM that is started anew: it brings no state with it."""


def static_failures(cluster: Cluster, vm: Vm, source: Host, target: Host) -> tuple[str, ...]:
    """Return the ids of the checks that a move fails at any time, remembered by kind of VM and host.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    source, target : Host

    Returns
    -------
    tuple of str
    """
    volume = cluster.volume(vm.volume)
    kind = (
        vm.at, vm.started_on.name, source.at, target.at, vm.volume,
        target.name in (vm.owners or (target.name,)), bool(volume.paths_of(target.name)),
        source is target, *source.subnets.items(), *target.subnets.items(),
    )  # fmt: skip
    known: dict[object, tuple[str, ...]] = cluster.remembered
    found = known.get(kind)
    if found is None:
        failed = (check(cluster, vm, source, target) for check in STATIC)
        found = tuple(one.check.id for one in failed if one is not None)
        known[kind] = found
    return found


def memory_finding(cluster: Cluster, vm: Vm, target: Host, free_bytes: int) -> Finding | None:
    """Return the failure of a move to a host that has not the memory.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    target : Host
    free_bytes : int
        Of the target, without its reserve.

    Returns
    -------
    Finding or None
    """
    needed = target.taken_by(vm.memory_bytes)
    if needed <= free_bytes:
        return None
    return finding(
        "memory-free", Result.FAIL, vm.name,
        f"{vm.name} takes {needed / GIB:.2f} GiB ({cluster.line(vm, 'memory')}); {target.name} has "
        f"{max(free_bytes, 0) / GIB:.2f} GiB free ({cluster.line(target, 'memory')})",
        f"free memory on {target.name}, or take another host",
    )  # fmt: skip


def apart_finding(cluster: Cluster, vm: Vm, target: Host, others: list[Vm]) -> Finding | None:
    """Return the warning about a move to a host with a VM that should be apart."""
    together = [one for one in others if vm.apart and one.apart == vm.apart and one is not vm]
    if not together:
        return None
    return finding(
        "anti-affinity", Result.WARNING, vm.name,
        f"{vm.name} and {together[0].name} are both of '{vm.apart}' ({cluster.line(vm, 'apart')})",
        "move one of them to another host",
    )  # fmt: skip


def queue_finding(cluster: Cluster, vm: Vm, target: Host, others: list[Vm]) -> Finding | None:
    """Return the warning about a move to a host without a free VM queue."""
    there = target.switch(vm.switch)
    if there is None or not vm.wants_queue:
        return None
    asking = sum(one.wants_queue and one.switch == vm.switch for one in others)
    if asking < there.queues:
        return None
    return finding(
        "vmq-capacity", Result.WARNING, vm.name,
        f"'{vm.switch}' of {target.name} has {there.queues} VM queues, {asking} of them taken "
        f"({cluster.line(there, 'queues')})",
        f"take an adapter with more VM queues on {target.name}, or move another VM away",
    )  # fmt: skip


def blackout_finding(cluster: Cluster, vm: Vm, load: float = 1.0) -> Finding | None:
    """Return the failure or warning about a blackout that is too long for the VM's peers.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    load : float
        Share of its processors in use.

    Returns
    -------
    Finding or None
    """
    move = transfer(cluster, vm, load)
    endured = endured_ns(vm.peers)
    if not move.completed:
        return finding(
            "blackout", Result.FAIL, vm.name,
            f"at {load:.0%} load the memory of {vm.name} is written faster than it is sent "
            f"({cluster.line(vm, 'dirty')}), and {cluster.policy} does not end the move",
            "move it when it writes less, or over a faster network",
        )  # fmt: skip
    if move.blackout_ns * 2 <= endured:
        return None
    result = Result.FAIL if move.blackout_ns > endured else Result.WARNING
    return finding(
        "blackout", result, vm.name,
        f"at {load:.0%} load {vm.name} would stand still for {move.blackout_ns / 1e9:.2f} s "
        f"({cluster.line(vm, 'dirty')}); peers with {vm.peers} endure {endured / 1e9:.1f} s "
        f"({cluster.line(vm, 'peers')})",
        "move it when it writes less, or over a faster network",
    )  # fmt: skip


def move_findings(
    cluster: Cluster, vm: Vm, target: Host, *, free_bytes: int, others: list[Vm], load: float
) -> list[Finding]:
    """Return everything that speaks against a move, failures first.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    target : Host
    free_bytes : int
        Memory of the target that is free, without its reserve.
    others : list of Vm
        VMs on the target.
    load : float
        Share of the VM's processors in use.

    Returns
    -------
    list of Finding
    """
    source = cluster.host(vm.host)
    found = [check(cluster, vm, source, target) for check in STATIC]
    found.append(memory_finding(cluster, vm, target, free_bytes))
    found.append(apart_finding(cluster, vm, target, others))
    found.append(queue_finding(cluster, vm, target, others))
    found.append(blackout_finding(cluster, vm, load))
    said = [one for one in found if one is not None]
    return sorted(said, key=lambda one: one.result is not Result.FAIL)
