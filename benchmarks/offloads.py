"""How fast the adapter's offloads are, as ratios to what was run beside them.

    python benchmarks/offloads.py                 all rows; writes docs/performance-offloads.md
    python benchmarks/offloads.py --only rss,lso --dry-run

Terms of a ratio are run by turns, round by round; CPU time of the thread, and the
median of the rounds. Frames lie in the second-level cache where a row says "hot".
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastpath import ROOT, Row, by_turns, write_page

import pcaps
from nic import lso_kernel, rsc_kernel, rss_kernel
from nic.chimney import Chimney
from nic.chimney_host import ChimneyHost
from nic.chimney_settings import Policy
from nic.lso import PART_FRAMES, Lso
from nic.rsc import Rsc
from nic.rss import Rss
from pcaps import checksums_kernel
from pcaps.batches import copy_batch
from pcaps.checksums import insert_checksums
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.frames import PAD, Frames
from pcaps.headers_kernel import C_L3, C_L4, fill_columns

u64 = np.uint64
PAGE = ROOT / "docs" / "performance-offloads.md"


def header(source: int, sequence: int, payload: int, six: bool = False) -> bytes:
    """Return Ethernet, IP and TCP headers of a segment, checksums zero."""
    macs = bytes.fromhex("00155d000001020000000001")
    tcp = (
        (40000).to_bytes(2, "big") + (80).to_bytes(2, "big") + (sequence % 2**32).to_bytes(4, "big")
    )
    tcp += (1).to_bytes(4, "big") + b"\x50\x10\x04\0\0\0\0\0"
    if six:
        ip = b"\x60\0\0\0" + (20 + payload).to_bytes(2, "big") + b"\x06\x40"
        return macs + b"\x86\xdd" + ip + bytes(12) + source.to_bytes(4, "big") + bytes(16) + tcp
    ip = b"\x45\0" + (40 + payload).to_bytes(2, "big") + b"\0\x07\x40\0\x40\x06\0\0"
    return macs + b"\x08\0" + ip + source.to_bytes(4, "big") + bytes([10, 0, 0, 2]) + tcp


def segments(n: int, payload: int, flows: int, *, six: bool = False) -> Frames:
    """Return n segments of interleaved connections, every checksum right."""
    rng = np.random.default_rng(1)
    data = rng.bytes(payload)
    frames = [
        header(0x0A000000 + k % flows, 1000 + k // flows * payload, payload, six) + data
        for k in range(n)
    ]
    return insert_checksums(Frames.from_bytes(frames))[0]


def build(folder: Path) -> ctypes.CDLL | None:
    """Compile the C twins, None without a compiler."""
    if shutil.which("gcc") is None:
        return None
    library = folder / "offloads.so"
    source = ROOT / "benchmarks" / "offloads.c"
    flags = ["-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    """Return `times` runs as one work, so that a clock's grain does not matter."""

    def several() -> None:
        for _ in range(times):
            work()

    return several


def beside(options: argparse.Namespace, times: int, *works: Callable[[], object]) -> list[float]:
    """Median CPU seconds of one run of each work."""
    return [t / times for t in by_turns(options.rounds, *(repeated(w, times) for w in works))]


def against_c(ours: float, theirs: list[float]) -> str:
    return f", {ours / theirs[0]:.2f}x the C twin's time" if theirs else ", no gcc"


