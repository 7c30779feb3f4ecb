"""The report of a benchmark as one HTML page: no network, no scripts, light and dark.

Works from the JSON object alone. Every modelled figure can be followed: from the chart
to the row, from the row to its steps, from a step to its constant and that to its source.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from vswitch.bench_rows import Row, Rows, gbps, story
from vswitch.charts import Bar, Series, lines, processors, ranges, stacked
from vswitch.costs import FITS
from vswitch.html import render
from vswitch.published import held_against

_TRAFFIC = (
    "Full TCP segments to all VMs alike, each in a VLAN; frame sizes without FCS and tag, 64 being the "
    "shortest frame with FCS, IMIX 60, 590 and 1514 bytes at 7:4:1."
)


SEGMENT_BYTES = 1460
"""Payload that cycles are told for, so that frames of all sizes compare."""


def _frame_text(frame: str) -> str:
    return "IMIX" if frame == "imix" else f"{int(frame):,} B"


def _vms_text(vms: int) -> str:
    return "1 VM" if vms == 1 else f"{vms} VMs"


class _Report:
    """What the template asks for, of one result."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.modes = rows.values("mode")
        self.frame = rows.usual("frame", ["1514", "imix"])
        self.vms = rows.usual("vms", [4, 16])
        self.lps = rows.usual("lps", [8, 4, 16])
        self.looks = {mode: n for n, mode in enumerate(self.modes)}
        hosts = rows.result["hosts"]
        self._tables = {
            mode: next(one for one in self.modes if hosts[one]["costs"] == hosts[mode]["costs"])
            for mode in self.modes
        }

    def _curve(self, mode: str, frame: str, vms: int, places: list[int]) -> Series:
        found = [self.rows.at(mode, frame, vms, lps) for lps in places]
        return Series(
            self.rows.title(mode),
            self.looks[mode],
            [None if row is None else gbps(row) for row in found],
            [_note(row) for row in found],
        )

    def throughput(self) -> Iterator[str]:
        """One chart for each frame size, then one for each other number of VMs."""
        places = self.rows.values("lps")
        kinds = [(frame, self.vms) for frame in self.rows.values("frame")]
        kinds += [(self.frame, vms) for vms in self.rows.values("vms") if vms != self.vms]
        for frame, vms in kinds:
            series = [self._curve(mode, frame, vms, places) for mode in self.modes]
            series = [one for one in series if any(one.values)]  # the notes name the others
            if series:
                yield lines(
                    f"{_frame_text(frame)}, {_vms_text(vms)}", [str(n) for n in places], series,
                    axis_title="logical processors", unit="Gbit/s of TCP payload",
                )  # fmt: skip

    def notes(self) -> Iterator[str]:
        """Modes that get nothing through at a frame size, and what is the same."""
        for frame in self.rows.values("frame"):
            dead: dict[str, list[str]] = {}
            for mode in self.modes:
                curve = self.rows.curve(mode, frame, self.vms)
                if curve and not any(gbps(row) for row in curve):
                    reason = curve[0]["modelled"]["drops"]["reason"]
                    dead.setdefault(reason, []).append(self.rows.title(mode))
            for reason, modes in dead.items():
                yield (
                    f"{_frame_text(frame)}: nothing gets through with {', '.join(modes)}; "
                    f"every frame is dropped for {reason}."
                )

    def focus(self) -> Iterator[tuple[str, Row]]:
        """The row of each mode that the detailed charts show: at the usual cell, or the nearest."""
        for mode in self.modes:
            vms = self.vms if self.rows.curve(mode, self.frame, self.vms) else 1
            frame = "9014" if mode == "r2-vmq-jumbo" else self.frame
            for candidate in (frame, self.frame):
                row = self.rows.at(mode, candidate, vms, self.lps)
                if row is not None and gbps(row):
                    yield mode, row
                    break

    def use(self) -> Iterator[str]:
        """Upright bars for each mode."""
        for mode, row in self.focus():
            modelled = row["modelled"]
            note = f"{gbps(row):.2f} Gbit/s; {_frame_text(row['frame'])}"
            yield processors(self.rows.title(mode), modelled["processors"], note=note)

    def cycles(self) -> str:
        """Stacked cycles of each mode."""
        bars = []
        seen: dict[str, None] = {}
        for mode, row in self.focus():
            spent = row["modelled"]["cycles"]
            segments = gbps(row) * 1e9 / 8 / SEGMENT_BYTES / row["modelled"]["frames_per_s"]
            scale = 1 / (row["modelled"]["frames"] * segments)
            sums: dict[str, float] = {}
            for one in spent:
                sums[one["step"]] = sums.get(one["step"], 0) + one["cycles"] * scale
            grouped = _grouped(sums)
            seen.update(dict.fromkeys(grouped))
            total = sum(sums.values())
            parts = [(name, grouped[name]) for name in _GROUPS if name in grouped]
            bars.append(
                Bar(self.rows.title(mode), parts, f"{total:,.0f}, {_frame_text(row['frame'])}")
            )
        order = [name for name in _GROUPS if name in seen]
        title = f"Cycles for {SEGMENT_BYTES:,} bytes of payload"
        return stacked(title, bars, order, unit="cycles")

    def latency(self) -> str:
        """Percentiles of each mode."""
        rows = [
            (self.rows.title(mode), list(row["modelled"]["latency_us"].items()))
            for mode, row in self.focus()
        ]
        return ranges("Latency percentiles", rows, unit="us")

    def followed(self) -> Iterator[dict[str, Any]]:
        """Steps, units, constants and cycles behind the figure of each mode."""
        for mode, row in self.focus():
            modelled = row["modelled"]
            constants = {one["name"]: one for one in self.rows.result["hosts"][mode]["costs"]}
            frames = modelled["frames"]
            total = sum(one["cycles"] for one in modelled["cycles"])
            yield {
                "table": self._tables[mode],
                "title": self.rows.title(mode),
                "gbps": f"{gbps(row):.2f}",
                "frames_per_s": f"{modelled['frames_per_s']:,.0f}",
                "stopped_by": modelled["stopped_by"],
                "frames": f"{frames:,}",
                "total": f"{total:,}",
                "total_per_frame": f"{total / frames:,.0f}",
                "steps": [
                    {
                        "where": one["where"],
                        "step": one["step"],
                        "units": _exact(one["units"]),
                        "constant": one["constant"],
                        "value": _exact(constants[one["constant"]]["value"]),
                        "unit": constants[one["constant"]]["unit"],
                        "cycles": f"{one['cycles']:,}",
                        "per_frame": f"{one['cycles'] / frames:,.1f}",
                    }
                    for one in modelled["cycles"]
                ],
                "sentence": _busiest_text(row, self.rows.result["hosts"][mode]),
            }

    def hosts(self) -> Iterator[dict[str, Any]]:
        """Tables of constants, one for all modes that have the same."""
        for mode in dict.fromkeys(self._tables.values()):
            host = self.rows.result["hosts"][mode]
            sharing = [self.rows.title(one) for one, table in self._tables.items() if table == mode]
            team = host["team"]
            settings = (
                f"{host['clock_hz'] / 1e9:g} GHz, link {host['link_bps'] / 1e9:g} Gbit/s, rings of "
                f"{host['ring_buffers']}, VM buffers {host['vm_buffers']}, interrupts every "
                f"{host['moderation_ns'] / 1000:g} us at most, DPCs of {host['dpc_budget']} frames"
            )
            yield {
                "table": mode,
                "title": ", ".join(sharing),
                "settings": settings + (f", team of {team['members']}" if team else ""),
                "costs": [{**one, "value": _exact(one["value"])} for one in host["costs"]],
            }

    def published(self) -> Iterator[dict[str, str]]:
        """Published figures that the result has the row for."""
        for figure, ours in held_against(self.rows):
            mode, frame, vms, lps = figure.cell or ("", "", 0, 0)
            deviation = figure.deviation(ours)
            yield {
                "system": figure.system,
                "published": figure.published,
                "unit": figure.unit,
                "ours": f"{ours:.2f}",
                "deviation": "within" if deviation == 0 else f"{100 * deviation:+.1f} %",
                "inputs": figure.inputs,
                "cell": f"{mode}, {frame} B, {_vms_text(vms)}, {lps} processors",
                "source": figure.source,
            }

    def measured(self) -> Iterator[dict[str, str]]:
        """Medians of what was measured, by mode and frame size."""
        for mode in self.modes:
            for frame in self.rows.values("frame"):
                found = [
                    row["measured"] for row in self.rows
                    if row["mode"] == mode and row["frame"] == frame
                ]  # fmt: skip

                def middle(name: str, found: list[dict[str, Any]] = found) -> str:
                    values = [one[name] for one in found if one[name]]
                    return f"{statistics.median(values):.1f}" if values else ""

                if found:
                    yield {
                        "mode": self.rows.title(mode), "frame": _frame_text(frame),
                        "decide": middle("decide_mpps"), "in_time": middle("in_time_mpps"),
                        "both": middle("mpps"),
                    }  # fmt: skip


