"""The one exception type for bad input, shared by all packages.

The command line prints its text as one sentence and exits with 2; library
callers catch it. The text says what is wrong, where, and what to do.
"""

from __future__ import annotations


class BadInput(ValueError):
    """Input that cannot be used: a capture, a scenario, an option.

    Parameters
    ----------
    what : str
        One sentence: what is wrong, where, and what to do about it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
