"""Synthetic traffic: as many VMs, VLANs and frames as wanted, the same for the same seed.

What a capture on the adapter of a host would show: stations outside send UDP to
the VMs of the host, some frames go to nobody, to all or to a group, some come
with the address of a VM or are too long, and complete TCP sessions run through
it (:mod:`pcaps.conversations`).

Guarantees
----------
* Same plan, same bytes, on any machine and in any chunk size (:mod:`pcaps.draws`).
* Every frame is valid: lengths and checksums are right (:mod:`pcaps.blueprint`).

VM number n (from 0) has the MAC address 00-15-5D + (n + 1), the IPv4 address
10.0.0.0 + (n + 1), and lies in VLAN 100 + n mod n_vlans. Stations outside have
02-00-00 + (m + 1) and 172.16.0.0 + (m + 1), in every VLAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pcaps.copies import tag_word
from pcaps.draws import Draws
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.sizes import LARGEST, SizeMix

if TYPE_CHECKING:
    from pcaps.traffic_kernel import Blueprint

FIRST_VLAN = 100
MOST_VLANS = 4094 - FIRST_VLAN + 1
MOST_VMS = 1 << 20
START_NS = 1_700_000_000 * 10**9
"""Time of the first frame by default: 2023-11-14 22:13:20 UTC."""

_DISCARD = 9
_EPHEMERAL = 49_152
_GROUPS = 16
_CHUNK_FRAMES, _CHUNK_BYTES = 1 << 16, 1 << 25
_HOT_BYTES = 1 << 20
_BROADCAST = (1 << 48) - 1
# streams of draws
_SIZE, _KIND, _VM, _STATION, _PORT, _PLACE, _SESSION = range(7)


def vm_mac(number: npt.NDArray[Any] | int) -> Any:
    """Return the MAC key of a VM.

    Parameters
    ----------
    number : int or numpy.ndarray
        From 0.

    Returns
    -------
    int or numpy.ndarray
        Little-endian key, as in :mod:`pcaps.addresses`.
    """
    return _key(0x00155D, number + 1)


def station_mac(number: npt.NDArray[Any] | int) -> Any:
    """Return the MAC key of a station outside (locally administered).

    Parameters
    ----------
    number : int or numpy.ndarray
        From 0.

    Returns
    -------
    int or numpy.ndarray
        Little-endian key.
    """
    return _key(0x020000, number + 1)


def _key(vendor: int, low: Any) -> Any:
    """MAC key of three vendor bytes and 24 bits in wire order."""
    first = int.from_bytes(vendor.to_bytes(3, "big"), "little")
    return first | (low >> 16 & 0xFF) << 24 | (low >> 8 & 0xFF) << 32 | (low & 0xFF) << 40


def _address(network: int, low: Any) -> Any:
    """IPv4 address as a little-endian word of a network byte and 24 bits in wire order."""
    return network | (low >> 16 & 0xFF) << 8 | (low >> 8 & 0xFF) << 16 | (low & 0xFF) << 24


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """What traffic to make.

    Parameters
    ----------
    frames : int
        Frames beside those of the TCP sessions.
    sizes : SizeMix
        Their sizes.
    vms, vlans, stations : int
        VMs in all, VLANs that they are spread over (0: untagged), stations outside.
    zipf : float
        Popularity of the VMs: VM n gets a share proportional to (n + 1)**-zipf; 0 is uniform.
    unknown, broadcast, multicast, spoofed, oversize : float
        Shares of frames to a MAC that no VM has, to all, to one of 16 groups,
        from outside with the source address of a VM, and longer than any MTU in use.
    tcp_sessions : int
        Complete TCP sessions, added to the frames, begun evenly over the time.
    rate_pps : int
        Frames per second, evenly spaced.
    start_ns : int
        Time of the first frame.
    tpid : int
        Tag protocol identifier of tagged frames.
    seed : int
        Same seed, same bytes.

    Raises
    ------
    BadInput
        When the plan is impossible; one sentence says why.
    """

    frames: int = 100_000
    sizes: SizeMix = field(default_factory=lambda: SizeMix.parse("imix"))
    vms: int = 16
    vlans: int = 4
    stations: int = 16
    zipf: float = 0.0
    unknown: float = 0.0
    broadcast: float = 0.0
    multicast: float = 0.0
    spoofed: float = 0.0
    oversize: float = 0.0
    tcp_sessions: int = 0
    rate_pps: int = 1_000_000
    start_ns: int = START_NS
    tpid: int = 0x8100
    seed: int = 1

    def __post_init__(self) -> None:
        ranges = {
            "frames": (0, 1 << 40), "vms": (1, MOST_VMS), "vlans": (0, min(self.vms, MOST_VLANS)),
            "stations": (1, MOST_VMS), "zipf": (0, 10), "tcp_sessions": (0, 1 << 20),
            "rate_pps": (1, 10**9), "start_ns": (0, 1 << 62), "tpid": (0x600, 0xFFFF),
            "unknown": (0, 1), "broadcast": (0, 1), "multicast": (0, 1), "spoofed": (0, 1),
            "oversize": (0, 1),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(f"{name.replace('_', '-')} is {value}; it must be {low} to {high}")
        if sum(self.shares) > 1:
            raise BadInput(
                "the shares of unknown, broadcast, multicast, spoofed and oversize frames "
                f"add up to {sum(self.shares):g}; they may not exceed 1"
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of unknown, broadcast, multicast, spoofed and oversize frames."""
        return self.unknown, self.broadcast, self.multicast, self.spoofed, self.oversize

    @property
    def oversize_bytes(self) -> int:
        """Length of an oversize frame: 2000 bytes, or 9600 where jumbo frames are in the mix."""
        largest = max(self.sizes.sizes)
        return 2000 if largest <= 1522 else max(9600, min(largest + 600, LARGEST))

    def filling(self, n_bytes: int, *, record_bytes: int = 16) -> TrafficPlan:
        """Return this plan with as many frames as fill a file.

        Parameters
        ----------
        n_bytes : int
            Wanted size of the file; met within the spread of the mix.
        record_bytes : int
            Record header of the file's format.

        Returns
        -------
        TrafficPlan
            With `frames` set.
        """
        ordinary = 1 - self.oversize
        mean = ordinary * self.sizes.mean + self.oversize * self.oversize_bytes
        return replace(self, frames=max(1, round(n_bytes / (mean + record_bytes))))


