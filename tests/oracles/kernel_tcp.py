"""The Linux kernel's own TCP through a real blackout: what its timers do, and what survives.

Two namespaces with a tap each, joined by a path that goes dark; real programs talk over it.
The client is recorded as by a capture on its own device. Everything is measured: nothing
here knows how TCP works but the search for repeated sequence numbers.

Left to others: namespaces (:mod:`namespaces`), path (:mod:`dark_path`), programs
(:mod:`kernel_apps`), tables and files (``benchmarks/kernel_blackouts.py``).
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dark_path import Blackout, DarkPath, Link
from namespaces import Namespace, Recorded, Recorder, why_not

__all__ = ["TRAFFIC", "Outcome", "Trial", "run", "why_not"]

CLIENT_MAC, VM_MAC = "02:00:00:00:01:01", "00:15:5d:01:0b:01"
CLIENT, VM = "192.0.2.1/24", "192.0.2.10/24"
PORTS = {"rr": 7007, "bulk": 5001, "http": 8080}
DOWNLOAD = "notes.txt"
_APPS = Path(__file__).with_name("kernel_apps.py")
_LISTEN_S = 20.0


@dataclass(frozen=True)
class Trial:
    """One connection of real TCP, and the blackout that it has to live through.

    Parameters
    ----------
    kind : {"rr", "bulk", "http"}
        64-byte requests 20 ms after each answer; a client that writes without end;
        downloads from Python's ``http.server``.
    blackout_s : float
        Its length; 0 leaves the path alone.
    mode : {"drop", "hold"}
        What becomes of frames in the dark.
    rtt_s : float
        Added by the path, both ways together.
    rate_bps : int, optional
        Bottleneck of the path, each way; none by default.
    queue_bytes : int
        What may wait for it.
    before_s, after_s : float
        Time before the blackout is armed, and after its end (or the end of `before_s`).
    phase_s : float
        From the first frame of the VM after that to the beginning of the dark: half of the
        time between requests.
    tcp_retries2 : int
        ``net.ipv4.tcp_retries2`` of both ends.
    congestion : str
        Congestion control of both ends.
    held_frames : int
        Bound of what is held in each direction.
    download_bytes : int
        Size of the file that ``http`` gets.
    """

    kind: Literal["rr", "bulk", "http"]
    blackout_s: float = 0.0
    mode: Literal["drop", "hold"] = "drop"
    rtt_s: float = 0.0
    rate_bps: int | None = None
    queue_bytes: int = 60_000
    before_s: float = 2.0
    after_s: float = 2.0
    phase_s: float = 0.010
    tcp_retries2: int = 15
    congestion: str = "cubic"
    held_frames: int = 512
    download_bytes: int = 40_000

    @property
    def port(self) -> int:
        """TCP port of the VM's server."""
        return PORTS[self.kind]


TRAFFIC = {"rr": Trial("rr"), "bulk": Trial("bulk", rate_bps=20_000_000)}
"""Traffic of blackouts: requests without a bottleneck; bulk through one of 20 Mbit/s."""


class Repeated(NamedTuple):
    """A data segment of the client that was sent before: when, and its place in the stream."""

    ts_ns: int
    seq: int
    size: int


