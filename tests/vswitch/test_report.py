"""What people read: numbers as text, bars, the table, drops with their commands."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pcaps import samples
from vswitch import report
from vswitch.replay import Job, run
from vswitch.verdict import DropReason


def summary(captures: str = "office", **settings: Any) -> dict[str, Any]:
    return run(Job(captures=[str(samples.path(captures))], **settings)).to_dict()


def printed(facts: dict[str, Any], width: int = 80, top: int | None = report.TOP) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=width), facts, top=top)
    return out.getvalue()


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_856_009, "2.9 MB"), (999_960, "1.0 MB"),
     (5e15, "5000.0 TB")],
)  # fmt: skip
def test_sizes(n_bytes: float, text: str) -> None:
    assert report.size_text(n_bytes) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 5, "0 %"), (5, 5, "100 %"), (1, 3, "33.3 %"), (1, 10**6, "<0.1 %"),
     (10**6 - 1, 10**6, ">99.9 %")],
)  # fmt: skip
def test_a_share_is_never_0_or_100_per_cent_unless_it_is(part: int, whole: int, text: str) -> None:
    assert report.share_text(part, whole) == text


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [(1, "frame", "1 frame"), (1204, "frame", "1,204 frames"), (2, "copy", "2 copies")],
)
def test_counts_with_their_noun(n: int, noun: str, text: str) -> None:
    assert report.count_text(n, noun) == text


@pytest.mark.parametrize("value", [0, 1, 50, 99, 100])
def test_a_bar_shows_something_for_anything_and_is_never_too_long(value: int) -> None:
    text = report.bar(value, 100, 10)
    assert len(text) <= 10
    assert bool(text) == (value > 0)
    assert (text == "█" * 10) == (value == 100)


@pytest.mark.parametrize(
    ("unicast", "flooded", "dropped"), [(98, 1, 1), (1, 0, 0), (1, 1, 10**6), (333, 333, 334)]
)
def test_verdict_bar_is_full_and_shows_every_verdict_that_occurs(
    unicast: int, flooded: int, dropped: int
) -> None:
    frames = {
        "in": unicast + flooded + dropped, "unicast": unicast, "flooded": flooded,
        "dropped": dropped,
    }  # fmt: skip
    text = report.verdict_bar(frames, 40).plain
    assert len(text) == 40
    assert ("█" in text, "▓" in text, "░" in text) == (unicast > 0, flooded > 0, dropped > 0)


@pytest.mark.parametrize("width", [72, 80, 160])
def test_no_line_is_cut_and_every_figure_is_there(width: int) -> None:
    facts = summary()
    text = printed(facts, width, top=None)
    assert "…" not in text
    for row in facts["queues"]:
        assert row["mac"] in text
    for count in facts["frames"].values():
        assert f"{count:,}" in text


def test_table_is_ordered_by_frames_and_tells_what_it_leaves_out() -> None:
    facts = summary()
    lines = printed(facts, top=3).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("VM "))
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == ["vm1", "vm2", "vm3"]
    rest = facts["frames"]["unicast"] - sum(row["frames"] for row in facts["queues"][:3])
    assert lines[start + 4] == f"and 14 more VMs with {rest:,} frames (--all)"
    assert "more VM" not in printed(facts, top=None)


def test_each_drop_has_its_sentence_and_an_unbroken_command() -> None:
    facts = summary()
    lines = printed(facts).splitlines()
    assert len(facts["first_drops"]) == 5
    for drop in facts["first_drops"]:
        assert any(line.strip() == drop["explain"] for line in lines)
    assert DropReason.RUNT.sentence in "\n".join(lines)


def test_summary_file_can_be_shown_too() -> None:
    facts = summary()
    del facts["measured"]
    assert "measured" not in printed(facts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "into VM queues: the adapter chose their VM"),
        ({"queues": 2}, "--queues N gives the adapter more"),
        ({"mode": "software"}, "Without VM queues every frame goes through"),
        ({"limit": 0}, "no Ethernet frame"),
    ],
)
def test_footer_says_what_it_means(settings: dict[str, Any], says: str) -> None:
    assert says in report.meaning(summary(**settings))
    assert printed(summary(**settings))


def test_damage_and_skipped_records_are_sentences() -> None:
    facts = summary("damaged")["captures"][0]
    text = report.damage_text(facts)
    assert text is not None
    assert text.endswith("the 30 frames before it were used")
    assert report.damage_text({**facts, "damage": None}) is None
    skipped = report.skipped_text({**facts, "skipped": {"link type 113": 2, "none": 0}})
    assert skipped is not None
    assert skipped.endswith("skipped records: 2 link type 113")
    assert report.skipped_text({**facts, "skipped": {}}) is None
