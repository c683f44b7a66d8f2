"""`report.html`, as text; `test_browser.py`, `test_audition.py` and `test_page_*.py` open it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from kling_batch.model import LimitPoint, RunResult, Shape, TakeResult
from kling_batch.report import html
from kling_batch.report.html import href
from kling_batch.report.page_chart import chart, time_text


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the blocks of data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, list[Any]] = {}
        self._block: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._block = dict(attrs).get("data-block")

    def handle_data(self, data: str) -> None:
        if self._block:
            self.blocks.setdefault(self._block, []).append(json.loads(data))
            self._block = None

    @property
    def jobs(self) -> list[Any]:
        return [job for block in self.blocks["jobs"] for job in block]


@pytest.fixture
def page() -> Callable[..., str]:
    """Write the page of a run."""
    return lambda result, *shapes: "".join(html.pieces(result, *shapes))


def test_hostile_words_add_no_element_and_no_attribute(page: Callable[..., str], hostile_run: RunResult) -> None:
    """Whatever the words say, the page has the template's elements, one script that runs, and no event handler."""
    found = Elements(page(hostile_run)).found
    scripts = [attributes for tag, attributes in found if tag == "script"]
    assert [attributes for attributes in scripts if attributes.get("type") != "application/json"] == [
        {"type": "module"}
    ]
    assert not {"img", "iframe", "object", "form", "base"} & {tag for tag, _ in found}
    assert [name for _, attributes in found for name in attributes if name.startswith("on")] == []


def test_no_attribute_links_off_the_page(page: Callable[..., str], hostile_run: RunResult) -> None:
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


def test_every_fact_of_a_take_is_on_the_page(page: Callable[..., str], run: RunResult) -> None:
    """A designer finds prompt, length, tags, meta, units, origin, attempts and ids without another file."""
    elements = Elements(page(run))
    job = next(job for job in elements.jobs if job[0] == "door-creak")
    words = ["door-creak", "Old oak door creaks open slowly", 5.0, ["foley"], {"scene": "entrance"}, 0]
    assert job[:6] == words
    head = elements.blocks["run"][0]
    number, status, origin, units, attempts, files, task, name, *shape, why, repair, warnings = job[6][0]
    assert (number, head["statuses"][status], head["origins"][origin]) == (1, "succeeded", "generated")
    assert (units, attempts, task, name) == ("0.25", 1, "838475928374659072", run.takes[1].external_id)
    assert files == [["door-creak-01.wav", "wav", 5.04]]
    assert (shape, why, repair, warnings) == ([None, None, "", None, -1, -1, -1], -1, -1, -1)


def test_warnings_stand_with_their_take(page: Callable[..., str], make_run: Any, make_take: Any) -> None:
    """In the data, and in the list for where no script runs."""
    text = page(make_run(make_take(warnings=("a.wav: it lasts 4.20 s", "a.mp3: <cut>"))))
    elements = Elements(text)
    assert elements.blocks["words"][0][elements.jobs[0][6][0][-1]] == "a.wav: it lasts 4.20 s; a.mp3: <cut>"
    assert '<p class="warnings"><bdi>a.mp3: &lt;cut&gt;</bdi></p>' in text


def test_problems_stand_above_the_sounds_with_reason_and_repair(page: Callable[..., str], run: RunResult) -> None:
    """What needs a person comes first."""
    problems = page(run).split('id="problems"')[1].split('id="sounds"')[0]
    assert problems.index("gunfight:1") < problems.index("storm:1") < problems.index("1 pending")
    assert "content policy (code 1301)" in problems
    assert "Change the prompt." in problems


def test_a_problem_says_why_where_its_sound_would_be(page: Callable[..., str], run: RunResult) -> None:
    """Who looks at a job sees why a take is missing without going to the top."""
    elements = Elements(page(run))
    job = next(job for job in elements.jobs if job[0] == "gunfight")
    *_, why, repair, _ = job[6][0]
    words = elements.blocks["words"][0]
    assert words[why] == "The prompt was refused by content policy (code 1301)"
    assert words[repair] == "Change the prompt."


def test_takes_that_fail_for_one_reason_are_one_problem(
    page: Callable[..., str], make_run: Any, make_take: Any, failed: TakeResult
) -> None:
    """A hundred refusals by one cause are one thing to mend; some of the takes are named, and the rest counted."""
    takes = [replace(failed, take=make_take(f"gun-{number}").take) for number in range(100)]
    top = page(make_run(*takes)).split('id="problems"')[1].split('id="sounds"')[0]
    assert top.count("<li") == 1
    assert "gun-7:1" in top
    assert "gun-8:1" not in top
    assert "and 92 more" in top


def test_many_reasons_do_not_bury_the_sounds(page: Callable[..., str], make_run: Any, failed: TakeResult) -> None:
    """Beyond some, the page says how many more there are, and where."""
    errors = [replace(failed.error, message=f"reason {number}") for number in range(50)]  # type: ignore[type-var]
    top = page(make_run(*(replace(failed, error=error) for error in errors))).split('id="sounds"')[0]
    assert "reason 39" in top
    assert "reason 40" not in top
    assert "10 more reasons" in top


