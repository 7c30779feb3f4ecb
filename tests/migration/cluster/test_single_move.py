"""One VM moved by hand: refused by the check's name, or forced, and then what really happens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clusters import cluster

from migration.cluster.findings import CHECKS
from migration.cluster.single import PHASES, move_one
from pcaps.errors import BadInput


def test_a_sound_move_is_made_by_the_pre_copy_model():
    done = move_one(cluster(vm='dirty = "20MB/s"'), "web", "b")
    assert done.refused is None
    assert done.made
    assert done.on.name == "b"
    assert done.plan.passes
    assert done.pause_ns == done.plan.blackout_ns > 0


FORCED = {
    "cluster-membership": ({"b": "member = false"}, "setup", "a"),
    "domain": ({"b": 'domain = "x.example"'}, "setup", "a"),
    "memory-free": ({"b": 'memory = "3GiB"\nreserve = "1GiB"'}, "setup", "a"),
    "possible-owners": ({"vm": 'owners = ["a"]'}, "setup", "a"),
    "edition": ({"a": 'os = "2008 Enterprise"', "b": 'os = "2008 Enterprise"'}, "quick", "b"),
    "cluster-subnets": ({"b_live": "10.0.9.2/24"}, "setup", "a"),
    "os-level": ({"b": 'install = "core"'}, "device state", "a"),
    "processor-vendor": ({"b": 'processor = "Opteron 2435"'}, "device state", "a"),
    "processor-features": ({"b": 'processor = "Xeon X5460"'}, "device state", "a"),
    "shared-storage": ({"volume": "csv = false", "path": 'hosts = ["a"]'}, "handover", "a"),
    "virtual-networks": ({"b_network": "other", "db": 'switch = "other"'}, "network", "b"),
    "vlans": ({"b_switch": "vlans = [10]", "vm": "vlan = 20"}, "network", "b"),
    "mtu": ({"a_switch": "mtu = 9000", "vm": "mtu = 9000"}, "full frames", "b"),
    "storage-driver": ({"b": 'storage_driver_for = "2008"'}, "disk", "a"),
    "pending-reboot": ({"b": "pending_reboot = true"}, "restart", "a"),
    "csv": ({"volume": "csv = false"}, "handover", "a"),
    "blackout": ({"vm": 'working_set = "2GiB"\ndirty = "4GB/s"\npeak = 1.0'}, "done", "b"),
}


@pytest.mark.parametrize("check", sorted(FORCED))
def test_an_unmet_requirement_refuses_by_name_and_forced_does_as_said(check):
    parts, phase, where = FORCED[check]
    broken = cluster(**parts)
    refused = move_one(broken, "web", "b")
    assert refused.refused.check.id == check
    assert not refused.made
    assert refused.on.name == "a"
    assert check in refused.outcome
    forced = move_one(broken, "web", "b", force=True)
    assert forced.made
    assert forced.phase == phase
    assert forced.on.name == where
    assert check in forced.outcome
    assert (forced.pause_ns == 0) == (phase == "setup")
    assert forced.to_dict()["refused"] == check


def test_without_clustering_there_is_no_quick_migration_either():
    forced = move_one(cluster(b='os = "2008 R2 Standard"'), "web", "b", force=True)
    assert (forced.phase, forced.on.name, forced.pause_ns) == ("setup", "a", 0)


def test_forced_it_fails_by_the_check_that_refused_it():
    both = cluster(b="member = false", vm='owners = ["a"]')
    assert move_one(both, "web", "b").refused.check.id == "cluster-membership"
    assert "(cluster-membership)" in move_one(both, "web", "b", force=True).outcome


def test_another_subnet_of_clients_is_no_way_to_reach_the_vm():
    found = cluster()
    b = found.hosts[1]
    moved = replace(b, addresses={**b.addresses, "client": "10.9.9.2/24"})
    apart = replace(found, hosts=(found.hosts[0], moved))
    forced = move_one(apart, "web", "b", force=True)
    assert (forced.phase, forced.on.name) == ("network", "b")
    gone = replace(b, addresses={"client": "10.0.1.2/24", "csv": "10.0.2.2/24"})
    apart = replace(found, hosts=(found.hosts[0], gone))
    refused = move_one(apart, "web", "b")
    assert refused.refused.check.id == "cluster-subnets"
    assert "b is not on it" in refused.refused.evidence


def test_quick_migration_cannot_restore_on_another_vendor():
    older = 'os = "2008 Enterprise"'
    mixed = cluster(a=older, b=f'{older}\nprocessor = "Opteron 2435"')
    forced = move_one(mixed, "web", "b", force=True)
    assert forced.on.name == "a"
    assert "cannot restore it (processor-vendor)" in forced.outcome


def test_a_forced_move_that_does_not_converge_is_rolled_back():
    found = cluster(vm='dirty = "4GB/s"\npeak = 1.0')
    endless = type(found)(**{**found.__dict__, "policy": "qemu"})
    forced = move_one(endless, "web", "b", force=True)
    assert not forced.plan.completed
    assert (forced.on.name, forced.pause_ns) == ("a", 0)
    assert "rolled back (blackout)" in forced.outcome


def test_a_restart_loses_every_session():
    forced = move_one(cluster(b="pending_reboot = true"), "web", "b", force=True, sessions=3)
    assert (forced.sessions[0]["survived"], forced.sessions[0]["reset"]) == (0, 3)


def test_every_check_that_fails_a_move_has_its_phase():
    assert set(FORCED) == set(PHASES)
    assert set(PHASES) <= set(CHECKS)


def test_compatibility_mode_lets_it_pass_but_not_between_vendors():
    older = {"b": 'processor = "Xeon X5460"', "vm": "compatibility = true"}
    assert move_one(cluster(**older), "web", "b").refused is None
    other = {"b": 'processor = "Opteron 2435"', "vm": "compatibility = true"}
    assert move_one(cluster(**other), "web", "b").refused.check.id == "processor-vendor"


def test_rolled_back_it_pauses_less_than_a_whole_blackout():
    broken = cluster(b='processor = "Xeon X5460"', vm='dirty = "50MB/s"')
    forced = move_one(broken, "web", "b", force=True)
    assert 0 < forced.pause_ns <= forced.plan.blackout_ns


def test_warnings_do_not_refuse():
    done = move_one(cluster(b_switch="queues = 0"), "web", "b")
    assert [one.check.id for one in done.findings] == ["vmq-capacity"]
    assert done.made
    assert done.on.name == "b"


@pytest.mark.compiled
def test_sessions_tell_a_pause_from_a_loss():
    sound = move_one(cluster(), "web", "b", sessions=3)
    assert sound.sessions[0]["survived"] == 3
    lost = move_one(
        cluster(b_network="other", db='switch = "other"'), "web", "b", force=True, sessions=3
    )
    assert lost.sessions[0]["timed_out"] == 3
    assert "retransmission" in lost.sessions[0]["reason"]
    jumbo = move_one(
        cluster(a_switch="mtu = 9000", vm="mtu = 9000"), "web", "b", force=True, sessions=2
    )
    assert [one["traffic"] for one in jumbo.sessions] == ["rr", "bulk"]
    assert [one["survived"] for one in jumbo.sessions] == [2, 0]


@pytest.mark.parametrize(
    ("vm", "target", "said"),
    [
        ("wep", "b", "did you mean 'web'?"),
        ("web", "c", "no host 'c'"),
        ("web", "a", "is on a already"),
    ],
)
def test_what_is_not_there_cannot_be_moved(vm, target, said):
    with pytest.raises(BadInput, match=said):
        move_one(cluster(), vm, target)
