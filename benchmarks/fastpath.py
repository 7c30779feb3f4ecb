"""How fast the fast path is, as ratios to what was run beside it.

    python benchmarks/fastpath.py                 all rows; writes docs/performance.md
    python benchmarks/fastpath.py --only hot,cold --bytes 128MB --dry-run

Terms of a ratio are run by turns, round by round; CPU time of the thread, and
the median of the rounds. A row says floor, aim and what was seen; it never fails.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

import pcaps
from nic.adapter import Adapter
from pcaps.copies import Copies
from pcaps.quantities import parse_bytes
from pcaps.sizes import SizeMix
from pcaps.split_writer import SplitWriter
from pcaps.traffic import START_NS, TrafficPlan, synthesise, vm_mac
from vswitch.copies import leaving
from vswitch.engine import Decided, Engine, Workspace, prefetch_for
from vswitch.ports import Dialect, Network, Port, PortKind, VlanMode, VlanSetting
from vswitch.queues import give_queues
from vswitch.replay_kernel import walk_loop
from vswitch.run import Ingress, run_capture
from vswitch.tally import new_stats

ROOT = Path(__file__).resolve().parents[1]
u64 = np.uint64
VMS, VLANS = 256, 8
KEYS = 65_533


@dataclass
class Row:
    """One line of the table."""

    work: str
    floor: str
    aim: str
    seen: str
    note: str = ""


@njit(nogil=True)
def stream_sum(words):
    """Add up all words: the rate at which one core reads memory."""
    total = np.uint64(0)
    for i in range(words.size):
        total += words[i]
    return total


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this thread that `work` takes."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def by_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Median CPU seconds of each work, run by turns."""
    for work in works:
        work()
    taken = [[cpu(work) for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def network(vms: int = VMS, vlans: int = VLANS, dialect: Dialect = Dialect.HYPERV) -> Network:
    """Return a host with one uplink and many VMs, as the traffic's plan numbers them."""
    macs = vm_mac(np.arange(vms)).tolist()
    learning = dialect is Dialect.LEARNING
    trunk = VlanSetting(mode=VlanMode.TRUNK) if learning else VlanSetting()
    uplink = Port(name="uplink", kind=PortKind.UPLINK, vlan=trunk, mtu=9000)
    ports = (
        Port(name=f"vm{n}", mac=macs[n], vlan=VlanSetting(vid=100 + n % vlans), mtu=9000)
        for n in range(vms)
    )
    return Network(ports=(uplink, *ports), dialect=dialect)


def capture_file(folder: Path, size: str, n_bytes: int, vms: int = VMS, vlans: int = VLANS) -> Path:
    """Write a capture of about `n_bytes` of one size mix."""
    path = folder / f"{size}-{n_bytes}-{vms}.pcap"
    if not path.exists():
        from pcaps.classic_writer import ClassicWriter

        plan = TrafficPlan(sizes=SizeMix.parse(size), vms=vms, vlans=vlans, seed=1).filling(n_bytes)
        with ClassicWriter(str(path)) as writer:
            for frames in synthesise(plan, reuse=True):
                writer.write(frames)
    return path


class Walker:
    """The fused walk over a mapped capture in one call, and its C twin."""

    def __init__(self, path: Path, net: Network, adapter: Adapter | None = None) -> None:
        if adapter is not None:
            give_queues(net, adapter)
        self.engine = Engine(net, adapter)
        self.capture = pcaps.open(path)
        region = self.capture.region()
        assert region is not None
        self.region = region
        self.ahead = prefetch_for(region, region.first, self.engine.compiled.image)
        self.frames = sum(len(frames) for frames in pcaps.open(path))
        self.words = np.zeros(self.frames, np.uint64)
        self.stats = new_stats(net)

    def numba(self) -> None:
        """Decide the whole region."""
        compiled, region, none = self.engine.compiled, self.region, Workspace(columns=False)
        walk_loop(compiled.mode, region.swapped, False, self.ahead)(
            region.data, u64(region.first), u64(region.end), u64(region.end),
            u64(region.header_bytes), region.nanosecond, u64(0), compiled.image, compiled.filters,
            self.engine.learned.table, self.stats, self.words, none.start, none.caplen,
            none.wirelen, none.ts_ns, none.loads, u64(1),
        )  # fmt: skip

    def batches(self) -> Iterator[Decided]:
        """Decide the whole region, with the columns that writers need."""
        offset, space = self.region.first, Workspace(columns=True)
        while offset < self.region.end:
            before = offset
            decided, offset = self.engine.walk(
                self.region, offset, self.region.end, 0, space, columns=True, ahead=self.ahead
            )
            yield decided
            if offset == before:
                break

    def sum(self) -> None:
        """Read the same bytes."""
        size = self.region.data.size // 8 * 8
        stream_sum(self.region.data[:size].view(np.uint64))

    def c_twin(self, library: ctypes.CDLL) -> Callable[[], object]:
        """Return the same work in C."""

        def pointer(array: np.ndarray) -> ctypes.c_void_p:
            return array.ctypes.data_as(ctypes.c_void_p)

        arguments = (
            pointer(self.region.data), ctypes.c_uint64(self.region.first),
            ctypes.c_uint64(self.region.end), pointer(self.engine.compiled.image),
            pointer(self.stats), pointer(self.words), ctypes.c_uint64(self.frames),
            ctypes.c_int(self.ahead),
        )  # fmt: skip
        library.walk.restype = ctypes.c_uint64
        return lambda: library.walk(*arguments)


def build_twin(folder: Path) -> ctypes.CDLL | None:
    """Compile the C twin, None without a compiler."""
    if shutil.which("gcc") is None:
        return None
    library = folder / "twin.so"
    source = ROOT / "benchmarks" / "twin.c"
    flags = ["-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def hot(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Frames that stay in the second-level cache."""
    rows = []
    library = build_twin(folder)
    walker = Walker(capture_file(folder, "64", 640_000), network())
    works = [walker.numba] + ([walker.c_twin(library)] if library else [])
    inner = 50
    loops = [lambda work=work: [work() for _ in range(inner)] for work in works]
    times = by_turns(options.rounds, *loops)
    rate = walker.frames * inner / times[0] / 1e6
    ratio = f", {times[0] / times[1]:.2f}x the C twin's time" if library else ", no gcc"
    rows.append(
        Row("full decision, 64 B hot, 256 MAC x VLAN", "100 Mpps, <= 1.15x C", "160 Mpps, <= 1.0x",
            f"{rate:.0f} Mpps{ratio}",
            f"{walker.frames} frames, {1e3 / rate:.1f} ns each"),
    )  # fmt: skip
    many = Walker(capture_file(folder, "64", 5_300_000, KEYS, 8), network(KEYS, 8))
    repeats = 8
    (seconds,) = by_turns(options.rounds, lambda: [many.numba() for _ in range(repeats)])
    rate = many.frames * repeats / seconds / 1e6
    rows.append(Row("65 533 keys hot, 64 B", "50 Mpps", "100 Mpps", f"{rate:.0f} Mpps",
                    f"as many VMs as a switch has ports; {many.frames} frames, each to any of them"))  # fmt: skip
    learning = Walker(capture_file(folder, "64", 640_000), network(dialect=Dialect.LEARNING))
    for n, mac in enumerate(vm_mac(np.arange(VMS)).tolist()):
        learning.engine.learned.put(100 + n % VLANS, mac, n + 1, START_NS)
    plain, learned = by_turns(
        options.rounds,
        lambda: [walker.numba() for _ in range(inner)],
        lambda: [learning.numba() for _ in range(inner)],
    )
    vmq = Walker(capture_file(folder, "64", 640_000), network(), Adapter(num_queues=64))
    placed, _ = by_turns(
        options.rounds,
        lambda: [vmq.numba() for _ in range(inner)],
        lambda: [walker.numba() for _ in range(inner)],
    )
    rows.append(Row("adapter with 64 VM queues, same frames", "-", "-",
                    f"{vmq.frames * inner / placed / 1e6:.0f} Mpps, {placed / plain:.2f}x",
                    "a quarter of the VMs has a queue, the others go by the default queue"))  # fmt: skip
    rows.append(Row("dialect learning, same frames", "-", "-",
                    f"{learning.frames * inner / learned / 1e6:.0f} Mpps, "
                    f"{learned / plain:.2f}x", "learns each source; times are against hyperv's"))  # fmt: skip
    return rows


NAMES = {"64": "64 B", "imix": "IMIX", "512": "512 B", "1518": "1518 B", "9000": "9000 B"}
FLOORS = {
    "64": (0.35, 0.5),
    "imix": (0.4, 0.65),
    "512": (0.6, 1.1),
    "1518": (2, 6),
    "9000": (20, 40),
}


def cold(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Frames streamed once from a mapped file, against adding up the same bytes."""
    rows = []
    for size, (floor, aim) in FLOORS.items():
        walker = Walker(capture_file(folder, size, options.bytes), network())
        summed, decided = by_turns(options.rounds, walker.sum, walker.numba)
        per = decided / walker.frames * 1e9
        rows.append(
            Row(f"{NAMES[size]} cold, against streaming the same bytes",
                f"{floor}", f"{aim}", f"{summed / decided:.2f}",
                f"{per:.1f} ns a frame; streaming {walker.region.data.size / summed / 1e9:.0f} GB/s"),
        )  # fmt: skip
    return rows


class Rings(SplitWriter):
    """Rings in memory that are emptied into nothing when they are full."""

    def _append(self, file: int, data: object) -> None:
        """Forget what is in a ring."""

    def _finish(self) -> None:
        """Leave no files."""


def scatter(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Decide and copy into a ring a VM, tags stripped, cold; then the same into files."""
    rows = []
    net = network(16, 8)
    for size in FLOORS:
        path = capture_file(folder, size, options.bytes, 16, 8)
        walker = Walker(path, net)

        def run(kind: type[SplitWriter], walker: Walker = walker) -> None:
            shutil.rmtree(folder / "split", ignore_errors=True)
            with kind(str(folder / "split"), [f"q{n}.pcap" for n in range(17)]) as writer:
                for decided in walker.batches():
                    for part in leaving(decided):
                        copies = Copies(part.frame, part.port, part.strip, part.push)
                        writer.write(decided.frames, copies)

        summed, rings, files = by_turns(
            options.rounds, walker.sum, lambda run=run: run(Rings), lambda run=run: run(SplitWriter)
        )
        rows.append(Row(f"{NAMES[size]}: scatter into a ring a VM, tag stripped, cold", "0.35", "0.6",
                        f"{summed / rings:.2f}",
                        f"{path.stat().st_size / rings / 1e9:.1f} GB/s; into files {summed / files:.2f}, "
                        f"{path.stat().st_size / files / 1e9:.1f} GB/s"))  # fmt: skip
    return rows


def command(*words: str) -> tuple[float, float]:
    """Run the command; return CPU seconds and wall seconds of its process."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "vswitch", *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system, wall


def end_to_end(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The command itself, from file to queues.pcapng; starting it is measured beside it."""
    path = capture_file(folder, "imix", 2 * options.bytes)
    tiny = capture_file(folder, "imix", 50_000)
    out = folder / "out"
    taken, started = [], []
    for _ in range(5):
        shutil.rmtree(out, ignore_errors=True)
        started.append(command("replay", str(tiny), "-o", str(out), "--json"))
        shutil.rmtree(out, ignore_errors=True)
        taken.append(command("replay", str(path), "-o", str(out), "--json"))
    written = (out / "queues.pcapng").stat().st_size
    shutil.rmtree(out, ignore_errors=True)
    plain = statistics.median(plain_write(folder / "plain", written) for _ in range(3))
    size = path.stat().st_size / 1e9
    cpus, walls = (statistics.median(column) for column in zip(*taken, strict=True))
    begin, _ = (statistics.median(column) for column in zip(*started, strict=True))
    return [
        Row("file to `queues.pcapng`, end to end, IMIX", "1 GB/s", "3 GB/s",
            f"{size / cpus:.2f} GB/s",
            f"{size:.2f} GB in {cpus:.2f} s of CPU, {begin:.2f} s of them to start Python and numba "
            f"({size / (cpus - begin):.2f} GB/s without); {written / 1e9:.2f} GB written; "
            f"{size / walls:.2f} GB/s of wall time"),
        Row("the same work against writing as many bytes plainly", "-", "-",
            f"{(cpus - begin) / plain:.2f}x",
            f"write(2) of {written / 1e9:.2f} GB, 1 MB at a time, into the same folder: "
            f"{plain:.2f} s of CPU, {written / plain / 1e9:.2f} GB/s"),
    ]  # fmt: skip


def plain_write(path: Path, size: int) -> float:
    """Return the CPU seconds of writing a file of zeros."""
    block = memoryview(bytearray(1 << 20))
    began = time.process_time()
    with path.open("wb", buffering=0) as file:
        for _ in range(size >> 20):
            file.write(block)
    taken = time.process_time() - began
    path.unlink()
    return taken


def memory(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Memory of the command beyond the pages of files, at its peak."""
    path = capture_file(folder, "imix", 2 * options.bytes)
    words = [sys.executable, "-m", "vswitch", "replay", str(path), "-o", str(folder / "out")]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text()
        own = [line for line in status.splitlines() if line.startswith("RssAnon")]
        peak = max([peak, *(int(line.split()[1]) for line in own)])
        time.sleep(0.005)
    shutil.rmtree(folder / "out", ignore_errors=True)
    return [
        Row("memory beyond the mapped file, same capture", "400 MB", "-", f"{peak / 1e3:.0f} MB")
    ]


def peers(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The same classification by other means in Python."""
    import struct

    path = capture_file(folder, "imix", 8_000_000)
    raw = path.read_bytes()

    def plain() -> dict[tuple[int, bytes], int]:
        queues: dict[tuple[int, bytes], int] = {}
        at = 24
        unpack = struct.Struct("<IIII").unpack_from
        while at < len(raw):
            size = unpack(raw, at)[2]
            vid = 0
            if raw[at + 28 : at + 30] == b"\x81\0":
                vid = int.from_bytes(raw[at + 30 : at + 32], "big") & 0xFFF
            key = (vid, raw[at + 16 : at + 22])
            queues[key] = queues.get(key, 0) + 1
            at += 16 + size
        return queues

    def by_dpkt() -> None:
        import dpkt

        for _, data in dpkt.pcap.Reader(path.open("rb")):
            dpkt.ethernet.Ethernet(data)

    def by_scapy() -> None:
        from scapy.utils import PcapReader

        with PcapReader(str(path)) as reader:
            for number, packet in enumerate(reader):
                packet.dst  # noqa: B018
                if number == 2000:
                    break

    walker = Walker(path, network())
    frames = walker.frames
    ours, dictionary = by_turns(options.rounds, lambda: [walker.numba() for _ in range(20)], plain)
    ours /= 20 * frames
    rows = [
        Row("against dict + struct in Python", "50x", "100x", f"{dictionary / frames / ours:.0f}x")
    ]
    try:
        rows.append(Row("against dpkt", "500x", "700x", f"{cpu(by_dpkt) / frames / ours:.0f}x"))
    except ImportError:
        rows.append(Row("against dpkt", "500x", "700x", "not installed"))
    rows.append(Row("against scapy", "3000x", "10 000x", f"{cpu(by_scapy) / 2000 / ours:.0f}x"))
    return rows


def threads(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Two threads against one, by the clock on the wall."""
    rows = []
    for size in ("64", "imix"):
        path = capture_file(folder, size, options.bytes)
        walls: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(options.rounds):
            for jobs, taken in walls.items():
                engine = Engine(network())
                began = time.perf_counter()
                run_capture(engine, pcaps.open(path), Ingress("uplink"), lambda decided: None,
                            jobs=jobs, columns=False)  # fmt: skip
                taken.append(time.perf_counter() - began)
        one, two = (statistics.median(walls[jobs]) for jobs in (1, 2))
        rows.append(Row(f"2 threads against 1, {size} cold", "1.5x", "1.9x", f"{one / two:.2f}x"))
    return rows


def start_up(folder: Path, options: argparse.Namespace) -> list[Row]:
    """CPU seconds of small commands, kernels cached."""
    sample = str(ROOT / "pcaps" / "samples" / "office.pcapng")
    rows = []
    for label, words, floor, aim in (
        ("`vswitch --help`", ["--help"], "0.15 s", "0.08 s"),
        ("small capture, kernels cached", ["replay", sample, "--json"], "1.0 s", "0.5 s"),
    ):
        taken = [command(*words)[0] for _ in range(6)][1:]
        rows.append(Row(label, floor, aim, f"{statistics.median(taken):.2f} s"))
    return rows


PARTS = {"hot": hot, "cold": cold, "scatter": scatter, "end": end_to_end, "memory": memory,
         "peers": peers, "threads": threads, "start": start_up}  # fmt: skip


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| work | floor | aim | seen | about |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.work} | {row.floor} | {row.aim} | **{row.seen}** | {row.note} |" for row in rows
    ]
    return "\n".join(lines)


def machine() -> str:
    """Return what the figures were measured on."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]  # fmt: skip
    import numba

    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} logical processors, "
        f"Linux {platform.release()}, Python {platform.python_version()}, numba {numba.__version__}, "
        f"numpy {np.__version__}"
    )


def write_page(page: Path, empty: str, rows: list[Row], how: str) -> None:
    """Write the rows between the marks of a page, with the machine and how they were measured.

    Parameters
    ----------
    page : pathlib.Path
    empty : str
        What it begins as, where it is not there yet.
    rows : list of Row
    how : str
    """
    text = page.read_text() if page.exists() else empty
    head, _, rest = text.partition("<!-- table -->")
    tail = rest.partition("<!-- end -->")[2]
    body = f"\nMeasured on {machine()}; {how}.\n\n"
    page.write_text(f"{head}<!-- table -->{body}{table(rows)}\n<!-- end -->{tail}")


def main() -> None:
    """Run the parts, print the table, write it into docs/performance.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--bytes", type=parse_bytes, default="512MB", help="size of cold captures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where captures are made (default: temporary)")
    parser.add_argument("--dry-run", action="store_true", help="do not write docs/performance.md")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.only.split(","):
            print(f"== {name}", file=sys.stderr)
            for row in PARTS[name](folder, options):
                print(f"   {row.work}: {row.seen} (floor {row.floor}, aim {row.aim}) {row.note}")
                rows.append(row)
    if options.dry_run:
        return
    write_page(
        ROOT / "docs" / "performance.md", "# Performance\n\n<!-- table -->\n<!-- end -->\n", rows,
        f"{options.bytes / 1e6:.0f} MB cold captures, median of {options.rounds} rounds",
    )  # fmt: skip


if __name__ == "__main__":
    main()
