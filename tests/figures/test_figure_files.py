"""Figures as files, each opened again: size, fonts, text, provenance, the same bytes in every process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Timer
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from gemma_circuits import errors
from gemma_circuits.cli import main
from gemma_circuits.figures import Figure, read_about, style
from gemma_circuits.figures.publication import browser
from gemma_circuits.figures.publication.published import KEY

ROOT = Path(__file__).parents[2]
KINDS = ("svg", "pdf", "png", "html")
TEXT = "Größe ğ Ω Ж −1"
MADE = f"""
from gemma_circuits.figures import style
figure = style.figure(
    dict(type="scatter", x=[1, 2, 3], y=[3, 1, 2], name={TEXT!r}),
    dict(type="scatter", x=[1, 2, 3], y=[1, 1, 2], name="<b>fi 東</b>", mode="markers"),
    width="double", height=2, xaxis_title_text="<i>layer</i>", showlegend=True, theme="dark",
)
figure.update_layout(meta={{{KEY!r}: {{"figure": "test", "prompt": "a </metadata> & b"}}}})
"""
"""A figure that Plotly draws with ids by lot: clips, a legend."""


def drawn() -> Figure:
    made: dict = {}
    exec(MADE, made)
    return made["figure"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The figure in every format."""
    folder = tmp_path_factory.mktemp("files")
    return {kind: drawn().write(folder / f"figure.{kind}") for kind in KINDS}


@pytest.fixture
def fresh(monkeypatch):
    """No browser is open yet, and the next one is another's business."""
    monkeypatch.setattr(browser, "_press", cache(lambda process: browser._Press()))


def test_every_file_tells_what_made_it(files, capsys):
    assert [path.suffix[1:] for path in files.values()] == list(KINDS)
    for path in files.values():
        assert read_about(path) == drawn().about != {}
    assert main(["info", *map(str, files.values())]) == 0
    assert capsys.readouterr().out.count("  prompt: 'a </metadata> & b'\n") == 4
    assert main(["info", "--json", str(files["pdf"])]) == 0
    assert '"prompt": "a </metadata> & b"' in capsys.readouterr().out
    assert main(["info", __file__.replace(".py", ".svg")]) == 3


def test_the_same_figure_gives_the_same_bytes_in_any_process(files, tmp_path):
    write = "".join(f"\nfigure.write({str(tmp_path / f'other.{kind}')!r})" for kind in KINDS)
    subprocess.run([sys.executable, "-c", MADE + write], check=True, cwd=ROOT)
    for kind, path in files.items():
        again = drawn().write(tmp_path / f"again.{kind}").read_bytes()
        assert path.read_bytes() == again == (tmp_path / f"other.{kind}").read_bytes(), kind
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{a}.{k}" for a in ("again", "other") for k in KINDS
    )


