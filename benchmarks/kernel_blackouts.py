"""The Linux kernel's own TCP through real blackouts, in network namespaces; needs root.

    python benchmarks/kernel_blackouts.py run                  0.1 to 5 s, drop and hold, rr and bulk
    python benchmarks/kernel_blackouts.py run --seconds 0.5,2 --mode hold --kind rr -o runs
    python benchmarks/kernel_blackouts.py record               records the samples again

`run` prints a line for each run: the stall that the application saw, and the times of
the client's retransmissions. ``-o`` keeps captures of the client and ``blackout.csv``.
`record` writes ``pcaps/samples/kernel_*.pcapng``: the same traffic, never the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import platform
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "oracles"))

from kernel_tcp import CLIENT_MAC, TRAFFIC, Outcome, Trial, run, why_not

from pcaps.copies import INBOUND, OUTBOUND, Copies
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter

SAMPLES = Path(__file__).resolve().parents[1] / "pcaps" / "samples"
RECORDINGS = {
    "kernel_rr.pcapng": Trial("rr", before_s=5.0, after_s=0, rtt_s=0.001),
    "kernel_bulk.pcapng": Trial("bulk", before_s=0.2, after_s=0, rtt_s=0.005, rate_bps=2_000_000),
    "kernel_http.pcapng": Trial("http", before_s=0.2, after_s=0, rtt_s=0.005),
}


def write_capture(path: Path, outcome: Outcome, about: str) -> None:
    """Write what the client's device saw."""
    frames = Frames.from_bytes(
        [frame.data for frame in outcome.frames], ts_ns=[frame.ts_ns for frame in outcome.frames]
    )
    sent = np.array([frame.sent for frame in outcome.frames])
    copies = replace(
        Copies.of_all(len(frames)), direction=np.where(sent, OUTBOUND, INBOUND).astype(np.uint8)
    )
    kernel = platform.release().partition("-")[0]
    device = OutInterface("eth0", f"client, Linux {kernel}", mac=CLIENT_MAC)
    with PcapngWriter(path, [device], comment=about) as writer:
        writer.write(frames, copies)


def link_of(trial: Trial) -> str:
    """Say what the path costs."""
    rate = f"{trial.rate_bps / 1e6:g} Mbit/s" if trial.rate_bps else "no bottleneck"
    return f"{trial.congestion}, RTT {trial.rtt_s * 1e3:g} ms added, {rate}"


def record(options: argparse.Namespace) -> None:
    """Record the samples."""
    for name, trial in RECORDINGS.items():
        outcome = run(trial, say)
        path = options.output / name
        write_capture(path, outcome, f"benchmarks/kernel_blackouts.py record: {link_of(trial)}")
        print(f"{path}: {len(outcome.frames)} frames, {path.stat().st_size / 1e3:.0f} kB")


def row_of(name: str, outcome: Outcome) -> dict[str, object]:
    """Return a line of blackout.csv; times as :class:`Outcome` has them."""
    trial = outcome.trial
    return {
        "tag": name,
        "kind": trial.kind,
        "cc": trial.congestion,
        "mode": trial.mode,
        "tcp_retries2": trial.tcp_retries2,
        "blackout_s": trial.blackout_s,
        "rtt_s": trial.rtt_s,
        "rate_bps": trial.rate_bps or "",
        "dark_start_ns": outcome.dark_ns,
        "dark_end_ns": outcome.light_ns,
        "app_stall_s": f"{outcome.stall_s:.4f}",
        "write_stall_s": f"{outcome.write_stall_s:.4f}",
        "survived": int(outcome.survived),
        "err": outcome.error,
        "died_after_dark_start_s": "" if outcome.died_s is None else f"{outcome.died_s:.4f}",
        "rto_before_us": round(outcome.rto_s * 1e6),
        "srtt_before_us": round(outcome.srtt_s * 1e6),
        "rttvar_before_us": round(outcome.rttvar_s * 1e6),
        "rtx_in_dark_s": " ".join(f"{at:.4f}" for at in outcome.in_dark_s),
        "n_rtx_after": len(outcome.after_s),
        "first_rtx_after_s": f"{outcome.after_s[0]:.4f}" if outcome.after_s else "",
        "first_rx_after_dark_start_s": f"{outcome.first_answer_s or 0:.4f}",
        "frames_dropped": outcome.counts["dropped"] + outcome.counts["overflowed"],
        "frames_held": outcome.counts["held"],
        "queue_drops_bottleneck": outcome.counts["queue_full"],
        "app_bytes": outcome.app_bytes,
    }


def trials(options: argparse.Namespace) -> list[Trial]:
    """Return what was asked for, in order."""
    asked = itertools.product(options.kind, options.mode, options.seconds, range(options.repeat))
    return [
        replace(
            TRAFFIC[kind], mode=mode, blackout_s=seconds, after_s=max(1.5, 1.3 * seconds),
            tcp_retries2=options.retries2, rtt_s=options.rtt / 1e3, congestion=options.congestion,
        )
        for kind, mode, seconds, _ in asked
    ]  # fmt: skip


def blackouts(options: argparse.Namespace) -> None:
    """Run the trials, print a line for each, keep what was asked for."""
    rows = []
    for number, trial in enumerate(trials(options)):
        outcome = run(trial, say)
        name = f"{trial.kind}_{trial.mode}_{trial.blackout_s:g}s_{number}"
        rows.append(row_of(name, outcome))
        end = f"stall {outcome.stall_s:.3f} s" if outcome.survived else (
            f"{outcome.error} after {outcome.died_s:.3f} s"
        )  # fmt: skip
        shown = " ".join(f"{at:.3f}" for at in outcome.in_dark_s)
        back = f"{outcome.after_s[0]:.3f}" if outcome.after_s else "-"
        print(f"{trial.kind:4} {trial.mode} {trial.blackout_s:4g} s: {end}; "
              f"sent again in the dark at {shown or '-'}, after it at {back}")  # fmt: skip
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            write_capture(options.output / f"{name}.pcapng", outcome, link_of(trial))
    if options.output:
        with (options.output / "blackout.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)


def say(line: str) -> None:
    """Tell on standard error what is being done."""
    print(line, file=sys.stderr)


def numbers(text: str) -> list[float]:
    """Read numbers between commas."""
    return [float(part) for part in text.split(",")]


def words(text: str) -> list[str]:
    """Read words between commas."""
    return text.split(",")


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    dark = commands.add_parser("run", help="run blackouts, print stalls and schedules")
    dark.set_defaults(work=blackouts)
    dark.add_argument("--kind", type=words, default="rr,bulk", help="rr, bulk (default: both)")
    dark.add_argument("--mode", type=words, default="drop,hold", help="drop, hold (default: both)")
    dark.add_argument("--seconds", type=numbers, default="0.1,0.5,1,2,5", help="blackouts")
    dark.add_argument("--rtt", type=float, default=0.0, help="ms that the path adds, both ways")
    dark.add_argument("--retries2", type=int, default=15, help="net.ipv4.tcp_retries2 of both ends")
    dark.add_argument("--congestion", default="cubic")
    dark.add_argument("--repeat", type=int, default=1, help="runs of each")
    dark.add_argument("-o", "--output", type=Path, help="keep captures and blackout.csv there")
    keep = commands.add_parser("record", help="record the samples")
    keep.set_defaults(work=record)
    keep.add_argument("-o", "--output", type=Path, default=SAMPLES)
    options = parser.parse_args()
    if missing := why_not():
        sys.exit(f"kernel_blackouts: {missing}")
    options.work(options)


if __name__ == "__main__":
    main()
