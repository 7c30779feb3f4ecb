"""How fast TCP connections run through a blackout, as ratios to what was run beside it.

    python benchmarks/tcp.py                          all parts; writes docs/performance-tcp.md
    python benchmarks/tcp.py --only engine,plan --dry-run

The workload: request/response connections, 1 KB asked, 1 KB answered, the next request 10 ms
behind the answer; a blackout of 0.8 s at 5 s; 15 s in all. Linux at both ends. Each segment
goes through the adapter's filters and the switch's decision of both hosts' code.

Beside it: ns-3 with the same workload (benchmarks/ns3/sessions.cc, compiled here; Debian's
packages ns3 and libns3-dev), and the bare events of SimPy, a timeout each, without any TCP.
What is not installed is said. CPU time of the process; a row says floor, aim and what was
seen; it never fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastpath import ROOT, Row, machine, table

if TYPE_CHECKING:
    from migration.run import Replay

WORKLOAD = {
    "traffic": "rr",
    "request": "1000",
    "response": "1000",
    "interval": "10ms",
    "outage": True,
    "blackout": "0.8s",
    "at": "5s",
    "after": "9.2s",
    "stack_client": "linux",
    "stack_vm": "linux",
    "link": "10Gbps",
    "queue": "32MiB",
}
PLAN = {"memory": "64GiB", "working_set": "1GiB", "dirty": "200MB/s", "link": "10Gbps"}
LOSS = "0.03%"
CONNECTIONS = 10_000
MANY_INTERVAL = "200ms"
SIMPY_EVENTS = 400_000
NS3_LIBRARIES = ("core", "network", "internet", "csma", "bridge")


def ours(connections: int, **changes: object) -> Replay:
    """Run the workload."""
    from migration import replay

    return replay(connections=connections, margins=False, **{**WORKLOAD, **changes})


def simpy_rate() -> float | None:
    """Events a CPU second of SimPy: as many processes as connections, each waits random times."""
    try:
        import simpy
    except ImportError:
        return None

    world = simpy.Environment()
    draw = random.Random(1)
    waits = [draw.uniform(0.0, 2.0) for _ in range(1 << 16)]

    def process(number: int):  # type: ignore[no-untyped-def]
        while True:
            number = (number + 1) & 0xFFFF
            yield world.timeout(waits[number])

    for number in range(CONNECTIONS):
        world.process(process(number * 6))
    world.run(until=2.0)  # everyone has begun
    began = time.process_time()
    world.run(until=2.0 + SIMPY_EVENTS / CONNECTIONS)
    return SIMPY_EVENTS / (time.process_time() - began)


def engine(options: argparse.Namespace) -> list[Row]:
    """Events a second, beside SimPy's, by turns."""
    ours(CONNECTIONS, loss=LOSS)
    rates, decided, bare = [], [], []
    for _ in range(options.rounds):
        done = ours(CONNECTIONS, loss=LOSS)
        rates.append(done.events / done.run_cpu_s / 1e6)
        decided.append(done.decisions / done.run_cpu_s / 1e6)
        bare.append(simpy_rate())
    survived = done.summary()["survived"]
    about = f"{done.events:,} events, {done.run_cpu_s:.1f} s of CPU; {survived:,} survived"
    rows = [
        Row(f"{CONNECTIONS:,} connections, {LOSS} loss each way", "6 M events/s", "10 M events/s",
            f"{statistics.median(rates):.1f} M events/s", about),
        Row("segments through adapter and switch", "1.5 M/s", "-",
            f"{statistics.median(decided):.1f} M/s", f"{done.decisions:,} decisions, same runs"),
    ]  # fmt: skip
    if None in bare:
        return [*rows, Row("against SimPy's bare events", "10x", "25x", "not installed")]
    theirs = statistics.median(bare)  # type: ignore[type-var]
    ratio = f"{statistics.median(rates) * 1e6 / theirs:.0f}x"
    note = f"SimPy: {theirs / 1e6:.2f} M timeouts/s, {CONNECTIONS:,} processes"
    return [*rows, Row("against SimPy's bare events", "10x", "25x", ratio, note)]


