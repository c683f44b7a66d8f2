"""The reports, written again without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kling_batch.clock import SystemClock
from kling_batch.model import RunResult, TakeResult
from kling_batch.planning.project import Project
from kling_batch.records.snapshot import read_shapes
from kling_batch.report import write_reports
from kling_batch.report.compare import compare
from kling_batch.running.recount import recount


def refresh(
    project: Project, select: Sequence[str] = (), against: Path | None = None, *, done: Sequence[TakeResult] = ()
) -> RunResult:
    """Write the reports from journal and lock as they are now.

    Args:
        project: What is wanted, and where.
        select: Which takes are meant, as `--select` says it; none means all.
        against: An earlier `report.json`, to compare with.
        done: What a run did just now: neither journal nor lock say which worker did it.

    Returns:
        What they say.

    Raises:
        UsageError: What it is to be compared with is no report.
        DiskUnusable: A report cannot be written.
    """
    told = recount(project, select, now=SystemClock().time())
    workers = {take.take.key: take.worker for take in done if take.worker is not None}
    if workers:
        told = replace(told, takes=tuple(replace(take, worker=workers.get(take.take.key)) for take in told.takes))
    if against is not None:
        told = replace(told, against=compare(against, told, read_shapes(project.out)))
    write_reports(told, project.out)
    return told
