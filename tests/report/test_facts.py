"""What every report says in the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from kling_batch.model import RunResult, Status, TakeResult
from kling_batch.report import summary
from kling_batch.report.facts import as_paid, headline, money, problems, reason, repair, span_s, units_text


@pytest.mark.parametrize(
    ("units", "text"),
    [("0.25", "0.25"), ("2", "2.00"), ("0", "0.00"), ("0.125", "0.125"), ("0.5000", "0.50"), ("1E+2", "100.00")],
)
def test_units_have_two_decimals_or_as_many_as_it_takes(units: str, text: str) -> None:
    """Units are exact decimal text, never rounded, never with an exponent."""
    assert units_text(Decimal(units)) == text


def test_the_summary_counts_each_status_once(run: RunResult) -> None:
    """The four counts add up to the takes, and the units are those of the set and those of this run."""
    assert summary(replace(run, units_this_run=Decimal("0.50"))) == {
        "jobs": 4,
        "takes": 5,
        "succeeded": 2,
        "failed": 1,
        "rejected": 0,
        "pending": 1,
        "unknown": 1,
        "units": "0.75",
        "units_this_run": "0.50",
        "seconds": 31.2,
        "api_requests": 19,
    }


def test_the_headline_names_only_what_there_is(run: RunResult, make_run: Callable[..., RunResult]) -> None:
    """A status that no take has is not mentioned."""
    assert headline(run) == "2 of 5 takes succeeded, 1 failed, 1 unknown, 1 pending"
    assert headline(make_run(run.takes[1])) == "1 of 1 take succeeded"


def test_the_most_urgent_problem_comes_first(run: RunResult) -> None:
    """Failed, then unknown, then pending, whatever the order of the run."""
    assert [take.status for take in problems(run)] == [Status.FAILED, Status.UNKNOWN, Status.PENDING]


def test_a_problem_always_says_why_and_what_to_do(run: RunResult, make_take: Callable[..., TakeResult]) -> None:
    """Also where the service gave no reason, a person is told what to do next."""
    silent = make_take(status=Status.FAILED, files=(), error=None)
    assert all(reason(take) and repair(take) for take in (*problems(run), silent))


def test_a_reason_carries_the_code_of_the_service(failed: TakeResult) -> None:
    """The code is what support and the documentation go by."""
    assert reason(failed) == "The prompt was refused by content policy (code 1301)"
    assert repair(failed) == "Change the prompt."


def test_a_clock_set_back_makes_no_negative_time() -> None:
    """A span is never negative, and 0 where an end of it is unknown."""
    assert (span_s(10.0, 4.0), span_s(None, 4.0), span_s(4.0, None), span_s(4.0, 5.5)) == (0.0, 0.0, 0.0, 1.5)


def test_a_sandbox_costs_nothing(make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]) -> None:
    """What it pretends to charge stands in report.json alone, beside the word that says so."""
    run = make_run(make_take(), sandbox=True)
    assert money(run) == "sandbox: nothing spent"
    assert [take.units for take in as_paid(run).takes] == [0]
    assert summary(run)["units"] == "0.25"


def test_money_tells_spent_reserved_and_undelivered(
    make_run: Callable[..., RunResult], make_take: Callable[..., TakeResult]
) -> None:
    """What is paid and not delivered, and what is reserved, is part of the set's."""
    assert money(make_run(make_take(), make_take())) == "this run 0.00; the set 0.50 units"
    quarter = Decimal("0.25")
    run = make_run(make_take(), make_take(undelivered=quarter), make_take(reserved=quarter))
    assert money(run) == (
        "this run 0.00; the set 0.75 units, 0.25 of them paid and not delivered, 0.25 of them reserved"
    )
