"""The scenario file: all problems at once with their lines, and what comes out of a sound one."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from pcaps.errors import BadInput
from vswitch.cli_scenario import scenario
from vswitch.expect import check_expectations, parse_bound
from vswitch.macpool import MacPool
from vswitch.ports import Dialect, PortKind, VlanMode
from vswitch.problems import ScenarioError
from vswitch.scenario import load, loads
from vswitch.scenario_models import ExpectSection
from vswitch.toml_lines import line_numbers, line_of, text_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scenarios"
VM = '[[vm]]\nname = "a"\n'


def problems(text):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "lab.toml")
    return [(one.line, one.path, one.message) for one in caught.value.problems]


def test_seven_mistakes_are_reported_at_once_with_their_lines():
    with pytest.raises(ScenarioError) as caught:
        load(EXAMPLES / "seven-mistakes.toml")
    assert [one.line for one in caught.value.problems] == [4, 7, 11, 16, 20, 25, 29]
    assert "did you mean 'mtu'?" in caught.value.what
    assert "there is no network 'wan'" in caught.value.what


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[[vm]]\nname = "a"\nvlan = 4095\n', 3, "out of range"),
        ('[[vm]]\nname = "a"\nvlan = true\n', 3, "whole number"),
        ('[[vm]]\nname = "a"\nmac = "01:00:5e:00:00:01"\n', 3, "group address"),
        ('[[vm]]\nname = "a"\n\n[[vm]]\nname = "a"\n', 5, "a"),
        (
            '[[vm]]\nname = "a"\nmac = "02:00:00:00:00:01"\n[[vm]]\nname = "b"\n'
            'mac = "02:00:00:00:00:01"\n',
            6, "02:00:00:00:00:01",
        ),
        ('[[vm]]\nname = "a"\n[replay]\ningress = "b"\n', 4, "there is no port 'b'"),
        ('[[network]]\nname = "n"\nvlans = ["20-10"]\n', 3, "out of range"),
        ('[[network]]\nname = "n"\nvlans = ["x"]\n', 3, "is not a VID"),
        ("[scenario]\nname = 1\n", 2, "string"),
        ("[scenario\n", 1, "not TOML"),
        (VM + '[expect]\ndrops.over-mtu = "some"\n', 4, "is not a bound"),
        (VM + "[expect]\ndrops.over-mtoo = 0\n", 4, "did you mean 'over-mtu'?"),
        ('[scenario]\nprofile = "r1"\n[nic]\nvmq = true\n' + VM, 3, "r1"),
        ('[[vm]]\nname = "a"\nmode = "isolated"\nvlan = 10\nsecondary = 20\n', 3, "r2"),
    ],
)  # fmt: skip
def test_mistake_is_named_at_its_line(text, line, says):
    found = problems(text)
    assert any(at == line and says in f"{path}: {message}" for at, path, message in found), found


def test_more_filters_than_the_adapter_has_is_not_an_error_but_a_vm_without_queue():
    loaded = loads("[nic]\nqueues = 8\nfilters = 1\n" + '[[vm]]\nname = "v{n}"\ncount = 3\n')
    adapter = loaded.adapter()
    assert (len(list(adapter.filters())), adapter.max_filters) == (0, 1)


def test_vms_get_addresses_of_the_hosts_pool_and_a_vlan_each():
    text = '[host]\nip = "10.0.3.7"\n[[vm]]\nname = "v{n}"\ncount = 3\nvlan = 10\nvlan_step = 5\n'
    network = loads(text).network()
    vms = [port for port in network.ports if port.kind is PortKind.VM]
    assert [(p.name, p.address[:14], p.vlan.vid) for p in vms] == [
        ("v1", "00:15:5d:03:07", 10), ("v2", "00:15:5d:03:07", 15), ("v3", "00:15:5d:03:07", 20)
    ]  # fmt: skip
    assert len({port.mac for port in vms}) == 3


def test_pool_has_256_addresses_and_then_says_so():
    pool = MacPool("192.168.1.2")
    taken = {pool.take(()) for _ in range(256)}
    assert len(taken) == 256
    with pytest.raises(BadInput, match="all 256"):
        pool.take(())
    with pytest.raises(BadInput, match="not an IPv4 address"):
        MacPool("10.0.0")


def test_pool_passes_over_addresses_that_are_taken():
    first = MacPool("192.168.1.2").take(())
    assert MacPool("192.168.1.2").take({first}) != first


def test_profile_r1_learns_and_has_no_vm_queues():
    loaded = loads('[scenario]\nprofile = "r1"\n' + VM)
    assert loaded.network().dialect is Dialect.LEARNING
    assert loaded.adapter() is None


def test_ports_of_a_learning_network_take_the_words_of_open_vswitch():
    network = load(EXAMPLES / "open-vswitch.toml").network()
    modes = {port.name: port.vlan.mode for port in network.ports}
    assert modes["t1"] is VlanMode.TRUNK
    assert modes["a1"] is VlanMode.ACCESS
    assert modes["q1"] is VlanMode.DOT1Q_TUNNEL


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.toml")))
def test_lines_of_every_example_are_found(name):
    text = (EXAMPLES / name).read_text()
    lines = line_numbers(text)

    def walk(value, path):
        assert path in lines, path
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, inner in enumerate(value):
                walk(inner, (*path, number)) if (*path, number) in lines else None

    for key, value in tomllib.loads(text).items():
        if not isinstance(value, list):
            walk(value, (key,))
        else:
            for number, inner in enumerate(value):
                walk(inner, (key, number))


def test_lines_survive_comments_strings_and_long_arrays():
    text = 'a = """\n[b]\n"""\n[b] # [c]\nx = [\n  1,\n  2,\n]\n"quoted key" = "# ["\ny.z = 1\n'
    lines = line_numbers(text)
    assert lines[("b",)] == 4
    assert lines[("b", "x")] == 5
    assert lines[("b", "quoted key")] == 9
    assert line_of(lines, ("b", "y", "z", "w")) == 10
    assert text_of(("vm", 1, "mac")) == "vm[2].mac"


@pytest.mark.parametrize(
    ("bound", "count", "holds"),
    [(3, 3, True), (3, 4, False), ("<= 3", 3, True), ("< 3", 3, False), (">=1", 0, False),
     (">1", 2, True), ("== 2", 2, True)],
)  # fmt: skip
def test_bound(bound, count, holds):
    assert parse_bound(bound)(count) is holds


@pytest.mark.parametrize("bound", [True, "many", "3 <=", "-1"])
def test_what_is_no_bound_is_refused(bound):
    with pytest.raises(BadInput, match="is not a bound"):
        parse_bound(bound)


def test_every_expectation_that_fails_is_told():
    summary = {
        "frames": {"in": 9, "unicast": 5, "flooded": 1, "dropped": 3, "copies": 7},
        "drops": {"over-mtu": 3},
        "queues": [{"vm": "web", "frames": 5}],
    }
    expect = ExpectSection(
        no_drops=True, max_drops=2, drops={"over-mtu": 0, "runt": 0}, frames={"web": ">= 6"}
    )
    assert len(check_expectations(expect, summary)) == 4
    assert check_expectations(ExpectSection(max_drops=3, frames={"web": 5, "in": 9}), summary) == []


def call(*words):
    return CliRunner().invoke(scenario, list(words), catch_exceptions=True)


def test_check_says_ok_or_every_problem(tmp_path):
    sound = str(EXAMPLES / "two-vms.toml")
    assert call("check", sound).stdout == f"{sound}: ok\n"
    bad = call("check", sound, str(EXAMPLES / "seven-mistakes.toml"))
    assert isinstance(bad.exception, BadInput)
    assert bad.exception.what.count("\n") == 7
    answer = json.loads(call("check", str(EXAMPLES / "seven-mistakes.toml"), "--json").stdout)
    assert (answer["ok"], len(answer["files"][0]["problems"])) == (False, 7)
    missing = call("check", str(tmp_path / "none.toml"))
    assert "no such file" in str(missing.exception)


def test_init_writes_a_sound_file_and_replaces_none(tmp_path):
    for profile in ("r1", "r2", "2012"):
        text = call("init", "--profile", profile).stdout
        assert loads(text).profile.name == profile
    target = tmp_path / "lab.toml"
    assert call("init", "-o", str(target)).exit_code == 0
    again = call("init", "-o", str(target))
    assert "exists" in str(again.exception)
    assert call("init", "-o", str(target), "--force").exit_code == 0


def test_init_from_a_capture_makes_a_vm_for_each_destination(tmp_path):
    from pcaps import samples

    text = call("init", "--from", str(samples.path("tcp_sessions"))).stdout
    assert text.count("[[vm]]") == len(loads(text).network().ports) - 1 > 3


def test_show_tells_who_gets_a_queue_and_why_not():
    answer = json.loads(call("show", str(EXAMPLES / "r2-vmq.toml"), "--json").stdout)
    ports = answer["networks"][0]["ports"]
    assert sorted(p["queue"] for p in ports if p["queue"]) == list(range(1, 9))
    assert all(p["why_not"] for p in ports if p["queue"] is None and p["kind"] != "uplink")
    assert "VM queues" in call("show", str(EXAMPLES / "r2-vmq.toml")).stdout


@pytest.mark.parametrize("text", ["a=" + "[" * 5000, "a=" + "{b=" * 5000, "[" + "a." * 5000 + "b]"])
def test_deep_nesting_is_a_problem_and_no_crash(text):
    with pytest.raises(BadInput, match=r"nested too deeply|not TOML|there is no"):
        loads(text, "deep.toml")


def test_broken_text_is_one_sentence(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not UTF-8"):
        load(path)
    with pytest.raises(BadInput, match="is a directory"):
        load(tmp_path)
