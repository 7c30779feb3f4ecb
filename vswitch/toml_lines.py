"""Where each key of a TOML file stands, since the standard library's parser does not tell.

Not a parser: the text has been parsed already and is known to be sound. Keys
inside inline tables and multi-line arrays are found at the line where the
outermost key begins.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _depth_and_string(line: str, depth: int, inside: str) -> tuple[int, str]:
    """Follow brackets and multi-line strings over one line."""
    at = 0
    while at < len(line):
        if inside:
            end = line.find(inside, at)
            if end < 0:
                return depth, inside if len(inside) == 3 else ""
            at, inside = end + len(inside), ""
            continue
        three = line[at : at + 3]
        if three in ('"""', "'''"):
            inside, at = three, at + 3
        elif line[at] in "\"'":
            inside, at = line[at], at + 1
        elif line[at] == "#":
            break
        else:
            depth += (line[at] in "[{") - (line[at] in "]}")
            at += 1
    return depth, inside if len(inside) == 3 else ""


def line_numbers(text: str) -> dict[Path, int]:
    """Return the line of each table and key.

    Parameters
    ----------
    text : str
        A sound TOML document.

    Returns
    -------
    dict
        Path such as ``("vm", 2, "mac")`` -> line, from 1. Entries of arrays of
        tables count from 0.
    """
    lines: dict[Path, int] = {(): 1}
    table: Path = ()
    counts: dict[Path, int] = {}
    depth, inside = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if depth == 0 and not inside:
            header, key = _HEADER.match(line), _KEY.match(line)
            if header:
                table = _open_table(_parts(header[2]), header[1] == "[[", counts)
                for length in range(1, len(table) + 1):
                    lines.setdefault(table[:length], number)
                continue
            if key:
                path = table
                for part in _parts(key[1]):
                    path = (*path, part)
                    lines.setdefault(path, number)
                depth, inside = _depth_and_string(line[key.end() :], depth, inside)
                continue
        depth, inside = _depth_and_string(line, depth, inside)
    return lines


def _open_table(parts: list[str], is_array: bool, counts: dict[Path, int]) -> Path:
    """Return the path of a table header; names of arrays stand for their last entry."""
    path: Path = ()
    for place, part in enumerate(parts):
        path = (*path, part)
        last = place == len(parts) - 1
        if last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a path, or of the nearest thing around it.

    Parameters
    ----------
    lines : dict
        As from :func:`line_numbers`.
    path : tuple
        What to look for.

    Returns
    -------
    int
        From 1.
    """
    while path not in lines:
        path = path[:-1]
    return lines[path]


def text_of(path: Path) -> str:
    """Return a path as people write it: ``vm[2].mac``; entries count from 1.

    Parameters
    ----------
    path : tuple
        Keys and places in arrays of tables.

    Returns
    -------
    str
        Dotted.
    """
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part + 1}]"
        else:
            shown += f".{part}" if shown else part
    return shown or "file"
