"""`kling-batch restore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_batch.api.access import Access
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
    restoring = _Restoring(project, chosen, view, store)
    lost = restoring.go()
    price = project.outlook(project.snapshot(), None).units
    if output == "json":
        shown = [_json(one, price) for one in lost]
        print_json({"restored": not lost, "lost": shown})
    else:
        for one in lost:
            say(_line(one, price))
    status = _status(lost, restoring.stopped)
    github.tell_notes(_notes(lost, restoring.stopped), int(status), err=output == "json")
    if restoring.stopped is not None:
        show_error(restoring.stopped)
    elif lost:
        words = f"{len(lost)} takes cannot be had; making them anew would cost {units_text(price * len(lost))} units."
        say(words, err=True)
        say("  kling-batch plan shows what a run would do; kling-batch run does it, by consent.", err=True)
    else:
        say(f"Every locked file is in place: {restoring.restored} takes restored.", err=True)
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


class _Restoring:
    """One call of the command: without the service first, then with it for what is left."""

    def __init__(self, project: Project, options: Options, view: View, store: str | Path | None) -> None:
        self.project = project
        self.options = options
        self.view = view
        self.store = store
        self.stopped: KlingBatchError | None = None
        """What stopped it, if something did."""
        self.restored = 0

    def go(self) -> list[Lost]:
        """Bring back what can be had, and name the rest."""
        left, never = self._attempt(_had, None)
        lost = [Lost(take=step.facts.take, reason=step.reason) for step in never if step.facts]
        if left and self.stopped is None and not self.project.sandbox:
            try:
                access = own_access()
            except UsageError as error:
                why = f"neither disk nor store has it, and the service cannot be asked: {error.message}"
                return [*lost, *(Lost(take=one.take, reason=why) for one in left)]
            keys = {one.take.key for one in left}
            left, _ = self._attempt(lambda step: step.key in keys, access)
        return [*lost, *left]

    def _attempt(self, only: Callable[[Step], bool], access: Access | None) -> tuple[list[Lost], tuple[Step, ...]]:
        """Bring back what `only` chooses. Gives what could not be had, and what was not chosen."""
        session = session_of(
            self.project,
            replace(self.options, frozen=access is None),
            agree=lambda _plan, _outlook: None,
            access=own_access,
            store=self.store,
            only=only,
        )
        with session.hold() as held:
            outcome = watched(held, self.view)
        if not isinstance(outcome.stopped, Drift):
            self.stopped = outcome.stopped
        brought = {step.key for step in session.plan.steps if step.action is not Action.KEEP}
        done = [result for result in outcome.result.takes if result.status is Status.SUCCEEDED]
        self.restored += sum(1 for result in done if result.take.key in brought)
        lost = [
            Lost(
                take=result.take,
                reason=result.error.message if result.error else "the work stopped before",
                passing=result.status is not Status.FAILED,
            )
            for result in outcome.result.takes
            if result.status is not Status.SUCCEEDED
        ]
        return lost, session.left_out


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
