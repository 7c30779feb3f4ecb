"""Checks that hold hosts, networks and volumes against each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from migration.cluster.findings import Finding, Result, finding
from migration.cluster.model import Cluster, Host, Vm, Volume
from migration.cluster.storage import reach
from pcaps.addresses import key_to_mac
from vswitch.macpool import MacPool

GIGABIT_PAYLOAD = 110e6
"""Payload of 1 Gbit/s, rounded down."""


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as people list them: ``a, b, c and 5 more``.

    Parameters
    ----------
    names : sequence of str
    most : int
        How many are named.

    Returns
    -------
    str
    """
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def groups_of(
    hosts: Iterable[Host], value: Callable[[Host], Hashable]
) -> dict[Hashable, list[Host]]:
    """Return hosts by a value, the largest group first."""
    found: dict[Hashable, list[Host]] = {}
    for host in hosts:
        found.setdefault(value(host), []).append(host)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _shown(value: Hashable) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(str(one) for one in value)) or "none"
    return str(value) if value not in ("", 0) else "none"


def differing(
    cluster: Cluster,
    check: str,
    result: Result,
    key: str,
    value: Callable[[Host], Any],
    remedy: str,
    shown: Callable[[Any], str] = _shown,
) -> Iterator[Finding]:
    """Yield a finding for the hosts that have another value than most.

    Parameters
    ----------
    cluster : Cluster
    check : str
    result : Result
        What it is when they differ.
    key : str
        Key of the scenario that the value comes from.
    value : callable
    remedy : str
    shown : callable
        A value for people.

    Yields
    ------
    Finding
    """  # fmt: skip
    groups = groups_of(cluster.hosts, value)
    parts = [
        f"{listed([one.name for one in hosts])}: {shown(each)} ({cluster.line(hosts[0], key)})"
        for each, hosts in groups.items()
    ]
    if len(groups) == 1:
        yield finding(check, Result.PASS, "all hosts", parts[0])
        return
    others = [one.name for hosts in list(groups.values())[1:] for one in hosts]
    yield finding(check, result, listed(others), "; ".join(parts), remedy)


def each_host(
    cluster: Cluster,
    check: str,
    result: Result,
    key: str,
    wrong: Callable[[Host], str],
    remedy: str,
    sound: str,
) -> Iterator[Finding]:
    """Yield a finding for the hosts of which something is wrong; alike ones together.

    Parameters
    ----------
    cluster : Cluster
    check : str
    result : Result
    key : str
    wrong : callable
        Says what is wrong with a host, nothing where it is sound.
    remedy : str
    sound : str
        Evidence where nothing is.

    Yields
    ------
    Finding
    """  # fmt: skip
    found = groups_of(cluster.hosts, wrong)
    found.pop("", None)
    for what, hosts in found.items():
        names = listed([one.name for one in hosts])
        evidence = f"{names}: {what} ({cluster.line(hosts[0], key)})"
        yield finding(check, result, names, evidence, remedy)
    if not found:
        yield finding(check, Result.PASS, "all hosts", sound)


def system(cluster: Cluster) -> Iterator[Finding]:
    """Check what the hosts run."""
    yield from each_host(
        cluster, "cluster-membership", Result.FAIL, "member",
        lambda host: "" if host.member else "is no member of the cluster",
        "start its cluster service and join it, or take it out of the scenario",
        f"{len(cluster.hosts)} hosts are members",
    )  # fmt: skip
    most = min((one.system.most_nodes for one in cluster.hosts if one.system.clusters), default=0)
    many = len(cluster.hosts) > most
    yield finding(
        "node-count", Result.FAIL if many else Result.PASS, "cluster",
        f"{len(cluster.hosts)} nodes, at most {most} ({cluster.line(cluster.hosts[0], 'count')})",
        f"make clusters of at most {most} nodes" if many else "",
    )  # fmt: skip
    yield from each_host(
        cluster, "edition", Result.FAIL, "os",
        lambda host: "" if host.system.clusters and host.system.live else (
            f"{host.system.name} has no "
            + ("live migration" if host.system.clusters else "failover clustering")
        ),
        "install 2008 R2 Enterprise or Datacenter, or Hyper-V Server 2008 R2",
        listed(sorted({one.system.name for one in cluster.hosts})),
    )  # fmt: skip
    yield from differing(
        cluster, "os-level", Result.FAIL, "os", lambda host: f"{host.system.level} {host.install}",
        "install the same release with the same option on all hosts",
    )  # fmt: skip
    yield from differing(
        cluster, "service-pack", Result.WARNING, "service_pack",
        lambda host: (host.service_pack, host.updates),
        "bring all hosts to the same service pack and updates",
        lambda each: f"service pack {each[0]}, updates {_shown(each[1])}",
    )  # fmt: skip
    yield from differing(
        cluster, "domain", Result.FAIL, "domain", lambda host: host.domain,
        "join all hosts to one domain", lambda each: each or "no domain",
    )  # fmt: skip
    yield from each_host(
        cluster, "pending-reboot", Result.FAIL, "pending_reboot",
        lambda host: "waits for a restart" if host.pending_reboot else "",
        "restart it before VMs are moved to it", "no host waits for a restart",
    )  # fmt: skip
    yield from each_host(
        cluster, "drivers-signed", Result.WARNING, "unsigned",
        lambda host: f"unsigned: {_shown(host.unsigned)}" if host.unsigned else "",
        "install signed drivers", "no unsigned driver",
    )  # fmt: skip
    yield from _driver_levels(cluster)
    yield from each_host(
        cluster, "storage-driver", Result.FAIL, "storage_driver_for",
        lambda host: "" if host.storage_driver_for == host.system.level else
        f"a storage driver for {host.storage_driver_for} on {host.system.level}",
        "install the storage driver for the host's release", "made for the hosts' releases",
    )  # fmt: skip


