"""Every corner case on which three switches were measured: our decision, in both dialects."""

import json
from pathlib import Path

import pytest

from pcaps.addresses import mac_to_key
from pcaps.frames import Frame
from vswitch.explain import twin_of
from vswitch.ports import Dialect, Network, Port, PortKind, StaticEntry, VlanSetting
from vswitch.switch import Switch
from vswitch.verdict import DropReason, Verdict

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "nic-switch" / "corner_cases.json"
CASES = json.loads(FACTS.read_text()) if FACTS.exists() else None
DIALECTS = ("learning", "hyperv")


def cases():
    if CASES is None:
        return [pytest.param(None, None, marks=pytest.mark.skip(f"{FACTS} is absent"))]
    return [
        pytest.param(case, dialect, id=f"{case['n']}-{dialect}")
        for case in CASES["cases"]
        for dialect in DIALECTS
    ]


def ports_of(case):
    return CASES["standard_ports"] if case["ports"] == "standard" else case["ports"]


def learning_port(port):
    setting = VlanSetting(
        mode=port["vlan_mode"],
        vid=port.get("tag", 0),
        allowed=frozenset(port["trunks"]) if "trunks" in port else None,
    )
    return Port(
        name=port["name"],
        vlan=setting,
        mtu=port.get("mtu", 1500),
        isolated=port.get("isolated", False),
    )


def hyperv_port(port, own):
    role = CASES["hyperv_roles"][port["name"]]
    shared = {"mtu": port.get("mtu", 1500), "isolated": port.get("isolated", False)}
    if role["kind"] == "uplink":
        setting = VlanSetting(allowed=frozenset(role["vlans"]), untagged=role["untagged"])
        return Port(name=port["name"], kind=PortKind.UPLINK, vlan=setting, **shared)
    if role["mode"] == "access":
        setting = VlanSetting(vid=role["vlan"])
    else:
        setting = VlanSetting(mode="trunk", vid=role["native"], allowed=frozenset(role["allowed"]))
    return Port(name=port["name"], mac=own.get(port["name"], role["mac"]), vlan=setting, **shared)


def network_of(case, dialect):
    ports = ports_of(case)
    if dialect == "hyperv":
        own = case.get("hyperv_mac", {})
        return Network(ports=tuple(hyperv_port(port, own) for port in ports))
    static = tuple(
        StaticEntry(port=step["port"], mac=mac_to_key(step["mac"]), vlan=step["vlan"])
        for step in case["steps"]
        if "op" in step
    )
    return Network(
        ports=tuple(learning_port(port) for port in ports), dialect=Dialect.LEARNING, static=static
    )


def frame_of(step, dialect):
    data = bytes.fromhex(step["hex"]) + bytes(step.get("zeros", 0))
    assert len(data) == step["len"]
    if dialect == "hyperv" and "hyperv_dst_src" in step:
        data = bytes.fromhex("".join(step["hyperv_dst_src"]).replace(":", "")) + data[12:]
    return Frame(data, len(data))


def tags(data):
    """Tags of a frame in the facts' notation: 10, 10p5d, 88a8:10, 10/20."""
    shown, at = [], 12
    while int.from_bytes(data[at : at + 2], "big") in (0x8100, 0x88A8, 0x9100):
        tpid, tci = data[at : at + 2].hex(), int.from_bytes(data[at + 2 : at + 4], "big")
        text = ("" if tpid == "8100" else f"{tpid}:") + str(tci & 0xFFF)
        text += f"p{tci >> 13}" if tci >> 13 else ""
        text += "d" if tci & 0x1000 else ""
        shown.append(text)
        at += 4
        if len(data) < at + 2:
            break
    return "/".join(shown)


def check(wanted, verdict, reason, out, suppressed):
    expected = {"forward": (Verdict.UNICAST, Verdict.FLOODED), "drop": (Verdict.DROPPED,)}
    assert verdict in expected.get(wanted["verdict"], (Verdict.DROPPED,))
    assert sorted(out) == sorted([port, shown, size] for port, shown, size in wanted["out"])
    if "reason" in wanted:
        assert reason.label == wanted["reason"]
    if "suppressed" in wanted and suppressed is not None and len(wanted["out"]):
        assert sorted(suppressed) == sorted(map(list, wanted["suppressed"]))


@pytest.mark.parametrize(("case", "dialect"), cases())
def test_decision(case, dialect):
    network = network_of(case, dialect)
    switch, twin = Switch(network), twin_of(network, None)
    names = [port.name for port in network.ports]
    for step, wanted in zip(case["steps"], case["decision"][dialect], strict=True):
        if "op" in step:
            continue
        frame = frame_of(step, dialect)
        outcome = twin.decide(frame, names.index(step["in"]))
        copies = [(names[copy.port], copy.leave(frame)) for copy in outcome.copies]
        out = [[port, tags(left.data), left.wirelen] for port, left in copies]
        held = [[names[number], reason.label] for number, reason in outcome.suppressed]
        check(wanted, outcome.verdict, outcome.reason, out, held)
        sent = switch.send(frame, step["in"])
        assert sent == copies


@pytest.mark.skipif(CASES is None, reason=f"{FACTS} is absent")
def test_every_case_and_both_dialects_are_tried():
    assert len(CASES["cases"]) == 106
    assert len(cases()) == 212
    reasons = {
        step["reason"]
        for case in CASES["cases"]
        for dialect in DIALECTS
        for step in case["decision"][dialect]
        if "reason" in step
    }
    assert reasons <= {reason.label for reason in DropReason}
