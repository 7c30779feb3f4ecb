"""Every public object has a numpydoc docstring that names its parameters and what comes back."""

import ast
import importlib
import inspect
from enum import Enum
from pathlib import Path

import pytest
from numpydoc.validate import validate

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pcaps", "nic", "vswitch")

# GL08 no docstring; PR01 parameters not documented; PR02 unknown parameters; SS01 no summary.
WANTED = {"GL08", "PR01", "PR02", "SS01"}


def public_objects():
    for package in PACKAGES:
        for path in sorted((ROOT / package).glob("*.py")):
            if path.stem.endswith("_kernel") or path.stem.startswith(("cli", "__main__")):
                continue  # kernels say shapes in prose; commands document themselves by --help
            module = f"{package}.{path.stem}" if path.stem != "__init__" else package
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith(
                    "_"
                ):
                    yield f"{module}.{node.name}"


@pytest.mark.parametrize("name", sorted(set(public_objects())))
def test_docstring(name):
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    if not inspect.getdoc(thing):
        pytest.fail("no docstring")
    found = [error for error in validate(name)["errors"] if error[0] in WANTED]
    if inspect.isclass(thing) and issubclass(thing, Enum):  # its parameters are the enum module's
        found = [error for error in found if error[0] not in ("PR01", "PR02")]
    if "Parameters" not in (inspect.getdoc(thing) or ""):
        # a sentence suffices where the names, or the fields' own descriptions, say the rest
        found = [error for error in found if error[0] != "PR01"]
    assert not found
