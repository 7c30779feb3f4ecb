"""``wire.pcapng``: every frame of a run, on every interface that it passed.

Guarantees
----------
* Full Ethernet frames with right IPv4 and TCP checksums; the payload is that of the
  captured streams, or for a pattern the payload text by stream position.
* A frame has the same bytes wherever it is seen, but for the tag that the VM's port
  takes off or puts on, and one packet id: the number of the segment.
* A frame that ends on its way says why in its comment, on the interface where it was
  seen last; one that was sent again says what made its end do so.
* The same run gives the same bytes. The file is whole or absent.

How it is to be read: the interfaces show the same connections at four places, so a
program that follows TCP must look at one of them at a time
(``tshark -r wire.pcapng -Y 'frame.interface_id == 0' -w client.pcapng``).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from migration.announce import RARP
from migration.fate import Fate, reason_of
from migration.path import HOST_DELAY_NS
from migration.path_kernel import AT_CLIENT, AT_TARGET, AT_VM, FATES
from migration.wire_kernel import END, INSIDE, LONGEST_RECORD, OUTSIDE, Source, build
from pcaps.addresses import key_to_mac
from pcaps.copies import INBOUND, NO_COMMENT, OUTBOUND, Copies
from pcaps.frames import PAD, Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter
from vswitch.verdict import DropReason

if TYPE_CHECKING:
    from migration.connections import Connections
    from migration.frame_log import FrameLog
    from migration.run import Replay

WIRE_FILE = "wire.pcapng"

SYNTHETIC_EPOCH_NS = 1_256_169_600 * 1_000_000_000
"""Time of the first connection of a pattern: 2009-10-22 00:00 UTC, when Windows Server 2008 R2 came out."""

_BUFFER = 16 * LONGEST_RECORD

_CLIENT_SIDE = "tshark -r wire.pcapng -Y 'frame.interface_id == 0' -w client.pcapng"

_AGAIN = (
    "",
    "retransmission (timeout)",
    "retransmission (tail probe)",
    "retransmission (fast)",
    "probe (keep-alive or window)",
)
"""What is said of a segment by :data:`migration.path_kernel.LOG`'s `again`; last: by `probe`."""


@dataclass(frozen=True)
class ExtraFrame:
    """A frame that is no segment, such as an announcement.

    Parameters
    ----------
    at_ns : int
        World time.
    where : int
        Interface: AT_CLIENT, ... of :mod:`migration.path_kernel`.
    data : bytes
        The frame without FCS.
    number : int
        The same for all appearances of one frame, from 1.
    comment : str
        What it is.
    """

    at_ns: int
    where: int
    data: bytes
    number: int = 1
    comment: str = ""


def announcements_of(replay: Replay) -> list[ExtraFrame]:
    """Return the frames that announced the VM: at its port, and as they left the target host.

    Parameters
    ----------
    replay : Replay
        After its run.

    Returns
    -------
    list of ExtraFrame
        In order of time. A RARP request is made by the host, so the VM's port has none.
    """
    target = replay.hosts[1]
    made: list[ExtraFrame] = []
    for number, scene in enumerate((one for one in replay.scenes if one.announcement), 1):
        at_ns, frame = scene.at_ns - HOST_DELAY_NS, scene.announcement
        rarp = RARP.to_bytes(2, "big") in (frame[12:14], frame[16:18])
        said = "RARP request of the host" if rarp else "gratuitous ARP of the guest"
        said = f"announcement: {said}"
        if not rarp:
            made.append(ExtraFrame(at_ns, AT_VM, frame, number, said))
        for port, left in target.switch.send(frame, target.vm.name):
            if port == target.uplink:
                made.append(ExtraFrame(at_ns, AT_TARGET, bytes(left.data), number, said))
    return made


def epoch_of(connections: Connections) -> int:
    """Return the time of world time 0: when the first connection begins.

    Parameters
    ----------
    connections : Connections
        Of captures, or of a pattern.

    Returns
    -------
    int
        Nanoseconds since 1970-01-01 UTC.
    """
    starts = (session.start_ns for session in connections.sessions)
    return min(starts, default=SYNTHETIC_EPOCH_NS)


