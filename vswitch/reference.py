"""The plain twin of dialect ``hyperv``: the decision about one frame, in the order of its rules.

This is the specification. It works on the ports themselves, not on the compiled
image, and on dictionaries, not on hash tables, so that a mistake in compiling
shows as a difference. Slow and obvious on purpose; ``explain`` runs it with a
recorder that keeps each step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nic.adapter import Adapter
from nic.drops import AdapterDrop
from nic.lso_reference import cut_length
from nic.reference import classify
from pcaps.addresses import is_group, key_to_mac
from pcaps.frames import Frame
from vswitch.fdb import PlainLearned
from vswitch.outcome import Copy, Drop, Outcome, Recorder, Step, port_text, unheard, vlan_text
from vswitch.ports import Mirror, Network, Port, PortKind, VlanMode, reachable_vlans
from vswitch.verdict import DropReason, Verdict
from vswitch.vlan import Group, group_of


@dataclass(frozen=True, slots=True)
class Tag:
    """A VLAN tag: TPID, PCP, DEI, VID."""

    tpid: int
    pcp: int
    dei: int
    vid: int

    @classmethod
    def parse(cls, raw: bytes) -> Tag:
        """Read the four bytes of a tag."""
        tci = int.from_bytes(raw[2:4], "big")
        return cls(int.from_bytes(raw[:2], "big"), tci >> 13, tci >> 12 & 1, tci & 0xFFF)

    def bytes(self) -> bytes:
        """Return the four bytes of the tag."""
        tci = self.pcp << 13 | self.dei << 12 | self.vid
        return self.tpid.to_bytes(2, "big") + tci.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The Ethernet header of a frame."""

    destination: int
    source: int
    tag: Tag | None
    inner_type: int
    """EtherType behind the outer tag, or of the untagged frame."""


def parse(frame: Frame, tpids: tuple[int, ...]) -> Parsed:
    """Read addresses and outer tag.

    Parameters
    ----------
    frame : Frame
        The frame as received.
    tpids : tuple of int
        Which TPIDs count as tags.

    Returns
    -------
    Parsed
        The header.

    Raises
    ------
    Drop
        `truncated` when the capture cut the header, else `runt` or `malformed-tag`.
    """
    data = frame.data
    if len(data) < 14:
        raise Drop(DropReason.TRUNCATED if frame.wirelen >= 14 else DropReason.RUNT)
    ether_type = int.from_bytes(data[12:14], "big")
    tag = None
    if ether_type in tpids:
        if len(data) < 18:
            raise Drop(DropReason.TRUNCATED if frame.wirelen >= 18 else DropReason.MALFORMED_TAG)
        tag = Tag.parse(data[12:16])
        ether_type = int.from_bytes(data[16:18], "big")
    address = int.from_bytes(data[0:6], "little"), int.from_bytes(data[6:12], "little")
    return Parsed(*address, tag, ether_type)


def is_reserved(destination: int) -> bool:
    """Tell whether an address is one of 01-80-C2-00-00-00 to -0F."""
    return key_to_mac(destination).startswith("01:80:c2:00:00:0")


def blocked(source: Group | None, destination: Group | None) -> bool:
    """Tell whether two isolation groups may not exchange frames."""
    if source is None or destination is None:
        return False
    return source != destination or source.isolated


def check_length(frame: Frame, port: Port, parsed: Parsed, strip: bool, tag: Tag | None) -> None:
    """Raise :class:`Drop` when the frame, as it would leave, is too long for the port."""
    if port.mtu is None:
        return
    length = frame.wirelen - (4 if strip else 0) + (4 if tag else 0)
    shown = tag.tpid if tag else parsed.inner_type if strip or not parsed.tag else parsed.tag.tpid
    # Rule: MTU + 14, and 4 more if the leaving frame starts with 0x8100
    if length > port.mtu + 14 + (4 if shown == 0x8100 else 0):
        raise Drop(DropReason.OVER_MTU)


