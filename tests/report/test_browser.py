"""`report.html` in a real browser: it plays, it stays silent about hostile words, and it asks nobody for anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kling_batch.model import RunResult

AUDIO = "document.querySelector('audio')"
PLAYING = f"{AUDIO}?.currentTime > 0.05 && !{AUDIO}.paused"
SANDBOX = "sandbox allow-same-origin"
"""What a CI that keeps scripts out of its artifacts sends along."""


def _play(page: Page, job: str, take: int) -> None:
    """Press a take's button, and wait until it sounds."""
    page.get_by_role("button", name=f"Play {job}, take {take}", exact=True).click()
    page.get_by_role("button", name=f"Pause {job}, take {take}", exact=True).wait_for()
    page.wait_for_function(f"() => {PLAYING}")


def _place(page: Page) -> float:
    return float(page.evaluate(f"{AUDIO}.currentTime"))


def test_a_sound_plays_from_disk(visit: Callable[..., Any], report: Callable[..., Path], run: RunResult) -> None:
    """The page plays the sounds beside it, loads none before that, and has nothing to complain of."""
    path = report(run)
    seen = visit(path.as_uri())
    assert seen.asked == [path.as_uri()]
    _play(seen.page, "door-creak", 1)
    assert set(seen.asked) == {path.as_uri(), (path.parent / "door-creak-01.wav").as_uri()}
    assert seen.complaints == []


def test_a_sound_plays_from_a_server(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult
) -> None:
    """The page also plays as an artifact on a web server, and goes nowhere else."""
    folder = server.url + "/" + report(run).parent.as_uri().rpartition("/")[2]
    seen = visit(f"{folder}/report.html")
    _play(seen.page, "door-creak", 2)
    asked = {url for url in seen.asked if not url.startswith("blob:")}
    assert asked == {f"{folder}/report.html", f"{folder}/door-creak-02.wav"}
    assert seen.complaints == []


