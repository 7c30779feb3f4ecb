"""Keeps what can be read only once in a temporary file, for jobs that read twice.

A scenario made from captures needs one pass to find the destinations and one to
decide. Regular files are mapped anew; standard input and pipes are spooled.
The file is gone at the end, also after an error or Ctrl-C, and takes at most
half of the free space of its file system.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pcaps.errors import BadInput

_BLOCK = 1 << 20


def reads_once(path: str) -> bool:
    """Tell whether a capture can be read only once.

    Parameters
    ----------
    path : str
        ``-`` is standard input.

    Returns
    -------
    bool
        True for pipes and terminals; False for files, also as standard input,
        and where nothing can be said.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode if path == "-" else Path(path).stat().st_mode
    except OSError:  # opening it will name the reason
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@contextmanager
def rereadable(path: str, tell: Callable[[str], None]) -> Iterator[str]:
    """Give a path that can be read twice.

    Parameters
    ----------
    path : str
        A capture; ``-`` is standard input.
    tell : callable
        Told when a temporary file is written.

    Yields
    ------
    str
        The same path, or that of the temporary file.

    Raises
    ------
    BadInput
        When there is not enough room for it.
    """
    if not reads_once(path):
        yield path
        return
    what = "standard input" if path == "-" else path
    directory = tempfile.gettempdir()
    tell(f"keeping {what} in {directory}, since a self-made scenario reads twice")
    with tempfile.NamedTemporaryFile(prefix="vswitch-", dir=directory) as kept:
        try:
            if path == "-":
                _fill(kept, sys.stdin.fileno(), what)
            else:
                with Path(path).open("rb", buffering=0) as pipe:
                    _fill(kept, pipe.fileno(), what)
            kept.flush()
        except OSError as error:
            raise BadInput(
                f"cannot keep {what} in {directory}: {(error.strerror or str(error)).lower()}; "
                "save it as a file first, or give a scenario (-s), which needs one pass only"
            ) from error
        yield kept.name


def _fill(kept: IO[bytes], source: int, what: str) -> None:
    room = shutil.disk_usage(tempfile.gettempdir()).free // 2
    while block := os.read(source, _BLOCK):
        room -= len(block)
        if room < 0:
            raise BadInput(
                f"{what} is larger than half of the free space in {tempfile.gettempdir()}; "
                "save it as a file first, or give a scenario (-s), which needs one pass only"
            )
        kept.write(block)
