"""How fast a replay in time is, as ratios to the same replay without time, in one run.

    python benchmarks/hosts.py                   all rows; writes docs/performance-hosts.md
    python benchmarks/hosts.py --bytes 64MB --dry-run

Terms of a ratio are run by turns, round by round; CPU time of the thread, and the
median of the rounds. Frames come from a mapped capture, read once from memory. A row says
floor, aim and what was seen; it never fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fastpath import ROOT, Row, by_turns, capture_file, network, write_page

import pcaps
from nic.adapter import Adapter
from pcaps.quantities import parse_bytes
from vswitch.arrivals import Pace
from vswitch.host import Host
from vswitch.host_profiles import HostProfile, host_profile
from vswitch.modelled import Modelled
from vswitch.run import Ingress, run_capture
from vswitch.switch import Switch
from vswitch.timed import TimedReplay

PAGE = ROOT / "docs" / "performance-hosts.md"
_HEAD = """# Performance of modelled hosts

`python benchmarks/hosts.py` writes this table: a replay in time (`vswitch replay --host`) beside the same replay without time, run by
turns with it. 16 VMs in 8 VLANs, 16 logical processors; classic captures, mapped and read from memory.

<!-- table -->
<!-- end -->
"""
VMS, VLANS = 16, 8
UPLINK = Ingress("uplink")


@dataclass
class Contest:
    """One capture through one host, with time and without."""

    path: Path
    switch: Switch
    host: Host
    rate: str

    @classmethod
    def of(cls, path: Path, profile: HostProfile, rate: str) -> Contest:
        """Return the contest over a capture, with the adapter that the profile asks for."""
        net = network(VMS, VLANS)
        adapter = None
        if profile.vmq:
            adapter = Adapter(
                profile=profile.release, num_queues=profile.queues, max_cpus=profile.processors,
                jumbo_packet=9014,
            )  # fmt: skip
        switch = Switch(net, adapter)
        return cls(path, switch, Host(profile, net, adapter), rate)

    def without_time(self) -> None:
        """Decide all frames."""
        run_capture(
            self.switch.engine, pcaps.open(self.path), UPLINK, lambda decided: None, columns=False
        )

    def in_time(self) -> Modelled:
        """Decide all frames, and let them come to the host."""
        replay = TimedReplay(self.host, Pace.parse(self.rate, None), acks=True)

        def take(decided) -> None:  # type: ignore[no-untyped-def]
            replay.take(decided)

        run_capture(
            self.switch.engine, pcaps.open(self.path), UPLINK, take, columns=True, loads=True
        )
        replay.finish()
        return replay.modelled


def replays(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Replays in time of three sizes, where the host keeps up and where it does not."""
    rows = []
    cases = (
        ("imix", "r2-vmq", "5Gbps", "15 Mpps, 0.3", "30 Mpps"),
        ("imix", "r2-vmq", "10Gbps", "15 Mpps, 0.3", "30 Mpps"),
        ("imix", "r2", "10Gbps", "-", "-"),
        ("64", "r2-vmq", "10Gbps", "-", "-"),
        ("1518", "r2-vmq", "9Gbps", "-", "-"),
    )
    for size, name, rate, floor, aim in cases:
        path = capture_file(folder, size, options.bytes, VMS, VLANS)
        contest = Contest.of(path, replace(host_profile(name), processors=16), rate)
        modelled = contest.in_time()
        free, timed = by_turns(options.rounds, contest.without_time, contest.in_time)
        frames = modelled.came + modelled.on_board
        label = "IMIX" if size == "imix" else f"{size} B"
        rows.append(
            Row(f"{label}, host {name}, {rate}", floor, aim,
                f"{frames / timed / 1e6:.1f} Mpps, {free / timed:.2f} of the untimed rate",
                f"{1e9 * timed / frames:.0f} ns a frame, untimed {1e9 * free / frames:.0f}; "
                f"{100 * modelled.lost / frames:.0f} % lost at the rings"),
        )  # fmt: skip
    return rows


def quick_bench(folder: Path, options: argparse.Namespace) -> list[Row]:
    """CPU seconds of ``vswitch bench --quick`` with its page, kernels cached."""
    taken = []
    command = [
        sys.executable, "-m", "vswitch", "bench", "--quick", "--html", str(folder / "page.html"),
    ]  # fmt: skip
    for _ in range(2):
        before = os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        taken.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    return [Row("vswitch bench --quick --html", "30 s CPU", "-", f"{min(taken):.1f} s CPU")]


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "replays": replays,
    "quick": quick_bench,
}


def main() -> None:
    """Run the parts, print the table, write it into docs/performance-hosts.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--bytes", type=parse_bytes, default=parse_bytes("256MB"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(","):
            print(f"== {name}", file=sys.stderr)
            for row in PARTS[name](Path(folder), options):
                print(f"   {row.work}: {row.seen} (floor {row.floor}, aim {row.aim}) {row.note}")
                rows.append(row)
    if options.dry_run:
        return
    how = f"{options.bytes / 1e6:.0f} MB captures, median of {options.rounds} rounds"
    write_page(PAGE, _HEAD, rows, how)


if __name__ == "__main__":
    main()
