"""`kling-batch pick`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from kling_batch.api.project import load
from kling_batch.cli.keys import locked_takes, parse_key
from kling_batch.cli.options import lock_option, manifest_argument, out_option, project_option, sandbox_option
from kling_batch.clock import SystemClock
from kling_batch.errors import UsageError
from kling_batch.model import Job, TakeKey
from kling_batch.planning.picks import bring_picks, drop_picks, picks_of, taken_names, why_unplaceable
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.records.lock import Lock, write_lock

_COLUMNS = ("job_id", "take")


@click.command()
@manifest_argument
@click.argument("choices", nargs=-1, metavar="JOB=TAKE...")
@click.option(
    "--from",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CSV",
    help="Choose what a table says, with the columns job_id and take.",
)
@click.option("--clear", multiple=True, metavar="JOB", help="Take the choice of a job back.")
@project_option
@out_option
@lock_option
@sandbox_option
def command(
    manifest: Path,
    choices: tuple[str, ...],
    table: Path | None,
    clear: tuple[str, ...],
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    sandbox: bool,
) -> int:
    """Keep a choice of takes in the lock, such as door-creak=2.

    The chosen files also appear under the job's plain name. That name is the manifest's `picked`, a template like
    `file`; without one it is the job's id.
    """
    chosen = [parse_key(text, "=") for text in choices] + (_read(table) if table else [])
    if not chosen and not clear:
        raise UsageError("Nothing is chosen.", hint="Name a take of a job, such as door-creak=2.")
    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    journal = Journal(opened.out, now=SystemClock().time(), service=None)
    try:
        return _pick(opened.current(), _one_a_job(chosen), clear)
    finally:
        journal.close()


def _pick(project: Project, chosen: Mapping[str, TakeKey], clear: Sequence[str]) -> int:
    """Check all of it, write the lock, then move files."""
    taken = taken_names(project.manifest.takes)
    for take in locked_takes(project, list(chosen.values())):
        if (reason := why_unplaceable(take, taken)) is not None:
            raise UsageError(f"{take.key} cannot be picked: {reason}.", hint="Then run kling-batch pick again.")
    jobs = {job.id: job for job in project.manifest.jobs}
    cleared = [_cleared(jobs, project.lock, job_id, chosen) for job_id in dict.fromkeys(clear)]
    picked = project.with_lock(with_picks(project.lock, chosen, {job.id for job in cleared}))
    write_lock(picked.lock_path, picked.lock)
    for job in cleared:
        records = (file for key, entry in project.lock.entries.items() if key.job_id == job.id for file in entry.files)
        for file in drop_picks(job, records, project.out, taken):
            click.echo(f"{file} was edited, and stays.", err=True)
    fresh = [one for one in picks_of(picked.manifest.takes, picked.lock).chosen if one.take.job.id in chosen]
    for path in bring_picks(fresh, project.out):
        click.echo(f"{path} is not there yet: kling-batch restore or run puts it in place.", err=True)
    for key in chosen.values():
        click.echo(f"{key.job_id}: take {key.number}")
    return 0


def with_picks(lock: Lock, chosen: Mapping[str, TakeKey], cleared: set[str]) -> Lock:
    """Mark these takes, and no other of their jobs."""
    touched = chosen.keys() | cleared
    marked = {
        key: replace(entry, picked=chosen.get(key.job_id) == key)
        for key, entry in lock.entries.items()
        if key.job_id in touched
    }
    return replace(lock, entries={**lock.entries, **marked})


def _one_a_job(chosen: Sequence[TakeKey]) -> dict[str, TakeKey]:
    found: dict[str, TakeKey] = {}
    for key in chosen:
        if found.setdefault(key.job_id, key) != key:
            words = f"Takes {found[key.job_id].number} and {key.number} of {key.job_id} are both chosen."
            raise UsageError(words, hint="A job has one chosen take: name that alone.")
    return found


def _cleared(jobs: Mapping[str, Job], lock: Lock, job_id: str, chosen: Mapping[str, TakeKey]) -> Job:
    if job_id in chosen:
        raise UsageError(f"{job_id} is to be picked and cleared at once.", hint="Leave one of the two out.")
    if job_id not in jobs or not any(entry.picked for key, entry in lock.entries.items() if key.job_id == job_id):
        picked = sorted({key.job_id for key, entry in lock.entries.items() if entry.picked})
        hint = f"Picked are takes of {', '.join(picked)}." if picked else "Nothing is picked so far."
        raise UsageError(f"No take of {job_id} is picked.", hint=hint)
    return jobs[job_id]


def _read(table: Path) -> list[TakeKey]:
    """Read choices from a CSV file.

    Raises:
        UsageError: It cannot be read, has other columns, or a row names no take.
    """
    import csv

    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not set(_COLUMNS) <= set(reader.fieldnames):
                raise UsageError(
                    f"{table}:1: the columns job_id and take are needed.", hint="Write `job_id,take` first."
                )
            return [_row(table, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table} cannot be read: {error}", hint="Give a CSV file in UTF-8.") from error


def _row(table: Path, line: int, row: Mapping[str, str | None]) -> TakeKey:
    job_id, number = ((row[name] or "").strip() for name in _COLUMNS)
    try:
        return parse_key(f"{job_id}={number}", "=")
    except UsageError as error:
        raise UsageError(f"{table}:{line}: {error.message}", hint="Write a job's id and a take's number.") from error
