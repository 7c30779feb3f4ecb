"""The sections of a scenario file, as pydantic models. Nothing behind this edge is pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pcaps.addresses import is_group, mac_to_key
from pcaps.errors import BadInput
from vswitch.ports import VLANS, Mirror, VlanMode


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


Vid = Annotated[int, BeforeValidator(_vid)]
Vids = Annotated[frozenset[int] | None, BeforeValidator(_vids)]
Mac = Annotated[int, BeforeValidator(_mac)]
Mtu = Annotated[int, Field(ge=46, le=65535)]
Bound = int | str


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScenarioSection(_Section):
    """What the scenario is called, and the release whose defaults hold."""

    name: str = Field("", description="Name, for reports.")
    profile: Literal["r1", "r2", "2012"] = Field("r2", description="Release: 2008, 2008 R2, 2012.")


class HostSection(_Section):
    """The host that the network is on."""

    name: str = Field("host1", description="Name, for reports.")
    ip: str = Field("192.168.0.1", description="Its first IPv4 address; names its MAC pool.")


class NetworkSection(_Section):
    """One virtual network."""

    name: str = Field("external", description="Name.")
    kind: Literal["external", "internal", "private"] = Field(
        "external", description="With an uplink; VMs and parent; VMs only."
    )
    dialect: Literal["hyperv", "learning"] | None = Field(
        None, description="Whose rules decide; the profile's by default."
    )
    tpids: list[int] | None = Field(None, description="TPIDs that count as tags, one to three.")
    mirror_to: str | None = Field(None, description="Port that gets mirrored frames.")
    ageing: float = Field(300, gt=0, description="Seconds until a learned entry is forgotten.")
    fdb_size: int = Field(8192, ge=10, le=1_000_000, description="Most learned entries.")
    vlans: Vids = Field(None, description="VIDs that the uplink carries; all by default.")
    untagged: bool = Field(True, description="Whether the uplink carries untagged frames.")
    mtu: Mtu = Field(1500, description="MTU of the uplink.")
    parent: bool | None = Field(None, description="Whether the parent has a vNIC here.")
    parent_vlan: Vid = Field(0, description="VLAN of the parent's vNIC.")
    parent_mac: Mac | None = Field(None, description="Its address; from the MAC pool by default.")


class VmSection(_Section):
    """One VM, or `count` of them alike."""

    name: str = Field(description="Name; {n} stands for the number when count is given.")
    count: int = Field(1, ge=1, le=60000, description="How many.")
    network: str | None = Field(None, description="Its network; the first by default.")
    mac: Mac | None = Field(None, description="Address; from the MAC pool by default.")
    vlan: Vid = Field(0, description="Access VLAN, native VLAN of a trunk, or primary VLAN.")
    vlan_step: int = Field(0, ge=0, description="Added to vlan from one of count to the next.")
    mode: Literal["access", "trunk", "isolated", "community", "promiscuous"] = Field(
        "access", description="VLAN mode."
    )
    allowed: Vids = Field(None, description="VIDs that a trunk carries; all by default.")
    prune: Vids = Field(frozenset(), description="VIDs taken out of allowed again.")
    secondary: Vid = Field(0, description="Secondary VID of a private VLAN.")
    mtu: Mtu = Field(1500, description="MTU.")
    spoofing: Literal["deny", "allow"] = Field("deny", description="May it send other sources?")
    connected: bool = Field(True, description="Whether it is on and plugged in.")
    isolated: bool = Field(False, description="Exchanges nothing with other isolated ports.")
    keep_priority_tag: bool = Field(False, description="Keeps a VID 0 tag if PCP is not 0.")
    mirror: Mirror = Field(Mirror.NONE, description="Which of its frames the mirror port gets.")
    vmq: bool = Field(True, description="Whether it asks for a VM queue.")


class PortSection(_Section):
    """One port of a network of dialect learning."""

    name: str = Field(description="Name.")
    network: str | None = Field(None, description="Its network; the first by default.")
    mode: Literal["access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"] | None = (
        Field(None, description="VLAN mode; access where a tag is given, else trunk.")
    )
    tag: Vid = Field(0, description="Access, native or outer VLAN.")
    trunks: Vids = Field(None, description="VIDs carried; all by default.")
    cvlans: Vids = Field(frozenset(), description="Inner VIDs of a tunnel; all by default.")
    mtu: Mtu = Field(1500, description="MTU.")
    protected: bool = Field(False, description="Exchanges nothing with other protected ports.")
    priority_tags: bool = Field(False, description="Keeps a VID 0 tag if PCP is not 0.")
    tunnel_tpid: int = Field(0x88A8, description="TPID of a tunnel's outer tag.")
    mirror: Mirror = Field(Mirror.NONE, description="Which of its frames the mirror port gets.")

    def vlan_mode(self) -> VlanMode:
        """Return the mode in force."""
        return VlanMode(self.mode or ("access" if self.tag else "trunk"))


class StaticSection(_Section):
    """A static entry of a learning network's table."""

    port: str = Field(description="Port name.")
    mac: Mac = Field(description="Address.")
    vlan: Vid = Field(0, description="VLAN.")
    network: str | None = Field(None, description="Network; the first by default.")


class InterfaceSection(_Section):
    """Frames of one interface of a capture come in by a port of their own."""

    number: int = Field(ge=0, le=65535, description="Interface of the capture, from 0.")
    port: str = Field(description="Port name.")


class ReplaySection(_Section):
    """Where the frames of a capture come in."""

    network: str | None = Field(None, description="Network; the external one by default.")
    ingress: str | None = Field(
        None, description='Port name, or "source-mac"; the uplink (or first port) by default.'
    )
    interface: list[InterfaceSection] = Field(
        default_factory=list, description="Exceptions, by interface of the capture."
    )


class ExpectSection(_Section):
    """What must hold after a replay; otherwise it exits with 1."""

    no_drops: bool = Field(False, description="No frame is dropped.")
    max_drops: int | None = Field(None, ge=0, description="At most so many frames are dropped.")
    drops: dict[str, Bound] = Field(
        default_factory=dict, description='By reason: 3, "<= 3", ">= 1".'
    )
    frames: dict[str, Bound] = Field(
        default_factory=dict, description='By VM, or in, unicast, flooded, copies: 3, ">= 10".'
    )
