"""What the documents show is run, what they name exists, what they list is what the code has.

A document's ``python`` blocks run one after the other in one process, its ``sh`` and
``console`` blocks in one directory, which has the samples and examples. A ``text`` block
behind a ``python`` block, and what stands below a ``$`` line of a ``console`` block, is
what must be printed; ``...`` stands for anything. A comment ``exits with 2`` says that a
command is meant to.
"""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from migration.cluster.faults import FATES, MEANINGS, PHASES, Kind
from migration.cluster.findings import CHECKS
from migration.cluster.invariants import INVARIANTS
from migration.cluster.single import PHASES as MET_AT
from migration.fate import Fate
from nic.chimney_rules import NotOffloaded, Status, UploadReason
from nic.drops import AdapterDrop
from nic.offloads import AVAILABLE, ON, Offload
from nic.profiles import PRESETS, PROFILES
from nic.rsc import Ended
from nic.vmq import TRANSITIONS, QueueState
from pcaps.damage import TELLS
from vswitch.cli import COMMANDS
from vswitch.scenario import loads
from vswitch.scenario_reference import reference
from vswitch.verdict import DropReason

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pcaps", "nic", "vswitch")
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(path for package in (*PACKAGES, "migration", "tests", "examples")
          for path in (ROOT / package).rglob("*.md")),
    ]
)  # fmt: skip
MARK = "\x1e"


class Block(NamedTuple):
    """A fenced block: its language, text, and the line that it begins on."""

    language: str
    text: str
    line: int


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks_of(path):
    text = path.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(one[1], one[2], text.count("\n", 0, one.start()) + 1) for one in found]


def prose_of(path):
    """The text outside fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)


def with_blocks(*languages):
    return [
        pytest.param(path, id=name_of(path))
        for path in DOCUMENTS
        if any(block.language in languages for block in blocks_of(path))
    ]


@pytest.fixture
def desk(tmp_path):
    """A directory in which the paths that documents use lead to samples and examples."""
    (tmp_path / "pcaps").mkdir()
    (tmp_path / "pcaps" / "samples").symlink_to(ROOT / "pcaps" / "samples")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(command, desk):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "PYTHONUTF8": "1",
        "COLUMNS": "110",
    }
    return subprocess.run(
        command, cwd=desk, env=environment, capture_output=True, text=True, check=False
    )


def lines_of(output):
    """The lines, without what a first run says of compiling."""
    lines = [line.rstrip() for line in output.splitlines()]
    told = re.compile(r"(vswitch: )?(compiling kernels|compiled in)")
    return "\n".join(line for line in lines if not told.match(line)) + "\n"


def assert_printed(wanted, printed, where):
    alike = doctest.OutputChecker().check_output(
        lines_of(wanted), lines_of(printed), doctest.ELLIPSIS
    )
    assert alike, f"{where} prints:\n{printed}"


@pytest.mark.whole_program
@pytest.mark.parametrize("path", with_blocks("python"))
def test_python_blocks_run_and_print_what_they_show(path, desk):
    blocks = blocks_of(path)
    code, wanted = [], []
    for block, following in zip(blocks, [*blocks[1:], Block("", "", 0)], strict=True):
        if block.language == "python":
            code.append(block.text)
            shown = following.text if following.language == "text" else "...\n"
            wanted.append((block.line, shown))
    done = run([sys.executable, "-c", f"print({MARK!r})\n".join(code)], desk)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{MARK}\n")
    for (line, shown), output in zip(wanted, printed, strict=True):
        assert_printed(shown, output, f"{name_of(path)}:{line}")


def commands_of(block):
    """Yield (command, what it prints or None) of a block."""
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        yield from ((line, None) for line in text.splitlines())
        return
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.rstrip("\n") + "\n" if output.strip() else None


@pytest.mark.whole_program
@pytest.mark.parametrize("path", with_blocks("sh", "console"))
def test_shown_commands_run_and_print_what_they_show(path, desk):
    for block in blocks_of(path):
        if block.language not in ("sh", "console"):
            continue
        for command, shown in commands_of(block):
            if not command.startswith("vswitch "):
                continue
            done = run(["bash", "-o", "pipefail", "-c", command], desk)
            meant = re.search(r"exits with (\d)", command)
            assert done.returncode == (int(meant[1]) if meant else 0), f"{command}\n{done.stderr}"
            if shown is not None:
                assert_printed(shown, done.stdout + done.stderr, command)


@pytest.mark.parametrize("path", with_blocks("toml"))
def test_shown_scenarios_are_sound(path):
    for block in blocks_of(path):
        if block.language == "toml":
            assert loads(block.text, f"{name_of(path)}:{block.line}").networks


def slug(heading):
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(path)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose_of(linked), re.M)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_named_files_exist(path):
    folders = "|".join((*PACKAGES, "migration", "tests", "docs", "examples", "benchmarks"))
    for span in re.findall(r"`[^`\n]+`", prose_of(path)):
        for named in re.findall(rf"(?<![\w/.])(?:{folders})/[\w./-]+", span):
            assert (ROOT / named).exists(), named


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_named_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", path.read_text())) <= targets


def rows_of(path, heading):
    """The cells of the table rows below a heading, without the table's head."""
    section = path.read_text().partition(f"\n{heading}\n")[2]
    section = re.split(r"^#", section, maxsplit=1, flags=re.M)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines, f"{name_of(path)} has no table below '{heading}'"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("package", PACKAGES)
