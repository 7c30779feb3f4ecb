"""Problems of a scenario file: collected, then reported together."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from pcaps.errors import BadInput


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a scenario file.

    Parameters
    ----------
    line : int
        Line in the file, from 1.
    path : str
        Where, such as ``vm[2].mac``.
    message : str
        What is wrong, and what may be meant.
    """

    line: int
    path: str
    message: str


class ScenarioError(BadInput):
    """A scenario file with problems.

    Parameters
    ----------
    name : str
        The file.
    problems : list of Problem
        All of them, in the order of lines.
    """

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name = name
        self.problems = sorted(problems, key=lambda one: (one.line, one.path))
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{name}:{one.line}: {one.path}: {one.message}" for one in self.problems]
        super().__init__("\n".join([f"{count} in {name}", *lines]))


def unknown(kind: str, name: str, known: list[str]) -> str:
    """Return the sentence about a name that does not exist, with the nearest that does.

    Parameters
    ----------
    kind : str
        What it should be the name of.
    name : str
        The name.
    known : list of str
        Names that exist.

    Returns
    -------
    str
        Without a full stop.
    """
    close = get_close_matches(name, known, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known[:8]) or 'none'}"
    return f"there is no {kind} '{name}'; {hint}"