def interfaces_of(connections: Connections) -> list[OutInterface]:
    """Return the interfaces of the file, numbered as the ``where`` of the log.

    Parameters
    ----------
    connections : Connections
        For the VM's address.

    Returns
    -------
    list of OutInterface
        Client side, source uplink, target uplink, VM.
    """
    mac = key_to_mac(int(connections.mac[int(connections.vm_side[0])]))
    return [
        OutInterface("client side", "the other ends of the VM's connections, before any link"),
        OutInterface("source uplink", "the host that the VM leaves, at its adapter"),
        OutInterface("target uplink", "the host that the VM moves to, at its adapter"),
        OutInterface("VM", "the VM's port: what it sends, and what it gets", mac=mac),
    ]


def ends_of(
    connections: Connections, headers: npt.NDArray[np.uint8], attach: npt.NDArray[np.void]
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint8]]:
    """Return what the frames of each end are made of, streams left out.

    Parameters
    ----------
    connections : Connections
        Who talks to whom.
    headers : numpy.ndarray
        ``uint8[]``: headers as the ends send them.
    attach : numpy.ndarray
        ``ATTACH[2n]``: which of them.

    Returns
    -------
    ends : numpy.ndarray
        ``END[2n]``.
    heads : numpy.ndarray
        ``uint8[]``: the headers, and the same with their addresses exchanged.
    """
    n = len(connections)
    rows = np.arange(2 * n)
    version = np.repeat(connections.version, 2)
    sizes = attach["overhead"] - np.where(version == 4, 20, 40) - 20
    inside = np.zeros(2 * n, np.bool_)
    inside[np.arange(n) * 2 + connections.vm_side] = True
    own, other = np.where(inside, INSIDE, OUTSIDE), np.where(inside, OUTSIDE, INSIDE)

    ends = np.zeros(2 * n, END)
    ends["ip"] = np.ascontiguousarray(connections.ip).view("<u8")
    ends["port"], ends["ttl"] = connections.port, connections.ttl
    ends["isn"], ends["ts_first"] = connections.isn, connections.ts_first
    ends["version"], ends["vm"] = version, inside
    ends["scale_early"] = [
        connections.stack_of(end).profile.startswith("windows") for end in range(2 * n)
    ]
    ends["head"][rows, own], ends["head_bytes"][rows, own] = attach["frame"], sizes
    # at the other place its frames look as its peer's do there, the other way round
    peer = rows ^ 1
    ends["head"][rows, other] = attach["frame"][peer] + len(headers)
    ends["head_bytes"][rows, other] = sizes[peer]
    turned = headers.copy()
    for place in np.unique(attach["frame"]).tolist():
        turned[place : place + 6] = headers[place + 6 : place + 12]
        turned[place + 6 : place + 12] = headers[place : place + 6]
    return ends, np.concatenate([headers, turned, np.zeros(PAD, np.uint8)])


def streams_of(connections: Connections, ends: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    """Lay out the captured streams of connections one behind the other, in a temporary file.

    Parameters
    ----------
    connections : Connections
        Of captures, or of a pattern.
    ends : numpy.ndarray
        ``END[2n]``; `first`, `size` and `period` are filled in.

    Returns
    -------
    numpy.ndarray
        ``uint8[]``, mapped; the file has no name and goes with it.
    """
    from pcaps.blueprint import PERIOD

    if not connections.sessions:
        ends["period"] = PERIOD
        # streams of neighbours begin at different places of the text
        ends["first"] = np.arange(len(ends)) * 74 % PERIOD
        return np.zeros(PAD, np.uint8)
    with tempfile.TemporaryFile() as file:
        place = 0
        for c, session in enumerate(connections.sessions):
            for x, side in enumerate((session.client, session.server)):
                stream = replace(side).stream  # of a copy, so that no session keeps the bytes
                ends[2 * c + x]["first"], ends[2 * c + x]["size"] = place, len(stream)
                file.write(stream.data)
                place += len(stream)
        file.write(bytes(PAD))
        file.flush()
        return np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)


