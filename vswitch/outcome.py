"""What the plain twins return: one frame's outcome, its copies, and the steps that led there.

``explain`` prints it; tests compare it with the compiled path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pcaps.frames import Frame
from vswitch.ports import Network, Port, PortKind, VlanMode
from vswitch.verdict import DropReason, Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step of an explanation.

    Parameters
    ----------
    stage : str
        Where in the way of the frame: adapter, ingress, policy, table, egress.
    text : str
        What was found and decided, one sentence.
    rule : str
        The rule that ruled it, as the manual names it.
    row : str
        The table row that decided: a filter, a table entry, a port's setting.
    """

    stage: str
    text: str
    rule: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a frame on its way out.

    Parameters
    ----------
    port : int
        Port number.
    strip : bool
        Whether the outer tag of the received frame is taken off.
    push : bytes
        The four bytes of the tag put on, or nothing.
    """

    port: int
    strip: bool = False
    push: bytes = b""

    def leave(self, frame: Frame) -> Frame:
        """Return the frame as it leaves.

        Parameters
        ----------
        frame : Frame
            The frame as received.

        Returns
        -------
        Frame
            With rewritten tag; `wirelen` changes by the same number of bytes.
        """
        body = frame.data[12:]
        if self.strip:
            body = body[4:]
        data = frame.data[:12] + self.push + body
        wirelen = frame.wirelen + len(self.push) - (4 if self.strip else 0)
        return Frame(data, wirelen, frame.ts_ns, frame.interface)


@dataclass(slots=True)
class Outcome:
    """What became of one frame.

    Parameters
    ----------
    verdict : Verdict
        Dropped, unicast or flooded.
    reason : DropReason, optional
        Why it was dropped.
    copies : list of Copy
        In port order.
    suppressed : list of (int, DropReason)
        Copies of a flooded frame held back, by port.
    vlan : int, optional
        VLAN inside the switch, None when the frame did not get that far.
    queue : int
        VM queue that the adapter chose, 0 = default queue.
    local_source : bool
        From the uplink with the source address of a local vNIC.
    mirrored : bool
        Whether the mirror port gets the frame too (as received).
    """

    verdict: Verdict
    reason: DropReason | None = None
    copies: list[Copy] = field(default_factory=list)
    suppressed: list[tuple[int, DropReason]] = field(default_factory=list)
    vlan: int | None = None
    queue: int = 0
    local_source: bool = False
    mirrored: bool = False


class Drop(Exception):  # noqa: N818 (control flow inside the twins, not an error)
    """Ends the decision about a frame with a reason."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason.label)
        self.reason = reason


Recorder = Callable[[Step], None]


def unheard(step: Step) -> None:
    """Recorder that keeps nothing."""


def port_text(network: Network, number: int) -> str:
    """Return how explanations name a port: ``vm1 (vm, access 10)``."""
    port = network.ports[number]
    return f"{port.name} ({port.kind}, {vlan_text(port)})"


def vlan_text(port: Port) -> str:
    """Return what a port carries, as people read it: ``access 10``, ``all VLANs``."""
    if port.kind is PortKind.UPLINK and port.vlan.mode is VlanMode.ACCESS:
        if port.vlan.allowed is None:
            return "all VLANs" if port.vlan.untagged else "all VLANs, tagged only"
        return str(port.vlan)
    return f"access {port.vlan}" if port.vlan.mode is VlanMode.ACCESS else str(port.vlan)
