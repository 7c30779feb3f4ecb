"""Ports of the virtual switch, and the settings of the switch that they belong to.

Plain frozen records: validated when made, compiled by :mod:`vswitch.tables`.
A :class:`Network` is one virtual network in Hyper-V's sense, that is one switch:
external (with an uplink to the adapter), internal (VMs and the parent) or
private (VMs only).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nic.offloads import Offload
from pcaps.addresses import BROADCAST_KEY, is_group, key_to_mac, mac_to_key
from pcaps.errors import BadInput

VLANS = range(1, 4095)
"""VIDs that a port may be given: 0 is the untagged domain, 4095 is reserved (IEEE 802.1Q)."""

MAX_PORTS = 0xFFFE
MAX_MTU = 65535
SHORTEST_AGEING_S, LONGEST_AGEING_S = 1e-6, 1e9


class Dialect(StrEnum):
    """Which switch's rules decide."""

    HYPERV = "hyperv"
    LEARNING = "learning"


class NetworkKind(StrEnum):
    """Kinds of virtual network; an external one has an uplink."""

    EXTERNAL = "external"
    INTERNAL = "internal"
    PRIVATE = "private"


class PortKind(StrEnum):
    """What is behind a port."""

    UPLINK = "uplink"
    PARENT = "parent"
    VM = "vm"


class VlanMode(StrEnum):
    """What a port makes of VLAN tags."""

    ACCESS = "access"
    TRUNK = "trunk"
    NATIVE_TAGGED = "native-tagged"
    NATIVE_UNTAGGED = "native-untagged"
    DOT1Q_TUNNEL = "dot1q-tunnel"
    ISOLATED = "isolated"
    COMMUNITY = "community"
    PROMISCUOUS = "promiscuous"


LEARNING_ONLY = frozenset({VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED, VlanMode.DOT1Q_TUNNEL})
PRIVATE_MODES = frozenset({VlanMode.ISOLATED, VlanMode.COMMUNITY, VlanMode.PROMISCUOUS})


class Mirror(StrEnum):
    """Which frames of a port are copied to the mirror port."""

    NONE = "none"
    INGRESS = "ingress"
    EGRESS = "egress"
    BOTH = "both"


def _coerce(record: object, **kinds: type[StrEnum]) -> None:
    """Turn plain strings into members of their enums, so that callers may write either."""
    for name, kind in kinds.items():
        given = getattr(record, name)
        try:
            object.__setattr__(record, name, kind(given))
        except ValueError:
            known = ", ".join(member.value for member in kind)
            raise BadInput(f"unknown {name} '{given}'; use one of {known}") from None


def _key(mac: Any) -> int:
    """Return the key of an address given as text or as a key; refuse what no port can own."""
    key = mac_to_key(mac) if isinstance(mac, str) else int(mac)
    if not 0 <= key <= BROADCAST_KEY:
        raise BadInput(f"MAC address {key:#x} has more than 48 bits; write it as 00:15:5d:00:00:01")
    if is_group(key):
        raise BadInput(f"{key_to_mac(key)} is a group address; no port can own it")
    return key


def _check_vid(what: str, vid: int) -> None:
    if vid != 0 and vid not in VLANS:
        raise BadInput(f"{what} {vid} is out of range; use 1 to 4094, or 0 for untagged")


