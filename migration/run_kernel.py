"""The event loop: endpoints, applications and segments in virtual time.

One call runs until a given time, or until something is full; whoever calls it
changes the scene (ports, queues, who runs where) between two calls. The same
input gives the same events in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.agenda_kernel import (
    HOP,
    ID_MASK,
    KIND_SHIFT,
    NEVER,
    ORDER_SHIFT,
    START,
    THAW,
    TIMER,
    WAKE,
    heap_pop,
    heap_push,
    pipe_take,
)
from migration.apps_kernel import SILENT, go_on
from migration.path_kernel import (
    AT_CLIENT,
    AT_VM,
    DELIVERED,
    DOWN,
    IN,
    K_DELIVERED,
    K_EVENTS,
    K_HEAP,
    K_HELD,
    K_LOG,
    K_NOTES,
    K_NOW,
    K_ORDER,
    K_SEGMENTS,
    K_UNDECIDED,
    K_VM,
    N_ENDED,
    N_FAST,
    N_PROBE,
    N_TAIL_PROBE,
    N_TIMEOUT,
    PIPES,
    THAWED,
    at_host,
    at_switch,
    leave_client,
    leave_vm,
    option_bytes,
    travel,
    write_log,
)
from migration.tcp.endpoint_kernel import arrive, connect, establish, expire, listen
from migration.tcp.pools_kernel import give_segment
from migration.tcp.state_kernel import (
    ALIVE,
    C_GAP_LEFT,
    C_OUT,
    C_SEGMENT_LEFT,
    C_SENT_LEFT,
    CLOSED,
    DONE,
    LISTEN,
    SENDS_PER_CALL,
    TIMESTAMP_BYTES,
)
from migration.tcp.timing_kernel import next_timer
from pcaps.by_reference import by_reference
from pcaps.jit import kernel

REACHED, EMPTY, ALL_SETTLED, FULL_LOG, FULL_POOL, PAUSE = 0, 1, 2, 3, 4, 5
"""Why the loop returned: the time is reached; nothing more will happen; every connection
has its verdict; the log or the notes, or a pool or the heap, are nearly full; the number of
events is reached."""

ROOM = 2 * SENDS_PER_CALL + 64
"""Rows of pools, notes and heap that one event may take; the log takes up to four times as many."""

SMALLEST_FRAME = 60
"""Bytes of the smallest Ethernet frame, without FCS: IEEE 802.3 section 3.2.8."""


@kernel(_nrt=False)
def push(path: Any, time: Any, kind: Any, what: Any) -> None:
    """Put something that will happen at `time` on the heap."""
    clock = path.clock
    clock[K_ORDER] += 1
    word = (clock[K_ORDER] << ORDER_SHIFT) | (np.int64(kind) << KIND_SHIFT) | np.int64(what)
    heap_push(path.times, path.words, clock[K_HEAP], time, word)
    clock[K_HEAP] += 1


@kernel(_nrt=False)
def note(path: Any, e: Any, kind: Any, seq: Any, size: Any) -> None:
    """Note something that is to be told of an endpoint."""
    n = path.notes[path.clock[K_NOTES]]
    path.clock[K_NOTES] += 1
    n.at = path.clock[K_NOW]
    n.seq = seq
    n["size"] = size
    n.endpoint = e
    n.kind = kind


@kernel(_nrt=False)
def send_out(w: Any, path: Any, e: Any) -> None:
    """Send what the last call of an endpoint has made."""
    clock = path.clock
    a = path.attach[e]
    for i in range(w.count[C_OUT]):
        row = np.int64(w.out[i])
        p = w.segments[row]
        f = path.flights[row]
        size = np.int64(a.overhead) + option_bytes(p) + np.int64(p["size"])
        f["size"] = max(size, np.int64(SMALLEST_FRAME))
        clock[K_SEGMENTS] += 1
        f.number = clock[K_SEGMENTS]
        if p.again != 0:
            kind = N_TIMEOUT
            if p.again == 2:
                kind = N_TAIL_PROBE
            elif p.again == 3:
                kind = N_FAST
            note(path, e, kind, p.seq, p["size"])
        elif p.probe != 0:
            note(path, e, N_PROBE, p.seq, p["size"])
        if a.vm != 0:
            leave_vm(w, path, row, clock[K_VM])
        else:
            leave_client(w, path, row)
    w.count[C_OUT] = 0


@kernel(_nrt=False)
def is_busy(s: Any) -> Any:
    """Tell whether an endpoint waits for the other: something is not acknowledged, or not sent."""
    return s.state > LISTEN and (s.una < s.nxt or s.nxt < s.top)


@kernel(_nrt=False)
def settle_connection(path: Any, e: Any) -> None:
    """The verdict on a connection is known."""
    k = path.attach[e & ~1]
    if k.settled == 0:
        k.settled = 1
        path.clock[K_UNDECIDED] -= 1


@kernel(_nrt=False)
def look(w: Any, path: Any, e: Any) -> None:
    """See how far a connection has come: progress, waiting, the end."""
    now = path.clock[K_NOW]
    s = w.endpoints[e]
    t = w.endpoints[e ^ 1]
    a = path.attach[e]
    k = path.attach[e & ~1]
    moved = s.rcv_nxt > a.got
    if moved:
        a.got = s.rcv_nxt
        if k.waiting >= 0 and now - k.waiting > k.stall:
            k.stall = now - k.waiting
            k.stall_from = k.waiting
    elif s.end != ALIVE and a.ended == 0 and k.waiting >= 0 and now - k.waiting > k.stall:
        k.stall = now - k.waiting  # it was waited for in vain
        k.stall_from = k.waiting
    if not (is_busy(s) or is_busy(t)):
        k.waiting = -1
    elif moved or k.waiting < 0:
        k.waiting = now
    if s.end != ALIVE and a.ended == 0:
        a.ended = 1
        note(path, e, N_ENDED, s.una, 0)
        if s.end != DONE or path.attach[e ^ 1].ended != 0:
            settle_connection(path, e)
    elif moved and k.settled == 0:
        v = a if a.vm != 0 else path.attach[e ^ 1]
        if v.frozen_at == THAWED:
            settle_connection(path, e)


@kernel(_nrt=False)
def schedule(w: Any, path: Any, e: Any) -> None:
    """Make sure that the heap has entries for the endpoint's timer and its application."""
    now = path.clock[K_NOW]
    s = w.endpoints[e]
    a = path.attach[e]
    due = next_timer(s)
    if due < NEVER:
        due = max(due + a.offset, now)
        if due < a.timer:
            a.timer = due
            push(path, due, TIMER, e)
    app = path.apps[e]
    if app.kind != SILENT and app.due < NEVER and s.state != CLOSED:
        due = max(app.due + a.offset, now)
        if due < a.wake:
            a.wake = due
            push(path, due, WAKE, e)


