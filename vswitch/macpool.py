"""The dynamic MAC addresses that a host gives to vNICs without one of their own.

Rule: 00-15-5D, then the last two octets of the host's first IPv4 address, then
00 to FF: 256 addresses a host. Two hosts whose addresses end alike give out the
same ones (J. Howard, Hyper-V program manager, 2009).
"""

from __future__ import annotations

from collections.abc import Container
from ipaddress import AddressValueError, IPv4Address

from pcaps.addresses import mac_to_key
from pcaps.errors import BadInput

POOL_SIZE = 256


class MacPool:
    """Addresses of one host.

    Parameters
    ----------
    host_ip : str
        First IPv4 address of the host.

    Raises
    ------
    BadInput
        When `host_ip` is not an IPv4 address.
    """

    def __init__(self, host_ip: str) -> None:
        try:
            octets = IPv4Address(host_ip).packed
        except AddressValueError:
            raise BadInput(f"'{host_ip}' is not an IPv4 address; write it as 10.0.0.5") from None
        self._head = "00155d" + octets[2:].hex()
        self._next = 0

    def take(self, used: Container[int]) -> int:
        """Return the next free address.

        Parameters
        ----------
        used : container of int
            Addresses (keys) that are taken already.

        Returns
        -------
        int
            A key.

        Raises
        ------
        BadInput
            When all 256 are taken.
        """
        while self._next < POOL_SIZE:
            key = mac_to_key(f"{self._head}{self._next:02x}")
            self._next += 1
            if key not in used:
                return key
        raise BadInput(
            f"all {POOL_SIZE} dynamic MAC addresses of the host are taken; give the VM one"
        )
