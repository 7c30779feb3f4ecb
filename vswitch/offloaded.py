"""Which frames of a replay the adapter's own TCP takes, on a host with chimney.

Connections are offloaded by the adapter's rules (:mod:`nic.chimney_host`), in the time
of the captures: an offload takes its 100 us of that time, however fast the frames are
replayed. Segments that are sent, and those of connections that stay with the host or are
under way between the two, are the host's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nic.chimney import Chimney
from nic.chimney_host import ChimneyHost
from nic.chimney_rules import Place
from nic.chimney_settings import Capacity, Conditions, Policy
from pcaps.frames import Frames
from vswitch.host import Host


class Offloaded:
    """Follows the connections of the VMs of a host.

    Parameters
    ----------
    host : Host
        With chimney; VMs that have a VM queue keep their connections.
    """

    def __init__(self, host: Host) -> None:
        with_queue = frozenset(
            port.mac for port in host.network.ports if port.mac is not None and host.queue_of(port)
        )
        local = frozenset(
            port.mac for port in host.network.ports if port.mac is not None and host.offloads(port)
        )
        policy = Policy(
            link_bps=round(host.profile.link_bps),
            buffer_bytes=round(host.profile.costs["chimney_buffer_bytes"]),
            conditions=Conditions(vm_queues=with_queue),
        )
        self.host = ChimneyHost(Chimney(Capacity()), policy, local=local, observe=self._observe)
        self._places: dict[int, Place] = {}

    def _observe(self, frame: int, place: Place) -> None:
        self._places[frame] = place

    def of(self, frames: Frames) -> npt.NDArray[np.uint8]:
        """Return which frames of a batch the adapter's TCP takes.

        Parameters
        ----------
        frames : Frames
            The next batch.

        Returns
        -------
        numpy.ndarray
            ``uint8[n]``.
        """
        found = np.zeros(len(frames), np.uint8)
        before = self.host.frames
        self._places.clear()
        self.host.add([frames])
        for frame, place in self._places.items():
            found[frame - before - 1] = place is Place.ADAPTER
        return found
