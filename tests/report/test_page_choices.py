"""What is said of takes on `report.html`, in a real browser: rejected, noted, sorted; and the files themselves."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kling_batch.model import RunResult, Shape


@pytest.fixture
def page(visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult) -> Page:
    """Open the page of 60 takes."""
    opened: Page = visit(report(tavern, sounds=False).as_uri()).page
    return opened


def reject(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=f"Reject {name}", exact=True)


def choice(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=f"Choose {name}", exact=True)


def test_rejected_takes_make_the_command_that_makes_them_afresh(page: Page, keep_shot: Any) -> None:
    """By a click or by R while it is heard; they are kept over a reload, and taken back as choices are."""
    reject(page, "step-old, take 3").click()
    reject(page, "door-old, take 2").click()
    page.get_by_role("button", name="Play door-heavy, take 1").click()
    page.keyboard.press("r")
    page.reload()
    expect(reject(page, "step-old, take 3")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="3 rejected").click()
    command = page.get_by_label("Command that makes the rejected afresh").input_value()
    assert command == "kling-batch reroll tavern.yaml door-old:2 step-old:3 door-heavy:1"
    expect(page.get_by_label("Command that picks your choices")).to_be_hidden()
    keep_shot(page, "page-rejected")
    page.get_by_role("button", name="Take these back").click()
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_attached()


def test_a_take_is_chosen_or_rejected_and_not_both(page: Page) -> None:
    """The latest word counts, also over the lock's pick."""
    reject(page, "door-old, take 1").click()
    expect(choice(page, "door-old, take 1")).to_have_attribute("aria-pressed", "false")
    choice(page, "door-old, take 1").click()
    expect(reject(page, "door-old, take 1")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()


def test_a_fresh_sound_is_not_rejected(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """Nor noted: what was said was said of the sound that it took the place of."""
    take = make_take()
    path = report(make_run(take), sounds=False)
    page = visit(path.as_uri()).page
    reject(page, "door-creak, take 1").click()
    page.get_by_role("button", name="Note on door-creak, take 1").click()
    page.keyboard.type("thin")
    page.keyboard.press("Enter")
    fresh = path.read_text(encoding="utf-8").replace(take.external_id, "kb-another")
    path.write_text(fresh, encoding="utf-8")
    page.reload()
    expect(page.get_by_role("button", name="Choices", exact=True)).to_be_visible()


def test_a_note_stands_on_its_card_and_is_found(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """The lock's, and a new one by N, which is kept over a reload."""
    takes = (make_take("owl"), make_take("well"))
    run = make_run(*takes, notes={takes[0].take.key: "the best of the night"})
    page = visit(report(run).as_uri()).page
    page.get_by_role("button", name="Play well, take 1").click()
    page.keyboard.press("n")
    expect(page.get_by_label("Note", exact=True)).to_be_focused()
    page.keyboard.type("too <b>long</b>")
    page.keyboard.press("Enter")
    page.reload()
    expect(page.get_by_role("group", name="well, take 1")).to_contain_text("too <b>long</b>")
    expect(page.get_by_role("button", name="1 note", exact=True)).to_be_visible()
    page.get_by_label("Search").fill("best night")
    expect(page.get_by_role("article")).to_have_accessible_name("owl")


def test_jobs_are_sorted(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any, failed: Any
) -> None:
    """By id, loudness, length, peak or status, what stands out first, and back as the manifest has them."""
    takes = [make_take(name) for name in ("b-10", "b-9", "a")]
    lengths = [replace(takes[0].files[0], duration_s=9.0), *(take.files[0] for take in takes[1:])]
    takes = [replace(take, files=(file,)) for take, file in zip(takes, lengths, strict=True)]
    shapes = {
        take.files[0].sha256: Shape(peak=peak, loudness=loudness, waveform=bytes(120))
        for take, peak, loudness in zip(takes, (0.1, 0.9, 0.5), (-30.0, -25.0, -20.0), strict=True)
    }
    page = visit(report(make_run(*takes, failed), sounds=False, shapes=shapes).as_uri(), height=1200).page
    found = {}
    for order in ("Id", "Loudness", "Length", "Peak", "Status", "As asked for"):
        page.get_by_label("Sort").select_option(order)
        found[order] = page.get_by_role("heading", level=3).all_text_contents()
    assert found == {
        "Id": ["a", "b-9", "b-10", "gunfight"],
        "Loudness": ["a", "b-9", "b-10", "gunfight"],
        "Length": ["b-10", "b-9", "a", "gunfight"],
        "Peak": ["b-9", "a", "b-10", "gunfight"],
        "Status": ["gunfight", "b-10", "b-9", "a"],
        "As asked for": ["b-10", "b-9", "a", "gunfight"],
    }


@pytest.mark.parametrize("place", ["disk", "server"])
def test_chosen_takes_come_as_one_zip(
    visit: Callable[..., Any], report: Callable[..., Path], server: Any, tavern: RunResult, tmp_path: Path, place: str
) -> None:
    """The lock's picks and the new ones, byte for byte; on disk once the page has its folder."""
    path = report(tavern)
    page = visit(
        path.as_uri() if place == "disk" else f"{server.url}/{path.parent.as_uri().rpartition('/')[2]}/report.html"
    ).page
    choice(page, "fire-old, take 1").click()
    page.keyboard.press("p")
    if place == "disk":
        expect(page.get_by_role("button", name="as a zip")).to_be_disabled()
        page.get_by_role("dialog").get_by_label("Give the folder").set_input_files(path.parent)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download 3 chosen files as a zip").click()
    assert download.value.suggested_filename == "tavern-chosen.zip"
    download.value.save_as(tmp_path / "chosen.zip")
    with zipfile.ZipFile(tmp_path / "chosen.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["door-old-01.wav", "step-old-02.wav", "fire-old-01.wav"]
        for name in archive.namelist():
            assert archive.read(name) == (path.parent / name).read_bytes()


def test_a_file_is_dragged_out_of_the_page(page: Page) -> None:
    """By its waveform, or by the name of its format."""
    dragged = """(element) => {
        const data = new DataTransfer();
        element.dispatchEvent(new DragEvent("dragstart", { dataTransfer: data, bubbles: true }));
        return data.getData("DownloadURL");
    }"""
    card = page.get_by_role("group", name="door-old, take 1")
    found = [card.locator(".wave").evaluate(dragged), card.get_by_role("link", name="wav").evaluate(dragged)]
    address = page.url.replace("report.html", "door-old-01.wav")
    assert found == [f"application/octet-stream:door-old-01.wav:{address}"] * 2
    assert card.locator(".wave").get_attribute("draggable") == "true"
