"""`report.html` for everybody, in a real browser: names, headings, words for those who listen, times, and Ctrl-F."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kling_batch.model import RunResult, Status

NAMED = {
    "article", "button", "checkbox", "combobox", "dialog", "group", "image", "img", "link", "main", "region",
    "searchbox", "slider", "textbox",
}  # fmt: skip
"""The roles that say nothing without a name."""


def tree(page: Page) -> Iterator[tuple[str, str, int]]:
    """Read the tree that a screen reader is given: role, name and, of a heading, its level."""
    session = page.context.new_cdp_session(page)
    for node in session.send("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            levels = [one["value"]["value"] for one in node.get("properties", ()) if one["name"] == "level"]
            yield node["role"]["value"], node.get("name", {}).get("value", "").strip(), levels[0] if levels else 0


def nameless(page: Page) -> list[str]:
    return [role for role, name, _ in tree(page) if role in NAMED and not name]


@pytest.fixture
def page(visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult) -> Page:
    """Open the page of 60 takes."""
    opened: Page = visit(report(tavern).as_uri()).page
    return opened


def test_a_screen_reader_finds_a_name_on_everything(page: Page) -> None:
    """On the page, in the player at work, and in every dialog."""
    assert nameless(page) == []
    page.get_by_role("button", name="Play door-old, take 1").click()
    page.keyboard.press("s")
    page.get_by_role("button", name="Reject step-old, take 1").click()
    page.get_by_role("button", name="Choose step-old, take 3").click()
    assert nameless(page) == []
    for key in ("p", "i", "?"):
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for()
        assert nameless(page) == []
        page.keyboard.press("Escape")


def test_a_screen_reader_is_told_which_take_is_which(page: Page) -> None:
    """No two controls of a job have one name, and each says which take it is about, and whether it is pressed."""
    found = [name for role, name, _ in tree(page) if role in {"button", "link"} and "door-old" in name]
    assert len(found) == len(set(found))
    assert {f"{act} door-old, take 3" for act in ("Play", "Choose", "Reject", "Note on", "All facts about")} <= {*found}
    card = page.get_by_role("group", name="door-old, take 1").aria_snapshot()
    assert '- button "Choose door-old, take 1" [pressed]' in card
    assert '- button "Reject door-old, take 1":' not in card


def test_what_happens_is_said(page: Page) -> None:
    """To those who do not see it: what is heard, chosen and rejected."""
    said = page.get_by_role("status").last
    page.get_by_role("button", name="Play door-old, take 1").click()
    for key, words in (
        ("2", "door-old, take 2"),
        ("c", "door-old, take 2 is chosen"),
        ("r", "door-old, take 2 is rejected"),
        ("m", "Takes are as loud as they are"),
    ):
        page.keyboard.press(key)
        expect(said).to_have_text(words)


@pytest.mark.parametrize("problems", [True, False])
def test_headings_are_in_order(
    visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult, problems: bool
) -> None:
    """Each is at most one deeper than the one before, also where nothing needs a person."""
    takes = tavern.takes if problems else tuple(take for take in tavern.takes if take.status is Status.SUCCEEDED)
    page = visit(report(replace(tavern, takes=takes), sounds=False).as_uri()).page
    levels = [level for role, _, level in tree(page) if role == "heading"]
    assert levels[:2] == [1, 2]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert max(levels) == 3


def test_times_are_the_viewers(visit: Callable[..., Any], report: Callable[..., Path], run: RunResult) -> None:
    """In their zone and way of writing; the file has UTC, and shows it where no script runs."""
    path = report(run, sounds=False)
    assert '<time datetime="2026-01-31T08:15:00.000Z">2026-01-31 08:15:00 UTC</time>' in path.read_text()
    page = visit(path.as_uri(), timezone_id="Asia/Tokyo", locale="de-DE").page
    expect(page.locator("time").first).to_have_text("31.01.2026, 17:15:00 GMT+9")
    expect(page.locator("time").first).to_have_attribute("title", "2026-01-31 08:15:00 UTC")


def test_ctrl_f_finds_a_job_that_is_off_screen(page: Page) -> None:
    """The search box takes it over, since only what is in view is drawn; there, it is the browser's own again."""
    expect(page.get_by_role("article", name="chain-slow")).to_have_count(0)
    page.keyboard.press("Control+f")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("chain slow")
    expect(page.get_by_role("article", name="chain-slow")).to_be_in_viewport()
    prevented = """(key) => {
        const event = new KeyboardEvent("keydown", { key, ctrlKey: true, bubbles: true, cancelable: true });
        return !document.activeElement.dispatchEvent(event);
    }"""
    assert page.evaluate(prevented, "f") is False
    page.keyboard.press("Escape")
    assert page.evaluate(prevented, "f") is True
