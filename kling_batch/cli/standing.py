"""A run over a finished set that stands as it stood: it is told in the time of a look at every file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click

from kling_batch.api.project import Places
from kling_batch.cli import github
from kling_batch.cli.how import How
from kling_batch.cli.progress import JsonLines, Lines
from kling_batch.clock import SystemClock
from kling_batch.errors import ExitStatus
from kling_batch.events import Observer, RunEnded, RunStarted
from kling_batch.records.journal import Journal
from kling_batch.records.looking import read_standing
from kling_batch.running.standing import Standing, stands, state_of


def run_standing(manifest: Path, places: Places, expressions: tuple[str, ...], how: How) -> ExitStatus | None:
    """Do what a run over a finished set does: note it, and write its report. None where a plan has to be made.

    Raises:
        FolderHeld: Another run holds the folder.
        DiskUnusable: The disk or the journal cannot be used.
    """
    from kling_batch.report import write_kept

    noted = read_standing(places.out)
    standing = Standing.of(noted[0]) if noted else None
    if noted is None or standing is None:
        return None
    note, files = noted
    report = places.out / "report.json"
    clock = SystemClock()
    started_at = clock.time()
    if not stands(
        standing,
        files,
        expressions,
        manifest=manifest,
        place=places.options,
        out=places.out,
        lock=places.lock,
        report=report,
    ):
        return None
    journal = Journal(places.out, now=started_at, service=None)
    try:
        if journal.standing_note() != note:
            return None
        run = journal.start_run(started_at)
        finished_at = clock.time()
        totals = write_kept(places.out, started_at=started_at, finished_at=finished_at)
        asyncio.run(_end(journal, run, replace(standing, report=state_of(report)).text(), finished_at))
    finally:
        journal.close()
    github.tell_standing(totals, places.out)
    if (show := _observer(how)) is not None:
        show(RunStarted(at=started_at, takes=totals["takes"], to_generate=0, kept=totals["takes"], failed=0))
        show(RunEnded(at=finished_at, note=None))
    if not how.quiet:
        takes, seconds = totals["takes"], totals["seconds"]
        click.echo(f"Plan: {takes} to keep; nothing to pay.", err=True)
        click.echo(
            f"{takes} takes: {takes} succeeded. {totals['units']} units spent, {seconds:.1f} s, 0 API requests.",
            err=True,
        )
        click.echo(f"Report: {places.out / 'report.html'}", err=True)
    return ExitStatus.DONE


def _observer(how: How) -> Observer | None:
    if how.log_format == "json":
        return JsonLines()
    return Lines() if how.verbose and not how.quiet else None


async def _end(journal: Journal, run: int, note: str, now: float) -> None:
    await journal.set_standing_note(note)
    await journal.end_run(run, now=now, exit_status=ExitStatus.DONE, api_requests=0, note=None)
