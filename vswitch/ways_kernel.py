"""Which way each decided frame takes through the host: the columns that the event loop reads.

What a frame costs on its way is in :mod:`vswitch.ways`.

A *port word* says what is behind a port: bits 0-15 its VM queue (0 = none), bits
16-17 PORT_VM, PORT_PARENT or PORT_UPLINK, bit 18 SHARED (its queue's buffers lie in
the VM's memory).
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.replay_kernel import VMQ, place_by_adapter
from vswitch.transport_kernel import (
    PUSH,
    T_OTHER,
    TRANSPORT_BITS,
    TRANSPORTS,
)
from vswitch.words_kernel import FLOODED, PLACED, UNICAST, kind_of, low_of

(
    W_SHARED, W_PLACED, W_SWITCHED, W_REFUSED, W_TO_PARENT, W_FLOOD, W_VM_TO_VM, W_VM_TO_PARENT,
    W_VM_AWAY, W_VM_REFUSED, W_VM_FLOOD, W_COPY, W_COPY_AWAY, W_COPY_PARENT, W_CHIMNEY, W_NATIVE,
) = range(16)  # fmt: skip
WAYS = 16

ON_BOARD = 255
"""Way of a frame that the adapter dropped: it enters no ring."""
PUSHED = 128
"""Set beside a way: the segment has PSH."""
WAY_BITS = 127

P_PARENT, P_PARENT_WIRE_FS, P_PARENT_PAYLOAD_FS, P_GUEST, P_GUEST_PAYLOAD_FS = range(5)
P_SIGNALS, P_ENDS = 5, 6
PRICE_WORDS = 8
NO_SIGNAL, SIGNAL_EACH, SIGNAL_BATCH = 0, 1, 2
ENDS_NOWHERE, ENDS_AWAY, ENDS_IN_PARENT, ENDS_IN_VM = 0, 1, 2, 3

PORT_VM, PORT_PARENT, PORT_UPLINK = 0, 1, 2
PORT_KIND_SHIFT = 16
PORT_SHARED = 1 << 18

FIRST_BOARD_REASON = 40


@kernel(forceinline=True, _nrt=False)
def port_kind(ports: Any, port: Any) -> Any:
    """PORT_VM, PORT_PARENT or PORT_UPLINK."""
    return (ports[port] >> u64(PORT_KIND_SHIFT)) & u64(3)


@kernel(forceinline=True, _nrt=False)
def unicast_way(word: Any, from_wire: Any, target: Any, offloaded: Any) -> Any:
    """Way of a frame for one port; target: its port word; offloaded: by the adapter's TCP."""
    behind = (target >> u64(PORT_KIND_SHIFT)) & u64(3)
    if behind == u64(PORT_UPLINK):
        return u64(W_VM_AWAY)
    if behind == u64(PORT_PARENT):
        return u64(W_TO_PARENT if from_wire else W_VM_TO_PARENT)
    if not from_wire:
        return u64(W_VM_TO_VM)
    if word & u64(PLACED):
        return u64(W_SHARED if target & u64(PORT_SHARED) else W_PLACED)
    return u64(W_CHIMNEY if offloaded else W_SWITCHED)


@kernel
def describe(
    data: Any,
    start: Any,
    caplen: Any,
    wirelen: Any,
    in_ports: Any,
    words: Any,
    loads: Any,
    offloaded: Any,
    mode: Any,
    image: Any,
    filters: Any,
    ports: Any,
    send_queue: Any,
    ways: Any,
    queues: Any,
    seats: Any,
) -> None:
    """Fill the columns of a decided batch.

    data .. words: as in :class:`vswitch.engine.Decided`; loads: uint32[n], load words;
    offloaded: uint8[n], 1 where the adapter's TCP takes the frame; mode: SOFTWARE, VMQ or LEARNING; image, filters: uint64[]; ports: uint64[n_ports],
    port words; send_queue: uint64, ring that frames of the VMs go through. Written:
    ways uint8[n], a way * TRANSPORTS + transport, or ON_BOARD; queues uint16[n]; seats
    int32[n], the port that gets a unicast frame, else -1.
    """
    for j in range(words.size):
        i = u64(j)
        word = words[i]
        kind = kind_of(word)
        from_wire = port_kind(ports, u64(in_ports[i])) == u64(PORT_UPLINK)
        queue = u64(0) if from_wire else send_queue
        seat = -1
        transport = u64(T_OTHER)
        pushed = u64(0)
        if kind == u64(UNICAST):
            seat = int(low_of(word))
            target = ports[low_of(word)]
            load = u64(loads[i])
            way = unicast_way(word, from_wire, target, offloaded[i])
            if way <= u64(W_PLACED):
                queue = target & u64(0xFFFF)
            transport = load & u64(TRANSPORT_BITS)
            if load & u64(PUSH):
                pushed = u64(PUSHED)
        elif kind == u64(FLOODED):
            way = u64(W_FLOOD if from_wire else W_VM_FLOOD)
        elif word & u64(63) >= u64(FIRST_BOARD_REASON):
            ways[i] = ON_BOARD
            queues[i] = 0
            seats[i] = -1
            continue
        else:
            way = u64(W_REFUSED if from_wire else W_VM_REFUSED)
            if from_wire and mode == u64(VMQ):
                at = u64(start[i])
                placed = place_by_adapter(data, at, u64(caplen[i]), u64(wirelen[i]), image, filters)
                queue = placed & u64(0xFFFF)
        ways[i] = way * u64(TRANSPORTS) + transport + pushed
        queues[i] = queue
        seats[i] = seat
