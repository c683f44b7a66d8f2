"""`kling-batch status`."""

from __future__ import annotations

from typing import Any

import click

from kling_batch.cli.options import project_options, select_option, text_or_json
from kling_batch.cli.output import print_json, say
from kling_batch.clock import SystemClock, iso
from kling_batch.model import RunResult, Status
from kling_batch.planning.project import Project
from kling_batch.records.layout import own_folder
from kling_batch.records.run_lock import is_held
from kling_batch.report.facts import money, units_text
from kling_batch.report.json_ import as_json
from kling_batch.running.recount import recount
from kling_batch.text import counted

_TOLD = ("job_id", "take", "status", "external_task_id", "task_id", "attempts", "units")
"""What is said of a take, as in `report.json`."""


@click.command()
@project_options
@select_option
@text_or_json
def command(project: Project, select: tuple[str, ...], output: str) -> int:
    """Show where a run stands, from the journal, also while it runs."""
    snapshot = project.snapshot()
    result = recount(project, select, snapshot, now=SystemClock().time())
    running = is_held(own_folder(project.out))
    if output == "json":
        print_json(_json(project, result, running=running))
        return 0
    if snapshot.last_run is None:
        say(f"{project.out}: no run yet")
    else:
        ended = "running" if running else f"ended {iso(snapshot.last_run.finished_at) or 'without saying how'}"
        say(f"{project.out}: run {snapshot.last_run.id}, begun {iso(snapshot.last_run.started_at)}, {ended}")
    counts = ", ".join(f"{result.count(status)} {status.value}" for status in Status)
    say(f"{counted(len(result.takes), 'take')}: {counts}; {money(result)}")
    for take in result.takes:
        if take.status in {Status.FAILED, Status.UNKNOWN}:
            words = take.error.message if take.error else ""
            say(f"  {take.take.key}: {take.status.value}: {words}")
    return 0


def _json(project: Project, result: RunResult, *, running: bool) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "project": project.manifest.project,
        "out": str(project.out),
        "running": running,
        "sandbox": result.sandbox,
        "summary": {
            "takes": len(result.takes),
            **{status.value: result.count(status) for status in Status},
            "units": units_text(result.units),
            "units_this_run": units_text(result.units_this_run),
        },
        "takes": [{name: as_json(take, {})[name] for name in _TOLD} for take in result.takes],
    }
