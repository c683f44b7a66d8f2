"""`kling-batch finish`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from kling_batch.api.session import options_for, session_of
from kling_batch.cli.environment import own_access
from kling_batch.cli.execute import warning_lines, watched, why_lacking
from kling_batch.cli.options import Load, projects_options, watched_options
from kling_batch.cli.output import say, show_error
from kling_batch.cli.progress import View
from kling_batch.cli.reports import refresh
from kling_batch.errors import ExitStatus
from kling_batch.model import Status, rejecting
from kling_batch.planning.plan import Action, Step
from kling_batch.planning.project import Project
from kling_batch.running.options import Options
from kling_batch.text import counted


@click.command()
@projects_options
@watched_options
def command(projects: Sequence[Load], options: Options, view: View, store: str | Path | None) -> int:
    """Finish the sounds of one or more manifests again, as their recipes ask, from what is at hand.

    Needs no keys and asks the service nothing: sounds come from the disk or the store. What cannot be had there, or is
    rejected, is listed (exit status 3 or 1; 6 where the work stopped before its end).
    """
    for load in projects[1:]:
        load()  # what is wrong with one is said before the work on any begins
    return max(_finished(load(), options, view, store) for load in projects)


def _finished(project: Project, options: Options, view: View, store: str | Path | None) -> int:
    """Finish the sounds of one manifest, and give the exit status."""
    chosen = replace(options_for(project, options), consented=True, retries=0)
    session = session_of(
        project, chosen, agree=lambda *_: None, access=own_access, store=store, at_hand=True, only=_is_made
    )
    with session.hold() as held:
        outcome = watched(held, view.show(sandbox=project.sandbox))
        refresh(held.project.current(), done=outcome.result.takes)
    result, name = outcome.result, project.manifest.project
    keys = {step.key for step in held.plan.steps if step.action is Action.FINISH}
    takes = [take for take in result.takes if take.take.key in keys]
    lacking = [take for take in takes if take.status is not Status.SUCCEEDED]
    for take in lacking:
        say(f"not finished: {name}: {take.take.key}: {why_lacking(take)}")
    if not view.quiet:
        say(*warning_lines(result), err=True)
        say(f"{name}: {len(takes) - len(lacking)} of {counted(len(takes), 'take')} finished.", err=True)
    if outcome.stopped is not None:
        show_error(outcome.stopped)
    elif any(take.status is Status.FAILED and not rejecting(take.remarks) for take in lacking):
        say("  kling-batch restore has them finished, too: it asks the service for what that still has.", err=True)
        return ExitStatus.DRIFT
    return result.exit_status


def _is_made(step: Step) -> bool:
    """Whether a take's sound was made, and is finished or can be."""
    return step.action is Action.FINISH or (step.action is Action.KEEP and not step.failed)
