"""`kling-batch restore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_batch.api.session import options_for, session_of
from kling_batch.catalog import LENGTH, WORDS, kind_of
from kling_batch.cli import github
from kling_batch.cli.environment import own_access
from kling_batch.cli.execute import watched
from kling_batch.cli.options import fetching_options, project_options, select_option, text_or_json
from kling_batch.cli.output import print_json, say, show_error
from kling_batch.cli.progress import View
from kling_batch.errors import Drift, ExitStatus, KlingBatchError, UsageError
from kling_batch.model import Status, Take
from kling_batch.planning.plan import Action, Step
from kling_batch.planning.project import Project
from kling_batch.report.facts import units_text
from kling_batch.running.options import Options

if TYPE_CHECKING:
    from kling_batch.report.github import Note


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """A take whose files cannot be had, why, and whether a later try may help."""

    take: Take
    reason: str
    passing: bool = False


@click.command()
@project_options
@select_option
@fetching_options
@text_or_json
def command(project: Project, options: Options, view: View, store: str | Path | None, output: str) -> int:
    """Put every locked file back: from the disk, else from the store, else from the service. Makes nothing anew.

    Keys are needed only for what neither disk nor store has. What cannot be had is listed, with its prompt and what it
    would cost to make it anew (exit status 3, or 6 where trying again later may help).
    """
    chosen = replace(options_for(project, options), consented=True, retries=0)
    tried = here = _attempt(project, replace(chosen, frozen=True), view, store, _had)
    if here.lost and here.stopped is None and not project.sandbox:
        keys = {one.take.key for one in here.lost}
        try:
            own_access()
        except UsageError as error:
            why = f"neither disk nor store has it, and the service cannot be asked: {error.message}"
            tried = replace(here, restored=0, lost=[Lost(take=one.take, reason=why) for one in here.lost])
        else:
            tried = _attempt(project, chosen, view, store, lambda step: step.key in keys)
    lost = [*here.never_made, *tried.lost]
    restored = here.restored + (0 if tried is here else tried.restored)
    price = project.outlook(project.snapshot(), None).units
    if output == "json":
        shown = [_json(one, price) for one in lost]
        print_json({"restored": not lost, "lost": shown})
    else:
        for one in lost:
            say(_line(one, price))
    status = _status(lost, tried.stopped)
    github.tell_notes(_notes(lost, tried.stopped), int(status), err=output == "json")
    if tried.stopped is not None:
        show_error(tried.stopped)
    elif lost:
        words = f"{len(lost)} takes cannot be had; making them anew would cost {units_text(price * len(lost))} units."
        say(words, err=True)
        say("  kling-batch plan shows what a run would do; kling-batch run does it, by consent.", err=True)
    else:
        say(f"Every locked file is in place: {restored} takes restored.", err=True)
    return int(status)


def _status(lost: Sequence[Lost], stopped: KlingBatchError | None) -> ExitStatus:
    if stopped is not None:
        return stopped.exit_status
    if not lost:
        return ExitStatus.DONE
    return ExitStatus.NOT_FINISHED if any(one.passing for one in lost) else ExitStatus.DRIFT


def _notes(lost: Sequence[Lost], stopped: KlingBatchError | None) -> Iterator[Note]:
    from kling_batch.report.github import Note

    if stopped is not None:
        yield Note(level="error", message=f"{stopped.message} {stopped.hint or ''}".rstrip(), title="kling-batch")
    for one in lost:
        yield Note(level="error", message=one.reason, title=f"{one.take.key} lost", source=one.take.job.source)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tried:
    """What an attempt brought back, what could not be had, what nobody made, and what stopped it, if something did."""

    restored: int
    lost: list[Lost]
    never_made: list[Lost]
    stopped: KlingBatchError | None


def _attempt(
    project: Project, options: Options, view: View, store: str | Path | None, only: Callable[[Step], bool]
) -> _Tried:
    """Bring back what `only` chooses."""
    session = session_of(
        project, options, agree=lambda _plan, _outlook: None, access=own_access, store=store, only=only
    )
    with session.hold() as held:
        outcome = watched(held, view)
    brought = {step.key for step in session.plan.steps if step.action is not Action.KEEP}
    results = outcome.result.takes
    return _Tried(
        restored=sum(1 for one in results if one.status is Status.SUCCEEDED and one.take.key in brought),
        lost=[
            Lost(
                take=one.take,
                reason=one.error.message if one.error else "the work stopped before",
                passing=one.status is not Status.FAILED,
            )
            for one in results
            if one.status is not Status.SUCCEEDED
        ],
        never_made=[Lost(take=step.facts.take, reason=step.reason) for step in session.left_out if step.facts],
        stopped=None if isinstance(outcome.stopped, Drift) else outcome.stopped,
    )


def _had(step: Step) -> bool:
    """Whether a take's sound was made and is known: it is in place, or can be looked for."""
    return step.action is Action.RESTORE or (step.action is Action.KEEP and not step.failed)


def _line(lost: Lost, price: Decimal) -> str:
    job = lost.take.job
    length = kind_of(job).length_of(job)
    asked = f'"{kind_of(job).words_of(job)}"' + ("" if length is None else f", {length} s")
    return f"lost: {lost.take.key}: {asked}: {lost.reason} Anew: {units_text(price)} units."


def _json(lost: Lost, price: Decimal) -> dict[str, Any]:
    return {
        "job_id": lost.take.job.id,
        "take": lost.take.number,
        WORDS: kind_of(lost.take.job).words_of(lost.take.job),
        LENGTH: kind_of(lost.take.job).length_of(lost.take.job),
        "reason": lost.reason,
        "passing": lost.passing,
        "units": units_text(price),
    }
