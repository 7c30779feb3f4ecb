"""TCP chimney in a move: which connections the source's adapter has, and how they come back.

Before a VM is suspended the host pauses the offload and uploads all of the VM's
connections, one behind the other; the guest's own TCP goes on with them, and moves
with the VM. Those for which the time before the suspension does not suffice are
uploaded late, while the VM stands still: that is a part of the blackout. Behind the
move connections are ordinary, and are offloaded again where the target's adapter may.

An offloaded connection sends and acknowledges what the guest's own TCP would, so the
frames on the wire are the same; that the guest's TCP is nobody's work meanwhile is the
host model's subject (:mod:`vswitch.host`).

Source: terminate-offload-sequence (NDIS; an upload is no close, and is allowed in any
state: read), Microsoft's R2 page (VM chimney goes with live migration: read); that
connections are uploaded before the pause is derived, the time of an upload chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from migration.hosts import MovingHost
from migration.move import Move
from migration.path_kernel import N_ENDED, NOTE
from migration.simulation import Simulation
from nic.chimney import Chimney, Entry
from nic.chimney_rules import NotOffloaded, Status
from nic.chimney_settings import Capacity, Conditions
from nic.chimney_state import (
    Neighbor,
    NeighborCached,
    NeighborConst,
    Path,
    PathCached,
    PathConst,
    TcpCached,
    TcpConst,
    TcpDelegated,
    Tree,
)
from nic.offloads import AVAILABLE, Offload
from nic.tcp_states import OFFLOADABLE, TcpState

_STATES = tuple(TcpState)
"""By number, as endpoints have them."""

PART = "chimney upload"
"""Name of the part of the blackout."""


@dataclass(frozen=True)
class ChimneySettings:
    """TCP chimney on the hosts of a move.

    Parameters
    ----------
    entries : int
        Connections that each adapter can hold; 0 = chimney is off.
    upload_ns : int
        Time to upload a connection.
    window_ns : int
        Time before the suspension in which they are uploaded.
    """

    entries: int
    upload_ns: int = 50_000
    window_ns: int = 20_000_000


@dataclass(frozen=True)
class Upload:
    """What became of one connection.

    Parameters
    ----------
    number : int
        The connection's.
    at_ns : int
        When its upload was complete, since the suspension; negative before it.
    state : TcpState
        That of the VM's end when it came back.
    snd_una, snd_nxt, rcv_nxt : int
        Sequence numbers that the guest's TCP goes on with, mod 2^32.
    """

    number: int
    at_ns: int
    state: TcpState
    snd_una: int
    snd_nxt: int
    rcv_nxt: int

    @property
    def late(self) -> bool:
        """Whether the VM had to wait for it."""
        return self.at_ns > 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; seconds since the suspension."""
        return {
            "id": self.number, "uploaded_s": self.at_ns / 1e9, "late": self.late,
            "state": self.state.value, "snd_una": self.snd_una, "snd_nxt": self.snd_nxt,
            "rcv_nxt": self.rcv_nxt,
        }  # fmt: skip


