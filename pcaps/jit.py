"""How this project compiles: one decorator for every numba kernel.

Guarantees
----------
* Compiled code is cached where the process may write, tried in this order:
  ``NUMBA_CACHE_DIR``, the user's cache directory, a private directory below the
  system's temporary directory. Where none is writable, kernels still compile,
  for this process only.
* The cache directory carries a stamp over the source of every kernel module of
  all packages. Numba itself looks only at the file of the outermost function
  and would not notice an edited callee in another module.
* :func:`announce_compilation` tells once that a first run compiles, and at the
  end for how long.

Left to the callers: passing read-only byte arrays (see :mod:`pcaps.frames`), so
that each kernel has one specialisation.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
from numba.core import event

_PACKAGES = ("pcaps", "nic", "vswitch", "migration")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _kernel_sources() -> list[Path]:
    """Return the source files whose edit must invalidate the cache."""
    root = Path(__file__).resolve().parent.parent
    found = [root / "pcaps" / "memory.py", Path(__file__).resolve()]
    for package in _PACKAGES:
        found.extend(sorted((root / package).glob("**/*_kernel.py")))
    return found


def _stamp() -> str:
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{numba.__version__} boundscheck={numba.config.BOUNDSCHECK}".encode())
    for source in _kernel_sources():
        try:
            digest.update(source.read_bytes())
        except OSError:  # a zipped install has no files to read; the version then stands for them
            digest.update(str(source).encode())
    return digest.hexdigest()


def _candidate_directories() -> Iterator[Path]:
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked:
        yield Path(asked)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        yield Path(base) / "vswitch"
    with suppress(RuntimeError):  # raised where no home directory is known for this user
        yield Path.home() / ".cache" / "vswitch"
    yield (
        Path(tempfile.gettempdir()) / f"vswitch-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    )


def _usable(directory: Path) -> bool:
    """Create `directory` for this user alone and try a write into it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and directory.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


@cache
def cache_directory() -> Path | None:
    """Return the directory that compiled kernels are kept in.

    Returns
    -------
    pathlib.Path or None
        The first writable candidate, extended by the source stamp; None where
        no candidate is writable.
    """
    for candidate in _candidate_directories():
        stamped = candidate / _stamp()
        if _usable(stamped):
            return stamped
    return None


@overload
def kernel(function: _Function) -> _Function: ...
@overload
def kernel(**flags: Any) -> Callable[[_Function], _Function]: ...
def kernel(function: Any = None, **flags: Any) -> Any:
    """Compile `function` with numba: no GIL, cached, numpy error model.

    Parameters
    ----------
    function : callable
        A module-level function over numpy arrays and uint64 scalars.
    **flags
        Further ``numba.njit`` flags, such as ``forceinline=True, _nrt=False``
        for a large function on the way of every frame (measured: 8 ns instead
        of 32 ns a call; such a function may not allocate).

    Returns
    -------
    callable
        The dispatcher; the plain function when ``NUMBA_DISABLE_JIT`` is set.
    """
    if function is None:
        return lambda wrapped: kernel(wrapped, **flags)
    directory = cache_directory()
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **flags}
    if directory is None or numba.config.DISABLE_JIT:
        return numba.njit(function, **options)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(directory)
    try:  # numba chooses the cache place while it decorates, so the change need not last
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # the function has no source file (a zipped install): nothing to key on
        return numba.njit(function, **options)
    finally:
        numba.config.CACHE_DIR = before


class _CompileWatch(event.Listener):
    """Adds up the time of outermost compilations and reports the first."""

    def __init__(self, on_start: Callable[[], None]) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self._depth = 0
        self._began = self._cpu_began = 0.0
        self._on_start = on_start
        self._told = False

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._began, self._cpu_began = time.perf_counter(), time.process_time()
            if not self._told:
                self._told = True
                self._on_start()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began
            self.cpu_seconds += time.process_time() - self._cpu_began


_of_process = _CompileWatch(lambda: None)
event.register("numba:compile", _of_process)


def compile_time() -> tuple[float, float]:
    """Return what this process has spent compiling kernels: seconds of CPU and of wall time.

    Returns
    -------
    tuple of float
        To be subtracted from what is measured over a first run.
    """
    return _of_process.cpu_seconds, _of_process.seconds


def work_time() -> tuple[float, float]:
    """Return two clocks that stand still while this process compiles kernels.

    Returns
    -------
    tuple of float
        Seconds of CPU of the process, and of wall time since some moment.
    """
    cpu_s, wall_s = compile_time()
    return time.process_time() - cpu_s, time.perf_counter() - wall_s


@contextmanager
def announce_compilation(say: Callable[[str], None]) -> Iterator[None]:
    """Tell by `say` when kernels are compiled inside the block, and for how long.

    Parameters
    ----------
    say : callable
        Receives one line of text at the start and one at the end; nothing is
        said when every kernel comes from the cache.
    """
    watch = _CompileWatch(
        lambda: say(
            "compiling kernels for this processor "
            "(first run only: 10 to 40 s for a replay, 1 to 2 minutes for a move) ..."
        )
    )
    with event.install_listener("numba:compile", watch):
        yield
    if watch.seconds:
        kept = (
            "kept for later runs" if cache_directory() else "no writable cache directory: not kept"
        )
        say(f"compiled in {watch.seconds:.1f} s ({kept})")
