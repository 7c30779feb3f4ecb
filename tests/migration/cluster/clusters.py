"""Clusters for tests: the smallest sound one, changed by text."""

from __future__ import annotations

from migration.cluster.model import Cluster
from migration.cluster.scenario import build
from migration.cluster.sections import ClusterSection
from vswitch.scenario import loads

SOUND = """
[cluster]
name = "lab"
quorum = "node-and-disk"
witness = "quorum"

[[cluster.network]]
name = "client"
uses = ["client", "heartbeat"]

[[cluster.network]]
name = "live"
uses = ["live-migration"]

[[cluster.network]]
name = "csv"
uses = ["csv", "heartbeat"]

[[cluster.host]]
name = "a"
addresses.live = "10.0.0.1/24"
addresses.client = "10.0.1.1/24"
addresses.csv = "10.0.2.1/24"
{a}

[[cluster.host.switch]]
name = "external"
{a_switch}

[[cluster.host]]
name = "b"
addresses.live = "{b_live}"
addresses.client = "10.0.1.2/24"
addresses.csv = "10.0.2.2/24"
{b}

[[cluster.host.switch]]
name = "{b_network}"
{b_switch}

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
host = "a"
{vm}

[[cluster.vm]]
name = "db"
host = "b"
{db}
{rest}
"""

_PARTS = dict.fromkeys(
    ("a", "b", "a_switch", "b_switch", "volume", "path", "vm", "db", "rest"), ""
) | {"b_live": "10.0.0.2/24", "b_network": "external"}


def text(**parts: str) -> str:
    """Return the scenario with lines put in."""
    return SOUND.format(**{**_PARTS, **parts})


def cluster(**parts: str) -> Cluster:
    """Return the cluster with lines put in."""
    written = text(**parts)
    scenario = loads(written, "lab.toml")
    section = scenario.mounted["cluster"]
    assert isinstance(section, ClusterSection)
    return build(section, section.name, "lab.toml", scenario.lines)
