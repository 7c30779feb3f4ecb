"""The learned forwarding table, compiled: look up, learn, age, evict.

One mutable uint64 array; :mod:`vswitch.fdb` makes it and tells its story.

    head       16 words, the ``L_`` constants
    ports      PORT_LISTS words a port: oldest entry, newest entry, entries
    entries    ENTRY_WORDS an entry: key, port and STATIC, last seen, older, newer
    slots      hash table of entry numbers, by key; NOTHING = empty

Entries of one port form a list from the oldest to the newest, so that the entry
to evict is found at once. Free entries form a list by their ``newer`` word.
Deletion shifts following slots back, so that probing needs no tombstones.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import rare, u64
from vswitch.words_kernel import HASH_FACTOR, NOT_FOUND

(
    L_SIZE, L_USED, L_AGEING, L_CLOCK, L_SHIFT, L_PORTS, L_ENTRIES, L_SLOTS, L_FREE,
    L_N_PORTS, L_LEARNED, L_MOVED, L_EXPIRED, L_EVICTED, L_DYNAMIC,
) = range(15)  # fmt: skip
HEAD = 16
PORT_LISTS = 3
Q_OLDEST, Q_NEWEST, Q_COUNT = range(3)
ENTRY_WORDS = 5
E_KEY, E_PORT, E_SEEN, E_OLDER, E_NEWER = range(5)
STATIC = 1 << 16
NOTHING = 0xFFFFFFFFFFFFFFFF

REFRESHED, NEW, MOVED, KEPT_STATIC = 0, 1, 2, 3


@kernel(forceinline=True, _nrt=False)
def home_slot(learned: Any, key: Any) -> Any:
    """Slot at which the search for a key begins."""
    return (key * u64(HASH_FACTOR)) >> learned[L_SHIFT]


@kernel(forceinline=True, _nrt=False)
def find_slot(learned: Any, key: Any) -> Any:
    """Slot that holds a key, or the empty one where it would go."""
    slots = learned[L_SLOTS]
    mask = (u64(1) << (u64(64) - learned[L_SHIFT])) - u64(1)
    slot = home_slot(learned, key)
    while True:
        entry = learned[slots + slot]
        if entry == u64(NOTHING) or learned[entry + u64(E_KEY)] == key:
            return slot
        slot = (slot + u64(1)) & mask


@kernel(forceinline=True, _nrt=False)
def list_of(learned: Any, port: Any) -> Any:
    """Place of a port's list record."""
    return learned[L_PORTS] + port * u64(PORT_LISTS)


@kernel(forceinline=True, _nrt=False)
def unlink(learned: Any, entry: Any) -> None:
    """Take an entry out of its port's list."""
    port = list_of(learned, learned[entry + u64(E_PORT)] & u64(0xFFFF))
    older = learned[entry + u64(E_OLDER)]
    newer = learned[entry + u64(E_NEWER)]
    if older == u64(NOTHING):
        learned[port + u64(Q_OLDEST)] = newer
    else:
        learned[older + u64(E_NEWER)] = newer
    if newer == u64(NOTHING):
        learned[port + u64(Q_NEWEST)] = older
    else:
        learned[newer + u64(E_OLDER)] = older
    learned[port + u64(Q_COUNT)] -= u64(1)


@kernel(forceinline=True, _nrt=False)
def append(learned: Any, entry: Any, port: Any) -> None:
    """Put an entry behind the newest of a port's list."""
    place = list_of(learned, port)
    newest = learned[place + u64(Q_NEWEST)]
    learned[entry + u64(E_PORT)] = port
    learned[entry + u64(E_SEEN)] = learned[L_CLOCK]
    learned[entry + u64(E_OLDER)] = newest
    learned[entry + u64(E_NEWER)] = u64(NOTHING)
    if newest == u64(NOTHING):
        learned[place + u64(Q_OLDEST)] = entry
    else:
        learned[newest + u64(E_NEWER)] = entry
    learned[place + u64(Q_NEWEST)] = entry
    learned[place + u64(Q_COUNT)] += u64(1)


@kernel(_nrt=False)
def remove(learned: Any, entry: Any) -> None:
    """Forget an entry: out of its port's list (unless static), out of the hash, to the free list."""
    if learned[entry + u64(E_PORT)] & u64(STATIC) == u64(0):
        unlink(learned, entry)
        learned[L_DYNAMIC] -= u64(1)
    slots = learned[L_SLOTS]
    mask = (u64(1) << (u64(64) - learned[L_SHIFT])) - u64(1)
    hole = find_slot(learned, learned[entry + u64(E_KEY)])
    slot = hole
    while True:
        slot = (slot + u64(1)) & mask
        follower = learned[slots + slot]
        if follower == u64(NOTHING):
            break
        home = home_slot(learned, learned[follower + u64(E_KEY)])
        # the follower may fill the hole unless its home lies behind the hole
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            learned[slots + hole] = follower
            hole = slot
    learned[slots + hole] = u64(NOTHING)
    learned[entry + u64(E_NEWER)] = learned[L_FREE]
    learned[L_FREE] = entry
    learned[L_USED] -= u64(1)


@kernel(forceinline=True, _nrt=False)
def learned_tick(learned: Any, now: Any) -> None:
    """Set the clock forward; it never goes back, though capture times may."""
    learned[L_CLOCK] = max(learned[L_CLOCK], now)


