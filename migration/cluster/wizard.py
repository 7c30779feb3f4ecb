"""The validation wizard: an inventory, then every check, over a whole cluster.

Modelled on "Validate a Configuration" of failover clusters: each check passes, warns or fails,
with the values that it compared and the lines where they stand. VMs and hosts that come from one
section of the scenario are told together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migration.cluster import host_checks, quorum
from migration.cluster.findings import CHECKS, Finding, Result, counted, finding
from migration.cluster.host_checks import listed
from migration.cluster.model import GIB, Cluster, Host, Vm
from migration.cluster.move_checks import AT_HOME, STATIC, blackout_finding, static_failures
from migration.cluster.transfer import transfer

_OF_MOVES = (
    "processor-features", "virtual-networks", "vlans", "mtu", "shared-storage", "possible-owners",
)  # fmt: skip
"""Checks of moves that no check of hosts tells already."""


@dataclass(frozen=True)
class Validation:
    """What the wizard found.

    Parameters
    ----------
    cluster : Cluster
    findings : tuple of Finding
        In the order of the report.
    """

    cluster: Cluster
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether no check failed."""
        return all(one.result is not Result.FAIL for one in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "cluster": self.cluster.name,
            "counts": counted(self.findings),
            "inventory": inventory(self.cluster),
            "checks": [one.to_dict() for one in self.findings],
        }


def validate(cluster: Cluster) -> Validation:
    """Run every check.

    Parameters
    ----------
    cluster : Cluster

    Returns
    -------
    Validation
    """
    found = [
        *host_checks.system(cluster),
        *_quorum(cluster),
        *host_checks.processors(cluster),
        *host_checks.networks(cluster),
        *host_checks.storage(cluster),
        *_moves(cluster),
        *_queues(cluster),
        *_memory(cluster),
        *_blackouts(cluster),
        *_apart(cluster),
    ]
    order = {name: place for place, name in enumerate(CHECKS)}
    found.sort(key=lambda one: order[one.check.id])
    return Validation(cluster, tuple(found))


def inventory(cluster: Cluster) -> dict[str, Any]:
    """Return what the cluster is made of.

    Parameters
    ----------
    cluster : Cluster

    Returns
    -------
    dict
    """
    return {
        "hosts": [
            {
                "name": host.name,
                "processor": host.processor.name,
                "vendor": host.processor.vendor,
                "features": sorted(host.processor.features),
                "logical_processors": host.logical_processors,
                "translation": host.translation.name,
                "translation_share": host.translation.share,
                "translation_bytes_per_vm": host.translation.bytes_per_vm,
                "memory_bytes": host.memory_bytes,
                "os": host.system.name,
                "install": host.install,
                "domain": host.domain,
                "member": host.member,
                "switches": [
                    {
                        "name": each.name,
                        "mtu": each.mtu,
                        "queues": each.queues,
                        "bytes_per_s": each.bytes_per_s,
                        "vlans": None if each.vlans is None else sorted(each.vlans),
                    }
                    for each in host.switches
                ],
                "service_pack": host.service_pack,
                "drivers": dict(host.drivers),
                "vm_queues": host.queues,
                "vms": len(cluster.vms_on(host.name)),
            }
            for host in cluster.hosts
        ],
        "networks": [
            {"name": one.name, "uses": sorted(one.uses), "rate": one.line, "mtu": one.mtu}
            for one in cluster.networks
        ],
        "volumes": [
            {
                "name": one.name,
                "csv": one.csv,
                "coordinator": one.coordinator,
                "redirected": one.redirected,
                "paths": {
                    host.name: sum(path.count for path in one.paths_of(host.name))
                    for host in cluster.hosts
                },
            }
            for one in cluster.volumes
        ],
        "vms": len(cluster.vms),
        "quorum": cluster.quorum,
        "witness": cluster.witness,
    }


