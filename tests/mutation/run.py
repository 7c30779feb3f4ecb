"""Mutation check: plant each fault in a copy of the repository; a test must fail.

    make mutation
    python tests/mutation/run.py [WORDS OF A RULE ...]

The faults stand in ``faults.py``, each with the rule that it breaks and the test
files that have to notice. The tests run first without any fault and must pass:
otherwise every fault would seem to be caught. Then one fault at a time is
planted and taken out again. Kernels run as plain Python, so a fault costs no
compilation; all of them take a few minutes.

Exit status: 0 all caught, 1 one was missed, 2 the list or the tests are not
sound. To add a fault, copy an entry of the list: its old text must stand exactly
once in its file. A fault that is missed wants a test, not another fault.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "pcaps", "nic", "vswitch", "migration", "benchmarks", "tests", "examples", "pyproject.toml",
)  # fmt: skip
PRINT_HOMES = "import nic, pcaps, vswitch; print(nic.__file__, pcaps.__file__, vswitch.__file__)"

PASSED, FAILED = 0, 1
"""Exit statuses of pytest; all others say that the tests could not be run."""

PATIENCE_S = 600
"""A fault that makes the tests run for so long is noticed, too."""


class UnsoundError(Exception):
    """The list of faults, or a test without any fault, is not sound."""


def planted(fault: Fault, root: Path = ROOT) -> str:
    """Return the text of the file with the fault in it."""
    text = (root / fault.path).read_text()
    if text.count(fault.old) != 1:
        raise UnsoundError(
            f"{fault.path}: the text to replace for '{fault.rule}' stands there "
            f"{text.count(fault.old)} times; it must stand there once"
        )
    return text.replace(fault.old, fault.new)


def copy_repository(directory: Path) -> Path:
    """Copy what tests need; the folder beside the repository is where some look for captures."""
    copy = directory / "main"
    copy.mkdir()
    if (ROOT.parent / "shared").exists():
        (directory / "shared").symlink_to(ROOT.parent / "shared")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    homes = python(copy, "-c", PRINT_HOMES).stdout.split()
    if not homes or not all(Path(home).is_relative_to(copy) for home in homes):
        raise UnsoundError(f"the copy is not what is imported, but {homes}")
    return copy


def python(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy; it imports the copy, not what is installed."""
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_DISABLE_JIT": "1",
        "NUMBA_CACHE_DIR": str(copy / "cache"),
        "VSWITCH_TWIN_FRAMES": "4000",
    }
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, check=False,
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip


def tests_pass(copy: Path, tests: Iterable[str]) -> bool:
    """Run test files in the copy up to the first failure."""
    done = python(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    if done.returncode not in (PASSED, FAILED):
        raise UnsoundError(f"pytest ended with {done.returncode}\n{done.stdout[-2000:]}")
    return done.returncode == PASSED


def is_caught(fault: Fault, copy: Path) -> bool:
    """Plant a fault in the copy, run its tests, take it out again."""
    target = copy / fault.path
    sound = target.read_text()
    target.write_text(planted(fault, copy))
    try:
        return not tests_pass(copy, fault.tests)
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(sound)


def check(faults: Iterable[Fault]) -> int:
    """Plant the faults one after the other, print a line for each, return how many were missed."""
    missed = 0
    with tempfile.TemporaryDirectory() as directory:
        copy = copy_repository(Path(directory))
        for fault in faults:
            planted(fault, copy)
        if not tests_pass(copy, dict.fromkeys(test for fault in faults for test in fault.tests)):
            raise UnsoundError("a test fails without any fault; run the tests first")
        for fault in faults:
            began = time.monotonic()
            found = is_caught(fault, copy)
            missed += not found
            took = f"{time.monotonic() - began:5.1f} s"
            print(
                f"{'caught' if found else 'MISSED'}  {took}  {fault.path:27}  {fault.rule}",
                flush=True,
            )
    return missed


def main(words: list[str]) -> int:
    """Check the faults whose rule has all the words."""
    chosen = [fault for fault in FAULTS if all(word in fault.rule for word in words)]
    if not chosen:
        print(f"no rule has the words {' '.join(words)}; faults.py lists them", file=sys.stderr)
        return 2
    try:
        missed = check(chosen)
    except UnsoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
