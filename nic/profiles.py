"""What each release of the host's network stack does, and adapters to choose from.

Every figure carries how it is known: *read* in the source named, *derived* by
logic from read facts, *believed* (unchecked; an option overrides it).
"""

from __future__ import annotations

from dataclasses import dataclass

from pcaps.errors import BadInput


@dataclass(frozen=True, slots=True)
class Profile:
    """One release.

    Parameters
    ----------
    name : str
        ``r1`` (2008), ``r2`` (2008 R2, NDIS 6.20) or ``2012`` (NDIS 6.30).
    title : str
        What people call it.
    vmq : bool
        Whether the stack has VM queues.
    vmq_by_default : bool
        Whether they are on unless turned on.
    mac_only_filter : bool
        Whether a filter without any VLAN condition is accepted.
    affinity_changes : bool
        Whether a queue may change its processor while it runs.
    shared_memory : bool
        Whether a queue's buffers may lie in the VM's own memory.
    guest_jumbo : bool
        Whether guests may have jumbo frames.
    private_vlans, mirroring : bool
        Whether the switch has them.
    """

    name: str
    title: str
    vmq: bool
    vmq_by_default: bool
    mac_only_filter: bool
    affinity_changes: bool
    shared_memory: bool
    guest_jumbo: bool
    private_vlans: bool
    mirroring: bool


PROFILES = {
    # r1: no VMQ and no jumbo for guests (read: Performance Tuning Guide 2008; mctjp.com 2009)
    "r1": Profile("r1", "2008", False, False, False, False, False, False, False, False),
    # r2: VMQ off unless enabled (read: standardized-inf-keywords-for-vmq, 0 = system default);
    #     filter without VLAN condition fails (read: setting-a-vmq-filter); affinity fixed and
    #     shared VM memory (read: ndis_receive_filter_capabilities, security-issues-with-...)
    "r2": Profile("r2", "2008 R2", True, False, False, False, True, True, False, False),
    # 2012: VMQ on by default (believed); MAC-only accepted, dynamic affinity, host memory always
    #       (read, the same pages); private VLANs and mirroring (read: what's new in 2012, jj679878)
    "2012": Profile("2012", "2012", True, True, True, True, False, True, True, True),
}


def profile_of(name: str) -> Profile:
    """Return a profile by name.

    Parameters
    ----------
    name : str
        ``r1``, ``r2`` or ``2012``.

    Returns
    -------
    Profile
        Its properties.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise BadInput(f"unknown profile '{name}'; use one of {', '.join(PROFILES)}") from None


@dataclass(frozen=True, slots=True)
class Preset:
    """An adapter to choose from.

    Parameters
    ----------
    title : str
        The product.
    num_queues : int
        VM queues besides the default queue.
    max_filters : int
        Receive filters in all.
    source : str
        Where the figures stand, and how they are known.
    """

    title: str
    num_queues: int
    max_filters: int
    source: str


PRESETS = {
    "netvmini": Preset(
        "netvmini 6x sample", 7, 16, "read: driver sample, hardware.h (8 queues with the default)"
    ),
    "i350": Preset("Intel i350", 7, 7, "read: 8 pools x 2 queues; pool 0 as default queue derived"),
    "82599": Preset("Intel 82599", 63, 127, "read: 64 pools; filters derived from 128 addresses"),
    "broadcom-1g": Preset("Broadcom 1 GbE", 16, 16, "read: Savill 2016; one filter each believed"),
    "connectx-3-pro": Preset(
        "Mellanox ConnectX-3 Pro", 125, 125, "read: Savill 2016; one filter each believed"
    ),
}


def preset_of(name: str) -> Preset:
    """Return an adapter preset by name.

    Parameters
    ----------
    name : str
        A key of ``PRESETS``.

    Returns
    -------
    Preset
        Its capacities.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise BadInput(f"unknown adapter '{name}'; use one of {', '.join(PRESETS)}") from None


def minimum_vectors(num_queues: int) -> int:
    """Return how many MSI-X vectors an adapter with this many queues must have at least.

    Parameters
    ----------
    num_queues : int
        VM queues, without the default queue.

    Returns
    -------
    int
        Source: NDIS documentation, network/vmq-interrupt-requirements (read).
    """
    if num_queues <= 16:
        return 1
    return 16 if num_queues <= 64 else 32


def shared_memory_reason(
    profile: Profile, *, vlan: int | None, vlan_filter: bool, lookahead_split: bool
) -> str | None:
    """Return why a queue's buffers are not in VM memory, None when they are.

    Parameters
    ----------
    profile : Profile
        The release.
    vlan : int, optional
        VID of the vNIC; None = no VLAN.
    vlan_filter, lookahead_split : bool
        What the adapter can do before it writes a frame to memory.

    Returns
    -------
    str or None
        One clause; each frame then costs a copy in the parent.

    Notes
    -----
    Rule: a VM must not see a frame before its VLAN is checked, nor change what
    the switch still reads (read: security-issues-with-ndis-virtual-machine--vm--
    shared-memory). That vNICs without a VLAN never qualify is derived.
    """
    if not profile.shared_memory:
        return f"profile {profile.name} keeps receive buffers in host memory"
    if vlan is None:
        return "the vNIC has no VLAN, so its filter has no VLAN test"
    if not vlan_filter:
        return "the adapter cannot test VIDs"
    if not lookahead_split:
        return "the adapter cannot split frames at the lookahead size"
    return None
