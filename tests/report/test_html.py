"""`report.html`, as text; `test_browser.py` opens it."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from kling_batch.model import RunResult, TakeResult
from kling_batch.report import html
from kling_batch.report.html import href


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def page() -> Callable[[RunResult], str]:
    """Write the page of a run."""
    return lambda result: "".join(html.pieces(result))


def test_hostile_words_add_no_element_and_no_attribute(
    page: Callable[[RunResult], str], hostile_run: RunResult
) -> None:
    """Whatever the words say, the page has the template's elements, one script, and no event handler."""
    found = Elements(page(hostile_run)).found
    tags = [tag for tag, _ in found]
    assert tags.count("script") == 1
    assert not {"img", "svg", "iframe", "object"} & set(tags)
    assert [name for _, attributes in found for name in attributes if name.startswith("on")] == []


def test_no_attribute_links_off_the_page(page: Callable[[RunResult], str], hostile_run: RunResult) -> None:
    """Every link is a file beside the page or a place in it."""
    found = Elements(page(hostile_run)).found
    links = [value for _, attributes in found for name, value in attributes.items() if name in {"href", "src"}]
    assert links
    assert all(link is not None and link.startswith(("./", "#")) for link in links)


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("steps/wet stone/a#1.wav", "./steps/wet%20stone/a%231.wav"),
        ("100%?.mp3", "./100%25%3F.mp3"),
        ("javascript:x.wav", "./javascript%3Ax.wav"),
        ("//host/x.wav", ".///host/x.wav"),
        ('a"b.wav', "./a%22b.wav"),
        ("glöckchen.wav", "./gl%C3%B6ckchen.wav"),
    ],
)
def test_a_path_is_linked_relative_and_quoted(path: str, link: str) -> None:
    """A path is a path, whatever signs are in it."""
    assert href(path) == link


def test_every_fact_of_a_take_is_on_the_page(page: Callable[[RunResult], str], run: RunResult) -> None:
    """A designer finds prompt, length, tags, meta, units, origin, attempts and ids without another file."""
    text = page(run)
    facts = ("Old oak door", "5.0 s", "foley", "scene", "entrance", "0.25 units", "generated", "1 attempt\n")
    assert [fact for fact in (*facts, "838475928374659072", run.takes[1].external_id) if fact not in text] == []


def test_problems_stand_above_the_sounds_with_reason_and_repair(
    page: Callable[[RunResult], str], run: RunResult
) -> None:
    """What needs a person comes first."""
    problems = page(run).split('id="problems"')[1].split('id="sounds"')[0]
    assert problems.index("gunfight:1") < problems.index("storm:1") < problems.index("1 pending")
    assert "content policy (code 1301)" in problems
    assert "Change the prompt." in problems


def test_a_problem_says_why_where_its_sound_would_be(page: Callable[[RunResult], str], run: RunResult) -> None:
    """Who looks at a job sees why a take is missing without going to the top."""
    card = page(run).split('id="job-gunfight"')[1]
    assert "content policy (code 1301)" in card


def test_pending_takes_are_one_problem_however_many(
    page: Callable[[RunResult], str], make_run: Any, pending: TakeResult
) -> None:
    """A run that stops early does not bury its failures, nor its sounds, under what has not been tried."""
    top = page(make_run(*[pending] * 300)).split('id="problems"')[1].split('id="sounds"')[0]
    assert top.count("<li") == 1
    assert "300 pending" in top


def test_a_page_of_thousands_of_takes_comes_in_small_pieces(make_run: Any, make_take: Any) -> None:
    """However many takes there are, only a few of them stand in memory as text."""
    run = make_run(*(make_take(f"job-{number // 5}", number % 5 + 1) for number in range(5000)))
    longest = max(len(piece) for piece in html.pieces(run))
    assert longest < 50_000
