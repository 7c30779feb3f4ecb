"""The frame batch: a struct of arrays over one byte buffer.

Guarantees
----------
* Bytes stay where they are (usually a memory-mapped file): slicing, selecting
  and joining batches copy columns, never bytes.
* ``data`` is read-only, so that every kernel sees one array type.
* For each frame ``start + caplen <= data.size``. Kernels that load 8 bytes at a
  time rely on :attr:`Frames.padded`: at least ``PAD`` readable bytes follow the
  last frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pcaps.headers import Headers

PAD = 64
"""Bytes that must be readable behind the last frame of a batch (over-reads of kernels)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame.

    Parameters
    ----------
    data : bytes
        The captured bytes, from the destination address on, without FCS.
    wirelen : int
        Length on the wire in bytes; larger than ``len(data)`` in a cut capture.
    ts_ns : int
        Capture time, nanoseconds since 1970-01-01 UTC.
    interface : int
        Index of the interface in its capture.
    """

    data: bytes
    wirelen: int
    ts_ns: int = 0
    interface: int = 0

    def to_scapy(self) -> Any:
        """Return the frame as a scapy packet.

        Returns
        -------
        scapy.layers.l2.Ether
            With ``time`` and ``wirelen`` set.
        """
        from scapy.layers import inet, inet6, l2  # noqa: F401  (imported for their layer bindings)

        packet = l2.Ether(self.data)
        packet.time = self.ts_ns / 1e9
        packet.wirelen = self.wirelen
        return packet


@dataclass(frozen=True, eq=False)
class Frames:
    """A batch of frames as columns over one buffer.

    Parameters
    ----------
    data : numpy.ndarray
        ``uint8[n_bytes]``, C-contiguous; taken as read-only.
    start : numpy.ndarray
        ``int64[n]``: offset of each frame's first byte in `data`.
    caplen, wirelen : numpy.ndarray
        ``uint32[n]``: bytes captured, bytes on the wire (both without FCS).
    ts_ns : numpy.ndarray
        ``int64[n]``: nanoseconds since 1970-01-01 UTC, 0 where the file has none.
    interface : numpy.ndarray
        ``uint16[n]``: index into the capture's interfaces.
    first_number : int
        Number of frame 0 of this batch within its capture, counted from 1.
    """

    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    caplen: npt.NDArray[np.uint32]
    wirelen: npt.NDArray[np.uint32]
    ts_ns: npt.NDArray[np.int64]
    interface: npt.NDArray[np.uint16]
    first_number: int = 1

    def __post_init__(self) -> None:
        view = self.data.view()
        view.flags.writeable = False
        object.__setattr__(self, "data", view)

    @classmethod
    def from_bytes(
        cls,
        frames: Sequence[bytes],
        *,
        wirelen: Sequence[int] | None = None,
        ts_ns: Sequence[int] | None = None,
    ) -> Frames:
        """Build a batch from byte strings (copied once into one buffer).

        Parameters
        ----------
        frames : sequence of bytes
            One byte string a frame; may be empty.
        wirelen : sequence of int, optional
            Lengths on the wire; the lengths of the byte strings by default.
        ts_ns : sequence of int, optional
            Times in nanoseconds; all 0 by default.

        Returns
        -------
        Frames
            A padded batch.
        """
        caplen = np.array([len(frame) for frame in frames], np.uint32)
        start = np.zeros(len(frames), np.int64)
        np.cumsum(caplen[:-1], out=start[1:])
        return cls(
            data=np.frombuffer(b"".join([*frames, bytes(PAD)]), np.uint8),
            start=start,
            caplen=caplen,
            wirelen=caplen.copy() if wirelen is None else np.array(wirelen, np.uint32),
            ts_ns=np.zeros(len(frames), np.int64) if ts_ns is None else np.array(ts_ns, np.int64),
            interface=np.zeros(len(frames), np.uint16),
        )

    @classmethod
    def from_scapy(cls, packets: Any) -> Frames:
        """Build a batch from one scapy packet or several.

        Parameters
        ----------
        packets : scapy.packet.Packet or iterable of it
            Ethernet packets; a ``time`` that was set is kept.

        Returns
        -------
        Frames
            A padded batch.
        """
        from scapy.packet import Packet

        several = [packets] if isinstance(packets, Packet) else list(packets)
        return cls.from_bytes(
            [bytes(packet) for packet in several],
            ts_ns=[int(float(packet.time) * 1e9) for packet in several],
        )

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Frame: ...
    @overload
    def __getitem__(self, key: slice | npt.NDArray[Any]) -> Frames: ...
    def __getitem__(self, key: int | slice | npt.NDArray[Any]) -> Frame | Frames:
        if isinstance(key, int | np.integer):
            first = int(self.start[key])
            return Frame(
                data=self.data[first : first + int(self.caplen[key])].tobytes(),
                wirelen=int(self.wirelen[key]),
                ts_ns=int(self.ts_ns[key]),
                interface=int(self.interface[key]),
            )
        step = key.indices(len(self))[0] if isinstance(key, slice) else 0
        return Frames(
            self.data,
            self.start[key],
            self.caplen[key],
            self.wirelen[key],
            self.ts_ns[key],
            self.interface[key],
            self.first_number + step,
        )

    @property
    def padded(self) -> bool:
        """True when kernels may over-read: ``PAD`` bytes follow the last frame."""
        if len(self) == 0:
            return True
        return int(np.max(self.start + self.caplen)) + PAD <= self.data.size

    def with_padding(self) -> Frames:
        """Return this batch, or a copy of its bytes with padding behind them.

        Returns
        -------
        Frames
            Itself when already padded. The copy is as large as the frames'
            span in the buffer, so large mapped batches are padded by their
            reader instead (it cuts the last frames off into a batch of their own).
        """
        if self.padded:
            return self
        first = int(np.min(self.start))
        last = int(np.max(self.start + self.caplen))
        data = np.zeros(last - first + PAD, np.uint8)
        data[: last - first] = self.data[first:last]
        return Frames(
            data, self.start - first, self.caplen, self.wirelen, self.ts_ns, self.interface,
            self.first_number,
        )  # fmt: skip

    @staticmethod
    def concatenate(batches: Sequence[Frames]) -> Frames:
        """Join batches over the same buffer; no bytes are copied.

        Parameters
        ----------
        batches : sequence of Frames
            At least one; all over one and the same buffer.

        Returns
        -------
        Frames
            The frames of all batches, in order.

        Raises
        ------
        ValueError
            When `batches` is empty or the buffers differ.
        """
        if not batches:
            raise ValueError("nothing to concatenate")
        head = batches[0]
        place = head.data.__array_interface__["data"][0], head.data.size
        for batch in batches[1:]:
            if (batch.data.__array_interface__["data"][0], batch.data.size) != place:
                raise ValueError("batches lie over different buffers; process them one by one")
        return Frames(
            head.data,
            np.concatenate([batch.start for batch in batches]),
            np.concatenate([batch.caplen for batch in batches]),
            np.concatenate([batch.wirelen for batch in batches]),
            np.concatenate([batch.ts_ns for batch in batches]),
            np.concatenate([batch.interface for batch in batches]),
            head.first_number,
        )

    @cached_property
    def headers(self) -> Headers:
        """The parsed header columns, computed at first use."""
        from pcaps.headers import parse_headers

        return parse_headers(self)
