from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tshark

from pcaps.addresses import key_to_mac
from pcaps.blueprint import build, join
from pcaps.classic_writer import ClassicWriter
from pcaps.errors import BadInput
from pcaps.frames import Frames
from pcaps.sizes import LARGEST, SMALLEST, SizeMix
from pcaps.traffic import TrafficPlan, planned, synthesise, vm_mac

MIXED = TrafficPlan(
    frames=8000, vms=40, vlans=3, zipf=1.0, unknown=0.02, broadcast=0.03, multicast=0.04,
    spoofed=0.05, oversize=0.06, tcp_sessions=20,
)  # fmt: skip


def all_frames(plan: TrafficPlan) -> Frames:
    return build(join(list(planned(plan))))


def test_chunks_do_not_change_the_bytes() -> None:
    small, large = hashlib.sha256(), hashlib.sha256()
    numbers = []
    for frames in synthesise(MIXED, reuse=True):
        numbers.append((frames.first_number, len(frames)))
        for frame in frames:
            small.update(frame.data + frame.ts_ns.to_bytes(8, "little"))
    for frame in all_frames(MIXED):
        large.update(frame.data + frame.ts_ns.to_bytes(8, "little"))
    assert len(numbers) > 2
    assert numbers[1][0] == numbers[0][0] + numbers[0][1]
    assert small.hexdigest() == large.hexdigest()


def test_another_seed_gives_other_bytes() -> None:
    a, b = (all_frames(replace(MIXED, seed=seed)) for seed in (1, 2))
    assert a.data.tobytes() != b.data.tobytes()


