"""`report.html` as a studio, in a real browser: takes at the same place, equally loud, loops, zoom and spectrograms."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kling_batch.model import RunResult, Shape, TakeResult

AUDIO = "document.querySelector('audio')"
TONE_HZ = 0.3 * 8000 / (2 * math.pi)
"""What the sounds of these tests are."""


def address(path: Path, server: Any, place: str) -> str:
    """Say where a page is: on disk, or on a server."""
    return path.as_uri() if place == "disk" else f"{server.url}/{path.parent.as_uri().rpartition('/')[2]}/{path.name}"


def play(page: Page, job: str, take: int, place: float = 0.0) -> None:
    """Play a take from a place of its waveform, and wait until it sounds there."""
    wave = page.get_by_role("group", name=f"{job}, take {take}", exact=True).locator(".wave")
    box = wave.bounding_box()
    assert box is not None
    wave.click(position={"x": box["width"] * place, "y": 5})
    page.wait_for_function(f"() => {AUDIO}?.currentTime > {5 * place} && !{AUDIO}.paused")


def loud(takes: tuple[TakeResult, ...], *loudness: float) -> dict[str, Shape]:
    """Give each take's sound a loudness."""
    return {
        take.files[0].sha256: Shape(peak=0.2, loudness=level, waveform=bytes(range(0, 240, 2)))
        for take, level in zip(takes, loudness, strict=True)
    }


