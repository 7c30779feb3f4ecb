"""The captures of one job: read in order as if they were one, once or twice.

Guarantees
----------
* A limit counts through all captures.
* A second pass hands out the frames of the first, also when a file has grown
  in between. What can be read only once is spooled (:mod:`vswitch.spool`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pcaps.capture import Capture
from pcaps.capture import open as open_capture
from pcaps.errors import BadInput
from vswitch.spool import rereadable


@dataclass(slots=True)
class _Source:
    """One capture: its name for people, where it is read, and what the first pass found."""

    name: str
    path: str
    size: int | None = None
    frames: int | None = None

    def open(self, limit: int | None, strict: bool) -> Capture:
        grown = self.frames is not None and self.size != self._size_now()
        if grown:
            limit = self.frames if limit is None else min(limit, self.frames or 0)
        self.size = self.size if grown else self._size_now()
        try:
            capture = open_capture(self.path, strict=strict, limit=limit)
        except BadInput as error:
            raise BadInput(error.what.replace(self.path, self.name)) from error
        capture.path = self.name
        return capture

    def _size_now(self) -> int | None:
        try:
            return None if self.path == "-" else Path(self.path).stat().st_size
        except OSError:  # opening it names the reason
            return None


class Feed:
    """The captures of a job; use it in a ``with`` statement.

    Parameters
    ----------
    names : sequence of str
        Paths; ``-`` is standard input, at most once.
    twice : bool
        Whether a second pass will follow.
    limit : int, optional
        Most frames to read, through all captures.
    strict : bool
        Whether damage raises.
    tell : callable
        Told when a capture is spooled.

    Raises
    ------
    BadInput
        When standard input is named twice, is closed, or cannot be spooled.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        twice: bool,
        limit: int | None = None,
        strict: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        if names.count("-") > 1:
            raise BadInput("standard input (-) can be read only once; name it once")
        if "-" in names and sys.stdin is None:
            raise BadInput("standard input is closed; name a capture file instead of -")
        self._names = list(names)
        self._twice, self._limit, self._strict, self._tell = twice, limit, strict, tell
        self._sources: list[_Source] = []
        self._spooled = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as spooled:
            for name in self._names:
                path = spooled.enter_context(rereadable(name, self._tell)) if self._twice else name
                self._sources.append(_Source(name, path))
            self._spooled = spooled.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spooled.__exit__(kind, error, trace)

    @property
    def size_bytes(self) -> int | None:
        """Size of all files together, None where a stream is among them."""
        sizes = [source._size_now() for source in self._sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def captures(self) -> Iterator[Capture]:
        """Open one capture after the other, each closed when the next is asked for.

        Yields
        ------
        Capture
            To be read to its end.

        Raises
        ------
        BadInput
            When one cannot be read.
        """
        rest = self._limit
        for source in self._sources:
            with source.open(rest, self._strict) as capture:
                yield capture
                source.frames = capture.frames
                if rest is not None:
                    rest -= capture.frames
