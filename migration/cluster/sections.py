"""``[cluster]`` of a scenario file and the tables in it, as pydantic models.

What a cluster is made of comes out as the plain records of :mod:`migration.cluster.model`; pydantic
stays here. What only makes sense together is checked by :mod:`migration.cluster.scenario`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from migration.cluster.curves import SHAPES
from migration.cluster.processors import PROCESSORS, processor
from migration.cluster.releases import OPERATING_SYSTEMS
from migration.cluster.storage import POLICIES
from migration.links import payload_rate
from migration.policies import policy as policy_named
from migration.tcp.stacks import stack
from pcaps.errors import BadInput
from pcaps.quantities import Rate, parse_bytes, parse_rate
from vswitch.problems import unknown
from vswitch.scenario_models import Mac, Mtu, Time, Vid, Vids


def _read(parse: Callable[[str], Any]) -> BeforeValidator:
    """Read text, and say what is wrong with it as pydantic wants to hear it."""

    def read(given: Any) -> Any:
        try:
            return parse(str(given))
        except BadInput as error:
            raise ValueError(error.what) from None

    return BeforeValidator(read)


def _rate(text: str) -> Rate:
    rate = parse_rate(text)
    if rate.bytes_per_s <= 0:
        raise BadInput("a rate of 0 carries nothing; give it as 1Gbps or 100MB/s")
    return rate


def payload_of(rate: Rate) -> float:
    """Return the payload of a rate: a line rate in bits carries its TCP payload."""
    return payload_rate(rate.bytes_per_s * 8) if rate.in_bits else rate.bytes_per_s


def _name_of(known: dict[str, Any], kind: str) -> BeforeValidator:
    def read(text: str) -> str:
        if text not in known:
            raise BadInput(unknown(kind, text, list(known)))
        return text

    return _read(read)


def _moment(text: str) -> int:
    """Read ``08:30`` as a time since midnight; ``32:30`` is on the next day."""
    hour, colon, minute = text.partition(":")
    if colon and hour.isdecimal() and minute.isdecimal() and int(minute) < 60 and len(hour) < 4:
        return (int(hour) * 60 + int(minute)) * 60_000_000_000
    raise BadInput(f"'{text}' is not a time of day; write it as 08:30")


def _clock(text: str) -> int:
    """Read ``08:30`` as a time since midnight."""
    found = _moment(text)
    if found >= 24 * 3_600_000_000_000:
        raise BadInput(f"'{text}' is not within a day; give 00:00 to 23:59")
    return found


def time_of_day(text: str, option: str) -> int:
    """Read the time of day that an option gives, as nanoseconds since midnight."""
    try:
        return _clock(text)
    except BadInput as error:
        raise BadInput(f"{option}: {error.what}") from None


Size = Annotated[int, _read(parse_bytes), WithJsonSchema({"format": "size"})]
Speed = Annotated[Rate, _read(_rate), WithJsonSchema({"format": "rate"})]
Pages = Annotated[Rate, _read(parse_rate), WithJsonSchema({"format": "rate"})]
Clock = Annotated[int, _read(_clock), WithJsonSchema({"format": "time of day"})]
Moment = Annotated[int, _read(_moment), WithJsonSchema({"format": "time of day"})]
ProcessorName = Annotated[
    str, _read(lambda text: processor(text).name), WithJsonSchema({"format": "processor"})
]
System = Annotated[
    str, _name_of(OPERATING_SYSTEMS, "operating system"), WithJsonSchema({"format": "system"})
]
PolicyName = Annotated[
    str, _read(lambda text: policy_named(text).name), WithJsonSchema({"format": "policy"})
]
StackName = Annotated[
    str, _read(lambda text: stack(text) and text), WithJsonSchema({"format": "TCP stack"})
]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


LoadPoints = Annotated[
    list[tuple[Clock, Share]], WithJsonSchema({"format": "list of time of day and load"})
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


def _written(default: str, *, description: str) -> Any:
    """Return a field whose default is text, read like what a file says."""
    return Field(default, description=description)


class ClusterNetworkSection(_Section):
    """A network that joins the hosts; one of 1 Gbit/s for everything when none is given."""

    name: str = Field(description="Name, unique.")
    uses: list[Literal["client", "heartbeat", "csv", "live-migration"]] = Field(
        ["client", "heartbeat", "csv", "live-migration"], description="What goes over it."
    )
    rate: Speed = _written("1Gbps", description="Its rate.")
    mtu: Mtu = Field(1500, description="MTU in bytes.")


class HostSwitchSection(_Section):
    """A virtual network of the hosts and the adapter below it; one when none is given."""

    name: str = Field("external", description="Name, the same on all hosts that share VMs.")
    mtu: Mtu = Field(1500, description="MTU in bytes.")
    vlans: Vids = _written("all", description="VIDs that its uplink carries.")
    queues: int = Field(16, ge=0, le=4096, description="VM queues of the adapter.")
    chimney: int = Field(
        0, ge=0, le=65536, description="Connections that the adapter can run by TCP chimney."
    )
    rate: Speed = _written("1Gbps", description="Rate of the uplink.")


class HostSection(_Section):
    """A node, or several alike."""

    name: str = Field(description="Name, unique; with count it contains {n}, the number from 1.")
    count: int = Field(1, ge=1, le=4096, description="How many.")
    processor: ProcessorName = Field(
        "Xeon X5570", description="Its processors: " + ", ".join(PROCESSORS) + "."
    )
    sockets: int = Field(2, ge=1, le=8, description="How many processors.")
    memory: Size = _written("48GiB", description="Memory.")
    reserve: Size = _written("1GiB", description="Kept by the parent partition.")
    os: System = Field(
        "2008 R2 Enterprise", description="System: " + ", ".join(OPERATING_SYSTEMS) + "."
    )
    install: Literal["full", "core"] = Field("full", description="Install option.")
    service_pack: int = Field(0, ge=0, le=9, description="Service pack.")
    updates: list[str] = Field([], description="Updates that are installed, such as KB976424.")
    domain: str = Field("lab.example", description="Active Directory domain; empty for none.")
    member: bool = Field(True, description="Whether its cluster service runs as a member.")
    pending_reboot: bool = Field(False, description="Whether it waits for a restart.")
    addresses: dict[str, str] = Field(
        {},
        description="Cluster network to address with prefix length, such as 10.0.0.{n}/24; on all of them by default.",
    )
    mac_pool_ip: str = Field(
        "",
        description="IPv4 address whose last two octets name its MAC pool; 192.168.x.y by its number when empty.",
    )
    drivers: dict[str, str] = Field(
        {}, description="Driver or firmware to its level, such as nic, hba, bios."
    )
    unsigned: list[str] = Field([], description="Drivers without a signature.")
    storage_driver_for: Literal["", "2008", "2008 R2", "2012"] = Field(
        "", description="System that its storage driver was made for; its own when empty."
    )
    switch: list[HostSwitchSection] = Field([], description="Its virtual networks.")


class StoragePathSection(_Section):
    """Paths from hosts to the volume."""

    hosts: list[str] = Field([], description="Which hosts; all when empty.")
    count: int = Field(2, ge=1, le=32, description="Paths of each host.")
    dsm: str = Field("Microsoft DSM", description="Device specific module that manages them.")
    policy: Literal[POLICIES] = Field(  # type: ignore[valid-type]
        "round-robin", description="How it spreads requests."
    )
    rate: Speed = _written("400MB/s", description="Rate of a path.")


class VolumeSection(_Section):
    """A LUN with the files of VMs; one that all hosts reach when none is given."""

    name: str = Field(description="Name, unique.")
    csv: bool = Field(True, description="Whether it is a Clustered Shared Volume.")
    coordinator: str = Field("", description="Node that owns it; the first when empty.")
    redirected: bool = Field(
        False, description="Whether all I/O goes by the coordinator, as during a backup."
    )
    path: list[StoragePathSection] = Field([], description="Paths to it.")


class ClusterVmSection(_Section):
    """A VM of the cluster, or several alike, dealt out to hosts."""

    name: str = Field(description="Name, unique; with count it contains {n}, the number from 1.")
    count: int = Field(1, ge=1, le=100_000, description="How many.")
    host: str | list[str] = Field(
        [], description="Where it runs; of several, dealt out in turn; all hosts by default."
    )
    memory: Size = _written("2GiB", description="Memory at its peak.")
    least_memory: Size = _written("0", description="Memory with no load; that of the peak when 0.")
    processors: int = Field(2, ge=1, le=64, description="Virtual processors.")
    volume: str = Field("", description="Where its files are; the first volume when empty.")
    switch: str = Field("external", description="Virtual network.")
    vlan: Vid = Field(0, description="Access VLAN; 0 = untagged.")
    mtu: Mtu = Field(1500, description="MTU in bytes.")
    mac: Mac | None = Field(None, description="Address; the next of its host's pool by default.")
    compatibility: bool = Field(False, description="Processor compatibility mode.")
    started_on: ProcessorName | None = Field(
        None, description="Processor that it was started on; its host's by default."
    )
    apart: str = Field("", description="Anti-affinity group: no two of it on a host.")
    owners: list[str] = Field([], description="Hosts that may have it; all when empty.")
    vmq: bool = Field(True, description="Whether it asks for a VM queue.")
    shape: Literal[tuple(SHAPES)] = Field(  # type: ignore[valid-type]
        "constant", description="Its load over a day."
    )
    points: LoadPoints = Field(
        [], description='Its load by points, such as [["08:00", 0.2], ["12:00", 1.0]].'
    )
    low: Share = Field(0.0, description="Load where the shape is 0, as a share of processors.")
    peak: Share = Field(0.3, description="Load where the shape is 1.")
    spread: Share = Field(0.1, description="Standard deviation of what is drawn around it.")
    network: Pages = _written("0", description="Traffic at full load.")
    working_set: Size = _written("0", description="Memory that it writes; an eighth of it when 0.")
    dirty: Pages = _written("0", description="Pages written a second at full load, in bytes.")
    peers: StackName = Field("windows-2008r2", description="TCP stack of its peers.")
    boot: Time = _written("60s", description="From a restart until its services answer.")


class MoverSection(_Section):
    """What the mover watches, and when it acts."""

    enabled: bool = Field(True, description="Whether it moves VMs.")
    interval: Time = _written("60s", description="From one look to the next.")
    duration: Time = _written("5min", description="How long a threshold must be crossed.")
    cool_down: Time = _written(
        "15min",
        description="How long the VM and the target of a move are left alone; its source for duration.",
    )
    processors_high: float = Field(0.85, description="Share of processors that is too much.")
    processors_low: float = Field(0.70, description="Share at which it is enough again.")
    memory_high: float = Field(0.95, description="Share of memory that is too much.")
    memory_low: float = Field(0.90, description="Share at which it is enough again.")
    network_high: float = Field(0.80, description="Share of the uplink that is too much.")
    network_low: float = Field(0.65, description="Share at which it is enough again.")
    queues_high: float = Field(
        0.90, description="Share of the default queue's processor that is too much."
    )
    queues_low: float = Field(0.70, description="Share at which it is enough again.")
    weight_processors: float = Field(8, description="Weight of free processors in a rating.")
    weight_memory: float = Field(6, description="Weight of free memory.")
    weight_network: float = Field(4, description="Weight of free network.")
    weight_queues: float = Field(4, description="Weight of a free default queue.")
    most_blackout: Time = _written(
        "5s", description="A move with a longer predicted blackout is not made."
    )


class MaintenanceSection(_Section):
    """Hosts that are emptied and worked on, one behind the other."""

    hosts: list[str] = Field([], description="Which; all, one after another, when empty.")
    at: Moment = Field(
        description="When the first is emptied, since midnight of the first day; 32:00 is on the second."
    )
    length: Time = _written("30min", description="How long the work at one takes.")
    what: Literal["maintenance", "patch"] = Field("maintenance", description="For people.")


class DayFaultSection(_Section):
    """Something that breaks while the cluster runs."""

    kind: Literal["host-crash", "path-loss", "volume-loss"] = Field(
        description="A host stops; a host loses its paths to a volume; a volume is gone."
    )
    at: Moment = Field(description="When, since midnight of the first day.")
    host: str = Field("", description="Which host.")
    volume: str = Field("", description="Which volume.")
    paths: int = Field(0, ge=0, le=32, description="How many paths are lost; all when 0.")
    back: Time | None = Field(None, description="After what time it is back; never by default.")


class ClusterSection(_Section):
    """A failover cluster, for ``vswitch cluster``."""

    name: str = Field("", description="Name, for reports; the scenario's when empty.")
    quorum: Literal["node-majority", "node-and-disk", "node-and-share", "disk-only"] | None = Field(
        None,
        description="Who may go on when nodes are gone; node-and-disk for an even number of nodes, else node-majority, by default.",
    )
    witness: str = Field(
        "", description="Volume that votes; the first that is no CSV when empty, and needed."
    )
    policy: PolicyName | None = Field(
        None, description="When pre-copy ends; that of the hosts' release by default."
    )
    moves: int | None = Field(
        None, ge=1, le=64,
        description="Live moves that a host takes part in at a time; that of its release by default.",
    )  # fmt: skip
    heartbeat: Time = _written("1s", description="From one heartbeat to the next.")
    missed: int = Field(5, ge=3, le=10, description="Heartbeats that a lost node has missed.")
    network: list[ClusterNetworkSection] = Field([], description="Networks that join the hosts.")
    host: list[HostSection] = Field([], description="The nodes.")
    volume: list[VolumeSection] = Field([], description="Shared storage.")
    vm: list[ClusterVmSection] = Field([], description="The VMs.")
    mover: MoverSection = Field(
        default_factory=MoverSection, description="What moves VMs when a host is short."
    )
    maintenance: list[MaintenanceSection] = Field([], description="Work at hosts.")
    fault: list[DayFaultSection] = Field([], description="What breaks.")

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what does not go together: where in the section, and a sentence."""
        from migration.cluster.scenario import contradictions

        yield from contradictions(self)
