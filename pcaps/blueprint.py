"""Frames before they are built: columns that say what each is to be.

Guarantees
----------
* Built frames are valid: lengths and IPv4, UDP and TCP checksums are right, and
  bytes that no protocol claims are zero.
* The payload is the text of the character generator protocol (RFC 864), cut at
  any place, so that a stream that is followed in Wireshark reads on.

scapy makes the header templates, and :func:`as_scapy` rebuilds any single frame
by scapy alone: that is what the kernel is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pcaps.frames import PAD, Frames

if TYPE_CHECKING:
    from pcaps.traffic_kernel import Blueprint

UDP, TCP, TCP_SYN, TCP_SYN_JUMBO = 0, 1, 2, 3
"""Templates; the SYN templates offer an MSS of 1460 and 8960."""

PERIOD = 95 * 74
"""Length in bytes after which the payload text repeats."""

LONGEST_PAYLOAD = 65_535 - 28
MSS, JUMBO_MSS = 1460, 8960
WINDOW_SHIFT = 7

_TYPES = {
    "ts_ns": np.int64, "template": np.uint8, "length": np.uint32, "payload_bytes": np.uint32,
    "payload_at": np.uint32, "destination": np.uint64, "source": np.uint64, "tag": np.uint32,
    "inner_tag": np.uint32, "source_ip": np.uint32, "destination_ip": np.uint32,
    "source_port": np.uint16, "destination_port": np.uint16, "ip_id": np.uint16,
    "sequence": np.uint32, "acknowledgment": np.uint32, "flags": np.uint8, "window": np.uint16,
}  # fmt: skip

HEADER_BYTES = (42, 54, 66, 66)
"""For each template: Ethernet, IPv4 and UDP or TCP header, without tags."""


def blueprint(n: int, **columns: npt.ArrayLike) -> Blueprint:
    """Return a blueprint of n frames.

    Parameters
    ----------
    n : int
        Number of frames.
    **columns : array-like
        By name, see :class:`pcaps.traffic_kernel.Blueprint`; single values
        hold for every frame, absent columns are 0. `length`, the bytes in the
        capture, is made from the payload where it is absent: at least 60 without
        tag, 64 with one, since a frame stays legal when its tag is taken off.

    Returns
    -------
    Blueprint
        Times in nanoseconds, lengths in bytes, MAC addresses as keys, IPv4
        addresses as :func:`ip_word`, tags as :func:`pcaps.copies.tag_word`.
    """
    from pcaps.traffic_kernel import Blueprint

    full = {
        name: np.ascontiguousarray(np.broadcast_to(np.asarray(columns.get(name, 0), kind), n))
        for name, kind in _TYPES.items()
    }
    if "length" not in columns:
        tags = 4 * np.count_nonzero([full["tag"], full["inner_tag"]], axis=0).astype(np.uint32)
        headers = np.array(HEADER_BYTES, np.uint32)[full["template"]]
        full["length"] = np.maximum(headers + full["payload_bytes"], np.uint32(60)) + tags
    return Blueprint(**full)


def join(parts: Sequence[Blueprint]) -> Blueprint:
    """Return several blueprints as one, ordered by time.

    Parameters
    ----------
    parts : sequence of Blueprint
        At least one.

    Returns
    -------
    Blueprint
        Frames of equal time stand in the order of the parts.
    """
    whole = type(parts[0])(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return take(whole, np.argsort(whole.ts_ns, kind="stable"))


def take(plan: Blueprint, chosen: Any) -> Blueprint:
    """Return a part of a blueprint.

    Parameters
    ----------
    plan : Blueprint
        Any blueprint.
    chosen : slice or numpy.ndarray
        Which frames.

    Returns
    -------
    Blueprint
        Those frames.
    """
    return type(plan)(*(column[chosen] for column in plan))


def ip_word(address: str) -> int:
    """Return an IPv4 address as the columns hold it.

    Parameters
    ----------
    address : str
        Dotted decimal.

    Returns
    -------
    int
        The four bytes in wire order, read as a little-endian integer.
    """
    return int.from_bytes(bytes(int(part) for part in address.split(".")), "little")


@cache
def text() -> npt.NDArray[np.uint8]:
    """Return the payload text: lines of 72 of the 95 printable characters, each line one on.

    Returns
    -------
    numpy.ndarray
        ``uint8[]``, read-only; any place below :data:`PERIOD` can be followed by
        the longest payload.
    """
    characters = bytes(range(0x20, 0x7F)) * 2
    lines = b"".join(characters[first : first + 72] + b"\r\n" for first in range(95))
    times = -(-(PERIOD + LONGEST_PAYLOAD + PAD) // PERIOD)
    return np.frombuffer(lines * times, np.uint8)


@cache
def templates() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    """Return the header templates from the EtherType on, made by scapy.

    Returns
    -------
    table : numpy.ndarray
        ``uint8[n_templates * TEMPLATE_BYTES]``.
    sizes : numpy.ndarray
        ``uint64[n_templates]``: bytes of each.
    """
    from pcaps.traffic_kernel import TEMPLATE_BYTES

    rows, sizes = [], []
    for kind in (UDP, TCP, TCP_SYN, TCP_SYN_JUMBO):
        header = bytes(_ip_packet(kind, b""))
        sizes.append(2 + len(header))
        rows.append((b"\x08\x00" + header).ljust(TEMPLATE_BYTES, b"\0"))
    return np.frombuffer(b"".join(rows), np.uint8), np.array(sizes, np.uint64)


def _ip_packet(kind: int, payload: bytes, **fields: Any) -> Any:
    """Return the IPv4 packet of a template as scapy sees it; `fields` by layer name."""
    from scapy.layers import inet

    ip = inet.IP(flags="DF", ttl=64, **fields.get("ip", {}))
    if kind == UDP:
        return ip / inet.UDP(**fields.get("udp", {})) / payload
    options: list[tuple[str, Any]] = []
    if kind != TCP:
        options = [
            ("MSS", JUMBO_MSS if kind == TCP_SYN_JUMBO else MSS),
            ("NOP", None), ("WScale", WINDOW_SHIFT), ("NOP", None), ("NOP", None), ("SAckOK", b""),
        ]  # fmt: skip
    return ip / inet.TCP(options=options, **fields.get("tcp", {})) / payload


def build(plan: Blueprint, *, buffer: npt.NDArray[np.uint8] | None = None) -> Frames:
    """Build the frames of a blueprint.

    Parameters
    ----------
    plan : Blueprint
        What each frame is to be.
    buffer : numpy.ndarray, optional
        ``uint8[]`` to build them in when it is large enough; the frames are then
        valid until it is used again.

    Returns
    -------
    Frames
        A padded batch, frames one behind the other.
    """
    from pcaps.traffic_kernel import build_frames

    n = len(plan.ts_ns)
    lengths = plan.length.astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    size = (int(ends[-1]) if n else 0) + PAD
    if buffer is None or buffer.size < size:
        buffer = np.zeros(size, np.uint8)
    table, sizes = templates()
    build_frames(buffer, starts, plan, table, sizes, text())
    return Frames(buffer, starts, plan.length, plan.length, plan.ts_ns, np.zeros(n, np.uint16))


def as_scapy(plan: Blueprint, number: int) -> Any:
    """Rebuild one frame of a blueprint by scapy alone.

    Parameters
    ----------
    plan : Blueprint
        Any blueprint.
    number : int
        Which frame.

    Returns
    -------
    scapy.layers.l2.Ether
        Lengths and checksums are left to scapy.
    """
    from scapy.layers import l2

    from pcaps.addresses import key_to_mac

    row = {name: int(getattr(plan, name)[number]) for name in _TYPES}
    at, n_bytes = row["payload_at"], row["payload_bytes"]
    ends = {"sport": row["source_port"], "dport": row["destination_port"]}
    dotted = {
        name: ".".join(str(byte) for byte in row[column].to_bytes(4, "little"))
        for name, column in (("src", "source_ip"), ("dst", "destination_ip"))
    }
    packet = _ip_packet(
        row["template"],
        text()[at : at + n_bytes].tobytes(),
        ip={"id": row["ip_id"], **dotted},
        udp=ends,
        tcp={
            **ends, "seq": row["sequence"], "ack": row["acknowledgment"],
            "flags": row["flags"], "window": row["window"],
        },
    )  # fmt: skip
    kind = 0x0800
    raw = bytes(packet)
    for name in ("inner_tag", "tag"):
        if row[name]:
            wire = row[name].to_bytes(4, "little")
            raw = wire[2:] + kind.to_bytes(2, "big") + raw
            kind = int.from_bytes(wire[:2], "big")
    ethernet = l2.Ether(
        dst=key_to_mac(row["destination"]), src=key_to_mac(row["source"]), type=kind
    )
    return l2.Ether((bytes(ethernet) + raw).ljust(row["length"], b"\0"))
