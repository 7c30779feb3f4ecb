"""What comes to the host in a benchmark: bulk TCP to all VMs alike, decided by the real switch.

Frames are full TCP segments of one size or a mix, from stations outside to VMs chosen
uniformly, four connections a VM. They are made once, decided once by the adapter's
filters and the switch (and that is measured), and replayed round and round.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nic.adapter import Adapter
from nic.rss import Rss
from pcaps.blueprint import TCP, blueprint, build
from pcaps.copies import tag_word
from pcaps.draws import Draws
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.sizes import SizeMix
from pcaps.traffic import START_NS, station_mac, vm_mac
from vswitch.engine import Decided, Engine
from vswitch.host import Host
from vswitch.host_profiles import HostProfile
from vswitch.ports import Network, Port, PortKind, VlanSetting
from vswitch.queues import give_queues
from vswitch.timed import Columns, columns_of
from vswitch.transport_kernel import TRANSPORTS
from vswitch.verdict import DropReason
from vswitch.ways_kernel import W_NATIVE

FRAMES = {
    "64": SizeMix((60,), (1,)),
    "imix": SizeMix((60, 590, 1514), (7, 4, 1)),
    "1514": SizeMix((1514,), (1,)),
    "9014": SizeMix((9014,), (1,)),
}
"""Sizes by name, in bytes without FCS and tag: 64 is the shortest frame, with FCS."""

HEADERS = 54
"""Ethernet, IPv4 and TCP headers in bytes, without tag."""

TAG_BYTES = 4
FIRST_VLAN, VLANS = 100, 4
FLOWS = 4
POOL_FRAMES, POOL_BYTES = 16_384, 1 << 24
ACK = 0x10
SEED = 1
_SIZE, _VM, _FLOW = range(3)
ROUNDS = 3


def mix_of(name: str) -> SizeMix:
    """Return a mix of sizes by name."""
    if name not in FRAMES:
        raise BadInput(f"there are no frames '{name}'; use {', '.join(FRAMES)}")
    return FRAMES[name]


def network_of(profile: HostProfile, vms: int) -> Network:
    """Return the switch of a benchmark: VMs in four VLANs behind one uplink.

    Parameters
    ----------
    profile : HostProfile
        Gives the MTU of guests and uplink.
    vms : int
        How many.

    Returns
    -------
    Network
        Ports ``uplink``, ``vm1``, ...
    """
    macs = vm_mac(np.arange(vms)).tolist()
    uplink = Port(name="uplink", kind=PortKind.UPLINK, mtu=profile.mtu)
    guests = (
        Port(name=f"vm{n + 1}", mac=mac, mtu=profile.mtu,
             vlan=VlanSetting(vid=FIRST_VLAN + n % VLANS))
        for n, mac in enumerate(macs)
    )  # fmt: skip
    return Network(name="bench", ports=(uplink, *guests))


def host_of(profile: HostProfile, vms: int) -> Host:
    """Return the host of a benchmark, its VMs with queues as far as there are any.

    Parameters
    ----------
    profile : HostProfile
        The host.
    vms : int
        How many VMs.

    Returns
    -------
    Host
        With its switch and adapter.
    """
    network = network_of(profile, vms)
    adapter = None
    if profile.vmq:
        queues = profile.queues
        adapter = Adapter(
            profile=profile.release,
            num_queues=queues if profile.team is None else profile.team.usable_queues(queues),
            max_cpus=profile.processors,
            jumbo_packet=profile.mtu + 14,
        )
        give_queues(network, adapter)
    return Host(profile, network, adapter)


def segments(mix: SizeMix, vms: int) -> Frames:
    """Make the frames: TCP segments to VMs chosen uniformly, the same for each seed.

    Parameters
    ----------
    mix : SizeMix
        Sizes without tag.
    vms : int
        How many VMs.

    Returns
    -------
    Frames
        Tagged; 16,384, or as many as 16 MB hold.
    """
    n = int(min(POOL_FRAMES, POOL_BYTES // mix.mean))
    draws = Draws(SEED)
    vm = draws.integers(_VM, 0, n, vms)
    flow = draws.integers(_FLOW, 0, n, FLOWS)
    edges = np.cumsum(mix.weights[:-1]) / sum(mix.weights)
    size = np.array(mix.sizes)[np.searchsorted(edges, draws.uniform(_SIZE, 0, n), side="right")]
    vid = FIRST_VLAN + vm % VLANS
    plan = blueprint(
        n, ts_ns=START_NS + np.arange(n) * 1000, template=TCP, length=size + TAG_BYTES,
        payload_bytes=size - HEADERS, destination=vm_mac(vm), source=station_mac(flow),
        tag=tag_word(0x8100, 0) | (vid >> 8) << 16 | (vid & 0xFF) << 24,
        source_ip=_address(172, (16 << 16) + flow + 1), destination_ip=_address(10, vm + 1),
        source_port=49_152 + flow, destination_port=5001, ip_id=np.arange(n) & 0xFFFF,
        sequence=np.arange(n) * 1460, acknowledgment=1, flags=ACK, window=65_535,
    )  # fmt: skip
    return build(plan)


def _address(network: int, low: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return network | (low >> 16 & 0xFF) << 8 | (low >> 8 & 0xFF) << 16 | (low & 0xFF) << 24


@dataclass(frozen=True, eq=False)
class Load:
    """Decided frames for VMs of one kind of host.

    Parameters
    ----------
    frames : Frames
        The pool.
    columns : Columns
        What the event loop needs of them.
    decided_s : float
        Processor time that deciding the pool took here, the shortest of some rounds;
        0 where no switch decides.
    drops : Counter
        Frames of the pool that are dropped whatever the pace, by reason.
    """

    frames: Frames
    columns: Columns
    decided_s: float
    drops: Counter[str]

    @cached_property
    def mean_bytes(self) -> float:
        """Mean length in bytes as captured."""
        return float(self.frames.wirelen.mean())

    @property
    def deliverable(self) -> bool:
        """Whether any frame can reach a VM."""
        return sum(self.drops.values()) < len(self.frames)

    def rows(self, n: int) -> Columns:
        """Return the columns of n frames, the pool round and round."""
        place = np.arange(n) % len(self.frames)
        columns = self.columns
        return Columns.without_copies(
            columns.ways[place], columns.queues[place], columns.seats[place],
            columns.loads[place], columns.wires[place],
        )  # fmt: skip


def decided_load(host: Host, frames: Frames) -> Load:
    """Let the real switch decide the pool, and measure that.

    Parameters
    ----------
    host : Host
        Switch and adapter.
    frames : Frames
        The pool.

    Returns
    -------
    Load
        On a host with chimney, all connections are offloaded already.
    """
    engine = Engine(host.network, host.adapter)
    in_ports = np.zeros(len(frames), np.uint16)
    shortest = np.inf
    for _ in range(ROUNDS):
        began = time.thread_time()
        decided = engine.decide(frames, in_ports, loads=True)
        shortest = min(shortest, time.thread_time() - began)
    offloaded = np.full(len(frames), host.profile.chimney, np.uint8)
    return Load(frames, columns_of(host, decided, offloaded), float(shortest), _drops_of(decided))


def _drops_of(decided: Decided) -> Counter[str]:
    words = decided.words
    reasons = (words & np.uint64(63))[(words >> np.uint64(16)) & np.uint64(3) == 0]
    return Counter(DropReason(code).label for code in reasons.tolist())


def native_load(profile: HostProfile, frames: Frames) -> Load:
    """Spread the pool over receive queues by RSS, for the host's own TCP/IP.

    Parameters
    ----------
    profile : HostProfile
        Without a switch at its adapter; one queue a processor, 16 at most (read:
        Microsoft's tuning guide).
    frames : Frames
        The pool.

    Returns
    -------
    Load
        The queue is the receive queue; the seat is the parent.
    """
    queues = Rss.over(min(profile.processors, 16)).spread(frames).queue.astype(np.uint16)
    n = len(frames)
    loads = (frames.wirelen - np.uint32(HEADERS + TAG_BYTES)) << np.uint32(8)
    ways = np.full(n, W_NATIVE * TRANSPORTS, np.uint8)
    columns = Columns.without_copies(
        ways, queues, np.zeros(n, np.int32), loads.astype(np.uint32), frames.wirelen
    )
    return Load(frames, columns, 0.0, Counter())
