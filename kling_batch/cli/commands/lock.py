"""`kling-batch lock`: looks after locks."""

from __future__ import annotations

from pathlib import Path

import click

from kling_batch.api.session import team_of
from kling_batch.cli.options import project_options, store_options
from kling_batch.cli.output import say
from kling_batch.disk import disk_border
from kling_batch.errors import ExitStatus
from kling_batch.planning.project import Project
from kling_batch.records.lock import Lock, read_lock, write_lock
from kling_batch.records.merging import merge_branches
from kling_batch.text import counted

_FILE = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Look after locks."""


@command.command()
@click.argument("base", type=_FILE)
@click.argument("ours", type=_FILE)
@click.argument("theirs", type=_FILE)
def merge(base: Path, ours: Path, theirs: Path) -> int:
    """Merge what two branches made of a lock, take by take, into OURS: git's merge driver.

    Exit status 1 when both made a take anew: it is named, and stands in OURS between conflict marks.
    """
    mine = read_lock(ours, project=None)
    other = read_lock(theirs, project=mine.project)
    merged = merge_branches(_base(base, mine.project), mine, other)
    write_lock(ours, merged.lock, both=merged.both)
    for key in merged.both:
        say(f"{key}: both branches made this take anew. Keep one side of it in the lock.", err=True)
    return int(ExitStatus.SOME_FAILED if merged.both else ExitStatus.DONE)


@command.command()
@project_options
@store_options
def pull(project: Project, store: str | Path | None) -> int:
    """Merge the team's lock, in the store, into this machine's, take by take."""
    team_of(store, project).lock.pull()
    say(f"{project.lock_path}: {counted(len(project.current().lock.entries), 'take')}.", err=True)
    return 0


@command.command()
@project_options
@store_options
def push(project: Project, store: str | Path | None) -> int:
    """Pull, and have the team's lock, in the store, say the same as this machine's."""
    shared = team_of(store, project).lock
    shared.push()
    say(f"{shared.place}: {counted(len(project.current().lock.entries), 'take')}.", err=True)
    return 0


def _base(path: Path, project: str) -> Lock:
    """Read the common ancestor, which is empty where both branches began the lock."""
    with disk_border(path):
        return read_lock(path, project=project) if path.stat().st_size else Lock(project=project)
