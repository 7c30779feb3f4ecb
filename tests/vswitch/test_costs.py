"""Constants, their sums, named hosts, and hosts from a file."""

import json
import tomllib
from dataclasses import replace

import pytest
from click.testing import CliRunner

from nic.team import Team
from pcaps.errors import BadInput
from vswitch.cli_costs import costs
from vswitch.costs import BASE, NAMES, STATUSES, CostTable
from vswitch.host_file import load, loads
from vswitch.host_profiles import HOSTS, HostProfile, host_profile
from vswitch.transport_kernel import T_BARE, T_DATA, T_OTHER
from vswitch.ways import GUEST, PARENT, STEPS, WAYS, frame_cycles, recipe
from vswitch.ways_kernel import W_CHIMNEY, W_NATIVE, W_PLACED, W_SHARED, W_SWITCHED

TABLE = CostTable.base()


def test_every_constant_says_where_it_is_from_and_how_it_is_known():
    for constant in BASE:
        assert constant.status in STATUSES
        assert constant.source
        assert constant.meaning
    assert set(STEPS.values()) < set(NAMES)
    for host in HOSTS.values():
        assert all(one.source and one.status in STATUSES for one in host.settings())


def test_the_software_path_is_the_published_fit():
    """8,176 cycles at 2.8 GHz are 4.0 Gbit/s of one core (derived); copy and look-up as assumed."""
    parent, _ = frame_cycles(TABLE, W_SWITCHED, 1514, 1460)
    assert parent == pytest.approx(8176, abs=1)
    assert TABLE["copy"] * 1514 == pytest.approx(1136, abs=1)
    assert TABLE["classify"] + TABLE["vlan"] == 900
    assert TABLE["rx_driver"] + TABLE["interrupt"] / 64 == 1600


def test_vm_queues_spare_the_look_up_the_signals_and_in_vm_memory_the_copy():
    copied, _ = frame_cycles(TABLE, W_PLACED, 1514, 1460)
    shared, _ = frame_cycles(TABLE, W_SHARED, 1514, 1460)
    assert copied == pytest.approx(4236, abs=2)
    assert shared - TABLE["lookahead_bytes"] * TABLE["copy"] == pytest.approx(3100, abs=1)
    jumbo, _ = frame_cycles(TABLE, W_SHARED, 9014, 8960)
    assert jumbo == shared, "without a copy the length of a frame costs the parent nothing"


def test_a_guest_moves_3_to_4_gigabit():
    _, guest = frame_cycles(TABLE, W_PLACED, 1514, 1460)
    assert guest == 8825
    assert 3e9 <= 8 * 1460 * 2.8e9 / guest <= 4e9


def test_an_offloaded_connection_costs_a_quarter_to_a_half_of_tcp_in_software():
    software, _ = frame_cycles(TABLE, W_NATIVE, 1514, 1460)
    buffers = 1460 / TABLE["chimney_buffer_bytes"]
    buffer = TABLE["interrupt"] / 64 + TABLE["rx_driver"] + TABLE["chimney_buffer"]
    chimney = buffers * buffer + 1460 * TABLE["socket_copy"]
    assert 0.25 <= chimney / software <= 0.5
    assert 1947 <= chimney <= 2336


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_only_data_is_acknowledged_and_only_where_that_is_charged(way):
    for transport in (T_DATA, T_BARE, T_OTHER):
        for acks in (True, False):
            made = recipe(way, transport, TABLE, acks=acks)
            charged = way.stack and transport == T_DATA and acks
            assert ((way.stack, "ack") in made.frame) == bool(charged)


def test_a_parent_step_is_never_charged_to_a_guest():
    for way in WAYS:
        made = recipe(way, T_DATA, TABLE, acks=True)
        for where, step in (*made.frame, *made.wire, *made.payload):
            assert step in STEPS
            if step in ("rx_driver", "classify", "vlan", "copy", "vmbus_packet", "ack_parent"):
                assert where == PARENT
            if step in ("guest_driver", "chimney_buffer"):
                assert where == GUEST
    assert (GUEST, "tcp_segment") not in recipe(WAYS[W_CHIMNEY], T_DATA, TABLE, acks=True).frame


