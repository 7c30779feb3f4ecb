"""The JSON lines protocol of ``vswitch explain --stdin``: one frame in, one answer out.

In: ``{"port": name, "frame": hex, "time_ns": int}``; `time_ns` may be left out
and is then that of the line before (0 at first). Out, one line for each:
``{"out": [{"port": name, "frame": hex}], "verdict": str, "reason": str or null,
"steps": [...]}``. A line that cannot be used is answered ``{"error": sentence}``
and changes no state; empty lines are passed over. Learned addresses are kept
from line to line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pcaps.errors import BadInput
from pcaps.frames import Frame
from vswitch.explain import Explainer

LONGEST_FRAME_BYTES = 262144

_KEYS = {"port", "frame", "time_ns"}


def read_line(text: str, last_time_ns: int) -> tuple[str, Frame]:
    """Read one line.

    Parameters
    ----------
    text : str
        A JSON object.
    last_time_ns : int
        Time of the line before.

    Returns
    -------
    port : str
        Name of the port.
    frame : Frame
        The frame, as long on the wire as given.

    Raises
    ------
    BadInput
        Naming what is wrong with the line.
    """
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("this is not JSON; write one object a line") from None
    if not isinstance(given, dict):
        raise BadInput('this is not a JSON object; write {"port": ..., "frame": ...}')
    unknown = sorted(map(str, given.keys() - _KEYS))
    if unknown:
        raise BadInput(f"unknown key '{unknown[0]}'; there are port, frame and time_ns")
    port, data = given.get("port"), given.get("frame")
    time_ns = given.get("time_ns", last_time_ns)
    if not isinstance(port, str):
        raise BadInput("'port' must be the name of a port")
    if not isinstance(data, str):
        raise BadInput("'frame' must be the frame's bytes in hex")
    if not isinstance(time_ns, int) or isinstance(time_ns, bool) or not 0 <= time_ns < 1 << 63:
        raise BadInput("'time_ns' must be a whole number of nanoseconds, 0 or more")
    try:
        raw = bytes.fromhex(data)
    except ValueError:
        raise BadInput("'frame' is not hex; write two digits a byte") from None
    if len(raw) > LONGEST_FRAME_BYTES:
        raise BadInput(f"'frame' is longer than {LONGEST_FRAME_BYTES} bytes")
    return port, Frame(raw, len(raw), time_ns)


def answers(lines: Iterable[str], explainer: Explainer) -> Iterator[dict[str, Any]]:
    """Yield the answer to each line.

    Parameters
    ----------
    lines : iterable of str
        JSON objects.
    explainer : Explainer
        Decides, and keeps the state.

    Yields
    ------
    dict
        With key `error` for a line that cannot be used, and with key
        `difference` should the compiled path disagree with its twin.
    """
    time_ns = 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            port, frame = read_line(text, time_ns)
            explained = explainer.explain(frame, port)
        except BadInput as error:
            yield {"error": f"line {number}: {error.what}"}
            continue
        time_ns = frame.ts_ns
        answer = explained.to_dict()
        if not explained.agrees:
            answer["difference"] = explained.difference
        yield answer
