"""The examples run, and show what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"

SHOWN = {
    "replay_captures.py": [
        "<Result: in 9827, unicast 9808, flooded 13, dropped 6, copies 9859>",
        "vm1: 00:15:5d:01:0a:00 VLAN 10, vmq queue 1: 2066 frames",
        "dropped 1 for runt, see: vswitch explain --queues 8",
    ],
    "throughput.py": ["256 VMs in 16 VLANs", "64     vmq ", "imix   software "],
    "ports_in_motion.py": [
        "db moved to VLAN 30          {'web': '500 by vmq'} {'unknown-from-uplink': 500}",
        "a new VM has its address     {'db': '500 by vmq', 'web2': '500 by vmq'}",
        "6000 frames in, 4500 delivered, 1500 dropped",
    ],
    "send_scapy_packet.py": [
        "uplink: VLAN 20, Ether / Dot1Q / IP / ICMP 10.0.0.1 > 10.0.0.255 echo-request 0",
        "vm2: untagged, Ether / IP / ICMP 10.0.0.1 > 10.0.0.255 echo-request 0",
    ],
    "explain_frame.py": [
        "in=web dst=db len=100: unicast",
        "  5 verdict: Dropped: The frame, as it would leave, is longer than the egress",
        "in=web src=db dst=broadcast: dropped",
    ],
    "which_sessions_survive.py": [
        "a blackout of 300ms: {'connections': 3, 'survived': 3, 'timed_out': 0",
        "a blackout of 12s: {'connections': 3, 'survived': 2, 'timed_out': 1",
        "dropped: stalls 1.68 to 1.70 s; the first one dies 817 s later",
        "held: stalls 1.00 to 1.02 s",
    ],
    "run_a_cluster.py": [
        "sound",
        "mover False: 488 host-minutes overloaded, 0 moves",
        "mover True: 0 host-minutes overloaded, 3 moves",
        "web1: node1 has 88% of its processors in use, above 85% since 09:55",
    ],
    "plan_a_move.py": [
        "live        19.7",
        "quick       17.32 s in all, blackout   17316.6 ms",
        "It does not converge: what is left gets no smaller",
        "rarp of 60 bytes 0 ms after the start: ff ff ff ff ff ff 00 15 5d 00 00 01 80 35",
    ],
}
ARGUMENTS = {"throughput.py": ["20000"]}


def test_every_example_is_held_to_something() -> None:
    assert sorted(SHOWN) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.whole_program
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_example_shows_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *ARGUMENTS.get(name, [])],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in SHOWN[name]:
        assert text in done.stdout
