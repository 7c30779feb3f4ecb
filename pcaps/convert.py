"""Write a capture again: another format, compressed or not, or only a part of it.

Guarantees
----------
* Frames keep their bytes, their lengths on the wire and their order. Times keep
  their nanoseconds, classic output included, unless microseconds are asked for.
* To pcapng, the names and descriptions of interfaces and the comments of frames
  and sections come along. What the output has no place for, and what the input
  was damaged or skipped, is told in :attr:`Converted.notes`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pcaps.capture import Capture
from pcaps.capture import open as open_capture
from pcaps.damage import Damage
from pcaps.decoders import MAX_COMMENTS
from pcaps.descriptions import Descriptions
from pcaps.errors import BadInput
from pcaps.formats import format_of, open_writer
from pcaps.frames import Frames

Change = Callable[[Iterator[Frames]], Iterator[tuple[Frames, npt.NDArray[np.int64]]]]
"""What frames go through: from batches to batches, each with the numbers, in the capture, of the
frames that its own were made of."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written.

    Parameters
    ----------
    source, path : str
        Where from and where to.
    format : str
        One of :data:`pcaps.formats.FORMATS`.
    frames, bytes_wire, bytes_file : int
        Frames written, their bytes on the wire, the size of the file.
    skipped : dict
        Frames of the input that have no Ethernet header, by cause.
    damage : Damage or None
        Where the input stops being sound.
    notes : list of str
        What a reader should know, one sentence each.
    """

    source: str
    path: str
    format: str
    frames: int
    bytes_wire: int
    bytes_file: int
    skipped: dict[str, int]
    damage: Damage | None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the command line.

        Returns
        -------
        dict
            Schema ``capture.convert/1``.
        """
        content = asdict(self)
        del content["notes"]
        return {"schema": "capture.convert/1", **content}


def convert(
    source: str,
    target: str,
    *,
    kind: str | None = None,
    first: int = 1,
    last: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    change: Change | None = None,
) -> Converted:
    """Write frames of one capture to another.

    Parameters
    ----------
    source, target : str
        Where from and where to; ``-`` for standard input and output.
    kind : str, optional
        One of :data:`pcaps.formats.FORMATS`; by the suffix of `target` by default.
    first, last : int
        Numbers of the first and last frame to write, counted from 1.
    limit : int, optional
        Most frames to write.
    strict : bool
        Whether damage raises instead of ending the frames.
    progress : callable
        Told the number of frames that each chunk had.
    change : callable, optional
        What frames go through on their way.

    Returns
    -------
    Converted
        What was written.

    Raises
    ------
    BadInput
        When the input cannot be read, the output cannot be written, or there is
        no frame `first`.
    """
    if last is not None and last < first:
        raise BadInput(f"frames {first} to {last} are none; --to must not be below --from")
    ends = [end for end in (last, None if limit is None else first - 1 + limit) if end is not None]
    with open_capture(source, strict=strict, limit=min(ends, default=None)) as capture:
        batches = iter(capture)
        head = next(batches, None)  # what sections and interfaces say of themselves comes before it
        kind = _kind(capture, target, kind)
        sections = [note.text for note in capture.comments if note.where == "section"]
        chosen = _chosen(itertools.chain([] if head is None else [head], batches), first, progress)
        with open_writer(target, kind, (), comment="\n".join(sections)) as writer:
            about = Descriptions(capture)
            bytes_wire = 0
            for frames, numbers in numbered(chosen) if change is None else change(chosen):
                about.write(writer, frames, numbers)
                bytes_wire += int(frames.wirelen.sum(dtype=np.int64))
            if capture.frames < first and first > 1:
                raise BadInput(
                    f"{capture.path}: there is no frame {first}; the capture has {capture.frames}"
                )
        notes = [*_losses(capture, kind), *_troubles(capture)]
        return Converted(
            capture.path, target, kind, writer.frames_written, bytes_wire, writer.bytes_written,
            capture.skipped, capture.damage, notes,
        )  # fmt: skip


def _chosen(
    batches: Iterable[Frames], first: int, progress: Callable[[int], None]
) -> Iterator[Frames]:
    """Yield the frames from number `first` on."""
    for frames in batches:
        yield frames[max(0, first - frames.first_number) :]
        progress(len(frames))


def numbered(batches: Iterable[Frames]) -> Iterator[tuple[Frames, npt.NDArray[np.int64]]]:
    """Yield batches as they are, with the numbers of their frames.

    Parameters
    ----------
    batches : iterable of Frames
        Of one capture.

    Yields
    ------
    tuple of Frames and numpy.ndarray
        The numbers are ``int64[n]``, from 1.
    """
    for frames in batches:
        yield frames, frames.first_number + np.arange(len(frames))


def _kind(capture: Capture, target: str, asked: str | None) -> str:
    """Return the format to write; classic output keeps nanoseconds where there are any."""
    kind = format_of(target, asked)
    fine = any(entry.binary or entry.exponent > 6 for entry in capture.interfaces)
    return "pcap-ns" if asked is None and kind == "pcap" and fine else kind


def _losses(capture: Capture, kind: str) -> list[str]:
    """Tell what the output has no place for."""
    if kind == "pcapng":
        full = len(capture.comments) >= MAX_COMMENTS
        return [f"only the first {MAX_COMMENTS} comments came along"] if full else []
    lost = []
    if len(capture.interfaces) > 1:
        lost.append(f"{len(capture.interfaces)} interfaces")
    if capture.comments:
        lost.append(f"{len(capture.comments)} comments")
    return [f"{kind} has no place for the {' and '.join(lost)} of {capture.path}"] if lost else []


def _troubles(capture: Capture) -> list[str]:
    """Tell what of the input could not be used."""
    notes = [f"{capture.path}: skipped {n} frames: {why}" for why, n in capture.skipped.items()]
    if capture.damage is not None:
        notes.append(f"{capture.path}: {capture.damage.message}; the frames before it were used")
    return notes
