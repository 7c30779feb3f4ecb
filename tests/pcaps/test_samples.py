from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tshark

import pcaps
from pcaps import samples
from pcaps.errors import BadInput
from pcaps.samples import office
from pcaps.samples.recipes import RECIPES

README = Path(samples.__file__).with_name("README.md").read_text()


RECORDED = ["kernel_bulk.pcapng", "kernel_http.pcapng", "kernel_rr.pcapng"]


def frames_in_readme(name: str) -> int:
    found = re.search(rf"^\| `{re.escape(name)}` \| (\d+) \|", README, re.MULTILINE)
    assert found is not None, f"README.md has no row for {name}"
    return int(found[1])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_making_a_sample_again_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    RECIPES[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() == samples.path(name).read_bytes()


def test_every_recipe_is_shipped_and_every_other_sample_is_a_recording() -> None:
    assert samples.names() == sorted([*RECIPES, *RECORDED])


def test_the_readme_says_which_samples_are_recorded() -> None:
    section = README.partition("\n## Recorded\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)) == RECORDED


def test_a_sample_is_found_with_and_without_its_suffix() -> None:
    assert samples.path("office") == samples.path("office.pcapng")


def test_an_unknown_sample_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(BadInput, match=r"no sample 'offices'; there are cut\.pcap, damaged\.pcap"):
        samples.path("offices")


def test_all_samples_together_stay_small() -> None:
    assert sum(samples.path(name).stat().st_size for name in samples.names()) < 2_000_000


@pytest.mark.parametrize("name", sorted({*RECIPES, *RECORDED} - {"damaged.pcap"}))
def test_the_readme_names_the_number_of_frames(name: str) -> None:
    capinfos = shutil.which("capinfos")
    if capinfos is None:
        pytest.skip("capinfos is not installed")
    done = subprocess.run(
        [capinfos, "-T", "-r", "-M", "-c", str(samples.path(name))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) == frames_in_readme(name)


@pytest.mark.parametrize(
    "name", ["office.pcapng", "tcp_sessions.pcap", "jumbo.pcap", "qinq.pcap", *RECORDED]
)
def test_tshark_finds_no_wrong_checksum_and_no_fault_in_a_session(name: str) -> None:
    wrong = (
        "!frame.comment && (tcp.checksum.status == 0 || udp.checksum.status == 0 || ip.checksum.status == 0 "
        "|| tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment "
        "|| tcp.analysis.out_of_order || _ws.malformed)"
    )  # the office's odd frames carry a comment
    assert tshark.fields(samples.path(name), "frame.number", only=wrong) == []


@pytest.mark.parametrize(("name", "n"), [("tcp_sessions.pcap", 2), ("office.pcapng", 1)])
def test_the_retransmissions_of_the_readme_are_there(name: str, n: int) -> None:
    rows = tshark.fields(samples.path(name), "tcp.len", only="tcp.analysis.retransmission")
    assert len(rows) == n


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_is_whole_frames_of_the_address_block_for_documentation(name: str) -> None:
    for frames in pcaps.open(samples.path(name)):
        assert (frames.caplen == frames.wirelen).all()
        assert frames.wirelen.max() <= 1514  # above segmentation offload they would be longer
    ends = {tuple(row) for row in tshark.fields(samples.path(name), "ip.src", "ip.dst", only="ip")}
    assert ends == {("192.0.2.1", "192.0.2.10"), ("192.0.2.10", "192.0.2.1")}
    assert tshark.fields(samples.path(name), "frame.number", only="tcp.analysis.flags") == []


def test_the_comments_of_the_office_are_found_by_a_display_filter() -> None:
    rows = tshark.fields(samples.path("office"), "frame.comment", only="frame.comment")
    assert len(rows) == 21
    assert len({tuple(row) for row in rows}) == 21


def test_the_office_in_the_readme_is_that_of_the_code() -> None:
    for vm in office.VMS:
        vlan = {0: "untagged", 30: "30 (PCP 5)"}.get(vm.vlan, str(vm.vlan))
        assert f"| {vm.name} | {vm.mac} | {vlan} | {vm.ip} |" in README


def test_every_vm_of_the_office_gets_frames() -> None:
    rows = tshark.fields(samples.path("office"), "eth.dst")
    assert {vm.mac for vm in office.VMS} <= {row[0] for row in rows}
