"""A frame written as ``key=value`` words, as ``vswitch explain --fields`` takes it.

``in=vm1 dst=00:15:5d:00:00:02 vlan=20 len=1500`` gives the port and the frame;
what is not given has a default. The table :data:`FIELDS` is also the help text.
"""

from __future__ import annotations

import difflib

from pcaps.addresses import key_to_mac, mac_to_key
from pcaps.errors import BadInput
from pcaps.frames import Frame
from vswitch.ports import Network

FIELDS = {
    "in": "port that the frame comes in by; the uplink, or else the first port",
    "dst": "destination: an address, 'broadcast', or a port's name; broadcast",
    "src": "source: an address or a port's name; the address of the port 'in'",
    "vlan": "VID of the outer tag, 0 = priority tag; no tag",
    "pcp": "priority in the tag, 0 to 7; 0",
    "dei": "drop eligible indicator in the tag, 0 or 1; 0",
    "tpid": "type of the outer tag; 0x8100",
    "inner": "VID of a second tag behind it; no second tag",
    "type": "EtherType; 0x0800",
    "len": "bytes on the wire, tags included, without FCS; 60",
    "time": "time of arrival in nanoseconds; 0",
}
"""Each field with what it is, and its default behind the semicolon."""

UNKNOWN_SOURCE = "02:00:00:00:00:01"
"""Source of a frame by a port without an own address."""

_LONGEST = 262144


def _number(key: str, text: str, lowest: int, highest: int) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise BadInput(f"field {key}={text}: not a number") from None
    if not lowest <= value <= highest:
        raise BadInput(f"field {key}={text}: out of range; use {lowest} to {highest}")
    return value


def split_fields(text: str) -> dict[str, str]:
    """Take the words apart.

    Parameters
    ----------
    text : str
        Words ``key=value``, separated by blanks.

    Returns
    -------
    dict
        Value by key, all keys known.

    Raises
    ------
    BadInput
        When a word is no ``key=value``, a key is unknown or comes twice.
    """
    given: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise BadInput(f"'{word}' is no field; write key=value, such as vlan=20")
        if key not in FIELDS:
            near = difflib.get_close_matches(key, FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}"
            raise BadInput(f"unknown field '{key}'; {hint}")
        if key in given:
            raise BadInput(f"field '{key}' comes twice; give it once")
        given[key] = value
    return given


def _address(network: Network, key: str, text: str) -> bytes:
    if text == "broadcast":
        return b"\xff" * 6
    for port in network.ports:
        if port.name == text:
            if port.mac is None:
                raise BadInput(f"field {key}={text}: that port has no own address; write one")
            return mac_to_key(port.address or "").to_bytes(6, "little")
    try:
        return mac_to_key(text).to_bytes(6, "little")
    except BadInput:
        raise BadInput(
            f"field {key}={text}: neither an address (00:15:5d:00:00:01) nor a port's name"
        ) from None


def frame_from_fields(text: str, network: Network) -> tuple[str, Frame]:
    """Build the frame that the words describe.

    Parameters
    ----------
    text : str
        Words ``key=value`` with the keys of :data:`FIELDS`.
    network : Network
        Its ports may be named.

    Returns
    -------
    port : str
        Name of the port that the frame comes in by.
    frame : Frame
        Zeros behind the header; cut where ``len`` is shorter than the header.

    Raises
    ------
    BadInput
        Naming the field that is wrong.
    """
    given = split_fields(text)
    uplink = network.uplink
    port = network.ports[
        network.number_of(given.get("in", uplink.name if uplink else network.ports[0].name))
    ]
    own = UNKNOWN_SOURCE if port.mac is None else key_to_mac(port.mac)
    header = _address(network, "dst", given.get("dst", "broadcast"))
    header += _address(network, "src", given.get("src", own))
    header += _tags(given)
    header += _number("type", given.get("type", "0x0800"), 0, 0xFFFF).to_bytes(2, "big")
    length = _number("len", given.get("len", "60"), 0, _LONGEST)
    time_ns = _number("time", given.get("time", "0"), 0, (1 << 63) - 1)
    return port.name, Frame(header[:length].ljust(length, b"\0"), length, time_ns)


def _tags(given: dict[str, str]) -> bytes:
    if not given.keys() & {"vlan", "pcp", "dei", "tpid", "inner"}:
        return b""
    vid = _number("vlan", given.get("vlan", "0"), 0, 4095)
    pcp = _number("pcp", given.get("pcp", "0"), 0, 7)
    dei = _number("dei", given.get("dei", "0"), 0, 1)
    tpid = _number("tpid", given.get("tpid", "0x8100"), 0x0600, 0xFFFF)
    tags = tpid.to_bytes(2, "big") + (pcp << 13 | dei << 12 | vid).to_bytes(2, "big")
    if "inner" in given:
        tags += b"\x81\x00" + _number("inner", given["inner"], 0, 4095).to_bytes(2, "big")
    return tags
