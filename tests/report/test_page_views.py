"""How `report.html` shows what it shows, in a real browser: the sandbox's band, single takes, the compact view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from kling_batch.model import RunResult

WHOLE = """() => {
    const top = document.querySelector(".tools").getBoundingClientRect().bottom;
    const bottom = document.querySelector(".player").getBoundingClientRect().top;
    const boxes = [...document.querySelectorAll("article")].map((one) => one.getBoundingClientRect());
    return boxes.filter((box) => box.top >= top - 1 && box.bottom <= bottom + 1).length;
}"""
"""Counts the jobs that are seen whole, between the tools and the player."""


def test_a_sandbox_says_so_and_has_no_units(
    visit: Callable[..., Any], report: Callable[..., Path], run: RunResult, keep_shot: Any
) -> None:
    """Nobody takes a stand-in's sounds for real ones, nor its figures for money."""
    page = visit(report(replace(run, sandbox=True), sounds=False).as_uri()).page
    expect(page.get_by_role("banner").get_by_text("Sandbox", exact=True)).to_be_in_viewport()
    page.get_by_role("button", name="All facts about door-creak, take 1").click()
    expect(page.get_by_role("dialog")).to_contain_text("attempts")
    assert "unit" not in page.locator("body").inner_text()
    keep_shot(page, "page-sandbox")


def test_what_was_paid_for_has_units_and_no_band(
    visit: Callable[..., Any], report: Callable[..., Path], run: RunResult
) -> None:
    """The band is where a sandbox is, and nowhere else."""
    page = visit(report(run, sounds=False).as_uri()).page
    expect(page.get_by_role("group", name="door-creak, take 1")).to_contain_text("0.25 units")
    expect(page.get_by_text("Sandbox")).to_have_count(0)


def test_a_single_take_has_its_row(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """Beside jobs of several takes, and where all have one: no half of a row is empty."""
    takes = [make_take("lone"), *(make_take("many", number) for number in (1, 2, 3))]
    page = visit(report(make_run(*takes), sounds=False).as_uri(), width=1440).page
    right = "(cards) => Math.max(...cards.map((card) => card.getBoundingClientRect().right))"
    edges = [page.get_by_role("group", name=f"{job}, take").evaluate_all(right) for job in ("lone", "many")]
    assert abs(edges[0] - edges[1]) < 2
    assert edges[1] > 1440 - 40


def test_ten_jobs_are_on_a_screen_in_the_compact_view(
    visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult, keep_shot: Any
) -> None:
    """And the view is remembered, also on another page."""
    done = tuple(take for take in tavern.takes if take.error is None and take.files)
    path = report(replace(tavern, takes=done))
    page = visit(path.as_uri(), width=1440, height=900).page
    assert page.evaluate(WHOLE) < 10
    page.get_by_role("button", name="Compact").click()
    assert page.evaluate(WHOLE) >= 10
    keep_shot(page, "page-compact")
    other = path.with_name("another.html")
    other.write_bytes(path.read_bytes())
    page.goto(other.as_uri())
    expect(page.get_by_role("button", name="Compact")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(WHOLE) >= 10
    page.keyboard.press("v")
    assert page.evaluate(WHOLE) < 10


@pytest.mark.parametrize("width", [1280, 1000, 768, 375])
def test_the_player_has_room_for_what_is_decided(
    visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult, width: int
) -> None:
    """Nothing of it leaves a window of any usual width."""
    page = visit(report(tavern, sounds=False).as_uri(), width=width).page
    page.get_by_role("button", name="Choose door-old, take 2", exact=True).click()
    page.get_by_role("button", name="Choose step-old, take 1", exact=True).click()
    page.get_by_role("button", name="Reject door-old, take 3", exact=True).click()
    right = "(parts) => Math.max(...parts.map((part) => part.getBoundingClientRect().right))"
    assert page.locator(".player, .player button, .player p").evaluate_all(right) <= width
