"""Refusals that may be a matter of the account: believed of a take, or of none."""

from __future__ import annotations

from typing import Any

import pytest

from kling_batch.model import Job, Source, Take
from kling_batch.running.doubts import Doubts
from kling_batch.running.work import Work, first_row, nothing_known
from kling_batch.service.codes import reaction
from kling_batch.service.outcomes import Refused

WORDS, PARAMETER = 1301, 1201


def refused(code: int) -> Refused:
    return Refused(code=code, message="no", request_id="", reaction=reaction(code, 400))


def take(job: str, number: int = 1) -> Work:
    """Make a take of a job."""
    source = Source(path="m", line=1)
    of = Job(project="p", id=job, kind="text-to-audio", formats=("wav",), request={"prompt": "A"}, source=source)
    made = Take(job=of, number=number, edition=1, stem=f"{job}-{number:02}")
    return Work(facts=nothing_known(made), row=first_row(made, 1))


def doubts_of(*refusals: tuple[Work, int], **facts: Any) -> Doubts:
    """Make doubts of takes that were refused, one after the other."""
    doubts = Doubts(**facts)
    for work, code in refusals:
        doubts.suspect(work, refused(code))
        doubts.refused[work] = refused(code)
    return doubts


@pytest.mark.parametrize(
    ("refusals", "alike"),
    [
        ([(take("a"), PARAMETER), (take("b"), PARAMETER)], False),
        ([(take("a"), PARAMETER), (take("b"), PARAMETER), (take("c"), PARAMETER)], True),
        ([(take("a"), PARAMETER), (take("b"), PARAMETER), (take("c"), WORDS)], False),
        ([(take("a", 1), WORDS), (take("a", 2), WORDS), (take("a", 3), WORDS)], False),
        ([(take("a"), WORDS), (take("b"), WORDS), (take("c"), WORDS)], True),
    ],
    ids=["two takes", "three takes", "two codes", "words of one job", "words of three jobs"],
)
def test_the_first_three_refused_alike_are_a_matter_of_the_account(
    refusals: list[tuple[Work, int]], alike: bool
) -> None:
    """Words are about a job, whose takes share them; other refusals are about each take."""
    assert (doubts_of(*refusals).common() is not None) is alike


def test_nothing_more_is_sent_while_the_first_few_are_in_doubt() -> None:
    """Until one of them turns out not to be refused."""
    works = [take(name) for name in "abc"]
    doubts = doubts_of(*((work, PARAMETER) for work in works))
    assert doubts.are_enough
    doubts.trust(works[0], refused(PARAMETER))
    assert not doubts.are_enough


def test_once_a_task_was_made_each_refusal_is_about_its_take() -> None:
    """They are believed at once, and told once."""
    works = [take(name) for name in "abc"]
    doubts = doubts_of(*((work, PARAMETER) for work in works), taken=True)
    assert (doubts.are_enough, doubts.common()) == (False, None)
    assert list(doubts.believed(unfinished=9)) == works
    assert doubts.believed(unfinished=9) == {}


def test_a_refusal_waits_for_others_unless_none_can_come() -> None:
    """Of one take among many nothing is known yet; the last one left has failed."""
    doubts = doubts_of((take("a"), PARAMETER))
    assert doubts.believed(unfinished=2) == {}
    assert len(doubts.believed(unfinished=1)) == 1
