"""Jumbo frames: what an adapter's *JumboPacket lets through, and hops that do not agree.

Ethernet has no means to find out what the other side takes: a longer frame is
dropped at the first hop that does not take it, whole. Source: NDIS documentation,
standardized INF keywords, *JumboPacket counts the 14-byte header and not the FCS
(read); that a tag of 4 bytes comes on top is derived.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pcaps.frames import Frames

HEADER_BYTES, TAG_BYTES = 14, 4
STANDARD_MTU = 1500


def fits(frames: Frames, jumbo_packet: int) -> npt.NDArray[np.bool_]:
    """Tell which frames an adapter takes.

    Parameters
    ----------
    frames : Frames
        Any batch.
    jumbo_packet : int
        *JumboPacket: longest frame in bytes, with its header, without FCS and outer tag.

    Returns
    -------
    numpy.ndarray
        ``bool[n]``; the others are dropped on board (``adapter-over-size``).
    """
    tagged = frames.headers.tags > 0
    return frames.wirelen.astype(np.int64) - TAG_BYTES * tagged <= jumbo_packet


def disagreement(mtus: Mapping[str, int]) -> str | None:
    """Tell when jumbo frames are on at one hop and not at another.

    Parameters
    ----------
    mtus : mapping of str to int
        MTU in bytes of each hop, by name.

    Returns
    -------
    str or None
        One sentence that names both sides and the drops that follow; None when all take
        the same, or none takes jumbo frames.
    """
    if not mtus or max(mtus.values()) <= STANDARD_MTU or len(set(mtus.values())) == 1:
        return None
    large, small = max(mtus, key=lambda hop: mtus[hop]), min(mtus, key=lambda hop: mtus[hop])
    others = sum(mtu == mtus[small] for mtu in mtus.values()) - 1
    and_others = f" and {others} more" if others else ""
    return (
        f"jumbo frames on one side only: {large} has MTU {mtus[large]}, {small}{and_others} "
        f"{mtus[small]}; frames longer than {mtus[small] + HEADER_BYTES} bytes are dropped there"
    )