def test_architecture_names_every_module_once(package):
    rows = rows_of(ROOT / "docs" / "architecture.md", f"### {package}")
    named = [one for cells in rows for one in re.findall(r"`([\w/]+\.py)`", cells[0])]
    there = [
        str(path.relative_to(ROOT / package))
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert sorted(named) == sorted(there)
    assert all(len(cells) == 2 and cells[1] for cells in rows)


def test_scenario_reference_is_what_the_models_say():
    made = (ROOT / "docs" / "scenario.md").read_text()
    assert made == reference(), "make it again: vswitch scenario reference > docs/scenario.md"


def test_drop_reasons_of_the_manuals_are_those_of_the_code():
    rows = rows_of(ROOT / "vswitch" / "README.md", "## Verdicts and reasons")
    assert rows == [[f"`{reason.label}`", reason.sentence] for reason in DropReason]
    rows = rows_of(ROOT / "nic" / "README.md", "## Drops on board")
    assert rows == [[f"`{reason.label}`", reason.sentence] for reason in AdapterDrop]
    rows = rows_of(ROOT / "migration" / "README.md", "### Files of a replay")
    assert rows[-len(Fate) :] == [[f"`{fate.label}`", fate.sentence] for fate in Fate]


def test_life_cycle_of_the_manual_is_the_transition_table():
    rows = rows_of(ROOT / "nic" / "README.md", "## Life of a VM queue")
    wanted = [
        [f"`{event}`", *(targets.get(state, "") for state in QueueState)]
        for event, targets in TRANSITIONS.items()
    ]
    assert rows == wanted


def test_profiles_and_presets_of_the_manual_are_those_of_the_code():
    rows = rows_of(ROOT / "nic" / "README.md", "## Profiles")
    names = [cells[0].strip("`") for cells in rows]
    assert names == list(PROFILES)
    said = {True: "yes", False: "no"}
    for cells, profile in zip(rows, PROFILES.values(), strict=True):
        assert cells[1:] == [
            profile.title, said[profile.vmq], said[profile.vmq_by_default],
            said[profile.mac_only_filter], said[profile.affinity_changes],
            said[profile.shared_memory], said[profile.guest_jumbo],
        ]  # fmt: skip
    rows = rows_of(ROOT / "nic" / "README.md", "## Adapters to choose from")
    assert [cells[:4] for cells in rows] == [
        [f"`{name}`", one.title, str(one.num_queues), str(one.max_filters)]
        for name, one in PRESETS.items()
    ]


def test_chimney_tables_of_the_manual_are_those_of_the_code():
    manual = ROOT / "nic" / "README.md"
    wanted = [
        [f"`{one}`", "always" if one.mandatory else "if it wants", one.sentence]
        for one in UploadReason
    ]
    assert rows_of(manual, "### Upload reasons") == wanted
    for heading, kind in (
        ("### How an initiate ends", Status), ("### What is not offloaded", NotOffloaded)
    ):  # fmt: skip
        assert rows_of(manual, heading) == [[f"`{one}`", one.sentence] for one in kind]


def test_offloads_by_release_of_the_manual_are_those_of_the_code():
    rows = rows_of(ROOT / "nic" / "README.md", "## Offloads by release")
    said = [
        [
            f"`{one}`",
            *("on" if one in ON[p] else "off" if one in AVAILABLE[p] else "no" for p in PROFILES),
        ]
        for one in Offload
    ]
    assert [cells[:4] for cells in rows] == said


def test_offload_rules_of_the_manual_are_those_of_the_code():
    rows = rows_of(ROOT / "nic" / "README.md", "## Receive segment coalescing")
    named = [one for cells in rows for one in re.findall(r"`([\w-]+)`", cells[0])]
    assert sorted(named) == sorted(one.label for one in Ended)


def test_kinds_of_damage_of_the_manual_are_those_of_the_code():
    rows = rows_of(ROOT / "pcaps" / "README.md", "## Damage")
    assert rows == [[f"`{kind}`", sentence] for kind, sentence in TELLS.items()]


def test_checks_faults_and_invariants_of_the_manual_are_those_of_the_code():
    manual = ROOT / "migration" / "cluster" / "README.md"
    rows = rows_of(manual, "### Checks")
    assert [cells[:3] for cells in rows] == [
        [f"`{one.id}`", one.category.value, one.rule] for one in CHECKS.values()
    ]
    assert [cells[3] for cells in rows] == [MET_AT.get(name, "") for name in CHECKS]
    rows = rows_of(manual, "### Invariants")
    assert rows == [[f"`{name}`", text] for name, text in INVARIANTS.items()]
    for cells in rows_of(manual, "### Kinds"):
        fates = FATES[Kind(cells[0].strip("`"))]
        assert cells[1] == MEANINGS[Kind(cells[0].strip("`"))]
        for cell, phases in zip(cells[2:], (PHASES[:5], PHASES[5:6], PHASES[6:]), strict=True):
            assert list(dict.fromkeys(fates[one].value for one in phases)) == cell.split(", then ")
    assert len(rows_of(manual, "### Kinds")) == len(Kind)


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_of_a_package_names_the_commands_that_it_brings(command):
    package = COMMANDS[command][0].partition(".")[0]
    manual = (ROOT / package / "README.md").read_text()
    assert f"vswitch {command} " in manual or f"`{command}`" in manual
