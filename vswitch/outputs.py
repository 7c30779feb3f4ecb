"""The files of a replay: ``queues.pcapng``, a pcap per VM, ``summary.json``.

Guarantees
----------
* Each file is whole or absent, and so is the set: nothing appears before the
  last frame is written, and after an error nothing has changed.
* The same input gives the same bytes, on any number of threads. What differs
  from run to run (times, number of threads) is therefore not in
  ``summary.json``.
* Memory is bounded, and no Python runs per frame.

How ``queues.pcapng`` is to be read: interface 0 has the frames as they came in,
each dropped one with a comment (``dropped: over-mtu: ...``). Every other
interface is a port, with the copies as they left, tags rewritten. All records of
one frame have one packet id: the frame's number over all captures, from 1.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from pcaps.copies import Copies
from pcaps.pcapng_writer import OutInterface, PcapngWriter
from pcaps.split_writer import SplitWriter
from pcaps.whole import write_whole
from pcaps.whole_directory import WholeDirectory
from vswitch.verdict import DropReason

if TYPE_CHECKING:
    from pcaps.frames import Frames
    from vswitch.engine import Compiled, Decided
    from vswitch.offloading import Substitutes
    from vswitch.results import QueueRow

QUEUES_FILE, SUMMARY_FILE, SPLIT_DIRECTORY = "queues.pcapng", "summary.json", "vms"

SEVERAL_PORTS = "ingress"
"""Name of interface 0 where frames come in by more than one port."""

_RECORDS = 1 << 14
"""Records listed at a time: their columns (30 bytes a record) stay in the second-level cache."""

u64 = np.uint64


class IngressSide(StrEnum):
    """Which frames ``queues.pcapng`` holds as they came in."""

    ALL = "all"
    DROPPED = "dropped"
    NONE = "none"


def drop_comment(reason: DropReason) -> str:
    """Return the comment of a dropped frame in ``queues.pcapng``.

    Parameters
    ----------
    reason : DropReason
        Why it was dropped.

    Returns
    -------
    str
        ``dropped: <label>: <sentence>``.
    """
    return f"dropped: {reason.label}: {reason.sentence}"


def _comments() -> list[str]:
    """Return the comments by the reason's number, as the kernel refers to them."""
    comments = [""] * (max(DropReason) + 1)
    for reason in DropReason:
        comments[reason] = drop_comment(reason)
    return comments


def describe(row: QueueRow) -> str:
    """Return the description of a VM's interface.

    Parameters
    ----------
    row : QueueRow
        The VM.

    Returns
    -------
    str
        Address, VLAN and the way its frames take.
    """
    vlan = "untagged" if row.vlan is None else f"VLAN {row.vlan}"
    way = {
        "vmq": f"VM queue {row.queue}",
        "default": "default queue, then the software switch",
        "software": "software switch",
    }[row.path]
    return f"{row.mac or 'no own address'}, {vlan}, {way}"


def interfaces_of(
    compiled: Compiled, ingress: str | None
) -> tuple[list[OutInterface], npt.NDArray[np.uint32]]:
    """Lay out the interfaces of ``queues.pcapng``.

    Parameters
    ----------
    compiled : Compiled
        The switch.
    ingress : str, optional
        Name of the port that all frames come in by; None = several ports.

    Returns
    -------
    interfaces : list of OutInterface
        Interface 0 for frames as they come in, then the ports.
    interface_of : numpy.ndarray
        ``uint32[n_ports]``: interface that a port's copies are written to.
    """
    from vswitch.results import Result
    from vswitch.tally import Tally

    rows = {row.vm: row for row in Result(compiled, Tally()).queues}
    came_in = f"every frame as it came in by {ingress or 'its port'}"
    interfaces = [OutInterface(ingress or SEVERAL_PORTS, came_in)]
    interface_of = np.zeros(len(compiled.network.ports), np.uint32)
    for number, port in enumerate(compiled.network.ports):
        if port.name == ingress:
            continue
        interface_of[number] = len(interfaces)
        row = rows.get(port.name)
        interfaces.append(
            OutInterface(port.name, describe(row), row.queue, row.mac)
            if row
            else OutInterface(port.name, "uplink, to the physical network")
        )
    return interfaces, interface_of


