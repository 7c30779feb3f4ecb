"""The report of the validation wizard as one HTML page."""

from __future__ import annotations

from migration.cluster.findings import Category, counted
from migration.cluster.wizard import Validation, inventory
from vswitch.html import render

_MARKS = {"pass": "✓", "warning": "!", "fail": "✗"}


def page(found: Validation) -> str:
    """Return the report.

    Parameters
    ----------
    found : Validation

    Returns
    -------
    str
        One HTML document that asks for nothing else.
    """
    categories = [
        (category.value, [one for one in found.findings if one.check.category is category])
        for category in Category
    ]
    verdict = "The hosts may exchange VMs." if found.sound else "Not every VM may move."
    return render(
        "migration",
        "validation.html",
        cluster=found.cluster,
        verdict=verdict,
        counts=counted(found.findings),
        categories=[(name, listed) for name, listed in categories if listed],
        marks=_MARKS,
        inventory=inventory(found.cluster),
    )
