"""Make the samples again, but the recorded ones: ``python -m pcaps.samples [DIRECTORY]``."""

from __future__ import annotations

import sys
from pathlib import Path

from pcaps.samples.recipes import RECIPES

directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
for name, make in RECIPES.items():
    make(directory / name)
    print(directory / name)
