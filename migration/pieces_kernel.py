"""Which segment showed each byte of a stream first, compiled.

Each direction's data segments are walked in the order of their positions; where
several show a byte, the one that was captured first has it. The bytes that none
showed are counted.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from migration.streams_kernel import (
    NEW,
    OPENING,
    OUT_OF_ORDER,
    RETRANSMISSION,
    WINDOW_PROBE,
)
from pcaps.jit import kernel
from pcaps.memory import copy, u64

PIECE = np.dtype((np.record, np.dtype([("at", "i8"), ("size", "i8"), ("row", "i8")])))
"""Bytes of a stream that one segment was the first to show; in order of position."""


@kernel
def _holds_data(row: Any, side: Any) -> Any:
    """Tell whether a segment shows bytes of a side's stream."""
    return (
        row.side == side
        and row.length > 0
        and (row.kind == OPENING or NEW <= row.kind <= RETRANSMISSION or row.kind == WINDOW_PROBE)
    )


@kernel
def _paint(rows: Any, chosen: Any, pieces: Any, n: Any) -> Any:
    """Give every byte to the first segment that shows it; `chosen` is ordered by position.

    Returns the number of pieces, counted on from `n`.
    """
    waiting = [np.int64(0) for _ in range(0)]
    first, k = n, 0
    at = np.int64(0)
    while k < chosen.size or len(waiting) > 0:
        if len(waiting) == 0:
            at = max(at, rows[chosen[k]].at)
        while k < chosen.size and rows[chosen[k]].at <= at:
            heapq.heappush(waiting, chosen[k])
            k += 1
        owner = waiting[0]
        end = rows[owner].at + rows[owner].length
        if end <= at:
            heapq.heappop(waiting)
            continue
        if k < chosen.size:
            end = min(end, rows[chosen[k]].at)
        if (
            n > first
            and pieces[n - 1].row == owner
            and pieces[n - 1].at + pieces[n - 1]["size"] == at
        ):
            pieces[n - 1]["size"] += end - at
        else:
            pieces[n].at, pieces[n]["size"], pieces[n].row = at, end - at, owner
            n += 1
        rows[owner].fresh += np.int32(end - at)
        at = end
    return n


@kernel
def _measure(rows: Any, side: Any, peer: Any, pieces: Any) -> None:
    """Fill in the length of a stream, and what of it was never seen."""
    at = np.int64(0)
    for k in range(side.first_piece, side.first_piece + side.pieces):
        piece = pieces[k]
        side.lost += piece.at - at
        row = rows[piece.row]
        side.cut += piece["size"] - max(
            np.int64(0), min(piece["size"], row.at + np.int64(row.captured) - piece.at)
        )
        at = piece.at + piece["size"]
    if side.fin >= 0:
        side["size"] = side.fin
    elif side.acked == at + 1 and peer.fin >= 0:
        # one number acknowledged behind the last byte, at the close: a FIN that was not captured
        side["size"] = at
        side.fin = at
    else:
        side["size"] = max(at, side.acked)
    side.lost += side["size"] - at


@kernel
def find_pieces(rows: Any, sessions: Any, sides: Any, pieces: Any) -> Any:
    """Find which segment showed each byte first; return the number of pieces.

    `pieces` has room for twice the data segments. Segments without a new byte
    become retransmissions, and the sides' figures are completed.
    """
    n = 0
    for number in range(sessions.size):
        session = sessions[number]
        last = session.first + session.count
        for x in range(2):
            side, peer = sides[2 * number + x], sides[2 * number + 1 - x]
            held = 0
            for at in range(session.first, last):
                held += _holds_data(rows[at], x)
            chosen = np.empty(held, np.int64)
            held, ordered = 0, True
            for at in range(session.first, last):
                if _holds_data(rows[at], x):
                    chosen[held] = at
                    if held and rows[at].at < rows[chosen[held - 1]].at:
                        ordered = False
                    held += 1
            if not ordered:
                positions = np.empty(held, np.int64)
                for k in range(held):
                    positions[k] = rows[chosen[k]].at
                chosen = chosen[np.argsort(positions, kind="mergesort")]
            side.first_piece = n
            n = _paint(rows, chosen, pieces, n)
            side.pieces = n - side.first_piece
            _measure(rows, side, peer, pieces)
            for k in range(held):
                row = rows[chosen[k]]
                if row.fresh == 0 and row.kind != WINDOW_PROBE:
                    row.kind = RETRANSMISSION
                    side.retransmissions += 1
                elif row.kind == OUT_OF_ORDER:
                    side.out_of_order += 1
    return n


@kernel
def gather(pieces: Any, rows: Any, first: Any, n: Any, data: Any, base: Any, to: Any) -> None:
    """Copy the captured bytes of pieces that lie in `data` (places from `base` on) into a stream."""
    for k in range(first, first + n):
        piece = pieces[k]
        row = rows[piece.row]
        skip = piece.at - row.at
        size = min(piece["size"], np.int64(row.captured) - skip)
        place = row.place + skip - base
        if size <= 0 or row.place < base or place + size > data.size:
            continue
        if piece.at + size > to.size:
            size = to.size - piece.at
        copy(to, u64(piece.at), data, u64(place), u64(size))
