"""`kling-batch stats`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kling_batch.cli.options import Load, format_option, projects_options
from kling_batch.cli.output import say
from kling_batch.clock import SystemClock
from kling_batch.disk import disk_border
from kling_batch.errors import UsageError
from kling_batch.model import RunResult
from kling_batch.planning.project import Project
from kling_batch.records.snapshot import read_shapes
from kling_batch.report.stats import BY, WRITERS, loudness_of
from kling_batch.report.stats import stats as make_stats
from kling_batch.running.recount import recount


@click.command()
@projects_options
@click.option(
    "--by",
    type=click.Choice(BY),
    multiple=True,
    default=["project"],
    help="What a row is for (default: project); give it again for one row a combination.",
)
@format_option(*WRITERS, help_text="How to write.")
@click.option(
    "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="Where to write (default: stdout)."
)
def command(projects: Sequence[Load], by: Sequence[str], output: str, file: Path | None) -> int:
    """Sum up the takes of one or more manifests: units, seconds, failures and loudness by project, month, job or tag.

    Needs no keys and no network: it goes by manifest, journal and lock.
    """
    if output == "parquet" and file is None:
        raise UsageError("Parquet is no text to print.", hint="Name a file: --output sounds.parquet")
    found = [_takes(load()) for load in projects]
    written = WRITERS[output](make_stats(found, by))
    if file is None:
        say(*written.decode().removesuffix("\n").split("\n"))
    else:
        with disk_border(file, option="--output"):
            file.write_bytes(written)
    return 0


def _takes(opened: Project) -> tuple[RunResult, list[float | None]]:
    result = recount(opened, now=SystemClock().time())
    return result, loudness_of(result, read_shapes(opened.out))
