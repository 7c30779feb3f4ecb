"""Write pcapng: one section, one interface per port or queue.

Guarantees
----------
* Times in nanoseconds, original lengths kept, padding zero: the same input gives
  the same bytes. The files are whole or absent (:mod:`pcaps.whole`).
* Wireshark shows the interface's name and description, the queue
  (``frame.interface_queue``), the number that the copies of one frame share
  (``frame.packet_id``), the direction and the comment (``frame.comment``).

Left to the caller: which copies there are (:mod:`pcaps.copies`). Times before
1970 are written as 0, since the format has none.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pcaps.addresses import mac_to_key
from pcaps.copies import NO_QUEUE, Copies
from pcaps.errors import BadInput
from pcaps.frames import PAD, Frames
from pcaps.staging import BatchColumns, StagedFile, copy_columns, raise_for

_SHB, _IDB = 0x0A0D0D0A, 1
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_OPT_COMMENT, _SHB_USERAPPL = 1, 4
_IF_NAME, _IF_DESCRIPTION, _IF_MACADDR, _IF_TSRESOL = 2, 3, 6, 9
_ETHERNET = 1
_LONGEST_OPTION = 0xFFFF


@dataclass(frozen=True, slots=True)
class OutInterface:
    """One interface of a pcapng file.

    Parameters
    ----------
    name : str
        if_name, such as ``vm1`` or ``uplink``.
    description : str
        if_description; left out when empty.
    queue : int, optional
        epb_queue of the copies that name no queue themselves.
    mac : str, optional
        if_MACaddr.
    """

    name: str
    description: str = ""
    queue: int | None = None
    mac: str | None = None


def option(code: int, value: bytes) -> bytes:
    """Return one pcapng option, padded to 32 bits.

    Parameters
    ----------
    code : int
        Option code.
    value : bytes
        At most 65 535 bytes.

    Returns
    -------
    bytes
        Code, length, value, padding.
    """
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def text_option(code: int, text: str) -> bytes:
    """Return a text option, nothing for an empty text.

    Parameters
    ----------
    code : int
        Option code.
    text : str
        Cut at the last whole character that the format's 65 535 bytes hold.

    Returns
    -------
    bytes
        As from :func:`option`.
    """
    return option(code, fitting(text)) if text else b""


def fitting(text: str) -> bytes:
    """Return the UTF-8 form of a text, cut to what an option can hold.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    bytes
        At most 65 535 bytes of valid UTF-8.
    """
    return text.encode("utf-8", "replace")[:_LONGEST_OPTION].decode("utf-8", "ignore").encode()


def block(kind: int, body: bytes) -> bytes:
    """Return one pcapng block.

    Parameters
    ----------
    kind : int
        Block type.
    body : bytes
        A multiple of 4 bytes.

    Returns
    -------
    bytes
        Type, total length, body, total length.
    """
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + total + body + total


def section_header(application: str = "", comment: str = "") -> bytes:
    """Return a section header block of unknown section length.

    Parameters
    ----------
    application : str
        shb_userappl.
    comment : str
        Comment of the section.

    Returns
    -------
    bytes
        The block.
    """
    options = text_option(_OPT_COMMENT, comment) + text_option(_SHB_USERAPPL, application)
    fixed = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1)
    return block(_SHB, fixed + options + (bytes(4) if options else b""))


def interface_block(interface: OutInterface) -> bytes:
    """Return an interface description block: Ethernet, nanoseconds, no snap length.

    Parameters
    ----------
    interface : OutInterface
        What to describe.

    Returns
    -------
    bytes
        The block.
    """
    options = text_option(_IF_NAME, interface.name)
    options += text_option(_IF_DESCRIPTION, interface.description)
    if interface.mac is not None:
        options += option(_IF_MACADDR, mac_to_key(interface.mac).to_bytes(6, "little"))
    options += option(_IF_TSRESOL, b"\x09") + bytes(4)
    return block(_IDB, struct.pack("<HHI", _ETHERNET, 0, 0) + options)


def _described(interfaces: Sequence[OutInterface]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the blocks of interfaces, and their queues for the kernel."""
    queues = []
    for entry in interfaces:
        if entry.queue is not None and not 0 <= entry.queue <= 0xFFFFFFFF:
            raise BadInput(f"interface '{entry.name}': queue {entry.queue} does not fit 32 bits")
        queues.append(NO_QUEUE if entry.queue is None else entry.queue)
    return b"".join(map(interface_block, interfaces)), np.array(queues, np.int64)


