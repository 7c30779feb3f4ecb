"""The life cycle of a VM queue (VMQ), as a transition table.

A queue is allocated for one vNIC, gets receive filters, runs, and is freed in
steps so that no frame is written into memory that is already given back. Every
event is valid in some states only; anywhere else it is an error and the state
stays. The table is the whole truth: the operations below only look it up.

Source: NDIS documentation, network/queue-states-and-operations and
network/ndis-virtual-machine-queue-states (Windows driver documentation). Queue 0,
the default queue, is always there: it is neither allocated nor freed
(network/allocating-a-vm-queue).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nic.filters import Filter
from pcaps.errors import BadInput

DEFAULT_QUEUE = 0


class QueueState(StrEnum):
    """States of a VM queue."""

    UNDEFINED = "Undefined"
    ALLOCATED = "Allocated"
    SET = "Set"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOP_DMA = "StopDMA"
    FREEING = "Freeing"


class QueueEvent(StrEnum):
    """Events in the life of a VM queue; queries and sets do not change the state."""

    ALLOCATE_QUEUE = "ALLOCATE_QUEUE"
    QUEUE_PARAMETERS_QUERY = "QUEUE_PARAMETERS_query"
    QUEUE_PARAMETERS_SET = "QUEUE_PARAMETERS_set"
    SET_FILTER = "SET_FILTER"
    CLEAR_FILTER_LAST = "CLEAR_FILTER_last"
    CLEAR_FILTER_NOT_LAST = "CLEAR_FILTER_not_last"
    ENUM_FILTERS = "ENUM_FILTERS"
    FILTER_PARAMETERS_QUERY = "FILTER_PARAMETERS_query"
    QUEUE_ALLOCATION_COMPLETE = "QUEUE_ALLOCATION_COMPLETE"
    RECEIVE_PACKET = "RECEIVE_PACKET"
    FREE_QUEUE = "FREE_QUEUE"
    DMA_STOPPED = "DMA_STOPPED_status_indication"
    INDICATIONS_RETURNED = "ALL_INDICATIONS_RETURNED_resources_freed"


_S, _E = QueueState, QueueEvent

TRANSITIONS: dict[QueueEvent, dict[QueueState, QueueState]] = {
    _E.ALLOCATE_QUEUE: {_S.UNDEFINED: _S.ALLOCATED},
    _E.QUEUE_PARAMETERS_QUERY: {
        _S.ALLOCATED: _S.ALLOCATED,
        _S.SET: _S.SET,
        _S.RUNNING: _S.RUNNING,
        _S.PAUSED: _S.PAUSED,
    },
    _E.QUEUE_PARAMETERS_SET: {
        _S.ALLOCATED: _S.ALLOCATED,
        _S.SET: _S.SET,
        _S.RUNNING: _S.RUNNING,
        _S.PAUSED: _S.PAUSED,
    },
    _E.SET_FILTER: {
        _S.ALLOCATED: _S.SET,
        _S.SET: _S.SET,
        _S.RUNNING: _S.RUNNING,
        _S.PAUSED: _S.RUNNING,
    },
    _E.CLEAR_FILTER_LAST: {_S.SET: _S.ALLOCATED, _S.RUNNING: _S.PAUSED},
    _E.CLEAR_FILTER_NOT_LAST: {_S.SET: _S.SET, _S.RUNNING: _S.RUNNING},
    _E.ENUM_FILTERS: {
        _S.ALLOCATED: _S.ALLOCATED,
        _S.SET: _S.SET,
        _S.RUNNING: _S.RUNNING,
        _S.PAUSED: _S.PAUSED,
    },
    _E.FILTER_PARAMETERS_QUERY: {_S.SET: _S.SET, _S.RUNNING: _S.RUNNING},
    _E.QUEUE_ALLOCATION_COMPLETE: {_S.ALLOCATED: _S.PAUSED, _S.SET: _S.RUNNING},
    _E.RECEIVE_PACKET: {_S.RUNNING: _S.RUNNING},
    _E.FREE_QUEUE: {_S.ALLOCATED: _S.STOP_DMA, _S.PAUSED: _S.STOP_DMA},
    _E.DMA_STOPPED: {_S.STOP_DMA: _S.FREEING},
    _E.INDICATIONS_RETURNED: {_S.FREEING: _S.UNDEFINED},
}


class QueueError(BadInput):
    """An event that is not valid in the queue's state; the state did not change."""


def next_state(state: QueueState, event: QueueEvent) -> QueueState:
    """Return the state that an event leads to.

    Parameters
    ----------
    state : QueueState
        The state before.
    event : QueueEvent
        What happens.

    Returns
    -------
    QueueState
        The state after.

    Raises
    ------
    QueueError
        When the event is not valid in `state`.
    """
    targets = TRANSITIONS[event]
    if state not in targets:
        where = ", ".join(valid.value for valid in targets)
        raise QueueError(f"{event} is not valid in state {state}; it is valid in {where}")
    return targets[state]


@dataclass(slots=True)
class VmQueue:
    """One VM queue.

    Parameters
    ----------
    number : int
        Queue id, unique on its adapter; 0 is the default queue.
    owner : str
        Name of the vNIC that it serves; empty for the default queue and while
        the queue is Undefined.
    processor : int
        Logical processor that handles it.
    state : QueueState
        Where it is in its life cycle.
    filters : list of Filter
        Its receive filters, by filter id.
    """

    number: int
    owner: str = ""
    processor: int = 0
    state: QueueState = QueueState.UNDEFINED
    filters: list[Filter] = field(default_factory=list)

    def handle(self, event: QueueEvent) -> None:
        """Go on to the next state.

        Parameters
        ----------
        event : QueueEvent
            What happens.

        Raises
        ------
        QueueError
            When it is not valid now, or for any event that would allocate or
            free the default queue.
        """
        if self.number == DEFAULT_QUEUE and event in _NEVER_ON_DEFAULT:
            raise QueueError(f"{event} is not valid for queue 0: the default queue always exists")
        try:
            self.state = next_state(self.state, event)
        except QueueError as error:
            raise QueueError(f"VM queue {self.number}: {error.what}") from None

    @property
    def indicates(self) -> bool:
        """True when the queue hands frames up: it is Running."""
        return self.state is QueueState.RUNNING


_NEVER_ON_DEFAULT = frozenset(
    {
        QueueEvent.ALLOCATE_QUEUE,
        QueueEvent.FREE_QUEUE,
        QueueEvent.DMA_STOPPED,
        QueueEvent.INDICATIONS_RETURNED,
    }
)
