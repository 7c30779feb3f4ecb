"""Published figures: that they are those of the tables, and that ours stand where the page says."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numba
import pytest

from benchmarks.fidelity import hosts
from vswitch.costs import CostTable
from vswitch.published import CYCLES, THROUGHPUTS, Figure

ROOT = Path(__file__).resolve().parents[2]
FACTS = Path(os.environ.get("VSWITCH_FACTS", ROOT.parent / "shared" / "facts" / "migration"))
NIC = FACTS.parent / "nic-switch"

with_tables = pytest.mark.skipif(
    not (NIC / "cpu_published.csv").exists(),
    reason=f"no published tables at {NIC}; set VSWITCH_FACTS to the folder beside it",
)
with_kernels = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="millions of frames, only with compiled kernels"
)


def words(text):
    return set(re.findall(r"[A-Za-z]{4,}", text.lower()))


@with_tables
@pytest.mark.parametrize("figure", [*THROUGHPUTS, *(one for one, _ in CYCLES)],
                         ids=lambda one: one.system)  # fmt: skip
def test_a_published_figure_stands_in_the_tables(figure):
    tables = []
    for name in ("cpu_published.csv", "cpu_derived.csv", "cpu_model_proposal.csv"):
        with (NIC / name).open(newline="", encoding="utf-8") as file:
            tables += [" ".join(row) for row in csv.reader(file)]
    if figure.unit == "Gbit/s":
        tables = [row for row in tables if len(words(figure.source) & words(row)) >= 2]
    numbers = {n for n in (figure.low, figure.high) if n != float("inf")}
    if figure.unit == "cycles/1460 B" and figure.low == figure.high:
        assert figure.low == 1e9 / (1e9 / 8 / 1460)  # 1 GHz for 1 Gbit/s
        return
    assert any(
        numbers <= {float(one) for one in re.findall(r"\d+(?:\.\d+)?", row)} for row in tables
    ), numbers


def test_deviation_is_nothing_within_a_range():
    figure = Figure("x", "y", 3, 5)
    assert [figure.deviation(value) for value in (2.4, 3, 4, 5, 6)] == pytest.approx(
        [-0.2, 0, 0, 0, 0.2]
    )
    assert (figure.published, Figure("x", "y", 4, 4).published) == ("3-5", "4")
    assert Figure("x", "y", 9, float("inf")).published == "> 9"


@with_kernels
@pytest.mark.parametrize("figure", THROUGHPUTS, ids=lambda one: one.system)
def test_throughputs_are_met_within_a_tenth(figure):
    """But for one source's 3.5 where others have 3 to 5: docs/fidelity.md has it in bold."""
    allowed = 0.13 if "cloudscaping" in figure.source else hosts.CLOSE
    assert abs(figure.deviation(hosts.ours(figure))) <= allowed


def test_the_ratio_of_chimney_is_the_published_one():
    costs = CostTable.base()
    found = {figure.system: figure.deviation(compute(costs)) for figure, compute in CYCLES}
    assert found["host processor time with chimney, of that without"] == 0
    assert found["TCP in software, 40 % of 4 cores at 6 Gbit/s (2006)"] == 0


@with_tables
@with_kernels
def test_frame_rates_and_goodput_are_exact():
    rows = list(hosts.frame_rates(NIC))
    assert len(rows) == 10
    for name, published, ours, goodput, our_goodput in rows:
        assert (ours, our_goodput) == (published, goodput), name


def test_the_page_says_that_no_constant_is_confirmed():
    page = (ROOT / "docs" / "fidelity.md").read_text()
    assert "No single constant is confirmed" in page
    assert "## What frames cost a host" in page
