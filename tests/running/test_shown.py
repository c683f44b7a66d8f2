"""Finished tasks in the account's list: read page by page while they are asked for, and no further."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from kling_batch.catalog import kind
from kling_batch.model import Audio, Task, TaskStatus
from kling_batch.running.account import Shown
from kling_batch.service.outcomes import Page, ReadFailed

_SOUNDS = (Audio(id="a", urls={"wav": "https://files.example/a.wav"}, durations_s={}),)


def task(number: int, name: str | None, *, audios: tuple[Audio, ...] = _SOUNDS) -> Task:
    """Make a finished task."""
    return Task(task_id=str(number), external_id=name, status=TaskStatus.SUCCEEDED, audios=audios)


class Listing:
    """A service that has nothing but a list, of whole pages but for the last. None is a page that cannot be read."""

    def __init__(self, pages: Sequence[list[Task] | None]) -> None:
        self.pages = pages
        self.read: list[int] = []

    async def page(self, path: str, number: int, size: int) -> Page | ReadFailed:
        del path
        self.read.append(number)
        rows = self.pages[number - 1]
        if rows is None:
            return ReadFailed(reason="no answer")
        return Page(tasks=tuple(rows), rows=size if number < len(self.pages) else len(rows))


Look = Callable[..., tuple[list[str | None], list[int]]]


@pytest.fixture
def look() -> Look:
    """Ask for names, one after another; gives the task ids that were found, and the pages that were read."""

    def run(
        names: list[str], *pages: list[Task] | None, wanted: set[str] | None = None
    ) -> tuple[list[str | None], list[int]]:
        listing = Listing(pages)
        shown = Shown(cast("Any", listing), kind("text-to-audio"), set(names) if wanted is None else wanted)

        async def go() -> list[Task | None]:
            return [await shown.find(name) for name in names]

        found = asyncio.run(go())
        return [None if one is None else one.task_id for one in found], listing.read

    return run


def test_what_one_page_shows_is_read_once(look: Look) -> None:
    """However many ask."""
    page = [task(number, f"kb-{number}") for number in range(40)]
    found, read = look([f"kb-{number}" for number in range(40)], page)
    assert found == [str(number) for number in range(40)]
    assert read == [1]


def test_each_question_reads_one_page_at_most(look: Look) -> None:
    """What stands deeper in the list is cheaper asked for alone."""
    pages = [[task(number, f"kb-{number}")] for number in range(4)]
    wanted = {f"kb-{number}" for number in range(4)}
    assert look(["kb-3"], *pages, wanted=wanted) == ([None], [1])
    assert look(["kb-3", "kb-3", "kb-0", "kb-3"], *pages, wanted=wanted) == ([None, None, "0", None], [1, 2, 3])


def test_a_page_that_shows_nothing_wanted_is_the_last(look: Look) -> None:
    """The account may be full of what others made since."""
    pages = [[task(1, "kb-1")], [task(2, "kb-2")], [task(3, "kb-3")]]
    assert look(["kb-2", "kb-3", "kb-2"], *pages) == ([None, None, None], [1])


def test_nothing_is_read_past_the_end(look: Look) -> None:
    """A page that is not full is the last."""
    assert look(["kb-1", "kb-3", "kb-3"], [task(1, "kb-1")], [task(2, "kb-1")]) == (["1", None, None], [1, 2])


def test_a_list_that_cannot_be_read_holds_nobody_up(look: Look) -> None:
    """It is tried once: whoever is not shown is asked for alone."""
    assert look(["kb-1", "kb-2"], None) == ([None, None], [1])
    assert look(["kb-1", "kb-2", "kb-2"], [task(1, "kb-1")], None) == (["1", None, None], [1, 2])


def test_tasks_without_sounds_or_names_are_not_taken(look: Look) -> None:
    """A list may leave out either."""
    assert look(["kb-1", "kb-2"], [task(1, "kb-1", audios=()), task(2, None)]) == ([None, None], [1])


def test_nothing_is_kept_of_other_tasks(look: Look) -> None:
    """An account may hold far more than is wanted."""
    assert look(["kb-1", "kb-2"], [task(1, "kb-1"), task(2, "kb-2")], wanted={"kb-2"}) == ([None, "2"], [1])
