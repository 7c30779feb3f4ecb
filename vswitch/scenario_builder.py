"""Builds a scenario out of parsed TOML: sections checked one by one, then against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nic.profiles import Profile, profile_of
from nic.scenario import NicSection
from pcaps.addresses import key_to_mac
from pcaps.errors import BadInput
from vswitch.expect import parse_bound
from vswitch.macpool import MacPool
from vswitch.mounted_sections import MOUNTED, Checked, mounted
from vswitch.ports import (
    Dialect,
    Mirror,
    Network,
    Port,
    PortKind,
    StaticEntry,
    VlanMode,
    VlanSetting,
    reachable_vlans,
)
from vswitch.problems import Problem, ScenarioError, unknown
from vswitch.scenario import Scenario
from vswitch.scenario_models import (
    ExpectSection,
    HostSection,
    NetworkSection,
    PortSection,
    ReplaySection,
    ScenarioSection,
    StaticSection,
    VmSection,
)
from vswitch.toml_lines import line_of, text_of

Where = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)

SINGLE: dict[str, type[BaseModel]] = {
    "scenario": ScenarioSection,
    "host": HostSection,
    "nic": NicSection,
    "replay": ReplaySection,
    "expect": ExpectSection,
}
REPEATED: dict[str, type[BaseModel]] = {
    "network": NetworkSection,
    "vm": VmSection,
    "port": PortSection,
    "static": StaticSection,
}

KEYS_OF_MODES = {
    "allowed": ("trunk",),
    "prune": ("trunk",),
    "secondary": ("isolated", "community"),
    "tag": ("access", "native-tagged", "native-untagged", "dot1q-tunnel"),
    "trunks": ("trunk", "native-tagged", "native-untagged"),
    "cvlans": ("dot1q-tunnel",),
    "tunnel_tpid": ("dot1q-tunnel",),
}
"""Keys of [[vm]] and [[port]] that mean something in some VLAN modes only."""


class ScenarioBuilder:
    """Turns parsed TOML into a scenario, and collects problems on the way.

    Parameters
    ----------
    raw : dict
        As parsed.
    lines : dict
        As from :func:`vswitch.toml_lines.line_numbers`.
    name : str
        What messages call the file.
    """

    def __init__(self, raw: dict[str, Any], lines: dict[Where, int], name: str) -> None:
        self.raw, self.lines, self.name = raw, lines, name
        self.problems: list[Problem] = []
        self.ports: dict[str, list[tuple[Port, Where]]] = {}
        self.without_queue: set[str] = set()
        self.offloads: frozenset[str] = frozenset()

    def problem(self, where: Where, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(line_of(self.lines, where), text_of(where), message))

    def build(self) -> Scenario:
        """Return the scenario, or raise :class:`ScenarioError` naming every problem."""
        known = [*SINGLE, *MOUNTED, *REPEATED]
        for key in self.raw:
            if key not in known:
                self.problem((key,), unknown("section", key, known))
        single = {key: self._section(key, model) for key, model in SINGLE.items()}
        others = {key: self._mounted(key) for key in MOUNTED if key in self.raw}
        head, host = _as(ScenarioSection, single), _as(HostSection, single)
        replay, expect = _as(ReplaySection, single), _as(ExpectSection, single)
        nic = single["nic"] if "nic" in self.raw else None
        assert nic is None or isinstance(nic, NicSection)
        profile = profile_of(head.profile)
        self.offloads = (nic or NicSection()).offloads_on(profile)
        sections = list(self._entries("network", NetworkSection)) or [(NetworkSection(), ())]
        names = [section.name for section, _ in sections]
        unsound = [name for name in self._raw_names("network") if name not in names]
        self._pool(host)
        for section, where in sections:
            if names.count(section.name) > 1 and section.name in self.ports:
                self.problem((*where, "name"), f"there are two networks '{section.name}'")
            self.ports.setdefault(section.name, [])
        for section, where in sections:
            self._fixed_ports(section, where, profile)
        names += unsound  # what refers to a network with a mistake of its own is no mistake
        for name in unsound:
            self.ports[name] = []
        self._vms(names, profile)
        by_name = {section.name: section for section, _ in sections}
        self._learning_ports(names, by_name, profile)
        statics = self._statics(names, by_name, profile)
        networks = [
            self._network(section, where, profile, statics.get(section.name, []))
            for section, where in sections
        ]
        self._check_rest(nic, profile, replay, expect, names)
        if self.problems:
            raise ScenarioError(self.name, self.problems)
        made = tuple(network for network in networks if network is not None)
        title = head.name or Path(self.name).stem
        return Scenario(
            title, profile, made, nic, frozenset(self.without_queue), replay, expect, others,
            self.lines,
        )  # fmt: skip

    # Sections

    def _section(self, key: str, model: type[BaseModel]) -> BaseModel:
        raw = self.raw.get(key, {})
        if not isinstance(raw, dict):
            self.problem((key,), f"is one section; write [{key}] once")
            raw = {}
        return self._validated(model, raw, (key,)) or model()

    def _mounted(self, key: str) -> BaseModel:
        """Return a mounted section; where it can tell, report what of it does not go together."""
        before = len(self.problems)
        section = self._section(key, mounted(key))
        if len(self.problems) == before and isinstance(section, Checked):
            for path, message in section.problems():
                self.problem((key, *path), message)
        return section

    def _entries(self, key: str, model: type[_Model]) -> Iterator[tuple[_Model, Where]]:
        raw = self.raw.get(key, [])
        if not isinstance(raw, list):
            self.problem((key,), f"may come several times; write [[{key}]]")
            raw = [raw]
        for place, entry in enumerate(raw):
            where: Where = (key, place)
            if not isinstance(entry, dict):
                self.problem(where, f"is not a table; write [[{key}]]")
                continue
            made = self._validated(model, entry, where)
            if made is not None:
                yield made, where

    def _validated(self, model: type[_Model], raw: dict[str, Any], where: Where) -> _Model | None:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for one in error.errors():
                path = (*where, *one["loc"])
                if one["type"] == "extra_forbidden":
                    key = str(one["loc"][-1])
                    message = unknown("key", key, sorted(model.model_fields))
                elif one["type"] == "missing":
                    message = "is missing"
                else:
                    message = one["msg"].removeprefix("Value error, ")
                    if message[1:2].islower():  # a sentence, not an abbreviation
                        message = message[:1].lower() + message[1:]
                self.problem(path, message)
            return None

    # Ports

    def _pool(self, host: HostSection) -> None:
        try:
            self.pool = MacPool(host.ip)
        except BadInput as error:
            self.problem(("host", "ip"), error.what)
            self.pool = MacPool("0.0.0.0")
        self.given = {
            mac for vm, _ in self._quietly("vm", VmSection) if (mac := vm.mac) is not None
        }

    def _raw_names(self, key: str) -> list[str]:
        """Return the names of all networks, VMs or ports, sound or not."""
        raw = self.raw.get(key, [])
        entries = (
            [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
        )
        return [entry["name"] for entry in entries if isinstance(entry.get("name"), str)]

    def _quietly(self, key: str, model: type[_Model]) -> list[tuple[_Model, Where]]:
        """Return the sound entries, without reporting the others a second time."""
        before = list(self.problems)
        found = list(self._entries(key, model))
        self.problems = before
        return found

    def _add(self, network: str, where: Where, **settings: Any) -> None:
        try:
            port = Port(**settings)
        except BadInput as error:
            self.problem(where, error.what)
            return
        others = self.ports[network]
        if any(other.name == port.name for other, _ in others):
            self.problem((*where, "name"), f"there are two ports named '{port.name}'")
            return
        if port.mac is not None and port.kind is not PortKind.UPLINK:
            mine = set(reachable_vlans(port))
            for other, _ in others:
                if other.mac == port.mac and mine & set(reachable_vlans(other)):
                    self.problem(
                        (*where, "mac"),
                        f"{key_to_mac(port.mac)} belongs to '{other.name}' in the same VLAN; "
                        "give one of them another address",
                    )
                    return
        others.append((port, where))

    def _fixed_ports(self, section: NetworkSection, where: Where, profile: Profile) -> None:
        """Add the uplink and the parent's vNIC."""
        if section.kind == "external" and _dialect(section, profile) is Dialect.HYPERV:
            self._add(
                section.name, where, name="uplink", kind=PortKind.UPLINK, mtu=section.mtu,
                vlan=VlanSetting(allowed=section.vlans, untagged=section.untagged),
            )  # fmt: skip
        elif section.kind == "external":
            mode = VlanSetting(mode=VlanMode.TRUNK, allowed=section.vlans)
            self._add(
                section.name, where, name="uplink", kind=PortKind.UPLINK, mtu=section.mtu, vlan=mode
            )
        parent = section.kind != "private" if section.parent is None else section.parent
        if parent and section.kind == "private":
            self.problem((*where, "parent"), "a private network has no parent vNIC; take internal")
        elif parent:
            mac = section.parent_mac
            self._add(
                section.name, where, name="parent", kind=PortKind.PARENT, mtu=section.mtu,
                mac=mac if mac is not None else self._address(where),
                vlan=VlanSetting(vid=section.parent_vlan),
            )  # fmt: skip

    def _address(self, where: Where) -> int | None:
        try:
            return self.pool.take(self.given)
        except BadInput as error:
            self.problem(where, error.what)
            return None

    def _home(self, name: str | None, where: Where, names: list[str]) -> str | None:
        if name is None:
            return names[0]
        if name not in names:
            self.problem((*where, "network"), unknown("network", name, names))
            return None
        return name

    def _vms(self, names: list[str], profile: Profile) -> None:
        for vm, where in self._entries("vm", VmSection):
            network = self._home(vm.network, where, names)
            fits = self._fits_mode(vm, where, vm.mode)
            if network is None or not self._allowed(vm, where, profile) or not fits:
                continue
            if vm.count > 1 and "{n}" not in vm.name:
                self.problem((*where, "name"), "needs {n} for the number, since count is given")
                continue
            if vm.count > 1 and vm.mac is not None:
                self.problem((*where, "mac"), "one address cannot serve several VMs; leave it out")
                continue
            last = vm.vlan + vm.vlan_step * (vm.count - 1)
            if last > 4094:
                self.problem((*where, "vlan_step"), f"VLAN {last} is out of range; use 0 to 4094")
                continue
            for number in range(vm.count):
                self._vm(vm, where, network, number)

    def _allowed(self, vm: VmSection, where: Where, profile: Profile) -> bool:
        """Tell whether the release has what a VM asks for."""
        title = f"profile {profile.name} ({profile.title})"
        before = len(self.problems)
        if vm.mode in ("isolated", "community", "promiscuous") and not profile.private_vlans:
            self.problem((*where, "mode"), f"{title} has no private VLANs; take 2012")
        if vm.mode == "trunk" and profile.name == "r1":
            self.problem((*where, "mode"), f"{title} has no trunks for VMs; take r2 or 2012")
        if vm.mirror is not Mirror.NONE and not profile.mirroring:
            self.problem((*where, "mirror"), f"{title} has no port mirroring; take 2012")
        if vm.mtu > 1500 and not profile.guest_jumbo:
            self.problem((*where, "mtu"), f"{title} has no jumbo frames for VMs; take r2 or 2012")
        return len(self.problems) == before

    def _fits_mode(self, section: BaseModel, where: Where, mode: str) -> bool:
        """Tell whether all keys of a port mean something in its VLAN mode."""
        before = len(self.problems)
        for key in sorted(section.model_fields_set & KEYS_OF_MODES.keys()):
            if mode not in KEYS_OF_MODES[key]:
                modes = " or ".join(KEYS_OF_MODES[key])
                self.problem((*where, key), f"means nothing in mode {mode}; it is for {modes}")
        return len(self.problems) == before

    def _vm(self, vm: VmSection, where: Where, network: str, number: int) -> None:
        name = vm.name.replace("{n}", str(number + 1))
        mac = vm.mac if vm.mac is not None else self._address(where)
        if mac is None:
            return
        try:
            setting = VlanSetting(
                mode=VlanMode(vm.mode),
                vid=vm.vlan + vm.vlan_step * number,
                allowed=vm.allowed,
                pruned=vm.prune or frozenset(),
                secondary=vm.secondary,
            )
        except BadInput as error:
            self.problem(where, error.what)
            return
        if not vm.vmq:
            self.without_queue.add(name)
        self._add(
            network, where, name=name, mac=mac, vlan=setting, mtu=vm.mtu,
            spoof_guard=vm.spoofing == "deny", connected=vm.connected, isolated=vm.isolated,
            keep_priority_tag=vm.keep_priority_tag, mirror=vm.mirror,
            offloads=self._offloads_of(vm, where),
        )  # fmt: skip

    def _offloads_of(self, vm: VmSection, where: Where) -> frozenset[str]:
        if vm.offloads is None:
            return self.offloads
        for name in vm.offloads:
            if name not in self.offloads:
                self.problem(
                    (*where, "offloads"),
                    unknown("offload of the adapter", name, sorted(self.offloads)),
                )
        return self.offloads & frozenset(vm.offloads)

    def _learning_ports(
        self, names: list[str], sections: dict[str, NetworkSection], profile: Profile
    ) -> None:
        for port, where in self._entries("port", PortSection):
            network = self._home(port.network, where, names)
            if network is None:
                continue
            if network in sections and _dialect(sections[network], profile) is not Dialect.LEARNING:
                self.problem(where, "[[port]] is for networks of dialect learning; write [[vm]]")
                continue
            if not self._fits_mode(port, where, port.vlan_mode()):
                continue
            try:
                setting = VlanSetting(
                    mode=port.vlan_mode(), vid=port.tag, allowed=port.trunks,
                    cvlans=port.cvlans or frozenset(), tunnel_tpid=port.tunnel_tpid,
                )  # fmt: skip
            except BadInput as error:
                self.problem(where, error.what)
                continue
            self._add(
                network, where, name=port.name, vlan=setting, mtu=port.mtu,
                isolated=port.protected, keep_priority_tag=port.priority_tags, mirror=port.mirror,
            )  # fmt: skip

    def _statics(
        self, names: list[str], sections: dict[str, NetworkSection], profile: Profile
    ) -> dict[str, list[StaticEntry]]:
        found: dict[str, list[StaticEntry]] = {}
        for entry, where in self._entries("static", StaticSection):
            network = self._home(entry.network, where, names)
            if network is None:
                continue
            ports = [port.name for port, _ in self.ports[network]]
            if entry.port not in ports:
                self._unknown_port((*where, "port"), entry.port, ports)
                continue
            if network in sections and _dialect(sections[network], profile) is not Dialect.LEARNING:
                self.problem(where, "[[static]] is for networks of dialect learning")
                continue
            found.setdefault(network, []).append(
                StaticEntry(port=entry.port, mac=entry.mac, vlan=entry.vlan)
            )
        return found

    def _network(
        self, section: NetworkSection, where: Where, profile: Profile, static: list[StaticEntry]
    ) -> Network | None:
        dialect = _dialect(section, profile)
        ports = tuple(port for port, _ in self.ports[section.name])
        if section.mirror_to is not None and not profile.mirroring and dialect is Dialect.HYPERV:
            self.problem(
                (*where, "mirror_to"), f"profile {profile.name} has no port mirroring; take 2012"
            )
        names = [port.name for port in ports]
        if section.mirror_to is not None and section.mirror_to not in names:
            self._unknown_port((*where, "mirror_to"), section.mirror_to, names)
            return None
        try:
            bare = Network(
                name=section.name, dialect=dialect, ageing_s=section.ageing,
                tpids=None if section.tpids is None else tuple(section.tpids),
                fdb_size=section.fdb_size,
            )  # fmt: skip
        except BadInput as error:
            self.problem(where, error.what)
            return None
        try:
            return replace(bare, ports=ports, mirror_to=section.mirror_to, static=tuple(static))
        except BadInput as error:
            self._blame_ports(bare, where, error)
            return None

    def _blame_ports(self, bare: Network, where: Where, error: BadInput) -> None:
        """Report each port that its network refuses even alone, else the network."""
        before = len(self.problems)
        for port, place in self.ports[bare.name]:
            try:
                bare.with_ports([port])
            except BadInput as alone:
                self.problem(place, alone.what)
        if len(self.problems) == before:
            self.problem(where, error.what)

    # What refers to ports

    def _unknown_port(self, where: Where, name: str, known: list[str]) -> None:
        """Report a port that does not exist, unless it is one with a mistake of its own."""
        for key in ("vm", "port"):
            for written in self._raw_names(key):
                if re.fullmatch(re.escape(written).replace(r"\{n\}", r"\d+"), name):
                    if name not in self._all_ports():
                        return
        self.problem(where, unknown("port", name, known))

    def _all_ports(self) -> list[str]:
        """Return the names of all sound ports."""
        return [port.name for found in self.ports.values() for port, _ in found]

    def _check_rest(
        self,
        nic: NicSection | None,
        profile: Profile,
        replay: ReplaySection,
        expect: ExpectSection,
        names: list[str],
    ) -> None:
        if nic is not None:
            try:
                nic.build(profile, None)
            except BadInput as error:
                self.problem(("nic",), error.what)
        if replay.network is not None and replay.network not in names:
            self.problem(("replay", "network"), unknown("network", replay.network, names))
        ports = self._all_ports()
        if replay.ingress not in (None, "source-mac", *ports):
            self._unknown_port(("replay", "ingress"), str(replay.ingress), ports)
        for place, interface in enumerate(replay.interface):
            if interface.port not in ports:
                where = ("replay", "interface", place, "port")
                self._unknown_port(where, interface.port, ports)
        self._check_expect(expect, ports)

    def _check_expect(self, expect: ExpectSection, ports: list[str]) -> None:
        from vswitch.verdict import DropReason

        reasons = [reason.label for reason in DropReason]
        counted = [*ports, "in", "unicast", "flooded", "dropped", "copies"]
        for key, bounds, known, kind in (
            ("drops", expect.drops, reasons, "drop reason"),
            ("frames", expect.frames, counted, "port"),
        ):
            for name, bound in bounds.items():
                if name not in known and kind == "port":
                    self._unknown_port(("expect", key, name), name, known)
                elif name not in known:
                    self.problem(("expect", key, name), unknown(kind, name, known))
                try:
                    parse_bound(bound)
                except BadInput as error:
                    self.problem(("expect", key, name), error.what)


def _as(model: type[_Model], sections: dict[str, BaseModel]) -> _Model:
    return next(section for section in sections.values() if isinstance(section, model))


def _dialect(section: NetworkSection, profile: Profile) -> Dialect:
    if section.dialect is not None:
        return Dialect(section.dialect)
    return Dialect.LEARNING if profile.name == "r1" else Dialect.HYPERV
