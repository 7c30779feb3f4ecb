"""When a host is short of something: thresholds with hysteresis and duration.

    use      ▁▂▅▇▇▇▇▆▅▃▂▁
    high     ───┬─────────        above it for the whole duration: short from here on
    low      ─────────┬───        short until below it

Between low and high nothing changes, so that a host does not come and go.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from migration.cluster.model import RESOURCES, MoverSettings

_NEVER = np.iinfo(np.int64).max


class Monitor:
    """Watches the hosts of a cluster.

    Parameters
    ----------
    settings : MoverSettings
    hosts : int
        How many.
    """

    def __init__(self, settings: MoverSettings, hosts: int) -> None:
        self._high = np.array([[one.high] for one in settings.thresholds])
        self._low = np.array([[one.low] for one in settings.thresholds])
        self._duration = settings.duration_ns
        self._since = np.full((len(RESOURCES), hosts), _NEVER)
        self.short = np.zeros((len(RESOURCES), hosts), bool)

    def look(self, use: npt.NDArray[np.float64], now_ns: int) -> npt.NDArray[np.bool_]:
        """Take what is in use now; return who is short of what.

        Parameters
        ----------
        use : float64[4, n_hosts]
        now_ns : int

        Returns
        -------
        bool[4, n_hosts]
        """
        above = use > self._high
        self._since = np.where(above, np.minimum(self._since, now_ns), _NEVER)
        long = above & (now_ns - np.minimum(self._since, now_ns) >= self._duration)
        self.short = (self.short & (use >= self._low)) | long
        return self.short

    def since(self, resource: int, host: int) -> int:
        """Return since when a host has been above a threshold, in ns; the largest number if it is not."""
        return int(self._since[resource, host])
