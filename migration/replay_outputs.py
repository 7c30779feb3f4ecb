"""The files of a replay through a move.

| file | holds |
|---|---|
| ``wire.pcapng`` | every frame on every interface that it passed, see :mod:`migration.wire` |
| ``summary.json`` | the JSON object of :mod:`migration.results`, without what was measured |
| ``timeline.json`` | all that happened, in order, see :mod:`migration.timeline` |
| ``connections.csv``, ``connections.npz`` | a row a connection, see :mod:`migration.columns` |
| ``picture.svg`` | how the hardest hit connections went through it, see :mod:`migration.picture` |

Guarantees
----------
* The files appear together when all are written; after an error nothing has changed.
* The same replay gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from migration.columns import to_csv, to_npz
from migration.frame_log import FrameLog
from migration.picture import PICTURE_FILE, draw
from migration.results import to_dict, without_measured
from migration.timeline import timeline_of
from migration.wire import WIRE_FILE, write_wire
from pcaps.whole import write_whole
from pcaps.whole_directory import WholeDirectory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from migration.run import Replay

SUMMARY_FILE, TIMELINE_FILE = "summary.json", "timeline.json"
CSV_FILE, NPZ_FILE = "connections.csv", "connections.npz"


class Outputs:
    """The output directory of one replay; use it in a ``with`` statement.

    Give :meth:`take` to the run as its consumer of log rows, then call
    :meth:`finish` with what the run has found.

    Parameters
    ----------
    directory : path-like
        Where the files are to stand; made when it does not exist. Files of the same
        names are replaced, others stay.

    Raises
    ------
    BadInput
        When the system refuses to write there.
    """

    def __init__(self, directory: str | Path) -> None:
        self._whole = WholeDirectory(directory)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._whole)
            self._log = stack.enter_context(FrameLog(self._whole.hidden))
            self._stack = stack.pop_all()
        return self

    def take(self, rows: npt.NDArray[np.void]) -> None:
        """Keep the frames of a stretch of time.

        Parameters
        ----------
        rows : numpy.ndarray
            ``LOG[n]``, see :data:`migration.path_kernel.LOG`, in order of time.
        """
        with self._whole.real_names():
            self._log.take(rows)

    def finish(
        self,
        replay: Replay,
        *,
        subject: str = "",
        settings: dict[str, Any] | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        """Write all files.

        Parameters
        ----------
        replay : Replay
            What the run has found.
        subject : str
            What was replayed, for titles.
        settings : dict, optional
            Further keys of ``summary.json``.
        progress : callable, optional
            Called with what is being written, and its share so far.
        """
        tell = progress or (lambda _what, _share: None)
        directory = self._whole.hidden
        with self._whole.real_names():
            tell(f"writing {WIRE_FILE}", 0.0)
            write_wire(
                directory / WIRE_FILE, self._log, replay,
                progress=lambda share: tell(f"writing {WIRE_FILE}", share),
            )  # fmt: skip
            tell(f"drawing {PICTURE_FILE}", 0.0)
            write_whole(directory / PICTURE_FILE, draw(replay, self._log, subject))
            found = {**without_measured(to_dict(replay)), **(settings or {})}
            write_whole(directory / SUMMARY_FILE, _json(found))
            write_whole(directory / TIMELINE_FILE, _json(timeline_of(replay)))
            write_whole(directory / CSV_FILE, to_csv(replay.outcomes))
            write_whole(directory / NPZ_FILE, to_npz(replay.outcomes))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
