"""Why a pre-copy did not converge, and what would make it: a slower guest, a longer limit.

The bounds are found by running the same policy over counts, halving the interval; they hold for
the same pattern of writing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from migration.copied import Ending
from migration.memory_kernel import PAGE

STEPS = 10


def bound(converges: Callable[[float], bool], good: float, bad: float) -> float | None:
    """Return a value that converges, near to the border between `good` and `bad`.

    Parameters
    ----------
    converges : callable
    good, bad : float
        `bad` does not converge; `good` should.

    Returns
    -------
    float or None
        None when not even `good` does.
    """
    if not converges(good):
        return None
    for _ in range(STEPS):
        middle = (good + bad) / 2
        if converges(middle):
            good = middle
        else:
            bad = middle
    return good


def sentence(ending: Ending, pending: int, cures: list[str]) -> str:
    """Return why it did not converge, and what would make it.

    Parameters
    ----------
    ending : Ending
    pending : int
        Pages that were still dirty.
    cures : list of str
        What would make it, each a half sentence.
    """
    left = f"{pending:,} pages ({pending * PAGE / 1e6:,.1f} MB) were still dirty"
    ended = {
        Ending.ROUNDS: "the cap on passes was reached",
        Ending.VOLUME: "the cap on bytes sent was reached",
        Ending.GROWTH: "a pass sent more than the one before it at the highest rate",
        Ending.STUCK: "what is left gets no smaller",
        Ending.GIVEN_UP: "the time to give up came",
    }[ending]
    cure = f"; it would converge with {', or '.join(cures)}" if cures else ""
    return f"It does not converge: {ended}, {left}{cure}."


def mb_per_s(rate: float) -> str:
    """Return a rate with two digits, rounded down, so that what is said of it stays true."""
    return f"{_digits(rate / 1e6, math.floor)} MB/s"


def up(value: float) -> str:
    """Return a value with two digits, rounded up."""
    return _digits(value, math.ceil)


def _digits(value: float, rounded: Callable[[float], int]) -> str:
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{rounded(value / step) * step:,.10g}"
