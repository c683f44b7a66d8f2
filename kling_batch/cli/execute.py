"""A run from the command line: plan, consent, execution, reports. Every command that works on the service goes here."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from kling_batch.api.session import nobody_agreed, options_for, session_of
from kling_batch.cli import ENDS, catch_signals, github
from kling_batch.cli.environment import own_access
from kling_batch.cli.output import can_ask, confirm, say, show_error
from kling_batch.cli.plan_text import MOST_ASKED, plan_lines, summary_lines
from kling_batch.cli.progress import Show, View
from kling_batch.errors import BudgetStop, Interrupted, KlingBatchError, Terminated
from kling_batch.model import RunResult, Status, TakeResult
from kling_batch.planning.outlook import Outlook
from kling_batch.planning.plan import Action, Plan
from kling_batch.planning.project import Project
from kling_batch.records.lock import Lock
from kling_batch.report.facts import grouped, money, problems, units_text
from kling_batch.running.options import Options
from kling_batch.running.run import Outcome, Stopper
from kling_batch.running.session import Session
from kling_batch.text import counted, some

_MOST_NAMED = 12


def execute(
    project: Project,
    options: Options,
    *,
    view: View,
    store: str | Path | None,
    change: Callable[[Lock], Lock] | None = None,
) -> RunResult:
    """Do a run while somebody watches, and give what came of it.

    Args:
        project: What is wanted, and where.
        options: How to do it.
        view: What to show of it.
        store: Where copies are kept; None keeps none.
        change: What becomes of the lock first, once it is agreed to.

    Raises:
        BudgetStop: Nobody agreed to what it costs; nothing was sent or written.
        Drift: A paid call would be needed, or more than lock, disk and store.
    """
    chosen = options_for(project, options)

    def agree(plan: Plan, outlook: Outlook) -> None:
        if plan.needs_consent and not chosen.consented:
            _ask(plan, outlook)
        elif not view.quiet:
            say(*summary_lines(plan, outlook, sandbox=project.sandbox), err=True)

    def tell(words: str) -> None:
        if not view.quiet:
            say(words, err=True)

    session = session_of(project, chosen, agree=agree, access=own_access, store=store, tell=tell, change=change)
    with session.hold() as held:
        outcome = watched(held, view.show(sandbox=project.sandbox))
        asyncio.run(held.report(outcome))
        github.tell(outcome.result, held.project.out)
        _tell(outcome, held.project.out, quiet=view.quiet)
    return outcome.result


def why_lacking(result: TakeResult) -> str:
    """Say why a take has no sound."""
    return result.error.message if result.error is not None else "the work stopped before"


def watched(held: Session, show: Show) -> Outcome:
    """Carry a plan out while somebody watches, who may stop it by a signal."""
    try:
        return asyncio.run(_watched(held, show))
    finally:
        catch_signals()


async def _watched(held: Session, show: Show) -> Outcome:
    stopper = Stopper()
    _catch_signals(stopper, show)
    beating = asyncio.create_task(show.beat(), name="heartbeat")
    try:
        return await held.execute(show, stopper)
    finally:
        beating.cancel()
        show.close()


def _ask(plan: Plan, outlook: Outlook) -> None:
    """Show the plan, and ask whether to do it.

    Raises:
        BudgetStop: Nobody agreed.
    """
    say(*plan_lines(plan, outlook, sandbox=False, most=MOST_ASKED), err=True)
    if not can_ask():
        raise nobody_agreed(plan, hint=_how_to_agree(plan))
    if not confirm(_question(plan)):
        raise BudgetStop("Nothing was sent.", hint="Run it again and agree, or add --yes.")


def _tell(outcome: Outcome, out: Path, *, quiet: bool) -> None:
    """Say how it ended."""
    if not quiet:
        for problem in _problems(outcome.result):
            show_error(problem)
        say(*warning_lines(outcome.result), err=True)
        say(_summary(outcome.result), err=True)
        say(f"Report: {out / 'report.html'}", err=True)
    if outcome.stopped is not None:
        show_error(outcome.stopped)


def _question(plan: Plan) -> str:
    renamed = plan.count(Action.MOVED)
    parts = [f"take {renamed} renamed over without paying"] if renamed else []
    if plan.pays:
        parts.append(f"spend up to {units_text(plan.units)} units")
    return f"{' and '.join(parts)}?".capitalize()


def _problems(result: RunResult) -> Iterator[KlingBatchError]:
    """Word what went wrong with single takes, the worst first: those with one reason and one repair together."""
    for group in grouped(take for take in problems(result) if take.error is not None):
        named = some(group.takes, _MOST_NAMED)
        yield KlingBatchError(f"{named}: {group.status}: {group.reason}", hint=group.repair)


def warning_lines(result: RunResult) -> Iterator[str]:
    """Name what to listen to, and what was edited."""
    warnings = [f"{take.take.key}: {warning}" for take in result.takes for warning in take.warnings]
    yield from warnings[:_MOST_NAMED]
    if len(warnings) > _MOST_NAMED:
        yield f"and {len(warnings) - _MOST_NAMED} more warnings: the report has them"


def _how_to_agree(plan: Plan) -> str:
    renamed = plan.count(Action.MOVED)
    takes_over = f" --yes takes the {renamed} of renamed jobs over without paying." if renamed else ""
    if not plan.pays:
        return f"Look at it with kling-batch plan.{takes_over}"
    return f"Look at it with kling-batch plan; then add --yes, or --max-units {units_text(plan.units)}.{takes_over}"


def _summary(result: RunResult) -> str:
    counts = ", ".join(f"{count} {status.value}" for status in Status if (count := result.count(status)))
    seconds = result.finished_at - result.started_at
    return (
        f"{counted(len(result.takes), 'take')}: {counts or 'none'}. "
        f"{money(result)}, {seconds:.1f} s, {counted(result.api_requests, 'API request')}."
    )


def _catch_signals(stopper: Stopper, show: Show) -> None:
    """Stop softly at the first signal: save, report, end. A second one ends at once: all that is known is saved."""
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def stop(number: int, error: KlingBatchError) -> None:
        if caught and number not in ENDS[1:]:  # a hang-up often comes twice
            os._exit(int(error.exit_status))
        caught.append(number)
        show.say("Stopping: saving what is known. Once more stops at once.")
        stopper.stop(error)

    hint = "Run the same command again: it resumes where this one stopped."
    errors = {
        signal.SIGINT: Interrupted("Interrupted.", hint=hint),
        **{number: Terminated("Terminated.", hint=hint) for number in ENDS},
    }
    for number, error in errors.items():
        if number in ENDS and signal.getsignal(number) == signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, stop, number, error)
        except NotImplementedError:
            # Windows: KeyboardInterrupt ends the run, and the journal holds what is known.
            return
