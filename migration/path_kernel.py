"""The way of a segment: client link, physical switch, host link, adapter, switch, VM.

    clients ── up/down ── physical switch (CAM table) ─┬─ in/out 0 ── source host ── VM
                                                       └─ in/out 1 ── target host

Every segment is a frame: it takes time on each link by its length, waits behind
others, and is decided by the adapter's filters and the switch of the host that it
gets to or comes from, by the same compiled function as a replayed frame. Frames
that end before their destination have one reason each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from migration.agenda_kernel import HOP, KIND_SHIFT, ORDER_SHIFT, cross, heap_push, pipe_put
from migration.hosts_kernel import (
    H_UPLINK_PORT,
    H_VM_PORT,
    NO_LISTENER,
    why_not,
    word_in,
    word_out,
)
from migration.tcp.pools_kernel import give_segment, take_segment
from migration.tcp.state_kernel import SYN
from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.words_kernel import PUSH

SOURCE, TARGET, NOWHERE = 0, 1, 255

# Links in one direction; IN + host and OUT + host
UP, DOWN, IN, OUT = 0, 1, 2, 4
PIPES = 6

BETWEEN_FRAMES = 24
"""Bytes of preamble, FCS and gap on an Ethernet link: IEEE 802.3 sections 3.1.1 and 4.4.2."""

# Interfaces of the log
AT_CLIENT, AT_SOURCE, AT_TARGET, AT_VM = 0, 1, 2, 3

# Why a frame ends; below 64: reasons of the switch and the adapter
DELIVERED = 0
QUEUE_FULL, LOST_AT_RANDOM, SUSPENDED, HOLD_FULL, DARK, PATH_MTU = range(64, 70)
MUTED = NO_LISTENER + 1
FATES = 72

# Rows of Path.clock
K_NOW, K_ORDER, K_HEAP, K_EVENTS, K_SEGMENTS, K_DECISIONS, K_DELIVERED, K_COPIES = range(8)
K_LOG, K_NOTES, K_HELD, K_HELD_MOST, K_LOSS, K_SEED, K_MTU, K_LATE = range(8, 16)
K_HOLD, K_HOLD_LIMIT, K_LOGGING, K_CAM_AGE, K_UNDECIDED, K_VM, K_MUTE = range(16, 23)
CLOCKS = 24
"""Time; running number; entries of the heap; events, segments, decisions, segments
delivered, flooded copies, so far; rows of the log and of the notes; segments held,
and the most there were; loss as a threshold of 32 bits; seed; longest frame of the
physical switch; frames that came to the source behind the VM's departure; 1 = frames
for a VM that is away are held, and how many; 1 = write the log; ns until a CAM entry
ages; connections without a verdict; host that the VM runs on; 1 = the guest has no carrier."""

RUNNING, THAWED = -1, -2
"""In place of the time when a machine's clock stopped: it never did; it goes on again."""

ATTACH = np.dtype(
    (
        np.record,
        [
            ("offset", "i8"),  # world time minus the endpoint's own clock
            ("timer", "i8"),  # when its TCP timer's heap entry is, world time; NEVER = none
            ("wake", "i8"),  # when its application's heap entry is
            ("delay", "i8"),  # clients: one way to the physical switch, ns; -1: that of the link
            ("frozen_at", "i8"),  # VM: when its clock stopped; RUNNING or THAWED: it runs
            ("shift", "i8"),  # VM: ns by which this connection's blackout is longer
            ("lost_until", "i8"),  # VM: the physical switch sends to the source, unless it sends
            ("dark_until", "i8"),  # VM: the network between the ends is dark before
            ("start", "i8"),  # active ends: when the connection begins, own clock
            ("frame", "i8"),  # where the header of its frames is in Path.headers
            (
                "waiting",
                "i8",
            ),  # clients: since when the connection waits for progress; -1: it does not
            ("stall", "i8"),  # clients: longest wait, ns
            ("stall_from", "i8"),  # clients: when it began
            ("got", "i8"),  # what had been received at the last look
            ("overhead", "i4"),  # Ethernet, VLAN tags, IP, and the TCP header without options
            ("cam", "i4"),  # row of its VM's entry in Path.cam
            ("vm", "u1"),  # 1: it is in the VM
            ("settled", "u1"),  # clients: 1: the connection has a verdict
            ("ended", "u1"),  # 1: its end was noted
            ("midway", "u1"),  # 1: it begins established, its SYN was never seen
            ("pending", "u1"),  # 1: it would have begun while its machine stood still
            ("pad", "u1", (3,)),
        ],
    )
)
"""What ties an endpoint to the path. Rows 2n and 2n + 1 are the two ends of connection n."""

