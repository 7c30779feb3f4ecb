"""TCP and UDP frames made byte by byte, every checksum right, and hypothesis strategies for them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from pcaps.checksums import internet_checksum

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
TIMESTAMPS = b"\1\1\x08\x0a" + struct.pack("!II", 1000, 2000)


def timestamps(value: int, echo: int = 2000) -> bytes:
    return b"\1\1\x08\x0a" + struct.pack("!II", value % 2**32, echo % 2**32)


@dataclass(frozen=True)
class Segment:
    """What a frame is made of."""

    payload: bytes = b""
    sequence: int = 1000
    acknowledgment: int = 5000
    flags: int = ACK
    window: int = 512
    options: bytes = b""
    source: bytes = bytes([10, 0, 0, 1])
    destination: bytes = bytes([10, 0, 0, 2])
    ports: tuple[int, int] = (40000, 80)
    protocol: int = 6
    ident: int = 7
    ttl: int = 64
    tos: int = 0
    fragment: int = 0x4000
    ip_options: bytes = b""
    tags: tuple[tuple[int, int], ...] = ()
    macs: bytes = bytes.fromhex("00155d000001020000000001")
    urgent: int = 0
    padding: bytes = b""

    def but(self, **changes) -> Segment:
        return replace(self, **changes)

    @property
    def frame(self) -> bytes:
        six = len(self.source) == 16
        l2 = self.macs + b"".join(struct.pack("!HH", *tag) for tag in self.tags)
        l2 += struct.pack("!H", 0x86DD if six else 0x0800)
        l4 = self._transport()
        pseudo = self.source + self.destination + struct.pack("!II", len(l4), self.protocol)
        total = internet_checksum(pseudo + l4)
        at = 16 if self.protocol == 6 else 6
        if self.protocol in (6, 17):
            l4 = l4[:at] + struct.pack("!H", total or (0xFFFF if at == 6 else 0)) + l4[at + 2 :]
        if six:
            extension = self.ip_options
            following = 0 if extension else self.protocol
            word = 6 << 28 | self.tos << 20
            head = struct.pack("!IHBB", word, len(extension) + len(l4), following, self.ttl)
            return l2 + head + self.source + self.destination + extension + l4 + self.padding
        head_bytes = 20 + len(self.ip_options)
        head = struct.pack(
            "!BBHHHBBH", 0x40 | head_bytes // 4, self.tos, head_bytes + len(l4), self.ident,
            self.fragment, self.ttl, self.protocol, 0,
        ) + self.source + self.destination + self.ip_options  # fmt: skip
        head = head[:10] + struct.pack("!H", internet_checksum(head)) + head[12:]
        return l2 + head + l4 + self.padding

    def _transport(self) -> bytes:
        if self.protocol == 17:
            return struct.pack("!HHHH", *self.ports, 8 + len(self.payload), 0) + self.payload
        if self.protocol != 6:
            return self.payload
        word = (20 + len(self.options)) // 4 << 12 | self.flags
        return (
            struct.pack(
                "!HHIIHHHH", *self.ports, self.sequence % 2**32, self.acknowledgment % 2**32,
                word, self.window, 0, self.urgent,
            ) + self.options + self.payload
        )  # fmt: skip


HOP_BY_HOP = bytes([6, 0, 1, 4, 0, 0, 0, 0])
"""An IPv6 extension header, followed by TCP."""

SIX = {"source": bytes(range(16)), "destination": bytes(range(16, 32))}

addresses = st.one_of(
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)
words = st.integers(0, 2**32 - 1)


@st.composite
def segments(draw, payload_bytes: int = 200) -> Segment:
    """Any TCP, UDP or other packet; every field that a rule looks at is drawn."""
    source, destination = draw(addresses)
    six = len(source) == 16
    protocol = draw(st.sampled_from([6, 6, 6, 17, 1]))
    extension = HOP_BY_HOP if six and protocol == 6 else bytes(4) if not six else b""
    return Segment(
        payload=draw(st.binary(max_size=payload_bytes)),
        sequence=draw(words), acknowledgment=draw(words),
        flags=draw(st.sampled_from([ACK, ACK, ACK | PSH, ACK | FIN, SYN, RST, ACK | URG,
                                    ACK | CWR | PSH | FIN, ACK | ECE])),
        window=draw(st.integers(0, 65535)),
        options=draw(st.sampled_from([b"", b"", TIMESTAMPS, b"\1\1\5\x0a" + bytes(8)])),
        source=source, destination=destination,
        ports=(draw(st.integers(0, 65535)), draw(st.integers(0, 65535))),
        protocol=protocol, ident=draw(st.integers(0, 65535)), ttl=draw(st.integers(1, 255)),
        tos=draw(st.integers(0, 255)),
        fragment=draw(st.sampled_from([0x4000, 0x4000, 0, 0x2000, 100])) if not six else 0x4000,
        ip_options=draw(st.sampled_from([b"", b"", extension])),
        tags=draw(st.sampled_from([(), (), ((0x8100, 0x2014),), ((0x88A8, 100), (0x8100, 20))])),
        padding=draw(st.sampled_from([b"", b"", bytes(6)])),
    )  # fmt: skip


@st.composite
def frames(draw, payload_bytes: int = 200) -> bytes:
    """Any such frame; now and then with a bit turned, or cut."""
    frame = draw(segments(payload_bytes)).frame
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return frame[: draw(st.integers(0, len(frame)))]
    if kind == 1:
        place = draw(st.integers(12, len(frame) - 1))
        return (
            frame[:place]
            + bytes([frame[place] ^ 1 << draw(st.integers(0, 7))])
            + frame[place + 1 :]
        )
    return frame