@dataclass(frozen=True)
class Uploads:
    """All connections that came back, those that had never gone, and what follows on the target.

    Parameters
    ----------
    settings : ChimneySettings
        As asked.
    uploads : tuple of Upload
        In the order of their uploads.
    kept : dict of NotOffloaded to int
        Open connections that the adapter did not have, by reason.
    again : NotOffloaded or None
        Why none is offloaded on the target; None where they are. Rule: a VM that finds no
        queue there takes the software path, and that does not exclude chimney.
    """

    settings: ChimneySettings
    uploads: tuple[Upload, ...]
    kept: dict[NotOffloaded, int]
    again: NotOffloaded | None = None

    @property
    def late_ns(self) -> int:
        """What the blackout is longer by."""
        return sum(one.late for one in self.uploads) * self.settings.upload_ns

    def prolong(self, move: Move) -> Move:
        """Return the move with its late uploads between the VM's stop and the last copy."""
        late = self.late_ns
        if not late:
            return move
        parts: dict[str, int] = {}
        for name, duration_ns in move.parts.items():
            if name != "stop" and PART not in parts:
                parts[PART] = late
            parts[name] = duration_ns
        parts.setdefault(PART, late)
        return replace(
            move, parts=parts, disconnect_ns=move.disconnect_ns + late,
            connect_ns=move.connect_ns + late, resume_ns=move.resume_ns + late,
            end_ns=move.end_ns + late, downtime_ns=move.downtime_ns + late,
            total_ns=move.total_ns + late,
            brownout=tuple((begin + late, end + late) for begin, end in move.brownout),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON has them.

        Returns
        -------
        dict
            entries, upload_s, window_s, uploaded, late, late_s, not_offloaded {reason: n},
            again (null where connections are offloaded on the target), connections.
        """
        settings = self.settings
        return {
            "entries": settings.entries,
            "upload_s": settings.upload_ns / 1e9,
            "window_s": settings.window_ns / 1e9,
            "uploaded": len(self.uploads),
            "late": sum(one.late for one in self.uploads),
            "late_s": self.late_ns / 1e9,
            "not_offloaded": {reason.value: n for reason, n in self.kept.items()},
            "again": None if self.again is None else self.again.value,
            "connections": [one.to_dict() for one in self.uploads],
        }


def upload_all(run: Simulation, source: MovingHost, settings: ChimneySettings) -> Uploads:
    """Bring all connections of the VM back from the source's adapter.

    Parameters
    ----------
    run : Simulation
        At the VM's suspension.
    source : MovingHost
        Before the move.
    settings : ChimneySettings
        What the adapters can hold, and how long an upload takes.

    Returns
    -------
    Uploads
        First come first served: a connection that found the table full stays with the host.
    """
    connections = run.connections
    vm_ends = 2 * np.arange(len(connections)) + connections.vm_side
    open_ = [state_of(run, int(end)) in OFFLOADABLE for end in vm_ends]
    refused = why_not(source)
    kept: Counter[NotOffloaded] = Counter()
    uploads: list[Upload] = []
    if refused is not None:
        kept[refused] = sum(open_)
    else:
        held = _offloaded(run, vm_ends, settings.entries)
        kept[NotOffloaded.FULL] = sum(open_) - len(held)
        fit = settings.window_ns // settings.upload_ns if settings.upload_ns else len(held)
        for place, (c, entry) in enumerate(held, 1):
            before = settings.window_ns - place * settings.upload_ns
            at_ns = -before if place <= fit else (place - fit) * settings.upload_ns
            control = entry.control.delegate()
            uploads.append(
                Upload(
                    int(connections.number[c]), at_ns, control.state,
                    control.snd_una, control.snd_nxt, control.rcv_nxt,
                )
            )  # fmt: skip
    return Uploads(settings, tuple(uploads), {one: n for one, n in kept.items() if n})


def why_not(host: MovingHost) -> NotOffloaded | None:
    """Return what keeps all connections of the VM from a host's adapter, None when nothing does.

    Parameters
    ----------
    host : MovingHost
        With the VM on it.

    Returns
    -------
    NotOffloaded or None
        The first that holds.
    """
    adapter, mac = host.switch.adapter, host.vm.mac or 0
    if adapter is None:
        return NotOffloaded.OFF
    if Offload.CHIMNEY not in AVAILABLE[adapter.profile.name]:
        return NotOffloaded.PROFILE
    conditions = Conditions(vm_queues=frozenset() if host.queue is None else frozenset({mac}))
    return conditions.why_not(mac, bytes(4), bytes(4))


def state_of(run: Simulation, end: int) -> TcpState:
    """Return the state of an end, closed where its connection is over."""
    return _STATES[int(run.world.endpoints[end]["state"])]


def _offloaded(
    run: Simulation, vm_ends: npt.NDArray[np.int64], entries: int
) -> list[tuple[int, Entry]]:
    """Return the connections that the adapter has, in the order in which it got them."""
    chimney = Chimney(
        Capacity(tcp_entries=entries, path_entries=entries, neighbor_entries=entries,
                 mtu=65535, xmit_buffer_bytes=1 << 31, rcv_buffer_bytes=1 << 31)
    )  # fmt: skip
    held: dict[int, Entry] = {}
    for begins, c in _beginnings_and_ends(run):
        if not begins:
            entry = held.pop(c, None)
            if entry is not None:
                chimney.terminate(entry, 0)
            continue
        end = int(vm_ends[c])
        state = state_of(run, end)
        # one that is over by now was established once; it kept its entry until it ended
        handed = state if state in OFFLOADABLE else TcpState.ESTABLISHED
        done = chimney.initiate(_tree(run, c, end, handed), buffer_bytes=0)
        if done.entry is not None:
            held[c] = done.entry
        else:
            assert done.status is not Status.SUCCESS
    return [(c, entry) for c, entry in held.items()
            if state_of(run, int(vm_ends[c])) in OFFLOADABLE]  # fmt: skip


def _beginnings_and_ends(run: Simulation) -> Iterator[tuple[bool, int]]:
    """Yield when connections came to the adapter and left it: (whether it begins, which)."""
    connections = run.connections
    notes = np.concatenate([*run.notes, np.zeros(0, NOTE)])
    over = notes[notes["kind"] == N_ENDED]
    ended = {
        end // 2: at
        for end, at in zip(over["endpoint"].tolist(), over["at"].tolist(), strict=True)
        if end % 2 == int(connections.vm_side[end // 2])
    }
    now_ns = run.now_ns
    moments = []
    for c, start_ns in enumerate(connections.start_ns.tolist()):
        established = start_ns + int(connections.rtt_ns[c])
        if established <= now_ns:
            moments.append((established, True, c))
            if c in ended and ended[c] > established:
                moments.append((ended[c], False, c))
    for _, begins, c in sorted(moments, key=lambda one: (one[0], one[1], one[2])):
        yield begins, c


def _tree(run: Simulation, c: int, end: int, state: TcpState) -> Tree:
    """Return what the host hands over of a connection."""
    connections, s = run.connections, run.world.endpoints[end]
    peer = end ^ 1
    own_isn, peer_isn = int(connections.isn[end]), int(connections.isn[peer])
    size = 4 if connections.version[c] == 4 else 16
    vid = int(connections.tags[c, 0]) & 0xFFF
    return Tree(
        Neighbor(NeighborConst(int(connections.mac[end]), vid),
                 NeighborCached(int(connections.mac[peer]))),
        Path(PathConst(connections.ip[end, :size].tobytes(), connections.ip[peer, :size].tobytes()),
             PathCached(int(s["mss"]) + (40 if size == 4 else 60))),
        TcpConst(
            local_port=int(connections.port[end]), remote_port=int(connections.port[peer]),
            timestamp_enabled=bool(s["ts_ok"]), sack_enabled=bool(s["sack_ok"]),
            window_scaling_enabled=bool(s["scaled"]), snd_wind_scale=int(s["snd_scale"]),
            rcv_wind_scale=int(s["rcv_scale"]), remote_mss=int(s["mss"]),
        ),
        TcpCached(initial_rcv_wnd=int(s["rcv_adv"]) - int(s["rcv_nxt"])),
        TcpDelegated(
            state=state,
            rcv_nxt=(peer_isn + int(s["rcv_nxt"])) % 2**32,
            rcv_wnd=max(0, int(s["rcv_adv"]) - int(s["rcv_nxt"])),
            snd_una=(own_isn + int(s["una"])) % 2**32,
            snd_nxt=(own_isn + int(s["nxt"])) % 2**32,
            snd_max=(own_isn + int(s["nxt"])) % 2**32,
            snd_wnd=int(s["wnd"]), max_snd_wnd=int(s["max_wnd"]), cwnd=int(s["cwnd"]),
        ),
    )  # fmt: skip