CAM = np.dtype(
    (
        np.record,
        [
            ("key", "u8"),  # VLAN and MAC address of the VM
            ("seen", "i8"),  # when a frame of it was seen last; -1: never
            ("moved", "i8"),  # when it moved to the target's port; -1: not yet
            ("port", "i8"),  # SOURCE, TARGET or NOWHERE
        ],
    )
)
"""An entry of the physical switch."""

LOG = np.dtype(
    (
        np.record,
        [
            ("at", "i8"),
            ("seq", "i8"),
            ("ack", "i8"),
            ("tsval", "i8"),
            ("tsecr", "i8"),
            ("sack", "i8", (4, 2)),
            ("number", "i8"),  # of the segment, from 1: the same on every interface
            ("size", "i4"),
            ("window", "i4"),
            ("sender", "i4"),
            ("mss", "u2"),
            ("flags", "u1"),
            ("blocks", "u1"),
            ("scale", "i1"),
            ("sack_ok", "u1"),
            ("again", "u1"),
            ("probe", "u1"),
            ("where", "u1"),  # AT_CLIENT, ...
            ("fate", "u1"),  # why it ends here; 0 = it goes on, or is delivered
            ("pad", "u1", (2,)),
        ],
    )
)
"""One frame at one interface."""

NOTE = np.dtype(
    (
        np.record,
        [
            ("at", "i8"),  # world time
            ("seq", "i8"),
            ("size", "i4"),
            ("endpoint", "i4"),
            ("kind", "u1"),
            ("pad", "u1", (7,)),
        ],
    )
)
"""Something that is to be told of an endpoint."""

N_TIMEOUT, N_TAIL_PROBE, N_FAST, N_PROBE, N_ENDED = 1, 2, 3, 4, 5
"""Kinds of notes: a segment sent again because of its timer, as tail probe, in fast
recovery; a keep-alive or window probe; the connection ended."""


class Path(NamedTuple):
    """Everything between the endpoints.

    Parameters
    ----------
    clock : numpy.ndarray
        ``int64[CLOCKS]``, the ``K_`` constants.
    times, words : numpy.ndarray
        ``int64[]``: the heap.
    flights, pipes, heads : numpy.ndarray
        ``FLIGHT[]``, ``PIPE[PIPES]``; ``int64[PIPES, 2]``: due time and running
        number of each link's head.
    attach, apps, turns, cam : numpy.ndarray
        ``ATTACH[n]``, ``APP[n]``, ``TURN[]``, ``CAM[]``.
    held : numpy.ndarray
        ``int64[]``: segments that wait for the VM.
    fates : numpy.ndarray
        ``int64[FATES]``: segments that ended, by reason.
    headers : numpy.ndarray
        ``uint8[]``: frame headers, with 64 bytes behind the last.
    source, target : Host
        The hosts, see :mod:`migration.hosts_kernel`.
    log, notes : numpy.ndarray
        ``LOG[]``, ``NOTE[]``.
    """

    clock: Any
    times: Any
    words: Any
    flights: Any
    pipes: Any
    heads: Any
    attach: Any
    apps: Any
    turns: Any
    cam: Any
    held: Any
    fates: Any
    headers: Any
    source: Any
    target: Any
    log: Any
    notes: Any


@kernel(_nrt=False)
def option_bytes(p: Any) -> Any:
    """Return the length of a segment's TCP options, in bytes, padded to four."""
    size = np.int64(0)
    if p.mss != 0:
        size += 4
    if p["flags"] & SYN and p.sack_ok != 0 and p.tsval < 0:
        size += 4
    if p.tsval >= 0:
        size += 12  # a SYN's SACK-permitted takes the place of the padding
    if p.scale >= 0:
        size += 4
    if p.blocks != 0:
        size += 4 + 8 * np.int64(p.blocks)
    return size


@kernel(_nrt=False)
def write_log(w: Any, path: Any, row: Any, where: Any, fate: Any) -> None:
    """Note a frame at an interface."""
    clock = path.clock
    if clock[K_LOGGING] == 0:
        return
    p = w.segments[row]
    g = path.log[clock[K_LOG]]
    clock[K_LOG] += 1
    g.at = clock[K_NOW]
    g.seq = p.seq
    g.ack = p.ack
    g.tsval = p.tsval
    g.tsecr = p.tsecr
    for block in range(p.blocks):
        g.sack[block, 0] = p.sack[block, 0]
        g.sack[block, 1] = p.sack[block, 1]
    g.number = path.flights[row].number
    g["size"] = p["size"]
    g.window = p.window
    g.sender = p.sender
    g.mss = p.mss
    g["flags"] = p["flags"]
    g.blocks = p.blocks
    g.scale = p.scale
    g.sack_ok = p.sack_ok
    g.again = p.again
    g.probe = p.probe
    g.where = where
    g.fate = fate


