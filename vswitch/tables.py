"""Compiles a network's ports to the image that the kernels read.

One pass over the ports, one new array; the running switch swaps the reference.
See :mod:`vswitch.image_kernel` for the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vswitch.image_kernel import (
    F_ACCESS,
    F_ALWAYS_UNTAGGED,
    F_CHECK_SOURCE,
    F_LEARN_SECONDARY,
    F_LSO,
    F_MIRROR_EGRESS,
    F_MIRROR_INGRESS,
    F_SPOOF_GUARD,
    F_TUNNEL,
    F_UPLINK,
    H_FDB,
    H_FDB_SHIFT,
    H_GROUPS,
    H_LEARNING,
    H_MEMBER_START,
    H_MIRROR_PORT,
    H_N_PORTS,
    H_N_QUEUES,
    H_QUEUES,
    H_SECONDARY,
    H_TPID0,
    H_UPLINK,
    HEAD_WORDS,
    NO_PORT,
    P_FLAGS,
    P_MAC,
    P_NATIVE,
    P_PVID_ENTRY,
    P_ROW,
    P_WORD,
    PORT_WORDS,
)
from vswitch.ports import Dialect, Mirror, Network, Port, PortKind, VlanMode, reachable_vlans
from vswitch.vlan import (
    Group,
    group_number,
    hyperv_memberships,
    hyperv_native,
    hyperv_row,
    isolation_groups,
    learning_keeps_priority,
    learning_key,
    learning_memberships,
    learning_native,
    learning_row,
    pvid_entry,
    row_key,
)
from vswitch.words_kernel import (
    DISCONNECTED,
    HASH_FACTOR,
    LIMIT_MAX,
    LIMIT_SHIFT,
    NOT_FOUND,
    PORT_GROUP_SHIFT,
    TO_PRIORITY,
)

Image = npt.NDArray[np.uint64]

N_VLANS = 4096
"""VLANs 0 (untagged domain) to 4095 (reserved, but carried by a learning trunk of all)."""

SPARSE = 8
"""Slots per key up to 16384 keys; half as many above, where the table leaves the cache."""


def bare_port_word(port: Port, number: int, group: int) -> int:
    """Return the port word without its tag bits.

    Parameters
    ----------
    port : Port
        The port.
    number : int
        Its number.
    group : int
        Number of its isolation group, 0 = open.

    Returns
    -------
    int
        See :mod:`vswitch.words_kernel`.
    """
    limit = LIMIT_MAX if port.mtu is None else port.mtu + 14
    word = number | limit << LIMIT_SHIFT | group << PORT_GROUP_SHIFT
    return word if port.connected else word | DISCONNECTED


def _flags(port: Port, dialect: Dialect) -> int:
    flags = 0
    if port.kind is PortKind.UPLINK:
        flags |= F_UPLINK
    if dialect is Dialect.HYPERV:
        if port.check_source:
            flags |= F_CHECK_SOURCE
        if port.kind is not PortKind.UPLINK:
            flags |= F_SPOOF_GUARD if port.spoof_guard else F_LEARN_SECONDARY
            flags |= F_LSO if port.sends_large else 0
    elif port.vlan.mode in (VlanMode.ACCESS, VlanMode.DOT1Q_TUNNEL):
        flags |= F_ALWAYS_UNTAGGED
        flags |= F_ACCESS if port.vlan.mode is VlanMode.ACCESS else 0
    if port.vlan.mode is VlanMode.DOT1Q_TUNNEL and port.vlan.cvlans:
        flags |= F_TUNNEL
    if port.mirror in (Mirror.INGRESS, Mirror.BOTH):
        flags |= F_MIRROR_INGRESS
    if port.mirror in (Mirror.EGRESS, Mirror.BOTH):
        flags |= F_MIRROR_EGRESS
    return flags


def forwarding_table(entries: Sequence[tuple[int, int]]) -> tuple[Image, int]:
    """Hash (key, port word) pairs into an open-addressing table.

    Parameters
    ----------
    entries : sequence of (int, int)
        Distinct keys ``VLAN << 48 | MAC`` with their port words.

    Returns
    -------
    table : numpy.ndarray
        ``uint64[2 * 2**bits]``, key and value by turns.
    shift : int
        ``64 - bits``, for the multiply-shift hash.
    """
    sparse = SPARSE if len(entries) <= 16384 else SPARSE // 2
    bits = max(4, (max(1, len(entries)) * sparse - 1).bit_length())
    slots, shift = 1 << bits, 64 - bits
    table = np.full(2 * slots, NOT_FOUND, np.uint64)
    keys = np.array([key for key, _ in entries], np.uint64)
    homes = (keys * np.uint64(HASH_FACTOR)) >> np.uint64(shift)
    for (key, word), home in zip(entries, homes.tolist(), strict=True):
        slot = home
        while table[2 * slot] != NOT_FOUND:
            slot = (slot + 1) % slots
        table[2 * slot] = key
        table[2 * slot + 1] = word
    return table, shift


class _Image:
    """Blocks laid one behind the other; the head and the ports come first."""

    def __init__(self, n_ports: int) -> None:
        self.head = np.zeros(HEAD_WORDS, np.uint64)
        self.ports = np.zeros((n_ports, PORT_WORDS), np.uint64)
        self._blocks = [self.head, self.ports.reshape(-1)]
        self.size = HEAD_WORDS + n_ports * PORT_WORDS

    def place(self, block: Image, align: int = 1) -> int:
        """Append `block` and return its index; `align` in words."""
        gap = -self.size % align
        if gap:
            self._blocks.append(np.zeros(gap, np.uint64))
        at = self.size + gap
        self._blocks.append(block)
        self.size = at + block.size
        return at

    def finish(self) -> Image:
        """Return everything as one read-only array."""
        image = np.concatenate(self._blocks)
        image.flags.writeable = False
        return image


def compile_image(network: Network, queue_owners: Sequence[int | None] = ()) -> Image:
    """Compile a network into its image.

    Parameters
    ----------
    network : Network
        The switch's settings and ports.
    queue_owners : sequence of int or None, optional
        Port numbers of the vNICs that own VM queue 1, 2, ..., None for a queue
        without an owner: its frames are looked up like those of queue 0.

    Returns
    -------
    numpy.ndarray
        ``uint64[]``, read-only.
    """
    rules = _RULES[network.dialect]
    groups = isolation_groups(network)
    image = _Image(len(network.ports))
    rows: dict[Hashable, int] = {}
    members: list[list[int]] = [[] for _ in range(N_VLANS)]
    entries: dict[int, int] = {}
    for number, port in enumerate(network.ports):
        shared = rules.key(port)
        if shared not in rows:
            rows[shared] = image.place(rules.row(port, network, groups))
        bare = bare_port_word(port, number, group_number(port, groups))
        tag_bits = dict(rules.memberships(port))
        for vlan, tag in tag_bits.items():
            members[vlan].append(bare | tag)
        record = image.ports[number]
        record[P_FLAGS] = _flags(port, network.dialect)
        record[P_MAC] = NOT_FOUND if port.mac is None else port.mac
        record[P_ROW] = rows[shared]
        record[P_PVID_ENTRY] = pvid_entry(port, groups)
        record[P_WORD] = bare | (TO_PRIORITY if rules.keeps_priority(port) else 0)
        record[P_NATIVE] = rules.native(port)
        if network.dialect is Dialect.HYPERV and port.kind is not PortKind.UPLINK:
            for vlan in reachable_vlans(port):
                entries[vlan << 48 | port.mac] = bare | tag_bits[vlan]
    head = image.head
    fdb, head[H_FDB_SHIFT] = forwarding_table(list(entries.items()))
    head[H_FDB] = image.place(fdb, align=2)
    head[H_TPID0 : H_TPID0 + 3] = tpid_words(network.tag_types)
    head[H_UPLINK] = _number(network, PortKind.UPLINK)
    head[H_N_PORTS] = len(network.ports)
    head[H_LEARNING] = network.dialect is Dialect.LEARNING
    head[H_SECONDARY] = int(np.any(image.ports[:, P_FLAGS] & F_LEARN_SECONDARY))
    head[H_MIRROR_PORT] = (
        NO_PORT if network.mirror_to is None else network.number_of(network.mirror_to)
    )
    words = np.array([word for vlan in members for word in vlan], np.uint64)
    ends = np.cumsum([0, *(len(vlan) for vlan in members)])
    head[H_MEMBER_START] = image.place((ends + image.size + ends.size).astype(np.uint64))
    image.place(words)
    head[H_GROUPS] = image.place(np.array([0, *(group.word for group in groups)], np.uint64))
    owned = [None if n is None else (network.ports[n], n) for n in queue_owners]
    queues = [NOT_FOUND, *(NOT_FOUND if own is None else _own_word(*own, groups) for own in owned)]
    head[H_QUEUES] = image.place(np.array(queues, np.uint64))
    head[H_N_QUEUES] = len(queues)
    return image.finish()


class _Rules(NamedTuple):
    row: Callable[[Port, Network, dict[Group, int]], Image]
    key: Callable[[Port], Hashable]
    memberships: Callable[[Port], Iterator[tuple[int, int]]]
    native: Callable[[Port], int]
    keeps_priority: Callable[[Port], bool]


_RULES = {
    Dialect.HYPERV: _Rules(
        hyperv_row, row_key, hyperv_memberships, hyperv_native, attrgetter("keep_priority_tag")
    ),
    Dialect.LEARNING: _Rules(
        learning_row, learning_key, learning_memberships, learning_native, learning_keeps_priority
    ),
}


def _own_word(port: Port, number: int, groups: dict[Group, int]) -> int:
    """Port word of a vNIC in its own VLAN, as its VM queue needs it."""
    bare = bare_port_word(port, number, group_number(port, groups))
    return bare | dict(hyperv_memberships(port))[port.vlan.vid]


def tpid_words(tpids: Sequence[int]) -> list[int]:
    """Return TPIDs as the kernels load them, little-endian; unused places repeat the first.

    Parameters
    ----------
    tpids : sequence of int
        One to three TPIDs.

    Returns
    -------
    list of int
        Three words.
    """
    words = [int.from_bytes(tpid.to_bytes(2, "big"), "little") for tpid in tpids]
    return words + [words[0]] * (3 - len(words))


def _number(network: Network, kind: PortKind) -> int:
    return next((n for n, port in enumerate(network.ports) if port.kind is kind), NO_PORT)
