"""The reports, written again without a run."""

from __future__ import annotations

from collections.abc import Sequence

from kling_batch.clock import SystemClock
from kling_batch.planning.project import Project
from kling_batch.running.recount import recount


def refresh(project: Project, select: Sequence[str] = ()) -> None:
    """Write the reports from journal and lock as they are now.

    Args:
        project: What is wanted, and where.
        select: Which takes are meant, as `--select` says it; none means all.

    Raises:
        DiskUnusable: A report cannot be written.
    """
    from kling_batch.report import write_reports

    write_reports(recount(project, select, now=SystemClock().time()), project.out)
