"""The ways a frame takes through the host, and which steps it costs on each.

A way is a list of steps. The event loop counts frames and bytes by way and
signals and interrupts as they happen; steps and cycles follow from these counts
(:func:`spent`), so that each modelled figure can be followed to its constants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vswitch import ways_kernel as k
from vswitch.costs import CostTable
from vswitch.transport_kernel import T_DATA, TRANSPORTS

PARENT, GUEST = "parent", "guest"

FS_PER_PS = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Parameters
    ----------
    number : int
        A ``W_`` constant of :mod:`vswitch.ways_kernel`.
    name : str
        In JSON and tables.
    meaning : str
        Which frames take it, one clause.
    parent, guest : tuple of str
        Steps once a frame.
    parent_wire : tuple of str
        Steps of the parent for each byte of the frame.
    stack : str
        Who runs TCP/IP on it: ``parent``, ``guest`` or nobody.
    signals : str
        ``each``: the guest is woken for every frame; ``batch``: once a batch.
    ends : str
        ``vm``, ``parent``, ``away`` (out by the uplink) or ``nowhere``.
    """

    number: int
    name: str
    meaning: str
    parent: tuple[str, ...] = ()
    parent_wire: tuple[str, ...] = ()
    guest: tuple[str, ...] = ()
    stack: str = ""
    signals: str = ""
    ends: str = "nowhere"


_SWITCHED = ("classify", "vlan")
_RING = ("vmbus_packet",)

WAYS = (
    Way(k.W_SHARED, "vm-queue", "in a VM queue whose buffers lie in the VM's memory",
        ("rx_driver", "filter", "lookahead", *_RING), (), ("guest_driver",), GUEST, "batch", "vm"),
    Way(k.W_PLACED, "vm-queue-copied", "in a VM queue whose buffers lie in host memory",
        ("rx_driver", "filter", *_RING), ("copy",), ("guest_driver",), GUEST, "batch", "vm"),
    Way(k.W_SWITCHED, "software", "by the default queue and the software switch",
        ("rx_driver", *_SWITCHED, *_RING), ("copy",), ("guest_driver",), GUEST, "each", "vm"),
    Way(k.W_REFUSED, "refused", "dropped by the switch", ("rx_driver", "classify")),
    Way(k.W_TO_PARENT, "to-parent", "from the uplink to the parent's own vNIC",
        ("rx_driver", *_SWITCHED), (), (), PARENT, "", "parent"),
    Way(k.W_FLOOD, "flood", "flooded; its copies come on top", ("rx_driver", *_SWITCHED)),
    Way(k.W_VM_TO_VM, "vm-to-vm", "from one VM to another",
        (*_RING, *_SWITCHED, *_RING), ("copy",), ("guest_driver",), GUEST, "each", "vm"),
    Way(k.W_VM_TO_PARENT, "vm-to-parent", "from a VM to the parent's own vNIC",
        (*_RING, *_SWITCHED), (), (), PARENT, "", "parent"),
    Way(k.W_VM_AWAY, "vm-to-uplink", "from a VM out by the uplink",
        (*_RING, *_SWITCHED, "tx_driver"), (), (), "", "", "away"),
    Way(k.W_VM_REFUSED, "vm-refused", "from a VM, dropped by the switch", (*_RING, "classify")),
    Way(k.W_VM_FLOOD, "vm-flood", "from a VM, flooded; its copies come on top",
        (*_RING, *_SWITCHED)),
    Way(k.W_COPY, "flood-copy", "copy of a flooded frame for a VM",
        _RING, ("copy",), ("guest_driver",), GUEST, "each", "vm"),
    Way(k.W_COPY_AWAY, "flood-copy-away", "copy of a flooded frame that leaves by the uplink",
        ("tx_driver",), (), (), "", "", "away"),
    Way(k.W_COPY_PARENT, "flood-copy-parent", "copy of a flooded frame for the parent",
        (), (), (), PARENT, "", "parent"),
    Way(k.W_CHIMNEY, "chimney", "receive buffer that an offloaded connection filled",
        ("rx_driver", *_RING), (), ("guest_driver", "chimney_buffer"), "", "batch", "vm"),
    Way(k.W_NATIVE, "native", "to the host's own TCP/IP, no switch between",
        ("rx_driver",), (), (), PARENT, "", "parent"),
)  # fmt: skip
"""All ways, by number."""

