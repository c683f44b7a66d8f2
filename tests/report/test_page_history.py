"""What differs between two reports, and earlier sounds, on the page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from kling_batch.model import Comparison, Earlier, RunResult, Shape, TakeKey
from kling_batch.report import json_
from kling_batch.report.compare import change_of, compare, totals

AUDIO = "document.querySelector('audio')"


def with_loudness(run: RunResult, sha256: str, levels: tuple[float | None, ...]) -> dict[str, Shape]:
    """Give the sounds of a run, and one more, a loudness each."""
    hashes = [sha256, *(take.files[0].sha256 for take in run.takes if take.files)]
    return {
        name: Shape(peak=0.5, loudness=level, waveform=bytes(120)) for name, level in zip(hashes, levels, strict=False)
    }


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((-20.0, -17.7), "changed, 2.3 LU louder"),
        ((-17.7, -20.0), "changed, 2.3 LU quieter"),
        ((-20.0, -19.6), "changed"),
        ((-20.0, None), "changed"),
        ((), "changed"),
    ],
)
def test_a_changed_sound_is_louder_or_quieter(
    make_run: Any, make_take: Any, tmp_path: Path, levels: tuple[float | None, ...], words: str
) -> None:
    """From half a loudness unit on, where both are known."""
    take = make_take()
    before = make_run(replace(take, files=(replace(take.files[0], sha256="0" * 64),)))
    (tmp_path / "old.json").write_text("".join(json_.pieces(before, {})))
    after = make_run(take)
    found = compare(tmp_path / "old.json", after, with_loudness(after, "0" * 64, levels))
    assert change_of(take.take.key, found) == words
    assert totals(found) == "0 new, 0 gone, 1 changed" + (", 1 of them louder" if "louder" in words else "")


def test_another_format_of_the_same_sound_is_no_change(make_run: Any, make_take: Any, tmp_path: Path) -> None:
    """Nor is a take that had no sound before and has none now."""
    take = make_take()
    (tmp_path / "old.json").write_text("".join(json_.pieces(make_run(take, make_take(number=2, files=())), {})))
    more = (take.files[0], replace(take.files[0], format="mp3", sha256="1" * 64))
    found = compare(tmp_path / "old.json", make_run(replace(take, files=more), make_take(number=2, files=())), {})
    assert (found.new, found.gone, found.changed) == (frozenset(), (), {})
    assert json.loads((tmp_path / "old.json").read_text())["takes"][1]["files"] == []


def test_the_page_shows_what_differs(visit: Callable[..., Any], report: Callable[..., Path], tavern: RunResult) -> None:
    """Above all jobs, on the takes, and as filters."""
    keys = [take.take.key for take in tavern.takes]
    against = Comparison(
        name="<old>.json",
        new=frozenset(keys[9:12]),
        gone=(TakeKey("bell", 1),),
        changed={keys[0]: 2.3, keys[3]: -1.0, keys[4]: None},
    )
    page = visit(report(replace(tavern, against=against), sounds=False).as_uri()).page
    section = page.get_by_role("region", name="Against <old>.json")
    expect(section).to_contain_text("3 new, 1 gone, 3 changed, 1 of them louder")
    expect(section).to_contain_text("bell:1")
    expect(page.get_by_role("group", name="door-old, take 1")).to_contain_text("changed, 2.3 LU louder")
    page.get_by_role("button", name="louder 1").click()
    expect(page.get_by_role("article")).to_have_accessible_name("door-old")
    page.get_by_role("button", name="changed 3").click()
    expect(page.get_by_role("article")).to_have_count(2)


def test_an_earlier_sound_is_heard_at_the_same_place(
    visit: Callable[..., Any], report: Callable[..., Path], make_run: Any, make_take: Any
) -> None:
    """By its card or by E, and back; it is listened to and cannot be chosen."""
    take = make_take()
    file = replace(take.files[0], path=".kling-batch/replaced/door.0123456789ab.wav", sha256="1" * 64)
    run = make_run(take, make_take(number=2), earlier=(Earlier(key=take.take.key, edition=1, file=file, note="thin"),))
    page = visit(report(run).as_uri()).page
    before = page.get_by_role("group", name="door-creak, take 1, earlier, edition 1")
    expect(before).to_contain_text("thin")
    assert (
        before.get_by_role("button", name="Choose").count() + before.get_by_role("button", name="Reject").count() == 0
    )
    page.get_by_role("button", name="Play door-creak, take 1", exact=True).click()
    page.wait_for_function(f"() => {AUDIO}?.currentTime > 0.5")
    page.keyboard.press("e")
    page.wait_for_function(f"() => {AUDIO}.src.includes('replaced') && {AUDIO}.currentTime > 0.5")
    page.keyboard.press("e")
    page.wait_for_function(f"() => {AUDIO}.src.includes('door-creak-01') && !{AUDIO}.paused")
    page.get_by_role("button", name="earlier 1").click()
    expect(page.get_by_role("article")).to_have_count(1)
