"""What each requirement of live migration is good for: broken on purpose, one after the other.

    python benchmarks/requirements.py            writes docs/requirements.md

A sound cluster of two hosts is broken in one place; then the validation wizard is asked, and the
move is forced. Everything in the table is what the program says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from migration.cluster.model import Cluster
from migration.cluster.scenario import build
from migration.cluster.sections import ClusterSection
from migration.cluster.single import move_one
from migration.cluster.wizard import validate
from pcaps.jit import announce_compilation
from vswitch.scenario import loads

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "requirements.md"
SESSIONS = 10

_SOUND = """
[cluster]
witness = "quorum"
[[cluster.network]]
name = "lan"
uses = ["client", "heartbeat"]
[[cluster.network]]
name = "live"
uses = ["live-migration"]
[[cluster.network]]
name = "beat"
uses = ["heartbeat", "csv"]
[[cluster.host]]
name = "source"
addresses.lan = "10.0.0.1/24"
addresses.live = "10.0.1.1/24"
addresses.beat = "10.0.2.1/24"
{source}
[[cluster.host.switch]]
name = "external"
{source_switch}
[[cluster.host]]
name = "target"
addresses.lan = "{address}"
addresses.live = "10.0.1.2/24"
addresses.beat = "10.0.2.2/24"
{target}
[[cluster.host.switch]]
name = "{network}"
{target_switch}
[[cluster.volume]]
name = "csv1"
{volume}
[[cluster.volume.path]]
{path}
[[cluster.volume]]
name = "quorum"
csv = false
[[cluster.vm]]
name = "web"
host = "source"
memory = "4GiB"
working_set = "{written}"
peak = 1.0
spread = 0.0
dirty = "{dirty}"
{vm}
"""
_PARTS = dict.fromkeys(
    ("source", "target", "source_switch", "target_switch", "volume", "path", "vm"), ""
) | {
    "address": "10.0.0.2/24", "network": "external", "written": "512MiB", "dirty": "40MB/s",
}  # fmt: skip

ROWS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("nothing is broken", "", {}),
    ("same processor vendor", "processor-vendor", {"target": 'processor = "Opteron 2435"'}),
    ("... compatibility mode does not help", "processor-vendor",
     {"target": 'processor = "Opteron 2435"', "vm": "compatibility = true"}),
    ("the target has the processor's features", "processor-features",
     {"target": 'processor = "Xeon X5460"'}),
    ("... or compatibility mode hides them", "slat",
     {"target": 'processor = "Xeon X5460"', "vm": "compatibility = true"}),
    ("same failover cluster", "cluster-membership", {"target": "member = false"}),
    ("an edition with failover clustering", "edition", {"target": 'os = "2008 R2 Standard"'}),
    ("a release with live migration", "edition",
     {"source": 'os = "2008 Enterprise"', "target": 'os = "2008 Enterprise"'}),
    ("same release and install option", "os-level", {"target": 'install = "core"'}),
    ("same domain", "domain", {"target": 'domain = "other.example"'}),
    ("no restart pending", "pending-reboot", {"target": "pending_reboot = true"}),
    ("shared storage", "shared-storage", {"volume": "csv = false", "path": 'hosts = ["source"]'}),
    ("CSV where VMs share a volume", "csv", {
        "volume": "csv = false",
        "vm": '[[cluster.vm]]\nname = "other"\nhost = "source"',
    }),
    ("MPIO: two paths or more", "mpio-paths", {"path": "count = 1"}),
    ("storage driver for the release", "storage-driver", {"target": 'storage_driver_for = "2008"'}),
    ("memory free on the target", "memory-free", {"target": 'memory = "4GiB"'}),
    ("drivers at one level", "driver-level",
     {"source": 'drivers.nic = "11"', "target": 'drivers.nic = "10"'}),
    ("virtual networks of the same name", "virtual-networks", {"network": "Extern"}),
    ("the VM's VLAN on both sides", "vlans", {"target_switch": "vlans = [10]", "vm": "vlan = 20"}),
    ("the VM's MTU on both sides", "mtu", {"source_switch": "mtu = 9000", "vm": "mtu = 9000"}),
    ("one subnet", "cluster-subnets", {"address": "10.0.7.2/24"}),
    ("VM queues on the target", "vmq-capacity", {"target_switch": "queues = 0"}),
    ("MAC pools apart", "mac-pool",
     {"source": 'mac_pool_ip = "10.0.0.5"', "target": 'mac_pool_ip = "10.7.0.5"'}),
    ("a blackout that peers endure", "blackout", {"written": "3GiB", "dirty": "4GB/s"}),
    ("possible owners", "possible-owners", {"vm": 'owners = ["source"]'}),
)  # fmt: skip
"""Requirement, check that is about it, and what breaks it."""

_HEAD = """# Requirements of live migration

`python benchmarks/requirements.py` writes this table. A sound cluster of two hosts is broken in one place at a time; the wizard
(`vswitch cluster validate`) is asked, the move of a VM of 4 GiB is asked for and then forced (`vswitch cluster move --force`), and {n} TCP
sessions go through what happens. Sources of the rules: [the manual](../migration/cluster/README.md#checks).

| requirement | the wizard says | asked for, the move is | forced, it does | sessions |
|---|---|---|---|---|
"""


def cluster_of(changes: dict[str, str]) -> Cluster:
    """Return the sound cluster with lines put in."""
    text = _SOUND.format(**{**_PARTS, **changes})
    scenario = loads(text, "cluster")
    section = scenario.mounted["cluster"]
    assert isinstance(section, ClusterSection)
    return build(section, "cluster", "cluster", scenario.lines)


def row(requirement: str, check: str, changes: dict[str, str]) -> str:
    """Return a requirement's row of the table."""
    broken = cluster_of(changes)
    said = [one for one in validate(broken).findings if one.result.value != "pass"]
    about = [one for one in said if one.check.id == check]
    wizard = (
        "; ".join(f"**{one.result.value}** {one.check.id}" for one in about[:1]) or "all passed"
    )
    others = sorted({one.check.id for one in said if one.check.id != check})
    if others:
        wizard += f" (and {', '.join(others)})"
    asked = move_one(broken, "web", "target")
    forced = move_one(broken, "web", "target", force=True, sessions=SESSIONS)
    refused = "made" if asked.refused is None else f"refused by {asked.refused.check.id}"
    sessions = "; ".join(
        f"{one['traffic']}: {one['survived']} of {one['sessions']} survive, stall {one['max_stall_s']:.2f} s"
        for one in forced.sessions
    )
    return (
        f"| {requirement} | {wizard} | {refused} | {forced.outcome} | {sessions or 'untouched'} |"
    )


def page() -> str:
    """Return the whole page."""
    return _HEAD.format(n=SESSIONS) + "\n".join(row(*one) for one in ROWS) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="print, write nothing")
    asked = parser.parse_args()
    with announce_compilation(lambda text: print(text, file=sys.stderr)):
        made = page()
    print(made)
    if not asked.dry_run:
        PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
