"""What people read about the modelled host of a replay: pace, processors, latency, cycles.

Works from the JSON object alone, as :mod:`vswitch.report` does. Everything here is
modelled; what was measured stands apart, under its own heading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP_STEPS = 5
_SHADES = {"parent": "█", "guest": "▒"}
_BAR = 40


def rate_text(bps: float) -> str:
    """Return a rate of data, such as ``9.87 Gbit/s``."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bps >= 0.9995 * size:
            return f"{bps / size:.3g} {unit}"
    return f"{bps:.3g} bit/s"


def pps_text(pps: float) -> str:
    """Return a rate of frames, such as ``1.02 Mpps``."""
    for unit, size in (("Mpps", 1e6), ("kpps", 1e3)):
        if pps >= 0.9995 * size:
            return f"{pps / size:.3g} {unit}"
    return f"{pps:.3g} pps"


def time_text(us: float) -> str:
    """Return a time given in microseconds, such as ``85 us`` or ``1.2 ms``."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= 0.9995 * size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} us"


def use_bar(parent: float, guest: float, width: int = _BAR) -> Text:
    """Return a bar of one processor: the parent's share, then the guests'.

    Parameters
    ----------
    parent, guest : float
        Shares of its time.
    width : int
        Cells of a busy processor.

    Returns
    -------
    rich.text.Text
        Told apart by shade, and by colour where there is any.
    """
    text = Text()
    first = round(parent * width)
    text.append(_SHADES["parent"] * first, "cyan")
    text.append(_SHADES["guest"] * (round((parent + guest) * width) - first), "green")
    return text


def pace_text(arrivals: dict[str, Any]) -> str:
    """Return how fast frames came, and how fast they were asked for.

    Parameters
    ----------
    arrivals : dict
        As in the JSON object.

    Returns
    -------
    str
        One sentence.
    """
    achieved = f"{rate_text(arrivals['achieved_bps'])}, {pps_text(arrivals['achieved_pps'])}"
    return (
        f"asked for {arrivals['asked']}; frames came at {achieved}, "
        f"for {time_text(1e6 * arrivals['seconds'])}"
    )


def steps_text(cycles: list[dict[str, Any]], where: str) -> str:
    """Return the steps that took most cycles of parent or guests.

    Parameters
    ----------
    cycles : list of dict
        As in the JSON object.
    where : str
        ``parent`` or ``guest``.

    Returns
    -------
    str
        Shares, the largest first.
    """
    rows = sorted((one for one in cycles if one["where"] == where), key=lambda one: -one["cycles"])
    total = sum(one["cycles"] for one in rows)
    if not total:
        return "nothing"
    named = [f"{one['step']} {100 * one['cycles'] / total:.0f} %" for one in rows[:TOP_STEPS]]
    rest = sum(one["cycles"] for one in rows[TOP_STEPS:])
    return ", ".join(named) + (f", rest {100 * rest / total:.0f} %" if rest else "")


def _processors(rows: list[dict[str, float]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("processor", "right"), ("parent", "right"), ("guests", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    table.add_column(f"{_SHADES['parent']} parent  {_SHADES['guest']} guests")
    for number, row in enumerate(rows):
        table.add_row(
            str(number), f"{100 * row['parent']:.0f} %", f"{100 * row['guest']:.0f} %",
            use_bar(row["parent"], row["guest"]),
        )  # fmt: skip
    return table


def meaning(host: dict[str, Any]) -> str:
    """Return what stopped the host, or that nothing did.

    Parameters
    ----------
    host : dict
        As in the JSON object.

    Returns
    -------
    str
        One sentence.
    """
    modelled = host["modelled"]
    lost = modelled["frames"]["lost"]
    rows = modelled["processors"]
    if not lost:
        return "No frame was lost: the host keeps up with this pace."
    busiest = max(range(len(rows)), key=lambda n: rows[n]["parent"] + rows[n]["guest"])
    row = rows[busiest]
    share = row["parent"] + row["guest"]
    whose = "the parent" if row["parent"] >= row["guest"] else "guests"
    if share < 0.9:
        return (
            f"Frames come in bursts that are longer than the rings; on average processor {busiest} "
            f"is {100 * share:.0f} % busy."
        )
    others = sum(one["parent"] + one["guest"] < 0.5 for one in rows)
    idle = f", while {others} of {len(rows)} are less than half busy" if others else ""
    return (
        f"Processor {busiest} is busy, mostly with {whose}{idle}: frames wait until a ring is full."
    )


def parts(host: dict[str, Any], frames_in: int) -> Iterator[RenderableType]:
    """Yield the section about the host.

    Parameters
    ----------
    host : dict
        The key `host` of the JSON object.
    frames_in : int
        Frames of the captures.

    Yields
    ------
    renderable
        For a rich console.
    """
    profile, modelled = host["profile"], host["modelled"]
    yield Text(f"modelled: host {profile['name']}", "bold").append(
        f"  {profile['title']}; {profile['processors']} processors at "
        f"{profile['clock_hz'] / 1e9:g} GHz",
        "not bold",
    )
    yield Text(pace_text(host["arrivals"]))
    lost = modelled["frames"]["lost"]
    yield Text(
        f"received {rate_text(1e9 * modelled['gbps'])} of payload, "
        f"{pps_text(modelled['frames_per_s'])}; "
    ).append(
        f"{lost:,} of {frames_in:,} frames lost at a full ring"
        + (f" ({100 * lost / frames_in:.1f} %)" if lost else ""),
        "red" if lost else "green",
    )
    latency = modelled["latency_us"]
    yield Text(
        "latency " + ", ".join(f"{name} {time_text(value)}" for name, value in latency.items())
    )
    yield _processors(modelled["processors"])
    for where in ("parent", "guest"):
        yield Text(f"cycles of {where}: {steps_text(modelled['cycles'], where)}", "dim")
    yield Text(meaning(host))
