"""TCP stacks by name: profiles, and overrides of their constants one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from migration.tcp.stack_keys import KEYS, Value, parse_value, value_text
from migration.tcp.stack_profiles import CHOSEN, DESCRIPTIONS, PROFILES
from migration.tcp.state_kernel import (
    CUBIC,
    DIALECT_LINUX,
    DIALECT_RFC,
    RENO,
    STACK,
)
from pcaps.errors import BadInput

_MODEL_RTO_NS = 200_000_000
"""Rule: Linux retransmits_timed_out: the timeout that it reckons with, whatever min_rto is."""


@dataclass(frozen=True)
class Stack:
    """The constants of one TCP stack; :func:`stack` makes it from a name.

    Attributes are the keys of :data:`migration.tcp.stack_keys.KEYS`, which tells what
    each means; times are nanoseconds, None is off.

    Parameters
    ----------
    profile : str
        Name of the profile that it began as.
    given : tuple of str
        Keys that were overridden.
    """

    profile: str
    given: tuple[str, ...]
    initial_rto: int
    min_rto: int
    max_rto: int
    syn_lost_rto: int
    granularity: int
    timer_tick: int
    timer_wheel: bool
    tcp_retries2: int | None
    max_retransmissions: int | None
    r1: int
    r2: int | None
    user_timeout: int | None
    orphan_retries: int | None
    probe_retries: int | None
    syn_retries: int
    syn_linear: int
    synack_retries: int
    syn_again: bool
    syn_lost_window: int
    keepalive: bool
    keepalive_time: int
    keepalive_interval: int
    keepalive_probes: int
    delayed_ack: int
    delayed_ack_min: int
    quick_acks: int
    initial_cwnd: int | None
    cc: str
    slow_start_limit: int | None
    hystart: bool
    idle_restart: bool
    tlp: bool
    tlp_ack_delay: int | None
    rack: bool
    frto: bool
    undo: bool
    dupthresh: int
    sack: bool
    dsack: bool
    timestamps: bool
    timestamps_required: bool
    scale: int | None
    buffer: int
    mss: int
    nagle: str
    probe_byte: bool
    ack_interval: int
    reset_ack: bool
    time_wait: int
    fin_timeout: int | None
    ttl: int
    rules: str

    @property
    def text(self) -> str:
        """The stack as one would ask for it: ``linux:min_rto=300ms``."""
        words = [f"{name}={value_text(name, getattr(self, name))}" for name in self.given]
        return f"{self.profile}:{','.join(words)}" if words else self.profile

    def abort_limit_ns(self, retries: int | None) -> int:
        """Return what Linux makes of a number of retries: a time.

        Parameters
        ----------
        retries : int or None
            As `tcp_retries2` has it.

        Returns
        -------
        int
            Nanoseconds, 0 for None. Rule: Linux tcp_model_timeout.
        """
        if retries is None:
            return 0
        doublings = max((self.max_rto // _MODEL_RTO_NS).bit_length() - 1, 0)
        limit = ((2 << min(retries, doublings)) - 1) * _MODEL_RTO_NS
        return limit + max(retries - doublings, 0) * self.max_rto


class Constant(NamedTuple):
    """One constant of a stack, for listings.

    Parameters
    ----------
    name, value, meaning, source, status : str
    """

    name: str
    value: str
    meaning: str
    source: str
    status: str


def stack(text: str) -> Stack:
    """Make a stack from its name and overrides.

    Parameters
    ----------
    text : str
        ``linux``, ``windows-2008r2``, ``windows-hardened`` or ``rfc``; behind a colon
        any number of ``key=value`` words: ``linux:tcp_retries2=5,min_rto=300ms,tlp=off``.

    Returns
    -------
    Stack

    Raises
    ------
    BadInput
        When there is no such stack or key, or the value does not fit.
    """
    name, colon, words = text.partition(":")
    if name not in PROFILES:
        raise BadInput(f"there is no TCP stack '{name}'; {_hint(name, PROFILES)}")
    values: dict[str, Any] = {key: fact.value for key, fact in PROFILES[name].items()}
    given: dict[str, None] = {}
    for word in words.split(",") if colon else ():
        key, equals, value = word.strip().partition("=")
        if key not in KEYS:
            raise BadInput(f"TCP stack '{text}': there is no key '{key}'; {_hint(key, KEYS)}")
        if not equals:
            raise BadInput(f"TCP stack '{text}': {key} has no value; write {key}=VALUE")
        try:
            values[key] = parse_value(key, value.strip())
        except BadInput as problem:
            raise BadInput(f"TCP stack '{text}': {problem.what}") from None
        given[key] = None
    made = Stack(profile=name, given=tuple(given), **values)
    _check(text, made)
    return made


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are {', '.join(known)}" if len(list(known)) < 10 else "see 'vswitch tcp stacks'"


def _check(text: str, made: Stack) -> None:
    """Refuse what cannot be together."""
    pairs = (("min_rto", "max_rto"), ("initial_rto", "max_rto"), ("delayed_ack_min", "delayed_ack"))
    for low, high in pairs:
        if getattr(made, low) > getattr(made, high):
            raise BadInput(
                f"TCP stack '{text}': {low} {value_text(low, getattr(made, low))} is above "
                f"{high} {value_text(high, getattr(made, high))}; change one of them"
            )
    if made.timer_wheel and made.timer_tick == 0:
        raise BadInput(f"TCP stack '{text}': a timer wheel needs a timer_tick; or timer_wheel=off")
    if made.dsack and not made.sack and "dsack" in made.given:
        raise BadInput(f"TCP stack '{text}': dsack needs sack=on")


def constants(made: Stack) -> list[Constant]:
    """Return every constant of a stack with its source.

    Parameters
    ----------
    made : Stack

    Returns
    -------
    list of Constant
        In the order of :data:`migration.tcp.stack_keys.KEYS`.
    """
    rows = []
    for name, key in KEYS.items():
        value: Value = getattr(made, name)
        fact = PROFILES[made.profile][name]
        source, status = fact.source, fact.status
        if name in made.given or value != fact.value:
            source, status = f"given; {made.profile} has {value_text(name, fact.value)}", CHOSEN
        rows.append(Constant(name, value_text(name, value), key.meaning, source, status))
    return rows


def profiles() -> dict[str, str]:
    """Return the names of all stacks, each with a line about it.

    Returns
    -------
    dict of str to str
    """
    return dict(DESCRIPTIONS)


_NAGLE = {"off": 0, "on": 1, "minshall": 2}


def stack_rows(stacks: Iterable[Stack]) -> npt.NDArray[np.void]:
    """Return stacks in the form that the kernels take.

    Parameters
    ----------
    stacks : iterable of Stack

    Returns
    -------
    numpy.ndarray
        ``STACK[n]``, in the same order.
    """
    made = list(stacks)
    rows = np.zeros(len(made), STACK)
    for row, one in zip(rows, made, strict=True):
        for name, value in _row(one).items():
            row[name] = value
    return rows


def _row(s: Stack) -> dict[str, int]:
    limit = s.abort_limit_ns(s.tcp_retries2) if s.tcp_retries2 is not None else s.r2 or 0
    values = {
        "dialect": DIALECT_LINUX if s.rules == "linux" else DIALECT_RFC,
        "rto_initial": s.initial_rto // 1000,
        "rto_min": s.min_rto // 1000,
        "rto_max": s.max_rto // 1000,
        "rto_syn_lost": s.syn_lost_rto // 1000,
        "granularity": s.granularity // 1000,
        "tick": s.timer_tick,
        "wheel": s.timer_wheel,
        "retries": s.max_retransmissions or 0,
        "limit": limit,
        "limit_least": 1 if s.tcp_retries2 is not None else s.r1,
        "limit_from_send": s.tcp_retries2 is None and s.r2 is not None,
        "orphan_limit": s.abort_limit_ns(s.orphan_retries),
        "keep_idle": s.keepalive_time,
        "keep_interval": s.keepalive_interval,
        "keep_probes": s.keepalive_probes,
        "delack": s.delayed_ack,
        "delack_min": s.delayed_ack_min,
        "quickack": s.quick_acks,
        "congestion": CUBIC if s.cc == "cubic" else RENO,
        "abc": s.slow_start_limit or 0,
        "tlp_delay": (s.min_rto if s.tlp_ack_delay is None else s.tlp_ack_delay) // 1000,
        "ts_required": s.timestamps_required,
        "scale": -1 if s.scale is None else s.scale,
        "nagle": _NAGLE[s.nagle],
        "challenge": s.ack_interval,
        "fin_wait2": s.fin_timeout or 0,
    }
    for name in STACK.names or ():
        if name not in values:
            values[name] = getattr(s, name) or 0
    return {name: int(value) for name, value in values.items()}


assert {field.name for field in fields(Stack)} == {"profile", "given", *KEYS}
