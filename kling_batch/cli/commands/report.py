"""`kling-batch report`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from kling_batch.api.project import open_store
from kling_batch.cli.options import project_options, select_option, store_options
from kling_batch.cli.output import say
from kling_batch.cli.reports import refresh
from kling_batch.clock import SystemClock
from kling_batch.errors import DiskUnusable, FolderHeld
from kling_batch.model import RunResult
from kling_batch.planning.earlier import bring_earlier
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.records.snapshot import read_shapes
from kling_batch.records.store import Store
from kling_batch.report.compare import differences, totals
from kling_batch.running.recount import recount
from kling_batch.running.shapes import look_at, without_shape
from kling_batch.text import counted


@click.command()
@project_options
@select_option
@store_options
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="REPORT.JSON",
    help="Also say what is new, gone, changed and louder than in an earlier report.json.",
)
def command(project: Project, select: tuple[str, ...], store: str | Path | None, against: Path | None) -> int:
    """Write the reports again, from journal and lock.

    Sounds that others took the place of are brought from the store, to be listened to. A sound that was not looked at
    yet, since it came with a checkout, is looked at first, unless a run is at work.
    """
    if store is not None:
        _bring(project, open_store(store, sandbox=project.sandbox))
    _look(recount(project, select, now=SystemClock().time()), project.out)
    told = refresh(project, select, against)
    if told.against is not None:
        say(*differences(told.against))
        say(f"Against {told.against.name}: {totals(told.against)}.", err=True)
    say(f"Report: {project.out / 'report.html'}", err=True)
    return 0


def _bring(project: Project, store: Store) -> None:
    try:
        bring_earlier(project.lock, {take.key for take in project.manifest.takes}, project.out, store)
    except DiskUnusable as error:
        say(f"Without earlier sounds of the store: {error.message}", err=True)


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
