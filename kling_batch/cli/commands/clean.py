"""`kling-batch clean`."""

from __future__ import annotations

from contextlib import closing

import click

from kling_batch.cli.options import project_options
from kling_batch.cli.output import can_ask, confirm, say
from kling_batch.clock import SystemClock
from kling_batch.delivery.place import replaced_folder, set_aside
from kling_batch.disk import inside
from kling_batch.planning.audit import orphans
from kling_batch.planning.project import Project
from kling_batch.records.journal import Journal
from kling_batch.text import counted


@click.command()
@project_options
@click.option("--yes", "consented", is_flag=True, help="Move them without asking.")
def command(project: Project, consented: bool) -> int:
    """List the sounds of this set that nothing asks for where they stand, and move them away, by consent.

    They come of renames, and of takes that are asked for no more. Nothing is deleted: they are kept in
    .kling-batch/replaced, where a run finds them again. What was not made for this set, or was edited, stays.
    """
    found = orphans(project, project.snapshot())
    say(*found)
    if not found:
        say("There is nothing to move away.", err=True)
        return 0
    what, where = counted(len(found), "sound"), replaced_folder(project.out)
    if not consented and not (can_ask() and confirm(f"Move {what} to {where}?")):
        say(f"{what} can be moved away: add --yes. Nothing was moved.", err=True)
        return 0
    with closing(Journal(project.out, now=SystemClock().time())):
        project = project.current()
        still = orphans(project, project.snapshot())
        agreed = {path: sha256 for path, sha256 in still.items() if path in found}
        for path, sha256 in agreed.items():
            set_aside(inside(project.out, path), sha256, where)
    say(f"Moved {counted(len(agreed), 'sound')} to {where}.", err=True)
    return 0
