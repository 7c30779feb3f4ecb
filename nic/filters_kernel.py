"""The adapter's receive filters, compiled: MAC and VLAN of a frame -> VM queue.

One uint64 array, built by :func:`nic.filters.compile_filters` and never edited in
place:

    0  shift of the multiply-shift hash
    1  flags, the ``T_`` constants
    2  longest frame in bytes, without 802.1Q tag (*JumboPacket)
    3  the adapter's own address
    4  first word of the hash table: key and value by turns, all ones = empty

A key is a MAC address with, in its high 16 bits, the VID that is tested (0 = the
filter takes untagged and VID 0 frames), or MAC_ONLY, or KNOWN_MAC: "some filter
has this address". A value is the queue with, from bit 16 on, the filter's place
in the order in which filters are tried.
"""

from __future__ import annotations

from typing import Any

from pcaps.jit import kernel
from pcaps.memory import rare, u64

T_SHIFT, T_FLAGS, T_LONGEST, T_OWN_MAC, T_TABLE = range(5)
T_MAC_ONLY, T_DROP_MISMATCH, T_PROMISCUOUS = 1, 2, 4

MAC_ONLY = 0xFFF << 48
KNOWN_MAC = 0x1000 << 48
NONE = 0xFFFFFFFFFFFFFFFF
HASH_FACTOR = 0x9E3779B97F4A7C15

PLACE_DROP = 1 << 16
"""Set in the answer when the adapter drops the frame; the reason is in the low 8 bits."""

OVER_SIZE, VLAN_MISMATCH, NOT_ACCEPTED = 40, 41, 42


@kernel(forceinline=True, _nrt=False)
def find(table: Any, key: Any) -> Any:
    """Value beside `key`, or NONE."""
    shift = table[T_SHIFT]
    slot = (key * u64(HASH_FACTOR)) >> shift
    while True:
        found = table[u64(T_TABLE) + u64(2) * slot]
        if found == key:
            return table[u64(T_TABLE + 1) + u64(2) * slot]
        if found == u64(NONE):
            return u64(NONE)
        slot = (slot + u64(1)) & ((u64(1) << (u64(64) - shift)) - u64(1))


@kernel(forceinline=True, _nrt=False)
def place(table: Any, mac: Any, vid: Any, length: Any) -> Any:
    """Return the VM queue of a frame, 0 for the default queue, or PLACE_DROP and a reason.

    mac: key of the destination; vid: VID, 0 for untagged and VID 0 frames;
    length: bytes on the wire without the 802.1Q tag.
    """
    if rare(length > table[T_LONGEST]):
        return u64(PLACE_DROP | OVER_SIZE)
    flags = table[T_FLAGS]
    value = find(table, (vid << u64(48)) | mac)
    if flags & u64(T_MAC_ONLY):
        # Rule: vmq-receive-filters, queues are tried one after the other, first match wins
        other = find(table, u64(MAC_ONLY) | mac)
        if value == u64(NONE) or (other != u64(NONE) and other >> u64(16) < value >> u64(16)):
            value = other
    if value != u64(NONE):
        return value & u64(0xFFFF)
    if flags & u64(T_DROP_MISMATCH) and find(table, u64(KNOWN_MAC) | mac) != u64(NONE):
        return u64(PLACE_DROP | VLAN_MISMATCH)
    if flags & u64(T_PROMISCUOUS) or mac & u64(1) or mac == table[T_OWN_MAC]:
        return u64(0)
    return u64(PLACE_DROP | NOT_ACCEPTED)
