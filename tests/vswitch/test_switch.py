"""``Switch`` and its results, as a library."""

import importlib.util

import numpy as np
import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Dot1Q, Ether

import pcaps
import vswitch
from nic.adapter import Adapter
from pcaps import samples
from pcaps.errors import BadInput
from vswitch import Network, Port, PortKind, Switch, VlanSetting
from vswitch.selfmade import network_of, stations

WEB, DB = "00:15:5d:00:00:01", "00:15:5d:00:00:02"
PORTS = (
    Port(name="uplink", kind=PortKind.UPLINK),
    Port(name="web", mac=WEB, vlan=VlanSetting(vid=10)),
    Port(name="db", mac=DB, vlan=VlanSetting(vid=10)),
)


@pytest.fixture(scope="module")
def office():
    path = samples.path("office")
    switch = Switch(network_of(stations([pcaps.open(path)])), Adapter(num_queues=8))
    return switch.process(pcaps.open(path))


def test_public_names_are_those_promised():
    assert set(vswitch.__all__) >= {"Network", "Port", "PortKind", "Switch", "VlanSetting"}
    for name in vswitch.__all__:
        assert getattr(vswitch, name) is not None


def test_columns_are_as_long_as_the_capture_and_add_up(office):
    columns = office.columns()
    assert {len(column) for column in columns.values()} == {9827}
    assert int((columns["verdict"] == 1).sum()) == office.frames["unicast"]
    assert int((columns["verdict"] == 0).sum()) == office.frames["dropped"]


@pytest.mark.skipif(not importlib.util.find_spec("pandas"), reason="pandas is not installed")
def test_pandas_frame_counts_what_the_result_counts(office):
    table = office.to_pandas()
    assert len(table) == office.frames["in"]
    assert int((table["verdict"].astype(str) == "dropped").sum()) == office.frames["dropped"]


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="pyarrow is not installed")
def test_arrow_table_has_the_same_columns(office):
    table = office.to_arrow()
    assert table.num_rows == office.frames["in"]
    assert set(office.columns()) <= set(table.column_names)


def test_notebook_shows_a_table(office):
    page = office._repr_html_()
    assert "<table" in page
    assert "vm1" in page
    assert "9,827" in page or "9827" in page


def test_a_scapy_packet_can_be_sent_in_and_comes_out_again():
    switch = Switch(Network(ports=PORTS))
    packet = Ether(dst=DB, src=WEB) / IP(dst="10.0.0.2") / b"hello"
    result = switch.process(packet, ingress="web")
    assert result.frames["unicast"] == 1
    tagged = Ether(dst=DB, src="02:00:00:00:00:01") / Dot1Q(vlan=10) / IP() / b"x"
    assert switch.process([tagged, tagged]).frames["unicast"] == 2
    again = next(iter(pcaps.open(samples.path("office"))))[0].to_scapy()
    assert Ether in again


def test_raw_bytes_are_a_frame():
    data = bytes.fromhex((DB + WEB).replace(":", "") + "0800") + bytes(46)
    assert Switch(Network(ports=PORTS)).process(data, ingress="web").frames["unicast"] == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.connect(Port(name="web", mac="02:00:00:00:00:07")), "two ports named 'web'"),
        (lambda s: s.connect(Port(name="x", mac=WEB, vlan=VlanSetting(vid=10))), "both own"),
        (lambda s: s.disconnect("nobody"), "no port 'nobody'"),
        (lambda s: s.change("nobody", mtu=1), "no port 'nobody'"),
        (lambda s: s.change("web", mtu=1), "out of range"),
    ],
)
def test_a_change_that_clashes_is_refused_and_nothing_changes(call, says):
    switch = Switch(Network(ports=PORTS), Adapter(num_queues=2))
    before, queues = switch.network, {n: switch.adapter.queue_of(n) for n in ("web", "db")}
    with pytest.raises(BadInput, match=says):
        call(switch)
    assert switch.network == before
    assert queues == {n: switch.adapter.queue_of(n) for n in ("web", "db")}


def test_words_are_kept_only_on_request(office):
    assert office.words.dtype == np.uint64
    light = Switch(Network(ports=PORTS)).process(pcaps.open(samples.path("office")), keep=False)
    assert light.decided == []
    assert light.frames["in"] == 9827