_GROUPS = {
    "interrupt, driver": ("interrupt", "rx_driver", "tx_driver"),
    "filter, look-up, VLAN": ("filter", "classify", "vlan"),
    "copy": ("copy", "lookahead"),
    "VMBus": ("vmbus_packet", "vmbus_signal"),
    "guest's driver": ("guest_driver",),
    "TCP/IP": ("tcp_segment", "tcp_byte", "chimney_buffer"),
    "acknowledgments": ("ack", "ack_parent"),
    "socket copy": ("socket_copy",),
}
"""Steps that one look of the chart stands for."""


def _exact(value: float) -> str:
    return f"{value:,.12g}"


def _grouped(sums: dict[str, float]) -> dict[str, float]:
    found = {name: sum(sums.get(step, 0.0) for step in steps) for name, steps in _GROUPS.items()}
    return {name: value for name, value in found.items() if value}


def _note(row: Row | None) -> str:
    if row is None:
        return ""
    modelled = row["modelled"]
    stopped = modelled.get("stopped_by") or modelled.get("why", "")
    return f"{row['mode']}, {row['lps']} processors: {gbps(row):.2f} Gbit/s; {stopped}"


def _busiest_text(row: Row, host: dict[str, Any]) -> str:
    shares = [
        (parent + guest, n) for n, (parent, guest) in enumerate(row["modelled"]["processors"])
    ]
    most, number = max(shares)
    overhead = "hypervisor_slat" if host["slat"] else "hypervisor_shadow"
    share = next(one["value"] for one in host["costs"] if one["name"] == overhead)
    return (
        f"Processor {number} is busiest, {100 * most:.0f} % of {host['clock_hz'] / 1e9:g} GHz less the "
        f"hypervisor's {share:g} %; {row['lps']} processors, {_vms_text(row['vms'])}, "
        f"{_frame_text(row['frame'])}."
    )


