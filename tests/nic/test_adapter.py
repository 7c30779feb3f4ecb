import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nic.adapter import Adapter
from nic.profiles import (
    PRESETS,
    PROFILES,
    minimum_vectors,
    preset_of,
    profile_of,
    shared_memory_reason,
)
from nic.reference import classify
from nic.vmq import QueueState
from pcaps.addresses import mac_to_key
from pcaps.errors import BadInput

MACS = [mac_to_key(f"00:15:5d:00:00:{n:02x}") for n in range(8)]


def test_first_come_first_served_until_none_is_left():
    adapter = Adapter(num_queues=2)
    assert [adapter.request_queue(f"vm{n}", MACS[n], 10) for n in range(3)] == [1, 2, None]
    assert adapter.queue(1).state is adapter.queue(2).state is QueueState.RUNNING


def test_bring_up_goes_through_allocated_set_running():
    adapter = Adapter(num_queues=1)
    adapter.request_queue("vm1", MACS[0])
    assert [entry.state for entry in adapter.log] == ["Allocated", "Set", "Running"]


def test_tear_down_goes_through_paused_stop_dma_freeing_undefined():
    adapter = Adapter(num_queues=1)
    adapter.request_queue("vm1", MACS[0])
    adapter.log.clear()
    assert adapter.release_queue("vm1") == 1
    assert [entry.state for entry in adapter.log] == ["Paused", "StopDMA", "Freeing", "Undefined"]
    assert adapter.queue_of("vm1") is None


def test_freed_queue_serves_another_vnic():
    adapter = Adapter(num_queues=1)
    adapter.request_queue("vm1", MACS[0])
    adapter.release_queue("vm1")
    assert adapter.request_queue("vm2", MACS[1]) == 1


def test_waiting_vnic_takes_a_freed_queue_at_once_only_when_so_configured():
    for reassign, owner in (("immediate", "vm2"), ("on_start", None)):
        adapter = Adapter(num_queues=1, queue_reassign=reassign)
        adapter.request_queue("vm1", MACS[0])
        assert adapter.request_queue("vm2", MACS[1]) is None
        adapter.release_queue("vm1")
        assert adapter.owner_of(1) == owner


def test_who_waited_longest_takes_a_freed_queue_and_who_stopped_waiting_none():
    adapter = Adapter(num_queues=1, queue_reassign="immediate")
    for n in range(1, 5):
        adapter.request_queue(f"vm{n}", MACS[n])
    with pytest.raises(BadInput):
        adapter.release_queue("vm2")  # has none, and does not want one any more
    owners = []
    for owner in ("vm1", "vm3", "vm4"):
        adapter.release_queue(owner)
        owners.append(adapter.owner_of(1))
    assert owners == ["vm3", "vm4", None]


def test_filters_may_run_out_before_queues_do():
    adapter = Adapter(num_queues=3, max_filters=2)
    assert [adapter.request_queue(f"vm{n}", MACS[n], 10) for n in range(3)] == [1, 2, None]
    assert adapter.queue(3).state is QueueState.UNDEFINED


def test_one_queue_a_vnic():
    adapter = Adapter(num_queues=2)
    adapter.request_queue("vm1", MACS[0])
    with pytest.raises(BadInput, match="one queue serves a vNIC"):
        adapter.request_queue("vm1", MACS[1])


def test_same_address_and_vlan_refused_but_another_vlan_is_fine():
    adapter = Adapter(num_queues=3)
    adapter.request_queue("vm1", MACS[0], 10)
    with pytest.raises(BadInput, match="taken already"):
        adapter.request_queue("vm2", MACS[0], 10)
    assert adapter.request_queue("vm3", MACS[0], 20) == 2


