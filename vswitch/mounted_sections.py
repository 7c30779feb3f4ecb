"""Sections of a scenario that belong to packages above this one: named here, imported when a file has them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

MOUNTED = {
    "move": "migration.scenario:MoveSection",
    "path": "migration.scenario:PathSection",
    "traffic": "migration.scenario:TrafficSection",
    "cluster": "migration.cluster.sections:ClusterSection",
}
"""Sections of packages that use this one: where their models are, imported when a file has them."""


def mounted(name: str) -> type[BaseModel]:
    """Return the model of a section of :data:`MOUNTED`."""
    module, _, attribute = MOUNTED[name].partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), attribute)
    return model


@runtime_checkable
class Checked(Protocol):
    """A section whose keys are also held against each other."""

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what does not go together: where in the section, and a sentence."""
        ...
