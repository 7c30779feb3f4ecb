"""What breaks while a cluster runs, and what becomes of the VMs: failover restarts, redirected I/O, pauses.

    host-crash    missed heartbeats tell the others; its VMs start anew where there is room
    path-loss     on a CSV I/O goes by the coordinator; else the VMs of the host start anew elsewhere
    volume-loss   VMs stand still until the volume is back
    quorum lost   the hosts that are left stop their cluster service, and all VMs

A move that is under way ends as its step says: the source's crash ends the VM, the target's only the move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from migration.cluster.model import DayFault
from migration.cluster.quorum import has_quorum
from migration.cluster.storage import PDO_REMOVE_NS, reach

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
        self.lost: set[tuple[str, str]] = set()
        self.gone: set[str] = set()
        self._coordinator = {one.name: one.coordinator for one in run.cluster.volumes}
        self._homeless: list[tuple[int, int]] = []
        self._stopped = False
        self._told: set[int] = set()
        self._down_since: dict[int, int] = {}

    def closed_for(self, vm: int) -> npt.NDArray[np.bool_]:
        """Return the hosts that lost their way to a VM's volume."""
        hosts = self._run.cluster.hosts
        mask = np.zeros(len(hosts), bool)
        if self.lost:
            volume = self._run.cluster.vms[vm].volume
            for n, host in enumerate(hosts):
                mask[n] = (host.name, volume) in self.lost
        return mask

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
                record.outcome = "ended: the source crashed"
            elif record.target == host:
                record.outcome = "rolled back: the target crashed"
                name = run.cluster.vms[record.vm].name
                run.note(
                    now, "fault", record.source, f"{name} goes on at {run.names[record.source]}"
                )
        self._down(here, now)
        told = now + run.cluster.heartbeat_ns * run.cluster.missed
        run.at(told, lambda when: self._missed(host, here, when))
        if fault.back_ns is not None:
            run.at(now + fault.back_ns, lambda when: self._return(host, when))

    def _missed(self, host: int, vms: list[int], now: int) -> None:
        """The others have missed its heartbeats."""
        run = self._run
        self._check_quorum(now)
        for volume in run.cluster.volumes:
            if self._coordinator[volume.name] == run.names[host]:
                takers = [
                    one.name for n, one in enumerate(run.cluster.hosts)
                    if run.usage.online[n] and volume.paths_of(one.name)
                ]  # fmt: skip
                if takers:
                    self._coordinator[volume.name] = takers[0]
                    text = f"{takers[0]} coordinates '{volume.name}' now"
                    run.note(now, "storage", run.place[takers[0]], text)
        for vm in vms:
            self._restart(vm, now)

    def _return(self, host: int, now: int) -> None:
        run = self._run
        run.usage.online[host] = True
        run.note(now, "fault", host, f"{run.names[host]} is back")
        self._check_quorum(now)
        self.retry(now)

    def _check_quorum(self, now: int) -> None:
        run = self._run
        present = int(np.count_nonzero(run.usage.online))
        held = has_quorum(
            run.cluster.quorum, len(run.names), present,
            bool(run.cluster.witness) and run.cluster.witness not in self.gone,
        )  # fmt: skip
        if not held and not self._stopped:
            self._stopped = True
            up = [int(vm) for vm in np.flatnonzero(run.usage.up)]
            run.note(
                now, "quorum", -1,
                f"{present} of {len(run.names)} hosts are no majority: the cluster stops, and {len(up)} VMs",
            )  # fmt: skip
            self._down(up, now)
            self._homeless += [(vm, now) for vm in up]
        elif held and self._stopped:
            self._stopped = False
            run.note(now, "quorum", -1, "the cluster has quorum again")

    # Storage

    def _lose_paths(self, fault: DayFault, now: int) -> None:
        run = self._run
        host = run.place[fault.host]
        key = (fault.host, fault.subject)
        self.lost.add(key)
        volume = run.cluster.volume(fault.subject)
        found = reach(
            run.cluster, volume, fault.host, frozenset(self.lost), self._coordinator[volume.name]
        )
        here = self._on(host, fault.subject)
        if found.way == "redirected":
            text = (
                f"{fault.host} loses its paths to '{fault.subject}': the I/O of {len(here)} VMs goes by "
                f"{found.through}, {found.bytes_per_s / 1e6:.0f} MB/s for all"
            )
            run.note(now, "storage", host, text)
        else:
            text = f"{fault.host} loses its paths to '{fault.subject}': {len(here)} VMs stand still"
            run.note(now, "storage", host, text)
            self._down(here, now)
            run.at(now + PDO_REMOVE_NS, lambda when: self._fail_over(key, here, when))
        if fault.back_ns is not None:

            def back(when: int) -> None:
                self.lost.discard(key)
                run.note(when, "storage", host, f"{fault.host} reaches '{fault.subject}' again")

            run.at(now + fault.back_ns, back)

    def _fail_over(self, key: tuple[str, str], vms: list[int], now: int) -> None:
        """The LUN was given up: its VMs start anew elsewhere, or go on where it came back in time."""
        for vm in vms:
            if key in self.lost:
                self._restart(vm, now)
            else:
                self._up(vm, now)

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
        self._check_quorum(now)
        if fault.back_ns is not None:

            def back(when: int) -> None:
                self.gone.discard(fault.subject)
                run.note(when, "storage", -1, f"volume '{fault.subject}' is back; its VMs go on")
                self._check_quorum(when)
                for vm in here:
                    if run.usage.online[run.usage.host_of[vm]]:
                        self._up(vm, when)

            run.at(now + fault.back_ns, back)

    def _on(self, host: int, volume: str) -> list[int]:
        run = self._run
        here = np.flatnonzero((run.usage.host_of == host) & run.usage.up)
        return [int(vm) for vm in here if run.cluster.vms[int(vm)].volume == volume]

    # VMs

    def _up(self, vm: int, now: int) -> None:
        """Let a VM run again."""
        usage = self._run.usage
        if not usage.up[vm]:
            usage.up[vm] = True
            usage.give_queue(vm)
            since = self._down_since.pop(vm)
            self._run.day.totals.vm_down_s += (now - since) / 1e9

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
                record.outcome = "ended: the VM stands still"

    def _restart(self, vm: int, now: int) -> None:
        """Start a VM anew on the best host, or remember that none has room."""
        run = self._run
        if run.usage.up[vm]:
            return
        if self._stopped or run.cluster.vms[vm].volume in self.gone:
            self._homeless.append((vm, now))
            return
        closed = ~run.usage.online | run.draining | self.closed_for(vm)
        choice = run.placement.choose(
            vm, run.usage.of_hosts(), closed=closed, busy=np.zeros_like(closed), pressing=True
        )
        one = run.cluster.vms[vm]
        if choice.host < 0 and not closed[run.usage.host_of[vm]]:
            target = int(run.usage.host_of[vm])
        elif choice.host < 0:
            if vm not in self._told:
                self._told.add(vm)
                run.note(now, "restart", -1, f"{one.name}: {choice.sentence(run.names)}")
            self._homeless.append((vm, now))
            return
        else:
            target = choice.host
        self._told.discard(vm)
        run.usage.place(vm, target)
        held = run.usage.taken(vm, target)
        run.usage.reserved[target] += held
        run.note(
            now, "restart", target,
            f"{one.name} starts anew on {run.names[target]}, its services are back in {one.boot_ns / 1e9:g} s",
        )  # fmt: skip

        def booted(when: int) -> None:
            run.usage.reserved[target] -= held
            if run.usage.online[target] and run.usage.host_of[vm] == target:
                self._up(vm, when)
            else:
                self._homeless.append((vm, when))

        run.at(now + one.boot_ns, booted)

    def retry(self, now: int) -> None:
        """Start what found no host before."""
        waiting, self._homeless = self._homeless, []
        for vm, _ in waiting:
            self._restart(vm, now)
