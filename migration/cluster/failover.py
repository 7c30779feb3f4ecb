"""What a cluster does about hosts that it lost sight of: a vote, and the VM started anew.

    heartbeats missed  ->  its loss is known  ->  the reservation is taken  ->  the VM boots

A side without quorum stops its VMs. A host that hangs may be late with that; then its writes are
refused, because the reservation is another's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from migration.cluster.case import DETECT_NS, Ending, S
from migration.cluster.faults import Fault
from migration.cluster.quorum import has_quorum, survivor
from migration.cluster.stage import OTHER, TARGET, Copy
from migration.cluster.storage import ARBITRATE_NS

if TYPE_CHECKING:
    from migration.cluster.faulted import FaultedMove


def split_brain(move: FaultedMove, fault: Fault, now: int) -> None:
    """No heartbeats between the two sides."""
    if 0 < fault.back_ns < DETECT_NS:
        move.say(now, f"they see each other again after {fault.back_ns / S:.1f} s; nobody noticed")
        return
    move.at(now + DETECT_NS, partial(_vote, move, fault))


def _vote(move: FaultedMove, fault: Fault, now: int) -> None:
    case, stage = move.case, move.stage
    sides = _sides(move)
    winner = survivor(case.quorum, sides, case.witness_side, case.nodes)
    side_of = _side_of(move)
    said = "no side has" if winner is None else f"the {('source', 'target')[winner]}'s side has"
    move.say(now, f"{said} quorum ({case.quorum}, {sides[0]} against {sides[1]} nodes)")
    lost = False
    for n, node in enumerate(stage.nodes):
        if not node.alive or side_of[n] == winner:
            continue
        had = node.copy in (Copy.RUNNING, Copy.SUSPENDED, Copy.CRITICAL)
        lost = (
            lost
            or had
            or (n == TARGET and move.committed and not move.excused and n == stage.disk.owner)
        )
        node.evicted = True
        if node.copy is Copy.RUNNING and case.late_ns:
            move.say(now, f"the {node.name} hangs, and lets the VM run on for now")
            move.at(now + case.late_ns, partial(_hung_stops, move, n))
            continue
        if had:
            move.say(now, f"the {node.name} stops its cluster service, and the VM with it")
        if not move.excused or n != stage.disk.owner:
            node.forget()
    if lost:
        vm_lost(move, now, 0)
    elif move.moving and not move.committed:
        move.roll_back(now, "the target is shut out of the cluster")


def _side_of(move: FaultedMove) -> tuple[int, int, int]:
    """Return the sides of the three nodes of the stage."""
    return 0, 1, 0 if move.case.source_side > 1 else 1


def _sides(move: FaultedMove) -> list[int]:
    """Return how many nodes are there on each side; a dead one has no vote to give."""
    case = move.case
    sides = [case.source_side, case.nodes - case.source_side]
    for node, side in zip(move.stage.nodes[: case.nodes], _side_of(move), strict=False):
        sides[side] -= not node.alive
    return sides


def _hung_stops(move: FaultedMove, place: int, now: int) -> None:
    """A host that was shut out comes to itself, and stops what it should not have."""
    node = move.stage.nodes[place]
    if node.alive and node.evicted and node.copy is not Copy.NONE:
        node.forget()
        move.say(now, f"the {node.name} stops its copy of the VM")


def vm_lost(move: FaultedMove, now: int, detect_ns: int) -> None:
    """The host of the VM has it no more: it is started anew where it can be."""
    move.epoch += 1
    move.moving = False
    move.excused = True
    move.restarting = -1
    move.stop(now)
    if move.lost_at < 0:
        move.lost_at = now
    move.at(now + detect_ns, partial(restart, move))


def restart(move: FaultedMove, now: int) -> None:
    """Its loss is known: take the reservation for a node that can have it, or say why none can."""
    stage, case = move.stage, move.case
    if move.restarting >= 0 or any(stage.nodes[n].able for n in stage.holders()):
        return
    for node in stage.nodes:
        if node.able and node.copy in (Copy.SKELETON, Copy.STALE):
            node.forget()
    if not stage.disk.there:
        move.ending, move.reason = Ending.LOST, "the volume is gone"
        return
    able = [n for n, node in enumerate(stage.nodes) if node.able]
    gone = sum(not node.able for node in stage.nodes[: min(case.nodes, 3)])
    split = any(node.evicted for node in stage.nodes)
    if split:
        held = survivor(case.quorum, _sides(move), case.witness_side, case.nodes) is not None
    else:
        held = has_quorum(case.quorum, case.nodes, case.nodes - gone, True)
    able = [n for n in able if stage.nodes[n].disk]
    if not held or not able:
        move.ending = Ending.LOST
        move.reason = "no node with quorum is left" if not held else "no node reaches the disk"
        move.say(now, f"the VM cannot be started: {move.reason}")
        return
    move.restarting = best = max(able, key=lambda n: (n == OTHER, n))
    node = stage.nodes[best]
    move.say(now, f"its loss is known; the {node.name} takes the reservation")
    taken = now + ARBITRATE_NS
    move.at(taken, partial(_take, move, best), of_move=True)


def _take(move: FaultedMove, place: int, now: int) -> None:
    stage = move.stage
    node = stage.nodes[place]
    if not node.able or not stage.disk.preempt(place):
        move.restarting = -1
        restart(move, now)
        return
    move.reservation = place
    node.reserved = True
    move.at(now, lambda when: node.connect(), of_move=True)  # once nobody else has the port
    move.at(now + move.case.boot_ns, partial(_booted, move, place), of_move=True)


def _booted(move: FaultedMove, place: int, now: int) -> None:
    stage = move.stage
    node = stage.nodes[place]
    move.restarting = -1
    if not node.able:
        restart(move, now)
        return
    node.complete, stage.equal = True, True
    there = stage.disk.there and node.disk
    node.copy = Copy.RUNNING if there else Copy.CRITICAL
    move.excused = False
    move.stopped_at = -1
    move.restart_ns = now - move.lost_at
    move.ending = Ending.RESTARTED if there else Ending.WAITING
    move.reason = f"started anew on the {node.name}"
    move.say(
        now,
        f"the VM was started anew on the {node.name}, {move.restart_ns / S:.1f} s after its loss",
    )
