"""A cluster for a day: what the mover does and why, maintenance, what breaks, and that everything adds up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from clusters import cluster

from migration.cluster.curves import SHAPES, Curve, Loads
from migration.cluster.day import _Run, run
from migration.cluster.day_faults import Breakage
from migration.cluster.day_records import clock
from migration.cluster.model import MoverSettings
from migration.cluster.monitor import Monitor
from migration.cluster.placement import Placement
from migration.cluster.transfer import transfer
from migration.cluster.usage import MEMORY, PROCESSORS, QUEUES, Usage, default_queue_cycles
from pcaps.errors import BadInput

CROWDED = """
[[cluster.vm]]
name = "w{n}"
count = 8
host = ["a"]
processors = 4
shape = "office"
peak = 0.6
memory = "2GiB"
dirty = "20MB/s"
spread = 0.05
"""
"""Nineteen of sixteen processors at noon, on one of two hosts."""


def crowded(extra=""):
    return cluster(rest=CROWDED + extra)


def test_the_mover_takes_the_load_off_and_says_why():
    plain, day = run(crowded(), mover=False), run(crowded())
    assert plain.totals.overload_min[PROCESSORS] > 60
    assert day.totals.overload_min[PROCESSORS] < plain.totals.overload_min[PROCESSORS] / 10
    assert plain.moves == []
    first = day.moves[0]
    assert first.cause == "processors"
    assert "above 85% since" in first.reason
    assert day.cluster.hosts[first.target].name == "b"
    assert first.choice.sentence(["a", "b"]).startswith("b has most to spare")
    assert first.plan.passes
    assert first.outcome == "completed"


def test_same_seed_same_day_another_seed_another():
    one, two, other = (run(crowded(), seed=seed).to_dict() for seed in (1, 1, 2))
    assert one == two
    assert one["moves"] != other["moves"]


def test_hosts_take_part_in_one_move_at_a_time():
    work = '[[cluster.maintenance]]\nat = "10:00"\nhosts = ["a"]\n'
    day = run(crowded(work))
    moves = [one for one in day.moves if one.cause == "maintenance"]
    assert len(moves) >= 5
    for one, following in itertools.pairwise(moves):
        assert following.start_ns >= one.end_ns
    assert moves[-1].waited_ns > 0


def test_more_moves_at_a_time_where_the_release_has_them():
    two = '[[cluster.maintenance]]\nat = "10:00"\nhosts = ["a"]\n'
    parts = {"a": 'os = "2012 Datacenter"', "b": 'os = "2012 Datacenter"', "rest": CROWDED + two}
    found = cluster(**parts)
    assert found.most_moves == 2
    assert found.policy == "hyperv-2012r2"
    moves = [one for one in run(found).moves if one.cause == "maintenance"]
    assert any(b.start_ns < a.end_ns for a, b in itertools.pairwise(moves))


def test_maintenance_empties_a_host_works_and_gives_it_back():
    day = run(
        crowded('[[cluster.maintenance]]\nat = "04:00"\nhosts = ["a"]\nlength = "1h"\n'),
        mover=False,
    )
    said = [one.text for one in day.events if one.kind == "maintenance"]
    assert said[0] == "maintenance: a is emptied of 9 VMs"
    assert said[1] == "maintenance: a is empty, worked on for 60 min"
    assert said[2] == "maintenance: a is back"
    at_five = day.sample_ns.index(5 * 3_600_000_000_000 - 600_000_000_000)
    assert day.counts[at_five].tolist() == [0, 10]
    assert day.totals.vm_down_s == 0


def test_rolling_patch_goes_from_host_to_host():
    day = run(crowded('[[cluster.maintenance]]\nat = "01:00"\nwhat = "patch"\nlength = "10min"\n'))
    said = [one.text for one in day.events if one.kind == "maintenance"]
    assert [one for one in said if one.endswith("is back")] == [
        "patch: a is back",
        "patch: b is back",
    ]


def test_vms_of_a_crashed_host_start_anew_elsewhere_after_missed_heartbeats():
    fault = '[[cluster.fault]]\nkind = "host-crash"\nhost = "a"\nat = "03:00"\nback = "1h"\n'
    day = run(crowded(fault), mover=False)
    restarts = [one for one in day.events if one.kind == "restart"]
    assert len(restarts) == 9
    assert {one.at_ns for one in restarts} == {3 * 3_600_000_000_000 + 5_000_000_000}
    assert day.counts[-1].sum() == 10
    assert day.totals.vm_down_s == 9 * (5 + 3 + 60)


def test_without_a_majority_everything_stops():
    fault = '[[cluster.fault]]\nkind = "host-crash"\nhost = "a"\nat = "03:00"\n'
    lonely = crowded(fault)
    broken = type(lonely)(**{**lonely.__dict__, "quorum": "node-majority", "witness": ""})
    day = run(broken, mover=False)
    assert any(one.kind == "quorum" for one in day.events)
    assert day.counts[-1].sum() == 0


def test_lost_paths_on_a_csv_redirect_and_elsewhere_fail_over():
    lost = '[[cluster.fault]]\nkind = "path-loss"\nhost = "b"\nvolume = "csv1"\nat = "03:00"\n'
    day = run(cluster(rest=lost))
    (event,) = [one for one in day.events if one.kind == "storage"]
    assert "goes by a" in event.text
    assert day.totals.vm_down_s == 0
    owned = run(cluster(volume="csv = false", rest=lost))
    assert [one.text for one in owned.events if one.kind == "restart"] == [
        "db starts anew on a, its services are back in 63 s"
    ]


def test_a_lost_volume_pauses_its_vms_where_they_are():
    lost = (
        '[[cluster.fault]]\nkind = "volume-loss"\nvolume = "csv1"\nat = "03:00"\nback = "10min"\n'
    )
    day = run(cluster(rest=lost))
    assert day.totals.vm_down_s == 2 * 600
    assert day.counts[-1].tolist() == [1, 1]


def down_at(day, at_ns):
    """VMs of the host that crashed, from the crash until each one's services are back."""
    crash = next((one.at_ns for one in day.events if "crashes with" in one.text), None)
    back = [one.at_ns + 63_000_000_000 for one in day.events if one.kind == "restart"]
    return [when for when in back if crash is not None and crash <= at_ns < when]


