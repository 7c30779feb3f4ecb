"""The JSON object of a replay through a move, ``vswitch.migrate/1``.

Times are seconds: those of the move since it began, those of connections since the
blackout began. Reports and files are made of this object alone. What differs from
run to run stands under ``measured`` and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migration.fate import reason_of
from migration.path_kernel import DELIVERED
from pcaps.addresses import key_to_mac

if TYPE_CHECKING:
    from migration.run import Replay

SCHEMA = "vswitch.migrate/1"


def to_dict(replay: Replay) -> dict[str, Any]:
    """Return a replay as JSON has it.

    Parameters
    ----------
    replay : Replay
        After its run.

    Returns
    -------
    dict
        schema, vm, move, blackout, connections, summary, frames, queues, chimney (null where it is off), measured.
    """
    connections = replay.simulation.connections
    mac = int(connections.mac[int(connections.vm_side[0])])
    run_s = replay.run_cpu_s
    return {
        "schema": SCHEMA,
        "vm": {"name": replay.hosts[0].vm.name, "mac": key_to_mac(mac)},
        "move": {**replay.move.to_dict(), "kind": replay.kind, "begin_s": replay.begin_ns / 1e9},
        "blackout": blackout_of(replay),
        "connections": [outcome.to_dict() for outcome in replay.outcomes],
        "summary": replay.summary(),
        "frames": frames_of(replay),
        "queues": queues_of(replay),
        "chimney": None if replay.uploads is None else replay.uploads.to_dict(),
        "measured": {
            "cpu_s": replay.cpu_s,
            "run_cpu_s": run_s,
            "events": replay.events,
            "events_per_s": replay.events / run_s if run_s > 0 else 0.0,
        },
    }


def queues_of(replay: Replay) -> list[dict[str, str]]:
    """Return what became of the VM's queues, in order of time.

    Parameters
    ----------
    replay : Replay
        Any replay.

    Returns
    -------
    list of dict
        host, what; nothing where the VM never stopped.
    """
    if not replay.move.completed:
        return []
    return [
        {"host": change.host, "what": change.what}
        for host in replay.hosts
        for change in host.changes
    ]


def without_measured(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is the same in every run.

    Parameters
    ----------
    found : dict
        As from :func:`to_dict`.

    Returns
    -------
    dict
        Without ``measured``.
    """
    return {name: value for name, value in found.items() if name != "measured"}


def is_held(replay: Replay) -> bool:
    """Tell whether frames for the VM were held while it was away.

    Parameters
    ----------
    replay : Replay
        Any replay.

    Returns
    -------
    bool
        False: they were dropped.
    """
    return any(scene.opens and scene.hold for scene in replay.scenes)


def blackout_of(replay: Replay) -> dict[str, Any]:
    """Return the blackout: from when to when, and by part.

    Parameters
    ----------
    replay : Replay
        Any replay.

    Returns
    -------
    dict
        Times in seconds since the first connection began; the parts one behind the other.
        ``dark_s`` lasts until frames found the VM again.
    """
    at_ns = replay.blackout_ns
    parts = []
    for name, duration_ns in replay.move.parts.items():
        parts.append({"name": name, "start_s": at_ns / 1e9, "duration_s": duration_ns / 1e9})
        at_ns += duration_ns
    return {
        "begin_s": replay.blackout_ns / 1e9,
        "resume_s": (replay.begin_ns + replay.move.resume_ns) / 1e9,
        "light_s": replay.light_ns / 1e9,
        "dark_s": (replay.light_ns - replay.blackout_ns) / 1e9,
        "held": is_held(replay),
        "parts": parts,
    }


def frames_of(replay: Replay) -> dict[str, Any]:
    """Return where all frames of the run went.

    Parameters
    ----------
    replay : Replay
        Any replay.

    Returns
    -------
    dict
        sent + copies = delivered + the sum of ``ended`` + under_way + held.
    """
    balance = replay.simulation.balance()
    fates = replay.simulation.path.fates
    ended = {
        reason_of(number).label: int(fates[number])
        for number in range(DELIVERED + 1, len(fates))
        if fates[number]
    }
    return {
        "sent": balance["sent"],
        "copies": balance["copies"],
        "delivered": balance["delivered"],
        "ended": ended,
        "under_way": balance["under_way"],
        "held": balance["held"],
        "most_held": replay.held,
        "late_at_source": replay.late,
        "decided": replay.decisions,
    }
