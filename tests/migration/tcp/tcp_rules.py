"""Writes docs/tcp-rules.md: which rule of which document each script of the suite holds.

``python tests/migration/tcp/tcp_rules.py`` after adding a script.
"""

from __future__ import annotations

import re
from pathlib import Path

from migration.tcp.script import Script, load

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((Path(__file__).parent / "scripts").rglob("*.tcp"))

TITLES = {
    "RFC 2018": "TCP Selective Acknowledgment Options",
    "RFC 2883": "An Extension to the Selective Acknowledgement (SACK) Option",
    "RFC 3042": "Enhancing TCP's Loss Recovery Using Limited Transmit",
    "RFC 3522": "The Eifel Detection Algorithm for TCP",
    "RFC 3708": "Using TCP DSACKs to Detect Spurious Retransmissions",
    "RFC 5681": "TCP Congestion Control",
    "RFC 5682": "Forward RTO-Recovery (F-RTO)",
    "RFC 5961": "Improving TCP's Robustness to Blind In-Window Attacks",
    "RFC 6298": "Computing TCP's Retransmission Timer",
    "RFC 6582": "The NewReno Modification to TCP's Fast Recovery Algorithm",
    "RFC 6675": "A Conservative Loss Recovery Algorithm Based on SACK",
    "RFC 6691": "TCP Options and Maximum Segment Size (MSS)",
    "RFC 7323": "TCP Extensions for High Performance",
    "RFC 8985": "The RACK-TLP Loss Detection Algorithm for TCP",
    "RFC 9293": "Transmission Control Protocol (TCP)",
    "RFC 9438": "CUBIC for Fast and Long-Distance Networks",
}


def _order(rule: str) -> tuple[int, int, list[int], str]:
    document = _document(rule)
    number = int(document.split()[1]) if document in TITLES else 0
    section = re.search(r"[\d.]+$", rule)
    parts = [int(part) for part in section[0].split(".")] if document in TITLES and section else []
    return (document not in TITLES, -number, parts, rule)


def _document(rule: str) -> str:
    words = rule.split()
    return f"RFC {words[1]}" if words[0] == "RFC" else words[0]


def page() -> str:
    """Return the page."""
    by_rule: dict[str, list[tuple[str, Script]]] = {}
    for path in SCRIPTS:
        script = load(path)
        name = str(path.relative_to(SCRIPTS[0].parents[1]).with_suffix(""))
        by_rule.setdefault(script.rules[0], []).append((name, script))
    lines = [
        "# Rules of TCP that scripts hold",
        "",
        f"{len(SCRIPTS)} scripts in `tests/migration/tcp/scripts`, one rule each; `vswitch tcp run FILE...`",
        "runs them. This page is written from their heads by `python tests/migration/tcp/tcp_rules.py`.",
    ]
    last = ""
    for rule in sorted(by_rule, key=_order):
        document = _document(rule)
        if document != last:
            title = f"{document}: {TITLES[document]}" if document in TITLES else document
            lines += ["", f"## {title}", "", "| rule | script | what it says |", "|---|---|---|"]
            last = document
        where = rule.removeprefix(document).strip()
        for name, script in by_rule[rule]:
            lines.append(f"| {where} | {name} | {script.text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "tcp-rules.md").write_text(page())
