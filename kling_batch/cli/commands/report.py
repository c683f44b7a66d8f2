"""`kling-batch report`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from kling_batch.cli.options import project_options, select_option
from kling_batch.cli.output import say
from kling_batch.cli.reports import refresh
from kling_batch.clock import SystemClock
from kling_batch.errors import DiskUnusable, FolderHeld
from kling_batch.model import RunResult
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.records.snapshot import read_shapes
from kling_batch.running.recount import recount
from kling_batch.running.shapes import look_at, without_shape
from kling_batch.text import counted


@click.command()
@project_options
@select_option
def command(project: Project, select: tuple[str, ...]) -> int:
    """Write the reports again, from journal and lock.

    A sound that was not looked at yet, since it came with a checkout, is looked at first, unless a run is at work.
    """
    _look(recount(project, select, now=SystemClock().time()), project.out)
    refresh(project, select)
    say(f"Report: {project.out / 'report.html'}", err=True)
    return 0


def _look(result: RunResult, out: Path) -> None:
    """Find out what sounds look like that nobody has looked at here, and keep it, if the journal can be written to."""
    known = {sha256 for sha256, shape in read_shapes(out).items() if shape.rate is not None}
    files = without_shape(result, known)
    if not files:
        return
    try:
        journal = Journal(out, now=SystemClock().time())
    except (FolderHeld, DiskUnusable) as error:
        say(f"Without the waveforms of {counted(len(files), 'sound')}: {error.message}", err=True)
        return
    with closing(journal):
        say(f"Looking at {counted(len(files), 'sound')}, once, for their waveforms.", err=True)
        journal.keep_shapes(look_at(files, out))
