"""Random frames and copies for the writers' tests."""

from __future__ import annotations

import numpy as np

from pcaps.copies import NO_COMMENT, NO_QUEUE, QUEUE_OF_INTERFACE, Copies, tag_word
from pcaps.frames import Frames


def random_frames(rng: np.random.Generator, n: int, longest: int = 1600) -> Frames:
    """Frames of every length from 0 on, some of them cut, in shuffled order."""
    lengths = rng.integers(0, longest, n)
    lengths[: n // 2] = rng.integers(0, 40, n // 2)
    batch = Frames.from_bytes(
        [rng.bytes(int(length)) for length in lengths],
        wirelen=[int(length) + int(rng.integers(0, 2)) * 100 for length in lengths],
        ts_ns=[int(ts) for ts in rng.integers(-5, 2**62, n)],
    )
    return batch[rng.permutation(n)]


def random_copies(
    rng: np.random.Generator, frames: Frames, n: int, n_interfaces: int, n_comments: int
) -> Copies:
    """Copies with every column in use, tags changed only where they were captured."""
    frame = rng.integers(0, len(frames), n)
    caplen = frames.caplen[frame]
    push = rng.choice([0, tag_word(0x8100, 20), tag_word(0x88A8, 0xFFFF)], n)
    return Copies(
        frame=frame.astype(np.uint32),
        interface=rng.integers(0, n_interfaces, n).astype(np.uint32),
        strip=(rng.integers(0, 2, n) * (caplen >= 16)).astype(np.uint8),
        push=(push * (caplen >= 12)).astype(np.uint32),
        packet_id=rng.choice(np.array([0, 1, 2**63 + 6], np.uint64), n),
        direction=rng.integers(0, 3, n).astype(np.uint8),
        queue=rng.choice([NO_QUEUE, QUEUE_OF_INTERFACE, 7, 0xFFFFFFFF], n),
        comment=rng.integers(NO_COMMENT, n_comments, n),
    )