@kernel(_nrt=False)
def finish(w: Any, path: Any, e: Any) -> None:
    """After an endpoint was called: its application, its segments, its timers."""
    s = w.endpoints[e]
    own = path.clock[K_NOW] - path.attach[e].offset
    go_on(w, e, path.apps[e], path.turns, own)
    send_out(w, path, e)
    rounds = 0
    while s.more != 0 and s.state != CLOSED and rounds < 64:
        expire(w, e, own)
        send_out(w, path, e)
        rounds += 1
    look(w, path, e)
    schedule(w, path, e)


@kernel(_nrt=False)
def agree(s: Any, t: Any, ours: Any, theirs: Any) -> None:
    """Give both ends the options that both have, as the handshake that nobody saw did."""
    s.sack_ok = t.sack_ok = 1 if ours.sack != 0 and theirs.sack != 0 else 0
    both = ours.timestamps != 0 and theirs.timestamps != 0
    for one in (s, t):
        if one.ts_ok != 0 and not both:
            one.ts_ok = 0
            one.mss = np.int64(one.mss) + TIMESTAMP_BYTES
    if ours.scale >= 0 and theirs.scale >= 0:
        s.snd_scale = t.rcv_scale = theirs.scale
        t.snd_scale = s.rcv_scale = ours.scale
    else:
        s.scaled = t.scaled = 0
        s.snd_scale = s.rcv_scale = t.snd_scale = t.rcv_scale = 0


