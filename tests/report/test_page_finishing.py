"""Finished sounds on `report.html`, in a real browser: beside what was delivered, with loudness and remarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from kling_batch.model import FileRecord, Remark, RunResult, Shape, Status, TakeError, TakeResult
from kling_batch.report import junit, markdown
from kling_batch.report.facts import headline
from kling_batch.report.page_chart import histogram

AUDIO = "document.querySelector('audio')"
FINISH = {"loudness": -18, "true_peak": -1.0, "formats": ["wav"]}
CUT_S = 0.75
"""What trimming took from the start of the finished sounds."""


def delivered(take: TakeResult, folder: str) -> FileRecord:
    file = take.files[0]
    return replace(file, path=f"{folder}/{file.path}", sha256=f"{take.take.number}" * 64, duration_s=6.5)


@pytest.fixture
def finished(make_take: Any, make_run: Any) -> RunResult:
    """Make a run of two finished takes, of one that a check rejected, and of one that is as it was delivered."""
    takes = [make_take(number=number, job={"finish": FINISH}) for number in (1, 2, 3)]
    note = Remark(check="leading_silence", then="warn", words="leading_silence: its first 0.75 s are silent")
    quiet = Remark(check="quiet", then="fail", words="quiet: its loudness is -51.2 LUFS")
    takes[0] = replace(takes[0], sources=(delivered(takes[0], "sources"),))
    takes[1] = replace(takes[1], sources=(delivered(takes[1], "sources"),), remarks=(note,), warnings=(note.words,))
    error = TakeError(code=None, message=f"Rejected: {quiet.words} (task 8).", hint="Listen to it under rejected/.")
    takes[2] = replace(
        takes[2],
        status=Status.FAILED,
        origin=None,
        files=(),
        sources=(delivered(takes[2], "rejected"),),
        remarks=(quiet,),
        error=error,
    )
    run: RunResult = make_run(*takes, make_take("rain"), exit_status=1)
    return run


def shapes(run: RunResult) -> dict[str, Shape]:
    """Say how loud the finished sounds are, and were."""
    shape = Shape(peak=0.2, loudness=-18.0, waveform=bytes(range(0, 240, 2)), true_peak=0.25, start_s=CUT_S)
    quieter = replace(shape, loudness=-30.4, true_peak=0.06, start_s=None)
    known = {file.sha256: shape for take in run.takes for file in take.files}
    return known | {file.sha256: quieter for take in run.takes for file in take.sources}


@pytest.fixture
def page(visit: Callable[..., Any], report: Callable[..., Path], finished: RunResult) -> Page:
    """Open the page of the run; of the sources, the first take's stands beside it, and the rejected one."""
    path = report(finished, shapes=shapes(finished))
    for take in (finished.takes[0], finished.takes[2]):
        file = path.parent / take.sources[0].path
        file.parent.mkdir(exist_ok=True)
        soundfile.write(file, np.sin(np.arange(52_000) * 0.3) * 0.1, 8000)
    opened: Page = visit(path.as_uri()).page
    return opened


def play(page: Page, take: int) -> None:
    page.get_by_role("button", name=f"Play door-creak, take {take}", exact=True).click()
    page.wait_for_function(f"() => {AUDIO}?.currentTime > 0.2 && !{AUDIO}.paused")


def region(page: Page) -> tuple[float, float]:
    """Say what is looped, in seconds."""
    words = (page.locator(".scope").text_content() or "").split("loops ")[1].split(" s")[0]
    begin, _, end = words.partition(" to ")
    return float(begin), float(end)


