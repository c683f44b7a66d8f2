"""`kling-batch lock`: looks after locks."""

from __future__ import annotations

from pathlib import Path

import click

from kling_batch.cli.output import say
from kling_batch.disk import disk_border
from kling_batch.errors import ExitStatus
from kling_batch.records.lock import Lock, read_lock, write_lock
from kling_batch.records.merging import merge_branches

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


def _base(path: Path, project: str) -> Lock:
    """Read the common ancestor, which is empty where both branches began the lock."""
    with disk_border(path):
        return read_lock(path, project=project) if path.stat().st_size else Lock(project=project)
