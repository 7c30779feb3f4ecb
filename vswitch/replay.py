"""The replay job: captures through a switch, with counters, a summary and files.

Guarantees
----------
* Every frame is delivered to one port, flooded, or dropped for one reason, and
  the counters say so: in = unicast + flooded + dropped.
* Damage ends a capture but loses no frame before it; it is reported.
* Memory is bounded, whatever the size of the captures.
* Any number of threads gives the same result and the same files.

Left to others: what people read (:mod:`vswitch.report`) and the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcaps.capture import Capture
from pcaps.damage import Damage
from pcaps.errors import BadInput
from vswitch.feed import Feed
from vswitch.lab import Lab, lab_of
from vswitch.offloading import Offloading, Substitutes
from vswitch.outputs import QUEUES_FILE, SPLIT_DIRECTORY, IngressSide, Outputs
from vswitch.results import Result, Stopwatch
from vswitch.run import run_capture
from vswitch.tally import Tally
from vswitch.verdict import DropReason

if TYPE_CHECKING:
    from vswitch.engine import Decided
    from vswitch.host_choice import HostChoice
    from vswitch.timed import TimedReplay

SCHEMA = "vswitch.replay/1"

SELF_MADE = "self-made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to replay, and how.

    Parameters
    ----------
    captures : sequence of str
        Paths, at least one; ``-`` is standard input.
    scenario : str, optional
        Path of a scenario; made from the captures by default.
    output : str or path-like, optional
        Directory for ``queues.pcapng`` and ``summary.json``.
    mode : str, optional
        ``vmq`` (adapter with VM queues) or ``software``; that of the host, or
        ``vmq``, by default.
    queues : int, optional
        VM queues of the adapter.
    jobs : int
        Threads.
    limit : int, optional
        Most frames to replay.
    strict : bool
        Whether a damaged capture is an error.
    split : bool
        Whether to write a pcap per port, too.
    ingress : str
        Which frames ``queues.pcapng`` holds as they came in: all, dropped, none.
    host : HostChoice, optional
        The host that frames come to, in time; None = without time, nothing is lost.
    """

    captures: Sequence[str]
    scenario: str | None = None
    output: str | Path | None = None
    mode: str | None = None
    queues: int | None = None
    jobs: int = 1
    limit: int | None = None
    strict: bool = False
    split: bool = False
    ingress: str = "all"
    host: HostChoice | None = None

    def __post_init__(self) -> None:
        if not self.captures:
            raise BadInput("nothing to replay; name a capture")
        if self.mode not in (None, "vmq", "software"):
            raise BadInput(f"mode '{self.mode}' does not exist; use vmq or software")
        if self.jobs < 1:
            raise BadInput(f"{self.jobs} jobs: use at least 1")
        if self.split and self.output is None:
            raise BadInput("--split needs a directory for the files; add -o DIR")
        if self.queues is not None and self.mode == "software":
            raise BadInput("the software switch has no VM queues; drop --queues or use --mode vmq")
        if self.host is not None:
            self.host.check_mode(self.mode, self.queues)

    @property
    def way(self) -> str:
        """``vmq`` or ``software``, whoever says so."""
        return self.mode or (self.host.mode if self.host else "vmq")

    def explain_command(self, frame: int) -> str:
        """Return the command that explains a frame of this job.

        Parameters
        ----------
        frame : int
            Its number through all captures, from 1.

        Returns
        -------
        str
            Quoted for a shell.
        """
        words = ["vswitch", "explain"]
        if self.scenario is not None:
            words += ["-s", self.scenario]
        if self.way != "vmq":
            words += ["--mode", self.way]
        queues = self.queues
        if queues is None and self.scenario is None and self.host and self.host.profile.vmq:
            queues = self.host.profile.queues
        if queues is not None:
            words += ["--queues", str(queues)]
        if self.limit is not None and self.scenario is None:
            words += ["--limit", str(self.limit)]
        return shlex.join([*words, *map(str, self.captures), "--frame", str(frame)])


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """What was read of one capture.

    Parameters
    ----------
    path, format : str
        Name and file format.
    frames, bytes_wire, bytes_captured : int
        Ethernet frames and their bytes.
    skipped : dict
        Records passed over, by cause.
    damage : pcaps.Damage, optional
        Where it stops being sound.
    """

    path: str
    format: str
    frames: int
    bytes_wire: int
    bytes_captured: int
    skipped: dict[str, int]
    damage: Damage | None

    @classmethod
    def of(cls, capture: Capture) -> CaptureReport:
        """Return the report of a capture that was read to its end."""
        return cls(
            capture.path, capture.format, capture.frames, capture.bytes_wire,
            capture.bytes_captured, capture.skipped, capture.damage,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the report as in the JSON object."""
        damage = self.damage
        return {
            "path": self.path,
            "format": self.format,
            "frames": self.frames,
            "bytes_wire": self.bytes_wire,
            "bytes_captured": self.bytes_captured,
            "skipped": dict(self.skipped),
            "damage": damage
            and {
                "kind": damage.kind,
                "offset": damage.offset,
                "frame": damage.frame,
                "message": damage.message,
            },
        }


@dataclass(frozen=True, slots=True)
class Replay:
    """A finished replay.

    Parameters
    ----------
    job : Job
        What was asked for.
    lab : Lab
        The switch it ran on.
    captures : list of CaptureReport
        What was read.
    result : vswitch.results.Result
        Counters and measured time.
    in_time : TimedReplay, optional
        The modelled host, where there is one.
    failed_expectations : list of str
        Sentences about expectations of the scenario that do not hold.
    offloads : dict
        What the adapter's offloads did, where any could do something.
    """

    job: Job
    lab: Lab
    captures: list[CaptureReport]
    result: Result
    in_time: TimedReplay | None = None
    failed_expectations: list[str] = field(default_factory=list)
    offloads: dict[str, Any] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        """``vmq`` when an adapter with VM queues took part, else ``software``."""
        return "software" if self.lab.switch.adapter is None else "vmq"

    def first_drops(self) -> list[dict[str, Any]]:
        """Return, for each reason, how many frames were dropped and how to see why.

        Returns
        -------
        list of dict
            Most frequent reason first; `frame` is the number of the first such
            frame in `capture`, `packet_id` its number through all captures.
        """
        found = []
        drops = self.result.tally.drops
        for label in self.result.drops:
            reason, drop = next((r, d) for r, d in drops.items() if r.label == label)
            before = sum(capture.frames for capture in self.captures[: drop.first_capture])
            number = before + drop.first_frame
            found.append(
                {
                    "reason": reason.label,
                    "frames": drop.frames,
                    "capture": self.captures[drop.first_capture].path,
                    "frame": drop.first_frame,
                    "packet_id": number,
                    # a full ring is no decision: see the host's processors instead
                    "explain": None
                    if reason is DropReason.RING_FULL
                    else self.job.explain_command(number),
                }
            )
        return found

    def summary(self) -> dict[str, Any]:
        """Return what does not differ from run to run: the content of ``summary.json``.

        Returns
        -------
        dict
            The keys of :meth:`to_dict` without `measured` and `jobs`.
        """
        adapter = self.lab.switch.adapter
        counted = self.result.summary()
        del counted["measured"]
        return {
            "schema": SCHEMA,
            "captures": [capture.to_dict() for capture in self.captures],
            "scenario": self.job.scenario,
            "network": self.result.network.name,
            "dialect": str(self.result.network.dialect),
            "mode": self.mode,
            "adapter_queues": adapter.num_queues if adapter is not None else 0,
            **counted,
            "mirrored": self.result.tally.mirrored,
            "local_source": self.result.tally.local_source,
            **({"offloads": self.offloads} if self.offloads else {}),
            "first_drops": self.first_drops(),
            **({"host": self.in_time.to_dict()} if self.in_time else {}),
            "failed_expectations": list(self.failed_expectations),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the object of ``vswitch replay --json``.

        Returns
        -------
        dict
            JSON types only.
        """
        tally = self.result.tally
        measured = self.result.measured.to_dict(tally.frames, tally.bytes_wire)
        return {**self.summary(), "measured": measured, "jobs": self.job.jobs}


def run(
    job: Job,
    *,
    tell: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, int, int | None], None] = lambda _what, _n, _total: None,
) -> Replay:
    """Replay captures.

    Parameters
    ----------
    job : Job
        What to replay, and how.
    tell : callable
        Gets messages for people, one sentence each.
    progress : callable
        Gets what is being done, how many bytes of captures are behind, and how
        many there are (None = unknown).

    Returns
    -------
    Replay
        Counters, captures, measured time; the files are complete.

    Raises
    ------
    BadInput
        When something cannot be read, decided or written. There are no files then.
    """
    with ExitStack() as stack:
        feed = stack.enter_context(
            Feed(
                job.captures, twice=job.scenario is None, limit=job.limit, strict=job.strict,
                tell=tell,
            )
        )  # fmt: skip
        progress("preparing", 0, None)
        profile = job.host.profile if job.host else None
        lab = lab_of(feed, job.scenario, mode=job.way, queues=job.queues, host=profile)
        for note in [] if lab.scenario is None else lab.scenario.notes():
            tell(note)
        in_time = None
        if job.host is not None:
            in_time = _host_of(job.host, lab, tell)
        outputs = None
        if job.output is not None:
            _check_not_overwritten(job.captures, Path(job.output))
            outputs = stack.enter_context(
                Outputs(
                    job.output, lab.switch.compiled, ingress=lab.single_port,
                    side=IngressSide(job.ingress), split=job.split,
                )
            )  # fmt: skip
        replay = _decide(job, lab, feed, outputs, in_time, progress)
        if outputs is not None:
            outputs.write_summary(replay.summary())
    return replay


