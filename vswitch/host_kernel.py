"""The event loop of the modelled host: rings fill, processors work, guests receive.

A frame that comes from the wire takes a receive buffer of its queue's ring, or is
lost when there is none. The queue's vector interrupts its processor, moderated; the
DPC takes up to a budget of frames of the vector's queues, pays for the steps of their
ways, and hands them over. The guest of a VM then pays for TCP/IP on the processor
that it runs on.

Rules, with how they are known:

* The queues of a processor share its vector (read: vmq-interrupt-requirements).
* A DPC that used up its budget goes on without an interrupt; else interrupts are on
  again, moderated (read: netvmini sample, 64 receives a DPC; derived).
* A DPC goes before a guest on its processor; after it, the guests that wait there
  have the processor for as long as it took (believed: equal shares).
* A receive buffer goes back to the ring when the frame is copied into the VM's
  buffers, or, where it lies in the VM's memory, when the guest is done (read:
  buffers; derived). While the VM's buffers are full, frames wait in the ring's.

:mod:`vswitch.host_reference` is its plain twin.
"""

from __future__ import annotations

from typing import Any

from pcaps.by_reference import by_reference
from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.guest_kernel import end_of_guest, hand_over, note_delivery, pause_guest
from vswitch.host_state_kernel import (
    ABSORBED,
    ARMED,
    AT_WORK,
    BUDGET,
    BUFFER_BYTES,
    DPCS,
    EVENTS,
    INTERRUPT_PS,
    INTERRUPTS,
    LAST,
    MODERATION,
    NEVER,
    NEXT,
    NO_QUEUE,
    NONE,
    NOW,
    ON_BOARD_FRAMES,
    QUIET,
    REBALANCE,
    REBALANCE_PS,
    SIGNAL_PS,
    SIGNALS,
    WINDOW,
    give_node,
    has_nodes,
    new_node,
    note_busy,
    set_soonest,
)
from vswitch.transport_kernel import PAYLOAD_SHIFT, T_DATA, TRANSPORTS
from vswitch.ways_kernel import (
    ENDS_IN_VM,
    ENDS_NOWHERE,
    ON_BOARD,
    P_ENDS,
    P_PARENT,
    P_PARENT_PAYLOAD_FS,
    P_PARENT_WIRE_FS,
    P_SIGNALS,
    PUSHED,
    SIGNAL_BATCH,
    SIGNAL_EACH,
    W_CHIMNEY,
    WAY_BITS,
)

HOT_SHARE = 0.9
"""A processor is hot from this share of its time on in DPCs (believed)."""

_CHIMNEY_DATA = W_CHIMNEY * TRANSPORTS + T_DATA


@kernel(_nrt=False)
def arm(host: Any, p: Any, now: Any) -> None:
    """See to it that a processor whose queues have frames is interrupted."""
    processor = host.processors[p]
    when = now
    if host.queues[processor.ready_last].urgent == 0:
        when = max(now, processor.interrupted + host.totals[MODERATION])
    processor.vector = ARMED
    processor.interrupt = min(processor.interrupt, when)
    set_soonest(host, p)


@kernel(forceinline=True, _nrt=False)
def list_queue(host: Any, q: Any) -> Any:
    """Put a queue behind the others of its processor that have frames; return the processor."""
    queue = host.queues[q]
    p = queue.processor
    processor = host.processors[p]
    queue.listed = 1
    queue.next = NONE
    if processor.ready_last == NONE:
        processor.ready = q
    else:
        host.queues[processor.ready_last].next = q
    processor.ready_last = q
    return p


