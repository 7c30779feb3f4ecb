"""What a port makes of VLAN tags, in both directions.

Inward, a port has a *row*: for each VID (and for "no tag") one ingress entry
that already carries the bits of the decision word (see
:mod:`vswitch.image_kernel`). Outward, a port is a *member* of VLANs, each with
the tag mode that a copy leaves with. Ports of equal setting share a row: what
differs between access ports, VLAN and group, is in the port's PVID entry.

Rules: the ingress table of the ``hyperv`` dialect in the manual (README.md of
this package); private VLANs as in NDIS_SWITCH_PORT_PVLAN_MODE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vswitch.image_kernel import E_CHECK_INNER, E_DROP, E_PVID, ISOLATED_GROUP, NO_TAG, ROW_WORDS
from vswitch.ports import VLANS, Network, Port, PortKind, VlanMode, VlanSetting
from vswitch.verdict import DropReason
from vswitch.words_kernel import (
    GROUP_SHIFT,
    STRIP,
    TCI_SHIFT,
    TO_PRIORITY,
    TO_TAGGED,
    TPID_SHIFT,
)

Row = npt.NDArray[np.uint64]

RESERVED_VID = 4095


def drop(reason: DropReason) -> int:
    """Return the ingress entry that drops a frame for `reason`."""
    return E_DROP | int(reason)


@dataclass(frozen=True, slots=True)
class Group:
    """An isolation group: which ports may not exchange frames.

    Parameters
    ----------
    isolated : bool
        True when not even members of the group reach each other; False for a
        community.
    primary, secondary : int
        VIDs of a private VLAN; 0, 0 for plain port isolation.
    """

    isolated: bool
    primary: int = 0
    secondary: int = 0

    @property
    def word(self) -> int:
        """The group's word in the image."""
        return self.secondary | (ISOLATED_GROUP if self.isolated else 0)


def group_of(port: Port) -> Group | None:
    """Return the isolation group of a port, None when it is open."""
    setting = port.vlan
    if setting.mode is VlanMode.ISOLATED:
        return Group(True, setting.vid, setting.secondary)
    if setting.mode is VlanMode.COMMUNITY:
        return Group(False, setting.vid, setting.secondary)
    return Group(True) if port.isolated else None


def isolation_groups(network: Network) -> dict[Group, int]:
    """Number the isolation groups of a network from 1, in port order; 0 means open."""
    numbers: dict[Group, int] = {}
    for port in network.ports:
        group = group_of(port)
        if group is not None:
            numbers.setdefault(group, len(numbers) + 1)
    return numbers


def group_number(port: Port, groups: dict[Group, int]) -> int:
    """Return the number of a port's isolation group, 0 when it is open."""
    group = group_of(port)
    return 0 if group is None else groups[group]


def pvid_entry(port: Port, groups: dict[Group, int]) -> int:
    """Return the entry of a port's own VLAN, with the port's group."""
    return port.vlan.vid << TCI_SHIFT | group_number(port, groups) << GROUP_SHIFT


def hyperv_row(port: Port, network: Network, groups: dict[Group, int]) -> Row:
    """Return the ingress row of a port of dialect ``hyperv``.

    Parameters
    ----------
    port : Port
        The port.
    network : Network
        Its network; the uplink maps the secondary VIDs of its private VLANs.
    groups : dict
        As from :func:`isolation_groups`.

    Returns
    -------
    numpy.ndarray
        ``uint64[4097]``, by VID; the last entry is for frames without a tag.
    """
    setting = port.vlan
    row = np.zeros(ROW_WORDS, np.uint64)
    if port.kind is not PortKind.UPLINK and setting.mode is not VlanMode.TRUNK:
        row[:] = drop(DropReason.TAG_ON_ACCESS)
        row[0] = E_PVID | E_CHECK_INNER
        row[NO_TAG] = E_PVID
    else:
        row[:] = drop(DropReason.VLAN_NOT_ALLOWED)
        own = group_number(port, groups) << GROUP_SHIFT
        native = setting.vid if port.kind is not PortKind.UPLINK else 0
        for vid in VLANS:
            if setting.carries(vid) or vid == native:
                row[vid] = vid << TCI_SHIFT | STRIP | own
        if port.kind is not PortKind.UPLINK or setting.untagged:
            row[0] = native << TCI_SHIFT | STRIP | own
            row[NO_TAG] = native << TCI_SHIFT | own
        if port.kind is PortKind.UPLINK:
            for group, number in groups.items():
                if group.secondary and setting.carries(group.secondary):
                    row[group.secondary] = (
                        group.primary << TCI_SHIFT | STRIP | number << GROUP_SHIFT
                    )
    row[RESERVED_VID] = drop(DropReason.RESERVED_VID)
    return row


def row_key(port: Port) -> object:
    """Return what ports of dialect ``hyperv`` must have in common to share a row."""
    if port.kind is PortKind.UPLINK or port.vlan.mode is VlanMode.TRUNK:
        return (port.kind is PortKind.UPLINK, port.vlan, port.isolated)
    return "access"


