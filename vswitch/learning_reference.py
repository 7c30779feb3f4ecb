"""The plain twin of dialect ``learning``: a switch that learns, in the order of its rules.

The specification of :mod:`vswitch.learning_kernel`: dictionaries instead of hash
tables, the ports themselves instead of the compiled image. The rules are those
of Open vSwitch's NORMAL action, which a test asks frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pcaps.addresses import is_group, key_to_mac
from pcaps.frames import Frame
from vswitch.fdb import PlainLearned
from vswitch.outcome import Copy, Drop, Outcome, Recorder, Step, port_text, unheard, vlan_text
from vswitch.ports import Mirror, Network, Port, VlanMode
from vswitch.reference import Parsed, Tag, blocked, check_length, is_reserved, parse
from vswitch.verdict import DropReason, Verdict
from vswitch.vlan import group_of

VENDOR_RESERVED = {
    "00:e0:2b:00:00:00": "EDP",
    "00:e0:2b:00:00:04": "EAPS",
    "00:e0:2b:00:00:06": "EAPS",
    "01:00:0c:00:00:00": "ISL",
    "01:00:0c:cc:cc:cc": "CDP",
    "01:00:0c:cc:cc:cd": "PVST+",
    "01:00:0c:cd:cd:cd": "STP uplink fast",
    **{f"01:00:0c:cc:cc:c{n}": "CFM" for n in range(8)},
}
"""Addresses beyond 01-80-C2-00-00-0X that Open vSwitch never forwards."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """A frame inside the switch: its VLAN, the tag that a tagged copy gets, a tunnel's customer tag."""

    vlan: int
    tag: Tag
    strip: bool
    customer: Tag | None = None


