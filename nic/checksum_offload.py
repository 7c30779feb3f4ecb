"""Checksum offload: the adapter checks the sums of received frames, and makes those of sent ones.

Guarantees
----------
* A wrong sum drops nothing: the frame goes up with a mark, and the receiver
  decides. Frames between two VMs of a host may never have had a right one.
* Only what was asked for is looked at or changed; fragments, and packets that the
  capture cut, are neither.

Sources: NDIS documentation, network/offloading-checksum-tasks and the structure
NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO (read). The host prepares the
pseudo-header's sum; here the whole sum is made anew, which is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from pcaps.checksums import BAD, GOOD, insert_checksums, verify_checksums
from pcaps.frames import Frames


class Sums(IntFlag):
    """Checksums that an adapter can make or check."""

    IPV4 = 1
    TCP_IPV4 = 2
    UDP_IPV4 = 4
    TCP_IPV6 = 8
    UDP_IPV6 = 16


ALL_SUMS = Sums(31)


class Mark(IntFlag):
    """What the adapter says of a received frame, as NDIS hands it up beside the frame."""

    IP_SUCCEEDED = 1
    IP_FAILED = 2
    TCP_SUCCEEDED = 4
    TCP_FAILED = 8
    UDP_SUCCEEDED = 16
    UDP_FAILED = 32


_TCP, _UDP = 6, 17
_OF = ((_TCP, 4, Sums.TCP_IPV4), (_UDP, 4, Sums.UDP_IPV4),
       (_TCP, 6, Sums.TCP_IPV6), (_UDP, 6, Sums.UDP_IPV6))  # fmt: skip


def _transports(frames: Frames, sums: Sums) -> npt.NDArray[np.bool_]:
    """Tell of which frames the transport's sum was asked for."""
    headers = frames.headers
    asked = np.zeros(len(frames), bool)
    for protocol, version, flag in _OF:
        if sums & flag:
            asked |= (headers.protocol == protocol) & (headers.ip_version == version)
    return asked


@dataclass(frozen=True, slots=True)
class ChecksumOffload:
    """An adapter's settings for checksum offload.

    Parameters
    ----------
    receive, send : Sums
        Which it checks, and which it makes.
    """

    receive: Sums = ALL_SUMS
    send: Sums = ALL_SUMS

    def check(self, frames: Frames) -> npt.NDArray[np.uint8]:
        """Mark received frames.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Returns
        -------
        numpy.ndarray
            ``uint8[n]``: :class:`Mark` bits; 0 where there was nothing to check.
        """
        states = verify_checksums(frames)
        marks = np.zeros(len(frames), np.uint8)
        if self.receive & Sums.IPV4:
            marks[states.ip == GOOD] |= Mark.IP_SUCCEEDED.value
            marks[states.ip == BAD] |= Mark.IP_FAILED.value
        asked = _transports(frames, self.receive)
        tcp = frames.headers.protocol == _TCP
        for state, of_tcp, of_udp in (
            (GOOD, Mark.TCP_SUCCEEDED, Mark.UDP_SUCCEEDED),
            (BAD, Mark.TCP_FAILED, Mark.UDP_FAILED),
        ):
            found = asked & (states.transport == state)
            marks[found & tcp] |= of_tcp.value
            marks[found & ~tcp] |= of_udp.value
        return marks

    def complete(self, frames: Frames) -> tuple[Frames, int]:
        """Make the checksums of frames that are sent.

        Parameters
        ----------
        frames : Frames
            Any batch.

        Returns
        -------
        frames : Frames
            A copy with the sums that were asked for.
        changed : int
            Frames in which a sum is different now.
        """
        return insert_checksums(
            frames, ip=bool(self.send & Sums.IPV4), transport=_transports(frames, self.send)
        )
