"""A replay's connections as columns: ``connections.csv`` for people, ``connections.npz`` for programs.

Both have the same rows, in the order of the verdict table of ``summary.json``. The
CSV has seconds and empty cells for what is not there; the arrays have nanoseconds
and :data:`NONE`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from migration.verdict import Outcome

NONE = -(1 << 63)
"""In the arrays: a time that does not exist."""

CSV_COLUMNS = (
    "id", "client", "server", "vlan", "verdict", "reason", "stall_s", "retransmits",
    "rto_times_s", "vm_rto_times_s", "aborted_at_s", "margin_s", "client_bytes_before",
    "server_bytes_before", "client_bytes_after", "server_bytes_after", "bytes_ok", "unfaithful",
)  # fmt: skip
"""Head of the CSV file; lists of times are separated by semicolons."""


def to_csv(outcomes: Sequence[Outcome]) -> str:
    """Return connections as CSV.

    Parameters
    ----------
    outcomes : sequence of Outcome
        A row each.

    Returns
    -------
    str
        RFC 4180, lines end with a line feed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in outcomes:
        writer.writerow(
            (
                one.number, one.client, one.server, one.vlan, one.verdict.value, one.reason,
                _seconds(one.stall_ns), one.retransmits,
                ";".join(map(_seconds, one.rto_times_ns)),
                ";".join(map(_seconds, one.vm_rto_times_ns)),
                _seconds(one.aborted_at_ns), _seconds(one.margin_ns), *one.bytes_before,
                *one.bytes_after, int(one.bytes_ok), int(one.unfaithful),
            )
        )  # fmt: skip
    return text.getvalue()


def to_arrays(outcomes: Sequence[Outcome]) -> dict[str, npt.NDArray[Any]]:
    """Return connections as arrays.

    Parameters
    ----------
    outcomes : sequence of Outcome
        An element each.

    Returns
    -------
    dict of numpy.ndarray
        id, stall_ns, aborted_at_ns, margin_ns ``int64[n]``; retransmits ``int64[n]``;
        client, server, vlan, verdict, reason ``str[n]``; bytes_before, bytes_after
        ``int64[n, 2]``, received by client and by server; bytes_ok, unfaithful ``bool[n]``;
        rto_times_ns, vm_rto_times_ns ``int64[]`` of all connections, those of connection k
        from ``rto_first[k]`` to ``rto_first[k + 1]``, and likewise.
    """

    def times(values: Sequence[int | None]) -> npt.NDArray[np.int64]:
        return np.array([NONE if value is None else value for value in values], np.int64)

    def lists(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], ...]:
        ends = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        return np.array([time for row in rows for time in row], np.int64), ends

    rto, rto_first = lists([one.rto_times_ns for one in outcomes])
    vm_rto, vm_rto_first = lists([one.vm_rto_times_ns for one in outcomes])
    texts = ("client", "server", "vlan", "verdict", "reason")
    return {
        "id": np.array([one.number for one in outcomes], np.int64),
        **{
            name: np.array([str(getattr(one, name)) for one in outcomes], np.str_) for name in texts
        },
        "stall_ns": times([one.stall_ns for one in outcomes]),
        "retransmits": np.array([one.retransmits for one in outcomes], np.int64),
        "rto_times_ns": rto,
        "rto_first": rto_first,
        "vm_rto_times_ns": vm_rto,
        "vm_rto_first": vm_rto_first,
        "aborted_at_ns": times([one.aborted_at_ns for one in outcomes]),
        "margin_ns": times([one.margin_ns for one in outcomes]),
        "bytes_before": np.array([one.bytes_before for one in outcomes], np.int64).reshape(-1, 2),
        "bytes_after": np.array([one.bytes_after for one in outcomes], np.int64).reshape(-1, 2),
        "bytes_ok": np.array([one.bytes_ok for one in outcomes], np.bool_),
        "unfaithful": np.array([one.unfaithful for one in outcomes], np.bool_),
    }


def to_npz(outcomes: Sequence[Outcome]) -> bytes:
    """Return connections as a numpy archive, the same bytes each time.

    Parameters
    ----------
    outcomes : sequence of Outcome
        An element each.

    Returns
    -------
    bytes
        For :func:`numpy.load`; arrays as of :func:`to_arrays`.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **to_arrays(outcomes))  # type: ignore[arg-type]
    return buffer.getvalue()


def _seconds(ns: int | None) -> str:
    """Return a time in seconds, exact to the nanosecond, without trailing zeros."""
    if ns is None:
        return ""
    whole, rest = divmod(abs(ns), 1_000_000_000)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if ns < 0 else text