class PcapngWriter:
    """A pcapng file in the making; use it in a ``with`` statement.

    Parameters
    ----------
    path : str or path-like
        The file; ``-`` is standard output, ``.gz`` and ``.zst`` compress.
    interfaces : sequence of OutInterface
        Interface n of the file is entry n.
    comments : sequence of str
        The sentences that :attr:`Copies.comment` numbers.
    application : str
        Name of the writing program.
    comment : str
        Comment of the whole section.

    Attributes
    ----------
    frames_written : int
        Copies written so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        interfaces: Sequence[OutInterface],
        *,
        comments: Sequence[str] = (),
        application: str = "vswitch",
        comment: str = "",
    ) -> None:
        self.frames_written = 0
        header = section_header(application, comment)
        blocks, self._queues = _described(interfaces)
        self._columns = BatchColumns()
        self._file = StagedFile(path, header + blocks)
        self._comments = [fitting(text) for text in comments]
        self._lay_out_comments()

    def _lay_out_comments(self) -> None:
        lengths = np.array([len(text) for text in self._comments], np.int64)
        self._text = np.frombuffer(b"".join([*self._comments, bytes(PAD)]), np.uint8)
        self._text_start = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def add_comments(self, texts: Sequence[str]) -> int:
        """Add sentences for later copies.

        Parameters
        ----------
        texts : sequence of str
            The sentences.

        Returns
        -------
        int
            The number of the first of them.
        """
        first = len(self._comments)
        self._comments.extend(fitting(text) for text in texts)
        self._lay_out_comments()
        return first

    def add_interfaces(self, interfaces: Sequence[OutInterface]) -> int:
        """Describe further interfaces for later copies.

        Parameters
        ----------
        interfaces : sequence of OutInterface
            What to describe.

        Returns
        -------
        int
            The number of the first of them.
        """
        first = len(self._queues)
        blocks, queues = _described(interfaces)
        self._queues = np.concatenate([self._queues, queues])
        self._file.put(blocks)
        return first

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    @property
    def bytes_written(self) -> int:
        """Size of the file so far, without what waits in the buffer."""
        return self._file.bytes_written

    def write(self, frames: Frames, copies: Copies | None = None) -> None:
        """Append copies of the frames of one batch, in the order given.

        Parameters
        ----------
        frames : Frames
            The batch; padded batches are not copied.
        copies : Copies, optional
            Each frame once, at its own interface, by default.

        Raises
        ------
        ValueError
            When a copy names a frame, an interface or a comment that is not
            there, or changes the tag of a frame that was cut before it.
        BadInput
            When the system refuses the write.
        """
        from pcaps import write_kernel

        if copies is None:
            copies = Copies.of_all(len(frames), frames.interface)
        columns = self._columns.of(frames)
        chosen = copy_columns(copies)
        section = write_kernel.Section(self._queues, self._text, self._text_start)
        file, cursor, n_copies = self._file, 0, len(copies)
        while cursor < n_copies:
            after, filled, state = write_kernel.fill_pcapng(
                file.buffer, np.uint64(file.filled), np.uint64(file.capacity),
                columns, chosen, section, np.uint64(cursor),
            )  # fmt: skip
            file.filled, cursor = int(filled), int(after)
            if state == write_kernel.FULL:
                file.make_room()
            elif state != write_kernel.FINE:
                raise_for(state, copies, cursor)
        self.frames_written += n_copies

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._columns.forget()
        self._file.__exit__(kind, error, trace)
