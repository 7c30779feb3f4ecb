"""Runs: any number of threads, wrong guesses, ports that change, interfaces that differ."""

import threading

import numpy as np
import pytest

import pcaps
from nic.adapter import Adapter
from pcaps import samples
from pcaps.classic_writer import ClassicWriter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.traffic import TrafficPlan, synthesise
from vswitch import Network, Port, PortKind, Switch, VlanSetting
from vswitch import run as run_module
from vswitch.run import Ingress
from vswitch.selfmade import network_of, stations

WEB, DB = "00:15:5d:00:00:01", "00:15:5d:00:00:02"


def two_vms(**settings):
    return Network(
        ports=(
            Port(name="uplink", kind=PortKind.UPLINK),
            Port(name="web", mac=WEB, vlan=VlanSetting(vid=10)),
            Port(name="db", mac=DB, vlan=VlanSetting(vid=20)),
        ),
        **settings,
    )


def tagged(destination, vid, source="02:00:00:00:00:99"):
    addresses = bytes.fromhex((destination + source).replace(":", ""))
    return (addresses + b"\x81\x00" + vid.to_bytes(2, "big") + b"\x08\x00").ljust(64, b"\0")


@pytest.fixture
def traffic(tmp_path):
    path = tmp_path / "t.pcap"
    with ClassicWriter(path) as writer:
        for batch in synthesise(TrafficPlan(frames=20_000, vms=8, vlans=2, broadcast=0.01)):
            writer.write(batch)
    return path


def words_of(path, jobs, network):
    result = Switch(network, Adapter(num_queues=4)).process(pcaps.open(path), jobs=jobs)
    return result.words.copy(), result.summary()["frames"], result.summary()["queues"]


@pytest.mark.parametrize("part_bytes", [64 << 10, 3001])
@pytest.mark.compiled
def test_threads_do_not_change_a_single_word(traffic, part_bytes, monkeypatch):
    network = network_of(stations([pcaps.open(traffic)]))
    alone = words_of(traffic, 1, network)
    monkeypatch.setattr(run_module, "PART_BYTES", part_bytes)
    shared = words_of(traffic, 2, network)
    assert (alone[0] == shared[0]).all()
    assert alone[1:] == shared[1:]


def test_a_guess_that_is_wrong_is_done_again(tmp_path, monkeypatch):
    """Payloads that look like records mislead the guess; the result stays the same."""
    inner = b"".join(
        n.to_bytes(4, "little") + bytes(4) + (60).to_bytes(4, "little") * 2 + bytes(60)
        for n in range(20)
    )
    frames = [tagged(WEB, 10) + inner[:1300] for _ in range(200)]
    path = tmp_path / "decoy.pcap"
    with ClassicWriter(path) as writer:
        writer.write(Frames.from_bytes(frames))
    network = two_vms()
    alone = words_of(path, 1, network)
    monkeypatch.setattr(run_module, "PART_BYTES", 2048)
    wrong = []
    original = run_module.find_record

    def misled(data, begin, stop, end, header, swapped):
        found = original(data, begin, stop, end, header, swapped)
        wrong.append(found)
        return np.uint64(int(found) + 76) if len(wrong) % 3 == 0 else found

    monkeypatch.setattr(run_module, "find_record", misled)
    shared = words_of(path, 2, network)
    assert len(wrong) > 10
    assert (alone[0] == shared[0]).all()
    assert alone[1:] == shared[1:]


def test_damage_behind_the_first_part_ends_the_run_in_threads_too(traffic, monkeypatch):
    raw = bytearray(traffic.read_bytes())
    place, number = 24, 0
    while place < len(raw) // 2:
        place += 16 + int.from_bytes(raw[place + 8 : place + 12], "little")
        number += 1
    raw[place + 8 : place + 12] = b"\xff\xff\xff\x7f"
    traffic.write_bytes(raw)
    network = network_of(stations([pcaps.open(traffic)]))
    monkeypatch.setattr(run_module, "PART_BYTES", 64 << 10)
    for jobs in (1, 2):
        capture = pcaps.open(traffic)
        assert Switch(network).process(capture, jobs=jobs).frames["in"] == number
        assert capture.damage.kind == "bad-length"


def test_ports_change_while_frames_flow_and_nothing_is_lost():
    switch = Switch(two_vms(), Adapter(num_queues=2))
    batch = Frames.from_bytes([tagged(WEB, 10), tagged(DB, 20)] * 2000)
    switch.process(batch)
    stop = threading.Event()
    changes = []

    def change():
        while not stop.is_set():
            switch.change("db", vlan=VlanSetting(vid=30))
            switch.change("db", vlan=VlanSetting(vid=20))
            switch.disconnect("web")
            switch.connect(Port(name="web", mac=WEB, vlan=VlanSetting(vid=10)))
            changes.append(1)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        while len(changes) < 20:
            result = switch.process(batch)
            frames = result.frames
            assert frames["in"] == frames["unicast"] + frames["flooded"] + frames["dropped"] == 4000
            assert set(result.drops) <= {"unknown-from-uplink"}
    finally:
        stop.set()
        thread.join()
    assert switch.process(batch).frames["unicast"] == 4000


def test_a_queue_given_up_sends_its_frames_by_the_default_queue():
    adapter = Adapter(num_queues=2)
    switch = Switch(two_vms(), adapter)
    batch = Frames.from_bytes([tagged(WEB, 10)] * 10)
    assert switch.process(batch).queues[0].path == "vmq"
    adapter.release_queue("web")
    adapter.unwanted = frozenset({"web"})
    switch.change("web", mtu=1400)
    row = switch.process(batch).queues[0]
    assert (row.path, row.frames) == ("default", 10)


def test_interfaces_may_come_in_by_ports_of_their_own():
    batch = Frames.from_bytes([tagged(DB, 20)] * 4)
    batch = Frames(
        data=batch.data, start=batch.start, caplen=batch.caplen, wirelen=batch.wirelen,
        ts_ns=batch.ts_ns, interface=np.array([0, 1, 0, 1], np.uint16),
    )  # fmt: skip
    ingress = Ingress("uplink", {1: "web"})
    result = Switch(two_vms()).process(batch, ingress=ingress)
    assert result.frames["unicast"] == 2
    assert result.drops == {"spoofed-source": 2}


def test_source_mac_finds_the_sender():
    frames = [tagged(DB, 20), tagged("ff:ff:ff:ff:ff:ff", 10, source=WEB)[:12] + bytes(52)]
    result = Switch(two_vms()).process(Frames.from_bytes(frames), ingress="source-mac")
    assert (result.frames["unicast"], result.frames["flooded"]) == (1, 1)


def test_no_jobs_is_refused():
    with pytest.raises(BadInput, match="at least 1"):
        Switch(two_vms()).process(pcaps.open(samples.path("office")), jobs=0)
