"""Compressed captures: gzip and zstd, told by their first bytes, read as streams.

What was decompressed before an error is handed out first, so that the frames in
front of the damage are used.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from pcaps.errors import BadInput

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIECE = 1 << 20


class CompressedDamage(Exception):  # noqa: N818 (carries on as a damage record)
    """The compressed data is cut or wrong from here on."""


def compression_of(head: bytes) -> str | None:
    """Return ``gzip``, ``zstd`` or None from a file's first bytes."""
    if head.startswith(GZIP):
        return "gzip"
    return "zstd" if head.startswith(ZSTD) else None


def pieces(raw: BinaryIO, compression: str) -> Iterator[bytes]:
    """Yield the decompressed bytes.

    Parameters
    ----------
    raw : binary file
        Stands at the start of the compressed data.
    compression : str
        ``gzip`` (any number of members) or ``zstd`` (any number of frames).

    Yields
    ------
    bytes
        Pieces of about 1 MB.

    Raises
    ------
    CompressedDamage
        After the last good piece.
    """
    return _gunzip(raw) if compression == "gzip" else _unzstd(raw)


def _gunzip(raw: BinaryIO) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    pending = raw.read(PIECE)
    while pending:
        try:
            piece = member.decompress(pending, PIECE)
        except zlib.error as error:
            raise CompressedDamage(f"gzip data is damaged ({error})") from None
        if piece:
            yield piece
        pending = member.unconsumed_tail or member.unused_data
        if member.eof:
            pending = pending.lstrip(b"\0") or raw.read(PIECE).lstrip(b"\0")
            if pending and not pending.startswith(GZIP[: len(pending)]):
                return  # bytes behind the last member are not ours
            if pending:
                member = zlib.decompressobj(wbits=31)
        elif not pending:
            pending = raw.read(PIECE)
    if not member.eof:
        raise CompressedDamage("gzip data ends before its end mark")


def _unzstd(raw: BinaryIO) -> Iterator[bytes]:
    library = _zstd_library()
    decompressor = library.ZstdDecompressor()
    if hasattr(decompressor, "stream_reader"):
        yield from _unzstd_by_reader(decompressor.stream_reader(raw, read_across_frames=True))
        return
    pending = raw.read(PIECE)
    while pending:
        try:
            piece = decompressor.decompress(pending, PIECE)
        except library.ZstdError as error:
            raise CompressedDamage(f"zstd data is damaged ({error})") from None
        if piece:
            yield piece
        pending = b"" if decompressor.needs_input else pending
        if decompressor.eof:
            pending = decompressor.unused_data or raw.read(PIECE)
            decompressor = library.ZstdDecompressor()
        elif decompressor.needs_input:
            pending = raw.read(PIECE)
            if not pending:
                raise CompressedDamage("zstd data ends before its end mark")


def _unzstd_by_reader(reader: Any) -> Iterator[bytes]:
    while True:
        try:
            piece = reader.read(PIECE)
        except Exception as error:  # the library's own error class, not importable by a fixed name
            raise CompressedDamage(f"zstd data is damaged ({error})") from None
        if not piece:
            return
        yield piece


def _zstd_library() -> Any:
    for name in ("zstandard", "compression.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise BadInput("the capture is compressed with zstd; install it with: pip install zstandard")
