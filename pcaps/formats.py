"""Which format a file is written in, and its writer."""

from __future__ import annotations

from collections.abc import Sequence

from pcaps.classic_writer import ClassicWriter
from pcaps.pcapng_writer import OutInterface, PcapngWriter

FORMATS = ("pcap", "pcap-ns", "pcapng")
"""Classic with microseconds, classic with nanoseconds, pcapng."""


def format_of(path: str, asked: str | None = None) -> str:
    """Return the format to write.

    Parameters
    ----------
    path : str
        Where to; its suffix decides where nothing was asked for, behind ``.gz``
        or ``.zst`` that one before it.
    asked : str, optional
        A format.

    Returns
    -------
    str
        One of :data:`FORMATS`; ``pcap`` for an unknown suffix.
    """
    if asked is not None:
        return asked
    plain = path.removesuffix(".gz").removesuffix(".zst").removesuffix(".zstd")
    return "pcapng" if plain.endswith((".pcapng", ".ntar")) else "pcap"


def open_writer(
    path: str, kind: str, interfaces: Sequence[OutInterface], *, comment: str = ""
) -> ClassicWriter | PcapngWriter:
    """Return the writer of a format.

    Parameters
    ----------
    path : str
        Where to.
    kind : str
        One of :data:`FORMATS`.
    interfaces : sequence of OutInterface
        For pcapng.
    comment : str
        Comment of the whole capture, for pcapng.

    Returns
    -------
    ClassicWriter or PcapngWriter
        To be used in a ``with`` statement.
    """
    if kind == "pcapng":
        return PcapngWriter(path, interfaces, comment=comment)
    return ClassicWriter(path, nanoseconds=kind == "pcap-ns")
