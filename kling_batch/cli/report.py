"""`kling-batch report`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kling_batch.api.project import load
from kling_batch.cli.options import place_options
from kling_batch.clock import SystemClock
from kling_batch.engine.recount import recount
from kling_batch.journal.journal import read_snapshot


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
    """Write the reports again, from journal and lock."""
    from kling_batch.report import write_reports

    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    plan = opened.plan(retries=0, expressions=select)
    told = recount(opened.manifest, plan, read_snapshot(opened.out), now=SystemClock().time())
    write_reports(replace(told, place=opened.place), opened.out)
    click.echo(f"Report: {opened.out / 'report.html'}", err=True)
    return 0
