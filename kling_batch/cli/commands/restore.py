"""`kling-batch restore`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from kling_batch.api.session import options_for, session_of
from kling_batch.catalog import LENGTH, WORDS, kind_of
from kling_batch.cli import github
from kling_batch.cli.environment import own_access
from kling_batch.cli.execute import warning_lines, watched, why_lacking
from kling_batch.cli.options import (
    fetching_options,
    project_options,
    restore_edited_option,
    select_option,
    text_or_json,
)
from kling_batch.cli.output import print_json, say, show_error
from kling_batch.cli.progress import View
from kling_batch.cli.reports import refresh
from kling_batch.errors import Drift, ExitStatus, KlingBatchError, UsageError
from kling_batch.model import NOTHING, Origin, Status, Take, TakeResult
from kling_batch.planning.plan import Action, Step
from kling_batch.planning.project import Project
from kling_batch.report.facts import units_text
from kling_batch.report.github import Note, error_notes
from kling_batch.running.options import Options
from kling_batch.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """A take whose files cannot be had, why, and whether a later try may help."""

    take: Take
    reason: str
    passing: bool = False


@click.command()
@project_options
@select_option
@restore_edited_option
@fetching_options
@text_or_json
def command(project: Project, options: Options, view: View, store: str | Path | None, output: str) -> int:
    """Put every locked file back: from the disk, else from the store, else from the service. Makes nothing anew.

    Keys are needed only for what neither disk nor store has. What cannot be had is listed, with its prompt and what it
    would cost to make it anew (exit status 3, or 6 where trying again later may help).
    """
    unasked = _why_unasked(project)
    frozen = project.sandbox or unasked is not None
    chosen = replace(options_for(project, options), consented=True, retries=0, frozen=frozen)
    session = session_of(project, chosen, agree=lambda *_: None, access=own_access, store=store, only=_had)
    with session.hold() as held:
        outcome = watched(held, view.show(sandbox=project.sandbox))
        refresh(held.project.current(), done=outcome.result.takes)
        edited = [path for step in held.plan.steps if step.facts is not None for path in step.facts.edited]
    results = outcome.result.takes
    stopped = None if isinstance(outcome.stopped, Drift) else outcome.stopped
    lost = [Lost(take=step.facts.take, reason=step.reason) for step in session.left_out if step.facts]
    lost += [_lost(one, unasked) for one in results if one.status is not Status.SUCCEEDED]
    price = NOTHING if project.sandbox else project.outlook(project.snapshot(), None).units
    if output == "json":
        shown = [_json(one, price) for one in lost]
        print_json({"restored": not lost, "lost": shown, "edited": edited})
    else:
        for one in lost:
            say(_line(one, price))
    say(*warning_lines(outcome.result), err=True)
    status = _status(lost, stopped)
    github.tell_notes(_notes(lost, stopped), int(status), err=output == "json")
    if stopped is not None:
        show_error(stopped)
    elif lost:
        cost = units_text(price * len(lost))
        words = f"{counted(len(lost), 'take')} cannot be had; made anew, that would cost {cost} units."
        say(words, err=True)
        say("  kling-batch plan shows what a run would do; kling-batch run does it, by consent.", err=True)
        if session.team is not None:
            say("  What other machines made since is in the team's lock: kling-batch lock pull brings it.", err=True)
    else:
        restored = sum(one.origin is not Origin.KEPT for one in results)
        kept = f", but for {counted(len(edited), 'edited file')}" if edited else ""
        say(f"Every locked file is in place{kept}: {counted(restored, 'take')} restored.", err=True)
    return int(status)


def _why_unasked(project: Project) -> str | None:
    """Say why the service cannot be asked; None where it can, and for a sandbox, which is gone."""
    try:
        if not project.sandbox:
            own_access()
    except UsageError as error:
        return f"neither disk nor store has it, and the service cannot be asked: {error.message}"
    return None


def _lost(result: TakeResult, unasked: str | None) -> Lost:
    return Lost(take=result.take, reason=unasked or why_lacking(result), passing=result.status is not Status.FAILED)


def _status(lost: Sequence[Lost], stopped: KlingBatchError | None) -> ExitStatus:
    if stopped is not None:
        return stopped.exit_status
    if not lost:
        return ExitStatus.DONE
    return ExitStatus.NOT_FINISHED if any(one.passing for one in lost) else ExitStatus.DRIFT


def _notes(lost: Sequence[Lost], stopped: KlingBatchError | None) -> Iterator[Note]:
    if stopped is not None:
        yield from error_notes(stopped)
    for one in lost:
        yield Note(level="error", message=one.reason, title=f"{one.take.key} lost", source=one.take.job.source)


def _had(step: Step) -> bool:
    """Whether a take's sound was made and is known: it is in place, or can be looked for."""
    return step.action in {Action.RESTORE, Action.FINISH} or (step.action is Action.KEEP and not step.failed)


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
