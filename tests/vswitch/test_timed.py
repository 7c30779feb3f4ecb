"""Replays in time: the law of ring drops, determinism, and what rings and processors do."""

from __future__ import annotations

import json
from dataclasses import replace

import numba
import numpy as np
import pytest
from worlds import random_learning_world, random_world

import pcaps
from nic.adapter import Adapter
from pcaps import samples
from pcaps.errors import BadInput
from pcaps.sizes import SizeMix
from pcaps.traffic import TrafficPlan, synthesise
from vswitch.arrivals import Pace
from vswitch.engine import Engine
from vswitch.host import Host
from vswitch.host_choice import HostChoice
from vswitch.host_profiles import HOSTS
from vswitch.ports import Network, PortKind
from vswitch.replay import Job, run
from vswitch.tally import Tally
from vswitch.timed import TimedReplay
from vswitch.verdict import DropReason, Verdict

OFFICE = str(samples.path("office"))
WORLDS = 8 if numba.config.DISABLE_JIT else 120
TINY = {"ring_buffers": 2, "vm_buffers": 2, "guest_batch": 1, "dpc_budget": 2}


def choice(name="r2", rate=None, speed=None, **changes):
    return HostChoice(replace(HOSTS[name], **changes), Pace.parse(rate, speed))


def replay(capture=OFFICE, host=None, **settings):
    limit = 600 if numba.config.DISABLE_JIT else None
    return run(Job(captures=[str(capture)], host=host, limit=limit, **settings))


def counters(tally, names):
    ports = {
        name: (port.frames, port.bytes_wire, port.flooded_frames, port.flooded_bytes_wire)
        for name, port in tally.ports.items()
    }
    drops = {reason: drop.frames for reason, drop in tally.drops.items()}
    return {"frames": tally.frames, "bytes": tally.bytes_wire, "flooded": tally.flooded,
            "copies": tally.flood_copies, "local": tally.local_source,
            "mirrored": tally.mirrored, "drops": drops,
            "ports": {name: ports.get(name, (0, 0, 0, 0)) for name in names}}  # fmt: skip


@pytest.mark.parametrize("make", [random_world, random_learning_world])
def test_lost_frames_leave_the_counters_of_all_others_as_they_were(make):
    """Counters of a replay in time = those of the same frames without the lost ones, + ring-full."""
    lost_in_all = 0
    for seed in range(WORLDS):
        world = make(seed)
        in_ports = np.array(world.in_ports, np.uint16)
        profile = replace(HOSTS["r2" if world.adapter is None else "r2-vmq"], **TINY)
        host = Host(profile, world.network, world.adapter)
        decided = Engine(world.network, world.adapter).decide(world.frames, in_ports, loads=True)
        before = decided.words.copy()
        held_back = decided.stats[128:192].copy()
        timed = TimedReplay(host, Pace.parse("10Mpps", None), acks=False)
        timed.take(decided)
        timed.finish()
        lost = np.flatnonzero(decided.words == DropReason.RING_FULL)
        kept = np.flatnonzero(decided.words != DropReason.RING_FULL)
        assert (decided.words[kept] == before[kept]).all()
        assert sum(timed.lost.values()) == len(lost)
        lost_in_all += len(lost)
        tally = Tally()
        tally.add(world.network, decided.stats)
        tally.check()
        assert tally.drops.get(DropReason.RING_FULL, None) is None or (
            tally.drops[DropReason.RING_FULL].frames == len(lost)
        )
        verdicts = (before[lost] >> np.uint64(16)) & np.uint64(3)
        assert timed.lost == {one: int((verdicts == int(one)).sum()) for one in Verdict}
        for reason, drop in tally.drops.items():
            low = (decided.words & np.uint64(0xFFFF)).tolist()
            kinds = (decided.words >> np.uint64(16) & np.uint64(3)).tolist()
            rows = [n for n, (k, r) in enumerate(zip(kinds, low, strict=True))
                    if k == 0 and r & 63 == reason]  # fmt: skip
            assert (drop.frames, drop.first_frame) == (len(rows), rows[0] + 1)
        # where the switch does not learn, deciding the others alone gives the same counters
        if make is random_world and decided.compiled.stateless:
            alone = Engine(world.network, world.adapter).decide(world.frames[kept], in_ports[kept])
            other = Tally()
            other.add(world.network, alone.stats)
            names = [port.name for port in world.network.ports]
            mine, theirs = counters(tally, names), counters(other, names)
            mine["drops"].pop(DropReason.RING_FULL, None)
            for place in ("drops", "flooded", "copies", "local", "mirrored", "ports"):
                assert mine[place] == theirs[place], (seed, place)
            assert (decided.stats[128:192] <= held_back).all()
    assert lost_in_all > WORLDS


