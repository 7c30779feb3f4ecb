"""TCP frames made byte by byte, for captures whose truth is known."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import ip_address

from pcaps.frames import Frames

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND, MS = 10**9, 10**6

MAC = (bytes.fromhex("020000000001"), bytes.fromhex("00155d000001"))
OPTIONS = bytes.fromhex("020405b40402080a000003e80000000001030307")  # as Linux: MSS SACK TS NOP WS


class Forge:
    """Writes down the frames of one pair of stations.

    Side 0 is the client at port 40000, side 1 the server at port 80.
    """

    def __init__(self, isn: Sequence[int] = (1000, 5000), **settings) -> None:
        self.isn, self.now, self.frames = list(isn), 10**18, []
        self.settings = {"addresses": ("10.0.0.1", "10.0.0.2"), "ports": (40000, 80), "tags": ()}
        self.settings |= settings

    def put(
        self, side: int, at: int, data: bytes = b"", ack: int | None = None, *, flags: int = 0,
        window: int = 1000, options: bytes = b"", after: int = MS, fragment: int = 0, **settings,
    ) -> None:  # fmt: skip
        """Append a frame; `at` and `ack` count from the byte behind the SYN, `ack` sets the flag."""
        self.now += after
        facts = self.settings | settings
        sequence = (self.isn[side] + 1 + at - bool(flags & SYN)) % 2**32
        number = 0 if ack is None else (self.isn[1 - side] + 1 + ack) % 2**32
        flags |= 0 if ack is None else ACK
        words = facts["ports"][side], facts["ports"][1 - side], sequence, number
        options = options.ljust(-(-len(options) // 4) * 4, b"\0")
        header = struct.pack("!HHIIBBHHH", *words, (20 + len(options)) * 4, flags, window, 0, 0)
        body = header + options + data
        for ip, part in self._packets(side, body, facts, fragment):
            kind, head = (0x86DD if ip[0] >> 4 == 6 else 0x0800), b""
            for tpid, tci in facts["tags"]:
                head += struct.pack("!HH", tpid, tci)
            frame = MAC[1 - side] + MAC[side] + head + struct.pack("!H", kind) + ip + part
            self.frames.append((frame.ljust(60, b"\xee"), self.now))

    def _packets(self, side, body, facts, fragment):
        source, target = (ip_address(facts["addresses"][k]).packed for k in (side, 1 - side))
        size = fragment or len(body)
        for at in range(0, len(body), size):
            part = body[at : at + size]
            more = at + size < len(body)
            number = len(self.frames) if at == 0 else number  # noqa: F821
            if len(source) == 16:
                extra = struct.pack("!BBHI", 6, 0, at | more, number) if fragment else b""
                following = 44 if fragment else 6
                head = struct.pack("!IHBB", 6 << 28, len(extra) + len(part), following, 64)
                yield head + source + target + extra, part
            else:
                word = at // 8 | (0x2000 if more else 0)
                head = struct.pack(
                    "!BBHHHBBH", 0x45, 0, 20 + len(part), number, word, facts.get("ttl", 64), 6, 0
                )
                yield head + source + target, part

    def shake(self, rtt: int = 2 * MS, options: bytes = OPTIONS) -> Forge:
        """Open the connection: SYN, SYN-ACK, ACK, with the capture half way."""
        self.put(0, 0, flags=SYN, options=options, window=64240)
        self.put(1, 0, b"", 0, flags=SYN, options=options, window=65160, after=rtt // 2)
        self.put(0, 0, b"", 0, after=rtt // 2)
        return self

    def end(self, sent: int, received: int) -> Forge:
        """Close it: FIN of the client, FIN of the server, ACK."""
        self.put(0, sent, b"", received, flags=FIN)
        self.put(1, received, b"", sent + 1, flags=FIN)
        self.put(0, sent + 1, b"", received + 1)
        return self

    def capture(self, *others: Forge, order: Sequence[int] | None = None) -> Frames:
        """All frames as a capture; those of several forges in order of time."""
        frames = sorted([*self.frames, *(f for other in others for f in other.frames)],
                        key=lambda one: one[1])  # fmt: skip
        frames = self.frames if not others else frames
        if order is not None:
            frames = [frames[k] for k in order]
        return Frames.from_bytes([frame for frame, _ in frames], ts_ns=[ts for _, ts in frames])
