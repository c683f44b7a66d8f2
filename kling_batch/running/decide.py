"""Where money is decided: what an outcome means for an attempt. A table of plain functions, and nothing else.

An attempt that may have been paid for is never sent again before it is known that it was not; what cost nothing may be
sent again; and nothing fails for good that is not understood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto
from typing import assert_never

from kling_batch.catalog import Kind
from kling_batch.clock import iso
from kling_batch.model import NOTHING, Task, TaskStatus
from kling_batch.records.attempts import Attempt, Stage, written
from kling_batch.records.fields import VOICE
from kling_batch.service.codes import Reaction
from kling_batch.service.outcomes import Created, CreateOutcome, NotSent, Refused, Unclear

MOST_RESENDS = 3
"""How often an attempt without a trace is sent again in one run, always under the same id."""


class Next(Enum):
    """What is done about an attempt."""

    WATCH = auto()
    """Its task is in flight: see it end."""
    DELIVER = auto()
    """Its task is done and paid for: bring its files home."""
    SETTLE = auto()
    """Perhaps it made a task: look for it, and send nothing before that is known."""
    LOOK = auto()
    """Refused, perhaps because its id is taken: look for a task of that id before the refusal is believed."""
    SEND_LATER = auto()
    """It made nothing: send it when there is room, after a wait that all calls of the moment share."""
    NO_ROOM = auto()
    """It made nothing for want of room: learn the limit, and send it later."""
    DOUBT = auto()
    """Refused: it fails, unless the first few are all refused so."""
    STOP = auto()
    """It made nothing, and nothing more is sent until a person has mended what is wrong."""
    STOP_UNCLEAR = auto()
    """Perhaps it made a task, and nothing more is sent: nobody understands the answer."""
    RETRY = auto()
    """Its task failed for a passing reason: make a new attempt, under a new id."""
    FAIL = auto()
    """It failed for good."""
    SEND_AGAIN = auto()
    """It left no trace: send it again, under the same id."""
    UNKNOWN = auto()
    """Perhaps it is paid for, and that cannot be known now: leave it to a later run or a person."""


class Silence(Enum):
    """What it means that no task of an id was found."""

    ABSENT = auto()
    """A source that has been heard was silent after the settle time: there is none."""
    UNHEARD = auto()
    """No source has been heard: silence says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """An attempt as it stands now, and what is done about it."""

    attempt: Attempt
    next: Next


def intend(attempt: Attempt, *, price: Decimal, now: float, run_id: int, rights_by: str | None = None) -> Attempt:
    """Make the intent of a call: `price`, the highest known, is reserved. `rights_by` agreed to what it makes."""
    meant = replace(attempt, stage=Stage.INTENT, units=price, sent_at=now, run_id=run_id, code=None, message="")
    return replace(meant, rights_by=rights_by, rights_at=iso(now)) if rights_by else meant


def withdrawn(attempt: Attempt) -> Attempt:
    """Take an intent back: the call is known to have made nothing."""
    return replace(attempt, stage=Stage.WITHDRAWN, units=NOTHING)


def after_create(outcome: CreateOutcome) -> Next:
    """Decide on the outcome of a POST. A task that it made is decided on by `after_task`."""
    match outcome:
        case Created():
            return Next.WATCH
        case Refused(reaction=reaction):
            return _REFUSED[reaction]
        case NotSent():
            return Next.SEND_LATER
        case Unclear(strange=strange):
            return Next.STOP_UNCLEAR if strange else Next.SETTLE
        case _:
            assert_never(outcome)


_REFUSED = {
    Reaction.SIGN_AGAIN: Next.STOP,
    Reaction.CHECK_CLOCK: Next.STOP,
    Reaction.STOP_ACCOUNT: Next.STOP,
    Reaction.STOP_CLIENT: Next.STOP,
    Reaction.UNKNOWN: Next.STOP,
    Reaction.NO_ROOM: Next.NO_ROOM,
    Reaction.SLOW_DOWN: Next.SEND_LATER,
    Reaction.REFUSE_OR_EXISTS: Next.LOOK,
    Reaction.REFUSE: Next.DOUBT,
    Reaction.ABSENT: Next.DOUBT,
}
"""Every reaction that a refusal of a POST can have; trouble is none, since it is unclear."""


def after_silence(silence: Silence, *, resends: int, hold_unclear: bool) -> Next:
    """Decide on an unclear POST of which no trace was found."""
    if silence is Silence.UNHEARD or hold_unclear or resends >= MOST_RESENDS:
        return Next.UNKNOWN
    return Next.SEND_AGAIN


def after_task(attempt: Attempt, task: Task, *, kind: Kind, run_id: int, now: float, price: Decimal) -> Decision:
    """Move an attempt on by what the service says of its task. `price` is reserved until it says what it charged."""
    moved = with_task(attempt, task, run_id, now, price)
    if moved.stage is Stage.SUCCEEDED:
        moved = with_made(replace(moved, answer=written(task.audios) if kind.synchronous else None), task, kind)
        return Decision(attempt=moved, next=Next.DELIVER)
    if moved.stage is Stage.FAILED:
        return Decision(attempt=replace(moved, final=kind.fails_for_good(task.message)), next=Next.FAIL)
    return Decision(attempt=moved, next=Next.WATCH)


def with_made(attempt: Attempt, task: Task, kind: Kind) -> Attempt:
    """Write into an attempt the id of what its task has made beside files, once the service says it."""
    made = [audio.id for audio in task.audios if VOICE["voice_id"](audio.id)] if kind.makes else []
    return replace(attempt, voice_id=made[0]) if made else attempt


def after_failure(attempt: Attempt, *, retries: int, hopeless: bool) -> Next:
    """Decide on a task that failed: another attempt where the reason may pass, or the end of the take."""
    return Next.FAIL if attempt.final or attempt.attempt > retries or hopeless else Next.RETRY


def refused_for_good(attempt: Attempt, refused: Refused, now: float) -> Attempt:
    """Note a refusal. It cost nothing, so that a later run may send the attempt again: see `planning.plan`."""
    return replace(
        attempt,
        stage=Stage.REFUSED,
        units=NOTHING,
        code=refused.code,
        message=refused.message,
        final=True,
        ended_at=now,
    )


def with_task(row: Attempt, task: Task, run_id: int, now: float, price: Decimal) -> Attempt:
    """Write into an attempt what the service says of its task."""
    stage = _STAGES[task.status]
    unsaid = NOTHING if stage is Stage.FAILED else price
    ended = now if task.status.ended else None
    if ended is not None and task.updated_ms is not None:
        ended = task.updated_ms / 1000
    created = None if task.created_ms is None else task.created_ms / 1000
    return replace(
        row,
        stage=stage,
        units=task.units if task.units is not None and task.status.ended else unsaid,
        run_id=run_id,
        task_id=task.task_id,
        message=task.message,
        sent_at=row.sent_at if row.sent_at is not None else created,
        created_at=created or row.created_at or now,
        ended_at=ended,
    )


_STAGES = {
    TaskStatus.SUBMITTED: Stage.CREATED,
    TaskStatus.PROCESSING: Stage.CREATED,
    TaskStatus.SUCCEEDED: Stage.SUCCEEDED,
    TaskStatus.FAILED: Stage.FAILED,
}
