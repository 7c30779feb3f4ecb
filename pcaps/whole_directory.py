"""Output directories whose files appear together, or not at all.

Guarantees
----------
* Files are written into a hidden directory, below the real one or where that will be.
  When the block ends well they take their places; files of the same names are
  replaced, others stay. After any exception nothing has changed.
* Error messages name the files as they would stand at the end.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pcaps.errors import BadInput
from pcaps.whole import cannot_write


class WholeDirectory:
    """A directory in the making; use it in a ``with`` statement.

    Parameters
    ----------
    directory : path-like
        Where the files are to stand; made when it does not exist.

    Attributes
    ----------
    hidden : pathlib.Path
        Where to write them until then.

    Raises
    ------
    BadInput
        When the system refuses to write there, or when it is a file.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.hidden = Path()
        self._target = Path()

    def __enter__(self) -> Self:
        try:
            self._target = self.directory.resolve()
            self.hidden = self._make_hidden()
        except OSError as error:
            raise cannot_write(self.directory, error) from error
        return self

    def _make_hidden(self) -> Path:
        """Make the directory that is written to: below the target, or where it will be."""
        if self._target.exists() and not self._target.is_dir():
            raise BadInput(f"'{self.directory}' is a file; name a directory for the output files")
        parent = self._target
        while not parent.exists():
            parent = parent.parent
        hidden = parent / f".vswitch.{secrets.token_hex(4)}.partial"
        hidden.mkdir()
        return hidden

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        except OSError as refused:
            raise cannot_write(self.directory, refused) from refused
        finally:
            shutil.rmtree(self.hidden, ignore_errors=True)

    def _publish(self) -> None:
        """Let the finished files appear."""
        if not self._target.exists():
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self.hidden.rename(self._target)
            return
        for finished in sorted(self.hidden.rglob("*")):
            place = self._target / finished.relative_to(self.hidden)
            if finished.is_dir():
                place.mkdir(exist_ok=True)
            else:
                finished.replace(place)

    @contextmanager
    def real_names(self) -> Iterator[None]:
        """Let error messages of the block name the files as they would stand at the end.

        Yields
        ------
        None
        """
        try:
            yield
        except BadInput as error:
            raise BadInput(error.what.replace(str(self.hidden), str(self.directory))) from error
