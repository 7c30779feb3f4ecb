"""The TCP segments of a capture, as the ends that are on a host receive and send them.

Fragments are joined first, as the host does for the adapter; such segments, and those
with IP options, are marked. Checksums are not looked at: a capture on a sending host shows
none that is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address

from nic.tcp_segment import NO_OPTIONS, SYN, Options, Segment
from pcaps.fragments import Fragments
from pcaps.frames import Frames

_TCP = 6
_PLAIN_TIMESTAMPS = b"\1\1\x08\x0a"


@dataclass(frozen=True)
class Ends:
    """Both ends of a connection, seen from the one on the host.

    Parameters
    ----------
    mac, peer_mac : int
        MAC addresses as keys.
    address, peer_address : bytes
        IP addresses.
    port, peer_port : int
        TCP ports.
    vlan : int
        VID of the frame's outer tag, 0 when untagged.
    key : tuple
        What tells connections apart.
    """

    mac: int
    peer_mac: int
    address: bytes
    peer_address: bytes
    port: int
    peer_port: int
    vlan: int
    key: tuple[object, ...]

    @cached_property
    def hashed(
        self,
    ) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address, tuple[int, int]]:
        """What RSS hashes of a received frame: source, destination, ports."""
        ends = ip_address(self.peer_address), ip_address(self.address)
        return *ends, (self.peer_port, self.port)

    def __str__(self) -> str:
        own, peer = ip_address(self.address), ip_address(self.peer_address)
        if own.version == 6:
            return f"[{own}]:{self.port} from [{peer}]:{self.peer_port}"
        return f"{own}:{self.port} from {peer}:{self.peer_port}"


class SegmentReader:
    """Finds the segments of batches.

    Parameters
    ----------
    local : frozenset of int, optional
        MAC addresses of the ends on the host; all by default.
    by_vlan : bool
        Whether the VLAN is part of a connection's key.

    Attributes
    ----------
    segments, fragments : int
        Frames with a TCP segment of such an end; fragments that were joined.
    """

    def __init__(self, local: frozenset[int] | None, by_vlan: bool) -> None:
        self.segments = 0
        self._local, self._by_vlan = local, by_vlan
        self._fragments = Fragments()

    @property
    def fragments(self) -> int:
        """Fragments that became part of a segment."""
        return self._fragments.joined

    def read(self, frames: Frames) -> Iterator[tuple[int, Ends, bool, Segment, int]]:
        """Find the segments of a batch.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Yields
        ------
        tuple of int, Ends, bool, Segment and int
            Place of the frame, the end, whether it receives the segment (else it sends
            it), the segment, and the bytes of its data that were captured. A segment
            between two ends of the host comes twice: sent, then received.
        """
        for part, places, joined in self._fragments.join(frames):
            yield from self._whole(part, places.tolist(), joined)

    def _whole(
        self, frames: Frames, places: list[int], joined: bool
    ) -> Iterator[tuple[int, Ends, bool, Segment, int]]:
        headers = frames.headers
        usable = (headers.protocol == _TCP) & (headers.payload_offset >= 0)
        usable &= headers.fragment == 0
        columns = zip(
            usable.nonzero()[0].tolist(),
            *(
                column[usable].tolist()
                for column in (
                    headers.source, headers.destination, headers.outer_vid, headers.l3_offset,
                    headers.l4_offset, headers.payload_offset, headers.payload_bytes,
                    headers.ip_version, headers.source_port, headers.destination_port,
                    headers.sequence, headers.acknowledgement, headers.tcp_flags, headers.window,
                    frames.start.astype("int64") + frames.caplen, frames.ts_ns,
                )
            ),
            strict=True,
        )  # fmt: skip
        data = memoryview(frames.data)  # type: ignore[arg-type]
        for (
            row, source, destination, vid, l3, l4, body, size, version, port, to_port, sequence,
            acknowledgment, flags, window, stop, ts_ns,
        ) in columns:  # fmt: skip
            sends = self._local is None or source in self._local
            receives = self._local is None or destination in self._local
            if not sends and not receives:
                continue
            self.segments += 1
            first, last = (l3 + 12, l3 + 20) if version == 4 else (l3 + 8, l3 + 40)
            both, half = bytes(data[first:last]), (last - first) // 2
            captured = max(0, min(size, stop - body))
            payload = bytes(data[body : body + captured])
            detour = joined or l4 - l3 != (20 if version == 4 else 40)
            segment = Segment(
                ts_ns, sequence, acknowledgment, flags & 0xFF, window,
                payload if captured == size else payload.ljust(size, b"\0"),
                read_options(bytes(data[l4 + 20 : min(body, stop)]), flags), detour,
            )  # fmt: skip
            vlan = max(vid, 0)
            key_vlan = vlan if self._by_vlan else 0
            address, peer = both[:half], both[half:]
            if sends:
                key = (key_vlan, address, peer, port, to_port)
                yield places[row], Ends(source, destination, address, peer, port, to_port, vlan, key), False, segment, captured  # fmt: skip
            if receives:
                key = (key_vlan, peer, address, to_port, port)
                yield places[row], Ends(destination, source, peer, address, to_port, port, vlan, key), True, segment, captured  # fmt: skip


def read_options(options: bytes, flags: int) -> Options:
    """Read the options of a segment.

    Parameters
    ----------
    options : bytes
        What stands behind the 20 bytes of the header.
    flags : int
        Only a SYN offers MSS, window scale and SACK.

    Returns
    -------
    Options
        Up to the first that is not sound. Rule: RFC 9293 section 3.2.
    """
    if not options:
        return NO_OPTIONS
    if options[:4] == _PLAIN_TIMESTAMPS and len(options) == 12:
        return Options(_two_words(options[4:]))
    found = NO_OPTIONS
    at, syn = 0, bool(flags & SYN)
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            break
        kind, value = options[at], options[at + 2 : at + size]
        if kind == 8 and size == 10:
            found = found._replace(timestamps=_two_words(value))
        elif kind == 2 and size == 4 and syn:
            found = found._replace(mss=int.from_bytes(value, "big"))
        elif kind == 3 and size == 3 and syn:
            found = found._replace(scale=value[0])
        elif kind == 4 and syn:
            found = found._replace(sack=True)
        at += size
    return found


def _two_words(value: bytes) -> tuple[int, int]:
    return int.from_bytes(value[:4], "big"), int.from_bytes(value[4:8], "big")