def test_a_sound_is_heard_as_it_was_delivered_at_the_same_place(page: Page) -> None:
    """And finished again, equally loud. What was cut from its start is reckoned with, in a loop as well."""
    play(page, 1)
    expect(page.locator(".lowered")).to_have_count(0)
    page.evaluate(f"window.first = {AUDIO}")
    page.keyboard.press("d")
    page.wait_for_function(f"() => {AUDIO}.src.endsWith('/sources/door-creak-01.wav') && !{AUDIO}.paused")
    assert -0.1 < page.evaluate(f"{AUDIO}.currentTime - first.currentTime") - CUT_S < 0.5
    expect(page.locator(".now")).to_contain_text("as delivered")
    expect(page.get_by_role("button", name="As delivered, or finished (D)")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("b")
    begin, end = region(page)
    page.keyboard.press("d")
    page.wait_for_function(f"() => {AUDIO} === first && !first.paused")
    assert region(page) == pytest.approx((begin, end - CUT_S), abs=0.011)
    expect(page.locator(".lowered")).to_contain_text("\u221212.0 dB")


def test_a_source_that_is_not_there_is_asked_for(page: Page) -> None:
    """The page says how to have it, and the finished sound goes on."""
    play(page, 2)
    page.evaluate(f"window.first = {AUDIO}")
    page.keyboard.press("d")
    expect(page.locator(".now")).to_contain_text("run with --keep-sources")
    assert page.evaluate(f"[{AUDIO} === first, first.paused, first.currentTime > 0.2]") == [True, False, True]


def test_remarks_stand_at_their_take_and_filter(page: Page) -> None:
    """With the loudness before and after; what was rejected says why, and can be heard and not chosen."""
    good = page.get_by_role("group", name="door-creak, take 2")
    expect(good).to_contain_text("\u221230.4 \u2192 \u221218.0 LUFS")
    expect(good.locator(".remarks")).to_have_text("leading silence its first 0.75 s are silent")
    expect(good.locator(".warnings")).to_have_count(0)
    rejected = page.get_by_role("group", name="door-creak, take 3")
    expect(rejected.locator(".remarks")).to_have_text("quiet its loudness is -51.2 LUFS")
    expect(rejected.get_by_role("button", name="Choose")).to_have_count(0)
    rejected.get_by_role("button", name="quiet").click()
    expect(page.get_by_role("button", name="quiet 1", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("article")).to_have_count(1)
    play(page, 3)
    assert page.evaluate(f"{AUDIO}.src").endswith("/rejected/door-creak-03.wav")


def test_loudness_is_drawn_with_its_target(page: Page) -> None:
    """For the eye, in words for the ear, and as a table."""
    words = "2 finished takes: \u221230.4 LUFS as delivered, \u221218.0 LUFS finished. "
    words += "2 of 2 are within 0.5 LU of the target."
    expect(page.get_by_role("img", name=words)).to_be_visible()
    page.get_by_text("target \u221218").click()
    expect(page.get_by_role("table", name=words)).to_contain_text("\u221230")


def test_bars_are_drawn_about_whole_levels(finished: RunResult) -> None:
    """What is a hair beside a target is in the target's bar; nothing is drawn where nothing was finished."""
    found = histogram(finished, shapes(finished))
    assert found is not None
    assert found.rows == [("\u221230", 2, 0), ("\u221218", 0, 2)]
    assert (found.first, found.last) == ("\u221232", "\u221217")
    assert histogram(replace(finished, takes=finished.takes[3:]), shapes(finished)) is None
    assert histogram(finished, {}) is None


def test_every_report_tells_of_what_was_rejected(finished: RunResult) -> None:
    """With its figure where single takes are named."""
    assert headline(finished) == "3 of 4 takes succeeded, 1 failed (1 rejected by checks)"
    failure = "".join(junit.pieces(finished)).split("<failure ")[1].split(">")[0]
    assert 'type="rejected"' in failure
    assert 'message="Rejected: quiet: its loudness is -51.2 LUFS' in failure
    text = "".join(markdown.pieces(finished))
    assert "| door-creak:3 | failed | Rejected: quiet: its loudness is -51.2 LUFS" in text
    found = text.split("## What checks found")[1].split("## Takes")[0]
    assert r"| leading\_silence | warn | 1 | door-creak:2 |" in found
    assert "| quiet | fail | 1 | door-creak:3 |" in found
