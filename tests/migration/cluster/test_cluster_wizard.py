"""The validation wizard: each check passes on a sound cluster, and finds its own mistake, with the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clusters import cluster, text

from migration.cluster.findings import CHECKS, Result
from migration.cluster.move_checks import static_failures
from migration.cluster.processors import AMD, HIDDEN, INTEL, PROCESSORS, missing
from migration.cluster.scenario import load_cluster
from migration.cluster.survival import endured_ns
from migration.cluster.translation import translation_of
from migration.cluster.validation_page import page
from migration.cluster.wizard import validate

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ROOT / "examples" / "scenarios"


def test_every_check_passes_on_a_sound_cluster():
    found = validate(cluster())
    assert {one.check.id for one in found.findings} == set(CHECKS)
    assert [one.check.id for one in found.findings if one.result is not Result.PASS] == []
    assert found.sound


BROKEN = {
    "cluster-membership": ({"b": "member = false"}, "fail", "b"),
    "node-count": (
        {"rest": '[[cluster.host]]\nname = "more{n}"\ncount = 15\nmemory = "48GiB"'}, "fail", "cluster",
    ),
    "edition": ({"b": 'os = "2008 R2 Standard"'}, "fail", "b"),
    "os-level": ({"b": 'install = "core"'}, "fail", "b"),
    "service-pack": ({"b": "service_pack = 1"}, "warning", "b"),
    "domain": ({"b": 'domain = "other.example"'}, "fail", "b"),
    "pending-reboot": ({"b": "pending_reboot = true"}, "fail", "b"),
    "drivers-signed": ({"b": 'unsigned = ["nic"]'}, "warning", "b"),
    "driver-level": ({"a": 'drivers.nic = "1"', "b": 'drivers.nic = "2"'}, "warning", "b"),
    "storage-driver": ({"b": 'storage_driver_for = "2008"'}, "fail", "b"),
    "processor-vendor": ({"b": 'processor = "Opteron 2435"'}, "fail", "b"),
    "processor-features": ({"b": 'processor = "Xeon X5460"'}, "fail", "web to b"),
    "slat": ({"b": 'processor = "Xeon X5460"'}, "warning", "b"),
    "virtual-networks": (
        {"b_network": "other", "db": 'switch = "other"'}, "fail", "web to b",
    ),
    "vlans": ({"b_switch": "vlans = [10]", "vm": "vlan = 20"}, "fail", "web to b"),
    "mtu": ({"a_switch": "mtu = 9000", "vm": "mtu = 9000"}, "fail", "web to b"),
    "cluster-subnets": ({"b_live": "10.0.9.2/24"}, "fail", "live"),
    "vmq-capacity": ({"b_switch": "queues = 0"}, "warning", "b"),
    "chimney": ({"b_switch": "chimney = 64"}, "warning", "b"),
    "mac-pool": (
        {"a": 'mac_pool_ip = "10.0.0.5"', "b": 'mac_pool_ip = "10.9.0.5"'}, "fail", "a, b",
    ),
    "shared-storage": ({"volume": "csv = false", "path": 'hosts = ["a"]'}, "fail", "db on b"),
    "csv": ({"volume": "csv = false"}, "fail", "csv1"),
    "mpio-paths": ({"path": "count = 1"}, "warning", "csv1"),
    "mpio-dsm": (
        {"path": 'hosts = ["a"]\n[[cluster.volume.path]]\nhosts = ["b"]\ndsm = "vendor"'},
        "warning", "csv1",
    ),
    "redirected-io": ({"volume": "redirected = true"}, "warning", "csv1"),
    "host-memory": ({"vm": 'memory = "60GiB"'}, "fail", "a"),
    "memory-free": ({"vm": 'memory = "46GiB"', "db": 'memory = "20GiB"'}, "warning", "web"),
    "blackout": ({"vm": 'working_set = "2GiB"\ndirty = "4GB/s"\npeak = 1.0'}, "fail", "web"),
    "possible-owners": ({"vm": 'owners = ["a"]'}, "fail", "web to b"),
    "anti-affinity": (
        {"rest": '[[cluster.vm]]\nname = "x{n}"\ncount = 2\nhost = ["a"]\napart = "g"'},
        "warning", "g",
    ),
}  # fmt: skip


@pytest.mark.parametrize("check", sorted(BROKEN))
def test_a_check_finds_its_mistake_and_names_line_and_remedy(check):
    parts, result, subject = BROKEN[check]
    found = [one for one in validate(cluster(**parts)).findings if one.check.id == check]
    assert result in [one.result.value for one in found]
    worst = next(one for one in found if one.result.value == result)
    assert worst.subject.startswith(subject)
    assert "lab.toml:" in worst.evidence
    assert worst.remedy
    assert worst.to_dict()["consequence"]


def test_quorum_and_networks_are_checked():
    voted = 'quorum = "node-and-disk"\nwitness = "quorum"\n'
    written = text().replace(voted, 'quorum = "node-majority"\n')
    found = {one.check.id: one for one in validate(_of(written)).findings}
    assert found["quorum"].result is Result.WARNING
    assert "the loss of one node stops the cluster" in found["quorum"].evidence
    one = text().replace('uses = ["live-migration"]', 'uses = ["live-migration", "client"]')
    found = {one.check.id: one for one in validate(_of(one)).findings}
    assert found["migration-network"].result is Result.WARNING


def test_a_share_of_members_and_a_disk_alone_are_no_sound_quorum():
    two = validate(cluster(rest='[[cluster.host]]\nname = "c{n}"\ncount = 3\nmember = false\n'))
    (quorum,) = [one for one in two.findings if one.check.id == "quorum"]
    assert quorum.result is Result.FAIL
    assert "2 members are no majority" in quorum.evidence
    alone = text().replace("node-and-disk", "disk-only")
    (quorum,) = [one for one in validate(_of(alone)).findings if one.check.id == "quorum"]
    assert quorum.result is Result.WARNING


def test_volumes_are_checked_host_by_host():
    found = validate(cluster(path='hosts = ["b"]'))
    said = {one.check.id: one for one in found.findings}
    assert said["mpio-paths"].evidence.startswith("a: no path to 'csv1'")
    assert said["redirected-io"].evidence.startswith("I/O of a goes by b")
    assert said["shared-storage"].result is Result.PASS


def test_a_vm_is_checked_on_its_own_host_too():
    found = validate(cluster(db='switch = "internal"', rest=INTERNAL))
    said = [one.subject for one in found.findings if one.check.id == "virtual-networks"]
    assert said == ["db on b", "db to a"]


INTERNAL = """
[[cluster.host]]
name = "c"
[[cluster.host.switch]]
name = "internal"
[[cluster.host.switch]]
name = "external"
"""


def test_checks_of_one_section_see_the_addresses_of_each_host():
    subnets = '[[cluster.host]]\nname = "z{n}"\ncount = 3\naddresses.live = "10.0.{n}.1/23"\n'
    found = cluster(rest=subnets)
    hosts = {one.name: one for one in found.hosts}
    vm = found.vms[0]
    assert "cluster-subnets" in static_failures(found, vm, hosts["z1"], hosts["z2"])
    assert "cluster-subnets" not in static_failures(found, vm, hosts["z2"], hosts["z3"])


def test_a_move_that_does_not_converge_is_no_short_one():
    found = validate(
        _of(
            text(vm='dirty = "4GB/s"\npeak = 1.0').replace(
                "[cluster]", '[cluster]\npolicy = "qemu"'
            )
        )
    )
    (said,) = [one for one in found.findings if one.check.id == "blackout"]
    assert said.result is Result.FAIL
    assert "written faster than it is sent" in said.evidence


def _of(written):
    from migration.cluster.scenario import build
    from vswitch.scenario import loads

    scenario = loads(written, "lab.toml")
    return build(scenario.mounted["cluster"], "lab", "lab.toml", scenario.lines)


def test_the_example_with_every_mistake_has_every_mistake():
    found = validate(load_cluster(SCENARIOS / "cluster-every-mistake.toml"))
    passed = {one.check.id for one in found.findings if one.result is Result.PASS}
    assert passed == set()
    assert {one.check.id for one in found.findings} == set(CHECKS)


@pytest.mark.parametrize("name", ["cluster-two-nodes", "cluster-sixteen-nodes"])
def test_the_other_examples_have_none(name):
    found = validate(load_cluster(SCENARIOS / f"{name}.toml"))
    assert [one for one in found.findings if one.result is not Result.PASS] == []


def test_report_is_an_object_with_checks():
    found = json.loads(json.dumps(validate(cluster(b="member = false")).to_dict()))
    assert set(found["checks"][0]) >= {"id", "category", "result", "subject", "evidence", "remedy"}
    assert found["counts"]["fail"] >= 1
    assert found["inventory"]["hosts"][0]["processor"] == "Xeon X5570"


def test_page_escapes_and_asks_for_nothing():
    made = page(validate(cluster(b='domain = "<b>x"')))
    assert "&lt;b&gt;x" in made
    assert "<b>x" not in made
    assert "http" not in made.replace("http-equiv", "")


def test_features_and_compatibility_mode_by_vendor():
    nehalem, woodcrest = PROCESSORS["Xeon X5570"], PROCESSORS["Xeon 5160"]
    assert missing(nehalem, woodcrest, False) == ["POPCNT", "SSE4.1", "SSE4.2"]
    assert missing(nehalem, woodcrest, True) == []
    assert missing(woodcrest, nehalem, False) == []
    barcelona, bulldozer = PROCESSORS["Opteron 2356"], PROCESSORS["Opteron 6276"]
    assert missing(barcelona, bulldozer, False) == ["3DNow!", "ext-3DNow!"]
    assert missing(barcelona, bulldozer, True) == []
    # the list of Microsoft's virtualization blog, 9 June 2009
    assert {"SSSE3", "SSE4.1", "SSE4.2", "POPCNT", "misaligned-SSE", "XSAVE", "AVX"} <= HIDDEN[
        INTEL
    ]
    assert {"SSE4.A", "LZCNT", "3DNow!", "ext-3DNow!", "SSE5"} <= HIDDEN[AMD]


def test_translation_costs_more_without_slat():
    slat, shadow = translation_of(True, 2.8e9), translation_of(False, 2.8e9)
    assert (slat.share, shadow.share) == (0.02, 0.10)
    assert (slat.bytes_per_vm, shadow.bytes_per_vm) == (0, 1_000_000)
    from migration.precopy import plan
    from migration.working_set import sequential

    move = plan(
        memory_bytes=1 << 28, working_set=sequential(1 << 26, 40e6), link_bytes_per_s=117e6,
        policy="hyperv-r2", pages=False,
    )  # fmt: skip
    assert shadow.tracking(move) == pytest.approx(3 * slat.tracking(move))
    assert 0 < slat.tracking(move) < 0.1


@pytest.mark.parametrize(
    ("stack", "seconds"),
    [("windows-2008r2", 9.3), ("linux", 804.8), ("rfc", 63.0)],
)
def test_peers_endure_what_the_analytic_table_says(stack, seconds):
    assert endured_ns(stack) / 1e9 == pytest.approx(seconds, abs=0.05)
