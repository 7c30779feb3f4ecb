"""Small captures that come with the package; README.md beside them says what each shows.

Most are made by :mod:`pcaps.samples.recipes`; a test makes them again and compares
the bytes. Those named ``kernel_`` are recordings of real TCP, and cannot be made again.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pcaps.errors import BadInput

_SUFFIXES = (".pcap", ".pcapng")


def names() -> list[str]:
    """Return the file names of all samples.

    Returns
    -------
    list of str
        Sorted, such as ``office.pcapng``.
    """
    entries = resources.files(__name__).iterdir()
    return sorted(entry.name for entry in entries if entry.name.endswith(_SUFFIXES))


def path(name: str) -> Path:
    """Return where a sample lies.

    Parameters
    ----------
    name : str
        With or without its suffix: ``office`` or ``office.pcapng``.

    Returns
    -------
    pathlib.Path
        A file that can be opened.

    Raises
    ------
    BadInput
        When there is no such sample; the sentence lists those that there are.
    """
    for known in names():
        if name in {known, known.rpartition(".")[0]}:
            return Path(str(resources.files(__name__) / known))
    raise BadInput(f"there is no sample '{name}'; there are {', '.join(names())}")
