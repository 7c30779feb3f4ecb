import csv
from pathlib import Path

import pytest

from nic.adapter import Adapter
from nic.vmq import QueueError, QueueEvent, QueueState, VmQueue, next_state

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "nic-switch" / "vmq_queue_fsm.csv"

# event; then the next state from Undefined, Allocated, Set, Running, Paused, StopDMA, Freeing
TABLE = """
ALLOCATE_QUEUE                           Allocated .         .         .       .       .       .
QUEUE_PARAMETERS_query                   .         Allocated Set       Running Paused  .       .
QUEUE_PARAMETERS_set                     .         Allocated Set       Running Paused  .       .
SET_FILTER                               .         Set       Set       Running Running .       .
CLEAR_FILTER_last                        .         .         Allocated Paused  .       .       .
CLEAR_FILTER_not_last                    .         .         Set       Running .       .       .
ENUM_FILTERS                             .         Allocated Set       Running Paused  .       .
FILTER_PARAMETERS_query                  .         .         Set       Running .       .       .
QUEUE_ALLOCATION_COMPLETE                .         Paused    Running   .       .       .       .
RECEIVE_PACKET                           .         .         .         Running .       .       .
FREE_QUEUE                               .         StopDMA   .         .       StopDMA .       .
DMA_STOPPED_status_indication            .         .         .         .       .       Freeing .
ALL_INDICATIONS_RETURNED_resources_freed .         .         .         .       .       .       Undefined
"""
STATES = list(QueueState)
CELLS = [
    (QueueEvent(row.split()[0]), state, cell)
    for row in TABLE.strip().splitlines()
    for state, cell in zip(STATES, row.split()[1:], strict=True)
]


def test_table_has_all_cells():
    assert len(CELLS) == 13 * 7
    assert {event for event, _, _ in CELLS} == set(QueueEvent)


@pytest.mark.parametrize(("event", "state", "cell"), CELLS)
def test_cell(event, state, cell):
    queue = VmQueue(1, "vm1", state=state)
    if cell == ".":
        with pytest.raises(QueueError, match=event.value):
            queue.handle(event)
        assert queue.state is state
    else:
        queue.handle(event)
        assert queue.state is QueueState(cell)
        assert next_state(state, event) is QueueState(cell)


def test_table_equals_facts():
    if not FACTS.exists():
        pytest.skip(f"{FACTS} is absent: the table is checked against its copy in this file only")
    rows = list(csv.DictReader(FACTS.read_text().splitlines()))
    facts = {(row["event"], s.value): row[s.value] or "." for row in rows for s in STATES}
    assert facts == {(event.value, state.value): cell for event, state, cell in CELLS}


@pytest.mark.parametrize(
    "event",
    [
        QueueEvent.ALLOCATE_QUEUE,
        QueueEvent.FREE_QUEUE,
        QueueEvent.DMA_STOPPED,
        QueueEvent.INDICATIONS_RETURNED,
    ],
)
def test_default_queue_is_never_allocated_or_freed(event):
    queue = Adapter(num_queues=1).queue(0)
    with pytest.raises(QueueError, match="default queue"):
        queue.handle(event)
    assert queue.indicates
