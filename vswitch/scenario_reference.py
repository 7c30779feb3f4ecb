"""The reference of the scenario file, written from the models that check it.

Guarantee: every section and key that a file may have stands in it, with type,
default and meaning, because there is no second list. What the sections are for
is their models' docstring, what a key means is its description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vswitch.mounted_sections import MOUNTED, mounted
from vswitch.scenario_builder import REPEATED, SINGLE

_HEAD = """\
# The scenario file

A scenario describes a host's networks, its adapter, its VMs, where the frames of a capture come in, and what must hold
afterwards. It is one [TOML](https://toml.io) file:

```toml
[scenario]
name = "web and database"
profile = "r2"

[nic]
queues = 1              # the first VM gets it, the other one goes by the default queue

[[network]]
name = "lan"
kind = "external"
vlans = [10, "20-29"]   # VIDs that the uplink carries
parent = false

[[vm]]
name = "web"
mac = "00:15:5d:01:0a:03"
vlan = 20

[[vm]]
name = "database"
mac = "00:15:5d:01:0a:05"
vlan = 20

[expect]
drops.over-mtu = 0
frames.web = ">= 1000"
```

`vswitch replay -s FILE` and `vswitch explain -s FILE` run on it; a replay exits with 1 when an expectation does not hold. More
files are in [examples/scenarios](../examples/scenarios).

```sh
vswitch scenario init -o lab.toml    # begins one; --from CAPTURE makes a VM for each destination
vswitch scenario check lab.toml      # finds all mistakes at once
vswitch scenario show lab.toml       # tells who is in which VLAN, and who gets a VM queue
vswitch scenario reference           # prints this page
```

```console
$ vswitch scenario check examples/scenarios/seven-mistakes.toml   # exits with 2
vswitch: 7 problems in examples/scenarios/seven-mistakes.toml
examples/scenarios/seven-mistakes.toml:4: scenario.profile: input should be 'r1', 'r2' or '2012'
examples/scenarios/seven-mistakes.toml:7: nic.queues: input should be greater than or equal to 0
...
examples/scenarios/seven-mistakes.toml:25: vm[3].mut: there is no key 'mut'; did you mean 'mtu'?
examples/scenarios/seven-mistakes.toml:29: vm[4].network: there is no network 'wan'; did you mean 'lan'?
```

Every section may be left out, and so may every key but those marked *required*. A section in single brackets comes once, one
in double brackets as often as needed. An unknown section or key is a mistake. MAC addresses are written `00:15:5d:01:0a:03`
or `00-15-5D-01-0A-03`. *VIDs* are one VID, a range such as `"20-29"`, a list of both, or `"all"`. *Bounds* are numbers, or
texts such as `"<= 3"`, `">= 10"`, `"> 0"`.

What profiles and VLAN modes do, and the names of the drop reasons, are in [the switch's chapter](../vswitch/README.md); VM
queues and filters in [the adapter's](../nic/README.md).

The tables below are made from the models that check the file.
"""


def reference() -> str:
    """Return the reference of the scenario file.

    Returns
    -------
    str
        Markdown: an example, then a table of keys for each section.
    """
    parts = [_HEAD]
    single = {**SINGLE, **{name: mounted(name) for name in MOUNTED}}
    for sections, brackets in ((single, "[{}]"), (REPEATED, "[[{}]]")):
        for name, model in sections.items():
            schema = model.model_json_schema()
            parts.extend(_section(brackets.format(name), name, schema, schema.get("$defs", {})))
    return "\n".join(parts)


def _section(
    title: str, path: str, schema: dict[str, Any], shared: dict[str, Any]
) -> Iterator[str]:
    """Yield a section's heading and table, then those of the tables inside it."""
    yield f"## `{title}`\n\n{schema['description']}\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    inner = []
    for key, field in schema["properties"].items():
        entry = shared.get(_referred(field.get("items", {})), {})
        if "properties" in entry:
            inner.append((f"[[{path}.{key}]]", f"{path}.{key}", entry))
        single = shared.get(_referred(field), {})
        if "properties" in single:
            inner.append((f"[{path}.{key}]", f"{path}.{key}", single))
        default = "*required*" if key in schema.get("required", ()) else _default(field)
        meaning = field["description"].replace("|", "\\|")
        yield f"| `{key}` | {_type(field, shared)} | {default} | {meaning} |"
    yield ""
    for title_, path_, entry in inner:
        yield from _section(title_, path_, entry, shared)


def _default(field: dict[str, Any]) -> str:
    """Return a default as a file would say it; nothing where the meaning says what holds."""
    default = field.get("default")
    if default is None or default in ("", [], {}):
        return ""
    if isinstance(default, list):
        return f"`{json.dumps(default)}`"
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f'`"{text}"`' if isinstance(default, str) else f"`{text}`"


def _referred(field: dict[str, Any]) -> str:
    return str(field.get("$ref", "")).removeprefix("#/$defs/")


def _type(field: dict[str, Any], shared: dict[str, Any]) -> str:
    """Say in words what a key takes."""
    if name := _referred(field):
        return "table" if "properties" in shared[name] else _type(shared[name], shared)
    if "format" in field:
        return str(field["format"])
    if "enum" in field:
        return ", ".join(f'`"{value}"`' for value in field["enum"])
    if "anyOf" in field:
        kinds = [_type(one, shared) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if field["type"] == "array":
        items = field["items"]
        return "tables" if _referred(items) else f"list of {_type(items, shared)}"
    if field["type"] == "object":
        return f"table of {_type(field['additionalProperties'], shared)}"
    if field["type"] in ("integer", "number"):
        return _number(field)
    return _PLAIN[field["type"]]


_PLAIN = {"string": "text", "boolean": "`true` or `false`"}


def _number(field: dict[str, Any]) -> str:
    word = "whole number" if field["type"] == "integer" else "number"
    low, high = field.get("minimum"), field.get("maximum")
    if high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{word} from {low}"
    above = field.get("exclusiveMinimum")
    return word if above is None else f"{word} above {above:g}"
