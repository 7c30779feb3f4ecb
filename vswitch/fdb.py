"""The learned forwarding table, as people and tests see it.

A learning switch notes which port each source address came from. That is one
sentence; these are the complications:

1. *Which VLAN.* An address is learned per VLAN (independent VLAN learning): the
   same address may sit behind different ports in different VLANs. The key is
   the pair.
2. *Who may be learned.* Individual addresses only. The all-zero address is one
   of them for Open vSwitch, and so for dialect ``learning``; dialect ``hyperv``
   drops such frames before they get here. Nothing is learned from a frame that
   its VLAN check or its reserved destination stopped.
3. *Moves.* An address seen on another port has moved, at once and by any frame.
   That is what a VM's announcement after a live move relies on.
4. *Static entries* neither age nor move. The frame that would have moved one is
   forwarded all the same.
5. *Age.* An entry not refreshed for the ageing time is forgotten. Time is the
   largest timestamp seen so far, because captures have timestamps that go
   backwards. Old entries are not swept: a look-up passes them over, and they
   are removed when room is needed.
6. *A full table.* The oldest entry of the port with most entries makes room, so
   that one port that floods addresses evicts its own and not those of others.
7. *Changing ports.* When ports come and go, what was learned on the ones that
   stay is kept, under their new numbers.

Dialect ``hyperv`` uses the same table, without ageing, for secondary addresses
of ports that may send with any source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pcaps.addresses import key_to_mac
from pcaps.errors import BadInput
from vswitch.fdb_kernel import (
    E_KEY,
    E_NEWER,
    E_PORT,
    E_SEEN,
    ENTRY_WORDS,
    HEAD,
    L_AGEING,
    L_CLOCK,
    L_ENTRIES,
    L_EVICTED,
    L_EXPIRED,
    L_FREE,
    L_LEARNED,
    L_MOVED,
    L_N_PORTS,
    L_PORTS,
    L_SHIFT,
    L_SIZE,
    L_SLOTS,
    L_USED,
    NOTHING,
    PORT_LISTS,
    Q_NEWEST,
    Q_OLDEST,
    STATIC,
    is_old,
    learned_find,
    learned_flush,
    learned_pin,
    learned_put,
)
from vswitch.ports import Dialect, Network
from vswitch.words_kernel import NOT_FOUND

u64 = np.uint64


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the table.

    Parameters
    ----------
    vlan : int
        VLAN, 0 = untagged domain.
    mac : int
        Address as a key.
    port : int
        Port number.
    seen_ns : int
        When it was last refreshed.
    static : bool
        Whether it neither ages nor moves.
    """

    vlan: int
    mac: int
    port: int
    seen_ns: int
    static: bool

    def __str__(self) -> str:
        kind = "static" if self.static else "learned"
        return f"{key_to_mac(self.mac)} in VLAN {self.vlan} -> port {self.port} ({kind})"


