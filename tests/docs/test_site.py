"""The documentation as a site: it builds without a warning, works from a disk and a server, and needs no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePath
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

MISTAKES = {
    "a page that the navigation leaves out": ("forgotten.md", "# Forgotten\n"),
    "a link to no page": ("index.md", "[gone](gone.md)\n"),
    "a link to no heading": ("index.md", "[gone](costs.md#gone)\n"),
    "a link out of the folder": ("index.md", "[README](../README.md)\n"),
}


def _build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder. Without `--quiet`: what that does not log, `--strict` does not count."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built, in a folder whose name a URL has to escape."""
    place = tmp_path_factory.mktemp("build") / "site #1"
    built = _build(checkout, place)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return place


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Reader:
    """Somebody at a page of the site, and all that the page asked for and complained about."""

    page: Page
    root: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, name: str) -> None:
        self.page.goto(f"{self.root}/{name}.html")

    def search(self, words: str) -> Locator:
        self.page.keyboard.press("s")
        self.page.get_by_title("Type search term here").fill(words)
        return self.page.locator("#mkdocs-search-results").get_by_role("article")


@pytest.fixture(params=["disk", "server"])
def reader(request: pytest.FixtureRequest, browser: Browser, site: Path) -> Iterator[Reader]:
    """Read the site from the disk and from a server, whose pages ask nobody else and complain of nothing."""
    root = site.as_uri() if request.param == "disk" else request.getfixturevalue("served")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(10_000)
    reading = Reader(context.new_page(), root)
    reading.watch()
    yield reading
    context.close()
    assert reading.complaints == []
    assert [url for url in reading.asked if not url.startswith(root)] == []


def test_every_page_opens(reader: Reader, site: Path) -> None:
    """From the disk and from a server, by the links of the menu."""
    reader.open("index")
    links: list[str] = reader.page.locator(".dropdown-item[href]").evaluate_all("links => links.map(({href}) => href)")
    assert {PurePath(link).stem for link in links} == {path.stem for path in site.glob("*.html")} - {"index", "404"}
    for link in links:
        reader.page.goto(link)


def test_a_word_is_found(reader: Reader) -> None:
    """What is typed is looked for in every page, and a click leads to the section that has it."""
    reader.open("costs")
    found = reader.search("loudness OCTETS")
    assert found.count() == 0
    assert "No results found" in reader.page.locator("#mkdocs-search-results").inner_text()
    found = reader.search("integrated LUFS")
    first = found.get_by_role("link").first
    assert first.inner_text() == "Commands: The page to listen"
    first.click()
    reader.page.wait_for_url("**/commands.html#the-page-to-listen")


def test_a_reader_chooses_dark(reader: Reader) -> None:
    """The next page is dark, too, and light again on demand."""
    reader.open("index")
    for mode, background in (("Dark", "rgb(33, 37, 41)"), ("Light", "rgb(255, 255, 255)")):
        reader.page.get_by_label("Toggle theme").click()
        reader.page.get_by_role("button", name=mode).click()
        reader.open("costs")
        assert reader.page.evaluate("getComputedStyle(document.body).backgroundColor") == background


def test_the_site_builds_without_warnings_and_leads_to_every_page(site: Path, checkout: Path) -> None:
    """Each page is built, and the navigation of the first one links to it."""
    start = (site / "index.html").read_text("utf-8")
    menu = set(re.findall(r'<a href="([a-z-]+)\.html" class="[^"]*dropdown-item', start))
    assert menu == {path.stem for path in (checkout / "docs").glob("*.md")} - {"index"}
    assert all((site / f"{name}.html").is_file() for name in menu)


def test_every_block_is_one(site: Path) -> None:
    """Also where tests are told what it needs: no mark of a block, and no heading's, is left in a page's text."""
    pages = {path.name: path.read_text("utf-8") for path in site.glob("*.html")}
    assert [name for name, text in pages.items() if re.search(r"```|^## ", text, flags=re.MULTILINE)] == []


@pytest.mark.parametrize(("name", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_ends_the_build(checkout: Path, tmp_path: Path, name: str, text: str) -> None:
    """A build that only warned would let the mistake through."""
    shutil.copytree(checkout / "docs", tmp_path / "docs")
    shutil.copy2(checkout / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / name).open("a", encoding="utf-8") as page:
        page.write(f"\n{text}")
    built = _build(tmp_path, tmp_path / "site")
    assert built.returncode == 1
    assert "Aborted with 1 warnings in strict mode" in built.stdout + built.stderr


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """Scripts, styles, pictures and fonts all come with it."""
    loads = r'<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]*"|url\(["\']?(?:https?:)?//[^)]*\)'
    files = [path for ending in ("html", "css") for path in site.rglob(f"*.{ending}")]
    assert files
    assert [found for path in files for found in re.findall(loads, path.read_text("utf-8"))] == []
