"""Finished tasks in the account's list: read page by page while they are asked for, and no further."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from kling_batch.clock import SystemClock
from kling_batch.engine.account import Account, Shown
from kling_batch.model import Audio, Task, TaskStatus
from kling_batch.service.outcomes import Page

_SOUNDS = (Audio(id="a", urls={"wav": "https://files.example/a.wav"}, durations_s={}),)


def task(number: int, name: str | None, *, audios: tuple[Audio, ...] = _SOUNDS) -> Task:
    """Make a finished task."""
    return Task(task_id=str(number), external_id=name, status=TaskStatus.SUCCEEDED, audios=audios)


class Listing:
    """A service that has nothing but a list, of whole pages but for the last."""

    def __init__(self, *pages: list[Task]) -> None:
        self.pages = pages
        self.read: list[int] = []

    async def page(self, path: str, number: int, size: int) -> Page:
        del path
        self.read.append(number)
        rows = self.pages[number - 1]
        return Page(tasks=tuple(rows), rows=size if number < len(self.pages) else len(rows))


@pytest.fixture
def look() -> Any:
    """Ask for names, one after another; gives the task ids that were found, and the pages that were read."""

    def run(names: list[str], *pages: list[Task], wanted: set[str] | None = None) -> tuple[list[str | None], list[int]]:
        listing = Listing(*pages)
        account = Account(cast("Any", listing), "/x", SystemClock(), random.Random(1), patience_s=1.0)
        shown = Shown(account, set(names) if wanted is None else wanted)

        async def go() -> list[Task | None]:
            return [await shown.find(name) for name in names]

        found = asyncio.run(go())
        return [None if one is None else one.task_id for one in found], listing.read

    return run


def test_what_one_page_shows_is_read_once(look: Any) -> None:
    """However many ask."""
    page = [task(number, f"kb-{number}") for number in range(40)]
    found, read = look([f"kb-{number}" for number in range(40)], page)
    assert found == [str(number) for number in range(40)]
    assert read == [1]


def test_each_question_reads_one_page_at_most(look: Any) -> None:
    """What stands deep in a long list is cheaper asked for alone."""
    pages = [[task(number, f"kb-{number}")] for number in range(4)]
    assert look(["kb-3"], *pages) == ([None], [1])
    assert look(["kb-3", "kb-3", "kb-0", "kb-3"], *pages) == ([None, None, "0", None], [1, 2, 3])
    assert look(["kb-1", "kb-1"], *pages) == ([None, "1"], [1, 2])


def test_nothing_is_read_past_the_end(look: Any) -> None:
    """A page that is not full is the last."""
    assert look(["kb-7", "kb-8", "kb-9"], [task(1, "kb-1")], [task(2, "kb-2")]) == ([None, None, None], [1, 2])


def test_tasks_without_sounds_or_names_are_not_taken(look: Any) -> None:
    """A list may leave out either."""
    assert look(["kb-1", "kb-2"], [task(1, "kb-1", audios=()), task(2, None)]) == ([None, None], [1])


def test_nothing_is_kept_of_other_tasks(look: Any) -> None:
    """An account may hold far more than is wanted."""
    assert look(["kb-1", "kb-2"], [task(1, "kb-1"), task(2, "kb-2")], wanted={"kb-2"}) == ([None, "2"], [1])
