"""`report.md`, for a pull request or a CI's summary page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from kling_batch.model import RunResult, Status, TakeError
from kling_batch.report import markdown
from kling_batch.report.markdown import MOST_ROWS, escaped

Page = Callable[[RunResult], str]


@pytest.fixture
def page() -> Page:
    """Write the page of a run."""
    return lambda result: "".join(markdown.pieces(result))


def test_totals_and_the_note_come_first(page: Page, run: RunResult) -> None:
    """Red or green is seen without scrolling."""
    lines = page(run).splitlines()
    assert lines[0] == "# tavern: 2 of 5 takes succeeded, 1 failed, 1 unknown, 1 pending"
    assert lines[2] == "**The deadline of 30 s passed.**"
    assert lines[6] == "| 4 | 5 | 2 | 1 | 1 | 1 | 0.75 | 31.2 | 19 |"


def test_problems_come_before_the_takes_with_what_to_do(page: Page, run: RunResult) -> None:
    """What needs a person stands on top, the most urgent first, each with its repair."""
    needs, takes = page(run).split("## What needs you")[1].split("## Takes")
    assert re.findall(r"^\| (\S+:\d)", needs, re.MULTILINE) == ["gunfight:1", "storm:1", "bell:1"]
    assert "| The prompt was refused by content policy (code 1301) | Change the prompt. |" in needs
    assert "| door-creak:1 | succeeded | generated |" in takes


def test_warnings_have_a_table_of_their_own(page: Page, make_run: Any, make_take: Any) -> None:
    """Only the takes that have some stand in it."""
    text = page(make_run(make_take(), make_take(number=2, warnings=("a.wav: it lasts 4.20 s", "a.mp3: cut"))))
    warned = text.split("## Warnings")[1].split("## Takes")[0]
    assert "| door-creak:2 | a.wav: it lasts 4.20 s; a.mp3: cut |" in warned
    assert "door-creak:1" not in warned
    assert "## Warnings" not in page(make_run(make_take()))


def test_a_run_without_problems_has_no_problem_table(page: Page, make_run: Any, make_take: Any) -> None:
    """Green is short."""
    assert "What needs you" not in page(make_run(make_take()))


def test_long_tables_are_cut_and_say_so(page: Page, make_run: Any, make_take: Any) -> None:
    """A table shows its first rows and how many more there are."""
    text = page(make_run(*(make_take(number=number) for number in range(1, MOST_ROWS + 8))))
    assert f"| door-creak:{MOST_ROWS} |" in text
    assert f"door-creak:{MOST_ROWS + 1}" not in text
    assert "… and 7 more: see report.html" in text


@pytest.mark.parametrize(
    ("words", "markdown_words"),
    [
        ("a|b", "a&#124;b"),
        ("`a`", "&#96;a&#96;"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("@org/team", "@&#8203;org/team"),
        ("fix #12", "fix #&#8203;12"),
        ("a\nb\r\n\tc", "a b c"),
        ("![x](y)", r"\!\[x\](y)"),
        (r"a\|b", r"a\\&#124;b"),
        ("**a** _b_ ~c~ $d$", r"\*\*a\*\* \_b\_ \~c\~ &#36;d&#36;"),
        ("a\u202eb\x00", "a\ufffdb\ufffd"),
    ],
)
def test_markup_is_shown_as_it_was_typed(words: str, markdown_words: str) -> None:
    """Nothing from a manifest or the service can format, mention, link, or leave its cell."""
    assert escaped(words) == markdown_words


def test_hostile_words_stay_in_their_cells(page: Page, hostile_run: RunResult) -> None:
    """Every row of a table has its columns and nothing more, and no line is a heading of somebody else's."""
    text = page(hostile_run)
    problems, takes = text.split("## What needs you")[1].split("## Takes")
    assert {line.count("|") for line in problems.splitlines() if line.startswith("|")} == {6}
    assert {line.count("|") for line in takes.splitlines() if line.startswith("|")} == {8}
    assert [line for line in text.splitlines() if line.startswith("# heading")] == []
    assert "<" not in text


def test_the_worst_page_is_under_a_mebibyte(page: Page, make_run: Any, make_take: Any) -> None:
    """GitHub drops a summary of more than 1 MiB."""
    worst = "@" * 2000
    error = TakeError(code=None, message=worst, hint=worst)
    job = {"request": {"prompt": worst, "duration": 5.0}}
    take = make_take("j" * 100, job=job, status=Status.FAILED, error=error)
    assert len(page(make_run(*[take] * 1000)).encode()) < 2**20
