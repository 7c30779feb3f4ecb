"""The states of one end of a TCP connection, as a transition table.

Rule: RFC 9293 section 3.3.2, figure 5. Events that a table row does not name leave
the state. A connection that a capture joins late is taken to be established.
"""

from __future__ import annotations

from enum import StrEnum


class TcpState(StrEnum):
    """States of one end; TCP_OFFLOAD_CONNECTION_STATE has the same."""

    CLOSED = "closed"
    LISTEN = "listen"
    SYN_SENT = "syn-sent"
    SYN_RCVD = "syn-rcvd"
    ESTABLISHED = "established"
    FIN_WAIT_1 = "fin-wait-1"
    FIN_WAIT_2 = "fin-wait-2"
    CLOSE_WAIT = "close-wait"
    CLOSING = "closing"
    LAST_ACK = "last-ack"
    TIME_WAIT = "time-wait"


class TcpEvent(StrEnum):
    """What makes an end change its state."""

    SEND_SYN = "send SYN"
    RECEIVE_SYN = "receive SYN"
    RECEIVE_SYN_ACK = "receive SYN and ACK of our SYN"
    RECEIVE_ACK_OF_SYN = "receive ACK of our SYN"
    SEND_FIN = "send FIN"
    RECEIVE_FIN = "receive FIN"
    RECEIVE_ACK_OF_FIN = "receive ACK of our FIN"
    RESET = "send or receive RST"


_S, _E = TcpState, TcpEvent

TRANSITIONS: dict[TcpEvent, dict[TcpState, TcpState]] = {
    _E.SEND_SYN: {_S.CLOSED: _S.SYN_SENT, _S.LISTEN: _S.SYN_SENT},
    _E.RECEIVE_SYN: {
        _S.CLOSED: _S.SYN_RCVD,
        _S.LISTEN: _S.SYN_RCVD,
        _S.SYN_SENT: _S.SYN_RCVD,
    },
    _E.RECEIVE_SYN_ACK: {_S.SYN_SENT: _S.ESTABLISHED},
    _E.RECEIVE_ACK_OF_SYN: {_S.SYN_RCVD: _S.ESTABLISHED},
    _E.SEND_FIN: {
        _S.SYN_RCVD: _S.FIN_WAIT_1,
        _S.ESTABLISHED: _S.FIN_WAIT_1,
        _S.CLOSE_WAIT: _S.LAST_ACK,
    },
    _E.RECEIVE_FIN: {
        _S.SYN_RCVD: _S.CLOSE_WAIT,
        _S.ESTABLISHED: _S.CLOSE_WAIT,
        _S.FIN_WAIT_1: _S.CLOSING,
        _S.FIN_WAIT_2: _S.TIME_WAIT,
    },
    _E.RECEIVE_ACK_OF_FIN: {
        _S.FIN_WAIT_1: _S.FIN_WAIT_2,
        _S.CLOSING: _S.TIME_WAIT,
        _S.LAST_ACK: _S.CLOSED,
    },
    _E.RESET: dict.fromkeys(_S, _S.CLOSED),
}

OFFLOADABLE = frozenset(_S) - {
    _S.CLOSED, _S.LISTEN, _S.SYN_SENT, _S.SYN_RCVD, _S.TIME_WAIT,
}  # fmt: skip
"""States in which a host may offload a connection (read: TCP_OFFLOAD_STATE_DELEGATED)."""

NEVER_ASKED = frozenset({_S.FIN_WAIT_1, _S.FIN_WAIT_2, _S.CLOSE_WAIT})
"""States in which the adapter does not ask for an upload (read: NDIS_TCP_OFFLOAD_EVENT_INDICATE)."""

OVER = frozenset({_S.CLOSED, _S.TIME_WAIT})
"""States in which nothing more goes up."""


def next_state(state: TcpState, event: TcpEvent) -> TcpState:
    """Return the state that an event leads to.

    Parameters
    ----------
    state : TcpState
        The state before.
    event : TcpEvent
        What happens.

    Returns
    -------
    TcpState
        The state after; the same where the table has no row.
    """
    return TRANSITIONS[event].get(state, state)
