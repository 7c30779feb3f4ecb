"""Replays through a move with all their frames, and captures taken from them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from migration.frame_log import FrameLog
from migration.job import carry_out, prepare
from migration.run import Replay
from migration.sessions import find_sessions
from migration.settings import read_settings
from pcaps import samples
from pcaps.addresses import mac_to_key
from pcaps.capture import open as open_capture
from pcaps.frames import Frames
from pcaps.pcapng_writer import OutInterface, PcapngWriter
from tests.conftest import JIT_OFF

QUICKLY = {"memory": "1MiB", "at": "200ms", "after": "300ms"}
ENDLESSLY = {
    "memory": "8MiB", "working_set": "6MiB", "dirty": "100MB/s", "link": "10Mbps", "interval": "60s",
}  # fmt: skip
"""A guest that writes faster than the link carries."""
SLOW_WITHOUT_JIT = pytest.mark.skipif(JIT_OFF, reason="plans a long move page by page")
OFFICE_VM = "00:15:5d:01:0a:01"


def replayed(on_log: Callable | None = None, source: object = 3, *, vm=None, seed=0, **settings):
    """Run synthetic sessions (how many), or those of a capture, through a move."""
    asked = read_settings({**(QUICKLY if isinstance(source, int) else {}), **settings})
    if not isinstance(source, int):
        source = find_sessions(source)
    mac = None if vm is None else mac_to_key(vm)
    prepared = prepare(source, asked, vm_mac=mac, seed=seed)
    return carry_out(prepared, seed=seed, margins=False, on_log=on_log)


def office(on_log: Callable | None = None, **settings) -> Replay:
    """Run the sessions of one VM of a sample through a move that begins while they talk."""
    return replayed(
        on_log, samples.path("office"), vm=OFFICE_VM, memory="1MiB", **settings
    )  # fmt: skip


@contextmanager
def logged(directory: Path, run: Callable = replayed, *arguments, **settings):
    """A replay and the log of its frames."""
    with FrameLog(directory) as log:
        yield run(log.take, *arguments, **settings), log


def rows_of(log: FrameLog) -> np.ndarray:
    return np.concatenate(list(log.chunks()))


def interface(path: Path, number: int, to: Path) -> Path:
    """Write the frames of one interface of a capture to another."""
    with open_capture(path) as capture, PcapngWriter(to, [OutInterface("only")]) as writer:
        for batch in capture:
            chosen = batch[np.flatnonzero(batch.interface == number)]
            moved = Frames(
                chosen.data, chosen.start, chosen.caplen, chosen.wirelen, chosen.ts_ns,
                np.zeros(len(chosen), np.uint16),
            )  # fmt: skip
            writer.write(moved)
    return to
