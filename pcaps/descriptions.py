"""What a capture says of its interfaces and frames, carried over into another capture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps.capture import Capture
from pcaps.classic_writer import ClassicWriter
from pcaps.copies import NO_COMMENT, Copies
from pcaps.frames import Frames
from pcaps.linktypes import ETHERNET
from pcaps.pcapng import Interface
from pcaps.pcapng_writer import OutInterface, PcapngWriter


def described(interfaces: Sequence[Interface]) -> list[OutInterface]:
    """Return interfaces as writers take them.

    Parameters
    ----------
    interfaces : sequence of Interface
        As read.

    Returns
    -------
    list of OutInterface
        With their names and descriptions.
    """
    return [OutInterface(entry.name, entry.description) for entry in interfaces]


class Descriptions:
    """Writes batches with the interfaces and comments that the reader found up to them.

    Parameters
    ----------
    capture : Capture
        Where the frames come from.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._known = 0
        self._number = np.zeros(0, np.int64)  # of each interface in the output

    def write(
        self,
        writer: ClassicWriter | PcapngWriter,
        frames: Frames,
        numbers: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Write a batch.

        Parameters
        ----------
        writer : ClassicWriter or PcapngWriter
            Where to.
        frames : Frames
            Frames of the capture, or made of them.
        numbers : numpy.ndarray, optional
            ``int64[n]``: number in the capture of the frame that each was made of;
            counted on from ``frames.first_number`` by default. The first one of a
            number has the comment.
        """
        if isinstance(writer, ClassicWriter):
            writer.write(frames)
            return
        self._describe(writer)
        interface = self._number[frames.interface]
        plain = Copies.of_all(len(frames), interface)
        comment = self._comments(writer, frames, numbers)
        writer.write(frames, Copies(plain.frame, plain.interface, comment=comment))

    def _describe(self, writer: PcapngWriter) -> None:
        """Describe the interfaces that are new; those without Ethernet frames are left out."""
        fresh = self._capture.interfaces[self._known :]
        if not fresh:
            return
        usable = [entry.linktype == ETHERNET for entry in fresh]
        first = writer.add_interfaces(
            described([entry for entry, use in zip(fresh, usable, strict=True) if use])
        )
        number = np.where(usable, first - 1 + np.cumsum(usable), -1)
        self._number = np.concatenate([self._number, number])
        self._known += len(fresh)

    def _comments(
        self, writer: PcapngWriter, frames: Frames, numbers: npt.NDArray[np.int64] | None
    ) -> Any:
        """Return the comment column of a batch, None where no frame has one."""
        texts: dict[int, list[str]] = {}
        for note in self._capture.comments:
            if note.where == "frame":
                texts.setdefault(note.number, []).append(note.text)
        if not texts or not len(frames):
            return None
        if numbers is None:
            numbers = frames.first_number + np.arange(len(frames))
        noted, rows = np.unique(numbers, return_index=True)
        chosen = np.isin(noted, list(texts))
        if not chosen.any():
            return None
        found = noted[chosen].tolist()
        first = writer.add_comments(["\n".join(texts[number]) for number in found])
        column = np.full(len(frames), NO_COMMENT)
        column[rows[chosen]] = first + np.arange(len(found))
        return column
