import csv
import random
from pathlib import Path

import numpy as np
import pytest

from nic.adapter import Adapter
from nic.drops import AdapterDrop
from nic.filters import compile_filters
from nic.filters_kernel import NOT_ACCEPTED, OVER_SIZE, PLACE_DROP, VLAN_MISMATCH, place
from nic.reference import classify
from nic.vmq import QueueEvent
from pcaps.addresses import mac_to_key
from pcaps.errors import BadInput
from pcaps.jit import kernel
from pcaps.memory import u64

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "nic-switch" / "vmq_filter_match.csv"
A, B = mac_to_key("02:00:00:00:00:0a"), mac_to_key("02:00:00:00:00:0b")
BROADCAST, MULTICAST = mac_to_key("ff:ff:ff:ff:ff:ff"), mac_to_key("01:00:5e:00:00:01")


@kernel
def place_one(table, mac, vid, length):
    return place(table, mac, vid, length)


def placed(adapter, mac, vid, length=60):
    """Ask kernel and twin; they must agree."""
    word = int(place_one(compile_filters(adapter), u64(mac), u64(vid), u64(length)))
    answer = AdapterDrop(word & 0xFF) if word & PLACE_DROP else word
    assert answer == classify(adapter, mac, vid, length)
    return answer


def running(vlan=None, flag=False, profile="r2", **options):
    adapter = Adapter(profile=profile, num_queues=2, max_filters=16, **options)
    adapter.allocate("vm1")
    adapter.set_filter(1, A, vlan, untagged_or_zero=flag)
    adapter.complete_allocation()
    return adapter


# case; filter: VLAN test, untagged-or-zero flag; frame: address, VID (0 = untagged or VID 0); queue
MATCHES = [
    (1, None, True, A, 0, 1),
    (2, None, True, A, 0, 1),
    (3, None, True, A, 5, 0),
    (4, 5, False, A, 5, 1),
    (5, 5, False, A, 0, 0),
    (6, 5, False, A, 0, 0),
    (7, 5, False, A, 6, 0),
    (12, None, True, BROADCAST, 0, 0),
    (13, None, True, MULTICAST, 0, 0),
    (14, None, True, B, 0, 0),
]


@pytest.mark.parametrize(("case", "vlan", "flag", "mac", "vid", "queue"), MATCHES)
def test_match(case, vlan, flag, mac, vid, queue):
    assert placed(running(vlan, flag), mac, vid) == queue


def test_7_wrong_vlan_is_dropped_on_board_when_so_configured():
    adapter = running(5, nic_drop_vlan_mismatch=True)
    assert placed(adapter, A, 6) is AdapterDrop.VLAN_MISMATCH
    assert placed(adapter, A, 5) == 1
    assert placed(adapter, B, 6) == 0


def test_8_mac_alone_fails_on_ndis_6_20_and_matches_any_vlan_later():
    with pytest.raises(BadInput, match=r"6\.20"):
        running(None, False, "r2")
    adapter = running(None, False, "2012")
    assert [placed(adapter, A, vid) for vid in (0, 5, 4094)] == [1, 1, 1]


def test_9_flag_and_vlan_test_exclude_each_other():
    with pytest.raises(BadInput, match="flag"):
        running(5, True)


def test_10_vlan_test_refused_without_vlan_filtering():
    with pytest.raises(BadInput, match="VMQVlanFiltering"):
        running(5, False, vlan_filter=False)


def test_11_queue_that_is_set_but_not_complete_gets_nothing():
    adapter = Adapter(num_queues=1)
    adapter.allocate("vm1")
    adapter.set_filter(1, A, untagged_or_zero=True)
    assert placed(adapter, A, 0) == 0
    adapter.complete_allocation()
    assert placed(adapter, A, 0) == 1


def test_14_without_promiscuous_mode_a_strange_address_is_not_accepted():
    adapter = running(None, True, promiscuous=False, mac=mac_to_key("02:00:00:00:00:ff"))
    assert placed(adapter, B, 0) is AdapterDrop.NOT_ACCEPTED
    assert placed(adapter, BROADCAST, 0) == 0
    assert placed(adapter, mac_to_key("02:00:00:00:00:ff"), 0) == 0


