"""Why a frame went where it went: the plain twin's steps, checked against the compiled path.

Guarantees
----------
* The steps come from the twin's recorder, rule by rule; the compiled decision is
  run on the same frame, and :attr:`Explanation.agrees` tells whether both say
  the same about verdict, reason and every byte that leaves.
* State (learned addresses) is kept from frame to frame, in both.

Left to others: where the frame comes from (:mod:`vswitch.cli_explain`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pcaps.errors import BadInput
from pcaps.frames import Frame, Frames
from vswitch.copies import copies_of
from vswitch.engine import Engine
from vswitch.outcome import Copy, Outcome, Recorder, Step
from vswitch.ports import Dialect, Network
from vswitch.verdict import DropReason, Verdict
from vswitch.words_kernel import KIND_SHIFT

if TYPE_CHECKING:
    import numpy.typing as npt

    from nic.adapter import Adapter
    from vswitch.engine import Decided
    from vswitch.feed import Feed
    from vswitch.run import Ingress

_MANY = 100_000
"""Frames that the plain twin needs some seconds for."""


class Twin(Protocol):
    """A switch in plain Python, as :class:`vswitch.reference.ReferenceSwitch`."""

    def decide(self, frame: Frame, in_port: int, record: Recorder = ...) -> Outcome:
        """Decide one frame."""


def twin_of(network: Network, adapter: Adapter | None) -> Twin:
    """Return the plain twin of a network's dialect.

    Parameters
    ----------
    network : Network
        The ports.
    adapter : nic.adapter.Adapter, optional
        With its queues given out; None = software switch.

    Returns
    -------
    Twin
        With empty state.
    """
    if network.dialect is Dialect.LEARNING:
        from vswitch.learning_reference import LearningReference

        return LearningReference(network)
    from vswitch.reference import ReferenceSwitch

    return ReferenceSwitch(network, adapter)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one frame, and why.

    Parameters
    ----------
    port : str
        Port that it came in by.
    frame : Frame
        As received.
    outcome : Outcome
        What the plain twin decided.
    steps : tuple of Step
        How it got there.
    out : tuple of (str, Frame)
        Port and frame of each copy that left, the mirror's last.
    difference : str, optional
        What the compiled path decided instead; None = both agree.
    """

    port: str
    frame: Frame
    outcome: Outcome
    steps: tuple[Step, ...]
    out: tuple[tuple[str, Frame], ...]
    difference: str | None = None

    @property
    def agrees(self) -> bool:
        """True when the compiled path decided the same."""
        return self.difference is None

    def to_dict(self) -> dict[str, Any]:
        """Return it as one line of ``vswitch explain --stdin``.

        Returns
        -------
        dict
            With keys out, verdict, reason, steps.
        """
        reason = self.outcome.reason
        return {
            "out": [{"port": port, "frame": frame.data.hex()} for port, frame in self.out],
            "verdict": self.outcome.verdict.label,
            "reason": reason.label if reason is not None else None,
            "steps": [
                {
                    "step": number,
                    "stage": step.stage,
                    "text": step.text,
                    "rule": step.rule,
                    "row": step.row,
                }
                for number, step in enumerate(self.steps, 1)
            ],
        }