def _check_not_overwritten(captures: Sequence[str], directory: Path) -> None:
    """Raise :class:`BadInput` when an output file would replace a capture of the job."""
    written = directory.resolve() / QUEUES_FILE
    split = directory.resolve() / SPLIT_DIRECTORY
    for name in captures:
        path = Path(name).resolve()
        if path == written or path.parent == split:
            raise BadInput(f"{name} would be overwritten by the output; choose another directory")


def _host_of(choice: HostChoice, lab: Lab, tell: Callable[[str], None]) -> TimedReplay:
    """Build the host that the frames come to, and tell what people should know of it."""
    from vswitch.host import Host
    from vswitch.timed import TimedReplay

    host = Host(choice.profile, lab.switch.network, lab.switch.adapter)
    for warning in host.warnings():
        tell(warning)
    uplink = lab.switch.network.uplink
    # where VMs' own frames are in the capture, so are their acknowledgments
    acks = uplink is not None and lab.single_port == uplink.name
    return TimedReplay(host, choice.pace, acks=acks)


def _decide(
    job: Job,
    lab: Lab,
    feed: Feed,
    outputs: Outputs | None,
    in_time: TimedReplay | None,
    progress: Callable[[str, int, int | None], None],
) -> Replay:
    """Run all captures through the switch."""
    tally, size, behind = Tally(), feed.size_bytes, 0
    reports: list[CaptureReport] = []
    watch = Stopwatch()

    offloading = Offloading(lab.switch.compiled)
    offloads = offloading if offloading.needed(lab.ingress.constant(lab.switch.network)) else None
    last: Decided | None = None

    def write(parts: Iterable[tuple[Decided, Substitutes]]) -> None:
        for part, substitutes in parts:
            if outputs is not None:
                outputs.write(part, sum(report.frames for report in reports), substitutes)

    def take(decided: Decided) -> None:
        nonlocal last
        if in_time is not None:
            in_time.take(decided)
        tally.add(decided.compiled.network, decided.stats, decided.number - 1, len(reports))
        if offloads is not None:
            last = decided
            write(offloads.push(decided))
        elif outputs is not None:
            outputs.write(decided, sum(report.frames for report in reports))

    def advance(n_bytes: int) -> None:
        nonlocal behind
        behind += n_bytes
        progress("deciding", behind, size)

    timed = in_time is not None
    for capture in feed.captures():
        if in_time is not None:
            in_time.next_capture()
        run_capture(
            lab.switch.engine, capture, lab.ingress, take, jobs=job.jobs, loads=timed,
            columns=timed or outputs is not None or offloads is not None, progress=advance,
        )  # fmt: skip
        if offloads is not None:
            write(offloads.flush(last))
        reports.append(CaptureReport.of(capture))
    if in_time is not None:
        in_time.finish()
    tally.check()
    result = Result(lab.switch.compiled, tally, watch.measured())
    failed = [] if lab.scenario is None else lab.scenario.check(result.summary())
    done = {} if offloads is None else offloads.summary()
    return Replay(job, lab, reports, result, in_time, failed, done)