def _driver(name: str, host: Host) -> str:
    return host.drivers.get(name, "")


def _driver_text(name: str, level: str) -> str:
    return f"{name} {level or 'unknown'}"


def _path_count(volume: Volume, host: Host) -> int:
    return sum(one.count for one in volume.paths_of(host.name))


def _subnet(network: str, host: Host) -> str:
    return host.subnets[network]


def _driver_levels(cluster: Cluster) -> Iterator[Finding]:
    names = sorted({name for host in cluster.hosts for name in host.drivers})
    sound = []
    for name in names:
        found = list(
            differing(
                cluster, "driver-level", Result.WARNING, "drivers",
                partial(_driver, name), f"bring '{name}' to one level on all hosts",
                partial(_driver_text, name),
            )
        )  # fmt: skip
        yield from (one for one in found if one.result is not Result.PASS)
        if found[0].result is Result.PASS:
            sound.append(found[0].evidence.partition(": ")[2].partition(" (")[0])
    if len(sound) == len(names):
        evidence = ", ".join(sound) or "the scenario names no drivers"
        yield finding("driver-level", Result.PASS, "all hosts", evidence)


def processors(cluster: Cluster) -> Iterator[Finding]:
    """Check the hosts' processors."""
    yield from differing(
        cluster, "processor-vendor", Result.FAIL, "processor",
        lambda host: host.processor.vendor,
        "keep VMs on hosts of one vendor; compatibility mode does not help between vendors",
    )  # fmt: skip
    yield from differing(
        cluster, "slat", Result.WARNING, "processor", lambda host: host.translation.name,
        "take hosts with SLAT for VMs with much memory traffic",
        lambda each: f"{each}",
    )  # fmt: skip


def networks(cluster: Cluster) -> Iterator[Finding]:
    """Check networks between hosts, and MAC pools."""
    yield from _subnets(cluster)
    live = cluster.migration_network
    own, fast = live.uses == {"live-migration"}, live.bytes_per_s >= GIGABIT_PAYLOAD
    shared = (
        "" if own else f", which also carries {', '.join(sorted(live.uses - {'live-migration'}))}"
    )
    yield finding(
        "migration-network", Result.PASS if own and fast else Result.WARNING, live.name,
        f"moves go over '{live.name}', {live.line}{shared} ({cluster.line(live, 'uses')})",
        "" if own and fast else "give live moves a network of their own, 1 Gbit/s or more",
    )  # fmt: skip
    beats = [one for one in cluster.networks if "heartbeat" in one.uses]
    several = len(beats) > 1
    yield finding(
        "heartbeat-network", Result.PASS if several else Result.WARNING,
        listed([one.name for one in beats or cluster.networks]),
        f"heartbeats go over {len(beats)} network{'s' * (len(beats) != 1)} "
        f"({cluster.line((beats or cluster.networks)[0], 'uses')})",
        "" if several else "let heartbeats go over a second network",
    )  # fmt: skip
    chimney = {
        host.name: max((one.chimney for one in host.switches), default=0) for host in cluster.hosts
    }
    yield from differing(
        cluster, "chimney", Result.WARNING, "switch", lambda host: chimney[host.name] > 0,
        "turn TCP chimney on, or off, on all hosts",
        lambda each: "with TCP chimney" if each else "without TCP chimney",
    )  # fmt: skip
    yield from _addresses(cluster)


