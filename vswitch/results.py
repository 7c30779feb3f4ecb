"""What a run returns: counters by port, drops by reason, and columns frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps.frames import Frames
from pcaps.jit import work_time
from vswitch.engine import Compiled, Decided
from vswitch.ports import Network, Port, PortKind
from vswitch.tally import Tally
from vswitch.verdict import DropReason, Verdict
from vswitch.words_kernel import KIND_SHIFT, TCI_SHIFT


@dataclass(frozen=True, slots=True)
class Measured:
    """What the run cost here (measured, not modelled).

    Parameters
    ----------
    cpu_s, wall_s : float
        Processor time of all threads, and elapsed time, in seconds.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def to_dict(self, frames: int, bytes_wire: int) -> dict[str, float]:
        """Return the figures with rates, as in the JSON output."""
        wall = max(self.wall_s, 1e-9)
        return {
            "cpu_s": round(self.cpu_s, 6),
            "wall_s": round(self.wall_s, 6),
            "mpps": round(frames / wall / 1e6, 3),
            "gbps": round(bytes_wire * 8 / wall / 1e9, 3),
        }


class Stopwatch:
    """Measures a run from its making on, without what compiling its kernels took."""

    def __init__(self) -> None:
        self._began = work_time()

    def measured(self) -> Measured:
        """Return what the run has cost so far.

        Returns
        -------
        Measured
            Never negative.
        """
        cpu_s, wall_s = work_time()
        return Measured(max(0.0, cpu_s - self._began[0]), max(0.0, wall_s - self._began[1]))


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One VM and what its queue got.

    Parameters
    ----------
    vm, mac : str
        Port name and address.
    vlan : int or None
        Its VLAN; None when untagged.
    queue : int or None
        VM queue; 0 = the default queue; None where there is no adapter.
    path : str
        ``vmq`` (own VM queue), ``default`` (default queue, then the software
        switch) or ``software`` (no adapter).
    frames, bytes_wire, bytes_captured : int
        Unicast frames; bytes as received.
    flooded_frames : int
        Copies of flooded frames.
    """

    vm: str
    mac: str | None
    vlan: int | None
    queue: int | None
    path: str
    frames: int
    bytes_wire: int
    bytes_captured: int
    flooded_frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return the row as in the JSON output."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(eq=False)
class Result:
    """Result of a run.

    Parameters
    ----------
    compiled : Compiled
        The switch as it was at the end.
    tally : Tally
        All counters.
    measured : Measured
        Time spent.
    decided : list of Decided
        The decided batches, where they were kept.
    """

    compiled: Compiled
    tally: Tally
    measured: Measured = field(default_factory=Measured)
    decided: list[Decided] = field(default_factory=list)

    @property
    def network(self) -> Network:
        """The network as it was at the end."""
        return self.compiled.network

    @property
    def frames(self) -> dict[str, int]:
        """Frames in, and what became of them: in = unicast + flooded + dropped."""
        tally = self.tally
        return {
            "in": tally.frames,
            "unicast": tally.unicast,
            "flooded": tally.flooded,
            "dropped": tally.dropped,
            "copies": tally.copies,
        }

    @property
    def drops(self) -> dict[str, int]:
        """Frames dropped by reason, most frequent first."""
        ordered = sorted(self.tally.drops.items(), key=lambda item: (-item[1].frames, item[0]))
        return {reason.label: drops.frames for reason, drops in ordered}

    @property
    def queues(self) -> list[QueueRow]:
        """One row a port but the uplink, in port order."""
        return [self._row(port) for port in self.network.ports if port.kind is not PortKind.UPLINK]

    def _row(self, port: Port) -> QueueRow:
        count = self.tally.ports.get(port.name)
        if self.compiled.mode == 1:
            queue: int | None = self.compiled.queues.get(port.name, 0)
            path = "vmq" if queue else "default"
        else:
            queue, path = None, "software"
        return QueueRow(
            vm=port.name,
            mac=port.address,
            vlan=port.vlan.vid or None,
            queue=queue,
            path=path,
            frames=count.frames if count else 0,
            bytes_wire=count.bytes_wire if count else 0,
            bytes_captured=count.bytes_captured if count else 0,
            flooded_frames=count.flooded_frames if count else 0,
        )

    def summary(self) -> dict[str, Any]:
        """Return everything but the captures, as in ``vswitch replay --json``.

        Returns
        -------
        dict
            With keys frames, drops, suppressed, queues, measured.
        """
        return {
            "frames": self.frames,
            "drops": self.drops,
            "suppressed": {reason.label: n for reason, n in self.tally.suppressed.items()},
            "queues": [row.to_dict() for row in self.queues],
            "measured": self.measured.to_dict(self.tally.frames, self.tally.bytes_wire),
        }

    @property
    def words(self) -> npt.NDArray[np.uint64]:
        """``uint64[n]``: decision words of all kept frames (:mod:`vswitch.words_kernel`)."""
        if not self.decided:
            return np.zeros(0, np.uint64)
        return np.concatenate([batch.words for batch in self.decided])

    @property
    def verdict(self) -> npt.NDArray[np.uint8]:
        """``uint8[n]``: :class:`vswitch.verdict.Verdict` of each kept frame."""
        return ((self.words >> np.uint64(KIND_SHIFT)) & np.uint64(3)).astype(np.uint8)

    @property
    def reason(self) -> npt.NDArray[np.uint8]:
        """``uint8[n]``: drop reason of each kept frame, 0 where it was not dropped."""
        low = (self.words & np.uint64(0xFF)).astype(np.uint8)
        return np.where(self.verdict == Verdict.DROPPED, low, np.uint8(0))

    @property
    def port(self) -> npt.NDArray[np.int32]:
        """``int32[n]``: port that a unicast frame went to, -1 for others.

        Numbers are those of the network at the time; they stay the same unless
        ports are added or removed during the run.
        """
        low = (self.words & np.uint64(0xFFFF)).astype(np.int32)
        return np.where(self.verdict == Verdict.UNICAST, low, np.int32(-1))

    @property
    def vlan(self) -> npt.NDArray[np.int32]:
        """``int32[n]``: VLAN inside the switch, -1 for dropped frames.

        A unicast frame that leaves with a private VLAN's secondary VID, or with a
        priority tag, shows the VID it leaves with.
        """
        vid = ((self.words >> np.uint64(TCI_SHIFT)) & np.uint64(0xFFF)).astype(np.int32)
        return np.where(self.verdict == Verdict.DROPPED, np.int32(-1), vid)

    def frames_of(self, name: str) -> Iterator[Frames]:
        """Yield the unicast frames that a port got, as received, batch by batch.

        Parameters
        ----------
        name : str
            Port name.

        Yields
        ------
        Frames
            In order; nothing where the batches were not kept.
        """
        for batch in self.decided:
            number = batch.compiled.network.number_of(name)
            kind = (batch.words >> np.uint64(KIND_SHIFT)) & np.uint64(3)
            mine = (kind == Verdict.UNICAST) & ((batch.words & np.uint64(0xFFFF)) == number)
            if batch.frames is not None and mine.any():
                yield batch.frames[np.flatnonzero(mine)]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of all kept frames: what each frame was and what became of it.

        Returns
        -------
        dict of numpy.ndarray
            number, ts_ns, caplen, wirelen, verdict, reason, port, vlan; equal lengths.
        """
        batches = [batch for batch in self.decided if batch.frames is not None]

        def join(name: str, dtype: Any) -> npt.NDArray[Any]:
            parts = [getattr(batch.frames, name) for batch in batches]
            return np.concatenate(parts) if parts else np.zeros(0, dtype)

        return {
            "number": np.concatenate(
                [np.arange(len(b.words)) + b.number for b in batches] or [np.zeros(0, np.int64)]
            ),
            "ts_ns": join("ts_ns", np.int64),
            "caplen": join("caplen", np.uint32),
            "wirelen": join("wirelen", np.uint32),
            "verdict": self.verdict,
            "reason": self.reason,
            "port": self.port,
            "vlan": self.vlan,
        }

    def to_pandas(self) -> Any:
        """Return the columns as a pandas data frame, verdict, reason and port as names.

        Returns
        -------
        pandas.DataFrame
            One row a frame.

        Raises
        ------
        ImportError
            When pandas is not installed (``pip install 'vswitch[tables]'``).
        """
        import pandas as pd

        columns: dict[str, Any] = dict(self.columns())
        names = [port.name for port in self.network.ports]
        columns["verdict"] = pd.Categorical.from_codes(
            columns["verdict"], [verdict.label for verdict in Verdict]
        )
        labels = {0: "", **{int(reason): reason.label for reason in DropReason}}
        columns["reason"] = pd.Categorical([labels[code] for code in columns["reason"].tolist()])
        columns["port"] = pd.Categorical.from_codes(columns["port"], names)
        return pd.DataFrame(columns)

    def to_arrow(self) -> Any:
        """Return the columns as an Arrow table.

        Returns
        -------
        pyarrow.Table
            One row a frame; as :meth:`to_pandas`.

        Raises
        ------
        ImportError
            When pyarrow or pandas is not installed.
        """
        import pyarrow as pa

        return pa.Table.from_pandas(self.to_pandas(), preserve_index=False)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.frames.items())
        return f"<Result: {counts}>"

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{name}</th>" for name in QueueRow.__slots__)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{escape(str(value))}</td>" for value in row.to_dict().values())
            + "</tr>"
            for row in self.queues
        )
        drops = "".join(
            f"<tr><td>{escape(label)}</td><td>{count}</td></tr>"
            for label, count in self.drops.items()
        )
        return (
            f"<p>{escape(repr(self)[1:-1])}</p><table><tr>{head}</tr>{body}</table>"
            f"<table><tr><th>dropped because</th><th>frames</th></tr>{drops}</table>"
        )
