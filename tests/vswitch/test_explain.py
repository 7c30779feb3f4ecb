"""Explanations: the twin's steps, the copies, and the check against the compiled path."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pcaps import samples
from pcaps.errors import BadInput
from pcaps.frames import Frame, Frames
from tests.vswitch.worlds import random_world
from vswitch import explain as module
from vswitch.explain import Explainer, explain_captured
from vswitch.explain_lines import answers
from vswitch.explain_report import explanation_lines
from vswitch.feed import Feed
from vswitch.fields import frame_from_fields
from vswitch.lab import Lab, from_captures
from vswitch.outcome import Outcome
from vswitch.ports import Dialect, Network, Port, PortKind, VlanSetting
from vswitch.replay import Job, run
from vswitch.verdict import DropReason, Verdict

LAB = Network(
    ports=(
        Port(name="uplink", kind=PortKind.UPLINK, check_source=False),
        Port(name="vm1", mac="02:00:00:00:00:01", vlan=VlanSetting(vid=20)),
        Port(name="vm2", mac="02:00:00:00:00:02", vlan=VlanSetting(vid=20)),
    )
)
LEARNING = Network(dialect=Dialect.LEARNING, ports=tuple(Port(name=f"p{n}") for n in range(1, 4)))


def explain(fields: str, network: Network = LAB) -> Any:
    port, frame = frame_from_fields(fields, network)
    return Explainer(network).explain(frame, port)


def office() -> tuple[Feed, Lab]:
    feed = Feed([str(samples.path("office"))], twice=True)
    feed.__enter__()
    return feed, from_captures(feed)


def test_a_unicast_frame_leaves_by_its_owner_without_the_tag() -> None:
    explained = explain("in=uplink dst=vm1 vlan=20 len=100")
    assert explained.outcome.verdict is Verdict.UNICAST
    ((port, left),) = explained.out
    assert (port, left.wirelen, left.data[12:14]) == ("vm1", 96, b"\x08\x00")
    assert explained.agrees
    assert [step.stage for step in explained.steps][-1] == "egress"


def test_a_dropped_frame_ends_with_its_reason() -> None:
    explained = explain("in=vm1 dst=vm2 src=02:00:00:00:00:66")
    assert explained.outcome.reason is DropReason.SPOOFED_SOURCE
    assert explained.out == ()
    assert explained.to_dict()["reason"] == "spoofed-source"


@pytest.mark.parametrize("seed", range(8))
def test_twin_and_compiled_path_agree_frame_by_frame_with_state(seed: int) -> None:
    world = random_world(seed, 60)
    explainer = Explainer(world.network, world.adapter)
    for frame, in_port in zip(world.frames, world.in_ports, strict=True):
        explained = explainer.explain(frame, in_port)
        assert explained.agrees, explained.difference
        assert explained.steps


class _Liar:
    """A twin that drops everything."""

    def decide(self, frame: Frame, in_port: int, record: Any = None) -> Outcome:
        return Outcome(Verdict.DROPPED, DropReason.RUNT)


def test_a_disagreement_is_told_with_what_the_compiled_path_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "twin_of", lambda network, adapter: _Liar())
    explained = explain("in=uplink dst=vm1 vlan=20 len=100")
    assert not explained.agrees
    assert explained.difference.startswith("unicast, copies to vm1 with 96 bytes starting 02")
    explained = explain("in=vm1 len=16")
    assert explained.difference is not None
    assert explained.difference.startswith("flooded, copies to uplink")


def test_a_learning_switch_keeps_its_state() -> None:
    explainer = Explainer(LEARNING)
    there = Frame(bytes.fromhex("020000000002020000000001") + bytes(48), 60, 0)
    back = Frame(bytes.fromhex("020000000001020000000002") + bytes(48), 60, 1000)
    assert explainer.explain(there, "p1").outcome.verdict is Verdict.FLOODED
    answer = explainer.explain(back, "p2")
    assert (answer.outcome.verdict, [port for port, _ in answer.out]) == (Verdict.UNICAST, ["p1"])
    assert answer.agrees


def test_frames_of_a_capture_are_found_by_number() -> None:
    feed, lab = office()
    found = explain_captured(
        Explainer(lab.switch.network, lab.switch.adapter), feed, lab.ingress, 5058
    )
    assert (found.number, found.explanation.outcome.reason) == (5058, DropReason.RUNT)
    assert found.capture.endswith("office.pcapng")


def test_a_frame_that_is_not_there_is_one_sentence() -> None:
    feed, lab = office()
    explainer = Explainer(lab.switch.network, lab.switch.adapter)
    with pytest.raises(BadInput, match="no frame 9828; the captures have 9827 frames"):
        explain_captured(explainer, feed, lab.ingress, 9828)


def test_the_first_drops_of_a_replay_are_explained_with_the_same_reason() -> None:
    done = run(Job(captures=[str(samples.path("office"))]))
    feed, lab = office()
    for drop in done.first_drops():
        explainer = Explainer(lab.switch.network, lab.switch.adapter)
        found = explain_captured(explainer, feed, lab.ingress, drop["packet_id"])
        assert found.explanation.outcome.reason is not None
        assert found.explanation.outcome.reason.label == drop["reason"]


class _Batches:
    """A feed of one capture in memory, in batches of two frames."""

    path = "memory"

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def captures(self) -> list[_Batches]:
        return [self]

    def __iter__(self) -> Any:
        return iter([self._frames[n : n + 2] for n in range(0, len(self._frames), 2)])


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_earlier_frames_run_first_on_a_switch_that_learns(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 2)
    head = [bytes([2, 0, 0, 0, 0, 9]) + bytes([2, 0, 0, 0, 0, n]) for n in (1, 2, 3, 9)]
    frames = Frames.from_bytes([h + bytes(48) for h in (*head, head[0])])
    explainer = Explainer(LEARNING)
    told: list[str] = []

    class Ingress:
        def ports_of(self, network: Network, frames: Frames) -> Any:
            # the source decides: 9 sits at p3, the others at p1
            nines = frames.data[frames.start + 11] == 9
            return np.where(nines, 2, 0).astype(np.uint16)

    found = explain_captured(explainer, _Batches(frames), Ingress(), number, told.append)  # type: ignore[arg-type]
    known = number == 5
    expected = Verdict.UNICAST if known else Verdict.DROPPED if number == 4 else Verdict.FLOODED
    assert found.explanation.outcome.verdict is expected
    assert found.explanation.agrees
    assert bool(told) == (number > 2)


# JSON lines


def ask(*lines: str, network: Network = LAB) -> list[dict[str, Any]]:
    return list(answers(lines, Explainer(network)))


def test_a_line_is_answered_with_out_verdict_reason_and_steps() -> None:
    (answer,) = ask('{"port": "vm1", "frame": "0200000000020200000000010800", "time_ns": 5}')
    assert set(answer) == {"out", "verdict", "reason", "steps"}
    assert answer["out"] == [{"port": "vm2", "frame": "0200000000020200000000010800"}]
    assert (answer["verdict"], answer["reason"]) == ("unicast", None)
    assert [step["step"] for step in answer["steps"]] == list(range(1, len(answer["steps"]) + 1))


def test_state_and_time_are_kept_from_line_to_line() -> None:
    lines = [
        '{"port": "p1", "frame": "0200000000020200000000010800", "time_ns": 1000000000}',
        '{"port": "p2", "frame": "0200000000010200000000020800"}',
        '{"port": "p2", "frame": "0200000000010200000000020800", "time_ns": 900000000000}',
    ]
    assert [a["verdict"] for a in ask(*lines, network=LEARNING)] == [
        "flooded", "unicast", "flooded",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"port": "vm1"}', "'frame' must be"),
        ('{"frame": "00"}', "'port' must be"),
        ('{"port": "vm1", "frame": "0"}', "not hex"),
        ('{"port": "vm1", "frame": "00", "time": 1}', "unknown key 'time'"),
        ('{"port": "vm1", "frame": "00", "time_ns": -1}', "'time_ns' must be"),
        ('{"port": "vm1", "frame": "00", "time_ns": true}', "'time_ns' must be"),
        ('{"port": "vm9", "frame": "00"}', "no port 'vm9'"),
        ("[" * 100_000, "not JSON"),
        ('{"port": "vm1", "frame": "' + "00" * 262145 + '"}', "longer than 262144"),
    ],
)
def test_a_bad_line_is_answered_and_the_others_go_on(line: str, says: str) -> None:
    good = '{"port": "vm1", "frame": "ffffffffffff0200000000010800"}'
    first, second = ask(line, "", good)
    assert says in first["error"]
    assert first["error"].startswith("line 1: ")
    assert second["verdict"] == "flooded"


def test_a_difference_is_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "twin_of", lambda network, adapter: _Liar())
    (answer,) = ask('{"port": "vm1", "frame": "ffffffffffff0200000000010800"}')
    assert answer["difference"].startswith("flooded")
    assert json.dumps(answer)


# what people read


def test_lines_number_the_steps_and_show_what_left() -> None:
    explained = explain("in=uplink dst=vm1 vlan=20 len=100")
    about = {"capture": "c.pcap", "number": 7}
    text = "\n".join(line.plain for line in explanation_lines(explained, about))
    assert text.startswith("frame 7 of c.pcap, in by uplink, 100 bytes\n")
    assert "  1  ingress  " in text
    assert "unicast: 1 copy\n  vm1: 96 bytes, no tag\nthe compiled path decides the same" in text


def test_lines_show_hex_cut_frames_and_tags_on_request() -> None:
    _, frame = frame_from_fields("dst=broadcast src=vm1 len=100", LAB)
    cut = Frame(frame.data[:40], 100)
    explained = Explainer(LAB).explain(cut, "vm1")
    about = {"capture": None, "number": None}
    text = "\n".join(line.plain for line in explanation_lines(explained, about, head=True))
    assert text.startswith("frame, in by vm1, 100 bytes, 40 of them captured")
    assert "0000  ff ff ff ff ff ff" in text
    assert "uplink: 104 bytes, tag 0x8100 VID 20 PCP 0" in text


def test_lines_shout_about_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "twin_of", lambda network, adapter: _Liar())
    explained = explain("in=uplink dst=vm1 vlan=20")
    text = "\n".join(
        line.plain for line in explanation_lines(explained, {"capture": None, "number": None})
    )
    assert "dropped: runt" in text
    assert "the compiled path says otherwise: unicast" in text
