"""What is sent, and when: the scheduler's state after each step, told by its repr."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kling_batch.errors import BudgetStop, ServiceStop
from kling_batch.model import Job, Source, Status, Take, TaskStatus
from kling_batch.planning.spending import Budget
from kling_batch.records.account import Control, Knowledge
from kling_batch.records.attempts import Stage
from kling_batch.running.scheduler import Create, LookAgain, LookUp, Prove, Scheduler, Settle
from kling_batch.running.work import Work, first_row, nothing_known
from kling_batch.service.codes import reaction
from kling_batch.service.outcomes import Refused

PRICE_SEEN = Knowledge(price=Decimal("0.25"))


class Clock:
    """Stands still until it is set."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def takes(count: int) -> list[Work]:
    """Make takes of as many jobs, in order."""
    made = []
    for number in range(1, count + 1):
        job = Job(
            project="p",
            id=f"job-{number}",
            kind="text-to-audio",
            formats=("wav",),
            request={"prompt": "A"},
            source=Source(path="m", line=1),
        )
        take = Take(job=job, number=1, edition=1, stem=f"job-{number}-01")
        made.append(Work(facts=nothing_known(take), row=first_row(take, 1), order=number))
    return made


@pytest.fixture
def scheduler_of(parts_of: Any, clock: Clock) -> Any:
    """Make a scheduler that may send; `live` is whether the account was heard by a task that ran."""

    def make(works: list[Work], *, live: bool = True, **options: Any) -> Scheduler:
        parts = parts_of(works, world={"clock": clock}, **options)
        parts.account.query_heard = parts.account.live = live
        parts.scheduler.begin()
        parts.scheduler.start_sending()
        return parts.scheduler  # type: ignore[no-any-return]

    return make


def sent(scheduler: Scheduler) -> list[str]:
    """Name the jobs that are to be sent now."""
    return [call.work.take.job.id for call in scheduler.calls() if isinstance(call, Create)]


def refused(code: int, message: str = "no") -> Refused:
    return Refused(code=code, message=message, request_id="", reaction=reaction(code, 400))


def test_as_many_are_sent_as_there_are_slots(scheduler_of: Any, task: Any) -> None:
    """In the manifest's order; a task's end frees a slot at once."""
    works = takes(3)
    scheduler = scheduler_of(works, concurrency=2)
    assert repr(scheduler) == "Scheduler(3 queued, 0 in flight, 0 held, Limit(2 of 2))"
    assert sent(scheduler) == ["job-1", "job-2"]
    assert repr(scheduler) == "Scheduler(1 queued, 2 in flight, 0 held, Limit(2 of 2))"
    assert sent(scheduler) == []
    assert scheduler.take_in(works[0], task(works[0], TaskStatus.SUCCEEDED))
    assert repr(scheduler) == "Scheduler(1 queued, 1 in flight, 0 held, Limit(2 of 2))"
    assert sent(scheduler) == ["job-3"]


def test_a_first_task_is_sent_alone_until_the_account_is_heard(scheduler_of: Any) -> None:
    """The canary; its task is to be seen by its external id."""
    works = takes(3)
    scheduler = scheduler_of(works, live=False, concurrency=3)
    assert sent(scheduler) == ["job-1"]
    control = Control(external_id=works[0].external_id, task_id="1")
    scheduler.submitted(works[0], control)
    assert scheduler.calls() == [Prove(control=control)]
    scheduler.judged()
    assert sent(scheduler) == ["job-2", "job-3"]


def test_a_canary_that_made_no_task_gives_way_to_the_next(scheduler_of: Any) -> None:
    """The account may be heard by the next take."""
    works = takes(2)
    scheduler = scheduler_of(works, live=False)
    assert sent(scheduler) == ["job-1"]
    scheduler.submitted(works[0], None)
    assert sent(scheduler) == ["job-2"]


def test_a_price_that_was_never_seen_is_waited_for_where_there_is_a_cap(scheduler_of: Any, task: Any) -> None:
    """And then every reservation is at the price that was charged."""
    works = takes(4)
    scheduler = scheduler_of(works, budget=Budget(run=Decimal(2)))
    assert sent(scheduler) == ["job-1"]
    scheduler.take_in(works[0], task(works[0], TaskStatus.SUCCEEDED, units=Decimal(1)))
    assert sent(scheduler) == ["job-2"]
    assert scheduler.budget.spent == Decimal(2)


def test_a_lost_answer_is_waited_for_where_no_price_was_seen(scheduler_of: Any) -> None:
    """Two canaries could cost more than the cap, each reserved at list price."""
    works = takes(2)
    scheduler = scheduler_of(works, live=False, budget=Budget(run=Decimal(1)))
    assert sent(scheduler) == ["job-1"]
    scheduler.submitted(works[0], None)
    assert sent(scheduler) == []


def test_a_used_up_budget_ends_the_run_when_nothing_is_in_flight(scheduler_of: Any, task: Any) -> None:
    """While something is, it may yet turn out cheaper."""
    works = takes(2)
    scheduler = scheduler_of(works, budget=Budget(run=Decimal("0.3")), knowledge=PRICE_SEEN)
    assert sent(scheduler) == ["job-1"]
    scheduler.halt_if_stuck()
    assert scheduler.stopped is None
    scheduler.take_in(works[0], task(works[0], TaskStatus.SUCCEEDED, units=Decimal("0.25")))
    scheduler.end(works[0], Status.SUCCEEDED)
    scheduler.halt_if_stuck()
    assert isinstance(scheduler.stopped, BudgetStop)


