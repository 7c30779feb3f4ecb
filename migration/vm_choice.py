"""Which station of the captures is the VM that is meant: by MAC address or by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pcaps.addresses import is_group, key_to_mac, mac_to_key
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.sessions import Sessions
    from pcaps.capture import Capture


def selfmade_names(captures: Iterable[Capture]) -> dict[str, int]:
    """Return the names that a replay without scenario gives to the stations.

    Parameters
    ----------
    captures : iterable of Capture
        Read to their ends.

    Returns
    -------
    dict of str to int
        ``vm1``, ``vm2``, ... and their MAC addresses as keys.
    """
    from vswitch.selfmade import stations

    return {f"vm{number}": station.mac for number, station in enumerate(stations(captures), 1)}


def choose_vm(asked: str, sessions: Sessions, names: Mapping[str, int]) -> int:
    """Return the MAC address of the VM that is meant.

    Parameters
    ----------
    asked : str
        A MAC address, or one of `names`.
    sessions : Sessions
        The VM must have one of them.
    names : mapping of str to int
        Names of VMs and their MAC addresses as keys.

    Returns
    -------
    int
        MAC address as a key.

    Raises
    ------
    BadInput
        When it is not there or has no TCP session; the sentence names a close one.
    """
    if asked in names:
        mac = names[asked]
    else:
        try:
            mac = mac_to_key(asked)
        except BadInput:
            raise BadInput(_unknown(f"there is no VM '{asked}'", asked, names)) from None
    flows = sessions.segments.flows
    present = {*flows["mac"].tolist(), *flows["peer_mac"].tolist()}
    if mac not in present:
        text = key_to_mac(mac)
        macs = [key_to_mac(one) for one in present if not is_group(one)]
        what = f"{asked} ({text})" if asked in names else f"'{asked}'"
        raise BadInput(_unknown(f"{what} has no TCP session in the captures", text, macs))
    return mac


def _unknown(what: str, asked: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = get_close_matches(asked, known, 1)
    if close:
        return f"{what}; did you mean '{close[0]}'?"
    shown = ", ".join(known[:4]) + (", ..." if len(known) > 4 else "")
    return f"{what}; there are {shown}" if known else what