def test_pending_takes_are_one_problem_however_many(
    page: Callable[..., str], make_run: Any, pending: TakeResult
) -> None:
    """A run that stops early does not bury its failures, nor its sounds, under what has not been tried."""
    top = page(make_run(*[pending] * 300)).split('id="problems"')[1].split('id="sounds"')[0]
    assert top.count("<li") == 1
    assert "300 pending" in top


def test_a_sound_has_its_shape_where_that_is_known(page: Callable[..., str], run: RunResult) -> None:
    """Peak in decibels, loudness in LUFS, and a letter a column; any of a take's files may be the one that is known."""
    files = (replace(run.takes[1].files[0], sha256="0" * 64), run.takes[1].files[0])
    known = {files[1].sha256: Shape(peak=0.5, loudness=-18.26, waveform=bytes(range(0, 240, 2)))}
    result = replace(run, takes=(replace(run.takes[1], files=files), run.takes[2]))
    first, second = Elements(page(result, known)).jobs[0][6]
    assert first[8:10] == [-6.0, -18.3]
    assert (len(first[10]), first[10][0], first[10][119]) == (120, "A", "7")
    assert second[8:11] == [None, None, ""]


def test_silence_has_no_level(page: Callable[..., str], run: RunResult) -> None:
    """It has a waveform, a flat one."""
    result = replace(run, takes=(run.takes[1],))
    silence = Shape(peak=0.0, loudness=None, waveform=bytes(120))
    take = Elements(page(result, {run.takes[1].files[0].sha256: silence})).jobs[0][6][0]
    assert take[8:11] == [None, None, "A" * 120]


def test_picks_and_place_are_on_the_page(page: Callable[..., str], run: RunResult) -> None:
    """What the lock says is picked, and the options without which a command would find another lock."""
    result = replace(run, picks=(run.takes[2].take.key,), place=("--out", "a b", "--sandbox"))
    elements = Elements(page(result))
    assert {job[0]: job[5] for job in elements.jobs} == {"bell": 0, "door-creak": 2, "storm": 0, "gunfight": 0}
    assert elements.blocks["run"][0]["place"] == ["--out", "a b", "--sandbox"]


def test_a_page_of_thousands_of_takes_comes_in_small_pieces(make_run: Any, make_take: Any) -> None:
    """However many takes there are, only a few of them stand in memory as text."""
    run = make_run(*(make_take(f"job-{number // 5}", number % 5 + 1) for number in range(5000)))
    longest = max(len(piece) for piece in html.pieces(run) if 'data-block="jobs"' in piece)
    assert longest < 60_000


def test_the_plain_list_is_bounded(page: Callable[..., str], make_run: Any, make_take: Any) -> None:
    """Those without scripts see the first takes and are told where all are; the page does not double for them."""
    text = page(make_run(*(make_take(f"job-{number}") for number in range(500))))
    assert text.count('<a href="./job-') == 200
    assert "of the first 200 takes" in text


def test_the_history_of_the_limit_is_drawn_in_steps(run: RunResult) -> None:
    """From the start to the end of the run, the highest limit being the top."""
    begin = run.started_at
    points = (LimitPoint(at=begin, limit=5, reason="begin"), LimitPoint(at=begin + 15.6, limit=10, reason="room"))
    found = chart(replace(run, limits=points))
    assert found is not None
    assert found.line == "M0 19.0H0.0V19.0H120.0V4.0H240"
    assert (found.first, found.last) == (5, 10)
    assert found.words == "The limit on tasks at once began at 5, was between 5 and 10, and ended at 10."
    assert found.rows == [("0.0 s", 5, "begin"), ("15.6 s", 10, "room")]


def test_a_long_history_has_a_bounded_table(run: RunResult) -> None:
    """The latest hundred changes; the line shows all."""
    points = tuple(LimitPoint(at=run.started_at + number, limit=number + 1, reason="") for number in range(250))
    found = chart(replace(run, limits=points))
    assert found is not None
    assert (len(found.rows), found.left_out, found.rows[-1][1]) == (100, 150, 250)


@pytest.mark.parametrize("limits", [(), (LimitPoint(at=1.0, limit=0, reason="clock set back"),)])
def test_a_run_without_a_history_is_no_trouble(
    page: Callable[..., str], run: RunResult, limits: tuple[LimitPoint, ...]
) -> None:
    """Nor is one whose clock was set."""
    assert ("tasks at once" in page(replace(run, limits=limits))) is bool(limits)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (9.26, "9.3 s"), (59.4, "59.4 s"), (247.3, "4 min 07 s"), (7500.0, "2 h 05 min")],
)
def test_a_time_is_written_for_people(seconds: float, text: str) -> None:
    """Nobody divides by 60."""
    assert time_text(seconds) == text