def _ranges(vids: Iterable[int]) -> str:
    """Write VIDs as people do: ``10,20-29``."""
    runs: list[list[int]] = []
    for vid in sorted(vids):
        if runs and vid == runs[-1][1] + 1:
            runs[-1][1] = vid
        else:
            runs.append([vid, vid])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class VlanSetting:
    """VLAN setting of one port.

    Sets of VIDs may be given as any collection; they are kept frozen.

    Parameters
    ----------
    mode : VlanMode
        Access by default.
    vid : int
        Access VID, native VID, tunnel's outer VID, or primary VID of a private
        VLAN; 0 = untagged domain.
    allowed : frozenset of int, optional
        VIDs that a trunk or the uplink carries; None = all.
    pruned : frozenset of int
        VIDs taken out of `allowed` again (hyperv trunks).
    untagged : bool
        Whether the uplink carries the untagged domain.
    secondary : int
        Secondary VID of an isolated or community port.
    cvlans : frozenset of int
        Inner VIDs that may leave a tunnel port; empty = all, and untagged.
    tunnel_tpid : int
        TPID of the tag that a tunnel port adds.
    """

    mode: VlanMode = VlanMode.ACCESS
    vid: int = 0
    allowed: frozenset[int] | None = None
    pruned: frozenset[int] = frozenset()
    untagged: bool = True
    secondary: int = 0
    cvlans: frozenset[int] = frozenset()
    tunnel_tpid: int = 0x88A8

    def __post_init__(self) -> None:
        _coerce(self, mode=VlanMode)
        for name in ("allowed", "pruned", "cvlans"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, frozenset(given))
        for what, vids in (
            ("VLAN", {self.vid}),
            ("allowed VLAN", self.allowed or ()),
            ("pruned VLAN", self.pruned),
            ("secondary VLAN", {self.secondary}),
            ("customer VLAN", self.cvlans),
        ):
            for vid in vids:
                _check_vid(what, vid)
        if self.mode in (VlanMode.ISOLATED, VlanMode.COMMUNITY):
            if not self.vid or not self.secondary or self.vid == self.secondary:
                raise BadInput(
                    f"an {self.mode} port needs a primary VLAN (vlan) and another, secondary one"
                )
        elif self.mode is VlanMode.PROMISCUOUS and not self.vid:
            raise BadInput("a promiscuous port needs a primary VLAN (vlan)")
        if self.mode is VlanMode.DOT1Q_TUNNEL and not self.vid:
            raise BadInput("a dot1q-tunnel port needs the outer VLAN (vlan)")

    def __str__(self) -> str:
        vid = str(self.vid) if self.vid else "untagged"
        if self.mode in (VlanMode.ISOLATED, VlanMode.COMMUNITY):
            return f"{self.mode} {vid}/{self.secondary}"
        if self.mode is VlanMode.ACCESS and self.allowed is None:
            return vid
        if self.mode is VlanMode.ACCESS:  # an uplink
            bare = "untagged and " if self.untagged else ""
            return f"{bare}{_ranges((self.allowed or frozenset()) - self.pruned)}"
        carried = "all" if self.allowed is None else _ranges(self.allowed - self.pruned)
        return f"{self.mode} {vid}, carries {carried}"

    def carries(self, vid: int) -> bool:
        """Tell whether a trunk lets this VID through.

        Parameters
        ----------
        vid : int
            0 to 4095; 0 stands for the untagged domain.

        Returns
        -------
        bool
            True when `vid` is allowed and not pruned.
        """
        return (self.allowed is None or vid in self.allowed) and vid not in self.pruned


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of the switch.

    Parameters
    ----------
    name : str
        Unique within its network.
    kind : PortKind
        What is behind it.
    mac : int or str, optional
        Own address, as text or as a key (:func:`pcaps.addresses.mac_to_key`; kept
        as a key); vNICs have one, the uplink and ports of the ``learning`` dialect need none.
    vlan : VlanSetting
        What it makes of tags.
    mtu : int, optional
        Longest payload in bytes; None = no limit.
    spoof_guard : bool
        Whether a vNIC may send with its own address only (hyperv).
    check_source : bool
        Whether frames with a group or zero source are dropped (hyperv).
    connected : bool
        False while the VM is off or on its way.
    isolated : bool
        Isolated ports exchange no frames with each other.
    keep_priority_tag : bool
        Frames that would leave untagged keep a VID 0 tag if their PCP is not 0.
    mirror : Mirror
        Which of its frames the mirror port gets too.
    offloads : frozenset of Offload
        What its vNIC leaves to the adapter (hyperv), as names or members.
    """

    name: str
    kind: PortKind = PortKind.VM
    mac: Any = None
    vlan: VlanSetting = field(default_factory=VlanSetting)
    mtu: int | None = 1500
    spoof_guard: bool = True
    check_source: bool = True
    connected: bool = True
    isolated: bool = False
    keep_priority_tag: bool = False
    mirror: Mirror = Mirror.NONE
    offloads: frozenset[Offload] = frozenset()

    def __post_init__(self) -> None:
        _coerce(self, kind=PortKind, mirror=Mirror)
        try:
            object.__setattr__(self, "offloads", frozenset(map(Offload, self.offloads)))
        except ValueError as error:
            raise BadInput(f"port '{self.name}': {error}; use {', '.join(Offload)}") from None
        if not self.name:
            raise BadInput("a port needs a name")
        if self.mtu is not None and not 46 <= self.mtu <= MAX_MTU:
            raise BadInput(
                f"port '{self.name}': MTU {self.mtu} is out of range; use 46 to {MAX_MTU}"
            )
        if self.mac is not None:
            try:
                object.__setattr__(self, "mac", _key(self.mac))
            except BadInput as error:
                raise BadInput(f"port '{self.name}': {error.what}") from None

    @property
    def sends_large(self) -> bool:
        """Whether it may send TCP packets longer than its MTU, to be cut when they leave."""
        return Offload.LSO in self.offloads and self.mtu is not None

    @property
    def address(self) -> str | None:
        """Own MAC address as text, None where it has none."""
        return None if self.mac is None else key_to_mac(self.mac)

    def __repr__(self) -> str:
        return f"Port({self.name!r}, {self.kind}, {self.address}, {self.vlan.mode} {self.vlan.vid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEntry:
    """A static entry of the ``learning`` dialect's table.

    Parameters
    ----------
    port : str
        Name of the port.
    mac : int or str
        Address, as text or as a key (kept as a key).
    vlan : int
        VLAN of the entry, 0 = untagged domain.
    """

    port: str
    mac: Any
    vlan: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mac", _key(self.mac))
        _check_vid("VLAN", self.vlan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One virtual network: a switch's settings and ports.

    Parameters
    ----------
    name : str
        Name of the network.
    ports : tuple of Port
        In order: the order fixes port numbers and the order of flooded copies.
    dialect : Dialect
        Whose rules decide.
    tpids : tuple of int, optional
        TPIDs that count as tags; the dialect's by default (hyperv: 0x8100,
        learning: 0x8100 and 0x88a8). At most three.
    mirror_to : str, optional
        Name of the port that gets mirrored frames.
    ageing_s : float
        Seconds after which a learned entry is forgotten, 1e-6 to 1e9 (learning).
    fdb_size : int
        Most entries that are learned (learning).
    static : tuple of StaticEntry
        Entries that neither age nor move (learning).
    """

    name: str = "external"
    ports: tuple[Port, ...] = ()
    dialect: Dialect = Dialect.HYPERV
    tpids: tuple[int, ...] | None = None
    mirror_to: str | None = None
    ageing_s: float = 300.0
    fdb_size: int = 8192
    static: tuple[StaticEntry, ...] = ()

    def __post_init__(self) -> None:
        _coerce(self, dialect=Dialect)
        self._check_ports()
        if len(self.tag_types) > 3 or not self.tag_types:
            raise BadInput(f"network '{self.name}': between one and three TPIDs, please")
        for tpid in self.tag_types:
            if not 0x0600 <= tpid <= 0xFFFF:
                raise BadInput(f"network '{self.name}': TPID {tpid:#06x} is not an EtherType")
        names = {port.name for port in self.ports}
        if self.mirror_to is not None and self.mirror_to not in names:
            raise BadInput(f"network '{self.name}': mirror port '{self.mirror_to}' does not exist")
        for entry in self.static:
            if entry.port not in names:
                raise BadInput(
                    f"network '{self.name}': static entry for unknown port '{entry.port}'"
                )
        if not SHORTEST_AGEING_S <= self.ageing_s <= LONGEST_AGEING_S:
            raise BadInput(
                f"network '{self.name}': ageing time {self.ageing_s} s is out of range; "
                "use 1e-6 to 1e9"
            )
        if not 10 <= self.fdb_size <= 1_000_000:
            raise BadInput(
                f"network '{self.name}': table size {self.fdb_size} is out of range; use 10 to 1000000"
            )

    def _check_ports(self) -> None:
        if len(self.ports) > MAX_PORTS:
            raise BadInput(
                f"network '{self.name}' has {len(self.ports)} ports; at most {MAX_PORTS}"
            )
        names: set[str] = set()
        owners: dict[tuple[int, int], str] = {}
        uplinks = 0
        for port in self.ports:
            if port.name in names:
                raise BadInput(f"network '{self.name}' has two ports named '{port.name}'")
            names.add(port.name)
            uplinks += port.kind is PortKind.UPLINK
            if self.dialect is Dialect.LEARNING:
                if port.vlan.mode in PRIVATE_MODES:
                    raise BadInput(
                        f"port '{port.name}': VLAN mode {port.vlan.mode} belongs to dialect 'hyperv'"
                    )
                tpid = port.vlan.tunnel_tpid
                if port.vlan.mode is VlanMode.DOT1Q_TUNNEL and tpid not in (
                    0x8100,
                    *self.tag_types,
                ):
                    raise BadInput(
                        f"port '{port.name}': tunnel TPID {tpid:#06x} is not among the network's; "
                        "add it to tpids"
                    )
                continue
            if port.vlan.mode in LEARNING_ONLY:
                raise BadInput(
                    f"port '{port.name}': VLAN mode {port.vlan.mode} belongs to dialect 'learning'"
                )
            if port.kind is PortKind.UPLINK:
                continue
            if port.mac is None:
                raise BadInput(f"port '{port.name}' needs a MAC address (dialect 'hyperv')")
            for vid in reachable_vlans(port):
                other = owners.setdefault((vid, port.mac), port.name)
                if other != port.name:
                    raise BadInput(
                        f"ports '{other}' and '{port.name}' both own {port.address} in VLAN {vid}; "
                        "give one of them another address"
                    )
        if uplinks > 1:
            raise BadInput(
                f"network '{self.name}' has {uplinks} uplinks; one adapter serves a network"
            )

    @property
    def tag_types(self) -> tuple[int, ...]:
        """TPIDs in force: the given ones, or the dialect's."""
        if self.tpids is not None:
            return self.tpids
        return (0x8100,) if self.dialect is Dialect.HYPERV else (0x8100, 0x88A8)

    @property
    def uplink(self) -> Port | None:
        """The uplink, None in an internal or private network."""
        return next((port for port in self.ports if port.kind is PortKind.UPLINK), None)

    def number_of(self, name: str) -> int:
        """Return the number of a port.

        Parameters
        ----------
        name : str
            Name of the port.

        Returns
        -------
        int
            Index into `ports`.

        Raises
        ------
        BadInput
            When no port has that name.
        """
        for number, port in enumerate(self.ports):
            if port.name == name:
                return number
        raise BadInput(f"network '{self.name}' has no port '{name}'")

    def with_ports(self, ports: Iterable[Port]) -> Network:
        """Return this network with other ports.

        Parameters
        ----------
        ports : iterable of Port
            All ports of the new network, in order.

        Returns
        -------
        Network
            A checked copy.
        """
        return replace(self, ports=tuple(ports))


def reachable_vlans(port: Port) -> tuple[int, ...]:
    """Return the VLANs in which a vNIC's own address is reachable (hyperv).

    Parameters
    ----------
    port : Port
        A vNIC.

    Returns
    -------
    tuple of int
        One VLAN for an access port, the native one and all allowed ones for a
        trunk; 0 stands for the untagged domain.
    """
    setting = port.vlan
    if setting.mode is not VlanMode.TRUNK:
        return (setting.vid,)
    return (setting.vid, *(v for v in VLANS if v != setting.vid and setting.carries(v)))