def test_a_patient_pace_loses_nothing_and_counts_as_without_time():
    free = replay().result.summary()
    timed = replay(host=choice("r2-vmq", rate="1kpps", queues=16))
    summary = timed.result.summary()
    for facts in (free, summary):
        del facts["measured"]
    assert summary == free
    assert timed.in_time.modelled.lost == 0
    assert timed.in_time.modelled.latencies.frames == timed.in_time.modelled.delivered


@pytest.mark.parametrize("name", list(HOSTS))
def test_totals_are_those_of_a_replay_without_time_and_ring_drops(name):
    free = replay(mode="vmq" if HOSTS[name].vmq else "software", queues=None).result
    done = replay(host=choice(name, rate="10Gbps", queues=16))
    lost = done.in_time.lost
    frames = done.result.frames
    assert frames["in"] == free.frames["in"]
    assert frames["unicast"] + lost[Verdict.UNICAST] == free.frames["unicast"]
    assert frames["flooded"] + lost[Verdict.FLOODED] == free.frames["flooded"]
    others = {reason: n for reason, n in done.result.drops.items() if reason != "ring-full"}
    assert sum(others.values()) + lost[Verdict.DROPPED] == free.frames["dropped"]
    assert done.result.drops.get("ring-full", 0) == sum(lost.values())


@pytest.mark.slow
def test_real_captures_add_up_at_line_rate(captures, manifest):
    for entry in manifest:
        path = captures / entry["file"]
        try:
            free = replay(path, mode="software").result
        except BadInput:
            continue  # not Ethernet, or not a capture
        for name in ("r2", "r2-vmq", "r2-chimney"):
            done = replay(path, choice(name, rate="10Gbps"))
            lost = sum(done.in_time.lost.values())
            assert done.result.frames["in"] == free.frames["in"]
            unlost = done.result.frames["dropped"] - lost + done.in_time.lost[Verdict.DROPPED]
            assert unlost == free.frames["dropped"]


