"""Which frames leave where: the columns that every capture writer takes.

A *copy* is one appearance of a frame at one interface (a port, a VM queue, or
the log of dropped frames). Writers go through the copies in order; the frame's
bytes are read from the batch only then.

Left to the caller: which copies there are and in which order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

NO_COMMENT = -1
NO_QUEUE = -1
QUEUE_OF_INTERFACE = -2
"""In :attr:`Copies.queue`: the queue number that the interface was declared with."""

INBOUND, OUTBOUND = 1, 2
"""In :attr:`Copies.direction`, as in the pcapng option epb_flags."""


def tag_word(tpid: int, tci: int) -> int:
    """Return a VLAN tag as :attr:`Copies.push` wants it.

    Parameters
    ----------
    tpid : int
        Tag protocol identifier, such as 0x8100.
    tci : int
        PCP (3 bits), DEI (1 bit) and VID (12 bits).

    Returns
    -------
    int
        The tag's four bytes in wire order, read as a little-endian integer.

    Examples
    --------
    >>> hex(tag_word(0x8100, 20))
    '0x14000081'
    """
    return int.from_bytes(tpid.to_bytes(2, "big") + tci.to_bytes(2, "big"), "little")


@dataclass(frozen=True, eq=False)
class Copies:
    """Copies of the frames of one batch, as columns of equal length.

    Parameters
    ----------
    frame : numpy.ndarray
        ``uint32[n]``: index of the frame in its batch.
    interface : numpy.ndarray
        ``uint32[n]``: number of the interface (or file) to write it to.
    strip : numpy.ndarray, optional
        ``uint8[n]``: 1 takes off the four bytes behind the two addresses.
    push : numpy.ndarray, optional
        ``uint32[n]``: tag to put there (:func:`tag_word`), 0 for none.
    packet_id : numpy.ndarray, optional
        ``uint64[n]``: epb_packetid, the same for all copies of one frame.
    direction : numpy.ndarray, optional
        ``uint8[n]``: :data:`INBOUND`, :data:`OUTBOUND` or 0 for unknown.
    queue : numpy.ndarray, optional
        ``int64[n]``: epb_queue, :data:`NO_QUEUE` for none,
        :data:`QUEUE_OF_INTERFACE` (the default) for the interface's own.
    comment : numpy.ndarray, optional
        ``int64[n]``: number in the writer's comments, :data:`NO_COMMENT` for none.

    Raises
    ------
    ValueError
        When the columns differ in length.
    """

    frame: npt.NDArray[np.uint32]
    interface: npt.NDArray[np.uint32]
    strip: npt.NDArray[np.uint8] | None = None
    push: npt.NDArray[np.uint32] | None = None
    packet_id: npt.NDArray[np.uint64] | None = None
    direction: npt.NDArray[np.uint8] | None = None
    queue: npt.NDArray[np.int64] | None = None
    comment: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            column = getattr(self, field.name)
            if column is not None and len(column) != len(self.frame):
                raise ValueError(
                    f"column '{field.name}' has {len(column)} entries, 'frame' {len(self.frame)}"
                )

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of_all(cls, n_frames: int, interface: npt.ArrayLike = 0) -> Copies:
        """Return one plain copy of each frame of a batch.

        Parameters
        ----------
        n_frames : int
            Frames in the batch.
        interface : int or array-like
            Where all of them go, or where each of them goes.

        Returns
        -------
        Copies
            In the order of the batch.
        """
        target = np.broadcast_to(np.asarray(interface, np.uint32), n_frames)
        return cls(np.arange(n_frames, dtype=np.uint32), target)
