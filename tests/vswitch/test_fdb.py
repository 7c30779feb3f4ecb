import random

import pytest

from pcaps.addresses import mac_to_key
from pcaps.errors import BadInput
from vswitch.fdb import Learned, PlainLearned
from vswitch.fdb_kernel import KEPT_STATIC, MOVED, NEW, REFRESHED
from vswitch.ports import Dialect, Network, Port, StaticEntry, VlanSetting

A, B, C = (mac_to_key(f"02:00:00:00:00:0{n}") for n in range(3))
SECOND = 1_000_000_000


def test_learns_refreshes_and_moves():
    table = Learned(3, 10)
    assert table.put(10, A, 1) == NEW
    assert table.put(10, A, 1) == REFRESHED
    assert table.put(10, A, 2) == MOVED
    assert table.find(10, A) == 2
    assert table.counters == {"entries": 1, "learned": 1, "moved": 1, "expired": 0, "evicted": 0}


def test_same_address_in_two_vlans_is_two_entries():
    table = Learned(3, 10)
    table.put(10, A, 1)
    table.put(20, A, 2)
    assert (table.find(10, A), table.find(20, A), table.find(30, A)) == (1, 2, None)


def test_entry_ages_out_exactly_at_the_ageing_time():
    table = Learned(2, 10, 300 * SECOND)
    table.put(0, A, 1, 0)
    table.put(0, B, 1, 300 * SECOND - 1)
    assert table.find(0, A) == 1
    table.put(0, B, 1, 300 * SECOND)
    assert table.find(0, A) is None
    assert table.put(0, A, 0, 300 * SECOND) == NEW


def test_clock_does_not_go_back():
    table = Learned(2, 10, 300 * SECOND)
    table.put(0, A, 1, 1000 * SECOND)
    table.put(0, B, 1, 10 * SECOND)
    table.put(0, C, 1, 1299 * SECOND)
    assert table.find(0, B) == 1


def test_static_entry_neither_moves_nor_ages():
    table = Learned(2, 10, SECOND)
    table.pin(10, A, 0)
    assert table.put(10, A, 1, 100 * SECOND) == KEPT_STATIC
    assert table.find(10, A) == 0


def test_static_entry_replaces_a_learned_one():
    table = Learned(2, 10)
    table.put(10, A, 1)
    table.pin(10, A, 0)
    assert [str(entry) for entry in table.entries()] == [
        "02:00:00:00:00:00 in VLAN 10 -> port 0 (static)"
    ]


def test_full_table_evicts_the_oldest_of_the_port_with_most_entries():
    table = Learned(3, 10)
    table.put(0, 1, 1)
    for mac in range(2, 11):
        table.put(0, mac * 2, 2)
    table.put(0, 4, 2)  # refreshed: 6 is the oldest of port 2 now
    table.put(0, 100, 0)
    assert table.find(0, 6) is None
    assert table.find(0, 1) == 1
    assert table.find(0, 4) == 2
    assert table.counters["evicted"] == 1


def test_full_table_of_static_entries_learns_nothing_and_refuses_more():
    table = Learned(2, 10)
    for mac in range(10):
        table.pin(0, mac * 2, 0)
    assert table.put(0, 100, 1) == KEPT_STATIC
    with pytest.raises(BadInput, match="full"):
        table.pin(0, 100, 1)


def test_flush_forgets_one_port_only():
    table = Learned(3, 10)
    table.put(0, A, 1)
    table.put(0, B, 2)
    table.put(0, C, 1)
    assert table.flush(1) == 2
    assert [entry.mac for entry in table.entries()] == [B]


def test_changed_ports_keep_what_was_learned_under_their_new_numbers():
    def network(*names, vid=0):
        ports = tuple(Port(name=name, vlan=VlanSetting(vid=vid)) for name in names)
        return Network(ports=ports, dialect=Dialect.LEARNING)

    before = network("a", "b", "c")
    table = Learned.for_network(before)
    for mac, port in ((A, 0), (B, 1), (C, 2)):
        table.put(0, mac, port, 5)
    after = table.moved_to(before, network("c", "a"))
    assert (after.find(0, A), after.find(0, B), after.find(0, C)) == (1, None, 0)
    assert after.counters["learned"] == 3
    assert not list(table.moved_to(before, network("a", "b", "c", vid=7)).entries())


def test_network_brings_its_static_entries():
    network = Network(
        ports=(Port(name="a"), Port(name="b")),
        dialect=Dialect.LEARNING,
        static=(StaticEntry(port="b", mac=A, vlan=10),),
    )
    assert Learned.for_network(network).find(10, A) == 1


@pytest.mark.parametrize("seed", range(20))
def test_kernel_equals_twin_on_random_histories(seed):
    draw = random.Random(seed)
    size, ageing = draw.randint(10, 40), draw.choice((0, 50, 1000))
    table, twin = Learned(4, size, ageing), PlainLearned(size, ageing)
    for mac in range(draw.randint(0, 3)):
        table.pin(1, mac * 2, 3)
        twin.pin(1, mac * 2, 3)
    names = {"new": NEW, "refreshed": REFRESHED, "moved": MOVED, "static": KEPT_STATIC, "full": 3}
    now = 0
    for _ in range(1500):
        vlan, mac, port = draw.choice((0, 1, 2)), draw.randrange(0, 60, 2), draw.randrange(4)
        if draw.random() < 0.3:
            assert table.find(vlan, mac) == twin.find(vlan, mac)
        else:
            now = max(0, now + draw.randint(-5, 15))
            assert table.put(vlan, mac, port, now) == names[twin.put(vlan, mac, port, now)]
    rows = {key: (row[0], row[3]) for key, row in twin.rows.items() if twin.find(*key) is not None}
    assert {(e.vlan, e.mac): (e.port, e.static) for e in table.entries()} == rows
