"""Named hosts: release, processors, adapter and costs, to choose from with ``--host``.

Every setting carries how it is known, as every cost does (:mod:`vswitch.costs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from nic.profiles import PRESETS, PROFILES, Profile, minimum_vectors, profile_of
from nic.team import Team
from pcaps.errors import BadInput
from vswitch.costs import Constant, CostTable

MOST_PROCESSORS = 64
"""Logical processors of an R2 host (read: 2009 article on Hyper-V R2)."""
MOST_IN_R1 = 24
"""Logical processors of a 2008 host."""

JUMBO_MTU, STANDARD_MTU = 9000, 1500


@dataclass(frozen=True, kw_only=True)
class HostProfile:
    """What a host is and what it costs.

    Parameters
    ----------
    name, title : str
        For ``--host``, and for people.
    release : str
        ``r1``, ``r2`` or ``2012``.
    vmq, chimney, jumbo, slat, rss : bool
        VM queues; TCP chimney for guests; MTU 9000 for guests and adapter; whether
        the processor translates guest addresses; whether the adapter is bound to
        the host's own TCP/IP and spreads connections.
    processors : int
        Logical processors, 1 to 64; 24 at most in r1.
    clock_hz, link_bps : float
        Clock of a processor; rate of the adapter.
    queues, vectors : int
        VM queues and MSI-X vectors of the adapter.
    ring_buffers, vm_buffers : int
        Receive buffers of a queue; frames that the parent can copy ahead of a guest.
    moderation_ns : int
        From one interrupt of a queue to the next at least.
    dpc_budget, guest_batch : int
        Frames that a DPC, and a guest, takes at once.
    rebalance_ns : int
        From one look at the processors of VM queues to the next (2012).
    team : Team, optional
        Where several adapters work as one.
    costs : CostTable
        The constants.

    Raises
    ------
    BadInput
        When a setting is out of range, or two exclude each other.
    """

    name: str
    title: str
    release: str = "r2"
    vmq: bool = False
    chimney: bool = False
    jumbo: bool = False
    slat: bool = True
    rss: bool = False
    processors: int = 8
    clock_hz: float = 2.8e9
    link_bps: float = 10e9
    queues: int = PRESETS["82599"].num_queues
    vectors: int = 64
    ring_buffers: int = 256
    vm_buffers: int = 512
    moderation_ns: int = 50_000
    dpc_budget: int = 64
    guest_batch: int = 16
    rebalance_ns: int = 10_000_000
    team: Team | None = None
    costs: CostTable = field(default_factory=CostTable.base)

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "clock_hz": (1e8, 1e11), "link_bps": (1e6, 1e12), "queues": (0, 4096),
            "vectors": (1, 2048), "ring_buffers": (1, 65536), "vm_buffers": (1, 1 << 20),
            "moderation_ns": (0, 10**9), "dpc_budget": (1, 65536), "guest_batch": (1, 65536),
            "rebalance_ns": (10**5, 10**11),
        }  # fmt: skip
        profile_of(self.release)
        check_processors(self.processors, self.release)
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(
                    f"host profile '{self.name}': {name} is {value:g}; use {low:g} to {high:g}"
                )
        self._refuse_what_excludes_each_other()

    def _refuse_what_excludes_each_other(self) -> None:
        def refuse(what: str) -> None:
            raise BadInput(f"host profile '{self.name}': {what}")

        release = self.stack
        if self.vmq and self.rss:
            refuse(
                "an adapter has VM queues (bound to a switch) or RSS (bound to TCP/IP), never "
                "both; turn vmq or rss off"
            )
        if self.vmq and not release.vmq:
            refuse(f"release {self.release} ({release.title}) has no VM queues; take r2 or 2012")
        if self.chimney and self.release != "r2":
            refuse(
                f"release {self.release} has no TCP chimney for guests: it came with 2008 R2 and "
                "went with 2012; take r2"
            )
        if self.chimney and self.team is not None:
            refuse("whether a team offloads TCP is up to its vendor; turn chimney or the team off")
        if self.jumbo and not release.guest_jumbo:
            refuse(f"guests of release {self.release} have no jumbo frames; take r2 or 2012")
        if self.vmq and self.vectors < minimum_vectors(self.queues):
            refuse(
                f"{self.queues} VM queues need {minimum_vectors(self.queues)} MSI-X vectors at "
                f"least, the adapter has {self.vectors}; give it more, or fewer queues"
            )

    @property
    def stack(self) -> Profile:
        """The release's network stack."""
        return PROFILES[self.release]

    @property
    def dynamic(self) -> bool:
        """Whether VM queues change their processors while they run."""
        return self.vmq and self.stack.affinity_changes

    @property
    def mtu(self) -> int:
        """MTU of guests and adapter in bytes."""
        return JUMBO_MTU if self.jumbo else STANDARD_MTU

    @property
    def hypervisor_share(self) -> float:
        """Share of every processor that the hypervisor takes."""
        name = "hypervisor_slat" if self.slat else "hypervisor_shadow"
        return self.costs[name] / 100

    @property
    def ps_per_cycle(self) -> float:
        """Picoseconds that a cycle of parent or guest takes."""
        return 1e12 / (self.clock_hz * (1 - self.hypervisor_share))

    def with_processors(self, processors: int | None) -> HostProfile:
        """Return this host with another number of logical processors.

        Parameters
        ----------
        processors : int, optional
            How many; as it is when None.

        Returns
        -------
        HostProfile
            The changed host.

        Raises
        ------
        BadInput
            When the release cannot have so many.
        """
        return self if processors is None else replace(self, processors=processors)

    def settings(self) -> Iterator[Constant]:
        """Yield the settings as constants, each with its source and status."""
        for name, (unit, meaning, status, source) in _SETTINGS.items():
            value = getattr(self, name)
            changed = value != _DEFAULTS[name]
            yield Constant(
                name, value, unit, meaning,
                *(("believed", "given by the profile") if changed else (status, source)),
            )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return what a result says of its host, as in the JSON output."""
        names = (
            "name", "title", "release", "vmq", "chimney", "jumbo", "slat", "rss", "processors",
            "clock_hz", "link_bps", "queues", "vectors", "ring_buffers", "vm_buffers",
            "moderation_ns", "dpc_budget", "guest_batch", "rebalance_ns",
        )  # fmt: skip
        team = self.team and {
            "members": self.team.members, "teaming": self.team.teaming,
            "balancing": self.team.balancing, "queues": "sum" if self.team.sums else "min",
        }  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "team": team,
            "costs": [constant.to_dict() for constant in self.costs],
        }


def check_processors(processors: int, release: str) -> None:
    """Check a number of logical processors.

    Parameters
    ----------
    processors : int
        How many.
    release : str
        Of the host.

    Raises
    ------
    BadInput
        When a host of that release cannot have so many.
    """
    if not 1 <= processors <= MOST_PROCESSORS:
        raise BadInput(f"{processors} logical processors: a host has 1 to {MOST_PROCESSORS}")
    if release == "r1" and processors > MOST_IN_R1:
        raise BadInput(
            f"{processors} logical processors: a host of release r1 (2008) has {MOST_IN_R1} at "
            "most; take r2"
        )


_SETTINGS = {
    "clock_hz": ("Hz", "clock of a processor", "believed", "choice: quad-core Xeon of 2008-9"),
    "link_bps": ("bit/s", "rate of the adapter", "read", "10 GbE, as in the published figures"),
    "queues": ("queues", "VM queues of the adapter", "read",
               "Intel 82599: 64 pools, one of them the default queue"),
    "vectors": ("vectors", "MSI-X vectors of the adapter", "believed", "Intel 82599"),
    "ring_buffers": ("frames", "receive buffers of a queue", "read",
                     "netvmini 6x sample, hardware.h: suggested 256"),
    "vm_buffers": ("frames", "frames that the parent can copy ahead of a guest", "believed",
                   "a receive buffer of 1 MB shared with the guest"),
    "moderation_ns": ("ns", "from one interrupt of a queue to the next at least", "believed",
                      "20,000 interrupts a second, a usual setting of 10 GbE drivers"),
    "dpc_budget": ("frames", "frames that a DPC takes at once", "read",
                   "netvmini 6x sample, hardware.h: 64 receives a DPC"),
    "guest_batch": ("frames", "frames that a guest takes at once", "believed",
                    "short, so that a guest's turn is some 50 us"),
    "rebalance_ns": ("ns", "from one move of a VM queue to the next (2012)", "believed",
                     "short against a run; the product's time is not published"),
}  # fmt: skip

_DEFAULTS = {
    name: one.default for name, one in HostProfile.__dataclass_fields__.items() if name in _SETTINGS
}

HOSTS = {
    host.name: host
    for host in (
        HostProfile(
            name="r1", title="2008, software switch, shadow page tables", release="r1", slat=False
        ),
        HostProfile(name="r2", title="2008 R2, software switch"),
        HostProfile(name="r2-vmq", title="2008 R2, VM queues", vmq=True),
        HostProfile(
            name="r2-vmq-jumbo", title="2008 R2, VM queues, jumbo frames", vmq=True, jumbo=True
        ),
        HostProfile(name="r2-chimney", title="2008 R2, TCP chimney", chimney=True),
        HostProfile(name="2012", title="2012, dynamic VM queues", release="2012", vmq=True),
    )
}


def host_profile(name: str) -> HostProfile:
    """Return a host by name, or from a TOML file.

    Parameters
    ----------
    name : str
        One of :data:`HOSTS`, or the path of a file.

    Returns
    -------
    HostProfile
        The host.

    Raises
    ------
    BadInput
        When there is none of that name, or the file is not sound.
    """
    if name in HOSTS:
        return HOSTS[name]
    if name.endswith(".toml") or "/" in name:
        from vswitch.host_file import load

        return load(name)
    close = get_close_matches(name, HOSTS, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(HOSTS)}"
    raise BadInput(f"there is no host profile '{name}'; {hint} A file's name ends in .toml")
