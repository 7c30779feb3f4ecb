"""How each sample is made: a function from a path to a file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pcaps.blueprint import UDP, blueprint, build
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.copies import tag_word
from pcaps.frames import Frames
from pcaps.samples import office
from pcaps.traffic import START_NS, TrafficPlan, station_mac, synthesise, vm_mac
from pcaps.whole import write_whole

_VLAN_TAG, _SERVICE_TAG, _OLD_TAG = 0x8100, 0x88A8, 0x9100
_CLIENT, _SERVER = 0x010010AC, 0x0100000A
"""172.16.0.1 and 10.0.0.1, little-endian."""


def _session(number: int, **changes: int | bool | None) -> TcpSession:
    """Session `number` between station and VM `number`."""
    fields: dict[str, int | bool | None] = {
        "client_mac": int(station_mac(number)),
        "server_mac": int(vm_mac(number)),
        "client_ip": _CLIENT + (number << 24),
        "server_ip": _SERVER + (number << 24),
        "client_port": 49_152 + number,
        "start_ns": START_NS + 3_000_000 * number,
        "client_isn": 0xFFFFF000 + 977 * number & 0xFFFFFFFF,
        "server_isn": 100_000 * number,
    }
    return TcpSession(**{**fields, **changes})  # type: ignore[arg-type]


def _write(target: Path, frames: Frames) -> None:
    with ClassicWriter(target, nanoseconds=True) as writer:
        writer.write(frames)


def tcp_sessions(target: Path) -> None:
    """Twelve overlapping TCP sessions in VLANs 10 to 30 and untagged, two with a retransmission.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    sessions = [
        _session(
            number,
            tag=0 if number % 4 == 0 else tag_word(_VLAN_TAG, 10 * (number % 4)),
            response_bytes=6000 + 700 * number,
            rtt_ns=2_000_000 + 500_000 * number,
            retransmit=2 if number in {5, 11} else None,
        )
        for number in range(12)
    ]
    _write(target, conversations(sessions))


def jumbo(target: Path) -> None:
    """Frames at both sides of the limits of MTU 1500 and 9000, and two jumbo TCP sessions.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    sizes = np.array([1513, 1514, 1515, 1518, 1519, 1522, 9013, 9014, 9015, 9018, 9019, 9022])
    size, tagged = np.repeat(sizes, 2), np.tile([0, 1], len(sizes))
    single = blueprint(
        len(size),
        ts_ns=START_NS + 1_000_000 * np.arange(len(size)),
        template=UDP,
        length=size,
        payload_bytes=size - 42 - 4 * tagged,
        destination=vm_mac(tagged),
        source=station_mac(0),
        tag=tagged * tag_word(_VLAN_TAG, 10),
        source_ip=_CLIENT,
        destination_ip=_SERVER + (tagged << 24),
        source_port=49_152,
        destination_port=9,
    )
    late = START_NS + 100_000_000
    sessions = [
        _session(2, start_ns=late, jumbo=True, response_bytes=40_000),
        _session(3, start_ns=late, jumbo=True, response_bytes=40_000, tag=tag_word(_VLAN_TAG, 10)),
    ]
    with ClassicWriter(target, nanoseconds=True) as writer:
        writer.write(build(single))
        writer.write(conversations(sessions))


def qinq(target: Path) -> None:
    """TCP sessions behind two tags (0x88a8 or 0x8100 or 0x9100 outside) and behind one service tag.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    tags = [
        (tag_word(_SERVICE_TAG, 200), tag_word(_VLAN_TAG, 10)),
        (tag_word(_VLAN_TAG, 200), tag_word(_VLAN_TAG, 20)),
        (tag_word(_OLD_TAG, 200), tag_word(_VLAN_TAG, 30)),
        (tag_word(_SERVICE_TAG, 0x6000 | 201), 0),
    ]
    sessions = [
        _session(number, tag=outer, inner_tag=inner, response_bytes=4000)
        for number, (outer, inner) in enumerate(tags)
    ]
    _write(target, conversations(sessions))


def cut(target: Path) -> None:
    """200 frames of an IMIX of which the capture kept 64 bytes each.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    (frames,) = synthesise(TrafficPlan(frames=200, vms=6, vlans=3, rate_pps=10_000))
    kept = np.minimum(frames.caplen, 64).astype(np.uint32)
    _write(
        target,
        Frames(frames.data, frames.start, kept, frames.wirelen, frames.ts_ns, frames.interface),
    )


def damaged(target: Path) -> None:
    """30 whole frames, then a record whose length lies, then bytes that mean nothing.

    Parameters
    ----------
    target : pathlib.Path
        The file to write.
    """
    (frames,) = synthesise(TrafficPlan(frames=30, vms=4, vlans=2, rate_pps=1000))
    _write(target, frames)
    whole = target.read_bytes()
    record = len(whole) - 16 - int(frames.caplen[-1])
    lying = whole[record : record + 8] + b"\xff\xff\xff\x7f" * 2 + bytes(range(100))
    write_whole(target, whole + lying)


RECIPES: dict[str, Callable[[Path], None]] = {
    "office.pcapng": office.make,
    "tcp_sessions.pcap": tcp_sessions,
    "jumbo.pcap": jumbo,
    "qinq.pcap": qinq,
    "cut.pcap": cut,
    "damaged.pcap": damaged,
}
"""File name -> the function that writes it."""
