"""Batches with bytes of their own: for whoever changes frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pcaps.frames import PAD, Frames


def laid_out(caplen: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], int]:
    """Return where frames of these lengths begin, one behind the other, and where they end.

    Parameters
    ----------
    caplen : numpy.ndarray
        ``uint32[n]``: lengths in bytes.

    Returns
    -------
    start : numpy.ndarray
        ``int64[n]``.
    end : int
        Bytes in all.
    """
    ends = np.cumsum(caplen, dtype=np.int64)
    return ends - caplen, int(ends[-1]) if len(ends) else 0


def copy_batch(
    frames: Frames,
    *,
    strip: npt.NDArray[np.uint8] | None = None,
    push: npt.NDArray[np.uint32] | None = None,
) -> tuple[Frames, npt.NDArray[np.uint8]]:
    """Copy a batch into one buffer, frame behind frame, with its tags changed.

    Parameters
    ----------
    frames : Frames
        Any batch.
    strip : numpy.ndarray, optional
        ``uint8[n]``: 1 takes off the four bytes behind the two addresses.
    push : numpy.ndarray, optional
        ``uint32[n]``: tag to put there (:func:`pcaps.copies.tag_word`), 0 for none.

    Returns
    -------
    frames : Frames
        Padded; lengths on the wire change with the tags.
    data : numpy.ndarray
        ``uint8[n_bytes]``: its buffer, which can be written to.

    Raises
    ------
    ValueError
        When the tag of a frame is to change that was cut before it.
    """
    from pcaps.batches_kernel import copy_frames

    frames = frames.with_padding()
    n = len(frames)
    strip = np.zeros(n, np.uint8) if strip is None else strip
    push = np.zeros(n, np.uint32) if push is None else push
    needed = np.where(strip != 0, 16, np.where(push != 0, 12, 0))
    if (frames.caplen < needed).any():
        raise ValueError("the tag of a frame cannot change that was cut before it")
    shift = 4 * (push != 0).astype(np.int64) - 4 * (strip != 0)
    caplen = (frames.caplen + shift).astype(np.uint32)
    start, size = laid_out(caplen)
    data = np.zeros(size + PAD, np.uint8)
    copy_frames(frames.data, frames.start, frames.caplen, strip, push, data, start)
    wirelen = np.maximum(frames.wirelen + shift, 0).astype(np.uint32)
    copied = Frames(
        data, start, caplen, wirelen, frames.ts_ns.copy(), frames.interface.copy(),
        frames.first_number,
    )  # fmt: skip
    return copied, data


def join_batches(batches: Sequence[Frames]) -> Frames:
    """Copy batches over different buffers into one.

    Parameters
    ----------
    batches : sequence of Frames
        At least one, each going on where the one before it ended.

    Returns
    -------
    Frames
        Padded, with a buffer of its own.
    """
    copies = [copy_batch(batch)[0] for batch in batches]
    if len(copies) == 1:
        return copies[0]
    sizes = [copied.data.size - PAD for copied in copies]
    before = np.cumsum([0, *sizes])
    return Frames(
        np.concatenate([*(copied.data[:-PAD] for copied in copies), np.zeros(PAD, np.uint8)]),
        np.concatenate([copied.start + shift for copied, shift in zip(copies, before, strict=False)]),
        np.concatenate([copied.caplen for copied in copies]),
        np.concatenate([copied.wirelen for copied in copies]),
        np.concatenate([copied.ts_ns for copied in copies]),
        np.concatenate([copied.interface for copied in copies]),
        copies[0].first_number,
    )  # fmt: skip