def wire_comments() -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return what is said of frames.

    Returns
    -------
    texts : list of str
        The comments.
    number : numpy.ndarray
        ``int64[5, FATES]``: which of them, by what a frame was sent again for and by why it ended.
    """
    texts: list[str] = []
    number = np.full((len(_AGAIN), FATES), NO_COMMENT, np.int64)
    for again, said in enumerate(_AGAIN):
        for fate in (0, *DropReason, *Fate):
            parts = [said] if said else []
            if fate:
                reason = reason_of(fate)
                parts.append(f"dropped: {reason.label}: {reason.sentence}")
            if parts:
                number[again, fate] = len(texts)
                texts.append("; ".join(parts))
    return texts, number


class _Wire:
    """Turns rows into records of a file."""

    def __init__(
        self,
        writer: PcapngWriter,
        ends: npt.NDArray[np.void],
        source: Source,
        epoch_ns: int,
        comment: npt.NDArray[np.int64],
    ) -> None:
        self._writer, self._ends, self._epoch_ns = writer, ends, epoch_ns
        self._source = Source(*(_read_only(array) for array in source))
        self._comment = comment
        self._buffer = np.zeros(_BUFFER, np.uint8)
        self._start = np.zeros(0, np.int64)
        self._length = np.zeros(0, np.uint32)

    def write(self, rows: npt.NDArray[np.void]) -> None:
        """Append frames at interfaces."""
        if len(self._start) < len(rows):
            self._start = np.zeros(len(rows), np.int64)
            self._length = np.zeros(len(rows), np.uint32)
        cursor = 0
        while cursor < len(rows):
            after = int(
                build(
                    rows, cursor, self._ends, self._source, self._buffer, self._start, self._length
                )
            )
            self._append(rows[cursor:after])
            cursor = after

    def _append(self, rows: npt.NDArray[np.void]) -> None:
        n = len(rows)
        length = self._length[:n]
        where = rows["where"]
        frames = Frames(
            self._buffer, self._start[:n], length, length, rows["at"] + self._epoch_ns,
            where.astype(np.uint16),
        )  # fmt: skip
        again = np.where(rows["again"] == 0, rows["probe"] * 4, rows["again"])
        from_vm = self._ends["vm"][rows["sender"]] != 0
        copies = Copies(
            np.arange(n, dtype=np.uint32),
            where.astype(np.uint32),
            packet_id=rows["number"].astype(np.uint64),
            direction=np.where(from_vm == (where != AT_CLIENT), OUTBOUND, INBOUND).astype(np.uint8),
            comment=self._comment[again, rows["fate"]],
        )
        self._writer.write(frames, copies)

    def write_extra(self, extra: ExtraFrame, first_number: int) -> None:
        """Append a frame that is no segment."""
        comment = NO_COMMENT
        if extra.comment:
            comment = self._writer.add_comments([extra.comment])
        frames = Frames.from_bytes([extra.data], ts_ns=[extra.at_ns + self._epoch_ns])
        copies = Copies(
            np.zeros(1, np.uint32),
            np.array([extra.where], np.uint32),
            packet_id=np.array([first_number + extra.number], np.uint64),
            direction=np.array([OUTBOUND], np.uint8),
            comment=np.array([comment], np.int64),
        )
        self._writer.write(frames, copies)


def write_wire(
    path: str | os.PathLike[str],
    log: FrameLog,
    replay: Replay,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write all frames of a run.

    Parameters
    ----------
    path : str or path-like
        The file.
    log : FrameLog
        What the run has logged.
    replay : Replay
        The run: who its ends are, and what announced the VM. The packet ids of
        announcements follow those of the segments.
    progress : callable, optional
        Called with the share that is written.

    Returns
    -------
    int
        Records written.

    Raises
    ------
    BadInput
        When the system refuses the write.
    """
    from pcaps.blueprint import text

    simulation, connections = replay.simulation, replay.simulation.connections
    waiting = announcements_of(replay)
    ends, heads = ends_of(connections, simulation.path.headers, simulation.path.attach)
    texts, comment = wire_comments()
    said = (
        f"One frame stands on every interface that it passed. For one of them alone: {_CLIENT_SIDE}"
    )
    source = Source(heads, streams_of(connections, ends), text())
    with PcapngWriter(path, interfaces_of(connections), comments=texts, comment=said) as writer:
        wire = _Wire(writer, ends, source, epoch_of(connections), comment)
        for chunk in log.chunks():
            rows = chunk
            while waiting and len(rows) and waiting[0].at_ns < rows["at"][-1]:
                before = int(np.searchsorted(rows["at"], waiting[0].at_ns))
                wire.write(rows[:before])
                rows = rows[before:]
                wire.write_extra(waiting.pop(0), log.last_number)
            wire.write(rows)
            if progress is not None:
                progress(writer.frames_written / log.rows)
        for one in waiting:
            wire.write_extra(one, log.last_number)
    return writer.frames_written


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
