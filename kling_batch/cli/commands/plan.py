"""`kling-batch plan`."""

from __future__ import annotations

from decimal import Decimal
from math import inf
from pathlib import Path

import click

from kling_batch.api.project import plan as make_plan
from kling_batch.cli.options import (
    concurrency_option,
    format_option,
    keep_sources_option,
    max_total_units_option,
    max_units_option,
    project_options,
    reroll_rejected_option,
    retries_option,
    select_option,
    store_options,
)
from kling_batch.cli.output import print_json, say
from kling_batch.cli.plan_text import plan_json, plan_lines, plan_markdown
from kling_batch.planning.project import Project
from kling_batch.planning.spending import budget


@click.command()
@project_options
@select_option
@retries_option
@reroll_rejected_option
@keep_sources_option
@concurrency_option
@max_units_option
@max_total_units_option
@store_options
@format_option(
    "text", "json", "markdown", help_text="How to print: markdown is for a pull request or a CI's summary page."
)
def command(
    project: Project,
    select: tuple[str, ...],
    retries: int,
    reroll_rejected: int,
    keep_sources: bool,
    concurrency: int | str | None,
    max_units: Decimal | None,
    max_total_units: Decimal | None,
    store: str | Path | None,
    output: str,
) -> int:
    """Show what a run would do to each take, why, and what it costs.

    Needs no keys and no network: it goes by manifest, journal, lock, store and disk.
    """
    snapshot = project.snapshot()
    asked = {"retries": retries, "reroll_rejected": reroll_rejected}
    plan = make_plan(project, select=select, keep_sources=keep_sources, store=store, snapshot=snapshot, **asked)
    since = snapshot.spends_since or inf
    spent = budget(project.lock, snapshot, since=since, run=max_units, whole=max_total_units)
    outlook = project.outlook(snapshot, concurrency if isinstance(concurrency, int) else None, spent)
    if output == "json":
        print_json(plan_json(plan, outlook))
    elif output == "markdown":
        say(*plan_markdown(project.manifest.project, plan, outlook, sandbox=project.sandbox).splitlines())
    else:
        say(*plan_lines(plan, outlook, sandbox=project.sandbox))
    return 0
