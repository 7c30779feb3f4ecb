"""The repository keeps its own rules: layers, sizes, words, commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pcaps", "nic", "vswitch", "migration")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_layers_and_kernel_contract_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_one_noun_not_a_room_for_everything(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 520, f"{lines} lines"
    assert path.stem not in ("utils", "helpers", "core", "common", "misc")


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_its_manual_chapter_and_type_marker(package):
    assert (ROOT / package / "README.md").stat().st_size > 300
    assert (ROOT / package / "py.typed").exists()


def test_readme_names_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`?make ([a-z-]+)", readme))
    assert {"demo", "test"} <= named <= targets


def test_changelog_has_the_form_of_keep_a_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog")
    sections = re.findall(r"^### (.*)$", text, re.M)
    assert sections
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_help_needs_neither_numba_nor_numpy_nor_scapy():
    code = (
        "import sys\n"
        "from vswitch.__main__ import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'numba', 'numpy', 'scapy', 'rich', 'pydantic', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_no_foreign_captures_are_shipped():
    shipped = {path.name for path in ROOT.rglob("*.pcap*") if ".venv" not in str(path)}
    ours = {path.name for path in (ROOT / "pcaps" / "samples").iterdir()}
    assert shipped <= ours