def test_facts_have_rate_channels_and_true_peak(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """Found while a sound is verified, so that the page need not read it."""
    take = make_take()
    shape = Shape(peak=0.5, loudness=-20.0, waveform=bytes(120), true_peak=0.56, rate=48_000, channels=2)
    page = visit(report(make_run(take), shapes={take.files[0].sha256: shape}).as_uri()).page
    page.get_by_role("button", name="All facts about door-creak, take 1").click()
    facts = page.get_by_role("dialog")
    for words in ("48000 Hz, stereo", "\u22126.0 dBFS", "\u22125.0 dBTP", "\u221220.0 LUFS"):
        expect(facts).to_contain_text(words)


@pytest.mark.parametrize("place", ["disk", "server"])
def test_a_number_is_another_take_at_the_same_place(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult, place: str
) -> None:
    """And back again; the one before is silent then."""
    page = visit(address(report(run), server, place)).page
    play(page, "door-creak", 1, 0.5)
    page.evaluate(f"window.first = {AUDIO}")
    page.keyboard.press("2")
    page.wait_for_function(f"() => {AUDIO} !== first && {AUDIO}.currentTime > 2.6 && !{AUDIO}.paused")
    expect(page.locator(".take.current")).to_have_accessible_name("door-creak, take 2")
    assert page.evaluate(f"[first.paused, {AUDIO}.currentTime < 4.5]") == [True, True]
    page.keyboard.press("1")
    page.wait_for_function(f"() => {AUDIO} === first && first.currentTime > 2.7 && !first.paused")


def test_takes_of_a_job_are_equally_loud(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """The louder is lowered, and the page says by how much; switched off, each is as loud as it is, also next time."""
    takes = (make_take(number=1), make_take(number=2))
    page = visit(report(make_run(*takes), shapes=loud(takes, -17.0, -23.0)).as_uri()).page
    play(page, "door-creak", 1)
    assert page.evaluate(f"{AUDIO}.volume") == pytest.approx(10 ** (-6 / 20), abs=0.01)
    expect(page.get_by_role("region", name="Player")).to_contain_text("\u22126.0 dB")
    page.keyboard.press("2")
    page.wait_for_function(f"() => {AUDIO}.volume === 1")
    page.keyboard.press("m")
    page.keyboard.press("1")
    page.wait_for_function(f"() => {AUDIO}.src.includes('-01') && {AUDIO}.volume === 1")
    page.reload()
    expect(page.get_by_role("button", name="Takes of a job equally loud (M)")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_a_region_is_looped(visit: Callable[..., Any], report: Callable[..., Path], run: RunResult) -> None:
    """From the key A to the key B, in the other take as well, until X."""
    page = visit(report(run).as_uri()).page
    play(page, "door-creak", 1, 0.5)
    page.keyboard.press("a")
    page.wait_for_function(f"() => {AUDIO}.currentTime > 2.9")
    page.keyboard.press("b")
    page.wait_for_function(f"() => {AUDIO}.currentTime < 2.8")
    page.keyboard.press("2")
    page.wait_for_function(f"() => {AUDIO}.src.includes('-02') && {AUDIO}.currentTime > 2.75")
    page.wait_for_function(f"() => {AUDIO}.currentTime < 2.75")
    assert page.evaluate(f"{AUDIO}.currentTime") > 2.4
    page.keyboard.press("x")
    page.wait_for_function(f"() => {AUDIO}.currentTime > 3.3")


def test_a_closer_look_zooms_and_a_stroke_loops(
    visit: Callable[..., Any], report: Callable[..., Path], run: RunResult
) -> None:
    """A click plays from there, in the part that is in view; a stroke is a region. From disk, too."""
    page = visit(report(run).as_uri()).page
    play(page, "door-creak", 1)
    page.keyboard.press(" ")
    page.keyboard.press("z")
    page.get_by_role("button", name="Zoom in").click()
    box = page.get_by_role("img", name="Waveform of door-creak, take 1").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 1, box["y"] + 9)
    page.wait_for_function(f"() => Math.abs({AUDIO}.currentTime - 1.26) < 0.1")
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20, steps=4)
    page.mouse.up()
    expect(page.get_by_role("region", name="Zoom")).to_contain_text("loops 2.52 to 3.15 s")


def brightest_hz(page: Page) -> float:
    """Find the frequency of the brightest row of the spectrogram."""
    row: float = page.evaluate(
        """() => {
            const canvas = document.querySelector(".plate canvas");
            const { data } = canvas.getContext("2d").getImageData(canvas.width / 2, 0, 1, canvas.height);
            const light = (row) => data[4 * row] + data[4 * row + 1] + data[4 * row + 2];
            const rows = Array.from({ length: canvas.height }, (_, row) => row);
            return (rows.sort((one, other) => light(other) - light(one))[0] + 0.5) / canvas.height;
        }"""
    )
    return float(40 * (24_000 / 40) ** (1 - row))


def test_a_spectrogram_shows_the_pitch(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult
) -> None:
    """Drawn on demand, from the bytes of the sound: the brightest row is at the frequency of the tone."""
    page = visit(address(report(run), server, "server")).page
    play(page, "door-creak", 1)
    page.keyboard.press("s")
    page.get_by_role("img", name="Spectrogram of door-creak, take 1").wait_for()
    assert brightest_hz(page) == pytest.approx(TONE_HZ, rel=0.07)


def test_a_page_on_disk_reads_sounds_once_it_has_the_folder(
    visit: Callable[..., Any], report: Callable[..., Path], run: RunResult
) -> None:
    """A browser lets it play them and not read them: it says so, and asks for the folder."""
    path = report(run)
    seen = visit(path.as_uri())
    page = seen.page
    play(page, "door-creak", 1)
    page.keyboard.press("s")
    zoom = page.get_by_role("region", name="Zoom")
    expect(zoom.get_by_text("A page on disk may play sounds and not read them.")).to_be_visible()
    other = path.parent.parent / "other"
    other.mkdir()
    (other / "report.html").touch()
    zoom.get_by_label("Give the folder").set_input_files(other)
    expect(zoom).to_contain_text(f"That folder is another one. This page is {path}.")
    zoom.get_by_label("Give the folder").set_input_files(path.parent)
    page.get_by_role("img", name="Spectrogram of door-creak, take 1").wait_for()
    assert brightest_hz(page) == pytest.approx(TONE_HZ, rel=0.07)
    expect(zoom.get_by_label("Give the folder")).to_be_hidden()
    assert seen.complaints == []