@kernel(_nrt=False)
def begin(w: Any, path: Any, e: Any) -> None:
    """A connection begins: the active end sends its SYN, or both are in the middle of it."""
    a = path.attach[e]
    peer = e ^ 1
    own = path.clock[K_NOW] - a.offset
    a.pending = 0
    other = path.clock[K_NOW] - path.attach[peer].offset
    if a.midway != 0:
        s, t = w.endpoints[e], w.endpoints[peer]
        ours, theirs = w.stacks[s.stack], w.stacks[t.stack]
        mss = np.int64(t.mss) if t.mss != 0 else theirs.mss
        other_mss = np.int64(s.mss) if s.mss != 0 else ours.mss
        establish(w, e, own, 1, 1, np.int64(t.buffer), mss)
        establish(w, peer, other, 1, 1, np.int64(s.buffer), other_mss)
        agree(s, t, ours, theirs)
    else:
        listen(w, peer)
        connect(w, e, own)
    finish(w, path, e)
    if a.midway != 0:
        finish(w, path, peer)


@kernel(_nrt=False)
def deliver(w: Any, path: Any, row: Any, e: Any) -> None:
    """A segment has arrived at its endpoint."""
    path.clock[K_DELIVERED] += 1
    path.fates[DELIVERED] += 1
    w.count[C_OUT] = 0
    arrive(w, e, row, path.clock[K_NOW] - path.attach[e].offset)
    give_segment(w, row)
    finish(w, path, e)


@kernel(_nrt=False)
def hop(w: Any, path: Any, row: Any) -> None:
    """A segment is at the end of a link."""
    link = np.int64(path.flights[row].hop)
    if link == DOWN:
        write_log(w, path, row, AT_CLIENT, DELIVERED)
        deliver(w, path, row, np.int64(w.segments[row].sender) ^ 1)
    elif link == IN or link == IN + 1:
        if at_host(w, path, row):
            deliver(w, path, row, np.int64(w.segments[row].sender) ^ 1)
    else:
        at_switch(w, path, row)


@kernel(_nrt=False)
def release(w: Any, path: Any, connection: Any) -> None:
    """Send on what was held, in order: of one connection, or, when that is -1, of all."""
    clock = path.clock
    n = clock[K_HELD]
    left = 0
    for i in range(n):
        row = path.held[i]
        if connection >= 0 and np.int64(w.segments[row].sender) >> 1 != connection:
            path.held[left] = row
            left += 1
            continue
        f = path.flights[row]
        if not (np.int64(f.hop) >= IN and np.int64(f.hop) < IN + 2):
            at_switch(w, path, row)
        elif np.int64(f.host) != clock[K_VM]:
            f.host = clock[K_VM]
            travel(w, path, row, IN + clock[K_VM], AT_CLIENT, False)
        elif path.attach[np.int64(w.segments[row].sender) ^ 1].frozen_at >= 0:
            path.held[left] = row
            left += 1
        else:
            # it has crossed the link and was decided: it waits in the VM's queue
            write_log(w, path, row, AT_VM, DELIVERED)
            deliver(w, path, row, np.int64(w.segments[row].sender) ^ 1)
    clock[K_HELD] = left


@kernel(_nrt=False)
def thaw(w: Any, path: Any, e: Any) -> None:
    """A machine's clock goes on, as far as one endpoint in it is concerned."""
    now = path.clock[K_NOW]
    a = path.attach[e]
    if a.frozen_at >= 0:
        a.offset += now - a.frozen_at
    a.frozen_at = THAWED
    a.timer = NEVER
    a.wake = NEVER
    release(w, path, e >> 1)
    w.count[C_OUT] = 0
    if a.pending != 0:
        begin(w, path, e)
        return
    if path.attach[e & ~1].waiting < 0 and w.endpoints[e].state > LISTEN:
        settle_connection(path, e)
    finish(w, path, e)


@kernel(_nrt=False)
def happen(w: Any, path: Any, kind: Any, what: Any) -> None:
    """Let a heap entry happen."""
    now = path.clock[K_NOW]
    if kind == HOP:
        hop(w, path, what)
        return
    a = path.attach[what]
    w.count[C_OUT] = 0
    if kind == TIMER:
        if a.timer != now:
            return  # another entry took its place
        a.timer = NEVER
        if a.frozen_at >= 0:
            return
        if next_timer(w.endpoints[what]) + a.offset <= now:
            expire(w, what, now - a.offset)
            finish(w, path, what)
        else:
            schedule(w, path, what)
    elif kind == WAKE:
        if a.wake != now:
            return
        a.wake = NEVER
        if a.frozen_at < 0:
            finish(w, path, what)
    elif kind == THAW:
        thaw(w, path, what)
    elif a.frozen_at >= 0:
        a.pending = 1
    elif a.start + a.offset > now:
        push(path, a.start + a.offset, START, what)
    else:
        begin(w, path, what)


