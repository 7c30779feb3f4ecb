"""One VM moved by hand: refused by the first check that fails, or forced, and then what happens.

What a forced move does follows from where on its way the unmet requirement is met:

    setup         the target refuses; nothing was sent, the VM never stops
    device state  all memory was sent and the VM suspended; the target refuses the state: rolled back
    handover      the target cannot open the disk: rolled back
    afterwards    the VM runs on the target, without what it needed there
    quick         there is no live migration: the VM is saved, moved and restored
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migration import quick
from migration.cluster.curves import Loads
from migration.cluster.findings import Finding, Result
from migration.cluster.model import Cluster, Host, Vm
from migration.cluster.move_checks import move_findings, split_network
from migration.cluster.sessions import FOR_GOOD_NS, forgotten, through
from migration.cluster.storage import ARBITRATE_NS, PDO_REMOVE_NS
from migration.cluster.transfer import transfer
from migration.cluster.usage import Usage
from migration.move import Move
from pcaps.errors import BadInput
from vswitch.problems import unknown

PHASES: dict[str, str] = {
    "cluster-membership": "setup",
    "edition": "quick",
    "os-level": "device state",
    "domain": "setup",
    "pending-reboot": "restart",
    "storage-driver": "disk",
    "processor-vendor": "device state",
    "processor-features": "device state",
    "virtual-networks": "network",
    "vlans": "network",
    "mtu": "full frames",
    "cluster-subnets": "network",
    "shared-storage": "handover",
    "csv": "handover",
    "memory-free": "setup",
    "possible-owners": "setup",
    "blackout": "done",
}
"""Check -> where a forced move meets it."""
_ORDER = (
    "setup",
    "quick",
    "device state",
    "handover",
    "network",
    "full frames",
    "disk",
    "restart",
    "done",
)


@dataclass(frozen=True)
class SingleMove:
    """A move that was asked for.

    Parameters
    ----------
    cluster : Cluster
    vm : Vm
    source, target : Host
    load : float
        Share of the VM's processors in use.
    findings : tuple of Finding
        What speaks against it.
    plan : Move
    made : bool
        It was begun: nothing failed, or it was forced.
    phase : str
        Where it ended, ``done`` when it went well.
    outcome : str
        One sentence.
    pause_ns : int
        Time in which the VM did not answer; more than its blackout where it lost its network.
    on : Host
        Where the VM is in the end.
    sessions : tuple of dict
        Verdicts of replayed sessions.
    """

    cluster: Cluster
    vm: Vm
    source: Host
    target: Host
    load: float
    findings: tuple[Finding, ...]
    plan: Move
    made: bool
    phase: str
    outcome: str
    pause_ns: int
    on: Host
    sessions: tuple[dict[str, Any], ...] = ()

    @property
    def refused(self) -> Finding | None:
        """The check that refuses it."""
        return next((one for one in self.findings if one.result is Result.FAIL), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the move as JSON has it."""
        return {
            "vm": self.vm.name,
            "source": self.source.name,
            "target": self.target.name,
            "load": round(self.load, 3),
            "checks": [one.to_dict() for one in self.findings],
            "refused": None if self.refused is None else self.refused.check.id,
            "made": self.made,
            "ended_at": self.phase,
            "outcome": self.outcome,
            "pause_s": self.pause_ns / 1e9,
            "runs_on": self.on.name,
            "move": self.plan.to_dict() if self.made else None,
            "sessions": list(self.sessions),
        }


def move_one(
    cluster: Cluster, vm_name: str, target_name: str, *, at_ns: int = 0, force: bool = False,
    sessions: int = 0, seed: int = 0,
) -> SingleMove:  # fmt: skip
    """Move one VM.

    Parameters
    ----------
    cluster : Cluster
    vm_name, target_name : str
    at_ns : int
        Time of day, which sets the load.
    force : bool
        Begin it whatever the checks say.
    sessions : int
        TCP sessions that are replayed through it; 0 for none.
    seed : int

    Returns
    -------
    SingleMove

    Raises
    ------
    BadInput
        For a VM or host that is not there, or a VM that is there already.
    """
    numbers = {one.name: n for n, one in enumerate(cluster.vms)}
    if vm_name not in numbers:
        raise BadInput(f"{cluster.file}: {unknown('VM', vm_name, list(numbers))}")
    hosts = [one.name for one in cluster.hosts]
    if target_name not in hosts:
        raise BadInput(f"{cluster.file}: {unknown('host', target_name, hosts)}")
    vm = cluster.vms[numbers[vm_name]]
    if vm.host == target_name:
        raise BadInput(f"{cluster.file}: {vm.name} is on {target_name} already; name another host")
    hours = at_ns / 3.6e12 + 1
    usage = Usage(cluster, Loads(tuple(one.curve for one in cluster.vms), hours, seed))
    usage.read(at_ns)
    place = hosts.index(target_name)
    load = float(usage.load[numbers[vm_name]])
    source, target = cluster.host(vm.host), cluster.hosts[place]
    found = move_findings(
        cluster, vm, target, free_bytes=int(usage.free_bytes[place]),
        others=cluster.vms_on(target_name), load=load,
    )  # fmt: skip
    failed = [one for one in found if one.result is Result.FAIL]
    plan = transfer(cluster, vm, load)
    if failed and not force:
        return SingleMove(
            cluster, vm, source, target, load, tuple(found), plan, False, "refused",
            f"refused by {failed[0].check.id} before anything was sent", 0, source,
        )  # fmt: skip
    return _made(cluster, vm, source, target, load, found, plan, sessions, seed)


