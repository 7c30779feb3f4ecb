"""Sessions for people and for programs: a table, one session's turns, a JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from migration.marks import FLAGS, PARTIAL
from migration.sessions import Session, Sessions, Side
from pcaps.addresses import key_to_mac

if TYPE_CHECKING:
    from rich.console import Console

TOP = 40
"""Rows of the table unless all are asked for."""

_KINDS = ("write", "close", "abort")


def session_to_dict(session: Session) -> dict[str, Any]:
    """Return a session as in ``vswitch sessions --json``.

    Parameters
    ----------
    session : Session
        Any session.

    Returns
    -------
    dict
        Times in seconds, sizes in bytes.
    """
    return {
        "number": session.number,
        "client": _side_to_dict(session.client),
        "server": _side_to_dict(session.server),
        "vlan": session.vlan,
        "tags": [{"tpid": f"{tpid:#06x}", "tci": tci} for tpid, tci in session.tags],
        "first_frame": session.first_frame,
        "frames": session.frames,
        "start_s": session.start_ns / 1e9,
        "duration_s": (session.end_ns - session.start_ns) / 1e9,
        "rtt_s": session.rtt_ns / 1e9,
        "established": session.established,
        "partial": session.partial,
        "flags": sorted(session.flags),
        "turns": len(session.turns),
        "retransmissions": session.retransmissions,
        "lost_bytes": session.lost_bytes,
    }


def _side_to_dict(side: Side) -> dict[str, Any]:
    names = (
        "size", "frames", "isn", "mss", "wscale", "sack", "timestamps", "ttl", "window", "stack",
        "retransmissions", "out_of_order", "duplicate_acks", "keepalives", "window_probes",
        "stray", "superframes", "lost_bytes", "cut_bytes",
    )  # fmt: skip
    facts = {("bytes" if name == "size" else name): getattr(side, name) for name in names}
    return {"address": side.address, "mac": key_to_mac(side.mac), **facts}


def turns_to_list(session: Session) -> list[dict[str, Any]]:
    """Return the turns of a session as in ``vswitch sessions --session N --json``.

    Parameters
    ----------
    session : Session
        Any session.

    Returns
    -------
    list of dict
        In order of time.
    """
    return [
        {
            "side": ("client", "server")[turn["side"]],
            "kind": _KINDS[turn["kind"]],
            "need": int(turn["need"]),
            "think_s": int(turn["think_ns"]) / 1e9,
            "bytes": int(turn["size"]),
            "at_s": int(turn["at_ns"]) / 1e9,
        }
        for turn in session.turns
    ]


def summary_of(sessions: Sessions, shown: Sequence[Session]) -> dict[str, Any]:
    """Return the sums over sessions.

    Parameters
    ----------
    sessions : Sessions
        All that were found.
    shown : sequence of Session
        Those that are listed.

    Returns
    -------
    dict
        As in the JSON object's ``summary``.
    """
    flags = Counter(flag for session in shown for flag in session.flags)
    segments = sessions.segments
    return {
        "found": len(sessions),
        "listed": len(shown),
        "established": sum(session.established for session in shown),
        "partial": sum(session.partial for session in shown),
        "bytes": sum(session.client.size + session.server.size for session in shown),
        "turns": sum(len(session.turns) for session in shown),
        "retransmissions": sum(session.retransmissions for session in shown),
        "flags": {flag: flags[flag] for flag in FLAGS if flags[flag]},
        "frames": segments.frames,
        "segments": len(segments.rows),
        "malformed": segments.malformed,
        "unjoined_fragments": segments.unjoined,
    }


def show_table(
    console: Console, sessions: Sessions, shown: Sequence[Session], top: int | None
) -> None:
    """Print a table of sessions and what there is to say about them.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    sessions : Sessions
        All that were found.
    shown : sequence of Session
        Those to list.
    top : int or None
        Most rows; None = all.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("#", "right"), ("client", "left"), ("server", "left"), ("VLAN", "right"),
        ("sent", "right"), ("received", "right"), ("turns", "right"), ("retrans.", "right"),
        ("duration", "right"), ("flags", "left"),
    ):  # fmt: skip
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for session in shown[:top]:
        table.add_row(
            str(session.number), session.client.address, session.server.address, session.vlan,
            f"{session.client.size:,}", f"{session.server.size:,}", str(len(session.turns)),
            str(session.retransmissions), _seconds(session.end_ns - session.start_ns),
            ", ".join(sorted(session.flags)),
        )  # fmt: skip
    console.print(table)
    for line in _notes(sessions, shown, top):
        console.print(line, soft_wrap=True, highlight=False)