def test_vms_are_conserved_and_no_host_is_filled_beyond_its_memory():
    work = '[[cluster.maintenance]]\nat = "12:00"\n[[cluster.fault]]\nkind = "host-crash"\nhost = "b"\nat = "16:00"\nback = "1h"\n'
    day = run(crowded(work), seed=3)
    for at, counts, use in zip(day.sample_ns, day.counts, day.samples, strict=True):
        assert counts.sum() + len(down_at(day, at)) == 10
        assert use[MEMORY].max() <= 1.0
    assert day.counts[-1].sum() == 10


def test_anti_affinity_keeps_vms_apart_unless_one_has_to_go():
    apart = '[[cluster.vm]]\nname = "g{n}"\ncount = 2\napart = "g"\nprocessors = 8\nshape = "office"\npeak = 1.0\n'
    day = run(crowded(apart))
    moved = [one for one in day.moves if day.cluster.vms[one.vm].name.startswith("g")]
    assert moved == []
    work = run(
        crowded(apart + '[[cluster.maintenance]]\nat = "04:00"\nhosts = ["a"]\n'), mover=False
    )
    assert any(work.cluster.vms[one.vm].name == "g1" for one in work.moves)


def test_a_move_with_too_long_a_blackout_is_not_made():
    busy = 'working_set = "1GiB"\ndirty = "2GB/s"\n'
    day = run(crowded().__class__(**{**crowded().__dict__}), hours=12)
    assert day.moves
    slow = cluster(rest=CROWDED.replace('dirty = "20MB/s"\n', busy))
    declined = run(slow, hours=12)
    assert declined.moves == []
    assert any("would stand still for" in one.text for one in declined.events)


def test_network_and_default_queue_are_watched_too():
    traffic = '[[cluster.vm]]\nname = "n{n}"\ncount = 4\nhost = ["a"]\nnetwork = "230Mbps"\npeak = 1.0\nprocessors = 1\nspread = 0.0\n'
    day = run(cluster(rest=traffic), hours=6)
    assert day.moves[0].cause == "network"
    bare = '[[cluster.vm]]\nname = "n{n}"\ncount = 4\nhost = ["a"]\nvmq = false\nnetwork = "980Mbps"\npeak = 1.0\nprocessors = 1\nspread = 0.0\n'
    wide = {"a_switch": 'rate = "10Gbps"', "b_switch": 'rate = "10Gbps"'}
    software = run(cluster(rest=bare, **wide), hours=6)
    assert software.moves[0].cause == "queues"


