"""Where and how a capture stops being sound."""

from __future__ import annotations

from dataclasses import dataclass

from pcaps.index_kernel import (
    BAD_BLOCK_LENGTH,
    BAD_CAPLEN,
    BAD_INTERFACE,
    BAD_INTERFACE_BLOCK,
    BAD_PACKET,
    BAD_SECTION,
    BAD_TRAILER,
)

KINDS = {
    BAD_CAPLEN: "bad-length",
    BAD_BLOCK_LENGTH: "bad-block-length",
    BAD_TRAILER: "bad-block-trailer",
    BAD_INTERFACE: "bad-interface",
    BAD_PACKET: "bad-packet-length",
    BAD_SECTION: "bad-section",
    BAD_INTERFACE_BLOCK: "bad-interface-block",
}

TELLS = {
    "cut": "the file ends inside a record",
    "bad-length": "a record header claims more than 262144 captured bytes",
    "bad-block-length": "a block's length is not a multiple of 4 of at least 12",
    "bad-block-trailer": "a block's two lengths differ",
    "bad-interface": "a packet names an interface that was not described",
    "bad-packet-length": "a packet's captured length does not fit its block",
    "bad-section": "a section header is not sound",
    "bad-interface-block": "an interface block is not sound",
    "shrunk": "the file became shorter while it was read",
    "compressed": "the compressed data is damaged",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a capture stops being sound.

    Parameters
    ----------
    kind : str
        ``cut``, ``bad-length``, ``bad-block-length``, ``bad-block-trailer``,
        ``bad-interface``, ``bad-packet-length``, ``bad-section``,
        ``bad-interface-block``, ``shrunk`` or ``compressed``.
    offset : int
        Byte offset of the damaged record, in the decompressed bytes.
    frame : int
        Number of the last whole frame before it, 0 when there is none.
    message : str
        One sentence.
    """

    kind: str
    offset: int
    frame: int
    message: str
