"""The page of a benchmark: asks for nothing, leads everywhere, and a real browser shows it."""

from __future__ import annotations

import html
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from xml.etree import ElementTree

import numba
import pytest

from vswitch.bench import Selection, run
from vswitch.bench_rows import Rows, gbps
from vswitch.costs import NAMES
from vswitch.page import COLUMNS, cells_of, page


class Document(HTMLParser):
    """Tags, ids and links of a page."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.attributes = [], [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.tags.add(tag)
        self.attributes += attrs
        if "id" in facts:
            self.ids.append(facts["id"])
        if tag == "a":
            self.links.append(facts["href"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        if numba.config.DISABLE_JIT:
            patch.setattr("vswitch.bench_load.POOL_FRAMES", 200)
        yield made()


def made():
    seconds = 0.0002 if numba.config.DISABLE_JIT else 0.005
    frames, vms = (
        (("1514", "9014"), (4,)) if numba.config.DISABLE_JIT else (("1514", "9014"), (1, 4))
    )
    modes = ("r1", "r2", "r2-vmq", "r2-vmq-jumbo", "r2-chimney", "2012")
    return Rows(run(Selection(modes, frames, vms, (1, 4, 8), seconds)))


@pytest.fixture(scope="module")
def text(rows):
    return page(rows)


def test_it_is_well_formed_and_so_is_every_drawing(text):
    document = Document(text)
    assert document.open == []
    drawings = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(drawings) >= 8
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_it_asks_for_nothing_and_runs_nothing(text):
    document = Document(text)
    assert not {"script", "link", "img", "iframe", "object"} & document.tags
    loading = ("src", "srcset", "poster", "data", "action")
    assert not [one for one in document.attributes if one[0] in loading]
    assert not [one for one in document.attributes if one[0].startswith("on")]
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    # and it forbids the browser both: no scripts, no network
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in document.attributes


def test_every_link_leads_to_something_and_ids_are_unique(text):
    document = Document(text)
    assert all(link.startswith("#") and link[1:] in document.ids for link in document.links)
    assert len(document.ids) == len(set(document.ids))


def test_every_step_leads_to_its_constant_and_every_constant_to_its_source(text, rows):
    document = Document(text)
    constants = {one["name"]: one for one in rows.result["hosts"]["r2"]["costs"]}
    assert set(constants) == set(NAMES)
    for name, constant in constants.items():
        assert f"cost-r1-{name}" in document.ids  # one table for all modes that have the same
        assert constant["source"] in html.unescape(text)
    linked = {link.rpartition("-")[2] for link in document.links if link.startswith("#cost-")}
    assert {"rx_driver", "vmbus_signal", "tcp_segment", "chimney_buffer"} <= linked


def test_the_table_has_every_row(text, rows):
    table = re.search(r'<h2 id="rows">.*?<table>(.*?)</table>', text, re.S)[1]
    assert table.count("<tr>") == len(rows) + 1
    for row in rows:
        cells = cells_of(row)
        assert len(cells) == len(COLUMNS)
        assert cells[4] == f"{gbps(row):.2f}"


def test_measured_figures_stand_in_their_own_section(text):
    before, _, behind = text.partition('<h2 id="measured">')
    assert "Mpps" in behind
    assert "Mpps" not in before
    assert "no single constant is confirmed" in before


def test_published_figures_are_there_with_ours(text):
    section = re.search(r'<h2 id="published">(.*?)<h2 id="rows">', text, re.S)[1]
    assert "Synthetic Accelerations" in section
    assert "within" in section or numba.config.DISABLE_JIT


def _pixels(png: bytes) -> set[bytes]:
    """The colours of a PNG of 8 bits a channel, as they stand in its filtered rows."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        (size,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    raw = zlib.decompress(data)
    return {raw[n : n + 3] for n in range(0, len(raw), 3)}


@pytest.mark.whole_program
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_shows_it_from_a_file(text, tmp_path, scheme):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium; apt-get install chromium")
    if scheme == "dark":  # headless Chromium has no switch for the reader's preference
        text = text.replace("(prefers-color-scheme:dark)", "all")
    (tmp_path / "report.html").write_text(text)
    shot = tmp_path / "shot.png"
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1000,2400", f"--screenshot={shot}", (tmp_path / "report.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert shot.exists(), done.stderr
    assert len(_pixels(shot.read_bytes())) > 500, "the page is nearly empty"