@kernel(_nrt=False)
def end(w: Any, path: Any, row: Any, where: Any, fate: Any) -> None:
    """A segment ends: count why, and give its row back."""
    path.fates[fate] += 1
    if fate != DELIVERED:
        write_log(w, path, row, where, fate)
    give_segment(w, row)


@kernel(_nrt=False)
def is_lost(path: Any) -> Any:
    """Draw whether a frame is lost at random: a hash of the seed and of a running number."""
    clock = path.clock
    if clock[K_LOSS] == 0:
        return False
    x = u64(clock[K_SEED]) + u64(clock[K_ORDER]) * u64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> u64(27))) * u64(0x94D049BB133111EB)
    x ^= x >> u64(31)
    return np.int64(x >> u64(32)) < clock[K_LOSS]


@kernel(_nrt=False)
def travel(w: Any, path: Any, row: Any, link: Any, where: Any, lossy: Any) -> None:
    """Put a segment on a link at `now`; it ends there when there is no room, or when it is lost."""
    clock = path.clock
    pipe = path.pipes[link]
    f = path.flights[row]
    on_wire = cross(pipe, clock[K_NOW], np.int64(f["size"]) + BETWEEN_FRAMES)
    if on_wire < 0:
        end(w, path, row, where, QUEUE_FULL)
        return
    clock[K_ORDER] += 1
    if lossy and is_lost(path):
        pipe.lost += 1
        end(w, path, row, where, LOST_AT_RANDOM)
        return
    f.hop = link
    f.order = clock[K_ORDER]
    own = np.int64(-1)
    if link in (UP, DOWN):
        sender = np.int64(w.segments[row].sender)
        own = path.attach[sender if link == UP else sender ^ 1].delay
    if own >= 0:
        f.at = on_wire + own
        word = (clock[K_ORDER] << ORDER_SHIFT) | (np.int64(HOP) << KIND_SHIFT) | np.int64(row)
        heap_push(path.times, path.words, clock[K_HEAP], f.at, word)
        clock[K_HEAP] += 1
        return
    f.at = on_wire + pipe.delay
    if pipe.tail == 0:
        path.heads[link, 0] = f.at
        path.heads[link, 1] = f.order
    pipe_put(path.flights, pipe, np.int64(row))


@kernel(_nrt=False)
def hold(w: Any, path: Any, row: Any, where: Any) -> None:
    """Keep a segment for a VM that is away, as long as there is room."""
    clock = path.clock
    if clock[K_HELD] >= clock[K_HOLD_LIMIT]:
        end(w, path, row, where, HOLD_FULL)
        return
    path.held[clock[K_HELD]] = row
    clock[K_HELD] += 1
    clock[K_HELD_MOST] = max(clock[K_HELD_MOST], clock[K_HELD])


@kernel(_nrt=False)
def leave_client(w: Any, path: Any, row: Any) -> None:
    """A client sends a segment."""
    write_log(w, path, row, AT_CLIENT, DELIVERED)
    travel(w, path, row, UP, AT_CLIENT, True)


@kernel(_nrt=False)
def leave_vm(w: Any, path: Any, row: Any, at: Any) -> None:
    """The VM sends a segment, on host `at`."""
    clock = path.clock
    write_log(w, path, row, AT_VM, DELIVERED)
    a = path.attach[w.segments[row].sender]
    a.lost_until = min(a.lost_until, clock[K_NOW])
    size = path.flights[row]["size"]
    if clock[K_MUTE] != 0:
        end(w, path, row, AT_VM, MUTED)
        return
    clock[K_DECISIONS] += 1
    if at == SOURCE:
        word = word_out(path.headers, path.source, a.frame, size, clock[K_NOW])
        fate = why_not(word, path.source.ports[H_UPLINK_PORT])
    else:
        word = word_out(path.headers, path.target, a.frame, size, clock[K_NOW])
        fate = why_not(word, path.target.ports[H_UPLINK_PORT])
    if fate != 0:
        end(w, path, row, AT_VM, fate)
        return
    f = path.flights[row]
    f.host = at
    # Rule: IEEE 802.1Q: the tag of the VM's VLAN is added behind its access port
    if word & u64(PUSH):
        f["size"] = np.int64(f["size"]) + 4
    write_log(w, path, row, AT_SOURCE + at, DELIVERED)
    travel(w, path, row, OUT + at, AT_SOURCE + at, False)