def test_named_hosts_are_what_their_release_allows():
    assert list(HOSTS) == ["r1", "r2", "r2-vmq", "r2-vmq-jumbo", "r2-chimney", "2012"]
    assert [host.vmq for host in HOSTS.values()] == [False, False, True, True, False, True]
    assert [host.dynamic for host in HOSTS.values()] == [False] * 5 + [True]
    assert HOSTS["r1"].hypervisor_share == 0.10
    assert HOSTS["r2"].hypervisor_share == 0.02
    assert HOSTS["r2"].ps_per_cycle == pytest.approx(1e12 / (2.8e9 * 0.98))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processors": 65}, "a host has 1 to 64"),
        ({"processors": 0}, "a host has 1 to 64"),
        ({"release": "r1", "processors": 25}, "has 24 at most"),
        ({"release": "r3"}, "unknown profile"),
        ({"vmq": True, "rss": True}, "never both"),
        ({"release": "r1", "vmq": True}, "has no VM queues"),
        ({"release": "2012", "chimney": True}, "has no TCP chimney"),
        ({"chimney": True, "team": Team(2)}, "up to its vendor"),
        ({"release": "r1", "jumbo": True}, "have no jumbo frames"),
        ({"vmq": True, "vectors": 8}, "63 VM queues need 16 MSI-X vectors"),
        ({"clock_hz": 1.0}, "clock_hz is 1"),
        ({"ring_buffers": 0}, "ring_buffers is 0"),
        ({"moderation_ns": -1}, "moderation_ns is -1"),
    ],
)
def test_hosts_that_cannot_be_are_refused_in_one_sentence(changes, said):
    with pytest.raises(BadInput, match=said) as caught:
        HostProfile(name="lab", title="", **changes)
    assert "\n" not in caught.value.what


def test_24_processors_are_the_most_of_2008_and_64_of_r2():
    assert HOSTS["r1"].with_processors(24).processors == 24
    assert HOSTS["r2"].with_processors(64).processors == 64
    with pytest.raises(BadInput, match="take r2"):
        HOSTS["r1"].with_processors(25)


def test_a_name_that_nearly_is_one_is_guessed():
    with pytest.raises(BadInput, match="did you mean 'r2-vmq'"):
        host_profile("r2-vmp")


FILE = """
base = "r2-vmq"
title = "our lab"
[host]
processors = 16
clock_hz = 2.93e9
[costs]
copy = 0.5
classify = { value = 700, status = "measured", source = "our counters" }
[team]
members = 2
"""