class ReferenceSwitch:
    """A ``hyperv`` switch, frame by frame.

    Parameters
    ----------
    network : Network
        Its ports and settings.
    adapter : nic.adapter.Adapter, optional
        The adapter below the uplink; None = software switch only.
    """

    def __init__(self, network: Network, adapter: Adapter | None = None) -> None:
        self.network = network
        self.adapter = adapter
        self.secondary = PlainLearned(network.fdb_size, 0)
        self.owners = {
            (vlan, port.mac): number
            for number, port in enumerate(network.ports)
            if port.mac is not None and port.kind is not PortKind.UPLINK
            for vlan in reachable_vlans(port)
        }

    def decide(self, frame: Frame, in_port: int, record: Recorder = unheard) -> Outcome:
        """Decide one frame.

        Parameters
        ----------
        frame : Frame
            As received.
        in_port : int
            Number of the port that it came in by.
        record : callable, optional
            Gets each :class:`vswitch.outcome.Step`.

        Returns
        -------
        Outcome
            Verdict, reason, copies.
        """
        outcome = Outcome(Verdict.DROPPED)
        try:
            self._decide(frame, in_port, outcome, record)
        except Drop as drop:
            outcome.verdict, outcome.reason, outcome.copies = Verdict.DROPPED, drop.reason, []
            record(Step("verdict", f"Dropped: {drop.reason.sentence}", drop.reason.label))
        outcome.mirrored = self._mirrored(in_port, outcome)
        return outcome

    def _decide(self, frame: Frame, in_port: int, outcome: Outcome, record: Recorder) -> None:
        port = self.network.ports[in_port]
        if port.kind is PortKind.UPLINK and self.adapter is not None:
            outcome.queue = self._adapter_queue(frame, record)
        parsed = parse(frame, self.network.tag_types)
        seen = f"tag VID {parsed.tag.vid} PCP {parsed.tag.pcp}" if parsed.tag else "no tag"
        record(
            Step(
                "ingress",
                f"Came in by {port_text(self.network, in_port)}: "
                f"{key_to_mac(parsed.source)} to {key_to_mac(parsed.destination)}, {seen}, "
                f"{frame.wirelen} bytes.",
                "header is whole",
            )
        )
        self._check_source(port, parsed, record)
        vlan, group = self._ingress_vlan(port, parsed, record)
        outcome.vlan = vlan
        self._note_source(in_port, vlan, parsed, outcome, record)
        if outcome.queue:
            assert self.adapter is not None
            owner = self.network.number_of(self.adapter.queue(outcome.queue).owner)
            record(Step("table", "The adapter chose the VM queue; the switch looks nothing up."))
            self._unicast(frame, parsed, in_port, owner, outcome, group, record)
        elif is_group(parsed.destination):
            self._flood(frame, parsed, in_port, outcome, group, record)
        else:
            owner = self._look_up(in_port, vlan, parsed.destination, record)
            self._unicast(frame, parsed, in_port, owner, outcome, group, record)

    def _adapter_queue(self, frame: Frame, record: Recorder) -> int:
        assert self.adapter is not None
        try:
            parsed = parse(frame, self.network.tag_types)
        except Drop:
            record(Step("adapter", "The header is not whole: default queue.", "default queue"))
            return 0
        vid = parsed.tag.vid if parsed.tag else 0
        length = frame.wirelen - (4 if parsed.tag else 0)
        placed = classify(self.adapter, parsed.destination, vid, length)
        if isinstance(placed, AdapterDrop):
            raise Drop(DropReason(int(placed)))
        if placed:
            owner = self.adapter.queue(placed).owner
            text = f"A receive filter matches: VM queue {placed} of {owner}."
            record(Step("adapter", text, "receive filter", self._filter_text(placed)))
        else:
            record(Step("adapter", "No receive filter matches: default queue.", "default queue"))
        return placed

    def _filter_text(self, queue: int) -> str:
        assert self.adapter is not None
        return "; ".join(str(entry) for entry in self.adapter.queue(queue).filters)

    def _check_source(self, port: Port, parsed: Parsed, record: Recorder) -> None:
        if port.check_source and (is_group(parsed.source) or parsed.source == 0):
            raise Drop(DropReason.BAD_SOURCE)
        if port.kind is PortKind.UPLINK:
            return
        if port.spoof_guard and parsed.source != port.mac:
            record(Step("policy", f"{port.name} owns {port.address} only.", "spoof guard"))
            raise Drop(DropReason.SPOOFED_SOURCE)
        if port.spoof_guard:
            record(Step("policy", "The source is the port's own address.", "spoof guard"))

    def _ingress_vlan(
        self, port: Port, parsed: Parsed, record: Recorder
    ) -> tuple[int, Group | None]:
        """Return the VLAN inside the switch and the isolation group of the sender."""
        setting, tag = port.vlan, parsed.tag
        group = group_of(port)
        if tag is not None and tag.vid == 4095:
            raise Drop(DropReason.RESERVED_VID)
        if port.kind is not PortKind.UPLINK and setting.mode is not VlanMode.TRUNK:
            if tag is not None and (tag.vid != 0 or parsed.inner_type == 0x8100):
                raise Drop(DropReason.TAG_ON_ACCESS)
            vlan = setting.vid
        elif tag is None or tag.vid == 0:
            if port.kind is PortKind.UPLINK and not setting.untagged:
                raise Drop(DropReason.VLAN_NOT_ALLOWED)
            vlan = 0 if port.kind is PortKind.UPLINK else setting.vid
        else:
            native = port.kind is not PortKind.UPLINK and tag.vid == setting.vid
            if not native and not setting.carries(tag.vid):
                raise Drop(DropReason.VLAN_NOT_ALLOWED)
            vlan = tag.vid
            if port.kind is PortKind.UPLINK:
                for candidate in filter(None, map(group_of, self.network.ports)):
                    if candidate.secondary == tag.vid:  # Rule: a secondary VID means its primary
                        vlan, group = candidate.primary, candidate
                        break
        name = f"VLAN {vlan}" if vlan else "the untagged domain"
        record(
            Step(
                "ingress",
                f"The frame is in {name}.",
                "ingress VLAN",
                f"{port.name}: {vlan_text(port)}",
            )
        )
        return vlan, group

    def _note_source(
        self, in_port: int, vlan: int, parsed: Parsed, outcome: Outcome, record: Recorder
    ) -> None:
        port = self.network.ports[in_port]
        if port.kind is PortKind.UPLINK:
            outcome.local_source = (vlan, parsed.source) in self.owners
            if outcome.local_source:
                owner = self.network.ports[self.owners[vlan, parsed.source]].name
                text = f"The source is {owner}'s own address: counted, the table stays."
                record(Step("policy", text, "local source from the uplink"))
        elif not port.spoof_guard and parsed.source != port.mac:
            self.secondary.put(vlan, parsed.source, in_port)
            text = f"{key_to_mac(parsed.source)} is now a secondary address of {port.name}."
            record(Step("policy", text, "spoofing allowed"))

    def _look_up(self, in_port: int, vlan: int, destination: int, record: Recorder) -> int:
        port = self.network.ports[in_port]
        address = f"({vlan}, {key_to_mac(destination)})"
        if (vlan, destination) in self.owners:
            own = self.owners[vlan, destination]
            record(Step("table", f"{self.network.ports[own].name} owns it.", "vNIC", address))
            return own
        owner = self.secondary.find(vlan, destination)
        if owner is not None:
            name = self.network.ports[owner].name
            record(Step("table", f"{name} has sent with it.", "secondary address", address))
            return owner
        if port.kind is PortKind.UPLINK:
            record(Step("table", "Nobody here owns it.", "unknown unicast", address))
            raise Drop(DropReason.UNKNOWN_FROM_UPLINK)
        uplink = self.network.uplink
        if uplink is None or not self._carries(uplink, vlan):
            record(Step("table", "Nobody here owns it, no uplink carries the VLAN.", "", address))
            raise Drop(DropReason.NO_DESTINATION)
        record(Step("table", "Nobody here owns it: to the uplink.", "unknown unicast", address))
        return self.network.number_of(uplink.name)

    def _carries(self, port: Port, vlan: int) -> bool:
        """Tell whether a port is a member of a VLAN."""
        setting = port.vlan
        if port.kind is PortKind.UPLINK:
            return setting.untagged if vlan == 0 else setting.carries(vlan)
        if setting.mode is VlanMode.TRUNK:
            return vlan == setting.vid or (vlan != 0 and setting.carries(vlan))
        return vlan == setting.vid

    def _unicast(
        self,
        frame: Frame,
        parsed: Parsed,
        in_port: int,
        owner: int,
        outcome: Outcome,
        group: Group | None,
        record: Recorder,
    ) -> None:
        if owner == in_port:
            raise Drop(DropReason.SAME_PORT)
        try:
            copy = self._copy(frame, parsed, owner, outcome, group)
        except Drop as drop:
            longest = 0 if drop.reason is not DropReason.OVER_MTU else self._cut(frame, in_port)
            if not longest:
                raise
            copy = self._copy(replace(frame, wirelen=longest), parsed, owner, outcome, group)
            text = f"Longer than the MTU; it is cut to frames of {longest} bytes at most."
            record(Step("egress", text, "large send offload"))
        outcome.verdict = Verdict.UNICAST
        outcome.copies = [copy]
        record(Step("egress", self._egress_text(copy), "tag rewrite and MTU"))

    def _cut(self, frame: Frame, in_port: int) -> int:
        """Return the longest frame that the sender's adapter makes of one, 0 when it cuts none."""
        port = self.network.ports[in_port]
        if not port.sends_large or port.kind is PortKind.UPLINK:
            return 0
        assert port.mtu is not None
        # Rule: offloading-the-segmentation-of-large-tcp-packets: segments have the sender's MTU
        return cut_length(frame.data, port.mtu)

    def _flood(
        self,
        frame: Frame,
        parsed: Parsed,
        in_port: int,
        outcome: Outcome,
        group: Group | None,
        record: Recorder,
    ) -> None:
        if is_reserved(parsed.destination):
            raise Drop(DropReason.RESERVED_DESTINATION)
        assert outcome.vlan is not None
        for number, port in enumerate(self.network.ports):
            if number == in_port or not self._carries(port, outcome.vlan):
                continue
            try:
                copy = self._copy(frame, parsed, number, outcome, group)
            except Drop as drop:
                outcome.suppressed.append((number, drop.reason))
                text = f"Copy to {port.name} held back: {drop.reason.sentence}"
                record(Step("egress", text, drop.reason.label))
            else:
                outcome.copies.append(copy)
                record(Step("egress", self._egress_text(copy), "flooding in the VLAN"))
        if not outcome.copies:
            raise Drop(
                outcome.suppressed[0][1] if outcome.suppressed else DropReason.NO_DESTINATION
            )
        outcome.verdict = Verdict.FLOODED

    def _copy(
        self, frame: Frame, parsed: Parsed, number: int, outcome: Outcome, group: Group | None
    ) -> Copy:
        """Return the copy for one port, or raise :class:`Drop`."""
        port = self.network.ports[number]
        if not port.connected:
            raise Drop(DropReason.NOT_CONNECTED)
        if blocked(group, group_of(port)):
            raise Drop(DropReason.ISOLATED)
        tag = self._egress_tag(port, parsed, outcome, group)
        strip = parsed.tag is not None
        check_length(frame, port, parsed, strip, tag)
        return Copy(number, strip, tag.bytes() if tag else b"")

    def _egress_tag(
        self, port: Port, parsed: Parsed, outcome: Outcome, group: Group | None
    ) -> Tag | None:
        assert outcome.vlan is not None
        pcp, dei = (parsed.tag.pcp, parsed.tag.dei) if parsed.tag else (0, 0)
        native = 0 if port.kind is PortKind.UPLINK else port.vlan.vid
        if outcome.vlan == native:
            return Tag(0x8100, pcp, dei, 0) if port.keep_priority_tag and pcp else None
        vid = outcome.vlan
        if group is not None and group.secondary:  # Rule: a trunk shows the secondary VID
            vid = group.secondary
        return Tag(0x8100, pcp, dei, vid)

    def _egress_text(self, copy: Copy) -> str:
        tag = f"with tag VID {Tag.parse(copy.push).vid}" if copy.push else "without a tag"
        return f"Leaves by {port_text(self.network, copy.port)} {tag}."

    def _mirrored(self, in_port: int, outcome: Outcome) -> bool:
        target = self.network.mirror_to
        if target is None or self.network.ports[in_port].name == target:
            return False
        if self.network.ports[in_port].mirror in (Mirror.INGRESS, Mirror.BOTH):
            return True
        return any(
            self.network.ports[copy.port].mirror in (Mirror.EGRESS, Mirror.BOTH)
            for copy in outcome.copies
        )
