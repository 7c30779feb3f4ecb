"""A cluster as the scenario describes it: hosts, networks, volumes, VMs, and what is to happen to them.

Plain records. Every record knows where in the scenario it stands (`at`), so that whatever is said
of it can name the line. Sizes are bytes, rates bytes/s of payload, times nanoseconds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from migration.cluster.curves import Curve
from migration.cluster.processors import Processor
from migration.cluster.releases import OperatingSystem
from migration.cluster.translation import Translation, translation_of
from vswitch.toml_lines import line_of

Where = tuple[str | int, ...]
GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class ClusterNetwork:
    """A network that joins the hosts.

    Parameters
    ----------
    name : str
    uses : frozenset of str
        Of ``client``, ``heartbeat``, ``csv``, ``live-migration``.
    bytes_per_s : float
        Payload that it carries.
    line : str
        Its rate as it was written.
    mtu : int
    at : tuple
    """

    name: str
    uses: frozenset[str]
    bytes_per_s: float
    line: str
    mtu: int
    at: Where


@dataclass(frozen=True)
class HostSwitch:
    """A virtual network of a host and the adapter below it.

    Parameters
    ----------
    name : str
    mtu : int
    vlans : frozenset of int, optional
        VIDs that its uplink carries; None for all.
    queues : int
        VM queues of the adapter.
    chimney : int
        Connections that the adapter can run.
    bytes_per_s : float
        Payload of the uplink.
    at : tuple
    """

    name: str
    mtu: int
    vlans: frozenset[int] | None
    queues: int
    chimney: int
    bytes_per_s: float
    at: Where


@dataclass(frozen=True)
class Host:
    """A node.

    Parameters
    ----------
    name : str
    processor : Processor
    logical_processors : int
        1 to 64.
    memory_bytes, reserve_bytes : int
        In all, and kept by the parent partition.
    system : OperatingSystem
    install : str
        ``full`` or ``core``.
    service_pack : int
    updates : frozenset of str
    domain : str
    member, pending_reboot : bool
        Whether its cluster service runs as a member; whether it waits for a restart.
    addresses : mapping of str to str
        Cluster network -> its address there with prefix length; empty = on all of them.
    mac_pool_ip : str
        Address whose last octets name its MAC pool.
    switches : tuple of HostSwitch
    drivers : mapping of str to str
        Driver or firmware -> its level.
    unsigned : frozenset of str
        Drivers without a signature.
    storage_driver_for : str
        Level of the system that its storage driver was made for.
    at : tuple
    """

    name: str
    processor: Processor
    logical_processors: int
    memory_bytes: int
    reserve_bytes: int
    system: OperatingSystem
    install: str
    service_pack: int
    updates: frozenset[str]
    domain: str
    member: bool
    pending_reboot: bool
    addresses: Mapping[str, str]
    mac_pool_ip: str
    switches: tuple[HostSwitch, ...]
    drivers: Mapping[str, str]
    unsigned: frozenset[str]
    storage_driver_for: str
    at: Where

    @cached_property
    def subnets(self) -> Mapping[str, str]:
        """Cluster network -> subnet of its address there."""
        return {
            name: str(ipaddress.ip_interface(text).network) for name, text in self.addresses.items()
        }

    def switch(self, name: str) -> HostSwitch | None:
        """Return its virtual network of that name, None where it has none."""
        return next((one for one in self.switches if one.name == name), None)

    @property
    def translation(self) -> Translation:
        """What translation of guest memory costs it."""
        return translation_of(self.processor.slat, self.processor.clock_hz)

    @property
    def queues(self) -> int:
        """VM queues of all its adapters."""
        return sum(one.queues for one in self.switches)

    def taken_by(self, memory_bytes: int) -> int:
        """Return the memory that a VM takes of it."""
        return memory_bytes + vm_overhead(memory_bytes) + self.translation.bytes_per_vm

    @property
    def room_bytes(self) -> int:
        """Memory for VMs."""
        return self.memory_bytes - self.reserve_bytes


def vm_overhead(memory_bytes: int) -> int:
    """Return the host memory that a VM takes besides its own.

    Rule: 32 MiB, and 8 MiB for each GiB above the first (believed; usual guidance for 2008 R2)
    """
    above = max(0, -(-memory_bytes // GIB) - 1)
    return 32 * MIB + 8 * MIB * above


@dataclass(frozen=True)
class StoragePath:
    """Paths of one kind from hosts to a volume.

    Parameters
    ----------
    hosts : tuple of str
    count : int
        Paths of each of them.
    dsm : str
        Device specific module that manages them.
    policy : str
        See :data:`migration.cluster.storage.POLICIES`.
    bytes_per_s : float
        Of one path.
    at : tuple
    """

    hosts: tuple[str, ...]
    count: int
    dsm: str
    policy: str
    bytes_per_s: float
    at: Where


@dataclass(frozen=True)
class Volume:
    """A LUN with a file system.

    Parameters
    ----------
    name : str
    csv : bool
        Clustered Shared Volume: all nodes read and write it at a time.
    coordinator : str
        Node that owns its metadata.
    redirected : bool
        All I/O goes by the coordinator, as during a backup.
    paths : tuple of StoragePath
    at : tuple
    """

    name: str
    csv: bool
    coordinator: str
    redirected: bool
    paths: tuple[StoragePath, ...]
    at: Where

    def paths_of(self, host: str) -> tuple[StoragePath, ...]:
        """Return the paths of a host."""
        return tuple(one for one in self.paths if host in one.hosts)


@dataclass(frozen=True)
class Vm:
    """A VM.

    Parameters
    ----------
    name : str
    host : str
        Where it runs at the beginning.
    memory_bytes, least_bytes : int
        At its peak, and when it has nothing to do.
    processors : int
        Virtual processors.
    volume, switch : str
    vlan, mtu, mac : int
    compatibility : bool
        Processor compatibility mode.
    started_on : Processor
        Where it was started; names the features that it sees.
    apart : str
        Group of which no two may be on a host; empty for none.
    owners : frozenset of str, optional
        Hosts that may have it; None for all.
    wants_queue : bool
    curve : Curve
        Its load over a day: the share of its processors that is in use. Network and dirty rate
        follow it; memory follows the share of its peak.
    bytes_per_s : float
        Network traffic at full load.
    working_set_bytes : int
    dirty_bytes_per_s : float
        Pages written at full load.
    peers : str
        TCP stack of those it talks to.
    boot_ns : int
        Until its services answer after a restart.
    at : tuple
    """

    name: str
    host: str
    memory_bytes: int
    least_bytes: int
    processors: int
    volume: str
    switch: str
    vlan: int
    mtu: int
    mac: int
    compatibility: bool
    started_on: Processor
    apart: str
    owners: frozenset[str] | None
    wants_queue: bool
    curve: Curve
    bytes_per_s: float
    working_set_bytes: int
    dirty_bytes_per_s: float
    peers: str
    boot_ns: int
    at: Where

    def memory_at(self, load: float) -> float:
        """Return the memory that it has at a load, in bytes."""
        share = min(load / max(self.curve.peak, 1e-9), 1.0)
        return self.least_bytes + share * (self.memory_bytes - self.least_bytes)


@dataclass(frozen=True)
class Threshold:
    """When a resource is short, and when it is no more.

    Parameters
    ----------
    high, low : float
        Share in use.
    """

    high: float
    low: float


RESOURCES = ("processors", "memory", "network", "queues")
"""What the mover watches, in the order of its columns."""


@dataclass(frozen=True)
class MoverSettings:
    """When the mover acts.

    Parameters
    ----------
    enabled : bool
    interval_ns, duration_ns, cool_down_ns : int
        From one look to the next; how long a threshold must be crossed; how long a VM and the
        two hosts of a move are left alone afterwards.
    thresholds : tuple of Threshold
        Of :data:`RESOURCES`.
    weights : tuple of float
        Of the same, for the rating of targets.
    most_blackout_ns : int
        A move with a longer predicted blackout is not made.
    """

    enabled: bool = True
    interval_ns: int = 60_000_000_000
    duration_ns: int = 300_000_000_000
    cool_down_ns: int = 900_000_000_000
    thresholds: tuple[Threshold, ...] = (
        Threshold(0.85, 0.70),
        Threshold(0.95, 0.90),
        Threshold(0.80, 0.65),
        Threshold(0.90, 0.70),
    )
    weights: tuple[float, ...] = (8.0, 6.0, 4.0, 4.0)
    most_blackout_ns: int = 5_000_000_000


@dataclass(frozen=True)
class Maintenance:
    """A host is emptied, worked on, and comes back.

    Parameters
    ----------
    hosts : tuple of str
        One behind the other.
    at_ns, length_ns : int
        When the first begins; how long the work at one takes.
    what : str
        For people: ``maintenance`` or ``patch``.
    at : tuple
    """

    hosts: tuple[str, ...]
    at_ns: int
    length_ns: int
    what: str
    at: Where


@dataclass(frozen=True)
class DayFault:
    """Something that breaks on its own.

    Parameters
    ----------
    kind : str
        ``host-crash``, ``path-loss`` or ``volume-loss``.
    subject : str
        Host, or volume.
    host : str
        Whose paths are lost.
    at_ns : int
    back_ns : int, optional
        How long it lasts; None = for good.
    paths : int
        How many paths are lost; 0 = all.
    at : tuple
    """

    kind: str
    subject: str
    host: str
    at_ns: int
    back_ns: int | None
    paths: int
    at: Where


@dataclass(frozen=True)
class Cluster:
    """A failover cluster.

    Parameters
    ----------
    name, file : str
        Its name; the scenario's file.
    hosts, networks, volumes, vms : tuple
    witness : str
        Volume that votes, ``share`` for a file share, empty for none.
    quorum : str
        See :mod:`migration.cluster.quorum`.
    policy : str
        Of pre-copy.
    most_moves : int
        Live moves that a node takes part in at a time.
    heartbeat_ns, missed : int
        From one heartbeat to the next, and how many may be missed.
    mover : MoverSettings
    maintenance : tuple of Maintenance
    faults : tuple of DayFault
    lines : mapping
        Where each key stands.
    """

    name: str
    file: str
    hosts: tuple[Host, ...]
    networks: tuple[ClusterNetwork, ...]
    volumes: tuple[Volume, ...]
    vms: tuple[Vm, ...]
    witness: str
    quorum: str
    policy: str
    most_moves: int
    heartbeat_ns: int
    missed: int
    mover: MoverSettings = MoverSettings()
    maintenance: tuple[Maintenance, ...] = ()
    faults: tuple[DayFault, ...] = ()
    lines: Mapping[Where, int] = field(default_factory=dict, repr=False)

    def line(self, record: object, key: str | None = None) -> str:
        """Return where a record stands, or one of its keys: ``file:line``."""
        at: Where = getattr(record, "at", ("cluster",))
        if not self.lines:
            return self.file
        return f"{self.file}:{line_of(dict(self.lines), at if key is None else (*at, key))}"

    def host(self, name: str) -> Host:
        """Return a host by name; it exists."""
        return self._hosts[name]

    def volume(self, name: str) -> Volume:
        """Return a volume by name; it exists."""
        return next(one for one in self.volumes if one.name == name)

    def vms_on(self, host: str) -> list[Vm]:
        """Return the VMs that begin on a host."""
        return [one for one in self.vms if one.host == host]

    def vms_of(self, volume: str) -> tuple[Vm, ...]:
        """Return the VMs whose files are on a volume."""
        return self._of_volume.get(volume, ())

    @cached_property
    def _of_volume(self) -> Mapping[str, tuple[Vm, ...]]:
        found: dict[str, list[Vm]] = {}
        for vm in self.vms:
            found.setdefault(vm.volume, []).append(vm)
        return {name: tuple(vms) for name, vms in found.items()}

    @property
    def migration_network(self) -> ClusterNetwork:
        """Network of live moves: one for them alone, else the fastest for them, else the fastest."""
        meant = [one for one in self.networks if "live-migration" in one.uses]
        return max(
            meant or self.networks,
            key=lambda one: (one.uses == {"live-migration"}, one.bytes_per_s),
        )

    @cached_property
    def remembered(self) -> dict[Any, Any]:
        """Answers about kinds of VMs and hosts, which do not change while the cluster does not."""
        return {}

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        return {one.name: one for one in self.hosts}
