"""Runs a script: an endpoint by hand, its segments held against those that are expected."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from migration.tcp.endpoint import Endpoint
from migration.tcp.script import Script, Step
from migration.tcp.segment import AGAIN, KINDS, Segment, kind_of
from migration.tcp.stack_keys import value_text
from pcaps.errors import BadInput


class Failure(NamedTuple):
    """The first step of a script that does not hold.

    Parameters
    ----------
    line : int
        Its line in the file.
    what : str
        What was expected, and what there was.
    """

    line: int
    what: str


def run(script: Script) -> Failure | None:
    """Run a script.

    Parameters
    ----------
    script : Script

    Returns
    -------
    Failure or None
        None when every step holds.
    """
    return _Run(script).run()


class _Run:
    """An endpoint, and the segments that it has sent and nobody has asked for yet."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: deque[tuple[int, Segment]] = deque()
        self.acked = 1
        settings = script.settings
        self.end = Endpoint(
            script.stack, nodelay=bool(settings.get("nodelay")), lazy=bool(settings.get("lazy")),
            keepalive=bool(settings.get("keepalive")), buffer=settings.get("buffer", 0),
            mss=settings.get("mss", 0),
        )  # fmt: skip

    def run(self) -> Failure | None:
        for step in self.script.steps:
            what = self.expect_segment(step) if step.what == ">" else self.other(step)
            if what is not None:
                return Failure(step.line, what)
        if self.sent:
            at, segment = self.sent[0]
            return Failure(self.script.steps[-1].line, f"behind this, {_at(at)}: {segment}")
        return None

    def expect_segment(self, step: Step) -> str | None:
        """Take the next segment, and hold it against a step."""
        while not self.sent:
            due = self.end.next_timer_ns
            if due is None or due > step.last_ns:
                self.advance(step.last_ns)
                return f"expected {describe(step.words)} {_span(step)}; nothing was sent"
            self.advance(due)
        at, segment = self.sent.popleft()
        if not step.first_ns <= at <= step.last_ns or difference(step.words, segment):
            other = difference(step.words, segment)
            why = f" ({other} differs)" if other else ""
            return f"expected {describe(step.words)} {_span(step)}; got {segment} {_at(at)}{why}"
        return None

    def advance(self, until: int) -> None:
        self.sent.extend(self.end.advance(until))

    def other(self, step: Step) -> str | None:
        """Let something happen to the endpoint, or look at it."""
        now = step.first_ns
        self.advance(now - 1 if step.what != "expect" else now)
        if self.sent:
            at, segment = self.sent[0]
            return f"before this, {_at(at)}: {segment}, which no step expects"
        if step.what == "expect":
            return self.conditions(step.words)
        try:
            answer = self.happen(step.what, step.words, now)
        except BadInput as problem:
            return problem.what
        self.sent.extend((now, segment) for segment in answer)
        return None

    def happen(self, what: str, words: dict[str, Any], now: int) -> list[Segment]:
        if what == "<":
            return self.end.arrive(self.incoming(words), now)
        if what == "listen":
            self.end.listen()
        elif what == "established":
            window = words.get("wnd", 65535)
            self.end.establish(now, window=window, mss=words.get("mss", 0))
        elif what == "keepalive":
            self.end.set_keepalive(words["on"], now)
        elif what in {"write", "read"}:
            call = self.end.write if what == "write" else self.end.read
            return call(words["size"], now)
        else:
            calls = {
                "connect": self.end.connect, "close": self.end.close,
                "release": self.end.release, "abort": self.end.abort,
            }  # fmt: skip
            return calls[what](now)
        return []

    def incoming(self, words: dict[str, Any]) -> Segment:
        """Make the segment that a step describes."""
        self.acked = words.get("ack", self.acked)
        stamps = words.get("ts")
        return Segment(
            flags=KINDS[words["kind"]] | (8 if "psh" in words else 0), seq=words["seq"],
            size=words["size"], ack=self.acked, window=words.get("win", 65535),
            mss=words.get("mss") or 0, scale=words.get("scale"), sack_ok="sackok" in words,
            tsval=stamps[0] if stamps else None, tsecr=stamps[1] if stamps else None,
            sack=words.get("sack") or (),
        )  # fmt: skip

    def conditions(self, words: dict[str, Any]) -> str | None:
        for name, wanted in words.items():
            found = self.condition(name)
            if found != wanted:
                return f"expected {name}={_text(name, wanted)}; it is {_text(name, found)}"
        return None

    def condition(self, name: str) -> Any:
        end = self.end
        if name in {"state", "end"}:
            return getattr(end, name)
        if name == "timer":
            due = end.next_timer_ns
            return None if due is None else due - end.now_ns
        if name == "rto":
            return end.field("rto") * 1000
        if name == "srtt":
            return (end.field("srtt") >> 3) * 1000
        if name == "in_flight":
            return (
                end.field("packets") - end.field("sacked") - end.field("lost") + end.field("resent")
            )
        return end.field({"window": "wnd"}.get(name, name))


def difference(words: dict[str, Any], segment: Segment) -> str:
    """Name what differs between a segment and what a step says of it.

    Parameters
    ----------
    words : dict of str to Any
        As :class:`migration.tcp.script.Step` has them.
    segment : Segment

    Returns
    -------
    str
        Empty when nothing does.
    """
    found: dict[str, Any] = {
        "kind": kind_of(segment.flags, segment.size),
        "seq": segment.seq,
        "size": segment.size,
        "ack": segment.ack,
        "win": segment.window,
        "mss": segment.mss or None,
        "scale": segment.scale,
        "sack": segment.sack or None,
        "ts": None if segment.tsval is None else (segment.tsval, segment.tsecr),
        "again": AGAIN[segment.again],
        "psh": bool(segment.flags & 8),
        "sackok": segment.sack_ok,
        "probe": segment.probe,
    }
    names = {"size": "range", "seq": "position"}
    for name, wanted in words.items():
        if found[name] != (wanted if name != "again" or wanted else "no"):
            return names.get(name, name)
    return ""


def describe(words: dict[str, Any]) -> str:
    """Write what a step says of a segment.

    Parameters
    ----------
    words : dict of str to Any

    Returns
    -------
    str
    """
    text = f"{words['kind']} {words['seq']}"
    if words["size"]:
        text += f"..{words['seq'] + words['size']}"
    for name, value in words.items():
        if name in {"kind", "seq", "size"}:
            continue
        if value is True:
            text += f" {name}"
        elif value is None:
            text += f" {name}=no"
        elif name == "sack":
            text += " sack=" + ",".join(f"{start}..{stop}" for start, stop in value)
        elif name == "ts":
            text += f" ts={value[0]}/{value[1]}"
        else:
            text += f" {name}={value}"
    return text


def _at(ns: int) -> str:
    return f"at {value_text('min_rto', ns)}"


def _span(step: Step) -> str:
    if step.first_ns == step.last_ns:
        return _at(step.first_ns)
    return (
        f"between {value_text('min_rto', step.first_ns)} and {value_text('min_rto', step.last_ns)}"
    )


def _text(name: str, value: Any) -> str:
    if value is None:
        return "off"
    return value_text("min_rto", value) if name in {"timer", "rto", "srtt"} else str(value)