assert [way.number for way in WAYS] == list(range(k.WAYS))

STEPS = {
    "interrupt": "interrupt",
    "rx_driver": "rx_driver",
    "tx_driver": "tx_driver",
    "filter": "filter",
    "classify": "classify",
    "vlan": "vlan",
    "lookahead": "copy",
    "copy": "copy",
    "vmbus_packet": "vmbus_packet",
    "vmbus_signal": "vmbus_signal",
    "ack_parent": "ack_parent",
    "guest_driver": "guest_driver",
    "tcp_segment": "tcp_segment",
    "tcp_byte": "tcp_byte",
    "ack": "ack",
    "socket_copy": "socket_copy",
    "chimney_buffer": "chimney_buffer",
}
"""Step -> the constant that it costs."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step cost over a run.

    Parameters
    ----------
    where : str
        ``parent`` or ``guest``.
    step : str
        A key of :data:`STEPS`.
    units : float
        How often, or how many bytes.
    constant : str
        Name of the constant.
    cycles : float
        Units times the constant.
    """

    where: str
    step: str
    units: float
    constant: str
    cycles: float

    def to_dict(self) -> dict[str, Any]:
        """Return the row as in the JSON output."""
        units = int(self.units) if self.units == int(self.units) else self.units
        return {
            "where": self.where, "step": self.step, "units": units, "constant": self.constant,
            "cycles": round(self.cycles),
        }  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Units of each step that a frame on a way takes.

    Parameters
    ----------
    frame, wire, payload : dict
        (where, step) -> units for each frame, each byte on the wire, each byte of payload.
    """

    frame: dict[tuple[str, str], float] = field(default_factory=dict)
    wire: dict[tuple[str, str], float] = field(default_factory=dict)
    payload: dict[tuple[str, str], float] = field(default_factory=dict)

    def cycles(self, costs: CostTable, where: str) -> tuple[float, float, float]:
        """Return cycles a frame, a wire byte and a payload byte, of parent or guest."""
        a, b, c = (
            sum(
                units * costs[STEPS[step]]
                for (place, step), units in steps.items()
                if place == where
            )
            for steps in (self.frame, self.wire, self.payload)
        )
        return a, b, c


def recipe(way: Way, transport: int, costs: CostTable, *, acks: bool) -> Recipe:
    """Return the steps of a way for one kind of packet.

    Parameters
    ----------
    way : Way
        The way.
    transport : int
        ``T_DATA``, ``T_BARE`` or ``T_OTHER`` of :mod:`vswitch.transport_kernel`.
    costs : CostTable
        Sizes and ratios are taken from it.
    acks : bool
        Whether the receiver's acknowledgments are charged to the data that they
        answer; not, where they are frames of the capture themselves.

    Returns
    -------
    Recipe
        Without interrupts and signals, which depend on batches.
    """
    made = Recipe()

    def add(to: dict[tuple[str, str], float], where: str, step: str, units: float = 1) -> None:
        to[where, step] = to.get((where, step), 0) + units

    for step in way.parent:
        add(made.frame, PARENT, step, costs["lookahead_bytes"] if step == "lookahead" else 1)
    for step in way.parent_wire:
        add(made.wire, PARENT, step)
    for step in way.guest:
        add(made.frame, GUEST, step)
    if way.stack:
        add(made.frame, way.stack, "tcp_segment")
        add(made.payload, way.stack, "tcp_byte")
        add(made.payload, way.stack, "socket_copy")
        if transport == T_DATA and acks:
            add(made.frame, way.stack, "ack", 1 / costs["segments_per_ack"])
            if way.number not in (k.W_NATIVE, k.W_TO_PARENT):
                add(made.frame, PARENT, "ack_parent", 1 / costs["segments_per_ack"])
    if way.number == k.W_CHIMNEY:
        add(made.payload, GUEST, "socket_copy")
    return made


def prices(costs: CostTable, ps_per_cycle: float, *, acks: bool) -> npt.NDArray[np.int64]:
    """Return what each way costs in time, as the event loop reads it.

    Parameters
    ----------
    costs : CostTable
        The constants.
    ps_per_cycle : float
        Picoseconds that a cycle takes.
    acks : bool
        As for :func:`recipe`.

    Returns
    -------
    numpy.ndarray
        ``int64[WAYS * TRANSPORTS, PRICE_WORDS]``: the ``P_`` columns of
        :mod:`vswitch.ways_kernel`; fixed parts in ps, parts a byte in fs.
    """
    table = np.zeros((k.WAYS * TRANSPORTS, k.PRICE_WORDS), np.int64)
    for way in WAYS:
        for transport in range(TRANSPORTS):
            row = table[way.number * TRANSPORTS + transport]
            made = recipe(way, transport, costs, acks=acks)
            parent, guest = made.cycles(costs, PARENT), made.cycles(costs, GUEST)
            row[k.P_PARENT] = round(parent[0] * ps_per_cycle)
            row[k.P_PARENT_WIRE_FS] = round(parent[1] * ps_per_cycle * FS_PER_PS)
            row[k.P_PARENT_PAYLOAD_FS] = round(parent[2] * ps_per_cycle * FS_PER_PS)
            row[k.P_GUEST] = round(guest[0] * ps_per_cycle)
            row[k.P_GUEST_PAYLOAD_FS] = round(guest[2] * ps_per_cycle * FS_PER_PS)
            row[k.P_SIGNALS] = {"": k.NO_SIGNAL, "each": k.SIGNAL_EACH, "batch": k.SIGNAL_BATCH}[
                way.signals
            ]
            row[k.P_ENDS] = {"nowhere": k.ENDS_NOWHERE, "away": k.ENDS_AWAY,
                             "parent": k.ENDS_IN_PARENT, "vm": k.ENDS_IN_VM}[way.ends]  # fmt: skip
    return table


def spent(
    counts: npt.NDArray[np.int64],
    interrupts: int,
    signals: int,
    costs: CostTable,
    *,
    acks: bool,
) -> list[Spent]:
    """Return cycles by step, from what the event loop counted.

    Parameters
    ----------
    counts : numpy.ndarray
        ``int64[WAYS * TRANSPORTS, 3]``: frames, bytes on the wire, bytes of payload.
    interrupts, signals : int
        Interrupts and DPCs, and signals to guests.
    costs : CostTable
        The constants.
    acks : bool
        As for :func:`recipe`.

    Returns
    -------
    list of Spent
        Steps that occurred, parent first, in the order of :data:`STEPS`.
    """
    units: dict[tuple[str, str], float] = {
        (PARENT, "interrupt"): float(interrupts),
        (PARENT, "vmbus_signal"): float(signals),
    }
    for way in WAYS:
        for transport in range(TRANSPORTS):
            frames, wire, payload = counts[way.number * TRANSPORTS + transport].tolist()
            if not frames:
                continue
            made = recipe(way, transport, costs, acks=acks)
            for steps, times in ((made.frame, frames), (made.wire, wire), (made.payload, payload)):
                for key, n in steps.items():
                    units[key] = units.get(key, 0.0) + n * times
    return [
        Spent(where, step, units[where, step], constant, units[where, step] * costs[constant])
        for where in (PARENT, GUEST)
        for step, constant in STEPS.items()
        if units.get((where, step))
    ]


def frame_cycles(
    costs: CostTable, way: int, wire: int, payload: int, *, batch: int = 64
) -> tuple[float, float]:
    """Return what one TCP data frame costs when frames come in full batches.

    Parameters
    ----------
    costs : CostTable
        The constants.
    way : int
        A ``W_`` constant.
    wire, payload : int
        Bytes of the frame, and of TCP payload in it.
    batch : int
        Frames an interrupt.

    Returns
    -------
    parent, guest : float
        Cycles.
    """
    made = recipe(WAYS[way], T_DATA, costs, acks=True)
    parent, guest = (
        fixed + per_wire * wire + per_payload * payload
        for fixed, per_wire, per_payload in (made.cycles(costs, PARENT), made.cycles(costs, GUEST))
    )
    signals = {"": 0.0, "each": 1.0, "batch": 1 / batch}[WAYS[way].signals]
    return parent + costs["interrupt"] / batch + signals * costs["vmbus_signal"], guest
