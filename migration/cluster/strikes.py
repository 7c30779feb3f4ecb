"""What each kind of fault does to a move, at the moment that it strikes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from migration.cluster import failover
from migration.cluster.case import DETECT_NS, LINK_GIVE_UP_NS, Ending, S
from migration.cluster.faults import Fault, Kind
from migration.cluster.stage import HOLDING, OTHER, SOURCE, TARGET, Copy
from migration.cluster.storage import PDO_REMOVE_NS, RETRY_INTERVAL_NS

if TYPE_CHECKING:
    from migration.cluster.faulted import FaultedMove


def link_loss(move: FaultedMove, fault: Fault, now: int) -> None:
    """The link is down; a move waits for it, but not for long."""
    if not move.moving or move.committed:
        return
    if 0 < fault.back_ns <= LINK_GIVE_UP_NS:
        move.say(now, f"the move waits {fault.back_ns / S:.1f} s for it")
        move.slower = True
        move.delay(now, fault.back_ns)
        return
    move.freeze(now, LINK_GIVE_UP_NS, "the link is lost")


def cancel(move: FaultedMove, fault: Fault, now: int) -> None:
    """An administrator wants it no more."""
    if not move.moving or move.committed:
        move.say(now, "too late to cancel")
        return
    move.roll_back(now, "cancelled")


def source_crash(move: FaultedMove, fault: Fault, now: int) -> None:
    """The source is gone."""
    had = move.stage.nodes[SOURCE].copy in (Copy.RUNNING, Copy.SUSPENDED, Copy.CRITICAL)
    move.stage.nodes[SOURCE].crash()
    if had:
        failover.vm_lost(move, now, DETECT_NS)


def target_crash(move: FaultedMove, fault: Fault, now: int) -> None:
    """The target is gone."""
    move.stage.nodes[TARGET].crash()
    if move.committed:
        failover.vm_lost(move, now, DETECT_NS)
    elif move.moving:
        move.freeze(now, DETECT_NS, "the target crashed")


def both_crash(move: FaultedMove, fault: Fault, now: int) -> None:
    """Both are gone."""
    had = bool(move.stage.holders()) or move.committed
    move.stage.nodes[SOURCE].crash()
    move.stage.nodes[TARGET].crash()
    if had:
        failover.vm_lost(move, now, DETECT_NS)


def _paths(move: FaultedMove, place: int, fault: Fault, now: int) -> bool:
    """A node loses a path; True when it has no other way to the disk."""
    if move.case.spare_paths[place]:
        move.say(now, f"another path serves it after {RETRY_INTERVAL_NS / S:g} s")
        return False
    if move.case.csv and move.stage.nodes[OTHER].able:
        move.say(now, "redirected I/O by the coordinator serves it")
        return False
    move.stage.nodes[place].disk = False
    if fault.back_ns:
        move.at(now + fault.back_ns, partial(_paths_back, move, place))
    return True


def _paths_back(move: FaultedMove, place: int, now: int) -> None:
    """A node reaches the disk again: in time its VM goes on, later it may be started anew there."""
    node, disk = move.stage.nodes[place], move.stage.disk
    node.disk = True
    if not node.alive:
        return
    move.say(now, f"the {node.name} reaches the disk again")
    if node.copy is Copy.CRITICAL and disk.there and disk.owner == place:
        node.copy = Copy.RUNNING
        move.go_on(now)
        move.say(now, f"the VM goes on at the {node.name}")
    if move.excused:
        failover.restart(move, now)


def source_paths(move: FaultedMove, fault: Fault, now: int) -> None:
    """The source loses a path."""
    source = move.stage.nodes[SOURCE]
    if not _paths(move, SOURCE, fault, now):
        return
    move.at(now + PDO_REMOVE_NS, partial(give_up_disk, move, SOURCE))
    if source.copy is Copy.RUNNING and not move.moving:
        source.copy = Copy.CRITICAL
        move.stop(now)
    elif move.moving and not move.committed:
        move.say(
            now, "its reads and writes wait; the target reaches the disk, and the move goes on"
        )


def target_paths(move: FaultedMove, fault: Fault, now: int) -> None:
    """The target loses a path."""
    target = move.stage.nodes[TARGET]
    if not _paths(move, TARGET, fault, now):
        return
    if not move.committed:
        if move.moving:
            move.roll_back(now, "the target has no path to the disk")
        return
    if target.copy is Copy.RUNNING:
        target.copy = Copy.CRITICAL
        move.stop(now)
    move.at(now + PDO_REMOVE_NS, partial(give_up_disk, move, TARGET))


def give_up_disk(move: FaultedMove, place: int, now: int) -> None:
    """A LUN that has lost all paths is removed: the VM has to start elsewhere."""
    node = move.stage.nodes[place]
    if node.copy not in HOLDING or node.disk or not node.alive:
        return
    if node.copy is Copy.SUSPENDED and move.moving and place == SOURCE:
        return  # it reads and writes no more; the target will
    move.say(now, f"the {node.name} gives the disk up after {PDO_REMOVE_NS / S:.0f} s")
    node.forget()
    failover.vm_lost(move, now, 0)


def volume_loss(move: FaultedMove, fault: Fault, now: int) -> None:
    """The disk is gone for everybody."""
    stage = move.stage
    stage.disk.there = False
    if move.moving and not move.committed:
        move.roll_back(now, "the volume is gone")
    for node in stage.nodes:
        if node.copy in (Copy.RUNNING, Copy.SUSPENDED):
            node.copy = Copy.CRITICAL
            node.set_filters()
            move.stop(now)
            move.say(now, f"the VM is paused on the {node.name} until the disk is back")
    if not move.excused:
        move.ending, move.reason = Ending.WAITING, "the volume is gone"
    if fault.back_ns:
        move.at(now + fault.back_ns, partial(_volume_back, move))


def _volume_back(move: FaultedMove, now: int) -> None:
    stage = move.stage
    stage.disk.there = True
    move.say(now, "the volume is back")
    for n, node in enumerate(stage.nodes):
        if node.copy is Copy.CRITICAL and node.disk and stage.disk.owner == n:
            node.copy = Copy.RUNNING
            move.go_on(now)
            move.say(now, f"the VM goes on at the {node.name}")
    if move.ending is Ending.WAITING:
        here = stage.holders()
        at_target = bool(here) and here[0] == TARGET
        move.ending = Ending.COMPLETED if at_target or move.committed else Ending.ROLLED_BACK
        if move.restart_ns:
            move.ending = Ending.RESTARTED
    if move.excused:
        failover.restart(move, now)


def out_of_memory(move: FaultedMove, fault: Fault, now: int) -> None:
    """The target has not the memory; too late once it is reserved."""
    if move.stage.nodes[TARGET].reserved:
        move.say(now, "the VM's memory is reserved already")
    else:
        move.no_memory = True


def nothing(move: FaultedMove, fault: Fault, now: int) -> None:
    """Too late to make a difference."""


def announce_lost(move: FaultedMove, fault: Fault, now: int) -> None:
    """Announcements get lost from now on."""
    move.lost_announcements = max(1, round(fault.strength))


STRIKES: dict[Kind, Callable[[FaultedMove, Fault, int], None]] = {
    Kind.LINK_LOSS: link_loss,
    Kind.LINK_SLOWDOWN: nothing,
    Kind.SOURCE_CRASH: source_crash,
    Kind.TARGET_CRASH: target_crash,
    Kind.BOTH_CRASH: both_crash,
    Kind.SOURCE_PATHS: source_paths,
    Kind.TARGET_PATHS: target_paths,
    Kind.VOLUME_LOSS: volume_loss,
    Kind.OUT_OF_MEMORY: out_of_memory,
    Kind.DIRTIES: nothing,
    Kind.CANCEL: cancel,
    Kind.ANNOUNCE_LOST: announce_lost,
    Kind.SPLIT_BRAIN: failover.split_brain,
}
"""Kind -> what it does."""
