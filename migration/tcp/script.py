"""Conversations with a TCP endpoint, written down: what comes, what must go out, and when.

One step a line, a time before it: absolute (``1.5s``), or after the line before (``+10ms``);
without one, at the same moment. A time ``+200ms..+204ms`` of an expected segment is a span.
``#`` begins a comment. The lines of the head name the rule::

    # rule: RFC 9293 section 3.10.7.2
    # A SYN that comes to LISTEN is answered by a SYN-ACK.
    stack rfc:timestamps=off
    listen
    +0    < SYN 0 mss=1460
    +0    > SYN-ACK 0 ack=1 mss=1460
    +1s   > SYN-ACK 0 ack=1 again=timeout
    +10ms < ACK 1 ack=1
    +0    expect state=ESTABLISHED

====================  ============================================================
line                  means
====================  ============================================================
``stack SPEC``        the endpoint's stack and overrides; first of all
``set WORD...``       ``nodelay``, ``keepalive``, ``lazy``, ``buffer=N``, ``mss=N``
``connect``           the application opens actively; also ``listen``
``established``       begin in ESTABLISHED, with ``wnd=N`` and ``mss=N`` of the peer
``write N``           the application sends; also ``read N``, ``close``,
                      ``release``, ``abort``, ``keepalive on`` or ``off``
``< SEGMENT``         a segment comes in
``> SEGMENT``         this segment goes out next, at this time; what is not said
                      of it is not compared
``expect FIELD=X``    the endpoint is in this condition
====================  ============================================================

A segment is a kind, its positions, and options: ``DATA 1..1461 ack=1 win=100 psh
sack=3000..4460,6000..7000 ts=5/0 mss=1460 scale=7 sackok again=timeout probe``.
``sack=no``, ``ts=no``, ``mss=no``, ``scale=no`` and ``again=no`` say that it has none. What comes in has, unless it is
said, the acknowledgement of the segment that came before it, and a window of 65535.

No segment may go out that is not expected: a step fails when one did before its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration.tcp.segment import AGAIN, KINDS
from migration.tcp.stacks import Stack, stack
from pcaps.errors import BadInput
from pcaps.quantities import parse_duration_ns

CALLS = {"write": 1, "read": 1, "connect": 0, "listen": 0, "close": 0, "release": 0, "abort": 0}
"""Calls of the application, and how many numbers each takes."""

SETTINGS = {"nodelay": False, "keepalive": False, "lazy": False, "buffer": True, "mss": True}
"""Words behind ``set``, and whether each has a value."""

FIELDS = {
    "state": "word", "end": "word", "timer": "time", "rto": "time", "srtt": "time",
    "cwnd": "count", "ssthresh": "count", "una": "count", "nxt": "count", "rcv_nxt": "count",
    "unread": "count", "in_flight": "count", "resends": "count", "timeouts": "count",
    "window": "count", "mss": "count",
}  # fmt: skip
"""What ``expect`` knows; ``cwnd``, ``ssthresh`` and ``window`` are bytes, ``timer`` counts from now."""

SEGMENT_WORDS = ("ack", "win", "mss", "scale", "sack", "ts", "again")
SEGMENT_FLAGS = ("psh", "sackok", "probe")


@dataclass(frozen=True)
class Step:
    """One line of a script.

    Parameters
    ----------
    line : int
        Its number in the file.
    first_ns, last_ns : int
        When it happens; `last_ns` differs for a span only.
    what : str
        ``<``, ``>``, ``expect``, ``established``, ``keepalive``, or a call.
    words : dict of str to Any
        What is said about it, parsed.
    """

    line: int
    first_ns: int
    last_ns: int
    what: str
    words: dict[str, Any]


@dataclass(frozen=True)
class Script:
    """A conversation.

    Parameters
    ----------
    name : str
        The file it comes from.
    rules : tuple of str
        The rules that its head names.
    text : str
        What else its head says.
    stack : Stack
    settings : dict of str to int
    steps : tuple of Step
    """

    name: str
    rules: tuple[str, ...]
    text: str
    stack: Stack
    settings: dict[str, int]
    steps: tuple[Step, ...]


def load(path: str | Path) -> Script:
    """Read a script from a file.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Script

    Raises
    ------
    BadInput
        When the file cannot be read, or a line means nothing.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        cause = getattr(problem, "strerror", None) or "it is not text"
        raise BadInput(f"{path} cannot be read: {cause}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "script") -> Script:
    """Read a script.

    Parameters
    ----------
    text : str
    name : str
        What messages call it.

    Returns
    -------
    Script

    Raises
    ------
    BadInput
        When a line means nothing; the message names file and line.
    """
    return _Reader(name).read(text)


class _Reader:
    """Reads one script, line by line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = 0
        self.now = 0
        self.stack: Stack | None = None
        self.settings: dict[str, int] = {}
        self.steps: list[Step] = []
        self.rules: list[str] = []
        self.head: list[str] = []

    def fail(self, what: str) -> BadInput:
        return BadInput(f"{self.name}:{self.line}: {what}")

    def read(self, text: str) -> Script:
        for number, raw in enumerate(text.splitlines(), 1):
            self.line = number
            line, _, comment = raw.partition("#")
            if not line.strip():
                self.note(comment.strip())
                continue
            try:
                self.take(line.split())
            except BadInput as problem:
                if problem.what.startswith(f"{self.name}:"):
                    raise
                raise self.fail(problem.what) from None
        if self.stack is None or not self.steps:
            raise self.fail("there is no step; a script has a stack line and steps")
        return Script(
            self.name, tuple(self.rules), " ".join(self.head), self.stack, self.settings,
            tuple(self.steps),
        )  # fmt: skip

    def note(self, comment: str) -> None:
        """Take a comment of the head."""
        if self.stack is not None or not comment:
            return
        if comment.startswith("rule:"):
            self.rules.append(comment.removeprefix("rule:").strip())
        else:
            self.head.append(comment)

    def take(self, words: list[str]) -> None:
        if words[0] == "stack":
            if len(words) != 2 or self.stack is not None:
                raise self.fail("write one line 'stack SPEC', such as stack linux:sack=off")
            self.stack = stack(words[1])
            return
        if self.stack is None:
            raise self.fail("a script begins with its stack, such as 'stack linux'")
        if words[0] == "set":
            if self.steps:
                raise self.fail("set what the endpoint is like before the first step")
            self.set(words[1:])
            return
        first, last, rest = self.time(words)
        if not rest:
            raise self.fail("nothing happens at this time; write what")
        what = rest[0]
        if first != last and what != ">":
            raise self.fail("only a segment that goes out can have a span of time")
        said = self.action(what, rest[1:])
        self.steps.append(Step(self.line, first, last, what, said))
        self.now = last

    def set(self, words: list[str]) -> None:
        for word in words:
            key, equals, value = word.partition("=")
            if key not in SETTINGS or bool(equals) != SETTINGS[key]:
                raise self.fail(f"'set {word}' means nothing; {_known(SETTINGS)}")
            self.settings[key] = self.number(value) if equals else 1

    def time(self, words: list[str]) -> tuple[int, int, list[str]]:
        """Take the time off a step."""
        if not (words[0][0].isdigit() or words[0][0] == "+"):
            return self.now, self.now, words
        start, dots, stop = words[0].partition("..")
        first = self.moment(start)
        last = self.moment(stop) if dots else first
        if first < self.now or last < first:
            raise self.fail(f"'{words[0]}' lies before the step above, or ends before it begins")
        return first, last, words[1:]

    def moment(self, text: str) -> int:
        if text.startswith("+"):
            return self.now + parse_duration_ns(text[1:])
        return parse_duration_ns(text)

    def number(self, text: str) -> int:
        if not text.removeprefix("-").isdigit() or not text.isascii() or len(text) > 18:
            raise self.fail(f"'{text}' is not a whole number")
        return int(text)

    def action(self, what: str, rest: list[str]) -> dict[str, Any]:
        if what in {"<", ">"}:
            return self.segment(rest, expected=what == ">")
        if what == "expect":
            return self.conditions(rest)
        if what == "established":
            return self.pairs(rest, {"wnd": self.number, "mss": self.number})
        if what == "keepalive":
            if rest not in (["on"], ["off"]):
                raise self.fail("write keepalive on, or keepalive off")
            return {"on": rest == ["on"]}
        if what not in CALLS:
            others = ("<", ">", "expect", "established", "keepalive")
            raise self.fail(f"there is no step '{what}'; {_known([*CALLS, *others])}")
        if len(rest) != CALLS[what]:
            raise self.fail(f"{what} takes {CALLS[what]} numbers, not {len(rest)}")
        return {"size": self.number(rest[0])} if rest else {}

    def pairs(self, words: list[str], readers: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if key not in readers or not equals:
                raise self.fail(f"'{word}' means nothing here; {_known(readers)}")
            found[key] = readers[key](value)
        return found

    def conditions(self, words: list[str]) -> dict[str, Any]:
        kinds: dict[str, Callable[[str], Any]] = {
            "word": str, "time": _time_or_off, "count": self.number,
        }  # fmt: skip
        readers = {name: kinds[kind] for name, kind in FIELDS.items()}
        if not words:
            raise self.fail(f"expect what? {_known(FIELDS)}")
        return self.pairs(words, readers)

    def segment(self, words: list[str], *, expected: bool) -> dict[str, Any]:
        if len(words) < 2 or words[0] not in KINDS:
            raise self.fail(f"a segment begins with its kind and position; {_known(KINDS)}")
        start, dots, stop = words[1].partition("..")
        said: dict[str, Any] = {"kind": words[0], "seq": self.number(start), "size": 0}
        if dots:
            said["size"] = self.number(stop) - said["seq"]
        if ("DATA" in words[0]) != (said["size"] > 0):
            raise self.fail(f"{words[0]} {words[1]}: DATA, and only DATA, has a range of positions")
        for word in words[2:]:
            key, equals, value = word.partition("=")
            if equals and key in SEGMENT_WORDS and (expected or (key != "again" and value != "no")):
                said[key] = self.option(key, value)
            elif not equals and key in SEGMENT_FLAGS and (expected or key != "probe"):
                said[key] = True
            else:
                raise self.fail(
                    f"'{word}' means nothing of this segment; {_known(SEGMENT_WORDS + SEGMENT_FLAGS)}"
                )
        return said

    def option(self, key: str, value: str) -> Any:
        if value == "no":
            return None
        if key == "again":
            if value not in AGAIN:
                raise self.fail(f"again={value}: use one of {', '.join(AGAIN)}")
            return value
        if key == "sack":
            return tuple(self.block(part) for part in value.split(","))
        if key == "ts":
            mine, slash, echo = value.partition("/")
            if not slash:
                raise self.fail(f"ts={value}: write ts=VALUE/ECHO")
            return (self.number(mine), self.number(echo))
        return self.number(value)

    def block(self, text: str) -> tuple[int, int]:
        start, dots, stop = text.partition("..")
        if not dots:
            raise self.fail(f"sack={text}: write START..STOP")
        return self.number(start), self.number(stop)


def _time_or_off(text: str) -> int | None:
    return None if text == "off" else parse_duration_ns(text)


def _known(words: Any) -> str:
    return f"there are {', '.join(words)}"