def test_a_warning_stands_on_its_card(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """It is read before the sound is chosen."""
    page = visit(report(make_run(make_take(warnings=("a.wav: it lasts 4.20 s",)), make_take(number=2))).as_uri()).page
    expect(page.get_by_role("group", name="door-creak, take 1")).to_contain_text("a.wav: it lasts 4.20 s")
    expect(page.locator("#plain .warnings, .take .warnings")).to_have_count(1)


def test_only_one_sound_plays_at_once(visit: Callable[..., Any], report: Callable[..., Path], run: RunResult) -> None:
    """Starting a sound stops the one before: there is one player for all."""
    page = visit(report(run).as_uri()).page
    _play(page, "door-creak", 1)
    expect(page.get_by_role("button", name="Pause door-creak, take 1")).to_be_visible()
    _play(page, "door-creak", 2)
    expect(page.get_by_role("button", name="Play door-creak, take 1")).to_be_visible()
    assert page.locator("audio").count() == 1
    page.get_by_role("button", name="Pause door-creak, take 2").click()
    page.wait_for_function(f"() => {AUDIO}.paused")


@pytest.mark.parametrize("place", ["disk", "server"])
def test_a_click_on_a_waveform_plays_from_there(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult, place: str
) -> None:
    """On a take's own waveform and on the large one, played before or not; this server gives no parts of files."""
    path = report(run)
    folder = server.url + "/" + path.parent.as_uri().rpartition("/")[2]
    page = visit(path.as_uri() if place == "disk" else f"{folder}/report.html").page
    wave = page.get_by_role("group", name="door-creak, take 2").locator(".wave")
    box = wave.bounding_box()
    assert box is not None
    wave.click(position={"x": box["width"] * 0.6, "y": 5})
    page.wait_for_function(f"() => {PLAYING} && {AUDIO}.currentTime > 2")
    assert 2.9 < _place(page) < 4.5
    wave.click(position={"x": box["width"] * 0.8, "y": 5})
    page.wait_for_function(f"() => {AUDIO}.currentTime > 4")
    page.get_by_label("Position").click(position={"x": 4, "y": 5})
    page.wait_for_function(f"() => {AUDIO}.currentTime < 1")


def test_a_loop_begins_again(visit: Callable[..., Any], report: Callable[..., Path], run: RunResult) -> None:
    """Until it is switched off."""
    page = visit(report(run).as_uri()).page
    _play(page, "door-creak", 1)
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Loop (L)")).to_have_attribute("aria-pressed", "true")
    page.evaluate(f"{AUDIO}.currentTime = {AUDIO}.duration - 0.1")
    page.wait_for_function(f"() => {AUDIO}.currentTime < 2 && {PLAYING}")
    page.keyboard.press("l")
    page.evaluate(f"{AUDIO}.currentTime = {AUDIO}.duration - 0.1")
    page.wait_for_function(f"() => {AUDIO}.ended")


def test_a_sound_that_is_not_beside_the_page_is_named(
    visit: Callable[..., Any], report: Callable[..., Path], run: RunResult
) -> None:
    """As where a CI keeps the page alone: with the path, and what to look at."""
    page = visit(report(run, sounds=False).as_uri()).page
    page.get_by_role("button", name="Play door-creak, take 1").click()
    player = page.get_by_role("region", name="Player")
    expect(player).to_contain_text("door-creak-01.wav cannot be played: is it beside this page?")


def test_hostile_words_run_nothing(
    visit: Callable[..., Any], report: Callable[..., Path], hostile_run: RunResult
) -> None:
    """Script tags, handlers and `javascript:` in any free text stay words: nothing is blocked as nothing tries."""
    path = report(hostile_run, sounds=False)
    seen = visit(path.as_uri())
    page = seen.page
    for job in range(10):
        page.get_by_label("Search").fill(f"calm-{job}")
        page.get_by_role("button", name=f"All facts about calm-{job}, take 1").click()
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        page.locator("button.tag").first.click()
        page.get_by_label("Tag", exact=True).select_option(index=0)
    page.keyboard.press("Escape")
    page.locator("button.choose").first.click()
    page.get_by_role("button", name="1 new choice").click()
    assert page.evaluate("window.pwned") is None
    assert (seen.asked, seen.complaints) == ([path.as_uri()], [])


def test_hostile_words_can_be_read(
    visit: Callable[..., Any], report: Callable[..., Path], hostile_run: RunResult, hostile: tuple[str, ...]
) -> None:
    """A prompt is shown as it was typed, but for what would turn or hide the text after it."""
    page = visit(report(hostile_run, sounds=False).as_uri(), height=6000).page
    shown = page.locator(".prompt").all_text_contents()
    assert shown[0] == shown[1] == hostile[0]
    assert shown[-1] == "right \ufffdto left\ufffd\ufffd[31m"


def test_an_injected_script_would_be_stopped(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult
) -> None:
    """Should escaping ever fail, the policy still stops scripts, event handlers, styles and calls to elsewhere."""
    path = report(run)
    attack = (
        f"<script>window.pwned = 1</script><img src='{server.url}/x' onerror='window.pwned = 2'>"
        f"<a id='x' href='javascript:window.pwned = 3'>x</a><link rel='stylesheet' href='{server.url}/y'>"
    )
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<h1>tavern</h1>", f"<h1>tavern{attack}</h1>"), encoding="utf-8")
    seen = visit(path.as_uri())
    seen.page.locator("#x").click()
    assert seen.page.evaluate("window.pwned") is None
    assert server.asked == []
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(246, 246, 244)"), ("dark", "rgb(20, 21, 23)")])
def test_the_page_follows_light_and_dark(
    visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult, keep_shot: Any, scheme: str, ground: str
) -> None:
    """The page wears what the system wears: its own style is allowed by the policy."""
    page = visit(report(tavern, sounds=False).as_uri(), color_scheme=scheme).page
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    keep_shot(page, f"audition-{scheme}")


def test_the_page_fits_a_phone(
    visit: Callable[..., Any], report: Callable[..., Path], hostile_run: RunResult, keep_shot: Any
) -> None:
    """No word, however long, makes a narrow page scroll sideways, and everything can be reached."""
    page = visit(report(hostile_run, sounds=False).as_uri(), width=360, height=700).page
    page.locator("button.choose").first.click()
    page.keyboard.press("z")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    right = "(parts) => Math.max(...parts.map((part) => part.getBoundingClientRect().right))"
    assert page.locator(".player, .player button, .player canvas, .player p").evaluate_all(right) <= 360
    expect(page.get_by_role("button", name="Play (space)")).to_be_in_viewport()
    expect(page.get_by_role("button", name="1 new choice")).to_be_in_viewport(ratio=1)
    keep_shot(page, "audition-phone")


def test_a_page_without_scripts_is_a_plain_list(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, run: RunResult, keep_shot: Any
) -> None:
    """As where a CI's server switches them off: each take with its prompt, and a link to each file."""
    server.policy = SANDBOX
    folder = server.url + "/" + report(run).parent.as_uri().rpartition("/")[2]
    page = visit(f"{folder}/report.html").page
    expect(page.get_by_text("No script runs here")).to_be_visible()
    page.get_by_role("link", name="door-creak-02.wav").click()
    page.wait_for_url("**/door-creak-02.wav")
    page.go_back()
    assert page.get_by_text("Old oak door creaks open slowly").count() == 5
    keep_shot(page, "audition-plain")


def test_everything_has_a_name_and_a_place(
    visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult
) -> None:
    """Whoever listens to the page finds landmarks, headings in order, and a name on every control."""
    page = visit(report(tavern, sounds=False).as_uri()).page
    for role, name in (("banner", None), ("main", "Sounds"), ("search", None), ("region", "Player"), ("list", "Jobs")):
        expect(page.get_by_role(role, name=name)).to_have_count(1)
    unnamed = """[...document.querySelectorAll("button, a, input, select, textarea")].filter((one) =>
        !(one.ariaLabel || one.textContent.trim() || one.closest("label")?.textContent.trim())).length"""
    assert page.evaluate(unnamed) == 0
    levels = page.locator("h1, h2, h3").evaluate_all("(all) => all.slice(0, 4).map((one) => one.tagName)")
    assert levels == ["H1", "H2", "H2", "H3"]
    expect(page.get_by_role("img", name="The limit on tasks at once began at 4")).to_have_count(1)
