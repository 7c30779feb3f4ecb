"""Receive segment coalescing: the adapter joins segments of a connection before it hands them up.

Guarantees
----------
* Segments are joined only within one *batch*, what one interrupt hands up. Nothing
  is held back for longer.
* A unit is a sound TCP segment: its payload is that of its segments in order, its
  checksums are right, it is no longer than an IP packet can be.
* The order of a connection's frames stays. A unit stands where its last segment
  stood, and has its time.
* A stream of batches gives the same units however it is cut into batches of frames.

Sources: NDIS documentation, network/rules-for-coalescing-tcp-ip-packets,
network/exception-conditions-that-terminate-coalescing, network/updating-the-ip-
headers-for-coalesced-segments (read).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nic import rsc_kernel as k
from pcaps.batches import join_batches
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames

BATCH_FRAMES = 64
"""Frames that one interrupt hands up (read: netvmini sample, 64 receives per DPC)."""

HOLD_NS = 100_000
"""Time between a batch's first frame and its end (believed; 10 000 interrupts a second)."""

CONNECTIONS = 1024
"""Rows of the table of open units (ours)."""

PART_BYTES = 1 << 20
"""Bytes of frames that a stream handles at a time: they stay in the second-level cache."""

u64 = np.uint64


class Ended(IntEnum):
    """What ended a unit."""

    BATCH_END = k.BATCH_END
    FLAGS = k.FLAGS
    OPTIONS = k.OPTIONS
    IP_OPTIONS = k.IP_OPTIONS
    CHECKSUM = k.CHECKSUM
    FRAGMENT = k.FRAGMENT
    TOO_LONG = k.TOO_LONG
    ECN = k.ECN
    GAP = k.GAP
    PURE_ACK = k.PURE_ACK
    DUPLICATE_ACK = k.DUPLICATE_ACK
    OLD_ACK = k.OLD_ACK
    TIMESTAMP = k.TIMESTAMP
    HEADER = k.HEADER
    RESOURCES = k.RESOURCES
    NOT_CAPTURED = k.NOT_CAPTURED

    @property
    def label(self) -> str:
        """Name for people and JSON."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Ended.BATCH_END: "The batch ended: what one interrupt hands up is handed up.",
    Ended.FLAGS: "A segment had a flag other than ACK, PSH, ECE and CWR, or no ACK.",
    Ended.OPTIONS: "A segment had a TCP option other than the timestamp, or other ones than before.",
    Ended.IP_OPTIONS: "A segment had IPv4 options or IPv6 extension headers.",
    Ended.CHECKSUM: "A segment's IP or TCP checksum was wrong.",
    Ended.FRAGMENT: "A first fragment of the connection came.",
    Ended.TOO_LONG: "With the next segment the unit would be longer than an IP packet.",
    Ended.ECN: "The ECN bits of IP or TCP changed.",
    Ended.GAP: "The next segment did not begin where the unit ended.",
    Ended.PURE_ACK: "An acknowledgment without data came; it goes up alone.",
    Ended.DUPLICATE_ACK: "A duplicate acknowledgment came; it goes up alone.",
    Ended.OLD_ACK: "A segment acknowledged less than the one before it.",
    Ended.TIMESTAMP: "The timestamp went back.",
    Ended.HEADER: "Addresses, VLAN tags, DSCP, DF or flow label changed.",
    Ended.RESOURCES: "Another connection needed the row of the table.",
    Ended.NOT_CAPTURED: "The capture has not all bytes of a segment, or its header is not sound.",
}


@dataclass(frozen=True, eq=False)
class Coalesced:
    """What the adapter hands up for a batch of frames.

    Parameters
    ----------
    frames : Frames
        Units, and the frames that are in none, in order.
    first, last : numpy.ndarray
        ``uint32[n]``: place in the batch of the first and last frame of each; equal
        for frames that are in no unit.
    segments : numpy.ndarray
        ``uint32[n]``: segments with data that were joined, 0 for frames in no unit.
    timestamp_delta : numpy.ndarray
        ``uint32[n]``: what the timestamp option grew by within the unit.
    unit_of : numpy.ndarray
        ``uint32[frames in]``: place of the first frame of the unit that each frame in is
        part of, its own when it is in none.
    """

    frames: Frames
    first: npt.NDArray[np.uint32]
    last: npt.NDArray[np.uint32]
    segments: npt.NDArray[np.uint32]
    timestamp_delta: npt.NDArray[np.uint32]
    unit_of: npt.NDArray[np.uint32]


class Batches:
    """Cuts a stream of frames where a batch of the adapter ends, however it comes.

    Parameters
    ----------
    batch_frames : int
        Most frames that one interrupt hands up.
    hold_ns : int
        Most time between the first and the last frame of a batch.
    """

    def __init__(self, batch_frames: int, hold_ns: int) -> None:
        self.batch_frames, self.hold_ns = batch_frames, hold_ns
        self._rest: Frames | None = None

    def push(self, frames: Frames) -> Iterator[Frames]:
        """Take frames, and hand out parts of about PART_BYTES that end where a batch ends.

        Parameters
        ----------
        frames : Frames
            The next frames of the stream.

        Yields
        ------
        Frames
            In order; what may go on is kept, copied, for the next call.
        """
        whole = frames if self._rest is None else join_batches([self._rest, frames])
        stop = int(k.batch_ends(whole.ts_ns, self.batch_frames, self.hold_ns))
        yield from self._parts(whole[:stop])
        self._rest = join_batches([whole[stop:]])

    def flush(self) -> Iterator[Frames]:
        """Hand out what is left when the stream ends.

        Yields
        ------
        Frames
            One part, or none.
        """
        rest, self._rest = self._rest, None
        if rest is not None and len(rest):
            yield rest

    def _parts(self, frames: Frames) -> Iterator[Frames]:
        ends = np.cumsum(frames.caplen, dtype=np.int64)
        done = 0
        while done < len(frames):
            before = int(ends[done - 1]) if done else 0
            stop = int(np.searchsorted(ends, before + PART_BYTES, side="right"))
            stop = max(stop, done + self.batch_frames + 1)
            if stop < len(frames):
                ts_ns = frames.ts_ns[done:stop]
                stop = done + int(k.batch_ends(ts_ns, self.batch_frames, self.hold_ns))
            yield frames[done:stop]
            done = stop


class Rsc:
    """An adapter's receive segment coalescing.

    Parameters
    ----------
    batch_frames : int
        Most frames that one interrupt hands up.
    hold_ns : int
        Most time between the first and the last frame of a batch, in nanoseconds.
    connections : int
        Connections that can have an open unit, a power of two.

    Attributes
    ----------
    frames, units, merged : int
        Frames in so far; units of several frames; frames that such units have.
    ended : dict of Ended to int
        What ended units so far, those of a single frame too.

    Raises
    ------
    BadInput
        When a setting is out of range.
    """

    def __init__(
        self,
        *,
        batch_frames: int = BATCH_FRAMES,
        hold_ns: int = HOLD_NS,
        connections: int = CONNECTIONS,
    ) -> None:
        if not 1 <= batch_frames <= 65536:
            raise BadInput(f"batches of {batch_frames} frames: use 1 to 65536")
        if hold_ns < 0:
            raise BadInput(f"a batch of {hold_ns} ns: use 0 or more")
        if not 1 <= connections <= 65536 or connections & (connections - 1):
            raise BadInput(f"{connections} connections: use a power of two up to 65536")
        self.batch_frames, self.hold_ns, self.connections = batch_frames, hold_ns, connections
        self.frames = self.units = self.merged = 0
        self.ended: dict[Ended, int] = {}
        self._space, self._units = _joined(0, 0), _units(0)
        self._table = np.zeros((connections, k.S_WORDS), np.uint64)
        self._batch = u64(1)

    def coalesce(self, frames: Frames, wanted: npt.NDArray[np.bool_] | None = None) -> Coalesced:
        """Join the segments of a batch of frames; its first frame begins a batch of the adapter.

        Parameters
        ----------
        frames : Frames
            Any batch.
        wanted : numpy.ndarray, optional
            ``bool[n]``: frames that may be joined; all by default. The others count among
            those that one interrupt hands up.

        Returns
        -------
        Coalesced
            Over a buffer of its own.
        """
        space = _joined(int(frames.caplen.sum(dtype=np.int64)), len(frames))
        return self._run(frames, space, wanted)

    def stream(
        self, batches: Iterable[Frames]
    ) -> Iterator[tuple[Coalesced, npt.NDArray[np.int64]]]:
        """Join the segments of a stream of frames.

        Parameters
        ----------
        batches : iterable of Frames
            In order.

        Yields
        ------
        tuple of Coalesced and numpy.ndarray
            The second, ``int64[n]``, is the number in the capture of the first frame
            of each unit. Buffers are written again for the next part.
        """
        cutter = Batches(self.batch_frames, self.hold_ns)
        for batch in batches:
            for part in cutter.push(batch):
                yield self._numbered(part)
        for part in cutter.flush():
            yield self._numbered(part)

    def _numbered(self, frames: Frames) -> tuple[Coalesced, npt.NDArray[np.int64]]:
        size = int(frames.caplen.sum(dtype=np.int64))
        space = self._space
        if space.data.size < size + PAD or len(space.start) < len(frames):
            self._space = space = _joined(max(size, 2 * PART_BYTES), max(len(frames), 8192))
        done = self._run(frames, space)
        return done, frames.first_number + done.first.astype(np.int64)

    def _run(
        self, frames: Frames, space: k.Joined, wanted: npt.NDArray[np.bool_] | None = None
    ) -> Coalesced:
        frames = frames.with_padding()
        if wanted is None:
            wanted = np.ones(len(frames), np.bool_)
        n, columns = len(frames), frames.headers.columns
        if len(self._units.first) < n:  # kept, since fresh pages are slow
            self._units = _units(n)
        counts = np.zeros(k.N_REASONS, np.int64)
        self._batch = k.plan(
            frames.data, frames.start, frames.caplen, frames.interface, frames.ts_ns, columns,
            self.batch_frames, self.hold_ns, wanted, u64(self._batch), self._table, self._units, counts,
        )  # fmt: skip
        written = int(k.join(frames.data, frames.start, frames.caplen, columns, self._units, space))
        first, last, length = space.first[:written], space.last[:written], space.length[:written]
        several = first != last
        wirelen = frames.wirelen[last]
        wirelen[several] = length[several]
        segments = self._units.segments[first]
        segments[~several] = 0
        self._count(n, written, int(np.count_nonzero(several)), counts)
        made = Frames(
            space.data, space.start[:written], length, wirelen, frames.ts_ns[last],
            frames.interface[last], frames.first_number,
        )  # fmt: skip
        unit_of = self._units.first[:n].copy()
        return Coalesced(made, first, last, segments, space.delta[:written], unit_of)

    def _count(self, n: int, written: int, units: int, counts: npt.NDArray[np.int64]) -> None:
        self.frames += n
        self.units += units
        self.merged += n - (written - units)
        for code in np.flatnonzero(counts).tolist():
            self.ended[Ended(code)] = self.ended.get(Ended(code), 0) + int(counts[code])


def _units(n: int) -> k.Units:
    """Return room to note of so many frames which belong together."""
    return k.Units(
        np.zeros(n, np.uint32), np.zeros(n, np.uint32), np.zeros(n, np.uint16),
        np.zeros(n, np.uint32), np.zeros(n, np.uint32), np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
    )  # fmt: skip


def _joined(size: int, frames: int) -> k.Joined:
    """Return room for so many bytes and frames."""
    return k.Joined(
        np.zeros(size + PAD, np.uint8), np.zeros(frames, np.int64), np.zeros(frames, np.uint32),
        np.zeros(frames, np.uint32), np.zeros(frames, np.uint32), np.zeros(frames, np.uint32),
    )  # fmt: skip