def test_default_queue_costs_what_the_published_core_moves():
    """One core of 2.8 GHz without VM queues: 3 to 5 Gbit/s (published)."""
    assert 3e9 < 2.8e9 * 0.98 / default_queue_cycles() * 8 < 5e9


def test_queues_go_to_who_comes_first():
    found = cluster(a_switch="queues = 2", rest=CROWDED)
    usage = Usage(found, Loads(tuple(one.curve for one in found.vms), 1, 0))
    assert usage.queued.sum() == 3
    assert usage.free_queues().tolist() == [0, 15]
    assert usage.of_hosts()[QUEUES].tolist() == [0.0, 0.0]
    usage.place(0, 1)
    assert usage.queued[0]
    assert usage.free_queues().tolist() == [1, 14]


def test_hysteresis_and_duration():
    monitor = Monitor(MoverSettings(), 1)
    minute = 60_000_000_000

    def look(share, at):
        use = np.zeros((4, 1))
        use[PROCESSORS] = share
        return bool(monitor.look(use, at * minute)[PROCESSORS, 0])

    assert [look(0.9, at) for at in range(7)] == [False] * 5 + [True] * 2
    assert look(0.8, 7)  # between low and high: as before
    assert not look(0.69, 8)
    assert not look(0.8, 9)
    assert [look(0.9, at) for at in (10, 12, 14)] == [False] * 3
    assert not look(0.8, 15)  # the duration begins anew
    assert [look(0.9, at) for at in (16, 20, 21)] == [False, False, True]


def test_curves_go_round_at_midnight_and_loads_are_linear_between_knots():
    curve = Curve(SHAPES["office"], 0.1, 0.9)
    knots = curve.at_knots()
    assert knots.max() == pytest.approx(0.9)
    assert knots.min() == pytest.approx(0.14)
    loads = Loads((curve,), 24, 0)
    middle = loads.at(9 * 3_600_000_000_000 + 450_000_000_000)[0]
    assert middle == pytest.approx((knots[36] + knots[37]) / 2, rel=1e-5)
    assert loads.at(24 * 3_600_000_000_000)[0] == pytest.approx(knots[0])


def test_shadow_page_tables_leave_less_of_a_host():
    older = cluster(a='processor = "Xeon X5460"', b='processor = "Xeon X5460"')
    usage = Usage(older, Loads(tuple(one.curve for one in older.vms), 1, 0))
    assert usage.capacity[0] == pytest.approx(8 * 0.9)


def test_hours_that_cannot_be_and_clocks():
    with pytest.raises(BadInput, match="cannot be run"):
        run(cluster(), hours=0)
    assert clock(9 * 3_600_000_000_000) == "09:00"
    assert clock(25 * 3_600_000_000_000 + 5_000_000_000) == "1d 01:00:05"


def said(day, kind):
    return [one.text for one in day.events if one.kind == kind]


EMPTY_A = '[[cluster.maintenance]]\nat = "10:00"\nhosts = ["a"]\nlength = "1h"\n'


def test_a_host_is_emptied_of_vms_whose_move_was_rolled_back_too():
    crash = '[[cluster.fault]]\nkind = "host-crash"\nhost = "b"\nat = "10:00"\nback = "10min"\n'
    day = run(crowded(EMPTY_A + crash), mover=False)
    assert day.moves[0].outcome == "rolled back: the target crashed"
    assert "maintenance: a is back" in said(day, "maintenance")


def test_a_vm_that_arrives_at_a_host_that_is_emptied_leaves_it_again():
    looks = '[cluster.mover]\ninterval = "25s"\n'
    first = next(
        one for one in run(crowded(looks)).moves
        if one.start_ns // 60_000_000_000 < one.end_ns // 60_000_000_000
    )  # fmt: skip
    minute = first.end_ns // 60_000_000_000
    soon = EMPTY_A.replace('"a"', '"b"').replace("10:00", f"{minute // 60:02d}:{minute % 60:02d}")
    day = run(crowded(looks + soon))
    arriving = [one for one in day.moves if one.start_ns < minute * 60_000_000_000 < one.end_ns]
    assert [day.cluster.hosts[one.target].name for one in arriving] == ["b"]
    again = [one for one in day.moves if one.vm == arriving[0].vm and one.cause == "maintenance"]
    assert again
    assert "maintenance: b is back" in said(day, "maintenance")


