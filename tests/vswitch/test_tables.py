"""Ports compiled to the image: words, rows, members, look-ups."""

import random

import numpy as np
import pytest

from pcaps.addresses import mac_to_key
from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.image_kernel import (
    F_MIRROR_EGRESS,
    F_MIRROR_INGRESS,
    H_FDB,
    H_FDB_SHIFT,
    H_MEMBER_START,
    H_N_QUEUES,
    H_QUEUES,
    H_SECONDARY,
    HEAD_WORDS,
    P_FLAGS,
    P_ROW,
    PORT_WORDS,
    look_up,
)
from vswitch.ports import Dialect, Mirror, Network, Port, PortKind, VlanMode, VlanSetting
from vswitch.tables import bare_port_word, compile_image, forwarding_table, tpid_words
from vswitch.words_kernel import (
    DISCONNECTED,
    HASH_FACTOR,
    LIMIT_MAX,
    LIMIT_SHIFT,
    NOT_FOUND,
    TO_TAGGED,
)

MACS = [mac_to_key(f"02:00:00:00:00:{n:02x}") for n in range(8)]
UPLINK = Port(name="uplink", kind=PortKind.UPLINK)


@kernel
def look_up_one(image, key):
    return look_up(image, key)


def found(image, key):
    return int(look_up_one(image, u64(key)))


def vm(number, **settings):
    return Port(name=f"vm{number}", mac=MACS[number], **settings)


def limit_of(port):
    return bare_port_word(port, 0, 0) >> LIMIT_SHIFT & LIMIT_MAX


def members(image, vlan):
    """Port numbers of a VLAN's members, with whether they get a tag."""
    at = int(image[H_MEMBER_START]) + vlan
    words = image[int(image[at]) : int(image[at + 1])].tolist()
    return [(word & 0xFFFF, bool(word & TO_TAGGED)) for word in words]


def image_of_table(table, shift):
    """An image of nothing but a forwarding table."""
    image = np.zeros(HEAD_WORDS + len(table), np.uint64)
    image[H_FDB], image[H_FDB_SHIFT] = HEAD_WORDS, shift
    image[HEAD_WORDS:] = table
    return image


@pytest.mark.parametrize("n", [0, 1, 200, 2000])
def test_every_key_is_found_and_no_other(n):
    draw = random.Random(n)
    keys = draw.sample(range(1 << 60), n + 50)
    image = image_of_table(*forwarding_table([(key, 7 * key % 1000) for key in keys[:n]]))
    assert all(found(image, key) == 7 * key % 1000 for key in keys[:n])
    assert all(found(image, key) == NOT_FOUND for key in keys[n:])


def test_keys_of_one_slot_are_found_behind_it_and_around_the_end():
    last = [key for key in range(10_000) if (key * HASH_FACTOR & NOT_FOUND) >> 60 == 15]
    table, shift = forwarding_table([(last[0], 100), (last[1], 101)])
    assert shift == 60
    image = image_of_table(table, shift)
    assert [found(image, key) for key in last[:3]] == [100, 101, NOT_FOUND]


@pytest.mark.parametrize(("mtu", "longest"), [(1500, 1514), (9000, 9014), (46, 60)])
def test_longest_frame_is_the_mtu_and_a_header_without_tag(mtu, longest):
    assert limit_of(vm(1, mtu=mtu)) == longest


def test_port_without_mtu_has_no_limit():
    assert limit_of(vm(1, mtu=None)) == LIMIT_MAX


def test_port_that_is_off_says_so_in_its_word():
    assert bare_port_word(vm(1, connected=False), 1, 0) & DISCONNECTED
    assert not bare_port_word(vm(1), 1, 0) & DISCONNECTED


def test_tpids_lie_as_on_the_wire_and_unused_places_repeat_the_first():
    assert tpid_words((0x8100,)) == [0x0081] * 3
    assert tpid_words((0x88A8, 0x9100)) == [0xA888, 0x0091, 0xA888]
    assert tpid_words((0x8100, 0x88A8, 0x9100)) == [0x0081, 0xA888, 0x0091]


