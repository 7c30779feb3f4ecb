"""What people read after a benchmark: the story, throughput by processors, and where to go on.

Works from the JSON object alone, as all reports do.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from vswitch.bench_rows import Row, Rows, gbps, story

if TYPE_CHECKING:
    from rich.console import RenderableType

_CSV = (
    "gbps", "frames_per_s", "line_rate_share", "parent_use", "parent_busiest", "guest_use",
    "vm_use", "busiest_vm", "busiest", "stopped_by",
)  # fmt: skip


def throughput_table(rows: Rows, frame: str, vms: int) -> Table:
    """Return throughput in Gbit/s: modes by processors.

    Parameters
    ----------
    rows : Rows
        The result.
    frame, vms : str, int
        Which frames and how many VMs.

    Returns
    -------
    rich.table.Table
        Empty cells were not run; 0 means that every frame is dropped.
    """
    noun = "VM" if vms == 1 else "VMs"
    table = Table(
        title=f"{frame} B, {vms} {noun}: Gbit/s of TCP payload".replace("imix B", "IMIX"),
        title_justify="left", box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    table.add_column("processors")
    places = rows.values("lps")
    for lps in places:
        table.add_column(str(lps), justify="right")
    table.add_column("stopped by")
    for mode in rows.values("mode"):
        found = [rows.at(mode, frame, vms, lps) for lps in places]
        present = [row for row in found if row is not None]
        if not present:
            continue
        modelled = present[-1]["modelled"]
        cells = ["" if row is None else f"{gbps(row):.2f}" for row in found]
        table.add_row(
            rows.title(mode), *cells, modelled.get("stopped_by") or modelled["drops"]["reason"]
        )
    return table


def parts(rows: Rows, *, everything: bool, width: int) -> Iterator[RenderableType]:
    """Yield the report.

    Parameters
    ----------
    rows : Rows
        The result.
    everything : bool
        Whether to show every number of VMs, not only the usual one.
    width : int
        Columns for sentences.

    Yields
    ------
    renderable
        For a rich console.
    """
    for sentence in story(rows):
        yield Text(textwrap.fill(sentence, width, subsequent_indent="  "))
    yield Text()
    usual = rows.usual("vms", [4, 16])
    for frame in rows.values("frame"):
        for vms in rows.values("vms") if everything else [usual]:
            table = throughput_table(rows, frame, vms)
            if table.row_count:
                yield table
                yield Text()
    if not everything and len(rows.values("vms")) > 1:
        others = ", ".join(str(vms) for vms in rows.values("vms") if vms != usual)
        yield Text(f"other numbers of VMs ({others}) with --all", "dim")
    yield Text(
        "All of this is modelled, from constants that 'vswitch costs show' prints with their sources.",
        "dim",
    )
    yield Text(measured_text(rows.result), "dim")


def measured_text(result: dict[str, Any]) -> str:
    """Return what the benchmark took here, one sentence.

    Parameters
    ----------
    result : dict
        The JSON object.

    Returns
    -------
    str
        Apart from all modelled figures.
    """
    rates = sorted(row["measured"]["mpps"] for row in result["rows"] if row["measured"]["mpps"])
    middle = f"; {rates[len(rates) // 2]:.1f} Mpps in the median cell" if rates else ""
    return f"measured here: {len(result['rows'])} cells in {result['measured']['cpu_s']:.1f} s CPU{middle}"


def as_csv(rows: Rows) -> str:
    """Return the rows as a table of comma-separated values.

    Parameters
    ----------
    rows : Rows
        The result.

    Returns
    -------
    str
        A header and a line for each row; columns of modelled and measured figures say which.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    latencies = ("p50", "p90", "p99", "p99.9", "max")
    measured = ("mpps", "decide_mpps", "in_time_mpps")
    writer.writerow(
        ["mode", "frame", "vms", "lps", *(f"modelled_{name}" for name in _CSV),
         *(f"modelled_latency_{name}_us" for name in latencies),
         "modelled_loss_at_line_rate", "modelled_drop_reason",
         *(f"measured_{name}" for name in measured)]
    )  # fmt: skip
    for row in rows:
        writer.writerow(_csv_cells(row, latencies, measured))
    return out.getvalue()


def _csv_cells(row: Row, latencies: tuple[str, ...], measured: tuple[str, ...]) -> list[Any]:
    modelled = row["modelled"]
    waits = modelled.get("latency_us", {})
    return [
        row["mode"], row["frame"], row["vms"], row["lps"],
        *(modelled.get(name, "") for name in _CSV), *(waits.get(name, "") for name in latencies),
        modelled["drops"]["loss"], modelled["drops"]["reason"],
        *(row["measured"][name] for name in measured),
    ]  # fmt: skip