def _subnets(cluster: Cluster) -> Iterator[Finding]:
    sound = True
    for network in cluster.networks:
        named = [host for host in cluster.hosts if network.name in host.addresses]
        subnets = groups_of(named, partial(_subnet, network.name))
        without = [
            one.name for one in cluster.hosts if one.addresses and network.name not in one.addresses
        ]
        parts = [
            f"{listed([one.name for one in hosts])}: {subnet} ({cluster.line(hosts[0], 'addresses')})"
            for subnet, hosts in subnets.items()
        ]
        if without:
            parts.append(f"{listed(without)}: not on '{network.name}'")
        if len(subnets) > 1 or without:
            sound = False
            yield finding(
                "cluster-subnets", Result.FAIL, network.name, "; ".join(parts),
                f"give all hosts addresses of one subnet on '{network.name}'",
            )  # fmt: skip
    if sound:
        names = listed([one.name for one in cluster.networks])
        yield finding("cluster-subnets", Result.PASS, "all hosts", f"one subnet each: {names}")


def _addresses(cluster: Cluster) -> Iterator[Finding]:
    pools = groups_of(cluster.hosts, lambda host: MacPool(host.mac_pool_ip).take(()) >> 8)
    sound = True
    for hosts in pools.values():
        if len(hosts) > 1:
            sound = False
            names = listed([one.name for one in hosts])
            yield finding(
                "mac-pool", Result.FAIL, names,
                f"{names} have one MAC pool, {key_to_mac(MacPool(hosts[0].mac_pool_ip).take(()))} "
                f"and on ({cluster.line(hosts[0], 'mac_pool_ip')})",
                "give the hosts first addresses with different last octets",
            )  # fmt: skip
    seen: dict[tuple[int, int, str], Vm] = {}
    for vm in cluster.vms:
        other = seen.setdefault((vm.mac, vm.vlan, vm.switch), vm)
        if other is not vm and other.at != vm.at:
            sound = False
            yield finding(
                "mac-pool", Result.FAIL, vm.name,
                f"{vm.name} and {other.name} both have {key_to_mac(vm.mac)} "
                f"({cluster.line(vm, 'mac')}, {cluster.line(other, 'mac')})",
                "give one of them another address",
            )  # fmt: skip
    if sound:
        yield finding("mac-pool", Result.PASS, "all hosts", f"{len(pools)} pools, no address twice")


def storage(cluster: Cluster) -> Iterator[Finding]:
    """Check volumes and paths to them."""
    few, mixed, slow, owned = [], [], [], []
    for volume in cluster.volumes:
        line = cluster.line(volume, "path")
        vms = cluster.vms_of(volume.name)
        if not volume.csv and len(vms) > 1:
            owned.append(volume)
            apart = len({vm.host for vm in vms}) > 1
            yield finding(
                "csv", Result.FAIL if apart else Result.WARNING, volume.name,
                f"{listed([one.name for one in vms])} share '{volume.name}', which is no CSV "
                f"({cluster.line(volume, 'csv')})",
                "make it a Clustered Shared Volume, or give each VM a volume of its own",
            )  # fmt: skip
        counts = groups_of(cluster.hosts, partial(_path_count, volume))
        for count, said in ((0, "no path"), (1, "one path")):
            if count not in counts or not (vms or count):
                continue
            few.append(volume)
            yield finding(
                "mpio-paths", Result.WARNING, volume.name,
                f"{listed([one.name for one in counts[count]])}: {said} to '{volume.name}' ({line})",
                "add a second path through another adapter and switch",
            )  # fmt: skip
        kinds = sorted({(one.dsm, one.policy) for one in volume.paths})
        if len(kinds) > 1:
            mixed.append(volume)
            yield finding(
                "mpio-dsm", Result.WARNING, volume.name,
                "; ".join(f"{dsm}, {policy}" for dsm, policy in kinds) + f" ({line})",
                "manage all paths to it by one DSM with one policy",
            )  # fmt: skip
        found = [
            one for one in cluster.hosts if reach(cluster, volume, one.name).way == "redirected"
        ]
        if found:
            slow.append(volume)
            key = "redirected" if volume.redirected else "path"
            yield finding(
                "redirected-io", Result.WARNING, volume.name,
                f"I/O of {listed([one.name for one in found])} goes by {volume.coordinator} "
                f"({cluster.line(volume, key)})",
                "end the backup or the maintenance that holds it in redirected I/O" if volume.redirected
                else "give them paths of their own",
            )  # fmt: skip
    names = listed([one.name for one in cluster.volumes])
    if not owned:
        yield finding("csv", Result.PASS, names, "no volume but CSVs has the files of several VMs")
    for check, wrong, sound in (
        ("mpio-paths", few, "two or more paths from each host"),
        ("mpio-dsm", mixed, "one DSM and policy for each"),
        ("redirected-io", slow, "direct from each host"),
    ):
        if not wrong:
            yield finding(check, Result.PASS, names, sound)
