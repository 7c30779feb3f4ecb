"""The sections of a scenario file that are about a move: ``[move]``, ``[path]``, ``[traffic]``.

Their keys are the options of ``vswitch migrate``, with underscores; an option that is
given on the command line goes before the file. The models are made of the same
tables as the options, so that there is no second list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import click
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    field_validator,
)

from migration.cli_move_options import default_words, move_options, settings_of
from migration.settings import SETTINGS, read_one
from pcaps.errors import BadInput

if TYPE_CHECKING:
    from migration.run import Replay
    from vswitch.scenario import Scenario
    from vswitch.scenario_models import ExpectSection

Given = str | int | float | bool | None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _read(cls, value: Given, info: Any) -> Given:
        """Read each value once, so that what is wrong is told with its line."""
        if value is None:
            return None
        try:
            if info.field_name in SETTINGS:
                read_one(info.field_name, _word(info.field_name, value))
            else:
                word = _word(info.field_name, value)
                settings_of({**default_words(), info.field_name: word})
        except BadInput as error:
            raise ValueError(error.what.partition(": ")[2] or error.what) from None
        return value


def _word(key: str, value: Given) -> Given:
    """Return a value as the command line would have it: text, or what click made of it."""
    as_text = isinstance(value, float) or (isinstance(value, int) and key in SETTINGS)
    return str(value) if as_text and not isinstance(value, bool) else value


@click.command()
@move_options
def _planned(**_: Any) -> None: ...


_Keys = dict[str, tuple[str, str]]
"""Key -> what it takes, and what it means."""


def _model(name: str, meaning: str, keys: _Keys) -> type[BaseModel]:
    fields: dict[str, Any] = {
        key: (
            Annotated[Given, WithJsonSchema({"format": takes})],
            Field(None, description=description),
        )
        for key, (takes, description) in keys.items()
    }
    return create_model(name, __base__=_Section, __doc__=meaning, **fields)


def _keys(section: str) -> _Keys:
    return {
        key: (_takes(one.metavar), one.meaning)
        for key, one in SETTINGS.items()
        if one.section == section
    }


def _takes(metavar: str | None) -> str:
    """Say what a key takes, from what ``--help`` shows for its option."""
    words = {"": "`true` or `false`", "N": "whole number", "FILE": "path", "VID": "VID"}
    return words.get(metavar or "", (metavar or "").lower())


MoveSection = _model(
    "MoveSection",
    "How the VM is moved, for ``vswitch migrate``; the options of the command are its keys.",
    {
        **_keys("move"),
        **{
            str(option.name): (_takes(option.metavar), str(option.help))
            for option in _planned.params
            if isinstance(option, click.Option)
        },
    },
)
PathSection = _model(
    "PathSection", "The network between the clients and the hosts of a move.", _keys("path")
)
TrafficSection = _model(
    "TrafficSection", "Synthetic sessions, and the TCP stacks of all.", _keys("traffic")
)


def settings_in(scenario: Scenario) -> dict[str, Any]:
    """Return the settings that a scenario gives, by key.

    Parameters
    ----------
    scenario : Scenario
        As loaded.

    Returns
    -------
    dict
        For :func:`migration.settings.read_settings`.
    """
    found: dict[str, Any] = {}
    for section in scenario.mounted.values():
        found.update({key: _word(key, value) for key, value in section if value is not None})
    return found


def failures(expect: ExpectSection, replay: Replay) -> list[str]:
    """Return what of ``[expect]`` does not hold, one sentence each.

    Parameters
    ----------
    expect : ExpectSection
        The bounds.
    replay : Replay
        What a replay through a move found.

    Returns
    -------
    list of str
        Empty when all holds.
    """
    summary = replay.summary()
    failed = []
    lost = summary["timed_out"] + summary["reset"]
    if expect.no_timeouts and lost:
        failed.append(f"expected no connection to be lost, but {lost} were")
    if expect.max_stall is not None and summary["max_stall_s"] * 1e9 > expect.max_stall:
        failed.append(
            f"expected no stall above {expect.max_stall / 1e9:g} s, but the longest was "
            f"{summary['max_stall_s']:.3f} s"
        )
    blackout_ns = replay.light_ns - replay.blackout_ns
    if expect.max_blackout is not None and blackout_ns > expect.max_blackout:
        failed.append(
            f"expected no blackout above {expect.max_blackout / 1e9:g} s, but it was "
            f"{blackout_ns / 1e9:.3f} s"
        )
    return failed
