"""The timeline of a run as one HTML page: hosts over time, moves that open to their passes, events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup

from migration.cluster.day_records import Day, MoveRecord, clock
from migration.cluster.model import RESOURCES
from migration.cluster.sessions import verdicts
from migration.cluster.timeline_drawing import blackout_bar, counts_chart, strips
from migration.cluster.usage import PROCESSORS
from vswitch.html import render

MOST_STRIPS = 40
MOST_MOVES = 200
MOST_EVENTS = 400


def page(day: Day, plain: Day, sessions: list[dict[str, Any]]) -> str:
    """Return the page.

    Parameters
    ----------
    day, plain : Day
        With the mover, and without.
    sessions : list of dict
        Verdicts of sessions through moves, with the numbers of the moves.

    Returns
    -------
    str
        One HTML document that asks for nothing else.
    """
    cluster = day.cluster
    shown = _shown(day)
    network = cluster.migration_network
    return render(
        "migration",
        "timeline.html",
        cluster=cluster,
        day=day,
        network=f"'{network.name}', {network.line}",
        story=list(_story(day, plain)),
        strips=Markup(strips(day, shown)),
        hidden=len(cluster.hosts) - len(shown),
        compared=[Markup(chart) for chart in _compared(day, plain)],
        rows=list(_rows(day, plain)),
        moves=[_move(day, one) for one in day.moves[:MOST_MOVES]],
        more=max(0, len(day.moves) - MOST_MOVES),
        sessions=[
            {"number": one["move"], "vm": one["vm"], "text": verdicts(one)} for one in sessions
        ],
        events=[(clock(one.at_ns), one.kind, one.text) for one in day.events[:MOST_EVENTS]],
        more_events=max(0, len(day.events) - MOST_EVENTS),
    )


def _shown(day: Day) -> list[int]:
    """Return the hosts that are drawn: all of a small cluster, those with most going on of a large one."""
    hosts = len(day.cluster.hosts)
    if hosts <= MOST_STRIPS:
        return list(range(hosts))
    busy = np.zeros(hosts)
    for one in day.moves:
        busy[one.source] += 1
        busy[one.target] += 1
    peak = np.max([sample[PROCESSORS] for sample in day.samples], axis=0)
    return sorted(np.argsort(-(busy + peak), kind="stable")[:MOST_STRIPS].tolist())


def _story(day: Day, plain: Day) -> Iterator[str]:
    before, after = plain.summary(), day.summary()
    over, less = before["overload_min"]["processors"], after["overload_min"]["processors"]
    yield (
        f"Without the mover, hosts had more to do than their processors can for {over:,.0f} host-minutes; "
        f"with it for {less:,.0f}."
    )
    longest = day.longest
    if longest is None:
        yield "No VM was moved."
        return
    causes = ", ".join(f"{count:,} for {cause}" for cause, count in after["by_cause"].items())
    yield (
        f"{after['completed']:,} moves ({causes}) sent {after['bytes_sent'] / 1e9:,.1f} GB in "
        f"{after['moving_s']:,.0f} s; VMs stood still for {after['blackout_s']:.2f} s in all."
    )
    yield (
        f"The longest blackout was {longest.plan.blackout_ns / 1e6:.0f} ms, of "
        f"{day.cluster.vms[longest.vm].name} at {clock(longest.start_ns)} (move {longest.number})."
    )


def _rows(day: Day, plain: Day) -> Iterator[tuple[str, str, str]]:
    both = plain.summary(), day.summary()
    for key, title in (
        ("overload_min", "host-minutes overloaded"),
        ("above_high_min", "host-minutes above the threshold"),
    ):
        for name in RESOURCES:
            cells = [f"{one[key][name]:,.0f}" for one in both]
            if cells != ["0", "0"]:
                yield f"{title}: {name}", cells[0], cells[1]
    for key, title in (
        ("vm_overload_min", "VM-minutes on overloaded hosts"),
        ("vm_down_s", "VM-seconds down"),
        ("moves", "moves"),
        ("waited_s", "seconds that moves waited for a host"),
        ("dirty_log_cpu_s", "processor seconds of dirty logs"),
    ):
        yield title, f"{both[0][key]:,.0f}", f"{both[1][key]:,.0f}"


def _compared(day: Day, plain: Day) -> Iterator[str]:
    """Yield a chart for each resource that was ever short: how many hosts were, over time."""
    for n, name in enumerate(RESOURCES):
        threshold = day.cluster.mover.thresholds[n].high
        without, with_mover = (
            [int(np.count_nonzero(sample[n] > threshold)) for sample in one.samples]
            for one in (plain, day)
        )
        if any(without) or any(with_mover):
            yield counts_chart(f"Hosts above {threshold:.0%} of {name}", day, without, with_mover)


def _move(day: Day, one: MoveRecord) -> dict[str, Any]:
    names = [host.name for host in day.cluster.hosts]
    plan = one.plan
    return {
        "number": one.number,
        "clock": clock(one.start_ns),
        "vm": day.cluster.vms[one.vm].name,
        "source": names[one.source],
        "target": names[one.target],
        "seconds": f"{plan.end_ns / 1e9:.1f}",
        "blackout": f"{plan.blackout_ns / 1e6:.0f}",
        "outcome": one.outcome,
        "reason": one.reason,
        "why": one.choice.sentence(names),
        "waited": f"{one.waited_ns / 1e9:.0f}" if one.waited_ns >= 5e8 else "",
        "drawing": Markup(blackout_bar(plan)),
        "passes": [
            (
                number, f"{each.start_ns / 1e9:.2f}", f"{each.duration_ns / 1e9:.2f}",
                f"{each.pages_sent:,}", f"{each.zero_pages:,}", f"{each.pages_dirtied:,}",
                f"{each.bytes_sent / 1e6:,.1f}",
            )
            for number, each in enumerate(plan.passes, 1)
        ],
        "parts": ", ".join(f"{name} {ns / 1e6:.1f} ms" for name, ns in plan.parts.items()),
    }  # fmt: skip