COLUMNS = (
    ("mode", False), ("frame", False), ("vms", True), ("lps", True), ("Gbit/s", True),
    ("frames/s", True), ("parent", True), ("busiest of it", True), ("a VM", True),
    ("loss at line rate", True), ("p50 us", True), ("p99 us", True), ("stopped by", False),
)  # fmt: skip
"""Columns of the table of all rows, and whether they are numbers."""


def cells_of(row: Row) -> list[str]:
    """Return the cells of a row, in the order of :data:`COLUMNS`.

    Parameters
    ----------
    row : dict
        Of the JSON object.

    Returns
    -------
    list of str
        Use of processors in processors: 1 is one of them, all the time.
    """
    modelled = row["modelled"]
    latency = modelled.get("latency_us", {})

    def text(name: str) -> str:
        return f"{modelled[name]:.2f}" if name in modelled else ""

    return [
        row["mode"], row["frame"], str(row["vms"]), str(row["lps"]), f"{gbps(row):.2f}",
        f"{modelled['frames_per_s']:,.0f}", text("parent_use"), text("parent_busiest"),
        text("vm_use"), f"{100 * modelled['drops']['loss']:.1f} %",
        f"{latency['p50']:.0f}" if latency else "", f"{latency['p99']:.0f}" if latency else "",
        modelled.get("stopped_by") or modelled.get("why", ""),
    ]  # fmt: skip


def page(rows: Rows) -> str:
    """Return the report.

    Parameters
    ----------
    rows : Rows
        The result.

    Returns
    -------
    str
        One HTML document that asks for nothing else.
    """
    from markupsafe import Markup

    report = _Report(rows)
    vms_text = f"{_vms_text(report.vms)}, {report.lps} processors, {_frame_text(report.frame)}"
    numeric = [kind for _, kind in COLUMNS]
    return render(
        "vswitch",
        "bench.html",
        seconds=rows.result["seconds"],
        story=story(rows),
        traffic=_TRAFFIC,
        throughput=[Markup(chart) for chart in report.throughput()],
        notes=list(report.notes()),
        focus_text=f"{vms_text} (jumbo: 9,014 B)",
        use=[Markup(chart) for chart in report.use()],
        cycles=Markup(report.cycles()),
        latency=Markup(report.latency()),
        latency_load=90,
        followed=list(report.followed()),
        fits=FITS,
        hosts=list(report.hosts()),
        published=list(report.published()),
        columns=COLUMNS,
        rows=[list(zip(cells_of(row), numeric, strict=True)) for row in rows],
        measured=list(report.measured()),
        cpu_s=rows.result["measured"]["cpu_s"],
    )
