"""Two results side by side."""

import json

import pytest
from click.testing import CliRunner

from pcaps import samples
from pcaps.errors import BadInput
from vswitch.arrivals import Pace
from vswitch.cli_compare import compare as command
from vswitch.compare import METRICS, compare, load
from vswitch.host_choice import HostChoice
from vswitch.host_profiles import HOSTS
from vswitch.replay import Job, run


def cell(mode, lps, gbps, mpps=1.0):
    return {
        "mode": mode, "frame": "1514", "vms": 4, "lps": lps, "measured": {"mpps": mpps},
        "modelled": {"gbps": gbps, "frames_per_s": 1.0, "parent_use": 1.0, "vm_use": 0.5,
                     "drops": {"loss": 0.0}, "latency_us": {"p50": 1.0, "p99": 2.0}},
    }  # fmt: skip


def bench(*rows):
    return {"schema": "vswitch.bench/1", "rows": list(rows)}


def replay(host=None):
    choice = None if host is None else HostChoice(HOSTS[host], Pace.parse("10Gbps", None))
    return run(Job(captures=[str(samples.path("tcp_sessions"))], host=choice)).to_dict()


def test_benchmarks_are_compared_cell_by_cell():
    lines = compare(
        bench(cell("r2", 4, 4.0), cell("r2", 8, 4.0)),
        bench(cell("r2", 4, 5.0), cell("2012", 4, 9.0)),
    )
    assert [(line.what, line.a, line.b) for line in lines] == [
        ("r2, 1514, 4 VMs, 4 processors", 4.0, 5.0),
        ("r2, 1514, 4 VMs, 8 processors", 4.0, None),
        ("2012, 1514, 4 VMs, 4 processors", None, 9.0),
    ]
    assert [line.change for line in lines] == [0.25, None, None]


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_says_whether_it_is_modelled(metric):
    (line,) = compare(bench(cell("r2", 4, 4.0)), bench(cell("r2", 4, 4.0)), metric)
    assert line.kind == ("measured" if metric == "measured_mpps" else "modelled")
    assert line.change in (0, None)


def test_replays_are_compared_in_all_their_figures():
    lines = {line.what: line for line in compare(replay("r2"), replay("r2-vmq"))}
    assert lines["frames in"].change == 0
    assert lines["cycles of the parent a frame"].kind == "modelled"
    assert lines["cycles of the parent a frame"].b < lines["cycles of the parent a frame"].a
    assert lines["Mpps of this program"].kind == "measured"


def test_a_replay_without_a_host_has_no_modelled_figures():
    lines = {line.what: line for line in compare(replay(), replay("r2"))}
    assert lines["loss at the rings"].a is None
    assert lines["loss at the rings"].b is not None
    assert "loss at the rings" not in {line.what for line in compare(replay(), replay())}


def test_results_of_two_kinds_or_without_common_cells_are_refused():
    with pytest.raises(BadInput, match="compare like with like"):
        compare(bench(cell("r2", 4, 4.0)), replay())
    with pytest.raises(BadInput, match="no cell in common"):
        compare(bench(cell("r2", 4, 4.0)), bench(cell("r1", 4, 4.0)))
    with pytest.raises(BadInput, match="there is no figure 'speed'"):
        compare(bench(cell("r2", 4, 4.0)), bench(cell("r2", 4, 4.0)), "speed")


def test_files_that_are_no_results_are_refused(tmp_path):
    path = tmp_path / "x.json"
    for text in ("no json", "[]", '{"schema": "vswitch.other/1"}'):
        path.write_text(text)
        with pytest.raises(BadInput):
            load(path)
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path / "none.json")


def test_the_command_shows_both_and_the_change(tmp_path):
    for name, value in (("a", 4.0), ("b", 5.0)):
        (tmp_path / name).write_text(json.dumps(bench(cell("r2", 4, value))))
    words = [str(tmp_path / "a"), str(tmp_path / "b")]
    shown = CliRunner().invoke(command, words, catch_exceptions=False).stdout
    assert "+25.0 %" in shown
    assert "modelled" in shown
    facts = json.loads(CliRunner().invoke(command, [*words, "--json"]).stdout)
    assert facts["lines"][0]["change"] == 0.25
