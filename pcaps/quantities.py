"""Numbers with units as people write them: ``1GB``, ``1.5Mpps``, ``200k``."""

from __future__ import annotations

import re

from pcaps.errors import BadInput

_NUMBER = re.compile(
    r"(?P<number>\d+(\.\d+)?|\.\d+) ?(?P<prefix>[kKMGT]?)(?P<binary>i?)(?P<unit>.*)"
)
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def _scaled(asked: str, unit: str, example: str) -> int:
    found = _NUMBER.fullmatch(asked.strip())
    if found is None or found["unit"] not in {"", unit} or (found["binary"] and unit != "B"):
        raise BadInput(f"'{asked}' is not a number of {unit}; write it as {example}")
    base = 1024 if found["binary"] else 1000
    scale: int = base ** _POWERS[found["prefix"].replace("K", "k")]
    return round(float(found["number"]) * scale)


def parse_bytes(asked: str) -> int:
    """Read a size.

    Parameters
    ----------
    asked : str
        Such as ``1GB``, ``500MB``, ``64KiB`` or ``1000``; ``GB`` is 10**9 bytes,
        ``GiB`` 2**30.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    BadInput
        When it is not a size.
    """
    return _scaled(asked, "B", "1GB, 500MB or 64KiB")


def parse_pps(asked: str) -> int:
    """Read a packet rate.

    Parameters
    ----------
    asked : str
        Such as ``1Mpps``, ``14.88Mpps``, ``200k`` or ``1000``.

    Returns
    -------
    int
        Packets per second.

    Raises
    ------
    BadInput
        When it is not a rate.
    """
    return _scaled(asked, "pps", "1Mpps, 200kpps or 1000")