def _quorum(cluster: Cluster) -> Iterator[Finding]:
    nodes, members = len(cluster.hosts), sum(one.member for one in cluster.hosts)
    line = cluster.line(cluster, "quorum")
    held = quorum.survives_losses(cluster.quorum, nodes, bool(cluster.witness)) - (nodes - members)
    witness = next((one for one in cluster.volumes if one.name == cluster.witness), None)
    said = f"{cluster.quorum}, {nodes} nodes" + (
        f" and witness '{cluster.witness}'" if cluster.witness else ", no witness"
    )
    if witness is not None and witness.csv:
        yield finding(
            "quorum", Result.FAIL, "cluster",
            f"the witness '{witness.name}' is a CSV ({cluster.line(witness, 'csv')})",
            "take a volume of its own, no CSV, as the witness",
        )  # fmt: skip
    elif held < 0:
        yield finding(
            "quorum", Result.FAIL, "cluster",
            f"{said}: {members} members are no majority ({line})", "join the other hosts",
        )  # fmt: skip
    elif held < 1 or cluster.quorum == "disk-only":
        what = "the witness" if cluster.quorum == "disk-only" else "one node"
        yield finding(
            "quorum", Result.WARNING, "cluster",
            f"{said}: the loss of {what} stops the cluster ({line})",
            "let the nodes vote too" if cluster.quorum == "disk-only"
            else "add a witness disk or file share",
        )  # fmt: skip
    else:
        yield finding("quorum", Result.PASS, "cluster", f"{said}: {held} may be lost ({line})")


def _kinds(cluster: Cluster) -> dict[Any, list[Vm]]:
    """VMs that no check tells apart, together."""
    kinds: dict[Any, list[Vm]] = {}
    for vm in cluster.vms:
        kinds.setdefault((vm.at, vm.host, vm.started_on.name), []).append(vm)
    return kinds


def _names(vms: list[Vm]) -> str:
    return vms[0].name if len(vms) == 1 else f"{vms[0].name} and {len(vms) - 1} like it"


def _moves(cluster: Cluster) -> Iterator[Finding]:
    """Which VMs cannot go where, told once for VMs and hosts alike."""
    by_check: dict[str, dict[Any, tuple[list[Vm], list[Host], int]]] = {}
    at_home: set[str] = set()
    for vms in _kinds(cluster).values():
        source = cluster.host(vms[0].host)
        for check in STATIC:
            said = check(cluster, vms[0], source, source)
            if said is not None and said.check.id in AT_HOME:
                at_home.add(said.check.id)
                where = f"{_names(vms)} on {source.name}"
                yield finding(said.check.id, Result.FAIL, where, said.evidence, said.remedy)
        others = [one for one in cluster.hosts if one is not source]
        for target in others:
            for name in static_failures(cluster, vms[0], source, target):
                if name in _OF_MOVES:
                    found = by_check.setdefault(name, {})
                    key = (vms[0].at, vms[0].started_on.name)
                    known = found.setdefault(key, ([], [], len(others)))
                    known[0].extend(one for one in vms if one not in known[0])
                    if target not in known[1]:
                        known[1].append(target)
    for name in _OF_MOVES:
        if name not in by_check and name not in at_home:
            yield finding(name, Result.PASS, "all VMs", "each VM may go to every other host")
            continue
        for vms, targets, others_count in by_check.get(name, {}).values():
            first = next(
                said
                for check in STATIC
                if (said := check(cluster, vms[0], cluster.host(vms[0].host), targets[0]))
                and said.check.id == name
            )
            everywhere = len(targets) >= others_count
            lesser = name == "possible-owners" and not everywhere
            hosts = listed([one.name for one in targets])
            yield finding(
                name, Result.WARNING if lesser else Result.FAIL, f"{_names(vms)} to {hosts}",
                first.evidence, first.remedy,
            )  # fmt: skip
    for vms in _kinds(cluster).values():
        vm = vms[0]
        if vm.owners is not None and vm.host not in vm.owners:
            yield finding(
                "possible-owners", Result.FAIL, _names(vms),
                f"{_names(vms)} is on {vm.host}, which may not have it ({cluster.line(vm, 'owners')})",
                f"add {vm.host} to its possible owners, or begin it elsewhere",
            )  # fmt: skip


def _queues(cluster: Cluster) -> Iterator[Finding]:
    """Whether every VM could have a queue, also with the VMs of another host."""
    asking = sum(one.wants_queue for one in cluster.vms)
    have = sum(one.queues for one in cluster.hosts)
    short = []
    for host in cluster.hosts:
        for switch in host.switches:
            here = [
                vm
                for vm in cluster.vms_on(host.name)
                if vm.wants_queue and vm.switch == switch.name
            ]
            if len(here) > switch.queues:
                short.append((host, switch, len(here)))
    for host, switch, count in short[:8]:
        yield finding(
            "vmq-capacity", Result.WARNING, host.name,
            f"{count} VMs on '{switch.name}' ask for {switch.queues} VM queues "
            f"({cluster.line(switch, 'queues')})",
            "take an adapter with more VM queues, or spread the VMs",
        )  # fmt: skip
    if not short:
        largest = max(one.queues for one in cluster.hosts)
        enough = asking <= have - largest
        yield finding(
            "vmq-capacity", Result.PASS if enough else Result.WARNING, "cluster",
            f"{asking} VMs ask for a queue, {have} are there, {have - largest} without the largest host "
            f"({cluster.line(cluster.hosts[0], 'switch')})",
            "" if enough else "take adapters with more VM queues",
        )  # fmt: skip


