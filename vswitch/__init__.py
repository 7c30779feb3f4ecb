"""The parent partition's virtual switch: ports, VLANs, decisions, replay."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vswitch.ports import (
        Dialect,
        Mirror,
        Network,
        Port,
        PortKind,
        StaticEntry,
        VlanMode,
        VlanSetting,
    )
    from vswitch.results import Result
    from vswitch.run import Ingress
    from vswitch.switch import Switch
    from vswitch.verdict import DropReason, Verdict

_HOMES = {
    "Dialect": "vswitch.ports",
    "DropReason": "vswitch.verdict",
    "Ingress": "vswitch.run",
    "Mirror": "vswitch.ports",
    "Network": "vswitch.ports",
    "Port": "vswitch.ports",
    "PortKind": "vswitch.ports",
    "Result": "vswitch.results",
    "StaticEntry": "vswitch.ports",
    "Switch": "vswitch.switch",
    "Verdict": "vswitch.verdict",
    "VlanMode": "vswitch.ports",
    "VlanSetting": "vswitch.ports",
}

__all__ = [
    "Dialect",
    "DropReason",
    "Ingress",
    "Mirror",
    "Network",
    "Port",
    "PortKind",
    "Result",
    "StaticEntry",
    "Switch",
    "Verdict",
    "VlanMode",
    "VlanSetting",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``vswitch --help`` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vswitch' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
