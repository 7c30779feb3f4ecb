"""Published times of Hyper-V moves, and ours for idle VMs of the same memory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fidelity.facts import rows_of
from benchmarks.fidelity.markdown import deviation, table
from migration import precopy, quick
from migration.links import payload_rate

MIB, GB = 2**20, 1e9


def live_s(vms: int, memory_bytes: float, bytes_per_s: float, policy: str) -> float:
    """Return the time of several VMs moved at once: each has its share of the link."""
    move = precopy.plan(
        memory_bytes=round(memory_bytes), link_bytes_per_s=bytes_per_s / vms, policy=policy,
        pages=False,
    )  # fmt: skip
    return move.total_ns / 1e9


def write(facts: Path) -> str:
    """Return the section."""
    rows = []
    for row in rows_of(facts, "hyperv_timings.csv"):
        vms = int(row["vms"])
        if not row["seconds"].isdigit():
            continue
        seconds = float(row["seconds"])
        if "Quick" in row["source"]:
            for gib in (2, 4):
                ours = quick.plan(memory_bytes=gib * 1024 * MIB, pages=False).total_ns / 1e9
                rows.append(
                    [f"{row['source']}, as {gib} GiB", "1", "storage", f"{seconds:.0f}",
                     f"{ours:.1f}", deviation(ours, seconds)]
                )  # fmt: skip
            continue
        memory = (
            float(row["mem_per_vm_MiB"]) * MIB if row["mem_per_vm_MiB"].isdigit() else 80 * GB / vms
        )
        line = payload_rate(float(row["link_Gbps"]) * 1e9)
        rate = float(row["max_transfer_Bps"]) if row["max_transfer_Bps"] else line
        ours = live_s(vms, memory, rate, "hyperv-2012r2")
        rows.append(
            [row["source"], str(vms), f"{row['link_Gbps']} Gbit/s, {rate / 1e6:,.0f} MB/s",
             f"{seconds:.0f}", f"{ours:.1f}", deviation(ours, seconds)]
        )  # fmt: skip
    shorter = []
    for gb in (4, 8, 16, 32):
        slow, fast = (live_s(1, gb * GB, payload_rate(gbps * 1e9), "hyperv-r2") for gbps in (1, 10))
        shorter.append([f"{gb} GB", f"{slow:.1f}", f"{fast:.1f}", f"{1 - fast / slow:.0%}"])
    heads = ("source", "VMs", "link", "s, published", "ours", "deviation")
    return f"""## Hyper-V

Source: `hyperv_timings.csv`. Ours: idle VMs without zero pages, all moved at once, each with its share of the link; the link's rate is
the highest that was published beside the time, else that of full TCP segments. 2.5 s of each are set-up, which is derived from the
first row; the others are not fitted.

{table(heads, rows)}
The VMs of the 1 Gbit/s rows had zero pages (the published bytes are 0.9 of their memory), ours have none; their sum of 80 GB is a
rounded one. At 10 Gbit/s the published times are of a beta, with moves that did not all run at once.

10 Gbit/s instead of 1 makes a live migration up to 82 % shorter (IBM, NetApp, Intel 2011; the table behind it was not read). Ours:

{table(("memory", "s at 1 Gbit/s", "s at 10 Gbit/s", "shorter by"), shorter)}"""
