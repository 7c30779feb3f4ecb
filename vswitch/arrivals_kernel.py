"""When frames arrive: times of a capture, or a rate, and the wire that they come by.

State of a run, int64[]: FIRST (timestamp of a capture's first frame, ns) and BASE
(when that frame was asked for, ps), ASKED (when the last one was), WIRE_FREE (when the
wire is free), ARRIVED (when the last one was in the host), FRAMES and BITS so far,
BEGAN (0 at the beginning of each capture), TOO_LONG (set when times leave the range).
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel

BY_TIMES, BY_BITS, BY_FRAMES = 0, 1, 2
FIRST, BASE, ASKED, WIRE_FREE, ARRIVED, FRAMES, BITS, BEGAN, TOO_LONG = range(9)
STATE_WORDS = 9

WIRE_EXTRA = 24
"""Bytes beside those of a captured frame: FCS 4, preamble 8, gap 12 (IEEE 802.3)."""
SHORTEST = 60
"""Shorter frames are padded on the wire (64 bytes with FCS)."""
LONGEST_PS = 8e18
"""Some 92 days: times beyond do not fit."""


@kernel
def arrive(
    ts_ns: Any,
    wirelen: Any,
    from_wire: Any,
    mode: Any,
    scale: Any,
    ps_per_byte: Any,
    state: Any,
    arrived: Any,
) -> None:
    """Write when the last byte of each frame of a batch is in the host, ps.

    ts_ns: int64[n]; wirelen: uint32[n]; from_wire: uint8[n], 0 for frames that VMs
    send; mode: BY_TIMES, BY_BITS or BY_FRAMES; scale: float64, ps for a nanosecond of
    the capture, a bit, or a frame; ps_per_byte: float64, of the wire; state:
    int64[STATE_WORDS]; arrived: int64[n], never decreasing.
    """
    for i in range(ts_ns.size):
        if state[BEGAN] == 0:
            state[BEGAN] = 1
            state[FIRST] = ts_ns[i]
            state[BASE] = state[ASKED]
        if mode == BY_TIMES:
            asked = state[BASE] + float(ts_ns[i] - state[FIRST]) * scale
        elif mode == BY_BITS:
            asked = state[BITS] * scale
        else:
            asked = state[FRAMES] * scale
        state[FRAMES] += 1
        state[BITS] += 8 * int(wirelen[i])
        if asked > LONGEST_PS:
            state[TOO_LONG] = 1
            asked = 0.0
        # Rule: a capture's times may go back; a frame then comes with the one before it
        when = max(int(asked), state[ASKED])
        state[ASKED] = when
        if from_wire[i]:
            size = max(int(wirelen[i]), SHORTEST) + WIRE_EXTRA
            when = max(when, state[WIRE_FREE]) + int(size * ps_per_byte)
            state[WIRE_FREE] = when
        # frames of VMs do not overtake those of the wire that came before them
        when = max(when, state[ARRIVED])
        state[ARRIVED] = when
        arrived[i] = when
