"""The network between clients and hosts: links, queues, losses, the physical switch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migration.agenda_kernel import PIPE
from migration.path_kernel import DOWN, IN, OUT, PIPES, UP
from pcaps.errors import BadInput

HOST_DELAY_NS = 1_000
"""One way between physical switch and host: a few metres of cable, and cut-through."""


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """One link, both directions alike.

    Parameters
    ----------
    rate_bps : int
        Bits a second; 0 = no limit.
    queue_bytes : int
        Bytes that may wait for it, without the frame that is sent; -1 = no limit.
    loss : float
        Share of frames lost at random, 0 to below 1.
    """

    rate_bps: int = 1_000_000_000
    queue_bytes: int = 262_144
    loss: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_bps < 0:
            raise BadInput(f"a link of {self.rate_bps} bit/s carries nothing; give its rate")
        if not 0.0 <= self.loss < 1.0:
            raise BadInput(f"a loss of {self.loss} is out of range; use 0 to below 1")

    @property
    def ns_per_byte(self) -> float:
        """Time of a byte, 0 without limit."""
        return 8e9 / self.rate_bps if self.rate_bps else 0.0


@dataclass(frozen=True, kw_only=True)
class PathSettings:
    """The way between clients and hosts.

    Parameters
    ----------
    clients, hosts : LinkSettings
        Between the clients and the physical switch; between that and each host.
    mtu : int
        MTU of the physical switch, in bytes.
    cam_ageing_ns : int
        Time until the physical switch forgets an address. 300 s: IEEE 802.1Q table 8-6.
    hold_frames : int
        Most frames that are held for a VM that is away.
    """

    clients: LinkSettings = LinkSettings()
    hosts: LinkSettings = LinkSettings()
    mtu: int = 1500
    cam_ageing_ns: int = 300_000_000_000
    hold_frames: int = 512

    def pipes(self, delay_ns: int) -> npt.NDArray[np.void]:
        """Return the links as kernels take them.

        Parameters
        ----------
        delay_ns : int
            One way between the clients and the physical switch; -1: each
            connection has its own.

        Returns
        -------
        numpy.ndarray
            ``PIPE[PIPES]``.
        """
        pipes = np.zeros(PIPES, PIPE)
        for row in range(PIPES):
            link = self.clients if row in (UP, DOWN) else self.hosts
            pipes[row]["rate"] = link.ns_per_byte
            pipes[row]["limit"] = link.queue_bytes
            pipes[row]["delay"] = HOST_DELAY_NS
        pipes[UP]["delay"] = pipes[DOWN]["delay"] = delay_ns
        assert {UP, DOWN, IN, IN + 1, OUT, OUT + 1} == set(range(PIPES))
        return pipes
