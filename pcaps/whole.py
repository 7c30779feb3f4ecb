"""Output files that are whole or absent.

Guarantees
----------
* Bytes go to a hidden name in the same directory, which becomes the real one by
  a rename when the block ends well. After any exception, Ctrl-C included, the
  hidden file is removed and a file that stood there before is untouched.
* A full disk, a read-only or missing directory is one sentence with the path
  (:class:`~pcaps.errors.BadInput`).
* Pipes, devices and ``-`` or ``/dev/stdout`` are written straight through: there
  is no name to rename. A reader that closes its pipe early is a
  ``BrokenPipeError``, left to the command line.

Left to the callers: handing over large pieces (256 KB or more), since each
:meth:`WholeFile.write` is one system call.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from pcaps.errors import BadInput

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[Any]

_CAUSES = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: "the file would be larger than the system allows; write less into it",
    errno.EACCES: "no permission to write there; choose another directory",
    errno.EPERM: "no permission to write there; choose another directory",
    errno.EROFS: "that file system is read-only; choose another directory",
    errno.ENOENT: "its directory does not exist; create it first",
    errno.ENOTDIR: "a part of its path is not a directory; choose another path",
    errno.EISDIR: "that is a directory; name a file",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some",
    errno.EIO: "the device reports an input/output error; check the disk",
}

_LONGEST_NAME = 200


def cannot_write(path: str | os.PathLike[str], error: OSError) -> BadInput:
    """Return the one-sentence form of a failed write.

    Parameters
    ----------
    path : str or path-like
        The file that was to be written.
    error : OSError
        What the system said.

    Returns
    -------
    BadInput
        To be raised ``from error``.
    """
    cause = _CAUSES.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return BadInput(f"cannot write '{os.fspath(path)}': {cause}")


def write_fully(descriptor: int, data: Bytes) -> int:
    """Write all of `data` to an open file, however often the system cuts it short.

    Parameters
    ----------
    descriptor : int
        An open file.
    data : bytes-like
        C-contiguous.

    Returns
    -------
    int
        Bytes written: the size of `data`.

    Raises
    ------
    OSError
        As the system reports it.
    """
    view = memoryview(data).cast("B")  # type: ignore[arg-type]  # numpy says so from 3.12 on
    done = 0
    while done < len(view):
        done += os.write(descriptor, view[done:])
    return done


class _Plain:
    """The identity as an encoder."""

    def compress(self, data: Bytes) -> Bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _encoder(path: str) -> Any:
    """Return the compressor that the suffix of `path` asks for."""
    if path.endswith(".gz"):
        import zlib

        return zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: gzip frame, no name, no time in it
    if path.endswith((".zst", ".zstd")):
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            import zstandard

            return zstandard.ZstdCompressor(level=3).compressobj()
        return zstd.ZstdCompressor(level=3)
    return _Plain()


class WholeFile:
    """One output file; use it in a ``with`` statement.

    Parameters
    ----------
    path : str or path-like
        Where the file is to stand at the end; ``-`` is standard output. The
        suffixes ``.gz`` and ``.zst`` compress.
    sync : bool
        Wait until the bytes are on the disk before the rename.

    Raises
    ------
    BadInput
        On entry, write or exit, when the system refuses.
    """

    def __init__(self, path: str | os.PathLike[str], *, sync: bool = False) -> None:
        self.path = os.fspath(path)
        self.bytes_written = 0
        self._sync = sync
        self._descriptor = -1
        self._target: Path | None = None
        self._hidden: Path | None = None
        self._encoder: Any = None

    def __enter__(self) -> Self:
        self._encoder = _encoder(self.path)
        try:
            self._open()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except BaseException:  # Ctrl-C between the open and the `with` block
            self._discard()
            raise
        return self

    def _open(self) -> None:
        if self.path in {"-", "/dev/stdout"}:
            self._descriptor = os.dup(1)
            return
        try:
            mode = Path(self.path).stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            self._descriptor = os.open(self.path, os.O_WRONLY)
            return
        target = Path(os.path.realpath(self.path))
        name = f".{target.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.partial"
        self._target, self._hidden = target, target.with_name(name)
        self._descriptor = os.open(
            self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
        )

    def write(self, data: Bytes) -> None:
        """Append bytes.

        Parameters
        ----------
        data : bytes-like
            C-contiguous; a numpy array is taken as it is.

        Raises
        ------
        BadInput
            When the system refuses, for example on a full disk.
        BrokenPipeError
            When the reader of a pipe has gone.
        """
        try:
            self.bytes_written += write_fully(self._descriptor, self._encoder.compress(data))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BrokenPipeError:
            raise
        except OSError as refused:
            raise cannot_write(self.path, refused) from refused
        finally:
            self._discard()

    def _finish(self) -> None:
        self.bytes_written += write_fully(self._descriptor, self._encoder.flush())
        if self._target is None or self._hidden is None:
            return
        if self._sync:
            os.fsync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)  # some file systems report a full disk only here
        self._hidden.replace(self._target)
        self._hidden = None

    def _discard(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
        if self._hidden is not None:
            with suppress(OSError):
                self._hidden.unlink()
            self._hidden = None


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a small file in one go: whole or absent.

    Parameters
    ----------
    path : str or path-like
        Where the file is to stand.
    content : str or bytes
        Text is written as UTF-8.

    Raises
    ------
    BadInput
        When the system refuses.
    """
    with WholeFile(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