def _notes(sessions: Sessions, shown: Sequence[Session], top: int | None) -> list[str]:
    summary = summary_of(sessions, shown)
    key = "5-tuple and VLAN" if sessions.by_vlan else "5-tuple, whatever the VLAN"
    lines = []
    if top is not None and len(shown) > top:
        lines.append(f"... and {len(shown) - top:,} more: --all lists them")
    lines.append(
        f"{len(shown):,} sessions by {key}, {summary['established']:,} established, "
        f"{summary['bytes']:,} bytes in {summary['turns']:,} turns, "
        f"{summary['retransmissions']:,} retransmissions"
    )
    if len(shown) < len(sessions):
        lines.append(f"{len(sessions) - len(shown):,} of {len(sessions):,} are not listed")
    for flag, count in summary["flags"].items():
        mark = " (used by choice: --no-partial leaves them out)" if flag in PARTIAL else ""
        lines.append(f"  {flag} ({count:,}): {FLAGS[flag]}{mark}")
    if "crosses-vlans" in summary["flags"] and sessions.by_vlan:
        lines.append("sessions cross VLANs here: --ignore-vlan joins what belongs together")
    for count, what in (
        (summary["malformed"], "TCP frames have no whole TCP header (cut, or malformed)"),
        (summary["unjoined_fragments"], "IP fragments of TCP never became whole"),
    ):
        if count:
            lines.append(f"{count:,} {what}")
    return lines


def show_session(console: Console, session: Session) -> None:
    """Print both ends of a session and its turns.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    session : Session
        Which.
    """
    from rich import box
    from rich.table import Table

    flags = ", ".join(sorted(session.flags)) or "none"
    console.print(
        f"session {session.number}, VLAN {session.vlan}, from frame {session.first_frame}, "
        f"round trip {_seconds(session.rtt_ns)}, flags: {flags}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    for name, side in (("client", session.client), ("server", session.server)):
        scale = "none" if side.wscale is None else str(side.wscale)
        console.print(
            f"{name} {side.address} {key_to_mac(side.mac)}: {side.size:,} bytes in {side.frames} "
            f"frames, MSS {side.mss}, window scale {scale}, "
            f"SACK {'yes' if side.sack else 'no'}, timestamps {'yes' if side.timestamps else 'no'}, "
            f"stack {side.stack} (guessed); {side.retransmissions} retransmissions, "
            f"{side.out_of_order} out of order, {side.duplicate_acks} duplicate acknowledgments, "
            f"{side.keepalives} keep-alives, {side.window_probes} window probes",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("at", "side", "turn", "bytes", "after receiving", "thinks"):
        table.add_column(column, justify="left" if column in ("side", "turn") else "right")
    for turn in turns_to_list(session):
        table.add_row(
            _seconds(round(turn["at_s"] * 1e9)), turn["side"], turn["kind"], f"{turn['bytes']:,}",
            f"{turn['need']:,}", _seconds(round(turn["think_s"] * 1e9)),
        )  # fmt: skip
    console.print(table)


def _seconds(nanoseconds: int) -> str:
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1000:.0f} µs"
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1e6:.1f} ms"
    return f"{nanoseconds / 1e9:.3f} s"