class Explainer:
    """The compiled switch and its plain twin, side by side.

    Parameters
    ----------
    network : Network
        The ports.
    adapter : nic.adapter.Adapter, optional
        The adapter below the uplink, its queues given out; None = software switch.
    """

    def __init__(self, network: Network, adapter: Adapter | None = None) -> None:
        self.network = network
        self._engine = Engine(network, adapter)
        self._twin = twin_of(network, adapter)

    @property
    def stateless(self) -> bool:
        """True when no frame changes what becomes of later ones."""
        return self._engine.compiled.stateless

    def explain(self, frame: Frame, in_port: str | int) -> Explanation:
        """Decide one frame in both, and keep the steps.

        Parameters
        ----------
        frame : Frame
            As received.
        in_port : str or int
            Name or number of the port that it comes in by.

        Returns
        -------
        Explanation
            Steps, copies, and whether both agree.

        Raises
        ------
        BadInput
            When there is no such port.
        """
        number = self.network.number_of(in_port) if isinstance(in_port, str) else in_port
        steps: list[Step] = []
        outcome = self._twin.decide(frame, number, steps.append)
        frames = Frames.from_bytes([frame.data], wirelen=[frame.wirelen], ts_ns=[frame.ts_ns])
        decided = self._engine.decide(frames, np.array([number], np.uint16))
        out = self._leave(frame, self._copies(outcome))
        compiled = self._leave(frame, [copy for _, copy in copies_of(decided)])
        return Explanation(
            port=self.network.ports[number].name,
            frame=frame,
            outcome=outcome,
            steps=tuple(steps),
            out=out,
            difference=_difference(outcome, out, decided, compiled),
        )

    def let_pass(self, frames: Frames, in_ports: npt.NDArray[np.uint16]) -> None:
        """Run frames through both for what they leave behind: learned addresses.

        Parameters
        ----------
        frames : Frames
            In order.
        in_ports : numpy.ndarray
            ``uint16[n]``: port that each comes in by.
        """
        self._engine.decide(frames, in_ports)
        for frame, number in zip(frames, in_ports.tolist(), strict=True):
            self._twin.decide(frame, number)

    def _copies(self, outcome: Outcome) -> list[Copy]:
        """Return the twin's copies, the mirror's last as on the compiled path."""
        mirror = self.network.mirror_to
        if not outcome.mirrored or mirror is None:
            return outcome.copies
        return [*outcome.copies, Copy(self.network.number_of(mirror))]

    def _leave(self, frame: Frame, copies: list[Copy]) -> tuple[tuple[str, Frame], ...]:
        return tuple((self.network.ports[copy.port].name, copy.leave(frame)) for copy in copies)


def _difference(
    outcome: Outcome,
    out: tuple[tuple[str, Frame], ...],
    decided: Decided,
    compiled_out: tuple[tuple[str, Frame], ...],
) -> str | None:
    """Return what the compiled path decided instead, None when it decided the same."""
    word = int(decided.words[0])
    verdict = Verdict(word >> KIND_SHIFT & 3)
    reason = DropReason(word & 0xFF) if verdict is Verdict.DROPPED else None
    if (verdict, reason) == (outcome.verdict, outcome.reason) and compiled_out == out:
        return None
    text = verdict.label if reason is None else f"{verdict.label} ({reason.label})"
    ports = ", ".join(
        f"{port} with {len(frame.data)} bytes starting {frame.data[:18].hex()}"
        for port, frame in compiled_out
    )
    return f"{text}, copies to {ports or 'no port'}"


@dataclass(frozen=True, slots=True)
class Found:
    """A frame found in captures, explained.

    Parameters
    ----------
    capture : str
        Path of its capture.
    number : int
        Its number there, from 1.
    explanation : Explanation
        What became of it.
    """

    capture: str
    number: int
    explanation: Explanation


def explain_captured(
    explainer: Explainer,
    feed: Feed,
    ingress: Ingress,
    number: int,
    tell: Callable[[str], None] = lambda _: None,
) -> Found:
    """Explain a frame of the captures, with the state that the frames before it left.

    Parameters
    ----------
    explainer : Explainer
        Fresh.
    feed : Feed
        The captures.
    ingress : Ingress
        By which port frames come in.
    number : int
        Number of the frame through all captures, from 1.
    tell : callable
        Told when many frames have to run through the plain twin before.

    Returns
    -------
    Found
        The frame and its explanation.

    Raises
    ------
    BadInput
        When there are fewer frames.
    """
    before = 0
    told = False
    for capture in feed.captures():
        for frames in capture:
            in_ports = ingress.ports_of(explainer.network, frames)
            index = number - before - 1
            if index < len(frames):
                if not explainer.stateless:
                    explainer.let_pass(frames[:index], in_ports[:index])
                explanation = explainer.explain(frames[index], int(in_ports[index]))
                return Found(capture.path, frames.first_number + index, explanation)
            before += len(frames)
            if not explainer.stateless:
                if not told and number > _MANY:
                    tell(f"running {number - 1} frames first, since this switch learns from them")
                    told = True
                explainer.let_pass(frames, in_ports)
    plural = "frame" if before == 1 else "frames"
    raise BadInput(f"there is no frame {number}; the captures have {before} {plural}")
