"""Which TCP stack sent a SYN: a guess from the TTL and the order of its options."""

from __future__ import annotations

_SCALE, _SACK, _TIMESTAMPS = 3, 4, 8


def guess_stack(ttl: int, order: int) -> str:
    """Guess the stack that sent a SYN or SYN-ACK.

    Parameters
    ----------
    ttl : int
        TTL or hop limit as captured.
    order : int
        Kinds of the last four options but padding, a nibble each, the last lowest.

    Returns
    -------
    str
        ``linux`` (initial TTL 64, window scale behind all other options),
        ``windows-2008r2`` (128, window scale before them), else ``rfc``. A SYN
        with too few options to tell is judged by its TTL.
    """
    kinds = [order >> shift & 15 for shift in (12, 8, 4, 0)]
    others = [kind for kind in kinds if kind in (_SACK, _TIMESTAMPS)]
    scale_is_last = kinds[3] == _SCALE
    if 32 < ttl <= 64 and (scale_is_last or not others or _SCALE not in kinds):
        return "linux"
    if 64 < ttl <= 128 and not (scale_is_last and others):
        return "windows-2008r2"
    return "rfc"
