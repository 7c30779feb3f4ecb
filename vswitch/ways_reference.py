"""Plain twins of :mod:`vswitch.transport_kernel` and :mod:`vswitch.ways_kernel`, from the rules."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from vswitch.host import Host
from vswitch.ports import PortKind
from vswitch.transport_kernel import PAYLOAD_SHIFT, PUSH, T_BARE, T_DATA, T_OTHER
from vswitch.verdict import Verdict
from vswitch.ways_kernel import (
    W_CHIMNEY,
    W_FLOOD,
    W_PLACED,
    W_REFUSED,
    W_SHARED,
    W_SWITCHED,
    W_TO_PARENT,
    W_VM_AWAY,
    W_VM_FLOOD,
    W_VM_REFUSED,
    W_VM_TO_PARENT,
    W_VM_TO_VM,
)


class Load(NamedTuple):
    """What a frame's receiver has to do for it.

    Parameters
    ----------
    transport : int
        T_DATA, T_BARE or T_OTHER.
    payload : int
        Bytes behind IP and TCP or UDP.
    pushed : bool
        Whether it is TCP with PSH.
    """

    transport: int
    payload: int = 0
    pushed: bool = False

    @property
    def word(self) -> int:
        """As the kernel writes it."""
        return self.payload << PAYLOAD_SHIFT | PUSH * self.pushed | self.transport


def load(frame: bytes, wirelen: int, tpids: Collection[int]) -> Load:
    """Return the load of a frame.

    Parameters
    ----------
    frame : bytes
        As captured, from the destination address on.
    wirelen : int
        Bytes on the wire.
    tpids : collection of int
        Which count as tags of the switch; 0x8100 always does.

    Returns
    -------
    Load
        T_OTHER without payload where the headers are cut or it is not IP.
    """
    if len(frame) < 14:
        return Load(T_OTHER)
    padded = frame + bytes(64)  # the kernel may read so far behind a frame
    at = 12
    kind = int.from_bytes(padded[at : at + 2], "big")
    for _ in range(2):
        if kind in tpids or kind == 0x8100:
            at += 4
            kind = int.from_bytes(padded[at : at + 2], "big")
    at += 2
    packet = padded[at:]
    here = len(frame) - at
    if kind == 0x0800 and here >= 20:
        size, whole, protocol = 4 * (packet[0] & 15), int.from_bytes(packet[2:4], "big"), packet[9]
        fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF != 0
    elif kind == 0x86DD and here >= 40:
        size, protocol, fragment = 40, packet[6], False
        whole = int.from_bytes(packet[4:6], "big")
        whole += 40 if whole else 0
    else:
        return Load(T_OTHER)
    if whole == 0 or at + whole > wirelen:
        whole = max(wirelen - at, 0)
    if protocol == 6 and not fragment and here >= size + 14:
        own, pushed = 4 * (packet[size + 12] >> 4), bool(packet[size + 13] & 8)
        payload = whole - size - own
        return Load(T_DATA, payload, pushed) if payload > 0 else Load(T_BARE, 0, pushed)
    if protocol == 17 and not fragment:
        size += 8
    return Load(T_OTHER, max(whole - size, 0))


def way(
    host: Host, in_port: int, verdict: Verdict, port: int, placed: bool, offloaded: bool
) -> int:
    """Return the way of a decided frame.

    Parameters
    ----------
    host : Host
        The host.
    in_port, port : int
        Where it came in; where a unicast frame goes.
    verdict : Verdict
        What was decided.
    placed : bool
        Whether a receive filter placed it in a VM queue.
    offloaded : bool
        Whether the adapter's TCP takes it.

    Returns
    -------
    int
        A ``W_`` constant.
    """
    ports = host.network.ports
    from_wire = ports[in_port].kind is PortKind.UPLINK
    if verdict is Verdict.DROPPED:
        return W_REFUSED if from_wire else W_VM_REFUSED
    if verdict is Verdict.FLOODED:
        return W_FLOOD if from_wire else W_VM_FLOOD
    target = ports[port]
    if target.kind is PortKind.UPLINK:
        return W_VM_AWAY
    if target.kind is PortKind.PARENT:
        return W_TO_PARENT if from_wire else W_VM_TO_PARENT
    if not from_wire:
        return W_VM_TO_VM
    if placed:
        return W_SHARED if host.copies_because(target) is None else W_PLACED
    return W_CHIMNEY if offloaded else W_SWITCHED