@kernel(_nrt=False)
def copy_segment(w: Any, path: Any, row: Any) -> Any:
    """Return another row with the same segment, for a flooded copy."""
    other = take_segment(w)
    w.segments[other] = w.segments[row]
    path.flights[other] = path.flights[row]
    path.clock[K_COPIES] += 1
    return other


@kernel(_nrt=False)
def cam_port(path: Any, entry: Any) -> Any:
    """Return the port that the physical switch knows for a VM, NOWHERE when it floods."""
    if entry.seen < 0 or path.clock[K_NOW] - entry.seen > path.clock[K_CAM_AGE]:
        return np.int64(NOWHERE)
    return entry.port


@kernel(_nrt=False)
def cam_learn(path: Any, entry: Any, at: Any) -> None:
    """The physical switch sees a frame of the VM on a port."""
    if at == TARGET and entry.moved < 0:
        entry.moved = path.clock[K_NOW]
    entry.port = at
    entry.seen = path.clock[K_NOW]


@kernel(_nrt=False)
def at_switch(w: Any, path: Any, row: Any) -> None:
    """A segment is in the physical switch: learn, look up, send on."""
    clock = path.clock
    p = w.segments[row]
    f = path.flights[row]
    a = path.attach[p.sender]
    entry = path.cam[a.cam]
    dark_until = a.dark_until if a.vm != 0 else path.attach[np.int64(p.sender) ^ 1].dark_until
    if clock[K_NOW] < dark_until:
        if clock[K_HOLD] != 0:
            hold(w, path, row, AT_CLIENT if a.vm == 0 else AT_SOURCE)
        else:
            end(w, path, row, AT_CLIENT if a.vm == 0 else AT_SOURCE, DARK)
        return
    if np.int64(f["size"]) > clock[K_MTU]:
        end(w, path, row, AT_CLIENT if a.vm == 0 else AT_SOURCE + np.int64(f.host), PATH_MTU)
        return
    if a.vm != 0:
        cam_learn(path, entry, np.int64(f.host))
        travel(w, path, row, DOWN, AT_SOURCE + np.int64(f.host), True)
        return
    port = cam_port(path, entry)
    if clock[K_NOW] < path.attach[np.int64(p.sender) ^ 1].lost_until:
        port = np.int64(SOURCE)
    if port != TARGET:
        if port == NOWHERE:
            other = copy_segment(w, path, row)
            path.flights[other].host = TARGET
            travel(w, path, other, IN + TARGET, AT_CLIENT, False)
        f.host = SOURCE
        travel(w, path, row, IN + SOURCE, AT_CLIENT, False)
        return
    f.host = TARGET
    travel(w, path, row, IN + TARGET, AT_CLIENT, False)


@kernel(_nrt=False)
def at_host(w: Any, path: Any, row: Any) -> Any:
    """A segment is at a host's adapter; tell whether the VM gets it now.

    A segment for a VM that stands still is dropped or held; one that comes to the
    source too late is what its switch makes of it, unless frames are held: then it
    follows.
    """
    clock = path.clock
    p = w.segments[row]
    f = path.flights[row]
    at = np.int64(f.host)
    where = AT_SOURCE + at
    peer = path.attach[np.int64(p.sender) ^ 1]
    frame = path.attach[p.sender].frame
    write_log(w, path, row, where, DELIVERED)
    clock[K_DECISIONS] += 1
    if at == SOURCE:
        word = word_in(path.headers, path.source, frame, f["size"], clock[K_NOW])
        fate = why_not(word, path.source.ports[H_VM_PORT])
    else:
        word = word_in(path.headers, path.target, frame, f["size"], clock[K_NOW])
        fate = why_not(word, path.target.ports[H_VM_PORT])
    away = peer.frozen_at >= 0
    if fate == 0 and not away:
        write_log(w, path, row, AT_VM, DELIVERED)
        return True
    late = fate != 0 and at == SOURCE and path.source.ports[H_VM_PORT] < 0
    if late:
        clock[K_LATE] += 1
    if clock[K_HOLD] != 0 and (fate == 0 or late):
        if away:
            hold(w, path, row, where)
        else:
            f.host = TARGET
            travel(w, path, row, IN + TARGET, where, False)
        return False
    end(w, path, row, where, fate if fate != 0 else SUSPENDED)
    return False
