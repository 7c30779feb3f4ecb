"""A planned move for people: its passes, its blackout by part, several kinds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migration.announce import announcement
from migration.move import Move, Pass
from migration.move_settings import MoveSettings
from migration.policies import policy
from migration.precopy import cap_of
from migration.predictor import Prediction

if TYPE_CHECKING:
    from rich.console import Console

TOP = 20
BAR = 40


def duration(ns: float) -> str:
    """Write a time as people read it."""
    for unit, size, digits in (("s", 1e9, 3), ("ms", 1e6, 1), ("us", 1e3, 0)):
        if abs(ns) >= size:
            return f"{ns / size:,.{digits}f} {unit}"
    return f"{ns:.0f} ns"


def size(n_bytes: float) -> str:
    """Write a size as people read it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:,.1f} {unit}"
    return f"{n_bytes:.0f} B"


def headline(settings: MoveSettings, kinds: Sequence[str]) -> str:
    """Return what is moved over what, in a line."""
    over = [f"{size(rate)}/s from {start / 1e9:g} s on" for start, rate in settings.link.steps[1:]]
    ways = []
    if {"live", "postcopy"} & set(kinds):
        ways.append(", ".join([f"{size(settings.link.at(0))}/s for the move", *over]))
        cap = cap_of(policy(settings.policy), settings.cap_bytes_per_s)
        if cap < max(rate for _, rate in settings.link.steps):
            ways.append(f"pre-copy capped at {size(cap)}/s")
    if "quick" in kinds:
        ways.append(f"storage of {size(settings.storage_bytes_per_s)}/s")
    written = settings.working_set
    guest = (
        f"{size(written.bytes_per_s)}/s of pages written in {written.pages * 4096 / 2**20:,.0f} MiB"
        if written.sets
        else "idle"
    )
    return (
        f"{settings.memory_bytes / 2**20:,.0f} MiB, {settings.zero_pages:,} pages zero, {guest}; "
        + "; ".join(ways)
    )


def show_move(
    console: Console, settings: MoveSettings, move: Move, prediction: Prediction, show_all: bool
) -> None:
    """Print one move.

    Parameters
    ----------
    console : rich.console.Console
    settings : MoveSettings
    move : Move
    prediction : Prediction
    show_all : bool
        All passes instead of the first and last.
    """
    console.print(f"{_title(move)}: {headline(settings, [move.kind])}\n", soft_wrap=True)
    if move.passes:
        _show_passes(console, move.passes, None if show_all else TOP)
    if move.completed:
        _show_blackout(console, move)
    for line in _summary(move):
        console.print(line, soft_wrap=True)
    if move.kind != "quick":
        console.print(f"predicted  {_predicted(prediction)}", soft_wrap=True)


def _title(move: Move) -> str:
    name = policy(move.policy).title if move.kind != "quick" else "Hyper-V"
    what = {"live": "live migration", "quick": "quick migration", "postcopy": "post-copy"}
    return f"{what[move.kind]} by {name}"


def _show_passes(console: Console, passes: Sequence[Pass], top: int | None) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("pass", "start", "takes", "pages sent", "of them zero", "sent", "rate", "dirty again", "throttle"):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for number, one in enumerate(passes, 1):
        if top is not None and len(passes) > top and top // 2 < number <= len(passes) - top // 2:
            if number == top // 2 + 1:
                table.add_row("...")
            continue
        rate = one.bytes_sent / max(one.duration_ns, 1) * 1e3
        table.add_row(
            str(number), f"{one.start_ns / 1e9:,.3f} s", duration(one.duration_ns),
            f"{one.pages_sent:,}", f"{one.zero_pages:,}", size(one.bytes_sent),
            f"{rate:,.1f} MB/s", f"{one.pages_dirtied:,}",
            f"{one.throttle:.0%}" if one.throttle else "",
        )  # fmt: skip
    console.print(table)
    console.print()


def _show_blackout(console: Console, move: Move) -> None:
    console.print(f"blackout   {duration(move.blackout_ns)}: from the VM's stop to its start")
    longest = max(max(move.parts.values(), default=1), 1)
    for name, ns in move.parts.items():
        bar = "█" * round(ns / longest * BAR) or ("▏" if ns else "")
        console.print(f"           {name:<14} {duration(ns):>12}  {bar}")
    told = announcement(move.announce)
    first = f" First frame {duration(told.frames[0][0])} after the start." if told.frames else ""
    console.print(f"announced  {told.name}: {told.title}{first}", soft_wrap=True)


def _summary(move: Move) -> list[str]:
    lines = [
        f"in all     {duration(move.total_ns)}, {size(move.bytes_sent)}"
        + (f", downtime as reported {duration(move.downtime_ns)}" if move.completed else "")
    ]
    if move.kind == "postcopy":
        waits = sum(stop - start for start, stop in move.brownout)
        lines.append(
            f"brownout   {duration(waits)} of {duration(move.end_ns - move.resume_ns)} in "
            f"{len(move.brownout):,} intervals; the guest waits for {move.page_requests:,} pages"
        )
    if not move.completed:
        lines.append("cancelled  the VM stays on the source; it never stopped")
    elif move.memory_equal is not None:
        pages = move.memory_bytes // 4096
        lines.append(
            f"memory     {pages:,} pages compared: "
            + ("the target has what the source had" if move.memory_equal else "NOT EQUAL")
        )
    lines.append(f"converged  {'yes' if move.converged else 'no'}")
    if move.why:
        lines.append(move.why)
    return lines


def _predicted(prediction: Prediction) -> str:
    if not prediction.converges:
        return "does not converge (Gudkov's loop over the dirty curve)"
    return (
        f"{prediction.total_s:,.3f} s in {prediction.passes} passes, the last one "
        f"{duration(prediction.downtime_s * 1e9)} (Gudkov's loop over the dirty curve); "
        f"no policy is below {prediction.least_s:,.3f} s"
    )


def show_side_by_side(console: Console, settings: MoveSettings, moves: Sequence[Move]) -> None:
    """Print several moves as columns.

    Parameters
    ----------
    console : rich.console.Console
    settings : MoveSettings
    moves : sequence of Move
    """
    from rich.table import Table

    console.print(headline(settings, [move.kind for move in moves]) + "\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for move in moves:
        table.add_column(_title(move), justify="right")
    rows = {
        "in all": [duration(move.total_ns) for move in moves],
        "blackout": [duration(move.blackout_ns) if move.completed else "-" for move in moves],
        "downtime as reported": [duration(m.downtime_ns) if m.completed else "-" for m in moves],
        "brownout": [duration(sum(b - a for a, b in m.brownout)) if m.brownout else "-" for m in moves],
        "sent": [size(move.bytes_sent) for move in moves],
        "passes": [str(len(move.passes)) if move.passes else "-" for move in moves],
        "converged": ["yes" if move.converged else "no" for move in moves],
        "completed": ["yes" if move.completed else "no" for move in moves],
        "memory equal": [{True: "yes", False: "no", None: "-"}[move.memory_equal] for move in moves],
    }  # fmt: skip
    for name, cells in rows.items():
        table.add_row(name, *cells)
    parts = list(dict.fromkeys(part for move in moves for part in move.parts))
    for part in parts:
        table.add_row(
            f"  {part}",
            *(duration(move.parts[part]) if part in move.parts else "-" for move in moves),
        )
    console.print(table)
    for move in moves:
        if move.why:
            console.print(f"\n{_title(move)}: {move.why}", soft_wrap=True)