def test_15_filters_of_a_queue_are_ored():
    adapter = running(None, True)
    adapter.set_filter(1, B, untagged_or_zero=True)
    assert placed(adapter, A, 0) == placed(adapter, B, 0) == 1


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_16_and_17_frames_of_a_queue_on_its_way_out_go_to_the_default_queue(steps):
    adapter = running(None, True)
    adapter.clear_filter(adapter.queue(1).filters[0])
    for event in (QueueEvent.FREE_QUEUE, QueueEvent.DMA_STOPPED)[: steps - 1]:
        adapter.handle(1, event)
    assert placed(adapter, A, 0) == 0


def test_all_cases_of_the_facts_are_covered():
    if not FACTS.exists():
        pytest.skip(f"{FACTS} is absent: the cases are those written in this file")
    cases = {int(row["case"]) for row in csv.DictReader(FACTS.read_text().splitlines())}
    assert cases == {row[0] for row in MATCHES} | {8, 9, 10, 11, 15, 16, 17}


def test_over_size_counts_the_header_but_not_the_tag():
    adapter = running(5)
    assert placed(adapter, A, 5, 1514) == 1
    assert placed(adapter, A, 5, 1515) is AdapterDrop.OVER_SIZE


def test_first_queue_in_order_wins_between_mac_only_and_vlan_filter():
    for first, second, expected in ((None, 5, 1), (5, None, 1)):
        adapter = Adapter(profile="2012", num_queues=2, max_filters=4)
        adapter.allocate("one")
        adapter.set_filter(1, A, first)
        adapter.allocate("two")
        adapter.set_filter(2, A, second)
        adapter.complete_allocation()
        assert placed(adapter, A, 5) == expected
        assert placed(adapter, A, 6) == (1 if first is None else 2)


def test_two_queues_cannot_want_the_same_frames():
    adapter = running(5)
    adapter.allocate("vm2")
    with pytest.raises(BadInput, match="taken already"):
        adapter.set_filter(2, A, 5)


def test_capacity_of_filters_is_refused_with_a_sentence():
    adapter = Adapter(num_queues=2, max_filters=1)
    assert adapter.request_queue("vm1", A, 5) == 1
    assert adapter.request_queue("vm2", B, 5) is None
    adapter.allocate("vm2")
    with pytest.raises(BadInput, match="all 1 receive filters"):
        adapter.set_filter(2, B, 5)


def test_codes_of_kernel_and_enum_are_the_same():
    filters = (OVER_SIZE, VLAN_MISMATCH, NOT_ACCEPTED)
    # a full ring is no answer of the filters: the timed replay tells it
    assert tuple(map(int, AdapterDrop)) == (*filters, AdapterDrop.RING_FULL)


@pytest.mark.parametrize("seed", range(30))
def test_kernel_equals_twin_on_random_filters_and_frames(seed):
    draw = random.Random(seed)
    macs = [A, B, *(mac_to_key(f"02:00:00:00:01:{n:02x}") for n in range(10))]
    adapter = Adapter(
        profile=draw.choice(("r2", "2012")),
        num_queues=draw.randint(1, 12),
        max_filters=draw.randint(0, 30),
        nic_drop_vlan_mismatch=draw.random() < 0.5,
        promiscuous=draw.random() < 0.5,
        mac=draw.choice([None, *macs]),
    )
    for number in range(1, adapter.num_queues + 1):
        adapter.allocate(f"vm{number}")
    for _ in range(40):
        vlan = draw.choice((None, 5, 6, 4094))
        try:
            adapter.set_filter(
                draw.randint(1, adapter.num_queues), draw.choice(macs), vlan,
                untagged_or_zero=vlan is None and draw.random() < 0.7,
            )  # fmt: skip
        except BadInput:
            continue
        if draw.random() < 0.2:
            adapter.complete_allocation()
    table = compile_filters(adapter)
    for _ in range(300):
        mac, vid = draw.choice([*macs, BROADCAST, MULTICAST]), draw.choice((0, 5, 6, 7, 4094, 4095))
        length = draw.choice((60, 1514, 1515))
        word = int(place_one(table, u64(mac), u64(vid), u64(length)))
        answer = AdapterDrop(word & 0xFF) if word & PLACE_DROP else word
        assert answer == classify(adapter, mac, vid, length)
    assert table.dtype == np.uint64
