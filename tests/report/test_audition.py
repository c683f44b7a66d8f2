"""Listening and choosing on `report.html`, in a real browser, and what the real command makes of the choices."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kling_batch.model import RunResult, TakeKey
from kling_batch.records.lock import read_lock

AUDIO = "document.querySelector('audio')"
MANIFEST = """
version: 1
project: night
defaults: {duration: 3.0, takes: 2}
jobs:
  - {id: owl, prompt: An owl calls twice in a still wood}
  - {id: well, prompt: "A bucket drops into a deep well"}
"""


@pytest.fixture
def page(visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult) -> Page:
    """Open the page of 60 takes."""
    opened: Page = visit(report(tavern).as_uri()).page
    return opened


def current(page: Page) -> str:
    """Name the take in the player."""
    return page.locator(".take.current").get_attribute("aria-label") or ""


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def choice(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=f"Choose {name}", exact=True)


def jobs_shown(page: Page) -> str:
    return page.locator(".count").text_content() or ""


def test_keys_go_through_the_sounds(page: Page) -> None:
    """Space plays; down and up go on and back, with Shift by jobs; what has no sound is passed over."""
    press(page, " ")
    page.wait_for_function(f"() => {AUDIO} && !{AUDIO}.paused")
    assert current(page) == "door-old, take 1"
    press(page, "ArrowDown", "ArrowDown", "ArrowDown")
    assert current(page) == "step-old, take 1"
    press(page, "Shift+ArrowDown", "ArrowDown")
    assert current(page) == "fire-old, take 3"
    press(page, "ArrowUp")
    assert current(page) == "fire-old, take 1"
    press(page, "Shift+ArrowUp")
    assert current(page) == "step-old, take 1"
    press(page, " ")
    assert page.evaluate(f"{AUDIO}.paused")


def test_what_is_heard_is_in_view(page: Page) -> None:
    """However far the keys have gone, neither the tools nor the player hide it."""
    press(page, " ", *["Shift+ArrowDown"] * 14)
    expect(page.locator(".take.current")).to_be_in_viewport(ratio=1)
    assert current(page) == "fire-small, take 1"
    covered = """() => { const box = document.querySelector(".take.current").getBoundingClientRect();
        return document.elementFromPoint(box.left + 20, box.bottom - 4).closest(".take.current") === null }"""
    assert page.evaluate(covered) is False


def test_numbers_listen_and_with_shift_choose(page: Page) -> None:
    """1 to 9 are the takes of the job that is heard; with Shift chosen, and the same again takes it back."""
    press(page, " ", "Shift+ArrowDown", "Shift+ArrowDown", "Shift+Digit3")
    expect(choice(page, "fire-old, take 3")).to_have_attribute("aria-pressed", "true")
    press(page, "Shift+Digit1")
    expect(choice(page, "fire-old, take 3")).to_have_attribute("aria-pressed", "false")
    press(page, "Shift+Digit1")
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()
    press(page, "3", "c")
    assert current(page) == "fire-old, take 3"
    expect(choice(page, "fire-old, take 3")).to_have_attribute("aria-pressed", "true")
    press(page, "2")
    assert current(page) == "fire-old, take 3"


def test_keys_leave_writing_alone_and_can_be_switched_off(page: Page) -> None:
    """Who types a search, or whose screen reader uses the letters, is not disturbed."""
    press(page, "/")
    page.keyboard.type("1 l?")
    assert page.get_by_label("Search").input_value() == "1 l?"
    press(page, "Escape", "?")
    page.get_by_label("Use these keys").uncheck()
    page.get_by_role("button", name="Close").click()
    press(page, "l", "ArrowDown")
    assert page.locator("audio").count() == 0


def test_a_search_finds_words_in_any_order(page: Page) -> None:
    """In ids, prompts, tags and notes; a job is shown with all its takes."""
    page.get_by_label("Search").fill("dry HEAVY fire")
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("article").get_by_role("group")).to_have_count(3)
    assert jobs_shown(page) == "1 of 20 jobs"


def test_filters_work_together(page: Page, keep_shot: Any) -> None:
    """A tag, a status and what is not chosen yet; nothing is left hidden when they are cleared."""
    page.get_by_label("Tag", exact=True).select_option(label="foley (4)")
    assert jobs_shown(page) == "4 of 20 jobs"
    page.get_by_role("button", name="Not chosen").click()
    assert jobs_shown(page) == "2 of 20 jobs"
    page.get_by_role("button", name="failed 1").click()
    expect(page.get_by_role("article")).to_have_accessible_name("fire-old")
    keep_shot(page, "audition-filters")
    page.get_by_label("Search").fill("nowhere")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    page.get_by_role("button", name="Show all jobs").click()
    assert jobs_shown(page) == "20 jobs"


def test_a_problem_leads_to_its_job(page: Page) -> None:
    """Also past a filter that hides it."""
    page.get_by_label("Search").fill("door")
    page.get_by_role("link", name="fire-old:2").click()
    expect(page.get_by_role("article", name="fire-old")).to_be_in_viewport()
    expect(page.get_by_role("group", name="fire-old, take 2")).to_contain_text("content policy (code 1301)")


def test_the_limits_history_opens(page: Page) -> None:
    """A chart for the eye, and a table with the reasons."""
    page.get_by_text("tasks at once", exact=True).click()
    expect(page.get_by_role("table")).to_contain_text("room was free")
    assert page.get_by_role("row").count() == 6


def test_facts_of_a_take_are_a_key_away(page: Page) -> None:
    """All of them, also those that its card has no room for."""
    press(page, " ", "i")
    facts = page.get_by_role("dialog", name="door-old, take 1")
    for words in ("838475928374659072", "kb-", "attempts", "A old door in a tavern", "scene", "door-old-01.wav"):
        expect(facts).to_contain_text(words)


def test_what_the_lock_picked_is_chosen_already(page: Page) -> None:
    """And is no new choice; another take of the job is, and says what it is instead of."""
    expect(choice(page, "door-old, take 1")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()
    choice(page, "door-old, take 3").click()
    choice(page, "step-old, take 2").click()
    page.get_by_role("button", name="2 new choices").click()
    expect(page.get_by_role("listitem").filter(has_text="instead of")).to_have_text(
        ["door-old take 3, instead of take 1", "step-old no take, instead of take 2"]
    )
    command = page.get_by_label("Command that picks your choices").input_value()
    assert command == "kling-batch pick tavern.yaml door-old=3 --clear step-old"


def test_choices_outlast_the_page(page: Page) -> None:
    """An hour of listening is not lost with a reload; taking them back leaves nothing behind."""
    choice(page, "door-old, take 2").click()
    page.reload()
    expect(choice(page, "door-old, take 2")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="1 new choice").click()
    page.get_by_role("button", name="Take these back").click()
    page.reload()
    expect(choice(page, "door-old, take 1")).to_have_attribute("aria-pressed", "true")


def test_the_command_is_copied(page: Page) -> None:
    """With one press."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choice(page, "fire-old, take 1").click()
    page.get_by_role("button", name="Copy command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "kling-batch pick tavern.yaml fire-old=1"


def test_the_real_command_takes_the_choices(
    visit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a command, as a table with notes, and taken back; what is rejected is made afresh. Paths are quoted."""
    folder = tmp_path / "it's a night"
    folder.mkdir()
    monkeypatch.chdir(folder)
    manifest, lock = Path("night sounds.yaml"), folder / "the lock"
    manifest.write_text(MANIFEST, encoding="utf-8")
    place = ["--sandbox", "--out", "the sounds", "--lock", str(lock)]
    start = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def shell(command: str) -> int:
        return subprocess.run(["bash", "-c", command], env=start, check=False).returncode

    assert shell(shlex.join(["kling-batch", "run", str(manifest), *place, "--quiet"])) == 0
    url = (folder / "the sounds" / "report.html").as_uri()

    def picked() -> set[TakeKey]:
        return {key for key, entry in read_lock(lock, project="night").entries.items() if entry.picked}

    def noted() -> dict[TakeKey, str]:
        return {key: entry.note for key, entry in read_lock(lock, project="night").entries.items() if entry.note}

    page = visit(url).page
    expect(page.locator(".levels").first).to_contain_text("LUFS")
    expect(page.get_by_role("banner").get_by_text("Sandbox", exact=True)).to_be_visible()
    choice(page, "owl, take 2").click()
    press(page, "p")
    assert shell(page.get_by_label("Command that picks your choices").input_value()) == 0
    assert picked() == {TakeKey("owl", 2)}

    assert shell(shlex.join(["kling-batch", "report", str(manifest), *place])) == 0
    page.reload()
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()
    expect(page.get_by_role("banner").get_by_text("Sandbox", exact=True)).to_be_visible()
    choice(page, "owl, take 2").click()
    choice(page, "well, take 1").click()
    page.get_by_role("button", name="Reject well, take 2", exact=True).click()
    page.get_by_role("button", name="Note on owl, take 1", exact=True).click()
    page.keyboard.type('too bright, by "far"')
    press(page, "Enter", "p")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picks.csv").click()
    download.value.save_as(folder / "picks.csv")
    table = (folder / "picks.csv").read_text()
    assert table == 'job_id,take,picked,note\nowl,1,,"too bright, by ""far"""\nwell,1,yes,\n'
    assert shell(page.get_by_label("Command that picks from the table").input_value()) == 0
    assert picked() == {TakeKey("well", 1)}
    assert noted() == {TakeKey("owl", 1): 'too bright, by "far"'}

    assert shell(page.get_by_label("Command that makes the rejected afresh").input_value()) == 0
    entries = read_lock(lock, project="night").entries
    assert [entries[TakeKey("well", take)].edition for take in (1, 2)] == [1, 2]
    page.reload()
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()
    expect(page.get_by_role("group", name="owl, take 1")).to_contain_text('too bright, by "far"')


def test_thousands_of_takes_are_as_light_as_ten(
    visit: Callable[..., Any],
    report: Callable[..., Path],
    make_run: Any,
    make_take: Any,
    keep_shot: Any,
    record_property: Callable[[str, object], None],
) -> None:
    """Only what is in view is drawn, wherever one is; the last of 5,000 takes is found as fast as the first."""
    takes = [make_take(f"job-{n // 4}", n % 4 + 1, job={"takes": 4}) for n in range(5000)]
    seen = visit(report(make_run(*takes), sounds=False).as_uri())
    page = seen.page
    drawn = "document.querySelectorAll('article').length"
    assert page.evaluate(drawn) < 30
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight / 2)")
    expect(page.get_by_role("article", name="job-625", exact=True)).to_be_attached()
    keep_shot(page, "audition-5000")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_role("article", name="job-1249", exact=True)).to_be_in_viewport()
    assert page.evaluate(drawn) < 30
    began = time.perf_counter()
    page.get_by_label("Search").fill("job-1248")
    expect(page.get_by_role("article", name="job-1248", exact=True)).to_be_in_viewport()
    record_property("filter_ms", round(1000 * (time.perf_counter() - began)))
    record_property("first_paint_ms", page.evaluate("performance.getEntriesByType('paint')[0]?.startTime"))
    assert seen.complaints == []


def test_rows_stand_one_under_another(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """Also where words differ in length and a job has more takes than a row: none covers another."""
    takes = [
        make_take(f"job-{n}", take, job={"takes": 30, "request": {"prompt": "long words " * (n % 9), "duration": 5.0}})
        for n in range(40)
        for take in range(1, (31 if n % 10 == 3 else 3))
    ]
    page = visit(report(make_run(*takes), sounds=False).as_uri()).page
    painted = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
    gaps = """() => {
        const rows = [...document.querySelectorAll(".jobs > li")].map((row) => row.getBoundingClientRect());
        return rows.slice(1).filter((row, index) => Math.abs(row.top - rows[index].bottom) > 1).length;
    }"""
    for _ in range(12):
        page.mouse.wheel(0, 700)
        page.evaluate(painted)
        assert page.evaluate(gaps) == 0
    page.set_viewport_size({"width": 500, "height": 800})
    page.evaluate(painted)
    assert page.evaluate(gaps) == 0
