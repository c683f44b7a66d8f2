"""`run`: a whole run for another program, awaited, or with a blocking form for scripts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kling_batch.api.access import Access
from kling_batch.api.session import nobody_agreed, options_for, session_of
from kling_batch.clock import SystemClock
from kling_batch.errors import Interrupted, UsageError
from kling_batch.events import Event, Observer, Warned, best_effort
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Plan
from kling_batch.planning.project import Project
from kling_batch.report.facts import units_text
from kling_batch.running.options import Options
from kling_batch.running.run import Outcome, Stopper
from kling_batch.running.session import Session


def _ignore(event: Event) -> None:
    del event


async def run(
    project: Project,
    options: Options | None = None,
    *,
    access: Access | None = None,
    store: str | Path | None = None,
    observe: Observer = _ignore,
) -> Outcome:
    """Turn a project into sounds, write its reports, and say what came of it. Running it again resumes it.

    Cancelling it stops it softly: nothing more is sent, what is known is saved and reported, the folder is let go, and
    then the cancellation goes on. Cancelling it once more does not wait for answers that are on their way.

    Args:
        project: What `load` gave.
        options: How to run; see `Options`. None spends nothing.
        access: The service and who asks it. None is enough for a sandbox, and where there is nothing to ask.
        store: Where copies of finished sounds are kept for reuse: a folder or a URL; None keeps none and takes none.
        observe: Is called with every event, on this event loop. Must not block; what it raises is passed over.

    Returns:
        The result for every take, and in `stopped` the error that stopped the run before its end, if one did.

    Raises:
        BudgetStop: It would cost something, and the options agree to nothing.
        Drift: The options say `locked` or `frozen`, and that is not enough.
        FolderHeld: Another run works in the folder.
        LeaseHeld: Another run of the set works on some machine, by the lease in a store in object storage. Waiting for
            it, for `options.wait_s`, blocks the event loop.
        UsageError: An option is not allowed, or keys are needed and there are none.
        KlingBatchError: What else keeps a run from its beginning; nothing was sent.
    """
    if project.sandbox and access is not None:
        raise UsageError(
            "The project was loaded for the sandbox, and access to a service was passed.",
            hint="Leave access out, or load the project without sandbox=True.",
        )
    chosen = options_for(project, options or Options())

    def agree(plan: Plan, _: Outlook) -> None:
        if plan.needs_consent and not chosen.consented:
            amount = f", or max_units=Decimal({units_text(plan.units)!r})" if plan.pays else ""
            raise nobody_agreed(plan, hint=f"Look at it with plan(project); then add consented=True{amount}.")

    def tell(words: str) -> None:
        best_effort(observe)(Warned(at=SystemClock().time(), message=words))

    session = session_of(project, chosen, agree=agree, access=lambda: _given(access), store=store, tell=tell)
    with session.hold() as held:
        stopper = Stopper()
        work = asyncio.create_task(_carry_out(held, observe, stopper), name="kling-batch run")
        return await _stopped_softly(work, stopper)


def run_sync(
    project: Project,
    options: Options | None = None,
    *,
    access: Access | None = None,
    store: str | Path | None = None,
    observe: Observer = _ignore,
) -> Outcome:
    """`run` for where no event loop runs: it returns when all is done. `Ctrl-C` stops it softly."""
    return asyncio.run(run(project, options, access=access, store=store, observe=observe))


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
        if not work.cancelled() and (error := work.exception()) not in {None, stopper.error}:
            raise error from None
        raise


def _given(access: Access | None) -> Access:
    if access is None:
        raise UsageError(
            "This run has something to ask the service, and was not told who asks.",
            hint="Pass access=Access.of(os.environ), or load the project with sandbox=True.",
        )
    return access
