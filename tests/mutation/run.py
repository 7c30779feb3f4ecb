"""Mutation check: plant each fault in a copy of the repository; a test must fail.

    python tests/mutation/run.py [WORDS OF A RULE ...]

Kernels run as plain Python, so a fault costs no compilation. Exit status: 0 all
caught, 1 one was missed, 2 the list is not true any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("pcaps", "nic", "vswitch", "migration", "tests", "examples", "pyproject.toml")
PRINT_HOME = "import vswitch; print(vswitch.__file__)"


def planted(fault: Fault) -> str:
    """Return the text of the file with the fault in it."""
    text = (ROOT / fault.path).read_text()
    if text.count(fault.old) != 1:
        raise SystemExit(f"{fault.path}: '{fault.rule}' stands {text.count(fault.old)} times there")
    return text.replace(fault.old, fault.new)


def environment(copy: Path) -> dict[str, str]:
    """Return the environment in which the copy is imported, not what is installed."""
    return os.environ | {
        "PYTHONPATH": str(copy),
        "NUMBA_DISABLE_JIT": "1",
        "VSWITCH_TWIN_FRAMES": "4000",
        "PYTHONDONTWRITEBYTECODE": "1",
        "VSWITCH_CAPTURES": str(ROOT.parent / "shared" / "captures"),
    }


def caught(fault: Fault, copy: Path) -> bool:
    """Plant a fault in the copy, run its tests, take it out again."""
    target = copy / fault.path
    sound = target.read_text()
    target.write_text(planted(fault))
    tests = [test for test in fault.tests if (copy / test).exists()]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
            cwd=copy, env=environment(copy), check=False, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        target.write_text(sound)
    if done.returncode not in (0, 1):
        raise SystemExit(
            f"{fault.rule}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}"
        )
    return done.returncode == 1


def main(words: list[str]) -> int:
    """Run the faults whose rule has all the words; print a line for each."""
    chosen = [fault for fault in FAULTS if all(word in fault.rule for word in words)]
    for fault in chosen:
        planted(fault)
    missed = 0
    # the facts that some tests read lie beside the repository
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "main"
        copy.mkdir()
        if (ROOT.parent / "shared").exists():
            (Path(directory) / "shared").symlink_to(ROOT.parent / "shared")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        home = subprocess.run(
            [sys.executable, "-c", PRINT_HOME], cwd=copy, env=environment(copy), check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        if not home.startswith(str(copy)):
            raise SystemExit(f"the copy is not what is imported, but {home}")
        for fault in chosen:
            began = time.monotonic()
            found = caught(fault, copy)
            missed += not found
            verdict = "caught" if found else "MISSED"
            print(f"{verdict}  {time.monotonic() - began:5.1f} s  {fault.rule}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
