"""The benchmark: cells, the search for the sustained rate, and what the figures must obey."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re

import numba
import numpy as np
import pytest
from click.testing import CliRunner

from pcaps.errors import BadInput
from vswitch.bench import MATRIX_MODES, MODES, Bench, Cell, Selection, run
from vswitch.bench_load import FRAMES, decided_load, host_of, mix_of, segments
from vswitch.bench_rows import Rows, enough, gbps, story
from vswitch.cli_bench import bench
from vswitch.costs import CostTable
from vswitch.host_profiles import HOSTS
from vswitch.ways import frame_cycles
from vswitch.ways_kernel import W_PLACED, W_SHARED, W_SWITCHED

SECONDS = 0.0002 if numba.config.DISABLE_JIT else 0.02
with_kernels = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="millions of frames, only with compiled kernels"
)


@pytest.fixture(scope="module", autouse=True)
def few_frames_without_kernels():
    with pytest.MonkeyPatch.context() as patch:
        if numba.config.DISABLE_JIT:
            patch.setattr("vswitch.bench_load.POOL_FRAMES", 400)
        yield


@pytest.fixture(scope="module")
def small():
    """A result with three modes, two sizes, one and four VMs."""
    only = ["mode=r2,r2-vmq,r2-vmq-jumbo,r2-chimney", "frame=1514,9014", "vms=1,4", "lps=1,4"]
    selection = Selection.parse(only, quick=True)
    if numba.config.DISABLE_JIT:
        selection = Selection(selection.modes, ("1514", "9014"), (4,), (4,), SECONDS)
    return run(selection)


def row(mode, frame="1514", vms=4, lps=8, seconds=SECONDS):
    return Bench(seconds).row(Cell(mode, frame, vms, lps))


def capacity(profile, way, wire, payload):
    """Cycles a second of one processor, and of parent and guest for a frame."""
    parent, guest = frame_cycles(profile.costs, way, wire, payload)
    return 1e12 / profile.ps_per_cycle, parent, guest


@with_kernels
@pytest.mark.parametrize("lps", [2, 4, 8])
def test_the_software_switch_moves_what_one_processor_can(lps):
    """An oracle apart from the event loop: cycles a second over cycles a frame."""
    hertz, parent, guest = capacity(HOSTS["r2"], W_SWITCHED, 1518, 1460)
    bound = hertz / parent if lps > 2 else hertz / max(parent, guest)
    assert row("r2", lps=lps)["modelled"]["frames_per_s"] == pytest.approx(bound, rel=0.03)


@with_kernels
def test_one_processor_shares_itself_between_parent_and_guests():
    hertz, parent, guest = capacity(HOSTS["r2"], W_SWITCHED, 1518, 1460)
    found = row("r2", lps=1)["modelled"]
    assert found["frames_per_s"] == pytest.approx(hertz / (parent + guest), rel=0.05)


@with_kernels
@pytest.mark.parametrize(("mode", "way"), [("r2-vmq", W_SHARED), ("2012", W_PLACED)])
def test_two_processors_with_vm_queues_do_all_work_there_is(mode, way):
    hertz, parent, guest = capacity(HOSTS[mode], way, 1518, 1460)
    found = row(mode, lps=2)["modelled"]["frames_per_s"]
    assert 0.85 < found * (parent + guest) / (2 * hertz) < 1.02


@with_kernels
def test_a_single_vm_is_stopped_by_its_one_virtual_processor():
    hertz, _, guest = capacity(HOSTS["r2"], W_SHARED, 1518, 1460)
    found = row("r2-vmq", vms=1)["modelled"]
    assert found["frames_per_s"] == pytest.approx(hertz / guest, rel=0.03)
    assert found["stopped_by"] == "a guest's processor"


@with_kernels
@pytest.mark.parametrize(
    ("frame", "most"), [("1514", 9.4928), ("9014", 9.9137)], ids=["1514", "9014"]
)
def test_nothing_is_faster_than_the_wire(frame, most):
    """10 GbE goodput of full segments; the VLAN tag takes 4 bytes more."""
    payload = {"1514": 1460, "9014": 8960}[frame]
    wire = 8 * payload * 10 / (8 * (payload + 54 + 4 + 24))
    found = row("r2-vmq-jumbo", frame, lps=16)["modelled"]
    assert found["gbps"] <= wire < most
    assert found["gbps"] == pytest.approx(wire, rel=0.006)
    assert found["stopped_by"] == "the wire"


@with_kernels
def test_more_processors_never_move_less(small):
    rows = Rows(run(Selection.parse(["frame=1514,imix", "lps=1-6"], quick=True)))
    for mode in rows.values("mode"):
        for frame in rows.values("frame"):
            for vms in rows.values("vms"):
                curve = [gbps(one) for one in rows.curve(mode, frame, vms)]
                assert all(b >= 0.93 * a for a, b in itertools.pairwise(curve)), (
                    mode, frame, vms, curve,
                )  # fmt: skip


@with_kernels
def test_the_order_of_modes_is_the_published_one(small):
    rows = Rows(small)
    software, queues = (gbps(rows.at(mode, "1514", 4, 4)) for mode in ("r2", "r2-vmq"))
    jumbo = gbps(rows.at("r2-vmq-jumbo", "9014", 4, 4))
    chimney = rows.at("r2-chimney", "1514", 4, 4)["modelled"]["cycles_per_frame"]
    plain = rows.at("r2", "1514", 4, 4)["modelled"]["cycles_per_frame"]
    assert 3 <= software <= 5
    assert software < queues < jumbo
    assert sum(chimney.values()) < sum(plain.values()) / 3


def test_frames_that_no_guest_takes_are_dropped_for_one_reason(small):
    rows = Rows(small)
    for mode, reason in (("r2", "over-mtu"), ("r2-vmq", "adapter-over-size")):
        found = rows.at(mode, "9014", 4, 4)["modelled"]
        assert (found["gbps"], found["drops"]["reason"]) == (0.0, reason)
        assert "1514 bytes" in found["why"]


def test_a_row_has_modelled_and_measured_apart(small):
    for one in small["rows"]:
        assert set(one) == {"mode", "frame", "vms", "lps", "modelled", "measured"}
        assert set(one["measured"]) == {"mpps", "decide_mpps", "in_time_mpps", "frames", "runs"}
        assert not set(one["modelled"]) & set(one["measured"]) - {"frames"}
    json.dumps(small)


def test_modelled_figures_are_the_same_for_any_number_of_threads():
    only = ["mode=r2,r2-vmq", "frame=1514,imix", "vms=4", "lps=2,4"]
    selection = Selection.parse(only, quick=True)
    selection = Selection(
        selection.modes, selection.frames, selection.vms, selection.lps, SECONDS / 4
    )
    one, two = (run(selection, jobs=jobs)["rows"] for jobs in (1, 2))
    assert [(r["mode"], r["frame"], r["vms"], r["lps"], r["modelled"]) for r in one] == [
        (r["mode"], r["frame"], r["vms"], r["lps"], r["modelled"]) for r in two
    ]


def test_cycles_of_a_row_can_be_followed_to_its_constants(small):
    for one in small["rows"]:
        constants = {c["name"]: c["value"] for c in small["hosts"][one["mode"]]["costs"]}
        for step in one["modelled"].get("cycles", []):
            assert step["cycles"] == pytest.approx(
                step["units"] * constants[step["constant"]], abs=1
            )


@pytest.mark.parametrize("name", FRAMES)
def test_the_frames_are_full_tcp_segments_to_all_vms_alike(name):
    frames = segments(mix_of(name), 4)
    sizes = set((frames.wirelen - 4).tolist())
    assert sizes == set(FRAMES[name].sizes)
    first = frames[0].to_scapy()
    assert first.haslayer("TCP")
    assert first["Dot1Q"].vlan == 100 + (int(first["IP"].dst.split(".")[-1]) - 1) % 4
    load = decided_load(host_of(HOSTS["r2-vmq-jumbo"], 4), frames)
    payload = (load.columns.loads >> 8).tolist()
    assert payload == (frames.wirelen.astype(np.int64) - 58).tolist()
    counts = np.bincount(load.columns.seats)[1:]
    assert counts.min() > 0.7 * counts.max()


def test_native_spreads_connections_over_queues_and_has_no_vms():
    found = row("native", vms=1, lps=4)["modelled"]
    assert found["vm_use"] == 0
    if not numba.config.DISABLE_JIT:
        assert found["gbps"] > 9
        assert sum(parent > 0.3 for parent, _ in found["processors"]) == 4


# the selection


def test_the_whole_matrix_leaves_out_what_r1_cannot_have():
    cells = list(Selection().cells())
    assert {cell.mode for cell in cells} == set(MATRIX_MODES)
    assert max(cell.lps for cell in cells if cell.mode == "r1") == 24
    assert max(cell.lps for cell in cells if cell.mode == "r2") == 64
    assert {cell.vms for cell in cells} == {1, 4, 16, 64}
    assert len(cells) == len(set(cells))


def test_only_selects_by_each_dimension():
    chosen = Selection.parse(["mode=r2,native", "lps=1-3,8", "vms=4", "frame=64"])
    cells = list(chosen.cells())
    assert {cell.lps for cell in cells} == {1, 2, 3, 8}
    assert {(cell.mode, cell.vms) for cell in cells} == {("r2", 4), ("native", 1)}


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (["mode=r3"], "there is no mode 'r3'"),
        (["frame=1500"], "there are no frames '1500'"),
        (["lps=65"], "use 1 to 64"),
        (["lps=0"], "use 1 to 64"),
        (["lps=8-4"], "use 1 to 64"),
        (["lps=x"], "is no number"),
        (["vms=1-"], "is no number"),
        (["vms=2000"], "use 1 to 1024"),
        (["cpu=4"], "selects nothing"),
        (["lps="], "selects nothing"),
        (["lps"], "selects nothing"),
        (["lps=1", "lps=2"], "given twice"),
        (["mode=r1", "lps=32"], "no cell is selected"),
        (["mode=none.toml"], "no such file"),
    ],
)
def test_a_selection_that_cannot_be_is_one_sentence(only, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        run(Selection.parse(only))


def test_a_host_of_ones_own_is_a_mode(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('base = "r2"\ntitle = "our lab"\n[costs]\ncopy = 0\n')
    result = run(Selection((str(path), "r2"), ("1514",), (4,), (4,), min(SECONDS, 0.005)))
    mine, theirs = (one["modelled"]["cycles_per_frame"]["parent"] for one in result["rows"])
    assert theirs - mine == pytest.approx(CostTable.base()["copy"] * 1518, rel=0.02)
    assert result["modes"][str(path)] == "our lab"


# what is told


def test_the_story_says_what_each_brings_and_where_it_stops(small):
    sentences = story(Rows(small))
    assert [one.partition(":")[0] for one in sentences] == [
        "VM queues", "Chimney", "Jumbo frames",
    ]  # fmt: skip
    assert all("Gbit/s with" in one and "stops it" in one for one in sentences)


def test_enough_is_the_least_that_is_nearly_the_best():
    def at(lps, value):
        return {"lps": lps, "modelled": {"gbps": value}}

    assert enough([at(1, 2.0), at(2, 9.3), at(4, 9.4)])["lps"] == 2
    assert enough([at(1, 0.0)]) is None
    assert enough([]) is None


def test_rows_of_something_else_are_refused(tmp_path):
    for text in ("{}", "[]", '{"schema": "vswitch.bench/1", "rows": []}', "no json"):
        path = tmp_path / "x.json"
        path.write_text(text)
        with pytest.raises(BadInput):
            Rows.load(path)
    with pytest.raises(BadInput, match="cannot be read"):
        Rows.load(tmp_path / "none.json")


def call(*words):
    selected = ["--only", "vms=4", "--only", "lps=4", "--only", "frame=1514"]
    if numba.config.DISABLE_JIT:
        pytest.skip("a run of the whole command takes minutes without compiled kernels")
    return CliRunner().invoke(bench, ["--quick", *selected, *words], catch_exceptions=False)


def test_json_is_one_object_with_rows():
    facts = json.loads(call("--json").stdout)
    assert facts["schema"] == "vswitch.bench/1"
    assert [one["mode"] for one in facts["rows"]] == list(MATRIX_MODES)
    assert set(facts["hosts"]) == set(MATRIX_MODES) == set(MODES) - {"native"}


def test_csv_names_what_is_modelled_and_what_is_measured():
    rows = list(csv.DictReader(io.StringIO(call("--csv").stdout)))
    assert len(rows) == len(MATRIX_MODES)
    names = set(rows[0]) - {"mode", "frame", "vms", "lps"}
    assert all(name.startswith(("modelled_", "measured_")) for name in names)
    assert float(rows[1]["modelled_gbps"]) > 3


def test_the_report_has_the_story_and_a_table_and_keeps_measured_apart():
    shown = call("--all").stdout
    assert "VM queues: the software switch reaches" in shown
    assert "1514 B, 4 VMs: Gbit/s of TCP payload" in shown
    assert "measured here:" in shown
    assert "All of this is modelled" in shown


def test_csv_and_json_exclude_each_other():
    with pytest.raises(BadInput, match="exclude each other"):
        call("--csv", "--json")


def test_a_page_into_a_folder_that_is_not_there_is_refused_before_the_run(tmp_path):
    with pytest.raises(BadInput, match="its folder does not exist"):
        call("--html", str(tmp_path / "no" / "report.html"))