def test_adapter_without_vlan_filtering_has_queues_for_untagged_vnics_only():
    adapter = Adapter(num_queues=2, vlan_filter=False)
    assert adapter.request_queue("vm1", MACS[0], 10) is None
    assert adapter.request_queue("vm2", MACS[1]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_queues": -1}, "0 to 4096"),
        ({"num_queues": 5000}, "0 to 4096"),
        ({"max_filters": -1}, "0 or more"),
        ({"jumbo_packet": 100}, "1514"),
        ({"jumbo_packet": 70000}, "65535"),
        ({"profile": "r3"}, "r1, r2, 2012"),
        ({"profile": "r1", "num_queues": 1}, "no VM queues"),
        ({"queue_reassign": "never"}, "on_start or immediate"),
        ({"max_cpus": 0}, "max_cpus"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(options, said):
    with pytest.raises(BadInput, match=said):
        Adapter(**options)


def test_queues_spread_round_robin_from_behind_the_default_queues_processor():
    adapter = Adapter(num_queues=5, base_cpu=2, max_cpus=3)
    for n in range(5):
        adapter.request_queue(f"vm{n}", MACS[n])
    assert [adapter.queue(n).processor for n in range(6)] == [2, 3, 4, 2, 3, 4]


def test_description_says_why_frames_are_copied():
    adapter = Adapter(num_queues=2)
    adapter.request_queue("vm1", MACS[0], 10)
    adapter.request_queue("vm2", MACS[1])
    queues = adapter.describe()["queues"]
    assert queues[0]["copies_because"] is None
    assert "no VLAN" in queues[1]["copies_because"]


def test_shared_memory_needs_every_condition():
    good = {"vlan": 5, "vlan_filter": True, "lookahead_split": True}
    assert shared_memory_reason(PROFILES["r2"], **good) is None
    for missing in ({"vlan": None}, {"vlan_filter": False}, {"lookahead_split": False}):
        assert shared_memory_reason(PROFILES["r2"], **{**good, **missing})
    assert "host memory" in shared_memory_reason(PROFILES["2012"], **good)


def test_vector_minimum_by_queue_count():
    assert [minimum_vectors(n) for n in (1, 16, 17, 64, 65)] == [1, 1, 16, 16, 32]


def test_names_of_profiles_and_presets():
    assert profile_of("r2").title == "2008 R2"
    assert preset_of("82599").num_queues == 63
    with pytest.raises(BadInput, match="82599"):
        preset_of("e1000")
    assert all(preset.source for preset in PRESETS.values())


class Adapters(RuleBasedStateMachine):
    """VMs come and go in any order; the adapter stays sound."""

    def __init__(self):
        super().__init__()
        self.adapter = Adapter(num_queues=3, max_filters=3, queue_reassign="immediate")
        self.asked = {}

    @rule(vm=st.integers(0, 7), vlan=st.sampled_from([None, 5]))
    def start(self, vm, vlan):
        name = f"vm{vm}"
        if name not in self.asked:
            self.asked[name] = (MACS[vm], vlan)
            self.adapter.request_queue(name, MACS[vm], vlan)

    @rule(vm=st.integers(0, 7))
    def stop(self, vm):
        name = f"vm{vm}"
        if self.asked.pop(name, None) is None:
            return
        if self.adapter.queue_of(name) is None:
            with pytest.raises(BadInput):
                self.adapter.release_queue(name)
        else:
            self.adapter.release_queue(name)

    @invariant()
    def queues_and_filters_add_up(self):
        running = [q for q in self.adapter.queues[1:] if q.state is QueueState.RUNNING]
        assert len(running) == min(3, len(self.asked))
        assert all(q.owner in self.asked and len(q.filters) == 1 for q in running)
        ids = [one.number for one in self.adapter.filters()]
        assert len(set(ids)) == len(ids)

    @invariant()
    def every_owner_gets_its_own_frames_and_no_others(self):
        for name, (mac, vlan) in self.asked.items():
            queue = self.adapter.queue_of(name)
            assert classify(self.adapter, mac, vlan or 0, 60) == (queue or 0)
            assert classify(self.adapter, mac, 77, 60) == 0


TestAdapters = Adapters.TestCase
TestAdapters.settings = settings(max_examples=40, deadline=None)