class LearningReference:
    """A ``learning`` switch, frame by frame.

    Parameters
    ----------
    network : Network
        Its ports and settings.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.table = PlainLearned(network.fdb_size, int(network.ageing_s * 1e9))
        for entry in network.static:
            self.table.pin(entry.vlan, entry.mac, network.number_of(entry.port))

    def decide(self, frame: Frame, in_port: int, record: Recorder = unheard) -> Outcome:
        """Decide one frame, and learn from it.

        Parameters
        ----------
        frame : Frame
            As received; its time ages the table.
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
        self.table.clock = max(self.table.clock, frame.ts_ns)
        try:
            self._decide(frame, in_port, outcome, record)
        except Drop as drop:
            outcome.verdict, outcome.reason, outcome.copies = Verdict.DROPPED, drop.reason, []
            record(Step("verdict", f"Dropped: {drop.reason.sentence}", drop.reason.label))
        outcome.mirrored = self._mirrored(in_port, outcome)
        return outcome

    def _decide(self, frame: Frame, in_port: int, outcome: Outcome, record: Recorder) -> None:
        parsed = parse(frame, self.network.tag_types)
        seen = f"tag VID {parsed.tag.vid} PCP {parsed.tag.pcp}" if parsed.tag else "no tag"
        text = (
            f"Came in by {port_text(self.network, in_port)}: {key_to_mac(parsed.source)} to "
            f"{key_to_mac(parsed.destination)}, {seen}, {frame.wirelen} bytes."
        )
        record(Step("ingress", text, "header is whole"))
        inside = self._ingress(self.network.ports[in_port], parsed)
        outcome.vlan = inside.vlan
        port = self.network.ports[in_port]
        carried = f"{port.name}: {vlan_text(port)}"
        record(Step("ingress", f"The frame is in VLAN {inside.vlan}.", "ingress VLAN", carried))
        name = key_to_mac(parsed.destination)
        if is_reserved(parsed.destination) or name in VENDOR_RESERVED:
            raise Drop(DropReason.RESERVED_DESTINATION)
        self._learn(frame, parsed, inside.vlan, in_port, record)
        owner = None
        if not is_group(parsed.destination):
            owner = self.table.find(inside.vlan, parsed.destination)
        row = f"({inside.vlan}, {name})"
        if owner is None:
            record(Step("table", "Not known: to every member of the VLAN.", "flooding", row))
            self._flood(frame, parsed, in_port, inside, outcome, record)
            return
        where = self.network.ports[owner].name
        record(Step("table", f"Known behind {where}.", "known unicast", row))
        if owner == in_port:
            raise Drop(DropReason.SAME_PORT)
        outcome.copies = [self._copy(frame, parsed, in_port, owner, inside)]
        outcome.verdict = Verdict.UNICAST
        record(Step("egress", self._text(outcome.copies[0]), "tag rewrite and MTU"))

    def _ingress(self, port: Port, parsed: Parsed) -> _Inside:
        setting, tag = port.vlan, parsed.tag
        vid = tag.vid if tag else 0
        own = tag or Tag(0x8100, 0, 0, 0)
        if setting.mode is VlanMode.DOT1Q_TUNNEL:
            # Rule: a tunnel takes the frame as it is, its customers' VIDs only if it lists any
            if setting.cvlans and (tag is None or vid not in setting.cvlans):
                raise Drop(DropReason.VLAN_NOT_ALLOWED)
            return _Inside(setting.vid, Tag(setting.tunnel_tpid, 0, 0, setting.vid), False, tag)
        if setting.mode is VlanMode.ACCESS:
            if vid:  # Rule: no VID but 0, not even its own
                raise Drop(DropReason.TAG_ON_ACCESS)
            vlan = setting.vid
        elif setting.mode is VlanMode.TRUNK:
            vlan = vid
            if not setting.carries(vid):
                raise Drop(DropReason.VLAN_NOT_ALLOWED)
        else:
            vlan = vid or setting.vid
            if vlan != setting.vid and not setting.carries(vlan):
                raise Drop(DropReason.VLAN_NOT_ALLOWED)
        dei = own.dei if vlan == vid else 0  # Rule: DEI is lost when VID 0 is replaced
        return _Inside(vlan, replace(own, vid=vlan, dei=dei), tag is not None)

    def _learn(
        self, frame: Frame, parsed: Parsed, vlan: int, in_port: int, record: Recorder
    ) -> None:
        if is_group(parsed.source):  # Rule: individual addresses only, zero is one
            return
        meaning = self.table.put(vlan, parsed.source, in_port, frame.ts_ns)
        name = self.network.ports[in_port].name
        row = f"({vlan}, {key_to_mac(parsed.source)}) -> {name}"
        record(Step("table", f"Learning the source: {meaning}.", "learning", row))

    def _members(self, vlan: int) -> Iterator[tuple[int, Port]]:
        for number, port in enumerate(self.network.ports):
            setting = port.vlan
            if setting.mode in (VlanMode.ACCESS, VlanMode.DOT1Q_TUNNEL):
                member = vlan == setting.vid
            elif setting.mode is VlanMode.TRUNK:
                member = setting.carries(vlan)
            else:
                # Rule: a native port is never a member of VLAN 0, whatever its list says
                member = vlan == setting.vid or (vlan != 0 and setting.carries(vlan))
            if member:
                yield number, port

    def _flood(
        self,
        frame: Frame,
        parsed: Parsed,
        in_port: int,
        inside: _Inside,
        outcome: Outcome,
        record: Recorder,
    ) -> None:
        for number, port in self._members(inside.vlan):
            if number == in_port or not self._takes_customer(port, frame, inside):
                continue
            if any(not copy.push for copy in outcome.copies):
                # Rule: behind an untagged copy, tagged ones have lost their DEI (as Open vSwitch)
                inside = replace(inside, tag=replace(inside.tag, dei=0))
            try:
                copy = self._copy(frame, parsed, in_port, number, inside)
            except Drop as drop:
                outcome.suppressed.append((number, drop.reason))
                text = f"Copy to {port.name} held back: {drop.reason.sentence}"
                record(Step("egress", text, drop.reason.label))
            else:
                outcome.copies.append(copy)
                record(Step("egress", self._text(copy), "flooding in the VLAN"))
        if not outcome.copies:
            held = outcome.suppressed
            raise Drop(held[0][1] if held else DropReason.NO_DESTINATION)
        outcome.verdict = Verdict.FLOODED

    def _takes_customer(self, port: Port, frame: Frame, inside: _Inside) -> bool:
        """Tell whether flooding reaches a port as far as customers' VIDs go.

        Rule: a tunnel port with `cvlans` emits only frames whose customer tag, the
        one behind the outer tag, has one of those VIDs; an access port none that
        came by a tunnel with a customer's VID.
        """
        if port.vlan.mode is VlanMode.ACCESS:
            return inside.customer is None or inside.customer.vid == 0
        if port.vlan.mode is not VlanMode.DOT1Q_TUNNEL or not port.vlan.cvlans:
            return True
        tag = frame.data[16:20] if inside.strip else frame.data[12:16]
        if len(tag) < 4 or int.from_bytes(tag[:2], "big") not in self.network.tag_types:
            return False
        return Tag.parse(tag).vid in port.vlan.cvlans

    def _copy(
        self, frame: Frame, parsed: Parsed, in_port: int, number: int, inside: _Inside
    ) -> Copy:
        port, source = self.network.ports[number], self.network.ports[in_port]
        if not port.connected:
            raise Drop(DropReason.NOT_CONNECTED)
        if blocked(group_of(source), group_of(port)):
            raise Drop(DropReason.ISOLATED)
        if port.vlan.mode is VlanMode.ACCESS and inside.customer is not None:
            # Rule: at an access port the customer's tag comes off with the tunnel's
            own = replace(inside.tag, pcp=inside.customer.pcp)
            inside = replace(inside, tag=own, strip=True)
        tag = self._egress_tag(port, inside)
        check_length(frame, port, parsed, inside.strip, tag)
        return Copy(number, inside.strip, tag.bytes() if tag else b"")

    def _egress_tag(self, port: Port, inside: _Inside) -> Tag | None:
        mode, tag = port.vlan.mode, inside.tag
        always = mode in (VlanMode.ACCESS, VlanMode.DOT1Q_TUNNEL)
        native = mode is VlanMode.NATIVE_UNTAGGED and inside.vlan == port.vlan.vid
        if not always and not native and inside.vlan:
            return tag
        # Rule: VLAN 0 keeps its PCP in a VID 0 tag; other untagged copies do so on request
        if not always and not native:
            return replace(tag, vid=0) if tag.pcp else None
        # Rule: a tag that only carries the priority is 0x8100
        return replace(tag, tpid=0x8100, vid=0) if port.keep_priority_tag and tag.pcp else None

    def _text(self, copy: Copy) -> str:
        tag = f"with tag VID {Tag.parse(copy.push).vid}" if copy.push else "without a tag"
        return f"Leaves by {port_text(self.network, copy.port)} {tag}."

    def _mirrored(self, in_port: int, outcome: Outcome) -> bool:
        target = self.network.mirror_to
        if target is None or self.network.ports[in_port].name == target:
            return False
        if self.network.ports[in_port].mirror in (Mirror.INGRESS, Mirror.BOTH):
            # Rule: a frame that the VLAN check of its port stopped is not mirrored
            return outcome.reason not in (DropReason.TAG_ON_ACCESS, DropReason.VLAN_NOT_ALLOWED)
        return any(
            self.network.ports[copy.port].mirror in (Mirror.EGRESS, Mirror.BOTH)
            for copy in outcome.copies
        )
