"""A path between two taps that goes dark for a while, as the port of a VM in motion does.

    near tap ── link: rate, queue, delay ──► dark point ──► far tap
    near tap ◄── delay, rate, queue :link ── dark point ◄── far tap

Guarantees
----------
* Frames leave each end in the order in which they entered.
* In the dark every frame that reaches the dark point is lost (``drop``), or held up to a
  bound for each direction and released in order at the end, before newer ones (``hold``).
  Losses are counted by cause.
* Time is that of CLOCK_REALTIME in ns, so that it compares with captures. A frame is late by
  the time that this process waits for a processor, tens of microseconds on a quiet machine.

Left to others: the taps (:mod:`namespaces`), and what the ends say to each other.
"""

from __future__ import annotations

import os
import select
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from namespaces import Recorder

_READS_AT_A_TIME = 64
_LONGEST_WAIT_NS = 20_000_000
_LONGEST_FRAME = 1 << 16


@dataclass(frozen=True)
class Link:
    """What both directions of the path cost.

    Parameters
    ----------
    delay_ns : int
        One way.
    rate_bps : int, optional
        Of the bottleneck; no limit by default. Counts the bytes of frames without FCS.
    queue_bytes : int
        What may wait for the bottleneck; more is dropped, the last come first.
    """

    delay_ns: int = 0
    rate_bps: int | None = None
    queue_bytes: int = 60_000


@dataclass(frozen=True)
class Blackout:
    """When the path is dark, and what becomes of frames then.

    It begins `phase_ns` after the first frame that the far end sends at `armed_ns` or later,
    so that in request/response traffic its place between two requests is chosen, not left to
    chance.
    """

    armed_ns: int
    length_ns: int
    mode: Literal["drop", "hold"]
    phase_ns: int = 0
    held_frames: int = 512


class _Direction:
    """Frames on their way from one tap to the other."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.free_ns = 0

    def accept(self, frame: bytes, now_ns: int) -> bool:
        """Put a frame onto the link; False when the queue is full."""
        start_ns, rate = now_ns, self.link.rate_bps
        if rate is not None:
            start_ns = max(now_ns, self.free_ns)
            backlog_bytes = (start_ns - now_ns) * rate // 8_000_000_000
            if backlog_bytes + len(frame) > self.link.queue_bytes and start_ns > now_ns:
                return False
            start_ns += len(frame) * 8_000_000_000 // rate
            self.free_ns = start_ns
        self.waiting.append((start_ns + self.link.delay_ns, frame))
        return True

    def due_ns(self) -> int | None:
        return self.waiting[0][0] if self.waiting else None


class DarkPath:
    """Carries frames between two taps, in the calling thread.

    Parameters
    ----------
    near, far : int
        Descriptors of the taps; the far one is the VM's.
    link : Link
        Delay, rate and queue.
    blackout : Blackout, optional
        None is never dark.
    recorder : Recorder, optional
        Read while frames are carried.

    Attributes
    ----------
    dark_ns, light_ns : int or None
        When the blackout began and ended.
    counts : collections.Counter
        Frames by what became of them: ``carried``, ``dropped``, ``held``, ``overflowed``,
        ``queue_full``, ``refused`` (by the receiving kernel).
    """

    def __init__(
        self,
        near: int,
        far: int,
        link: Link,
        blackout: Blackout | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.near, self.far, self.blackout, self.recorder = near, far, blackout, recorder
        self.dark_ns: int | None = None
        self.light_ns: int | None = None
        self.counts: Counter[str] = Counter()
        self._out, self._back = _Direction(link), _Direction(link)
        self._held_out: deque[bytes] = deque()
        self._held_back: deque[bytes] = deque()

    def carry(self, stop: Callable[[], bool], limit_s: float) -> None:
        """Carry frames until `stop` says so; raise when it has not after `limit_s` seconds."""
        end_ns = time.time_ns() + int(limit_s * 1e9)
        watched = [self.near, self.far, *([self.recorder] if self.recorder else [])]
        while not stop():
            now_ns = time.time_ns()
            if now_ns > end_ns:
                raise TimeoutError(f"the programs did not end within {limit_s:.0f} s")
            wait_ns = max(0, min(self._next_ns(now_ns) - now_ns, _LONGEST_WAIT_NS))
            ready, _, _ = select.select(watched, [], [], wait_ns / 1e9)
            self._pass_time()
            if self.near in ready:
                self._read(self.near)
            if self.far in ready:
                self._read(self.far)
            self._pass_time()
            if self.recorder is not None and self.recorder in ready:
                self.recorder.take()
        if self.recorder is not None:
            self.recorder.take()

    @property
    def is_dark(self) -> bool:
        """Whether frames are dropped or held now."""
        return self.dark_ns is not None and self.light_ns is None and time.time_ns() >= self.dark_ns

    def _ends_ns(self) -> int | None:
        if self.blackout is None or self.dark_ns is None or self.light_ns is not None:
            return None
        return self.dark_ns + self.blackout.length_ns

    def _next_ns(self, now_ns: int) -> int:
        times = [self._out.due_ns(), self._back.due_ns(), self._ends_ns()]
        return min((at for at in times if at is not None), default=now_ns + _LONGEST_WAIT_NS)

    def _pass_time(self) -> None:
        """Do what is due: end the dark, take frames from the link."""
        now_ns = time.time_ns()
        ends_ns = self._ends_ns()
        if ends_ns is not None and now_ns >= ends_ns:
            # frames that came to the dark point before its end belong to the dark
            self._arrive(ends_ns)
            self.light_ns = now_ns
            for held, tap in ((self._held_out, self.far), (self._held_back, None)):
                while held:
                    frame = held.popleft()
                    if tap is None:
                        self._back.accept(frame, now_ns)
                    else:
                        self._write(tap, frame)
        self._arrive(now_ns)

    def _arrive(self, now_ns: int) -> None:
        while (due_ns := self._out.due_ns()) is not None and due_ns <= now_ns:
            _, frame = self._out.waiting.popleft()
            if self.is_dark:
                self._lose_or_hold(frame, self._held_out)
            else:
                self._write(self.far, frame)
        while (due_ns := self._back.due_ns()) is not None and due_ns <= now_ns:
            self._write(self.near, self._back.waiting.popleft()[1])

    def _read(self, tap: int) -> None:
        for _ in range(_READS_AT_A_TIME):
            try:
                frame = os.read(tap, _LONGEST_FRAME)
            except BlockingIOError:
                return
            if tap == self.near:
                if not self._out.accept(frame, time.time_ns()):
                    self.counts["queue_full"] += 1
                continue
            if self.is_dark:
                self._lose_or_hold(frame, self._held_back)
            elif not self._back.accept(frame, time.time_ns()):
                self.counts["queue_full"] += 1
            self._see(time.time_ns())

    def _see(self, now_ns: int) -> None:
        """Set the time of the blackout at the first frame of the far end after it was armed."""
        blackout = self.blackout
        if blackout is not None and self.dark_ns is None and now_ns >= blackout.armed_ns:
            self.dark_ns = now_ns + blackout.phase_ns

    def _lose_or_hold(self, frame: bytes, held: deque[bytes]) -> None:
        assert self.blackout is not None
        if self.blackout.mode == "drop":
            self.counts["dropped"] += 1
        elif len(held) >= self.blackout.held_frames:
            self.counts["overflowed"] += 1
        else:
            self.counts["held"] += 1
            held.append(frame)

    def _write(self, tap: int, frame: bytes) -> None:
        try:
            os.write(tap, frame)
            self.counts["carried"] += 1
        except OSError:
            self.counts["refused"] += 1
