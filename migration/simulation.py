"""A run in virtual time: connections, path and hosts as arrays, and the loop over them.

Guarantees
----------
* Deterministic: the same connections, scenes and seed give the same events.
* Everything adds up: segments sent and copied = delivered + ended by reason + under
  way + held (:meth:`Simulation.balance`).
* A run can be left and gone on with from any moment (:meth:`Simulation.fork`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from migration import run_kernel
from migration.agenda_kernel import FLIGHT, NEVER
from migration.connections import Connections
from migration.hosts import MovingHost
from migration.path import HOST_DELAY_NS, PathSettings
from migration.path_kernel import (
    ATTACH,
    CAM,
    CLOCKS,
    DELIVERED,
    FATES,
    IN,
    K_CAM_AGE,
    K_COPIES,
    K_EVENTS,
    K_HELD,
    K_HOLD,
    K_HOLD_LIMIT,
    K_LOG,
    K_LOGGING,
    K_LOSS,
    K_MTU,
    K_MUTE,
    K_NOTES,
    K_NOW,
    K_SEED,
    K_SEGMENTS,
    K_UNDECIDED,
    K_VM,
    LOG,
    NOTE,
    PIPES,
    RUNNING,
    SOURCE,
    TARGET,
    Path,
)
from migration.run_kernel import ALL_SETTLED, EMPTY, FULL_LOG, FULL_POOL, REACHED, ROOM
from migration.scenes import EVERY_VLAN, Scene
from migration.tcp.stacks import stack_rows
from migration.tcp.state_kernel import C_SEGMENT_LEFT, World
from migration.tcp.world import grow, new_world
from pcaps.addresses import key_to_mac
from pcaps.errors import BadInput

HEADER_STRIDE = 64
"""Bytes a frame header takes among the headers: what decisions may read."""

_EVENTS_AT_ONCE = 2_000_000
"""Events until the loop comes back, so that progress can be shown and Ctrl-C works."""

IPV4, IPV6 = 0x0800, 0x86DD

Consumer = Callable[[npt.NDArray[np.void]], None]


class Simulation:
    """Connections on their way through a move.

    Parameters
    ----------
    connections : Connections
        Who, when, what.
    scenes : sequence of Scene
        What changes, in order of time; the first is before everything.
    path : PathSettings
        Links and physical switch.
    headers : Headers
        Frame headers of all ends.
    seed : int
        Of random losses.
    on_log : callable, optional
        Gets ``LOG[]`` rows, in order, as the log fills; without, nothing is logged.
    """

    def __init__(
        self,
        connections: Connections,
        scenes: Sequence[Scene],
        path: PathSettings,
        headers: Headers,
        *,
        seed: int = 0,
        on_log: Consumer | None = None,
    ) -> None:
        self.connections, self.scenes = connections, list(scenes)
        self.on_log = on_log
        self.notes: list[npt.NDArray[np.void]] = []
        self.at_blackout: npt.NDArray[np.void] | None = None
        self.next_scene = 1
        self.ns_per_byte = path.hosts.ns_per_byte
        n = len(connections)
        same_delay = len(np.unique(connections.rtt_ns)) == 1
        one_way = np.maximum(connections.rtt_ns // 2 - HOST_DELAY_NS, 0)
        self.world = new_world(2 * n, stack_rows(connections.stacks), connections.stack)
        self.world.endpoints["mss"] = connections.mss
        self.world.endpoints["buffer"] = connections.buffer
        first = self.scenes[0]
        segments = len(self.world.segments)
        clock = np.zeros(CLOCKS, np.int64)
        clock[K_NOW] = -(1 << 61)
        clock[K_SEED], clock[K_LOSS] = seed, int(path.clients.loss * (1 << 32))
        clock[K_MTU] = path.mtu + 14 + 4 * int((connections.tags != 0).sum(axis=1).max())
        clock[K_HOLD_LIMIT] = path.hold_frames
        clock[K_CAM_AGE], clock[K_UNDECIDED] = path.cam_ageing_ns, n
        clock[K_LOGGING] = int(on_log is not None)
        heads = np.zeros((PIPES, 2), np.int64)
        heads[:, 0] = NEVER
        heap = 8 * n + 4 * ROOM
        self.path = Path(
            clock=clock,
            times=np.zeros(heap, np.int64),
            words=np.zeros(heap, np.int64),
            flights=np.zeros(segments, FLIGHT),
            pipes=path.pipes(int(one_way[0]) if same_delay else -1),
            heads=heads,
            attach=_attach(connections, headers, None if same_delay else one_way),
            apps=connections.apps.copy(),
            turns=connections.turns,
            cam=_cam(connections),
            held=np.zeros(max(path.hold_frames, 1), np.int64),
            fates=np.zeros(FATES, np.int64),
            headers=headers.data,
            source=first.source,
            target=first.target,
            log=np.zeros(16 * ROOM if on_log else 4 * ROOM + 1, LOG),
            notes=np.zeros(8 * ROOM, NOTE),
        )
        active = np.arange(0, 2 * n, 2)
        order = np.argsort(connections.start_ns, kind="stable")
        run_kernel.start(self.path, active[order])

    @property
    def now_ns(self) -> int:
        """World time."""
        return int(self.path.clock[K_NOW])

    @property
    def events(self) -> int:
        """Events so far."""
        return int(self.path.clock[K_EVENTS])

    def run(
        self,
        until_ns: int,
        *,
        until_settled: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Go on.

        Parameters
        ----------
        until_ns : int
            World time.
        until_settled : bool
            Whether to stop when every connection has its verdict, once all scenes are over.
        progress : callable, optional
            Called with the world time now and then.

        Returns
        -------
        bool
            False when nothing is left that could happen.
        """
        while True:
            scene = self.scenes[self.next_scene] if self.next_scene < len(self.scenes) else None
            stop = until_ns if scene is None else min(until_ns, scene.at_ns)
            code = run_kernel.run(
                self.world, self.path, stop, int(until_settled and scene is None), _EVENTS_AT_ONCE
            )
            if self.path.clock[K_LOG] or self.path.clock[K_NOTES]:
                self._empty_log()
            if progress is not None:
                progress(self.now_ns)
            if code == FULL_POOL:
                self._grow()
            elif code in (REACHED, EMPTY, ALL_SETTLED):
                if code == ALL_SETTLED:
                    return True
                if scene is None or scene.at_ns > until_ns:
                    return bool(code == REACHED)
                self._enter(scene)
            elif code == FULL_LOG:
                continue

    def _enter(self, scene: Scene) -> None:
        """Change what a scene changes."""
        path = self.path._replace(source=scene.source, target=scene.target)
        self.path = path
        self.next_scene += 1
        clock = path.clock
        clock[K_NOW] = scene.at_ns
        clock[K_VM] = scene.vm_host
        if scene.dark_until_ns is not None:
            run_kernel.darken(path, scene.dark_until_ns)
        if scene.hold is not None:
            clock[K_HOLD] = int(scene.hold)
        if scene.freeze:
            run_kernel.freeze(path)
        if scene.opens:
            path.attach["stall"] = 0
            self.at_blackout = self.world.endpoints.copy()
        if scene.learn is not None:
            self._learn(scene)
        if scene.mute is not None:
            clock[K_MUTE] = int(scene.mute)
        if scene.host_bps is not None:
            left = 8e9 / scene.host_bps if scene.host_bps else self.ns_per_byte
            path.pipes["rate"][IN:] = left
        if scene.resume:
            run_kernel.resume_all(path)
        if scene.release:
            run_kernel.release_all(self.world, path)

    def _learn(self, scene: Scene) -> None:
        """A frame of the VM has reached the physical switch on the target's port."""
        for entry in self.path.cam:
            if scene.learn in (EVERY_VLAN, int(entry["key"]) >> 48):
                if entry["port"] != TARGET:
                    entry["moved"] = scene.at_ns
                entry["port"], entry["seen"] = TARGET, scene.at_ns

    def _empty_log(self) -> None:
        clock = self.path.clock
        if clock[K_NOTES]:
            self.notes.append(self.path.notes[: clock[K_NOTES]].copy())
            clock[K_NOTES] = 0
        if clock[K_LOG]:
            if self.on_log is not None:
                self.on_log(self.path.log[: clock[K_LOG]])
            clock[K_LOG] = 0

    def _grow(self) -> None:
        """Make pools and heap larger."""
        self.world = grow(self.world, ROOM)
        path = self.path
        flights = np.zeros(len(self.world.segments), FLIGHT)
        flights[: len(path.flights)] = path.flights
        room = 2 * len(path.times)
        self.path = path._replace(
            flights=flights,
            times=np.concatenate([path.times, np.zeros(room - len(path.times), np.int64)]),
            words=np.concatenate([path.words, np.zeros(room - len(path.words), np.int64)]),
        )

    def fork(self) -> Simulation:
        """Return the same moment once more, to go on from it in another way; nothing is logged.

        Returns
        -------
        Simulation
            Shares with this one what neither changes.
        """
        other = object.__new__(Simulation)
        other.connections, other.scenes = self.connections, list(self.scenes)
        other.on_log, other.next_scene = None, self.next_scene
        other.notes, other.at_blackout = [], None
        other.ns_per_byte = self.ns_per_byte
        other.world = World(
            endpoints=self.world.endpoints.copy(), stacks=self.world.stacks,
            sent=self.world.sent.copy(), gaps=self.world.gaps.copy(),
            segments=self.world.segments.copy(), out=self.world.out.copy(),
            count=self.world.count.copy(),
        )  # fmt: skip
        mutable = ("clock", "times", "words", "flights", "pipes", "heads", "attach", "apps", "cam")
        copies = {name: getattr(self.path, name).copy() for name in mutable}
        other.path = self.path._replace(
            **copies, held=self.path.held.copy(), fates=self.path.fates.copy(),
            log=self.path.log[: 4 * ROOM + 1].copy(), notes=self.path.notes.copy(),
        )  # fmt: skip
        other.path.clock[K_LOGGING] = 0
        return other

    def lengthen(self, shifts_ns: npt.NDArray[np.int64], found_ns: int) -> None:
        """Make the blackout longer, for each connection by its own time.

        Parameters
        ----------
        shifts_ns : numpy.ndarray
            ``int64[n]``.
        found_ns : int
            World time from which frames would find the VM without that.
        """
        attach = self.path.attach
        rows = np.arange(len(shifts_ns)) * 2 + self.connections.vm_side
        attach["shift"][rows] = shifts_ns
        attach["lost_until"][rows] = found_ns + shifts_ns

    def balance(self) -> dict[str, int]:
        """Return where all segments are.

        Returns
        -------
        dict of str to int
            sent, copies, delivered, ended, under_way, held; sent + copies equals the rest.
        """
        clock, fates = self.path.clock, self.path.fates
        held = int(clock[K_HELD])
        used = len(self.world.segments) - 1 - int(self.world.count[C_SEGMENT_LEFT])
        return {
            "sent": int(clock[K_SEGMENTS]),
            "copies": int(clock[K_COPIES]),
            "delivered": int(fates[DELIVERED]),
            "ended": int(fates[DELIVERED + 1 :].sum()),
            "under_way": used - held,
            "held": held,
        }


