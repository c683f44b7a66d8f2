"""How takes and runs end, in words and in exit codes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from pathlib import Path

from kling_batch.catalog import kind
from kling_batch.errors import (
    BudgetStop,
    ExitStatus,
    InternalError,
    KlingBatchError,
    NotFinished,
    ServiceStop,
    UsageError,
)
from kling_batch.model import Remark, Status, TakeError, is_unfinished
from kling_batch.planning.spending import Budget
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.service.codes import hint
from kling_batch.service.outcomes import Refused
from kling_batch.text import counted


def failure(row: Attempt) -> TakeError:
    """Word why an attempt failed."""
    if row.stage is Stage.REFUSED:
        return TakeError(code=row.code, message=row.message or "refused", hint=hint(row.code))
    repair = (
        "Reword what the job asks for, or raise its edition." if row.final else "Run again with a higher --retries."
    )
    return TakeError(code=None, message=row.message or "The task failed without a reason.", hint=repair)


def rejection(row: Attempt, remarks: Collection[Remark]) -> TakeError:
    """Word why a sound that was paid for is not good enough."""
    words = "; ".join(remark.words for remark in remarks)
    message = f"Rejected: {words} (task {row.task_id})."
    if is_unfinished(remarks):
        again = "Listen to it under rejected/, and change its `finish`. It is tried again by every run, at no cost."
        return TakeError(code=None, message=message, hint=again)
    return TakeError(
        code=None,
        message=message,
        hint="Listen to it under rejected/. If it is good, change its `check` and run again, at no cost. If not, "
        "--reroll-rejected N, or a higher edition, pays for another.",
    )


def unknown(row: Attempt, why: str) -> TakeError:
    """Word why nobody knows whether an attempt made a task, what that may have cost, and what to do."""
    again = f"Run again: {row.external_id} is looked for before anything is sent."
    if kind(row.kind).external_id is None or not row.run_id:
        again = "It is never sent again unasked: raise the job's edition to ask, and perhaps to pay, for it anew."
    return TakeError(code=None, message=f"Perhaps paid for ({row.units} units): {why}.", hint=again)


def bug(row: Attempt, error: Exception) -> TakeError:
    """Word the end of a take that met a bug, and what is paid for all the same."""
    paid = _PAID.get(row.stage, "").format(row.units)
    task = f" (task {row.task_id})" if row.task_id else ""
    message = f"{paid}a bug in kling-batch: {type(error).__name__}: {error}{task}."
    return TakeError(code=None, message=message, hint="Run the same command again; if it ends so again, report it.")


_PAID = {
    Stage.INTENT: "Perhaps paid for ({} units): ",
    Stage.CREATED: "Perhaps paid for ({} units): ",
    Stage.SUCCEEDED: "Paid for and not delivered: ",
}


def stopped_by_a_bug(error: Exception) -> InternalError:
    """Word the end of a run that met a bug in what concerns all takes."""
    return InternalError(
        f"Internal error: {type(error).__name__}. This is a bug in kling-batch; nothing known is lost.",
        hint="Run the same command again: it resumes. If it ends so again, report it.",
    )


def no_callback(ended: int) -> str:
    """Say that callbacks were asked for and none came while so many tasks ended, and what to check."""
    return (
        f"No callback came while {counted(ended, 'task')} ended, which polls found. Check that --callback-url can be "
        "reached from outside, and leads to the port of --listen: that the tunnel runs, that the web server passes the "
        "path on, and that no firewall stands between; see docs/callbacks.md."
    )


def budget_used_up(budget: Budget, price: Decimal) -> BudgetStop:
    """Word the end of a run whose budget does not reach for a further task."""
    if budget.whole_left is not None and budget.whole_left < price:
        return BudgetStop(
            f"The set's budget of {budget.whole} units is used up ({budget.spent_whole} spent or reserved).",
            hint="Raise --max-total-units and run again: what is done stays done.",
        )
    return BudgetStop(
        f"The budget of {budget.run} units is used up ({budget.spent} spent or reserved by this run).",
        hint="Run again to add as much again, or raise --max-units: what is done stays done.",
    )


OVER = {
    ExitStatus.DONE,
    ExitStatus.SOME_FAILED,
    ExitStatus.DRIFT,
    ExitStatus.BUDGET,
    ExitStatus.ACCOUNT,
}
"""How a run ends that has come to its end. Any other is gone on with by the next one, its spending included."""


def first_few_refused(refused: Refused, count: int) -> ServiceStop:
    """Word the end of a run whose first takes were all refused alike."""
    return ServiceStop(
        f"The first {count} takes were all refused with {refused.code}: {refused.message}. Nothing more is sent.",
        hint="Nothing was charged. Mend what the message names, or leave these takes out (--select); then run again.",
    )


def slots_held(count: int, seconds: float) -> NotFinished:
    """Word the end of a run whose slots may all be taken by tasks that nobody can see."""
    return NotFinished(
        f"{counted(count, 'task')} cannot be seen on the service and may be running: "
        f"their slots stay taken for {seconds:.0f} s.",
        hint="Run the same command again after that, or allow more at once with --concurrency.",
    )


def another_account(out: Path) -> UsageError:
    """Word the refusal of a folder whose tasks another service or account has made."""
    return UsageError(
        f"{out} belongs to another service or account: none of the tasks that were made in it is seen with these keys.",
        hint=(
            "Use the keys and the KLING_BASE_URL it was begun with, or another folder with --out. --rebind takes it "
            "over: what is in place stays, and what the other account made or may have made is not made again."
        ),
    )


def deadline_passed(seconds: float) -> NotFinished:
    """Word the end of a run at its deadline."""
    return NotFinished(
        f"The deadline of {seconds:g} s has passed.",
        hint="Run the same command again: it resumes where this one stopped.",
    )


def exit_status_of(error: KlingBatchError | None, statuses: Iterable[Status]) -> ExitStatus:
    """Choose how the program ends: what stopped the run counts before what is left, and that before what failed."""
    found = set(statuses)
    if error is not None and error.exit_status is not ExitStatus.BUDGET:
        return error.exit_status
    if Status.UNKNOWN in found:
        return ExitStatus.NOT_FINISHED
    if error is not None:
        return error.exit_status
    if Status.PENDING in found:
        return ExitStatus.NOT_FINISHED
    return ExitStatus.SOME_FAILED if Status.FAILED in found else ExitStatus.DONE
