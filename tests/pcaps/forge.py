"""Captures in every format, made by hand, and mutations that know the formats."""

from __future__ import annotations

import random
import struct
from itertools import pairwise


def classic(frames, order="<", magic=0xA1B2C3D4, link=1, snaplen=262144):
    """frames: (seconds, fraction, data, wirelen)."""
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)
    extra = struct.pack(order + "IHBB", 1, 0x0800, 0, 0) if magic == 0xA1B2CD34 else b""
    for seconds, fraction, data, wirelen in frames:
        out += struct.pack(order + "IIII", seconds, fraction, len(data), wirelen) + extra + data
    return out


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    total = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + total + body + total


def option(code, value, order="<"):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order="<", options=b""):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options, order)


def interface(link=1, snaplen=0, order="<", options=b""):
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(data, units=0, number=0, wirelen=None, order="<", options=b""):
    size = len(data) if wirelen is None else wirelen
    head = struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(data), size)
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def simple(data, wirelen=None, order="<"):
    return block(
        3, struct.pack(order + "I", len(data) if wirelen is None else wirelen) + data, order
    )


def obsolete(data, units=0, number=0, order="<"):
    head = struct.pack(
        order + "HHIIII", number, 0, units >> 32, units & 0xFFFFFFFF, len(data), len(data)
    )
    return block(2, head + data, order)


INTERESTING = (0, 1, 4, 11, 12, 13, 14, 16, 28, 32, 255, 65535, 262144, 262145, 2**31, 2**32 - 1)


def structure(raw: bytes) -> tuple[str, list[int], list[int]]:
    """Find what a capture is made of: its byte order, its units, its 32-bit fields.

    Returns
    -------
    tuple of str, list of int, list of int
        ``<`` or ``>``; offsets at which a record or block begins, and the end;
        offsets of lengths, numbers, times and types.
    """
    if raw[:4] == b"\n\r\r\n":
        return _blocks(raw)
    order = "<" if raw[:1] in (b"\xd4", b"\x4d", b"\x34") else ">"
    header = 24 if raw[:4] in (b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34") else 16
    units, fields, at = [], [0, 4, 16, 20], 24
    while at + header <= len(raw):
        units.append(at)
        fields += [at, at + 4, at + 8, at + 12]
        at += header + struct.unpack_from(order + "I", raw, at + 8)[0]
    return order, [*units, min(at, len(raw))], fields


def _blocks(raw: bytes) -> tuple[str, list[int], list[int]]:
    order, units, fields, at = "<", [], [], 0
    while at + 12 <= len(raw):
        if raw[at : at + 4] == b"\n\r\r\n":
            order = "<" if raw[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        size = struct.unpack_from(order + "I", raw, at + 4)[0]
        if size < 12 or at + size > len(raw):
            break
        units.append(at)
        # what stands behind the first fields are data or options: code and length share a field
        fields += [*range(at, at + min(size, 44), 4), at + size - 4]
        at += size
    return order, [*units, at], fields


def mutate_structure(raw: bytes, draw: random.Random) -> bytes:
    """Change fields of a sound capture, or repeat, drop and swap its records and blocks."""
    order, units, fields = structure(raw)
    data = bytearray(raw)
    for _ in range(draw.randint(1, 3)):
        at = draw.choice(fields)
        old = struct.unpack_from(order + "I", raw, at)[0]
        near = (old + draw.choice((-4, -1, 1, 4))) & 0xFFFFFFFF
        new = draw.choice((near, near, old ^ 0x80000000, len(raw) - at, draw.choice(INTERESTING)))
        struct.pack_into(order + "I", data, at, new & 0xFFFFFFFF)
    if len(units) > 2 and draw.random() < 0.4:
        pieces = [bytes(data[a:b]) for a, b in pairwise([*units, len(data)])]
        first, second = draw.randrange(len(pieces)), draw.randrange(len(pieces))
        kind = draw.randrange(3)
        if kind == 0:
            pieces.insert(first, pieces[second])
        elif kind == 1:
            del pieces[first]
        else:
            pieces[first], pieces[second] = pieces[second], pieces[first]
        data = data[: units[0]] + b"".join(pieces)
    return bytes(data)


def mutate(raw: bytes, draw: random.Random) -> bytes:
    """Damage a capture the way captures are damaged: lengths, types, cuts, splices, bits."""
    data = bytearray(raw)
    for _ in range(draw.randint(1, 4)):
        if len(data) < 8:
            break
        at = draw.randrange(0, len(data) - 4)
        at -= at % draw.choice((1, 4, 4))
        pick = draw.random()
        if pick < 0.35:
            order = draw.choice("<>")
            struct.pack_into(order + "I", data, at, draw.choice(INTERESTING))
        elif pick < 0.5:
            data[at] ^= 1 << draw.randrange(8)
        elif pick < 0.65:
            del data[draw.randrange(len(data)) :]
        elif pick < 0.8:
            other = draw.randrange(0, len(data) - 4)
            data[at:at] = data[other : other + draw.choice((4, 12, 32, 100))]
        elif pick < 0.9:
            del data[at : at + draw.choice((1, 4, 16))]
        else:
            data += bytes(draw.randrange(40))
    return bytes(data)


def random_frame_bytes(draw: random.Random) -> bytes:
    size = draw.choice((0, 1, 13, 14, 17, 18, 34, 60, 64, 90, 200, 1514))
    return bytes(draw.randrange(256) for _ in range(min(size, 120))) + bytes(max(0, size - 120))


def random_classic(draw: random.Random) -> bytes:
    frames = []
    for _ in range(draw.randint(0, 8)):
        data = random_frame_bytes(draw)
        wirelen = draw.choice((len(data), len(data), len(data) + 4, draw.choice(INTERESTING)))
        frames.append(
            (draw.choice((0, 1700000000, 2**32 - 1)), draw.randrange(2**20), data, wirelen)
        )
    magic = draw.choice((0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34))
    link = draw.choice((1, 1, 1, 1 | 0x24000000, 0x10001))
    return classic(frames, draw.choice("<>"), magic, link)


def random_pcapng(draw: random.Random) -> bytes:
    out = b""
    for _ in range(draw.randint(1, 3)):
        order = draw.choice("<>")
        out += section(order, option(1, b"a comment", order) if draw.random() < 0.3 else b"")
        described = draw.randint(0, 3)
        for _ in range(described):
            options = b""
            if draw.random() < 0.6:
                options += option(
                    9, bytes([draw.choice((6, 9, 3, 0, 12, 19, 30, 0x80 | 10, 0x80 | 40))]), order
                )
            if draw.random() < 0.3:
                offset = draw.choice((0, 5, -5, -(2**62), 2**62))
                options += option(14, struct.pack(order + "q", offset), order)
            if draw.random() < 0.2:
                options += option(13, b"\4", order)
            link = draw.choice((1, 1, 1, 113))
            out += interface(link, draw.choice((0, 96, 65535)), order, options)
        for _ in range(draw.randint(0, 6)):
            data = random_frame_bytes(draw)
            number = draw.randrange(max(1, described)) if draw.random() < 0.95 else 7
            units = draw.choice((0, 1, 1_700_000_000_000_000, 2**63 + 6, 2**64 - 1))
            note = option(1, b"why", order) + option(0, b"", order) if draw.random() < 0.3 else b""
            out += draw.choice(
                (
                    enhanced(data, units, number, None, order, note),
                    simple(data, None, order),
                    obsolete(data, units, number, order),
                    block(draw.choice((4, 5, 0xBAD, 0x40000BAD)), b"\0\1\2\3" * 3, order),
                )
            )
    return out
