"""How fast clusters are run, moves broken and hosts validated, beside what runs next to them.

    python benchmarks/cluster.py                   all rows; writes docs/performance-cluster.md
    python benchmarks/cluster.py --hosts 100 --moves 5000 --dry-run

Each part runs in a process of its own, so that its memory is its own; CPU time, and the median of the
rounds. A row says floor and what was seen; it never fails.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from fastpath import ROOT, Row, write_page

from migration.cluster.model import Cluster
from migration.cluster.scenario import build
from migration.cluster.sections import ClusterSection

PAGE = ROOT / "docs" / "performance-cluster.md"
_HEAD = """# Performance of clusters

`python benchmarks/cluster.py` writes this table. Each row runs in a process of its own; CPU time, median of the rounds, kernels compiled
before.

<!-- table -->
<!-- end -->
"""
VMS_PER_HOST = 20
KINDS = ("office", "web", "night", "batch")


def lopsided(hosts: int) -> Cluster:
    """Return a cluster in which every fourth host begins with most of the load.

    Parameters
    ----------
    hosts : int

    Returns
    -------
    Cluster
        Twenty VMs a host; what all ask for at noon is about half of what all have.
    """
    busy = [f"h{n}" for n in range(1, hosts + 1, 4)]
    vms: list[dict[str, Any]] = [
        {
            "name": f"{kind}{{n}}",
            "count": hosts * VMS_PER_HOST // 8,
            "host": busy if half == "busy" else [],
            "shape": kind,
            "peak": 0.7,
            "spread": 0.2,
            "memory": "2GiB",
            "least_memory": "1GiB",
            "processors": 2,
            "network": "10Mbps",
            "working_set": "128MiB",
            "dirty": "20MB/s",
        }
        for kind in KINDS
        for half in ("busy", "all")
    ]
    for place, one in enumerate(vms):
        one["name"] = f"{one['name'].replace('{n}', '')}{place}-{{n}}"
    section = ClusterSection.model_validate(
        {
            "host": [{"name": "h{n}", "count": hosts, "processor": "Xeon X5670", "memory": "192GiB",
                      "switch": [{"rate": "10Gbps", "queues": 64}]}],
            "network": [{"name": "lan", "rate": "10Gbps"}],
            "vm": vms,
        }
    )  # fmt: skip
    return build(section, "lopsided", "lopsided", {})


def _day(asked: argparse.Namespace) -> dict[str, Any]:
    from migration.cluster.day import run

    cluster = lopsided(asked.hosts)
    run(lopsided(16), hours=1)
    began = time.process_time()
    day = run(cluster, seed=1)
    taken = time.process_time() - began
    began = time.process_time()
    plain = run(cluster, seed=1, mover=False)
    return {
        "cpu_s": taken,
        "plain_s": time.process_time() - began,
        "moves": len(day.moves),
        "over": day.totals.overload_min[0],
        "plain_over": plain.totals.overload_min[0],
        "vms": len(cluster.vms),
    }


def _faults(asked: argparse.Namespace) -> dict[str, Any]:
    from migration.cluster.campaign import draw, run_campaign
    from migration.cluster.case import planned

    run_campaign(50)
    began = time.process_time()
    found = run_campaign(asked.moves, seed=1)
    taken = time.process_time() - began
    began = time.process_time()
    for number in range(1, asked.moves // 10 + 1):
        planned(draw(1, number))
    plans = (time.process_time() - began) * 10
    return {"cpu_s": taken, "plans_s": plans, "broken": len(found.broken), "checks": found.checks}


def _validate(asked: argparse.Namespace) -> dict[str, Any]:
    from migration.cluster.wizard import validate

    validate(lopsided(4))
    cluster = lopsided(64)
    began = time.process_time()
    found = validate(cluster)
    return {"cpu_s": time.process_time() - began, "checks": len(found.findings)}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "day": _day,
    "faults": _faults,
    "validate": _validate,
}


def measured(part: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Run a part in processes of its own; return the medians, and the most memory."""
    rounds = []
    for _ in range(asked.rounds):
        done = subprocess.run(
            [sys.executable, __file__, "--part", part, "--hosts", str(asked.hosts), "--moves", str(asked.moves)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rounds.append(json.loads(done.stdout))
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def rows(asked: argparse.Namespace) -> list[Row]:
    """Measure everything."""
    day = measured("day", asked)
    faults = measured("faults", asked)
    found = measured("validate", asked)
    return [
        Row(
            f"{asked.hosts:,} hosts x {VMS_PER_HOST} VMs x 24 h with a mover", "60 s CPU, 2 GB", "-",
            f"{day['cpu_s']:.1f} s CPU, {day['memory_gb']:.2f} GB",
            f"{day['cpu_s'] / day['plain_s']:.1f}x the same day without the mover; {day['moves']:,.0f} moves, overload "
            f"{day['plain_over']:,.0f} to {day['over']:,.0f} host-minutes",
        ),
        Row(
            f"{asked.moves:,} faulted moves, invariants after each event", "120 s CPU", "-",
            f"{faults['cpu_s']:.1f} s CPU",
            f"{faults['cpu_s'] / faults['plans_s']:.1f}x the pre-copies alone; invariants held {faults['checks']:,.0f} "
            f"times, {faults['broken']:.0f} violations",
        ),
        Row(
            "validation of 64 hosts with 1,280 VMs", "1 s", "-", f"{found['cpu_s']:.2f} s CPU",
            f"{found['checks']:.0f} findings",
        ),
    ]  # fmt: skip


def main() -> None:
    """Run the parts, print the table, write it into docs/performance-cluster.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--moves", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    asked = parser.parse_args()
    if asked.part:
        found = PARTS[asked.part](asked)
        found["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps(found))
        return
    made = rows(asked)
    for row in made:
        print(f"   {row.work}: {row.seen} (floor {row.floor}) {row.note}")
    if asked.dry_run:
        return
    write_page(PAGE, _HEAD, made, f"median of {asked.rounds} rounds")


if __name__ == "__main__":
    main()
