"""`kling-batch reroll`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from kling_batch.cli.execute import execute
from kling_batch.cli.options import paying_options, project_options
from kling_batch.cli.progress import View
from kling_batch.cli.reports import refresh
from kling_batch.cli.take_names import locked_takes, parse_key
from kling_batch.errors import UsageError
from kling_batch.model import TakeKey
from kling_batch.planning.project import Project
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.running.options import Options


@click.command()
@project_options
@click.argument("takes", nargs=-1, required=True, metavar="JOB:TAKE...")
@paying_options
def command(project: Project, takes: tuple[str, ...], options: Options, view: View, store: str | Path | None) -> int:
    """Ask for a fresh sound for these takes alone, such as door-creak:3, and pay for it by consent.

    The lock notes it for each take; the sound that was there is kept in .kling-batch/replaced. Where this is stopped
    before its end, kling-batch run finishes it. The reports are those of the whole set then.
    """
    keys = list(dict.fromkeys(parse_key(text, ":") for text in takes))
    locked_takes(project, keys)
    chosen = replace(options, select=tuple(map(str, keys)))
    done = execute(project, chosen, view=view, store=store, change=lambda lock: rolled(lock, keys))
    refresh(project.current(), done=done.takes)
    return done.exit_status


def rolled(lock: Lock, keys: Sequence[TakeKey]) -> Lock:
    """Note for each of these takes that one more fresh sound is asked for.

    Raises:
        UsageError: The lock has one of them no more.
    """
    for key in keys:
        if key not in lock.entries:
            raise UsageError(f"Take {key} is not in the lock any more.", hint="kling-batch plan says why.")
    latest = {key: lock.entries[key].edition for key in keys}
    for entry in lock.retired.values():
        if entry.key in latest:  # an edition that was made once would be no fresh sound
            latest[entry.key] = max(latest[entry.key], entry.edition)
    again = {key: _up_to(lock.entries[key], edition + 1) for key, edition in latest.items()}
    return replace(lock, entries={**lock.entries, **again})


def _up_to(entry: LockEntry, edition: int) -> LockEntry:
    return replace(entry, rerolls=entry.rerolls + edition - entry.edition)
