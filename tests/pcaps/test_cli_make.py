from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcaps.cli_make import synth
from pcaps.errors import BadInput


def run(*arguments: str) -> Result:
    return CliRunner().invoke(synth, arguments)


def refusal(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, BadInput), result.output
    return result.exception.what


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        asked = ["--frames", "500", "--tcp-sessions", "2", "--seed", seed]
        assert run(str(tmp_path / name), *asked).exit_code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_sentence_says_what_was_written(tmp_path: Path) -> None:
    out = str(tmp_path / "x.pcap")
    result = run(out, "--frames", "1000", "--size", "64")
    assert result.output.startswith(f"wrote 1,000 frames, 80,024 bytes, to {out} (pcap) in ")


@pytest.mark.parametrize(
    ("name", "options", "magic", "kind"),
    [
        ("x.pcap", [], "d4c3b2a1", "pcap"),
        ("x", [], "d4c3b2a1", "pcap"),
        ("x.pcap", ["--format", "pcap-ns"], "4d3cb2a1", "pcap-ns"),
        ("x.pcapng", [], "0a0d0d0a", "pcapng"),
        ("x.pcapng", ["--format", "pcap"], "d4c3b2a1", "pcap"),
    ],
)
def test_the_suffix_chooses_the_format_unless_it_is_asked_for(
    tmp_path: Path, name: str, options: list[str], magic: str, kind: str
) -> None:
    result = run(str(tmp_path / name), "--frames", "10", "--json", *options)
    assert (tmp_path / name).read_bytes()[:4].hex() == magic
    assert json.loads(result.output)["format"] == kind


def test_json_counts_what_is_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / "x.pcapng.gz"
    said = json.loads(run(str(out), "--frames", "100", "--size", "64", "--json").output)
    assert said["measured"]["wall_s"] >= 0
    assert said["bytes_file"] == out.stat().st_size
    assert {key: said[key] for key in ("schema", "frames", "bytes_wire", "seed", "format")} == {
        "schema": "capture.synth/1", "frames": 100, "bytes_wire": 6400, "seed": 1,
        "format": "pcapng",
    }  # fmt: skip
    assert gzip.decompress(out.read_bytes())[:4].hex() == "0a0d0d0a"


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_bytes_sets_the_size_of_the_file(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"x.{suffix}"
    run(str(out), "--bytes", "1MB", "--size", "imix")
    assert abs(out.stat().st_size / 1e6 - 1) < 0.08


def test_standard_output_takes_the_capture_alone() -> None:
    program = "from pcaps.cli_make import synth; synth()"
    done = subprocess.run(
        [sys.executable, "-c", program, "-", "--frames", "10", "--size", "64"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert len(done.stdout) == 24 + 10 * 80
    assert done.stderr.startswith(b"wrote 10 frames")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "5", "--bytes", "1MB"], "give one of them"),
        (["--size", "huge"], "'huge' is not a size mix"),
        (["--bytes", "lots"], "'lots' is not a number of B"),
        (["--rate", "fast"], "'fast' is not a number of pps"),
        (["--vms", "0"], "vms is 0"),
        (["--unknown", "2"], "unknown is 2.0"),
        (["--vms", "3", "--vlans", "4"], "vlans is 4; it must be 0 to 3"),
    ],
)
def test_bad_values_are_one_sentence_and_leave_no_file(
    tmp_path: Path, options: list[str], message: str
) -> None:
    sentence = refusal(str(tmp_path / "x.pcap"), *options)
    assert message in sentence
    assert "\n" not in sentence
    assert list(tmp_path.iterdir()) == []


def test_json_and_a_capture_cannot_share_standard_output() -> None:
    assert "name a file" in refusal("-", "--json")


def test_help_shows_examples() -> None:
    text = run("--help").output
    assert "vswitch capture synth big.pcap --bytes 1GB" in text
    assert "--oversize SHARE" in text


def test_help_needs_neither_numba_nor_scapy() -> None:
    program = (
        "import sys; from pcaps.cli_make import synth\n"
        "synth(['--help'], standalone_mode=False)\n"
        "assert not {'numba', 'scapy', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
