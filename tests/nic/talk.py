"""A TCP conversation written down frame by frame, for the chimney's tests."""

from __future__ import annotations

import struct

from tcp_frames import ACK, FIN, SYN, Segment

from pcaps.frames import Frames

MS = 1_000_000
CLIENT, SERVER = 0x010000000002, 0x0100005D1500  # keys of the two addresses below
_MACS = bytes.fromhex("00155d000001020000000001"), bytes.fromhex("02000000000100155d000001")
"""Frames of the client go to 00:15:5d:00:00:01, those of the server to 02:00:00:00:00:01."""


def syn_options(mss: int = 1460, scale: int = 2) -> bytes:
    return struct.pack("!BBHBBBBBB", 2, 4, mss, 3, 3, scale, 1, 4, 2) + b"\1\1"


class Talk:
    """Side 0 is the client, side 1 the server; positions count from behind the SYN."""

    def __init__(self, isn=(1000, 5000), start_ns: int = 10**18, **settings) -> None:
        self.isn, self.now, self.settings = list(isn), start_ns, settings
        self.ends = (
            settings.pop("source", bytes([10, 0, 0, 1])),
            settings.pop("destination", bytes([10, 0, 0, 2])),
        )
        self.ports = settings.pop("ports", (40000, 80))
        self.sent = [0, 0]
        self.frames: list[tuple[bytes, int]] = []
        self.streams = [b"", b""]

    def put(self, side: int, data: bytes = b"", *, at: int | None = None, ack: int | None = None,
            flags: int = 0, after: int = MS, acked: bool = True, **changes) -> Talk:  # fmt: skip
        """Write a segment down; `at` sends what was sent before again, or jumps ahead."""
        self.now += after
        position = self.sent[side] if at is None else at
        number = self.sent[1 - side] if ack is None else ack
        base = Segment(
            payload=data, sequence=self.isn[side] + 1 + position - bool(flags & SYN),
            acknowledgment=self.isn[1 - side] + 1 + number if acked else 0,
            flags=flags | (ACK if acked else 0), macs=_MACS[side],
            source=self.ends[side], destination=self.ends[1 - side],
            ports=self.ports if side == 0 else self.ports[::-1],
        )  # fmt: skip
        self.frames.append((base.but(**self.settings | changes).frame, self.now))
        end = position + len(data) + bool(flags & FIN)
        self.sent[side] = max(self.sent[side], end)
        if data:
            grown = self.streams[side].ljust(position + len(data), b"?")
            self.streams[side] = grown[:position] + data + grown[position + len(data) :]
        return self

    def shake(self, **changes) -> Talk:
        """Open the connection."""
        options = {"options": syn_options()} | changes
        self.put(0, flags=SYN, acked=False, **options)
        self.put(1, flags=SYN, ack=0, **options)
        return self.put(0)

    def close(self) -> Talk:
        """The client ends, then the server."""
        self.put(0, flags=FIN)
        self.put(1, flags=FIN)
        return self.put(0)

    def capture(self) -> Frames:
        """All frames, in the order in which they were written."""
        return Frames.from_bytes([f for f, _ in self.frames], ts_ns=[ts for _, ts in self.frames])