@kernel(_nrt=False)
def take_frames(host: Any, p: Any, q: Any, above: Any, room: Any) -> Any:
    """Take up to `room` frames of a queue into a processor's hand, behind node `above`.

    Returns (frames taken, the last of them, what they cost the parent in ps).
    """
    queue = host.queues[q]
    totals = host.totals
    nodes = host.nodes
    prices = host.prices
    spent = 0
    taken = 0
    signalled = u64(NONE)
    node = u64(queue.head)
    if above == NONE:
        host.processors[p].hand = node
    else:
        nodes[above].next = node
    while node != NONE and taken < room:
        piece = node
        while piece != NONE:
            frame = nodes[piece]
            way = frame.way
            variable = (
                frame.wire * prices[way, P_PARENT_WIRE_FS]
                + frame.payload * prices[way, P_PARENT_PAYLOAD_FS]
            )
            spent += prices[way, P_PARENT] + variable // 1000
            signals = prices[way, P_SIGNALS]
            # Rule: the software path wakes the guest for each frame, a VM queue once a batch
            if signals == SIGNAL_EACH or (signals == SIGNAL_BATCH and frame.seat != signalled):
                totals[SIGNALS] += 1
                spent += totals[SIGNAL_PS]
                if signals == SIGNAL_BATCH:
                    signalled = u64(frame.seat)
            piece = u64(frame.copies)
        taken += 1
        above = node
        node = u64(nodes[node].next)
    nodes[above].next = NONE
    queue.head = node
    if node == NONE:
        queue.tail = NONE
    queue.waiting -= taken
    queue.in_hand += taken
    queue.recent += spent
    return taken, above, spent


@kernel(_nrt=False)
def start_dpc(host: Any, p: Any, now: Any) -> None:
    """Let a processor's DPC take frames, unless it is the guests' turn."""
    processor = host.processors[p]
    if processor.vector != AT_WORK or processor.hand != NONE or processor.ready == NONE:
        return
    if now < processor.resume and (processor.vm != NONE or processor.runs != NONE):
        processor.resume_due = processor.resume
        set_soonest(host, p)
        return
    processor.resume_due = NEVER
    totals = host.totals
    spent = totals[INTERRUPT_PS]
    totals[DPCS] += 1
    taken = 0
    above = u64(NONE)
    while processor.ready != NONE and taken < totals[BUDGET]:
        q = processor.ready
        queue = host.queues[q]
        processor.ready = queue.next
        if processor.ready == NONE:
            processor.ready_last = NONE
        queue.listed = 0
        n, above, cost = take_frames(host, p, q, above, totals[BUDGET] - taken)
        taken += n
        spent += cost
    processor.taken = taken
    processor.dpc_ps = spent
    processor.dpc_end = now + spent
    processor.parent_busy += spent
    processor.recent += spent
    note_busy(host, 0, p, now, now + spent)
    pause_guest(host, p, now, spent)
    set_soonest(host, p)


@kernel(_nrt=False)
def end_of_dpc(host: Any, p: Any, now: Any) -> None:
    """Hand over what a DPC has done, and see what comes next on its processor."""
    processor = host.processors[p]
    nodes = host.nodes
    counts = host.counts
    prices = host.prices
    queues = host.queues
    node = u64(processor.hand)
    while node != NONE:
        following = u64(nodes[node].next)
        q = nodes[node].queue
        queue = queues[q]
        piece = node
        while piece != NONE:
            frame = nodes[piece]
            more = u64(frame.copies)
            way = frame.way
            counts[way, 0] += 1
            counts[way, 1] += frame.wire
            counts[way, 2] += frame.payload
            ends = prices[way, P_ENDS]
            if ends == ENDS_IN_VM:
                hand_over(host, piece, now)
            else:
                if ends != ENDS_NOWHERE:
                    note_delivery(host, piece, now)
                    host.totals[LAST] = now
                if frame.queue != NO_QUEUE:
                    queue.used -= 1
                give_node(host, piece)
            piece = more
        queue.in_hand -= 1
        # Rule: the frames of a queue keep their order, also when it moves to another processor
        if queue.in_hand == 0 and queue.waiting > 0:
            other = list_queue(host, q)
            if other != p and host.processors[other].vector != AT_WORK:
                arm(host, other, now)
        node = following
    processor.hand = NONE
    processor.dpc_end = NEVER
    processor.resume = now + processor.dpc_ps
    if processor.ready == NONE:
        processor.vector = QUIET
    elif processor.taken >= host.totals[BUDGET]:
        start_dpc(host, p, now)
    else:
        arm(host, p, now)
    set_soonest(host, p)


