"""The guests' part of the modelled host: what the parent hands over, and who gets it when."""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from vswitch.host_state_kernel import (
    GUEST_BATCH,
    HELD_BACK,
    HOLDS_RING,
    HOLDS_SHARED,
    HOLDS_VM,
    LAST,
    LONGEST,
    NEVER,
    NO_QUEUE,
    NONE,
    give_node,
    latency_row,
    note_busy,
    set_soonest,
)
from vswitch.transport_kernel import TRANSPORTS
from vswitch.ways_kernel import P_GUEST, P_GUEST_PAYLOAD_FS, W_CHIMNEY, W_SHARED


@kernel(forceinline=True, _nrt=False)
def note_delivery(host: Any, node: Any, now: Any) -> None:
    """Count a frame that reached its receiver."""
    frame = host.nodes[node]
    wait = now - frame.arrived
    host.latency[latency_row(wait // 1000)] += 1
    host.totals[LONGEST] = max(host.totals[LONGEST], wait)
    seat = host.seats[frame.seat]
    seat.frames += 1
    seat.payload += frame.payload


@kernel(forceinline=True, _nrt=False)
def run_later(host: Any, v: Any) -> None:
    """Put a VM behind the others that wait for its processor."""
    seat = host.seats[v]
    processor = host.processors[seat.processor]
    seat.listed = 1
    seat.next = NONE
    if processor.runs_last == NONE:
        processor.runs = v
    else:
        host.seats[processor.runs_last].next = v
    processor.runs_last = v


@kernel(_nrt=False)
def release_held(host: Any, v: Any) -> None:
    """Copy the first frame that holds a receive buffer into the VM's; the buffer goes back."""
    seat = host.seats[v]
    nodes = host.nodes
    frame = nodes[seat.held]
    frame.holds = HOLDS_VM
    seat.copied += 1
    host.queues[frame.queue].used -= 1
    following = frame.next
    while following != NONE and nodes[following].holds != HOLDS_RING:
        following = nodes[following].next
    seat.held = following


@kernel(_nrt=False)
def start_guest(host: Any, p: Any, now: Any) -> None:
    """Let the next VM that waits have a processor."""
    processor = host.processors[p]
    if processor.vm != NONE or processor.runs == NONE:
        return
    nodes = host.nodes
    prices = host.prices
    v = processor.runs
    seat = host.seats[v]
    processor.runs = seat.next
    if processor.runs == NONE:
        processor.runs_last = NONE
    seat.listed = 0
    node = seat.head
    processor.guest_hand = node
    taken = 0
    spent = 0
    last = node
    while node != NONE and taken < host.totals[GUEST_BATCH]:
        frame = nodes[node]
        way = frame.way
        spent += prices[way, P_GUEST] + frame.payload * prices[way, P_GUEST_PAYLOAD_FS] // 1000
        if node == seat.held:  # flooded copies took the buffers ahead of it
            release_held(host, v)
        taken += 1
        last = node
        node = frame.next
    nodes[last].next = NONE
    seat.head = node
    if node == NONE:
        seat.tail = NONE
    begin = now
    if processor.hand != NONE:  # a DPC is running there
        begin = max(now, processor.dpc_end)
    processor.vm = v
    processor.guest_from = begin
    processor.guest_end = begin + spent
    set_soonest(host, p)


@kernel(forceinline=True, _nrt=False)
def note_guest(host: Any, p: Any, now: Any) -> None:
    """Count what a guest has worked since it was last interrupted."""
    processor = host.processors[p]
    if now > processor.guest_from:
        done = now - processor.guest_from
        processor.guest_busy += done
        host.seats[processor.vm].busy += done
        note_busy(host, 1, p, processor.guest_from, now)


@kernel(forceinline=True, _nrt=False)
def pause_guest(host: Any, p: Any, now: Any, spent: Any) -> None:
    """Interrupt the guest of a processor, if one runs, for a DPC of `spent` ps."""
    processor = host.processors[p]
    if processor.vm != NONE:
        note_guest(host, p, now)
        processor.guest_end += spent
        processor.guest_from = now + spent


@kernel(_nrt=False)
def hand_over(host: Any, node: Any, now: Any) -> None:
    """Put a frame behind the others of its VM; its receive buffer goes back, or is held."""
    nodes = host.nodes
    frame = nodes[node]
    v = frame.seat
    seat = host.seats[v]
    way = frame.way // TRANSPORTS
    frame.next = NONE
    if way == W_SHARED:
        frame.holds = HOLDS_SHARED
    elif way == W_CHIMNEY:  # the payload is in the application's buffer already
        host.queues[frame.queue].used -= 1
    elif frame.queue == NO_QUEUE or seat.copied < seat.buffers:
        # Rule: copies of a flooded frame are made at once; the frame itself held the buffer
        seat.copied += 1
        frame.holds = HOLDS_VM
        if frame.queue != NO_QUEUE:
            host.queues[frame.queue].used -= 1
    else:
        frame.holds = HOLDS_RING
        host.totals[HELD_BACK] += 1
        if seat.held == NONE:
            seat.held = node
    if seat.tail == NONE:
        seat.head = node
    else:
        nodes[seat.tail].next = node
    seat.tail = node
    seat.backlog += 1
    seat.peak = max(seat.peak, seat.backlog)
    if seat.listed == 0 and host.processors[seat.processor].vm != v:
        run_later(host, v)
        start_guest(host, seat.processor, now)


@kernel(_nrt=False)
def end_of_guest(host: Any, p: Any, now: Any) -> None:
    """Give the application the frames that a guest had in hand."""
    processor = host.processors[p]
    note_guest(host, p, now)
    nodes = host.nodes
    queues = host.queues
    v = processor.vm
    seat = host.seats[v]
    node = processor.guest_hand
    processor.guest_hand = NONE
    processor.vm = NONE
    processor.guest_end = NEVER
    while node != NONE:
        frame = nodes[node]
        following = frame.next
        note_delivery(host, node, now)
        seat.backlog -= 1
        if frame.holds == HOLDS_VM:
            seat.copied -= 1
        elif frame.holds == HOLDS_SHARED:
            queues[frame.queue].used -= 1
        give_node(host, node)
        node = following
    while seat.held != NONE and seat.copied < seat.buffers:
        release_held(host, v)
    host.totals[LAST] = now
    if seat.backlog > 0:
        run_later(host, v)
    set_soonest(host, p)
    start_guest(host, p, now)
