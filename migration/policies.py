"""The rules by which pre-copy ends, one record each: Hyper-V, QEMU and three of Xen.

There are two ways to look. *Rounds*: a round sends everything that is dirty, then the policy looks
at what was sent and what got dirty (Hyper-V, Xen). *Bursts*: it looks every 50 ms in mid-pass, and
compares what is left with bandwidth times downtime limit (QEMU). All else is figures.

Every figure names where it comes from; what is chosen or believed says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from pcaps.errors import BadInput

MS = 1_000_000
PAGE_WIRE_BYTES = 4096 + 8
"""A page and its header: QEMU save_page_header (migration/ram.c); 8 of Xen's page types alike."""
QEMU_ZERO_BYTES = 8 + 1
"""A zero page's header and its one byte (QEMU save_zero_page_to_file, migration/ram.c)."""

RateRule = Literal["source", "paper"]


@dataclass(frozen=True)
class Policy:
    """When a pre-copy stops, and what its blackout is made of.

    Parameters
    ----------
    name : str
    title : str
        What people call it.
    source : str
        Where the rules come from.
    looks : {"rounds", "bursts"}
        After a round, or within it.
    max_rounds : int, optional
        Rounds before the VM is suspended whatever is left.
    small_pages : int
        Fewer are small enough; the bound itself only with `small_counts_equal`.
    small_of : {"dirty", "sent"}
        Whether the pages that got dirty count, or the ones sent in the round.
    max_factor : float, optional
        Stop when more than this many times the memory was sent.
    stops_growing : bool
        Stop when a round sent more than the one before it, at the highest rate.
    skips_dirty : bool
        Leave out pages that are dirty again, except in the last round.
    rate_rule : {"source", "paper"}, optional
        Adaptive rate of Xen 3.0: as its source has it, or as its paper tells.
    cap_bytes_per_s : float, optional
        Bandwidth cap of pre-copy where the user gives none.
    downtime_limit_ns : int
        Of the policies that know one.
    window_ns, burst_ns : int
        Rate window, and longest time between two looks.
    socket_bytes : int
        What the sending socket holds; bytes count as sent when it takes them.
    page_bytes, zero_bytes : int
        Bytes on the wire of a page and of a zero page.
    setup_ns : int
        Before the first page: connection, configuration, memory of the target.
    stop_ns, device_ns, handover_ns, start_ns : int
        Parts of the blackout besides the last copy.
    announce : str
        How the network is told, see :mod:`migration.announce`.
    """

    name: str
    title: str
    source: str
    looks: Literal["rounds", "bursts"] = "rounds"
    max_rounds: int | None = None
    small_pages: int = 50
    small_of: Literal["dirty", "sent"] = "dirty"
    small_counts_equal: bool = False
    max_factor: float | None = None
    stops_growing: bool = False
    skips_dirty: bool = False
    rate_rule: RateRule | None = None
    cap_bytes_per_s: float | None = None
    downtime_limit_ns: int = 0
    window_ns: int = 0
    burst_ns: int = 0
    socket_bytes: int = 0
    page_bytes: int = PAGE_WIRE_BYTES
    zero_bytes: int = PAGE_WIRE_BYTES
    setup_ns: int = 0
    stop_ns: int = 2 * MS
    device_ns: int = 36 * MS
    handover_ns: int = 0
    start_ns: int = 2 * MS
    announce: str = "guest-garp"

    def announced_by(self, name: str) -> Policy:
        """Return the policy with another announcement."""
        return replace(self, announce=name)


_HYPERV = Policy(
    name="hyperv-r2",
    title="Hyper-V 2008 R2",
    source="ten passes: Directions on Microsoft, Live Migration Switch Over, 15 June 2009; the "
    "small set of 50 pages and the blackout's 40 ms are chosen, no figure was published",
    max_rounds=10,
    small_counts_equal=True,
    # believed: 0.9 of memory was moved in the published times, which zero pages explain
    zero_bytes=QEMU_ZERO_BYTES,
    # derived: 7 s for one VM of 512 MiB over 1 GbE, of which its bytes take 4.5 s (Finn 2012)
    setup_ns=2_500 * MS,
    announce="windows-guest",
)
_XEN = Policy(
    name="xen-3.0",
    title="Xen 3.0",
    source="RELEASE-3.0.0 tools/libxc/xc_linux_save.c 22-26, 173-252, 305-316, 1047-1056",
    max_rounds=29,
    small_of="sent",
    max_factor=3.0,
    stops_growing=True,
    skips_dirty=True,
    # the middle of the two published: 9 ms (SPECweb99) and 40 ms (Quake 3), Clark et al. 2005
    stop_ns=0,
    device_ns=0,
    start_ns=25 * MS,
    announce="garp2",
)

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        _HYPERV,
        replace(
            _HYPERV,
            name="hyperv-2012r2",
            title="Hyper-V 2012 R2",
            source="five passes: Savill, Mastering Hyper-V 2012 R2, p. 499; the rest as hyperv-r2",
            max_rounds=5,
        ),
        Policy(
            name="qemu",
            title="QEMU",
            source="QEMU 10.0.13 migration/options.c 35-87, migration.c 3316-3449, ram.c 500-552, "
            "980-1062, 2356, 3090-3165; 7.2 alike",
            looks="bursts",
            cap_bytes_per_s=128 * 2**20,
            downtime_limit_ns=300 * MS,
            window_ns=100 * MS,
            burst_ns=50 * MS,
            # derived from measured runs: see migration/README.md, section "Socket and downtime"
            socket_bytes=2_500_000,
            zero_bytes=QEMU_ZERO_BYTES,
            setup_ns=3 * MS,
            stop_ns=1 * MS,
            device_ns=1 * MS,
            start_ns=8 * MS,
            announce="rarp5",
        ),
        _XEN,
        replace(
            _XEN,
            name="xen-4.5",
            title="Xen 3.x to 4.5",
            source="RELEASE-4.5.0 tools/libxc/xc_domain_save.c 45-46, 1539-1541",
            stops_growing=False,
        ),
        replace(
            _XEN,
            name="xen-4.6",
            title="Xen 4.6 to today",
            source="RELEASE-4.6.0 tools/libxc/xc_sr_save.c 845-846; master "
            "tools/libs/guest/xg_sr_save.c 477-489",
            max_rounds=5,
            small_of="dirty",
            max_factor=None,
            stops_growing=False,
            skips_dirty=False,
        ),
    )
}
"""Name -> policy."""


def policy(name: str) -> Policy:
    """Return a policy by name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Policy

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    if name in POLICIES:
        return POLICIES[name]
    close = get_close_matches(name, POLICIES, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(POLICIES)}"
    raise BadInput(f"there is no migration policy '{name}'; {hint}")
