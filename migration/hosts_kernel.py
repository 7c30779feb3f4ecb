"""A host of a move, compiled: what its adapter and its switch make of a frame.

The decision is the one of a replay (:mod:`vswitch.decide_kernel`, or that of dialect
``learning``), with the adapter's filters in front of it where a frame comes from
the wire.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pcaps.jit import kernel
from pcaps.memory import u64
from vswitch.copies_kernel import settle
from vswitch.decide_kernel import decide
from vswitch.learning_kernel import decide_learning
from vswitch.replay_kernel import through_adapter
from vswitch.stats_kernel import count
from vswitch.words_kernel import FLOODED, NOT_FOUND, UNICAST, kind_of, low_of

H_UPLINK_PORT, H_VM_PORT, H_IS_LEARNING, H_DECIDED = 0, 1, 2, 3
"""Rows of Host.ports."""

NO_LISTENER = 70
"""Why a frame ends that a switch gives to another port than the one it is looked for at."""


class Host(NamedTuple):
    """A host's adapter and switch, compiled.

    Parameters
    ----------
    image, filters, learned : numpy.ndarray
        ``uint64[]``, see :mod:`vswitch.image_kernel`, :mod:`nic.filters_kernel`,
        :mod:`vswitch.fdb_kernel`.
    stats : numpy.ndarray
        ``uint64[]``, see :mod:`vswitch.stats_kernel`.
    ports : numpy.ndarray
        ``int64[4]``: uplink, the VM's port (-1 = none), 1 = dialect learning, frames decided.
    """

    image: Any
    filters: Any
    learned: Any
    stats: Any
    ports: Any


@kernel(_nrt=False)
def word_in(headers: Any, host: Any, frame: Any, size: Any, now: Any) -> Any:
    """Decide a frame that a host's adapter gets from the wire; return its decision word."""
    start, length = u64(frame), u64(size)
    uplink = u64(host.ports[H_UPLINK_PORT])
    host.ports[H_DECIDED] += 1
    if host.ports[H_IS_LEARNING] != 0:
        word = decide_learning(
            headers, start, length, length, uplink, u64(now), host.image, host.learned
        )
    else:
        word = through_adapter(
            headers, start, length, length, uplink, host.image, host.filters, host.learned
        )
    if kind_of(word) == u64(FLOODED):
        word = settle(headers, start, length, length, uplink, word, host.image, host.stats)
    count(host.stats, word, length, length, u64(host.ports[H_DECIDED]))
    return word


@kernel(_nrt=False)
def word_out(headers: Any, host: Any, frame: Any, size: Any, now: Any) -> Any:
    """Decide a frame that a host's switch gets from the VM; return its decision word."""
    start, length = u64(frame), u64(size)
    port = u64(host.ports[H_VM_PORT])
    host.ports[H_DECIDED] += 1
    if host.ports[H_IS_LEARNING] != 0:
        word = decide_learning(
            headers, start, length, length, port, u64(now), host.image, host.learned
        )
    else:
        word = decide(
            headers, start, length, length, port, u64(NOT_FOUND), host.image, host.learned
        )
    if kind_of(word) == u64(FLOODED):
        word = settle(headers, start, length, length, port, word, host.image, host.stats)
    count(host.stats, word, length, length, u64(host.ports[H_DECIDED]))
    return word


@kernel(_nrt=False)
def why_not(word: Any, port: Any) -> Any:
    """Return 0 when a decision takes the frame to `port`, else the reason.

    A flooded frame takes it there too: the port is a member of its VLAN, or the
    frame would not have come from it.
    """
    kind = kind_of(word)
    if kind == u64(FLOODED):
        return np.int64(0) if port >= 0 else np.int64(NO_LISTENER)
    if kind == u64(UNICAST):
        return np.int64(0) if np.int64(low_of(word)) == port else np.int64(NO_LISTENER)
    return np.int64(low_of(word))
