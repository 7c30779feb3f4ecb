"""Random draws that are the same on every machine and with every numpy.

A draw is a function of seed, stream and number (SplitMix64 over a counter), so
that draw n does not depend on how many were asked for before it: traffic can be
made in chunks of any size and stays the same. numpy's own generators promise no
such thing between versions.

References
----------
Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


class Draws:
    """A family of random streams.

    Parameters
    ----------
    seed : int
        Same seed, same draws.
    """

    def __init__(self, seed: int) -> None:
        start = np.array([seed & _MASK, (seed >> 64) & _MASK], np.uint64)
        self._seed = int(_mixed(start[:1] ^ _mixed(start[1:]))[0])

    def words(self, stream: int, first: int, n: int) -> npt.NDArray[np.uint64]:
        """Return draws as 64-bit words.

        Parameters
        ----------
        stream : int
            Which of the independent streams.
        first, n : int
            Number of the first draw, and how many.

        Returns
        -------
        numpy.ndarray
            ``uint64[n]``.
        """
        origin = int(_mixed(np.array([(self._seed + stream * _GOLDEN) & _MASK], np.uint64))[0])
        counter = np.arange(first + 1, first + n + 1, dtype=np.uint64)
        return _mixed(counter * np.uint64(_GOLDEN) + np.uint64(origin))

    def uniform(self, stream: int, first: int, n: int) -> npt.NDArray[np.float64]:
        """Return draws as fractions.

        Parameters
        ----------
        stream, first, n : int
            As for :meth:`words`.

        Returns
        -------
        numpy.ndarray
            ``float64[n]``, 0 <= x < 1, multiples of 2**-53.
        """
        return (self.words(stream, first, n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(self, stream: int, first: int, n: int, below: int) -> npt.NDArray[np.int64]:
        """Return draws as integers.

        Parameters
        ----------
        stream, first, n : int
            As for :meth:`words`.
        below : int
            Upper end, not included; at most 2**32.

        Returns
        -------
        numpy.ndarray
            ``int64[n]``, 0 <= x < below.
        """
        high = self.words(stream, first, n) >> np.uint64(32)
        return ((high * np.uint64(below)) >> np.uint64(32)).astype(np.int64)