@kernel(_nrt=False)
def freeze(path: Any) -> None:
    """The VM's clock stops, and with it every timer in it."""
    for e in range(len(path.attach)):
        a = path.attach[e]
        if a.vm != 0:
            a.frozen_at = path.clock[K_NOW]


@kernel(_nrt=False)
def darken(path: Any, until: Any) -> None:
    """The network is dark until `until`; for connections with a longer blackout, longer."""
    for e in range(len(path.attach)):
        a = path.attach[e]
        if a.vm != 0:
            a.dark_until = until + a.shift


@kernel(_nrt=False)
def resume(path: Any) -> None:
    """The VM's clock goes on; for connections with a longer blackout, later."""
    for e in range(len(path.attach)):
        a = path.attach[e]
        if a.vm != 0:
            push(path, path.clock[K_NOW] + a.shift, THAW, e)


@kernel(_nrt=False)
def release_all(world: Any, stage: Any) -> None:
    """Send on everything that was held, in order."""
    release(by_reference(world), by_reference(stage), np.int64(-1))


@kernel(_nrt=False)
def resume_all(stage: Any) -> None:
    """The VM's clock goes on; for connections with a longer blackout, later."""
    resume(by_reference(stage))


@kernel(_nrt=False)
def start(stage: Any, order: Any) -> None:
    """Put the beginnings of connections, `order` being their active ends, on the heap."""
    path = by_reference(stage)
    for e in order:
        push(path, path.attach[e].start, START, e)


@kernel(_nrt=False)
def is_short_of_room(w: Any, path: Any) -> Any:
    """Return FULL_LOG or FULL_POOL when the next event might not find room, else 0."""
    clock = path.clock
    if clock[K_LOG] + 4 * ROOM > len(path.log) or clock[K_NOTES] + ROOM > len(path.notes):
        return FULL_LOG
    count = w.count
    if min(count[C_SENT_LEFT], count[C_SEGMENT_LEFT], count[C_GAP_LEFT]) < ROOM:
        return FULL_POOL
    return FULL_POOL if clock[K_HEAP] + 2 * ROOM > len(path.times) else 0


@kernel(_nrt=False)
def run(world: Any, stage: Any, until: Any, settled: Any, most: Any) -> Any:
    """Run the events before `until`; return why it stopped.

    settled: 1: stop when no connection is without verdict; most: events at the
    most.
    """
    w = by_reference(world)
    path = by_reference(stage)
    clock = path.clock
    heads = path.heads
    last = clock[K_EVENTS] + most
    while True:
        best = np.int64(NEVER)
        order = np.int64(0)
        which = np.int64(-1)
        if clock[K_HEAP] > 0:
            best = path.times[0]
            order = path.words[0] >> ORDER_SHIFT
            which = np.int64(PIPES)
        for k in range(PIPES):
            time = heads[k, 0]
            if time < best or (time == best and heads[k, 1] < order):
                best = time
                order = heads[k, 1]
                which = np.int64(k)
        if which < 0:
            return EMPTY
        if best >= until:
            clock[K_NOW] = until
            return REACHED
        if settled != 0 and clock[K_UNDECIDED] == 0:
            return ALL_SETTLED
        short = is_short_of_room(w, path)
        if short != 0:
            return short
        if clock[K_EVENTS] >= last:
            return PAUSE
        clock[K_NOW] = best
        clock[K_EVENTS] += 1
        if which == PIPES:
            word = path.words[0]
            heap_pop(path.times, path.words, clock[K_HEAP])
            clock[K_HEAP] -= 1
            happen(w, path, (word >> KIND_SHIFT) & 15, word & ID_MASK)
            continue
        pipe = path.pipes[which]
        row = pipe_take(path.flights, pipe)
        if pipe.head != 0:
            heads[which, 0] = path.flights[pipe.head].at
            heads[which, 1] = path.flights[pipe.head].order
        else:
            heads[which, 0] = NEVER
        hop(w, path, row)
