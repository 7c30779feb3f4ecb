"""From ``[cluster]`` of a scenario to a cluster: contradictions first, then plain records."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from migration.cluster.curves import SHAPES, Curve
from migration.cluster.model import (
    RESOURCES,
    Cluster,
    ClusterNetwork,
    DayFault,
    Host,
    HostSwitch,
    Maintenance,
    MoverSettings,
    StoragePath,
    Threshold,
    Vm,
    Volume,
    Where,
)
from migration.cluster.processors import processor
from migration.cluster.releases import OPERATING_SYSTEMS
from migration.cluster.sections import (
    ClusterNetworkSection,
    ClusterSection,
    ClusterVmSection,
    HostSection,
    HostSwitchSection,
    MoverSection,
    StoragePathSection,
    VolumeSection,
    payload_of,
)
from pcaps.errors import BadInput
from vswitch.macpool import MacPool
from vswitch.problems import unknown
from vswitch.scenario import load

MOST_PROCESSORS = 64
MOST_ADDRESSES = 256
HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000
Found = tuple[Where, str]


def load_cluster(path: str | Path) -> Cluster:
    """Read the cluster of a scenario file.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Cluster

    Raises
    ------
    BadInput
        When the file cannot be used; a :class:`vswitch.problems.ScenarioError` names every
        problem with its line.
    """
    scenario = load(path)
    section = scenario.mounted.get("cluster")
    if not isinstance(section, ClusterSection):
        raise BadInput(
            f"{path}: has no [cluster]; see examples/scenarios/cluster-two-nodes.toml for one"
        )
    return build(section, section.name or scenario.name, str(path), scenario.lines)


# What does not go together


def names_of(name: str, count: int) -> list[str]:
    """Return the names that ``count`` records get."""
    return [name.replace("{n}", str(n + 1)) for n in range(count)]


def contradictions(section: ClusterSection) -> Iterator[Found]:
    """Yield what does not go together: where in the section, and a sentence.

    Parameters
    ----------
    section : ClusterSection

    Yields
    ------
    path, sentence : tuple, str
    """
    hosts = [name for one in section.host for name in names_of(one.name, one.count)]
    if len(hosts) < 2:
        count = "no host" if not hosts else f"one host ('{hosts[0]}')"
        yield (("host",), f"a cluster of {count} has nowhere to move a VM; give two or more")
    yield from _twice(section)
    networks = [one.name for one in section.network] or ["cluster"]
    for place, host in enumerate(section.host):
        yield from _of_host(host, ("host", place), networks)
    for place, volume in enumerate(section.volume):
        yield from _of_volume(volume, ("volume", place), hosts)
    yield from _of_vms(section, hosts)
    yield from _of_mover(section.mover)
    volumes = [one.name for one in section.volume] or ["csv1"]
    if section.witness and section.witness not in (*volumes, "share"):
        yield ("witness",), unknown("volume", section.witness, [*volumes, "share"])
    elif section.witness:
        yield from _of_witness(section, len(hosts))
    if section.heartbeat <= 0:
        yield ("heartbeat",), "is 0; give a time above it"
    for place, work in enumerate(section.maintenance):
        for name in work.hosts:
            if name not in hosts:
                yield ("maintenance", place, "hosts"), unknown("host", name, hosts)
    for place, fault in enumerate(section.fault):
        if fault.paths and fault.kind != "path-loss":
            yield ("fault", place, "paths"), f"a {fault.kind} has no paths; leave it out"
        for key, known, needed in (
            ("host", hosts, fault.kind in ("host-crash", "path-loss")),
            ("volume", volumes, fault.kind in ("path-loss", "volume-loss")),
        ):
            name = str(getattr(fault, key))
            if needed and not name:
                yield ("fault", place), f"a {fault.kind} needs a {key}"
            elif name and name not in known:
                yield ("fault", place, key), unknown(key, name, known)


def _of_witness(section: ClusterSection, nodes: int) -> Iterator[Found]:
    share = section.witness == "share"
    mode = section.quorum or ("node-and-disk" if nodes % 2 == 0 else "node-majority")
    if mode == "node-majority":
        yield ("witness",), "does not vote with node-majority; leave it out, or give quorum"
    elif share != (mode == "node-and-share"):
        yield ("witness",), f"'{section.witness}' is no witness of {mode}; change one of them"


def _twice(section: ClusterSection) -> Iterator[Found]:
    """Names that are there twice."""
    for key in ("network", "host", "volume", "vm"):
        seen: dict[str, int] = {}
        for place, one in enumerate(getattr(section, key)):
            count = getattr(one, "count", 1)
            if count > 1 and "{n}" not in one.name:
                yield (key, place, "name"), "needs {n} for the number, since count is given"
                continue
            for name in names_of(one.name, count):
                if name in seen and key == "vm":
                    yield (
                        (key, place, "name"),
                        f"the VM '{name}' is there already, as vm[{seen[name] + 1}]; a VM runs on one host",
                    )
                    break
                if name in seen:
                    yield (key, place, "name"), f"there are two {key}s '{name}'"
                    break
                seen[name] = place


def _of_host(host: HostSection, at: Where, networks: list[str]) -> Iterator[Found]:
    count = processor(host.processor).logical_processors * host.sockets
    if count > MOST_PROCESSORS:
        yield (
            (*at, "sockets"),
            f"{host.sockets} x {host.processor} are {count} logical processors; "
            f"a host has {MOST_PROCESSORS} at most",
        )
    if host.reserve >= host.memory:
        yield (*at, "reserve"), "the parent keeps all of the memory; leave some for VMs"
    for network, address in host.addresses.items():
        if network not in networks:
            yield (*at, "addresses"), unknown("network", network, networks)
        for text in dict.fromkeys(names_of(address, host.count)):
            try:
                ipaddress.ip_interface(text)
            except ValueError:
                yield (*at, "addresses"), f"'{text}' is not an address; write 10.0.0.{{n}}/24"
                break
    for text in dict.fromkeys(names_of(host.mac_pool_ip, host.count)) if host.mac_pool_ip else ():
        try:
            MacPool(text)
        except BadInput as error:
            yield (*at, "mac_pool_ip"), error.what
            break
    switches = [one.name for one in host.switch]
    for place, name in enumerate(switches):
        if name in switches[:place]:
            yield (*at, "switch", place, "name"), f"there are two virtual networks '{name}'"


def _of_volume(volume: VolumeSection, at: Where, hosts: list[str]) -> Iterator[Found]:
    if not volume.path and "path" in volume.model_fields_set:
        yield (*at, "path"), f"no path leads to volume '{volume.name}'; give one, or leave path out"
    reached = {name for path in volume.path for name in path.hosts or hosts} or set(hosts)
    if volume.coordinator and volume.coordinator not in hosts:
        yield (*at, "coordinator"), unknown("host", volume.coordinator, hosts)
    elif volume.coordinator and volume.coordinator not in reached:
        yield (
            (*at, "coordinator"),
            f"'{volume.coordinator}' has no path to '{volume.name}'; name a host that has",
        )
    if volume.redirected and not volume.csv:
        yield (*at, "redirected"), f"'{volume.name}' is no CSV; only CSVs have redirected I/O"
    for place, path in enumerate(volume.path):
        for name in path.hosts:
            if name not in hosts:
                yield (*at, "path", place, "hosts"), unknown("host", name, hosts)


def _of_vms(section: ClusterSection, hosts: list[str]) -> Iterator[Found]:
    volumes = [one.name for one in section.volume] or ["csv1"]
    switches = sorted(
        {one.name for host in section.host for one in host.switch or [HostSwitchSection()]}
    )
    taken: dict[int, str] = {}
    for place, vm in enumerate(section.vm):
        at: Where = ("vm", place)
        named = [vm.host] if isinstance(vm.host, str) else vm.host
        for key, names in (("host", named), ("owners", vm.owners)):
            for name in names:
                if name not in hosts:
                    yield (*at, key), unknown("host", name, hosts)
        if isinstance(vm.host, list) and len(vm.host) > 1 and vm.count == 1:
            yield (
                (*at, "host"),
                f"VM '{vm.name}' cannot run on {' and '.join(vm.host)} at a time; name one host",
            )
        if vm.volume and vm.volume not in volumes:
            yield (*at, "volume"), unknown("volume", vm.volume, volumes)
        if vm.switch not in switches:
            yield (*at, "switch"), unknown("virtual network", vm.switch, switches)
        if vm.least_memory > vm.memory:
            yield (*at, "least_memory"), "is more than memory; give what it needs without load"
        if vm.working_set > vm.memory:
            yield (*at, "working_set"), "is more than memory; give the part that it writes"
        if vm.low > vm.peak:
            yield (*at, "low"), f"{vm.low:g} is more than peak {vm.peak:g}; exchange them"
        hours = [hour for hour, _ in vm.points]
        if hours != sorted(set(hours)):
            yield (*at, "points"), "the times of its load go only up within the day"
        if vm.mac is not None:
            if vm.count > 1:
                yield (*at, "mac"), "one address cannot serve several VMs; leave it out"
            elif vm.mac in taken:
                yield (*at, "mac"), f"belongs to '{taken[vm.mac]}' already; give another"
            taken[vm.mac] = vm.name
    yield from _too_many(section, hosts)


def _too_many(section: ClusterSection, hosts: list[str]) -> Iterator[Found]:
    """More VMs on a host than its MAC pool has addresses."""
    counts = dict.fromkeys(hosts, 0)
    for place, vm in enumerate(section.vm):
        named = [vm.host] if isinstance(vm.host, str) else vm.host or hosts
        if vm.mac is None and all(name in counts for name in named):
            for n in range(vm.count):
                host = named[n % len(named)]
                counts[host] += 1
                if counts[host] > MOST_ADDRESSES:
                    yield (
                        ("vm", place),
                        f"'{host}' gets more than the {MOST_ADDRESSES} VMs that its MAC pool has addresses for; "
                        "deal them out to more hosts, or give addresses",
                    )
                    return


def _of_mover(mover: MoverSection) -> Iterator[Found]:
    at: Where = ("mover",)
    for name in RESOURCES:
        high, low = getattr(mover, f"{name}_high"), getattr(mover, f"{name}_low")
        for key, value in ((f"{name}_high", high), (f"{name}_low", low)):
            if not 0.0 < value <= 1.0:
                yield (
                    (*at, key),
                    f"a threshold of {value:g} is out of range; use a share above 0, up to 1",
                )
        if 0 < high <= low:
            given = f"{name}_low" if f"{name}_low" in mover.model_fields_set else f"{name}_high"
            yield (
                (*at, given),
                f"flaps: {name}_low {low:g} is not below {name}_high {high:g}, so that what is enough "
                "is too much at once; lower it",
            )
        weight = getattr(mover, f"weight_{name}")
        if weight < 0:
            yield (*at, f"weight_{name}"), f"a weight of {weight:g} is below 0; use 0 or more"
    if not any(getattr(mover, f"weight_{name}") for name in RESOURCES):
        yield (*at, "weight_processors"), "all weights are 0, so that no target is better; give one"
    if mover.interval < SECOND_NS:
        yield (*at, "interval"), "is less than a second; give 1s or more"
    elif mover.cool_down < mover.interval:
        yield (
            (*at, "cool_down"),
            "flaps: shorter than interval, so that a VM may be moved at every look; give more",
        )


# Records


def build(section: ClusterSection, name: str, file: str, lines: dict[Where, int]) -> Cluster:
    """Return the cluster that a section without contradictions describes.

    Parameters
    ----------
    section : ClusterSection
    name, file : str
        Of the cluster; of the scenario.
    lines : dict
        Where each key stands.

    Returns
    -------
    Cluster
    """
    hosts = tuple(_hosts(section))
    names = tuple(one.name for one in hosts)
    systems = {one.system.level for one in hosts}
    volumes = tuple(_volumes(section, names))
    witness = section.witness or next((one.name for one in volumes if not one.csv), "")
    even = len(hosts) % 2 == 0
    quorum = section.quorum or ("node-and-disk" if even and witness else "node-majority")
    if section.quorum == "node-and-share":
        witness = "share"
    elif quorum == "node-majority":
        witness = ""
    return Cluster(
        name=name,
        file=file,
        hosts=hosts,
        networks=tuple(_networks(section)),
        volumes=volumes,
        vms=tuple(_vms(section, hosts, volumes)),
        witness=witness,
        quorum=quorum,
        policy=section.policy or ("hyperv-2012r2" if systems == {"2012"} else "hyperv-r2"),
        most_moves=section.moves or max(1, min(one.system.moves for one in hosts)),
        heartbeat_ns=section.heartbeat,
        missed=section.missed,
        mover=_mover(section.mover),
        maintenance=tuple(
            Maintenance(
                tuple(one.hosts) or names, one.at, one.length, one.what,
                ("cluster", "maintenance", place),
            )
            for place, one in enumerate(section.maintenance)
        ),
        faults=tuple(
            DayFault(
                one.kind, one.volume if one.kind != "host-crash" else one.host, one.host, one.at,
                one.back, one.paths, ("cluster", "fault", place),
            )
            for place, one in enumerate(section.fault)
        ),
        lines=lines,
    )  # fmt: skip


def _networks(section: ClusterSection) -> Iterator[ClusterNetwork]:
    for place, one in enumerate(section.network or [ClusterNetworkSection(name="cluster")]):
        bits = one.rate.bytes_per_s * 8
        yield ClusterNetwork(
            one.name, frozenset(one.uses), payload_of(one.rate), f"{bits / 1e9:g} Gbit/s", one.mtu,
            ("cluster", "network", place),
        )  # fmt: skip


def _hosts(section: ClusterSection) -> Iterator[Host]:
    number = 0
    for place, one in enumerate(section.host):
        at: Where = ("cluster", "host", place)
        switches = tuple(
            HostSwitch(
                each.name, each.mtu, each.vlans, each.queues, each.chimney, payload_of(each.rate),
                (*at, "switch", n) if one.switch else at,
            )
            for n, each in enumerate(one.switch or [HostSwitchSection()])
        )  # fmt: skip
        chosen, system = processor(one.processor), OPERATING_SYSTEMS[one.os]
        for n, name in enumerate(names_of(one.name, one.count)):
            number += 1
            yield Host(
                name=name,
                processor=chosen,
                logical_processors=chosen.logical_processors * one.sockets,
                memory_bytes=one.memory,
                reserve_bytes=one.reserve,
                system=system,
                install=one.install,
                service_pack=one.service_pack,
                updates=frozenset(one.updates),
                domain=one.domain,
                member=one.member,
                pending_reboot=one.pending_reboot,
                addresses={
                    key: text.replace("{n}", str(n + 1)) for key, text in one.addresses.items()
                },
                mac_pool_ip=one.mac_pool_ip.replace("{n}", str(n + 1))
                or f"192.168.{number // 256}.{number % 256}",
                switches=switches,
                drivers=dict(one.drivers),
                unsigned=frozenset(one.unsigned),
                storage_driver_for=one.storage_driver_for or system.level,
                at=at,
            )


def _volumes(section: ClusterSection, hosts: tuple[str, ...]) -> Iterator[Volume]:
    for place, one in enumerate(section.volume or [VolumeSection(name="csv1")]):
        at: Where = ("cluster", "volume", place)
        paths = tuple(
            StoragePath(
                tuple(path.hosts) or hosts, path.count, path.dsm, path.policy,
                payload_of(path.rate), (*at, "path", n) if one.path else at,
            )
            for n, path in enumerate(one.path or [StoragePathSection()])
        )  # fmt: skip
        reached = {name for path in paths for name in path.hosts}
        yield Volume(
            name=one.name,
            csv=one.csv,
            coordinator=one.coordinator or next(name for name in hosts if name in reached),
            redirected=one.redirected,
            paths=paths,
            at=at,
        )  # fmt: skip


def _vms(
    section: ClusterSection, hosts: tuple[Host, ...], volumes: tuple[Volume, ...]
) -> Iterator[Vm]:
    pools = {one.name: MacPool(one.mac_pool_ip) for one in hosts}
    given = {one.mac for one in section.vm if one.mac is not None}
    by_name = {one.name: one for one in hosts}
    everywhere = [one.name for one in hosts]
    for place, one in enumerate(section.vm):
        named = [one.host] if isinstance(one.host, str) else one.host or everywhere
        for n, name in enumerate(names_of(one.name, one.count)):
            home = by_name[named[n % len(named)]]
            mac = one.mac if one.mac is not None else pools[home.name].take(given)
            yield Vm(
                name=name,
                host=home.name,
                memory_bytes=one.memory,
                least_bytes=one.least_memory or one.memory,
                processors=one.processors,
                volume=one.volume or volumes[0].name,
                switch=one.switch,
                vlan=one.vlan,
                mtu=one.mtu,
                mac=mac,
                compatibility=one.compatibility,
                started_on=processor(one.started_on) if one.started_on else home.processor,
                apart=one.apart,
                owners=frozenset(one.owners) or None,
                wants_queue=one.vmq,
                curve=_curve(one),
                bytes_per_s=one.network.bytes_per_s,
                working_set_bytes=one.working_set or one.memory // 8,
                dirty_bytes_per_s=one.dirty.bytes_per_s,
                peers=one.peers,
                boot_ns=one.boot,
                at=("cluster", "vm", place),
            )


def _curve(vm: ClusterVmSection) -> Curve:
    points = tuple((at / HOUR_NS, share) for at, share in vm.points) or SHAPES[vm.shape]
    return Curve(points, vm.low, vm.peak, vm.spread)


def _mover(one: MoverSection) -> MoverSettings:
    return MoverSettings(
        enabled=one.enabled,
        interval_ns=one.interval,
        duration_ns=one.duration,
        cool_down_ns=one.cool_down,
        thresholds=(
            Threshold(one.processors_high, one.processors_low),
            Threshold(one.memory_high, one.memory_low),
            Threshold(one.network_high, one.network_low),
            Threshold(one.queues_high, one.queues_low),
        ),
        weights=(
            one.weight_processors, one.weight_memory, one.weight_network, one.weight_queues,
        ),
        most_blackout_ns=one.most_blackout,
    )  # fmt: skip