class QueueLog:
    """Writes decided batches to ``queues.pcapng`` and to a pcap per VM.

    Parameters
    ----------
    writer : PcapngWriter
        With the interfaces of :func:`interfaces_of` and a comment a reason.
    split : SplitWriter, optional
        One file a port; its files are numbered as the ports.
    interface_of : numpy.ndarray
        ``uint32[n_ports]``, as from :func:`interfaces_of`.
    side : IngressSide
        Which frames are written as they came in.
    """

    def __init__(
        self,
        writer: PcapngWriter,
        split: SplitWriter | None,
        interface_of: npt.NDArray[np.uint32],
        side: IngressSide,
    ) -> None:
        from vswitch import outputs_kernel

        self._writer = writer
        self._split = split
        self._interface_of = interface_of
        self._port_of = np.full(int(interface_of.max(initial=0)) + 1, -1, np.int64)
        self._port_of[interface_of] = np.arange(len(interface_of))
        self._port_of[0] = -1  # frames as they came in
        self._side = u64(list(IngressSide)[::-1].index(side))
        self._interleave = outputs_kernel.interleave
        self._left = outputs_kernel.Left
        self._log = outputs_kernel.Log(
            np.zeros(_RECORDS, np.uint32), np.zeros(_RECORDS, np.uint32),
            np.zeros(_RECORDS, np.uint8), np.zeros(_RECORDS, np.uint32),
            np.zeros(_RECORDS, np.uint64), np.zeros(_RECORDS, np.uint8),
            np.zeros(_RECORDS, np.int64),
        )  # fmt: skip

    def write(
        self, decided: Decided, frames_before: int, substitutes: Substitutes | None = None
    ) -> None:
        """Append one batch.

        Parameters
        ----------
        decided : Decided
            With its columns; the ports are those that the log was made for.
        frames_before : int
            Frames of earlier captures.
        substitutes : Substitutes, optional
            What is written in place of some copies.
        """
        from vswitch.copies import leaving

        frames = decided.frames
        assert frames is not None
        number = u64(decided.number + frames_before)
        frame = u64(0)
        left = self._left(*(np.zeros(0, kind) for kind in ("u4", "u4", "u1", "u4")))
        for part in leaving(decided):
            left = self._left(part.frame, part.port, part.strip, part.push)
            if len(part.frame):
                stop = u64(part.frame[-1]) + u64(1)
                frame = self._append(decided, left, number, stop, frame, substitutes)
                if self._split is not None:
                    columns: dict[str, npt.NDArray[Any]] = {
                        "frame": part.frame, "interface": part.port, "strip": part.strip,
                        "push": part.push,
                    }  # fmt: skip
                    self._split.write(*_substituted(frames, columns, part.port, substitutes))
        nothing = self._left._make(column[:0] for column in left)
        self._append(decided, nothing, number, u64(len(decided.words)), frame, substitutes)

    def _append(
        self, decided: Decided, left: Any, number: np.uint64, stop: np.uint64, frame: np.uint64,
        substitutes: Substitutes | None,
    ) -> np.uint64:  # fmt: skip
        """Write the frames before `stop` and all copies in `left`; return the next frame."""
        assert decided.frames is not None
        copy = u64(0)
        while True:
            after, done, n = self._interleave(
                decided.words, left, self._interface_of, self._side, number, stop, frame, copy,
                self._log,
            )  # fmt: skip
            frame, copy, filled = u64(after), u64(done), int(n)
            if filled:
                columns = {name: column[:filled] for name, column in self._log._asdict().items()}
                port = self._port_of[columns["interface"]]
                self._writer.write(*_substituted(decided.frames, columns, port, substitutes))
            if filled < _RECORDS:
                return frame


def _substituted(
    frames: Frames, columns: dict[str, npt.NDArray[Any]], port: npt.NDArray[Any],
    substitutes: Substitutes | None,
) -> tuple[Frames, Copies]:  # fmt: skip
    """Return a batch and the copies to write of it, substitutes in their places."""
    if substitutes is None:
        return frames, Copies(**columns)
    rows, index = substitutes.apply(columns["frame"], port.astype(np.int64))
    chosen = {name: column[rows] for name, column in columns.items()}
    return substitutes.frames, Copies(**{**chosen, "frame": index})


class Outputs:
    """All files of one replay; use it in a ``with`` statement.

    Parameters
    ----------
    directory : path-like
        Where the files are to stand; made when it does not exist. Files of the
        same names are replaced at the end, others stay.
    compiled : Compiled
        The switch, whose ports must stay the same.
    ingress : str, optional
        Port that all frames come in by; None = several ports.
    side : IngressSide
        Which frames ``queues.pcapng`` holds as they came in.
    split : bool
        Whether to write a pcap per port.

    Raises
    ------
    BadInput
        When the system refuses to write there.
    """

    def __init__(
        self,
        directory: str | Path,
        compiled: Compiled,
        *,
        ingress: str | None = None,
        side: IngressSide = IngressSide.ALL,
        split: bool = False,
    ) -> None:
        self._whole = WholeDirectory(directory)
        self._compiled = compiled
        self._ingress = ingress
        self._side = side
        self._splits = split
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self._whole.__enter__()
        try:
            with self._whole.real_names():
                self._log = self._open_log()
        except BaseException as error:
            self._files.__exit__(type(error), error, None)
            self._whole.__exit__(type(error), error, None)
            raise
        return self

    def _open_log(self) -> QueueLog:
        interfaces, interface_of = interfaces_of(self._compiled, self._ingress)
        writer = PcapngWriter(self._whole.hidden / QUEUES_FILE, interfaces, comments=_comments())
        self._files.enter_context(writer)
        split = None
        if self._splits:
            ports = self._compiled.network.ports
            names = [f"{port.name}.pcap" for port in ports if port.name != self._ingress]
            file_of = interface_of.astype(np.int64) - 1  # interface 0 is no port's: no file
            split = SplitWriter(
                self._whole.hidden / SPLIT_DIRECTORY, names, file_of_interface=file_of
            )
            self._files.enter_context(split)
        return QueueLog(writer, split, interface_of, self._side)

    def write(
        self, decided: Decided, frames_before: int = 0, substitutes: Substitutes | None = None
    ) -> None:
        """Append one decided batch to the capture files.

        Parameters
        ----------
        decided : Decided
            With its columns.
        frames_before : int
            Frames of earlier captures.
        substitutes : Substitutes, optional
            What is written in place of some copies.
        """
        with self._whole.real_names():
            self._log.write(decided, frames_before, substitutes)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``.

        Parameters
        ----------
        summary : dict
            As from :meth:`vswitch.replay.Replay.summary`, without what differs
            from run to run.
        """
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        with self._whole.real_names():
            write_whole(self._whole.hidden / SUMMARY_FILE, text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._whole.real_names():
                self._files.__exit__(kind, error, trace)
        except BaseException as refused:
            self._whole.__exit__(type(refused), refused, None)
            raise
        self._whole.__exit__(kind, error, trace)
