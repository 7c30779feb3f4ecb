"""How fast frames arrive at the modelled host: by their timestamps, or at a rate.

Rates count the bytes of captured frames, as all rates of this program do. The
wire adds 24 bytes to each and carries one frame at a time, so that what arrives
can be less than what was asked for: both are reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps.errors import BadInput
from pcaps.quantities import parse_pps, parse_rate
from vswitch import arrivals_kernel as k
from vswitch.arrivals_kernel import arrive

PS_PER_S = 10**12
_SPEED = re.compile(r"(\d+(?:\.\d+)?|\.\d+)x")


@dataclass(frozen=True, slots=True)
class Pace:
    """What was asked for.

    Parameters
    ----------
    mode : int
        BY_TIMES, BY_BITS or BY_FRAMES of :mod:`vswitch.arrivals_kernel`.
    value : float
        Times the speed of the capture; bit/s of frames; frames per second.
    """

    mode: int = k.BY_TIMES
    value: float = 1.0

    @classmethod
    def parse(cls, rate: str | None, speed: str | None) -> Pace:
        """Read the options ``--rate`` and ``--speed``.

        Parameters
        ----------
        rate : str, optional
            Such as ``10Gbps`` or ``1.5Mpps``.
        speed : str, optional
            Such as ``2x`` or ``0.5x``.

        Returns
        -------
        Pace
            By the capture's times where both are None.

        Raises
        ------
        BadInput
            When both are given, one cannot be read, has no unit, or is 0.
        """
        if rate is not None and speed is not None:
            raise BadInput("--rate and --speed exclude each other; give one of them")
        if speed is not None:
            found = _SPEED.fullmatch(speed.strip())
            if found is None or float(found[1]) == 0:
                raise BadInput(f"'{speed}' is not a speed; write it as 2x or 0.5x, above 0")
            return cls(k.BY_TIMES, float(found[1]))
        if rate is None:
            return cls()
        text = rate.strip()
        if re.fullmatch(r"[\d.]+ ?[kKMGT]?", text) and not re.fullmatch(r"0+(\.0*)?", text):
            raise BadInput(f"'{rate}' has no unit; write the rate as 10Gbps or 1.5Mpps")
        if text.endswith("pps"):
            return cls._checked(k.BY_FRAMES, float(parse_pps(text)), rate)
        try:
            per_s = 8 * parse_rate(text).bytes_per_s
        except BadInput:
            raise BadInput(f"'{rate}' is not a rate; write it as 10Gbps or 1.5Mpps") from None
        return cls._checked(k.BY_BITS, per_s, rate)

    @classmethod
    def _checked(cls, mode: int, value: float, asked: str) -> Pace:
        if value <= 0:
            raise BadInput(f"a rate of {asked} lets nothing arrive; give one above 0")
        if value > 1e15:
            raise BadInput(f"a rate of {asked} is beyond what is modelled; give less than 1e15")
        return cls(mode, value)

    @property
    def scale(self) -> float:
        """Picoseconds for a nanosecond of the capture, a bit, or a frame."""
        return 1000 / self.value if self.mode == k.BY_TIMES else PS_PER_S / self.value

    def __str__(self) -> str:
        if self.mode == k.BY_TIMES:
            return f"{self.value:g}x the capture's times"
        if self.mode == k.BY_BITS:
            return f"{self.value / 1e9:g} Gbit/s"
        return f"{self.value / 1e6:g} Mpps"

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked for, as in the JSON output."""
        name = {k.BY_TIMES: "speed", k.BY_BITS: "bps", k.BY_FRAMES: "pps"}[self.mode]
        return {name: self.value}


class Arrivals:
    """Turns batches into times of arrival, one batch after the other.

    Parameters
    ----------
    pace : Pace
        What was asked for.
    link_bps : float
        Rate of the wire.
    """

    def __init__(self, pace: Pace, link_bps: float) -> None:
        self.pace = pace
        self._ps_per_byte = 8 * PS_PER_S / link_bps
        self._state = np.zeros(k.STATE_WORDS, np.int64)

    def next_capture(self) -> None:
        """The frames from now on are of another capture: its first follows at once."""
        self._state[k.BEGAN] = 0

    def of(
        self,
        ts_ns: npt.NDArray[np.int64],
        wirelen: npt.NDArray[np.uint32],
        from_wire: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.int64]:
        """Return when the frames of a batch are in the host.

        Parameters
        ----------
        ts_ns, wirelen : numpy.ndarray
            Columns of the frames.
        from_wire : numpy.ndarray
            ``uint8[n]``: 0 for frames that VMs send.

        Returns
        -------
        numpy.ndarray
            ``int64[n]``: picoseconds since the first frame began, never decreasing.

        Raises
        ------
        BadInput
            When times leave the range of some 92 days.
        """
        arrived = np.empty(len(ts_ns), np.int64)
        arrive(
            ts_ns, wirelen, from_wire, self.pace.mode, self.pace.scale, self._ps_per_byte,
            self._state, arrived,
        )  # fmt: skip
        if self._state[k.TOO_LONG]:
            raise BadInput(
                "the captures' times span more than 92 days; give a --rate, or a higher --speed"
            )
        return arrived

    @property
    def duration_ps(self) -> int:
        """From the beginning to the last arrival."""
        return int(self._state[k.ARRIVED])

    @property
    def frames(self) -> int:
        """Frames so far."""
        return int(self._state[k.FRAMES])

    @property
    def bits(self) -> int:
        """Bits of these frames as captured."""
        return int(self._state[k.BITS])
