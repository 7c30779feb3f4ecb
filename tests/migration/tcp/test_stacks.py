"""Stacks by name: sources for everything, overrides one by one, mistakes named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.tcp.stack_keys import KEYS, parse_value, value_text
from migration.tcp.stack_profiles import PROFILES
from migration.tcp.stacks import constants, profiles, stack, stack_rows
from migration.tcp.state_kernel import CUBIC, RENO
from pcaps.errors import BadInput

S = 1_000_000_000


@pytest.mark.parametrize("name", profiles())
def test_every_constant_has_source_and_status(name: str) -> None:
    assert list(PROFILES[name]) == [key for key in KEYS if key in PROFILES[name]]
    assert set(PROFILES[name]) == set(KEYS)
    for row in constants(stack(name)):
        assert row.source
        assert row.meaning
        assert row.status in {"read", "measured", "derived", "believed", "chosen"}


def test_figures_of_the_profiles() -> None:
    linux, windows, rfc = stack("linux"), stack("windows-2008r2"), stack("rfc")
    assert (linux.min_rto, windows.min_rto, rfc.min_rto) == (S // 5, 3 * S // 10, S)
    assert (linux.max_rto, windows.max_rto, rfc.max_rto) == (120 * S, 240 * S, 60 * S)
    assert (linux.initial_rto, windows.initial_rto, rfc.initial_rto) == (S, 3 * S, S)
    assert (windows.max_retransmissions, stack("windows-hardened").max_retransmissions) == (5, 3)
    assert (linux.cc, windows.cc, rfc.cc) == ("cubic", "reno", "reno")
    assert (linux.ttl, windows.ttl) == (64, 128)


@pytest.mark.parametrize(
    ("retries", "seconds"), [(3, 3.0), (5, 12.6), (8, 102.2), (9, 204.6), (15, 924.6)]
)
def test_linux_makes_a_time_of_a_number_of_retries(retries: int, seconds: float) -> None:
    made = stack(f"linux:tcp_retries2={retries}")
    assert made.abort_limit_ns(made.tcp_retries2) == round(seconds * S)


def test_overrides_one_by_one() -> None:
    made = stack("linux:tcp_retries2=5,min_rto=300ms,tlp=off,cc=reno,sack=off")
    assert (made.tcp_retries2, made.min_rto, made.tlp, made.cc, made.sack) == (
        5, 300_000_000, False, "reno", False,
    )  # fmt: skip
    assert made.given == ("tcp_retries2", "min_rto", "tlp", "cc", "sack")
    assert stack(made.text) == made
    shown = {row.name: row for row in constants(made)}
    assert shown["min_rto"].source == "given; linux has 200ms"
    assert shown["max_rto"].source == PROFILES["linux"]["max_rto"].source
    (row,) = stack_rows([made])
    assert (row["rto_min"], row["congestion"], row["limit"], row["tlp"]) == (
        300_000, RENO, 12_600_000_000, 0,
    )  # fmt: skip
    assert stack_rows([stack("linux")])[0]["congestion"] == CUBIC


@given(st.data())
def test_a_stack_is_what_its_text_says(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(KEYS)))
    key = KEYS[name]
    if key.words:
        value: object = data.draw(st.sampled_from(key.words))
    elif key.kind == "switch":
        value = data.draw(st.booleans())
    else:
        value = data.draw(st.integers(key.least, min(key.most, 1 << 40)))
        if key.kind.startswith("time"):
            value -= value % 1_000_000
            value = max(value, key.least)
    if key.optional and data.draw(st.booleans()):
        value = None
    assert parse_value(name, value_text(name, value)) == value


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("linus", "there is no TCP stack 'linus'; did you mean 'linux'?"),
        ("", "there is no TCP stack ''; there are linux, windows-2008r2, windows-hardened, rfc"),
        ("linux:retries2=5", "there is no key 'retries2'; did you mean 'tcp_retries2'?"),
        ("linux:zzz=5", "there is no key 'zzz'; see 'vswitch tcp stacks'"),
        ("linux:", "there is no key ''; see 'vswitch tcp stacks'"),
        ("linux:tlp", "tlp has no value; write tlp=VALUE"),
        ("linux:tlp=yes", "tlp=yes: use on or off"),
        ("linux:cc=bbr", "cc=bbr: use one of reno, cubic"),
        ("linux:min_rto=300", "min_rto=300: '300' is not a time; write it as 300ms, 2.5s or 200us"),
        ("linux:min_rto=0", "min_rto=0 is out of range; use 1us to 1000s"),
        ("linux:mss=64KiB", "mss=64KiB is out of range; use 88 to 65495"),
        ("linux:dupthresh=x", "dupthresh=x: 'x' is not a whole number"),
        ("linux:user_timeout=0", "user_timeout=0 is out of range; use at least 1ms"),
        ("linux:min_rto=200s", "min_rto 200s is above max_rto 120s; change one of them"),
        ("rfc:timer_wheel=on", "a timer wheel needs a timer_tick; or timer_wheel=off"),
        ("rfc:sack=off,dsack=on", "dsack needs sack=on"),
    ],
)
def test_mistakes_are_named(asked: str, message: str) -> None:
    with pytest.raises(BadInput) as problem:
        stack(asked)
    assert message in problem.value.what
    assert "\n" not in problem.value.what