def test_address_is_found_in_its_own_vlan_only():
    image = compile_image(Network(ports=(UPLINK, vm(1, vlan=VlanSetting(vid=10)))))
    assert found(image, 10 << 48 | MACS[1]) & 0xFFFF == 1
    assert found(image, 20 << 48 | MACS[1]) == NOT_FOUND
    assert found(image, MACS[1]) == NOT_FOUND


def test_trunk_is_found_tagged_in_what_it_carries_and_bare_in_its_native_vlan():
    trunk = VlanSetting(mode=VlanMode.TRUNK, vid=5, allowed=frozenset({10, 20}), pruned={20})
    image = compile_image(Network(ports=(UPLINK, vm(1, vlan=trunk))))
    assert not found(image, 5 << 48 | MACS[1]) & TO_TAGGED
    assert found(image, 10 << 48 | MACS[1]) & TO_TAGGED
    assert found(image, 20 << 48 | MACS[1]) == NOT_FOUND


def test_learning_ports_are_not_in_the_static_table():
    image = compile_image(Network(ports=(vm(1), vm(2)), dialect=Dialect.LEARNING))
    assert found(image, MACS[1]) == NOT_FOUND


def test_members_stand_in_port_order_with_their_tags():
    network = Network(
        ports=(
            UPLINK,
            vm(1, vlan=VlanSetting(vid=10)),
            vm(2, vlan=VlanSetting(vid=20)),
            vm(3, vlan=VlanSetting(mode=VlanMode.TRUNK, vid=20, allowed=frozenset({10}))),
        )
    )
    image = compile_image(network)
    assert members(image, 10) == [(0, True), (1, False), (3, True)]
    assert members(image, 20) == [(0, True), (2, False), (3, False)]
    assert members(image, 0) == [(0, False)]
    assert members(image, 4095) == []


def test_queue_without_an_owner_and_the_default_queue_have_no_port():
    image = compile_image(Network(ports=(UPLINK, vm(1), vm(2))), [2, None, 1])
    at, n = int(image[H_QUEUES]), int(image[H_N_QUEUES])
    owners = image[at : at + n].tolist()
    assert [word if word == NOT_FOUND else word & 0xFFFF for word in owners] == [
        NOT_FOUND, 2, NOT_FOUND, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mirror", "ingress", "egress"),
    [
        (Mirror.NONE, False, False),
        (Mirror.INGRESS, True, False),
        (Mirror.EGRESS, False, True),
        (Mirror.BOTH, True, True),
    ],
)
def test_mirror_flags(mirror, ingress, egress):
    image = compile_image(Network(ports=(vm(1, mirror=mirror), vm(2)), mirror_to="vm2"))
    flags = int(image[HEAD_WORDS + P_FLAGS])
    assert (bool(flags & F_MIRROR_INGRESS), bool(flags & F_MIRROR_EGRESS)) == (ingress, egress)


def test_ports_alike_share_a_row():
    ports = [vm(n, vlan=VlanSetting(vid=n)) for n in range(1, 8)]
    image = compile_image(Network(ports=(UPLINK, *ports)))
    rows = [int(image[HEAD_WORDS + n * PORT_WORDS + P_ROW]) for n in range(8)]
    assert len(set(rows)) == 2
    assert image.nbytes < 150_000


def test_secondary_addresses_are_looked_for_only_where_a_port_may_have_some():
    guarded = compile_image(Network(ports=(UPLINK, vm(1))))
    free = compile_image(Network(ports=(UPLINK, vm(1, spoof_guard=False))))
    assert (int(guarded[H_SECONDARY]), int(free[H_SECONDARY])) == (0, 1)


def test_image_is_read_only_and_its_table_aligned():
    image = compile_image(Network(ports=(UPLINK, vm(1))))
    assert not image.flags.writeable
    assert int(image[H_FDB]) % 2 == 0