def _made(
    cluster: Cluster, vm: Vm, source: Host, target: Host, load: float, found: list[Finding],
    plan: Move, sessions: int, seed: int,
) -> SingleMove:  # fmt: skip
    failed = [one.check.id for one in found if one.result is Result.FAIL]
    phases: dict[str, str] = {}
    for name in failed:  # the first check of a phase is the one that refuses
        split = split_network(cluster, source, target) if name == "cluster-subnets" else None
        inside = split is not None and "client" not in split.uses
        phases.setdefault("setup" if inside else PHASES[name], name)
    if "quick" in phases and not (source.system.clusters and target.system.clusters):
        phases = {"setup": phases["quick"]}  # without a cluster there is no Quick Migration either
    phase = next((one for one in _ORDER if one in phases), "done")
    check = phases.get(phase, "")
    ms = plan.blackout_ns / 1e6
    parts = plan.parts
    before_state = parts.get("stop", 0) + parts.get("last copy", 0)
    state, handover = parts.get("device state", 0), parts.get("port handover", 0)
    start = parts.get("start", 0)
    on, pause, dark = target, plan.blackout_ns, False
    if phase == "setup":
        on, pause = source, 0
        outcome = (
            f"{target.name} refuses it at once ({check}): nothing was sent, {vm.name} never stops"
        )
    elif phase == "quick":
        plan = quick.plan(memory_bytes=vm.memory_bytes, pages=False)
        pause = plan.blackout_ns
        unmet = phases.get("device state") or phases.get("handover")
        if unmet is None:
            outcome = (
                f"there is no live migration ({check}): {vm.name} is saved, moved and restored, "
                f"{pause / 1e9:.1f} s of blackout"
            )
        else:
            on = source
            outcome = (
                f"there is no live migration ({check}): {vm.name} is saved and moved, but {target.name} "
                f"cannot restore it ({unmet}); it is restored at {source.name} after {pause / 1e9:.1f} s"
            )
    elif phase == "device state":
        on, pause = source, before_state + state + start
        outcome = (
            f"rolled back ({check}): {plan.bytes_sent / 1e6:,.0f} MB were sent for nothing, {target.name} "
            f"refuses the processor's state, {vm.name} goes on at {source.name} after a pause of "
            f"{pause / 1e6:.0f} ms"
        )
        if check == "os-level":
            outcome = outcome.replace("the processor's state", "the saved state")
    elif phase == "handover":
        on, pause = source, before_state + state + handover + start
        outcome = (
            f"rolled back ({check}): {target.name} cannot open the disk, {vm.name} goes on at "
            f"{source.name} after a pause of {pause / 1e6:.0f} ms"
        )
    elif phase in ("network", "full frames"):
        pause, dark = FOR_GOOD_NS, True
        what = (
            "runs there without network" if phase == "network"
            else "runs there, but full frames are dropped as too long"
        )  # fmt: skip
        outcome = f"done after {ms:.0f} ms of blackout, and {vm.name} {what} ({check})"
    elif phase == "disk":
        on, pause = source, plan.blackout_ns + PDO_REMOVE_NS + ARBITRATE_NS + vm.boot_ns
        outcome = (
            f"done, but {target.name} loses its paths under load ({check}): after "
            f"{PDO_REMOVE_NS / 1e9:g} s the disk is given up, and {vm.name} starts anew on {source.name}"
        )
    elif phase == "restart":
        detected = cluster.heartbeat_ns * cluster.missed
        on, pause = source, plan.blackout_ns + detected + ARBITRATE_NS + vm.boot_ns
        outcome = (
            f"done, but {target.name} still waits for a restart ({check}): when it comes, {vm.name} is "
            f"missed after {detected / 1e9:g} s and starts anew on {source.name}"
        )
    elif not plan.completed:
        on, pause = source, 0
        outcome = (
            f"rolled back ({check}): the memory of {vm.name} is written faster than it is sent, "
            f"{plan.bytes_sent / 1e6:,.0f} MB were sent for nothing"
        )
    else:
        outcome = f"done: {vm.name} runs on {target.name} after {ms:.0f} ms of blackout"
        if check:
            outcome += f", longer than its peers endure ({check})"
    verdicts: list[dict[str, Any]] = []
    if sessions and phase in ("disk", "restart"):
        verdicts.append(forgotten(sessions, pause, vm.peers))
    elif sessions and pause:
        if phase == "full frames":
            verdicts.append(through(sessions, plan.blackout_ns, vm.peers, seed=seed))
            verdicts.append(
                through(sessions, pause, vm.peers, traffic="bulk", dark=True, seed=seed)
            )
        else:
            verdicts.append(through(sessions, pause, vm.peers, dark=dark, seed=seed))
    return SingleMove(
        cluster, vm, source, target, load, tuple(found), plan, True, phase, outcome, pause, on,
        tuple(verdicts),
    )  # fmt: skip
