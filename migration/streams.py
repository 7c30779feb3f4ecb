"""Both directions' byte streams of every session in the captures.

Guarantees
----------
* Each byte of a stream is the one that the capture showed first; retransmissions,
  reordering and overlaps are resolved by stream position.
* Positions count from 0, the first byte behind the SYN, in 64 bits.
* Bytes that were acknowledged or passed but never seen are counted, and stand in
  the stream as the payload text of :func:`pcaps.blueprint.text`.

Numbers that cannot be right make no stream longer: a segment or an
acknowledgment far ahead of everything known counts only when a second one
agrees with it (capture loss looks like that; a bad number does not).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from migration.pieces_kernel import PIECE, find_pieces, gather
from migration.segments import Segments
from migration.streams_kernel import FIN, RST, SESSION, SIDE, SYN, find_sessions_of_rows


@dataclass(frozen=True, eq=False)
class Streams:
    """Sessions of captures, as columns.

    Parameters
    ----------
    segments : Segments
        The segments, positions and kinds filled in.
    sessions : numpy.ndarray
        ``SESSION[n]``, in the order of `segments`.
    sides : numpy.ndarray
        ``SIDE[2 n]``: of session k, row ``2 k`` is the sender of the 5-tuple's
        first frame, row ``2 k + 1`` its peer.
    pieces : numpy.ndarray
        ``PIECE[n_pieces]``: which segment showed which bytes first.
    """

    segments: Segments
    sessions: npt.NDArray[np.void]
    sides: npt.NDArray[np.void]
    pieces: npt.NDArray[np.void]

    def stream(self, number: int, side: int) -> npt.NDArray[np.uint8]:
        """Return the bytes that one side of a session sent.

        Parameters
        ----------
        number : int
            Row of the session.
        side : int
            0 or 1, as in `sides`.

        Returns
        -------
        numpy.ndarray
            ``uint8[size]``.

        Raises
        ------
        ValueError
            When the payloads were not kept.
        """
        payloads = self.segments.payloads
        if payloads is None:
            raise ValueError("the segments were read without payloads")
        about = self.sides[2 * number + side]
        size, first, n = int(about["size"]), int(about["first_piece"]), int(about["pieces"])
        stream = _filler(size) if about["lost"] or about["cut"] else np.empty(size, np.uint8)
        places = self.segments.rows["place"][self.pieces["row"][first : first + n]]
        captured = self.segments.rows["captured"][self.pieces["row"][first : first + n]]
        places = places[captured > 0]
        at, end = (int(places.min()), int(places.max())) if len(places) else (0, -1)
        while at <= end:
            buffer, base = payloads.buffer_at(at)
            gather(self.pieces, self.segments.rows, first, n, buffer, base, stream)
            later = places[places >= base + buffer.size]
            if not len(later):
                break
            at = int(later.min())
        stream.flags.writeable = False
        return stream

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """Rows of the sessions in the order of their first frames."""
        return np.argsort(self.sessions["first_frame"], kind="stable")


def rebuild(segments: Segments) -> Streams:
    """Find sessions and streams.

    Parameters
    ----------
    segments : Segments
        As read; positions, kinds and sessions are written into its rows.

    Returns
    -------
    Streams
        One session a connection, also where a port was used again.
    """
    rows = segments.rows
    opening = int(np.count_nonzero(rows["flags"] & (SYN | FIN | RST)))
    capacity = min(len(segments.flows) + opening, len(rows))
    sessions, sides = np.zeros(capacity, SESSION), np.zeros(2 * capacity, SIDE)
    n = int(find_sessions_of_rows(rows, segments.flows, sessions, sides))
    sessions, sides = sessions[:n].copy(), sides[: 2 * n].copy()
    pieces = np.zeros(2 * int(np.count_nonzero(rows["length"])), PIECE)
    pieces = pieces[: int(find_pieces(rows, sessions, sides, pieces))].copy()
    return Streams(segments, sessions, sides, pieces)


def _filler(size: int) -> npt.NDArray[np.uint8]:
    from pcaps.blueprint import PERIOD, text

    return np.resize(text()[:PERIOD], size)