def test_rolling_patch_leaves_out_a_host_that_crashes_while_it_is_emptied():
    both = '[[cluster.maintenance]]\nat = "10:00"\nlength = "10min"\nwhat = "patch"\n'
    crash = '[[cluster.fault]]\nkind = "host-crash"\nhost = "a"\nat = "10:01"\nback = "10min"\n'
    more = '[[cluster.host]]\nname = "more{n}"\ncount = 2\n'
    day = run(crowded(more + both + crash), mover=False)
    assert "patch: a is back" not in said(day, "maintenance")
    assert "patch: b is back" in said(day, "maintenance")
    assert day.counts[-1].sum() == 10
    two = run(crowded(both + crash), mover=False)
    assert said(two, "quorum") == ["patch: b stays, since without it the others are no majority"]


def test_a_host_without_which_there_is_no_majority_is_not_worked_on():
    lonely = crowded(EMPTY_A)
    broken = type(lonely)(**{**lonely.__dict__, "quorum": "node-majority", "witness": ""})
    day = run(broken, mover=False)
    assert said(day, "quorum") == [
        "maintenance: a stays, since without it the others are no majority"
    ]
    assert {int(counts.sum()) for counts in day.counts} == {10}


def lost_paths(**changes):
    given = {"host": "b", "volume": "csv1", "at": "03:00"} | changes
    lines = "".join(
        f"{key} = {value}\n" if isinstance(value, int) else f'{key} = "{value}"\n'
        for key, value in given.items()
    )
    return f'[[cluster.fault]]\nkind = "path-loss"\n{lines}'


def test_one_path_of_two_is_enough_and_the_policy_says_what_is_left():
    day = run(cluster(rest=lost_paths(paths=1, back="1h")))
    first, again = said(day, "storage")
    assert first.startswith("b loses 1 of 2 paths")
    assert first.endswith("waits 1 s, then goes over 1 paths, 400 MB/s for all")
    assert again == "b reaches 'csv1' over 2 paths again"
    assert day.totals.vm_down_s == 0
    failover = 'count = 3\npolicy = "failover-only"'
    alone = run(cluster(path=failover, rest=lost_paths(paths=1)))
    assert said(alone, "storage")[0].endswith("over 2 paths, 400 MB/s for all")
    two = run(cluster(rest=lost_paths(paths=1) + lost_paths(paths=1, at="04:00")))
    assert "goes by a" in said(two, "storage")[1]


def test_paths_that_come_back_in_time_let_vms_go_on_and_late_ones_do_not():
    soon = run(cluster(volume="csv = false", rest=lost_paths(back="10s")))
    assert soon.totals.vm_down_s == 10
    assert said(soon, "restart") == []
    late = run(cluster(volume="csv = false", rest=lost_paths(back="1min")))
    assert late.totals.vm_down_s == 20 + 3 + 60
    assert len(said(late, "restart")) == 1


def test_a_coordinator_that_loses_its_paths_hands_the_volume_over():
    day = run(cluster(rest=lost_paths(host="a")))
    taken, redirected = said(day, "storage")
    assert taken == "b coordinates 'csv1' now"
    assert "goes by b" in redirected
    assert day.totals.vm_down_s == 0


def test_vms_of_a_lost_volume_whose_host_crashed_meanwhile_start_anew():
    gone = (
        '[[cluster.fault]]\nkind = "volume-loss"\nvolume = "csv1"\nat = "03:00"\nback = "10min"\n'
    )
    crash = '[[cluster.fault]]\nkind = "host-crash"\nhost = "b"\nat = "03:05"\n'
    day = run(cluster(rest=gone + crash))
    assert day.counts[-1].tolist() == [2, 0]
    assert day.totals.vm_down_s == 600 + 600 + 63


CRASH_A = '[[cluster.fault]]\nkind = "host-crash"\nhost = "a"\nat = "03:00"\n'


