"""VLAN offload: the adapter takes the 802.1Q tag off received frames, and puts it on sent ones.

The tag travels beside the frame. Guarantees: what is taken off and put on again is
the frame that came; inner tags stay; a frame that the capture cut inside its tag
keeps its bytes. Sources: NDIS documentation, network/setting-a-vmq-filter (the tag
of a MAC-only filter's frame goes out of band; read) and the structure
NDIS_NET_BUFFER_LIST_8021Q_INFO.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps.batches import copy_batch
from pcaps.frames import Frames

TPID = 0x8100
"""The only tag that an adapter of that time knows; 0x88a8 is part of the frame to it."""

_TAGGED = 16


@dataclass(frozen=True, eq=False)
class Untagged:
    """Frames without their outer tag.

    Parameters
    ----------
    frames : Frames
        A copy.
    tag : numpy.ndarray
        ``uint32[n]``: the tag's four bytes as :func:`pcaps.copies.tag_word`, 0 where there
        was none.
    """

    frames: Frames
    tag: npt.NDArray[np.uint32]


def strip_tags(frames: Frames) -> Untagged:
    """Take the outer 802.1Q tag off each frame that has one.

    Parameters
    ----------
    frames : Frames
        Any batch.

    Returns
    -------
    Untagged
        The frames, and their tags beside them.
    """
    tagged = (frames.headers.outer_tpid == TPID) & (frames.caplen >= _TAGGED)
    tag = np.zeros(len(frames), np.uint32)
    places = frames.start[tagged][:, None] + np.arange(12, 16)
    tag[tagged] = np.ascontiguousarray(frames.data[places]).view("<u4").reshape(-1)
    return Untagged(copy_batch(frames, strip=tagged.astype(np.uint8))[0], tag)


def insert_tags(frames: Frames, tag: npt.NDArray[np.uint32]) -> Frames:
    """Put a tag on each frame that is to have one.

    Parameters
    ----------
    frames : Frames
        Any batch.
    tag : numpy.ndarray
        ``uint32[n]``: as from :func:`strip_tags`, 0 for none.

    Returns
    -------
    Frames
        A copy; frames that were cut inside their addresses keep their bytes.
    """
    push = np.where(frames.caplen >= 12, tag, 0).astype(np.uint32)
    return copy_batch(frames, push=push)[0]
