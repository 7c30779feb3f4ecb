"""Captures in and out: file formats, the frame batch, headers, synthetic traffic."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcaps.capture import Capture, open
    from pcaps.damage import Damage
    from pcaps.errors import BadInput
    from pcaps.frames import Frame, Frames

__all__ = ["BadInput", "Capture", "Damage", "Frame", "Frames", "open"]

_HOMES = {
    "BadInput": "pcaps.errors",
    "Capture": "pcaps.capture",
    "Damage": "pcaps.damage",
    "Frame": "pcaps.frames",
    "Frames": "pcaps.frames",
    "open": "pcaps.capture",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pcaps' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