def rss(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Toeplitz hashes of frames whose headers are parsed."""
    rows = []
    for six in (False, True):
        frames = segments(8192, 0, 8192, six=six)
        columns, n = frames.headers.columns, len(frames)
        settings = Rss.over(8)
        hashes, chosen, theirs = (
            np.zeros(n, np.uint32),
            np.zeros(n, np.uint8),
            np.zeros(n, np.uint32),
        )

        ready = frames.data, columns, settings.tables, u64(settings.types), hashes, chosen
        works: list[Callable[[], object]] = [lambda ready=ready: rss_kernel.hash_frames(*ready)]
        if library is not None and not six:
            l3, l4 = (np.ascontiguousarray(columns[c, :n]) for c in (C_L3, C_L4))
            arguments = (pointer(frames.data), pointer(l3), pointer(l4), pointer(settings.tables),
                         pointer(theirs), ctypes.c_uint64(n))  # fmt: skip
            works.append(lambda arguments=arguments: library.toeplitz(*arguments))
        ours, *c = beside(options, 20, *works)
        if c:
            assert (hashes == theirs).all()
        rows.append(
            Row(f"Toeplitz, IPv{6 if six else 4} with ports, hot", "-" if six else "6 ns, <= 1.3x C",
                "-" if six else "4 ns", f"{ours / n * 1e9:.1f} ns"
                + ("" if six else against_c(ours, c)),
                f"{n} frames, {36 if six else 12} bytes each; the twin chooses no hash type"
                if not six else f"{n} frames, 36 bytes each"),
        )  # fmt: skip
    return rows


def checksum(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Header and payload checksums."""
    frames = segments(8192, 0, 8192)
    columns, n = frames.headers.columns, len(frames)
    states, theirs = np.zeros(n, np.uint8), np.zeros(n, np.uint8)

    def numba() -> None:
        checksums_kernel.verify_ip(frames.data, frames.start, frames.caplen, columns, states)

    works: list[Callable[[], object]] = [numba]
    if library is not None:
        l3 = np.ascontiguousarray(columns[C_L3, :n])
        arguments = (pointer(frames.data), pointer(l3), pointer(theirs), ctypes.c_uint64(n))
        works.append(lambda: library.verify_ip(*arguments))
    ours, *c = beside(options, 20, *works)
    if c:
        assert (states == theirs).all()
    rows = [Row("IPv4 header checksum, hot", "3 ns", "1.6 ns",
                f"{ours / n * 1e9:.1f} ns{against_c(ours, c)}",
                f"{n} frames; the twin knows that all are IPv4")]  # fmt: skip
    for size in (40, 536, 1460, 8960):
        several = segments(max(16, 500_000 // (size + 54)), size, 16)
        found, n = np.zeros(len(several), np.uint8), len(several)
        of = several.headers.columns
        (ours,) = beside(
            options, max(1, 20_000 // n),
            lambda several=several, of=of, found=found: checksums_kernel.verify_transport(
                several.data, several.start, several.caplen, of, found
            ),
        )  # fmt: skip
        rows.append(Row(f"TCP checksum, {size} B of payload, hot", "-", "-",
                        f"{ours / n * 1e9:.1f} ns, {(size + 20) * n / ours / 1e9:.0f} GB/s"))  # fmt: skip
    return rows


def headers(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Header columns, which every offload begins with."""
    frames = segments(512, 1460, 64)
    columns = frames.headers.columns
    (ours,) = beside(
        options, 50, lambda: fill_columns(frames.data, frames.start, frames.caplen, columns)
    )
    return [
        Row(
            "header columns, hot",
            "-",
            "-",
            f"{ours / len(frames) * 1e9:.0f} ns a frame",
            "26 columns",
        )
    ]


def lso(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Super-frames of 64 KB cut into segments, every checksum made."""
    rows = []
    for mss, floor, aim in ((1460, "12 GB/s", "20 GB/s"), (536, "-", "-"), (8960, "-", "-")):
        n, size = 8, 65_000
        frames = segments(n, size, n)
        payload = n * size
        cutter = Lso(mss=mss)
        asked, columns = cutter.plan(frames), frames.headers.columns
        pieces = int(asked.pieces.sum())
        room = lso_kernel.Room(
            np.zeros(2 * payload + PAD, np.uint8), np.zeros(PART_FRAMES, np.int64),
            np.zeros(PART_FRAMES, np.uint32), np.zeros(PART_FRAMES, np.uint32),
        )  # fmt: skip
        spare = np.zeros(len(frames.data), np.uint8)

        ready = (
            frames.data,
            frames.start,
            frames.caplen,
            columns,
            asked,
            u64(2),
            room,
            u64(0),
            u64(0),
        )
        works: list[Callable[[], object]] = [
            lambda ready=ready: lso_kernel.cut(*ready),
            lambda spare=spare, frames=frames: np.copyto(spare, frames.data),
        ]
        if library is not None:
            out, start = np.zeros_like(room.data), np.zeros(PART_FRAMES, np.uint64)
            length = np.zeros(PART_FRAMES, np.uint32)
            arguments = (pointer(frames.data), ctypes.c_uint64(n), ctypes.c_uint64(size + 54),
                         ctypes.c_uint64(mss), pointer(out), pointer(start), pointer(length))  # fmt: skip
            works.append(lambda arguments=arguments: library.lso(*arguments))
        ours, copying, *c = beside(options, 20, *works)
        if c:
            used = int(length[: int(library.lso(*arguments))].sum())
            assert (room.data[:used] == out[:used]).all()
        rows.append(
            Row(f"LSO with checksums, 64 KB to MSS {mss}, hot", floor, aim,
                f"{payload / ours / 1e9:.1f} GB/s{against_c(ours, c)}, "
                f"{copying / ours:.2f} of copying",
                f"{ours / pieces * 1e9:.0f} ns a segment; plain copy {payload / copying / 1e9:.0f} GB/s"),
        )  # fmt: skip
    return rows


def _coalesce(joiner: Rsc, frames: Frames, space: rsc_kernel.Joined) -> None:
    """Parse the headers and run both kernels, as :meth:`nic.rsc.Rsc.stream` does for a part."""
    columns = frames.headers.columns
    fill_columns(frames.data, frames.start, frames.caplen, columns)
    joiner._batch = rsc_kernel.plan(
        frames.data, frames.start, frames.caplen, frames.interface, frames.ts_ns, columns,
        len(frames), 0, np.ones(len(frames), np.bool_), u64(joiner._batch), joiner._table, joiner._units,
        np.zeros(rsc_kernel.N_REASONS, np.int64),
    )  # fmt: skip
    rsc_kernel.join(frames.data, frames.start, frames.caplen, columns, joiner._units, space)


def rsc(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Segments joined, every checksum looked at and made."""
    rows = []
    for flows in (1, 64, 1024):
        n = max(512, flows)
        frames = segments(n, 1460, flows)
        joiner = Rsc(batch_frames=n, connections=4096)
        space = rsc_kernel.Joined(
            np.zeros(len(frames.data), np.uint8),
            *(np.zeros(n, t) for t in ["i8", "u4", "u4", "u4", "u4"]),
        )
        spare = np.zeros(len(frames.data), np.uint8)
        assert len(joiner.coalesce(frames).frames) == (flows if flows > 1 else 12)
        ours, copying = beside(
            options, 20,
            lambda joiner=joiner, frames=frames, space=space: _coalesce(joiner, frames, space),
            lambda spare=spare, frames=frames: np.copyto(spare, frames.data),
        )  # fmt: skip
        floor, aim = ("8 GB/s", "13 GB/s") if flows < 1024 else ("-", "-")
        rows.append(
            Row(f"RSC, {flows} connection{'s' if flows > 1 else ''} interleaved, hot"
                if flows < 1024 else f"RSC, {flows} connections, one segment each",
                floor, aim,
                f"{n * 1460 / ours / 1e9:.1f} GB/s, {copying / ours:.2f} of copying",
                f"{ours / n * 1e9:.0f} ns a segment of 1460 B, headers parsed; "
                f"plain copy {n * 1460 / copying / 1e9:.0f} GB/s"),
        )  # fmt: skip
    return rows


def files(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """Streams that do not fit the cache: batches of a capture, output buffers used again."""
    frames = segments(40_000, 1460, 64)
    spare = np.zeros(len(frames.data), np.uint8)
    joiner = Rsc(batch_frames=256)
    together = Rsc(batch_frames=65_536).coalesce(segments(40_000, 1460, 4)).frames
    cutter = Lso(mss=1460)

    def coalesce() -> None:
        for _ in joiner.stream([frames]):
            pass

    def segment() -> None:
        for _ in cutter.parts(together):
            pass

    def copied() -> None:
        spare[:] = frames.data

    joined, cut, copying = by_turns(max(3, options.rounds // 2), coalesce, segment, copied)
    payload = len(frames) * 1460
    return [
        Row("RSC, 61 MB streamed, parts of 1 MB", "-", "-",
            f"{payload / joined / 1e9:.1f} GB/s, {copying / joined:.2f} of copying",
            "headers parsed, 64 connections, batches of 256"),
        Row("LSO, 61 MB streamed, parts of 512 KB", "-", "-",
            f"{payload / cut / 1e9:.1f} GB/s, {copying / cut:.2f} of copying",
            f"plain copy of the same bytes {len(frames.data) / copying / 1e9:.1f} GB/s"),
        _copied_batch(frames, copying, options),
    ]  # fmt: skip


def _copied_batch(frames: Frames, copying: float, options: argparse.Namespace) -> Row:
    (ours,) = by_turns(max(3, options.rounds // 2), lambda: copy_batch(frames))
    return Row("tags changed: batch copied into fresh memory", "-", "-",
               f"{len(frames.data) / ours / 1e9:.1f} GB/s, {copying / ours:.2f} of copying",
               "first touch of the pages included")  # fmt: skip


def chimney(library: ctypes.CDLL | None, options: argparse.Namespace) -> list[Row]:
    """A capture through a host with chimney: plain Python, a dictionary look-up a segment."""
    sessions = [
        TcpSession(client_mac=2 + 256 * k, server_mac=4 + 256 * k, client_ip=0x0A000001 + k,
                   server_ip=0x0B000001 + k, client_port=40_000, response_bytes=60_000)
        for k in range(100)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.pcap"
        with ClassicWriter(path) as writer:
            writer.write(conversations(sessions))
        counted: list[int] = []

        def run() -> None:
            host = ChimneyHost(Chimney(), Policy())
            host.add(pcaps.open(path))
            host.finish()
            counted.append(host.frames)

        (ours,) = by_turns(3, run)
    return [Row("TCP chimney, both ends on the host", "-", "-", f"{counted[0] / ours / 1e3:.0f} kframes/s",
                f"{counted[0]} frames, {len(sessions)} connections")]  # fmt: skip


PARTS = {"headers": headers, "rss": rss, "checksum": checksum, "lso": lso, "rsc": rsc,
         "stream": files, "chimney": chimney}  # fmt: skip

_HEAD = """# Performance of the offloads

`python benchmarks/offloads.py` writes this table. Each row stands beside something that was run by turns with it: a twin in
C (`benchmarks/offloads.c`, gcc -O3 -march=native), or a plain copy of the same bytes. GB/s count payload.

<!-- table -->
<!-- end -->
"""


def main() -> None:
    """Run the parts, print the table, write it into docs/performance-offloads.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        library = build(Path(temporary))
        for name in options.only.split(","):
            print(f"== {name}", file=sys.stderr)
            for row in PARTS[name](library, options):
                print(f"   {row.work}: {row.seen} (floor {row.floor}, aim {row.aim}) {row.note}")
                rows.append(row)
    if options.dry_run:
        return
    write_page(PAGE, _HEAD, rows, f"median of {options.rounds} rounds")


if __name__ == "__main__":
    main()
