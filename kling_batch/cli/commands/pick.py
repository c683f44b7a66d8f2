"""`kling-batch pick`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click

from kling_batch.cli.options import project_options
from kling_batch.cli.output import say
from kling_batch.cli.reports import refresh
from kling_batch.cli.take_names import locked_takes, parse_key
from kling_batch.clock import SystemClock
from kling_batch.errors import FolderHeld, UsageError
from kling_batch.model import TakeKey
from kling_batch.planning.picks import bring_picks, drop_picks, picks_of, taken_names, why_unplaceable
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.records.lock import LONGEST_NOTE, Lock, update_lock
from kling_batch.text import one_line

_COLUMNS = ("job_id", "take")


class _Row(NamedTuple):
    """A row of a table: whether it picks its take, and what it says of the sound. None leaves that as it is."""

    key: TakeKey
    picked: bool
    note: str | None


@click.command()
@project_options
@click.argument("choices", nargs=-1, metavar="JOB=TAKE...")
@click.option(
    "--from",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CSV",
    help="Choose what a table says, with the columns job_id and take, and if you like picked and note.",
)
@click.option("--clear", multiple=True, metavar="JOB", help="Take the choice of a job back.")
def command(project: Project, choices: tuple[str, ...], table: Path | None, clear: tuple[str, ...]) -> int:
    """Keep a choice of takes in the lock, such as door-creak=2.

    The chosen files also appear under the job's plain name. That name is the manifest's `picked`, a template like
    `file`; without one it is the job's id.
    """
    rows = _read(table) if table else []
    chosen = [parse_key(text, "=") for text in choices] + [row.key for row in rows if row.picked]
    notes = {row.key: row.note for row in rows if row.note is not None}
    if not chosen and not clear and not notes:
        raise UsageError("Nothing is chosen.", hint="Name a take of a job, such as door-creak=2.")
    project.snapshot()  # which is of this manifest
    one_a_job, cleared = _one_a_job(chosen), frozenset(clear)
    picked = _keep(project, one_a_job, cleared, notes)
    try:
        journal = Journal(picked.out, now=SystemClock().time())
    except FolderHeld as error:
        files = "The choice is in the lock; its files come with the end of that run, or with kling-batch restore."
        say(f"{error.message} {files}", err=True)
    else:
        with closing(journal):
            _move(picked, one_a_job, cleared)
            refresh(picked)
    for key in one_a_job.values():
        say(f"{key.job_id}: take {key.number}")
    return 0


def _keep(
    project: Project, chosen: Mapping[str, TakeKey], cleared: AbstractSet[str], notes: Mapping[TakeKey, str]
) -> Project:
    """Check all of it against the lock as it is, and write it there, also while a run writes to it."""
    taken = taken_names(project.manifest.takes)

    def change(now: Lock) -> Lock:
        current = project.with_lock(now)
        for take in locked_takes(current, chosen.values()):
            if (reason := why_unplaceable(take, taken)) is not None:
                raise UsageError(f"{take.key} cannot be picked: {reason}.", hint="Then run kling-batch pick again.")
        for job_id in sorted(cleared):
            _check_cleared(current, job_id, chosen)
        locked_takes(current, notes)
        lock = with_picks(now, chosen, cleared)
        noted = {key: replace(lock.entries[key], note=note) for key, note in notes.items()}
        return replace(lock, entries={**lock.entries, **noted})

    return project.with_lock(update_lock(project.lock_path, project.manifest.project, change))


def _move(project: Project, chosen: Mapping[str, TakeKey], cleared: AbstractSet[str]) -> None:
    """Take away what stands under the plain names of cleared jobs, and bring what was chosen there."""
    entries = project.lock.entries
    for job in project.manifest.jobs:
        if job.id in cleared:
            records = (file for key, entry in entries.items() if key.job_id == job.id for file in entry.all_files)
            for file in drop_picks(job, records, project.out, taken_names(project.manifest.takes)):
                say(f"{file} was edited, and stays.", err=True)
    fresh = [one for one in picks_of(project.manifest.takes, project.lock).chosen if one.take.job.id in chosen]
    brought = bring_picks(fresh, project.out, lock=project.lock, restore_edited=True)
    for words in brought.edited:
        say(f"{words}.", err=True)
    for path in brought.lacking:
        say(f"{path} is not there yet: kling-batch restore or run puts it in place.", err=True)


def with_picks(lock: Lock, chosen: Mapping[str, TakeKey], cleared: AbstractSet[str]) -> Lock:
    """Mark these takes, and no other of their jobs, retired ones included."""
    touched = chosen.keys() | cleared
    marked = {
        key: replace(entry, picked=chosen.get(key.job_id) == key)
        for key, entry in lock.entries.items()
        if key.job_id in touched
    }
    retired = {
        name: replace(entry, picked=False) if entry.job_id in touched else entry for name, entry in lock.retired.items()
    }
    return replace(lock, entries={**lock.entries, **marked}, retired=retired)


def _one_a_job(chosen: Sequence[TakeKey]) -> dict[str, TakeKey]:
    found: dict[str, TakeKey] = {}
    for key in chosen:
        if found.setdefault(key.job_id, key) != key:
            words = f"Takes {found[key.job_id].number} and {key.number} of {key.job_id} are both chosen."
            raise UsageError(words, hint="A job has one chosen take: name that alone.")
    return found


def _check_cleared(project: Project, job_id: str, chosen: Mapping[str, TakeKey]) -> None:
    if job_id in chosen:
        raise UsageError(f"{job_id} is to be picked and cleared at once.", hint="Leave one of the two out.")
    picked = {key.job_id for key, entry in project.lock.entries.items() if entry.picked}
    if job_id not in picked or all(job.id != job_id for job in project.manifest.jobs):
        hint = f"Picked are takes of {', '.join(sorted(picked))}." if picked else "Nothing is picked so far."
        raise UsageError(f"No take of {job_id} is picked.", hint=hint)


def _read(table: Path) -> list[_Row]:
    """Read choices from a CSV file. Where it has a column `picked`, a row without a word there only has a note.

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


def _row(table: Path, line: int, row: Mapping[str, str | None]) -> _Row:
    job_id, number = ((row[name] or "").strip() for name in _COLUMNS)
    try:
        key = parse_key(f"{job_id}={number}", "=")
    except UsageError as error:
        raise UsageError(f"{table}:{line}: {error.message}", hint="Write a job's id and a take's number.") from error
    note = one_line(row["note"] or "", LONGEST_NOTE) if "note" in row else None
    return _Row(key, picked=bool((row.get("picked", "yes") or "").strip()), note=note)