def hyperv_memberships(port: Port) -> Iterator[tuple[int, int]]:
    """Yield (VLAN, tag bits of the port word) for each VLAN that a port is a member of."""
    setting = port.vlan
    bare = TO_PRIORITY if port.keep_priority_tag else 0
    if port.kind is PortKind.UPLINK:
        if setting.untagged:
            yield 0, bare
        yield from ((vid, TO_TAGGED) for vid in VLANS if setting.carries(vid))
    elif setting.mode is VlanMode.TRUNK:
        yield setting.vid, bare
        yield from (
            (vid, TO_TAGGED) for vid in VLANS if vid != setting.vid and setting.carries(vid)
        )
    else:
        yield setting.vid, bare


def hyperv_native(port: Port) -> int:
    """Return the VLAN whose frames leave a port of dialect ``hyperv`` without a tag."""
    return 0 if port.kind is PortKind.UPLINK else port.vlan.vid


NATIVES = (VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED)
NO_VLAN = 0xFFFF
ALL_VIDS = range(4096)


def learning_row(port: Port, network: Network, groups: dict[Group, int]) -> Row:
    """Return the ingress row of a port of dialect ``learning``.

    Parameters
    ----------
    port : Port
        The port.
    network : Network
        Its network; a tunnel needs the place of its TPID among the network's.
    groups : dict
        As from :func:`isolation_groups`.

    Returns
    -------
    numpy.ndarray
        ``uint64[4097]``, by VID; the last entry is for frames without a tag.

    Notes
    -----
    Rules, as Open vSwitch has them: an access port takes no VID but 0, not even
    its own; untagged and VID 0 are VLAN 0 on a trunk, carried if 0 is in its
    list; on a native port they are the native VLAN; a tunnel leaves the frame as
    it is and puts its own tag before it.
    """
    setting = port.vlan
    own = group_number(port, groups) << GROUP_SHIFT
    row = np.zeros(ROW_WORDS, np.uint64)
    if setting.mode is VlanMode.ACCESS:
        row[:] = drop(DropReason.TAG_ON_ACCESS)
        row[0] = row[NO_TAG] = E_PVID
        return row
    row[:] = drop(DropReason.VLAN_NOT_ALLOWED)
    if setting.mode is VlanMode.DOT1Q_TUNNEL:
        outer = setting.vid << TCI_SHIFT | tpid_place(setting.tunnel_tpid, network) << TPID_SHIFT
        for vid in ALL_VIDS:
            if not setting.cvlans or vid in setting.cvlans:
                row[vid] = outer | own
        if not setting.cvlans:
            row[NO_TAG] = outer | own
        return row
    native = setting.vid if setting.mode in NATIVES else 0
    for vid in ALL_VIDS:
        if carries_learning(setting, vid):
            row[vid] = vid << TCI_SHIFT | STRIP | own
    if native or setting.carries(0):
        row[0] = native << TCI_SHIFT | STRIP | own
        row[NO_TAG] = native << TCI_SHIFT | own
    return row


def carries_learning(setting: VlanSetting, vlan: int) -> bool:
    """Tell whether a trunk or native port of dialect ``learning`` is a member of a VLAN.

    Rule: a native port has its native VLAN, and VLAN 0 never (as Open vSwitch).
    """
    if setting.mode in NATIVES and vlan in (0, setting.vid):
        return vlan == setting.vid
    return setting.carries(vlan)


def tpid_place(tpid: int, network: Network) -> int:
    """Return the TPID bits of a decision word for a tag of `tpid`."""
    if tpid == 0x8100:
        return 0
    return 1 + network.tag_types.index(tpid)


def learning_key(port: Port) -> object:
    """Return what ports of dialect ``learning`` must have in common to share a row."""
    if port.vlan.mode is VlanMode.ACCESS:
        return "access"
    return (port.vlan, port.isolated)


def learning_memberships(port: Port) -> Iterator[tuple[int, int]]:
    """Yield (VLAN, tag bits of the port word) for each VLAN that a port is a member of."""
    setting = port.vlan
    bare = TO_PRIORITY if learning_keeps_priority(port) else 0
    if setting.mode in (VlanMode.ACCESS, VlanMode.DOT1Q_TUNNEL):
        yield setting.vid, bare
        return
    native = learning_native(port)
    for vid in ALL_VIDS:
        if carries_learning(setting, vid):
            yield vid, bare if vid == native else TO_TAGGED


def learning_native(port: Port) -> int:
    """Return the VLAN whose frames leave a port of dialect ``learning`` without a tag."""
    if port.vlan.mode is VlanMode.NATIVE_TAGGED:
        return NO_VLAN
    return 0 if port.vlan.mode is VlanMode.TRUNK else port.vlan.vid


def learning_keeps_priority(port: Port) -> bool:
    """Tell whether a copy that would leave untagged keeps a VID 0 tag when its PCP is not 0.

    Rule: a plain trunk does so for VLAN 0; elsewhere it is the port's option.
    """
    return port.keep_priority_tag or port.vlan.mode is VlanMode.TRUNK
