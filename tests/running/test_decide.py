"""What an outcome means for an attempt, row by row: this is where money is decided."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from kling_batch.catalog import Kind, kind
from kling_batch.model import NOTHING, Task, TaskStatus
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.running import decide
from kling_batch.running.decide import MOST_RESENDS, Next, Silence
from kling_batch.service.codes import CODES, Reaction
from kling_batch.service.outcomes import Created, CreateOutcome, NotSent, Refused, Unclear

PRICE = Decimal("0.50")
NOW = 1_790_000_100.0
RUN = 7

REFUSALS = {
    Reaction.SIGN_AGAIN: Next.STOP,  # signed again already, below: the key is wrong
    Reaction.CHECK_CLOCK: Next.STOP,
    Reaction.STOP_ACCOUNT: Next.STOP,
    Reaction.STOP_CLIENT: Next.STOP,
    Reaction.UNKNOWN: Next.STOP,  # nothing fails for good that nobody understands
    Reaction.NO_ROOM: Next.NO_ROOM,
    Reaction.SLOW_DOWN: Next.SEND_LATER,
    Reaction.REFUSE_OR_EXISTS: Next.LOOK,  # the id may be taken: by a task that is paid for
    Reaction.REFUSE: Next.DOUBT,  # perhaps a matter of the account
    Reaction.ABSENT: Next.DOUBT,
}
"""What each refusal of a POST means."""
NEVER_A_REFUSAL = {Reaction.PROCEED, Reaction.TROUBLE}
SENT_LATER = {Next.SEND_LATER, Next.NO_ROOM}
"""What sends an attempt again by itself, since it is known to have made nothing."""


def refused(reaction: Reaction, code: int = 1) -> Refused:
    """Make a refusal."""
    return Refused(code=code, reaction=reaction, message="")


@pytest.fixture
def sent() -> Attempt:
    """An attempt whose POST has gone out."""
    row = Attempt(
        external_id="kb-1",
        kind="text-to-audio",
        job_id="door",
        take=1,
        attempt=1,
        stage=Stage.WITHDRAWN,
        units=NOTHING,
        run_id=RUN,
    )
    return decide.intend(row, price=PRICE, now=NOW, run_id=RUN)


@pytest.fixture
def audio() -> Kind:
    return kind("text-to-audio")


def says(status: TaskStatus, **facts: Any) -> Task:
    """What the service says of the attempt's task."""
    return Task(task_id="953948011111111111", external_id="kb-1", status=status, **facts)


# A POST


@pytest.mark.parametrize(("reaction", "next_"), REFUSALS.items(), ids=lambda value: value.name)
def test_what_each_refusal_of_a_post_means(reaction: Reaction, next_: Next) -> None:
    """Account and unknown codes stop, a moment is waited out, an id that may be taken is looked for, words doubted."""
    assert decide.after_create(refused(reaction)) is next_


def test_every_reaction_has_a_row() -> None:
    """A reaction that the table of codes learns is decided on here, too."""
    assert set(REFUSALS) == set(Reaction) - NEVER_A_REFUSAL


@pytest.mark.parametrize(
    ("outcome", "next_"),
    [
        (Created(task=says(TaskStatus.SUBMITTED)), Next.WATCH),
        (NotSent(reason="no route"), Next.SEND_LATER),
        (Unclear(reason="HTTP 502"), Next.SETTLE),
        (Unclear(reason="5000: trouble", code=5000), Next.SETTLE),
        (Unclear(reason="7: odd", code=7, strange=True), Next.STOP_UNCLEAR),
    ],
    ids=["created", "not sent", "lost", "trouble", "strange"],
)
def test_what_every_other_outcome_of_a_post_means(outcome: CreateOutcome, next_: Next) -> None:
    """A task is watched, what never left is sent later, and what is unclear is settled; a strange answer also stops."""
    assert decide.after_create(outcome) is next_


def test_only_a_known_moment_and_what_never_left_is_sent_again_without_a_look() -> None:
    """Too fast and no room are the two codes that are waited for; no other answer is a leave to send again."""
    waited_for = {code for code, row in CODES.items() if REFUSALS.get(row.reaction) in SENT_LATER}
    unclear = {decide.after_create(Unclear(reason="", strange=strange)) for strange in (False, True)}
    assert waited_for == {1302, 1303}
    assert decide.after_create(NotSent(reason="")) in SENT_LATER
    assert not unclear & {*SENT_LATER, Next.SEND_AGAIN}


# A look without a trace


@pytest.mark.parametrize("hold_unclear", [False, True])
@pytest.mark.parametrize("resends", range(MOST_RESENDS + 2))
@pytest.mark.parametrize("silence", Silence)
def test_an_unclear_post_is_sent_again_only_where_its_task_is_known_to_be_absent(
    silence: Silence, resends: int, hold_unclear: bool
) -> None:
    """By a source that was heard, a bounded number of times, and never where that was forbidden."""
    may = silence is Silence.ABSENT and resends < MOST_RESENDS and not hold_unclear
    decided = decide.after_silence(silence, resends=resends, hold_unclear=hold_unclear)
    assert decided is (Next.SEND_AGAIN if may else Next.UNKNOWN)


# A task


