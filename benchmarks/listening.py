"""The page to listen, in Chromium: from opening it to the first paint, a search, and a switch between takes."""

from __future__ import annotations

import hashlib
import random
import shutil
import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_batch.identity import external_task_id
from kling_batch.model import FileRecord, Job, Origin, RunResult, Shape, Source, Status, Take, TakeResult
from kling_batch.report import html

if TYPE_CHECKING:
    from playwright.sync_api import Page

_TAKES_A_JOB = 4
_ROUNDS = 5
_PAINTED = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_SEARCH = f"""async (words) => {{
    const field = document.querySelector("input[type=search]");
    const began = performance.now();
    field.value = words;
    field.dispatchEvent(new Event("input"));
    {_PAINTED};
    return performance.now() - began;
}}"""
_WATCH = """() => {
    document.addEventListener("keydown", () => (window.pressed = performance.now()), true);
    document.addEventListener("playing", () => (window.heard = performance.now()), true);
}"""


def listening() -> list[dict[str, Any]]:
    """Measure a page of 2,000 takes and one of 100,000."""
    return [_measure(takes) for takes in (2_000, 100_000)]


def _measure(takes: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        path = Path(name) / "report.html"
        began = time.perf_counter()
        _write(path, takes)
        written = time.perf_counter() - began
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        rounds = [_visit(browser.new_page(), path, takes) for _ in range(_ROUNDS)]
        browser.close()
        figures = {key: round(statistics.median(one[key] for one in rounds), 1) for key in rounds[0]}
        return {"takes": takes, "page_mb": round(path.stat().st_size / 1e6, 1), "write_s": round(written, 2), **figures}


def _visit(page: Page, path: Path, takes: int) -> dict[str, float]:
    page.goto(path.as_uri())
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    searches = [page.evaluate(_SEARCH, f"number {number}") for number in (1, takes // _TAKES_A_JOB - 1)]
    page.evaluate(_SEARCH, "")
    page.evaluate(_WATCH)
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("button", name="Play sound-00000, take 1", exact=True).click()
    page.wait_for_function("() => window.heard")
    first = [_switch(page, take) for take in (2, 3, 4)]
    again = [_switch(page, take) for take in (1, 2, 3, 4)]
    page.close()
    return {
        "first_paint_ms": paint,
        "ready_ms": ready,
        "search_ms": max(searches),
        "switch_first_ms": statistics.median(first),
        "switch_ms": statistics.median(again),
    }


def _switch(page: Page, take: int) -> float:
    """Press a take's number, and say after how many milliseconds it is heard."""
    page.evaluate("() => { window.heard = 0 }")
    page.keyboard.press(str(take))
    page.wait_for_function("() => window.heard")
    return float(page.evaluate("window.heard - window.pressed"))


def _write(path: Path, takes: int) -> None:
    """Write a page of takes with a waveform each, and sounds for the first job."""
    chance = random.Random(takes)  # noqa: S311 - drawings
    jobs = [_job(number) for number in range(takes // _TAKES_A_JOB)]
    results = [
        _result(Take(job=job, number=n + 1, edition=1, stem=f"{job.id}-{n + 1:02}"))
        for job in jobs
        for n in range(_TAKES_A_JOB)
    ]
    shapes = {
        result.files[0].sha256: Shape(
            peak=0.5,
            loudness=-20 + chance.random(),
            waveform=chance.randbytes(120),
            true_peak=0.6,
            rate=48_000,
            channels=2,
        )
        for result in results
    }
    run = RunResult(
        project="set",
        manifest="set.yaml",
        started_at=0.0,
        finished_at=60.0,
        exit_status=0,
        takes=tuple(results),
        api_requests=takes,
    )
    path.write_text("".join(html.pieces(run, shapes)), encoding="utf-8")
    _write_sounds(path.parent, results[:_TAKES_A_JOB])


def _write_sounds(folder: Path, results: list[TakeResult]) -> None:
    import numpy as np
    import soundfile

    for result in results:
        noise = np.random.default_rng(result.take.number).normal(size=(240_000, 2)) * 0.1
        soundfile.write(folder / result.files[0].path, noise, 48_000)


def _job(number: int) -> Job:
    return Job(
        project="set",
        id=f"sound-{number:05}",
        kind="text-to-audio",
        request={"prompt": f"Sound number {number} of a large set, close and dry", "duration": 5.0},
        formats=("wav",),
        takes=_TAKES_A_JOB,
        tags=("foley",),
        source=Source(path="set.yaml", line=number + 4),
    )


def _result(take: Take) -> TakeResult:
    name = external_task_id(take)
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    file = FileRecord(path=take.path("wav"), format="wav", sha256=sha256, bytes=960_044, duration_s=5.0)
    return TakeResult(
        take=take,
        status=Status.SUCCEEDED,
        origin=Origin.GENERATED,
        external_id=name,
        task_id=str(10**17 + take.job.source.line),
        attempts=1,
        units=Decimal("0.25"),
        files=(file,),
    )
