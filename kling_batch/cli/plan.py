"""`kling-batch plan`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kling_batch.api.project import load
from kling_batch.api.project import plan as make_plan
from kling_batch.cli.colour import say
from kling_batch.cli.environment import own_store
from kling_batch.cli.how import concurrency_option, store_options
from kling_batch.cli.options import place_options, retries_option, text_or_json
from kling_batch.cli.planning import columns_of, plan_json, plan_lines


@click.command()
@place_options
@retries_option
@concurrency_option
@store_options
@text_or_json
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
    retries: int,
    concurrency: int | str | None,
    store: str | None,
    no_store: bool,
    output: str,
) -> int:
    """Show what a run would do to each take, why, and what it costs.

    Needs no keys and no network: it goes by manifest, journal, lock, store and disk.
    """
    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    snapshot = opened.snapshot()
    place = None if no_store else store or own_store()
    plan = make_plan(opened, select=select, retries=retries, store=place, snapshot=snapshot)
    outlook = opened.outlook(snapshot, concurrency if isinstance(concurrency, int) else None)
    if output == "json":
        sys.stdout.writelines(plan_json(plan, outlook))
    else:
        say("\n".join(plan_lines(plan, outlook, columns=columns_of(sys.stdout))))
    return 0
