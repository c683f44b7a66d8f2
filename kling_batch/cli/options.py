"""Options that several commands share, each with the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kling_batch.api.bounds import RETRIES
from kling_batch.cli.completing import complete_manifest

F = TypeVar("F", bound=Callable[..., Any])

manifest_argument = click.argument("manifest", type=click.Path(path_type=Path), shell_complete=complete_manifest)
project_option = click.option(
    "--project", metavar="NAME", help="The project's name, for tables (default: the file's stem)."
)
out_option = click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the sounds go (default: out/<project>)."
)
lock_option = click.option(
    "--lock",
    "lock_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The lock (default: the manifest's path + .lock).",
)
select_option = click.option(
    "--select",
    metavar="EXPR",
    multiple=True,
    help="Only takes that match: an id glob (door-*, door-creak:2), tag:NAME, status:failed or changed. A comma "
    "means both; giving the option again means either.",
)
sandbox_option = click.option(
    "--sandbox", is_flag=True, help="Use a sandbox inside the process: no keys, nothing spent, kept apart."
)
retries_option = click.option(
    "--retries",
    type=click.IntRange(*RETRIES),
    default=2,
    show_default=True,
    metavar="N",
    help="New attempts for a task that failed for a passing reason.",
)
text_or_json = click.option(
    "--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


def place_options(function: F) -> F:
    """Add what says which takes of which manifest are meant, and where they are."""
    for option in (sandbox_option, select_option, lock_option, out_option, project_option, manifest_argument):
        function = option(function)
    return function