def test_calls_that_fail_together_are_one_lesson(scheduler_of: Any, clock: Clock) -> None:
    """Eight refusals of one moment cost one wait of a second, and leave the room that is there."""
    works = takes(9)
    scheduler = scheduler_of(works, concurrency=8)
    began = clock.monotonic()
    assert len(sent(scheduler)) == 8
    clock.now += 0.1
    for work in works[2:8]:
        scheduler.submitting.discard(work)
        scheduler.no_room(began)
        scheduler.withdraw(work)
    assert scheduler.limit.refusals == 1
    assert scheduler.next_at(clock.now) == [clock.now + 1.0, clock.now + 5.0]
    assert sent(scheduler) == []


def test_the_first_few_refused_alike_stop_the_run(scheduler_of: Any) -> None:
    """It is a matter of the account or the moment; none of the takes has failed."""
    works = takes(5)
    scheduler = scheduler_of(works, concurrency=3)
    sent(scheduler)
    for work in works[:3]:
        scheduler.submitting.discard(work)
        scheduler.doubts.suspect(work, refused(1201))
        scheduler.doubt(work, refused(1201))
    assert scheduler.believed() == {}
    assert isinstance(scheduler.stopped, ServiceStop)
    assert {work.row.stage for work in works} == {Stage.WITHDRAWN}


def test_a_refusal_is_believed_once_a_task_was_made(scheduler_of: Any) -> None:
    """Then the account is in order, and it is about the take."""
    works = takes(2)
    scheduler = scheduler_of(works, concurrency=2)
    sent(scheduler)
    scheduler.submitting.clear()
    scheduler.submitted(works[0], Control(external_id=works[0].external_id, task_id="1"))
    scheduler.doubt(works[1], refused(1201))
    assert list(scheduler.believed()) == [works[1]]


def test_what_nobody_can_see_keeps_its_slot(scheduler_of: Any, clock: Clock) -> None:
    """For an hour where no generation was ever seen."""
    works = takes(2)
    scheduler = scheduler_of(works, concurrency=1)
    sent(scheduler)
    scheduler.submitting.clear()
    scheduler.leave_unknown(works[0], "lost")
    assert repr(scheduler) == "Scheduler(1 queued, 0 in flight, 1 held, Limit(1 of 1))"
    assert sent(scheduler) == []
    clock.now += 3601
    assert sent(scheduler) == ["job-2"]


def test_a_bug_ends_its_take_and_leaves_its_slot_and_units_taken(scheduler_of: Any) -> None:
    """Its task may run, and be paid for; the take is not sent again, nor ended twice, and the others go on."""
    works = takes(3)
    scheduler = scheduler_of(works, concurrency=2)
    assert sent(scheduler) == ["job-1", "job-2"]
    with scheduler.about(works[0]):
        raise ZeroDivisionError("of all things")
    assert works[0].status is Status.FAILED
    assert repr(scheduler) == "Scheduler(1 queued, 1 in flight, 1 held, Limit(2 of 2))"
    assert (scheduler.budget.spent, scheduler.unfinished) == (Decimal("0.50"), 2)
    scheduler.end(works[0], Status.SUCCEEDED)
    assert (works[0].status, scheduler.unfinished) == (Status.FAILED, 2)
    assert scheduler.stopped is None


def test_a_bug_in_a_queued_take_takes_it_off_the_queue(scheduler_of: Any) -> None:
    """It was never sent: no slot is held for it."""
    works = takes(2)
    scheduler = scheduler_of(works, concurrency=1)
    with scheduler.about(works[0]):
        raise ZeroDivisionError("of all things")
    assert sent(scheduler) == ["job-2"]


def test_what_earlier_runs_began_is_gone_on_with(parts_of: Any, clock: Clock) -> None:
    """An intent is settled, and nothing is sent before the account was looked through."""
    works = takes(2)
    scheduler = parts_of(works, world={"clock": clock}).scheduler
    scheduler._intend(works[0])
    scheduler.begin()
    assert scheduler.calls() == [Settle(work=works[0])]


def test_a_further_attempt_is_looked_for_before_it_is_queued(scheduler_of: Any, task: Any) -> None:
    """Another machine may have sent it; not so where this journal is known to have sent last."""
    for proven in (False, True):
        [work] = works = takes(1)
        scheduler = scheduler_of(works, proven=proven)
        sent(scheduler)
        scheduler.take_in(work, task(work, TaskStatus.FAILED))
        scheduler.go_on_from(work, work.row)
        asked = scheduler.calls()
        assert asked == ([Create(work=work)] if proven else [LookUp(work=work)])
        assert work.row.attempt == 2


def test_a_long_sleep_of_the_machine_makes_the_queue_be_looked_for_again(scheduler_of: Any) -> None:
    """Meanwhile nothing is sent."""
    scheduler = scheduler_of(takes(2))
    scheduler.after_sleep(3600.0)
    assert scheduler.calls() == [LookAgain()]
    assert not scheduler.sending
