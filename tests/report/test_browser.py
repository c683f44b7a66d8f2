"""`report.html` in a real browser: it plays, it stays silent about hostile words, and it asks nobody for anything."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from kling_batch.model import RunResult
from kling_batch.report import write_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PLAYING = "(player) => player.currentTime > 0.05"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium not found: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a worker."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Visit:
    """An open page, with all that it asked for and all that it complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open a page and watch it."""
    context = browser.new_context()

    def watch(url: str, **media: Any) -> Visit:
        page = context.new_page()
        seen = Visit(page)
        page.on("request", lambda request: seen.asked.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.emulate_media(**media)
        page.goto(url)
        return seen

    yield watch
    context.close()


@pytest.fixture
def report(tmp_path: Path, make_sounds: Callable[[RunResult, Path], None]) -> Callable[[RunResult], Path]:
    """Write the reports of a run beside real sounds."""

    def write(result: RunResult) -> Path:
        out = tmp_path / "out #1 & more"
        out.mkdir()
        make_sounds(result, out)
        write_reports(result, out)
        return out / "report.html"

    return write


class Server(ThreadingHTTPServer):
    """Serves a folder on the loopback, and keeps what was asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []


class Handler(SimpleHTTPRequestHandler):
    """Answers with files, and prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002 - the base class names them so
        """Keep the path that was asked for."""
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve the test's folder as a CI serves its artifacts."""
    with Server(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _play(page: Page, index: int) -> None:
    """Press the space bar on a player, as a person does, and wait until it sounds."""
    player = page.locator("audio").nth(index)
    player.focus()
    player.press(" ")
    page.wait_for_function(PLAYING, arg=player.element_handle())


def test_a_sound_plays_from_disk(visit: Callable[..., Visit], report: Callable[..., Path], run: RunResult) -> None:
    """The page plays the sounds beside it, loads none before that, and has nothing to complain of."""
    path = report(run)
    seen = visit(path.as_uri())
    assert seen.asked == [path.as_uri()]
    _play(seen.page, 0)
    assert set(seen.asked) == {path.as_uri(), (path.parent / "door-creak-01.wav").as_uri()}
    assert seen.complaints == []


def test_a_sound_plays_from_a_server(
    visit: Callable[..., Visit], report: Callable[..., Path], server: Server, run: RunResult
) -> None:
    """The page also plays as an artifact on a web server, and goes nowhere else."""
    folder = server.url + "/" + report(run).parent.as_uri().rpartition("/")[2]
    seen = visit(f"{folder}/report.html")
    _play(seen.page, 0)
    assert set(seen.asked) == {f"{folder}/report.html", f"{folder}/door-creak-01.wav"}
    assert seen.complaints == []


def test_only_one_sound_plays_at_once(visit: Callable[..., Visit], report: Callable[..., Path], run: RunResult) -> None:
    """Starting a sound stops the one before."""
    seen = visit(report(run).as_uri())
    seen.page.locator("audio").first.evaluate("(player) => { player.loop = true }")
    _play(seen.page, 0)
    _play(seen.page, 1)
    assert seen.page.locator("audio").first.evaluate("(player) => player.paused")


def test_hostile_words_run_nothing(
    visit: Callable[..., Visit], report: Callable[..., Path], hostile_run: RunResult
) -> None:
    """Script tags, handlers and `javascript:` in any free text stay words: nothing is blocked as nothing tries."""
    path = report(hostile_run)
    seen = visit(path.as_uri())
    assert seen.page.evaluate("window.pwned") is None
    assert seen.asked == [path.as_uri()]
    assert seen.complaints == []


def test_hostile_words_can_be_read(
    visit: Callable[..., Visit], report: Callable[..., Path], hostile_run: RunResult, hostile: tuple[str, ...]
) -> None:
    """A prompt is shown as it was typed, but for what would turn or hide the text after it."""
    shown = visit(report(hostile_run).as_uri()).page.locator(".prompt").all_text_contents()
    assert shown[0] == shown[1] == hostile[0]
    assert shown[-1] == "right \ufffdto left\ufffd\ufffd[31m"


def test_an_injected_script_would_be_stopped(
    visit: Callable[..., Visit], report: Callable[..., Path], server: Server, run: RunResult
) -> None:
    """Should escaping ever fail, the policy still stops scripts, event handlers and calls to elsewhere."""
    path = report(run)
    attack = f"<script>window.pwned = 1</script><img src='{server.url}/x' onerror='window.pwned = 2'>"
    path.write_text(path.read_text(encoding="utf-8").replace("Old oak door", attack), encoding="utf-8")
    seen = visit(path.as_uri())
    assert seen.page.evaluate("window.pwned") is None
    assert server.asked == []
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 22, 26)")])
def test_the_page_follows_light_and_dark(
    visit: Callable[..., Visit], report: Callable[..., Path], run: RunResult, scheme: str, ground: str
) -> None:
    """The page wears what the system wears: its own style is allowed by the policy."""
    seen = visit(report(run).as_uri(), color_scheme=scheme)
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_the_page_fits_a_phone(
    visit: Callable[..., Visit], report: Callable[..., Path], hostile_run: RunResult
) -> None:
    """No word, however long, makes a narrow page scroll sideways."""
    seen = visit(report(hostile_run).as_uri())
    seen.page.set_viewport_size({"width": 360, "height": 640})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
