"""A replay in time: decided frames arrive at the modelled host, in order.

Guarantees
----------
* A frame that finds no receive buffer becomes one that is dropped for `ring-full`;
  all others stay as they were decided. So totals equal those of a replay without
  time, but for these drops.
* Batches are taken in the order of frames, so that any number of threads that
  decide gives the same result.

A network that learns has learned the sources of lost frames too: what is decided
does not depend on what is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pcaps.frames import Frames
from vswitch import host_state_kernel as s
from vswitch.arrivals import Arrivals, Pace
from vswitch.copies import leaving
from vswitch.engine import Decided
from vswitch.host import Host
from vswitch.host_kernel import drain, serve
from vswitch.host_profiles import HostProfile
from vswitch.lost_kernel import take_out
from vswitch.offloaded import Offloaded
from vswitch.ports import PortKind
from vswitch.transport_kernel import T_OTHER, TRANSPORTS
from vswitch.verdict import Verdict
from vswitch.ways import prices
from vswitch.ways_kernel import (
    PORT_KIND_SHIFT,
    PORT_PARENT,
    PORT_UPLINK,
    W_COPY,
    W_COPY_AWAY,
    W_COPY_PARENT,
    WAYS,
    describe,
)
from vswitch.words_kernel import KIND_SHIFT

if TYPE_CHECKING:
    from vswitch.modelled import Modelled

BUCKETS = 512
"""Places of the utilisation over time; each lasts :data:`FIRST_BUCKET_PS`, or 2, 4, ... times that."""
FIRST_BUCKET_PS = 10_000_000
LEAST_NODES = 1024

PS_PER_NS = 1000
LONG_AGO_PS = -(1 << 60)

u64 = np.uint64


@dataclass(frozen=True, eq=False)
class Columns:
    """What the event loop needs to know of each frame of a batch.

    Parameters
    ----------
    ways, queues, seats : numpy.ndarray
        As :func:`vswitch.ways_kernel.describe` writes them.
    loads : numpy.ndarray
        ``uint32[n]``: load words.
    wires : numpy.ndarray
        ``uint32[n]``: bytes on the wire, without FCS.
    copy_frame, copy_way, copy_seat : numpy.ndarray
        Copies of flooded frames, in order of frames.
    """

    ways: npt.NDArray[np.uint8]
    queues: npt.NDArray[np.uint16]
    seats: npt.NDArray[np.int32]
    loads: npt.NDArray[np.uint32]
    wires: npt.NDArray[np.uint32]
    copy_frame: npt.NDArray[np.int64]
    copy_way: npt.NDArray[np.uint8]
    copy_seat: npt.NDArray[np.int32]

    @classmethod
    def without_copies(
        cls,
        ways: npt.NDArray[np.uint8],
        queues: npt.NDArray[np.uint16],
        seats: npt.NDArray[np.int32],
        loads: npt.NDArray[np.uint32],
        wires: npt.NDArray[np.uint32],
    ) -> Columns:
        """Return columns of frames none of which is flooded."""
        none = np.zeros(0, np.int64)
        return cls(
            ways, queues, seats, loads, wires, none, none.astype(np.uint8),
            none.astype(np.int32),
        )  # fmt: skip


def columns_of(
    host: Host, decided: Decided, offloaded: npt.NDArray[np.uint8] | None = None
) -> Columns:
    """Describe the frames of a decided batch.

    Parameters
    ----------
    host : Host
        The host that they come to.
    decided : Decided
        With its frame columns.
    offloaded : numpy.ndarray, optional
        ``uint8[n]``: 1 where the adapter's TCP takes the frame; nowhere by default.

    Returns
    -------
    Columns
        One row a frame.
    """
    frames, in_ports, loads = decided.frames, decided.in_ports, decided.loads
    assert frames is not None
    assert in_ports is not None
    assert loads is not None
    n = len(decided.words)
    made = Columns.without_copies(
        np.empty(n, np.uint8), np.empty(n, np.uint16), np.empty(n, np.int32), loads, frames.wirelen,
    )  # fmt: skip
    compiled = decided.compiled
    describe(
        frames.data, frames.start, frames.caplen, frames.wirelen, in_ports, decided.words,
        made.loads, np.zeros(n, np.uint8) if offloaded is None else offloaded, u64(compiled.mode), compiled.image, compiled.filters, host.port_words,
        u64(host.send_queue), made.ways, made.queues, made.seats,
    )  # fmt: skip
    flooded = np.flatnonzero((decided.words >> u64(KIND_SHIFT)) & u64(3) == Verdict.FLOODED)
    return _with_copies(host, decided, made, flooded) if len(flooded) else made


def _with_copies(
    host: Host, decided: Decided, made: Columns, flooded: npt.NDArray[np.int64]
) -> Columns:
    """Add the copies of the flooded frames of a batch."""
    frames, in_ports = decided.frames, decided.in_ports
    assert frames is not None
    assert in_ports is not None
    subset = replace(
        decided, words=decided.words[flooded], frames=frames[flooded], in_ports=in_ports[flooded]
    )
    rows, ports = [], []
    for part in leaving(subset):
        rows.append(flooded[part.frame])
        ports.append(part.port.astype(np.int64))
    row, port = np.concatenate(rows), np.concatenate(ports)
    kinds = (host.port_words[port] >> u64(PORT_KIND_SHIFT)) & u64(3)
    ways = np.full(len(row), W_COPY, np.int64)
    ways[kinds == PORT_PARENT] = W_COPY_PARENT
    ways[kinds == PORT_UPLINK] = W_COPY_AWAY
    return replace(
        made,
        copy_frame=row,
        copy_way=(ways * TRANSPORTS + T_OTHER).astype(np.uint8),
        copy_seat=port.astype(np.int32),
    )


class Clockwork:
    """The state of a modelled host, and the event loop over it.

    Parameters
    ----------
    profile : HostProfile
        Capacities and costs.
    queue_processors : list of int
        Processor of each ring.
    guest_processors : list of int
        Processor of each seat's guest.
    unmoderated : int
        Ring whose interrupts are not moderated: what VMs send.
    acks : bool
        Whether acknowledgments are charged to the data that they answer.
    """

    def __init__(
        self,
        profile: HostProfile,
        queue_processors: list[int],
        guest_processors: list[int],
        *,
        unmoderated: int = -1,
        acks: bool = True,
    ) -> None:
        self.profile, self.acks = profile, acks
        costs, per_cycle = profile.costs, profile.ps_per_cycle
        n_processors = profile.processors
        queues = np.zeros(len(queue_processors), s.QUEUE)
        queues["ring"] = profile.ring_buffers
        if profile.team is not None:  # the default queues, and with min the VM queues, of all
            queues["ring"][0] *= profile.team.members
            if not profile.team.sums:
                queues["ring"][1:-1] *= profile.team.members
        queues["processor"] = queue_processors
        queues["head"] = queues["tail"] = queues["next"] = s.NONE
        if unmoderated >= 0:
            queues["urgent"][unmoderated] = 1
        processors = np.zeros(n_processors, s.PROCESSOR)
        processors["interrupted"] = LONG_AGO_PS
        for name in ("interrupt", "dpc_end", "guest_end", "resume_due"):
            processors[name] = s.NEVER
        for name in ("ready", "ready_last", "hand", "runs", "runs_last", "vm", "guest_hand"):
            processors[name] = s.NONE
        seats = np.zeros(len(guest_processors), s.SEAT)
        seats["processor"] = guest_processors
        seats["buffers"] = max(profile.vm_buffers, profile.guest_batch)
        seats["head"] = seats["tail"] = seats["held"] = seats["next"] = s.NONE
        totals = np.zeros(s.TOTALS, np.int64)
        totals[s.FREE] = s.NONE
        totals[s.BUCKET] = FIRST_BUCKET_PS
        totals[s.BUDGET] = profile.dpc_budget
        totals[s.GUEST_BATCH] = profile.guest_batch
        totals[s.BUFFER_BYTES] = round(costs["chimney_buffer_bytes"])
        totals[s.WINDOW] = max(65535, totals[s.BUFFER_BYTES])
        totals[s.SIGNAL_PS] = round(costs["vmbus_signal"] * per_cycle)
        totals[s.MODERATION] = profile.moderation_ns * PS_PER_NS
        totals[s.INTERRUPT_PS] = round(costs["interrupt"] * per_cycle)
        totals[s.REBALANCE_PS] = profile.rebalance_ns * PS_PER_NS
        totals[s.REBALANCE] = totals[s.REBALANCE_PS] if profile.dynamic else s.NEVER
        totals[s.NEXT] = totals[s.REBALANCE]
        self.state = s.Host(
            queues, processors, seats, np.zeros(0, s.NODE),
            np.full(n_processors, s.NEVER, np.int64), totals, np.zeros((WAYS * TRANSPORTS, 3), np.int64),
            prices(costs, per_cycle, acks=acks), np.zeros(s.LATENCY_ROWS, np.int64),
            np.zeros((2, n_processors, BUCKETS), np.int64),
        )  # fmt: skip

    def _grow(self, wanted: int) -> None:
        """Make the pool of nodes larger, by `wanted` at least."""
        before = len(self.state.nodes)
        nodes = np.zeros(max(LEAST_NODES, 2 * before, before + wanted), s.NODE)
        nodes[:before] = self.state.nodes
        fresh = np.arange(before, len(nodes))
        nodes["next"][before:] = fresh + 1
        nodes["next"][-1] = self.state.totals[s.FREE]
        self.state.totals[s.FREE] = before
        self.state = self.state._replace(nodes=nodes)

    def serve(self, arrived: npt.NDArray[np.int64], columns: Columns) -> npt.NDArray[np.int64]:
        """Let a batch of frames arrive.

        Parameters
        ----------
        arrived : numpy.ndarray
            ``int64[n]``: when, ps, never decreasing.
        columns : Columns
            What they are.

        Returns
        -------
        numpy.ndarray
            ``int64[m]``: rows of the frames that found no receive buffer.
        """
        lost = np.zeros(len(arrived), np.uint8)
        i = copy = 0
        while True:
            i, copy = serve(
                self.state, i, arrived, columns.ways, columns.queues, columns.seats,
                columns.wires, columns.loads, columns.copy_frame, columns.copy_way,
                columns.copy_seat, copy, lost,
            )  # fmt: skip
            if i >= len(arrived):
                return np.flatnonzero(lost)
            behind = int(np.searchsorted(columns.copy_frame, i, side="right"))
            self._grow(1 + behind - copy)

    def finish(self) -> None:
        """Let the host do what is left, once no more frames come."""
        if not len(self.state.nodes):
            self._grow(1)
        drain(self.state)


class TimedReplay:
    """Takes decided batches and gives them back with the frames that were lost taken out.

    Parameters
    ----------
    host : Host
        The host.
    pace : Pace
        How fast frames arrive.
    acks : bool
        As for :class:`Clockwork`: not, where the VMs' own frames are in the capture.
    """

    def __init__(self, host: Host, pace: Pace, *, acks: bool) -> None:
        self.host = host
        members = host.profile.team.members if host.profile.team else 1
        self.arrivals = Arrivals(pace, host.profile.link_bps * members)
        self.clockwork = Clockwork(
            host.profile, host.queue_processors, host.guest_processors,
            unmoderated=host.send_queue, acks=acks,
        )  # fmt: skip
        self._from_wire = np.array(
            [port.kind is PortKind.UPLINK for port in host.network.ports], np.uint8
        )
        self.lost = dict.fromkeys(Verdict, 0)
        self._offloaded = Offloaded(host) if host.profile.chimney else None

    def take(self, decided: Decided) -> Decided:
        """Let a batch arrive.

        Parameters
        ----------
        decided : Decided
            With its frame columns; words and counters are changed in place.

        Returns
        -------
        Decided
            The same batch.
        """
        frames, in_ports = decided.frames, decided.in_ports
        assert frames is not None
        assert in_ports is not None
        arrived = self.arrivals.of(frames.ts_ns, frames.wirelen, self._from_wire[in_ports])
        offloaded = None if self._offloaded is None else self._offloaded.of(frames)
        lost = self.clockwork.serve(arrived, columns_of(self.host, decided, offloaded))
        if len(lost):
            self._take_out(decided, frames, lost)
        return decided

    def _take_out(self, decided: Decided, frames: Frames, lost: npt.NDArray[np.int64]) -> None:
        kinds = (decided.words[lost] >> u64(KIND_SHIFT)) & u64(3)
        for verdict in Verdict:
            self.lost[verdict] += int((kinds == int(verdict)).sum())
        take_out(
            frames.data, frames.start, frames.caplen, frames.wirelen, decided.in_ports,
            decided.words, lost, decided.compiled.image, np.zeros_like(decided.stats),
            decided.stats,
        )  # fmt: skip

    def next_capture(self) -> None:
        """The frames from now on are of another capture: its first follows at once."""
        self.arrivals.next_capture()

    def finish(self) -> None:
        """Let the host do what is left, and check that everything adds up."""
        self.clockwork.finish()
        self.modelled.check()

    @property
    def modelled(self) -> Modelled:
        """What the host did so far."""
        from vswitch.modelled import Modelled

        return Modelled(self.clockwork, self.arrivals.duration_ps)

    def to_dict(self) -> dict[str, Any]:
        """Return host, pace and modelled figures, as in the JSON output."""
        arrivals, modelled = self.arrivals, self.modelled
        seconds = max(arrivals.duration_ps, 1) / 1e12
        return {
            "profile": self.host.profile.to_dict(),
            "shadow_memory_bytes": self.host.shadow_memory_bytes,
            "arrivals": {
                "requested": arrivals.pace.to_dict(),
                "asked": str(arrivals.pace),
                "achieved_bps": round(arrivals.bits / seconds),
                "achieved_pps": round(arrivals.frames / seconds, 3),
                "seconds": arrivals.duration_ps / 1e12,
            },
            "lost": {verdict.label: n for verdict, n in self.lost.items()},
            "modelled": modelled.to_dict(),
            "queues": self._queue_rows(),
            "vms": self._vm_rows(modelled),
            "over_time": modelled.over_time(),
        }

    def _queue_rows(self) -> list[dict[str, Any]]:
        """Rings that frames came to."""
        rows = []
        state, adapter = self.clockwork.state, self.host.adapter
        for number, queue in enumerate(state.queues):
            if not queue["frames"]:
                continue
            owner = None
            if adapter is not None and 0 < number < self.host.send_queue:
                owner = adapter.owner_of(number)
            rows.append(
                {
                    "queue": number if number < self.host.send_queue else "vmbus",
                    "owner": owner,
                    "processor": int(queue["processor"]),
                    **{
                        name: int(queue[name])
                        for name in ("ring", "frames", "lost", "peak", "moves")
                    },
                }
            )
        return rows

    def _vm_rows(self, modelled: Modelled) -> list[dict[str, Any]]:
        """VMs that got frames, in port order."""
        rows = []
        seats = self.clockwork.state.seats
        for number, port in enumerate(self.host.network.ports):
            if port.kind is not PortKind.VM or not (
                seats["frames"][number] or seats["lost"][number]
            ):
                continue
            rows.append(
                {
                    "vm": port.name,
                    "processor": int(seats["processor"][number]),
                    "frames": int(seats["frames"][number]),
                    "lost": int(seats["lost"][number]),
                    "gbps": round(8 * int(seats["payload"][number]) / modelled.seconds / 1e9, 6),
                    "use": round(modelled.guest_use(number), 6),
                    "copied_because": self.host.copies_because(port),
                }
            )
        return rows