class Headers:
    """Frame headers of all ends, outside the VM and at its port.

    Parameters
    ----------
    connections : Connections
        Who talks to whom.
    source : MovingHost
        Its switch tells how frames look behind the VM's port.

    Raises
    ------
    BadInput
        When frames of a connection do not get to the VM at all.
    """

    def __init__(self, connections: Connections, source: MovingHost) -> None:
        self._places: dict[bytes, int] = {}
        self._blocks: list[bytes] = []
        n = len(connections)
        self.place = np.zeros(2 * n, np.int64)
        self.length = np.zeros(2 * n, np.int64)
        self.text: list[bytes] = []
        known: dict[tuple[int, int, int, int, int], tuple[int, int, int, int]] = {}
        for c in range(n):
            vm = 2 * c + int(connections.vm_side[c])
            peer = vm ^ 1
            outer, inner = (int(tag) for tag in connections.tags[c])
            key = (
                int(connections.mac[vm]), int(connections.mac[peer]), outer, inner,
                int(connections.version[c]),
            )  # fmt: skip
            if key not in known:
                known[key] = self._add(key, source)
            self.place[peer], self.length[peer], self.place[vm], self.length[vm] = known[key]
        self.data = np.frombuffer(b"".join(self._blocks) + bytes(HEADER_STRIDE), np.uint8)

    def _add(
        self, key: tuple[int, int, int, int, int], source: MovingHost
    ) -> tuple[int, int, int, int]:
        vm, peer, outer, inner, version = key
        tags = b"".join(tag.to_bytes(4, "big") for tag in (outer, inner) if tag)
        kind = (IPV4 if version == 4 else IPV6).to_bytes(2, "big")
        to_vm = vm.to_bytes(6, "little") + peer.to_bytes(6, "little") + tags + kind
        inside = source.header_at_vm(to_vm)
        if inside is None:
            raise BadInput(
                f"frames from {key_to_mac(peer)} with VLAN {outer & 0xFFF or '-'} do not reach "
                f"VM {source.vm.name} ({key_to_mac(vm)}): {source.why_not(to_vm)}; "
                "change its VLAN or its address in the scenario"
            )
        from_vm = inside[6:12] + inside[:6] + inside[12:]
        return (*self._block(to_vm), *self._block(from_vm))

    def _block(self, header: bytes) -> tuple[int, int]:
        if header not in self._places:
            self._places[header] = HEADER_STRIDE * len(self._blocks)
            self._blocks.append(header.ljust(HEADER_STRIDE, b"\0"))
        return self._places[header], len(header)


