"""What each offload of an adapter would do with the frames of a capture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nic.checksum_offload import ChecksumOffload, Mark
from nic.jumbo import fits
from nic.lso import Lso
from nic.rsc import Rsc
from nic.vlan_offload import strip_tags
from pcaps.frames import Frames


class Survey:
    """Goes through a capture and counts.

    Parameters
    ----------
    jumbo_packet : int
        Longest frame in bytes with its header (*JumboPacket).
    lso : Lso
        Large send offload, as if every frame was sent.
    rsc : Rsc
        Receive segment coalescing, as if every frame was received.
    """

    def __init__(self, jumbo_packet: int, lso: Lso, rsc: Rsc) -> None:
        self.jumbo_packet, self.lso, self.rsc = jumbo_packet, lso, rsc
        self._checksums = ChecksumOffload()
        self._frames = self._tagged = self._too_long = self._changed = 0
        self._marks = dict.fromkeys(Mark, 0)
        self._handed_up = 0

    def add(self, batches: Iterable[Frames]) -> None:
        """Count the frames of a capture.

        Parameters
        ----------
        batches : iterable of Frames
            In order.
        """
        for part, _ in self.rsc.stream(self._counted(frames) for frames in batches):
            self._handed_up += len(part.frames)

    def _counted(self, frames: Frames) -> Frames:
        self._frames += len(frames)
        self._tagged += int(np.count_nonzero(strip_tags(frames).tag))
        self._too_long += int(np.count_nonzero(~fits(frames, self.jumbo_packet)))
        marks = self._checksums.check(frames)
        for mark in Mark:
            self._marks[mark] += int(np.count_nonzero(marks & mark.value))
        self._changed += self._checksums.complete(frames)[1]
        for _ in self.lso.parts(frames):
            pass
        return frames

    def to_dict(self) -> dict[str, Any]:
        """Return the counts.

        Returns
        -------
        dict
            A key an offload, JSON types only.
        """
        lso, rsc = self.lso, self.rsc
        return {
            "frames": self._frames,
            "checksum": {
                "received": {str(m.name).lower().replace("_", "-"): n for m, n in self._marks.items()},
                "sent_changed": self._changed,
            },
            "vlan": {"tags_taken_off": self._tagged},
            "jumbo": {"jumbo_packet": self.jumbo_packet, "too_long": self._too_long},
            "lso": {
                "version": lso.version, "cut": lso.cut, "segments": lso.pieces,
                "kept": {why.label: count for why, count in sorted(lso.kept.items())},
            },
            "rsc": {
                "joined": rsc.merged, "units": rsc.units, "handed_up": self._handed_up,
                "ended": {why.label: count for why, count in sorted(rsc.ended.items())},
            },
        }  # fmt: skip
