"""Frame sizes of synthetic traffic, and how often each comes."""

from __future__ import annotations

from dataclasses import dataclass

from pcaps.errors import BadInput

SMALLEST, LARGEST = 46, 65_535 + 14
"""Frame sizes: a tag, IPv4 and UDP headers must fit, and IPv4's total length."""


@dataclass(frozen=True, slots=True)
class SizeMix:
    """Frame sizes and how often each comes.

    Parameters
    ----------
    sizes : tuple of int
        Bytes in the capture: without FCS, tag included.
    weights : tuple of int
        One a size; any scale.
    """

    sizes: tuple[int, ...]
    weights: tuple[int, ...]

    @classmethod
    def parse(cls, asked: str) -> SizeMix:
        """Read a mix as the command line takes it.

        Parameters
        ----------
        asked : str
            ``imix`` (64, 594 and 1518 bytes at 7:4:1), ``jumbo`` (9000 bytes), one
            size, or sizes with weights such as ``64:7,9000:1``.

        Returns
        -------
        SizeMix
            The mix.

        Raises
        ------
        BadInput
            When it cannot be read, or a size is out of range.
        """
        named = {"imix": "64:7,594:4,1518:1", "jumbo": "9000"}
        sizes, weights = [], []
        for part in named.get(asked, asked).split(","):
            size, _, weight = part.partition(":")
            weight = weight or "1"
            if not (size.isdecimal() and weight.isdecimal() and int(weight)):
                raise BadInput(
                    f"'{asked}' is not a size mix; write imix, jumbo, 64, or 64:7,594:4,1518:1"
                )
            if not SMALLEST <= int(size) <= LARGEST:
                raise BadInput(
                    f"a frame of {size} bytes is impossible; take {SMALLEST} to {LARGEST}"
                )
            sizes.append(int(size))
            weights.append(int(weight))
        return cls(tuple(sizes), tuple(weights))

    @property
    def mean(self) -> float:
        """Mean frame size in bytes."""
        pairs = zip(self.sizes, self.weights, strict=True)
        return sum(size * weight for size, weight in pairs) / sum(self.weights)
