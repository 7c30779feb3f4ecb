"""Receive side scaling: an adapter spreads connections over its receive queues.

A hash of addresses and ports chooses an entry of the indirection table, the
entry a queue; so a connection stays on one queue, and different connections
use different processors. An adapter bound to a switch places frames by MAC and
VLAN instead (VMQ); it never does both.

Guarantees
----------
* All frames of one direction of a connection have one queue, fragments apart.
* A frame without a hash goes to queue 0, as without RSS.

Sources: NDIS documentation, network/rss-hashing-types, network/rss-configuration,
network/verifying-the-rss-hash-calculation (key and vectors; read).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

from nic import rss_kernel as k
from pcaps.errors import BadInput
from pcaps.frames import Frames

DEFAULT_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)
"""The key of the published test vectors (read: verifying-the-rss-hash-calculation)."""

KEY_BYTES = 40
TABLE_SIZE = 128
"""Entries of the indirection table (read: rss-configuration, at most 128, a power of two)."""

DEFAULT_QUEUE = 0


class HashType(IntFlag):
    """What a hash may be made of; NDIS_HASH_ flags of the same names."""

    IPV4 = k.H_IPV4
    TCP_IPV4 = k.H_TCP_IPV4
    UDP_IPV4 = k.H_UDP_IPV4
    IPV6 = k.H_IPV6
    TCP_IPV6 = k.H_TCP_IPV6
    UDP_IPV6 = k.H_UDP_IPV6

    @property
    def label(self) -> str:
        """Name for people and JSON, such as ``tcp-ipv4``."""
        return "none" if not self else (self.name or "").lower().replace("_", "-")


DEFAULT_TYPES = HashType.IPV4 | HashType.TCP_IPV4 | HashType.IPV6 | HashType.TCP_IPV6
"""The types of NDIS 6.20; those of UDP came later."""


def hash_types(names: Sequence[str]) -> HashType:
    """Return hash types by name.

    Parameters
    ----------
    names : sequence of str
        Such as ``["ipv4", "tcp-ipv4"]``.

    Returns
    -------
    HashType
        All of them together.

    Raises
    ------
    BadInput
        When there is none of a name.
    """
    known = {one.label: one for one in HashType}
    found = HashType(0)
    for name in names:
        if name not in known:
            raise BadInput(f"unknown hash type '{name}'; use {', '.join(known)}")
        found |= known[name]
    return found


@dataclass(frozen=True, eq=False)
class Spread:
    """Where the frames of a batch went.

    Parameters
    ----------
    hash : numpy.ndarray
        ``uint32[n]``: 0 for frames without one.
    type : numpy.ndarray
        ``uint8[n]``: the :class:`HashType` that was used, 0 for none.
    queue : numpy.ndarray
        ``uint16[n]``: receive queue.
    """

    hash: npt.NDArray[np.uint32]
    type: npt.NDArray[np.uint8]
    queue: npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Rss:
    """An adapter's settings for receive side scaling.

    Parameters
    ----------
    table : numpy.ndarray
        ``uint16[size]``: the indirection table, a queue in each entry; the size is
        a power of two.
    key : bytes
        Secret key, 40 bytes.
    types : HashType
        What a hash may be made of.

    Raises
    ------
    BadInput
        When the size of the table or the key does not fit.
    """

    table: npt.NDArray[np.uint16]
    key: bytes = DEFAULT_KEY
    types: HashType = DEFAULT_TYPES

    def __post_init__(self) -> None:
        size = len(self.table)
        if not 1 <= size <= TABLE_SIZE or size & (size - 1):
            raise BadInput(
                f"an indirection table of {size} entries: use a power of two up to {TABLE_SIZE}"
            )
        if len(self.key) != KEY_BYTES:
            raise BadInput(f"an RSS key of {len(self.key)} bytes: it has {KEY_BYTES}")

    @classmethod
    def over(cls, queues: int, *, size: int = TABLE_SIZE, key: bytes = DEFAULT_KEY,
             types: HashType = DEFAULT_TYPES) -> Rss:  # fmt: skip
        """Return settings that use queues in turn, as a host fills the table at first.

        Parameters
        ----------
        queues : int
            Receive queues, at least 1; not more than the table has entries.
        size : int
            Entries of the table.
        key : bytes
            Secret key.
        types : HashType
            What a hash may be made of.

        Returns
        -------
        Rss
            Entry n has queue n mod `queues`.

        Raises
        ------
        BadInput
            When there is no queue, or an entry too few.
        """
        if not 1 <= queues <= size:
            raise BadInput(f"{queues} queues for an indirection table of {size}: use 1 to {size}")
        return cls((np.arange(size) % queues).astype(np.uint16), key, types)

    @property
    def queues(self) -> int:
        """Receive queues: one more than the highest number in the table."""
        return int(self.table.max()) + 1

    @cached_property
    def tables(self) -> npt.NDArray[np.uint32]:
        """``uint32[PLACES * 256]``: what each byte at each place adds to the hash."""
        bits = int.from_bytes(self.key, "big")
        windows = [bits >> (8 * len(self.key) - 32 - n) & 0xFFFFFFFF for n in range(8 * k.PLACES)]
        single = np.array(windows, np.uint32).reshape(k.PLACES, 8)
        tables = np.zeros((k.PLACES, 256), np.uint32)
        for bit in range(8):
            has = np.arange(256) >> (7 - bit) & 1 == 1
            tables[:, has] ^= single[:, bit : bit + 1]
        return tables.reshape(-1)

    def hash_of(
        self,
        source: IPv4Address | IPv6Address,
        destination: IPv4Address | IPv6Address,
        ports: tuple[int, int] | None = None,
    ) -> int:
        """Return the hash of one pair of addresses, whatever types are allowed.

        Parameters
        ----------
        source, destination : ipaddress.IPv4Address or IPv6Address
            Of one version.
        ports : tuple of (int, int), optional
            Source and destination port; addresses only without.

        Returns
        -------
        int
            32 bits.

        Raises
        ------
        BadInput
            When the versions differ.
        """
        if source.version != destination.version:
            raise BadInput(f"{source} and {destination} are not of one IP version")
        data = source.packed + destination.packed
        if ports is not None:
            data += ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big")
        rows = self.tables.reshape(k.PLACES, 256)
        return int(np.bitwise_xor.reduce([rows[place, byte] for place, byte in enumerate(data)]))

    def queue_of(self, hash_value: int) -> int:
        """Return the queue that a hash leads to.

        Parameters
        ----------
        hash_value : int
            32 bits.

        Returns
        -------
        int
            Its low bits choose the entry.
        """
        # Rule: rss-configuration, the least significant bits are the index
        return int(self.table[hash_value & (len(self.table) - 1)])

    def spread(self, frames: Frames) -> Spread:
        """Choose a queue for each frame of a batch.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Returns
        -------
        Spread
            Columns of the batch's length.
        """
        n = len(frames)
        hashes, types = np.zeros(n, np.uint32), np.zeros(n, np.uint8)
        k.hash_frames(
            frames.data, frames.headers.columns, self.tables, np.uint64(self.types), hashes, types
        )
        chosen = self.table[hashes & np.uint32(len(self.table) - 1)]
        # Rule: rss-hashing-types, without a hash as without RSS
        queue = np.where(types == k.H_NONE, np.uint16(DEFAULT_QUEUE), chosen)
        return Spread(hashes, types, queue)
