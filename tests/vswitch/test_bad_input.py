"""What goes wrong outside the program: one sentence, the right exit status, no half file, bounded memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pcaps import samples
from pcaps.classic_writer import ClassicWriter
from pcaps.sizes import SizeMix
from pcaps.traffic import TrafficPlan, synthesise

OFFICE = str(samples.path("office"))
pytestmark = pytest.mark.whole_program

HEADER = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
SECTION = bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000")
INTERFACE = bytes.fromhex("0100000014000000010000000000000014000000")


def record(caplen, wirelen, data):
    return bytes(8) + caplen.to_bytes(4, "little") + wirelen.to_bytes(4, "little") + data


def packet(interface, caplen, body, length):
    size = length.to_bytes(4, "little")
    return (
        b"\x06\0\0\0" + size + interface.to_bytes(4, "little") + b"\xff" * 8
        + caplen.to_bytes(4, "little") * 2 + body + size
    )  # fmt: skip


FRAME = bytes.fromhex("00155d000001020000000001") + b"\x08\x00" + bytes(46)
GOOD = record(60, 60, FRAME)
HOSTILE = {
    "a record of 4 GB": HEADER + GOOD + record(0xFFFFFFFF, 60, FRAME),
    "a record that is cut": HEADER + GOOD + record(60, 60, FRAME)[:-7],
    "a header that is cut": HEADER + GOOD + bytes(9),
    "a block of length 0": SECTION + INTERFACE + packet(0, 60, FRAME, 92) + b"\x06\0\0\0" + bytes(8),
    "a block of odd length": SECTION + INTERFACE + packet(0, 60, FRAME, 92) + packet(0, 60, FRAME, 93),
    "an interface that is not there": SECTION + INTERFACE + packet(0, 60, FRAME, 92)
    + packet(7, 60, FRAME, 92),
    "a packet longer than its block": SECTION + INTERFACE + packet(0, 60, FRAME, 92)
    + packet(0, 6000, FRAME, 92),
}  # fmt: skip


def process(*words, **settings):
    command = [sys.executable, "-m", "vswitch", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **settings)


def one_sentence(done, status=2):
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("vswitch: ")]
    assert done.returncode == status, done.stderr
    assert len(lines) == 1, done.stderr
    assert b"Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_capture_keeps_the_frame_before_the_damage(what, tmp_path):
    path = tmp_path / "hostile.pcap"
    path.write_bytes(HOSTILE[what])
    done = process("replay", path, "--json", "-o", tmp_path / "out")
    facts = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert facts["frames"]["in"] == 1
    assert facts["captures"][0]["damage"]["frame"] == 1
    assert (tmp_path / "out" / "queues.pcapng").exists()
    strict = process("replay", path, "--strict", "-o", tmp_path / "strict")
    assert "hostile.pcap" in one_sentence(strict)
    assert not (tmp_path / "strict").exists()


def test_time_that_overflows_is_no_trouble(tmp_path):
    path = tmp_path / "late.pcap"
    path.write_bytes(HEADER + b"\xff" * 8 + GOOD[8:] * 2)
    assert json.loads(process("replay", path, "--json").stdout)["frames"]["in"] == 1


@pytest.mark.parametrize(
    "words", [f"capture index {OFFICE}", f"replay {OFFICE}", f"replay {OFFICE} --json"]
)
def test_a_reader_that_goes_away_is_not_an_error(words):
    command = f"{sys.executable} -m vswitch {words} | (sleep 0.1; head -c 1)"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_failed_expectation_is_told_though_the_reader_has_gone_away(tmp_path):
    lab = tmp_path / "lab.toml"
    lab.write_text("[expect]\nno_drops = true\n")
    command = f"{sys.executable} -m vswitch replay {OFFICE} -s {lab} | head -c 0"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"dropped" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["capture info -", "capture convert - -", "sessions -"])
def test_a_closed_standard_input_is_one_sentence(words):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m vswitch {words} <&-"], capture_output=True, check=False
    )
    assert "standard input is closed" in one_sentence(done)


def test_a_directory_that_may_not_be_written_is_one_sentence(tmp_path):
    if os.geteuid() == 0:
        target = Path("/proc/vswitch-out")  # nobody may write there, root neither
    else:
        tmp_path.chmod(0o500)
        target = tmp_path / "out"
    said = one_sentence(process("replay", OFFICE, "-o", target))
    assert str(target.parent) in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_unreadable_file_is_one_sentence(tmp_path):
    path = tmp_path / "secret.pcap"
    path.write_bytes(HEADER + GOOD)
    path.chmod(0)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    # what root alone may read, as this Python perhaps, is loaded before it is given up
    reader = (
        "import os, sys\n"
        "from vswitch.__main__ import main\n"
        f"try:\n    main(['capture', 'info', {OFFICE!r}])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "try:\n    main(['capture', 'info', 'no such file'])\n"
        "except SystemExit as stop:\n    assert stop.code == 2\n"
        "sys.stderr.flush()\n"
        "os.setuid(65534)\n"
        f"main(['capture', 'info', {str(path)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", reader], capture_output=True, check=False)
    done.stderr = done.stderr.partition(b"no such file\n")[2]
    assert "secret.pcap" in one_sentence(done)


def test_scenario_mistakes_are_all_told_and_nothing_is_written(tmp_path):
    seven = Path(__file__).resolve().parents[2] / "examples" / "scenarios" / "seven-mistakes.toml"
    done = process("replay", OFFICE, "-s", seven, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.decode().count("seven-mistakes.toml:") == 7
    assert not (tmp_path / "out").exists()


def test_an_unknown_command_is_guessed():
    assert b"did you mean 'replay'?" in process("reply", OFFICE).stderr


def anonymous_bytes(child):
    """Memory of a process that is not pages of files."""
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0  # it has ended


@pytest.mark.parametrize("streamed", [False, True])
def test_memory_beyond_the_file_stays_below_400_mb(streamed, tmp_path):
    path = tmp_path / "big.pcap"
    size = int(os.environ.get("VSWITCH_LARGE_BYTES", "300000000"))
    plan = TrafficPlan(frames=1, sizes=SizeMix.parse("imix"), vms=64, vlans=4).filling(size)
    with ClassicWriter(path) as writer:
        for batch in synthesise(plan, reuse=True):
            writer.write(batch)
    command = [sys.executable, "-m", "vswitch", "replay", "-" if streamed else path, "--json"]
    command += [] if streamed else ["-o", tmp_path / "out"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    peak = 0
    with path.open("rb") as data:
        while streamed and (piece := data.read(8 << 20)):
            child.stdin.write(piece)
            peak = max(peak, anonymous_bytes(child))
    child.stdin.close()
    while child.poll() is None:
        peak = max(peak, anonymous_bytes(child))
        time.sleep(0.005)
    assert child.returncode == 0
    assert 50_000_000 < peak < 400_000_000


def test_a_growing_file_is_read_to_the_size_it_had(tmp_path):
    path = tmp_path / "growing.pcap"
    path.write_bytes(HEADER + GOOD * 5000)
    command = [sys.executable, "-m", "vswitch", "replay", str(path), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with path.open("ab") as growing:
        while child.poll() is None:
            growing.write(GOOD * 10)
            growing.flush()
            time.sleep(0.005)
    out, error = child.communicate()
    facts = json.loads(out)
    assert child.returncode == 0, error
    assert facts["frames"]["in"] >= 5000
    assert facts["frames"]["in"] == facts["captures"][0]["frames"]
