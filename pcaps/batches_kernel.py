"""A batch copied into a buffer of its own, compiled; tags change on the way."""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import u64
from pcaps.write_kernel import copy_frame


@kernel
def copy_frames(
    data: Any, start: Any, caplen: Any, strip: Any, push: Any, out: Any, out_start: Any
) -> None:  # fmt: skip
    """Copy each frame to its place, with its tag changed.

    data, start, caplen: a padded batch; strip: uint8[n], 1 takes four bytes off behind
    the addresses; push: uint32[n], the tag to put there as a little-endian word, 0 for
    none; out: uint8[], 64 bytes longer than the frames need; out_start: int64[n],
    rising. The caller has checked that what changes was captured.
    """
    for n in range(start.size):
        i = u64(n)
        copy_frame(
            out, u64(out_start[i]), data, u64(start[i]), u64(caplen[i]), u64(strip[i]), u64(push[i])
        )
