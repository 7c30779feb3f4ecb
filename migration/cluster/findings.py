"""What the validation wizard says: named checks, and what each found.

A check passes with the values that it compared, or it finds warnings and failures, one for each subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """How a check ended."""

    PASS = "pass"
    WARNING = "warning"
    FAIL = "fail"


class Category(StrEnum):
    """Part of the report that a check stands in."""

    SYSTEM = "System Configuration"
    PROCESSOR = "Processor"
    NETWORK = "Network"
    STORAGE = "Storage"
    MEMORY = "Memory"
    MACHINES = "Virtual Machines"


@dataclass(frozen=True)
class Check:
    """A named check.

    Parameters
    ----------
    id : str
    category : Category
    rule : str
        What has to hold, one sentence.
    consequence : str
        What happens where it does not hold and a VM is moved all the same.
    """

    id: str
    category: Category
    rule: str
    consequence: str


CHECKS: dict[str, Check] = {
    one.id: one
    for one in (
        Check("cluster-membership", Category.SYSTEM,
              "All hosts are members of the cluster, and their cluster service runs.",
              "The target does not take part: the move is refused before anything is sent."),
        Check("node-count", Category.SYSTEM,
              "A cluster has no more nodes than its release allows.",
              "The node beyond the limit cannot join."),
        Check("edition", Category.SYSTEM,
              "Every host's edition has failover clustering and live migration.",
              "Without live migration there is only Quick Migration: all of the move is blackout."),
        Check("os-level", Category.SYSTEM,
              "All hosts run the same release with the same install option.",
              "The target cannot read the VM's saved state; the VM goes on at the source."),
        Check("service-pack", Category.SYSTEM,
              "Service packs and updates are the same on all hosts.",
              "The move is made; a difference in integration services may show after it."),
        Check("domain", Category.SYSTEM,
              "All hosts are in one Active Directory domain.",
              "The hosts do not trust each other: the connection of the move is refused."),
        Check("pending-reboot", Category.SYSTEM,
              "No host waits for a restart.",
              "The target may restart with the VM on it: the VM is started anew elsewhere."),
        Check("drivers-signed", Category.SYSTEM,
              "All drivers are signed.",
              "The move is made; support ends at an unsigned driver."),
        Check("driver-level", Category.SYSTEM,
              "Drivers and firmware have the same level on all hosts.",
              "The move is made; offloads may behave otherwise after it."),
        Check("storage-driver", Category.SYSTEM,
              "The storage driver was made for the release that the host runs.",
              "The target may lose its paths under load, and the VM its disk."),
        Check("quorum", Category.SYSTEM,
              "The loss of one node leaves a majority of votes.",
              "When nodes are lost, the rest stops its cluster service and all VMs with it."),
        Check("processor-vendor", Category.PROCESSOR,
              "All hosts have processors of one vendor.",
              "The target cannot restore the processor's state: the VM goes on at the source after a pause."),
        Check("processor-features", Category.PROCESSOR,
              "A target offers every feature that the VM was started with, or the VM is in compatibility mode.",
              "The target refuses the processor's state: the VM goes on at the source after a pause."),
        Check("slat", Category.PROCESSOR,
              "All hosts translate guest memory alike.",
              "The move is made; on a host with shadow page tables the VM costs more processor time and memory."),
        Check("virtual-networks", Category.NETWORK,
              "A virtual network of the VM's name is on every host.",
              "The port cannot be connected: the VM runs without network, and its connections time out."),
        Check("vlans", Category.NETWORK,
              "The uplinks of all hosts carry the VM's VLAN.",
              "Its frames are dropped at the target's uplink: its connections time out."),
        Check("mtu", Category.NETWORK,
              "The MTU of a target's virtual network is no smaller than the VM's.",
              "Full frames are dropped as too long on the target: bulk connections stall and time out, small requests go on."),
        Check("cluster-subnets", Category.NETWORK,
              "The hosts' addresses on a cluster network are in one subnet.",
              "Clients reach the VM no more, whose address is not of the target's subnet; without the network for moves, "
              "none begins."),
        Check("migration-network", Category.NETWORK,
              "Live moves have a network of their own of 1 Gbit/s or more.",
              "Moves take longer, and take rate from clients or from redirected I/O."),
        Check("heartbeat-network", Category.NETWORK,
              "Heartbeats go over more than one network.",
              "The loss of one network splits the cluster."),
        Check("vmq-capacity", Category.NETWORK,
              "Every VM that asks for a VM queue can have one, also after a move.",
              "The VM goes by the default queue and the software switch: more processor time of the parent."),
        Check("chimney", Category.NETWORK,
              "TCP chimney is there on all hosts, or on none.",
              "Connections are uploaded before the move and stay with the guest afterwards."),
        Check("mac-pool", Category.NETWORK,
              "No two hosts give out the same MAC addresses, and no two VMs have the same.",
              "Two ports with one address: frames go to the VM that spoke last."),
        Check("shared-storage", Category.STORAGE,
              "The VM's files are on a volume that every host reaches.",
              "The target cannot open the VM's disk: the VM goes on at the source after a pause."),
        Check("csv", Category.STORAGE,
              "VMs that share a volume are on a Clustered Shared Volume.",
              "The volume has one owner: it moves with all of its VMs, or not at all."),
        Check("mpio-paths", Category.STORAGE,
              "Every host has two or more paths to each volume.",
              "The loss of one path is the loss of the disk, or redirected I/O on a CSV."),
        Check("mpio-dsm", Category.STORAGE,
              "All paths to a volume are managed by the same DSM with the same policy.",
              "The move is made; after the loss of a path hosts behave differently."),
        Check("redirected-io", Category.STORAGE,
              "I/O to a CSV goes over the hosts' own paths.",
              "Reads and writes go over the network to the coordinator, as fast as that is."),
        Check("host-memory", Category.MEMORY,
              "The VMs of a host fit into its memory.",
              "The last VMs do not start."),
        Check("memory-free", Category.MEMORY,
              "A target has memory for the VM, also when the largest host is lost.",
              "The target cannot reserve the VM's memory: the move ends before anything is sent."),
        Check("blackout", Category.MACHINES,
              "The predicted blackout is shorter than what the VM's peers endure.",
              "Connections with data in flight time out at the peer."),
        Check("anti-affinity", Category.MACHINES,
              "VMs of an anti-affinity group are on different hosts.",
              "The loss of one host takes two VMs that should back each other."),
        Check("possible-owners", Category.MACHINES,
              "Every VM is on a host that may have it, and may go to another.",
              "The cluster refuses the move, and does not start the VM there after a failure."),
    )
}  # fmt: skip
"""Id -> check, in the order of the report."""


@dataclass(frozen=True)
class Finding:
    """What a check says of a subject.

    Parameters
    ----------
    check : Check
    result : Result
    subject : str
        Host, VM, volume or network.
    evidence : str
        Values that were compared, with the lines of the scenario.
    remedy : str
        What to do; empty where it passed.
    """

    check: Check
    result: Result
    subject: str
    evidence: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON has it."""
        passed = self.result is Result.PASS
        return {
            "id": self.check.id,
            "category": self.check.category.value,
            "result": self.result.value,
            "subject": self.subject,
            "rule": self.check.rule,
            "evidence": self.evidence,
            "consequence": "" if passed else self.check.consequence,
            "remedy": self.remedy,
        }


def finding(check: str, result: Result, subject: str, evidence: str, remedy: str = "") -> Finding:
    """Return what the check of an id found."""
    return Finding(CHECKS[check], result, subject, evidence, remedy)


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings passed, warn, and fail.

    Parameters
    ----------
    findings : iterable of Finding

    Returns
    -------
    dict of str to int
    """
    counts = {result.value: 0 for result in Result}
    for one in findings:
        counts[one.result.value] += 1
    return counts
