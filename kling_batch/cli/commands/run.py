"""`kling-batch run`."""

from __future__ import annotations

from pathlib import Path

import click

from kling_batch.cli.options import paying_options, project_options, restore_edited_option, select_option
from kling_batch.cli.progress import View
from kling_batch.planning.project import Project
from kling_batch.running.options import Options


@click.command()
@project_options
@select_option
@click.option("--locked", is_flag=True, help="End with exit status 3, before anything, if a call must be paid.")
@click.option("--frozen", is_flag=True, help="Use lock, disk and store alone: no keys, no network, the lock unchanged.")
@restore_edited_option
@paying_options
def command(project: Project, options: Options, view: View, store: str | Path | None) -> int:
    """Turn the manifest into sounds. Running it again resumes it and pays for nothing twice.

    It shows the plan and asks before it spends; without a terminal it needs --yes or --max-units.
    """
    from kling_batch.cli.execute import execute

    return execute(project, options, view=view, store=store).exit_status
