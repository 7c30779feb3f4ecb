"""Expectations of a scenario: bounds on what a replay counted."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pcaps.errors import BadInput

if TYPE_CHECKING:
    from vswitch.scenario_models import ExpectSection

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_BOUND = re.compile(r"\s*(<=|>=|==|=|<|>|)\s*(\d+)\s*")


def parse_bound(bound: int | str) -> Callable[[int], bool]:
    """Return the test that a bound stands for.

    Parameters
    ----------
    bound : int or str
        ``3``, ``"<= 3"``, ``">= 10"``, ``"< 5"``, ``"> 0"``.

    Returns
    -------
    callable
        Takes the count, tells whether it is within the bound.

    Raises
    ------
    BadInput
        When it is not a bound.
    """
    found = _BOUND.fullmatch(str(bound))
    if isinstance(bound, bool) or found is None:
        raise BadInput(f'\'{bound}\' is not a bound; write 3, "<= 3" or ">= 10"')
    compare, limit = _COMPARE[found[1]], int(found[2])
    return lambda count: compare(count, limit)


def check_expectations(expect: ExpectSection, summary: dict[str, Any]) -> list[str]:
    """Return what does not hold, one sentence each.

    Parameters
    ----------
    expect : ExpectSection
        The bounds.
    summary : dict
        As from :meth:`vswitch.results.Result.summary`.

    Returns
    -------
    list of str
        Empty when all holds.
    """
    failed = []
    totals: dict[str, int] = summary["frames"]
    if expect.no_drops and totals["dropped"]:
        failed.append(f"expected no drops, but {totals['dropped']} frames were dropped")
    if expect.max_drops is not None and totals["dropped"] > expect.max_drops:
        failed.append(
            f"expected at most {expect.max_drops} drops, but {totals['dropped']} frames were dropped"
        )
    by_vm = {row["vm"]: row["frames"] for row in summary["queues"]}
    for bounds, counts, what in (
        (expect.drops, summary["drops"], "drops for"),
        (expect.frames, {**by_vm, **totals}, "frames for"),
    ):
        for name, bound in bounds.items():
            count = counts.get(name, 0)
            if not parse_bound(bound)(count):
                failed.append(f"expected {what} {name}: {bound}, but there were {count}")
    return failed