def test_a_vm_that_starts_anew_needs_no_processor_of_the_same_vendor():
    day = run(cluster(b='processor = "Opteron 2435"', rest=CRASH_A))
    assert said(day, "restart")[0].startswith("web starts anew on b")
    assert day.counts[-1].tolist() == [0, 2]


def test_vms_of_one_lun_that_is_no_csv_start_anew_together():
    two = '[[cluster.host]]\nname = "{name}"\nmemory = "40GiB"\n'
    rest = two.format(name="c") + two.format(name="d") + CRASH_A
    lun = '[[cluster.volume]]\nname = "lun"\ncsv = false\n'
    vms = (
        '[[cluster.vm]]\nname = "l{n}"\ncount = 6\nhost = ["a"]\nvolume = "lun"\nmemory = "5GiB"\n'
    )
    day = run(cluster(rest=rest + lun + vms))
    places = {text.split()[4] for text in said(day, "restart") if text.startswith("l")}
    assert len(places) == 1


def test_after_the_quorum_is_back_vms_start_where_they_were():
    crash = CRASH_A + 'back = "30min"\n'
    lonely = cluster(rest=crash)
    broken = type(lonely)(**{**lonely.__dict__, "quorum": "node-majority", "witness": ""})
    day = run(broken)
    assert sorted(text.split(",")[0] for text in said(day, "restart")) == [
        "db starts anew on b",
        "web starts anew on a",
    ]


def test_a_host_that_cannot_be_emptied_is_told_of_once():
    day = run(crowded(EMPTY_A.replace('"a"', '"b"') + BOUND))
    (text,) = [one for one in said(day, "declined") if one.startswith("bound")]
    assert text.startswith("bound cannot leave b: no host may take it")
    assert "possible-owners" in text


BOUND = '[[cluster.vm]]\nname = "bound"\nhost = "b"\nowners = ["b"]\n'


def test_redirected_vms_stop_when_their_coordinator_is_cut_off_too():
    first, second = lost_paths(host="a"), lost_paths(host="b", at="04:00", back="10s")
    day = run(cluster(rest=first + second), hours=5)
    assert day.totals.vm_down_s == 2 * 10
    assert day.counts[-1].tolist() == [1, 1]


def test_a_vm_started_anew_takes_the_queue_that_is_free():
    found = cluster(b_switch="queues = 2", rest=CRASH_A)
    usage = Usage(found, Loads(tuple(one.curve for one in found.vms), 1, 0))
    usage.up[0] = False
    usage.place(0, 1)
    usage.up[0] = True
    usage.give_queue(0)
    assert usage.queued.tolist() == [True, True]


def test_a_busy_host_is_waited_for_before_vms_of_a_group_are_put_together():
    apart = '[[cluster.host]]\nname = "c"\n[[cluster.vm]]\nname = "g{n}"\ncount = 2\napart = "g"\n'
    found = cluster(rest=apart)
    usage = Usage(found, Loads(tuple(one.curve for one in found.vms), 1, 0))
    placement = Placement(usage, (8.0, 6.0, 4.0, 4.0), [0.85, 0.95, 0.8, 0.9])
    closed, busy = np.zeros(3, bool), np.array([False, False, True])
    wait = placement.choose(2, usage.of_hosts(), closed=closed, busy=busy, pressing=True)
    assert wait.host == -1
    free = placement.choose(2, usage.of_hosts(), closed=closed, busy=closed, pressing=True)
    assert found.hosts[free.host].name == "c"


def test_what_happens_after_the_last_look_happens():
    looks = '[cluster.mover]\ninterval = "1h"\ncool_down = "1h"\n'
    crash = CRASH_A.replace("03:00", "00:10")
    day = run(cluster(rest=looks + crash), hours=0.5)
    assert len(said(day, "fault")) == 1
    assert day.totals.vm_down_s == 5 + 3 + 60


@pytest.mark.parametrize("interval", ["60s", "7min", "50min"])
def test_overload_is_counted_by_the_minute_however_seldom_the_mover_looks(interval):
    looks = f'[cluster.mover]\ninterval = "{interval}"\ncool_down = "1h"\n'
    plain = run(crowded(), mover=False).totals.overload_min
    assert run(crowded(looks), mover=False).totals.overload_min == plain


