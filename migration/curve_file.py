"""A working set read from a file: a dirty table, or a rate over time.

::

    # seconds  dirty by then               # set SIZE, then: seconds  rate from then on
    0.125      30MB                        set 512MiB
    1          120MB                       0   200MB/s
    10         300MB                       12  20MB/s

The two are told apart by their units.
"""

from __future__ import annotations

from dataclasses import replace

from migration.working_set import WorkingSet, from_curve, sequential
from pcaps.errors import BadInput
from pcaps.quantities import parse_bytes, parse_rate

_SHAPE = "write lines such as '0.5 40MB', or 'set 512MiB' and lines such as '10 200MB/s'"


def parse_curve(text: str, name: str) -> WorkingSet:
    """Make a working set of a file's text.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for messages.

    Returns
    -------
    WorkingSet

    Raises
    ------
    BadInput
        With file and line.
    """
    size: int | None = None
    table: list[tuple[float, float]] = []
    rates: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if len(words) != 2:
                raise BadInput(f"'{line.strip()}' is no point of a dirty curve; {_SHAPE}")
            if words[0] == "set":
                size = parse_bytes(words[1])
            elif words[1].endswith("/s"):
                rates.append((_seconds(words[0]), parse_rate(words[1]).bytes_per_s))
            else:
                table.append((_seconds(words[0]), parse_bytes(words[1])))
        except BadInput as error:
            raise BadInput(f"{name}:{number}: {error.what}") from error
    if bool(table) == bool(rates) or (size is None) == bool(rates):
        raise BadInput(f"{name}: not a dirty curve; {_SHAPE}")
    if table:
        return from_curve(table)
    assert size is not None
    return _paced(size, sorted(rates), name)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise BadInput(f"'{word}' is no time in seconds; {_SHAPE}")
    return seconds


def _paced(size: int, rates: list[tuple[float, float]], name: str) -> WorkingSet:
    """Return one set that is written at rates that change."""
    most = max(rate for _, rate in rates)
    if most <= 0:
        raise BadInput(f"{name}: a dirty curve needs a rate above 0; leave the file out instead")
    steps = [(round(start * 1e9), rate / most) for start, rate in rates]
    if steps[0][0] > 0:
        steps.insert(0, (0, 0.0))
    return replace(sequential(size, most), pace=tuple(steps))