def _attach(
    connections: Connections, headers: Headers, one_way: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.void]:
    n = len(connections)
    attach = np.zeros(2 * n, ATTACH)
    attach["timer"] = attach["wake"] = NEVER
    attach["delay"] = -1 if one_way is None else np.repeat(one_way, 2)
    attach["frozen_at"] = RUNNING
    attach["waiting"] = -1
    attach["stall_from"] = -1
    attach["start"] = np.repeat(connections.start_ns, 2)
    attach["frame"] = headers.place
    ip = np.where(connections.version == 4, 20, 40)
    attach["overhead"] = headers.length + np.repeat(ip, 2) + 20
    rows = np.arange(n) * 2 + connections.vm_side
    attach["vm"][rows] = 1
    attach["midway"] = np.repeat(connections.midway, 2)
    _, inverse = np.unique(_keys(connections), return_inverse=True)
    attach["cam"] = np.repeat(inverse, 2)
    return attach


def _keys(connections: Connections) -> npt.NDArray[np.uint64]:
    """Return VLAN and address of each connection's VM."""
    rows = np.arange(len(connections)) * 2 + connections.vm_side
    vids = connections.tags[:, 0].astype(np.uint64) & np.uint64(0xFFF)
    keys: npt.NDArray[np.uint64] = connections.mac[rows] | vids << np.uint64(48)
    return keys


def _cam(connections: Connections) -> npt.NDArray[np.void]:
    """Return the physical switch's entries: it knows where the VM is when the run begins."""
    keys = np.unique(_keys(connections))
    cam = np.zeros(len(keys), CAM)
    cam["key"] = keys
    cam["seen"] = 0
    cam["moved"] = -1
    cam["port"] = SOURCE
    return cam
