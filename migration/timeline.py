"""``timeline.json``: all that happened in a replay through a move, on one clock.

Times are seconds since the first connection began, the clock of ``wire.pcapng``
(which adds ``epoch_s``). Schema ``vswitch.timeline/1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from migration.path_kernel import (
    AT_TARGET,
    N_ENDED,
    N_FAST,
    N_PROBE,
    N_TAIL_PROBE,
    N_TIMEOUT,
    NOTE,
)
from migration.results import blackout_of, queues_of
from migration.wire import announcements_of, epoch_of

if TYPE_CHECKING:
    from migration.run import Replay

SCHEMA = "vswitch.timeline/1"

KINDS = {
    N_TIMEOUT: "retransmission-timeout",
    N_TAIL_PROBE: "tail-probe",
    N_FAST: "fast-retransmission",
    N_PROBE: "probe",
    N_ENDED: "ended",
}
"""What is noted of an end."""

_BEGINNING_NS = -(1 << 61)
"""Scenes before this are the state before everything."""


def timeline_of(replay: Replay) -> dict[str, Any]:
    """Return the timeline of a replay.

    Parameters
    ----------
    replay : Replay
        After its run.

    Returns
    -------
    dict
        schema, epoch_s, move, blackout, scenes, queues, uploads, announcements, connections.
    """
    connections = replay.simulation.connections
    move, begin_ns = replay.move, replay.begin_ns
    return {
        "schema": SCHEMA,
        "epoch_s": epoch_of(connections) / 1e9,
        "move": {
            "kind": replay.kind,
            "policy": move.policy,
            "begin_s": begin_ns / 1e9,
            "end_s": (begin_ns + move.end_ns) / 1e9,
            "passes": [
                {
                    "start_s": (begin_ns + one.start_ns) / 1e9,
                    "duration_s": one.duration_ns / 1e9,
                    "pages_sent": one.pages_sent,
                    "pages_dirtied": one.pages_dirtied,
                    "zero_pages": one.zero_pages,
                    "bytes_sent": one.bytes_sent,
                    "throttle": one.throttle,
                }
                for one in move.passes
            ],
            "brownout": [
                {"start_s": (begin_ns + start) / 1e9, "duration_s": (stop - start) / 1e9}
                for start, stop in move.brownout
            ],
        },
        "blackout": blackout_of(replay),
        "scenes": [
            {"at_s": scene.at_ns / 1e9, "what": scene.name}
            for scene in replay.scenes
            if scene.at_ns > _BEGINNING_NS
        ],
        "queues": queues_of(replay),
        "uploads": _uploads(replay),
        "announcements": [
            {"at_s": one.at_ns / 1e9, "what": one.comment, "bytes": len(one.data)}
            for one in announcements_of(replay)
            if one.where == AT_TARGET
        ],
        "connections": _connections(replay),
    }


def _uploads(replay: Replay) -> list[dict[str, Any]]:
    """Return when each connection came back from the source's adapter."""
    if replay.uploads is None:
        return []
    return [
        {"at_s": (replay.blackout_ns + one.at_ns) / 1e9, "id": one.number, "late": one.late}
        for one in replay.uploads.uploads
    ]


def _connections(replay: Replay) -> list[dict[str, Any]]:
    """Return what was noted of each connection, in order of time."""
    notes = np.concatenate([*replay.simulation.notes, np.zeros(0, NOTE)])
    order = np.argsort(notes["endpoint"] >> 1, kind="stable")
    notes = notes[order]
    first = np.searchsorted(notes["endpoint"] >> 1, np.arange(len(replay.outcomes) + 1))
    start_ns = replay.simulation.connections.start_ns
    listed = []
    for c, outcome in enumerate(replay.outcomes):
        own = notes[first[c] : first[c + 1]]
        listed.append(
            {
                "id": outcome.number,
                "start_s": int(start_ns[c]) / 1e9,
                "verdict": outcome.verdict.value,
                "events": [
                    {
                        "at_s": int(one["at"]) / 1e9,
                        "end": ("client", "server")[int(one["endpoint"]) & 1],
                        "what": KINDS[int(one["kind"])],
                        "position": int(one["seq"]),
                        "bytes": int(one["size"]),
                    }
                    for one in own
                ],
            }
        )
    return listed
