"""`kling-batch report`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kling_batch.api.project import load
from kling_batch.cli.options import place_options
from kling_batch.clock import SystemClock
from kling_batch.errors import DiskUnusable, FolderHeld
from kling_batch.model import RunResult
from kling_batch.records.journal import Journal
from kling_batch.records.snapshot import read_shapes
from kling_batch.running.recount import recount
from kling_batch.running.shapes import look_at, without_shape


@click.command()
@place_options
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
) -> int:
    """Write the reports again, from journal and lock.

    A sound whose waveform is not known yet, since it came with a checkout, is looked at first, unless a run is at work.
    """
    from kling_batch.report import write_reports

    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    plan = opened.plan(retries=0, expressions=select)
    told = recount(opened.manifest, plan, opened.snapshot(), now=SystemClock().time())
    _look(told, opened.out)
    write_reports(replace(told, place=opened.place), opened.out)
    click.echo(f"Report: {opened.out / 'report.html'}", err=True)
    return 0


def _look(result: RunResult, out: Path) -> None:
    """Find out what sounds look like that nobody has looked at here, and keep it, if the journal can be written to."""
    files = without_shape(result, read_shapes(out))
    if not files:
        return
    try:
        journal = Journal(out, now=SystemClock().time(), service=None)
    except (FolderHeld, DiskUnusable) as error:
        click.echo(f"Without the waveforms of {len(files)} sounds: {error.message}", err=True)
        return
    try:
        click.echo(f"Looking at {len(files)} sounds, once, for their waveforms.", err=True)
        journal.keep_shapes(look_at(files, out))
    finally:
        journal.close()