@kernel(forceinline=True, _nrt=False)
def is_old(learned: Any, entry: Any) -> Any:
    """Tell whether an entry has aged out."""
    if learned[L_AGEING] == u64(0) or learned[entry + u64(E_PORT)] & u64(STATIC):
        return False
    return learned[L_CLOCK] - learned[entry + u64(E_SEEN)] >= learned[L_AGEING]


@kernel(forceinline=True, _nrt=False)
def learned_find(learned: Any, key: Any) -> Any:
    """Port that a key was learned on, NOT_FOUND when it was not or has aged out."""
    entry = learned[learned[L_SLOTS] + find_slot(learned, key)]
    if entry == u64(NOTHING) or is_old(learned, entry):
        return u64(NOT_FOUND)
    return learned[entry + u64(E_PORT)] & u64(0xFFFF)


@kernel(_nrt=False)
def make_room(learned: Any) -> None:
    """Forget what has aged out, else the oldest entry of the port with most entries."""
    busiest = u64(0)
    most = u64(0)
    expired = u64(0)
    for number in range(learned[L_N_PORTS]):
        port = list_of(learned, u64(number))
        while learned[port + u64(Q_OLDEST)] != u64(NOTHING):
            oldest = learned[port + u64(Q_OLDEST)]
            if not is_old(learned, oldest):
                break
            remove(learned, oldest)
            expired += u64(1)
        if learned[port + u64(Q_COUNT)] > most:
            most = learned[port + u64(Q_COUNT)]
            busiest = port
    learned[L_EXPIRED] += expired
    if expired == u64(0) and most != u64(0):
        remove(learned, learned[busiest + u64(Q_OLDEST)])
        learned[L_EVICTED] += u64(1)


@kernel(_nrt=False)
def put_unusual(learned: Any, key: Any, port: Any, slot: Any) -> Any:
    """Learn a key that is not simply seen again on its port."""
    entry = learned[learned[L_SLOTS] + slot]
    if entry != u64(NOTHING):
        owner = learned[entry + u64(E_PORT)]
        if owner & u64(STATIC):
            return u64(KEPT_STATIC)
        old = is_old(learned, entry)
        unlink(learned, entry)
        append(learned, entry, port)
        if old:
            learned[L_EXPIRED] += u64(1)
            learned[L_LEARNED] += u64(1)
            return u64(NEW)
        learned[L_MOVED] += u64(1)
        return u64(MOVED)
    if learned[L_USED] >= learned[L_SIZE]:
        make_room(learned)
        if learned[L_USED] >= learned[L_SIZE]:
            return u64(KEPT_STATIC)  # every entry is static: nothing can be learned
        slot = find_slot(learned, key)
    entry = learned[L_FREE]
    learned[L_FREE] = learned[entry + u64(E_NEWER)]
    learned[entry + u64(E_KEY)] = key
    learned[learned[L_SLOTS] + slot] = entry
    learned[L_USED] += u64(1)
    learned[L_DYNAMIC] += u64(1)
    learned[L_LEARNED] += u64(1)
    append(learned, entry, port)
    return u64(NEW)


@kernel(forceinline=True, _nrt=False)
def learned_put(learned: Any, key: Any, port: Any, now: Any) -> Any:
    """Learn that a key is behind a port; return what that meant.

    REFRESHED, NEW, MOVED (it was on another port), or KEPT_STATIC (a static
    entry stays as it is). An aged-out entry counts as NEW.
    """
    learned_tick(learned, now)
    slot = find_slot(learned, key)
    entry = learned[learned[L_SLOTS] + slot]
    if entry != u64(NOTHING):
        if not rare((learned[entry + u64(E_PORT)] != port) | is_old(learned, entry)):
            if learned[list_of(learned, port) + u64(Q_NEWEST)] == entry:
                learned[entry + u64(E_SEEN)] = learned[L_CLOCK]
            else:
                unlink(learned, entry)
                append(learned, entry, port)
            return u64(REFRESHED)
    return put_unusual(learned, key, port, slot)


@kernel(_nrt=False)
def learned_pin(learned: Any, key: Any, port: Any) -> Any:
    """Add a static entry, in place of what was learned; return False when the table is full."""
    entry = learned[learned[L_SLOTS] + find_slot(learned, key)]
    if entry != u64(NOTHING):
        remove(learned, entry)
    if learned[L_USED] >= learned[L_SIZE]:
        return False
    entry = learned[L_FREE]
    learned[L_FREE] = learned[entry + u64(E_NEWER)]
    learned[entry + u64(E_KEY)] = key
    learned[entry + u64(E_PORT)] = port | u64(STATIC)
    learned[entry + u64(E_SEEN)] = learned[L_CLOCK]
    learned[learned[L_SLOTS] + find_slot(learned, key)] = entry
    learned[L_USED] += u64(1)
    return True


@kernel(_nrt=False)
def learned_flush(learned: Any, port: Any) -> Any:
    """Forget what was learned on a port; return how many entries."""
    place = list_of(learned, port)
    flushed = u64(0)
    while learned[place + u64(Q_OLDEST)] != u64(NOTHING):
        remove(learned, learned[place + u64(Q_OLDEST)])
        flushed += u64(1)
    return flushed
