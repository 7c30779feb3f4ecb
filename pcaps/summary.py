"""What is in a capture: the figures behind ``vswitch capture info``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pcaps.addresses import is_group, key_to_mac
from pcaps.capture import Capture
from pcaps.checksums import BAD, verify_checksums
from pcaps.headers import parse_headers

SIZES = (64, 128, 256, 512, 1024, 1518, 9018)
TOP = 10


@dataclass(slots=True)
class Summary:
    """Figures of a capture, added up chunk by chunk.

    Parameters
    ----------
    first_ns, last_ns : int or None
        Earliest and latest time.
    backwards : int
        Frames earlier than the one before them.
    cut : int
        Frames with fewer captured bytes than were on the wire.
    largest : int
        Longest frame on the wire, in bytes.
    bad_ip, bad_transport : int
        Frames with a wrong IPv4 header, or TCP/UDP/ICMPv6, checksum.
    vlans, destinations, tpids, sizes, protocols : Counter
        Frames by outer VID (None = untagged), destination, TPID, size class, protocol.
    before_ns : int or None
        Time of the last frame so far.
    """

    first_ns: int | None = None
    last_ns: int | None = None
    backwards: int = 0
    cut: int = 0
    largest: int = 0
    bad_ip: int = 0
    bad_transport: int = 0
    vlans: Counter[int | None] = field(default_factory=Counter)
    destinations: Counter[int] = field(default_factory=Counter)
    tpids: Counter[int] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    protocols: Counter[str] = field(default_factory=Counter)
    before_ns: int | None = None

    def add(self, capture: Capture) -> None:
        """Add all frames of a capture."""
        for frames in capture:
            headers = parse_headers(frames)
            self._add_times(frames.ts_ns)
            self.cut += int(np.count_nonzero(frames.caplen < frames.wirelen))
            self.largest = max(self.largest, int(frames.wirelen.max(initial=0)))
            checked = verify_checksums(frames)
            self.bad_ip += int(np.count_nonzero(checked.ip == BAD))
            self.bad_transport += int(np.count_nonzero(checked.transport == BAD))
            whole = headers.raw[0] != np.uint64(0xFFFFFFFFFFFFFFFF)
            for vid, count in _count(headers.outer_vid[whole]):
                self.vlans[None if vid < 0 else vid] += count
            for tpid, count in _count(headers.outer_tpid[headers.tags > 0]):
                self.tpids[tpid] += count
            for mac, count in _count(headers.destination[whole]):
                self.destinations[mac] += count
            self._add_sizes(frames.wirelen)
            self._add_protocols(headers.ethertype, headers.protocol)

    def _add_times(self, times: Any) -> None:
        if not len(times):
            return
        self.first_ns = min(
            int(times.min()), self.first_ns if self.first_ns is not None else 1 << 63
        )
        self.last_ns = max(int(times.max()), self.last_ns or 0)
        if self.before_ns is not None and int(times[0]) < self.before_ns:
            self.backwards += 1
        self.backwards += int(np.count_nonzero(np.diff(times) < 0))
        self.before_ns = int(times[-1])

    def _add_sizes(self, lengths: Any) -> None:
        for place, count in _count(np.searchsorted(SIZES, lengths)):
            label = f"<= {SIZES[place]}" if place < len(SIZES) else f"> {SIZES[-1]}"
            self.sizes[label] += count

    def _add_protocols(self, ethertypes: Any, protocols: Any) -> None:
        names = {0x0806: "ARP", 0x0800: "IPv4", 0x86DD: "IPv6"}
        transports = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
        for ethertype, count in _count(ethertypes):
            if ethertype < 0:
                name = "runt"
            elif ethertype < 0x600:
                name = "LLC"
            else:
                name = names.get(ethertype, f"{ethertype:#06x}")
            self.protocols[name] += count
        for protocol, count in _count(protocols[protocols >= 0]):
            self.protocols[transports.get(protocol, f"IP protocol {protocol}")] += count

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as in ``vswitch capture info --json``."""
        return {
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "duration_s": None
            if self.first_ns is None or self.last_ns is None
            else (self.last_ns - self.first_ns) / 1e9,
            "backwards": self.backwards,
            "cut": self.cut,
            "largest": self.largest,
            "bad_checksums": {"ip": self.bad_ip, "transport": self.bad_transport},
            "vlans": [
                {"vlan": vid, "frames": n}
                for vid, n in sorted(
                    self.vlans.items(), key=lambda one: (one[0] is not None, one[0])
                )
            ],
            "tpids": {f"{tpid:#06x}": n for tpid, n in self.tpids.items()},
            "destinations": len(self.destinations),
            "top_destinations": [
                {"mac": key_to_mac(mac), "group": is_group(mac), "frames": n}
                for mac, n in self.destinations.most_common(TOP)
            ],
            "sizes": {
                label: self.sizes[label]
                for label in [*(f"<= {size}" for size in SIZES), f"> {SIZES[-1]}"]
                if self.sizes[label]
            },
            "protocols": dict(self.protocols.most_common()),
        }


def _count(values: Any) -> list[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
