"""What must hold after every event of a faulted move, each by name, and what does not.

The stage is looked at, not the plan: each invariant is about what hosts, adapters and disk really have.
"""

from __future__ import annotations

from migration.cluster.stage import VM, Copy, Node, Stage
from nic.vmq import QueueState

INVARIANTS: dict[str, str] = {
    "one-copy": "The VM never runs on two hosts.",
    "some-copy": "Some host has the VM, unless the one that had it crashed or was shut out of the cluster.",
    "owner-runs": "A copy that runs holds the disk's reservation; whoever lost it does not run.",
    "one-writer": "The disk takes writes of one owner at a time, and owners change only by hand-over or failover.",
    "memory": "A copy runs only with all of the VM's memory reserved, and equal page by page to what it was.",
    "one-port": "The VM's port is on one host at most, and on its host when it runs.",
    "queues": "VM queues and filters of both adapters are the VM's own once at most, and the others' as before.",
    "accounted": "When all is over, memory, port, queue and offloaded connections are at the VM's host and nowhere else.",
    "only-a-pause": "Until the handover, the VM's port stays at the source, so that connections see no more than a pause.",
}
"""Id -> what holds."""


def after_event(stage: Stage, excused: bool, at_source: bool) -> list[str]:
    """Return the invariants that do not hold now.

    Parameters
    ----------
    stage : Stage
    excused : bool
        The host that had the VM crashed or was shut out; it is being started anew.
    at_source : bool
        The move has not come to its handover, or was taken back, and the source has not been lost.

    Returns
    -------
    list of str
        Ids; empty when all hold.
    """
    broken = []
    nodes = stage.nodes
    running = [n for n, node in enumerate(nodes) if node.copy is Copy.RUNNING]
    if len(running) > 1:
        broken.append("one-copy")
    if not excused and not stage.holders():
        broken.append("some-copy")
    for n in running:
        node = nodes[n]
        if stage.disk.owner != n or not node.alive:
            broken.append("owner-runs")
        if not node.complete or not node.reserved or not stage.equal:
            broken.append("memory")
        if not node.port:
            broken.append("one-port")
        queue = node.adapter.queue_of(VM)
        if queue is not None and node.adapter.queue(queue).state is not QueueState.RUNNING:
            broken.append("queues")
    if nodes[0].port + nodes[1].port + nodes[2].port > 1:
        broken.append("one-port")
    for node in nodes:
        if not _queues_add_up(node):
            broken.append("queues")
    if at_source and (nodes[1].copy is Copy.RUNNING or nodes[1].port or not nodes[0].port):
        broken.append("only-a-pause")
    return sorted(set(broken))


def _queues_add_up(node: Node) -> bool:
    """Tell whether an adapter has the others' queues as before, and one of the VM at most."""
    adapter = node.adapter
    mine = adapter.queue_of(VM)
    if mine is not None and not node.port:
        return False
    theirs = node.queues_of_others()
    if theirs != node.theirs:
        return False
    others = len(theirs)
    filters = sum(len(queue.filters) for queue in adapter.queues[1:])
    running = sum(1 for queue in adapter.queues[1:] if queue.state is QueueState.RUNNING)
    return filters == running and others <= filters <= others + (mine is not None)


def at_the_end(stage: Stage, holder: int | None) -> list[str]:
    """Return the invariants that do not hold when all is over.

    Parameters
    ----------
    stage : Stage
    holder : int, optional
        Node that should have the VM by how the move ended; None where it is lost.

    Returns
    -------
    list of str
    """
    broken = []
    for n, node in enumerate(stage.nodes):
        has = n == holder
        queue = node.adapter.queue_of(VM) is not None
        if (
            node.port != has
            or (queue and not has)
            or (node.copy is not Copy.NONE) != has
            or node.reserved != has
            or (node.chimney and not has)
            or (node.copy is Copy.RUNNING and not node.disk)
        ):
            broken.append("accounted")
    if holder is not None and stage.disk.owner != holder:
        broken.append("owner-runs")
    return sorted(set(broken))
