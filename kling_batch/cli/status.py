"""`kling-batch status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kling_batch.api.project import load
from kling_batch.cli.options import place_options, text_or_json
from kling_batch.clock import SystemClock, iso
from kling_batch.model import RunResult, Status
from kling_batch.planning.project import Project
from kling_batch.records.layout import FOLDER
from kling_batch.records.run_lock import is_held
from kling_batch.report.facts import money, units_text
from kling_batch.running.recount import recount


@click.command()
@place_options
@text_or_json
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
    output: str,
) -> int:
    """Show where a run stands, from the journal, also while it runs."""
    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    snapshot = opened.snapshot()
    result = recount(opened.manifest, opened.plan(retries=0, expressions=select), snapshot, now=SystemClock().time())
    running = is_held(opened.out / FOLDER)
    if output == "json":
        click.echo(json.dumps(_json(opened, result, running=running), indent=2, ensure_ascii=False))
        return 0
    if snapshot.last_run is None:
        click.echo(f"{opened.out}: no run yet")
    else:
        ended = "running" if running else f"ended {iso(snapshot.last_run.finished_at) or 'without saying how'}"
        click.echo(f"{opened.out}: run {snapshot.last_run.id}, begun {iso(snapshot.last_run.started_at)}, {ended}")
    counts = ", ".join(f"{result.count(status)} {status.value}" for status in Status)
    click.echo(f"{len(result.takes)} takes: {counts}; {money(result)}")
    for take in result.takes:
        if take.status in {Status.FAILED, Status.UNKNOWN}:
            words = take.error.message if take.error else ""
            click.echo(f"  {take.take.key}: {take.status.value}: {words}")
    return 0


def _json(opened: Project, result: RunResult, *, running: bool) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "project": opened.manifest.project,
        "out": str(opened.out),
        "running": running,
        "summary": {
            "takes": len(result.takes),
            **{status.value: result.count(status) for status in Status},
            "units": units_text(result.units),
        },
        "takes": [
            {
                "job_id": take.take.job.id,
                "take": take.take.number,
                "status": take.status.value,
                "external_task_id": take.external_id,
                "task_id": take.task_id,
                "attempts": take.attempts,
                "units": units_text(take.units),
            }
            for take in result.takes
        ],
    }
