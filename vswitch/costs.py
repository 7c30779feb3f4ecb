"""What each step of a frame costs the emulated host: constants, each with its source and status.

Guarantees
----------
* Every modelled figure is a count of steps times constants of one table; a
  table prints with where each constant is from and how it is known.
* Sums are held against published figures (docs/fidelity.md). The split of a sum
  into its parts is an assumption: no single constant is confirmed, whatever fits.

Status words: *read* (stands in the source named), *measured*, *derived* (follows
from read figures), *believed* (unchecked).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pcaps.errors import BadInput

STATUSES = ("read", "measured", "derived", "believed")


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant of the cost model.

    Parameters
    ----------
    name : str
        As in tables, files and JSON.
    value : float
        In `unit`.
    unit : str
        Such as ``cycles/frame``.
    meaning : str
        What it is spent on, one clause.
    status : str
        ``read``, ``measured``, ``derived`` or ``believed``.
    source : str
        Where it is from.
    """

    name: str
    value: float
    unit: str
    meaning: str
    status: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the constant as in the JSON output."""
        return {name: getattr(self, name) for name in self.__slots__}


FITS = {
    "A": "8,176 cycles for a frame of 1514 bytes in the software path: one core at 2.8 GHz that "
    "moves 4.0 Gbit/s (Intel and VMware, Intelligent Queuing Technologies, p. 4; derived)",
    "B": "8,825 cycles for a segment of 1460 bytes in the guest: 3-4 Gbit/s for a vNIC at 2.8 GHz "
    "(Savill, Mastering Windows Server 2016 Hyper-V; derived)",
    "C": "1,947 to 2,336 cycles for 1460 bytes of an offloaded connection: 10 % of 4 cores at 6 "
    "Gbit/s (technologyevangelist.co, a vendor's blog; derived)",
}
"""Sums that published figures fix; how they are split into constants is an assumption."""

_FIT, _GUEST = "split of A", "split of B"

BASE = (
    # the parent
    Constant(
        "interrupt", 3200, "cycles/interrupt",
        "taking an interrupt, or a DPC that goes on after its budget", "believed",
        f"50 of the 1,600 of the driver at 64 frames an interrupt; {_FIT}",
    ),
    Constant(
        "rx_driver", 1550, "cycles/frame", "the adapter's driver receives a frame", "believed",
        f"1,600 with the interrupt's share; {_FIT}",
    ),
    Constant(
        "tx_driver", 1550, "cycles/frame", "the adapter's driver sends a frame", "believed",
        "taken as for receiving",
    ),
    Constant(
        "filter", 100, "cycles/frame", "policies of a frame that a receive filter has placed",
        "believed", "a part of the 3,100 assumed for a frame in VM memory",
    ),
    Constant(
        "classify", 800, "cycles/frame", "source check and look-up in the switch's table",
        "believed", f"900 with VLAN; {_FIT}",
    ),
    Constant(
        "vlan", 100, "cycles/frame", "VLAN check, tag taken off or put on", "believed",
        f"900 with the look-up; {_FIT}",
    ),
    Constant(
        "copy", 0.75, "cycles/byte", "the parent copies the frame into the VM's buffers",
        "believed", f"1,136 for 1514 bytes; {_FIT}",
    ),
    Constant(
        "vmbus_packet", 950, "cycles/frame", "one entry in the ring between parent and VM",
        "believed", f"a part of the remaining 4,540; {_FIT}",
    ),
    Constant(
        "vmbus_signal", 3190, "cycles/signal",
        "waking the guest: once a frame in the software path, once a batch of a VM queue",
        "derived", f"remainder of the remaining 4,540; {_FIT}",
    ),
    Constant(
        "ack_parent", 800, "cycles/acknowledgment", "an acknowledgment of the guest goes out",
        "believed", f"400 a frame, a part of the remaining 4,540; {_FIT}",
    ),
    # the guest, and the parent's own TCP/IP
    Constant(
        "guest_driver", 2500, "cycles/frame",
        "the guest's network driver takes a frame from the ring", "believed", _GUEST,
    ),
    Constant(
        "tcp_segment", 3500, "cycles/frame", "IP and TCP or UDP, whatever the length",
        "believed", _GUEST,
    ),
    Constant(
        "tcp_byte", 0.5, "cycles/byte", "IP and TCP or UDP, for each byte of payload",
        "believed", _GUEST,
    ),
    Constant(
        "ack", 2000, "cycles/acknowledgment", "building and sending an acknowledgment",
        "believed", _GUEST,
    ),
    Constant(
        "socket_copy", 0.75, "cycles/byte", "payload copied to the application", "believed",
        f"taken as the parent's copy; {_GUEST}",
    ),
    Constant(
        "segments_per_ack", 2, "segments", "segments that one acknowledgment answers", "read",
        "RFC 5681 section 4.2: at least every second full-sized segment",
    ),
    # chimney
    Constant(
        "chimney_buffer", 4450, "cycles/buffer",
        "completing a receive buffer of an offloaded connection", "believed",
        "split of C: with driver and socket copy 2,165 cycles for 1460 bytes",
    ),
    Constant(
        "chimney_buffer_bytes", 8192, "bytes", "receive buffer of an offloaded connection",
        "believed", "usual size of an application's receive call",
    ),
    # buffers and the hypervisor
    Constant(
        "lookahead_bytes", 128, "bytes",
        "head of a frame that stays in host memory when the rest lies in the VM's", "read",
        "netvmini 6x sample, hardware.h: 64 to 128",
    ),
    Constant(
        "hypervisor_shadow", 10, "% of processor time",
        "hypervisor, with shadow page tables in software; up to", "read",
        "2009 article on Hyper-V R2: about 10 %",
    ),
    Constant(
        "hypervisor_slat", 2, "% of processor time",
        "hypervisor, where the processor translates guest addresses (SLAT)", "believed",
        "R2 marketing: about 2 %",
    ),
    Constant(
        "shadow_memory", 1_000_000, "bytes/VM", "host memory that shadow page tables take",
        "believed", "R2 marketing: SLAT saves about 1 MB a VM",
    ),
)  # fmt: skip
"""The constants of every named profile: the processor they share is a 2.8 GHz Xeon of 2008-9."""

NAMES = tuple(constant.name for constant in BASE)
_MAY_BE_ZERO = frozenset(NAMES) - {"segments_per_ack", "chimney_buffer_bytes"}


@dataclass(frozen=True)
class CostTable:
    """All constants of a cost model.

    Parameters
    ----------
    constants : mapping of str to Constant
        One for each of :data:`NAMES`.

    Raises
    ------
    BadInput
        When one is missing, negative, or unknown.
    """

    constants: Mapping[str, Constant]

    def __post_init__(self) -> None:
        for name in NAMES:
            if name not in self.constants:
                raise BadInput(
                    f'costs.{name} is missing; give it a value, or name a base = "r2" to take it from'
                )
        for name, constant in self.constants.items():
            if name not in NAMES:
                raise BadInput(f"costs.{name} is no constant; there are {', '.join(NAMES)}")
            check_value(name, constant.value)

    @classmethod
    def base(cls) -> CostTable:
        """Return the table that every named profile has."""
        return cls({constant.name: constant for constant in BASE})

    def with_values(self, **values: float) -> CostTable:
        """Return a table with other values, for what-if questions.

        Parameters
        ----------
        **values : float
            By name.

        Returns
        -------
        CostTable
            The changed constants say that they were given.
        """
        changed = dict(self.constants)
        for name, value in values.items():
            if name not in changed:
                raise BadInput(f"costs.{name} is no constant; there are {', '.join(NAMES)}")
            changed[name] = replace(changed[name], value=value, status="believed", source="given")
        return CostTable(changed)

    def __getitem__(self, name: str) -> float:
        return self.constants[name].value

    def __iter__(self) -> Iterator[Constant]:
        return (self.constants[name] for name in NAMES)


def check_value(name: str, value: Any) -> float:
    """Check one value.

    Parameters
    ----------
    name : str
        Name of the constant.
    value : any
        What a file or a caller gives.

    Returns
    -------
    float
        The value.

    Raises
    ------
    BadInput
        When it is no number, negative, zero where that makes no sense, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"costs.{name} is {value!r}; give a number")
    if not 0 <= value <= 1e9:  # also refuses NaN
        raise BadInput(f"costs.{name} is {value}; a cost is a number from 0 to 1e9")
    if value == 0 and name not in _MAY_BE_ZERO:
        raise BadInput(f"costs.{name} is 0; it must be above 0")
    if name.startswith("hypervisor_") and value >= 100:
        raise BadInput(f"costs.{name} is {value} %; the hypervisor cannot take all of a processor")
    return float(value)
