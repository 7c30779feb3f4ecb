"""Large send offload: the host sends one large TCP packet, the adapter cuts it to size.

Guarantees
----------
* The payload of the pieces, joined, is that of the large packet; all but the last
  have the same size. Sequence numbers and IP ids count on, FIN and PSH are on the
  last piece only, CWR on the first only, options are copied unchanged.
* Every checksum of a piece is right.
* Frames that are not cut keep their bytes; :class:`Kept` says why they are not.

Padding of short frames is not added. Source: NDIS documentation,
network/offloading-the-segmentation-of-large-tcp-packets (read).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nic import lso_kernel as k
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames

PART_BYTES = 1 << 19
"""Bytes of pieces that are written at a time: they stay in the second-level cache."""

PART_FRAMES = 1 << 13

u64 = np.uint64


class Kept(IntEnum):
    """Why a frame is not cut."""

    SMALL = k.SMALL
    NOT_TCP = k.NOT_TCP
    FRAGMENT = k.FRAGMENT
    NOT_CAPTURED = k.NOT_CAPTURED
    FLAGS = k.FLAGS
    NO_IPV6 = k.NO_IPV6
    NO_LENGTH = k.NO_LENGTH
    NO_ROOM = k.NO_ROOM

    @property
    def label(self) -> str:
        """Name for people and JSON."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Kept.SMALL: "The payload fits one frame.",
    Kept.NOT_TCP: "It is not TCP over IP in an Ethernet II frame.",
    Kept.FRAGMENT: "It is an IP fragment.",
    Kept.NOT_CAPTURED: "The capture has not all of its bytes, or its header is not sound.",
    Kept.FLAGS: "SYN, RST or URG is set.",
    Kept.NO_IPV6: "Version 1 is for IPv4 alone.",
    Kept.NO_LENGTH: "Version 1 needs the packet's length in the IP header.",
    Kept.NO_ROOM: "Its headers leave no room for payload.",
}


@dataclass(frozen=True, eq=False)
class Pieces:
    """Frames as they leave.

    Parameters
    ----------
    frames : Frames
        The pieces, and the frames that were not cut, in order.
    origin : numpy.ndarray
        ``uint32[n]``: place in the batch of the frame that each comes from.
    """

    frames: Frames
    origin: npt.NDArray[np.uint32]


class Lso:
    """An adapter's large send offload.

    Parameters
    ----------
    mss : int, optional
        Payload bytes of a piece.
    mtu : int
        Where no `mss` is given: bytes of the IP packet that a piece may be.
    version : int
        1: IPv4 only, IP ids count in 16 bits; 2: IPv6 too, ids count in 15 bits.

    Attributes
    ----------
    cut, pieces : int
        Frames cut so far, and what they were cut into.
    kept : dict of Kept to int
        Frames not cut so far, by reason.

    Raises
    ------
    BadInput
        When a size or the version is out of range.
    """

    def __init__(self, *, mss: int | None = None, mtu: int = 1500, version: int = 2) -> None:
        if mss is not None and not 1 <= mss <= 65535:
            raise BadInput(f"an MSS of {mss} bytes: use 1 to 65535")
        if not 68 <= mtu <= 65535:
            raise BadInput(f"an MTU of {mtu} bytes: use 68 to 65535")
        if version not in (1, 2):
            raise BadInput(f"LSO version {version}: use 1 or 2")
        self.mss, self.mtu, self.version = mss, mtu, version
        self.cut = self.pieces = 0
        self.kept: dict[Kept, int] = {}
        self._room = _room(0, 0)

    def plan(self, frames: Frames) -> k.Plan:
        """Tell what becomes of each frame of a batch.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Returns
        -------
        nic.lso_kernel.Plan
            Pieces, their size, and why a frame is not cut.
        """
        n = len(frames)
        frames = frames.with_padding()
        asked = k.Plan(np.zeros(n, np.uint32), np.zeros(n, np.uint32), np.zeros(n, np.uint8))
        k.plan(
            frames.data, frames.start, frames.caplen, frames.headers.columns, u64(self.mss or 0),
            u64(self.mtu), u64(self.version), asked,
        )  # fmt: skip
        return asked

    def parts(self, frames: Frames) -> Iterator[Pieces]:
        """Cut a batch, and hand the pieces out in parts of bounded size.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Yields
        ------
        Pieces
            Over buffers that are written again for the next part, and the next batch.
        """
        frames = frames.with_padding()
        asked = self._counted(frames)
        size = max(PART_BYTES, int(np.max(frames.caplen, initial=0)))
        if self._room.data.size < size + PAD:  # kept, since fresh pages are slow
            self._room = _room(size, PART_FRAMES)
        frame, piece = u64(0), u64(0)
        while frame < len(frames):
            frame, piece, n = self._cut(frames, asked, self._room, frame, piece)
            yield _pieces(frames, self._room, int(n))

    def segment(self, frames: Frames) -> Pieces:
        """Cut a batch into a buffer of its own.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Returns
        -------
        Pieces
            All of them.
        """
        frames = frames.with_padding()
        asked = self._counted(frames)
        heads = (frames.headers.payload_offset - frames.start) * (asked.pieces > 1)
        n = int(asked.pieces.sum(dtype=np.int64))
        room = _room(int((frames.caplen + heads * (asked.pieces - np.int64(1))).sum()), n)
        self._cut(frames, asked, room, u64(0), u64(0))
        return _pieces(frames, room, n)

    def _counted(self, frames: Frames) -> k.Plan:
        asked = self.plan(frames)
        large = asked.pieces > 1
        self.cut += int(large.sum())
        self.pieces += int(asked.pieces[large].sum(dtype=np.int64))
        for code, count in enumerate(np.bincount(asked.why, minlength=1).tolist()):
            if code != k.CUT and count:
                self.kept[Kept(code)] = self.kept.get(Kept(code), 0) + count
        return asked

    def _cut(self, frames: Frames, asked: k.Plan, room: k.Room, frame: u64, piece: u64) -> tuple[u64, u64, u64]:  # fmt: skip
        following: tuple[u64, u64, u64] = k.cut(
            frames.data, frames.start, frames.caplen, frames.headers.columns, asked,
            u64(self.version), room, u64(frame), u64(piece),
        )  # fmt: skip
        return following


def _room(size: int, frames: int) -> k.Room:
    """Return room for so many bytes and pieces."""
    return k.Room(
        np.zeros(size + PAD, np.uint8), np.zeros(frames, np.int64),
        np.zeros(frames, np.uint32), np.zeros(frames, np.uint32),
    )  # fmt: skip


def _pieces(frames: Frames, room: k.Room, n: int) -> Pieces:
    """Return the first `n` pieces of a room as a batch."""
    origin, length = room.origin[:n], room.length[:n]
    whole = length == frames.caplen[origin]  # a piece is shorter
    made = Frames(
        room.data, room.start[:n], length,
        np.where(whole, frames.wirelen[origin], length).astype(np.uint32),
        frames.ts_ns[origin], frames.interface[origin], frames.first_number,
    )  # fmt: skip
    return Pieces(made, origin)