class _Popularity:
    """Chooses VMs by their popularity."""

    def __init__(self, plan: TrafficPlan) -> None:
        self._n = plan.vms
        weights = np.arange(1, plan.vms + 1, dtype=np.float64) ** -plan.zipf
        self._edges = None if plan.zipf == 0 else np.cumsum(weights)[:-1] / weights.sum()

    def choose(self, draws: Draws, first: int, n: int) -> npt.NDArray[np.int64]:
        if self._edges is None:
            return draws.integers(_VM, first, n, self._n)
        return np.searchsorted(self._edges, draws.uniform(_VM, first, n), side="right")


def _neighbour(plan: TrafficPlan, vm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the next VM of the same VLAN; a VM that is alone there is its own neighbour."""
    step = max(1, plan.vlans)
    place, row = vm % step, vm // step
    in_vlan = (plan.vms - place + step - 1) // step
    return place + (row + 1) % in_vlan * step


def _background(
    plan: TrafficPlan, popularity: _Popularity, draws: Draws, first: int, n: int
) -> Blueprint:
    """Plan frames `first` to `first + n` of the traffic beside the TCP sessions."""
    from pcaps.blueprint import HEADER_BYTES, PERIOD, UDP, blueprint

    number = np.arange(first, first + n, dtype=np.int64)
    vm = popularity.choose(draws, first, n)
    vlan = FIRST_VLAN + vm % plan.vlans if plan.vlans else np.zeros(n, np.int64)
    station = draws.integers(_STATION, first, n, plan.stations)

    kind = np.searchsorted(
        np.cumsum(plan.shares), draws.uniform(_KIND, first, n), side="right"
    )  # index into the shares; behind them: ordinary
    unknown, broadcast, multicast, spoofed, oversize = (kind == k for k in range(5))
    group = vm % _GROUPS + 1

    edges = np.cumsum(plan.sizes.weights[:-1]) / sum(plan.sizes.weights)
    size = np.array(plan.sizes.sizes)[
        np.searchsorted(edges, draws.uniform(_SIZE, first, n), side="right")
    ]
    size[oversize] = plan.oversize_bytes

    destination = vm_mac(vm)
    destination[unknown] = vm_mac(vm[unknown] + plan.vms + MOST_VMS)
    destination[broadcast] = _BROADCAST
    destination[multicast] = _key(0x01005E, 0x000100 | group[multicast])
    destination_ip = _address(10, vm + 1)
    destination_ip[broadcast] = 0xFFFFFFFF
    destination_ip[multicast] = _address(239, 0x000100 | group[multicast])
    source = station_mac(station)
    source[spoofed] = vm_mac(_neighbour(plan, vm[spoofed]))
    first_octets = _address(172, (16 << 16) + station + 1)

    tags = 4 if plan.vlans else 0
    high, low = vlan >> 8, vlan & 0xFF
    return blueprint(
        n,
        ts_ns=plan.start_ns + number * 10**9 // plan.rate_pps,
        template=UDP,
        length=size,
        payload_bytes=size - tags - HEADER_BYTES[UDP],
        payload_at=draws.integers(_PLACE, first, n, PERIOD),
        destination=destination,
        source=source,
        tag=(tag_word(plan.tpid, 0) | high << 16 | low << 24) if plan.vlans else 0,
        source_ip=first_octets,
        destination_ip=destination_ip,
        source_port=_EPHEMERAL + draws.integers(_PORT, first, n, 64),
        destination_port=_DISCARD,
        ip_id=number & 0xFFFF,
    )


def _sessions(plan: TrafficPlan, draws: Draws) -> Blueprint:
    """Plan all TCP sessions: from a station to a VM, begun evenly over the time."""
    from pcaps.conversations import TcpSession, converse

    n = plan.tcp_sessions
    duration = plan.frames * 10**9 // plan.rate_pps
    jumbo = max(plan.sizes.sizes) > 1522
    words = draws.words(_SESSION, 0, n)
    sessions = []
    for number, word in enumerate(int(word) for word in words):
        vm, station = word % plan.vms, (word >> 20) % plan.stations
        vlan = FIRST_VLAN + vm % plan.vlans if plan.vlans else None
        sessions.append(
            TcpSession(
                client_mac=int(station_mac(station)),
                server_mac=int(vm_mac(vm)),
                client_ip=int(_address(172, (16 << 16) + station + 1)),
                server_ip=int(_address(10, vm + 1)),
                client_port=1024 + number % 60_000,
                tag=tag_word(plan.tpid, vlan) if vlan is not None else 0,
                start_ns=plan.start_ns + duration * number // n,
                client_isn=word & 0xFFFFFFFF,
                server_isn=word >> 32,
                response_bytes=2000 + (word >> 40) % 30_000,
                jumbo=jumbo,
            )
        )
    return converse(sessions)


def planned(plan: TrafficPlan, *, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[Blueprint]:
    """Plan the traffic in order of time, a chunk at a time.

    Parameters
    ----------
    plan : TrafficPlan
        What to make.
    chunk_bytes : int
        About so many bytes of frames a chunk, and 65 536 frames at most.

    Yields
    ------
    Blueprint
        To be built by :func:`pcaps.blueprint.build`.
    """
    from pcaps.blueprint import join, take

    draws = Draws(plan.seed)
    popularity = _Popularity(plan)
    step = int(min(max(chunk_bytes // plan.sizes.mean, 256), _CHUNK_FRAMES))
    waiting = _sessions(plan, draws) if plan.tcp_sessions else None
    for first in range(0, plan.frames, step):
        n = min(step, plan.frames - first)
        part = _background(plan, popularity, draws, first, n)
        if waiting is not None:
            due = int(np.searchsorted(waiting.ts_ns, part.ts_ns[-1], side="right"))
            part = join([part, take(waiting, slice(None, due))])
            waiting = take(waiting, slice(due, None))
        yield part
    if waiting is not None:
        for first in range(0, len(waiting.ts_ns), step):
            yield take(waiting, slice(first, first + step))


def synthesise(plan: TrafficPlan, *, reuse: bool = False) -> Iterator[Frames]:
    """Make the traffic, a chunk at a time.

    Parameters
    ----------
    plan : TrafficPlan
        What to make.
    reuse : bool
        Build small chunks in one buffer that stays in the cache: faster, but a
        chunk is valid only until the next one is asked for.

    Yields
    ------
    Frames
        Padded batches in order of time.
    """
    from pcaps.blueprint import build

    buffer = np.zeros(2 * _HOT_BYTES if reuse else 0, np.uint8)
    first_number = 1
    for part in planned(plan, chunk_bytes=_HOT_BYTES if reuse else _CHUNK_BYTES):
        frames = build(part, buffer=buffer if reuse else None)
        yield replace(frames, first_number=first_number)
        first_number += len(frames)
