"""The sections of a scenario file, as pydantic models. Nothing behind this edge is pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pcaps.addresses import is_group, mac_to_key
from pcaps.errors import BadInput
from pcaps.quantities import parse_duration_ns
from vswitch.ports import LONGEST_AGEING_S, SHORTEST_AGEING_S, VLANS, Mirror, VlanMode


def _vids(given: Any) -> Any:
    """Take ``[10, "20-29"]`` or one VID or range."""
    if given == "all":
        return None
    wanted: set[int] = set()
    for item in given if isinstance(given, list) else [given]:
        low, _, high = str(item).partition("-")
        try:
            first, last = int(low), int(high or low)
        except ValueError:
            raise ValueError(f"'{item}' is not a VID or a range; write 10 or \"10-19\"") from None
        if first > last or (first not in VLANS and first != 0) or (last not in VLANS and last != 0):
            raise ValueError(f"VLAN {item} is out of range; use 0 to 4094")
        wanted.update(range(first, last + 1))
    return frozenset(wanted)


def _vid(given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError("a VLAN is a whole number from 0 (untagged) to 4094")
    if given != 0 and given not in VLANS:
        raise ValueError(f"VLAN {given} is out of range; use 0 (untagged) to 4094")
    return given


def _mac(given: Any) -> Any:
    try:
        key = mac_to_key(str(given))
    except BadInput as error:
        raise ValueError(error.what) from None
    if is_group(key):
        raise ValueError(f"{given} is a group address; no port can own it")
    return key


# What the reference of the file (vswitch.scenario_reference) says of their types is the format.
Vid = Annotated[
    int,
    BeforeValidator(_vid),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 4094}),
]
Vids = Annotated[frozenset[int] | None, BeforeValidator(_vids), WithJsonSchema({"format": "VIDs"})]
Mac = Annotated[int, BeforeValidator(_mac), WithJsonSchema({"format": "MAC address"})]
Mtu = Annotated[int, Field(ge=46, le=65535)]
Bound = Annotated[int | str, WithJsonSchema({"format": "bounds"})]


def _time(given: Any) -> Any:
    try:
        return parse_duration_ns(str(given))
    except BadInput as error:
        raise ValueError(error.what) from None


Time = Annotated[int, BeforeValidator(_time), WithJsonSchema({"format": "time"})]
"""Nanoseconds; written as ``300ms``."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScenarioSection(_Section):
    """What the scenario is called, and the release whose rules and defaults hold."""

    name: str = Field("", description="Name, for reports; that of the file when empty.")
    profile: Literal["r1", "r2", "2012"] = Field(
        "r2", description="Release of the host: 2008, 2008 R2, 2012."
    )


class HostSection(_Section):
    """The host that the networks are on."""

    ip: str = Field(
        "192.168.0.1",
        description="Its first IPv4 address; the last two octets name its MAC pool, 00-15-5D-xx-xx-00 to FF.",
    )


class NetworkSection(_Section):
    """A virtual network, that is a switch; one external network when none is given."""

    name: str = Field("external", description="Name, unique.")
    kind: Literal["external", "internal", "private"] = Field(
        "external", description="With an uplink; with VMs and the parent; with VMs only."
    )
    dialect: Literal["hyperv", "learning"] | None = Field(
        None, description="Whose rules decide; learning in profile r1, else hyperv, by default."
    )
    tpids: list[int] | None = Field(
        None,
        description="TPIDs that count as tags, one to three; 0x8100, in dialect learning 0x88a8 too, by default.",
    )
    mirror_to: str | None = Field(
        None, description="Port that gets mirrored frames (profile 2012, dialect learning)."
    )
    ageing: float = Field(
        300,
        ge=SHORTEST_AGEING_S,
        le=LONGEST_AGEING_S,
        description="Seconds until a learned entry is forgotten (dialect learning).",
    )
    fdb_size: int = Field(
        8192, ge=10, le=1_000_000, description="Most learned entries (dialect learning)."
    )
    vlans: Vids = Field(None, description="VIDs that the uplink carries; all by default.")
    untagged: bool = Field(
        True, description="Whether the uplink carries untagged frames (dialect hyperv)."
    )
    mtu: Mtu = Field(1500, description="MTU of the uplink and of the parent's vNIC, in bytes.")
    parent: bool | None = Field(
        None,
        description="Whether the parent has a vNIC here; by default, except on a private network.",
    )
    parent_vlan: Vid = Field(0, description="VLAN of the parent's vNIC.")
    parent_mac: Mac | None = Field(
        None, description="Its address; the next of the host's MAC pool by default."
    )