@kernel(_nrt=False)
def rebalance(host: Any, now: Any) -> None:
    """Move one VM queue from the hottest processor to the one with least to do.

    Rule: from NDIS 6.30 on a queue's processor may change while it runs (read); when, and
    which queue moves, is believed: the least busy queue of a processor that is hot.
    """
    processors = host.processors
    hottest = 0
    coolest = 0
    for p in range(processors.size):
        if processors[p].recent > processors[hottest].recent:
            hottest = p
        if processors[p].recent < processors[coolest].recent:
            coolest = p
    if processors[hottest].recent >= HOT_SHARE * host.totals[REBALANCE_PS]:
        least = -1
        several = 0
        for q in range(1, host.queues.size - 1):
            queue = host.queues[q]
            if queue.processor == hottest and queue.recent > 0:
                several += 1
                if least < 0 or queue.recent < host.queues[least].recent:
                    least = q
        if several > 1:
            queue = host.queues[least]
            if processors[coolest].recent + queue.recent < processors[hottest].recent:
                queue.processor = coolest
                queue.moves += 1
    for p in range(processors.size):
        processors[p].recent = 0
    for q in range(host.queues.size):
        host.queues[q].recent = 0
    host.totals[REBALANCE] = now + host.totals[REBALANCE_PS]


@kernel(_nrt=False)
def happen(host: Any) -> None:
    """Let the next event happen, and find the one behind it."""
    totals = host.totals
    soonest = host.soonest
    now = totals[NEXT]
    totals[NOW] = now
    totals[EVENTS] += 1
    p = u64(0)
    while p < u64(soonest.size) and soonest[p] != now:
        p += u64(1)
    if p == u64(soonest.size):
        rebalance(host, now)
    else:
        processor = host.processors[p]
        if processor.dpc_end == now:
            end_of_dpc(host, p, now)
        elif processor.interrupt == now:
            processor.vector = AT_WORK
            processor.interrupted = now
            processor.interrupt = NEVER
            totals[INTERRUPTS] += 1
            set_soonest(host, p)
            start_dpc(host, p, now)
        elif processor.guest_end == now:
            end_of_guest(host, p, now)
            start_dpc(host, p, now)
        else:
            processor.resume_due = NEVER
            set_soonest(host, p)
            start_dpc(host, p, now)
    following = totals[REBALANCE]
    for other in range(soonest.size):
        following = min(following, soonest[other])
    totals[NEXT] = following


@kernel(forceinline=True, _nrt=False)
def put_in_ring(host: Any, q: Any, node: Any, when: Any) -> None:
    """Put a frame behind the others of its ring, and see to the interrupt."""
    queue = host.queues[q]
    queue.used += 1
    queue.peak = max(queue.peak, queue.used)
    if queue.tail == NONE:
        queue.head = node
    else:
        host.nodes[queue.tail].next = node
    queue.tail = node
    queue.waiting += 1
    if queue.listed == 0 and queue.in_hand == 0:
        p = list_queue(host, q)
        vector = host.processors[p].vector
        if vector == QUIET or (vector == ARMED and queue.urgent != 0):
            arm(host, p, when)