def ns3_program(folder: Path) -> Path | str:
    """Compile the workload for ns-3; a sentence where that cannot be."""
    if shutil.which("g++") is None:
        return "no g++"
    program = folder / "sessions"
    libraries = [f"-lns3-{name}" for name in NS3_LIBRARIES]
    source = ROOT / "benchmarks" / "ns3" / "sessions.cc"
    command = ["g++", "-O3", "-std=c++17", "-o", str(program), str(source), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return program if done.returncode == 0 else "ns-3 is not installed (ns3, libns3-dev)"


def ns3(options: argparse.Namespace) -> list[Row]:
    """Segments a CPU second, beside ns-3's."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = ns3_program(Path(folder))
        for connections, floor in ((100, 20), (1_000, 60), (10_000, 0)):
            work = f"{connections:,} connections against ns-3"
            bound = f"{floor}x" if floor else "completes"
            mine = [ours(connections) for _ in range(2)][-1]
            own = mine.segments / mine.run_cpu_s
            about = f"ours: {mine.segments:,} segments in {mine.run_cpu_s:.2f} s of CPU"
            if isinstance(program, str):
                rows.append(Row(work, bound, "-", program, about))
                continue
            limit = [f"--connections={connections}", f"--cpu-limit={options.ns3_limit}"]
            said = subprocess.run([program, *limit], capture_output=True, text=True, check=True)
            their = json.loads(said.stdout)
            rate = their["segments"] / their["cpu_s"]
            end = (
                ""
                if their["reached_s"] >= 15
                else f", given up at {their['reached_s']:.2f} s of 15 s"
            )
            note = f"{about}; ns-3: {rate:,.0f} a second, {their['cpu_s']:.0f} s of CPU{end}"
            rows.append(Row(work, bound, "-", f"{own / rate:.0f}x", note))
    return rows


ONE_RUN = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import tcp
done = tcp.ours(int(sys.argv[2]), after="24.2s", interval=tcp.MANY_INTERVAL)
run = done.simulation
state = sum(one.nbytes for one in (*run.world, *run.path) if isinstance(one, np.ndarray))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(peak, state, done.run_cpu_s, done.segments, done.summary()["survived"])
"""


def memory(options: argparse.Namespace) -> list[Row]:
    """The whole process with very many connections, and what each takes of the run's state."""
    words = [sys.executable, "-c", ONE_RUN, str(ROOT / "benchmarks"), str(options.many)]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    peak, state, cpu, segments, survived = (float(word) for word in said.stdout.split())
    return [
        Row(f"{options.many:,} connections x 30 s, a request each {MANY_INTERVAL}", "2 GB", "-",
            f"{peak / 1e9:.2f} GB", f"peak of the process; {segments:,.0f} segments "
            f"in {cpu:.0f} s of CPU; {survived:,.0f} survived"),
        Row("state of a connection", "1 KB", "-", f"{state / options.many:,.0f} B",
            "two endpoints, their segments, applications, timers: all arrays of the run"),
    ]  # fmt: skip


def plan(options: argparse.Namespace) -> list[Row]:
    """Plan one pre-copy of 64 GiB."""
    from migration.cli_move_options import default_words, settings_of

    words = default_words() | PLAN

    def once(counts: bool) -> float:
        began = time.process_time()
        settings_of(words | {"counts": counts}).plan()
        return time.process_time() - began

    rows = []
    for counts, label in ((True, "in counts"), (False, "page by page, proved equal")):
        once(counts)
        taken = statistics.median(once(counts) for _ in range(options.rounds))
        bound = "50 ms" if counts else "-"
        about = "with the search for what would make it converge" if counts else "the same, proved"
        rows.append(
            Row(
                f"plan of a pre-copy of 64 GiB, {label}", bound, "-", f"{taken * 1e3:.0f} ms", about
            )
        )
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "engine": engine,
    "ns3": ns3,
    "memory": memory,
    "plan": plan,
}


def main() -> None:
    """Run the parts, print the table, write it into docs/performance-tcp.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=100_000, help="connections of part memory")
    parser.add_argument("--ns3-limit", type=float, default=300.0,
                        help="CPU seconds after which a run of ns-3 is given up")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="write no page")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only.split(","):
        print(f"== {name}", file=sys.stderr)
        for row in PARTS[name](options):
            print(f"   {row.work}: {row.seen} (floor {row.floor}, aim {row.aim}) {row.note}")
            rows.append(row)
    if options.dry_run:
        return
    page = ROOT / "docs" / "performance-tcp.md"
    text = (
        page.read_text()
        if page.exists()
        else "# Performance of TCP\n\n<!-- table -->\n<!-- end -->\n"
    )
    head, _, rest = text.partition("<!-- table -->")
    tail = rest.partition("<!-- end -->")[2]
    load = f"load {os.getloadavg()[0]:.1f}"
    body = f"\nMeasured on {machine()}; {load}; median of {options.rounds} rounds.\n\n"
    page.write_text(f"{head}<!-- table -->{body}{table(rows)}\n<!-- end -->{tail}")


if __name__ == "__main__":
    main()
