"""What breaks while a cluster runs, and what becomes of the VMs: failover restarts, redirected I/O, pauses.

    host-crash    missed heartbeats tell the others; its VMs start anew where there is room
    path-loss     on a CSV I/O goes by the coordinator; else the VMs of the host start anew elsewhere
    volume-loss   VMs stand still until the volume is back
    quorum lost   the hosts that are left stop their cluster service, and all VMs

A move that is under way ends as its step says: the source's crash ends the VM, the target's only the move.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from migration.cluster.model import DayFault, Volume
from migration.cluster.quorum import has_quorum
from migration.cluster.storage import (
    ARBITRATE_NS,
    PDO_REMOVE_NS,
    RETRY_INTERVAL_NS,
    paths_left,
    reach,
)

if TYPE_CHECKING:
    from migration.cluster.day import _Run


class Breakage:
    """Faults of a run.

    Parameters
    ----------
    run : _Run
        The run that they happen to.
    """

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.lost: dict[tuple[str, str], int] = {}
        self.gone: set[str] = set()
        self._coordinator = {one.name: one.coordinator for one in run.cluster.volumes}
        self._homeless: dict[int, None] = {}
        self.booting: dict[int, tuple[int, float]] = {}
        self._without_disk: set[int] = set()
        self.stopped = False
        self._told: set[int] = set()
        self._down_since: dict[int, int] = {}

    def closed_for(self, vm: int) -> npt.NDArray[np.bool_]:
        """Return the hosts that have no paths of their own left to a VM's volume."""
        cluster = self._run.cluster
        mask = np.zeros(len(cluster.hosts), bool)
        if self.lost:
            volume = cluster.volume(cluster.vms[vm].volume)
            for n, host in enumerate(cluster.hosts):
                if (host.name, volume.name) in self.lost:
                    mask[n] = not paths_left(volume, host.name, self.lost)
        return mask

    @property
    def boots(self) -> npt.NDArray[np.bool_]:
        """Which VMs are being started anew."""
        mask = np.zeros(len(self._run.cluster.vms), bool)
        mask[list(self.booting)] = True
        return mask

    def start(self) -> None:
        """Begin: what is on a host that is no member starts anew on one that is."""
        usage = self._run.usage
        outside = np.flatnonzero(~usage.online[usage.host_of]).tolist()
        if outside:
            text = (
                f"{len(outside)} VMs begin on hosts that are no members, and start anew elsewhere"
            )
            self._run.note(0, "restart", -1, text)
            self._down(outside, 0)
            self._homeless.update(dict.fromkeys(outside))
        self.check_quorum(0)

    def without_disk(self) -> bool:
        """Tell whether a VM runs where its disk cannot be reached."""
        run = self._run
        if not self.lost and not self.gone:
            return False
        return any(
            self._on(host, volume.name)
            for volume in run.cluster.volumes
            for host in range(len(run.names))
            if volume.name in self.gone or not self._reaches(volume, host)
        )

    def begin(self, fault: DayFault, now: int) -> None:
        """Let something break."""
        {
            "host-crash": self._crash,
            "path-loss": self._lose_paths,
            "volume-loss": self._lose_volume,
        }[fault.kind](fault, now)

    # A host

    def _crash(self, fault: DayFault, now: int) -> None:
        run = self._run
        host = run.place[fault.host]
        if not run.usage.online[host]:
            return
        run.usage.online[host] = False
        here = [int(vm) for vm in np.flatnonzero((run.usage.host_of == host) & run.usage.up)]
        run.note(now, "fault", host, f"{fault.host} crashes with {len(here)} VMs on it")
        for record in list(run.moving.values()):
            if record.source == host:
                run.end_early(record, "ended: the source crashed", now)
            elif record.target == host:
                run.end_early(record, "rolled back: the target crashed", now)
                name = run.cluster.vms[record.vm].name
                run.note(
                    now, "fault", record.source, f"{name} goes on at {run.names[record.source]}"
                )
        self._down(here, now)
        run.give_up_work(host, now)
        told = now + run.cluster.heartbeat_ns * run.cluster.missed
        run.at(told, lambda when: self._missed(host, here, when))
        if fault.back_ns is not None:
            run.at(now + fault.back_ns, lambda when: self._return(host, when))

    def _missed(self, host: int, vms: list[int], now: int) -> None:
        """The others have missed its heartbeats."""
        run = self._run
        self.check_quorum(now)
        for volume in run.cluster.volumes:
            if self._coordinator[volume.name] == run.names[host]:
                self._new_coordinator(volume, now)
                self._review(volume, now)
        for vm in vms:
            self._restart(vm, now)

    def hand_over_volumes(self, host: int, now: int) -> None:
        """Let others coordinate the volumes of a host that is worked on."""
        for volume in self._run.cluster.volumes:
            if volume.csv and self._coordinator[volume.name] == self._run.names[host]:
                self._new_coordinator(volume, now)
                self._review(volume, now)

    def _new_coordinator(self, volume: Volume, now: int) -> None:
        """Give a volume's metadata to the first host that reaches it by paths of its own."""
        run = self._run
        for n, one in enumerate(run.cluster.hosts):
            if run.usage.online[n] and paths_left(volume, one.name, self.lost):
                self._coordinator[volume.name] = one.name
                run.note(now, "storage", n, f"{one.name} coordinates '{volume.name}' now")
                return

    def _return(self, host: int, now: int) -> None:
        run = self._run
        run.usage.online[host] = True
        run.note(now, "fault", host, f"{run.names[host]} is back")
        self.check_quorum(now)
        self.retry(now)

    def _present(self) -> int:
        return int(np.count_nonzero(self._run.usage.online))

    def _held_by(self, present: int) -> bool:
        run = self._run
        return has_quorum(
            run.cluster.quorum, len(run.names), present,
            bool(run.cluster.witness) and run.cluster.witness not in self.gone,
        )  # fmt: skip

    def endures_loss(self) -> bool:
        """Tell whether the cluster goes on with one host less than now."""
        return self._held_by(self._present() - 1)

    def check_quorum(self, now: int) -> None:
        """Stop the cluster where the hosts that are there are no majority, or let it go on."""
        run = self._run
        present = self._present()
        held = self._held_by(present)
        if not held and not self.stopped:
            self.stopped = True
            up = [int(vm) for vm in np.flatnonzero(run.usage.up)]
            run.note(
                now, "quorum", -1,
                f"{present} of {len(run.names)} hosts are no majority: the cluster stops, and {len(up)} VMs",
            )  # fmt: skip
            self._down(up, now)
            self._homeless.update(dict.fromkeys(up))
        elif held and self.stopped:
            self.stopped = False
            run.note(now, "quorum", -1, "the cluster has quorum again")
            self.retry(now)

    # Storage

    def _lose_paths(self, fault: DayFault, now: int) -> None:
        run = self._run
        host = run.place[fault.host]
        key = (fault.host, fault.subject)
        volume = run.cluster.volume(fault.subject)
        had = paths_left(volume, fault.host, self.lost)
        lost = min(fault.paths or had, had)
        self.lost[key] = self.lost.get(key, 0) + lost
        if not paths_left(volume, fault.host, self.lost):
            if volume.csv and self._coordinator[volume.name] == fault.host:
                self._new_coordinator(volume, now)
        found = reach(run.cluster, volume, fault.host, self.lost, self._coordinator[volume.name])
        here = self._on(host, fault.subject)
        text = f"{fault.host} loses {lost} of {had} paths to '{fault.subject}': "
        if found.way == "none":
            text += f"{len(here)} VMs stand still"
        else:
            by = f"by {found.through}" if found.way == "redirected" else f"over {found.paths} paths"
            rate = f"{found.bytes_per_s / 1e6:.0f} MB/s for all"
            wait = f"{RETRY_INTERVAL_NS / 1e9:g} s"
            text += f"the I/O of {len(here)} VMs waits {wait}, then goes {by}, {rate}"
        run.note(now, "storage", host, text)
        self._review(volume, now)
        if fault.back_ns is not None:

            def back(when: int) -> None:
                self.lost[key] -= lost
                left = paths_left(volume, fault.host, self.lost)
                text = f"{fault.host} reaches '{fault.subject}' over {left} paths again"
                run.note(when, "storage", host, text)
                self._review(volume, when)

            run.at(now + fault.back_ns, back)

    def _reaches(self, volume: Volume, host: int) -> bool:
        coordinator = self._coordinator[volume.name]
        there = self._run.usage.online[self._run.place[coordinator]]
        found = reach(
            self._run.cluster,
            volume,
            self._run.names[host],
            self.lost,
            coordinator if there else None,
        )
        return found.way == "direct" or (found.way == "redirected" and bool(there))

    def _review(self, volume: Volume, now: int) -> None:
        """Let VMs stand still on hosts that do not reach a volume any more, and go on where they do again."""
        run = self._run
        for host in range(len(run.names)):
            if not self._reaches(volume, host):
                stopped = self._on(host, volume.name)
                if stopped:
                    self._down(stopped, now)
                    self._without_disk |= set(stopped)
                    after = now + PDO_REMOVE_NS
                    run.at(after, partial(self._fail_over, volume, host, stopped))
        for vm in sorted(self._without_disk):
            where = int(run.usage.host_of[vm])
            if run.cluster.vms[vm].volume == volume.name and self._reaches(volume, where):
                self._without_disk.discard(vm)
                self._resume(vm, now)

    def _fail_over(self, volume: Volume, host: int, vms: list[int], now: int) -> None:
        """A LUN without a path is given up: its VMs start anew elsewhere."""
        for vm in vms:
            if vm in self._without_disk and not self._reaches(volume, host):
                self._without_disk.discard(vm)
                self._restart(vm, now)

    def _lose_volume(self, fault: DayFault, now: int) -> None:
        run = self._run
        self.gone.add(fault.subject)
        here = [
            int(vm) for vm in np.flatnonzero(run.usage.up)
            if run.cluster.vms[int(vm)].volume == fault.subject
        ]  # fmt: skip
        run.note(
            now, "storage", -1,
            f"volume '{fault.subject}' is gone: {len(here)} VMs stand still where they are",
        )  # fmt: skip
        self._down(here, now)
        self.check_quorum(now)
        if fault.back_ns is not None:

            def back(when: int) -> None:
                self.gone.discard(fault.subject)
                run.note(when, "storage", -1, f"volume '{fault.subject}' is back; its VMs go on")
                self.check_quorum(when)
                for vm in here:
                    self._resume(vm, when)

            run.at(now + fault.back_ns, back)

    def _on(self, host: int, volume: str) -> list[int]:
        run = self._run
        here = np.flatnonzero((run.usage.host_of == host) & run.usage.up)
        return [int(vm) for vm in here if run.cluster.vms[int(vm)].volume == volume]

    # VMs

    def _resume(self, vm: int, now: int) -> None:
        """Let a VM that stood still go on where it is, or start it anew where its host is gone."""
        gone = self.stopped or self._run.cluster.vms[vm].volume in self.gone
        if not gone and self._run.usage.online[self._run.usage.host_of[vm]]:
            self._up(vm, now)
        else:
            self._restart(vm, now)

    def _up(self, vm: int, now: int) -> None:
        """Let a VM run again."""
        usage = self._run.usage
        if not usage.up[vm]:
            usage.up[vm] = True
            usage.give_queue(vm)
            since = self._down_since.pop(vm)
            self._run.day.totals.vm_down_s += (now - since) / 1e9
            self._run.leave(vm, now)

    def close(self, now: int) -> None:
        """Count those that are still down at the end."""
        for since in self._down_since.values():
            self._run.day.totals.vm_down_s += (now - since) / 1e9

    def _down(self, vms: list[int], now: int) -> None:
        usage = self._run.usage
        for vm in vms:
            self._down_since.setdefault(vm, now)
        usage.up[vms] = False
        usage.queued[vms] = False
        for vm in vms:
            record = self._run.moving.get(vm)
            if record is not None and record.outcome == "running":
                self._run.end_early(record, "ended: the VM stands still", now)

    def _restart(self, vm: int, now: int) -> None:
        """Start a VM anew on the best host, or remember that none has room."""
        run = self._run
        if run.usage.up[vm] or vm in self.booting or vm in self._homeless:
            return
        if self.stopped or run.cluster.vms[vm].volume in self.gone:
            self._homeless[vm] = None
            return
        closed = ~run.usage.online | run.draining | self.closed_for(vm)
        one = run.cluster.vms[vm]
        closed |= self._elsewhere(vm)
        own = np.ones_like(closed)
        own[run.usage.host_of[vm]] = False
        for shut in (closed | own, closed):  # where it was, if that will do
            choice = run.placement.choose(
                vm, run.usage.of_hosts(), closed=shut, busy=np.zeros_like(closed), pressing=True,
                cold=True,
            )  # fmt: skip
            if choice.host >= 0:
                break
        if choice.host < 0:
            if vm not in self._told:
                self._told.add(vm)
                run.note(now, "restart", -1, f"{one.name}: {choice.sentence(run.names)}")
            self._homeless[vm] = None
            return
        target = choice.host
        self._told.discard(vm)
        run.usage.place(vm, target)
        run.placement.started(vm, target)
        held = run.usage.taken(vm, target)
        run.usage.reserved[target] += held
        self.booting[vm] = target, held
        run.note(
            now, "restart", target,
            f"{one.name} starts anew on {run.names[target]}, its services are back in {(ARBITRATE_NS + one.boot_ns) / 1e9:g} s",
        )  # fmt: skip

        def booted(when: int) -> None:
            run.usage.reserved[target] -= held
            del self.booting[vm]
            self._resume(vm, when)

        run.at(now + ARBITRATE_NS + one.boot_ns, booted)

    def _elsewhere(self, vm: int) -> npt.NDArray[np.bool_]:
        """Return the hosts that a VM cannot start on, since its LUN, no CSV, is another's."""
        run = self._run
        mask = np.zeros(len(run.names), bool)
        volume = run.cluster.volume(run.cluster.vms[vm].volume)
        if volume.csv or len(run.cluster.vms_of(volume.name)) < 2:
            return mask
        for n, other in enumerate(run.cluster.vms):
            if n != vm and other.volume == volume.name and (run.usage.up[n] or n in self.booting):
                mask[:] = True
                mask[run.usage.host_of[n]] = False
                break
        return mask

    def retry(self, now: int) -> None:
        """Start what found no host before."""
        waiting, self._homeless = self._homeless, {}
        for vm in waiting:
            self._restart(vm, now)
