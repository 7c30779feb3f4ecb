"""``vswitch doctor``: what this machine offers, what for, and what to install."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

_EXAMPLES = """
\b
Examples:
  vswitch doctor
  vswitch doctor --json | jq '.checks[] | select(.ok | not)'

\b
Exit status: 0 all that is required is there, 1 something is missing.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Parameters
    ----------
    name : str
        What.
    found : str
        What was found, in a few words.
    ok : bool
        Whether it will do.
    required : bool
        Whether the program needs it.
    advice : str
        What it is for, and what to install.
    """

    name: str
    found: str
    ok: bool
    required: bool
    advice: str = ""


_PACKAGES = [
    ("numpy", True, "arrays under every frame batch"),
    ("numba", True, "compiles the switch"),
    ("scapy", True, "packets as objects, templates of synthetic traffic"),
    ("click", True, "the command line"),
    ("rich", True, "tables and progress"),
    ("pydantic", True, "checks scenario files"),
    ("jinja2", True, "pages of benchmarks"),
    ("zstandard", sys.version_info < (3, 14), "reads and writes .zst captures"),
    ("pandas", False, "Result.to_pandas(); pip install 'vswitch[tables]'"),
    ("pyarrow", False, "Result.to_arrow(); pip install 'vswitch[tables]'"),
]

_TOOLS = [
    ("tshark", "tests compare with it; apt-get install tshark"),
    ("capinfos", "tests compare with it; apt-get install wireshark-common"),
    ("ovs-vswitchd", "tests of dialect learning ask it; apt-get install openvswitch-switch"),
    ("gcc", "benchmarks build a C twin; apt-get install gcc"),
]


def checks() -> Iterator[Check]:
    """Look at everything.

    Yields
    ------
    Check
        In the order in which people read them.
    """
    version = platform.python_version()
    yield Check("Python", version, sys.version_info >= (3, 11), True, "3.11 or later")
    for name, required, purpose in _PACKAGES:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "missing", False, required, purpose)
        else:
            yield Check(name, found, True, required, purpose)
    yield Check("processor", _processor(), True, False, f"{os.cpu_count()} logical processors")
    yield Check("memory", _memory(), True, False, "captures are mapped, not read into memory")
    yield from _compiler()
    for name, purpose in _TOOLS:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        yield Check(name, path or "missing", path is not None, False, purpose)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    yield Check("root", "yes" if root else "no", True, False, "some tests use network namespaces")


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            names = [
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "unknown"
    return f"{size / 2**30:.1f} GiB"


def _compiler() -> Iterator[Check]:
    """Compile nothing new: load one small kernel and see where it is kept."""
    try:
        import numpy as np

        from pcaps.index_kernel import in_nanoseconds
        from pcaps.jit import cache_directory
    except ImportError as error:
        yield Check("kernels", f"cannot be imported: {error}", False, True, "install numba")
        return
    u64 = np.uint64
    got = int(in_nanoseconds(u64(1_500_000), False, u64(6), u64(0)))
    yield Check("kernels", "compile and run", got == 1_500_000_000, True, "the fast path")
    kept = cache_directory()
    yield Check(
        "kernel cache",
        str(kept) if kept else "no writable directory",
        kept is not None,
        False,
        "without it every run compiles again; set NUMBA_CACHE_DIR to a writable directory",
    )


@click.command(epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Tell what this machine offers, what each part is for, and what to install."""
    found = list(checks())
    healthy = all(check.ok for check in found if check.required)
    if as_json:
        answer = {"schema": "vswitch.doctor/1", "ok": healthy, "checks": [asdict(c) for c in found]}
        click.echo(json.dumps(answer, indent=2))
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            mark = "ok  " if check.ok else ("MISSING" if check.required else "--  ")
            click.echo(f"{mark:8}{check.name:{width}}  {check.found}")
            if not check.ok or check.name in ("kernel cache",):
                click.echo(f"{'':8}{'':{width}}  {check.advice}")
    if not healthy:
        sys.exit(1)