def test_an_svg_has_text_fonts_and_its_size(files):
    source = files["svg"].read_text()
    root = ElementTree.fromstring(source)
    assert (root.get("width"), root.get("height")) == ("6.8in", "2in")
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert TEXT in texts and "fi 東" in texts and "layer" in texts
    assert len(re.findall("@font-face", source)) == 2 * 4
    assert "font-family: Arimo, Arial" in source
    assert set(re.findall(r"https?://[^\s\"')]+", source)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_page_that_measures_text_has_all_fonts_and_asks_no_server():
    page = browser._Page().generate_index()
    assert page.count("@font-face") == 8 and not re.search("https?://", page)


def fonts_of(page):
    """Name and whether it is embedded, of every font of a page."""
    for font in page["/Resources"]["/Font"].values():
        (inner,) = font.get_object()["/DescendantFonts"]
        held = inner.get_object()["/FontDescriptor"].get_object()
        yield held["/FontName"].partition("+")[2], any(key in held for key in ("/FontFile", "/FontFile2", "/FontFile3"))


def test_a_pdf_has_text_fonts_and_its_size(files):
    reader = PdfReader(files["pdf"])
    (page,) = reader.pages
    width, height = 6.8 * 72, 2 * 72
    assert [float(x) for x in (page.mediabox.width, page.mediabox.height)] == pytest.approx([width, height], abs=1e-3)
    assert page.mediabox == page.cropbox
    text = " ".join(page.extract_text().split())
    assert TEXT in text and "layer" in text
    found = dict(fonts_of(page))
    assert all(found.values()) and {"Arimo-Regular", "Arimo-Bold"} <= set(found)
    assert "/CreationDate" not in (reader.metadata or {}) and "/ModDate" not in (reader.metadata or {})
    assert reader.metadata and reader.metadata.title == "test: a </metadata> & b"
    assert files["pdf"].read_bytes().startswith(b"%PDF-1.4")


def pixels(data):
    """(width, height), the rows as they are stored, and pixels per metre; the chunks are whole."""
    at, parts = 8, {}
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        parts[kind] = parts.get(kind, b"") + body
        at += length + 12
    return (
        struct.unpack_from(">II", parts[b"IHDR"]),
        zlib.decompress(parts[b"IDAT"]),
        struct.unpack(">IIB", parts[b"pHYs"]),
    )


def top(rows, width):
    """The pixels of the first row, unfiltered (Portable Network Graphics, section 9)."""
    out: list[int] = []
    for place, byte in enumerate(rows[1 : 1 + 3 * width]):
        left = out[place - 3] if place > 2 else 0
        out.append((byte + (0, left, 0, left // 2, left)[rows[0]]) % 256)
    return bytes(out)


def near(found, expected):
    """To within a step of colour: painting over a part of a pixel rounds."""
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1


def test_a_png_has_its_dpi_and_is_painted_to_its_edges(files, tmp_path):
    paper = bytes.fromhex(style.PAPER["dark"][1:])
    size, rows, resolution = pixels(files["png"].read_bytes())
    assert size == (6.8 * 300, 2 * 300) and resolution == (11811, 11811, 1)
    assert near(top(rows, 2040), paper * 2040) and len(set(rows)) > 50
    size, rows, resolution = pixels(drawn().write(tmp_path / "coarse.PNG", dpi=72).read_bytes())
    assert size == (490, 144) and resolution == (2835, 2835, 1)
    assert near(top(rows, 490), paper * 490), "the last column too, which the figure covers in part"


def test_a_page_is_drawn_offline_with_its_fonts(files, chromium):
    context = chromium.new_context(offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(files["html"].as_uri())
    page.wait_for_selector(".legendtext")
    texts = page.locator("text").all_text_contents()
    loaded = page.evaluate("[...document.fonts].map((font) => font.status)")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    buttons = page.locator(".modebar-btn").evaluate_all("found => found.map((each) => each.dataset.title)")
    context.close()
    assert said == [] and loaded == ["loaded"] * 8 and TEXT in texts
    assert ground == "rgb(22, 24, 28)"
    assert "Pan" in buttons and not [name for name in buttons if "Share" in name]


def test_writing_works_while_an_event_loop_runs(tmp_path):
    async def cell():
        return drawn().write(tmp_path / "figure.png", dpi=50)

    with ThreadPoolExecutor(1) as pool:  # in this thread, the browser of the tests has a loop
        written = pool.submit(asyncio.run, cell()).result()
    assert read_about(written) == drawn().about


@pytest.mark.parametrize(
    "name, options, expected",
    [
        ("figure.gif", {}, r"ending in \.pdf, \.svg, \.png, \.html, got 'figure.gif'"),
        ("figure", {}, "ending in"),
        ("no/such/figure.pdf", {}, "a folder that exists"),
        ("figure.png", {"dpi": 0}, "dpi"),
        ("figure.png", {"dpi": 10_000}, "at most 2400"),
        ("figure.png", {"dpi": float("nan")}, "dpi"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch, name, options, expected):
    monkeypatch.setattr(browser, "browse", lambda *_: pytest.fail("a browser was asked"))
    with pytest.raises((errors.FigureError, errors.StorageError), match=expected):
        drawn().write(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_the_error_says_what_to_install(tmp_path, monkeypatch, fresh):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    for kind in ("pdf", "png", "svg"):
        with pytest.raises(errors.NoBrowserError, match=r"apt install chromium.*plotly_get_chrome.*HTML, and SVG"):
            drawn().write(tmp_path / f"figure.{kind}")
    assert list(tmp_path.iterdir()) == []
    assert read_about(drawn().write(tmp_path / "figure.html")) == drawn().about


def test_a_browser_that_fails_leaves_the_old_file_and_the_next_one_works(tmp_path, monkeypatch, fresh):
    old = tmp_path / "figure.png"
    old.write_bytes(b"old")
    with monkeypatch.context() as broken:
        broken.setenv("BROWSER_PATH", "/bin/false")
        with pytest.raises(errors.FigureError, match=r"figure.png: expected a picture from the browser.*/bin/false"):
            drawn().write(old)
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]
    with monkeypatch.context() as slow:
        slow.setattr(browser, "PATIENCE", 0.001)
        with pytest.raises(errors.FigureError, match="TimeoutError"):
            drawn().write(old)
    Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        drawn().write(old)
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]
    monkeypatch.setattr(browser, "IDLE", 0)
    assert read_about(drawn().write(old)) == drawn().about
    press, until = browser._press(os.getpid()), time.monotonic() + 60
    while press._browser is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert press._browser is None, "it closes when nothing more is drawn"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.sampled_from(["pdf", "png", "svg"]),
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 255)), min_size=1, max_size=20),
    st.none() | st.integers(0, 60_000),
)
def test_a_damaged_file_is_read_or_refused(files, tmp_path, kind, changes, end):
    data = bytearray(files[kind].read_bytes())
    for place, byte in changes:
        data[place % len(data)] = byte
    file = tmp_path / f"damaged.{kind}"
    file.write_bytes(data[:end])
    with contextlib.suppress(errors.FigureError):
        assert isinstance(read_about(file), dict)
