"""``[cluster]``: what comes out, and contradictions, each with its line."""

from __future__ import annotations

import pytest
from clusters import cluster, text

from migration.cluster.model import GIB
from migration.cluster.scenario import load_cluster
from pcaps.errors import BadInput
from vswitch.problems import ScenarioError
from vswitch.scenario import loads


def test_a_sound_cluster_has_what_it_says_and_sensible_defaults():
    found = cluster(vm='memory = "4GiB"\nprocessors = 3')
    assert [one.name for one in found.hosts] == ["a", "b"]
    assert found.hosts[0].logical_processors == 16
    assert found.hosts[0].memory_bytes == 48 * GIB
    assert found.vms[0].memory_bytes == found.vms[0].least_bytes == 4 * GIB
    assert found.vms[0].working_set_bytes == GIB // 2
    assert found.vms[0].started_on.name == "Xeon X5570"
    assert found.policy == "hyperv-r2"
    assert found.most_moves == 1
    assert found.migration_network.name == "live"
    assert found.line(found.vms[0], "memory").startswith("lab.toml:")
    assert (
        text(vm='memory = "4GiB"').splitlines()[
            int(found.line(found.vms[0], "memory").partition(":")[2]) - 1
        ]
        == 'memory = "4GiB"'
    )


def test_counts_make_names_addresses_and_hosts_in_turn():
    found = cluster(rest='[[cluster.vm]]\nname = "w{n}"\ncount = 5\nhost = ["a", "b"]\n')
    assert [(one.name, one.host) for one in found.vms[2:]] == [
        ("w1", "a"), ("w2", "b"), ("w3", "a"), ("w4", "b"), ("w5", "a")
    ]  # fmt: skip
    assert len({one.mac for one in found.vms}) == 7


@pytest.mark.parametrize(
    ("parts", "where", "said"),
    [
        ({"rest": '[[cluster.vm]]\nname = "web"\nhost = "b"'}, "vm[3].name", "runs on one host"),
        ({"vm": 'owners = ["c"]'}, "vm[1].owners", "there is no host 'c'"),
        ({"a": 'processor = "Xeon X5571"'}, "host[1].processor", "did you mean 'Xeon X5570'?"),
        ({"a": "sockets = 8\nprocessor = \"Xeon X7560\""}, "host[1].sockets", "a host has 64 at most"),
        ({"a": 'memory = "1GiB"'}, "host[1].reserve", "keeps all of the memory"),
        ({"rest": "[cluster.mover]\nprocessors_high = -0.5"}, "mover.processors_high", "out of range"),
        ({"rest": "[cluster.mover]\nprocessors_low = 0.9"}, "mover.processors_low", "flaps"),
        ({"rest": '[cluster.mover]\ncool_down = "1s"'}, "mover.cool_down", "flaps"),
        ({"rest": '[cluster.mover]\ninterval = "0"'}, "mover.interval", "less than a second"),
        ({"rest": "[cluster.mover]\nweight_memory = -1"}, "mover.weight_memory", "below 0"),
        ({"vm": 'working_set = "64GiB"'}, "vm[1].working_set", "more than memory"),
        ({"vm": "low = 0.9"}, "vm[1].low", "more than peak"),
        ({"vm": 'points = [["12:00", 1.0], ["08:00", 0.2]]'}, "vm[1].points", "only up"),
        ({"vm": 'points = [["25", 1.0]]'}, "vm[1].points", "write it as 08:30"),
        ({"vm": 'volume = "csv9"'}, "vm[1].volume", "did you mean 'csv1'?"),
        ({"vm": 'switch = "extern"'}, "vm[1].switch", "did you mean 'external'?"),
        ({"vm": 'peers = "window"'}, "vm[1].peers", "window"),
        ({"b_live": "10.0.0/24"}, "host[2].addresses", "is not an address"),
        ({"rest": '[[cluster.fault]]\nkind = "host-crash"\nat = "12:00"'}, "fault[1]", "needs a host"),
        ({"rest": '[[cluster.maintenance]]\nat = "12:00"\nhosts = ["c"]'}, "maintenance[1].hosts", "no host 'c'"),
        ({"volume": 'coordinator = "c"'}, "volume[1].coordinator", "there is no host 'c'"),
        ({"path": "count = 0"}, "volume[1].path[1].count", "greater than or equal to 1"),
        ({"path": 'policy = "robin"'}, "volume[1].path[1].policy", "input should be"),
    ],
)  # fmt: skip
def test_a_contradiction_is_told_with_its_line(parts, where, said):
    with pytest.raises(ScenarioError) as caught:
        loads(text(**parts), "lab.toml")
    (problem, *more) = caught.value.problems
    assert not more
    assert problem.path == f"cluster.{where}" or problem.path.startswith(f"cluster.{where}[")
    assert said in problem.message
    assert problem.line > 1


def test_a_cluster_of_one_and_a_volume_without_paths_are_none():
    alone = '[[cluster.host]]\nname = "a"\n[[cluster.volume]]\nname = "v"\npath = []\n'
    with pytest.raises(ScenarioError) as caught:
        loads(alone, "lab.toml")
    said = str(caught.value)
    assert "lab.toml:1: cluster.host: a cluster of one host ('a') has nowhere to move a VM" in said
    assert "lab.toml:5: cluster.volume[1].path: no path leads to volume 'v'" in said


def test_a_vm_on_two_hosts_is_none():
    with pytest.raises(ScenarioError, match=r"VM 'x' cannot run on a and b at a time"):
        loads(text(rest='[[cluster.vm]]\nname = "x"\nhost = ["a", "b"]'), "lab.toml")


def test_a_scenario_without_a_cluster_says_where_one_is(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text('[[vm]]\nname = "web"\n')
    with pytest.raises(BadInput, match=r"has no \[cluster\]; see examples"):
        load_cluster(path)