def test_a_move_sends_the_memory_that_its_vm_holds():
    vm = 'memory = "9GiB"\nleast_memory = "1GiB"\npeak = 0.3\nspread = 0.0'
    found = cluster(vm=vm)
    usage = Usage(found, Loads(tuple(one.curve for one in found.vms), 1, 0))
    assert usage.memory[0] == pytest.approx(9 * 2**30)
    assert transfer(found, found.vms[0], float(usage.load[0])).memory_bytes == 9 * 2**30


@pytest.mark.compiled
def test_a_move_that_does_not_converge_leaves_its_vm_where_it_was():
    endless = CROWDED.replace('"20MB/s"', '"4GB/s"') + EMPTY_A
    found = cluster(rest=endless)
    day = run(type(found)(**{**found.__dict__, "policy": "qemu"}), hours=14, mover=False)
    failed = [one for one in day.moves if one.outcome == "rolled back: it did not converge"]
    assert failed
    assert not day.completed or all(one.plan.completed for one in day.completed)


HOSTS = ("a", "b", "c")


def drawn(seed):
    """Work and faults of every kind at times and places drawn from a seed, on three hosts."""
    random = np.random.default_rng(seed)

    def clock_of():
        return f"{random.integers(0, 24):02d}:{random.integers(0, 60):02d}"

    parts = ['[[cluster.host]]\nname = "c"\nmemory = "24GiB"\n']
    for _ in range(random.integers(0, 3)):
        length = random.integers(1, 90)
        parts.append(
            f'[[cluster.maintenance]]\nat = "{clock_of()}"\nlength = "{length}min"\nhosts = ["{random.choice(HOSTS)}"]\n'
        )
    for _ in range(random.integers(1, 7)):
        kind = random.choice(["host-crash", "path-loss", "volume-loss"])
        part = f'[[cluster.fault]]\nkind = "{kind}"\nat = "{clock_of()}"\n'
        if kind != "volume-loss":
            part += f'host = "{random.choice(HOSTS)}"\n'
        if kind != "host-crash":
            part += 'volume = "csv1"\n'
        if kind == "path-loss":
            part += f"paths = {random.integers(0, 3)}\n"
        if random.random() < 0.8:
            part += f'back = "{random.integers(1, 7200)}s"\n'
        parts.append(part)
    csv = "" if random.random() < 0.7 else "csv = false"
    vms = CROWDED if not csv else CROWDED.replace('host = ["a"]', 'host = ["a"]\nvolume = "quorum"')
    return cluster(volume=csv, rest=vms + "".join(parts))


@pytest.mark.parametrize("seed", range(40))
def test_invariants_hold_whatever_breaks_and_whenever(seed):
    day = run(drawn(seed), seed=seed)
    assert day.broken == {}
    assert day.checks == 24 * 60 + 1


def test_invariants_of_a_day_are_no_tautologies(monkeypatch):
    crash = CRASH_A + 'back = "1h"\n'
    assert run(crowded(crash + EMPTY_A)).broken == {}
    with monkeypatch.context() as patch:
        patch.setattr(Breakage, "_down", lambda breakage, vms, now: None)
        assert "on-a-host" in run(crowded(crash)).broken
    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_release", lambda day, record: day.moving.pop(record.vm, None))
        assert {"one-at-a-time", "memory-held"} <= set(run(crowded()).broken)
    with monkeypatch.context() as patch:
        patch.setattr(Usage, "give_queue", lambda usage, vm: usage.queued.__setitem__(vm, True))
        assert "queues-held" in run(cluster(a_switch="queues = 2", rest=CROWDED)).broken
    lonely = crowded(CRASH_A)
    alone = type(lonely)(**{**lonely.__dict__, "quorum": "node-majority", "witness": ""})
    with monkeypatch.context() as patch:
        patch.setattr(Breakage, "_down", lambda breakage, vms, now: None)
        assert "majority" in run(alone).broken


def test_vms_on_hosts_that_are_no_members_start_on_those_that_are():
    day = run(cluster(b="member = false"), hours=1)
    assert (
        said(day, "restart")[0]
        == "1 VMs begin on hosts that are no members, and start anew elsewhere"
    )
    assert day.counts[-1].tolist() == [2, 0]
    assert day.broken == {}