@dataclass
class Outcome:
    """What was measured. Times in seconds count from the beginning of the dark.

    Parameters
    ----------
    trial : Trial
        What was done.
    dark_ns, light_ns : int or None
        The blackout as it was, ns since 1970.
    stall_s : float
        Longest time without progress that overlaps the dark: between answers (``rr``), between
        reads of the receiver (``bulk``, ``http``). Infinite when there was none afterwards.
    write_stall_s : float
        The same between writes of the client, for ``bulk``; 0 for others.
    error : str
        Why the client's connection broke, empty when it survived.
    died_s, vm_died_s : float or None
        When it did, and when the server's end did, whose data may wait for an answer, too.
    rto_s, srtt_s, rttvar_s : float
        Of the client's socket, last asked before the dark.
    in_dark_s, after_s : list of float
        Retransmissions of the client in the dark, and after it.
    first_answer_s : float or None
        First frame of the VM that the client received after the light.
    app_bytes : int
        What the receiver read.
    counts : collections.Counter
        Frames by what the path did to them.
    frames : list of Recorded
        The client's capture.
    """

    trial: Trial
    dark_ns: int | None = None
    light_ns: int | None = None
    stall_s: float = 0.0
    write_stall_s: float = 0.0
    error: str = ""
    died_s: float | None = None
    vm_died_s: float | None = None
    rto_s: float = 0.0
    srtt_s: float = 0.0
    rttvar_s: float = 0.0
    in_dark_s: list[float] = field(default_factory=list)
    after_s: list[float] = field(default_factory=list)
    first_answer_s: float | None = None
    app_bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    frames: list[Recorded] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether the connection lived to the end of the trial."""
        return not self.error


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a program when the block is left, however it is left."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _last(complaint: str) -> str:
    """Return the line of a traceback that says what was wrong."""
    return complaint.strip().rpartition("\n")[2]


def _await(process: subprocess.Popen[str], word: str) -> None:
    """Wait until a server says that it listens."""
    assert process.stdout is not None
    end = time.monotonic() + _LISTEN_S
    while time.monotonic() < end:
        line = process.stdout.readline()
        if word in line:
            return
        if not line:
            _, complaint = process.communicate()
            raise RuntimeError(f"the server did not start: {_last(complaint)}")
    raise TimeoutError("the server did not listen in time")


def _report(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, complaint = process.communicate()
    if process.returncode or not said.strip():
        raise RuntimeError(f"an application failed: {_last(complaint)}")
    return json.loads(said.splitlines()[-1])  # type: ignore[no-any-return]


def text_of(size: int) -> bytes:
    """Return the text that is downloaded: lines of the character generator (RFC 864)."""
    shown = bytes(range(32, 127))
    lines = [(shown + shown)[n % 95 : n % 95 + 72] + b"\r\n" for n in range(size // 74 + 1)]
    return b"".join(lines)[:size]


def _applications(
    trial: Trial, client: Namespace, vm: Namespace, folder: Path
) -> tuple[list[str], list[str]]:
    """Return the commands of the server and of the client."""
    seconds = trial.before_s + trial.blackout_s + trial.after_s
    server, asker = {"rr": ("echo", "ask"), "bulk": ("sink", "push"), "http": ("web", "fetch")}[
        trial.kind
    ]
    (folder / DOWNLOAD).write_bytes(text_of(trial.download_bytes))
    meeting = [vm.ip, str(trial.port), "--congestion", trial.congestion]
    start = [sys.executable, str(_APPS)]
    return (
        [*start, server, *meeting, "--folder", str(folder)],
        [*start, asker, *meeting, "--seconds", str(seconds), "--file", DOWNLOAD],
    )


def run(trial: Trial, progress: Callable[[str], None] = lambda line: None) -> Outcome:
    """Let real TCP live through a blackout.

    Parameters
    ----------
    trial : Trial
        What to do.
    progress : callable
        Told what is being done, a line each time.

    Returns
    -------
    Outcome
        What was measured.

    Raises
    ------
    RuntimeError
        When a program failed, or frames were lost that the path did not lose: the
        measurement would say nothing.
    """
    sysctls = {"ipv4/tcp_retries2": str(trial.tcp_retries2)}
    link = Link(int(trial.rtt_s * 1e9 / 2), trial.rate_bps, trial.queue_bytes)
    seconds = trial.before_s + trial.blackout_s + trial.after_s
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kernel-tcp-")))
        client = Namespace(CLIENT_MAC, CLIENT, sysctls)
        stack.callback(client.close)
        vm = Namespace(VM_MAC, VM, sysctls)
        stack.callback(vm.close)
        recorder = client.recorder()
        stack.callback(recorder.socket.close)
        serve, ask = _applications(trial, client, vm, folder)
        server = stack.enter_context(_ended(vm.start(*serve)))
        _await(server, "ready")
        progress(f"{trial.kind}: {seconds:.1f} s of real TCP")
        asker = stack.enter_context(_ended(client.start(*ask)))
        blackout = None
        if trial.blackout_s:
            blackout = Blackout(
                time.time_ns() + int(trial.before_s * 1e9), int(trial.blackout_s * 1e9),
                trial.mode, int(trial.phase_s * 1e9), trial.held_frames,
            )  # fmt: skip
        way = DarkPath(client.tap, vm.tap, link, blackout, recorder)
        way.carry(lambda: asker.poll() is not None, 3 * seconds + 1100)
        _linger(way, server, trial)
        said = {"client": _report(asker)}
        if trial.kind != "http" and server.poll() is not None:
            said["server"] = _report(server)
        recorder.close()
        if lost := client.lost() + vm.lost() + way.counts["refused"]:
            raise RuntimeError(f"the taps lost {lost} frames; the machine is too busy to measure")
        return _measured(trial, way, recorder, said)


def _linger(way: DarkPath, server: subprocess.Popen[str], trial: Trial) -> None:
    """Carry on until the connection is closed at both ends and nothing is on its way."""
    end = time.monotonic() + 0.3 + 2 * trial.rtt_s
    deadline = end + 5.0

    def stop() -> bool:
        now = time.monotonic()
        return now > end and (trial.kind == "http" or server.poll() is not None or now > deadline)

    way.carry(stop, 60.0)


def _measured(
    trial: Trial, way: DarkPath, recorder: Recorder, said: dict[str, dict[str, Any]]
) -> Outcome:
    frames, client = recorder.frames, said["client"]
    outcome = Outcome(trial, way.dark_ns, way.light_ns, frames=frames, counts=way.counts)
    receiver = said.get("server", client) if trial.kind == "bulk" else client
    outcome.error, outcome.app_bytes = client["error"], receiver["bytes"]
    dark_ns, light_ns = way.dark_ns, way.light_ns
    if dark_ns is None or light_ns is None:
        if trial.blackout_s:
            raise RuntimeError("the programs ended before the blackout did")
        return outcome
    outcome.stall_s = _longest(receiver, dark_ns, light_ns)
    if trial.kind == "bulk":
        outcome.write_stall_s = _longest(client, dark_ns, light_ns)
    if outcome.error:
        outcome.died_s = (client["ended_ns"] - dark_ns) / 1e9
        outcome.stall_s = float("inf")
    if "server" in said and said["server"]["error"]:
        outcome.vm_died_s = (said["server"]["ended_ns"] - dark_ns) / 1e9
    for sample in client["samples"]:
        if sample[0] < dark_ns:
            outcome.rto_s, outcome.srtt_s, outcome.rttvar_s = (us / 1e6 for us in sample[1:4])
    again = [one.ts_ns for one in repeated(frames, trial.port) if one.ts_ns >= dark_ns]
    outcome.in_dark_s = [(at - dark_ns) / 1e9 for at in again if at < light_ns]
    outcome.after_s = [(at - dark_ns) / 1e9 for at in again if at >= light_ns]
    answers = (one.ts_ns for one in frames if not one.sent and one.ts_ns >= light_ns)
    first = next(answers, None)
    outcome.first_answer_s = None if first is None else (first - dark_ns) / 1e9
    return outcome


def _longest(report: dict[str, Any], dark_ns: int, light_ns: int) -> float:
    """Return the longest gap that overlaps the dark, in seconds."""
    gaps = [*report["gaps"], [report["last_ns"], report["last_ns"]]]
    return max(
        ((end - start) / 1e9 for start, end in gaps if end > dark_ns and start < light_ns),
        default=0.0,
    )


def repeated(frames: list[Recorded], port: int) -> list[Repeated]:
    """Return the data segments to a port whose first byte had been sent before.

    Parameters
    ----------
    frames : list of Recorded
        A capture at the sender.
    port : int
        Destination port.

    Returns
    -------
    list of Repeated
        In order of time; one connection a source port.
    """
    found, highest = [], dict[int, int]()
    for frame in frames:
        data = frame.data
        if not frame.sent or data[12:14] != b"\x08\x00" or data[23] != 6:
            continue
        ip_bytes = (data[14] & 15) * 4
        total, tcp = int.from_bytes(data[16:18], "big"), 14 + ip_bytes
        source, target, seq = struct.unpack_from(">HHI", data, tcp)
        size = total - ip_bytes - (data[tcp + 12] >> 4) * 4
        if target != port:
            continue
        if data[tcp + 13] & 2:  # SYN: a new stream
            highest[source] = seq + 1 & 0xFFFFFFFF
            continue
        if not size:
            continue
        ahead = seq - highest.setdefault(source, seq) & 0xFFFFFFFF
        if ahead >= 1 << 31:
            found.append(Repeated(frame.ts_ns, seq, size))
        else:
            highest[source] = seq + size & 0xFFFFFFFF
    return found
