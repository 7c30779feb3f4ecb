"""What the peer has reported by SACK, in the chain of sent segments.

SACKed segments that touch become one row, so that a chain is as long as what is not
SACKed and the runs between. The runs that grew last are remembered: a block that
says nothing new is recognized without a walk, and one that has grown is found at
once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from migration.tcp.pools_kernel import give_sent, take_sent
from migration.tcp.state_kernel import (
    C_SENT_LEFT,
    EVER_RESENT,
    HAS_FIN,
    LOST,
    MORE_SHIFT,
    NEVER,
    RESENT,
    SACKED,
    SMALL,
    US,
    WINDOW_MAX,
)
from pcaps.jit import kernel

ADVANCED, NEW_SACK, ORIGINAL, DSACKED, RESENT_TOO = 1, 2, 4, 8, 16
"""What an acknowledgement has brought: new bytes; newly SACKed segments; a segment that was never
sent again, from before the loss; a duplicate reported (DSACK); a segment that was sent again."""


@kernel(_nrt=False)
def drop_sent(w: Any, s: Any, row: Any, heir: Any) -> None:
    """Give a row of the chain back; what pointed at it points at `heir` from now on."""
    if s.frontier == row:
        s.frontier = heir
    if s.lost_row == row:
        s.lost_row = heir
    if s.sacked != 0 or w.sent[row].marks & SACKED:
        for i in range(4):
            if s.runs[i] == row:
                s.runs[i] = 0
    give_sent(w, row)


@kernel(_nrt=False)
def delivered(s: Any, stack: Any, q: Any, fack: Any, now: Any) -> Any:
    """Note that a segment has arrived, cumulatively or selectively; return what that tells.

    fack: the highest delivered position before this acknowledgement.
    """
    found = 0
    if q.marks & EVER_RESENT == 0:
        if q.stop <= s.recover:
            found = ORIGINAL
        # Rule: RFC 8985 section 6.2 step 3: sent once, and delivered behind a later one
        if q.stop < fack:
            s.reordered = 1
    if q.marks & LOST:
        s.lost -= 1
        if q.marks & RESENT == 0:
            s.to_resend -= 1
    if q.marks & RESENT:
        s.resent -= 1
    if q.marks & SMALL:
        s.smalls -= 1
    s.fack = max(s.fack, q.stop)
    if stack.rack != 0:
        # Rule: RFC 8985 section 6.2 step 2: the answer may be to the first transmission
        rtt = now - q.at
        if q.marks & EVER_RESENT == 0 or rtt >= np.int64(s.min_rtt) * US:
            s.rack_rtt = min(rtt // US, np.int64(WINDOW_MAX))
            if q.at > s.rack_ts or (q.at == s.rack_ts and q.stop > s.rack_end):
                s.rack_ts = q.at
                s.rack_end = q.stop
    return found


@kernel(_nrt=False)
def take_duplicate(s: Any, stack: Any, p: Any) -> Any:
    """Tell whether the first SACK block reports a duplicate. Rule: RFC 2883 section 4.

    It does when it lies below the acknowledgement, or inside the second block.
    """
    start, stop = p.sack[0, 0], p.sack[0, 1]
    inside = p.blocks > 1 and start >= p.sack[1, 0] and stop <= p.sack[1, 1]
    if start >= p.ack and not inside:
        return False
    if s.undo_marker >= 0 and s.undo_resent > 0 and s.undo_marker < stop <= s.una:
        pieces = max((stop - start) // np.int64(s.mss), 1)
        s.undo_resent = max(np.int64(s.undo_resent) - pieces, 0)
    # Rule: RFC 8985 section 6.2 step 4: once in a round trip; it lasts 16 recoveries
    if s.widened == 0:
        s.reo_steps = min(np.int64(s.reo_steps) + 1, 255)
        s.reo_left = 16
        s.widened = 1
    return True


@kernel(_nrt=False)
def absorb(w: Any, s: Any, run: Any, row: Any) -> None:
    """Join the SACKed row behind a run to it."""
    a = w.sent[run]
    q = w.sent[row]
    more = np.int64(q.marks) >> MORE_SHIFT
    a.stop = q.stop
    a.next = q.next
    a.marks = np.int64(a.marks) + ((more + 1) << MORE_SHIFT) | (
        np.int64(q.marks) & np.int64(EVER_RESENT | HAS_FIN)
    )
    if s.tail == row:
        s.tail = run
    drop_sent(w, s, row, run)


@kernel(_nrt=False)
def to_front(s: Any, run: Any) -> None:
    """Remember a run as the one that grew last."""
    moving = np.int64(run)
    for i in range(4):
        was = np.int64(s.runs[i])
        s.runs[i] = moving
        if was == run:
            return
        moving = was


@kernel(_nrt=False)
def nearest_run(w: Any, s: Any, start: Any) -> Any:
    """Return the remembered run that begins last at or before `start`; 0 when there is none."""
    found = np.int64(0)
    for i in range(4):
        run = np.int64(s.runs[i])
        if run != 0 and w.sent[run].start <= start:
            if found == 0 or w.sent[run].start > w.sent[found].start:
                found = run
    return found


@kernel(_nrt=False)
def mark_block(w: Any, s: Any, stack: Any, start: Any, stop: Any, fack: Any, now: Any) -> Any:
    """Mark what one block reports; return what that brought."""
    found = 0
    row = nearest_run(w, s, start)
    if row == 0:
        row = np.int64(s.head)
    elif w.sent[row].stop >= stop:
        return found
    run = np.int64(0)  # the SACKed row directly before `row`
    grown = np.int64(0)
    while row != 0:
        q = w.sent[row]
        follower = np.int64(q.next)
        if q.marks & SACKED:
            if run != 0:
                if grown == row:
                    grown = run
                absorb(w, s, run, row)
            else:
                if q.start >= stop:
                    break
                run = row
        elif q.start >= stop:
            break
        elif q.start >= start and q.stop <= stop:
            found |= NEW_SACK | delivered(s, stack, q, fack, now)
            q.marks = (np.int64(q.marks) & np.int64(EVER_RESENT | HAS_FIN)) | SACKED
            s.sacked += 1
            if run != 0:
                absorb(w, s, run, row)
            else:
                run = row
            grown = run
        else:
            run = np.int64(0)
        row = follower
    if grown != 0:
        to_front(s, grown)
    return found


@kernel(_nrt=False)
def take_sack(w: Any, s: Any, stack: Any, p: Any, now: Any) -> Any:
    """Mark what the SACK blocks report; return what they brought. Rule: RFC 6675 section 4, Update()."""
    found = 0
    first = 0
    if take_duplicate(s, stack, p):
        first = 1
        found = DSACKED
    fack = s.fack
    last = np.int64(-1)
    for _ in range(first, np.int64(p.blocks)):
        # in stream order, as they were sent
        start, stop = np.int64(NEVER), np.int64(NEVER)
        for block in range(first, np.int64(p.blocks)):
            if last < p.sack[block, 0] < start:
                start, stop = p.sack[block, 0], p.sack[block, 1]
        last = start
        if start < stop <= s.nxt and stop > s.una:
            found |= mark_block(w, s, stack, start, stop, fack, now)
    return found


@kernel(_nrt=False)
def take_back(w: Any, s: Any, row: Any) -> None:
    """Take the report on a run back: its rows are segments again, as far as the pool has room.

    Rule: RFC 2018 section 5: the peer may have thrown away what it had reported.
    """
    mss = np.int64(s.mss)
    q = w.sent[row]
    count = 1 + (np.int64(q.marks) >> MORE_SHIFT)
    fin = np.int64(q.marks) & np.int64(HAS_FIN)
    pieces = max((q.stop - q.start - (1 if fin else 0) + mss - 1) // mss, 1)
    if pieces - 1 > w.count[C_SENT_LEFT]:
        return
    s.sacked -= count
    s.packets += pieces - count
    stop = q.stop
    q.marks = EVER_RESENT
    for _ in range(pieces - 1):
        new = take_sent(w)
        r = w.sent[new]
        q.stop = q.start + mss
        r.start = q.stop
        r.stop = stop
        r.at = q.at
        r.next = q.next
        r.marks = EVER_RESENT
        q.next = new
        if s.tail == row:
            s.tail = new
        row = new
        q = r
    q.marks = EVER_RESENT | fin
