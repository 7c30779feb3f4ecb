"""Puts the frames as they came in between the copies that left, in frame order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.words_kernel import DROPPED, kind_of

NONE, DROPS, ALL = 0, 1, 2
"""Which frames are written as they came in."""

INBOUND, OUTBOUND = 1, 2
INGRESS_INTERFACE = 0
NO_COMMENT = -1


class Left(NamedTuple):
    """Copies that left, as in :class:`vswitch.copies.Leaving`: columns of equal length."""

    frame: npt.NDArray[np.uint32]
    port: npt.NDArray[np.uint32]
    strip: npt.NDArray[np.uint8]
    push: npt.NDArray[np.uint32]


class Log(NamedTuple):
    """Records of a capture file, as in :class:`pcaps.copies.Copies`: columns of equal length."""

    frame: npt.NDArray[np.uint32]
    interface: npt.NDArray[np.uint32]
    strip: npt.NDArray[np.uint8]
    push: npt.NDArray[np.uint32]
    packet_id: npt.NDArray[np.uint64]
    direction: npt.NDArray[np.uint8]
    comment: npt.NDArray[np.int64]


@kernel(_nrt=False)
def interleave(
    words: Any,
    left: Any,
    interface_of: Any,
    side: Any,
    number: Any,
    stop: Any,
    frame: Any,
    copy: Any,
    log: Any,
) -> Any:
    """Fill `log` from where the last call ended; return (frame, copy, records written).

    words: uint64[n] decision words; interface_of: uint32[n_ports]; side: NONE,
    DROPS or ALL; number: packet id of frame 0; stop: the first frame whose
    copies are not all in `left`; frame, copy: the next ones to write.
    """
    n = u64(0)
    room = u64(log.frame.size)
    copies = u64(left.frame.size)
    while n < room:
        if copy < copies and u64(left.frame[copy]) < frame:
            of = u64(left.frame[copy])
            log.frame[n] = of
            log.interface[n] = interface_of[u64(left.port[copy])]
            log.strip[n] = left.strip[copy]
            log.push[n] = left.push[copy]
            log.packet_id[n] = number + of
            log.direction[n] = OUTBOUND
            log.comment[n] = NO_COMMENT
            n += u64(1)
            copy += u64(1)
        elif frame < stop:
            word = words[frame]
            dropped = kind_of(word) == u64(DROPPED)
            if side == u64(ALL) or (dropped and side == u64(DROPS)):
                log.frame[n] = frame
                log.interface[n] = INGRESS_INTERFACE
                log.strip[n] = 0
                log.push[n] = 0
                log.packet_id[n] = number + frame
                log.direction[n] = INBOUND
                log.comment[n] = NO_COMMENT
                if dropped:
                    log.comment[n] = np.int64(word & u64(0xFF))
                n += u64(1)
            frame += u64(1)
        else:
            break
    return frame, copy, n