@pytest.mark.parametrize("jobs", [2, 3])
def test_any_number_of_threads_gives_the_same_bytes(tmp_path, jobs):
    from pcaps.classic_writer import ClassicWriter

    path = tmp_path / "imix.pcap"
    plan = TrafficPlan(frames=300 if numba.config.DISABLE_JIT else 60_000, broadcast=0.001)
    with ClassicWriter(str(path)) as writer:
        for frames in synthesise(plan):
            writer.write(frames)
    found = []
    for n in (1, jobs):
        done = replay(path, choice("r2-vmq", rate="10Gbps"), jobs=n, output=tmp_path / str(n))
        found.append(json.dumps(done.summary(), sort_keys=True))
    assert found[0] == found[1]
    for name in ("queues.pcapng", "summary.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / str(jobs) / name).read_bytes()


def test_files_show_lost_frames_as_dropped(tmp_path):
    done = replay(host=choice("r2", rate="10Gbps"), output=tmp_path, split=True)
    lost = done.result.drops["ring-full"]
    assert lost > 100
    uplink, others = 0, 0
    for frames in pcaps.open(tmp_path / "queues.pcapng"):
        uplink += int((frames.interface == 0).sum())
        others += int((frames.interface != 0).sum())
    assert uplink == done.result.frames["in"]
    assert others == done.result.frames["copies"]
    assert b"ring-full" in (tmp_path / "queues.pcapng").read_bytes()


def host_of(name, vms=4, frames=4000, size="1514", **changes):
    """A host with VMs that all have a VLAN, and traffic for them."""
    if numba.config.DISABLE_JIT:
        frames //= 20
    from pcaps.traffic import vm_mac
    from vswitch.ports import Port, VlanSetting
    from vswitch.queues import give_queues

    profile = replace(HOSTS[name], **changes)
    macs = vm_mac(np.arange(vms)).tolist()
    ports = (
        Port(name="uplink", kind=PortKind.UPLINK, mtu=9000),
        *(Port(name=f"vm{n}", mac=mac, vlan=VlanSetting(vid=100), mtu=9000)
          for n, mac in enumerate(macs)),
    )  # fmt: skip
    net, adapter = Network(ports=ports), None
    if profile.vmq:
        adapter = Adapter(profile=profile.release, num_queues=profile.queues,
                          max_cpus=profile.processors, jumbo_packet=9014)  # fmt: skip
        give_queues(net, adapter)
    plan = TrafficPlan(frames=frames, sizes=SizeMix.parse(size), vms=vms, vlans=1)
    return Host(profile, net, adapter), plan


def timed(host, plan, rate):
    one = TimedReplay(host, Pace.parse(rate, None), acks=True)
    engine = Engine(host.network, host.adapter)
    for frames in synthesise(plan):
        one.take(engine.decide(frames, np.zeros(len(frames), np.uint16), loads=True))
    one.finish()
    return one.modelled


def test_one_processor_takes_all_interrupts_of_a_software_switch():
    modelled = timed(*host_of("r2", ring_buffers=64), "10Gbps")
    parent = modelled.busy("parent")
    assert parent[0] > 0.8
    assert not parent[1:].any()
    assert modelled.lost > 0


def test_vm_queues_spread_the_parent_and_lose_nothing():
    modelled = timed(*host_of("r2-vmq"), "9Gbps")
    parent = modelled.busy("parent")
    assert (parent[1:5] > 0.1).all()
    assert modelled.lost == 0


def test_a_longer_ring_loses_less_of_a_burst():
    lost = [timed(*host_of("r2", ring_buffers=ring), "10Gbps").lost for ring in (16, 64, 1024)]
    assert lost[0] > lost[1] > lost[2]


def test_rings_that_are_never_full_lose_nothing():
    assert timed(*host_of("r2", ring_buffers=65536), "10Gbps").lost == 0


def test_moderation_makes_fewer_interrupts_and_longer_waits():
    few, many = (timed(*host_of("r2-vmq", moderation_ns=ns), "1Gbps") for ns in (200_000, 1_000))
    one, other = few.to_dict(), many.to_dict()
    assert one["interrupts"] < other["interrupts"]
    assert one["latency_us"]["p50"] > other["latency_us"]["p50"]
    assert one["parent_use"] < other["parent_use"]


def test_shadow_page_tables_take_a_tenth_of_the_processors():
    slow, fast = (timed(*host_of("r2", slat=slat), "1Gbps") for slat in (False, True))
    assert slow.busy("parent")[0] / fast.busy("parent")[0] == pytest.approx(0.98 / 0.9, rel=0.02)


def test_a_copy_costs_what_the_bytes_cost():
    copied = timed(*host_of("2012"), "1Gbps")
    bytes_of = {one.step: one.units for one in copied.spent}
    frames = copied.frames_on(1)
    assert bytes_of["copy"] == 1514 * frames
    assert bytes_of["rx_driver"] == frames
    shared = {one.step: one.units for one in timed(*host_of("r2-vmq"), "1Gbps").spent}
    assert shared["lookahead"] == 128 * shared["rx_driver"]
    assert "copy" not in shared


def test_signals_are_one_a_frame_in_software_and_one_a_batch_in_a_vm_queue():
    software = timed(*host_of("r2"), "2Gbps")
    batches = timed(*host_of("r2-vmq"), "2Gbps")
    assert software.to_dict()["signals"] == software.delivered
    assert batches.to_dict()["signals"] < batches.delivered / 2


def test_2012_moves_queues_away_from_a_hot_processor():
    """Two busy VMs whose queues begin on one processor: a static host stays so."""

    def run_one(release):
        host, plan = host_of("2012", vms=4, frames=60_000, rebalance_ns=200_000, vm_buffers=4096)
        assert host.adapter is not None
        for queue in host.adapter.queues[1:5]:
            queue.processor = 1
        profile = host.profile if release == "2012" else replace(host.profile, release="r2")
        return timed(replace(host, profile=profile), plan, "9Gbps")

    moved, static = run_one("2012"), run_one("r2")
    assert moved.clockwork.state.queues["moves"].sum() > 0
    assert static.clockwork.state.queues["moves"].sum() == 0
    if not numba.config.DISABLE_JIT:
        assert (moved.busy("parent") > 0.05).sum() > (static.busy("parent") > 0.05).sum()
        assert moved.lost < static.lost


def test_chimney_pays_for_buffers_and_not_for_segments():
    name = samples.path("kernel_http")
    software, chimney = (
        replay(name, choice(profile, rate="100Mbps")).in_time.modelled
        for profile in ("r2", "r2-chimney")
    )
    assert chimney.absorbed > 0
    assert chimney.came == software.came
    assert chimney.payload_bytes == software.payload_bytes, "the VMs get the same bytes"
    cycles = [sum(one.cycles for one in run.spent) for run in (chimney, software)]
    assert cycles[0] < 0.5 * cycles[1]
    steps = {one.step for one in chimney.spent if one.where == "guest"}
    assert "chimney_buffer" in steps


def test_a_team_has_the_links_of_its_members():
    from nic.team import Team

    one = timed(*host_of("r2-vmq", vms=2), "20Gbps")
    two = timed(*host_of("r2-vmq", vms=2, team=Team(2)), "20Gbps")
    assert two.arrived_ps == pytest.approx(one.arrived_ps / 2, rel=0.01)


def test_utilisation_over_time_adds_up_to_the_whole():
    modelled = timed(*host_of("r2-vmq"), "2Gbps")
    over_time = modelled.over_time()
    total = sum(map(sum, over_time["parent"])) * over_time["step_s"]
    assert total == pytest.approx(modelled.busy("parent").sum() * modelled.seconds, rel=0.01)
    assert all(share <= 1.0001 for row in over_time["parent"] for share in row)


def test_an_empty_capture_is_a_run_of_nothing(captures):
    done = replay(captures / "33_empty.pcap", choice("r2"))
    facts = done.summary()["host"]["modelled"]
    assert (facts["frames"]["came"], facts["gbps"], facts["loss"]) == (0, 0, 0)
