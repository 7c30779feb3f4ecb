"""Numbers with units as people write them: ``1GB``, ``1.5Mpps``, ``200k``, ``300ms``, ``1Gbps``."""

from __future__ import annotations

import re
from typing import NamedTuple

from pcaps.errors import BadInput

_NUMBER = re.compile(
    r"(?P<number>\d+(\.\d+)?|\.\d+) ?(?P<prefix>[kKMGT]?)(?P<binary>i?)(?P<unit>.*)"
)
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?|\.\d+) ?(?P<unit>ns|us|µs|ms|s|min|h)")
_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}
_RATE = re.compile(
    r"(?P<number>\d+(\.\d+)?|\.\d+) ?(?P<prefix>[kKMGT]?)(?P<binary>i?)(?P<unit>B/s|bps|bit/s)"
)


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


def parse_duration_ns(asked: str) -> int:
    """Read a time.

    Parameters
    ----------
    asked : str
        Such as ``300ms``, ``2.5s``, ``200us``, ``10min`` or ``0``.

    Returns
    -------
    int
        Nanoseconds.

    Raises
    ------
    BadInput
        When it is not a time; one without a unit is none.
    """
    if asked.strip() == "0":
        return 0
    found = _DURATION.fullmatch(asked.strip())
    if found is None:
        raise BadInput(f"'{asked}' is not a time; write it as 300ms, 2.5s or 200us")
    return round(float(found["number"]) * _NS[found["unit"]])


class Rate(NamedTuple):
    """A rate of data.

    Parameters
    ----------
    bytes_per_s : float
    in_bits : bool
        It was written in bits, as line rates are.
    """

    bytes_per_s: float
    in_bits: bool


def parse_rate(asked: str) -> Rate:
    """Read a rate of data.

    Parameters
    ----------
    asked : str
        In bits such as ``1Gbps`` or ``100Mbit/s``, or in bytes such as ``200MB/s`` or
        ``32MiB/s``; ``0`` is one, too.

    Returns
    -------
    Rate
        Bytes per second, and which of the two it was.

    Raises
    ------
    BadInput
        When it is not a rate.
    """
    if asked.strip() == "0":
        return Rate(0.0, False)
    found = _RATE.fullmatch(asked.strip())
    in_bits = found is not None and found["unit"] != "B/s"
    if found is None or (found["binary"] and (in_bits or not found["prefix"])):
        raise BadInput(f"'{asked}' is not a rate; write it as 1Gbps, 200MB/s or 32MiB/s")
    base = 1024 if found["binary"] else 1000
    scale = base ** _POWERS[found["prefix"].replace("K", "k")]
    return Rate(float(found["number"]) * scale / (8 if in_bits else 1), in_bits)
