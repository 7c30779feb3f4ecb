"""An explanation as people read it: numbered steps, the verdict, what left."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vswitch.report import STYLES, count_text

if TYPE_CHECKING:
    from vswitch.explain import Explanation

_HEAD_BYTES = 64


def explanation_lines(
    explanation: Explanation, about: dict[str, Any], *, width: int = 80, head: bool = False
) -> Iterator[Text]:
    """Yield the lines of an explanation for people.

    Parameters
    ----------
    explanation : Explanation
        What became of a frame.
    about : dict
        With keys `capture` and `number`, None where the frame is not from a capture.
    width : int
        Cells of a line.
    head : bool
        Whether to show the first 64 bytes, as received and as they leave.

    Yields
    ------
    rich.text.Text
        One line each.
    """
    frame = explanation.frame
    size = f"{frame.wirelen:,} bytes"
    if len(frame.data) != frame.wirelen:
        size += f", {len(frame.data):,} of them captured"
    title = "frame" if about["number"] is None else f"frame {about['number']} of {about['capture']}"
    yield Text(f"{title}, in by {explanation.port}, {size}", "bold")
    if head:
        yield from _hex_lines(frame.data)
    yield Text()
    for number, step in enumerate(explanation.steps, 1):
        start = f"{number:>3}  {step.stage:<8} "
        lines = textwrap.wrap(step.text, width - len(start)) or [""]
        yield Text(start, "cyan").append(lines[0], "")
        for line in lines[1:]:
            yield Text(" " * len(start) + line)
        ruled = "; ".join(filter(None, [step.rule and f"rule: {step.rule}", step.row]))
        for line in textwrap.wrap(ruled, width - len(start)):
            yield Text(" " * len(start) + line, "dim")
    yield Text()
    yield _verdict_line(explanation)
    for port, leaves in explanation.out:
        yield Text(f"  {port}: {leaves.wirelen:,} bytes, {_tag_text(leaves.data)}")
        if head:
            yield from _hex_lines(leaves.data)
    if explanation.difference is not None:
        yield Text(f"the compiled path says otherwise: {explanation.difference}", "bold red")
    else:
        yield Text("the compiled path decides the same", "dim")


def _verdict_line(explanation: Explanation) -> Text:
    outcome = explanation.outcome
    style = f"bold {STYLES[outcome.verdict.label]}"
    if outcome.reason is not None:
        return Text(f"dropped: {outcome.reason.label}", style).append(
            f"  {outcome.reason.sentence}", ""
        )
    return Text(f"{outcome.verdict.label}: {count_text(len(explanation.out), 'copy')}", style)


def _tag_text(data: bytes) -> str:
    kind, tci = int.from_bytes(data[12:14], "big"), int.from_bytes(data[14:16], "big")
    if kind not in (0x8100, 0x88A8, 0x9100) or len(data) < 16:
        return "no tag"
    return f"tag {kind:#06x} VID {tci & 0xFFF} PCP {tci >> 13}"


def _hex_lines(data: bytes) -> Iterator[Text]:
    for at in range(0, min(len(data), _HEAD_BYTES), 16):
        yield Text(f"       {at:04x}  {data[at : at + 16].hex(' ')}", "dim")