class Learned:
    """A learned table.

    Parameters
    ----------
    n_ports : int
        Ports of the switch.
    size : int
        Most entries.
    ageing_ns : int
        Ageing time in nanoseconds; 0 = entries never age.
    """

    def __init__(self, n_ports: int, size: int = 8192, ageing_ns: int = 300_000_000_000) -> None:
        bits = max(4, (size * 4 - 1).bit_length())
        ports = HEAD
        entries = ports + n_ports * PORT_LISTS
        slots = entries + size * ENTRY_WORDS
        table = np.full(slots + (1 << bits), NOTHING, np.uint64)
        table[:HEAD] = 0
        table[L_SIZE], table[L_AGEING], table[L_SHIFT] = size, ageing_ns, 64 - bits
        table[L_PORTS], table[L_ENTRIES], table[L_SLOTS] = ports, entries, slots
        table[L_N_PORTS] = n_ports
        for port in range(n_ports):
            at = ports + port * PORT_LISTS
            table[at : at + PORT_LISTS] = 0
            table[at + Q_OLDEST] = table[at + Q_NEWEST] = NOTHING
        free = np.arange(entries, slots, ENTRY_WORDS, dtype=np.uint64)
        table[entries:slots] = 0
        table[entries + E_NEWER : slots : ENTRY_WORDS] = np.append(free[1:], u64(NOTHING))
        table[L_FREE] = entries
        self.table: npt.NDArray[np.uint64] = table

    @classmethod
    def for_network(cls, network: Network) -> Learned:
        """Return the table that a network needs, with its static entries.

        Parameters
        ----------
        network : Network
            Dialect ``hyperv`` gets one without ageing.

        Returns
        -------
        Learned
            Without learned entries.

        Raises
        ------
        BadInput
            When there are more static entries than the table holds.
        """
        learning = network.dialect is Dialect.LEARNING
        ageing = int(network.ageing_s * 1e9) if learning else 0
        learned = cls(len(network.ports), network.fdb_size, ageing)
        for entry in network.static:
            learned.pin(entry.vlan, entry.mac, network.number_of(entry.port))
        return learned

    def find(self, vlan: int, mac: int) -> int | None:
        """Return the port of an address, None when it is not known (any more)."""
        port = int(learned_find(self.table, u64(vlan << 48 | mac)))
        return None if port == NOT_FOUND else port

    def put(self, vlan: int, mac: int, port: int, now_ns: int = 0) -> int:
        """Learn an address; return the kernel's event code (REFRESHED, NEW, MOVED, ...)."""
        return int(learned_put(self.table, u64(vlan << 48 | mac), u64(port), u64(now_ns)))

    def pin(self, vlan: int, mac: int, port: int) -> None:
        """Add a static entry.

        Parameters
        ----------
        vlan, mac, port : int
            VLAN, address as a key, port number.

        Raises
        ------
        BadInput
            When the table is full.
        """
        if not learned_pin(self.table, u64(vlan << 48 | mac), u64(port)):
            raise BadInput(
                f"the table is full: no room for the static entry {key_to_mac(mac)} in VLAN {vlan}"
            )

    def flush(self, port: int) -> int:
        """Forget what was learned on a port; return how many entries that were."""
        return int(learned_flush(self.table, u64(port)))

    def entries(self) -> Iterator[Entry]:
        """Yield the entries that have not aged out, oldest first, static ones included.

        Yields
        ------
        Entry
            In order of their last refresh, then by key.
        """
        slots = self.table[int(self.table[L_SLOTS]) :]
        found = []
        for at in slots[slots != u64(NOTHING)].tolist():
            if is_old(self.table, u64(at)):
                continue
            words = self.table[at : at + ENTRY_WORDS].tolist()
            key, owner = words[E_KEY], words[E_PORT]
            found.append((words[E_SEEN], key, owner))
        for seen, key, owner in sorted(found):
            yield Entry(key >> 48, key & 0xFFFFFFFFFFFF, owner & 0xFFFF, seen, bool(owner & STATIC))

    @property
    def counters(self) -> dict[str, int]:
        """How often an address was learned, moved, expired and evicted; entries in use."""
        places = {
            "entries": L_USED,
            "learned": L_LEARNED,
            "moved": L_MOVED,
            "expired": L_EXPIRED,
            "evicted": L_EVICTED,
        }
        return {name: int(self.table[place]) for name, place in places.items()}

    def moved_to(self, before: Network, after: Network) -> Learned:
        """Return this table for changed ports.

        Parameters
        ----------
        before, after : Network
            The ports that entries refer to, and the new ones; by name.

        Returns
        -------
        Learned
            Entries of ports that are gone, or whose VLAN setting changed, are
            forgotten; the clock goes on.
        """
        names = {port.name: number for number, port in enumerate(after.ports)}
        settings = {port.name: port.vlan for port in after.ports}
        table = Learned.for_network(after)
        for entry in self.entries():
            port = before.ports[entry.port]
            if not entry.static and settings.get(port.name) == port.vlan:
                table.put(entry.vlan, entry.mac, names[port.name], entry.seen_ns)
        table.table[L_CLOCK] = self.table[L_CLOCK]
        for place in (L_LEARNED, L_MOVED, L_EXPIRED, L_EVICTED):
            table.table[place] = self.table[place]
        return table


class PlainLearned:
    """The plain twin of :class:`Learned`: a dictionary and a sort.

    Parameters
    ----------
    size : int
        Most entries.
    ageing_ns : int
        Ageing time in nanoseconds; 0 = entries never age.
    """

    def __init__(self, size: int = 8192, ageing_ns: int = 300_000_000_000) -> None:
        self.size, self.ageing_ns = size, ageing_ns
        self.clock = 0
        self.ticks = 0
        self.rows: dict[tuple[int, int], tuple[int, int, int, bool]] = {}
        """(VLAN, MAC) -> port, last seen, order of refreshing, static."""

    def _old(self, row: tuple[int, int, int, bool]) -> bool:
        return bool(self.ageing_ns and not row[3] and self.clock - row[1] >= self.ageing_ns)

    def find(self, vlan: int, mac: int) -> int | None:
        """Return the port of an address, None when it is not known (any more)."""
        row = self.rows.get((vlan, mac))
        return None if row is None or self._old(row) else row[0]

    def put(self, vlan: int, mac: int, port: int, now_ns: int = 0) -> str:
        """Learn an address; return what it meant: new, refreshed, moved, static, full."""
        self.clock = max(self.clock, now_ns)
        row = self.rows.get((vlan, mac))
        if row is not None and row[3]:
            return "static"
        if row is None and len(self.rows) >= self.size:
            self._make_room()
            if len(self.rows) >= self.size:
                return "full"
        self.ticks += 1
        self.rows[vlan, mac] = (port, self.clock, self.ticks, False)
        if row is None or self._old(row):
            return "new"
        return "refreshed" if row[0] == port else "moved"

    def pin(self, vlan: int, mac: int, port: int) -> None:
        """Add a static entry."""
        self.rows[vlan, mac] = (port, self.clock, 0, True)

    def _make_room(self) -> None:
        old = [key for key, row in self.rows.items() if self._old(row)]
        for key in old:
            del self.rows[key]
        dynamic = [(key, row) for key, row in self.rows.items() if not row[3]]
        if old or not dynamic:
            return
        ports = [row[0] for _, row in dynamic]
        busiest = max(sorted(set(ports)), key=ports.count)
        victim = min((row[2], key) for key, row in dynamic if row[0] == busiest)[1]
        del self.rows[victim]
