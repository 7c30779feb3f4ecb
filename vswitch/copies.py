"""Which copies leave where: decision words turned into the columns that writers take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vswitch.copies_kernel import list_copies
from vswitch.engine import Decided
from vswitch.outcome import Copy

_ROOM = 1 << 17


@dataclass(frozen=True, eq=False)
class Leaving:
    """Copies of the frames of one batch, in frame order, as columns.

    Parameters
    ----------
    frame : numpy.ndarray
        ``uint32[n]``: index of the frame in its batch.
    port : numpy.ndarray
        ``uint32[n]``: port number that the copy leaves by.
    strip : numpy.ndarray
        ``uint8[n]``: 1 when the outer tag comes off.
    push : numpy.ndarray
        ``uint32[n]``: tag to put on, in wire order as a little-endian word; 0 = none.
    """

    frame: npt.NDArray[np.uint32]
    port: npt.NDArray[np.uint32]
    strip: npt.NDArray[np.uint8]
    push: npt.NDArray[np.uint32]


def leaving(decided: Decided) -> Iterator[Leaving]:
    """List the copies of a decided batch, in parts of bounded size.

    Parameters
    ----------
    decided : Decided
        A batch with its columns.

    Yields
    ------
    Leaving
        Views of columns that are written again for the next part.
    """
    frames, in_ports = decided.frames, decided.in_ports
    if frames is None or in_ports is None:
        raise ValueError("copies need the frame columns of the batch")
    room = max(_ROOM, len(decided.compiled.network.ports) + 2)
    columns = Leaving(
        np.zeros(room, np.uint32), np.zeros(room, np.uint32),
        np.zeros(room, np.uint8), np.zeros(room, np.uint32),
    )  # fmt: skip
    first = 0
    while first < len(decided.words):
        following, n = list_copies(
            frames.data, frames.start, frames.caplen, frames.wirelen, in_ports, decided.words,
            decided.compiled.image, np.uint64(first),
            columns.frame, columns.port, columns.strip, columns.push,
        )  # fmt: skip
        first, n = int(following), int(n)
        yield Leaving(columns.frame[:n], columns.port[:n], columns.strip[:n], columns.push[:n])


def copies_of(decided: Decided) -> Iterator[tuple[int, Copy]]:
    """Yield (frame index, copy) for a batch, for people and tests.

    Parameters
    ----------
    decided : Decided
        A batch with its columns.

    Yields
    ------
    tuple of (int, Copy)
        In frame order, members of a flood in port order.
    """
    for part in leaving(decided):
        for frame, port, strip, push in zip(
            part.frame.tolist(), part.port.tolist(), part.strip.tolist(), part.push.tolist(),
            strict=True,
        ):  # fmt: skip
            yield frame, Copy(port, bool(strip), push.to_bytes(4, "little") if push else b"")
