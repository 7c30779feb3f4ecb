"""What scripts may say, and what is said of those that say something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration.tcp.script import load, parse
from migration.tcp.script_run import run
from pcaps.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
HEAD = "stack rfc:timestamps=off,scale=off\n"


def failure_of(steps: str) -> str:
    failure = run(parse(HEAD + steps))
    assert failure is not None
    return f"{failure.line}: {failure.what}"


def test_a_script_that_holds() -> None:
    script = parse(
        "# rule: RFC 9293 section 3.8.3\n# It is sent again.\n" + HEAD + "set nodelay buffer=5000\n"
        "established wnd=3000 mss=1000  # the peer's\n"
        "+5ms  write 1500\n"
        "      > DATA 1..1001 ack=1 win=5000 psh\n"
        "1s..1.1s > DATA 1..1001 again=timeout\n"
    )  # fmt: skip
    assert script.rules == ("RFC 9293 section 3.8.3",)
    assert script.text == "It is sent again."
    assert script.settings == {"nodelay": 1, "buffer": 5000}
    failure = run(script)
    assert failure is not None
    assert "(psh differs)" in failure.what
    assert failure.line == 7


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("established\nwrite 10\n> DATA 1..12", "4: expected DATA 1..12 at 0; got DATA 1..11 ack=1 win=65535 psh at 0 (range differs)"),
        ("established\nwrite 10\n> DATA 2..12", "4: expected DATA 2..12 at 0; got DATA 1..11 ack=1 win=65535 psh at 0 (position differs)"),
        ("established\nwrite 10\n+1ms > DATA 1..11", "4: expected DATA 1..11 at 1ms; got DATA 1..11 ack=1 win=65535 psh at 0"),
        ("established\n> ACK 1", "3: expected ACK 1 at 0; nothing was sent"),
        ("established\n0s..5ms > ACK 1 ack=3 sack=1..2,4..5 ts=1/2 mss=no probe", "3: expected ACK 1 ack=3 sack=1..2,4..5 ts=1/2 mss=no probe between 0 and 5ms; nothing was sent"),
        ("established\nwrite 10\n+1ms close", "4: before this, at 0: DATA 1..11 ack=1 win=65535 psh, which no step expects"),
        ("established\nwrite 10", "3: behind this, at 0: DATA 1..11 ack=1 win=65535 psh"),
        ("established\nexpect state=CLOSED", "3: expected state=CLOSED; it is ESTABLISHED"),
        ("established\nexpect timer=1s", "3: expected timer=1s; it is off"),
        ("established\nexpect rto=2s", "3: expected rto=2s; it is 1s"),
        ("established\nclose\n> FIN 1\nwrite 5", "5: 5 bytes cannot be written in state FIN-WAIT-1"),
    ],
)  # fmt: skip
def test_the_first_step_that_fails_is_told(steps: str, message: str) -> None:
    assert failure_of(steps).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s:0: there is no step; a script has a stack line and steps"),
        ("stack rfc", "s:1: there is no step; a script has a stack line and steps"),
        ("connect", "s:1: a script begins with its stack, such as 'stack linux'"),
        ("stack", "s:1: write one line 'stack SPEC', such as stack linux:sack=off"),
        ("stack rfc\nstack rfc", "s:2: write one line 'stack SPEC', such as stack linux:sack=off"),
        ("stack rcf", "s:1: there is no TCP stack 'rcf'; did you mean 'rfc'?"),
        (HEAD + "set quick", "s:2: 'set quick' means nothing; there are nodelay, keepalive, lazy, buffer, mss"),
        (HEAD + "set lazy=1", "s:2: 'set lazy=1' means nothing; there are"),
        (HEAD + "connect\nset lazy", "s:3: set what the endpoint is like before the first step"),
        (HEAD + "+5ms", "s:2: nothing happens at this time; write what"),
        (HEAD + "+5 connect", "s:2: '5' is not a time; write it as 300ms, 2.5s or 200us"),
        (HEAD + "5ms connect\n2ms close", "s:3: '2ms' lies before the step above, or ends before it begins"),
        (HEAD + "5ms..6ms connect", "s:2: only a segment that goes out can have a span of time"),
        (HEAD + "conect", "s:2: there is no step 'conect'; there are write, read, connect"),
        (HEAD + "write", "s:2: write takes 1 numbers, not 0"),
        (HEAD + "write ten", "s:2: 'ten' is not a whole number"),
        (HEAD + "keepalive maybe", "s:2: write keepalive on, or keepalive off"),
        (HEAD + "established wnd", "s:2: 'wnd' means nothing here; there are wnd, mss"),
        (HEAD + "expect", "s:2: expect what? there are state, end, timer"),
        (HEAD + "expect colour=red", "s:2: 'colour=red' means nothing here; there are state, end, timer"),
        (HEAD + "<", "s:2: a segment begins with its kind and position; there are SYN, SYN-ACK"),
        (HEAD + "< ACK", "s:2: a segment begins with its kind and position; there are SYN, SYN-ACK"),
        (HEAD + "< DATA 5", "s:2: DATA 5: DATA, and only DATA, has a range of positions"),
        (HEAD + "< ACK 5..9", "s:2: ACK 5..9: DATA, and only DATA, has a range of positions"),
        (HEAD + "< ACK 1 again=timeout", "s:2: 'again=timeout' means nothing of this segment; there are ack, win"),
        (HEAD + "< ACK 1 sack=no", "s:2: 'sack=no' means nothing of this segment; there are ack, win"),
        (HEAD + "> ACK 1 again=often", "s:2: again=often: use one of no, timeout, probe, recovery"),
        (HEAD + "> ACK 1 sack=1-2", "s:2: sack=1-2: write START..STOP"),
        (HEAD + "> ACK 1 ts=7", "s:2: ts=7: write ts=VALUE/ECHO"),
    ],
)  # fmt: skip
def test_lines_that_mean_nothing(text: str, message: str) -> None:
    with pytest.raises(BadInput) as problem:
        parse(text, "s")
    assert problem.value.what.startswith(message)


def test_the_manual_shows_the_example() -> None:
    example = (ROOT / "examples" / "tcp" / "lost-syn.tcp").read_text()
    assert f"```text\n{example}```" in (ROOT / "migration" / "README.md").read_text()


def test_files_that_are_no_scripts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        load(tmp_path / "none.tcp")
    (tmp_path / "bytes.tcp").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"bytes.tcp cannot be read: it is not text"):
        load(tmp_path / "bytes.tcp")
