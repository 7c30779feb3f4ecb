"""A host of one's own in a TOML file: what differs from a named one, or all of it.

base = "r2-vmq"              # a named host; without it every cost must be given
title = "our lab"

[host]
processors = 16
clock_hz = 2.93e9

[costs]
copy = 0.5                   # a value, or with where it is from:
classify = { value = 700, status = "measured", source = "counters of 2024-03" }
"""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nic.team import Team
from pcaps.errors import BadInput
from vswitch.costs import BASE, NAMES, STATUSES, Constant, CostTable, check_value
from vswitch.host_profiles import HOSTS, HostProfile

_TOP = ("base", "title", "host", "costs", "team")
_SETTINGS = {
    one.name: one.type
    for one in fields(HostProfile)
    if one.name not in ("name", "title", "team", "costs")
}
_WHOLE = {name for name, kind in _SETTINGS.items() if kind == "int"}
_YES_NO = {name for name, kind in _SETTINGS.items() if kind == "bool"}
_TEXT = {name for name, kind in _SETTINGS.items() if kind == "str"}


def _unknown(where: str, name: str, known: list[str]) -> BadInput:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}"
    return BadInput(f"{where}{name} is no key; {hint}")


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name, {})
    if not isinstance(found, dict):
        raise BadInput(f"{name} must be a section; write [{name}]")
    return found


def _constant(name: str, given: Any, path: str) -> Constant:
    if name not in NAMES:
        raise _unknown("costs.", name, list(NAMES))
    model = next(one for one in BASE if one.name == name)
    status, source, value = "believed", f"given in {path}", given
    if isinstance(given, dict):
        for key in given:
            if key not in ("value", "status", "source"):
                raise _unknown(f"costs.{name}.", key, ["value", "status", "source"])
        if "value" not in given:
            raise BadInput(f"costs.{name}.value is missing; give a number")
        value = given["value"]
        status, source = str(given.get("status", status)), str(given.get("source", source))
        if status not in STATUSES:
            raise BadInput(f"costs.{name}.status is '{status}'; use one of {', '.join(STATUSES)}")
    return replace(model, value=check_value(name, value), status=status, source=source)


def _setting(name: str, given: Any) -> Any:
    if name not in _SETTINGS:
        raise _unknown("host.", name, list(_SETTINGS))
    right = (
        isinstance(given, bool)
        if name in _YES_NO
        else isinstance(given, str)
        if name in _TEXT
        else isinstance(given, int if name in _WHOLE else (int, float))
        and not isinstance(given, bool)
    )
    if not right:
        kind = "true or false" if name in _YES_NO else "text" if name in _TEXT else "a number"
        kind = "a whole number" if name in _WHOLE else kind
        raise BadInput(f"host.{name} is {given!r}; give {kind}")
    return given


def _team(raw: dict[str, Any]) -> Team | None:
    if "team" not in raw:
        return None
    section = _section(raw, "team")
    for key in section:
        if key not in ("members", "teaming", "balancing"):
            raise _unknown("team.", key, ["members", "teaming", "balancing"])
    members = section.get("members")
    if not isinstance(members, int) or isinstance(members, bool):
        raise BadInput("team.members is missing or no whole number; give how many adapters")
    rest = {key: str(value) for key, value in section.items() if key != "members"}
    return Team(members, **rest)


def loads(text: str, path: str) -> HostProfile:
    """Read a host from text.

    Parameters
    ----------
    text : str
        TOML.
    path : str
        What messages call it.

    Returns
    -------
    HostProfile
        Checked; named after the file.

    Raises
    ------
    BadInput
        One sentence on the first thing wrong.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML: {error}") from None
    try:
        return _built(raw, path)
    except BadInput as error:
        raise BadInput(f"{path}: {error.what}") from None


def _built(raw: dict[str, Any], path: str) -> HostProfile:
    for key in raw:
        if key not in _TOP:
            raise _unknown("", key, list(_TOP))
    base = raw.get("base")
    if base is not None and base not in HOSTS:
        raise BadInput(f"base is {base!r}; use one of {', '.join(HOSTS)}")
    given = {name: _constant(name, one, path) for name, one in _section(raw, "costs").items()}
    host = HOSTS[base] if base is not None else HostProfile(name=path, title="")
    known = dict(host.costs.constants) if base is not None else {}
    settings = {name: _setting(name, one) for name, one in _section(raw, "host").items()}
    return replace(
        host,
        name=path,
        title=str(raw.get("title", host.title or Path(path).stem)),
        team=_team(raw) or host.team,
        costs=CostTable({**known, **given}),
        **settings,
    )


def load(path: str | Path) -> HostProfile:
    """Read a host from a file.

    Parameters
    ----------
    path : str or pathlib.Path
        The TOML file.

    Returns
    -------
    HostProfile
        Checked.

    Raises
    ------
    BadInput
        When it cannot be read, or is not sound.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(
            f"{path}: no such file; there are the host profiles {', '.join(HOSTS)}"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    return loads(text, str(path))