def _memory(cluster: Cluster) -> Iterator[Finding]:
    taken = dict.fromkeys((one.name for one in cluster.hosts), 0)
    for vm in cluster.vms:
        taken[vm.host] += cluster.host(vm.host).taken_by(vm.memory_bytes)
    full = [one for one in cluster.hosts if taken[one.name] > one.room_bytes]
    for host in full:
        yield finding(
            "host-memory", Result.FAIL, host.name,
            f"the VMs of {host.name} take {taken[host.name] / GIB:.1f} of {host.room_bytes / GIB:.1f} GiB "
            f"({cluster.line(host, 'memory')})",
            "begin fewer VMs on it, or give it more memory",
        )  # fmt: skip
    if not full:
        most = max(cluster.hosts, key=lambda one: taken[one.name] / one.room_bytes)
        yield finding(
            "host-memory", Result.PASS, "all hosts",
            f"fullest: {most.name} with {taken[most.name] / GIB:.1f} of {most.room_bytes / GIB:.1f} GiB",
        )  # fmt: skip
    yield from _room_elsewhere(cluster, taken)


def _room_elsewhere(cluster: Cluster, taken: dict[str, int]) -> Iterator[Finding]:
    """Whether the VMs of the fullest host fit on the others, largest first."""
    lost = max(cluster.hosts, key=lambda one: taken[one.name])
    free = {one.name: one.room_bytes - taken[one.name] for one in cluster.hosts if one is not lost}
    homeless = []
    for vm in sorted(cluster.vms_on(lost.name), key=lambda one: -one.memory_bytes):
        name = max(free, key=lambda host: free[host])
        needed = cluster.host(name).taken_by(vm.memory_bytes)
        if needed > free[name]:
            homeless.append(vm)
        else:
            free[name] -= needed
    if homeless:
        yield finding(
            "memory-free", Result.WARNING, listed([one.name for one in homeless]),
            f"when {lost.name} is lost, {len(homeless)} of its VMs find no memory elsewhere, "
            f"{homeless[0].name} of {homeless[0].memory_bytes / GIB:g} GiB first "
            f"({cluster.line(homeless[0], 'memory')})",
            "give the other hosts more memory, or run fewer VMs",
        )  # fmt: skip
    else:
        yield finding(
            "memory-free", Result.PASS, "cluster",
            f"when {lost.name} is lost, its {len(cluster.vms_on(lost.name))} VMs fit on the others",
        )  # fmt: skip


def _blackouts(cluster: Cluster) -> Iterator[Finding]:
    seen: dict[Any, list[Vm]] = {}
    for vm in cluster.vms:
        seen.setdefault(vm.at, []).append(vm)
    longest = 0.0
    sound = True
    for vms in seen.values():
        load = max(0.0, min(1.0, vms[0].curve.peak))
        found = blackout_finding(cluster, vms[0], load)
        if found is not None:
            sound = False
            yield finding("blackout", found.result, _names(vms), found.evidence, found.remedy)
        else:
            longest = max(longest, transfer(cluster, vms[0], load).blackout_ns / 1e9)
    if sound:
        yield finding(
            "blackout", Result.PASS, "all VMs", f"the longest predicted blackout is {longest:.2f} s"
        )


def _apart(cluster: Cluster) -> Iterator[Finding]:
    groups: dict[str, list[Vm]] = {}
    for vm in cluster.vms:
        if vm.apart:
            groups.setdefault(vm.apart, []).append(vm)
    sound = True
    for name, vms in groups.items():
        hosts: dict[str, list[Vm]] = {}
        for vm in vms:
            hosts.setdefault(vm.host, []).append(vm)
        together = [found for found in hosts.values() if len(found) > 1]
        if together:
            sound = False
            yield finding(
                "anti-affinity", Result.WARNING, name,
                f"{listed([one.name for one in together[0]])} of '{name}' are on {together[0][0].host} "
                f"({cluster.line(together[0][0], 'apart')})",
                "begin them on different hosts" if len(vms) <= len(cluster.hosts)
                else f"the group has {len(vms)} VMs for {len(cluster.hosts)} hosts; make it smaller",
            )  # fmt: skip
    if sound:
        said = f"{len(groups)} groups" if groups else "no groups"
        yield finding("anti-affinity", Result.PASS, "all VMs", f"{said}, none of them together")