@kernel(_nrt=False)
def fill_buffer(host: Any, q: Any, v: Any, pushed: Any, payload: Any, when: Any) -> Any:
    """Let the adapter's TCP take a segment of an offloaded connection; tell whether it could.

    Rule: the host is told of a receive buffer when it is full, or when the peer pushed.
    """
    seat = host.seats[v]
    totals = host.totals
    if seat.filled + payload > totals[WINDOW]:
        return False
    seat.filled += payload
    if seat.filled >= totals[BUFFER_BYTES] or (pushed != 0 and seat.filled > 0):
        queue = host.queues[q]
        if queue.used < queue.ring:
            node = new_node(host, when, q, v, _CHIMNEY_DATA, 0, seat.filled)
            seat.filled = 0
            put_in_ring(host, q, node, when)
    return True


@kernel
def serve(
    arrays: Any,
    first: Any,
    arrived: Any,
    ways: Any,
    queues: Any,
    seats: Any,
    wires: Any,
    loads: Any,
    copy_frame: Any,
    copy_way: Any,
    copy_seat: Any,
    copy: Any,
    lost: Any,
) -> Any:
    """Let the frames ``first..`` of a batch arrive, in order of time.

    arrays: Host; arrived: int64[n] ps; ways, queues, seats: columns of
    :func:`vswitch.ways_kernel.describe`; wires: uint32[n]; loads: uint32[n], load words;
    copy_frame int64[m], copy_way uint8[m], copy_seat int32[m]: copies of flooded frames,
    in order; copy: the first of them; lost: uint8[n], set where a frame found no buffer.
    Returns (frame, copy) to go on with: less than n where the pool of nodes has to grow.
    """
    host = by_reference(arrays)
    totals = host.totals
    n = arrived.size
    i = first
    while i < n:
        way = int(ways[i])
        if way == ON_BOARD:
            totals[ON_BOARD_FRAMES] += 1
            i += 1
            continue
        copies = copy
        while copies < copy_frame.size and copy_frame[copies] == i:
            copies += 1
        if not has_nodes(host, 1 + copies - copy):
            break
        when = arrived[i]
        while totals[NEXT] <= when:
            happen(host)
        q = u64(queues[i])
        payload = int(loads[i]) >> PAYLOAD_SHIFT
        queue = host.queues[q]
        queue.frames += 1
        kept = True
        if (way & WAY_BITS) // TRANSPORTS == W_CHIMNEY:
            if way & WAY_BITS == _CHIMNEY_DATA:
                kept = fill_buffer(host, q, u64(seats[i]), way & PUSHED, payload, when)
            if kept:
                totals[ABSORBED] += 1
        elif queue.used >= queue.ring:
            kept = False
        else:
            wire = int(wires[i])
            node = new_node(host, when, q, seats[i], way & WAY_BITS, wire, payload)
            above = node
            while copy < copies:
                piece = new_node(
                    host, when, NO_QUEUE, copy_seat[copy], copy_way[copy], wire, payload
                )
                host.nodes[above].copies = piece
                above = piece
                copy += 1
            put_in_ring(host, q, node, when)
        if not kept:
            lost[i] = 1
            queue.lost += 1
            if seats[i] >= 0:
                host.seats[u64(seats[i])].lost += 1
        copy = copies
        i += 1
    return i, copy


@kernel(_nrt=False)
def is_working(host: Any) -> Any:
    """Tell whether anything is due on a processor."""
    for p in range(host.soonest.size):  # noqa: SIM110  (numba has no any over a generator)
        if host.soonest[p] != NEVER:
            return True
    return False


@kernel
def drain(arrays: Any) -> None:
    """Let everything happen that the frames so far cause.

    Receive buffers of offloaded connections go up, however full. arrays: Host.
    """
    host = by_reference(arrays)
    totals = host.totals
    v = 0
    while True:
        while v < host.seats.size and has_nodes(host, 1):
            seat = host.seats[v]
            if seat.filled > 0:
                if host.queues[0].used >= host.queues[0].ring:
                    break
                when = totals[NOW]
                node = new_node(host, when, u64(0), u64(v), _CHIMNEY_DATA, 0, seat.filled)
                seat.filled = 0
                put_in_ring(host, u64(0), node, when)
            v += 1
        if not is_working(host):
            return
        happen(host)