@pytest.mark.parametrize(
    ("status", "stage", "next_"),
    [
        (TaskStatus.SUBMITTED, Stage.CREATED, Next.WATCH),
        (TaskStatus.PROCESSING, Stage.CREATED, Next.WATCH),
        (TaskStatus.SUCCEEDED, Stage.SUCCEEDED, Next.DELIVER),
        (TaskStatus.FAILED, Stage.FAILED, Next.FAIL),
    ],
)
def test_a_task_is_watched_until_it_ends(
    sent: Attempt, audio: Kind, status: TaskStatus, stage: Stage, next_: Next
) -> None:
    """Then its files are brought, or its failure is decided on."""
    made = decide.after_task(sent, says(status), kind=audio, run_id=RUN, now=NOW, price=PRICE)
    assert (made.attempt.stage, made.next) == (stage, next_)
    assert made.attempt.task_id == "953948011111111111"


@pytest.mark.parametrize(
    ("status", "said", "counted"),
    [
        (TaskStatus.SUBMITTED, None, PRICE),
        (TaskStatus.PROCESSING, Decimal(0), PRICE),
        (TaskStatus.SUCCEEDED, Decimal("1.00"), Decimal("1.00")),
        (TaskStatus.SUCCEEDED, None, PRICE),
        (TaskStatus.FAILED, None, NOTHING),
        (TaskStatus.FAILED, Decimal("0.25"), Decimal("0.25")),
    ],
)
def test_the_charge_is_believed_once_the_task_has_ended(
    sent: Attempt, audio: Kind, status: TaskStatus, said: Decimal | None, counted: Decimal
) -> None:
    """Until then, and where nothing is said of a sound, the reservation stands; a failure is free unless it is said."""
    task = says(status, units=said)
    made = decide.after_task(sent, task, kind=audio, run_id=RUN, now=NOW, price=PRICE)
    assert made.attempt.counted == counted


def test_an_intent_reserves_the_price_that_it_is_given(sent: Attempt) -> None:
    """It counts before the POST, and what the attempt was refused with before is gone."""
    again = decide.intend(replace(sent, code=1302, message="slow"), price=PRICE * 2, now=NOW + 1, run_id=RUN + 1)
    assert (sent.stage, sent.counted, sent.sent_at) == (Stage.INTENT, PRICE, NOW)
    assert (again.counted, again.sent_at, again.run_id) == (PRICE * 2, NOW + 1, RUN + 1)
    assert (again.code, again.message) == (None, "")


def test_what_made_nothing_reserves_nothing(sent: Attempt) -> None:
    """An intent that was taken back keeps its name; a refusal is kept with its code, so that a person can read it."""
    back = decide.withdrawn(sent)
    assert (back.stage, back.counted, back.external_id) == (Stage.WITHDRAWN, NOTHING, sent.external_id)
    gone = decide.refused_for_good(sent, refused(Reaction.REFUSE, 1301), NOW)
    assert (gone.stage, gone.counted, gone.code, gone.final) == (Stage.REFUSED, NOTHING, 1301, True)


@pytest.mark.parametrize(
    ("message", "attempt", "hopeless", "next_"),
    [
        ("internal error", 1, False, Next.RETRY),
        ("internal error", 2, False, Next.RETRY),
        ("internal error", 3, False, Next.FAIL),
        ("internal error", 1, True, Next.FAIL),
        ("Failure to pass the risk control system", 1, False, Next.FAIL),
    ],
)
def test_a_failed_task_is_tried_again_where_its_reason_may_pass(
    sent: Attempt, audio: Kind, message: str, attempt: int, hopeless: bool, next_: Next
) -> None:
    """As often as is allowed (here twice), not after risk control, and not where nothing succeeds any more."""
    failed = says(TaskStatus.FAILED, message=message)
    row = replace(sent, attempt=attempt)
    made = decide.after_task(row, failed, kind=audio, run_id=RUN, now=NOW, price=PRICE)
    assert decide.after_failure(made.attempt, retries=2, hopeless=hopeless) is next_


def test_the_services_times_count_before_this_machines(sent: Attempt) -> None:
    """A task that was found later was made when the service says, and not when we saw it."""
    task = says(TaskStatus.SUCCEEDED, created_ms=1_790_000_000_000, updated_ms=1_790_000_002_500)
    row = decide.with_task(replace(sent, sent_at=None), task, RUN, NOW, PRICE)
    assert (row.sent_at, row.created_at, row.ended_at) == (1_790_000_000.0, 1_790_000_000.0, 1_790_000_002.5)
    unsaid = decide.with_task(sent, says(TaskStatus.SUCCEEDED), RUN, NOW + 9, PRICE)
    assert (unsaid.sent_at, unsaid.created_at, unsaid.ended_at) == (NOW, NOW + 9, NOW + 9)


def test_every_decision_is_reached(sent: Attempt, audio: Kind) -> None:
    """No `Next` stands in the table that nothing decides."""
    posts: list[CreateOutcome] = [Created(task=says(TaskStatus.SUBMITTED)), NotSent(reason="")]
    posts += [refused(reaction) for reaction in REFUSALS]
    posts += [Unclear(reason="", strange=strange) for strange in (False, True)]
    reached = {decide.after_create(outcome) for outcome in posts}
    reached |= {decide.after_silence(silence, resends=0, hold_unclear=False) for silence in Silence}
    for status in TaskStatus:
        made = decide.after_task(sent, says(status), kind=audio, run_id=RUN, now=NOW, price=PRICE)
        reached |= {made.next, decide.after_failure(made.attempt, retries=2, hopeless=False)}
    assert reached == set(Next)
