"""MAC addresses: text for people, little-endian integers for the kernels.

A *key* is the six address bytes read as a little-endian integer, as the fast
path loads them from a frame: no byte is swapped per frame, and the group bit
(IEEE 802-2014, 8.2.2) is bit 0.
"""

from __future__ import annotations

import re

from pcaps.errors import BadInput

_HEX_PAIRS = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{12}")

BROADCAST_KEY = 0xFFFFFFFFFFFF


def mac_to_key(text: str) -> int:
    """Return the little-endian integer of a MAC address.

    Parameters
    ----------
    text : str
        Six pairs of hex digits, joined by ``:`` or ``-`` or by nothing.

    Returns
    -------
    int
        0 to 2**48 - 1; the first byte on the wire is the lowest byte.

    Raises
    ------
    BadInput
        When `text` is not a MAC address.
    """
    if not _HEX_PAIRS.fullmatch(text):
        raise BadInput(f"'{text}' is not a MAC address; write it as 00:15:5d:00:00:01")
    return int.from_bytes(bytes.fromhex(re.sub("[:-]", "", text)), "little")


def key_to_mac(key: int) -> str:
    """Return the text form ``xx:xx:xx:xx:xx:xx`` of a key.

    Parameters
    ----------
    key : int
        As from :func:`mac_to_key`; numpy integers are taken too.

    Returns
    -------
    str
        Lower-case hex, joined by colons.
    """
    return int(key).to_bytes(6, "little").hex(":")


def is_group(key: int) -> bool:
    """Tell whether `key` is a group (multicast or broadcast) address.

    Parameters
    ----------
    key : int
        As from :func:`mac_to_key`.

    Returns
    -------
    bool
        True when the individual/group bit of the first byte is set.
    """
    return bool(int(key) & 1)
