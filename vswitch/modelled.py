"""What the emulated host did: modelled figures, apart from anything measured here.

Guarantees
----------
* Frames that came = taken by the switch's ports or refused + lost at a ring + dropped
  on board (+ taken by the adapter's own TCP); :meth:`Modelled.check` says so.
* Cycles are counts of steps times constants; they equal the time that processors were
  busy, but for rounding of a constant to picoseconds.
* Everything here is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vswitch import host_state_kernel as s
from vswitch import ways_kernel as k
from vswitch.host_profiles import HostProfile
from vswitch.latency import Latencies
from vswitch.timed import Clockwork
from vswitch.transport_kernel import TRANSPORTS
from vswitch.ways import GUEST, PARENT, WAYS, Spent, spent

PS_PER_S = 10**12


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


@dataclass(frozen=True, eq=False)
class Modelled:
    """A finished run of a modelled host.

    Parameters
    ----------
    clockwork : Clockwork
        Its state at the end.
    arrived_ps : int
        When the last frame arrived.
    """

    clockwork: Clockwork
    arrived_ps: int

    @property
    def profile(self) -> HostProfile:
        """The host."""
        return self.clockwork.profile

    def _total(self, place: int) -> int:
        return int(self.clockwork.state.totals[place])

    @property
    def elapsed_ps(self) -> int:
        """From the beginning until the last frame had arrived and was done with."""
        return max(self._total(s.LAST), self.arrived_ps)

    @property
    def seconds(self) -> float:
        """The same in seconds; never 0."""
        return max(self.elapsed_ps, 1) / PS_PER_S

    @property
    def came(self) -> int:
        """Frames that came to a ring."""
        return int(self.clockwork.state.queues["frames"].sum())

    @property
    def lost(self) -> int:
        """Frames that found no receive buffer."""
        return int(self.clockwork.state.queues["lost"].sum())

    @property
    def absorbed(self) -> int:
        """Frames that the adapter's own TCP took."""
        return self._total(s.ABSORBED)

    @property
    def on_board(self) -> int:
        """Frames that the adapter dropped before any ring."""
        return self._total(s.ON_BOARD_FRAMES)

    def frames_on(self, *ways: int) -> int:
        """Return how many frames took one of some ways, ``W_`` of :mod:`vswitch.ways_kernel`."""
        counts = self.clockwork.state.counts
        rows = [way * TRANSPORTS + kind for way in ways for kind in range(TRANSPORTS)]
        return int(counts[rows, 0].sum())

    @property
    def handled(self) -> int:
        """Frames that a DPC handled, without copies and without the adapter's own TCP."""
        copies = (k.W_COPY, k.W_COPY_AWAY, k.W_COPY_PARENT, k.W_CHIMNEY)
        return self.frames_on(*(way.number for way in WAYS if way.number not in copies))

    @property
    def delivered(self) -> int:
        """Frames, copies, and receive buffers of offloaded connections that were received."""
        return int(self.clockwork.state.seats["frames"].sum())

    @property
    def payload_bytes(self) -> int:
        """Bytes behind IP and TCP or UDP headers that were received."""
        return int(self.clockwork.state.seats["payload"].sum())

    @property
    def goodput_bps(self) -> float:
        """Payload received per second."""
        return 8 * self.payload_bytes / self.seconds

    @property
    def latencies(self) -> Latencies:
        """From the last byte's arrival to the receiver."""
        return Latencies(self.clockwork.state.latency, self._total(s.LONGEST))

    @property
    def spent(self) -> list[Spent]:
        """Cycles by step."""
        return spent(
            self.clockwork.state.counts, self._total(s.DPCS), self._total(s.SIGNALS),
            self.profile.costs, acks=self.clockwork.acks,
        )  # fmt: skip

    def busy(self, where: str) -> npt.NDArray[np.float64]:
        """Return each processor's share of time spent.

        Parameters
        ----------
        where : str
            ``parent`` or ``guest``.

        Returns
        -------
        numpy.ndarray
            ``float64[n_processors]``.
        """
        column = {PARENT: "parent_busy", GUEST: "guest_busy"}[where]
        shares: npt.NDArray[np.float64] = self.clockwork.state.processors[column] / max(
            self.elapsed_ps, 1
        )
        return shares

    def guest_use(self, seat: int) -> float:
        """Return the share of one processor that the guest behind a port used."""
        return float(self.clockwork.state.seats["busy"][seat]) / max(self.elapsed_ps, 1)

    def over_time(self) -> dict[str, Any]:
        """Return the utilisation over time, as in the JSON output.

        Returns
        -------
        dict
            `step_s` and, for parent and guests, a list of shares for each processor.
        """
        step = self._total(s.BUCKET)
        n = max(1, -(-self.elapsed_ps // step))
        busy = self.clockwork.state.busy[:, :, :n] / step
        return {
            "step_s": step / PS_PER_S,
            PARENT: np.round(busy[0], 4).tolist(),
            GUEST: np.round(busy[1], 4).tolist(),
        }

    def check(self) -> None:
        """Raise AssertionError unless everything adds up (the second law)."""
        state = self.clockwork.state
        assert self.came == self.handled + self.lost + self.absorbed, "frames came != handled"
        assert not state.queues["used"].any(), "receive buffers are still in use"
        assert not state.seats["backlog"].any(), "guests still have frames waiting"
        to_receivers = [way.number for way in WAYS if way.ends != "nowhere"]
        assert self.delivered == self.frames_on(*to_receivers), "frames received != handed over"
        assert self.latencies.frames == self.delivered, "latencies != frames received"
        for kind, column in enumerate(("parent_busy", "guest_busy")):
            assert (state.busy[kind].sum(axis=1) == state.processors[column]).all(), column

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as in the JSON output.

        Returns
        -------
        dict
            JSON types only; shares are of one processor unless named otherwise.
        """
        parent, guest = self.busy(PARENT), self.busy(GUEST)
        n = self.profile.processors
        return {
            "seconds": self.elapsed_ps / PS_PER_S,
            "gbps": round(self.goodput_bps / 1e9, 6),
            "frames_per_s": round(self.delivered / self.seconds, 3),
            "frames": {
                "came": self.came + self.on_board,
                "received": self.delivered,
                "lost": self.lost,
                "dropped_on_board": self.on_board,
                "taken_by_chimney": self.absorbed,
            },
            "loss": _share(self.lost, self.came),
            "parent_use": _share(float(parent.sum()), n),
            "guest_use": _share(float(guest.sum()), n),
            "busiest_processor": round(float((parent + guest).max()), 6),
            "processors": [
                {"parent": round(float(p), 6), "guest": round(float(g), 6)}
                for p, g in zip(parent, guest, strict=True)
            ],
            "latency_us": self.latencies.to_dict(),
            "interrupts": self._total(s.INTERRUPTS),
            "dpcs": self._total(s.DPCS),
            "signals": self._total(s.SIGNALS),
            "held_back": self._total(s.HELD_BACK),
            "cycles": [one.to_dict() for one in self.spent],
        }
