"""Draws the docs' pictures of the page to listen: `python -m benchmarks.pictures`. Sounds and pages are a sandbox's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.service import ROOT

_EXAMPLES = ROOT / "examples"
_PICTURES = ROOT / "docs" / "pictures"
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main() -> None:
    """Make the sounds of two examples, open their pages, and draw them in each of their ways."""
    _PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        for manifest in ("fireworks.yaml", "finish.yaml"):
            shutil.copy(_EXAMPLES / manifest, name)
            command = [sys.executable, "-m", "kling_batch", "run", manifest, "--sandbox", "--no-store", "--quiet"]
            subprocess.run(command, cwd=name, check=True)
        out = Path(name) / "out" / "fireworks.sandbox"
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--mute-audio"])
        with _opened(browser, out, "page"):
            pass
        with _opened(browser, out, "page-dark", color_scheme="dark") as page:
            page.get_by_role("button", name="Choose rocket-small, take 2", exact=True).click()
        with _opened(browser, out, "page-compact") as page:
            page.keyboard.press("v")
        with _opened(browser, out, "page-phone", width=375, height=640) as page:
            page.get_by_role("article").first.scroll_into_view_if_needed()
        with _opened(browser, out, "page-takes") as page:
            _compare_takes(page, out)
        with _opened(browser, out, "page-rejected") as page:
            _decide(page)
        with _opened(browser, out.with_name("console.sandbox"), "page-finished") as page:
            _compare_source(page)
        browser.close()


@contextmanager
def _opened(
    browser: Browser,
    out: Path,
    name: str,
    *,
    width: int = 1000,
    height: int = 560,
    color_scheme: Literal["light", "dark"] = "light",
) -> Iterator[Page]:
    """Open the page, and draw it as it is left."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, timezone_id="UTC", color_scheme=color_scheme
    )
    page = context.new_page()
    page.goto((out / "report.html").as_uri())
    yield page
    page.wait_for_timeout(300)
    page.screenshot(path=_PICTURES / f"{name}.png")
    context.close()


def _compare_takes(page: Page, out: Path) -> None:
    """Switch to another take at the same place, in a loop, with its spectrogram."""
    page.get_by_role("button", name="Play rocket-small, take 1", exact=True).click()
    page.wait_for_function("() => document.querySelector('audio')?.currentTime > 0.8")
    page.keyboard.press("a")
    page.wait_for_function("() => document.querySelector('audio')?.currentTime > 1.4")
    page.keyboard.press("b")
    page.keyboard.press("2")
    page.keyboard.press("s")
    page.get_by_role("region", name="Zoom").get_by_label("Give the folder").set_input_files(out)
    page.get_by_role("img", name="Spectrogram").wait_for()


def _compare_source(page: Page) -> None:
    """Hear a finished take as it was delivered."""
    page.get_by_role("button", name="Play beep, take 1", exact=True).click()
    page.wait_for_function("() => document.querySelector('audio')?.currentTime > 1")
    page.keyboard.press("d")
    page.wait_for_function("() => document.querySelector('audio').src.includes('sources')")


def _decide(page: Page) -> None:
    """Reject a take and say why, and show the command for it."""
    page.get_by_role("button", name="Reject rocket-big, take 1", exact=True).click()
    page.get_by_role("button", name="Note on rocket-big, take 1", exact=True).click()
    page.keyboard.type("the whistle ends too early")
    page.keyboard.press("Enter")
    page.keyboard.press("p")


if __name__ == "__main__":
    main()
