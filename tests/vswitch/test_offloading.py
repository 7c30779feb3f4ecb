"""Offloads in a replay: what VMs and the wire get, and that nothing else changes."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import pytest
import tshark
from click.testing import CliRunner

import pcaps
from nic.lso import Lso
from nic.offloads import AVAILABLE, ON, Offload, chosen_offloads
from nic.rsc import Rsc
from pcaps.checksums import insert_checksums
from pcaps.classic_writer import ClassicWriter
from pcaps.conversations import TcpSession, conversations
from pcaps.errors import BadInput
from pcaps.frames import Frames
from vswitch.cli import vswitch
from vswitch.outputs import QUEUES_FILE, SUMMARY_FILE
from vswitch.replay import Job, run
from vswitch.scenario import loads

CLIENT, SERVER, OTHER = 0x010000000002, 0x0100005D1500, 0x0200005D1500
HEAD = '[scenario]\nprofile = "{profile}"\n{nic}\n[[network]]\nname = "external"\nparent = false\n'
VM = '[[vm]]\nname = "{name}"\nmac = "{mac}"\n{more}\n'


def scenario(tmp_path, *, profile="2012", nic="", vms=("",), replay=""):
    text = HEAD.format(profile=profile, nic=f"[nic]\n{nic}" if nic else "")
    for number, more in enumerate(vms):
        mac = f"00:15:5d:00:00:0{number + 1}"
        text += VM.format(name=f"vm{number + 1}", mac=mac, more=more)
    path = tmp_path / "lab.toml"
    path.write_text(text + replay)
    return str(path)


def sessions(n=4, response=30_000, server=SERVER):
    """Clients outside send requests to, and get answers from, a VM."""
    return conversations([
        TcpSession(client_mac=CLIENT + 256 * k, server_mac=server, client_ip=0x0A000001 + k,
                   server_ip=0x0B000001, client_port=40_000 + k, request_bytes=response,
                   response_bytes=200, start_ns=10**18 + 1000 * k, rtt_ns=200_000)
        for k in range(n)
    ])  # fmt: skip


def written(path, frames):
    with ClassicWriter(path, nanoseconds=True) as writer:
        writer.write(frames)
    return str(path)


def left_by(directory, name):
    """The frames of one interface of queues.pcapng."""
    found = []
    with pcaps.open(directory / QUEUES_FILE) as capture:
        for batch in capture:
            number = [one.name for one in capture.interfaces].index(name)
            found += [frame for frame in batch if frame.interface == number]
    return found


def replayed(captures, path, output=None, **settings):
    return run(Job(captures=[captures], scenario=path, output=output, **settings))


# RSC


def test_vm_with_a_queue_gets_units_and_the_decision_stays(tmp_path):
    capture = written(tmp_path / "in.pcap", sessions())
    plain = replayed(capture, scenario(tmp_path), tmp_path / "plain")
    joined = replayed(capture, scenario(tmp_path, nic='offloads = ["rsc"]'), tmp_path / "joined")
    assert joined.result.frames == plain.result.frames
    assert joined.result.drops == plain.result.drops
    before, after = (left_by(tmp_path / name, "vm1") for name in ("plain", "joined"))
    rsc = joined.offloads["rsc"]
    assert rsc["units"] > 10
    assert len(after) == rsc["handed_up"]["vm1"] == len(before) - rsc["joined"] + rsc["units"]

    def payload(frames):
        batch = Frames.from_bytes([frame.data for frame in frames])
        return int(batch.headers.payload_bytes.sum())

    assert payload(after) == payload(before) == 120_000
    assert left_by(tmp_path / "joined", "uplink") == left_by(tmp_path / "plain", "uplink")


def test_units_are_those_of_the_adapter(tmp_path):
    """One VM, all frames for it: then a replay gives what the adapter alone does."""
    frames = sessions()
    to_vm = frames[np.flatnonzero(frames.headers.destination == np.uint64(SERVER))]
    capture = written(tmp_path / "in.pcap", to_vm)
    replayed(capture, scenario(tmp_path, nic='offloads = ["rsc"]'), tmp_path / "out")
    wanted = [one.data for one in Rsc(batch_frames=4096).coalesce(to_vm).frames]
    assert [one.data for one in left_by(tmp_path / "out", "vm1")] == wanted


def test_units_lose_the_tag_of_the_vms_vlan(tmp_path):
    from nic.vlan_offload import insert_tags
    from pcaps.copies import tag_word

    frames = sessions(1)
    tagged = insert_tags(frames, np.full(len(frames), tag_word(0x8100, 20), np.uint32))
    capture = written(tmp_path / "in.pcap", tagged)
    path = scenario(tmp_path, nic='offloads = ["rsc"]', vms=("vlan = 20",))
    done = replayed(capture, path, tmp_path / "out")
    assert done.offloads["rsc"]["units"] > 3
    assert all(frame.data[12:14] == b"\x08\0" for frame in left_by(tmp_path / "out", "vm1"))
    rows = tshark.fields(tmp_path / "out" / QUEUES_FILE, "tcp.checksum.status", only="tcp")
    assert {row[0] for row in rows} == {"1"}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"nic": 'offloads = ["lso"]'}, "not on"),
        ({"nic": 'offloads = ["rsc"]', "vms": ('offloads = ["rsc"]\nvmq = false',)}, "no queue"),
        ({"nic": 'offloads = ["rsc", "lso"]', "vms": ('offloads = ["lso"]',)}, "not this vNIC's"),
    ],
)
def test_segments_are_not_joined(tmp_path, settings, why):
    capture = written(tmp_path / "in.pcap", sessions(1))
    done = replayed(capture, scenario(tmp_path, **settings), tmp_path / "out")
    assert done.offloads.get("rsc", {}).get("units", 0) == 0, why
    assert len(left_by(tmp_path / "out", "vm1")) == done.result.queues[0].frames


def test_software_switch_joins_nothing(tmp_path):
    capture = written(tmp_path / "in.pcap", sessions(1))
    done = replayed(capture, scenario(tmp_path, nic='offloads = ["rsc"]'), mode="software")
    assert not done.offloads


def test_same_bytes_on_any_number_of_threads_and_from_any_form_of_capture(tmp_path):
    source = written(tmp_path / "in.pcap", sessions(40, 40_000))
    (tmp_path / "in.pcap.gz").write_bytes(gzip.compress((tmp_path / "in.pcap").read_bytes()))
    path = scenario(tmp_path, nic='offloads = ["rsc", "checksum", "lso"]')
    several = {}
    for name, capture, jobs in (("a", source, 1), ("b", source, 2), ("c", source + ".gz", 2)):
        replayed(capture, path, tmp_path / name, jobs=jobs, split=True)
        several[name] = [
            (tmp_path / name / QUEUES_FILE).read_bytes(),
            (tmp_path / name / "vms" / "vm1.pcap").read_bytes(),
        ]
    assert several["a"] == several["b"] == several["c"]
    summaries = [json.loads((tmp_path / name / SUMMARY_FILE).read_text()) for name in "abc"]
    assert summaries[0] == summaries[1]
    assert summaries[0]["offloads"] == summaries[2]["offloads"]


def test_files_per_vm_have_what_the_log_has(tmp_path):
    capture = written(tmp_path / "in.pcap", sessions())
    replayed(capture, scenario(tmp_path, nic='offloads = ["rsc"]'), tmp_path / "out", split=True)
    alone = [
        frame.data for batch in pcaps.open(tmp_path / "out" / "vms" / "vm1.pcap") for frame in batch
    ]
    assert alone == [frame.data for frame in left_by(tmp_path / "out", "vm1")]


def test_counts_are_the_same_without_files(tmp_path):
    capture = written(tmp_path / "in.pcap", sessions())
    path = scenario(tmp_path, nic='offloads = ["rsc"]')
    assert replayed(capture, path).offloads == replayed(capture, path, tmp_path / "out").offloads


def test_batch_ends_with_the_capture(tmp_path):
    frames = sessions(1)
    for name, part in (("a.pcap", frames[:20]), ("b.pcap", frames[20:])):
        written(tmp_path / name, part)
    captures = [str(tmp_path / "a.pcap"), str(tmp_path / "b.pcap")]
    path = scenario(tmp_path, nic='offloads = ["rsc"]')
    done = run(Job(captures=captures, scenario=path, output=tmp_path / "out"))
    handed = left_by(tmp_path / "out", "vm1")
    assert len(handed) == done.offloads["rsc"]["handed_up"]["vm1"]
    assert done.result.frames["in"] == len(frames)


# LSO and checksums


def host_capture(tmp_path):
    """What a VM shows that leaves segmentation and checksums to its adapter."""
    frames = sessions(2, 20_000, server=OTHER)
    reverse = Rsc(batch_frames=65536, hold_ns=10**12).coalesce(frames).frames
    data = bytearray(reverse.data.tobytes())
    for start, at in zip(reverse.start.tolist(), reverse.headers.l4_offset.tolist(), strict=True):
        if at > start:
            data[at + 16 : at + 18] = b"\x12\x34"
    spoilt = Frames(
        np.frombuffer(bytes(data), np.uint8), reverse.start, reverse.caplen, reverse.wirelen,
        reverse.ts_ns, reverse.interface,
    )  # fmt: skip
    return frames, spoilt


CLIENT_VM = '\n[replay]\ningress = "source-mac"\n'


def client_scenario(tmp_path, **settings):
    path = scenario(tmp_path, vms=('spoofing = "allow"',), replay=CLIENT_VM, **settings)
    text = (tmp_path / "lab.toml").read_text().replace("00:15:5d:00:00:01", "02:00:00:00:00:01")
    (tmp_path / "lab.toml").write_text(text)
    return path


def test_large_packets_of_a_vm_leave_as_wire_frames_with_right_checksums(tmp_path):
    _, spoilt = host_capture(tmp_path)
    mine = spoilt[np.flatnonzero(spoilt.headers.source == np.uint64(CLIENT))]
    assert int(mine.wirelen.max()) > 1514
    capture = written(tmp_path / "in.pcap", mine)
    done = replayed(capture, client_scenario(tmp_path), tmp_path / "out")
    large = int((mine.wirelen > 1514).sum())
    out = left_by(tmp_path / "out", "uplink")
    wanted = [one.data for one in insert_checksums(Lso(mtu=1500).segment(mine).frames)[0]]
    assert [one.data for one in out] == wanted
    assert done.result.frames == {
        "in": len(mine), "unicast": len(mine), "flooded": 0, "dropped": 0, "copies": len(mine),
    }  # fmt: skip
    assert done.offloads["lso"]["cut"] == large > 0
    assert done.offloads["checksum"]["changed"] == len(mine) - large
    rows = tshark.fields(tmp_path / "out" / QUEUES_FILE, "frame.interface_name",
                         "tcp.checksum.status", "frame.len")  # fmt: skip
    kinds = Counter((row[0], row[1]) for row in rows)
    assert kinds["uplink", "1"] == len(wanted)
    assert "0" not in {row[1] for row in rows if row[0] == "uplink"}
    assert max(int(row[2]) for row in rows if row[0] == "uplink") == 1514


def test_without_lso_large_packets_are_too_long(tmp_path):
    _, spoilt = host_capture(tmp_path)
    mine = spoilt[np.flatnonzero(spoilt.headers.source == np.uint64(CLIENT))]
    capture = written(tmp_path / "in.pcap", mine)
    done = replayed(capture, client_scenario(tmp_path, nic="offloads = []"), tmp_path / "out")
    assert done.result.drops == {"over-mtu": int((mine.wirelen > 1514).sum())}
    assert not done.offloads
    assert len(left_by(tmp_path / "out", "uplink")) == done.result.frames["unicast"]


def test_explain_tells_of_the_cut(tmp_path):
    _, spoilt = host_capture(tmp_path)
    mine = spoilt[
        np.flatnonzero((spoilt.headers.source == np.uint64(CLIENT)) & (spoilt.wirelen > 1514))
    ]
    capture = written(tmp_path / "in.pcap", mine)
    words = ["explain", "-s", client_scenario(tmp_path), capture, "--frame", "1"]
    text = CliRunner().invoke(vswitch, words).stdout
    assert "large send offload" in text
    assert "the compiled path decides the same" in text


def test_frames_between_vms_are_not_touched(tmp_path):
    frames = sessions(1, 5000)
    capture = written(tmp_path / "in.pcap", frames)
    path = scenario(tmp_path, vms=("", ""), replay=CLIENT_VM)
    text = (tmp_path / "lab.toml").read_text().replace("00:15:5d:00:00:02", "02:00:00:00:00:01")
    (tmp_path / "lab.toml").write_text(text)
    done = replayed(capture, path, tmp_path / "out")
    assert done.offloads["checksum"]["changed"] == 0
    assert len(left_by(tmp_path / "out", "vm1")) + len(left_by(tmp_path / "out", "vm2")) == len(
        frames
    )


def test_report_tells_what_offloads_did(tmp_path):
    capture = written(tmp_path / "in.pcap", sessions())
    path = scenario(tmp_path, nic='offloads = ["rsc"]')
    text = CliRunner().invoke(vswitch, ["replay", capture, "-s", path]).stdout
    assert "offloads: RSC joined" in text


# Settings


def test_offloads_by_release():
    assert chosen_offloads("r2", "2008 R2", None) == ON["r2"] == {Offload.CHECKSUM, Offload.LSO}
    assert Offload.RSC not in AVAILABLE["r2"]
    assert chosen_offloads("r2", "2008 R2", ["chimney"]) == {Offload.CHIMNEY}
    for profile, name in (("r2", "rsc"), ("r1", "rsc"), ("2012", "chimney"), ("r1", "chimney")):
        with pytest.raises(BadInput, match=f"no {name} for guests"):
            chosen_offloads(profile, "x", [name])
    with pytest.raises(BadInput, match="unknown offload"):
        chosen_offloads("r2", "x", ["warp"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[nic]\noffloads = ["rsc"]\n', "profile r2 (2008 R2) has no rsc"),
        ('[nic]\noffloads = ["warp"]\n', "unknown offload 'warp'"),
        ('[nic]\nvmq = false\noffloads = ["lso"]\n', "leave vmq on"),
        ('[[vm]]\nname = "a"\noffloads = ["lsp"]\n', "did you mean 'lso'"),
        ('[nic]\noffloads = []\n[[vm]]\nname = "a"\noffloads = ["lso"]\n', "there are none"),
    ],
)
def test_settings_that_do_not_fit(text, problem):
    with pytest.raises(BadInput, match=problem.replace("(", r"\(").replace(")", r"\)")):
        loads(text)


def test_jumbo_frames_on_one_side_are_told(tmp_path):
    path = scenario(tmp_path, vms=("mtu = 9000", ""))
    sentence = "jumbo frames on one side only: vm1 has MTU 9000, uplink and 1 more 1500"
    assert sentence in CliRunner().invoke(vswitch, ["scenario", "check", path]).stderr
    capture = written(tmp_path / "in.pcap", sessions(1))
    told = []
    run(Job(captures=[capture], scenario=path), tell=told.append)
    assert any(sentence in one for one in told)
    assert loads("[[network]]\nmtu = 9000\n[[vm]]\nname = 'a'\nmtu = 9000\n").notes() == []
    assert loads("[[vm]]\nname = 'a'\n").notes() == []


def test_vnic_uses_all_of_the_adapters_offloads_or_those_it_names():
    text = '[scenario]\nprofile = "2012"\n[nic]\noffloads = ["rsc", "lso"]\n[[vm]]\nname = "a"\n'
    text += '[[vm]]\nname = "b"\noffloads = ["lso"]\n[[vm]]\nname = "c"\noffloads = []\n'
    ports = {port.name: port.offloads for port in loads(text).network().ports}
    assert ports["a"] == {Offload.RSC, Offload.LSO}
    assert ports["b"] == {Offload.LSO}
    assert ports["c"] == frozenset()
    adapter = loads(text).adapter()
    assert adapter.describe()["offloads"] == ["lso", "rsc"]
