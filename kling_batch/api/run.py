"""`run`: a whole run for another program, awaited, or with a blocking form for scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from kling_batch.api import bounds
from kling_batch.api.access import Access
from kling_batch.api.project import expressions_of, open_store
from kling_batch.api.session import nobody_agreed, session_of
from kling_batch.errors import Interrupted, UsageError
from kling_batch.events import Event, Observer
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Plan
from kling_batch.planning.project import Project
from kling_batch.report.facts import units_text
from kling_batch.running.ports import Options
from kling_batch.running.run import Outcome, Stopper
from kling_batch.running.session import Session

P = ParamSpec("P")
T = TypeVar("T")


async def run(
    project: Project,
    *,
    access: Access | None = None,
    consent: bool = False,
    max_units: Decimal | int | str | None = None,
    select: str | Sequence[str] = (),
    store: str | Path | None = None,
    observe: Observer | None = None,
    concurrency: int | Literal["auto"] | None = None,
    retries: int = 2,
    locked: bool = False,
    frozen: bool = False,
    hold_unclear: bool = False,
    unproven: bool = False,
    poll_interval_s: float = 1.0,
    settle_time_s: float = 20.0,
    deadline_s: float | None = None,
    patience_s: float = 900.0,
) -> Outcome:
    """Turn a project into sounds, write its reports, and say what came of it. Running it again resumes it.

    Cancelling it stops it softly: nothing more is sent, what is known is saved and reported, the folder is let go, and
    then the cancellation goes on. Cancelling it once more does not wait for answers that are on their way.

    Args:
        project: What `load` gave.
        access: The service and who asks it. None is enough for a sandbox, and where there is nothing to ask.
        consent: Agrees to whatever the plan costs, and to taking over the sounds of renamed jobs.
        max_units: Agrees to spend so much at most, what earlier runs of this folder spent included.
        select: Which takes are meant, as `--select` says it: an expression, or several; none means all.
        store: Where copies of finished sounds are kept for reuse: a folder or a URL; None keeps none and takes none.
        observe: Is called with every event, on this event loop. Must not block or raise.
        concurrency: Most tasks in flight; None is the manifest's, `auto` finds out what the account allows.
        retries: New attempts for a task that failed for a passing reason.
        locked: Whether to raise `Drift`, before anything, where a call would have to be paid.
        frozen: Whether to use lock, disk and store alone.
        hold_unclear: Whether to leave unknown what may be paid for, and never send it again.
        unproven: Whether to go on where the account shows no task by its external id, so that it cannot be known what
            another machine has sent.
        poll_interval_s: Least time between two polls.
        settle_time_s: For how long a task may stay invisible after its answer was lost, before it is sent again.
        deadline_s: Stops after this time.
        patience_s: Stops when nothing moved for this time.

    Returns:
        The result for every take, and in `stopped` the error that stopped the run before its end, if one did.

    Raises:
        BudgetStop: It would cost something, and neither `consent` nor `max_units` agrees to it.
        Drift: See `locked` and `frozen`.
        FolderHeld: Another run works in the folder.
        UsageError: An argument is not allowed, or keys are needed and there are none.
        KlingBatchError: What else keeps a run from its beginning; nothing was sent.
    """
    if locked and frozen:
        raise UsageError("locked and frozen exclude each other.", hint="frozen is the stricter one: keep that.")
    if project.sandbox and access is not None:
        raise UsageError(
            "The project was loaded for the sandbox, and access to a service was passed.",
            hint="Leave access out, or load the project without sandbox=True.",
        )
    chosen = concurrency if concurrency is not None else project.manifest.concurrency
    options = Options(
        out=project.out,
        lock_path=project.lock_path,
        select=expressions_of(select),
        consented=consent or max_units is not None or project.sandbox,
        locked=locked,
        concurrency=None if chosen == "auto" else _within("concurrency", chosen, bounds.CONCURRENCY),
        max_units=None if max_units is None else _units(max_units),
        poll_interval_s=_within("poll_interval_s", poll_interval_s, bounds.POLL_INTERVAL_S),
        settle_time_s=_within("settle_time_s", settle_time_s, bounds.SETTLE_TIME_S),
        hold_unclear=hold_unclear,
        retries=_within("retries", retries, bounds.RETRIES),
        deadline_s=_within("deadline_s", deadline_s, bounds.DEADLINE_S),
        patience_s=_within("patience_s", patience_s, bounds.PATIENCE_S),
        unproven=unproven,
        newborn=project.sandbox,
        frozen=frozen,
    )
    session = session_of(
        project,
        options,
        agree=_agreement(agreed=options.consented),
        access=lambda: _given(access),
        store=open_store(store, sandbox=project.sandbox),
    )
    with session.hold() as held:
        stopper = Stopper()
        work = asyncio.create_task(_carry_out(held, observe or _ignore, stopper), name="kling-batch run")
        return await _stopped_softly(work, stopper)


def _blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @wraps(function)
    def blocking(*args: P.args, **kwargs: P.kwargs) -> T:
        return asyncio.run(function(*args, **kwargs))

    return blocking


run_sync = _blocking(run)
"""`run` for where no event loop runs: the same arguments, and it returns when all is done. `Ctrl-C` stops it softly."""


async def _carry_out(held: Session, observe: Observer, stopper: Stopper) -> Outcome:
    outcome = await held.execute(observe, stopper)
    await held.report(outcome)
    return outcome


async def _stopped_softly(work: asyncio.Task[Outcome], stopper: Stopper) -> Outcome:
    """Wait for a run. When cancelled, have it save what is known; when cancelled once more, end it at once.

    What goes wrong while it ends counts more than the cancellation.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stopper.stop(Interrupted("The run was cancelled.", hint="Run it again: it resumes where this one stopped."))
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                work.cancel()
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error from None
        raise


def _agreement(*, agreed: bool) -> Callable[[Plan, Outlook], None]:
    """Say yes to every plan, or no to those that have to be agreed to."""

    def agree(plan: Plan, outlook: Outlook) -> None:
        del outlook
        if plan.needs_consent and not agreed:
            amount = f", or max_units={units_text(plan.units)!r}" if plan.pays else ""
            raise nobody_agreed(plan, hint=f"Look at it with plan(project); then add consent=True{amount}.")

    return agree


def _given(access: Access | None) -> Access:
    if access is None:
        raise UsageError(
            "This run has something to ask the service, and was not told who asks.",
            hint="Pass access=Access.of(os.environ), or load the project with sandbox=True.",
        )
    return access


N = TypeVar("N", int, float, int | None, float | None)


def _within(name: str, value: N, allowed: tuple[float, float | None]) -> N:
    least, most = allowed
    if value is not None and not (value >= least and (most is None or value <= most)):
        span = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
        raise UsageError(f"{name} is {value}.", hint=f"Give a number {span}.")
    return value


def _units(value: Decimal | int | str) -> Decimal:
    try:
        units = Decimal(str(value))
    except ArithmeticError:
        units = Decimal("NaN")
    if not units.is_finite() or units < 0:
        raise UsageError(f"max_units is {value!r}, which is no amount of units.", hint="Give one such as '2.50'.")
    return units


def _ignore(event: Event) -> None:
    del event