def test_a_file_changes_what_it_names_and_keeps_the_rest(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(FILE)
    host = load(path)
    assert (host.title, host.processors, host.clock_hz, host.vmq) == ("our lab", 16, 2.93e9, True)
    assert host.costs["copy"] == 0.5
    assert host.costs.constants["classify"].source == "our counters"
    assert host.costs.constants["classify"].status == "measured"
    assert host.costs["vlan"] == TABLE["vlan"]
    assert host.team == Team(2)
    assert host_profile(str(path)) == host


def test_a_file_without_base_names_every_constant():
    given = "\n".join(f"{one.name} = {one.value}" for one in BASE)
    host = loads(f"[costs]\n{given}\n", "whole.toml")
    assert all(host.costs[name] == TABLE[name] for name in NAMES)
    assert {one.status for one in host.costs} == {"believed"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[costs]\ncopy = 1\n", "costs.interrupt is missing"),
        ('base = "r2"\n[costs]\ncopy = -1\n', "costs.copy is -1; a cost is a number from 0"),
        ('base = "r2"\n[costs]\ncopy = nan\n', "costs.copy is nan"),
        ('base = "r2"\n[costs]\ncopy = "x"\n', "give a number"),
        ('base = "r2"\n[costs]\ncoppy = 1\n', "did you mean 'copy'"),
        ('base = "r2"\n[costs]\nsegments_per_ack = 0\n', "must be above 0"),
        ('base = "r2"\n[costs]\nhypervisor_slat = 100\n', "cannot take all"),
        ('base = "r2"\n[costs]\ncopy = { status = "read" }\n', "costs.copy.value is missing"),
        ('base = "r2"\n[costs]\ncopy = { value = 1, status = "sure" }\n', "use one of read"),
        ('base = "r2"\n[costs]\ncopy = { value = 1, who = "me" }\n', "is no key"),
        ('base = "r3"\n', "base is 'r3'"),
        ('base = "r2"\ncosts = 1\n', "costs must be a section"),
        ('base = "r2"\n[host]\nprocessors = 65\n', "a host has 1 to 64"),
        ('base = "r2"\n[host]\nprocessors = 1.5\n', "give a whole number"),
        ('base = "r2"\n[host]\nvmq = 1\n', "give true or false"),
        ('base = "r2"\n[host]\nrelease = 1\n', "give text"),
        ('base = "r2"\n[host]\ncpus = 4\n', "is no key"),
        ('base = "r2"\n[team]\nsize = 4\n', "is no key"),
        ('base = "r2"\n[team]\nteaming = "lacp"\n', "team.members is missing"),
        ('base = "r2-chimney"\n[team]\nmembers = 2\n', "up to its vendor"),
        ('base = "r2-vmq"\n[host]\nrss = true\n', "never both"),
        ("base = \n", "not TOML"),
        ("colour = 1\n", "is no key"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence_that_names_it(text, said):
    with pytest.raises(BadInput, match=said) as caught:
        loads(text, "lab.toml")
    assert caught.value.what.startswith("lab.toml: ")


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe4"')
    with pytest.raises(BadInput, match="not UTF-8"):
        load(tmp_path / "latin.toml")
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path)


def test_other_values_say_that_they_were_given():
    table = TABLE.with_values(copy=2)
    assert (table["copy"], table.constants["copy"].source) == (2, "given")
    with pytest.raises(BadInput, match="is no constant"):
        TABLE.with_values(nothing=1)
    with pytest.raises(BadInput, match="is no constant"):
        CostTable({**TABLE.constants, "nothing": BASE[0]})


def test_costs_show_prints_every_constant_with_its_source():
    shown = CliRunner().invoke(costs, ["show", "r2-vmq"]).stdout
    assert all(one.name in shown for one in BASE)
    assert "split of A" in shown
    assert "Intel and VMware" in shown
    assert "8,176" in shown


def test_costs_show_as_json_has_constants_settings_and_sums():
    facts = json.loads(CliRunner().invoke(costs, ["show", "2012", "--json"]).stdout)
    assert (facts["schema"], facts["name"]) == ("vswitch.costs/1", "2012")
    assert {one["name"] for one in facts["costs"]} == set(NAMES)
    assert all(one["source"] for one in facts["settings"])
    software = next(
        row for row in facts["frames"] if (row["way"], row["frame_bytes"]) == ("software", 1514)
    )
    assert software["parent_cycles"] == pytest.approx(8176, abs=1)


def test_costs_list_names_every_host():
    shown = CliRunner().invoke(costs, ["list"]).stdout
    assert [line.split()[0] for line in shown.splitlines()] == list(HOSTS)


def test_the_example_in_the_manual_of_files_is_one():
    import vswitch.host_file as module

    example = (module.__doc__ or "").partition("\n\n")[2]
    assert tomllib.loads(example)["base"] == "r2-vmq"
    assert loads(example, "example.toml").processors == 16


def test_a_changed_setting_says_that_the_profile_gave_it():
    changed = replace(HOSTS["r2"], ring_buffers=512)
    found = {one.name: one for one in changed.settings()}
    assert found["ring_buffers"].source == "given by the profile"
    assert found["dpc_budget"].status == "read"