class VmSection(_Section):
    """A VM, or several alike. All have one vNIC."""

    name: str = Field(description="Name, unique; with count it contains {n}, the number from 1.")
    count: int = Field(1, ge=1, le=60000, description="How many.")
    network: str | None = Field(None, description="Its network; the first by default.")
    mac: Mac | None = Field(
        None, description="Address; the next of the host's MAC pool by default."
    )
    vlan: Vid = Field(
        0, description="Access VLAN, native VLAN of a trunk, or primary VLAN; 0 = untagged."
    )
    vlan_step: int = Field(0, ge=0, description="Added to vlan from one of count to the next.")
    mode: Literal["access", "trunk", "isolated", "community", "promiscuous"] = Field(
        "access",
        description="VLAN mode; trunk from profile r2 on, the private VLAN modes in 2012 only.",
    )
    allowed: Vids = Field(None, description="VIDs that a trunk carries; all by default.")
    prune: Vids = Field(
        frozenset(), description="VIDs taken out of allowed again (dialect hyperv)."
    )
    secondary: Vid = Field(0, description="Secondary VID of an isolated or community port.")
    mtu: Mtu = Field(1500, description="MTU in bytes; above 1500 from profile r2 on.")
    spoofing: Literal["deny", "allow"] = Field(
        "deny", description="Whether it may send with other source addresses (dialect hyperv)."
    )
    connected: bool = Field(
        True, description="Whether it is on and plugged in; else frames for it are dropped."
    )
    isolated: bool = Field(
        False, description="Whether it exchanges nothing with other isolated ports."
    )
    keep_priority_tag: bool = Field(
        False, description="Whether frames to it keep a VID 0 tag when their PCP is not 0."
    )
    mirror: Mirror = Field(Mirror.NONE, description="Which of its frames the mirror port gets too.")
    vmq: bool = Field(True, description="Whether it asks the adapter for a VM queue.")
    offloads: list[str] | None = Field(
        None, description="Which of the adapter's offloads its vNIC uses; all of them by default."
    )


class PortSection(_Section):
    """A port of a network of dialect learning, in the words of Open vSwitch."""

    name: str = Field(description="Name, unique.")
    network: str | None = Field(None, description="Its network; the first by default.")
    mode: Literal["access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"] | None = (
        Field(None, description="VLAN mode; access where a tag is given, else trunk.")
    )
    tag: Vid = Field(
        0, description="Access VLAN, native VLAN, or outer VLAN of a tunnel; 0 = none."
    )
    trunks: Vids = Field(
        None, description="VIDs carried by a trunk or native port; all by default."
    )
    cvlans: Vids = Field(
        frozenset(),
        description="Inner VIDs that a tunnel takes and emits; all, and untagged, by default.",
    )
    mtu: Mtu = Field(1500, description="MTU in bytes.")
    protected: bool = Field(
        False, description="Whether it exchanges nothing with other protected ports."
    )
    priority_tags: bool = Field(
        False, description="Whether frames to it keep a VID 0 tag when their PCP is not 0."
    )
    tunnel_tpid: int = Field(
        0x88A8, description="TPID of the tag that a tunnel adds; 34984 is 0x88a8."
    )
    mirror: Mirror = Field(Mirror.NONE, description="Which of its frames the mirror port gets too.")

    def vlan_mode(self) -> VlanMode:
        """Return the mode in force."""
        return VlanMode(self.mode or ("access" if self.tag else "trunk"))


class StaticSection(_Section):
    """A static entry in the table of a network of dialect learning: it neither ages nor moves."""

    port: str = Field(description="Name of the port.")
    mac: Mac = Field(description="Address that is behind it.")
    vlan: Vid = Field(0, description="VLAN of the entry; 0 = untagged.")
    network: str | None = Field(None, description="Its network; the first by default.")


class InterfaceSection(_Section):
    """An interface of the capture whose frames come in by a port of their own."""

    number: int = Field(
        ge=0, le=65535, description="Number of the interface in the capture, from 0."
    )
    port: str = Field(description="Name of the port that they come in by.")


class ReplaySection(_Section):
    """Where the frames of a capture come in."""

    network: str | None = Field(
        None,
        description="The network that is replayed; the first external one, else the first, by default.",
    )
    ingress: str | None = Field(
        None,
        description='Name of the port, or "source-mac": frames with a vNIC\'s own address come in there, all others by the uplink. The uplink, else the first port, by default.',
    )
    interface: list[InterfaceSection] = Field(
        default_factory=list, description="Exceptions, by interface of the capture."
    )


class ExpectSection(_Section):
    """What must hold after a replay; otherwise it exits with 1."""

    no_drops: bool = Field(False, description="Whether no frame may be dropped.")
    max_drops: int | None = Field(None, ge=0, description="Most frames that may be dropped.")
    drops: dict[str, Bound] = Field(
        default_factory=dict,
        description='Frames dropped, by reason: a number, or a bound such as "<= 3" or "> 0".',
    )
    frames: dict[str, Bound] = Field(
        default_factory=dict,
        description="Unicast frames, by name of the VM; or in, unicast, flooded, dropped, copies.",
    )
    no_timeouts: bool = Field(
        False, description="Whether no TCP connection may be lost in a move (vswitch migrate)."
    )
    max_stall: Time | None = Field(
        None, description="Longest stall of a connection in a move (vswitch migrate)."
    )
    max_blackout: Time | None = Field(
        None, description="Longest blackout of a move (vswitch migrate)."
    )
