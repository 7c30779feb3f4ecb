"""Published figures that the model of a host is held against: what fits, and what does not.

A figure is met by sums of constants, on so many processors. That a sum fits says
nothing about its parts: no single constant is confirmed by any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vswitch.bench_rows import Rows, gbps
from vswitch.costs import CostTable
from vswitch.ways import frame_cycles
from vswitch.ways_kernel import W_NATIVE

MSS = 1460


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure.

    Parameters
    ----------
    system : str
        What was measured.
    source : str
        Where it stands.
    low, high : float
        What was published; equal for a single figure, infinite without an upper end.
    unit : str
        Such as ``Gbit/s``.
    cell : tuple or None
        mode, frame, VMs and processors of the row that answers to it.
    inputs : str
        What of it the constants were chosen by; empty for a figure that was not used.
    """

    system: str
    source: str
    low: float
    high: float
    unit: str = "Gbit/s"
    cell: tuple[str, str, int, int] | None = None
    inputs: str = ""

    @property
    def published(self) -> str:
        """As a table shows it."""
        if self.high == float("inf"):
            return f"> {self.low:g}"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"

    def deviation(self, ours: float) -> float:
        """Return by which share a figure of ours is outside, 0 within a range.

        Parameters
        ----------
        ours : float
            In the same unit.

        Returns
        -------
        float
            Below 0 where it is too low.
        """
        if ours < self.low:
            return ours / self.low - 1
        return ours / self.high - 1 if ours > self.high else 0.0


_ENDLESS = float("inf")
_INTEL = "Intel and VMware, Intelligent Queuing Technologies, p. 4"
_VSPHERE = "Intel, Simplify VMware vSphere 4 Networking, p. 7"
_CUOMO = "D. Cuomo, Synthetic Accelerations in a Nutshell"

THROUGHPUTS = (
    Figure("Hyper-V 10 GbE, no VMQ, one core busy", _CUOMO, 3, 5,
           cell=("r2", "1514", 4, 8), inputs="A"),
    Figure("the same, on four processors", _CUOMO, 3, 5, cell=("r2", "1514", 4, 4), inputs="A"),
    Figure("the same, release 2008", _CUOMO, 3, 5, cell=("r1", "1514", 4, 8), inputs="A"),
    Figure("Hyper-V, no VMQ, one core at 100 %", "workinghardinit.work, DVMQ in Windows 8", 3, 4,
           cell=("r2", "1514", 4, 8), inputs="A"),
    Figure("Hyper-V without VMQ, one core", "cloudscaping.co.uk, VMQ part 1", 3.5, 3.5,
           cell=("r2", "1514", 4, 8), inputs="A"),
    Figure("ESX 3.5, 4 VMs, quad-core, without VMDq", _INTEL, 4.0, 4.0,
           cell=("r2", "1514", 4, 4), inputs="A"),
    Figure("the same, with VMDq", _INTEL, 9.2, 9.2, cell=("r2-vmq", "1514", 4, 4)),
    Figure("the same, with VMDq and jumbo frames", _INTEL, 9.5, 9.5,
           cell=("r2-vmq-jumbo", "9014", 4, 4)),
    Figure("vSphere 4, without VMDq", _VSPHERE, 4.2, 4.2, cell=("r2", "1514", 4, 8), inputs="A"),
    Figure("vSphere 4, with VMDq", _VSPHERE, 9.3, 9.3, cell=("r2-vmq", "1514", 4, 8)),
    Figure("Hyper-V with VMQ", "workinghardinit.work, DVMQ in Windows 8", 8, _ENDLESS,
           cell=("r2-vmq", "1514", 4, 8)),
    Figure("Hyper-V 2012 with VMQ", "workinghardinit.work, DVMQ in Windows 8", 8, _ENDLESS,
           cell=("2012", "1514", 4, 8)),
    Figure("one vNIC with a VM queue, copied", "Savill, Mastering WS2016 Hyper-V", 3, 4,
           cell=("2012", "1514", 1, 8), inputs="B"),
    Figure("native host", _CUOMO, 9, _ENDLESS, cell=("native", "1514", 1, 4)),
    Figure("ESnet, TCP with 1500", "fasterdata.es.net, MTU issues", 9.3, 9.3,
           cell=("native", "1514", 1, 8)),
    Figure("ESnet, TCP with 9000", "fasterdata.es.net, MTU issues", 9.9, 9.9,
           cell=("native", "9014", 1, 8)),
)  # fmt: skip
"""Throughputs in Gbit/s of TCP payload."""

_TOE = "technologyevangelist.co (a vendor's blog)"


def native_cycles(costs: CostTable) -> float:
    """Return the cycles of a 1460-byte segment in the host's own TCP/IP."""
    return frame_cycles(costs, W_NATIVE, MSS + 54, MSS)[0]


def chimney_cycles(costs: CostTable) -> float:
    """Return the same where the adapter does TCP: the segment's share of a receive buffer."""
    buffer = costs["interrupt"] / 64 + costs["rx_driver"] + costs["chimney_buffer"]
    return buffer * MSS / costs["chimney_buffer_bytes"] + MSS * costs["socket_copy"]


CYCLES: tuple[tuple[Figure, Callable[[CostTable], float]], ...] = (
    (Figure("TCP in software, 40 % of 4 cores at 6 Gbit/s (2006)", _TOE, 7787, 9344,
            "cycles/1460 B"), native_cycles),
    (Figure("full offload, 10 % of 4 cores at 6 Gbit/s (2006)", _TOE, 1947, 2336,
            "cycles/1460 B", inputs="C"), chimney_cycles),
    (Figure("TCP in software, 10 % of 8 cores at 9.5 Gbit/s (2008, frame size not stated)", _TOE,
            2459, 2951, "cycles/1460 B"), native_cycles),
    (Figure("full offload, 5 % of 8 cores at 9.5 Gbit/s (2008)", _TOE, 1229, 1475,
            "cycles/1460 B"), chimney_cycles),
    (Figure("host processor time with chimney, of that without", _TOE, 0.25, 0.5, "ratio",
            inputs="C"), lambda costs: chimney_cycles(costs) / native_cycles(costs)),
    (Figure("1 GHz for 1 Gbit/s of TCP", "netexpertise.eu 2009 (a rule of thumb)", 11_680, 11_680,
            "cycles/1460 B"), native_cycles),
)  # fmt: skip
"""Processor time; clocks from 2.5 to 3.0 GHz make the ranges of the 2006 and 2008 rows."""


def held_against(rows: Rows) -> Iterator[tuple[Figure, float]]:
    """Yield the throughputs that a result has the row for, with ours.

    Parameters
    ----------
    rows : Rows
        The result.

    Yields
    ------
    tuple of (Figure, float)
        In the order of :data:`THROUGHPUTS`.
    """
    for figure in THROUGHPUTS:
        row = rows.at(*figure.cell) if figure.cell else None
        if row is not None:
            yield figure, gbps(row)