def test_tshark_finds_every_checksum_right(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    with ClassicWriter(path) as writer:
        for frames in synthesise(MIXED):
            writer.write(frames)
    wrong = (
        "udp.checksum.status == 0 || tcp.checksum.status == 0 || ip.checksum.status == 0 "
        "|| tcp.analysis.flags || _ws.malformed || _ws.short"
    )
    assert tshark.fields(path, "frame.number", only=wrong) == []
    rows = tshark.fields(path, "udp.checksum.status", "ip.checksum.status", only="udp")
    assert len(rows) == MIXED.frames
    assert {tuple(row) for row in rows} == {("1", "1")}


def test_the_shares_are_kept() -> None:
    (plan,) = planned(replace(MIXED, tcp_sessions=0))
    n = MIXED.frames
    vms = vm_mac(np.arange(MIXED.vms))
    group = plan.destination & np.uint64(1) != 0
    broadcast = plan.destination == (1 << 48) - 1
    counts = {
        "unknown": np.count_nonzero(~np.isin(plan.destination, vms) & ~group),
        "broadcast": np.count_nonzero(broadcast),
        "multicast": np.count_nonzero(group & ~broadcast),
        "spoofed": np.count_nonzero(np.isin(plan.source, vms)),
        "oversize": np.count_nonzero(plan.length == 2000),
    }
    for name, count in counts.items():
        expected = getattr(MIXED, name) * n
        assert abs(count - expected) < 5 * expected**0.5, name


def test_a_spoofed_source_is_another_vm_of_the_vlan() -> None:
    (plan,) = planned(replace(MIXED, tcp_sessions=0))
    number = {int(mac): k for k, mac in enumerate(vm_mac(np.arange(MIXED.vms)))}
    pairs = [
        (number[int(source)], number[int(destination)])
        for source, destination in zip(plan.source, plan.destination, strict=True)
        if int(source) in number
    ]
    assert len(pairs) > 200
    assert all(a != b and a % 3 == b % 3 for a, b in pairs)


def test_imix_is_7_to_4_to_1() -> None:
    (plan,) = planned(TrafficPlan(frames=24_000))
    sizes, counts = np.unique(plan.length, return_counts=True)
    assert sizes.tolist() == [64, 594, 1518]
    assert np.allclose(counts, [14_000, 8_000, 2_000], rtol=0.05)


def test_uniform_popularity_reaches_all_vms_alike() -> None:
    (plan,) = planned(TrafficPlan(frames=50_000, vms=50, vlans=5))
    macs, counts = np.unique(plan.destination, return_counts=True)
    assert set(macs.tolist()) == set(vm_mac(np.arange(50)).tolist())
    assert counts.min() > 850


def test_zipf_popularity_falls_with_the_rank() -> None:
    (plan,) = planned(TrafficPlan(frames=60_000, vms=100, vlans=0, zipf=1.0))
    first, tenth = (np.count_nonzero(plan.destination == vm_mac(rank)) for rank in (0, 9))
    assert 8 < first / tenth < 12.5


def test_vms_are_spread_over_the_vlans() -> None:
    frames = all_frames(TrafficPlan(frames=5000, vms=7, vlans=3))
    seen = {(frame.data[:6].hex(), frame.data[12:16].hex()) for frame in frames}
    assert len(seen) == 7
    assert {tag for _, tag in seen} == {"81000064", "81000065", "81000066"}
    assert key_to_mac(vm_mac(0)).replace(":", "") == "00155d000001"
    assert ("00155d000002", "81000065") in seen


def test_untagged_traffic_has_no_tag() -> None:
    frames = all_frames(TrafficPlan(frames=100, vlans=0))
    assert {frame.data[12:14] for frame in frames} == {b"\x08\x00"}


def test_frames_are_spaced_by_the_rate() -> None:
    frames = all_frames(TrafficPlan(frames=1000, rate_pps=3_000_000, start_ns=7))
    assert frames.ts_ns[0] == 7
    assert frames.ts_ns[999] == 7 + 999 * 1000 // 3


def test_tcp_sessions_come_beside_the_frames_in_order_of_time() -> None:
    frames = all_frames(replace(MIXED, tcp_sessions=30))
    assert len(frames) > MIXED.frames + 30 * 10
    assert (np.diff(frames.ts_ns) >= 0).all()


def test_sessions_alone_are_made_too() -> None:
    frames = list(synthesise(TrafficPlan(frames=0, tcp_sessions=3)))
    assert sum(map(len, frames)) > 30


def test_no_frames_at_all_is_an_empty_capture() -> None:
    assert list(synthesise(TrafficPlan(frames=0))) == []


def test_filling_meets_the_size_of_the_file(tmp_path: Path) -> None:
    plan = replace(MIXED, tcp_sessions=0).filling(2_000_000)
    with ClassicWriter(tmp_path / "x.pcap") as writer:
        for frames in synthesise(plan):
            writer.write(frames)
    assert abs((tmp_path / "x.pcap").stat().st_size / 2_000_000 - 1) < 0.05


@pytest.mark.parametrize("size", [SMALLEST, 1518, 9000, LARGEST])
def test_every_size_is_made(size: int) -> None:
    frames = all_frames(TrafficPlan(frames=10, sizes=SizeMix.parse(str(size))))
    assert set(frames.wirelen.tolist()) == {size}


def test_oversize_frames_are_longer_than_the_mix() -> None:
    jumbo = TrafficPlan(frames=10, sizes=SizeMix.parse("jumbo"), oversize=1.0)
    assert set(all_frames(jumbo).wirelen.tolist()) == {9600}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vms": 0}, "vms is 0; it must be 1 to"),
        ({"vms": 2, "vlans": 3}, "vlans is 3; it must be 0 to 2"),
        ({"unknown": 1.5}, "unknown is 1.5"),
        ({"unknown": 0.6, "spoofed": 0.6}, "add up to 1.2"),
        ({"rate_pps": 0}, "rate-pps is 0"),
        ({"tcp_sessions": -1}, "tcp-sessions is -1"),
        ({"zipf": float("nan")}, "zipf is nan"),
    ],
)
def test_an_impossible_plan_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        TrafficPlan(**wrong)  # type: ignore[arg-type]
