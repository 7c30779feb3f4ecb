"""The compiled decision equals its plain twin, and the laws hold, on random switches and frames.

VSWITCH_TWIN_FRAMES sets how many frames are tried (default: a few ten thousand).
"""

import os
from dataclasses import replace

import numba
import numpy as np
import pytest
from worlds import random_learning_world, random_world

from vswitch.copies import copies_of
from vswitch.engine import Engine
from vswitch.explain import twin_of
from vswitch.outcome import Copy
from vswitch.ports import Dialect, VlanMode
from vswitch.reference import Tag
from vswitch.tally import Tally
from vswitch.verdict import DropReason, Verdict
from vswitch.words_kernel import LOCAL_SOURCE, PLACED

USUAL = "2000" if numba.config.DISABLE_JIT else "40000"
FRAMES = int(os.environ.get("VSWITCH_TWIN_FRAMES", USUAL))
PARTS = 2 if numba.config.DISABLE_JIT else 8
WORLDS = {"hyperv": random_world, "learning": random_learning_world}
SPREAD = 1_000_003


def decided_worlds(dialect, part):
    for seed in range(part, max(PARTS, FRAMES // 100), PARTS):
        world = WORLDS[dialect](seed * SPREAD)
        engine = Engine(world.network, world.adapter)
        yield world, engine.decide(world.frames, np.array(world.in_ports, np.uint16))


def by_frame(decided):
    found = {}
    for frame, copy in copies_of(decided):
        found.setdefault(frame, []).append(copy)
    return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dialect", WORLDS)
def test_kernel_equals_twin(dialect, part):
    for world, decided in decided_worlds(dialect, part):
        twin = twin_of(world.network, world.adapter)
        copies = by_frame(decided)
        suppressed = {}
        for number, frame in enumerate(world.frames):
            outcome = twin.decide(frame, world.in_ports[number])
            word = int(decided.words[number])
            wanted = list(outcome.copies)
            if outcome.mirrored:
                wanted.append(Copy(world.network.number_of(world.network.mirror_to)))
            story = (world.network.ports, world.in_ports[number], frame)
            assert Verdict(word >> 16 & 3) is outcome.verdict, story
            if outcome.reason is not None:
                assert DropReason(word & 0xFF) is outcome.reason, story
            else:
                assert bool(word & LOCAL_SOURCE) == outcome.local_source, story
            assert bool(word & PLACED) == bool(outcome.queue and outcome.copies), story
            assert copies.get(number, []) == wanted, story
            for _, reason in outcome.suppressed:
                suppressed[reason] = suppressed.get(reason, 0) + 1
        tally = Tally()
        tally.add(world.network, decided.stats)
        assert tally.suppressed == suppressed


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dialect", WORLDS)
def test_everything_adds_up(dialect, part):
    for world, decided in decided_worlds(dialect, part):
        tally = Tally()
        tally.add(world.network, decided.stats)
        tally.check()
        assert tally.frames == len(world.frames)
        assert tally.bytes_wire == int(world.frames.wirelen.sum())
        assert tally.bytes_captured == int(world.frames.caplen.sum())
        left = [copy for _, copy in copies_of(decided)]
        assert tally.copies + tally.mirrored == len(left)
        for reason, drops in tally.drops.items():
            where = np.flatnonzero((decided.words >> np.uint64(16) & np.uint64(3)) == 0)
            mine = [n for n in where.tolist() if decided.words[n] & np.uint64(0xFF) == reason]
            assert drops.frames == len(mine)
            assert drops.first_frame == mine[0] + 1


@pytest.mark.parametrize("part", range(PARTS))
def test_vmq_path_delivers_what_the_software_path_delivers(part):
    compared = 0
    for world, decided in decided_worlds("hyperv", part):
        if world.adapter is None:
            continue
        plain = Engine(world.network).decide(world.frames, np.array(world.in_ports, np.uint16))
        assert by_frame(plain) == by_frame(decided)
        unplaced = ~np.uint64(PLACED)
        assert np.array_equal(plain.words & unplaced, decided.words & unplaced)
        compared += 1
    assert compared


def carries(port, vlan):
    if port.kind == "uplink":
        return port.vlan.untagged if vlan == 0 else port.vlan.carries(vlan)
    if port.vlan.mode is VlanMode.TRUNK:
        return vlan == port.vlan.vid or port.vlan.carries(vlan)
    return vlan == port.vlan.vid


@pytest.mark.parametrize("part", range(PARTS))
def test_no_frame_leaves_its_vlan(part):
    for world, decided in decided_worlds("hyperv", part):
        secondaries = {(port.vlan.vid, port.vlan.secondary) for port in world.network.ports}
        mirror = world.network.mirror_to
        twin = twin_of(world.network, world.adapter)
        vlans = [
            twin.decide(f, port).vlan for f, port in zip(world.frames, world.in_ports, strict=True)
        ]
        for number, copy in copies_of(decided):
            port = world.network.ports[copy.port]
            if port.name == mirror:
                continue
            vlan = vlans[number]
            assert carries(port, vlan)
            if copy.push:
                shown = Tag.parse(copy.push).vid
                assert shown in (vlan, 0) or (vlan, shown) in secondaries
            else:
                assert vlan == (0 if port.kind == "uplink" else port.vlan.vid)


@pytest.mark.parametrize("part", range(PARTS))
def test_isolated_ports_exchange_nothing(part):
    for dialect in WORLDS:
        for world, decided in decided_worlds(dialect, part):
            for number, copy in copies_of(decided):
                source = world.network.ports[world.in_ports[number]]
                target = world.network.ports[copy.port]
                if target.name == world.network.mirror_to:
                    continue
                assert not (source.isolated and target.isolated and source != target) or {
                    source.vlan.mode,
                    target.vlan.mode,
                } & {VlanMode.ISOLATED, VlanMode.COMMUNITY}
                if VlanMode.ISOLATED in (source.vlan.mode, target.vlan.mode):
                    assert target.vlan.mode not in (VlanMode.ISOLATED, VlanMode.COMMUNITY) or (
                        source.vlan.mode not in (VlanMode.ISOLATED, VlanMode.COMMUNITY)
                    )


def test_batches_of_any_size_give_the_same_words():
    for seed in range(20):
        for dialect, make in WORLDS.items():
            world = make(seed)
            in_ports = np.array(world.in_ports, np.uint16)
            whole = Engine(world.network, world.adapter).decide(world.frames, in_ports).words
            engine = Engine(world.network, world.adapter)
            parts = [
                engine.decide(world.frames[at : at + 7], in_ports[at : at + 7]).words
                for at in range(0, len(world.frames), 7)
            ]
            assert np.array_equal(np.concatenate(parts), whole), dialect


def test_changing_nothing_changes_nothing():
    world = random_learning_world(5)
    assert world.network.dialect is Dialect.LEARNING
    in_ports = np.array(world.in_ports, np.uint16)
    whole = Engine(world.network).decide(world.frames, in_ports).words
    engine = Engine(world.network)
    first = engine.decide(world.frames[:50], in_ports[:50]).words
    engine.rebuild(replace(world.network))
    second = engine.decide(world.frames[50:], in_ports[50:]).words
    assert np.array_equal(np.concatenate([first, second]), whole)
