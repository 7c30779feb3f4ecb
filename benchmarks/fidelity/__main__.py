"""Run all sections, and write docs/fidelity.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.fidelity import blackouts, clark, hosts, hyperv, kernel, qemu
from benchmarks.fidelity.facts import FACTS, ROOT

SECTIONS = (qemu, clark, hyperv, blackouts, hosts)
"""In the order of the page; behind them stands :mod:`benchmarks.fidelity.kernel`, which measures."""

HEAD = """# Fidelity

Our figures beside measured and published ones, row by row, by `make fidelity`. What misses is in bold, and named with the reason
where it is known. Where constants come from is in [migration](../migration/README.md); where one was taken from rows of this page,
its section says so.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, default=FACTS, help="folder of the tables")
    parser.add_argument("--dry-run", action="store_true", help="print the page, write nothing")
    parser.add_argument(
        "--measure", action="store_true",
        help="put the kernel's TCP through blackouts again, as root, 4 min; else its rows are kept",
    )  # fmt: skip
    asked = parser.parse_args()
    if not (asked.facts / "qemu_runs.csv").exists():
        sys.exit(f"no tables at {asked.facts}; give their folder by --facts or VSWITCH_FACTS")
    if asked.measure and (missing := kernel.why_not()):
        sys.exit(f"the kernel's TCP cannot be measured: {missing}")
    sections = [section.write(asked.facts) for section in SECTIONS]
    page = "\n".join([HEAD, *sections, kernel.write() if asked.measure else kernel.kept()])
    if asked.dry_run:
        print(page)
    else:
        (ROOT / "docs" / "fidelity.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
