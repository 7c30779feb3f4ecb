"""Where queues interrupt and guests run, and what is behind each port."""

from dataclasses import replace

import pytest

from nic.adapter import Adapter
from nic.team import Team
from pcaps.errors import BadInput
from vswitch.host import Host
from vswitch.host_profiles import HOSTS
from vswitch.ports import Network, Port, PortKind, VlanSetting
from vswitch.queues import give_queues
from vswitch.ways_kernel import PORT_SHARED

UPLINK = Port(name="uplink", kind=PortKind.UPLINK)


def network(vms, vid=10, mtu=1500, **more):
    macs = [0x0A005D1500 + (n + 1 << 40) for n in range(vms)]
    ports = [
        Port(name=f"vm{n}", mac=mac, vlan=VlanSetting(vid=vid), mtu=mtu)
        for n, mac in enumerate(macs, 1)
    ]
    return Network(ports=(UPLINK, *ports, *more.get("others", ())))


def host(profile, vms, *, queues=None, vid=10, processors=4, max_cpus=None, **changes):
    profile = replace(HOSTS[profile], processors=processors, **changes)
    net, adapter = network(vms, vid), None
    if queues is not None:
        adapter = Adapter(
            profile=profile.release, num_queues=queues, max_cpus=max_cpus or processors
        )
        give_queues(net, adapter)
    return Host(profile, net, adapter)


def test_queues_are_spread_round_robin_from_behind_the_default_queue():
    assert host("r2-vmq", 6, queues=6).queue_processors == [0, 1, 2, 3, 0, 1, 2, 0]


def test_without_vm_queues_one_processor_has_all_interrupts():
    one = host("r2", 6)
    assert one.queue_processors == [0, 0]
    assert one.send_queue == 1


def test_guests_run_where_least_is_to_do():
    # the default queue on processor 0 serves all four
    assert host("r2", 4).guest_processors[1:] == [1, 2, 3, 1]
    assert host("r2", 4, processors=2).guest_processors[1:] == [1, 1, 1, 1]
    assert host("r2", 4, processors=1).guest_processors[1:] == [0, 0, 0, 0]
    # queues of the VMs are on processors 1, 2, 3, 0
    assert host("r2-vmq", 4, queues=4).guest_processors[1:] == [0, 1, 2, 3]
    assert host("r2-vmq", 2, queues=2, processors=8).guest_processors[1:] == [0, 3]


def test_a_queue_cannot_interrupt_a_processor_that_is_not_there():
    with pytest.raises(BadInput, match="interrupt processor 3, but the host has 2"):
        host("r2-vmq", 4, queues=4, processors=2, max_cpus=4)


def test_more_queues_than_vectors_allow_are_refused():
    with pytest.raises(BadInput, match="64 VM queues need 16 MSI-X vectors at least"):
        Host(replace(HOSTS["r2"], vectors=8), network(1), Adapter(num_queues=64))


def test_an_adapter_bound_to_tcp_ip_has_no_frames_for_a_switch():
    with pytest.raises(BadInput, match="bound to the host's own TCP/IP"):
        Host(replace(HOSTS["r2"], rss=True), network(1))


def test_members_of_a_sum_team_interrupt_sets_of_their_own():
    team = host("r2-vmq", 8, queues=8, processors=8, team=Team(2))
    assert team.queue_processors[1:5] == [0, 1, 2, 3]
    assert team.queue_processors[5:9] == [4, 5, 6, 7]
    assert host("r2-vmq", 4, queues=4, team=Team(2, "lacp")).queue_processors[1:5] == [1, 2, 3, 0]


def test_only_a_tagged_vm_of_r2_has_its_buffers_in_its_own_memory():
    def shared(one):
        return [bool(int(word) & PORT_SHARED) for word in one.port_words[1:]]

    assert shared(host("r2-vmq", 2, queues=1)) == [True, False]
    assert shared(host("r2-vmq", 1, queues=1, vid=0)) == [False]
    assert shared(host("2012", 1, queues=1)) == [False]
    assert host("r2", 1).copies_because(UPLINK) == "it has no VM queue"


def test_a_vm_queue_wins_over_chimney():
    both = host("r2-vmq", 2, queues=1, chimney=True)
    assert [both.offloads(port) for port in both.network.ports] == [False, False, True]


def test_shadow_page_tables_take_memory_for_each_vm():
    assert host("r1", 5).shadow_memory_bytes == 5_000_000
    assert host("r2", 5).shadow_memory_bytes == 0


def test_jumbo_frames_on_one_side_only_are_warned_of_with_both_sides():
    profile = HOSTS["r2-vmq-jumbo"]
    adapter = Adapter(jumbo_packet=9014)
    (said,) = Host(profile, network(2), adapter).warnings()
    assert "the adapter has MTU 9000" in said
    assert "1500" in said
    assert not Host(profile, network(2), Adapter(jumbo_packet=1514)).warnings()


def test_ports_that_are_no_vms_have_no_guest():
    parent = Port(name="parent", kind=PortKind.PARENT, mac=0x02005D1500)
    one = Host(HOSTS["r2"], network(1, others=(parent,)))
    assert one.vms == 1
    assert one.guest_processors == [0, 1, 0]
